//! The scan driver of one stream: plan, request, split, recognise, hand to the lane, and mark what is complete.

mod login;

use crate::{
    backoff::Backoff,
    budget::Budget,
    clock::ServerClock,
    dead_letter::DeadLetter,
    failure::Failure,
    http::{Answer, HttpClient},
    lane::{Closed, FULL_DISK_WAIT, InFlight, Lane, Work, filed},
    splitter::Splitter,
    status::{Line, Phase},
};
use bytes::Bytes;
use headwater_contracts::{
    Clock, Coverage, Echo, Event, Identity, Next, Origin, OwnQueryPolicy, OwnRequest, OwnRequests, PageEnd, Period,
    ReadError, Record, Rejection, Request, Retry, Scan, Source, Span, StartAt, StreamView, Tally, Timestamp,
    Unreadable,
};
use headwater_ledger::{Commit, Filed, Ledger, LedgerError, StreamKey, StreamRecord};
use serde_json::Value;
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Most events in one batch. Small, so that few large batches of parsed events exist at once.
pub(crate) const BATCH_EVENTS: usize = 40;
/// Most raw bytes in one batch.
const BATCH_BYTES: usize = 256 << 10;
/// First wait after an answer that a person must act on: it will not get better by asking soon.
const SLOW_RETRY: Period = Period::seconds(30);
/// A wait that `--once` does not sit out.
const LONG_WAIT: Duration = Duration::from_mins(5);
/// How far our idea of the server's clock may be off before it is worth a write: `Date` has whole seconds.
const CLOCK_DOUBT: chrono::TimeDelta = chrono::TimeDelta::seconds(2);
/// Most requests remembered for that: a server that never sends a `Date` must not fill memory.
const UNDATED_MAX: usize = 1000;
/// Restarts of one scan before it is treated as failing.
const RESTARTS_MAX: u32 = 20;

/// When a stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// End when caught up, instead of polling on.
    pub once: bool,
    /// Give the stream up after so many failures in a row; at once if access is denied. `None`: never.
    pub give_up_after: Option<u32>,
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
struct Reading {
    coverage: Coverage,
    sent: OwnRequests,
    /// Requests, with our monotonic time of sending, that no answer with a `Date` has followed yet.
    undated: Vec<(OwnRequest, Duration)>,
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
    /// Remarks that have been logged.
    notes: HashSet<String>,
}

impl Reading {
    fn new(retry: Retry) -> Self {
        Self {
            coverage: Coverage::default(),
            sent: OwnRequests::default(),
            undated: Vec::new(),
            tally: Tally::default(),
            settled_before: 0,
            first: true,
            last_request: None,
            logins_seen: 0,
            backoff: Backoff::new(retry),
            restarts: 0,
            notes: HashSet::new(),
        }
    }

    /// Takes over what the ledger holds. Echoes that are on their way through the lane have used up their requests here
    /// before they have there, so only the first look brings requests.
    fn catch_up(&mut self, record: &StreamRecord) {
        self.coverage = record.coverage.clone();
        if self.last_request.is_none() {
            record.own_requests.iter().cloned().for_each(|request| self.sent.insert(request));
            self.last_request = record.calls.last().copied();
        }
    }
}

/// A record between the splitter and the ledger's answer whether it is new.
struct Pending {
    raw: Bytes,
    record: Result<Record, Unreadable>,
}

