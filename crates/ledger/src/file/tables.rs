//! What is in the file, and each operation of the ledger as one transaction on it.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | `format`, `next_stream`, `journal`: the last entry taken over |
//! | `streams` | source, stream | [`Row`] as JSON; gives the stream its number |
//! | `identities` | number, event time, identity: 28 bytes, big-endian, ordered | nothing |
//! | `own_requests` | number, id | sent (ms), [`headwater_contracts::OwnRequest`] as JSON |
//! | `calls` | number, sent (ms), id | nothing |

use super::failure::Failure;
use super::journal::Entry;
use crate::record::Row;
use crate::{Commit, Filed, StreamKey, StreamRecord};
use headwater_contracts::{Identity, Span, Timestamp};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};
use std::collections::{HashMap, HashSet};

/// The layout above. A file of a higher format is refused.
pub(crate) const FORMAT: u64 = 1;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const STREAMS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("streams");
const IDENTITIES: TableDefinition<&[u8; 28], ()> = TableDefinition::new("identities");
const OWN_REQUESTS: TableDefinition<(u32, &str), (i64, &[u8])> = TableDefinition::new("own_requests");
const CALLS: TableDefinition<(u32, i64, &str), ()> = TableDefinition::new("calls");

/// A commit deletes at most this many outlived identities, plus [`FORGET_FACTOR`] for each it adds: the work of one
/// commit stays bounded, and a backlog shrinks all the same.
const FORGET_BASE: usize = 1000;
const FORGET_FACTOR: usize = 4;

/// Settled identities of the same time as a batch, per event of the batch, that are looked through in one go; where there
/// are more, each event is looked up by itself.
const LOOK_AROUND: usize = 2;

fn begin(db: &Database) -> Result<WriteTransaction, Failure> {
    // redb's defaults are what is wanted: `commit` returns after fsync (`Immediate`), in one phase, without quick
    // repair. The measurements behind that are in docs/decisions/0002-redb-ledger.md.
    Ok(db.begin_write()?)
}

