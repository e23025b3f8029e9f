//! Events that travel, are acknowledged and are committed together, and the account of what became of each.

use crate::Event;
use std::collections::BTreeMap;

/// What finally became of an event that entered a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every sink it reached has taken responsibility for it.
    Delivered,
    /// The named rule (transform component) dropped it.
    Dropped(String),
    /// Kept in the dead letters.
    DeadLettered,
}

/// A batch: events of one stream, in the order read.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The events; `events[i].index == i` when the batch enters its lane.
    pub events: Vec<Event>,
}

/// The account of a scan or a run: `read = delivered + dropped + dead_lettered + suppressed`, always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Elements of pages handed out by the provider, repetitions included.
    pub read: u64,
    /// Delivered to every sink they reached.
    pub delivered: u64,
    /// Dropped, by rule.
    pub dropped: BTreeMap<String, u64>,
    /// In the dead letters.
    pub dead_lettered: u64,
    /// Duplicates: their identity was in the ledger, or on its way there, already.
    pub suppressed: u64,
    /// Of the settled events, those that appeared late.
    pub late: u64,
}

impl Tally {
    /// Counts one settled event.
    pub fn settle(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.delivered += 1,
            Outcome::Dropped(rule) => *self.dropped.entry(rule.clone()).or_default() += 1,
            Outcome::DeadLettered => self.dead_lettered += 1,
        }
    }

    /// Adds another account.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.delivered += other.delivered;
        for (rule, count) in &other.dropped {
            *self.dropped.entry(rule.clone()).or_default() += count;
        }
        self.dead_lettered += other.dead_lettered;
        self.suppressed += other.suppressed;
        self.late += other.late;
    }

    /// Events dropped by any rule.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Events that headwater has taken responsibility for.
    pub fn settled(&self) -> u64 {
        self.delivered + self.dropped_total() + self.dead_lettered
    }

    /// Whether the books balance.
    pub fn balances(&self) -> bool {
        self.read == self.settled() + self.suppressed
    }
}
