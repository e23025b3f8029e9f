//! Solace Cloud: `GET /api/v2/audit/logs`, pages by number over a log that changes meanwhile, strict about parameters,
//! vague about almost everything else.

mod events;
mod limit;
mod query;

use crate::api::{Api, Call, Facts, Reply};
use crate::dice::Dice;
use crate::faults::{ErrorBody, RetryAfter};
use crate::log::{Entry, Kind, Log, Reading, Who};
use crate::scenario::Scenario;
use crate::time::{SECOND, days};
use events::Events;
use limit::Limit;
use query::Query;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which time of a record `startTime` and `endTime` are compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFilter {
    /// `startTime` with its start, `endTime` with its end.
    #[default]
    StartAndEnd,
    /// Both with its start.
    Start,
    /// Both with its end.
    End,
}

/// What `nextPage` is on the last page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastPage {
    /// Absent.
    #[default]
    Absent,
    /// `null`
    Null,
    /// The page itself.
    Same,
    /// One more than there are.
    Beyond,
}

/// The answer to a page past the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastEnd {
    /// 200 without records.
    #[default]
    Empty,
    /// 404.
    NotFound,
}

/// Whose records the token shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Everybody's.
    #[default]
    Organization,
    /// Its owner's, and nothing says that there are others.
    Own,
}

/// The body of a 429.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitBody {
    /// The API's own error.
    #[default]
    Json,
    /// A firewall's page.
    Html,
    /// Nothing.
    Empty,
}

/// How the simulated Solace Cloud behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
// Each of them is an independent guess about what the documentation leaves open.
#[allow(clippy::struct_excessive_bools)]
pub struct SolaceCloudOptions {
    /// Whose records the token shows.
    pub scope: TokenScope,
    /// Whether `/api/v0/token/permissions` answers.
    pub tells_permissions: bool,
    /// Whether `/categories` answers with `{"data":[...]}` as the rest of the API does, instead of a bare array.
    pub wraps_categories: bool,
    /// Highest `pageSize`.
    pub max_page_size: u32,
    /// A higher one is answered with the highest, not with 400.
    pub clamps_page_size: bool,
    /// What the bounds are compared with.
    pub time_filter: TimeFilter,
    /// Of 1000 actions, those that take up to ten hours.
    pub long_per_mille: u16,
    /// How long after its end a record can stay invisible, in seconds.
    pub visibility_delay_s: u32,
    /// Of 1000 records, those that are shown before their action is complete, and change then.
    pub changes_per_mille: u16,
    /// Records older than this many days are gone.
    pub retention_days: u32,
    /// At most so many records that have expired are removed with each request; `None` is all at once.
    pub expires_per_request: Option<u32>,
    /// What the last page says.
    pub last_page: LastPage,
    /// `totalPages` of an empty result: 1 instead of 0.
    pub one_page_when_empty: bool,
    /// Highest `count` told.
    pub count_cap: Option<u32>,
    /// What is past the last page.
    pub past_end: PastEnd,
    /// Requests in five minutes; `None` is without limit.
    pub limit: Option<u32>,
    /// What a refusal by that limit looks like.
    pub limit_body: LimitBody,
    /// What it says about coming again.
    pub limit_retry_after: RetryAfter,
    /// Whether reading the audit log is itself recorded.
    pub records_readings: bool,
}

impl Default for SolaceCloudOptions {
    fn default() -> Self {
        Self {
            scope: TokenScope::default(),
            tells_permissions: false,
            wraps_categories: false,
            max_page_size: 100,
            clamps_page_size: true,
            time_filter: TimeFilter::default(),
            long_per_mille: 0,
            visibility_delay_s: 0,
            changes_per_mille: 0,
            retention_days: 180,
            expires_per_request: None,
            last_page: LastPage::default(),
            one_page_when_empty: false,
            count_cap: None,
            past_end: PastEnd::default(),
            limit: None,
            limit_body: LimitBody::default(),
            limit_retry_after: RetryAfter::default(),
            records_readings: false,
        }
    }
}

const LOGS: &str = "/api/v2/audit/logs";
const CATEGORIES: &str = "/api/v2/audit/categories";
const PERMISSIONS: &str = "/api/v0/token/permissions";
const TOKEN: &str = "sim-solace-token-of-the-united-states";
const UNPRIVILEGED: &str = "sim-solace-token-without-audit-permission";
const ELSEWHERE: &str = "sim-solace-token-of-the-european-union";

