//! Runs programs over the events of one batch.

use crate::compiler::{Condition, Program};
use crate::problem::Locate;
use crate::target::EventTarget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Context, ExpressionError, TimeZone};
use vrl::diagnostic::Label;
use vrl::value::Value;

/// How a program ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ending {
    /// It returned this.
    Returned(Value),
    /// It called `abort`.
    Aborted,
    /// It failed.
    Failed(Trouble),
}

/// What failed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    place: Place,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At this byte of the program.
    At(usize),
    /// Somewhere in the program: VRL does not tell.
    Program,
    /// The event itself.
    Event,
}

impl Trouble {
    /// `WHO at FILE:LINE:COLUMN: MESSAGE`.
    pub(crate) fn describe(&self, who: &str, locate: &Locate) -> String {
        match self.place {
            Place::At(offset) => format!("{who} at {}: {}", locate(offset), self.message),
            Place::Program => format!("{who} in the program at {}: {}", locate(0), self.message),
            Place::Event => format!("{who}: {}", self.message),
        }
    }
}

/// The state a program runs in, made once per batch.
///
/// This stands in for VRL's own runtime, which asks for the whole event before it runs the program and so would have
/// every event parsed.
pub(crate) struct Machine {
    state: RuntimeState,
    zone: TimeZone,
}

impl Machine {
    pub(crate) fn new() -> Self {
        // `local`, the fallback, cannot happen: the zone is compiled in.
        Self { state: RuntimeState::default(), zone: TimeZone::parse("UTC").unwrap_or_default() }
    }

    /// Runs `program` on one event. A panic inside a function costs this event, not the stream: it would come again
    /// after every restart.
    pub(crate) fn run(&mut self, program: &Program, target: &mut EventTarget) -> Ending {
        self.state.clear();
        let mut context = Context::new(target, &mut self.state, &self.zone);
        let ended = catch_unwind(AssertUnwindSafe(|| program.vrl.resolve(&mut context)));
        if let Some(reason) = target.unreadable() {
            return Ending::Failed(Trouble { place: Place::Event, message: reason.to_owned() });
        }
        match ended {
            Ok(Ok(value) | Err(ExpressionError::Return { value, .. })) => Ending::Returned(value),
            Ok(Err(ExpressionError::Abort { .. })) => Ending::Aborted,
            Ok(Err(error)) => Ending::Failed(trouble(error)),
            Err(panic) => Ending::Failed(Trouble {
                place: Place::Program,
                message: format!("a function panicked: {}", panic_text(panic.as_ref())),
            }),
        }
    }

    /// Whether the event meets `condition`.
    pub(crate) fn test(&mut self, condition: &Condition, target: &mut EventTarget) -> Result<bool, Trouble> {
        match self.run(&condition.0, target) {
            Ending::Returned(Value::Boolean(holds)) => Ok(holds),
            Ending::Failed(trouble) => Err(trouble),
            // The compiler has made sure of the type, as far as functions tell the truth about theirs.
            Ending::Returned(other) => Err(Trouble {
                place: Place::Program,
                message: format!("a condition must be a boolean, this is {}", other.kind_str()),
            }),
            Ending::Aborted => Err(Trouble { place: Place::Program, message: "the condition aborted".to_owned() }),
        }
    }
}

fn trouble(error: ExpressionError) -> Trouble {
    match error {
        ExpressionError::Error { message, labels, .. } => {
            let place = labels.first().map_or(Place::Program, |label: &Label| Place::At(label.span.start()));
            Trouble { place, message: plain(&message) }
        }
        ExpressionError::Break { span }
        | ExpressionError::Fallible { span }
        | ExpressionError::Missing { span, .. } => {
            Trouble { place: Place::At(span.start()), message: error.to_string() }
        }
        other => Trouble { place: Place::Program, message: other.to_string() },
    }
}

/// VRL wraps an error once per call around it, with offsets into the program that mean nothing to a reader. What is
/// left is the innermost function and what it said.
fn plain(message: &str) -> String {
    let mut rest = message;
    let mut function = None;
    while let Some((name, inner)) = rest
        .strip_prefix("function call error for \"")
        .and_then(|call| call.split_once("\" at ("))
        .and_then(|(name, place)| Some((name, place.split_once("): ")?.1)))
    {
        function = Some(name);
        rest = inner;
    }
    match function {
        // A failed assertion speaks for itself.
        Some("assert" | "assert_eq") | None => rest.to_owned(),
        Some(name) => format!("`{name}`: {rest}"),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_function_and_its_words_are_left() {
        let check = |message: &str, expected: &str| assert_eq!(plain(message), expected);
        check("can't divide by zero", "can't divide by zero");
        check(
            r#"function call error for "parse_json" at (4:20): unable to parse: x"#,
            "`parse_json`: unable to parse: x",
        );
        check(
            r#"function call error for "a" at (4:20): function call error for "b" at (6:9): expected string"#,
            "`b`: expected string",
        );
        check(r#"function call error for "assert" at (0:3): no user"#, "no user");
        check(r#"function call error for "a" at nowhere"#, r#"function call error for "a" at nowhere"#);
    }
}
