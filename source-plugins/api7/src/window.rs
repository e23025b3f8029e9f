//! One window of time, closed at both ends, read so that no page border can lose an event.
//!
//! Pages of this API are cut out of a live table whose order among equal times is arbitrary, so the second page of a window
//! proves nothing. Three ways to read without one:
//!
//! 1. An answer with as many entries as its `total`, and fewer than a page holds, is the whole window. Behind a full page
//!    is looked once more, whatever `total` says: it may count the entries of the page only, or be capped.
//! 2. One with fewer, sorted, should hold everything before its last time. The next question begins there, and its `total`
//!    is the proof: it is less by as many entries as were shown before, or the page is read again. A server that ignores
//!    `direction`, or sorts by something else and looks sorted by chance, is found out so.
//! 3. Where that does not come out, or a page is not sorted, the window is read in pieces that should each fit a page.
//!
//! A single unit of time with more entries than fit a page is *dense*: it is read page by page, until the distinct entries
//! seen are as many as `total` says, and then once more from the beginning until all of them have been seen again. What
//! was there all the time cannot have been missed then: in its place something was counted that has gone since.
//!
//! All of this needs a window that lies in the past. One that reaches into the present has another `total` in each answer,
//! with the record of that very question in it where reads are recorded: nothing is ever proved, and each doubt makes more
//! to read. So every answer's own clock is asked whether the window has ended: it was planned by ours where the server had
//! not shown its clock yet.

use crate::{echo::AUDIT, record::Entry, source::Settings, state::Owner, state::State, trim, unit::Unit};
use chrono::{SecondsFormat, TimeDelta};
use headwater_contracts::{
    Echo, Identity, Next, OwnRequests, PageEnd, ReadError, Record, Rejection, Request, Rescan, Scan, Span, Timestamp,
    Unreadable,
};
use headwater_source_kit::{StrayPage, Strays};
use serde_json::Value;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) const DENIED: &str = "`token` must be a current API token (it may have expired or been regenerated) of an account whose role allows `iam:GetAudit` on `arn:api7:iam:organization/*`";

/// Page size for servers that refuse the one configured.
const SMALL_PAGE: u32 = 10;

/// Page size while records of own reads are large: each of them holds a page.
const HEAVY_PAGE: u32 = 25;

/// Largest page asked for in a dense unit.
const LARGE_PAGE: u32 = 1000;

/// An own record of this size means that answers are recorded.
const HEAVY: usize = 64 << 10;

/// Most answers in a dense unit for each page that it takes, before that is called hopeless.
const TRIES: u64 = 60;

/// After so many pages a window ends early, if it has got somewhere: progress that a crash does not undo.
const LONG: u32 = 100;

/// How far the server's clock may seem to go back from one look at it to the next: `Date` has whole seconds.
pub(crate) const DOUBT: TimeDelta = TimeDelta::seconds(2);

/// Most pieces that a window is divided into at once.
const PIECES_MAX: i64 = 64;

/// What a window is read for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Duty {
    /// New events, up to `target` in the end.
    Tail {
        /// What can be read by now.
        target: Timestamp,
    },
    /// Events that appeared late.
    Rescan(Rescan),
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    /// `[low, high)`, in whole units.
    pub(crate) low: Timestamp,
    pub(crate) high: Timestamp,
    /// The server's clock when it was planned.
    pub(crate) planned: Timestamp,
    pub(crate) unit: Unit,
    pub(crate) duty: Duty,
}

/// What the pieces of a window share.
struct Shared {
    state: State,
    /// Pieces that are not complete.
    open: u32,
    /// The window turned out to reach into the present.
    abandoned: bool,
}

/// The reading of a dense unit.
#[derive(Default)]
struct Dense {
    /// Entries of the question asked, by identity.
    seen: HashSet<Identity>,
    /// As many as `total` said, when it said so. All of them have to be seen again.
    counted: Option<HashSet<Identity>>,
    /// Entries of this pass.
    passed: u64,
    page: u64,
    page_size: u32,
    answers: u64,
}

/// A sorted page that is not proved yet.
struct Trail {
    /// Its times, ascending.
    units: Vec<Timestamp>,
    total: u64,
}

