//! `headwater validate`.

use super::ask::ask_only;
use crate::{
    Failure,
    assemble::{Assembled, Purpose, assemble},
    names, terminal,
};
use headwater_config::Role;
use headwater_runtime::SourceSpec;
use std::{path::PathBuf, time::Duration};

/// Checks a configuration without touching any endpoint, secret or destination. With `online`, the time that providers have for their
/// answers, their names are compared with those in it.
pub(crate) fn validate(config: &[PathBuf], online: Option<Duration>) -> Result<(), Failure> {
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
    online.map_or(Ok(()), |timeout| compare(config, timeout))
}

/// Warns of names that the providers do not list.
fn compare(config: &[PathBuf], timeout: Duration) -> Result<(), Failure> {
    let pipeline = assemble(config, Purpose::Run)?.pipeline;
    let wanted = names::wanted(&pipeline);
    let spec = |spec: headwater_config::SourceSpec| SourceSpec {
        name: spec.name,
        built: spec.built,
        options: spec.options,
        simulated: false,
    };
    let sources: Vec<SourceSpec> = pipeline.sources.into_iter().map(spec).collect();
    let inquiries = names::inquiries(&wanted, &sources);
    let streams = if inquiries.is_empty() { Vec::new() } else { ask_only(inquiries, timeout)? };
    let doubts = names::compare(&wanted, &streams, |_| true);
    if !doubts.is_empty() {
        terminal::tell_problems(&doubts);
    }
    super::remark(format_args!("online: {}", names::sentence(&wanted)));
    Ok(())
}
