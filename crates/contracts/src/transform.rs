//! The contract of a transform.

use crate::Event;

/// Index into [`Transform::ports`].
pub type Port = usize;

/// Where a transform puts its results.
pub trait Emit {
    /// The event goes on, out of this port. Zero, one or many times per event taken.
    fn next(&mut self, port: Port, event: Event);
    /// The event ends here by rule, and is counted.
    fn drop(&mut self, event: &Event);
    /// The event cannot be transformed: to the dead letters, with this reason.
    fn fail(&mut self, event: Event, reason: String);
}

/// Changes events. Synchronous and pure, so that a golden test can say everything about it.
pub trait Transform: Send + Sync + 'static {
    /// Names of the outputs; the unnamed main one is `""`. Other components refer to `component` or `component.port`.
    fn ports(&self) -> Vec<String> {
        vec![String::new()]
    }

    /// Runs over events of one batch, in order. For each event taken it calls `next` at least once, or `drop` or
    /// `fail` exactly once. Called on several threads at once, for different batches.
    fn run(&self, events: Vec<Event>, emit: &mut dyn Emit);
}
