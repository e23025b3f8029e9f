//! What a committed event costs, and whether the cost grows with the history.
//!
//! ```text
//! cargo run --release -p headwater-ledger --example cost -- [--max 1000000] [--horizon EVENTS] [--dir DIR]
//! ```
//!
//! Fills a ledger with commits of 500 events of advancing time, and at 10^4, 10^5 … `--max` events measures the next
//! 100 commits. Before each commit, 550 identities are looked up: its own, and 50 settled shortly before, as an
//! overlapping scan does. `--horizon` forgets identities that are that many events old. CPU time is that of the
//! calling thread, where the system tells it (Linux); `after kill` opens a copy of the file taken while it was open.

use chrono::TimeDelta;
use headwater_contracts::{Identity, Span, Tally, Timestamp};
use headwater_ledger::{Commit, Commits, FileLedger, Filed, Ledger, StreamKey};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PER_COMMIT: u64 = 500;
const OVERLAP: u64 = 50;
const MEASURED_COMMITS: u64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut max, mut horizon, mut parent) = (1_000_000, u64::MAX, std::env::temp_dir());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("`{name}` needs a value"))?;
        match name.as_str() {
            "--max" => max = value.parse()?,
            "--horizon" => horizon = value.parse()?,
            "--dir" => parent = PathBuf::from(value),
            _ => return Err(format!("unknown argument `{name}`; there are --max, --horizon and --dir").into()),
        }
    }
    let dir = tempfile::tempdir_in(parent)?;
    measure(dir.path(), max, horizon)
}

fn measure(dir: &Path, max: u64, horizon: u64) -> Result<(), Box<dyn Error>> {
    let mut ledger = FileLedger::open(dir)?;
    let stream = StreamKey { source: "bench".into(), stream: "main".into() };
    ledger.load(&stream, Timestamp::UNIX_EPOCH)?;
    println!(
        "| events | CPU us/event | ratio | wall us/event | ratio | CPU ms/commit | wall ms/commit | file MiB | open ms | after kill ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let (mut events, mut size, mut first) = (0, 10_000, None);
    while size <= max {
        while events < size {
            step(&ledger, &stream, events, horizon)?;
            events += PER_COMMIT;
        }
        let (wall, cpu) = (Instant::now(), cpu_time());
        for _ in 0..MEASURED_COMMITS {
            step(&ledger, &stream, events, horizon)?;
            events += PER_COMMIT;
        }
        let (wall, cpu) = (wall.elapsed(), cpu_time().saturating_sub(cpu));
        let killed = opening_a_copy(dir)?;
        drop(ledger);
        let start = Instant::now();
        ledger = FileLedger::open(dir)?;
        let open = start.elapsed();

        let measured = MEASURED_COMMITS * PER_COMMIT;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / measured as f64;
        let (cpu_first, wall_first) = *first.get_or_insert((each(cpu), each(wall)));
        println!(
            "| {size} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} |",
            each(cpu),
            each(cpu) / cpu_first,
            each(wall),
            each(wall) / wall_first,
            cpu.as_secs_f64() * 1e3 / MEASURED_COMMITS as f64,
            wall.as_secs_f64() * 1e3 / MEASURED_COMMITS as f64,
            std::fs::metadata(dir.join("ledger.redb"))?.len() as f64 / f64::from(1 << 20),
            open.as_secs_f64() * 1e3,
            killed.as_secs_f64() * 1e3,
        );
        size *= 10;
    }
    Ok(())
}

/// The event with this number; one every 100 ms.
fn event(number: u64) -> Filed {
    let time = i64::try_from(number * 100).unwrap_or(i64::MAX).saturating_add(1);
    Filed { time, identity: Identity::of(&[&number.to_be_bytes()]) }
}

/// One batch, from look-up to commit.
fn step(ledger: &FileLedger, stream: &StreamKey, from: u64, horizon: u64) -> Result<(), Box<dyn Error>> {
    let settled: Vec<Filed> = (from..from + PER_COMMIT).map(event).collect();
    let overlap = OVERLAP.min(from);
    let asked: Vec<Filed> = (from - overlap..from + PER_COMMIT).map(event).collect();
    let known = ledger.known(stream, &asked)?;
    if known.iter().enumerate().any(|(index, known)| *known != ((index as u64) < overlap)) {
        return Err("the ledger answered wrongly".into());
    }
    let span = Span { from: event(from).time, to: event(from + PER_COMMIT).time };
    let forget_before =
        from.checked_sub(horizon).map(|number| Timestamp::UNIX_EPOCH + TimeDelta::milliseconds(event(number).time));
    let (read, delivered, suppressed) = (PER_COMMIT + overlap, PER_COMMIT, overlap);
    ledger.commit(
        stream,
        &Commit {
            settled,
            state: Some(serde_json::json!({ "after": from })),
            covered: Some(span),
            forget_before,
            tally: Tally { read, delivered, suppressed, ..Tally::default() },
            ..Commit::default()
        },
    )?;
    Ok(())
}

/// Opens a copy of the file as it is now, which is what `kill -9` would leave.
fn opening_a_copy(dir: &Path) -> Result<Duration, Box<dyn Error>> {
    let copy = tempfile::tempdir_in(dir)?;
    std::fs::copy(dir.join("ledger.redb"), copy.path().join("ledger.redb"))?;
    let start = Instant::now();
    let ledger = FileLedger::open(copy.path())?;
    let taken = start.elapsed();
    drop(ledger);
    Ok(taken)
}

/// CPU time of this thread so far; zero where the system does not tell.
fn cpu_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
