//! One window: a range of the log of one organization, read to its empty last page.

use crate::{
    occurrences::Occurrences,
    record::{Entry, numbered},
    source::{LONGEST, Settings},
    state::{Ahead, State, Sweep},
};
use chrono::{SecondsFormat, TimeDelta};
use headwater_contracts::{
    Echo, Method, Next, OwnRequests, PageEnd, Period, ReadError, Record, Rejection, Request, Scan, Span, Timestamp,
    Unreadable,
};
use headwater_source_kit::{Empties, StrayPage, Strays, Visited, cursor, envelope};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub(crate) const DENIED: &str = "401 and 403 may both mean a missing permission: the scope or role \"Audit Log Viewer\" must be granted in this very business group";

/// After so many broken chains the window is read in halves.
const FAILURES: u32 = 3;

/// Requests in a row without an answer, or with a server error, after which a long window is read in parts.
const UNANSWERED: u32 = 4;

/// No piece is shorter.
const SHORTEST: TimeDelta = TimeDelta::minutes(1);

/// Servers that compare by the second may answer this much beyond the window.
const TOLERANCE: TimeDelta = TimeDelta::seconds(1);

/// What a window is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To go forward.
    Forward,
    /// To have the newest events while there is more to catch up with.
    Newest,
    /// As a part of this re-scan.
    Again(Sweep),
}

/// What to read.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) organization: String,
    /// Both are asked for, to the millisecond.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// The server's clock when it was planned.
    pub(crate) planned: Timestamp,
    pub(crate) purpose: Purpose,
}

/// See the module.
pub(crate) struct Window {
    settings: Arc<Settings>,
    job: Job,
    state: State,
    cursor: Option<String>,
    used: Visited,
    empties: Empties,
    occurrences: Occurrences,
    failures: u32,
    /// Requests since the last answer that was one.
    unanswered: u32,
    remark: Option<String>,
    /// Records that the window asked for cannot contain.
    strays: Strays,
    latest: Option<Timestamp>,
    /// The server's clock when it first answered.
    answered: Option<Timestamp>,
    throttled: u64,
    /// Pages with records.
    pages: u32,
    complete: bool,
}

impl Window {
    pub(crate) fn new(settings: Arc<Settings>, job: Job, state: State) -> Self {
        Self {
            settings,
            job,
            state,
            cursor: None,
            used: Visited::default(),
            empties: Empties::default(),
            occurrences: Occurrences::default(),
            failures: 0,
            unanswered: 0,
            remark: None,
            strays: Strays::default(),
            latest: None,
            answered: None,
            throttled: 0,
            pages: 0,
            complete: false,
        }
    }

    fn rewind(&mut self) {
        self.cursor = None;
        self.used.clear();
        self.empties.restart();
        self.occurrences.restart();
    }

    /// The chain of pages broke: from the start again, or, if that keeps happening, in halves.
    fn broken(&mut self, why: String) -> Result<Next, ReadError> {
        self.rewind();
        self.failures += 1;
        if self.failures < FAILURES {
            return Ok(Next::Restart(why));
        }
        self.failures = 0;
        if self.length() < SHORTEST * 2 {
            return Err(ReadError::Malformed(format!(
                "{why}; {FAILURES} times in a row for {}, which is too short to be read in halves",
                self.range()
            )));
        }
        Ok(self.halves())
    }

    fn length(&self) -> TimeDelta {
        self.job.to - self.job.from
    }

    fn halves(&self) -> Next {
        let middle = self.job.from + TimeDelta::milliseconds(self.length().num_milliseconds() / 2);
        let half = |from, to| -> Box<dyn Scan> {
            let job = Job { from, to, ..self.job.clone() };
            Box::new(Self::new(Arc::clone(&self.settings), job, self.state.clone()))
        };
        // They share their boundary instant, and the second goes on where the first has ended.
        Next::Split(vec![half(self.job.from, middle), half(middle, self.job.to)])
    }

    /// Asks for half of a window of more than a day that is read to go forward; the next one goes on where it ends. What the longest
    /// range is that the server answers is not documented, and may depend on how much there is in it.
    fn shorten(&mut self) -> bool {
        let is_long = self.job.purpose == Purpose::Forward && self.length() > LONGEST;
        if is_long {
            self.rewind();
            self.job.to = self.job.from + (self.length() / 2).max(LONGEST);
            self.state.days = u32::try_from(self.length().num_days()).unwrap_or_default();
        }
        is_long
    }

    fn range(&self) -> String {
        format!("`{}` to `{}`", written(self.job.from), written(self.job.to))
    }

