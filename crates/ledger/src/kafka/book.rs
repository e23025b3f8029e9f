//! What the records of a ledger topic say of one stream. Pure: a book is the fold of its records, whether they were just
//! written or are read again.
//!
//! | key (a JSON array) | value |
//! |---|---|
//! | `[source, stream, "row"]` | the stream's [`Row`], JSON |
//! | `[source, stream, "request", id]` | an own request and whether its echo was seen, JSON |
//! | `["", "", "mark"]` | of the partition, not of a stream: who took it over last, any text |
//! | `[source, stream, "identities", n]` | up to [`PAGE`] identities, 24 bytes each: event time in ms, big-endian, and the identity |
//!
//! No value: forgotten. A later record of a key takes the place of an earlier one, so that compaction loses nothing.

use crate::{Commit, Filed, StreamKey, StreamRecord, record::Row, record::lies_in, record::to_ms};
use headwater_contracts::{Identity, OwnRequest, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// Identities in one record. The last page is written again as it fills, so this bounds what a small commit costs.
const PAGE: usize = 500;
/// Bytes of an identity with its time.
const FILED: usize = 24;

/// One record of the topic, to be written or just read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stream: StreamKey,
    pub(super) part: Part,
    /// `None` forgets it.
    pub(super) value: Option<Vec<u8>>,
}

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Row,
    Request(String),
    Identities(u64),
    Mark,
}

/// A request, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    request: OwnRequest,
    /// Whether a record has been matched with it.
    #[serde(default)]
    consumed: bool,
}

/// One stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    row: Option<Row>,
    pages: BTreeMap<u64, Vec<Filed>>,
    settled: HashSet<Filed>,
    requests: BTreeMap<String, Request>,
}

impl Entry {
    /// The record's key.
    pub(super) fn key(&self) -> Vec<u8> {
        let StreamKey { source, stream } = &self.stream;
        let key = match &self.part {
            Part::Row => json!([source, stream, "row"]),
            Part::Request(id) => json!([source, stream, "request", id]),
            Part::Identities(page) => json!([source, stream, "identities", page]),
            Part::Mark => json!([source, stream, "mark"]),
        };
        key.to_string().into_bytes()
    }

    /// A record of the topic; `None` if its key is none of ours.
    pub(super) fn parse(key: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let key: Vec<Value> = serde_json::from_slice(key).ok()?;
        let text = |at: usize| key.get(at).and_then(Value::as_str);
        let stream = StreamKey { source: text(0)?.to_owned(), stream: text(1)?.to_owned() };
        let part = match text(2)? {
            "row" => Part::Row,
            "request" => Part::Request(text(3)?.to_owned()),
            "identities" => Part::Identities(key.get(3)?.as_u64()?),
            "mark" => Part::Mark,
            _ => return None,
        };
        Some(Self { stream, part, value: value.map(<[u8]>::to_vec) })
    }

    fn json(stream: &StreamKey, part: Part, value: &impl Serialize) -> Result<Self, String> {
        let value = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        Ok(Self { stream: stream.clone(), part, value: Some(value) })
    }

    /// The record of a request that is about to be sent.
    pub(super) fn request(stream: &StreamKey, request: &OwnRequest) -> Result<Self, String> {
        let stored = Request { request: request.clone(), consumed: false };
        Self::json(stream, Part::Request(request.id.clone()), &stored)
    }

    /// What whoever takes a partition over writes into it, and then reads it up to.
    pub(super) fn mark(text: &str) -> Self {
        let stream = StreamKey { source: String::new(), stream: String::new() };
        Self { stream, part: Part::Mark, value: Some(text.as_bytes().to_vec()) }
    }

    /// The first record of a stream.
    pub(super) fn beginning(stream: &StreamKey, start: Timestamp) -> Result<Self, String> {
        Self::json(stream, Part::Row, &Row::new(0, start))
    }
}

