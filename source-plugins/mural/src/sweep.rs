//! One sweep: a partition, or a piece of one, read to the end of its token chains.

use crate::{
    config::Mode,
    record::Entry,
    schedule::Duty,
    source::Settings,
    state::{Partial, State, Swept},
    window::{PARTITION, whole_second, written},
};
use chrono::{SecondsFormat, TimeDelta};
use headwater_contracts::{
    Echo, Next, OwnRequests, PageEnd, ReadError, Record, Rejection, Request, Scan, Span, Timestamp, Unreadable,
};
use headwater_source_kit::{Empties, StrayPage, Strays, Visited, ascending, certain, cursor, envelope, is_unsorted};
use serde_json::Value;
use std::{
    cmp::Reverse,
    sync::{Arc, Mutex, PoisonError},
};

const PATH: &str = "/enterprise/v1/audit-log";

const DENIED: &str = "`api_key` must be a current key of the company with the audit-log scope, made by a company administrator on the Enterprise plan";

/// What every deployment takes.
const SMALL_PAGE: u32 = 1000;

/// After so many broken chains the range is read in halves, or, if it is short already, reported.
const FAILURES: u32 = 3;

/// No piece is shorter.
const SHORTEST: TimeDelta = TimeDelta::minutes(15);

/// 5xx in mid-chain so often in a row mean that the token is dead.
const SERVER_ERRORS: u32 = 5;

/// Servers that compare dates by the second may answer this much beyond the window.
const TOLERANCE: TimeDelta = TimeDelta::seconds(1);

/// Largest `maxResults` that the API documents.
const LARGEST_PAGE: u32 = 50_000;

/// What to sweep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    /// Start of the first partition, its name in the state.
    pub(crate) partition: Timestamp,
    /// The range, `[low, high)`.
    pub(crate) low: Timestamp,
    pub(crate) high: Timestamp,
    /// The server's clock when it was planned.
    pub(crate) planned: Timestamp,
    pub(crate) duty: Duty,
    /// What the call budget holds back meanwhile.
    pub(crate) held: Option<&'static str>,
    /// How many of the newest records are enough.
    pub(crate) newest: Option<usize>,
}

impl Job {
    fn length(&self) -> TimeDelta {
        self.high - self.low
    }
}

/// What the pieces of a partition share.
struct Pieces {
    /// How much of the range complete pieces have read.
    read: TimeDelta,
    /// The whole range.
    whole: TimeDelta,
    /// Everything before this has been read.
    to: Timestamp,
    /// Where the whole range ends.
    end: Timestamp,
}

/// What is behind a full page without a token, asked for by time.
#[derive(Debug, Clone, Copy)]
struct Behind {
    /// From here on backwards.
    asked: Timestamp,
    /// What is not older was on that page.
    shown: Timestamp,
}

/// See the module.
pub(crate) struct Sweep {
    settings: Arc<Settings>,
    job: Job,
    state: State,
    pieces: Arc<Mutex<Pieces>>,
    chains: Vec<Option<String>>,
    chain: usize,
    token: Option<String>,
    used: Visited,
    empties: Empties,
    page_size: Option<u32>,
    failures: u32,
    server_errors: u32,
    /// Pages read, also in vain.
    pages: u32,
    /// Those that had records.
    full: u32,
    /// Records that the window asked for cannot contain.
    strays: Strays,
    oldest: Option<Timestamp>,
    /// Times of the page at hand, as they stand there.
    times: Vec<Timestamp>,
    /// Where a full page without a token ended the chain.
    behind: Option<Behind>,
    /// Larger than `page_size`, where so many records are of one time that time leads no further.
    ample: Option<u32>,
    /// How many records the page had that led to it.
    filled: u64,
    /// There was more behind a full page without a token.
    lost_token: bool,
    remarks: Vec<String>,
    /// Records of the range with a readable date, of the chain at hand.
    met: usize,
    complete: bool,
}

/// The first bound that surely includes `time`, whatever becomes of the bound itself.
fn just_after(time: Timestamp) -> Timestamp {
    whole_second(time + TimeDelta::seconds(1) + TimeDelta::milliseconds(999))
}

