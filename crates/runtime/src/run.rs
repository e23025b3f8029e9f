//! A run: the whole pipeline from start to end.

use crate::{
    budget::Budgets,
    clock::ServerClock,
    consume::Partition,
    driver::{Clocks, Driver, Ending, ImportJob, stopped},
    failure::Failure,
    http::HttpClient,
    hurry::Hurry,
    lane::{InFlight, Lane, LaneContext},
    reader::Bounds,
    sink_driver::SinkDriver,
    splitter::ELEMENT_MAX,
    status::{Board, StreamStatus},
    topology::{ConsumerSpec, DeadLetterTarget, ImportSpec, Topology, Wiring},
};
use headwater_contracts::{Clock, ConfigError, Origin};
use headwater_ledger::{Ledger, StreamKey};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Batches waiting at a sink's door, of all lanes together.
const SINK_QUEUE: usize = 4;

/// How long what has been begun at the end of the grace may take to end.
const LETTING_GO: Duration = Duration::from_secs(5);

/// How to run.
pub struct RunOptions {
    /// When streams are over.
    pub ending: Ending,
    /// What to do while clocks disagree.
    pub clocks: Clocks,
    /// How long what is in flight may take after a stop.
    pub grace: Duration,
    /// Turns `true` when the run must stop.
    pub stop: watch::Receiver<bool>,
    /// Where streams show what they do.
    pub board: Board,
}

/// What a run did.
#[derive(Debug)]
pub struct Summary {
    /// Every stream's last line.
    pub streams: Vec<StreamStatus>,
}

/// Why a run ended before it should.
#[derive(Debug, Error)]
pub enum RunError {
    /// A source's endpoint cannot be prepared.
    #[error("source `{0}`: {1}")]
    Source(String, ConfigError),
    /// A sink cannot do what it is to do with this ledger.
    #[error("sink `{0}`: `{field}` {problem}", field = .1.field, problem = .1.problem)]
    Sink(String, ConfigError),
    /// The pipeline had to stop; nothing that was not delivered is marked as such.
    #[error("{0}")]
    Failed(String),
    /// Some streams were given up; the others are caught up.
    #[error("gave up on {}", .0.join("; "))]
    GivenUp(Vec<String>),
    /// What was in flight did not settle within the grace period. It is read again on the next start.
    #[error("stopped before everything in flight was delivered; the next start reads it again")]
    Grace,
}

