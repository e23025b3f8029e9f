//! From records to a lane's work: duplicates suppressed, lateness told, what is no record set aside.

use super::{BATCH_BYTES, BATCH_EVENTS, Driver, Halt, Reading};
use crate::{
    dead_letter::DeadLetter,
    lane::{Work, filed, filed_elsewhere, filed_under},
    reader::Oversized,
};
use bytes::Bytes;
use headwater_contracts::{Coverage, Echo, Event, Identity, OwnQueryPolicy, Record, Tally, Timestamp, Unreadable};
use headwater_ledger::{Filed, Ledger, StreamKey};
use serde_json::Value;
use std::collections::VecDeque;

/// A record between the splitter and the ledger's answer whether it is new.
pub(super) struct Pending {
    pub(super) raw: Bytes,
    pub(super) record: Result<Record, Unreadable>,
    /// Of a record that was too long: why it is not delivered, and where it is.
    pub(super) oversized: Option<(String, Oversized)>,
}

impl Pending {
    pub(super) fn new(raw: impl Into<Bytes>, record: Result<Record, Unreadable>) -> Self {
        Self { raw: raw.into(), record, oversized: None }
    }

    /// Of a record that is longer than `limit`; `read` is the plugin's.
    pub(super) fn oversized(
        kept: Oversized,
        limit: usize,
        read: &mut dyn FnMut(&[u8]) -> Result<Record, Unreadable>,
    ) -> Self {
        let (record, reason) = kept.record(limit, read);
        Self { raw: kept.shown().into(), record: Ok(record), oversized: Some((reason, kept)) }
    }

    /// Whether it is a record of this identity.
    pub(super) fn is(&self, identity: Identity) -> bool {
        self.record.as_ref().is_ok_and(|record| record.identity == identity)
    }

    /// Where it is filed in the ledger.
    pub(super) fn filed(&self) -> Filed {
        match &self.record {
            Ok(record) => filed_under(record.identity, record.time),
            Err(_) => filed_under(unreadable(&self.raw), None),
        }
    }

    /// Whether it is to be delivered, if it has not been.
    pub(super) fn is_wanted(&self) -> bool {
        self.record.as_ref().map_or(true, |record| record.wanted)
    }

    /// It has been delivered before.
    pub(super) fn suppress(&mut self) {
        let (filed, time) = (self.filed(), self.record.as_ref().map_or(None, |record| record.time));
        let identity = filed.identity;
        self.record = Ok(Record { wanted: false, ..Record::foreign(identity.to_string(), identity, time) });
    }
}

/// The identity of what is no record: its bytes.
fn unreadable(raw: &[u8]) -> Identity {
    Identity::of(&[b"unreadable", raw])
}

/// Records between pages, until they fill a batch or the reading waits: small pages make no small batches.
#[derive(Default)]
pub(super) struct Held {
    records: Vec<Pending>,
    bytes: usize,
    /// The plugin's state, of a page that has been read to its end.
    pub(super) state: Option<Value>,
}

impl Held {
    pub(super) fn push(&mut self, pending: Pending) {
        self.bytes += pending.raw.len();
        self.records.push(pending);
    }

    /// Whether a record of this identity is among them.
    pub(super) fn has(&self, identity: Identity) -> bool {
        self.records.iter().any(|pending| pending.is(identity))
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES
    }
}

impl Driver {
    /// Sorts out duplicates and hands the rest to the lane in batches.
    pub(super) async fn hand_over(&self, reading: &mut Reading) -> Result<(), Halt> {
        let Held { records, mut state, .. } = std::mem::take(&mut reading.held);
        self.line.has_read(&self.key, records.len() as u64);
        let marks = self.may_mark(reading);
        let times = records.iter().filter_map(|pending| pending.record.as_ref().ok()?.time);
        reading.times.newest = times.chain(reading.times.newest).max();
        if let Some(state) = state.take_if(|_| !marks) {
            reading.set_aside(self.clock.monotonic(), None, Some(state));
        }
        if records.is_empty() && state.is_some() {
            self.lane.push(Work { state, ..Work::default() }).await?;
            return Ok(());
        }
        let mut pending = VecDeque::from(records);
        while !pending.is_empty() {
            let batch: Vec<Pending> = pending.drain(..pending.len().min(BATCH_EVENTS)).collect();
            let work = self.sort_out(reading, batch).await?;
            reading.tally.add(&work.tally);
            // Our own reading brings new records too.
            if work.tally.read > work.tally.suppressed + work.consumed.len() as u64 {
                reading.in_vain = 0;
            }
            let forget_before = if self.forgets && marks { self.horizon(reading, self.server_now()) } else { None };
            // The state speaks of all of them.
            let state = if pending.is_empty() { state.clone() } else { None };
            // Files are not slow enough for pauses, in which pages are committed: each batch of them is, so that a kill repeats few.
            let commit = !self.forgets;
            self.lane.push(Work { state, forget_before, commit, ..work }).await?;
        }
        Ok(())
    }