impl Sweep {
    pub(crate) fn new(settings: Arc<Settings>, job: Job, state: State) -> Self {
        let pieces = Pieces { read: TimeDelta::zero(), whole: job.length(), to: job.low, end: job.high };
        Self::piece(settings, job, state, Arc::new(Mutex::new(pieces)))
    }

    fn piece(settings: Arc<Settings>, job: Job, state: State, pieces: Arc<Mutex<Pieces>>) -> Self {
        let page_size = settings.cadence.page_size.map(|size| match state.page_size_refused {
            Some(refused) if refused == size => size.min(SMALL_PAGE),
            _ => size,
        });
        Self {
            chains: settings.chains(),
            settings,
            job,
            state,
            pieces,
            chain: 0,
            token: None,
            used: Visited::default(),
            empties: Empties::default(),
            page_size,
            failures: 0,
            server_errors: 0,
            pages: 0,
            full: 0,
            strays: Strays::default(),
            oldest: None,
            times: Vec::new(),
            behind: None,
            ample: None,
            filled: 0,
            lost_token: false,
            remarks: Vec::new(),
            met: 0,
            complete: false,
        }
    }

    /// First and last second asked for: wider than the range, because either bound may exclude its instant.
    fn window(&self) -> (Timestamp, Timestamp) {
        let overlap = self.settings.cadence.overlap.0;
        let since = whole_second(self.job.low - overlap);
        let mut until = whole_second(self.job.high + overlap + TimeDelta::milliseconds(999));
        if let Some(behind) = self.behind {
            until = until.min(just_after(behind.asked));
        }
        // What was planned to be read by now must not become a question about the future.
        (since, until.min(whole_second(self.job.planned)))
    }

    /// A page as large as was asked for came without a token: that proves nothing of what is behind it. Asks for the rest
    /// by time, or, where it is all of one time, for a larger page. `None`: there is no larger one.
    fn look_behind(&mut self, size: u32, records: u64) -> Option<Next> {
        // Newest first. One record may bear another time than its neighbours, and what lies between must not be passed over.
        let descending: Vec<_> = self.times.iter().map(|time| Reverse(*time)).collect();
        let ordered: Vec<_> = ascending(&descending).into_iter().map(|at| descending[at]).collect();
        let is_sorted = !is_unsorted(descending.len() - ordered.len(), descending.len());
        let ends = certain(&ordered).zip(ordered.last()).filter(|_| is_sorted);
        let behind = ends.map(|(Reverse(asked), Reverse(shown))| Behind { asked, shown: *shown });
        let behind = behind.filter(|behind| just_after(behind.asked) < self.window().1);
        if behind.is_some() {
            (self.behind, self.ample) = (behind, None);
        } else if size < LARGEST_PAGE {
            (self.ample, self.filled) = (Some(size.saturating_mul(2).min(LARGEST_PAGE)), records);
        } else {
            return None;
        }
        self.token = None;
        self.used.clear();
        self.empties.restart();
        Some(Next::More)
    }

    fn rewind(&mut self) {
        self.chain = 0;
        self.restart_chain();
    }

    fn restart_chain(&mut self) {
        (self.token, self.met) = (None, 0);
        (self.behind, self.ample, self.lost_token) = (None, None, false);
        self.used.clear();
        self.empties.restart();
        self.server_errors = 0;
    }

    /// The chain broke: from the start again, or, if that keeps happening, in halves.
    fn broken(&mut self, why: String) -> Result<Next, ReadError> {
        self.rewind();
        self.failures += 1;
        if self.failures < FAILURES {
            return Ok(Next::Restart(why));
        }
        self.failures = 0;
        self.halves(&format!("{why}; {FAILURES} times in a row"))
    }