/// Creates the tables of a new file; refuses a file of a newer format.
pub(crate) fn prepare(db: &Database) -> Result<(), Failure> {
    let read = db.begin_read()?;
    let format = match read.open_table(META) {
        Ok(meta) => meta.get("format")?.map(|format| format.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match format {
        Some(FORMAT) => Ok(()),
        Some(other) => Err(Failure::Unusable(format!(
            "it has format {other}, and this version of headwater reads format {FORMAT}; run the version that wrote it, or a later one"
        ))),
        None => {
            let write = begin(db)?;
            write.open_table(STREAMS)?;
            write.open_table(IDENTITIES)?;
            write.open_table(OWN_REQUESTS)?;
            write.open_table(CALLS)?;
            write.open_table(META)?.insert("format", FORMAT)?;
            Ok(write.commit()?)
        }
    }
}

fn parse(stream: &StreamKey, json: &[u8]) -> Result<Row, Failure> {
    serde_json::from_slice(json).map_err(|error| unreadable(stream, &error.to_string()))
}

fn unreadable(stream: &StreamKey, reason: &str) -> Failure {
    Failure::Unusable(format!(
        "the record of stream `{}` of `{}` is unreadable ({reason}); restore the state folder from a backup, or move it away to start over",
        stream.stream, stream.source
    ))
}

fn row(
    stream: &StreamKey,
    table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
) -> Result<Option<Row>, Failure> {
    match table.get((stream.source.as_str(), stream.stream.as_str()))? {
        Some(json) => parse(stream, json.value()).map(Some),
        None => Ok(None),
    }
}

fn put(stream: &StreamKey, table: &mut Table<'_, (&str, &str), &[u8]>, row: &Row) -> Result<(), Failure> {
    let json = serde_json::to_vec(row).map_err(|error| unreadable(stream, &error.to_string()))?;
    table.insert((stream.source.as_str(), stream.stream.as_str()), json.as_slice())?;
    Ok(())
}

/// Rows of a stream in a table keyed by its number and more.
fn record(read: &ReadTransaction, stream: &StreamKey, row: Row) -> Result<StreamRecord, Failure> {
    let number = row.number;
    let next = number.saturating_add(1);
    let mut own = Vec::new();
    for entry in read.open_table(OWN_REQUESTS)?.range((number, "")..(next, ""))? {
        let (_, value) = entry?;
        own.push(serde_json::from_slice(value.value().1).map_err(|error| unreadable(stream, &error.to_string()))?);
    }
    let mut calls = Vec::new();
    for entry in read.open_table(CALLS)?.range((number, i64::MIN, "")..(next, i64::MIN, ""))? {
        let sent = entry?.0.value().1;
        calls.push(Timestamp::from_timestamp_millis(sent).ok_or_else(|| unreadable(stream, "time out of range"))?);
    }
    Ok(row.record(own, calls))
}

/// The record of a stream, created if it is new.
pub(crate) fn load(db: &Database, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, Failure> {
    let read = db.begin_read()?;
    if let Some(row) = row(stream, &read.open_table(STREAMS)?)? {
        return record(&read, stream, row);
    }
    let write = begin(db)?;
    let row = {
        let mut streams = write.open_table(STREAMS)?;
        if let Some(row) = row(stream, &streams)? {
            row
        } else {
            let mut meta = write.open_table(META)?;
            let number = meta.get("next_stream")?.map_or(0, |number| number.value());
            meta.insert("next_stream", number + 1)?;
            let number = u32::try_from(number).map_err(|_| Failure::Unusable("it holds no more streams".into()))?;
            let row = Row::new(number, start);
            put(stream, &mut streams, &row)?;
            row
        }
    };
    write.commit()?;
    record(&db.begin_read()?, stream, row)
}

/// Every stream, with the number of its identities.
pub(crate) fn streams(db: &Database) -> Result<Vec<(StreamKey, StreamRecord, u64)>, Failure> {
    let read = db.begin_read()?;
    let mut streams = Vec::new();
    for entry in read.open_table(STREAMS)?.iter()? {
        let (key, json) = entry?;
        let (source, stream) = key.value();
        let key = StreamKey { source: source.to_owned(), stream: stream.to_owned() };
        let row = parse(&key, json.value())?;
        let identities = row.identities;
        let record = record(&read, &key, row)?;
        streams.push((key, record, identities));
    }
    Ok(streams)
}

/// The key of an identity. Flipping the sign bit makes byte order the order of times before 1970 too.
fn key(number: u32, time: i64, identity: [u8; 16]) -> [u8; 28] {
    let mut key = [0; 28];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key[4..12].copy_from_slice(&(time ^ i64::MIN).to_be_bytes());
    key[12..].copy_from_slice(&identity);
    key
}

/// What stands for the stream in keys; `None` for an unknown stream.
pub(crate) fn number(db: &Database, stream: &StreamKey) -> Result<Option<u32>, Failure> {
    Ok(row(stream, &db.begin_read()?.open_table(STREAMS)?)?.map(|row| row.number))
}

/// Whether each has been settled in the stream of this number.
pub(crate) fn known(db: &Database, number: u32, identities: &[Filed]) -> Result<Vec<bool>, Failure> {
    let read = db.begin_read()?;
    let table: ReadOnlyTable<&[u8; 28], ()> = read.open_table(IDENTITIES)?;
    let keys: Vec<_> = identities.iter().map(|filed| key(number, filed.time, filed.identity.0)).collect();
    let (Some(first), Some(last)) = (keys.iter().min(), keys.iter().max()) else { return Ok(Vec::new()) };
    // Events come in order of time: where nothing of their time is settled, one look answers for all.
    let mut settled = HashSet::new();
    for entry in table.range::<&[u8; 28]>(first..=last)? {
        if settled.len() == keys.len() * LOOK_AROUND {
            return keys.iter().map(|key| Ok(table.get(key)?.is_some())).collect();
        }
        settled.insert(*entry?.0.value());
    }
    Ok(keys.iter().map(|key| settled.contains(key)).collect())
}

/// Shows each identity of the stream of this number, by ascending time.
pub(crate) fn identities(db: &Database, number: u32, visit: &mut dyn FnMut(Filed)) -> Result<(), Failure> {
    let table: ReadOnlyTable<&[u8; 28], ()> = db.begin_read()?.open_table(IDENTITIES)?;
    for entry in table.range::<&[u8; 28]>(&key(number, i64::MIN, [0; 16])..=&key(number, i64::MAX, [u8::MAX; 16]))? {
        let entry = entry?;
        let [_, _, _, _, time @ ..] = entry.0.value();
        let (time, identity) = time.split_at(8);
        let (Ok(time), Ok(identity)) = (<[u8; 8]>::try_from(time), <[u8; 16]>::try_from(identity)) else { continue };
        visit(Filed { time: i64::from_be_bytes(time) ^ i64::MIN, identity: Identity(identity) });
    }
    Ok(())
}

/// Takes a stream out of every table. Its number is not given to another.
pub(crate) fn forget_stream(db: &Database, stream: &StreamKey) -> Result<bool, Failure> {
    let write = begin(db)?;
    let row = row(stream, &write.open_table(STREAMS)?)?;
    let Some(number) = row.map(|row| row.number) else { return Ok(false) };
    let next = number.saturating_add(1);
    write.open_table(STREAMS)?.remove((stream.source.as_str(), stream.stream.as_str()))?;
    let (first, last) = (key(number, i64::MIN, [0; 16]), key(number, i64::MAX, [u8::MAX; 16]));
    write.open_table(IDENTITIES)?.retain_in::<&[u8; 28], _>(&first..=&last, |_, ()| false)?;
    write.open_table(OWN_REQUESTS)?.retain_in((number, "")..(next, ""), |_, _| false)?;
    write.open_table(CALLS)?.retain_in((number, i64::MIN, "")..(next, i64::MIN, ""), |_, ()| false)?;
    write.commit()?;
    Ok(true)
}

/// The number of the last entry of the journal that is in here.
pub(crate) fn taken(db: &Database) -> Result<u64, Failure> {
    Ok(db.begin_read()?.open_table(META)?.get("journal")?.map_or(0, |taken| taken.value()))
}

/// Takes own requests over from the journal.
pub(crate) fn take_over(db: &Database, entries: &[Entry]) -> Result<(), Failure> {
    let write = begin(db)?;
    insert_requests(&write, entries)?;
    Ok(write.commit()?)
}

/// Entries that are in here already change nothing. Nor do those of a stream that has been forgotten since.
fn insert_requests(write: &WriteTransaction, entries: &[Entry]) -> Result<(), Failure> {
    let Some(last) = entries.last() else { return Ok(()) };
    let taken = write.open_table(META)?.insert("journal", last.number)?.map_or(0, |taken| taken.value());
    let streams = write.open_table(STREAMS)?;
    let mut requests = write.open_table(OWN_REQUESTS)?;
    let mut calls = write.open_table(CALLS)?;
    let mut numbers = HashMap::new();
    for Entry { stream, request, .. } in entries.iter().filter(|entry| entry.number > taken) {
        let number = match numbers.get(stream) {
            Some(number) => *number,
            None => {
                let number = row(stream, &streams)?.map(|row| row.number);
                numbers.insert(stream, number);
                number
            }
        };
        let Some(number) = number else { continue };
        let json = serde_json::to_vec(request).map_err(|error| unreadable(stream, &error.to_string()))?;
        let (id, sent) = (request.id.as_str(), request.sent.timestamp_millis());
        let before = requests.insert((number, id), (sent, json.as_slice()))?.map(|replaced| replaced.value().0);
        if let Some(before) = before {
            calls.remove((number, before, id))?;
        }
        calls.insert((number, sent, id), ())?;
    }
    Ok(())
}

fn not_loaded(stream: &StreamKey) -> Failure {
    Failure::Unusable(super::not_loaded(stream))
}

/// How many commits the row of a stream has seen; `None` for an unknown stream.
pub(crate) fn commits(db: &Database, stream: &StreamKey) -> Result<Option<u64>, Failure> {
    let read = db.begin_read()?;
    Ok(row(stream, &read.open_table(STREAMS)?)?.map(|row| row.commits))
}

/// Applies one step. `number` is told, before anything can be written, which commit of the stream this is; if it
/// says so already, from an attempt that failed, the step is not applied a second time. Takes `requests` over as well,
/// before the step, which may use them up.
pub(crate) fn commit(
    db: &Database,
    stream: &StreamKey,
    commit: &Commit,
    requests: &[Entry],
    number: &mut Option<u64>,
) -> Result<(), Failure> {
    let write = begin(db)?;
    insert_requests(&write, requests)?;
    {
        let mut streams = write.open_table(STREAMS)?;
        let mut row = row(stream, &streams)?.ok_or_else(|| not_loaded(stream))?;
        if *number == Some(row.commits) {
            return Ok(());
        }
        *number = Some(row.commits + 1);
        if let Some(start) = commit.anew {
            let gone = match row.cut_off(commit) {
                Some(off) => kept(&write.open_table(IDENTITIES)?, row.number, off)?,
                None => 0,
            };
            row.begin_anew(start, gone);
        }
        settle(&write, &mut row, commit)?;
        forget(&write, &row, commit)?;
        put(stream, &mut streams, &row)?;
    }
    Ok(write.commit()?)
}

/// How many identities of the stream of this number are filed in a range. Time 0 says "no time", so it is in none.
fn kept(table: &impl ReadableTable<&'static [u8; 28], ()>, number: u32, span: Span) -> Result<u64, Failure> {
    let mut kept = 0;
    for (from, to) in [(span.from, span.to.min(0)), (span.from.max(1), span.to)] {
        if from < to {
            let (from, to) = (key(number, from, [0; 16]), key(number, to, [0; 16]));
            for entry in table.range::<&[u8; 28]>(&from..&to)? {
                entry?;
                kept += 1;
            }
        }
    }
    Ok(kept)
}

/// Identities in, what is covered counted, outlived identities out.
fn settle(write: &WriteTransaction, row: &mut Row, commit: &Commit) -> Result<(), Failure> {
    if commit.settled.is_empty() && commit.covered.is_none() && commit.forget_before.is_none() {
        row.apply(commit, &[], 0);
        return Ok(());
    }
    let mut table = write.open_table(IDENTITIES)?;
    // In key order neighbours share pages, and each page is copied once.
    let mut settled = commit.settled.clone();
    settled.sort_unstable();
    let mut fresh = Vec::new();
    for filed in &settled {
        if table.insert(&key(row.number, filed.time, filed.identity.0), ())?.is_none() {
            row.identities += 1;
            fresh.push(*filed);
        }
    }
    let mut found = 0;
    for gap in row.newly_covered(commit) {
        found += kept(&table, row.number, gap)?;
    }
    row.apply(commit, &fresh, found);
    if let Some(before) = commit.forget_before {
        let before = before.timestamp_millis();
        let budget = FORGET_BASE.saturating_add(settled.len().saturating_mul(FORGET_FACTOR));
        // Time 0 says "no time", so it is never too old.
        let mut gone = 0;
        for (from, to) in [(i64::MIN, before.min(0)), (1, before)] {
            if from < to {
                let (from, to) = (key(row.number, from, [0; 16]), key(row.number, to, [0; 16]));
                let mut outlived = table.extract_from_if::<&[u8; 28], _>(&from..&to, |_, ()| true)?;
                for entry in outlived.by_ref().take(budget - gone) {
                    entry?;
                    gone += 1;
                }
                outlived.close()?;
            }
        }
        row.identities = row.identities.saturating_sub(gone as u64);
    }
    Ok(())
}

/// Own requests that were matched or have waited too long out. Unlike identities all at once: they are few.
fn forget(write: &WriteTransaction, row: &Row, commit: &Commit) -> Result<(), Failure> {
    if commit.consumed.is_empty() && commit.forget_requests_before.is_none() {
        return Ok(());
    }
    let mut own = write.open_table(OWN_REQUESTS)?;
    for id in &commit.consumed {
        own.remove((row.number, id.as_str()))?;
    }
    if let Some(before) = commit.forget_requests_before {
        let before = before.timestamp_millis();
        let mut calls = write.open_table(CALLS)?;
        let range = (row.number, i64::MIN, "")..(row.number, before, "");
        let mut outlived = calls.extract_from_if(range, |_, ()| true)?;
        for entry in outlived.by_ref() {
            let (call, _) = entry?;
            let id = call.value().2;
            // The same id may have been sent again since.
            let stale = own.get((row.number, id))?.is_some_and(|request| request.value().0 < before);
            if stale {
                own.remove((row.number, id))?;
            }
        }
        outlived.close()?;
    }
    Ok(())
}
