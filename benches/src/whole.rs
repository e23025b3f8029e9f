//! The whole way, as the binary goes it.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cpu_time::ProcessTime;
use headwater_contracts::{
    BuiltSource, Clock, Emit, Event, Period, RateLimit, SinkConfig, SinkOptions, SourceConfig, SourceOptions, StartAt,
    Transform,
};
use headwater_ledger::{FileLedger, Ledger};
use headwater_runtime::{
    Board, Clocks, DeadLetter, DeadLetterTarget, DeadLetters, Ending, OnRefusal, RunOptions, SinkSpec, SourceSpec,
    SystemClock, Topology, TransformSpec, run,
};
use headwater_simulator::Provider;
use headwater_sink_file::FileConfig;
use headwater_source_mural::MuralConfig;
use headwater_source_pactflow::PactflowConfig;
use headwater_vrl::{Compiler, Remap, RemapOptions, Tables, locate_in};
use serde_json::json;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Reads everything: the events as the provider sends them.
pub(crate) fn raws(provider: Provider, url: &str, credential: &str) -> Result<Vec<Bytes>> {
    let raws = Arc::new(Mutex::new(Vec::new()));
    tokio::runtime::Runtime::new()?.block_on(read(provider, url, credential, Arc::new(Keep(raws.clone()))))?;
    let raws = std::mem::take(&mut *raws.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(!raws.is_empty(), "nothing to read");
    Ok(raws)
}

/// Reads everything, normalizes and writes it: CPU time per event, us.
pub(crate) fn measure(provider: Provider, url: &str, credential: &str, least: usize) -> Result<f64> {
    let cores = std::thread::available_parallelism()?.get();
    // As `headwater run` has it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads((cores / 2).clamp(1, 4))
        .max_blocking_threads(cores.min(8) + 2)
        .build()?;
    let program = headwater_library::builtin("normalize.vrl").context("normalize.vrl")?;
    let compiler =
        Compiler::new(headwater_library::functions(headwater_contracts::OcsfVersion::default()), Tables::default());
    let compiled = compiler.compile(program).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let normalize = Remap::new("normalize", compiled, locate_in("normalize.vrl", program), RemapOptions::default());
    let before = ProcessTime::now();
    let delivered = runtime.block_on(read(provider, url, credential, Arc::new(normalize)))?;
    let took = before.elapsed();
    // The oldest expire meanwhile.
    ensure!(delivered * 100 >= least as u64 * 99, "read {delivered} events, before {least}");
    Ok(took.as_secs_f64() * 1e6 / delivered as f64)
}

/// One `run --once` with a fresh ledger and a file sink; returns the number of events delivered.
async fn read(provider: Provider, url: &str, credential: &str, transform: Arc<dyn Transform>) -> Result<u64> {
    let dir = tempfile::tempdir()?;
    let options = SourceOptions {
        start_at: Some(StartAt::Earliest),
        page_size: Some(if provider == Provider::Mural { 50_000 } else { 100 }),
        rate_limit: Some(RateLimit { requests: 1_000_000, per: Period::seconds(1) }),
        ..SourceOptions::default()
    };
    let built: BuiltSource = match provider {
        Provider::PactFlow => {
            serde_json::from_value::<PactflowConfig>(json!({ "endpoint": url, "token": credential }))?.build(&options)
        }
        _ => serde_json::from_value::<MuralConfig>(json!({ "endpoint": url, "api_key": credential }))?.build(&options),
    }?;
    let path = dir.path().join("out.ndjson");
    let file = serde_json::from_value::<FileConfig>(json!({ "path": path }))?.build()?;
    let topology = Topology {
        sources: vec![SourceSpec {
            name: "in".into(),
            built: BuiltSource { min_interval: Period::seconds(0), ..built },
            options,
            simulated: false,
        }],
        imports: Vec::new(),
        consumers: Vec::new(),
        transforms: vec![TransformSpec {
            name: "normalize".into(),
            inputs: vec!["in".into()],
            transform,
            on_refusal: OnRefusal::Stop,
        }],
        sinks: vec![SinkSpec {
            name: "out".into(),
            inputs: vec!["normalize".into()],
            sink: file,
            options: SinkOptions::default(),
        }],
        dead_letters: DeadLetterTarget::Store(Box::new(NoLetters)),
        oversized: None,
    };
    let ledger: Arc<dyn Ledger> = Arc::new(FileLedger::open(&dir.path().join("state"))?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (_keep, stop) = watch::channel(false);
    let ending = Ending { once: true, give_up_after: Some(3), at_once: false };
    let options =
        RunOptions { ending, clocks: Clocks::Mark, grace: Duration::from_secs(5), stop, board: Board::default() };
    let summary = run(topology, ledger, clock, options).await?;
    Ok(summary.streams.iter().map(|stream| stream.tally.delivered).sum())
}

/// Keeps the raw bytes of what passes.
struct Keep(Arc<Mutex<Vec<Bytes>>>);

impl Transform for Keep {
    fn run(&self, events: Vec<Event>, emit: &mut dyn Emit) {
        for event in events {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.raw.clone());
            emit.next(0, event);
        }
    }
}

/// There must be none.
struct NoLetters;

impl DeadLetters for NoLetters {
    fn append(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
        Err(io::Error::other(letters.first().map_or(String::new(), |letter| letter.reason.clone())))
    }
}