impl Driver {
    /// Reads the stream until it is over. `Err` holds why a stream was given up.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let ended = self.read().await;
        let outcome = match ended {
            Ok(()) | Err(Halt::Stop) => {
                // What is in flight is still delivered and committed.
                let _ = self.lane.drain().await;
                self.line.phase(Phase::Done);
                Ok(())
            }
            Err(Halt::GivenUp(reason)) => {
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
        let start = self.start_at.resolve(self.server_now());
        let mut reading = Reading::new(self.retry);
        loop {
            let record = self.with_ledger(move |ledger, key| ledger.load(key, start)).await?;
            reading.catch_up(&record);
            let plan = self.plan(&record, reading.first);
            for gap in plan.gaps {
                self.report_gap(&gap);
            }
            for note in plan.notes {
                if reading.notes.insert(note.clone()) {
                    tracing::warn!(source = %self.key.source, stream = %self.key.stream, "{note}");
                }
            }
            if plan.scans.is_empty() {
                let until = plan.wake.unwrap_or_else(|| self.server_now() + chrono::Duration::minutes(1));
                if self.ending.once {
                    return Ok(());
                }
                tracing::info!(source = %self.key.source, stream = %self.key.stream, "caught up; next look at {until}");
                self.line.phase(Phase::CaughtUp { until });
                let wait = (until - self.server_now()).to_std().unwrap_or_default();
                self.wait(wait.max(Duration::from_millis(100))).await?;
                continue;
            }
            for scan in plan.scans {
                if !self.scan(scan, &mut reading).await? {
                    break;
                }
            }
        }
    }

    fn plan(&self, record: &StreamRecord, first: bool) -> headwater_contracts::Plan {
        let now = self.server_now();
        let since = now - self.source.budget_window();
        let calls: Vec<Timestamp> = record.calls.iter().copied().filter(|sent| *sent >= since).collect();
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
            loop {
                self.line.phase(Phase::Reading { scan: scan.describe(), progress: scan.progress() });
                let failed = match self.page(scan.as_mut(), reading).await? {
                    Ok(Next::More) => {
                        reading.backoff.reset();
                        self.hand_over(reading, Vec::new(), scan.state()).await?;
                        continue;
                    }
                    Ok(Next::Complete) => {
                        reading.backoff.reset();
                        reading.restarts = 0;
                        self.complete(scan.span(), scan.state(), reading).await?;
                        break;
                    }
                    Ok(Next::Split(pieces)) => {
                        reading.backoff.reset();
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
                self.back_off(&failed, reading).await?;
                if matches!(failed, ReadError::Denied(_) | ReadError::Malformed(_)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Requests and reads one page. The outer error ends the stream, the inner one is for the backoff.
    async fn page(&mut self, scan: &mut dyn Scan, reading: &mut Reading) -> Result<Result<Next, ReadError>, Halt> {
        if let Err(error) = self.log_in(reading).await? {
            return Ok(Err(error));
        }
        let request = scan.request();
        let own = self.announce(&request, self.source.leaves_echoes(), reading).await?;
        let token = self.http.tokens().map(|tokens| (tokens.number(), tokens));
        let sent = self.clock.monotonic();
        let answered = tokio::select! {
            answered = self.http.send(&request, &own.user_agent, self.server_now()) => answered,
            () = stopped(&mut self.stop) => return Err(Halt::Stop),
            () = self.failure.happened() => return Err(Halt::Failed("the run has failed".into())),
        };
        self.line.update(|line| line.requests += 1);
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(ReadError::Transient(error.to_string()))),
        };
        let status = answer.status;
        metrics::counter!("headwater_requests_total", "source" => self.key.source.clone(), "status" => status.to_string())
            .increment(1);
        metrics::histogram!("headwater_request_seconds", "source" => self.key.source.clone())
            .record(self.clock.monotonic().saturating_sub(sent).as_secs_f64());
        if let Some(date) = answer.date
            && self.server.observe(date)
        {
            self.correct(reading).await?;
        }
        if let Some((number, tokens)) = token
            && let Some(error) = tokens.judge(&self.key.stream, number, status, self.clock.monotonic())
        {
            return Ok(Err(error));
        }
        let server_time = self.server_now();
        if !(200..300).contains(&status) {
            let body = tokio::select! {
                body = answer.error_body() => body,
                () = stopped(&mut self.stop) => return Err(Halt::Stop),
                () = self.failure.happened() => return Err(Halt::Failed("the run has failed".into())),
            };
            let (retry_after, content_type) = (answer.retry_after, answer.content_type.clone());
            return Ok(scan.rejected(&Rejection { status, retry_after, content_type, body }));
        }
        match self.body(scan, &mut answer, reading).await? {
            Ok(page) => Ok(scan.page(&PageEnd { envelope: &page.envelope, records: page.records, server_time })),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Streams a page's body through the splitter, handing over batches as they fill.
    async fn body(
        &mut self,
        scan: &mut dyn Scan,
        answer: &mut Answer,
        reading: &mut Reading,
    ) -> Result<Result<crate::splitter::Page, ReadError>, Halt> {
        let mut splitter = Splitter::new(scan.elements());
        let mut pending = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let html = answer.content_type.contains("text/html");
        let broken = loop {
            let chunk = tokio::select! {
                chunk = answer.chunk() => chunk,
                () = stopped(&mut self.stop) => return Err(Halt::Stop),
                () = self.failure.happened() => return Err(Halt::Failed("the run has failed".into())),
            };
            let chunk =
                match chunk {
                    Ok(Some(_)) if html => break Some(ReadError::Malformed(
                        "HTML instead of JSON: is `endpoint` the API's address, and does the credential still work?"
                            .into(),
                    )),
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break None,
                    Err(error) => break Some(ReadError::Transient(error.to_string())),
                };
            // In slices, so that a large chunk does not become a large heap of records.
            let mut broken = None;
            for slice in chunk.chunks(32 << 10) {
                let sent = &mut reading.sent;
                let pushed = splitter.push(slice, &mut |raw| {
                    let record = scan.record(raw, sent);
                    if let Ok(Record { echo: Echo::Own(id), wanted: true, identity, time, .. }) = &record
                        && self.is_new(*identity, *time)
                    {
                        sent.consume(id);
                    }
                    count += 1;
                    bytes += raw.len();
                    pending.push(Pending { raw: Bytes::copy_from_slice(raw), record });
                });
                if let Err(error) = pushed {
                    broken = Some(error);
                    break;
                }
                if count >= BATCH_EVENTS || bytes >= BATCH_BYTES {
                    (count, bytes) = (0, 0);
                    self.hand_over(reading, std::mem::take(&mut pending), None).await?;
                    self.line.phase(Phase::Reading { scan: scan.describe(), progress: scan.progress() });
                }
            }
            if let Some(error) = broken {
                break Some(ReadError::Malformed(error.to_string()));
            }
        };
        // Records of a page that breaks off later are records all the same.
        self.hand_over(reading, pending, None).await?;
        Ok(match broken {
            Some(error) => Err(error),
            None => splitter.finish().map_err(|error| match error {
                crate::splitter::SplitError::CutShort(_) => ReadError::Transient(error.to_string()),
                _ => ReadError::Malformed(error.to_string()),
            }),
        })
    }

    /// Whether an echo is seen for the first time, and so uses up its request. Echoes are few: one look each is cheap.
    /// If the ledger cannot answer now, `sort_out` fails on it in a moment.
    fn is_new(&self, identity: Identity, time: Option<Timestamp>) -> bool {
        let filed = Filed { time: time.map_or(0, |time| time.timestamp_millis()), identity };
        !self.in_flight.contains(&identity)
            && self.ledger.known(&self.key, &[filed]).is_ok_and(|known| known == [false])
    }

    /// Keeps to the budget, writes the request into the ledger if it is to be remembered, and returns what was written.
    async fn announce(&mut self, request: &Request, remember: bool, reading: &mut Reading) -> Result<OwnRequest, Halt> {
        if let Some(last) = reading.last_request {
            let wait = (last + self.min_interval.0 - self.server_now()).to_std().unwrap_or_default();
            self.wait(wait.min(self.min_interval.to_std())).await?;
        }
        let (budget, clock) = (self.budget.clone(), self.clock.clone());
        tokio::select! {
            () = budget.acquire(clock.as_ref()) => {}
            () = stopped(&mut self.stop) => return Err(Halt::Stop),
            () = self.failure.happened() => return Err(Halt::Failed("the run has failed".into())),
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let own = OwnRequest {
            user_agent: format!("{}; req {id})", self.agent),
            id,
            method: request.method.as_str().into(),
            path: self.http.path(request),
            query: request.query.clone(),
            sent: self.server_now(),
        };
        reading.last_request = Some(own.sent);
        if !remember {
            return Ok(own);
        }
        let copy = own.clone();
        self.with_ledger(move |ledger, key| ledger.record_request(key, &copy)).await?;
        if reading.undated.len() < UNDATED_MAX {
            reading.undated.push((own.clone(), self.clock.monotonic()));
        }
        reading.sent.insert(own.clone());
        Ok(own)
    }

    /// Writes down anew when requests were sent, if the server's clock turns out to be another than was thought: their
    /// echoes will bear the server's time. Also those that were never answered, and may have been heard all the same.
    async fn correct(&self, reading: &mut Reading) -> Result<(), Halt> {
        for (mut own, sent) in std::mem::take(&mut reading.undated) {
            let by_server = self.server.at(sent);
            // Its echo may have come already, in an answer that broke off.
            let waits = reading.sent.by_user_agent(&own.user_agent).is_some();
            if waits && (by_server - own.sent).abs() > CLOCK_DOUBT {
                own.sent = by_server;
                reading.sent.insert(own.clone());
                self.with_ledger(move |ledger, key| ledger.record_request(key, &own)).await?;
            }
        }
        Ok(())
    }

    /// Sorts out duplicates and hands the rest to the lane in batches, the last with `state`.
    async fn hand_over(&self, reading: &mut Reading, pending: Vec<Pending>, state: Option<Value>) -> Result<(), Halt> {
        let mut pending = VecDeque::from(pending);
        let mut state = state;
        while !pending.is_empty() || state.is_some() {
            let batch: Vec<Pending> = pending.drain(..pending.len().min(BATCH_EVENTS)).collect();
            let state = if pending.is_empty() { state.take() } else { None };
            let work = self.sort_out(reading, batch).await?;
            reading.tally.add(&work.tally);
            let forget_before = Some(self.source.horizon(self.server_now()));
            self.lane.push(Work { state, forget_before, ..work }).await?;
        }
        Ok(())
    }

    async fn sort_out(&self, reading: &Reading, pending: Vec<Pending>) -> Result<Work, Halt> {
        let observed = self.server_now();
        let mut work = Work { tally: Tally { read: pending.len() as u64, ..Tally::default() }, ..Work::default() };
        let mut candidates = Vec::with_capacity(pending.len());
        for Pending { raw, record } in pending {
            let (event, echo, problem) = self.event(raw, record, observed, &reading.coverage);
            let Some(event) = event else {
                work.tally.suppressed += 1;
                continue;
            };
            // Before asking the ledger: a commit between the two questions moves an identity from one to the other.
            if self.in_flight.insert(event.identity) {
                candidates.push((event, echo, problem));
            } else {
                work.tally.suppressed += 1;
            }
        }
        let filed: Vec<Filed> = candidates.iter().map(|(event, ..)| filed(event)).collect();
        let known = self.with_ledger(move |ledger, key| ledger.known(key, &filed)).await?;
        for ((event, echo, problem), known) in candidates.into_iter().zip(known) {
            if known {
                work.tally.suppressed += 1;
                self.in_flight.remove([&event.identity]);
                continue;
            }
            if let Echo::Own(id) = echo {
                work.consumed.push(id);
            }
            if let Some(late) = event.late {
                work.tally.late += 1;
                metrics::histogram!("headwater_event_lateness_seconds", "source" => self.key.source.clone(), "stream" => self.key.stream.clone())
                    .record(late.as_seconds_f64());
            }
            match problem {
                None => work.events.push(event),
                Some(reason) => {
                    work.unreadable.push(DeadLetter { event, component: self.key.source.clone(), reason });
                }
            }
        }
        let events = work.events.iter_mut().chain(work.unreadable.iter_mut().map(|letter| &mut letter.event));
        for (index, event) in (0..).zip(events) {
            event.index = index;
        }
        Ok(work)
    }

    /// The event of a record, unless another scan is responsible for it; and what is wrong with it, if it is none.
    fn event(
        &self,
        raw: Bytes,
        record: Result<Record, Unreadable>,
        observed: Timestamp,
        coverage: &Coverage,
    ) -> (Option<Event>, Echo, Option<String>) {
        let (record, problem) = match record {
            Ok(record) if !record.wanted => return (None, record.echo, None),
            Ok(record) => (record, None),
            Err(Unreadable { reason }) => {
                let identity = Identity::of(&[b"unreadable", &raw]);
                let record =
                    Record { id: identity.to_string(), identity, time: None, echo: Echo::Foreign, wanted: true };
                (record, Some(reason))
            }
        };
        let late = record.time.filter(|time| coverage.contains(*time)).map(|time| observed - time);
        let marks = self.origin.own_query_policy != OwnQueryPolicy::Forward;
        let event = Event {
            origin: self.origin.clone(),
            id: record.id,
            identity: record.identity,
            time: record.time,
            observed,
            own_query: marks && matches!(record.echo, Echo::Own(_)),
            suspicious: match record.echo {
                Echo::Suspicious(remark) => Some(remark),
                _ => None,
            },
            late,
            raw,
            value: None,
            metadata: None,
            index: 0,
        };
        (Some(event), record.echo, problem)
    }

    /// Everything of a scan has been read: waits until it is settled, checks the books, marks the range.
    async fn complete(&self, span: Span, state: Option<Value>, reading: &mut Reading) -> Result<(), Halt> {
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
        reading.first = false;
        let now = self.server_now();
        let forget_requests_before = now - self.source.echo_window().max(self.source.budget_window());
        reading.sent.forget_before(forget_requests_before);
        let step = Commit {
            state,
            covered: (!span.is_empty()).then_some((span, newly)),
            forget_before: Some(self.source.horizon(now)),
            forget_requests_before: Some(forget_requests_before),
            ..Commit::default()
        };
        self.with_ledger(move |ledger, key| ledger.commit(key, &step)).await
    }

    async fn back_off(&self, error: &ReadError, reading: &mut Reading) -> Result<(), Halt> {
        metrics::counter!("headwater_read_errors_total", "source" => self.key.source.clone(), "class" => error.class())
            .increment(1);
        self.line.update(|line| line.failures += 1);
        if let Some(limit) = self.ending.give_up_after {
            let asks_long =
                matches!(error, ReadError::Throttled { retry_after: Some(asked), .. } if *asked > LONG_WAIT);
            let in_vain = reading.backoff.attempts() + 1 >= limit || reading.restarts >= RESTARTS_MAX;
            if in_vain || asks_long || matches!(error, ReadError::Denied(_)) {
                return Err(Halt::GivenUp(error.to_string()));
            }
        }
        let asked = match error {
            ReadError::Throttled { retry_after, .. } => *retry_after,
            ReadError::Denied(_) | ReadError::Malformed(_) => Some(SLOW_RETRY.to_std().min(self.retry.max.to_std())),
            ReadError::Transient(_) => None,
        };
        let wait = reading.backoff.next(asked);
        let until = self.clock.now() + wait;
        tracing::warn!(source = %self.key.source, stream = %self.key.stream, "{error}; asking again in {wait:.1?}");
        self.line.phase(Phase::BackingOff { reason: error.to_string(), until });
        self.wait(wait).await
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

    /// Waits, unless the run stops.
    async fn wait(&self, duration: Duration) -> Result<(), Halt> {
        if duration.is_zero() {
            return Ok(());
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.clock.sleep(duration) => Ok(()),
            () = stopped(&mut stop) => Err(Halt::Stop),
            () = self.failure.happened() => Err(Halt::Failed("the run has failed".into())),
        }
    }

    /// Asks the ledger on the blocking pool, waiting out a full disk.
    async fn with_ledger<T: Send + 'static>(
        &self,
        ask: impl Fn(&dyn Ledger, &StreamKey) -> Result<T, LedgerError> + Send + Sync + 'static,
    ) -> Result<T, Halt> {
        let ask = Arc::new(ask);
        loop {
            let (ledger, key, ask) = (self.ledger.clone(), self.key.clone(), ask.clone());
            match tokio::task::spawn_blocking(move || ask(ledger.as_ref(), &key)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(full @ LedgerError::Full { .. })) => {
                    tracing::error!("{full}");
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
