//! The `filter` transform: events that meet a condition go on.

use crate::compiler::Condition;
use crate::machine::Machine;
use crate::problem::Locate;
use crate::target::EventTarget;
use headwater_contracts::{Emit, Event, Transform};

/// Passes the events that meet the condition, unchanged; the others are dropped, counted by rule. An event that the
/// condition fails on is neither: it goes to the dead letters.
pub struct Filter {
    who: String,
    condition: Condition,
    locate: Locate,
}

impl Filter {
    /// A transform named `name` in the pipeline. `locate` says where in the user's file a byte of the condition is.
    pub fn new(name: &str, condition: Condition, locate: Locate) -> Self {
        Self { who: format!("transform `{name}`"), condition, locate }
    }
}

impl Transform for Filter {
    fn run(&self, events: Vec<Event>, emit: &mut dyn Emit) {
        let mut machine = Machine::new();
        for event in events {
            let mut target = EventTarget::new(event);
            let verdict = machine.test(&self.condition, &mut target);
            let event = target.into_original();
            match verdict {
                Ok(true) => emit.next(0, event),
                Ok(false) => emit.drop(&event),
                Err(trouble) => emit.fail(event, trouble.describe(&self.who, &self.locate)),
            }
        }
    }
}
