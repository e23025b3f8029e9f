//! One read of the log: from a bound, forward by start, to the present.

use crate::{
    page::Pagination,
    record::Entry,
    seek::{Seek, Step},
    source::Settings,
    state::{Open, State},
};
use chrono::{SecondsFormat, TimeDelta};
use headwater_contracts::{
    Echo, Identity, Next, OwnRequests, PageEnd, ReadError, Record, Rejection, Request, Rescan, Scan, Span, Timestamp,
    Unreadable, shown,
};
use headwater_source_kit::{StrayPage, Strays};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const PATH: &str = "/api/v2/audit/logs";

pub(crate) const DENIED: &str = "`token` must be a current API token with the permission \"Retrieve my organization's audit logs\", made by a user with the Administrator role, and `endpoint` must be the API's address of the account's region (https://api.solace.cloud, https://api.solacecloud.com.au, https://api.solacecloud.eu or https://api.solacecloud.sg)";

/// What every server takes: its own default.
pub(crate) const SMALL_PAGE: u32 = 25;

/// A record this long before the bound means that the server ignores the bound; less may be rounding.
const TOLERANCE: TimeDelta = TimeDelta::seconds(1);

/// First and longest wait where a throttling server does not say how long: it judges five minutes at a time.
const THROTTLED: Duration = Duration::from_mins(1);
const THROTTLED_MAX: Duration = Duration::from_mins(5);

/// Requests for what has happened since the scan began. What a scan does not reach, the next one reads; and if reading is
/// itself recorded, it would never come to an end.
const IN_PURSUIT: u32 = 10;

/// What a scan is to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) stream: String,
    /// Everything that started after this is read.
    pub(crate) bound: Timestamp,
    /// Events before this are not wanted.
    pub(crate) wanted_from: Timestamp,
    /// Where the range begins that it covers.
    pub(crate) from: Timestamp,
    /// The server's clock when it was planned.
    pub(crate) planned: Timestamp,
    /// Whether it looks back as far as `overlap` says.
    pub(crate) wide: bool,
    /// The re-scans that it completes.
    pub(crate) rescans: Vec<Rescan>,
}

/// See the module.
pub(crate) struct AuditScan {
    settings: Arc<Settings>,
    job: Job,
    state: State,
    seek: Seek,
    page_size: u32,
    /// Records asked for by the request under way.
    asked: u32,
    requests: u32,
    /// Those answered with what has happened since it began.
    in_pursuit: u32,
    throttled: u32,
    began: Option<Timestamp>,
    /// The latest start read.
    newest: Option<Timestamp>,
    /// The latest start known before this scan: what starts later is new.
    known: Option<Timestamp>,
    /// Records that the bound should have excluded.
    strays: Strays,
    committed: bool,
    to: Option<Timestamp>,
}

impl AuditScan {
    pub(crate) fn new(settings: Arc<Settings>, job: Job, state: State) -> Self {
        let wanted = settings.page_size();
        Self {
            seek: Seek::new(job.bound),
            page_size: if state.page_size_refused == Some(wanted) { wanted.min(SMALL_PAGE) } else { wanted },
            known: state.users.last,
            settings,
            job,
            state,
            asked: 0,
            requests: 0,
            in_pursuit: 0,
            throttled: 0,
            began: None,
            newest: None,
            strays: Strays::default(),
            committed: false,
            to: None,
        }
    }

    /// The server's clock when the reading began that this scan ends: also if it goes on for an interrupted one.
    fn since(&self, began: Timestamp) -> Timestamp {
        self.state.open.filter(|_| self.job.wide).map_or(began, |open| open.began.min(began))
    }

    fn advance(&mut self, pagination: &Pagination, server_time: Timestamp) -> Result<Next, ReadError> {
        let began = *self.began.get_or_insert(server_time);
        self.throttled = 0;
        self.committed = true;
        let step = self.seek.end_page(pagination, self.asked);
        self.in_pursuit += u32::from(self.seek.reached() >= began);
        match step {
            Step::More | Step::Stuck(_) if self.in_pursuit > IN_PURSUIT => {
                self.complete(began, server_time);
                Ok(Next::Complete)
            }
            Step::More => {
                if self.page_size != self.settings.page_size() {
                    self.state.page_size_refused = Some(self.settings.page_size());
                }
                // What a narrow scan has read says nothing of what a wide one must still read.
                if self.job.wide {
                    let since = self.since(began);
                    let reached = self.seek.reached().min(since - self.settings.cadence.settle.0);
                    let before = self.state.open.map(|open| open.reached);
                    self.state.open =
                        Some(Open { began: since, reached: before.map_or(reached, |old| old.max(reached)) });
                }
                Ok(Next::More)
            }
            Step::End => {
                self.complete(began, server_time);
                Ok(Next::Complete)
            }
            Step::Stuck(why) => {
                self.seek = Seek::new(self.seek.reached());
                Err(ReadError::Malformed(why))
            }
        }
    }

