//! `headwater ledger verify` and `rescan`: reading again what was read before, to compare or to deliver what is new.

use super::{
    ask::{NOWHERE, nowhere},
    ledger::at,
    run::{interrupted, show},
};
use crate::{
    Failure,
    assemble::{Assembled, Purpose as Use, assemble, topology},
    cli::{AgainArgs, LogFormat},
    consumers,
    places::in_place,
    table::table,
    terminal,
};
use headwater_contracts::{Clock, Coverage, Period, StartAt, Timestamp};
use headwater_ledger::{Again, Filed, Found, Kept, Purpose, StreamKey, StreamRecord};
use headwater_runtime::{
    Board, Clocks, DeadLetterTarget, Ending, RunOptions, SourceSpec, SystemClock, Topology, ahead, run as run_pipeline,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Failures in a row after which a stream is given up.
const GIVE_UP_AFTER: u32 = 8;
/// Missing events that are listed; more are only counted.
const LISTED: usize = 20;
/// How long what is in flight may take after an interruption.
const GRACE: Duration = Duration::from_secs(30);

/// Reads the range again and delivers what has not been settled.
pub(crate) fn rescan(args: &AgainArgs, log_format: LogFormat) -> Result<(), Failure> {
    let (mut assembled, ledger) = prepare(&args.config, &args.sources)?;
    let now = SystemClock.now();
    let (from, to) = (args.from.unwrap_or(StartAt::Ago(Period::days(1))).resolve(now), args.to.resolve(now));
    check_range(from, to)?;
    of_the_past(&assembled.pipeline.sources, &ledger.all().map_err(Failure::run)?, now)?;
    for source in &mut assembled.pipeline.sources {
        let horizon = source.built.source.horizon(now);
        if from < horizon {
            return Err(Failure::usage(format!(
                "`{}`: which events before {horizon} were delivered has been forgotten, as no re-scan looks that far back; they would be delivered again. Use `--from {}` or later, or `headwater query` to look at older ones",
                source.name,
                horizon.format("%FT%TZ")
            )));
        }
        source.options.start_at = Some(StartAt::At(from));
    }
    let again = Arc::new(Again::new(ledger, Purpose::Deliver, to));
    let board = Board::default();
    let outcome = read(topology(assembled, None)?, again, &board, log_format);
    terminal::conclude(&board, log_format);
    outcome
}

/// Reads the range again and compares it with what the ledger says was settled.
pub(crate) fn verify(args: &AgainArgs, log_format: LogFormat) -> Result<(), Failure> {
    let (assembled, ledger) = prepare(&args.config, &args.sources)?;
    let now = SystemClock.now();
    let to = args.to.resolve(now);
    let kept = ledger.all().map_err(Failure::run)?;
    of_the_past(&assembled.pipeline.sources, &kept, now)?;
    let mut sources = Vec::new();
    let mut from_of = Vec::new();
    for source in assembled.pipeline.sources {
        let covered = kept
            .iter()
            .filter(|(key, ..)| key.source == source.name)
            .filter_map(|(_, record, _)| begin(&record.coverage));
        let asked = args.from.map(|from| from.resolve(now)).or_else(|| covered.min());
        let Some(asked) = asked else {
            super::remark(format!("`{}` has covered nothing yet: nothing to compare", source.name));
            continue;
        };
        let horizon = source.built.source.horizon(now);
        if asked < horizon {
            super::remark(format!(
                "`{}`: compared from {} on; which events were delivered before is not kept, as no re-scan looks that far back",
                source.name,
                horizon.format("%FT%TZ")
            ));
        }
        let from = asked.max(horizon);
        check_range(from, to)?;
        from_of.push((source.name.clone(), from));
        let mut options = source.options;
        options.start_at = Some(StartAt::At(from));
        sources.push(SourceSpec { name: source.name, built: source.built, options, simulated: false });
    }
    let again = Arc::new(Again::new(ledger.clone(), Purpose::Compare, to));
    let topology = Topology {
        transforms: Vec::new(),
        sinks: vec![nowhere(&sources)?],
        sources,
        imports: Vec::new(),
        consumers: Vec::new(),
        dead_letters: DeadLetterTarget::Sink(NOWHERE.into()),
        oversized: None,
    };
    read(topology, again.clone(), &Board::default(), log_format)?;
    let mut missing = 0;
    let (mut rows, mut list) = (Vec::new(), Vec::new());
    for (key, found) in again.found() {
        let from = from_of.iter().find(|(name, _)| *name == key.source).map_or(to, |(_, from)| *from);
        let gone = gone(ledger.as_ref(), &key, &found, from, to)?;
        let name = format!("{}/{}", key.source, key.stream);
        let delivered = found.shown.len() - found.missing.len();
        missing += found.missing.len();
        rows.push(vec![
            name.clone(),
            from.format("%FT%TZ").to_string(),
            to.format("%FT%TZ").to_string(),
            found.shown.len().to_string(),
            delivered.to_string(),
            found.missing.len().to_string(),
            gone.to_string(),
        ]);
        let mut missed: Vec<Filed> = found.missing.into_iter().collect();
        missed.sort_unstable();
        list.extend(
            missed.into_iter().map(|filed| format!("missing: {name} {} identity {}", at(filed.time), filed.identity)),
        );
    }
    let heads = ["stream", "from", "to (exclusive)", "at the provider", "settled", "missing", "no longer there"];
    super::say(table(&heads, &rows))?;
    for line in list.iter().take(LISTED) {
        super::say(format!("{line}\n"))?;
    }
    if list.len() > LISTED {
        super::say(format!("... and {} more\n", list.len() - LISTED))?;
    }
    if missing > 0 {
        return Err(Failure::run(format!(
            "{missing} events of covered ranges have not been delivered: they appeared after their range was read. The next re-scan that reaches them delivers them, `headwater ledger rescan --from ..` does so now"
        )));
    }
    Ok(())
}

/// Loads the configuration, keeps the sources asked for, all if none is, and opens the ledger.
pub(super) fn prepare(config: &[PathBuf], asked: &[String]) -> Result<(Assembled, Arc<dyn Kept>), Failure> {
    let mut assembled = assemble(config, Use::Run)?;
    consumers::need_ledger(&assembled.pipeline)?;
    in_place(&assembled.pipeline)?;
    // Reading again is a question to the provider.
    assembled.pipeline.imports.clear();
    let sources = &mut assembled.pipeline.sources;
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    if let Some(unknown) = asked.iter().find(|name| !names.contains(name)) {
        return Err(Failure::usage(format!(
            "there is no source `{unknown}`; the configuration has: {}",
            names.join(", ")
        )));
    }
    sources.retain(|source| asked.is_empty() || asked.contains(&source.name));
    let ledger = super::ledger::whole(assembled.pipeline.state.clone())?;
    Ok((assembled, ledger))
}

/// A ledger that speaks of a time still to come cannot be compared with anything.
fn of_the_past(
    sources: &[headwater_config::SourceSpec],
    kept: &[(StreamKey, StreamRecord, u64)],
    now: Timestamp,
) -> Result<(), Failure> {
    for (key, record, _) in kept {
        let Some(spec) = sources.iter().find(|spec| spec.name == key.source) else { continue };
        if let Some(ahead) = ahead(record, spec.built.source.as_ref(), spec.options.max_clock_skew, now) {
            return Err(Failure::run(format!(
                "{}/{}: the ledger speaks of {ahead}, and this machine's clock shows {now}: this clock is wrong, or one was when that was written. If this one is right, `headwater run` takes back what is claimed of the future and reads it again; then ask again",
                key.source, key.stream
            )));
        }
    }
    Ok(())
}

fn check_range(from: Timestamp, to: Timestamp) -> Result<(), Failure> {
    if from < to {
        return Ok(());
    }
    Err(Failure::usage(format!("--from ({from}) is not before --to ({to})")))
}

fn begin(coverage: &Coverage) -> Option<Timestamp> {
    coverage.ranges().first().and_then(|range| Timestamp::from_timestamp_millis(range.span.from))
}

/// Settled events of the range that the provider does not show any more: expired, or deleted.
fn gone(ledger: &dyn Kept, key: &StreamKey, found: &Found, from: Timestamp, to: Timestamp) -> Result<u64, Failure> {
    let (from, to) = (from.timestamp_millis(), to.timestamp_millis());
    let mut gone = 0;
    let mut count = |filed: Filed| {
        let inside = from <= filed.time && filed.time < to && found.covers(filed);
        gone += u64::from(inside && !found.shown.contains(&filed));
    };
    ledger.identities(key, &mut count).map_err(Failure::run)?;
    Ok(gone)
}

/// Reads everything once.
pub(super) fn read(
    topology: Topology,
    ledger: Arc<Again<dyn Kept>>,
    board: &Board,
    log_format: LogFormat,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    let outcome = runtime.block_on(async {
        let (stop_sender, stop) = watch::channel(false);
        let ending = Ending { once: true, give_up_after: Some(GIVE_UP_AFTER), at_once: false };
        let options = RunOptions { ending, clocks: Clocks::Demand, grace: GRACE, stop, board: board.clone() };
        let stopped = async {
            interrupted().await;
            let _ = stop_sender.send(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = run_pipeline(topology, ledger, Arc::new(SystemClock), options) => {
                outcome.map(|_| ()).map_err(Failure::run)
            }
            never = show(board.clone(), log_format) => match never {},
            () = stopped => Err(Failure::run("interrupted")),
        }
    });
    terminal::clear();
    outcome
}
