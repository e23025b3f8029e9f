//! `headwater ledger`.

use crate::{
    Failure,
    assemble::{Purpose, assemble},
    cli::LedgerFormat,
    table::table,
};
use headwater_config::State;
use headwater_contracts::Timestamp;
use headwater_ledger::{FileLedger, Ledger};
use serde_json::json;
use std::path::PathBuf;

/// Prints, per stream, coverage, counts, and what is kept.
pub(crate) fn show_ledger(config: &[PathBuf], format: LedgerFormat) -> Result<(), Failure> {
    let State::File { path } = assemble(config, Purpose::Inspect)?.pipeline.state else {
        return Err(super::run::no_kafka_state());
    };
    if !path.exists() {
        return Err(Failure::run(format!(
            "there is no ledger in `{}` yet: nothing has run with this state",
            path.display()
        )));
    }
    let streams = FileLedger::open(&path).and_then(|ledger| ledger.streams()).map_err(Failure::run)?;
    let at = |ms: i64| {
        Timestamp::from_timestamp_millis(ms).map_or_else(|| ms.to_string(), |t| t.format("%FT%T%.3fZ").to_string())
    };
    let mut out = String::new();
    match format {
        LedgerFormat::Json => {
            for (key, record, identities) in streams {
                let line = json!({
                    "source": key.source, "stream": key.stream, "start": record.start, "identities": identities,
                    "coverage": record.coverage.ranges().iter().map(|range| json!({
                        "from": at(range.span.from), "to": at(range.span.to), "events": range.events,
                    })).collect::<Vec<_>>(),
                    "read": record.tally.read, "delivered": record.tally.delivered, "dropped": record.tally.dropped,
                    "suppressed": record.tally.suppressed, "dead_lettered": record.tally.dead_lettered,
                    "late": record.tally.late, "unmatched_own_requests": record.own_requests.len(), "state": record.state,
                });
                out.push_str(&line.to_string());
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
    super::print(&out)
}
