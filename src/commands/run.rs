//! `headwater run`.

use crate::{
    Failure,
    assemble::{Assembled, Purpose, assemble, topology},
    cli::{LogFormat, RunArgs},
    reload::{Reload, files},
    renamed,
    share::Share,
    simulation, terminal,
};
use headwater_config::{Api, Pipeline, SourceSpec};
use headwater_contracts::Telemetry as Options;
use headwater_ledger::{Ledger, StreamKey};
use headwater_runtime::{
    Board, Clocks, Ending, RunError, RunOptions, Summary, SystemClock, Topology, api, run as run_pipeline,
};
use headwater_telemetry::Telemetry;
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{signal, sync::watch};

/// How often a run tells how far it is, where no line on a terminal does: one that somebody waits for, and one that goes on.
const OFTEN: Duration = Duration::from_secs(10);
const SELDOM: Duration = Duration::from_mins(1);
/// A file has reached the limit of its size: the same number on Linux (but for MIPS), macOS and the BSDs.
const SIGXFSZ: i32 = 25;

/// Failures in a row after which `--once` gives a stream up.
const ONCE_GIVES_UP_AFTER: u32 = 8;

/// Reads the sources and delivers their events.
pub(crate) fn run(args: &RunArgs, log_format: LogFormat) -> Result<(), Failure> {
    let purpose = if args.simulate { Purpose::Simulate } else { Purpose::Run };
    let mut assembled = assemble(&args.config, purpose)?;
    if !args.simulate {
        assembled.log_warnings();
    } else if !args.to_real_sinks {
        simulation::spare_the_outside(&mut assembled.pipeline)?;
    }
    if args.simulate {
        simulation::name_destinations(&assembled.pipeline);
    }
    let api = assembled.pipeline.api.clone().filter(|_| !args.simulate);
    // A demonstration leaves nothing behind, and shows the same again next time.
    let scratch = if args.simulate { Some(Scratch::new()?) } else { None };
    let share = match &scratch {
        Some(scratch) => Share::alone(&scratch.0.join("state"))?,
        None => Share::of(&assembled.pipeline, !args.once)?,
    };
    let letters = scratch.as_ref().map(|scratch| scratch.0.join("dead-letter"));

    // Few threads: what one allocates and another frees stays with the first, so memory grows with their number. Each
    // sink may hold one in a write; transforms and the ledger share the others. The workers only read and hand on.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads((cores() / 2).clamp(1, 4))
        .max_blocking_threads(cores().min(8) + assembled.pipeline.sinks.len() + 1)
        .build()?;
    // Before anything counts.
    let telemetry = assembled.pipeline.telemetry.as_ref().filter(|_| !args.simulate);
    let telemetry = telemetry.map(|options| start_telemetry(options, &runtime)).transpose()?;
    let instruments = telemetry.as_ref().and_then(|telemetry| telemetry.instruments(api::BOUNDARIES));
    let wanted = api.is_some() || instruments.is_some();
    let metrics = wanted.then(|| api::install_metrics(instruments)).flatten();
    let board = Board::default();
    let outcome = runtime.block_on(async {
        // Whoever writes beyond `ulimit -f` is told so by an error, which says more than the end of the process.
        let _heard = signal::unix::signal(signal::unix::SignalKind::from_raw(SIGXFSZ));
        tokio::select! {
            outcome = run_all(args, assembled, &share, letters.as_deref(), &board) => outcome,
            failure = serve_api(api, board.clone(), metrics.clone()) => Err(failure),
            never = keep(metrics) => match never {},
            never = share.look_after(&board) => match never {},
            never = show(board.clone(), log_format) => match never {},
            never = terminal::narrate(board.clone(), log_format, if args.once { OFTEN } else { SELDOM }) => match never {},
            never = remind(board.clone()) => match never {},
        }
    });
    terminal::clear();
    // The others of the group go on at once, not after the session's timeout.
    drop(share);
    board.remind_of_rejections();
    if args.once {
        terminal::conclude(&board, log_format);
    }
    if let Some(telemetry) = telemetry {
        telemetry.shutdown();
    }
    // A sink may still hang in a write that nobody takes (a full pipe, a dead mount); what counts is settled or given up.
    runtime.shutdown_background();
    let letters: u64 = board.rejected().iter().map(|rejected| rejected.kept).sum();
    if args.fail_on_dead_letters && letters > 0 {
        return outcome.and(Err(Failure::run(format!("{letters} events became dead letters"))));
    }
    outcome
}

/// Logs each minute what has become a dead letter since.
async fn remind(board: Board) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_mins(1)).await;
        board.remind_of_rejections();
    }
}

