//! `headwater query`: a question to a source's log, answered at once. No ledger, no pipeline, nothing kept.

use super::ask::one_source;
use crate::{
    Failure,
    cli::{CsvFormulas, LogFormat, QueryArgs, QueryFormat},
    simulation,
    table::Table,
    terminal,
};
use async_trait::async_trait;
use headwater_config::{Question, SourceFile};
use headwater_contracts::{
    Clock, Delivery, Emit, Event, Lookup, Period, Rejected, Sink, SinkError, SinkOptions, Span, StartAt, Timestamp,
    Transform,
};
use headwater_ledger::MemoryLedger;
use headwater_runtime::{
    Board, Clocks, DeadLetter, DeadLetterTarget, DeadLetters, Ending, OnRefusal, RunOptions, SinkSpec, SourceSpec,
    SystemClock, Topology, TransformSpec, run,
};
use headwater_sink_kit::{Formulas, cells, csv_record, for_terminals, line};
use headwater_vrl::{Compiler, Filter, Program, Remap, RemapOptions, Tables, locate_in, render};
use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tracing::Level;
use vrl::path::OwnedValuePath;

/// What a table shows of a normalized event.
const COLUMNS: &[&str] = &["time", "actor.user.name", "metadata.event_code", "status", "message"];
/// Failures in a row after which the question is given up.
const GIVE_UP_AFTER: u32 = 5;
/// So many events that are left out are named; the others are counted.
const SAID: u64 = 10;
/// How often a log line says how far the reading is.
const NARRATE_EVERY: Duration = Duration::from_secs(10);

