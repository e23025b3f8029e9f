//! `headwater check`: what each source's endpoint says to a first question.

use super::ask::{NOWHERE, ask, nowhere};
use crate::{
    Failure,
    assemble::{Purpose, assemble, topology},
    consumers, names, simulation,
    table::table,
    terminal,
};
use headwater_config::{DeadLetter, Pipeline, SinkSpec as Configured, State};
use headwater_contracts::{Clock, Period, StartAt};
use headwater_kafka::meet;
use headwater_runtime::{Board, DeadLetterTarget, Phase, SourceSpec, StreamStatus, SystemClock};
use headwater_sink_file::writable;
use headwater_source_kafka::{TopicError, Topics, look};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Events of this age are asked for: enough to see that reading works, little enough to be quick.
const LOOK_BACK: Period = Period::hours(1);
/// How long a cluster may take to answer.
const PROBE: Duration = Duration::from_secs(20);
/// A clock that is further off is worth a remark, seconds: `Date` has whole ones, and answers take a while.
const CLOCK_OFF_S: i64 = 5;

/// The columns of the answer.
const HEADS: [&str; 8] = [
    "stream",
    "result",
    "requests",
    "records read",
    "server's clock",
    "kept for",
    "requests a day, at least",
    "most requests",
];

/// Asks every source's log for the last hour and prints what came of it.
pub(crate) fn check(config: &[PathBuf], timeout: Duration, simulate: bool) -> Result<(), Failure> {
    let purpose = if simulate { Purpose::Simulate } else { Purpose::Run };
    let mut assembled = assemble(config, purpose)?;
    if simulate {
        simulation::spare_the_outside(&mut assembled.pipeline)?;
    } else {
        assembled.log_warnings();
    }
    let places = if simulate { Vec::new() } else { places(&assembled.pipeline) };
    let wanted = names::wanted(&assembled.pipeline);
    // Nothing is delivered, nothing is kept.
    let sinks = std::mem::take(&mut assembled.pipeline.sinks);
    assembled.pipeline.imports.clear();
    let topics: Vec<_> = assembled.pipeline.consumers.drain(..).map(|spec| consumers::topics(&spec)).collect();
    assembled.transforms.clear();
    assembled.pipeline.dead_letter = DeadLetter::Sink(String::new());
    let mut topology = topology(assembled, None)?;
    topology.dead_letters = DeadLetterTarget::Sink(NOWHERE.into());
    topology.sinks.push(nowhere(&topology.sources)?);
    let terms: BTreeMap<String, Terms> =
        topology.sources.iter().map(|source| (source.name.clone(), Terms::of(source))).collect();
    let board = Board::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    let mut probed = Vec::new();
    let oldest = oldest(&topology.sources);
    let outcome = runtime.block_on(async {
        let _simulators = if simulate { simulation::point_at_simulators(&mut topology.sources)? } else { Vec::new() };
        for source in &mut topology.sources {
            source.options.start_at = Some(StartAt::Ago(LOOK_BACK));
        }
        topology.sources.extend(names::inquiries(&wanted, &topology.sources));
        let asked;
        (probed, asked) = futures::join!(probe(sinks, places, oldest, timeout), ask(topology, &board, timeout));
        asked
    });
    terminal::clear();
    outcome?;
    let (inquiries, streams): (Vec<_>, Vec<_>) =
        board.snapshot().into_iter().partition(|stream| names::is_inquiry(&stream.source));
    let reported = report(&streams, &terms, &looks(&topics, timeout), &probed);
    let is_readable =
        |source: &str| streams.iter().filter(|stream| stream.source == source).all(|stream| verdict(stream).is_ok());
    let doubts = names::compare(&wanted, &inquiries, is_readable);
    if !doubts.is_empty() {
        terminal::tell_problems(&doubts);
    }
    reported
}

/// What a look at a sink, or at a folder, has shown.
type Probed = (String, Result<String, String>);

/// What is written beside the sinks: a name, and how it is looked at. Blocking.
type Place = (String, Box<dyn FnOnce() -> Result<String, String> + Send>);

