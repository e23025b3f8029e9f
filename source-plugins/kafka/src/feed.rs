//! The thread that reads a partition and hands on what it finds, in batches.

use crate::{
    consumer::Turn,
    lag::{Callbacks, Lag},
    record::{Parsed, Parser},
};
use headwater_contracts::{Clock, Event};
use headwater_ledger::Fed;
use rdkafka::{
    consumer::BaseConsumer,
    error::{KafkaError, RDKafkaErrorCode},
    message::Message,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Most records in one batch.
const BATCH_RECORDS: usize = 200;
/// Most bytes in one batch.
const BATCH_BYTES: usize = 256 << 10;
/// How long nothing has to come for a moment's silence.
const SILENCE: Duration = Duration::from_millis(50);
/// A silence is told after so long at the latest: records that trickle in are committed too.
const TRICKLE: Duration = Duration::from_secs(1);

/// A partition's reader.
pub(crate) struct Reader {
    pub(crate) consumer: BaseConsumer<Callbacks>,
    pub(crate) parser: Parser,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lag: Arc<Lag>,
    pub(crate) turn: Arc<Turn>,
    pub(crate) out: mpsc::Sender<Fed>,
}

/// Records on their way into a batch.
#[derive(Default)]
struct Held {
    events: Vec<Event>,
    unreadable: Vec<(Event, String)>,
    dropped: BTreeMap<String, u64>,
    records: usize,
    bytes: usize,
    next: i64,
}

/// Nobody takes anything any more.
struct Closed;

impl Reader {
    /// Reads until nobody takes what is read.
    pub(crate) fn run(mut self) {
        // Whatever ends it is told to nobody: they have gone.
        let _: Result<(), Closed> = self.read();
        self.lag.gone();
    }

    fn read(&mut self) -> Result<(), Closed> {
        let mut held = Held::default();
        // Since when something waits to be committed.
        let mut waiting: Option<Instant> = None;
        while !self.out.is_closed() {
            let polled = self.consumer.poll(if held.records == 0 { SILENCE } else { Duration::ZERO });
            let mut ended = None;
            match polled {
                Some(Ok(message)) => {
                    held.add(self.parser.parse(&message, self.clock.now()), &message);
                    if held.records < BATCH_RECORDS && held.bytes < BATCH_BYTES {
                        continue;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ended = Some(Fed::CaughtUp),
                Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    // Opened anew, it is known what is gone.
                    self.turn.fenced.store(true, Ordering::SeqCst);
                    tracing::error!("records were deleted before they could be read: {error}");
                    return Err(Closed);
                }
                Some(Err(error)) => ended = Some(Fed::Stalled(error.to_string())),
                None => {}
            }
            let silent = held.records == 0;
            if !silent {
                waiting.get_or_insert_with(Instant::now);
                self.lag.read(held.next);
                self.hand_on(std::mem::take(&mut held).batch())?;
            }
            let due = |since: &Instant| silent || since.elapsed() >= TRICKLE;
            if waiting.as_ref().is_some_and(due) {
                waiting = None;
                self.hand_on(Fed::Quiet)?;
            }
            if let Some(ended) = ended {
                self.hand_on(ended)?;
            }
        }
        Err(Closed)
    }

    /// Waits for whoever takes it. That wait is all the backpressure there is: the client fetches no more than it may hold.
    fn hand_on(&self, fed: Fed) -> Result<(), Closed> {
        self.out.blocking_send(fed).map_err(|_| Closed)
    }
}

impl Held {
    fn add(&mut self, parsed: Parsed, message: &impl Message) {
        match parsed {
            Parsed::Event(event) => self.events.push(event),
            Parsed::Unreadable(event, reason) => self.unreadable.push((event, reason)),
            Parsed::Tombstone => *self.dropped.entry("tombstone".to_owned()).or_default() += 1,
        }
        self.records += 1;
        self.bytes += message.payload().map_or(0, <[u8]>::len);
        self.next = message.offset() + 1;
    }

    fn batch(self) -> Fed {
        let Self { events, unreadable, dropped, next, .. } = self;
        Fed::Batch { events, unreadable, dropped, next }
    }
}
