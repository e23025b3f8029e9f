//! What a configuration looks for in the environment of this process, and does not find.

use headwater_config::{Diagnostic, Diagnostics, ProcessEnvironment, Severity, set_and_empty};
use std::{cell::RefCell, collections::BTreeSet};

/// That of this process, which keeps what it has been asked for in vain.
#[derive(Default)]
pub(crate) struct Environment {
    missing: RefCell<BTreeSet<String>>,
    empty: RefCell<BTreeSet<String>>,
}

impl headwater_config::Environment for Environment {
    fn var(&self, name: &str) -> Option<String> {
        ProcessEnvironment.var(name)
    }

    fn missing(&self, what: &str) {
        self.missing.borrow_mut().insert(what.to_owned());
    }

    fn empty(&self, name: &str) {
        self.empty.borrow_mut().insert(name.to_owned());
    }
}

/// Variables and files that are not there, or empty, and that running the pipeline needs.
#[derive(Default)]
pub(crate) struct Needed {
    names: BTreeSet<String>,
    /// Whether a problem is left that one of them may explain.
    explains: bool,
}

impl Environment {
    /// What is needed. Problems that a value would settle are taken out, if they are `forgiven`; those that are left at an empty
    /// variable say so.
    pub(crate) fn needed(self, diagnostics: &mut Diagnostics, forgiven: bool) -> Needed {
        let (mut names, empty) = (self.missing.into_inner(), self.empty.into_inner());
        let mut explains = false;
        diagnostics.retain(|problem| {
            // A warning follows from what is there.
            let is_error = problem.severity == Severity::Error;
            let emptied: Vec<&String> = empty.iter().filter(|name| is_error && stands_at(problem, name)).collect();
            let stands_in = !emptied.is_empty() || names.iter().any(|name| stands_at(problem, name));
            if forgiven {
                names.extend(emptied.into_iter().map(|name| set_and_empty(name)));
                return !stands_in;
            }
            explains |= stands_in;
            true
        });
        if !forgiven {
            diagnostics.amend(|problem| {
                let is_error = problem.severity == Severity::Error;
                let names: Vec<&String> = empty.iter().filter(|name| is_error && stands_at(problem, name)).collect();
                for name in names {
                    let help = format!(
                        "the environment variable `{name}` is set, and empty: give it a value, or write a default, `${{{name}:-default}}`"
                    );
                    if !problem.help.contains(&help) {
                        problem.help.push(help);
                    }
                }
            });
        }
        Needed { names, explains }
    }
}

impl Needed {
    /// All of them, and what to do, if there are any.
    pub(crate) fn sentence(&self) -> Option<String> {
        (!self.names.is_empty()).then(|| {
            format!(
                "not set here, and needed to run: {}\nset each where headwater runs, or write a default in the file: `${{NAME:-default}}`",
                self.list()
            )
        })
    }

    /// What is said of them below problems. `always`: whether or not they explain one of these.
    pub(crate) fn note(&self, always: bool) -> Option<String> {
        if always {
            return self.sentence();
        }
        let explains = self.explains && !self.names.is_empty();
        explains.then(|| format!("not set here, so that a stand-in was looked at: {}", self.list()))
    }

    fn list(&self) -> String {
        self.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a problem is about a text that refers to this variable.
fn stands_at(problem: &Diagnostic, name: &str) -> bool {
    let Some(span) = &problem.span else { return false };
    span.text().split("${").skip(1).any(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['}', ':'])))
}
