//! `headwater graph`.

use super::print;
use crate::{
    Failure,
    assemble::{Purpose, assemble},
    cli::GraphFormat,
};
use std::path::PathBuf;

/// Draws the pipeline.
pub(crate) fn graph(config: &[PathBuf], format: GraphFormat) -> Result<(), Failure> {
    let assembled = assemble(config, Purpose::Inspect)?;
    let graph = assembled.pipeline.graph();
    print(&match format {
        GraphFormat::Mermaid => graph.to_mermaid(),
        GraphFormat::Dot => graph.to_dot(),
    })
}