impl Book {
    /// Takes in a record; `Err` if its value is not what its key promises.
    pub(super) fn take(&mut self, part: &Part, value: Option<&[u8]>) -> Result<(), String> {
        let said = |error: serde_json::Error| error.to_string();
        match (part, value) {
            (Part::Row, Some(value)) => self.row = Some(serde_json::from_slice(value).map_err(said)?),
            (Part::Row, None) => *self = Self::default(),
            (Part::Request(id), Some(value)) => {
                self.requests.insert(id.clone(), serde_json::from_slice(value).map_err(said)?);
            }
            (Part::Request(id), None) => drop(self.requests.remove(id)),
            (Part::Identities(page), Some(value)) => {
                let filed = unpack(value)?;
                self.settled.extend(&filed);
                self.pages.insert(*page, filed);
            }
            (Part::Identities(page), None) => {
                for filed in self.pages.remove(page).unwrap_or_default() {
                    self.settled.remove(&filed);
                }
            }
            (Part::Mark, _) => {}
        }
        Ok(())
    }

    /// Whether the stream has begun.
    pub(super) fn exists(&self) -> bool {
        self.row.is_some()
    }

    /// Whether an event is settled.
    pub(super) fn knows(&self, filed: &Filed) -> bool {
        self.settled.contains(filed)
    }

    /// How many identities are kept.
    pub(super) fn identities(&self) -> u64 {
        self.settled.len() as u64
    }

    /// The identities kept, by ascending time.
    pub(super) fn settled(&self) -> Vec<Filed> {
        let mut settled: Vec<Filed> = self.settled.iter().copied().collect();
        settled.sort_unstable();
        settled
    }

    /// The records that make everybody forget the stream.
    pub(super) fn forget(&self, stream: &StreamKey) -> Vec<Entry> {
        let pages = self.pages.keys().map(|page| Part::Identities(*page));
        let requests = self.requests.keys().map(|id| Part::Request(id.clone()));
        let parts = pages.chain(requests).chain([Part::Row]);
        parts.map(|part| Entry { stream: stream.clone(), part, value: None }).collect()
    }

    /// What the ledger knows of the stream, but for the identities.
    pub(super) fn record(&self) -> Option<StreamRecord> {
        let row = self.row.clone()?;
        let waiting = self.requests.values().filter(|request| !request.consumed);
        let mut calls: Vec<Timestamp> = self.requests.values().map(|request| to_ms(request.request.sent)).collect();
        calls.sort_unstable();
        Some(row.record(waiting.map(|request| request.request.clone()).collect(), calls))
    }