    /// Reads the range in halves.
    fn halves(&self, why: &str) -> Result<Next, ReadError> {
        if self.job.length() < SHORTEST * 2 {
            return Err(ReadError::Malformed(format!(
                "{why} for {}, which is too short to be read in halves",
                self.range()
            )));
        }
        let middle = whole_second(self.job.low + self.job.length() / 2);
        let half = |low, high| -> Box<dyn Scan> {
            let job = Job { low, high, ..self.job };
            Box::new(Self::piece(Arc::clone(&self.settings), job, self.state.clone(), Arc::clone(&self.pieces)))
        };
        let mut halves = vec![half(self.job.low, middle), half(middle, self.job.high)];
        if self.job.duty == Duty::Lookup {
            // Whoever asks may need the newest only.
            halves.reverse();
        }
        Ok(Next::Split(halves))
    }

    fn range(&self) -> String {
        let text = |time: Timestamp| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!("`{}` to `{}`", text(self.job.low), text(self.job.high))
    }

    /// The whole range of this piece has been read.
    fn finish(&mut self) {
        self.complete = true;
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.read += self.job.length();
        if pieces.to == self.job.low {
            pieces.to = self.job.high;
        }
        let closed = self.job.duty != Duty::Early;
        if self.job.duty == Duty::Closing {
            let chains = u32::try_from(self.chains.len()).unwrap_or(u32::MAX);
            self.state.swept_in(self.full.div_ceil(chains));
        }
        // Only the piece that completes the range says that all of it was swept.
        let whole = pieces.read == pieces.whole;
        let mut start = self.job.partition;
        while start < pieces.end && (whole || start + PARTITION <= pieces.to) {
            if whole || self.job.duty == Duty::Closing {
                self.state.partitions.insert(start, Swept { at: self.job.planned, closed });
            }
            start += PARTITION;
        }
        if whole {
            let inside = |partial: &Partial| self.job.partition <= partial.partition && partial.partition < pieces.end;
            self.state.partial = self.state.partial.filter(|partial| !inside(partial));
        } else if self.job.duty == Duty::Closing {
            // Should the sweep break off now, the next one goes on from here.
            self.state.partial = Some(Partial { partition: start, to: pieces.to });
        }
    }

    /// Whether the window just asked for began further back than the server promises to answer for: it may have been
    /// clamped without a word. The part out of reach is given up, to be reported as a gap; the rest is asked for again.
    fn out_of_reach(&mut self, server_time: Timestamp) -> Option<Result<Next, ReadError>> {
        if self.token.is_some() || self.window().0 >= server_time - self.settings.max_lookback {
            return None;
        }
        self.rewind();
        let low = whole_second(server_time - self.settings.reach()) + TimeDelta::seconds(1);
        if low >= self.job.high {
            return Some(Err(ReadError::Malformed(format!(
                "{} left the look-back of {} while it was being read: the server may have answered for less",
                self.range(),
                headwater_contracts::Period(self.settings.max_lookback),
            ))));
        }
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.whole -= low - self.job.low;
        if pieces.to == self.job.low {
            pieces.to = low;
        }
        drop(pieces);
        let reason =
            format!("{} began beyond the look-back when it was answered; asking for what is left", self.range());
        self.job.low = low;
        Some(Ok(Next::Restart(reason)))
    }

    fn purpose(&self) -> &'static str {
        match (self.job.duty, self.settings.mode) {
            (Duty::Closing, Mode::Settled) => "settled events",
            (Duty::Closing, Mode::Early) => "closing sweep",
            (Duty::Straggler, _) => "sweep for stragglers",
            (Duty::Early, _) => "early sweep",
            (Duty::Lookup, _) => "all at once",
        }
    }
}

impl Scan for Sweep {
    /// Early sweeps claim nothing: events of their range are still to appear.
    fn span(&self) -> Span {
        let high = if self.complete && self.job.duty != Duty::Early { self.job.high } else { self.job.low };
        Span::new(self.job.low, high)
    }