impl Trail {
    /// Whether it showed everything before `since`, as the next page says, which began there and was to end where this one was.
    fn proved(&self, since: Timestamp, next: &Shown, total: u64) -> bool {
        let before = self.units.partition_point(|unit| *unit < since);
        // The bound may include its own time or not: the next page shows which.
        let upto = self.units.partition_point(|unit| *unit <= since);
        let shown = if next.units.first() == Some(&since) { before } else { upto };
        !next.unsorted && total + shown as u64 == self.total
    }
}

/// What the page being read shows.
#[derive(Default)]
struct Shown {
    identities: Vec<Identity>,
    units: Vec<Timestamp>,
    /// Times do not ascend, or one cannot be read.
    unsorted: bool,
    /// Bytes of the largest own record.
    own_bytes: usize,
    owner: Option<Owner>,
}

/// See the module.
pub(crate) struct Window {
    settings: Arc<Settings>,
    job: Job,
    shared: Arc<Mutex<Shared>>,
    /// The server's clock at the last answer.
    answered: Timestamp,
    /// Everything before this has been read.
    from: Timestamp,
    /// Where the question asked begins: after `from` while a page waits for its proof.
    at: Timestamp,
    trail: Option<Trail>,
    /// The page was read again because the proof failed.
    doubted: bool,
    pages: u32,
    /// End of the question asked.
    until: Timestamp,
    /// First second or millisecond of the question asked.
    since: Timestamp,
    page_size: u32,
    /// A larger page was refused.
    refused: bool,
    dense: Option<Dense>,
    shown: Shown,
    /// Entries that the question cannot have for an answer.
    strays: Strays,
    complete: bool,
}

impl Window {
    pub(crate) fn new(settings: Arc<Settings>, job: Job, state: State) -> Self {
        let configured = settings.cadence.page_size.unwrap_or(100);
        let page_size = if state.page_size_refused == Some(configured) {
            configured.min(SMALL_PAGE)
        } else if state.heavy {
            configured.min(HEAVY_PAGE)
        } else {
            configured
        };
        let shared = Arc::new(Mutex::new(Shared { state, open: 1, abandoned: false }));
        Self::piece(settings, job, job.low, page_size, shared)
    }

