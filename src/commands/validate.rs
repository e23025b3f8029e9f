//! `headwater validate`.

use crate::{
    Failure,
    assemble::{Assembled, Purpose, assemble},
    terminal,
};
use headwater_config::Role;
use std::path::PathBuf;

/// Checks a configuration without touching any endpoint, secret or destination.
pub(crate) fn validate(config: &[PathBuf]) -> Result<(), Failure> {
    let Assembled { pipeline, needed, warnings, .. } = assemble(config, Purpose::Validate)?;
    if !warnings.is_empty() {
        terminal::tell_problems(&warnings);
    }
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    // Those that depend on a variable that is not set are left out of the pipeline, and count all the same.
    let components = |role: Role| {
        let found = pipeline.graph().nodes.iter().filter(|node| node.role == role);
        count(found.count(), role.word())
    };
    super::remark(format_args!(
        "valid: {}, {}, {}, {}",
        components(Role::Source),
        components(Role::Transform),
        components(Role::Sink),
        count(pipeline.tests.len(), "test"),
    ));
    needed.sentence().iter().for_each(super::remark);
    Ok(())
}