fn places(pipeline: &Pipeline) -> Vec<Place> {
    let folder = |name: &str, path: PathBuf| -> Place {
        let look = move || writable(&path).map(|()| format!("`{}` can be written", path.display()));
        (name.to_owned(), Box::new(look))
    };
    let state = match &pipeline.state {
        _ if consumers::stage(pipeline).is_some() => None,
        State::File { path } => Some(folder("state", path.clone())),
        State::Kafka(state) => {
            let cluster = state.cluster();
            let look = move || match meet(&cluster, PROBE) {
                Ok(brokers) => Ok(format!("{brokers} brokers")),
                Err(unseen) => Err(unseen.to_string()),
            };
            Some(("state".to_owned(), Box::new(look) as _))
        }
    };
    let letters = match &pipeline.dead_letter {
        DeadLetter::Path(path) => Some(folder("dead_letter", path.clone())),
        DeadLetter::Sink(_) => None,
    };
    state.into_iter().chain(letters).collect()
}

/// The age of the oldest events that a first run would read.
fn oldest(sources: &[SourceSpec]) -> Period {
    let now = SystemClock.now();
    let age = |source: &SourceSpec| {
        let start = source.options.start_at.unwrap_or_default().resolve(now);
        (now - start).min(source.built.source.retention())
    };
    Period(sources.iter().map(age).max().unwrap_or_default())
}

/// Looks at all sinks and places at once.
async fn probe(sinks: Vec<Configured>, places: Vec<Place>, oldest: Period, timeout: Duration) -> Vec<Probed> {
    let late = || format!("no answer within {timeout:?}");
    let sinks = sinks.into_iter().map(|mut spec| async move {
        let seen = tokio::time::timeout(timeout, spec.sink.probe(oldest)).await;
        (spec.name, seen.unwrap_or_else(|_| Err(late())))
    });
    let places = places.into_iter().map(|(name, look)| async move {
        let seen = tokio::time::timeout(timeout, tokio::task::spawn_blocking(look)).await;
        let seen = seen.map_or_else(|_| Err(late()), |looked| looked.unwrap_or_else(|panic| Err(panic.to_string())));
        (name, seen)
    });
    let (mut sinks, places) = futures::join!(futures::future::join_all(sinks), futures::future::join_all(places));
    sinks.extend(places);
    sinks
}

/// What a source's settings ask of its provider, and what it may.
struct Terms {
    /// Requests of a day on which nothing happens, for each stream.
    requests: u64,
    /// Most requests.
    limit: String,
    /// How long records can be had.
    retention: Period,
}

impl Terms {
    fn of(source: &SourceSpec) -> Self {
        let built = &source.built;
        let most = source.options.rate_limit.unwrap_or(built.rate_limit);
        let each = if most.per == Period::minutes(1) { "min".to_owned() } else { most.per.to_string() };
        let pause =
            if built.min_interval.0.is_zero() { String::new() } else { format!(", one in {}", built.min_interval) };
        let limit = format!("{}/{each}{pause}", most.requests);
        Self { requests: built.source.requests_per_day(), limit, retention: Period(built.source.retention()) }
    }
}

/// A look at topics, each for its part of the time: its name, and why it cannot be read, if it cannot.
fn looks(topics: &[Topics], timeout: Duration) -> Vec<(String, Result<usize, String>)> {
    let of = |topics: &Topics| {
        let looked = look(topics, timeout / 3);
        let named = |(topic, seen): (String, Result<_, TopicError>)| {
            (format!("{}/{topic}", topics.component), seen.map_err(|unreadable| unreadable.reason))
        };
        looked.into_iter().map(named).collect::<Vec<_>>()
    };
    topics.iter().flat_map(of).collect()
}