    fn complete(&mut self, began: Timestamp, ended: Timestamp) {
        let since = self.since(began);
        let settled = since - self.settings.cadence.settle.0;
        let to = settled.max(self.job.from);
        self.to = Some(to);
        let first_ever = self.state.polled.is_none();
        let state = &mut self.state;
        state.covered = state.covered.max(Some(to));
        // A start that lies ahead of the server's clock, or has not settled, is no place to go on from.
        let newest = self.newest.map(|newest| newest.min(settled));
        state.low = state.low.max(newest).or(Some(self.job.from.min(settled)));
        state.polled = Some(since);
        state.ended = Some(ended.max(began));
        state.checked = false;
        if self.job.wide {
            state.wide_low = state.low;
            state.wide_ended = state.ended;
            state.wide_requests = self.requests;
            state.open = None;
        }
        let configured = &self.settings.cadence.rescan;
        let done = if first_ever { configured } else { &self.job.rescans };
        state.rescans.complete(done, configured, since);
    }
}

/// An error of the API, with what it says about each parameter.
pub(crate) fn refusal(rejection: &Rejection) -> String {
    let mut reason = rejection.reason();
    let body: Option<Value> = serde_json::from_slice(&rejection.body).ok();
    let details = body.as_ref().and_then(|body| body.get("validationDetails")).and_then(Value::as_object);
    for (parameter, texts) in details.into_iter().flatten() {
        let texts: Vec<&str> = texts.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        reason.push_str(&shown(&format!("; {parameter}: {}", texts.join(", ")), 300));
    }
    reason
}

/// How long to wait where a throttling answer, the `times`th in a row, does not say.
pub(crate) fn patient(error: ReadError, times: u32) -> ReadError {
    match error {
        ReadError::Throttled { retry_after: None, reason } => {
            let wait = THROTTLED.saturating_mul(1 << times.min(8)).min(THROTTLED_MAX);
            ReadError::Throttled { retry_after: Some(wait), reason }
        }
        other => other,
    }
}

impl Scan for AuditScan {
    fn span(&self) -> Span {
        Span::new(self.job.from, self.to.unwrap_or(self.job.from))
    }

