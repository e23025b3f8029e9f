//! Questions to providers: which source a person asks, and a run that delivers nothing and keeps nothing. It asks until everything is
//! answered, given up, or out of time.

use super::run::{interrupted, show};
use crate::{Failure, plugins, terminal};
use headwater_config::{LoadOptions, NoSource, ProcessEnvironment, Question, read_source};
use headwater_contracts::{SinkConfig, SinkOptions};
use headwater_ledger::MemoryLedger;
use headwater_runtime::{
    Board, Clocks, DeadLetterTarget, Ending, RunOptions, SinkSpec, SourceSpec, StreamStatus, SystemClock, Topology,
    run as run_pipeline,
};
use headwater_sink_blackhole::BlackholeConfig;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Failures in a row after which a stream is given up; at once if access is denied.
const GIVE_UP_AFTER: u32 = 3;

/// The sink's name.
pub(super) const NOWHERE: &str = "nowhere";

/// A sink for all sources where nothing goes.
pub(super) fn nowhere(sources: &[SourceSpec]) -> Result<SinkSpec, Failure> {
    let sink = BlackholeConfig::default().build().map_err(Failure::run)?;
    let inputs = sources.iter().map(|source| source.name.clone()).collect();
    Ok(SinkSpec { name: NOWHERE.into(), inputs, sink, options: SinkOptions::default() })
}

/// The source that `question` is put to, as the configuration has it. Where the simulators answer, it needs no credential.
pub(super) fn one_source(config: &[PathBuf], question: Question<'_>, simulate: bool) -> Result<SourceSpec, Failure> {
    let environment = ProcessEnvironment;
    let options = LoadOptions { environment: &environment, lenient: simulate, resolve_secrets: !simulate };
    let spec = read_source(config, question, &plugins::registry(), options).map_err(|problem| match problem {
        NoSource::Question(problems) => Failure::problems(problems, None).on_the_command_line(),
        NoSource::Configuration(problems) => Failure::problems(problems, None),
    })?;
    Ok(SourceSpec { name: spec.name, built: spec.built, options: spec.options, simulated: false })
}

/// Reads until all streams are caught up, given up, or out of time.
pub(super) async fn ask(topology: Topology, board: &Board, timeout: Duration) -> Result<(), Failure> {
    let (stop_sender, stop) = watch::channel(false);
    let ending = Ending { once: true, give_up_after: Some(GIVE_UP_AFTER), at_once: true };
    let options =
        RunOptions { ending, clocks: Clocks::Mark, grace: Duration::from_secs(1), stop, board: board.clone() };
    let in_time = async {
        tokio::time::sleep(timeout).await;
        let _ = stop_sender.send(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // Streams that were given up say why on the board.
        _ = run_pipeline(topology, Arc::new(MemoryLedger::new()), Arc::new(SystemClock), options) => Ok(()),
        never = show(board.clone(), terminal::format()) => match never {},
        () = interrupted() => Err(Failure::run("interrupted")),
        () = in_time => Ok(()),
    }
}

/// Runs these sources alone; what became of their streams.
pub(super) fn ask_only(sources: Vec<SourceSpec>, timeout: Duration) -> Result<Vec<StreamStatus>, Failure> {
    let sinks = vec![nowhere(&sources)?];
    let topology = Topology {
        sources,
        imports: Vec::new(),
        consumers: Vec::new(),
        transforms: Vec::new(),
        sinks,
        dead_letters: DeadLetterTarget::Sink(NOWHERE.into()),
        oversized: None,
    };
    let board = Board::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    let outcome = runtime.block_on(ask(topology, &board, timeout));
    terminal::clear();
    outcome.map(|()| board.snapshot())
}
