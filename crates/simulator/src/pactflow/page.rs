//! What a client may ask of `/audit`, and the page it gets.

use super::{FromMode, HAL, Links, PactFlow, PactFlowOptions, UnknownCursor, events};
use crate::api::{Call, Reply};
use crate::log::{Entry, Log};
use crate::time::{days, parse};

/// The parameters that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    from: Option<String>,
    since: Option<i64>,
    kind: Option<String>,
    descending: bool,
    page_number: usize,
    page_size: usize,
    /// `pageSize` as asked for, to repeat in links.
    asked_page_size: Option<usize>,
}

impl Query {
    /// Reads the parameters of a call; the error is for the body of a 400.
    pub(super) fn read(options: &PactFlowOptions, call: &Call) -> Result<Self, String> {
        let number = |name: &str, max: usize| match call.parameter(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(n) if (1..=max).contains(&n) => Ok(Some(n)),
                _ => Err(format!("{name} must be a whole number from 1 to {max}")),
            },
        };
        let filter = |name| if options.honours_filters { call.parameter(name) } else { None };
        let since = match filter("since") {
            None => None,
            Some(text) => Some(parse(text).ok_or("since must be an ISO 8601 instant")?),
        };
        let asked_page_size = if options.honours_page_size { number("pageSize", 100)? } else { None };
        Ok(Self {
            from: call.parameter("from").map(ToOwned::to_owned),
            since,
            kind: filter("type").map(ToOwned::to_owned),
            descending: matches!(filter("sort"), Some("-timestamp" | "desc")),
            page_number: if options.honours_filters { number("pageNumber", 1_000_000)?.unwrap_or(1) } else { 1 },
            page_size: asked_page_size.unwrap_or(usize::try_from(options.default_page_size).unwrap_or(100)).max(1),
            asked_page_size,
        })
    }
}

impl PactFlow {
    /// The page a query asks for.
    pub(super) fn page(&self, log: &Log, call: &Call, query: &Query) -> Reply {
        let oldest = call.now - days(self.options.retention_days);
        let shown = |entry: &Entry| entry.visible_at <= call.now && entry.time > oldest;
        let start = match &query.from {
            None => query.since.map_or(0, |since| log.position_of_time(since)),
            Some(from) => {
                let found = events::key(from).and_then(|key| log.find(key));
                match found.filter(|&index| log.get(index).is_some_and(shown)) {
                    Some(index) => log.position_of(index) + usize::from(self.options.from == FromMode::Exclusive),
                    None => match self.options.unknown_cursor {
                        UnknownCursor::NotFound => return self.error(404, "no event with the uuid in from", call),
                        UnknownCursor::BadRequest => return self.error(400, "from is not a known event uuid", call),
                        UnknownCursor::Empty => return self.envelope(call, Vec::new(), None, query),
                        UnknownCursor::Restart => 0,
                    },
                }
            }
        };
        let start = start.max(log.position_of_time(oldest));
        let range = log.order().get(start..).unwrap_or_default();
        let indices: Box<dyn Iterator<Item = usize>> = if query.descending {
            Box::new(range.iter().rev().map(|&(_, index)| index))
        } else {
            Box::new(range.iter().map(|&(_, index)| index))
        };
        let wanted = |index: &usize| {
            log.get(*index).is_some_and(|entry| shown(entry) && self.events.is_of_type(entry, query.kind.as_deref()))
        };
        let skip = (query.page_number - 1) * query.page_size;
        let mut items: Vec<usize> = indices.filter(wanted).skip(skip).take(query.page_size + 1).collect();
        let first_of_next = if items.len() > query.page_size { items.pop() } else { None };
        let next = first_of_next.and_then(|first| match self.options.from {
            FromMode::Inclusive => log.get(first),
            FromMode::Exclusive => items.last().and_then(|&last| log.get(last)),
        });
        self.envelope(call, items, next.map(|entry| events::uuid(entry.key)), query)
    }

    fn envelope(&self, call: &Call, items: Vec<usize>, next: Option<String>, query: &Query) -> Reply {
        let path = &self.options.context_path;
        let base = match self.options.links {
            Links::Faithful => format!("{}{path}", self.origin),
            Links::OtherHost => format!("{}{path}", self.trap_url),
            Links::OtherScheme => {
                let (scheme, rest) = self.origin.split_once(':').unwrap_or_default();
                format!("{}:{rest}{path}", if scheme == "http" { "https" } else { "http" })
            }
            Links::OtherPath => format!("{}/somewhere/else", self.origin),
            Links::Relative => path.clone(),
        };
        let this = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        let mut links = serde_json::json!({ "self": { "href": format!("{base}/audit{this}") } });
        if let Some(from) = next {
            let mut href = format!("{base}/audit?from={from}");
            if let Some(size) = query.asked_page_size {
                href = format!("{href}&pageSize={size}");
            }
            links["next"] = serde_json::json!({ "href": href });
        }
        let (prefix, suffix) = if self.options.links_first {
            (format!(r#"{{"_links":{links},"events":["#), "]}".to_owned())
        } else {
            (r#"{"events":["#.to_owned(), format!(r#"],"_links":{links}}}"#))
        };
        Reply {
            status: 200,
            headers: vec![("content-type", HAL.to_owned())],
            prefix: prefix.into_bytes(),
            items,
            suffix: suffix.into_bytes(),
            as_of: call.now,
        }
    }
}