/// Runs the pipeline until its streams are over, it is stopped, or it fails.
pub async fn run(
    topology: Topology,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    options: RunOptions,
) -> Result<Summary, RunError> {
    let failure = Failure::new();
    options.board.rest();
    let of_sources = topology.sources.iter().map(|source| &source.name);
    let of_imports = topology.imports.iter().map(|import| &import.name);
    let of_consumers = topology.consumers.iter().map(|consumer| &consumer.name);
    let names: Vec<String> = of_sources.chain(of_imports).chain(of_consumers).cloned().collect();
    let mut imports = topology.imports;
    let (letters_to, letters) = match topology.dead_letters {
        DeadLetterTarget::Store(store) => (None, Some(store)),
        DeadLetterTarget::Sink(name) => (Some(name), None),
    };
    let letters_place: Arc<str> = match (&letters_to, &letters) {
        (Some(sink), _) => format!("sink `{sink}`").into(),
        (None, store) => store.as_ref().map_or_else(String::new, |store| store.place()).into(),
    };
    let wiring = Arc::new(Wiring::new(&names, topology.transforms, &topology.sinks, letters_to.as_deref()));
    let letters = Arc::new(Mutex::new(letters));
    let trial = wiring.trial();
    let ledger = trial.before(ledger);
    let (undecided_to, mut undecided) = mpsc::unbounded_channel();
    let rejections = options.board.rejections();
    let (alive, mut lanes_over) = mpsc::channel(1);

    // All clients first: nothing starts if one cannot be made.
    let budgets = Budgets::default();
    let mut sources = Vec::new();
    for spec in topology.sources {
        let http = HttpClient::new(&spec.built.endpoint, &spec.built.auth, &spec.options)
            .map_err(|e| RunError::Source(spec.name.clone(), e))?;
        let limit = spec.options.rate_limit.unwrap_or(spec.built.rate_limit);
        let budget = budgets.of(spec.built.endpoint.authority(), limit);
        sources.push((spec, http, budget));
    }

    let hurry = Hurry::default();
    let mut sinks = Vec::new();
    let mut sink_tasks = JoinSet::new();
    for mut spec in topology.sinks {
        // Without one, a sink that needs it was refused with the configuration; on simulators it does without.
        if let Some(outbox) = ledger.outbox(&spec.name) {
            spec.sink.join(Some(outbox)).map_err(|error| RunError::Sink(spec.name.clone(), error))?;
        }
        let (sender, jobs) = mpsc::channel(SINK_QUEUE);
        let driver = SinkDriver {
            line: options.board.sink(&spec.name),
            name: spec.name,
            sink: spec.sink,
            options: spec.options,
            clock: clock.clone(),
            failure: failure.clone(),
            hurry: hurry.clone(),
            stop: options.stop.clone(),
            give_up_after: options.ending.give_up_after,
        };
        sink_tasks.spawn(driver.run(jobs));
        sinks.push(sender);
    }

    let agent = format!("headwater/{} (poller {:08x}", env!("CARGO_PKG_VERSION"), rand::random::<u32>());
    let mut streams = JoinSet::new();
    for (spec, http, budget) in sources {
        let server = Arc::new(ServerClock::new(&spec.name, clock.clone(), spec.options.max_clock_skew));
        let source: Arc<dyn headwater_contracts::Source> = Arc::from(spec.built.source);
        for stream in source.streams() {
            let key = StreamKey { source: spec.name.clone(), stream: stream.clone() };
            if !ledger.owns(&key) {
                continue;
            }
            let origin = Arc::new(Origin {
                source: spec.name.clone(),
                provider: spec.built.provider.into(),
                stream: stream.clone(),
                own_query_policy: spec.built.own_query_policy,
                simulated: spec.simulated,
                read_by: None,
            });
            // For the stream itself, and for files of its events, which leave from the component that names them.
            let most =
                spec.options.max_event_bytes.map_or(ELEMENT_MAX, |most| usize::try_from(most.0).unwrap_or(usize::MAX));
            // Of a source that shortens them, longer ones are delivered too.
            let limit = if source.shortens() { most.max(ELEMENT_MAX) } else { most };
            let bounds = Bounds { limit, folder: topology.oversized.clone() };
            let driver = |component: &str, forgets: bool| {
                let line = options.board.line(component, &stream);
                line.update(|line| line.progress = Some(clock.now()));
                let in_flight = InFlight::default();
                let lane = Lane::start(LaneContext {
                    source: component.to_owned(),
                    key: key.clone(),
                    wiring: wiring.clone(),
                    sinks: sinks.clone(),
                    letters: letters.clone(),
                    letters_place: letters_place.clone(),
                    rejections: rejections.clone(),
                    trial: trial.clone(),
                    // What a file has delivered is kept in its archive as well.
                    holds: forgets,
                    undecided: undecided_to.clone(),
                    _alive: alive.clone(),
                    commits: ledger.clone(),
                    clock: clock.clone(),
                    in_flight: in_flight.clone(),
                    line: line.clone(),
                    failure: failure.clone(),
                    hurry: hurry.clone(),
                    give_up_after: options.ending.give_up_after,
                });
                Driver {
                    source: source.clone(),
                    origin: origin.clone(),
                    key: key.clone(),
                    http: http.clone(),
                    budget: budget.clone(),
                    min_interval: spec.built.min_interval,
                    start_at: spec.options.start_at.unwrap_or_default(),
                    retry: spec.options.retry.unwrap_or_default(),
                    server: server.clone(),
                    clock: clock.clone(),
                    ledger: ledger.clone(),
                    lane,
                    in_flight,
                    line,
                    failure: failure.clone(),
                    stop: options.stop.clone(),
                    ending: options.ending,
                    clocks: options.clocks,
                    forgets,
                    bounds: bounds.clone(),
                    agent: agent.clone(),
                }
            };
            let mut files = Vec::new();
            for import in imports.extract_if(.., |import| import.source == spec.name && import.stream == stream) {
                let ImportSpec { name, files: paths, reading, .. } = import;
                files.push((driver(&name, false), ImportJob { name, files: paths, reading }));
            }
            streams.spawn(one_after_the_other(files, driver(&spec.name, true)));
        }
    }
    for ConsumerSpec { name, consumer } in topology.consumers {
        for stream in consumer.streams() {
            let context = LaneContext {
                source: name.clone(),
                key: StreamKey { source: name.clone(), stream: stream.clone() },
                wiring: wiring.clone(),
                sinks: sinks.clone(),
                letters: letters.clone(),
                letters_place: letters_place.clone(),
                rejections: rejections.clone(),
                trial: trial.clone(),
                // Offsets are kept elsewhere.
                holds: false,
                undecided: undecided_to.clone(),
                _alive: alive.clone(),
                commits: ledger.clone(),
                clock: clock.clone(),
                in_flight: InFlight::default(),
                line: options.board.line(&name, &stream),
                failure: failure.clone(),
                hurry: hurry.clone(),
                give_up_after: options.ending.give_up_after,
            };
            let (consumer, stop) = (consumer.clone(), options.stop.clone());
            streams.spawn(Partition { consumer, context, ending: options.ending, stop }.run());
        }
    }
    drop(sinks);
    drop((undecided_to, alive));
    options.board.begin();

    let mut given_up = Vec::new();
    let all = async {
        while let Some(ended) = streams.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => given_up.push(reason),
                Err(panic) => failure.set(format!("a stream crashed: {panic}")),
            }
        }
        let verdict = trial.verdict();
        while let Ok(lane) = undecided.try_recv() {
            // Otherwise it is read again.
            if verdict.is_none() && failure.get().is_none() {
                lane.settle().await;
            }
        }
        if let Some(verdict) = verdict.filter(|_| options.ending.once && !*options.stop.borrow()) {
            failure.set(verdict);
        }
        while let Some(ended) = sink_tasks.join_next().await {
            if let Err(panic) = ended {
                failure.set(format!("a sink crashed: {panic}"));
            }
        }
    };
    let mut stop = options.stop.clone();
    let grace_over = async {
        tokio::select! {
            () = stopped(&mut stop) => {}
            () = failure.happened() => {}
        }
        clock.sleep(options.grace).await;
    };
    let settled = tokio::select! {
        () = all => true,
        () = grace_over => false,
    };
    if !settled {
        // What was not delivered is let go. A commit that has been begun comes to its end: whoever runs next reads what it left.
        streams.shutdown().await;
        sink_tasks.shutdown().await;
        drop(undecided);
        tokio::select! {
            _ = lanes_over.recv() => {}
            () = clock.sleep(LETTING_GO) => {}
        }
    }
    match failure.get() {
        Some(reason) => Err(RunError::Failed(reason)),
        None if !settled => Err(RunError::Grace),
        None if !given_up.is_empty() => Err(RunError::GivenUp(given_up)),
        None => Ok(Summary { streams: options.board.snapshot() }),
    }
}

/// Imports the files of a stream, then reads the stream: both at once would have to agree on every event. A file that cannot
/// be read does not keep the stream from being read.
async fn one_after_the_other(files: Vec<(Driver, ImportJob)>, stream: Driver) -> Result<(), String> {
    let (failure, stop) = (stream.failure.clone(), stream.stop.clone());
    let mut problems = Vec::new();
    for (driver, job) in files {
        problems.extend(driver.import(job).await.err());
        if failure.get().is_some() || *stop.borrow() {
            break;
        }
    }
    let over = failure.get().is_some() || *stop.borrow();
    problems.extend(if over { stream.skip().await } else { stream.run().await }.err());
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}