    /// The records that a commit consists of. They change nothing here before they are [taken](Self::take).
    pub(super) fn plan(&self, stream: &StreamKey, commit: &Commit) -> Result<Vec<Entry>, String> {
        let Some(mut row) = self.row.clone() else { return Err(crate::file::not_loaded(stream)) };
        let mut entries = Vec::new();
        let mut kept = self.identities();
        if let Some(start) = commit.anew {
            let off = row.cut_off(commit);
            let gone = |filed: &&Filed| off.is_some_and(|off| lies_in(filed, off));
            row.begin_anew(start, self.settled.iter().filter(gone).count() as u64);
        }
        // Pages in which everything is forgotten; the rest of a page waits until all of it is.
        if let Some(before) = commit.forget_before {
            let before = before.timestamp_millis();
            let outlived = |filed: &Filed| filed.time != 0 && filed.time < before;
            for (page, filed) in &self.pages {
                if filed.iter().all(outlived) {
                    kept -= filed.len() as u64;
                    entries.push(Entry { stream: stream.clone(), part: Part::Identities(*page), value: None });
                }
            }
        }
        let gone: HashSet<u64> = entries
            .iter()
            .filter_map(|entry| if let Part::Identities(page) = entry.part { Some(page) } else { None })
            .collect();
        let mut seen = HashSet::new();
        let fresh = commit.settled.iter().filter(|filed| !self.knows(filed) && seen.insert(**filed));
        let fresh: Vec<Filed> = fresh.copied().collect();
        let mut left = fresh.iter().copied().peekable();
        if left.peek().is_some() {
            let (mut number, mut page) = match self.pages.last_key_value() {
                Some((number, page)) if page.len() < PAGE && !gone.contains(number) => (*number, page.clone()),
                Some((number, _)) => (number + 1, Vec::new()),
                None => (0, Vec::new()),
            };
            while left.peek().is_some() {
                let before = page.len();
                page.extend(left.by_ref().take(PAGE - before));
                kept += (page.len() - before) as u64;
                let value = Some(pack(&page));
                entries.push(Entry { stream: stream.clone(), part: Part::Identities(number), value });
                number += 1;
                page.clear();
            }
        }
        for id in &commit.consumed {
            if let Some(request) = self.requests.get(id) {
                let consumed = Request { consumed: true, ..request.clone() };
                entries.push(Entry::json(stream, Part::Request(id.clone()), &consumed)?);
            }
        }
        if let Some(before) = commit.forget_requests_before.map(to_ms) {
            for (id, request) in &self.requests {
                if to_ms(request.request.sent) < before {
                    entries.push(Entry { stream: stream.clone(), part: Part::Request(id.clone()), value: None });
                }
            }
        }
        let gaps = row.newly_covered(commit);
        let in_gaps = |filed: &&Filed| gaps.iter().any(|gap| lies_in(filed, *gap));
        // Polls cover what is new; a look at all identities is cheap beside the transaction.
        let found = if gaps.is_empty() { 0 } else { self.settled.iter().chain(&fresh).filter(in_gaps).count() as u64 };
        row.apply(commit, &fresh, found);
        row.identities = kept;
        entries.push(Entry::json(stream, Part::Row, &row)?);
        Ok(entries)
    }
}

fn pack(page: &[Filed]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(page.len() * FILED);
    for filed in page {
        packed.extend_from_slice(&filed.time.to_be_bytes());
        packed.extend_from_slice(&filed.identity.0);
    }
    packed
}