    /// The empty page has come.
    fn finish(&mut self, server_time: Timestamp) {
        self.complete = true;
        let Job { to, planned, purpose, .. } = self.job;
        match purpose {
            Purpose::Newest => {
                let from = self.state.ahead.map_or(self.job.from, |ahead| ahead.from);
                let to = to.min(planned);
                self.state.ahead = Some(Ahead { from, to, at: planned.min(to), came_on: false });
            }
            // What was read ahead joins on.
            Purpose::Forward if self.state.ahead.is_some_and(|ahead| ahead.from <= to) => {
                let ahead = self.state.ahead.take();
                self.state.read_to = ahead.map(|ahead| ahead.to);
                self.state.read_at = ahead.map(|ahead| ahead.at);
                self.state.days = 0;
            }
            Purpose::Forward => {
                self.state.caught_up_by(self.pages);
                self.state.ahead = self.state.ahead.map(|ahead| Ahead { came_on: true, ..ahead });
                self.state.read_to = Some(to.min(planned));
                self.state.read_at = Some(planned);
                // A server's clock that was not known when this was planned may be far ahead: then there is more to read.
                let surprised = self.answered.is_some_and(|answered| answered > to);
                self.state.caught_up = (to >= planned && !surprised).then_some(server_time.max(planned));
            }
            Purpose::Again(sweep) if to < sweep.to => self.state.sweep = Some(Sweep { reached: to, ..sweep }),
            Purpose::Again(sweep) => {
                self.state.sweep = None;
                let configured = &self.settings.cadence.rescan;
                let rescans = &mut self.state.rescans;
                // It has done the work of every re-scan that was due, for it began with the earliest, and of any later one.
                let done: Vec<_> = configured
                    .iter()
                    .copied()
                    .filter(|rescan| {
                        let due = rescans.last(rescan).is_none_or(|last| last + rescan.every.0 <= sweep.began);
                        due || rescans.begin(rescan, sweep.began) >= sweep.from
                    })
                    .collect();
                rescans.complete(&done, configured, sweep.began);
            }
        }
    }
}

