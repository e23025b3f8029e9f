//! Two small questions: what the log's oldest entry tells, and which event types there are.

use crate::{
    echo::AUDIT,
    record::Entry,
    source::Settings,
    state::{Probed, State, Types},
    unit::Unit,
    window::{DENIED, list},
};
use headwater_contracts::{
    Identity, Next, OwnRequests, PageEnd, ReadError, Record, Rejection, Request, Scan, Span, Timestamp, Unreadable,
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Enough that one of them has a readable time.
const ENTRIES: u32 = 10;

/// An element that another scan is responsible for.
fn passed_over(raw: &[u8]) -> Record {
    let identity = Identity::of(&[raw]);
    Record { wanted: false, ..Record::foreign(identity.to_string(), identity, None) }
}

/// Reads the log's oldest entries, for the unit of their times and for how far back the log goes. Not filtered: any entry
/// tells.
pub(crate) struct Probe {
    settings: Arc<Settings>,
    state: State,
    told: Option<(Unit, Timestamp)>,
    planned: Timestamp,
    complete: bool,
}

impl Probe {
    pub(crate) fn new(settings: Arc<Settings>, state: State, planned: Timestamp) -> Self {
        Self { settings, state, told: None, planned, complete: false }
    }
}

impl Scan for Probe {
    fn span(&self) -> Span {
        Span::new(self.planned, self.planned)
    }

    fn elements(&self) -> &'static [&'static str] {
        &["list"]
    }

    fn request(&mut self) -> Request {
        self.told = None;
        Request::get(AUDIT)
            .query("order_by", "event_time")
            .query("direction", "asc")
            .query("page", 1)
            .query("page_size", ENTRIES)
    }

    fn record(&mut self, raw: &[u8], _: &OwnRequests) -> Result<Record, Unreadable> {
        if let Ok(entry) = Entry::read(raw)
            && let (Some(unit), Some(time)) = (entry.unit(), entry.time())
        {
            // A server that does not sort has shown no oldest entry: it may be anywhere.
            let oldest = match self.told {
                Some((_, before)) if time < before => Timestamp::UNIX_EPOCH,
                Some((_, before)) => before,
                None => time,
            };
            self.told = Some((unit, oldest));
        }
        Ok(passed_over(raw))
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        let total = list(end.envelope)?;
        if end.records == 0 && total > 0 {
            return Ok(Next::Restart(format!("the log has {total} entries and shows none")));
        }
        // Entries without a readable time: seconds are the likelier unit.
        let unit = self.told.map(|(unit, _)| unit).or((end.records > 0).then_some(Unit::Seconds));
        self.state.probed(Probed { at: end.server_time, unit, oldest: self.told.map(|(_, oldest)| oldest) });
        self.complete = true;
        Ok(Next::Complete)
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        Err(rejection.classify(DENIED))
    }

    fn state(&self) -> Option<Value> {
        if self.complete { serde_json::to_value(&self.state).ok() } else { None }
    }

    fn describe(&self) -> String {
        format!("audit log of `{}`, its oldest entries", self.settings.stream)
    }
}

/// Reads the list of event types, to check the filter. Whatever goes wrong for good is no reason not to read the log.
pub(crate) struct EventTypes {
    settings: Arc<Settings>,
    state: State,
    wanted: String,
    found: bool,
    planned: Timestamp,
    complete: bool,
}

#[derive(Deserialize)]
struct EventType {
    key: String,
}

impl EventTypes {
    pub(crate) fn new(settings: Arc<Settings>, state: State, wanted: String, planned: Timestamp) -> Self {
        Self { settings, state, wanted, found: false, planned, complete: false }
    }

    fn done(&mut self, unknown: Option<String>) -> Next {
        self.state.types = Some(Types { at: self.planned, unknown });
        self.complete = true;
        Next::Complete
    }
}

impl Scan for EventTypes {
    fn span(&self) -> Span {
        Span::new(self.planned, self.planned)
    }

    fn elements(&self) -> &'static [&'static str] {
        &["list"]
    }

    fn request(&mut self) -> Request {
        self.found = false;
        Request::get(format!("{AUDIT}/event_types"))
    }

    fn record(&mut self, raw: &[u8], _: &OwnRequests) -> Result<Record, Unreadable> {
        self.found |= serde_json::from_slice::<EventType>(raw).is_ok_and(|one| one.key == self.wanted);
        Ok(passed_over(raw))
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        let unknown = (end.records > 0 && !self.found).then(|| self.wanted.clone());
        Ok(self.done(unknown))
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        match rejection.classify(DENIED) {
            // The permission for this list is not documented, and old versions may not have it.
            ReadError::Denied(_) | ReadError::Malformed(_) if rejection.status != 401 => Ok(self.done(None)),
            ReadError::Transient(_) if rejection.status < 300 => Ok(self.done(None)),
            error => Err(error),
        }
    }

    fn unusable(&mut self, _: ReadError) -> Result<Next, ReadError> {
        Ok(self.done(None))
    }

    fn state(&self) -> Option<Value> {
        if self.complete { serde_json::to_value(&self.state).ok() } else { None }
    }

    fn describe(&self) -> String {
        format!("event types of `{}`", self.settings.stream)
    }
}
