//! Events that a transform or sink rejected for good, kept with the reason.

use crate::reader::Oversized;
use headwater_contracts::Event;
use std::io;

/// A rejected event and why.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The event as it was when it was rejected.
    pub event: Event,
    /// The component that rejected it.
    pub component: String,
    /// Why.
    pub reason: String,
    /// Where its bytes are, if they were too many to be held: the event has the first of them.
    pub oversized: Option<Oversized>,
}

/// Where dead letters go.
pub trait DeadLetters: Send + 'static {
    /// Keeps the letters; durable when it returns. Blocking.
    fn append(&mut self, letters: &[DeadLetter]) -> io::Result<()>;

    /// Where they are, in words.
    fn place(&self) -> String {
        "kept".to_owned()
    }
}