/// A bound, to the millisecond and with its zone: without one it would be guessed.
fn written(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Scan for Window {
    /// The last part of a tail claims nothing yet: events of it are still to appear.
    fn span(&self) -> Span {
        let settled = self.job.planned - self.settings.cadence.settle.0;
        let to = if self.complete { self.job.to.min(settled) } else { self.job.from };
        Span::new(self.job.from, to.max(self.job.from))
    }

    fn elements(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn request(&mut self) -> Request {
        self.unanswered += 1;
        if self.unanswered > UNANSWERED && self.cursor.is_none() && self.shorten() {
            self.unanswered = 1;
            self.remark = Some(
                "no answer, several times in a row: asking for a shorter range, should that be the reason".to_owned(),
            );
        }
        self.strays.begin_page();
        self.occurrences.begin_page();
        let mut body = self.settings.filter.clone();
        body.insert("startDate".into(), written(self.job.from).into());
        body.insert("endDate".into(), written(self.job.to).into());
        body.insert("ascending".into(), true.into());
        body.insert("limit".into(), json!(self.settings.cadence.page_size.unwrap_or(200)));
        if let Some(cursor) = &self.cursor {
            body.insert("cursor".into(), cursor.as_str().into());
        }
        let mut request = Request::get(format!("/audit/v2/organizations/{}/query", self.job.organization))
            .query("cursorPagination", true)
            .query("getVersionedObjectsInLogs", self.settings.versioned_objects);
        if self.settings.include_internal {
            request = request.query("include_internal", true);
        }
        Request { method: Method::Post, body: Some(Value::Object(body)), ..request }
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        let outside = |time: &Timestamp| *time < self.job.from - TOLERANCE || *time > self.job.to + TOLERANCE;
        let stray = entry.time.filter(outside);
        // One that lies outside says nothing of the order.
        let time = if stray.is_none() { entry.time } else { None };
        self.latest = self.latest.max(time);
        let identity = numbered(&entry, &self.job.organization, time, &mut self.occurrences);
        let id = identity.to_string();
        let wanted = stray.is_none_or(|stray| self.strays.meet(identity, &id, stray));
        let echo = if wanted { self.settings.recognizer.judge(&entry, sent) } else { Echo::Foreign };
        Ok(Record { stray, echo, wanted, ..Record::foreign(id, identity, time) })
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        self.unanswered = 0;
        let page = envelope(end.envelope, "data", "check `endpoint`");
        self.pages = self.pages.saturating_add(u32::from(end.records > 0));
        let next = match page.and_then(|page| cursor(&page, "cursor")) {
            Ok(next) => next,
            Err(error) => {
                self.rewind();
                return Err(error);
            }
        };
        self.answered.get_or_insert(end.server_time);
        match self.strays.judge(end.records) {
            StrayPage::Good => {}
            StrayPage::Again => return Ok(Next::More),
            StrayPage::Refused(stray) => {
                self.rewind();
                return Err(ReadError::Malformed(format!(
                    "asked for {}, answered with an event of `{}`: the server ignores or changes the window; tell the vendor",
                    self.range(),
                    written(stray),
                )));
            }
        }
        if !self.occurrences.end_page() {
            self.rewind();
            return Ok(Next::Restart("the records were not in the order of their timestamps".to_owned()));
        }
        self.throttled = 0;
        // The empty page at the end has no cursor, or the one that led to it.
        let next = next.filter(|cursor| end.records > 0 || self.cursor.as_ref() != Some(cursor));
        if end.records == 0 && next.is_none() {
            self.finish(end.server_time);
            return Ok(Next::Complete);
        }
        if let Err(why) = self.empties.page(end.records) {
            self.rewind();
            return Err(ReadError::Malformed(why));
        }
        match next {
            Some(cursor) if self.used.insert(&cursor) => {
                self.cursor = Some(cursor);
                Ok(Next::More)
            }
            Some(_) => self.broken("the server gave the same cursor twice".to_owned()),
            None => {
                self.rewind();
                Err(ReadError::Malformed(
                    "a page with records has no `cursor`: what follows cannot be asked for; tell the vendor".to_owned(),
                ))
            }
        }
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        // Over the budget of the address until the minute ends, which it does not say. A minute from now is past that
        // end whatever the clocks show; some seconds more, so that those who share the address come back one by one.
        if rejection.status == 503 {
            self.unanswered = 0;
            self.throttled += 1;
            let seconds =
                60 + u64::from(self.job.organization.bytes().fold(0u8, u8::wrapping_add)) % 10 + self.throttled;
            return Err(ReadError::Throttled {
                retry_after: Some(rejection.retry_after.unwrap_or(Duration::from_secs(seconds.min(300)))),
                reason: "HTTP 503: too many requests from this address in this minute, or an outage".to_owned(),
            });
        }
        match rejection.classify(DENIED) {
            ReadError::Malformed(reason) if self.cursor.is_some() => {
                self.broken(format!("{reason} in the middle of a window; its cursor may have expired"))
            }
            // What a window of more than a day is answered with is not documented.
            ReadError::Malformed(reason) if matches!(rejection.status, 400 | 413 | 414 | 422) => {
                let refused = self.length();
                if !self.shorten() {
                    return Err(ReadError::Malformed(reason));
                }
                self.state.days_refused = u32::try_from(refused.num_days()).ok();
                Ok(Next::Restart(format!(
                    "{reason}, for a range of {}; from now on no more than {} at once are asked for",
                    Period(refused),
                    Period(self.length())
                )))
            }
            ReadError::Malformed(reason) if rejection.status == 404 => Err(ReadError::Malformed(format!(
                "{reason}; check the id in `organization_ids`, and that the credential may see it"
            ))),
            class => Err(class),
        }
    }

    fn remarks(&mut self) -> Vec<String> {
        let mut remarks = self.strays.remarks();
        remarks.extend(self.remark.take());
        remarks
    }

    fn state(&self) -> Option<Value> {
        serde_json::to_value(&self.state).ok()
    }

    fn describe(&self) -> String {
        let purpose = match self.job.purpose {
            Purpose::Forward if self.job.to < self.job.planned => "catching up",
            Purpose::Forward | Purpose::Newest => "recent events",
            Purpose::Again(_) => "re-scan",
        };
        format!("audit log of organization `{}`, {purpose}, {}", self.job.organization, self.range())
    }

    fn progress(&self) -> Option<f64> {
        let whole = (self.job.to - self.job.from).num_milliseconds() as f64;
        let read = (self.latest? - self.job.from).num_milliseconds() as f64;
        (whole > 0.0).then(|| (read / whole).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnypointConfig, echo::Recognizer};
    use headwater_contracts::{Cadence, Coverage, SourceConfig, SourceOptions, StreamView};

    #[test]
    fn an_empty_page_that_leads_on_is_not_the_last() {
        let config = json!({ "organization_ids": ["a"], "auth": { "token": "t" } });
        let config: AnypointConfig = serde_json::from_value(config).unwrap();
        let source = config.build(&SourceOptions::default()).unwrap().source;
        let now = Timestamp::from_timestamp(1_700_000_000, 0).unwrap();
        let view = StreamView {
            stream: "a",
            now,
            start: now - TimeDelta::hours(1),
            first: true,
            coverage: &Coverage::default(),
            state: None,
            calls: &[],
        };
        let mut scan = source.plan(&view).scans.remove(0);
        let mut page = |cursor: Option<&str>| {
            let _ = scan.request();
            let envelope = json!({ "data": [], "cursor": cursor }).to_string();
            let read = scan.page(&PageEnd { envelope: envelope.as_bytes(), records: 0, server_time: now });
            (read, scan.span().is_empty())
        };
        for n in 1..10 {
            assert!(matches!(page(Some(&n.to_string())), (Ok(Next::More), true)), "{n}");
        }
        let (given_up, nothing_claimed) = page(Some("on"));
        assert!(given_up.is_err_and(|error| error.class() == "malformed") && nothing_claimed);
        assert!(matches!(page(Some("same")), (Ok(Next::More), true)));
        assert!(matches!(page(Some("same")), (Ok(Next::Complete), false)));
        // Without one it is the last, as documented.
        let mut scan = source.plan(&view).scans.remove(0);
        let _ = scan.request();
        let end = PageEnd { envelope: br#"{"data":[]}"#, records: 0, server_time: now };
        assert!(matches!(scan.page(&end), Ok(Next::Complete)));
    }

    fn window() -> Window {
        let cadence = Cadence {
            poll_interval: Period::minutes(5),
            overlap: Period::minutes(5),
            settle: Period::minutes(5),
            rescan: Vec::new(),
            page_size: None,
        };
        let settings = Settings {
            organizations: Vec::new(),
            cadence,
            asked: Vec::new(),
            filter: serde_json::Map::new(),
            retention: TimeDelta::days(30),
            ahead: TimeDelta::minutes(5),
            versioned_objects: true,
            include_internal: false,
            recognizer: Recognizer { name: None, ips: Vec::new(), skew: TimeDelta::minutes(5) },
        };
        let from: Timestamp = "2024-05-20T12:00:00Z".parse().unwrap();
        let to = from + TimeDelta::hours(1);
        let job = Job { organization: "org".into(), from, to, planned: to, purpose: Purpose::Forward };
        Window::new(Arc::new(settings), job, State::default())
    }

    #[test]
    fn a_long_range_that_is_refused_or_not_answered_is_asked_for_in_parts_down_to_a_day() {
        let long = || {
            let mut window = window();
            window.job.to = window.job.from + TimeDelta::days(9);
            window.job.planned = window.job.to + TimeDelta::days(30);
            window
        };
        let rejection = |status| Rejection { status, retry_after: None, content_type: String::new(), body: Vec::new() };
        let mut refused = long();
        let mut asked = Vec::new();
        loop {
            let request = refused.request();
            asked.push(request.body.unwrap()["endDate"].as_str().unwrap()[..16].to_owned());
            match refused.rejected(&rejection(400)) {
                Ok(Next::Restart(why)) => assert!(why.contains("from now on no more than"), "{why}"),
                other => {
                    assert!(other.is_err());
                    break;
                }
            }
        }
        assert_eq!(
            asked,
            ["2024-05-29T12:00", "2024-05-25T00:00", "2024-05-22T18:00", "2024-05-21T15:00", "2024-05-21T12:00"]
        );
        let page = PageEnd { envelope: br#"{"data":[]}"#, records: 0, server_time: refused.job.planned };
        refused.request();
        assert!(matches!(refused.page(&page), Ok(Next::Complete)));
        assert_eq!((refused.state.read_to, refused.state.days), (Some(refused.job.from + LONGEST), 1));
        // Server errors and no answers at all.
        let mut silent = long();
        for number in 0..12 {
            silent.request();
            if number % 2 == 0 {
                assert!(silent.rejected(&rejection(504)).is_err());
            }
        }
        assert_eq!((silent.length(), silent.state.days_refused), (TimeDelta::hours(54), None));
        assert!(silent.remarks()[0].contains("a shorter range") && silent.remarks().is_empty());
        let mut throttled = long();
        for _ in 0..12 {
            throttled.request();
            assert!(throttled.rejected(&rejection(503)).is_err());
        }
        assert_eq!(throttled.length(), TimeDelta::days(9));
    }

    #[test]
    fn one_event_outside_the_window_is_delivered_without_a_time_and_many_are_refused() {
        let read = |window: &mut Window, strays: u64| {
            let server_time = window.job.to;
            window.request();
            let delivered = (0..strays).filter(|n| {
                let raw = format!(r#"{{"timestamp":0,"action":"{n}"}}"#);
                let record = window.record(raw.as_bytes(), &OwnRequests::default()).unwrap();
                record.wanted && record.time.is_none()
            });
            (
                delivered.count() as u64 == strays,
                window.page(&PageEnd { envelope: br#"{"data":[],"cursor":"a"}"#, records: strays, server_time }),
            )
        };
        let mut window = window();
        assert!(matches!(read(&mut window, 4), (false, Err(_))));
        assert!(matches!(read(&mut window, 1), (false, Ok(Next::More))));
        assert!(window.cursor.is_none(), "the same page again");
        assert!(matches!(read(&mut window, 1), (true, Ok(Next::More))));
        assert!(window.cursor.is_some() && window.remarks()[0].contains("1970-01-01"));
    }
}
