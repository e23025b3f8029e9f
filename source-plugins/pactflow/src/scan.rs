//! One read of the log: from a starting point, page by page, to the server's clock at the first answer.

use crate::{
    config::OnCursorLost,
    page::{self, Link},
    record::Entry,
    source::{Settings, horizon},
    state::{Milestone, Open, State},
};
use chrono::{SecondsFormat, TimeDelta};
use headwater_contracts::{
    Echo, Next, OwnRequests, PageEnd, ReadError, Record, Rejection, Request, Rescan, Scan, Span, Timestamp, Unreadable,
};
use headwater_source_kit::{Empties, Visited};
use serde_json::Value;
use std::sync::Arc;

/// HAL, and problem documents for errors. The same addresses serve the web interface to whoever accepts HTML.
const ACCEPT: &str = "application/hal+json, application/json, application/problem+json";

const DENIED: &str = "`token` must be the API token of a system account with the Administrator role, and be current: it may have expired or been regenerated";

/// What is stamped this far ahead of the server's clock is no place to start from, and no sign of the present.
pub(crate) const AHEAD: TimeDelta = TimeDelta::minutes(10);

/// Times a chain may break off in its middle before that counts as an error.
const RESTARTS: u32 = 3;

/// Where a chain of pages begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// At a known event.
    At(Milestone),
    /// At the first event since an instant.
    Since(Timestamp),
    /// At the oldest event the server has.
    Oldest,
}

/// What a scan is to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) stream: String,
    /// The server's clock when it was planned.
    pub(crate) planned: Timestamp,
    /// Events before this are not wanted: `start_at`, or what may have been delivered and forgotten.
    pub(crate) wanted_from: Timestamp,
    /// Where the range begins that it covers.
    pub(crate) from: Timestamp,
    /// Starting points, best first; the last one is [`Position::Oldest`].
    pub(crate) ladder: Vec<Position>,
    /// The re-scans that it completes.
    pub(crate) rescans: Vec<Rescan>,
    /// Whether it begins before the last event read.
    pub(crate) overlaps: bool,
}

/// What the records of the page being read have shown.
#[derive(Debug, Default)]
struct Seen {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    first_uuid: String,
    last_uuid: String,
    /// A request of this very scan: the log has been read up to the present.
    ourselves: bool,
}

/// What a page before has shown.
#[derive(Debug)]
struct Before {
    /// Its last event.
    last: String,
    /// How many new events it had.
    fresh: u64,
    /// The latest time up to its end that is in order.
    time: Option<Timestamp>,
}

/// So many events in a row that bear the present show that the log has been read up to it. One may bear a wrong time.
const PRESENT: u32 = 3;
/// So many pages of them where pages are full: a host whose clock is ahead may have written many into a backlog.
const PRESENT_PAGES: u64 = 20;

/// See the module.
pub(crate) struct AuditScan {
    settings: Arc<Settings>,
    job: Job,
    state: State,
    committed: bool,
    rung: usize,
    /// `from` of the next page; `None` for the first one.
    next: Option<String>,
    /// `from` of the page being read.
    asked: Option<String>,
    /// The `from`s used, to notice a log that leads in a circle.
    used: Visited,
    empties: Empties,
    /// A page without events led on to nobody knows where.
    led_nowhere: bool,
    /// Events in a row, over the borders of pages, since the last that is older than this scan.
    present: u32,
    /// The time of the event after which the log went back to one read before, with more events than lie between two such pages.
    led_back: Option<Timestamp>,
    /// The page before in this chain.
    before: Option<Before>,
    /// Time of the latest event known when the scan was planned, and of the latest read by it.
    base: Option<Timestamp>,
    reached: Option<Timestamp>,
    restarts: u32,
    page_size: Option<u32>,
    began: Option<Timestamp>,
    seen: Seen,
    /// First instant of the range that is certainly complete.
    from: Timestamp,
    /// End of the range read, once complete.
    to: Option<Timestamp>,
}

impl AuditScan {
    pub(crate) fn new(settings: Arc<Settings>, job: Job, state: State) -> Self {
        let page_size = settings.page_size(&state);
        Self {
            from: job.from,
            base: state.newest(),
            reached: None,
            asked: None,
            before: None,
            settings,
            job,
            state,
            committed: false,
            rung: 0,
            next: None,
            used: Visited::default(),
            empties: Empties::default(),
            led_nowhere: false,
            present: 0,
            led_back: None,
            restarts: 0,
            page_size,
            began: None,
            seen: Seen::default(),
            to: None,
        }
    }

