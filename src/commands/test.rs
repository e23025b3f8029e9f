//! `headwater test`.

use crate::{
    Failure,
    assemble::{Purpose, assemble},
};
use headwater_contracts::{Clock, Transform};
use headwater_runtime::{SystemClock, TransformSpec};
use headwater_vrl::{TestGraph, run_test};
use std::path::PathBuf;

/// Runs the unit tests written in a configuration.
pub(crate) fn test(config: &[PathBuf]) -> Result<(), Failure> {
    let assembled = assemble(config, Purpose::Inspect)?;
    let graph = Wired(&assembled.transforms);
    let mut failed = 0;
    for case in &assembled.tests {
        let result = run_test(case, &graph, SystemClock.now());
        if result.passed() {
            super::remark(format_args!("test {} ... passed", result.name));
        } else {
            super::complain(format_args!("test {} ... failed", result.name));
        }
        for failure in &result.failures {
            super::complain(format_args!("  {}", failure.replace('\n', "\n  ")));
        }
        failed += usize::from(!result.passed());
    }
    let all = assembled.tests.len();
    super::remark(format_args!("{} passed, {failed} failed", all - failed));
    if failed > 0 { Err(Failure::run(format!("{failed} of {all} tests failed"))) } else { Ok(()) }
}

struct Wired<'a>(&'a [TransformSpec]);

impl TestGraph for Wired<'_> {
    fn transform(&self, name: &str) -> Option<&dyn Transform> {
        self.0.iter().find(|spec| spec.name == name).map(|spec| spec.transform.as_ref())
    }

    fn consumers(&self, output: &str) -> Vec<String> {
        let readers = self.0.iter().filter(|spec| spec.inputs.iter().any(|input| input == output));
        readers.map(|spec| spec.name.clone()).collect()
    }
}