fn unpack(packed: &[u8]) -> Result<Vec<Filed>, String> {
    let (entries, rest) = packed.as_chunks::<FILED>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no list of identities", packed.len()));
    }
    let filed = entries.iter().map(|entry| {
        let (mut time, mut identity) = ([0; 8], [0; 16]);
        time.copy_from_slice(&entry[..8]);
        identity.copy_from_slice(&entry[8..]);
        Filed { time: i64::from_be_bytes(time), identity: Identity(identity) }
    });
    Ok(filed.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Test code: a panic is how it fails.
mod tests {
    use super::*;
    use crate::{Commits, Ledger, MemoryLedger};
    use headwater_contracts::Span;
    use proptest::prelude::*;

    fn stream() -> StreamKey {
        StreamKey { source: "a".into(), stream: "b \"quoted\"/c".into() }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(ms).unwrap()
    }

    fn filed(time: i64, number: u64) -> Filed {
        Filed { time, identity: Identity::of(&[&number.to_be_bytes()]) }
    }

    fn request(number: u8, sent: i64) -> OwnRequest {
        let id = number.to_string();
        let (user_agent, method, path) = (format!("hw {id}"), "GET".into(), "/audit".into());
        OwnRequest { id, user_agent, method, path, query: vec![], sent: at(sent) }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Request(u8, i64),
        Commit(Box<Commit>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let settled =
            prop::collection::vec((0..400i64, 0..60u64).prop_map(|(time, number)| filed(time, number)), 0..900);
        let consumed = prop::collection::vec((0..9u8).prop_map(|id| id.to_string()), 0..3);
        let covered =
            prop::option::of((0..400i64, 0..90i64).prop_map(|(from, length)| Span { from, to: from + length }));
        let before = prop::option::of(0..400i64);
        let anew = prop::option::weighted(0.1, 0..400i64);
        let commit =
            (settled, consumed, covered, before, anew).prop_map(|(settled, consumed, covered, before, anew)| {
                if let Some(anew) = anew {
                    return Step::Commit(Box::new(Commit { anew: Some(at(anew)), ..Commit::default() }));
                }
                let forget_requests_before = before.map(at);
                Step::Commit(Box::new(Commit {
                    settled,
                    consumed,
                    covered,
                    forget_requests_before,
                    ..Commit::default()
                }))
            });
        prop_oneof![(0..9u8, 0..400i64).prop_map(|(number, sent)| Step::Request(number, sent)), commit]
    }

    proptest! {
        /// The memory ledger is the measure; the book is compared with it, and with itself read from its compacted topic.
        #[test]
        fn a_book_and_its_compacted_topic_know_what_the_memory_ledger_knows(steps in prop::collection::vec(step(), 1..12)) {
            let memory = MemoryLedger::new();
            memory.load(&stream(), at(7)).unwrap();
            let mut book = Book::default();
            let mut topic = BTreeMap::new();
            let mut write = |book: &mut Book, entries: Vec<Entry>| {
                for entry in entries {
                    book.take(&entry.part, entry.value.as_deref()).unwrap();
                    topic.insert(entry.key(), entry.value);
                }
            };
            write(&mut book, vec![Entry::beginning(&stream(), at(7)).unwrap()]);
            let mut consumed = HashSet::new();
            for step in &steps {
                match step {
                    // Ids are used once.
                    Step::Request(number, _) if consumed.contains(&number.to_string()) => {}
                    Step::Request(number, sent) => {
                        let request = request(*number, *sent);
                        memory.record_request(&stream(), &request).unwrap();
                        write(&mut book, vec![Entry::request(&stream(), &request).unwrap()]);
                    }
                    Step::Commit(commit) => {
                        consumed.extend(commit.consumed.iter().cloned());
                        memory.commit(&stream(), commit).unwrap();
                        let entries = book.plan(&stream(), commit).unwrap();
                        write(&mut book, entries);
                    }
                }
            }
            let mut again = Book::default();
            for (key, value) in &topic {
                let entry = Entry::parse(key, value.as_deref()).unwrap();
                prop_assert_eq!(&entry.stream, &stream());
                again.take(&entry.part, entry.value.as_deref()).unwrap();
            }
            let (_, expected, identities) = memory.streams().unwrap().remove(0);
            for book in [&book, &again] {
                prop_assert_eq!(book.record().unwrap(), expected.clone());
                prop_assert_eq!(book.identities(), identities);
                for step in &steps {
                    if let Step::Commit(commit) = step {
                        prop_assert!(commit.settled.iter().all(|filed| book.knows(filed)));
                    }
                }
            }
        }

        #[test]
        fn no_record_panics(key in ".{0,40}", value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Entry::parse(key.as_bytes(), Some(&value));
            for part in [Part::Row, Part::Request("a".into()), Part::Identities(3)] {
                let _ = Book::default().take(&part, Some(&value));
            }
        }
    }

    #[test]
    fn outlived_pages_are_forgotten_and_the_timeless_stay() {
        let mut book = Book::default();
        let write = |book: &mut Book, commit: Commit| {
            let entries = book.plan(&stream(), &commit).unwrap();
            for entry in entries {
                book.take(&entry.part, entry.value.as_deref()).unwrap();
            }
        };
        book.take(&Part::Row, Entry::beginning(&stream(), at(0)).unwrap().value.as_deref()).unwrap();
        let page = |time: i64, from: u64| (from..from + PAGE as u64).map(|number| filed(time, number)).collect();
        write(&mut book, Commit { settled: page(10, 0), ..Commit::default() });
        write(&mut book, Commit { settled: page(0, 1000), ..Commit::default() });
        write(&mut book, Commit { settled: page(20, 2000), ..Commit::default() });
        write(&mut book, Commit { forget_before: Some(at(15)), ..Commit::default() });
        assert!(!book.knows(&filed(10, 0)) && book.knows(&filed(0, 1000)) && book.knows(&filed(20, 2000)));
        assert_eq!(book.identities(), 2 * PAGE as u64);
    }
}