    fn position(&self) -> &Position {
        self.job.ladder.get(self.rung).unwrap_or(&Position::Oldest)
    }

    /// Back to the first page.
    fn rewind(&mut self) {
        self.next = None;
        self.used.clear();
        self.empties.restart();
        self.before = None;
        self.present = 0;
        self.seen = Seen::default();
        // `began` stays: everything visible at the first answer is still to be read, and nothing later is promised.
    }

    /// The server does not know the event that the chain begins at.
    fn cursor_lost(&mut self, why: &str) -> Result<Next, ReadError> {
        if self.settings.on_cursor_lost == OnCursorLost::Fail {
            return Err(ReadError::Malformed(format!(
                "{why}, so the log cannot be continued; set `on_cursor_lost: replay` to read it again from an earlier event (nothing is delivered twice)"
            )));
        }
        self.rung += 1;
        self.page_size = self.settings.page_size(&self.state);
        self.rewind();
        Ok(Next::Restart(format!("{why}; reading again {}", self.beginning())))
    }

    fn beginning(&self) -> String {
        match self.position() {
            Position::At(known) => format!("from the event of `{}`", known.time),
            Position::Since(time) => format!("since `{time}`"),
            Position::Oldest => "from the oldest event".to_owned(),
        }
    }

    /// Checks the first page of a chain: whether it begins where it was asked to.
    fn check_first(&mut self, records: u64) -> Option<Result<Next, ReadError>> {
        let overlap = self.settings.cadence.overlap.0;
        match self.position() {
            // Our own previous request, if nothing else, should be there.
            Position::At(_) if records == 0 => {
                if self.rung == 0 && matches!(self.job.ladder.get(1), Some(Position::At(_))) {
                    self.rung = 1;
                    self.rewind();
                    return Some(Ok(Next::Restart(format!(
                        "no events from the last known one on; to be sure, reading again {}",
                        self.beginning()
                    ))));
                }
                return Some(self.cursor_lost("the server has no events from the last known one on"));
            }
            Position::At(known)
                if self.seen.first.is_some_and(|first| first < known.time - overlap)
                    && self.settings.on_cursor_lost == OnCursorLost::Fail =>
            {
                return Some(self.cursor_lost("the server answers with events long before the last known one"));
            }
            // What lies between the last read and the oldest event left has expired unread: no claim on it.
            Position::Since(_) | Position::Oldest if self.rung > 0 => {
                if let (Some(first), Some(read_to)) = (self.seen.first, self.state.read_to())
                    && first > read_to
                {
                    self.from = self.from.max(first);
                }
            }
            _ => {}
        }
        None
    }

    /// Remembers the page: its last event is a place to start from.
    fn advance(&mut self, server_time: Timestamp, began: Timestamp) {
        self.committed = true;
        if self.page_size.is_none() {
            // It was refused in this scan, and the same request without it was not.
            self.state.page_size_refused = self.settings.cadence.page_size;
        }
        let Some(time) = self.seen.last.filter(|time| *time <= server_time + AHEAD) else { return };
        let milestone = Milestone { uuid: self.seen.last_uuid.clone(), time };
        self.reached = self.reached.max(Some(time));
        self.state.pass(milestone, server_time);
        self.state.open = Some(Open { from: self.from, polled: began, reached: time });
    }

    /// Whether the log has been read up to the present, and if so, up to which instant for certain.
    fn end(&self, link: &Link, records: u64, began: Timestamp, server_time: Timestamp) -> Option<Timestamp> {
        let last = self.seen.last;
        let is_full = self.state.page_records.or(self.page_size.map(u64::from)).is_some_and(|full| records >= full);
        let present = if is_full { records * PRESENT_PAGES } else { u64::from(PRESENT) };
        match link {
            Link::End => Some(began),
            // There is more, or an odd way to say that there is not: no claim on what comes after the last event.
            Link::Unnamed if records == 0 => Some(self.reached.unwrap_or(self.from).min(began)),
            // The log is ascending: what follows is at or after this scan's beginning, and the next scan's. An event from
            // the future says nothing about the present.
            _ if u64::from(self.present) >= present
                && last.is_some_and(|last| began <= last && last <= server_time + AHEAD) =>
            {
                Some(began)
            }
            _ if self.seen.ourselves => last.map(|last| last.min(began)),
            _ => None,
        }
    }

