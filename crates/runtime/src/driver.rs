//! The scan driver of one stream: plan, request, split, recognise, hand to the lane, and mark what is complete.

mod announce;
mod import;
mod login;
mod page;
mod retention;
mod sort;
mod start;
mod time;

pub(crate) use import::ImportJob;
pub(crate) use retention::retention_left;
use time::Times;
pub use time::{Clocks, ahead};

use crate::{
    backoff::Backoff,
    budget::Budget,
    clock::ServerClock,
    failure::Failure,
    http::HttpClient,
    lane::{Closed, InFlight, Lane, Work},
    reader::Bounds,
    settle::FULL_DISK_WAIT,
    status::{Line, Phase},
    trace::Span as Trace,
};
use headwater_contracts::{
    Clock, Coverage, Next, Origin, OwnRequests, Period, ReadError, Retry, Scan, Source, Span, StartAt, StreamView,
    Tally, Timestamp,
};
use headwater_ledger::{Commit, Ledger, LedgerError, StreamKey, StreamRecord};
use serde_json::Value;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Most events in one batch.
pub(crate) const BATCH_EVENTS: usize = 200;
/// Most raw bytes in one batch.
const BATCH_BYTES: usize = 256 << 10;
/// First wait after an answer that a person must act on: it will not get better by asking soon.
const SLOW_RETRY: Period = Period::seconds(30);
/// A wait that `--once` does not sit out.
pub(crate) const LONG_WAIT: Duration = Duration::from_mins(5);
/// Restarts of one scan before it is treated as failing.
const RESTARTS_MAX: u32 = 20;

/// When a stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// End when caught up, instead of polling on.
    pub once: bool,
    /// Give the stream up after so many failures in a row; at once if access is denied. `None`: never.
    pub give_up_after: Option<u32>,
    /// Give it up at once also where the answer is no page at all: somebody waits to be told.
    pub at_once: bool,
}

/// Everything a stream's driver works with.
pub(crate) struct Driver {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) key: StreamKey,
    pub(crate) http: HttpClient,
    pub(crate) budget: Arc<Budget>,
    pub(crate) min_interval: Period,
    pub(crate) start_at: StartAt,
    pub(crate) retry: Retry,
    pub(crate) server: Arc<ServerClock>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) lane: Lane,
    pub(crate) in_flight: InFlight,
    pub(crate) line: Line,
    pub(crate) failure: Failure,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) ending: Ending,
    pub(crate) clocks: Clocks,
    /// Whether identities that no scan will meet again are forgotten. Not while files are read; then each batch is committed.
    pub(crate) forgets: bool,
    /// How long a record may be.
    pub(crate) bounds: Bounds,
    /// `headwater/1.2.3 (poller 01ab23cd`: the fixed part of the `User-Agent`.
    pub(crate) agent: String,
}

/// Why a stream's reading ends before it is caught up.
enum Halt {
    /// Told to stop.
    Stop,
    /// The run has failed elsewhere, or fails here.
    Failed(String),
    /// This stream is given up (`--once`); others go on.
    GivenUp(String),
}

impl From<Closed> for Halt {
    fn from(Closed: Closed) -> Self {
        Self::Failed("a transform, a sink or the ledger has stopped working".into())
    }
}