/// The categories there are, and those that are added a day later.
const KNOWN: [(&str, &str, &str); 9] = [
    ("DISTRIBUTED_TRACING", "ENABLE_DISTRIBUTED_TRACING", "Enable distributed tracing"),
    ("IAM", "LOGIN", "User login"),
    ("IAM", "PASSWORD_RESET", "Password reset"),
    ("IAM", "UNKNOWN", ""),
    ("IAM", "USER_CREATION", "User creation"),
    ("IAM", "USER_GROUP_CREATE", "User group creation"),
    ("SERVICE", "SERVICE_CREATE", "Service creation"),
    ("SERVICE", "SERVICE_DELETE", "Service deletion"),
    ("SERVICE", "SERVICE_SHOW_PASSWORD", "Show the service's password"),
];
const ADDED: [(&str, &str, &str); 2] = [
    ("EVENT_MANAGEMENT", "EVENT_ACCESS_REQUEST_APPROVE", "Approve an event access request"),
    ("AGENT_MESH", "AGENT_MESH_RENAME", "Rename an agent mesh"),
];

/// The simulated account.
pub(crate) struct SolaceCloud {
    options: SolaceCloudOptions,
    facts: Facts,
    events: Events,
    limit: Limit,
    start: i64,
    requests: u64,
    /// The instant of the last reading, and how many there have been at it.
    last_reading: (i64, i64),
    /// Records that started before this have been removed.
    removed: i64,
}

impl SolaceCloud {
    pub(crate) fn new(scenario: &Scenario, start: i64) -> Self {
        let options = scenario.solace_cloud.clone();
        let events = Events::new(&options);
        let facts = Facts {
            credential: TOKEN.to_owned(),
            unprivileged_credential: UNPRIVILEGED.to_owned(),
            context_path: String::new(),
            audit_path: LOGS.to_owned(),
            samples: events.samples(),
            retention: days(options.retention_days),
        };
        Self {
            facts,
            events,
            limit: Limit::new(options.limit, start),
            start,
            requests: 0,
            last_reading: (start, 0),
            removed: i64::MIN,
            options,
        }
    }

    fn authorize(call: &Call) -> Result<(), Reply> {
        match call.authorization.strip_prefix("Bearer ") {
            Some(TOKEN) => Ok(()),
            Some(UNPRIVILEGED) => Err(error(403, "the token lacks the permission", None)),
            Some(ELSEWHERE) => Err(error(401, "the token is of another region", None)),
            _ => Err(error(401, "the token is missing, invalid or revoked", None)),
        }
    }

    fn throttled(&self, call: &Call) -> Reply {
        let message = "too many requests";
        let reply = match self.options.limit_body {
            LimitBody::Json => error(429, message, None),
            LimitBody::Html => Reply::error(429, ErrorBody::Html, message, call),
            LimitBody::Empty => Reply::error(429, ErrorBody::Empty, message, call),
        };
        reply.retry_after(self.options.limit_retry_after, call.now)
    }

    fn categories(&self, now: i64) -> Vec<(&'static str, &'static str, &'static str)> {
        let added = if now - self.start > days(1) { &ADDED[..] } else { &[] };
        KNOWN.iter().chain(added).copied().collect()
    }

    /// Removes what has expired, as much of it as is removed at once.
    fn expire(&mut self, log: &Log, now: i64) {
        let cutoff = now - days(self.options.retention_days);
        let Some(most) = self.options.expires_per_request else {
            self.removed = cutoff;
            return;
        };
        let from = log.position_of_time(self.removed);
        let expired = log.order().iter().skip(from).take_while(|(time, _)| *time < cutoff);
        let last = expired.map(|(time, _)| *time).take(usize::try_from(most).unwrap_or(usize::MAX)).last();
        self.removed = last.map_or(self.removed, |time| time + 1);
    }

    fn page(&mut self, log: &Log, call: &Call, query: &Query) -> Reply {
        self.expire(log, call.now);
        self.requests += 1;
        let own_only = self.options.scope == TokenScope::Own;
        let shown = |entry: &Entry| {
            entry.visible_at <= call.now
                && entry.time >= self.removed
                && (!own_only || Events::user(entry) == events::OWNER)
        };
        let found = query.select(log, &self.events, call, (self.requests, self.options.time_filter), shown);
        let cap = self.options.count_cap.and_then(|cap| usize::try_from(cap).ok()).unwrap_or(usize::MAX);
        let count = found.len().min(cap);
        let empty = usize::from(self.options.one_page_when_empty && found.is_empty());
        let pages = count.div_ceil(query.size).max(empty);
        let from = (query.page - 1).saturating_mul(query.size);
        if from >= found.len() && query.page > 1 && self.options.past_end == PastEnd::NotFound {
            return error(404, "there is no such page", None);
        }
        let items: Vec<usize> = found.iter().copied().skip(from).take(query.size).collect();
        let mut pagination =
            json!({ "pageNumber": query.page, "pageSize": query.size, "totalPages": pages, "count": count });
        let next = if from + query.size < found.len() {
            Some(json!(query.page + 1))
        } else {
            match self.options.last_page {
                LastPage::Absent => None,
                LastPage::Null => Some(Value::Null),
                LastPage::Same => Some(json!(query.page)),
                LastPage::Beyond => Some(json!(pages.max(query.page) + 1)),
            }
        };
        if let Some(next) = next {
            pagination["nextPage"] = next;
        }
        let content_type = if query.download { "application/octet-stream" } else { "application/json" };
        Reply {
            status: 200,
            headers: vec![("content-type", content_type.to_owned())],
            prefix: b"{\"data\":[".to_vec(),
            items,
            suffix: format!("],\"meta\":{{\"pagination\":{pagination}}}}}").into_bytes(),
            as_of: call.now,
        }
    }