    fn piece(settings: Arc<Settings>, job: Job, from: Timestamp, page_size: u32, shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            settings,
            shared,
            answered: job.planned,
            from,
            at: from,
            trail: None,
            doubted: false,
            pages: 0,
            until: job.high,
            since: from,
            page_size,
            refused: false,
            dense: None,
            shown: Shown::default(),
            strays: Strays::default(),
            complete: false,
            job,
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Units that are still to be read.
    fn units(&self) -> i64 {
        (self.job.high - self.from).num_milliseconds() / self.job.unit.one().num_milliseconds().max(1)
    }

    /// Everything up to `high` has been read.
    fn finish(&mut self, high: Timestamp) -> Next {
        self.job.high = high;
        self.complete = true;
        let (job, answered, mut shared) = (self.job, self.answered, self.shared());
        shared.open = shared.open.saturating_sub(1);
        let last = shared.open == 0;
        let state = &mut shared.state;
        match job.duty {
            // Pieces are read in order, so each is where reading goes on should it break off now.
            Duty::Tail { target } => {
                state.read_to = Some(job.high);
                state.watermark = state.watermark.max(state.read_to);
                state.polled = Some(answered);
                state.behind = !last || job.high < target;
                state.window_was(self.pages == 0 && self.dense.is_none());
            }
            Duty::Rescan(rescan) if last => state.rescan_done(&rescan, job.planned),
            Duty::Rescan(_) => {}
        }
        Next::Complete
    }

    /// Whether the window has not ended yet, as the server's clock shows; or had not for a piece of it before this one,
    /// which must not be passed over.
    fn reaches_into_the_present(&self, server_time: Timestamp) -> bool {
        let settled = server_time - self.settings.cadence.settle.0;
        self.job.high > settled + DOUBT || self.shared().abandoned
    }

    /// Gives the window up: what has not been read of it is planned again, by the clock that the server has shown.
    fn abandon(&mut self) -> Next {
        self.job.high = self.job.low;
        self.complete = true;
        let tail = matches!(self.job.duty, Duty::Tail { .. });
        let mut shared = self.shared();
        shared.abandoned = true;
        // What comes next, comes at once.
        shared.state.behind |= tail;
        Next::Complete
    }

    /// Goes on at `from`, with the window as it was.
    fn go_on(&mut self, from: Timestamp) -> Next {
        self.from = from;
        self.at = from;
        self.dense = None;
        if from >= self.job.high {
            return self.finish(self.job.high);
        }
        Next::More
    }

    /// The page is sorted up to `last`: what comes after it, which also proves it.
    fn follow(&mut self, last: Timestamp, total: u64) -> Next {
        self.pages += 1;
        // Far enough that the next window, which begins by the overlap earlier, gets further.
        let somewhere = self.job.low + self.settings.cadence.overlap.0 * 2 + self.job.unit.one() * 2;
        if self.pages >= LONG && self.from > somewhere && matches!(self.job.duty, Duty::Tail { .. }) {
            return self.finish(self.from);
        }
        self.trail = Some(Trail { units: std::mem::take(&mut self.shown.units), total });
        self.at = last.min(self.job.high);
        Next::More
    }

    /// Pieces of equal length, as many as should do for `total` entries in pages of `shown`; if there is nothing to divide,
    /// page by page. A piece with too many entries is divided in turn.
    fn divide(&mut self, total: u64, shown: u64) -> Next {
        let units = self.units();
        if units < 2 {
            return self.go_dense(total);
        }
        let wanted = i64::try_from(total + total / 2).unwrap_or(i64::MAX) / i64::try_from(shown).unwrap_or(1).max(1);
        let count = wanted.clamp(2, PIECES_MAX).min(units);
        let border = |piece: i64| {
            self.from + TimeDelta::milliseconds(units * piece / count * self.job.unit.one().num_milliseconds())
        };
        self.shared().open += u32::try_from(count - 1).unwrap_or_default();
        let piece = |number: i64| -> Box<dyn Scan> {
            let low = border(number);
            let high = if number + 1 == count { self.job.high } else { border(number + 1) };
            let job = Job { low: if number == 0 { self.job.low } else { low }, high, ..self.job };
            Box::new(Self::piece(Arc::clone(&self.settings), job, low, self.page_size, Arc::clone(&self.shared)))
        };
        Next::Split((0..count).map(piece).collect())
    }

    /// A larger page may be all that is needed; a server that has a maximum gives what it gives.
    fn go_dense(&mut self, total: u64) -> Next {
        let ample = u32::try_from(total + total / 4).unwrap_or(LARGE_PAGE).min(LARGE_PAGE);
        let page_size = if self.refused { self.page_size } else { self.page_size.max(ample) };
        self.dense = Some(Dense { page: 1, page_size, ..Dense::default() });
        Next::More
    }

    /// The end of a page of a dense unit.
    fn dense_page(&mut self, total: u64, records: u64) -> Result<Next, ReadError> {
        let until = self.until;
        let full = records >= u64::from(self.page_size);
        let Some(dense) = &mut self.dense else { return Ok(Next::More) };
        dense.answers += 1;
        let before = dense.seen.len() as u64;
        dense.seen.extend(self.shown.identities.drain(..));
        let seen = dense.seen.len() as u64;
        // Some servers show the last page again for each one behind it.
        let repeated = dense.page > 1 && seen == before && total <= dense.passed;
        if !repeated {
            dense.passed += records;
        }
        // `total` may count the entries of the page only, or be capped: what counts is what the pages have shown.
        let more = full && !repeated && total <= dense.passed;
        let expected = total.max(dense.passed);
        // One page showed everything, and nothing is behind it.
        let alone = dense.page == 2 && dense.answers == 2 && (records == 0 || repeated) && seen >= expected;
        let whole_answer = alone || (dense.page == 1 && total <= records && !more);
        if whole_answer || dense.counted.as_ref().is_some_and(|counted| counted.is_subset(&dense.seen)) {
            return Ok(self.go_on(until));
        }
        let counted = seen >= expected && !more;
        if counted {
            dense.counted = Some(std::mem::take(&mut dense.seen));
        }
        let pages = total / records.max(1) + 2;
        if dense.answers > TRIES * pages {
            self.dense = None;
            return Err(ReadError::Malformed(format!(
                "{total} entries share the time `{}`, more than fit a page, and {seen} different ones is all that many reads of it have shown; raise the server's page limit or tell the vendor; nothing after it is read meanwhile",
                text(self.from)
            )));
        }
        if counted || records == 0 || (dense.passed >= total && !more) {
            dense.passed = 0;
            dense.page = 1;
        } else {
            dense.page += 1;
        }
        Ok(Next::More)
    }

    fn range(&self) -> String {
        format!("`{}` to `{}`", text(self.job.low), text(self.job.high))
    }

    /// Keeps what the page showed of ourselves and of the server.
    fn learn(&mut self, total: u64, records: u64) {
        let (own_bytes, owner) = (self.shown.own_bytes, self.shown.owner.take());
        let refused = self.refused.then_some(self.settings.cadence.page_size).flatten();
        // The last page of many may be short.
        let full = records > 0 && records < total && self.dense.is_none();
        let page_size = u64::from(self.page_size);
        let mut shared = self.shared();
        shared.state.heavy |= own_bytes > HEAVY;
        let known = shared.state.page_records.or((own_bytes > 0).then_some(page_size));
        shared.state.page_records = known.map(|known| if full { records } else { known });
        if refused.is_some() {
            // The same question with a smaller page was answered.
            shared.state.page_size_refused = refused;
        }
        if owner.is_some() {
            shared.state.owner = owner;
        }
    }
}

fn text(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Checks a page without its elements, and returns its `total`.
pub(crate) fn list(envelope: &[u8]) -> Result<u64, ReadError> {
    let page: Value = serde_json::from_slice(envelope)
        .map_err(|error| ReadError::Malformed(format!("a page of the audit log is not readable JSON: {error}")))?;
    // An empty list may be written as `null`.
    if !page.get("list").is_some_and(|list| list.is_array() || list.is_null()) {
        return Err(ReadError::Malformed(
            "the answer has no `list`: it is no page of an audit log; check `endpoint`".to_owned(),
        ));
    }
    page.get("total").and_then(headwater_source_kit::count).ok_or_else(|| {
        ReadError::Malformed(
            "a page has no `total`, so that nothing tells whether it is all; tell the vendor".to_owned(),
        )
    })
}

impl Scan for Window {
    fn span(&self) -> Span {
        Span::new(self.job.low, if self.complete { self.job.high } else { self.job.low })
    }

    fn elements(&self) -> &'static [&'static str] {
        &["list"]
    }

    fn request(&mut self) -> Request {
        self.shown = Shown::default();
        self.strays.begin_page();
        let one = self.job.unit.one();
        // A dense unit is read with its neighbour: should the next question's bound include it, it is not met again.
        self.until = if self.dense.is_some() { (self.from + one * 2).min(self.job.high) } else { self.job.high };
        // Either bound may include or exclude its own time.
        self.since = self.at - one;
        let (page, page_size) = self.dense.as_ref().map_or((1, self.page_size), |dense| (dense.page, dense.page_size));
        let unit = self.job.unit;
        self.settings
            .filtered(Request::get(AUDIT))
            .query("start_at", unit.number(self.since))
            .query("end_at", unit.number(self.until))
            .query("order_by", "event_time")
            .query("direction", "asc")
            .query("page", page)
            .query("page_size", page_size)
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = match Entry::read(raw) {
            Ok(entry) => entry,
            Err(unreadable) => {
                // It counts in `total` all the same.
                self.shown.identities.push(Identity::of(&[raw]));
                self.shown.unsorted = true;
                return Err(unreadable);
            }
        };
        let (time, identity) = (entry.time(), entry.identity());
        // Others' entries count in `total` and prove pages as any do.
        let by_operator = self.settings.is_by_operator(&entry);
        self.shown.identities.push(identity);
        match time.map(|time| (time, self.job.unit.floor(time))) {
            Some((time, unit)) if unit < self.since || unit > self.until => {
                self.shown.unsorted = true;
                let wanted = self.strays.meet(identity, entry.id(), unit) && by_operator;
                return Ok(Record::stray(entry.id(), identity, time, wanted));
            }
            Some((_, unit)) => {
                self.shown.unsorted |= self.shown.units.last().is_some_and(|last| unit < *last);
                self.shown.units.push(unit);
            }
            None => self.shown.unsorted = true,
        }
        // Neighbours belong to the windows of their own time. What has no readable time belongs to whoever meets it first.
        let wanted = by_operator && time.is_none_or(|time| self.job.low <= time && time < self.job.high);
        let recognizer = &self.settings.recognizer;
        let echo = match recognizer.own(&entry, sent) {
            Some(request) => {
                self.shown.own_bytes = self.shown.own_bytes.max(raw.len());
                self.shown.owner = entry
                    .operator_id()
                    .zip(entry.token_name())
                    .map(|(operator_id, token)| Owner { operator_id, token_name: token.to_owned() });
                Echo::Own(request.id.clone())
            }
            None => recognizer.foreign(&entry, self.shared().state.owner.as_ref()),
        };
        Ok(Record { echo, wanted, ..Record::foreign(entry.id(), identity, time) })
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        self.answered = end.server_time;
        let total = list(end.envelope)?;
        match self.strays.judge(end.records) {
            StrayPage::Good => {}
            StrayPage::Again => return Ok(Next::More),
            StrayPage::Refused(stray) => {
                return Err(ReadError::Malformed(format!(
                    "asked for `{}` to `{}`, answered with an event of `{}`: the server ignores the bounds or counts time in another unit; check `timestamp_unit`",
                    text(self.since),
                    text(self.until),
                    text(stray)
                )));
            }
        }
        // Fewer than there are on this page: nothing tells what is on the next.
        if total < end.records && end.records >= u64::from(self.page_size) && self.dense.is_none() {
            return Ok(Next::Restart(format!("the server counts {total} entries and shows {}", end.records)));
        }
        self.learn(total, end.records);
        if self.reaches_into_the_present(end.server_time) {
            return Ok(self.abandon());
        }
        if self.dense.is_some() {
            return self.dense_page(total, end.records);
        }
        if let Some(trail) = self.trail.take() {
            if trail.proved(self.since, &self.shown, total) {
                self.from = self.at;
                self.doubted = false;
            } else {
                self.at = self.from;
                // Something may have appeared between the two answers.
                return Ok(if std::mem::replace(&mut self.doubted, true) {
                    self.divide(trail.total, trail.units.len() as u64)
                } else {
                    Next::More
                });
            }
        }
        // A full page proves nothing of what is behind it: `total` may be capped, or count the page only.
        if total <= end.records && end.records < u64::from(self.page_size) {
            return Ok(self.finish(self.job.high));
        }
        if end.records == 0 {
            return Ok(Next::Restart(format!("the server counts {total} entries and shows none")));
        }
        match self.shown.units.last() {
            Some(&last) if !self.shown.unsorted && last > self.from => Ok(self.follow(last, total)),
            // All of it at once: neighbours, or the first unit itself.
            Some(_) if !self.shown.unsorted => Ok(self.go_dense(total)),
            _ => Ok(self.divide(total, end.records)),
        }
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        match rejection.classify(DENIED) {
            ReadError::Malformed(reason) if rejection.status == 400 && !self.refused => {
                self.page_size = self.page_size.min(SMALL_PAGE);
                self.refused = true;
                self.dense = None;
                Ok(Next::Restart(format!("{reason}; asking with `page_size={SMALL_PAGE}`, in case that is the cause")))
            }
            ReadError::Malformed(reason) if rejection.status == 404 => Err(ReadError::Malformed(format!(
                "{reason}: no audit log at `{AUDIT}`; check `endpoint`, with its context path"
            ))),
            error => Err(error),
        }
    }

    fn trimmed(&self, raw: &[u8]) -> Option<Vec<u8>> {
        trim::trimmed(raw, self.settings.max_event_bytes)
    }

    fn remarks(&mut self) -> Vec<String> {
        self.strays.remarks()
    }

    fn state(&self) -> Option<Value> {
        if self.complete { serde_json::to_value(&self.shared().state).ok() } else { None }
    }

    fn describe(&self) -> String {
        let purpose = match self.job.duty {
            Duty::Tail { .. } => "new events",
            Duty::Rescan(_) => "re-scan",
        };
        let dense = if self.dense.is_some() { ", many events of one time" } else { "" };
        format!("audit log of `{}`, {purpose}, {}{dense}", self.settings.stream, self.range())
    }

    fn progress(&self) -> Option<f64> {
        let whole = (self.job.high - self.job.low).num_milliseconds();
        let read = (self.from - self.job.low).max(TimeDelta::zero()).num_milliseconds();
        (whole > 0).then(|| (read as f64 / whole as f64).clamp(0.0, 1.0))
    }
}