/// The state of reading that outlives a page.
#[allow(clippy::struct_excessive_bools, reason = "each is about something else")]
struct Reading {
    coverage: Coverage,
    sent: OwnRequests,
    undated: Vec<announce::Undated>,
    /// Records that do not fill a batch yet.
    held: sort::Held,
    /// Read and suppressed since the last balance.
    tally: Tally,
    /// What the lane had settled at the last balance.
    settled_before: u64,
    /// No scan has been completed since the run began.
    first: bool,
    last_request: Option<Timestamp>,
    /// Logins of the component that this stream has heard of.
    logins_seen: usize,
    /// Outlives scans: a new plan is no reason to ask sooner.
    backoff: Backoff,
    /// Scans started again since the last one that got somewhere.
    restarts: u32,
    /// Scans abandoned in a row of which nothing came that was new.
    in_vain: u32,
    /// Pages in a row that had records and called themselves an error.
    complaints: u32,
    /// Different warnings of the provider that have been logged.
    warnings: u32,
    /// Why the scan under way does not count as complete, although it goes on.
    incomplete: Option<String>,
    /// Where the stream's first run began.
    start: Option<Timestamp>,
    /// The state that the plan was made from.
    state: Option<Value>,
    times: Times,
    /// Gaps of the plan that are not reported yet.
    gaps: Vec<headwater_contracts::Gap>,
    /// When the last warning was logged.
    told_of_retention: Option<Timestamp>,
    /// Whether it has been up to date, in this run or before: until then it is short of time by choice.
    has_caught_up: bool,
    /// Remarks that have been logged.
    notes: HashSet<String>,
}

impl Reading {
    fn new(retry: Retry) -> Self {
        Self {
            coverage: Coverage::default(),
            sent: OwnRequests::default(),
            undated: Vec::new(),
            held: sort::Held::default(),
            tally: Tally::default(),
            settled_before: 0,
            first: true,
            last_request: None,
            logins_seen: 0,
            backoff: Backoff::new(retry),
            restarts: 0,
            in_vain: 0,
            complaints: 0,
            warnings: 0,
            incomplete: None,
            start: None,
            state: None,
            times: Times::default(),
            gaps: Vec::new(),
            told_of_retention: None,
            has_caught_up: false,
            notes: HashSet::new(),
        }
    }

    /// Takes over what the ledger holds. Echoes that are on their way through the lane have used up their requests here
    /// before they have there, so only the first look brings requests.
    fn catch_up(&mut self, record: &StreamRecord) {
        self.coverage = record.coverage.clone();
        self.has_caught_up |= self.start.is_none() && !self.coverage.ranges().is_empty();
        self.start = Some(record.start);
        self.state.clone_from(&record.state);
        if self.last_request.is_none() {
            record.own_requests.iter().cloned().for_each(|request| self.sent.insert(request));
            self.last_request = record.calls.last().copied();
        }
    }
}