/// Reads the log, and prints what was asked for.
pub(crate) fn query(args: &QueryArgs, log_format: LogFormat) -> Result<(), Failure> {
    let now = SystemClock.now();
    let (since, until) = (args.since.resolve(now), args.until.resolve(now));
    if since >= until {
        return Err(Failure::usage(format!("--since ({since}) is not before --until ({until})")));
    }
    let columns = columns(args)?;
    let paths = columns.iter().filter_map(|(_, path)| path.clone()).collect();
    let rows = Arc::new(Mutex::new(Rows::new(args, &columns)));
    let (asked, left_out) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut asked_of = source(args, since)?;
    // A condition may let few of the newest pass, and none of them is known to be enough.
    let newest = args.last.filter(|_| args.condition.is_none());
    let lookup = Lookup { range: Span::new(since, until), newest, at: now };
    let newest_first = asked_of.built.source.look_up(lookup);
    let enough = Arc::new(Notify::new());
    let mut topology = Topology {
        sources: vec![asked_of],
        imports: Vec::new(),
        consumers: Vec::new(),
        transforms: transforms(args, Within { since, until, asked: asked.clone() })?,
        sinks: Vec::new(),
        dead_letters: DeadLetterTarget::Store(Box::new(Remarks(left_out.clone()))),
        oversized: None,
    };
    topology.sinks.push(SinkSpec {
        name: "answer".into(),
        inputs: topology.transforms.last().map(|last| last.name.clone()).into_iter().collect(),
        sink: Box::new(Answer { rows: rows.clone(), paths, columns, enough: newest_first.then(|| enough.clone()) }),
        options: SinkOptions::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    let board = Board::default();
    let outcome = runtime.block_on(async {
        let _simulators = if args.simulate {
            let simulators = simulation::point_at_simulators(&mut topology.sources)?;
            topology.sources.iter_mut().for_each(|source| source.options.start_at = Some(StartAt::At(since)));
            simulators
        } else {
            Vec::new()
        };
        announce(&topology.sources, since, until, args.simulate);
        warn_of_retention(&topology.sources, since, now);
        // What depends on the time is where the range begins and ends; a fixed range does not.
        let fixed = |time| matches!(time, StartAt::At(_) | StartAt::Earliest);
        let clocks = if fixed(args.since) && fixed(args.until) { Clocks::Ignore } else { Clocks::Demand };
        let ending = Ending { once: true, give_up_after: Some(GIVE_UP_AFTER), at_once: false };
        let (_never, stop) = watch::channel(false);
        let options = RunOptions { ending, clocks, grace: Duration::ZERO, stop, board: board.clone() };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        tokio::select! {
            outcome = run(topology, Arc::new(MemoryLedger::default()), clock, options) => {
                outcome.map(|_| ()).map_err(Failure::run)
            }
            () = enough.notified() => Ok(()),
            never = super::run::show(board.clone(), log_format) => match never {},
            never = terminal::narrate(board.clone(), log_format, NARRATE_EVERY) => match never {},
            () = super::run::interrupted() => Err(Failure::run("interrupted: the answer is not complete")),
        }
    });
    terminal::clear();
    outcome?;
    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    rows.finish()?;
    match left_out.load(Ordering::Relaxed) {
        0 => {}
        left_out => tracing::warn!(
            "not in the answer, as they cannot be shown like this: {left_out} of the events; `--format json` without `--where` and `--normalize` has them"
        ),
    }
    rows.sum_up(asked.load(Ordering::Relaxed), !args.columns.is_empty());
    Ok(())
}

/// Says what is read, and how fast it may be: where calls are few, an answer takes minutes.
fn announce(sources: &[SourceSpec], since: Timestamp, until: Timestamp, simulated: bool) {
    for SourceSpec { name, built, options, .. } in sources {
        let rate = options.rate_limit.unwrap_or(built.rate_limit);
        let pace = format!("at most {} calls per {}, {} apart", rate.requests, rate.per, built.min_interval);
        let pace = if simulated { "as fast as can be" } else { &pace };
        let whole = |time: Timestamp| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        tracing::info!(source = %name, "reading from {} to {}; {pace}", whole(since), whole(until));
    }
}

/// Says that the log does not reach as far back as the question, where its provider does not keep it so long.
fn warn_of_retention(sources: &[SourceSpec], since: Timestamp, now: Timestamp) {
    for SourceSpec { name, built, .. } in sources {
        let retention = built.source.retention();
        let holds_since = now - retention;
        // Whoever asks for all that there is gets it.
        if since < holds_since && since != StartAt::Earliest.resolve(now) {
            tracing::warn!(
                source = %name,
                "asked from {since} on, and the provider keeps its log for {}: what happened before {} is not in the answer",
                Period(retention),
                holds_since.format("%FT%TZ"),
            );
        }
    }
}

fn source(args: &QueryArgs, since: Timestamp) -> Result<SourceSpec, Failure> {
    let filter = (!args.filter.is_empty()).then(|| SourceFile::new("--filter", "", args.filter.join("\n").as_str()));
    let question = Question { source: &args.source, filter: filter.as_ref() };
    let mut spec = one_source(&args.config, question, args.simulate)?;
    spec.options.start_at = Some(StartAt::At(since));
    spec.built.min_interval = spec.built.question_interval;
    Ok(spec)
}

/// The time asked for, the condition, the normalization: one after the other.
fn transforms(args: &QueryArgs, within: Within) -> Result<Vec<TransformSpec>, Failure> {
    let mut steps: Vec<(&str, Arc<dyn Transform>)> = vec![("within", Arc::new(within))];
    let compiler =
        Compiler::new(headwater_library::functions(headwater_contracts::OcsfVersion::default()), Tables::default());
    if let Some(text) = &args.condition {
        let compiled = compiler.compile_condition(text);
        let condition =
            compiled.map_err(|problems| Failure::program(render("--where", text, &problems)).on_the_command_line())?;
        if !condition.warnings().is_empty() {
            terminal::tell(Level::WARN, render("--where", text, condition.warnings()).trim_end());
        }
        steps.push(("where", Arc::new(Filter::new("where", condition, locate_in("--where", text)))));
    }
    if normalizes(args) {
        let text = headwater_library::builtin("normalize.vrl").unwrap_or_default();
        let program: Program = compiler
            .compile(text)
            .map_err(|problems| Failure::run(render("builtin:normalize.vrl", text, &problems)))?;
        let locate = locate_in("builtin:normalize.vrl", text);
        steps.push(("normalize", Arc::new(Remap::new("normalize", program, locate, RemapOptions::default()))));
    }
    let mut input = args.source.clone();
    let spec = |(name, transform): (&str, Arc<dyn Transform>)| {
        // No source may be in the way of these names.
        let name = format!("query {name}");
        let inputs = vec![std::mem::replace(&mut input, name.clone())];
        TransformSpec { name, inputs, transform, on_refusal: OnRefusal::DeadLetter }
    };
    Ok(steps.into_iter().map(spec).collect())
}

fn normalizes(args: &QueryArgs) -> bool {
    args.normalize || (args.format != QueryFormat::Json && args.columns.is_empty())
}

/// A column's heading and path; no path for the event's time.
type Column = (String, Option<OwnedValuePath>);

fn columns(args: &QueryArgs) -> Result<Vec<Column>, Failure> {
    if args.format == QueryFormat::Json && !args.columns.is_empty() {
        return Err(Failure::usage("--columns is for `--format csv` and `--format table`"));
    }
    let asked = args.columns.iter().map(String::as_str);
    let names: Vec<&str> = if args.columns.is_empty() { COLUMNS.to_vec() } else { asked.collect() };
    let parse = |name: &str| {
        if name == "time" {
            return Ok((name.to_owned(), None));
        }
        let path = headwater_contracts::path(name)
            .ok_or_else(|| Failure::usage(format!("--columns: `{name}` is not a path such as `action` or `a[0].b`")))?;
        Ok((name.to_owned(), Some(path)))
    };
    names.into_iter().map(parse).collect()
}

/// Lets pass what happened in the time asked for, and drops the traces of the question itself.
struct Within {
    since: Timestamp,
    until: Timestamp,
    /// How many have passed.
    asked: Arc<AtomicU64>,
}

impl Transform for Within {
    fn run(&self, events: Vec<Event>, emit: &mut dyn Emit) {
        for event in events {
            // What bears no readable time could be from any.
            let inside = event.time.is_none_or(|time| self.since <= time && time < self.until);
            if inside && !event.own_query {
                self.asked.fetch_add(1, Ordering::Relaxed);
                emit.next(0, event);
            } else {
                emit.drop(&event);
            }
        }
    }
}

/// The sink.
struct Answer {
    rows: Arc<Mutex<Rows>>,
    columns: Vec<Column>,
    /// Those of the columns that have one.
    paths: Vec<OwnedValuePath>,
    /// Told when the newest events that are asked for are there, where these are read first.
    enough: Option<Arc<Notify>>,
}

impl Answer {
    /// Adds events to the answer; whether there are as many now as are asked for. Those that have no row are handed to `rejected`.
    fn take(&self, events: &[Event], rejected: &mut Vec<Rejected>) -> Result<bool, SinkError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, event) in events.iter().enumerate() {
            let row = match rows.row(event, &self.columns, &self.paths) {
                Ok(row) => row,
                Err(reason) => {
                    rejected.push(Rejected { index, reason });
                    continue;
                }
            };
            rows.add(event.time, row).map_err(|failure| SinkError::Fatal(failure.to_string()))?;
        }
        rows.stopped = self.enough.is_some() && rows.are_enough();
        Ok(rows.stopped)
    }
}

