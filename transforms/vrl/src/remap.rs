//! The `remap` transform: a program changes each event.

use crate::compiler::Program;
use crate::machine::{Ending, Machine};
use crate::problem::Locate;
use crate::target::EventTarget;
use headwater_contracts::{Emit, Event, Transform};
use vrl::value::Value;

/// Options of [`Remap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemapOptions {
    /// Whether `abort` drops the event, counted by rule. Otherwise the event passes as it was. Default: true.
    pub drop_on_abort: bool,
}

impl Default for RemapOptions {
    fn default() -> Self {
        Self { drop_on_abort: true }
    }
}

/// Runs a program on each event. What it leaves in `.` goes on: an array as one event per element, an empty array as
/// a dropped event. A program that fails or aborts leaves no trace in the event.
pub struct Remap {
    who: String,
    program: Program,
    locate: Locate,
    options: RemapOptions,
}

impl Remap {
    /// A transform named `name` in the pipeline. `locate` says where in the user's file a byte of the program is.
    pub fn new(name: &str, program: Program, locate: Locate, options: RemapOptions) -> Self {
        Self { who: format!("transform `{name}`"), program, locate, options }
    }
}

impl Transform for Remap {
    fn run(&self, events: Vec<Event>, emit: &mut dyn Emit) {
        let mut machine = Machine::new();
        for event in events {
            let mut target = EventTarget::new(event);
            match machine.run(&self.program, &mut target) {
                Ending::Returned(_) => pass(target, emit),
                Ending::Aborted if self.options.drop_on_abort => emit.drop(&target.into_original()),
                Ending::Aborted => emit.next(0, target.into_original()),
                Ending::Failed(trouble) => {
                    emit.fail(target.into_original(), trouble.describe(&self.who, &self.locate));
                }
            }
        }
    }
}

fn pass(target: EventTarget, emit: &mut dyn Emit) {
    let changed = target.changed();
    let mut event = target.into_result();
    match event.value.take() {
        Some(Value::Array(mut items)) if changed => {
            let Some(last) = items.pop() else { return emit.drop(&event) };
            for item in items {
                let mut part = event.clone();
                part.value = Some(item);
                emit.next(0, part);
            }
            event.value = Some(last);
        }
        value => event.value = value,
    }
    emit.next(0, event);
}
