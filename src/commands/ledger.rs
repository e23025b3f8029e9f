//! `headwater ledger`.

use crate::{
    Failure,
    assemble::{Purpose, assemble},
    cli::LedgerFormat,
    consumers,
    places::in_place,
    share::place,
    table::table,
};
use headwater_config::State;
use headwater_contracts::Timestamp;
use headwater_ledger::{FileLedger, Filed, KafkaLedger, Kept, Ledger, StreamKey, StreamRecord, UNTOLD};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Prints, per stream, coverage, counts, and what is kept.
pub(crate) fn show_ledger(config: &[PathBuf], format: LedgerFormat) -> Result<(), Failure> {
    let streams = match of_pipeline(config)? {
        Seen::File(ledger) => ledger.streams().map_err(Failure::run)?,
        Seen::Kafka(streams) => {
            streams.into_iter().map(|(key, record, settled)| (key, record, settled.len() as u64)).collect()
        }
    };
    let mut out = String::new();
    match format {
        LedgerFormat::Json => {
            for (key, record, identities) in streams {
                out.push_str(&stream_line(&key, &record, identities).to_string());
                out.push('\n');
            }
        }
        LedgerFormat::Text => {
            let mut counts = Vec::new();
            let mut ranges = Vec::new();
            for (key, record, identities) in &streams {
                let name = format!("{}/{}", key.source, key.stream);
                let tally = &record.tally;
                let numbers = [
                    tally.read,
                    tally.delivered,
                    tally.dropped_total(),
                    tally.suppressed,
                    tally.dead_lettered,
                    tally.late,
                    *identities,
                ];
                counts.push(std::iter::once(name.clone()).chain(numbers.iter().map(u64::to_string)).collect());
                ranges.extend(
                    record.coverage.ranges().iter().map(|range| {
                        vec![name.clone(), at(range.span.from), at(range.span.to), range.events.to_string()]
                    }),
                );
            }
            out.push_str(&table(
                &["stream", "read", "delivered", "dropped", "suppressed", "dead-lettered", "late", "identities kept"],
                &counts,
            ));
            out.push('\n');
            out.push_str(&table(&["stream", "covered from", "to (exclusive)", "events"], &ranges));
        }
    }
    match format {
        LedgerFormat::Json => super::print_json(out.as_bytes()),
        LedgerFormat::Text => super::say(&out),
    }
}