#[async_trait]
impl Sink for Answer {
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        let mut rejected = Vec::new();
        if self.take(events, &mut rejected)?
            && let Some(enough) = &self.enough
        {
            enough.notify_one();
            // Once this returned, more would be read.
            return std::future::pending().await;
        }
        Ok(Delivery { rejected })
    }
}

/// One event of the answer.
enum Row {
    Text(Vec<u8>),
    Cells(Vec<String>),
}

/// The answer: printed as it comes where order and width allow it, else kept until the end.
struct Rows {
    format: QueryFormat,
    formulas: Formulas,
    /// Whether stdout obeys control characters.
    to_terminal: bool,
    headings: Vec<String>,
    /// Which of the columns have had a value.
    filled: Vec<bool>,
    last: Option<usize>,
    /// By time, and by arrival among equal times.
    kept: BTreeMap<(Option<Timestamp>, u64), Row>,
    count: u64,
    /// Whether older events were left unread, as nobody asked for them.
    stopped: bool,
}

impl Rows {
    fn new(args: &QueryArgs, columns: &[Column]) -> Self {
        let headings = columns.iter().map(|(name, _)| name.clone()).collect();
        let filled = vec![false; columns.len()];
        let formulas = match args.csv_formulas {
            CsvFormulas::Escape => Formulas::Escape,
            CsvFormulas::Keep => Formulas::Keep,
        };
        let to_terminal = io::stdout().is_terminal();
        let kept = BTreeMap::new();
        Self {
            format: args.format,
            formulas,
            to_terminal,
            headings,
            filled,
            last: args.last,
            kept,
            count: 0,
            stopped: false,
        }
    }

