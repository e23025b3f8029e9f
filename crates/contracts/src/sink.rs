//! The contract of a sink.

use crate::{ConfigError, Event, KafkaCluster, Outbox, Period, Timestamp};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
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

/// Where a sink sends events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its address or path, for people.
    pub address: String,
    /// Whether that is another machine.
    pub is_outside: bool,
    /// What each record bears there whose event a simulator has made up, whatever the transforms do; `None`: nothing.
    pub simulated: Option<String>,
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
    /// The destination refuses the credential, or does not allow what is asked: tried again, and shown at once to whoever looks, since no
    /// outage passes that way.
    #[error("{0}")]
    Denied(String),
    /// Trying again cannot help (a closed stdout, a path that is a directory). The run stops, and says why.
    #[error("{0}")]
    Fatal(String),
}

/// Turns an event into the bytes of one record of a destination. Pure.
///
/// The lane encodes on the threads that ran the transforms, right after them: a value that has just been made is in
/// their caches, is freed where it was made, and a pipeline with several sinks needs no copy of it for each.
pub trait Encode: Send + Sync + 'static {
    /// Appends the record; `Err` says why the event cannot be one. What was appended before is then of no use.
    fn encode(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), String>;
}

/// A destination.
#[async_trait]
pub trait Sink: Send + 'static {
    /// What events may be encoded with before they come to [`Sink::deliver`]: most then bear [`Event::encoded`] and
    /// no value. Those that could not be encoded, and those that never met a lane, come as they are. `None`, the
    /// default: `deliver` wants the values.
    fn encoder(&self) -> Option<Arc<dyn Encode>> {
        None
    }

    /// Returns once the destination has taken responsibility for every event of `events`, or says which not. Called
    /// again with the same events after [`SinkError::Retry`]; dropping the future at any await must be safe.
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError>;

    /// Called before the first batch where the ledger takes events into its own transactions. A sink that is to deliver exactly
    /// once keeps `outbox` and answers for events that are staged in it; any other ignores it, which is the default.
    /// `None` where the ledger has no such thing: a sink that needs one says so.
    fn join(&mut self, outbox: Option<Arc<dyn Outbox>>) -> Result<(), ConfigError> {
        let _ = outbox;
        Ok(())
    }

    /// The topic that records go to, where it is the same for all of them: a pipeline that read it too would go round in a circle.
    fn topic(&self) -> Option<(&KafkaCluster, &str)> {
        None
    }

    /// Looks whether events could be delivered now, and delivers none: connects, says who we are, asks for what it needs there.
    /// `oldest` is the age of the oldest events that a first run reads. `Ok` is what was seen, warnings included; `Err` what is wrong
    /// and what to do. May take long: the caller limits the time.
    async fn probe(&mut self, oldest: Period) -> Result<String, String> {
        let _ = oldest;
        Ok("nothing to ask".to_owned())
    }

    /// Where events go, if they stay there: `None` of a screen, say.
    fn destination(&self) -> Option<Destination> {
        None
    }

    /// The file that events are written to at an instant, where it is a file.
    fn file_at(&self, _now: Timestamp) -> Option<PathBuf> {
        None
    }

    /// What is odd about the options, each at one: a warning of `validate`, with what to do.
    fn remarks(&self) -> Vec<ConfigError> {
        Vec::new()
    }

    /// Called once, after the last batch. Flushes what `deliver` did not have to.
    async fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
