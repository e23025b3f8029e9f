//! Events that a transform or sink rejected for good, kept with the reason.

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