    fn row(&mut self, event: &Event, columns: &[Column], paths: &[OwnedValuePath]) -> Result<Row, String> {
        let mut text = Vec::new();
        if self.format == QueryFormat::Json {
            line(event, &mut text)?;
            text.push(b'\n');
            return Ok(Row::Text(if self.to_terminal { for_terminals(&text) } else { text }));
        }
        let mut values = cells(event, paths)?.into_iter();
        let time =
            || event.time.map_or_else(String::new, |time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
        let row: Vec<String> = columns
            .iter()
            .map(|(_, path)| if path.is_none() { time() } else { values.next().unwrap_or_default() })
            .collect();
        for (filled, cell) in self.filled.iter_mut().zip(&row) {
            *filled |= !cell.is_empty();
        }
        if self.format == QueryFormat::Table {
            return Ok(Row::Cells(row));
        }
        let row: Vec<String> = row.iter().map(|cell| self.formulas.cell(cell).into_owned()).collect();
        csv_record(&row).map(Row::Text)
    }

    fn add(&mut self, time: Option<Timestamp>, row: Row) -> Result<(), Failure> {
        self.count += 1;
        match row {
            Row::Text(text) if self.last.is_none() => {
                let heading = if self.count == 1 { self.heading() } else { Vec::new() };
                super::print([heading, text].concat())
            }
            row => {
                self.kept.insert((time, self.count), row);
                if self.last.is_some_and(|last| self.kept.len() > last) {
                    self.kept.pop_first();
                }
                Ok(())
            }
        }
    }

    /// Whether there are as many as are asked for, all with their time.
    fn are_enough(&self) -> bool {
        let oldest = self.kept.keys().next();
        self.last.is_some_and(|last| self.kept.len() >= last) && oldest.is_none_or(|(time, _)| time.is_some())
    }

    fn heading(&self) -> Vec<u8> {
        if self.format == QueryFormat::Csv { csv_record(&self.headings).unwrap_or_default() } else { Vec::new() }
    }

    /// Prints what was kept.
    fn finish(&mut self) -> Result<(), Failure> {
        let mut text = if self.last.is_some() || self.count == 0 { self.heading() } else { Vec::new() };
        let kept = std::mem::take(&mut self.kept);
        let headings: Vec<&str> = self.headings.iter().map(String::as_str).collect();
        let mut table = Table::new(&headings);
        for row in kept.values() {
            if let Row::Cells(cells) = row {
                table.measure(cells);
            }
        }
        let mut lines = if self.format == QueryFormat::Table { table.heading() } else { String::new() };
        for row in kept.into_values() {
            match row {
                Row::Text(line) => text.extend(line),
                Row::Cells(cells) => table.row(&cells, &mut lines),
            }
        }
        text.extend(lines.into_bytes());
        super::print(&text)
    }

    /// Says on stderr how many events matched of those `asked` about, and which columns nothing stood in: a path that is
    /// mistyped is no mistake that could be told from one that no event happens to have.
    fn sum_up(&self, asked: u64, by_columns: bool) {
        let matched = self.count;
        match self.last {
            Some(last) if self.stopped => {
                super::remark(format_args!("the newest {last} events that match; older ones were not looked for"));
            }
            Some(last) if u64::try_from(last).is_ok_and(|last| last < matched) => {
                super::remark(format_args!("{matched} of {asked} events matched; the newest {last} are shown"));
            }
            _ => super::remark(format_args!("{matched} of {asked} events matched")),
        }
        let empty = self.headings.iter().zip(&self.filled).filter(|(_, filled)| !**filled);
        for (name, _) in empty.filter(|_| by_columns && matched > 0) {
            let text = format!(
                "warning: no event has a value for the column `{name}`; `--format json` shows which paths there are"
            );
            terminal::tell(Level::WARN, &text);
        }
    }
}

/// There is no store for what is no record: a person is told.
struct Remarks(Arc<AtomicU64>);

impl DeadLetters for Remarks {
    fn append(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
        for letter in letters {
            if self.0.fetch_add(1, Ordering::Relaxed) < SAID {
                tracing::warn!("left out `{}`: {}", letter.event.id, letter.reason);
            }
        }
        Ok(())
    }
}
