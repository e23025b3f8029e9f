//! What a client may ask of `/api/audit_logs`.

use super::{Api7Options, TimeUnit};
use crate::api::Call;

impl TimeUnit {
    fn millis(self) -> i64 {
        match self {
            Self::Seconds => 1000,
            Self::Milliseconds => 1,
        }
    }

    /// `time` (ms) in this unit.
    pub(super) fn number(self, time: i64) -> i64 {
        time.div_euclid(self.millis())
    }

    /// `time` (ms) without what is less than a unit.
    pub(super) fn whole(self, time: i64) -> i64 {
        self.number(time) * self.millis()
    }
}

/// The parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    start: Option<i64>,
    end: Option<i64>,
    pub(super) descending: bool,
    pub(super) page: usize,
    pub(super) page_size: usize,
    /// Where a wanted value stands in an entry, and the value.
    pub(super) filters: Vec<(&'static str, String)>,
}

impl Query {
    /// Reads the parameters of a call; the error is for the body of a 400.
    pub(super) fn read(call: &Call, options: &Api7Options) -> Result<Self, String> {
        let time = |name: &str| match call.parameter(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| format!("{name} must be an integer")),
        };
        let count = |name: &str, default: u32| match call.parameter(name) {
            None => Ok(usize::try_from(default).unwrap_or(1)),
            Some(text) => text.parse().ok().filter(|n| *n >= 1).ok_or(format!("{name} must be at least 1")),
        };
        let descending = match call.parameter("direction").map(str::to_ascii_lowercase).as_deref() {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err("direction must be asc or desc".to_owned()),
        };
        if !matches!(call.parameter("order_by"), None | Some("event_time")) {
            return Err("order_by must be event_time".to_owned());
        }
        // More than the maximum is not refused: less is given.
        let most = usize::try_from(options.max_page_size).unwrap_or(usize::MAX).max(1);
        let filters = [("event_type", "/event_type"), ("operator_id", "/operator/id"), ("resource_id", "/resource_id")];
        let filters = filters.into_iter().filter_map(|(name, place)| Some((place, call.parameter(name)?.to_owned())));
        Ok(Self {
            start: time("start_at")?,
            end: time("end_at")?,
            descending,
            page: count("page", 1)?,
            page_size: count("page_size", options.default_page_size)?.min(most),
            filters: filters.collect(),
        })
    }

    /// Whether an entry of this time, in the server's unit, is asked for.
    pub(super) fn covers(&self, time: i64, options: &Api7Options) -> bool {
        let after = self.start.is_none_or(|start| time > start || (options.start_inclusive && time == start));
        let before = self.end.is_none_or(|end| time < end || (options.end_inclusive && time == end));
        after && before
    }
}
