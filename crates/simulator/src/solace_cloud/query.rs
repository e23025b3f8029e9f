//! What a client may ask of the audit log. Whatever is unknown, in name or value, is refused.

use super::events::Events;
use super::{SolaceCloudOptions, TimeFilter};
use crate::api::Call;
use crate::dice::{Dice, halves};
use crate::log::{Entry, Log};

const NAMES: [&str; 9] =
    ["pageSize", "pageNumber", "sort", "startTime", "endTime", "traceId", "eventCategory", "eventType", "downloadType"];
const DEFAULT_SIZE: usize = 25;

/// A parameter that is refused, and why.
pub(super) struct Refused {
    pub(super) parameter: String,
    pub(super) problem: String,
}

/// The records asked for, and how.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) size: usize,
    /// From 1.
    pub(super) page: usize,
    by_end: bool,
    descending: bool,
    after: Option<i64>,
    before: Option<i64>,
    trace: Option<String>,
    category: Option<String>,
    kind: Option<String>,
    pub(super) download: bool,
}

impl Query {
    /// Reads the parameters.
    pub(super) fn read(call: &Call, options: &SolaceCloudOptions, categories: &[&str]) -> Result<Self, Refused> {
        let refused = |parameter: &str, problem: String| Refused { parameter: parameter.to_owned(), problem };
        if let Some((unknown, _)) = call.parameters.iter().find(|(name, _)| !NAMES.contains(&name.as_str())) {
            return Err(refused(unknown, format!("invalid parameter name, valid are {}", NAMES.join(", "))));
        }
        let number = |name: &str, default: usize| match call.parameter(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| refused(name, "must be a positive integer".to_owned())),
        };
        let time = |name: &str| match call.parameter(name) {
            None => Ok(None),
            Some(text) => chrono::DateTime::parse_from_rfc3339(text)
                .map(|time| Some(time.timestamp_millis()))
                .map_err(|_| refused(name, format!("Text '{text}' could not be parsed at index 0"))),
        };
        let one_of = |name: &str, known: &[&str]| match call.parameter(name) {
            None => Ok(None),
            Some(text) if known.contains(&text) => Ok(Some(text.to_owned())),
            Some(_) => Err(refused(name, format!("invalid value, valid are {}", known.join(", ")))),
        };
        let limit = usize::try_from(options.max_page_size).unwrap_or(usize::MAX).max(1);
        let size = match number("pageSize", DEFAULT_SIZE.min(limit))? {
            size if size <= limit => size,
            _ if options.clamps_page_size => limit,
            _ => return Err(refused("pageSize", format!("must be less than or equal to {limit}"))),
        };
        let sort = call.parameter("sort").unwrap_or("startTime");
        let (field, direction) = sort.split_once(':').unwrap_or((sort, "desc"));
        if !["startTime", "endTime"].contains(&field) || !["asc", "desc"].contains(&direction) {
            return Err(refused("sort", "must be startTime or endTime, and asc or desc".to_owned()));
        }
        Ok(Self {
            size,
            page: number("pageNumber", 1)?,
            by_end: field == "endTime",
            descending: direction == "desc",
            after: time("startTime")?,
            before: time("endTime")?,
            trace: call.parameter("traceId").map(str::to_owned),
            category: one_of("eventCategory", categories)?,
            kind: call.parameter("eventType").map(str::to_owned),
            download: one_of("downloadType", &["json"])?.is_some(),
        })
    }

    /// Whether the bounds let a record through. Both are exclusive.
    fn in_time(&self, events: &Events, entry: &Entry, now: i64, filter: TimeFilter) -> bool {
        let start = entry.time;
        let end = events.end(entry, now).unwrap_or(start);
        let (low, high) = match filter {
            TimeFilter::StartAndEnd => (start, end),
            TimeFilter::Start => (start, start),
            TimeFilter::End => (end, end),
        };
        self.after.is_none_or(|after| low > after) && self.before.is_none_or(|before| high < before)
    }

    /// Indices of the records that are shown, in order. Ties are in an order of this request's own.
    pub(super) fn select(
        &self,
        log: &Log,
        events: &Events,
        call: &Call,
        (request, filter): (u64, TimeFilter),
        shown: impl Fn(&Entry) -> bool,
    ) -> Vec<usize> {
        let wanted = |entry: &Entry| {
            let (category, kind) = events.kind(entry);
            self.category.as_deref().is_none_or(|wanted| wanted == category)
                && self.kind.as_deref().is_none_or(|wanted| wanted == kind)
                && self.in_time(events, entry, call.now, filter)
                && self.trace.as_deref().is_none_or(|trace| events.has_trace(entry, call.now, trace))
        };
        let mut found: Vec<(i64, u64, usize)> = Vec::new();
        for &(time, index) in log.order() {
            let Some(entry) = log.get(index).filter(|entry| shown(entry) && wanted(entry)) else { continue };
            let key = if self.by_end { events.end(entry, call.now).unwrap_or(time) } else { time };
            let [high, low] = halves(entry.key);
            let key = if self.descending { -key } else { key };
            found.push((key, Dice::new(&[high, low, request]).roll(), index));
        }
        found.sort_unstable();
        found.into_iter().map(|(_, _, index)| index).collect()
    }
}