    fn answer(&mut self, log: &Log, call: &Call) -> Result<Reply, Reply> {
        Self::authorize(call)?;
        let mut categories: Vec<&str> = self.categories(call.now).iter().map(|(category, ..)| *category).collect();
        categories.dedup();
        let query = Query::read(call, &self.options, &categories)
            .map_err(|refused| error(400, "invalid request parameter", Some((&refused.parameter, &refused.problem))))?;
        Ok(self.page(log, call, &query))
    }
}

/// An error as this API writes it.
fn error(status: u16, message: &str, detail: Option<(&str, &str)>) -> Reply {
    let mut body = json!({ "message": message, "errorId": "2b1f9c0e-7d55-4e6b-9f1a-3c8de0a41b77" });
    if let Some((parameter, problem)) = detail {
        body["validationDetails"] = json!({ parameter: [problem] });
    }
    Reply::text(status, "application/json", body.to_string().into_bytes())
}

impl Api for SolaceCloud {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn id(&self, key: u128) -> String {
        self.events.id(key)
    }

    fn key(&self, id: &str) -> Option<u128> {
        self.events.key(id)
    }

    fn visible_at(&self, time: i64, dice: &mut Dice) -> i64 {
        Events::visible_at(&self.options, time, dice)
    }

    fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>) {
        self.events.render(entry, as_of, out);
    }

    fn versions(&self, entry: &Entry) -> Vec<i64> {
        std::iter::once(entry.visible_at).chain(self.events.finished_at(entry)).collect()
    }

    fn audit(&mut self, log: &mut Log, call: &Call) -> Reply {
        if !self.limit.admits(call.now) {
            return self.throttled(call);
        }
        let reply = self.answer(log, call).unwrap_or_else(|refusal| refusal);
        if self.options.records_readings && reply.status == 200 {
            let reading = Reading {
                who: Who::Us,
                path: call.path.clone(),
                query: call.query.clone(),
                user_agent: call.user_agent.clone(),
            };
            let kind = Kind::of_reader(&call.user_agent);
            // On a clock that stands still, too, one request comes after the other.
            let (at, number) = self.last_reading;
            self.last_reading = (call.now, if at == call.now { number + 1 } else { 0 });
            let time = call.now + 20 * self.last_reading.1;
            // Unlike other actions, reading takes no hours.
            let delay = i64::from(self.options.visibility_delay_s) * SECOND;
            log.record(reading, kind, time, |dice| time + 200 + dice.millis(delay));
        }
        reply
    }

    fn refused(&mut self, _: &mut Log, _: &Call) {}

    fn other(&mut self, _: &mut Log, call: &Call) -> Reply {
        let answer = |value: &Value| Reply::text(200, "application/json", value.to_string().into_bytes());
        // What else there is takes from the same budget.
        if [CATEGORIES, PERMISSIONS].contains(&call.path.as_str()) && !self.limit.admits(call.now) {
            return self.throttled(call);
        }
        match (call.path.as_str(), Self::authorize(call)) {
            (CATEGORIES | PERMISSIONS, Err(refusal)) => refusal,
            (CATEGORIES, Ok(())) => {
                let mut list: Vec<Value> = Vec::new();
                for (category, kind, description) in self.categories(call.now) {
                    let kind = json!({ "name": kind, "description": description });
                    let last = list.last_mut().filter(|last| last["category"] == category);
                    match last.and_then(|last| last["types"].as_array_mut()) {
                        Some(types) => types.push(kind),
                        None => list.push(json!({ "category": category, "types": [kind] })),
                    }
                }
                let list = Value::Array(list);
                answer(&if self.options.wraps_categories { json!({ "data": list }) } else { list })
            }
            (PERMISSIONS, Ok(())) if self.options.tells_permissions => {
                let audit = match self.options.scope {
                    TokenScope::Organization => "Retrieve my organization's audit logs",
                    TokenScope::Own => "Retrieve my audit logs",
                };
                answer(&json!({ "data": ["Retrieve my services", audit] }))
            }
            _ => error(404, "no such endpoint", None),
        }
    }
}
