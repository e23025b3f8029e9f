//! The events themselves, small enough that a million of them fit in memory: their JSON is rendered when it is served.

use crate::dice::Dice;
use std::collections::HashMap;

/// Why a record is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Ordinary activity of the tenant.
    Foreign,
    /// Caused by a request that the simulator received from a `User-Agent` beginning with `headwater/`.
    OwnCollector,
    /// Caused by another collector reading the log.
    SecondCollector,
    /// Caused by a person reading the log.
    Human,
    /// Caused by somebody who looks like us: our user with a similar or stolen `User-Agent`, or our key elsewhere.
    Spoofed,
}

impl Kind {
    /// What a received request's `User-Agent` makes of its record.
    pub(crate) fn of_reader(user_agent: &str) -> Self {
        if user_agent.starts_with("headwater/") {
            Self::OwnCollector
        } else if user_agent.starts_with("Mozilla/") {
            Self::Human
        } else {
            Self::SecondCollector
        }
    }
}

/// Who read the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever holds the simulator's credential.
    Us,
    /// Somebody with our credential, from another address.
    UsElsewhere,
    /// Another machine reader.
    OtherCollector,
    /// An administrator.
    Person,
    /// Nobody known: the credential was wrong.
    Unknown,
}

/// A reading of the log, as the log records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) who: Who,
    /// Path as requested, with the context path.
    pub(crate) path: String,
    /// Raw query, without `?`.
    pub(crate) query: String,
    pub(crate) user_agent: String,
}

/// What an event says, apart from its id and time.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// A variation of the provider's sample with this number.
    Sample(u16),
    /// A reading of the log.
    Reading(Box<Reading>),
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its id, before the provider spells it; also the seed of its variation.
    pub(crate) key: u128,
    /// When it happened, ms.
    pub(crate) time: i64,
    /// From when on the API shows it, ms.
    pub(crate) visible_at: i64,
    pub(crate) kind: Kind,
    pub(crate) body: Body,
    /// How often it was sent.
    pub(crate) served: u64,
}

/// All events of a tenant, those not visible yet included.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    /// (time, index) ascending.
    order: Vec<(i64, usize)>,
    keys: HashMap<u128, usize>,
    seed: u64,
    /// Readings recorded so far, to give each a key of its own.
    readings: u64,
}

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Records a reading by a request that was received, and returns the record's key. `visible_at` gets its own dice.
    pub(crate) fn record(
        &mut self,
        reading: Reading,
        kind: Kind,
        time: i64,
        visible_at: impl FnOnce(&mut Dice) -> i64,
    ) -> u128 {
        let mut dice = Dice::new(&[self.seed, 0x0e, self.readings]);
        self.readings += 1;
        let (key, visible_at) = (dice.wide(), visible_at(&mut dice));
        self.push(Entry { key, time, visible_at, kind, body: Body::Reading(Box::new(reading)), served: 0 });
        key
    }

    /// The server's clock has gone back from `last` to `now`: what was shown stays shown.
    pub(crate) fn clock_went_back(&mut self, last: i64, now: i64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.visible_at <= last) {
            entry.visible_at = entry.visible_at.min(now);
        }
    }

    /// Adds many.
    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            let index = self.entries.len();
            self.keys.insert(entry.key, index);
            self.order.push((entry.time, index));
            self.entries.push(entry);
        }
        self.order.sort_unstable();
    }

    /// Adds one; returns its index.
    pub(crate) fn push(&mut self, entry: Entry) -> usize {
        let index = self.entries.len();
        let at = self.order.partition_point(|&place| place < (entry.time, index));
        self.order.insert(at, (entry.time, index));
        self.keys.insert(entry.key, index);
        self.entries.push(entry);
        index
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub(crate) fn find(&self, key: u128) -> Option<usize> {
        self.keys.get(&key).copied()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Counts one more sending of the event.
    pub(crate) fn count_served(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.served += 1;
        }
    }

    /// (time, index) of all events, in chronological order.
    pub(crate) fn order(&self) -> &[(i64, usize)] {
        &self.order
    }

    /// Position in [`Log::order`] of the first event at or after `time`.
    pub(crate) fn position_of_time(&self, time: i64) -> usize {
        self.order.partition_point(|&(t, _)| t < time)
    }

    /// Position in [`Log::order`] of an event.
    pub(crate) fn position_of(&self, index: usize) -> usize {
        let time = self.get(index).map_or(i64::MAX, |entry| entry.time);
        self.order.partition_point(|&place| place < (time, index))
    }
}