    async fn sort_out(&self, reading: &Reading, pending: Vec<Pending>) -> Result<Work, Halt> {
        let observed = self.server_now();
        let mut work = Work { tally: Tally { read: pending.len() as u64, ..Tally::default() }, ..Work::default() };
        let mut candidates = Vec::with_capacity(pending.len());
        let mut elsewhere = Vec::with_capacity(pending.len());
        for Pending { raw, record, oversized } in pending {
            let stray = record.as_ref().map_or(None, |record| record.stray);
            let (event, echo, problem) = self.event(raw, record, observed, &reading.coverage);
            let problem = match oversized {
                Some((reason, kept)) => Some((reason, Some(kept))),
                None => problem.map(|reason| (reason, None)),
            };
            let Some(event) = event else {
                work.tally.suppressed += 1;
                continue;
            };
            // Before asking the ledger: a commit between the two questions moves an identity from one to the other.
            if self.in_flight.insert(event.identity) {
                elsewhere.push(filed_elsewhere(event.identity, event.time, stray));
                candidates.push((event, echo, problem));
            } else {
                work.tally.suppressed += 1;
            }
        }
        let filed: Vec<Filed> = candidates.iter().map(|(event, ..)| filed(event)).collect();
        let known = move |ledger: &dyn Ledger, key: &StreamKey| {
            Ok((ledger.known(key, &filed)?, ledger.known(key, &elsewhere)?))
        };
        let (here, elsewhere) = self.with_ledger(known).await?;
        for ((event, echo, problem), known) in candidates.into_iter().zip(here.into_iter().zip(elsewhere)) {
            if known.0 || known.1 {
                work.tally.suppressed += 1;
                self.in_flight.remove([&event.identity]);
                continue;
            }
            if let Echo::Own(id) = echo {
                work.consumed.push(id);
            }
            if let Some(time) = event.time.filter(|_| self.forgets) {
                self.server.happened(time);
            }
            if let Some(late) = event.late {
                work.tally.late += 1;
                metrics::histogram!("headwater_event_lateness_seconds", "source" => self.key.source.clone(), "stream" => self.key.stream.clone())
                    .record(late.as_seconds_f64());
            }
            match problem {
                None => work.events.push(event),
                Some((reason, oversized)) => {
                    work.unreadable.push(DeadLetter { event, component: self.key.source.clone(), reason, oversized });
                }
            }
        }
        let events = work.events.iter_mut().chain(work.unreadable.iter_mut().map(|letter| &mut letter.event));
        for (index, event) in (0..).zip(events) {
            event.index = index;
        }
        Ok(work)
    }

    /// The event of a record, unless another scan is responsible for it; and what is wrong with it, if it is none.
    fn event(
        &self,
        raw: Bytes,
        record: Result<Record, Unreadable>,
        observed: Timestamp,
        coverage: &Coverage,
    ) -> (Option<Event>, Echo, Option<String>) {
        let (record, problem) = match record {
            Ok(record) if !record.wanted => return (None, record.echo, None),
            Ok(record) => (record, None),
            Err(Unreadable { reason }) => {
                let identity = unreadable(&raw);
                (Record::foreign(identity.to_string(), identity, None), Some(reason))
            }
        };
        let late = record.time.filter(|time| coverage.contains(*time)).map(|time| observed - time);
        let marks = self.origin.own_query_policy != OwnQueryPolicy::Forward;
        let event = Event {
            origin: self.origin.clone(),
            id: record.id,
            identity: record.identity,
            time: record.time,
            observed,
            own_query: marks && matches!(record.echo, Echo::Own(_)),
            suspicious: match record.echo {
                Echo::Suspicious(remark) => Some(remark.into()),
                _ => None,
            },
            late,
            raw,
            value: None,
            encoded: None,
            metadata: None,
            index: 0,
        };
        (Some(event), record.echo, problem)
    }
}
