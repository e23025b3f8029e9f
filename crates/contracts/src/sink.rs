//! The contract of a sink.

use crate::Event;
use async_trait::async_trait;
use std::time::Duration;
use thiserror::Error;

/// An event that the destination will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its position in the slice given to [`Sink::deliver`].
    pub index: usize,
    /// The destination's reason.
    pub reason: String,
}

/// What became of a batch: all events delivered but those named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Events refused for good.
    pub rejected: Vec<Rejected>,
}

/// A batch that was not delivered.
#[derive(Debug, Error)]
pub enum SinkError {
    /// Try the same batch again, after `after` or after a backoff. Nothing of it may be taken as delivered.
    #[error("{reason}")]
    Retry {
        /// What the destination said.
        reason: String,
        /// How long it asks to wait, if it does.
        after: Option<Duration>,
    },
    /// Trying again cannot help (a closed stdout, a path that is a directory). The run stops, and says why.
    #[error("{0}")]
    Fatal(String),
}

/// A destination.
#[async_trait]
pub trait Sink: Send + 'static {
    /// Returns once the destination has taken responsibility for every event of `events`, or says which not. Called
    /// again with the same events after [`SinkError::Retry`]; dropping the future at any await must be safe.
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError>;

    /// Called once, after the last batch. Flushes what `deliver` did not have to.
    async fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