    /// The page leads to one that was read before.
    fn circle(&mut self, next: &str, records: u64, began: Timestamp, end: Timestamp) -> Result<Next, ReadError> {
        let last = self.seen.last.unwrap_or(self.from).min(began);
        let advanced = self.before.as_ref().is_none_or(|before| before.last != self.seen.last_uuid);
        // Some servers' last page leads to itself, or to its last event, which then comes back alone or not at all.
        if records <= 1 || (advanced && self.asked.as_deref() == Some(next)) {
            self.complete(if records == 0 { began } else { last }, began, end);
            return Ok(Next::Complete);
        }
        if self.reached > self.base {
            self.complete(last, began, end);
            self.led_back = Some(last);
            self.state.circled = true;
            return Ok(Next::Complete);
        }
        self.rewind();
        Err(ReadError::Malformed(format!(
            "the log leads in a circle: after the event of `{last}` it goes back to one read before, so what follows cannot be read; tell the vendor, and try another `page_size`"
        )))
    }

    fn complete(&mut self, to: Timestamp, began: Timestamp, end: Timestamp) {
        let to = to.min(began - self.settings.cadence.settle.0);
        self.to = Some(to);
        self.state.covered = Some(self.state.covered.map_or(to, |covered| covered.max(to)).max(self.from));
        let first_ever = self.state.polled.is_none();
        self.state.polled = Some(began);
        self.state.ended = Some(end.max(began));
        self.state.circled = false;
        self.state.open = None;
        let configured = &self.settings.cadence.rescan;
        let done = if first_ever { configured } else { &self.job.rescans };
        self.state.rescans.complete(done, configured, began);
    }
}

impl Scan for AuditScan {
    fn span(&self) -> Span {
        Span::new(self.from, self.to.unwrap_or(self.from))
    }

