//! `headwater validate`.

use crate::{
    Failure,
    assemble::{Purpose, assemble},
};
use std::path::PathBuf;

/// Checks a configuration without touching any endpoint, secret or destination.
pub(crate) fn validate(config: &[PathBuf]) -> Result<(), Failure> {
    let pipeline = assemble(config, Purpose::Validate)?.pipeline;
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    super::remark(format_args!(
        "valid: {}, {}, {}, {}",
        count(pipeline.sources.len() + pipeline.imports.len() + pipeline.consumers.len(), "source"),
        count(pipeline.transforms.len(), "transform"),
        count(pipeline.sinks.len(), "sink"),
        count(pipeline.tests.len(), "test"),
    ));
    Ok(())
}
