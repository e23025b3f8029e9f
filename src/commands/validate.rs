//! `headwater validate`.

use crate::{
    Failure,
    assemble::{Assembled, Purpose, assemble},
};
use headwater_config::Role;
use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

/// Checks a configuration without touching any endpoint, secret or destination.
pub(crate) fn validate(config: &[PathBuf]) -> Result<(), Failure> {
    let Assembled { pipeline, missing, warnings, .. } = assemble(config, Purpose::Validate)?;
    if !warnings.is_empty() {
        super::remark(warnings.render(io::stderr().is_terminal()));
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
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(String::as_str).collect();
        super::remark(format_args!("not set here, and needed to run: {}", names.join(", ")));
    }
    Ok(())
}
