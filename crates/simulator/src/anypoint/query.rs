//! What a client may ask of the audit log. Unknown members of the body are ignored without a word.

use super::HighLimit;
use super::events::Events;
use super::names;
use crate::api::Call;
use crate::log::Log;
use crate::time::parse;
use serde_json::{Value, json};

/// The filters of the body, and where the value is that each compares with.
const FILTERS: [(&str, Place); 9] = [
    ("platforms", Place::Top("platform")),
    ("actions", Place::Top("action")),
    ("userIds", Place::Top("userId")),
    ("clientIds", Place::Top("clientId")),
    ("objectTypes", Place::Objects("objectType")),
    ("objectIds", Place::Objects("objectId")),
    ("parentIds", Place::Objects("parentId")),
    ("environmentIds", Place::Objects("environmentId")),
    ("subactions", Place::Payload("subaction")),
];

#[derive(Debug, Clone, Copy)]
enum Place {
    Top(&'static str),
    Objects(&'static str),
    Payload(&'static str),
}

/// A query.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// First and last millisecond wanted.
    start: i64,
    end: i64,
    filters: Vec<(Place, Vec<String>)>,
    failed: Option<bool>,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) ascending: bool,
    pub(super) cursor: Option<String>,
    /// The body without its cursor: what a cursor is bound to.
    pub(super) identity: String,
}

/// An instant as clients write it: milliseconds, or ISO 8601 with `Z`, an offset or nothing.
fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Number(ms) => ms.as_i64(),
        Value::String(text) => parse(text).or_else(|| parse(&format!("{text}Z"))),
        _ => None,
    }
}

impl Query {
    /// From the first millisecond to the last.
    pub(super) fn length(&self) -> i64 {
        self.end - self.start
    }

    /// Reads the body; the error is for the body of a 400.
    pub(super) fn read(call: &Call, high_limit: HighLimit) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(&call.body).map_err(|_| "the body is not JSON".to_owned())?;
        if !body.is_object() {
            return Err("the body is no object".to_owned());
        }
        let start = instant(&body["startDate"]).ok_or("startDate is missing or no date")?;
        let end = match &body["endDate"] {
            Value::Null => call.now,
            value => instant(value).ok_or("endDate is no date")?,
        };
        let mut filters = Vec::new();
        for (name, place) in FILTERS {
            let texts = match &body[name] {
                Value::Null => continue,
                Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
                _ => None,
            };
            let texts: Vec<String> = texts.ok_or_else(|| format!("{name} is no array of strings"))?;
            if !texts.is_empty() {
                filters.push((place, texts));
            }
        }
        let number = |name: &str, absent: u64| match &body[name] {
            Value::Null => Ok(absent),
            value => value.as_u64().ok_or_else(|| format!("{name} is no number")),
        };
        let limit = match (number("limit", 200)?, high_limit) {
            (0, _) => return Err("limit must be at least 1".to_owned()),
            (limit, HighLimit::Error) if limit > 200 => return Err("limit must be at most 200".to_owned()),
            (limit, _) => limit.min(200),
        };
        let mut identity = body.clone();
        identity.as_object_mut().map(|body| body.remove("cursor"));
        Ok(Self {
            start,
            end,
            filters,
            failed: body["failed"].as_bool(),
            limit: usize::try_from(limit).unwrap_or(200),
            offset: usize::try_from(number("offset", 0)?).unwrap_or(usize::MAX),
            ascending: body["ascending"].as_bool().unwrap_or(true),
            cursor: body["cursor"].as_str().map(str::to_owned),
            identity: identity.to_string(),
        })
    }

    /// (time, index) of the records asked for that the organization shows at `now`, in the order asked for.
    pub(super) fn select(
        &self,
        log: &Log,
        events: &Events,
        organization: usize,
        now: i64,
        oldest: i64,
    ) -> Vec<(i64, usize)> {
        let from = log.position_of_time(self.start.max(oldest + 1));
        let to = log.position_of_time(self.end.saturating_add(1));
        let range = log.order().get(from..to).unwrap_or_default();
        let wanted = |(_, index): &&(i64, usize)| {
            log.get(*index).is_some_and(|entry| {
                entry.visible_at <= now
                    && events.organization(entry) == organization
                    && ((self.filters.is_empty() && self.failed.is_none()) || self.matches(&events.value(entry, now)))
            })
        };
        let mut found: Vec<_> = range.iter().filter(wanted).copied().collect();
        if !self.ascending {
            found.reverse();
        }
        found
    }

    fn matches(&self, record: &Value) -> bool {
        let one_of =
            |value: &Value, texts: &[String]| value.as_str().is_some_and(|text| texts.iter().any(|t| t == text));
        self.failed.is_none_or(|failed| record["failed"].as_bool().unwrap_or(false) == failed)
            && self.filters.iter().all(|(place, texts)| match place {
                Place::Top(key) => one_of(&record[key], texts),
                Place::Payload(key) => one_of(&record["payload"][key], texts),
                Place::Objects(key) => {
                    record["objects"].as_array().is_some_and(|all| all.iter().any(|object| one_of(&object[key], texts)))
                }
            })
    }
}

/// What the listing endpoints answer, by the end of their paths.
pub(super) fn listings(retention_days: u32) -> [(&'static str, Value); 5] {
    [
        ("/platforms", names::platforms()),
        ("/objectTypes", names::object_types()),
        ("/actions", names::actions()),
        ("/objects", json!([{ "objectId": "1184756", "objectName": "orders-sapi" }])),
        ("/retentionSettings", json!([{ "retentionPeriod": retention_days, "effectiveFrom": null }])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_in_several_spellings_and_one_is_refused() {
        let ms = Some(1_697_301_120_142);
        for text in ["2023-10-14T16:32:00.142Z", "2023-10-14T16:32:00.142", "2023-10-14 16:32:00.142"] {
            assert_eq!(instant(&json!(text)), ms, "{text}");
        }
        assert_eq!(instant(&json!(1_697_301_120_142_i64)), ms);
        for wrong in [json!("2023-10-14T16:32:00+00:00Z"), json!("soon"), json!([])] {
            assert_eq!(instant(&wrong), None, "{wrong}");
        }
    }
}