    fn elements(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn request(&mut self) -> Request {
        self.strays.begin_page();
        self.times.clear();
        let mut request = Request::get(PATH);
        if let Some(token) = &self.token {
            // Everything else is ignored beside a token.
            request = request.query("nextToken", token);
        } else {
            let (since, until) = self.window();
            if let Some(Some(actions)) = self.chains.get(self.chain) {
                request = request.query("filter[action]", actions);
            }
            request = request
                .query("filter[date][since]", written(since, self.settings.date_format))
                .query("filter[date][until]", written(until, self.settings.date_format));
        }
        match self.ample.or(self.page_size) {
            Some(size) => request.query("maxResults", size),
            None => request,
        }
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        let time = entry.time();
        let (since, until) = self.window();
        if let Some(stray) = time.filter(|time| *time < since - TOLERANCE || *time > until + TOLERANCE) {
            let wanted = self.strays.meet(entry.identity(), entry.id(), stray);
            return Ok(Record::stray(entry.id(), entry.identity(), stray, wanted));
        }
        if let Some(time) = time {
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
            self.times.push(time);
        }
        // What lies at the border was met before, and must not count as another one of the newest.
        let further = self.behind.is_none_or(|behind| time.is_some_and(|time| time < behind.shown));
        self.lost_token |= self.behind.is_some() && further;
        // Neighbours belong to the sweeps of their own partitions. What has no readable date belongs to whoever meets it
        // first.
        let wanted = time.is_none_or(|time| self.job.low <= time && time < self.job.high);
        self.met += usize::from(wanted && time.is_some() && further);
        let echo = match &self.settings.recognizer {
            Some(own) if wanted => own.judge(&entry, sent),
            _ => Echo::Foreign,
        };
        Ok(Record { echo, wanted, ..Record::foreign(entry.id(), entry.identity(), time) })
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        let page = envelope(end.envelope, "data", "check `endpoint`");
        self.pages = self.pages.saturating_add(1);
        self.full = self.full.saturating_add(u32::from(end.records > 0));
        let next = match page.and_then(|page| cursor(&page, "nextToken")) {
            Ok(next) => next,
            Err(error) => {
                self.restart_chain();
                return Err(error);
            }
        };
        if let Some(elsewhere) = self.out_of_reach(end.server_time) {
            return elsewhere;
        }
        match self.strays.judge(end.records) {
            StrayPage::Good => {}
            StrayPage::Again => return Ok(Next::More),
            StrayPage::Refused(stray) => {
                let (since, until) = self.window();
                self.rewind();
                return Err(ReadError::Malformed(format!(
                    "asked for `{}` to `{}`, answered with an event of `{stray}`: the server ignores or changes the window; try `date_format: legacy`, a shorter `max_lookback`, and tell the vendor",
                    written(since, self.settings.date_format),
                    written(until, self.settings.date_format),
                )));
            }
        }
        self.server_errors = 0;
        if self.page_size != self.settings.cadence.page_size {
            // It was refused, and the same request with a smaller one was not.
            self.state.page_size_refused = self.settings.cadence.page_size;
        }
        // An empty page that leads to itself is the end. One that leads on is none.
        let next = next.filter(|token| end.records > 0 || self.token.as_ref() != Some(token));
        if next.is_some()
            && let Err(why) = self.empties.page(end.records)
        {
            self.rewind();
            return Err(ReadError::Malformed(why));
        }
        if let Some(oldest) = self.oldest.filter(|_| self.job.newest.is_some_and(|newest| newest <= self.met)) {
            // Of the instant where it stops there may be more.
            self.job.low = (oldest + TimeDelta::milliseconds(1)).clamp(self.job.low, self.job.high);
            self.complete = true;
            return Ok(Next::Complete);
        }
        let asked = self.ample.or(self.page_size);
        self.lost_token |= self.ample.is_some() && self.page_size.is_some_and(|size| end.records > u64::from(size));
        if std::mem::take(&mut self.lost_token) {
            self.remarks.push(
                "a page as full as was asked for came without a `nextToken`, and there was more behind it: it is read by time; tell the vendor".to_owned(),
            );
        }
        // A server may give no more than it gave, whatever is asked for; the range may have no more, too.
        if next.is_none() && self.ample.is_some() && end.records <= self.filled {
            self.rewind();
            return self.halves(&format!(
                "a page of {} events came without a `nextToken`, in an order that does not tell what is behind it, and a larger page has as many",
                end.records
            ));
        }
        if let Some(size) = asked.filter(|size| next.is_none() && end.records >= u64::from(*size)) {
            if let Some(next) = self.look_behind(size, end.records) {
                return Ok(next);
            }
            let range = self.range();
            self.rewind();
            return Err(ReadError::Malformed(format!(
                "a page of {size} events came without a `nextToken`, and so many have one time that what is behind it cannot be asked for, in {range}; tell the vendor"
            )));
        }
        match next {
            Some(token) if !self.used.insert(&token) => {
                self.broken("the server gave the same `nextToken` twice".to_owned())
            }
            Some(token) => {
                self.token = Some(token);
                Ok(Next::More)
            }
            None if self.chain + 1 < self.chains.len() => {
                self.chain += 1;
                self.restart_chain();
                Ok(Next::More)
            }
            None => {
                self.finish();
                Ok(Next::Complete)
            }
        }
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        let class = rejection.classify(DENIED);
        match class {
            ReadError::Transient(reason) if self.token.is_some() => {
                self.server_errors += 1;
                if self.server_errors >= SERVER_ERRORS {
                    return self.broken(format!("{reason}, {SERVER_ERRORS} times in the middle of a chain"));
                }
                Err(ReadError::Transient(reason))
            }
            ReadError::Denied(reason) if self.token.is_some() => {
                // Some servers say so of an expired token; then a fresh chain is what helps.
                self.restart_chain();
                Err(ReadError::Denied(reason))
            }
            ReadError::Malformed(reason) if self.token.is_some() => {
                self.broken(format!("{reason} in the middle of a chain; its token may have expired"))
            }
            ReadError::Malformed(reason) if rejection.status == 400 && self.ample.is_some() => {
                let (size, range) = (self.ample.unwrap_or_default(), self.range());
                self.rewind();
                Err(ReadError::Malformed(format!(
                    "{reason}; a full page came without a `nextToken`, its events have one time, and `maxResults={size}` was asked for to look behind it, in {range}; write a larger `page_size`, and tell the vendor"
                )))
            }
            ReadError::Malformed(reason) if rejection.status == 400 => match self.page_size {
                Some(size) if size > SMALL_PAGE => {
                    self.page_size = Some(SMALL_PAGE);
                    Ok(Next::Restart(format!(
                        "{reason}; asking with `maxResults={SMALL_PAGE}`, because {size} may be the cause"
                    )))
                }
                _ => {
                    self.page_size = self.settings.cadence.page_size;
                    Err(ReadError::Malformed(format!("{reason}; an older deployment may need `date_format: legacy`")))
                }
            },
            class => Err(class),
        }
    }

    fn remarks(&mut self) -> Vec<String> {
        let mut remarks = self.strays.remarks();
        remarks.append(&mut self.remarks);
        remarks
    }

    fn state(&self) -> Option<Value> {
        if self.complete {
            return serde_json::to_value(&self.state).ok();
        }
        // Should a long chain break off for good, the next sweep is shorter.
        let long = self.job.duty == Duty::Closing && self.pages > 0 && self.state.stride > 1;
        let shorter = || State { stride: self.state.stride / 2, ..self.state.clone() };
        if long { serde_json::to_value(shorter()).ok() } else { None }
    }

    fn describe(&self) -> String {
        let held = self.job.held.map(|what| format!("; {what} by `call_budget`")).unwrap_or_default();
        format!("audit log of `{}`, {}, {}{held}", self.settings.stream, self.purpose(), self.range())
    }

    /// Newest first: the oldest date met says how far it is.
    fn progress(&self) -> Option<f64> {
        let read = (self.job.high - self.oldest?).num_milliseconds() as f64;
        let whole = self.job.length().num_milliseconds() as f64;
        let chains = self.chains.len() as f64;
        (whole > 0.0).then(|| ((self.chain as f64 + (read / whole).clamp(0.0, 1.0)) / chains).min(1.0))
    }
}