/// Forgets a source's streams, or one of them.
pub(crate) fn reset_ledger(config: &[PathBuf], source: &str, stream: Option<&str>) -> Result<(), Failure> {
    let ledger = whole(state(config)?)?;
    let all = ledger.all().map_err(Failure::run)?;
    let is_meant = |key: &StreamKey| key.source == source && stream.is_none_or(|stream| stream == key.stream);
    let meant: Vec<&StreamKey> = all.iter().map(|(key, ..)| key).filter(|key| is_meant(key)).collect();
    if meant.is_empty() {
        let known: Vec<String> = all.iter().map(|(key, ..)| format!("{}/{}", key.source, key.stream)).collect();
        let stream = stream.map_or_else(String::new, |stream| format!("/{stream}"));
        return Err(Failure::usage(format!(
            "the ledger has no stream `{source}{stream}`; it has: {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )));
    }
    for key in meant {
        ledger.forget(key).map_err(Failure::run)?;
        super::remark(format!(
            "forgot {}/{}: the next run reads it from `start_at`, and delivers again what it delivered before",
            key.source, key.stream
        ));
    }
    Ok(())
}

/// Prints everything: per stream its record, then its identities, as NDJSON.
pub(crate) fn export_ledger(config: &[PathBuf]) -> Result<(), Failure> {
    match of_pipeline(config)? {
        Seen::File(ledger) => {
            for (key, record, identities) in ledger.streams().map_err(Failure::run)? {
                export_stream(&key, &record, identities, |write| ledger.identities(&key, write).map_err(Failure::run))?;
            }
        }
        Seen::Kafka(streams) => {
            for (key, record, settled) in streams {
                let identities = settled.len() as u64;
                export_stream(&key, &record, identities, |write| {
                    settled.into_iter().for_each(write);
                    Ok(())
                })?;
            }
        }
    }
    Ok(())
}

/// Prints a stream; `each` visits its identities.
fn export_stream(
    key: &StreamKey,
    record: &StreamRecord,
    identities: u64,
    each: impl FnOnce(&mut dyn FnMut(Filed)) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut out = stream_line(key, record, identities).to_string() + "\n";
    let mut printed = Ok(());
    let mut write = |filed: Filed| {
        let time = (filed.time != 0).then(|| at(filed.time));
        let line = json!({
            "source": key.source, "stream": key.stream, "identity": filed.identity.to_string(), "time": time,
        });
        out.push_str(&line.to_string());
        out.push('\n');
        if out.len() >= EXPORT_BYTES && printed.is_ok() {
            printed = super::print_json(std::mem::take(&mut out).as_bytes());
        }
    };
    each(&mut write)?;
    printed?;
    super::print_json(out.as_bytes())
}

/// What is printed at once.
const EXPORT_BYTES: usize = 64 << 10;

/// What a look at a ledger finds.
enum Seen {
    File(Box<FileLedger>),
    Kafka(Vec<(StreamKey, StreamRecord, Vec<Filed>)>),
}

/// The ledger of a configuration, beside whoever uses it.
fn of_pipeline(config: &[PathBuf]) -> Result<Seen, Failure> {
    match state(config)? {
        State::File { path } => open_existing(&path).map(|ledger| Seen::File(Box::new(ledger))),
        State::Kafka(state) => {
            let ledger = KafkaLedger::open(place(&state)).map_err(Failure::run)?;
            ledger.look().map(Seen::Kafka).map_err(Failure::run)
        }
    }
}

/// Where the ledger of a configuration is. Its secrets are read only where a cluster may want to know who asks.
fn state(config: &[PathBuf]) -> Result<State, Failure> {
    let pipeline = assemble(config, Purpose::Inspect)?.pipeline;
    consumers::need_ledger(&pipeline)?;
    in_place(&pipeline)?;
    match pipeline.state {
        State::File { path } => Ok(State::File { path }),
        State::Kafka(_) => Ok(assemble(config, Purpose::Run)?.pipeline.state),
    }
}

/// A ledger that must be there, for this command alone.
pub(super) fn whole(state: State) -> Result<Arc<dyn Kept>, Failure> {
    match state {
        State::File { path } => Ok(Arc::new(open_existing(&path)?)),
        State::Kafka(state) => {
            let ledger = KafkaLedger::open(place(&state)).map_err(Failure::run)?;
            ledger.own_all().map_err(Failure::run)?;
            Ok(Arc::new(ledger))
        }
    }
}

/// Opens a ledger in a folder that must be there.
fn open_existing(path: &Path) -> Result<FileLedger, Failure> {
    if !path.exists() {
        return Err(Failure::run(format!(
            "there is no ledger in `{}` yet: nothing has run with this state",
            path.display()
        )));
    }
    FileLedger::open(path).map_err(Failure::run)
}

/// A time of the ledger, for people.
pub(super) fn at(ms: i64) -> String {
    Timestamp::from_timestamp_millis(ms).map_or_else(|| ms.to_string(), |t| t.format("%FT%T%.3fZ").to_string())
}

fn stream_line(key: &StreamKey, record: &StreamRecord, identities: u64) -> Value {
    json!({
        "source": key.source, "stream": key.stream, "start": (record.start != UNTOLD).then_some(record.start), "identities": identities,
        "coverage": record.coverage.ranges().iter().map(|range| json!({
            "from": at(range.span.from), "to": at(range.span.to), "events": range.events,
        })).collect::<Vec<_>>(),
        "read": record.tally.read, "delivered": record.tally.delivered, "dropped": record.tally.dropped,
        "suppressed": record.tally.suppressed, "dead_lettered": record.tally.dead_lettered,
        "late": record.tally.late, "unmatched_own_requests": record.own_requests.len(), "state": record.state,
    })
}