fn report(
    streams: &[StreamStatus],
    terms: &BTreeMap<String, Terms>,
    topics: &[(String, Result<usize, String>)],
    probed: &[Probed],
) -> Result<(), Failure> {
    let mut rows: Vec<Vec<String>> = streams
        .iter()
        .map(|stream| {
            let good = verdict(stream).is_ok();
            let terms = terms.get(&stream.source);
            let of = |what: fn(&Terms) -> String| terms.map(what).unwrap_or_default();
            vec![
                format!("{}/{}", stream.source, stream.stream),
                if good { "ok" } else { "failed" }.to_owned(),
                stream.requests.to_string(),
                stream.tally.read.to_string(),
                stream.clock_ahead.map_or_else(|| "unknown".to_owned(), |ahead| format!("{:+} s", ahead.num_seconds())),
                of(|terms| terms.retention.to_string()),
                of(|terms| terms.requests.to_string()),
                of(|terms| terms.limit.clone()),
            ]
        })
        .collect();
    rows.extend(topics.iter().map(|(name, seen)| {
        let result = if seen.is_ok() { "ok" } else { "failed" };
        let partitions = seen.as_ref().map(|count| format!("{count} partitions")).unwrap_or_default();
        let mut row = vec![name.clone(), result.to_owned(), String::new(), partitions];
        row.resize(HEADS.len(), String::new());
        row
    }));
    super::say(table(&HEADS, &rows))?;
    let rows = probed.iter().map(|(name, seen)| {
        let result = if seen.is_ok() { "ok" } else { "failed" };
        vec![name.clone(), result.to_owned(), seen.as_ref().cloned().unwrap_or_default()]
    });
    super::say(format!("\n{}", table(&["sink", "result", "seen"], &rows.collect::<Vec<_>>())))?;
    let mut failed = 0;
    for stream in streams {
        let name = format!("{}/{}", stream.source, stream.stream);
        if let Err(reason) = verdict(stream) {
            failed += 1;
            super::say(format!("\n{name}: {reason}\n"))?;
        }
        if let Some(ahead) = stream.clock_ahead.filter(|ahead| ahead.num_seconds().abs() > CLOCK_OFF_S) {
            super::say(format!(
                "\n{name}: the server's clock and this machine's differ by {} s; reading goes by the server's, yet one of the two is wrong: check NTP here\n",
                ahead.num_seconds().abs()
            ))?;
        }
    }
    for (name, seen) in topics {
        if let Err(reason) = seen {
            failed += 1;
            super::say(format!("\n{name}: {reason}\n"))?;
        }
    }
    let mut stuck = 0;
    for (name, seen) in probed {
        if let Err(reason) = seen {
            stuck += 1;
            super::say(format!("\n{name}: {reason}\n"))?;
        }
    }
    let mut problems = Vec::new();
    if failed > 0 {
        problems.push(format!("{failed} of {} streams cannot be read", streams.len() + topics.len()));
    }
    if stuck > 0 {
        problems.push(format!("{stuck} of {} sinks and folders cannot be written to", probed.len()));
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::run(problems.join("; "))) }
}

/// Whether the stream can be read; else why not, and what to do.
fn verdict(stream: &StreamStatus) -> Result<(), String> {
    match &stream.phase {
        Phase::Failed { reason } | Phase::BackingOff { reason, .. } => Err(reason.clone()),
        _ if stream.problem.is_some() => Err(stream.problem.clone().unwrap_or_default()),
        _ if stream.requests <= stream.failures => Err("no answer in time; try a longer `--timeout`".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_good_once_it_has_answered() {
        let reading = Phase::Reading { scan: "x".into(), progress: None };
        let status = |phase: Phase, requests| StreamStatus { phase, requests, ..StreamStatus::default() };
        assert!(verdict(&status(reading.clone(), 1)).is_ok() && verdict(&status(Phase::Done, 1)).is_ok());
        assert!(verdict(&status(reading.clone(), 0)).unwrap_err().contains("--timeout"));
        // The run is over: what it said last counts.
        let problem = Some("HTTP 404".to_owned());
        let failing = StreamStatus { problem, failures: 2, ..status(Phase::Done, 2) };
        assert_eq!(verdict(&failing), Err("HTTP 404".into()));
        assert_eq!(verdict(&status(Phase::Failed { reason: "401".into() }, 1)), Err("401".into()));
    }
}