    fn elements(&self) -> &'static [&'static str] {
        &["events"]
    }

    fn request(&mut self) -> Request {
        self.seen = Seen::default();
        let mut request = Request::get("/audit").accept(ACCEPT);
        let from = match (&self.next, self.position()) {
            (Some(uuid), _) => Some(uuid.clone()),
            (None, Position::At(known)) => Some(known.uuid.clone()),
            (None, Position::Since(time)) => {
                request = request.query("since", time.to_rfc3339_opts(SecondsFormat::Millis, true));
                None
            }
            (None, Position::Oldest) => None,
        };
        self.asked.clone_from(&from);
        if let Some(uuid) = from {
            self.used.insert(&uuid);
            request = request.query("from", uuid);
        }
        match self.page_size {
            Some(size) => request.query("pageSize", size),
            None => request,
        }
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        // The log is sorted: what is older than it should be, behind one that is not, has no time that can be believed.
        let oldest = self.job.wanted_from.max(horizon(self.job.planned));
        let place = self.seen.last.or(self.before.as_ref().and_then(|before| before.time));
        if let Some(stray) = entry.time.filter(|time| *time < oldest && place.is_some_and(|place| oldest <= place)) {
            return Ok(Record::stray(entry.uuid(), entry.identity(), stray, true));
        }
        if let Some(time) = entry.time {
            self.seen.first.get_or_insert(time);
            self.seen.last = Some(time);
            self.present =
                if time >= self.began.unwrap_or(self.job.planned) { self.present.saturating_add(1) } else { 0 };
        }
        if self.seen.first_uuid.is_empty() {
            self.seen.first_uuid.push_str(entry.uuid());
        }
        if entry.time.is_some() || self.seen.last.is_none() {
            self.seen.last_uuid.clear();
            self.seen.last_uuid.push_str(entry.uuid());
        }
        let echo = match self.settings.recognizer.own(&entry, sent) {
            Some(request) => {
                self.seen.ourselves |= request.sent >= self.job.planned;
                Echo::Own(request.id.clone())
            }
            None => self.settings.recognizer.foreign(&entry),
        };
        let wanted = entry.time.is_none_or(|time| time >= self.job.wanted_from);
        Ok(Record { echo, wanted, ..Record::foreign(entry.uuid(), entry.identity(), entry.time) })
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        let link = page::next(end.envelope)?;
        let began = *self.began.get_or_insert(end.server_time);
        if self.next.is_none()
            && let Some(elsewhere) = self.check_first(end.records)
        {
            return elsewhere;
        }
        // A full page without a link need not be the last: one more request tells.
        let full = self.page_size.is_some_and(|size| end.records >= u64::from(size));
        let link = match link {
            Link::End if full && !self.used.contains(&self.seen.last_uuid) => Link::From(self.seen.last_uuid.clone()),
            link => link,
        };
        self.advance(end.server_time, began);
        self.led_nowhere |= end.records == 0 && link == Link::Unnamed;
        let repeats = self.before.as_ref().is_some_and(|before| before.last == self.seen.first_uuid);
        let fresh = end.records.saturating_sub(u64::from(repeats));
        let before = self.before.as_ref().map(|before| before.fresh);
        if let Some(to) = self.end(&link, end.records, began, end.server_time) {
            self.state.learn_page(fresh, before, false);
            self.complete(to, began, end.server_time);
            return Ok(Next::Complete);
        }
        let next = match link {
            Link::From(uuid) => uuid,
            // Starting again at the last event leads on as well: it is known already if it comes back.
            _ if !self.seen.last_uuid.is_empty() => self.seen.last_uuid.clone(),
            _ => {
                return Err(ReadError::Malformed(
                    "a page without readable events has a `next` link without `from`: the log cannot be followed"
                        .to_owned(),
                ));
            }
        };
        if self.used.contains(&next) {
            return self.circle(&next, end.records, began, end.server_time);
        }
        if let Err(why) = self.empties.page(end.records) {
            self.rewind();
            return Err(ReadError::Malformed(why));
        }
        self.state.learn_page(fresh, before, true);
        let time = self.seen.last.or(self.before.take().and_then(|before| before.time));
        self.before = Some(Before { last: self.seen.last_uuid.clone(), fresh, time });
        self.next = Some(next);
        Ok(Next::More)
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        if !matches!(rejection.status, 400 | 404 | 410 | 422) {
            return Err(rejection.classify(DENIED));
        }
        let reason = rejection.reason();
        if self.next.is_some() {
            self.rewind();
            if self.restarts < RESTARTS {
                self.restarts += 1;
                return Ok(Next::Restart(format!("{reason} in the middle of the log")));
            }
            self.restarts = 0;
            return Err(ReadError::Malformed(format!("{reason}, again and again in the middle of the log")));
        }
        if let Some(size) = self.page_size.filter(|_| matches!(rejection.status, 400 | 422)) {
            self.page_size = None;
            return Ok(Next::Restart(format!("{reason}; asking without `pageSize={size}`, which may be the cause")));
        }
        match self.position() {
            Position::At(known) => {
                let why = format!("{reason} for the last known event, of `{}`", known.time);
                self.cursor_lost(&why)
            }
            Position::Since(_) => {
                self.rung += 1;
                self.rewind();
                Ok(Next::Restart(format!(
                    "{reason} for `since`, which this version may not know; reading from the oldest event"
                )))
            }
            Position::Oldest => {
                // The whole log is out of reach, so the known events may well be fine.
                self.rung = 0;
                self.rewind();
                Err(ReadError::Malformed(format!(
                    "{reason}: no audit log at `{}`; check `endpoint` with its context path, and that the plan includes the audit API",
                    self.settings.recognizer.audit_path
                )))
            }
        }
    }

    fn remarks(&mut self) -> Vec<String> {
        let nowhere = std::mem::take(&mut self.led_nowhere).then(|| {
            "a page without events has a `next` link that names no event: whether there are more cannot be told, and only what was read counts as read; tell the vendor".to_owned()
        });
        let back = self.led_back.take().map(|last| {
            format!("after the event of `{last}` the log goes back to one read before; what was read up to there counts as read, and the next poll begins there; tell the vendor if this comes again")
        });
        nowhere.into_iter().chain(back).collect()
    }

    fn state(&self) -> Option<Value> {
        if self.committed { serde_json::to_value(&self.state).ok() } else { None }
    }

    fn describe(&self) -> String {
        let purpose = if self.job.rescans.is_empty() { "new events" } else { "re-scan" };
        let overlap = if self.job.overlaps { "" } else { ", without overlap because pages are small" };
        format!("audit log of `{}`, {purpose}, {}{overlap}", self.job.stream, self.beginning())
    }

    fn progress(&self) -> Option<f64> {
        let whole = (self.began? - self.from).num_milliseconds();
        let read = (self.state.open.as_ref()?.reached - self.from).num_milliseconds();
        (whole > 0).then(|| (read as f64 / whole as f64).clamp(0.0, 1.0))
    }
}