impl Driver {
    /// Reads the stream until it is over. `Err` holds why a stream was given up.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let ended = self.read().await;
        self.end(ended).await
    }

    /// Ends without having begun: the run is over.
    pub(crate) async fn skip(self) -> Result<(), String> {
        self.end(Err(Halt::Stop)).await
    }

    /// Lets what is in flight finish, and shows how it ended.
    async fn end(self, ended: Result<(), Halt>) -> Result<(), String> {
        let outcome = match ended {
            Ok(()) | Err(Halt::Stop) => {
                // What is in flight is still delivered and committed.
                let _ = self.lane.drain().await;
                self.line.phase(Phase::Done);
                Ok(())
            }
            Err(Halt::GivenUp(reason)) => {
                tracing::error!(source = %self.key.source, stream = %self.key.stream, "given up: {reason}");
                let _ = self.lane.drain().await;
                self.line.phase(Phase::Failed { reason: reason.clone() });
                Err(format!("{}/{}: {reason}", self.key.source, self.key.stream))
            }
            Err(Halt::Failed(reason)) => {
                self.line.phase(Phase::Failed { reason: reason.clone() });
                self.failure.set(reason.clone());
                Err(reason)
            }
        };
        self.lane.close().await;
        outcome
    }

    async fn read(&mut self) -> Result<(), Halt> {
        let mut reading = Reading::new(self.retry);
        loop {
            let record = self.record(&mut reading).await?;
            if record.complete {
                return Ok(());
            }
            reading.catch_up(&record);
            self.watch_retention(&mut reading);
            let plan = self.plan(&record, reading.first, self.server_now() + reading.times.lead);
            // Where nothing is due, no answer may ever show the server's clock.
            let is_told = self.standing().agreed || plan.scans.is_empty() && self.server.trouble().is_none();
            if is_told && !reading.times.compared {
                reading.times.compared = true;
                self.compare_start(self.start_at.resolve(self.server_now()), record.start);
            }
            reading.gaps = plan.gaps;
            // Unless the clocks agree, a remark may be about the wrong one; the next plan has it again.
            let sure = plan.scans.is_empty() || self.standing().near;
            for note in plan.notes.into_iter().filter(|_| sure) {
                self.note(note, &mut reading);
            }
            if plan.scans.is_empty() {
                let until = plan
                    .wake
                    .map_or_else(|| self.server_now() + chrono::Duration::minutes(1), |wake| wake - reading.times.lead);
                self.report_gaps(&mut reading);
                if self.ending.once {
                    return self.unmarked(&reading);
                }
                tracing::info!(source = %self.key.source, stream = %self.key.stream, "caught up; next look at {until}");
                self.got_somewhere();
                self.line.phase(Phase::CaughtUp { until });
                reading.has_caught_up = true;
                self.rest(until, &mut reading).await?;
                continue;
            }
            for scan in plan.scans {
                if !self.scan(scan, &mut reading).await? {
                    break;
                }
            }
        }
    }

    /// Says something once.
    fn note(&self, note: String, reading: &mut Reading) {
        if !reading.notes.contains(&note) {
            tracing::warn!(source = %self.key.source, stream = %self.key.stream, "{note}");
            reading.notes.insert(note);
        }
    }

    fn plan(&self, record: &StreamRecord, first: bool, now: Timestamp) -> headwater_contracts::Plan {
        let since = now - self.source.budget_window();
        // Those of a time still to come were noted by a wrong clock: they would count for as long as it was ahead.
        let most = self.server.most(now);
        let made = |sent: &Timestamp| since <= *sent && *sent <= most;
        let calls: Vec<Timestamp> = record.calls.iter().copied().filter(made).collect();
        self.source.plan(&StreamView {
            stream: &self.key.stream,
            now,
            start: record.start,
            first,
            coverage: &record.coverage,
            state: record.state.as_ref(),
            calls: &calls,
        })
    }

    /// Runs one scan, and whatever it splits into, to completion. `false` if it was abandoned: an answer that nobody can
    /// use may be the plan's fault, so that a new one is needed. What was read of it stays read.
    async fn scan(&mut self, scan: Box<dyn Scan>, reading: &mut Reading) -> Result<bool, Halt> {
        let mut stack = vec![scan];
        while let Some(mut scan) = stack.pop() {
            tracing::debug!(source = %self.key.source, stream = %self.key.stream, "{}", scan.describe());
            let mut trace = Trace::scan(&self.key, scan.describe());
            (reading.complaints, reading.incomplete) = (0, None);
            loop {
                self.line.phase(Phase::Reading { scan: scan.describe(), progress: scan.progress() });
                let read = self.page(scan.as_mut(), reading, &trace).await?;
                for remark in scan.remarks() {
                    self.note(remark, reading);
                }
                if matches!(read, Ok(Next::More | Next::Complete | Next::Split(_))) {
                    self.got_somewhere();
                }
                let failed = match read {
                    Ok(Next::More | Next::Split(_)) if self.is_outdated(reading) => {
                        self.hand_over(reading).await?;
                        return Ok(false);
                    }
                    Ok(Next::More) => {
                        reading.backoff.reset();
                        // What a scan that is not complete has passed over is read again by the next.
                        if reading.incomplete.is_none() {
                            reading.held.state = scan.state().or(reading.held.state.take());
                        }
                        continue;
                    }
                    Ok(Next::Complete) if let Some(why) = reading.incomplete.take() => {
                        let why = format!("{why}: the scan does not count as complete, its records do");
                        if self.ending.give_up_after.is_some() {
                            // The next would end like this one.
                            return Err(Halt::GivenUp(why));
                        }
                        ReadError::Malformed(why)
                    }
                    Ok(Next::Complete) => {
                        reading.backoff.reset();
                        (reading.restarts, reading.in_vain) = (0, 0);
                        self.complete(scan.span(), scan.state(), reading).await?;
                        break;
                    }
                    Ok(Next::Split(pieces)) => {
                        reading.backoff.reset();
                        // Only a scan that completes has got somewhere: each of the next plan may split, and fail.
                        reading.restarts = 0;
                        stack.extend(pieces.into_iter().rev());
                        break;
                    }
                    Ok(Next::Restart(reason)) if reading.restarts < RESTARTS_MAX => {
                        reading.restarts += 1;
                        tracing::warn!(source = %self.key.source, stream = %self.key.stream, "scan starts again: {reason}");
                        ReadError::Transient(reason)
                    }
                    Ok(Next::Restart(reason)) => {
                        let times = reading.restarts;
                        ReadError::Malformed(format!("started again {times} times in vain: {reason}"))
                    }
                    Err(error) => error,
                };
                trace.failed(&failed);
                let abandoned = matches!(failed, ReadError::Denied(_) | ReadError::Malformed(_));
                reading.in_vain += u32::from(abandoned);
                self.back_off(&failed, reading).await?;
                if abandoned || self.is_outdated(reading) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Everything of a scan has been read: waits until it is settled, checks the books, marks the range.
    async fn complete(&self, span: Span, state: Option<Value>, reading: &mut Reading) -> Result<(), Halt> {
        self.balance(reading).await?;
        let covered = (!span.is_empty()).then_some(span);
        if !self.may_mark(reading) {
            // Asked for by a clock that has turned out to be another, it was no look at the present.
            reading.first &= self.is_outdated(reading);
            reading.times.markable = false;
            reading.set_aside(self.clock.monotonic(), covered, state);
            return Ok(());
        }
        reading.first = false;
        reading.times.aside = None;
        let now = self.server_now();
        let forget_requests_before = now - self.source.echo_window().max(self.source.budget_window());
        reading.sent.forget_before(forget_requests_before);
        let step = Commit {
            state,
            covered,
            forget_before: self.horizon(reading, now),
            forget_requests_before: Some(forget_requests_before),
            ..Commit::default()
        };
        self.with_ledger(move |ledger, key| ledger.commit(key, &step)).await
    }

    /// Waits until everything that was read is settled, and checks the books since the last balance.
    async fn balance(&self, reading: &mut Reading) -> Result<(), Halt> {
        self.hand_over(reading).await?;
        let settled = self.lane.drain().await?;
        let newly = settled - reading.settled_before;
        let Tally { read, suppressed, .. } = reading.tally;
        if read != newly + suppressed {
            return Err(Halt::Failed(format!(
                "{}/{}: the books of a scan do not balance: read {read}, settled {newly}, suppressed {suppressed}; its range is not marked as covered. Please report this",
                self.key.source, self.key.stream
            )));
        }
        reading.settled_before = settled;
        reading.tally = Tally::default();
        Ok(())
    }

    async fn back_off(&self, error: &ReadError, reading: &mut Reading) -> Result<(), Halt> {
        metrics::counter!("headwater_read_errors_total", "source" => self.key.source.clone(), "class" => error.class())
            .increment(1);
        self.line.update(|line| {
            line.failures += 1;
            line.problem = Some(error.to_string());
            line.denied |= matches!(error, ReadError::Denied(_));
        });
        self.watch_retention(reading);
        if let Some(limit) = self.ending.give_up_after {
            let asks_long = matches!(error,
                ReadError::Throttled { retry_after: Some(asked), .. } | ReadError::Later { wait: asked, .. } if *asked > LONG_WAIT);
            // A page that is read resets the backoff; one that is read again before each failure gets nowhere.
            let in_vain =
                reading.backoff.attempts() + 1 >= limit || reading.in_vain >= limit || reading.restarts >= RESTARTS_MAX;
            let definite = matches!(error, ReadError::Denied(_))
                || (self.ending.at_once && matches!(error, ReadError::Malformed(_)));
            if in_vain || asks_long || definite {
                return Err(Halt::GivenUp(error.to_string()));
            }
        }
        let asked = match error {
            ReadError::Throttled { retry_after, .. } => *retry_after,
            ReadError::Later { wait, .. } => Some(*wait),
            ReadError::Denied(_) | ReadError::Malformed(_) => Some(SLOW_RETRY.to_std().min(self.retry.max.to_std())),
            ReadError::Transient(_) => None,
        };
        let wait = reading.backoff.next(asked);
        let until = self.clock.now() + wait;
        tracing::warn!(source = %self.key.source, stream = %self.key.stream, "{error}; asking again in {wait:.1?}");
        self.line.phase(Phase::BackingOff { reason: error.to_string(), until });
        self.hand_over(reading).await?;
        self.wait(wait).await
    }

    /// A page has been read, or all of them.
    fn got_somewhere(&self) {
        let now = self.clock.now();
        self.line.update(|line| (line.problem, line.denied, line.progress) = (None, false, Some(now)));
        let labels = [("source", self.key.source.clone()), ("stream", self.key.stream.clone())];
        metrics::gauge!("headwater_stream_progress_timestamp_seconds", &labels).set(now.timestamp() as f64);
    }

    fn report_gap(&self, gap: &headwater_contracts::Gap) {
        let at = |ms| Timestamp::from_timestamp_millis(ms).map_or_else(String::new, |t| t.to_rfc3339());
        let text = format!("{} to {}: {}", at(gap.span.from), at(gap.span.to), gap.reason);
        self.line.update(|line| {
            if !line.gaps.contains(&text) {
                tracing::error!(source = %self.key.source, stream = %self.key.stream, "lost before it could be read: {text}");
                let labels = [("source", self.key.source.clone()), ("stream", self.key.stream.clone())];
                metrics::counter!("headwater_gaps_total", &labels).increment(1);
                line.gaps.push(text);
            }
        });
    }

    /// Waits, unless the run stops. What has been read is committed meanwhile, however little it is.
    async fn wait(&self, duration: Duration) -> Result<(), Halt> {
        if duration.is_zero() {
            return Ok(());
        }
        self.commit_held().await?;
        self.unless_halted(self.clock.sleep(duration)).await
    }

    /// Has the lane commit what it has been given.
    async fn commit_held(&self) -> Result<(), Halt> {
        Ok(self.lane.push(Work { commit: true, ..Work::default() }).await?)
    }

    /// The future's value, unless the run stops or fails before there is one.
    async fn unless_halted<T>(&self, future: impl Future<Output = T>) -> Result<T, Halt> {
        let mut stop = self.stop.clone();
        tokio::select! {
            value = future => Ok(value),
            () = stopped(&mut stop) => Err(Halt::Stop),
            () = self.failure.happened() => Err(Halt::Failed("the run has failed".into())),
        }
    }

    /// Asks the ledger on the blocking pool, waiting out a full disk and a cluster that does not answer.
    async fn with_ledger<T: Send + 'static>(
        &self,
        ask: impl Fn(&dyn Ledger, &StreamKey) -> Result<T, LedgerError> + Send + Sync + 'static,
    ) -> Result<T, Halt> {
        let ask = Arc::new(ask);
        let mut attempts = 0;
        loop {
            let (ledger, key, ask) = (self.ledger.clone(), self.key.clone(), ask.clone());
            match tokio::task::spawn_blocking(move || ask(ledger.as_ref(), &key)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(passing))
                    if passing.passes() && self.ending.give_up_after.is_none_or(|limit| attempts < limit) =>
                {
                    attempts += 1;
                    tracing::error!("{passing}");
                    self.wait(FULL_DISK_WAIT).await?;
                }
                Ok(Err(error)) => return Err(Halt::Failed(error.to_string())),
                Err(panic) => return Err(Halt::Failed(format!("the ledger crashed: {panic}"))),
            }
        }
    }

    fn server_now(&self) -> Timestamp {
        self.server.now()
    }
}

/// Returns once the run is told to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can tell us to stop any more: that is no order to stop.
        std::future::pending::<()>().await;
    }
}