    fn elements(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn request(&mut self) -> Request {
        self.seek.begin_page();
        self.strays.begin_page();
        self.requests = self.requests.saturating_add(1);
        self.asked = self.seek.size(self.page_size);
        // Nothing else: an unknown parameter is an error, and `endTime` would lose what lies across any border.
        let request = Request::get(PATH)
            .query("startTime", self.seek.bound().to_rfc3339_opts(SecondsFormat::Millis, true))
            .query("sort", "startTime:asc")
            .query("pageSize", self.asked)
            .query("pageNumber", self.seek.page_number());
        let filter = &self.settings.filter;
        [("eventCategory", &filter.event_category), ("eventType", &filter.event_type), ("traceId", &filter.trace_id)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .fold(request, |request, (name, value)| request.query(name, value))
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = match Entry::read(raw) {
            Ok(entry) => entry,
            Err(unreadable) => {
                // It has a place on its page all the same.
                self.seek.record(&Identity::of(&[raw]).to_string(), None);
                return Err(unreadable);
            }
        };
        if let Some(latest) = entry.latest().filter(|latest| *latest < self.seek.bound() - TOLERANCE) {
            // It has the place that it has.
            self.seek.record(entry.id(), None);
            let wanted = self.strays.meet(entry.identity(), entry.id(), latest);
            let stray = entry.time().unwrap_or(latest);
            return Ok(Record::stray(entry.id(), entry.identity(), stray, wanted));
        }
        self.seek.record(entry.id(), entry.start);
        self.newest = self.newest.max(entry.start);
        let time = entry.time();
        let wanted = time.is_none_or(|time| time >= self.job.wanted_from);
        if let (Some(user), Some(start)) = (entry.user(), entry.start)
            && Some(start) > self.known
        {
            self.state.users.see(user, start);
        }
        let echo = match &self.settings.recognizer {
            Some(own) if wanted => own.judge(&entry, sent),
            _ => Echo::Foreign,
        };
        Ok(Record { echo, wanted, ..Record::foreign(entry.id(), entry.identity(), time) })
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        let pagination = Pagination::read(end.envelope)?;
        let asked = self.seek.page_number();
        if let Some(other) = pagination.page_number.filter(|number| *number != asked && end.records > 0) {
            return Err(ReadError::Malformed(format!(
                "asked for page {asked}, answered with page {other}; tell the vendor"
            )));
        }
        match self.strays.judge(end.records) {
            StrayPage::Good => {}
            StrayPage::Again => return Ok(Next::More),
            StrayPage::Refused(stray) => {
                return Err(ReadError::Malformed(format!(
                    "asked for records after `{}`, answered with one of `{stray}`: the server ignores `startTime`; tell the vendor",
                    self.seek.bound().to_rfc3339_opts(SecondsFormat::Millis, true),
                )));
            }
        }
        self.advance(&pagination, end.server_time)
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        let reason = refusal(rejection);
        match rejection.status {
            // Past the end some servers have no page, where others have an empty one.
            400 | 404 if self.seek.page_number() > 1 => {
                self.seek.begin_page();
                let began = self.began.unwrap_or(self.job.planned);
                self.advance(&Pagination::default(), began)
            }
            400 if self.page_size > SMALL_PAGE => {
                let refused = std::mem::replace(&mut self.page_size, SMALL_PAGE);
                Ok(Next::Restart(format!(
                    "{reason}; asking with `pageSize={SMALL_PAGE}`, because {refused} may be the cause"
                )))
            }
            400 => {
                self.page_size = self.settings.page_size();
                Err(ReadError::Malformed(format!("{reason}; check `filter`")))
            }
            404 => Err(ReadError::Malformed(format!(
                "{reason}: no audit log there; check that `endpoint` is the API's address of your region"
            ))),
            _ => {
                let error = patient(rejection.classify(DENIED), self.throttled);
                self.throttled += u32::from(matches!(error, ReadError::Throttled { .. }));
                Err(error)
            }
        }
    }

    fn remarks(&mut self) -> Vec<String> {
        self.strays.remarks().into_iter().chain(self.seek.remark()).collect()
    }

    fn state(&self) -> Option<Value> {
        if self.committed { serde_json::to_value(&self.state).ok() } else { None }
    }

    fn describe(&self) -> String {
        let purpose = match (self.job.wide, self.job.rescans.is_empty()) {
            (_, false) => "re-scan",
            (true, true) => "new events",
            (false, true) => "new events, with a short overlap because there are many",
        };
        let bound = self.job.bound.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!("audit log of `{}`, {purpose}, after `{bound}`", self.job.stream)
    }

    fn progress(&self) -> Option<f64> {
        let whole = (self.began? - self.job.bound).num_milliseconds();
        let read = (self.seek.bound() - self.job.bound).num_milliseconds();
        (whole > 0).then(|| (read as f64 / whole as f64).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_is_wrong_with_each_parameter() {
        let refused = |body: &str| {
            let (content_type, body) = ("application/json".to_owned(), body.as_bytes().to_vec());
            refusal(&Rejection { status: 400, retry_after: None, content_type, body })
        };
        let said = refused(
            r#"{"message":"not valid","validationDetails":{"eventType":["unknown type","no category"],"pageSize":["too large"]}}"#,
        );
        assert_eq!(said, "HTTP 400: not valid; eventType: unknown type, no category; pageSize: too large");
        let odd = r#"{"message":"not valid","validationDetails":{"a":"text","b":[7,null]}}"#;
        assert!(refused(odd).starts_with("HTTP 400: not valid; a"), "{}", refused(odd));
        for body in [r#"{"message":"not valid","validationDetails":[]}"#, r#"{"message":"not valid"}"#] {
            assert_eq!(refused(body), "HTTP 400: not valid");
        }
    }
}
