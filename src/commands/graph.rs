//! `headwater graph`.

use super::say;
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
    say(match format {
        GraphFormat::Mermaid => graph.to_mermaid(),
        GraphFormat::Dot => graph.to_dot(),
    })
}
