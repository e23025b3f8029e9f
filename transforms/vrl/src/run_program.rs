//! Runs one program on raw events from a file: the engine of `headwater vrl`.

use crate::compiler::Program;
use crate::event_json::{Metas, event_with_metadata};
use crate::problem::Locate;
use crate::remap::{Remap, RemapOptions};
use bytes::Bytes;
use headwater_contracts::{Emit, Event, Port, Timestamp, Transform};

/// What became of the events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramRun {
    /// The events that went on, NDJSON, in order.
    pub output: Vec<u8>,
    /// Numbers, counted from 1, of the events that the program aborted on or turned into no event at all.
    pub dropped: Vec<usize>,
    /// The events that the program failed on.
    pub failed: Vec<Failure>,
}

/// An event that a program failed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its number, counted from 1.
    pub event: usize,
    /// Where and why.
    pub reason: String,
}

/// Runs `program`, as the transform `name`, on each of `raw_events`. `now` is the observed time of events whose
/// metadata has none.
///
/// # Errors
/// Metadata that do not fit the events, or are wrong in themselves. Nothing has run then.
pub fn run_program(
    name: &str,
    program: &Program,
    locate: Locate,
    raw_events: Vec<Bytes>,
    metas: &Metas,
    now: Timestamp,
) -> Result<ProgramRun, String> {
    metas.fit(raw_events.len())?;
    let mut events = Vec::with_capacity(raw_events.len());
    for (number, raw) in raw_events.into_iter().enumerate() {
        let mut event = event_with_metadata(raw, &metas.of(number), now)
            .map_err(|problem| format!("event {}: {problem}", number + 1))?;
        event.index = u32::try_from(number).map_err(|_| "too many events for one run".to_owned())?;
        events.push(event);
    }
    let remap = Remap::new(name, program.clone(), locate, RemapOptions::default());
    let mut run = ProgramRun::default();
    remap.run(events, &mut run);
    Ok(run)
}

fn number(event: &Event) -> usize {
    event.index as usize + 1
}

impl Emit for ProgramRun {
    fn next(&mut self, _: Port, event: Event) {
        let start = self.output.len();
        if event.value.is_none() {
            // Unchanged, and so the provider's bytes; but one line each is this format's promise.
            let one_line = event.raw.iter().map(|byte| if *byte == b'\n' || *byte == b'\r' { b' ' } else { *byte });
            self.output.extend(one_line);
        } else if let Err(error) = event.write_json(&mut self.output) {
            self.output.truncate(start);
            self.failed.push(Failure { event: number(&event), reason: format!("cannot be written as JSON: {error}") });
            return;
        }
        self.output.push(b'\n');
    }

    fn drop(&mut self, event: &Event) {
        self.dropped.push(number(event));
    }

    fn fail(&mut self, event: Event, reason: String) {
        self.failed.push(Failure { event: number(&event), reason });
    }
}