/// Runs the pipeline, and after each change of the configuration the one it then is, and after each change of what is this
/// process's share the streams that then are, until one ends by itself or is told to. Between two, everything in
/// flight is delivered and committed: the next goes on from the ledger.
async fn run_all(
    args: &RunArgs,
    mut assembled: Assembled,
    share: &Share,
    letters: Option<&Path>,
    board: &Board,
) -> Result<(), Failure> {
    let reload = (!args.simulate).then(|| Reload::new(&args.config, args.watch, args.grace, &assembled.pipeline));
    let mut stopped = interrupts();
    loop {
        let turn = tokio::select! {
            turn = share.turn(streams(&assembled.pipeline)) => turn?,
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
        };
        if !args.simulate {
            renamed::warn(&assembled.pipeline, &share.kept()?);
        }
        let files = files(&assembled.pipeline);
        let mut topology = topology(assembled, letters)?;
        topology.consumers = turn.consumers();
        let _simulators =
            if args.simulate { simulation::point_at_simulators(&mut topology.sources)? } else { Vec::new() };
        let (stop_sender, stop) = watch::channel(false);
        let options = RunOptions {
            ending: Ending { once: args.once, give_up_after: args.once.then_some(ONCE_GIVES_UP_AFTER), at_once: false },
            clocks: Clocks::Mark,
            grace: args.grace,
            stop: stop.clone(),
            board: board.clone(),
        };
        let mut next = None;
        let outcome = tokio::select! {
            outcome = pipeline(topology, turn.ledger.clone(), options, args.once) => outcome,
            never = until_stopped(stopped.clone(), &stop_sender) => match never {},
            never = reloaded(reload.as_ref(), files, &stop_sender, &mut next) => match never {},
            never = share.until_lost(&turn, &stop_sender) => match never {},
        };
        let lost = share.let_go(&turn);
        match outcome {
            Err(error) if lost && !*stopped.borrow() => {
                tracing::warn!("the share of this instance has ended, others may go on with it: {error}");
            }
            Err(RunError::Grace) if next.is_some() && !*stopped.borrow() => {
                let grace = args.grace;
                tracing::warn!("what was in flight was not delivered within {grace:?}: it is let go, and read again");
            }
            Err(error) if next.is_some() && !*stopped.borrow() => {
                tracing::warn!("the pipeline before the change has failed: {error}");
            }
            other => drop(other.map_err(Failure::run)?),
        }
        match next {
            _ if *stopped.borrow() => return Ok(()),
            Some(changed) => {
                tracing::info!("the pipeline goes on with the new one: the changed configuration is in use");
                assembled = changed;
            }
            None if lost => assembled = again(args).await,
            None => return Ok(()),
        }
    }
}

/// The streams that are read from providers.
fn streams(pipeline: &Pipeline) -> Vec<StreamKey> {
    let of = |source: &SourceSpec| {
        let key = |stream: String| StreamKey { source: source.name.clone(), stream };
        source.built.source.streams().into_iter().map(key).collect::<Vec<_>>()
    };
    pipeline.sources.iter().flat_map(of).collect()
}

/// Runs a pipeline. One that has no stream here waits for its share to change, but for a single pass.
async fn pipeline(
    topology: Topology,
    ledger: Arc<dyn Ledger>,
    options: RunOptions,
    once: bool,
) -> Result<Summary, RunError> {
    let mut stop = options.stop.clone();
    let summary = run_pipeline(topology, ledger, Arc::new(SystemClock), options).await?;
    if !once {
        // An error would mean that nobody can stop it any more, which ends it too.
        let _ = stop.wait_for(|stop| *stop).await;
    }
    Ok(summary)
}

/// The configuration as it is on disk now; one that is being written is waited for.
async fn again(args: &RunArgs) -> Assembled {
    loop {
        match tokio::task::block_in_place(|| assemble(&args.config, Purpose::Run)) {
            Ok(assembled) => return assembled,
            Err(failure) => {
                tracing::error!("the configuration cannot be used; it is read again in 5 seconds:\n{failure}");
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
}

async fn reloaded(
    reload: Option<&Reload>,
    files: Vec<PathBuf>,
    stop: &watch::Sender<bool>,
    next: &mut Option<Assembled>,
) -> Infallible {
    match reload {
        Some(reload) => reload.wait(files, stop, next).await,
        None => std::future::pending().await,
    }
}

/// Sends own metrics and traces from now on, over connections of `runtime`.
fn start_telemetry(options: &Options, runtime: &tokio::runtime::Runtime) -> Result<Telemetry, Failure> {
    let _context = runtime.enter();
    let instance = format!("{:032x}", rand::random::<u128>());
    Telemetry::start(options, env!("CARGO_PKG_VERSION"), &instance)
        .map_err(|error| Failure::config(format!("`telemetry`, `{}`: {error}", error.field)))
}

async fn keep(metrics: Option<api::Metrics>) -> Infallible {
    match metrics {
        Some(metrics) => api::keep(metrics).await,
        None => std::future::pending().await,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Serves the API, if there is one; returns only if that fails.
async fn serve_api(api: Option<Api>, board: Board, metrics: Option<api::Metrics>) -> Failure {
    let Some(Api { address }) = api else { return std::future::pending().await };
    let served = match api::bind(address).await {
        Ok(listener) => api::serve(listener, board, metrics).await,
        Err(error) => Err(error),
    };
    match served {
        Ok(()) => std::future::pending().await,
        Err(error) => Failure::run(format!(
            "cannot serve the API on {address}: {error}; choose another `api.address`, or leave `api` out"
        )),
    }
}

pub(super) async fn show(board: Board, format: LogFormat) -> Infallible {
    terminal::show(board, format).await;
    std::future::pending().await
}

/// Turns true at the first signal to stop; the second one ends the process at once.
fn interrupts() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        interrupted().await;
        tracing::info!("stopping: delivering and committing what is in flight; again to stop at once");
        let _ = sender.send(true);
        interrupted().await;
        std::process::exit(i32::from(crate::exit::FAILED));
    });
    receiver
}

/// Passes the signal on to a pipeline.
async fn until_stopped(mut stopped: watch::Receiver<bool>, stop: &watch::Sender<bool>) -> Infallible {
    if stopped.wait_for(|stopped| *stopped).await.is_ok() {
        let _ = stop.send(true);
    }
    std::future::pending().await
}

/// Returns at the next SIGTERM or SIGINT.
pub(crate) async fn interrupted() {
    let terminated = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// A folder that goes with the process.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("headwater-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
