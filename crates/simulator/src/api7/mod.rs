//! API7 Enterprise: `GET /api/audit_logs`, pages by number over a live table whose order among equal times is arbitrary, and
//! perhaps a record of every reading.

mod events;
mod query;

use crate::api::{Api, Call, Facts, Reply};
use crate::dice::Dice;
use crate::faults::ErrorBody;
use crate::log::{Entry, Kind, Log, Reading, Who};
use crate::scenario::Scenario;
use crate::time::{DAY, days, seconds};
use events::Events;
use query::Query;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt::Write;

/// The unit of times in requests and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// How a page without entries is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyList {
    /// `"list":[]`
    #[default]
    Array,
    /// `"list":null`
    Null,
}

/// Whether a reading of the audit log is itself recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditReads {
    /// Nobody's is.
    NotLogged,
    /// Everybody's is.
    #[default]
    Logged,
    /// Everybody's is, with the whole answer: a record holds the page before.
    WithBodies,
}

/// How the simulated control plane behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
// Each of them is an independent fact about a server's version.
#[allow(clippy::struct_excessive_bools)]
pub struct Api7Options {
    /// Context path: empty, or beginning with `/` and not ending so.
    pub context_path: String,
    /// Entries per page without `page_size`.
    pub default_page_size: u32,
    /// Most entries per page, whatever is asked for.
    pub max_page_size: u32,
    /// How a page without entries is written.
    pub empty_list: EmptyList,
    /// Unit of times.
    pub unit: TimeUnit,
    /// Whether `start_at` includes its own time.
    pub start_inclusive: bool,
    /// Whether `end_at` includes its own time.
    pub end_inclusive: bool,
    /// Whether the order among equal times is another in each answer.
    pub shuffles_ties: bool,
    /// Entries of more than a day before the start share the first second of each so many seconds. 0 switches it off.
    pub burst_s: u32,
    /// Longest time between an event and the row in the table, in seconds.
    pub write_delay_s: u32,
    /// Whether readings are recorded.
    pub reads: AuditReads,
    /// Longest answer that is recorded, in bytes; a longer one is replaced by a mark.
    pub recorded_body_max: u32,
    /// Whether refused readings are recorded as well.
    pub records_refused: bool,
    /// The account may not list event types.
    pub event_types_forbidden: bool,
    /// The account may not export.
    pub export_forbidden: bool,
    /// Entries older than this many days are gone.
    pub retention_days: u32,
    /// Bytes added to the body of the samples that have a large one.
    pub large_body_bytes: u32,
    /// Shape of the errors that are not faults.
    pub error_body: ErrorBody,
}

impl Default for Api7Options {
    fn default() -> Self {
        Self {
            context_path: String::new(),
            default_page_size: 10,
            max_page_size: 500,
            empty_list: EmptyList::default(),
            unit: TimeUnit::default(),
            start_inclusive: true,
            end_inclusive: true,
            shuffles_ties: true,
            burst_s: 0,
            write_delay_s: 0,
            reads: AuditReads::default(),
            recorded_body_max: 256 << 10,
            records_refused: false,
            event_types_forbidden: false,
            export_forbidden: false,
            retention_days: 60,
            large_body_bytes: 20 << 10,
            error_body: ErrorBody::ErrorMsg,
        }
    }
}

const PATH: &str = "/api/audit_logs";
const TOKEN: &str = "a7ee-sim-token-of-a-reader";
const UNPRIVILEGED: &str = "a7ee-sim-token-of-a-guest";

/// The simulated control plane.
pub(crate) struct Api7 {
    options: Api7Options,
    facts: Facts,
    events: Events,
    seed: u64,
    /// Lists answered: each shuffles ties anew.
    lists: u64,
    /// What was answered to recorded readings, by their key.
    answers: HashMap<u128, Vec<u8>>,
    /// Entries before this share the seconds of bursts.
    bursts_before: i64,
}

impl Api7 {
    pub(crate) fn new(scenario: &Scenario, start: i64) -> Self {
        let options = scenario.api7.clone();
        let events = Events::new(options.unit, options.large_body_bytes);
        let facts = Facts {
            credential: TOKEN.to_owned(),
            unprivileged_credential: UNPRIVILEGED.to_owned(),
            context_path: options.context_path.clone(),
            audit_path: format!("{}{PATH}", options.context_path),
            samples: events.samples(),
            retention: days(options.retention_days),
        };
        Self {
            options,
            facts,
            events,
            seed: scenario.seed,
            lists: 0,
            answers: HashMap::new(),
            bursts_before: start - DAY,
        }
    }

    fn error(&self, status: u16, message: &str, call: &Call) -> Reply {
        Reply::error(status, self.options.error_body, message, call)
    }

    /// The token of a call: from the header, or else from the cookie of the same name.
    fn token(call: &Call) -> &str {
        if !call.api_key.is_empty() {
            return &call.api_key;
        }
        let mut cookies = call.cookie.split(';').map(str::trim);
        cookies.find_map(|cookie| cookie.strip_prefix("X-API-KEY=")).unwrap_or_default()
    }

    /// Whether the call may do `action`, or the refusal.
    fn authorize(&self, call: &Call, action: &str, forbidden: bool) -> Result<(), Reply> {
        match Self::token(call) {
            TOKEN if !forbidden => Ok(()),
            TOKEN | UNPRIVILEGED => Err(self.error(403, &format!("no permission for {action}"), call)),
            _ => Err(self.error(401, "the token is missing, invalid or expired", call)),
        }
    }

    /// When an entry happened, as the table has it, ms.
    fn time(&self, entry: &Entry) -> i64 {
        let coarse = seconds(self.options.burst_s);
        let time = if coarse > 0 && entry.time < self.bursts_before {
            entry.time.div_euclid(coarse) * coarse
        } else {
            entry.time
        };
        self.options.unit.whole(time)
    }

    fn record(&mut self, log: &mut Log, call: &Call, who: Who, status: u16, answer: Vec<u8>) {
        let reading =
            Reading { who, path: call.path.clone(), query: call.query.clone(), user_agent: call.user_agent.clone() };
        let key = log.record(reading, Kind::of_reader(&call.user_agent), call.now, |_| call.now);
        let mut response = format!("{{\"status_code\":{status},\"body\":").into_bytes();
        response.extend(if answer.is_empty() { b"{}".to_vec() } else { answer });
        response.push(b'}');
        self.answers.insert(key, response);
    }

    /// A whole answer, as its record keeps it.
    fn answer(&self, log: &Log, reply: &Reply) -> Vec<u8> {
        if self.options.reads != AuditReads::WithBodies {
            return Vec::new();
        }
        let most = usize::try_from(self.options.recorded_body_max).unwrap_or(usize::MAX);
        let mut body = reply.prefix.clone();
        for (n, entry) in reply.items.iter().filter_map(|index| log.get(*index)).enumerate() {
            if n > 0 {
                body.push(b',');
            }
            self.render(entry, reply.as_of, &mut body);
            if body.len() > most {
                return b"{\"truncated\":true}".to_vec();
            }
        }
        body.extend_from_slice(&reply.suffix);
        body
    }

    fn list(&mut self, log: &Log, call: &Call) -> Result<Reply, Reply> {
        self.authorize(call, "iam:GetAudit", false)?;
        let query = Query::read(call, &self.options).map_err(|problem| self.error(400, &problem, call))?;
        self.lists += 1;
        let found = self.select(log, call, &query);
        let skip = (query.page - 1).saturating_mul(query.page_size);
        let items: Vec<usize> = found.iter().copied().skip(skip).take(query.page_size).collect();
        let (open, close) = match self.options.empty_list {
            EmptyList::Null if items.is_empty() => ("null", ""),
            _ => ("[", "]"),
        };
        Ok(Reply {
            status: 200,
            headers: vec![("content-type", JSON.to_owned())],
            prefix: format!("{{\"total\":{},\"list\":{open}", found.len()).into_bytes(),
            items,
            suffix: format!("{close}}}").into_bytes(),
            as_of: call.now,
        })
    }

    /// Indices of all entries that a query asks for, in this answer's order.
    fn select(&self, log: &Log, call: &Call, query: &Query) -> Vec<usize> {
        let shuffle = if self.options.shuffles_ties { self.lists } else { 0 };
        let oldest = call.now - days(self.options.retention_days);
        let shown = |entry: &Entry| entry.visible_at <= call.now && entry.time > oldest;
        let mut found: Vec<(i64, u64, usize)> = Vec::new();
        for &(_, index) in log.order() {
            let Some(entry) = log.get(index).filter(|entry| shown(entry)) else { continue };
            let time = self.options.unit.number(self.time(entry));
            if query.covers(time, &self.options) && self.fits(entry, query) {
                let mut dice = Dice::new(&[self.seed, 0xa7, shuffle, u64::try_from(index).unwrap_or_default()]);
                found.push((time, dice.roll(), index));
            }
        }
        found.sort_unstable();
        if query.descending {
            found.reverse();
        }
        found.into_iter().map(|(_, _, index)| index).collect()
    }

    /// Whether an entry is what the filters want.
    fn fits(&self, entry: &Entry, query: &Query) -> bool {
        if query.filters.is_empty() {
            return true;
        }
        let mut raw = Vec::new();
        self.render(entry, entry.time, &mut raw);
        let value: serde_json::Value = serde_json::from_slice(&raw).unwrap_or_default();
        query.filters.iter().all(|(pointer, wanted)| {
            value.pointer(pointer).and_then(serde_json::Value::as_str) == Some(wanted.as_str())
        })
    }

    fn event_types(&self) -> Reply {
        let types = self.events.types();
        let list: Vec<_> = types.iter().map(|name| serde_json::json!({ "key": name, "name": name })).collect();
        let body = serde_json::json!({ "total": list.len(), "list": list });
        Reply::text(200, JSON, body.to_string().into_bytes())
    }
}

const JSON: &str = "application/json; charset=utf-8";

impl Api for Api7 {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn id(&self, key: u128) -> String {
        events::id(key)
    }

    fn key(&self, id: &str) -> Option<u128> {
        events::key(id)
    }

    fn visible_at(&self, time: i64, dice: &mut Dice) -> i64 {
        time + dice.millis(seconds(self.options.write_delay_s))
    }

    fn render(&self, entry: &Entry, _: i64, out: &mut Vec<u8>) {
        let answer = self.answers.get(&entry.key).map_or(&b"{\"status_code\":200,\"body\":{}}"[..], Vec::as_slice);
        self.events.render(entry, self.time(entry), answer, out);
    }

    fn records_readings(&self) -> bool {
        self.options.reads != AuditReads::NotLogged
    }

    fn audit(&mut self, log: &mut Log, call: &Call) -> Reply {
        match self.list(log, call) {
            Ok(reply) => {
                if self.records_readings() {
                    let answer = self.answer(log, &reply);
                    self.record(log, call, Who::Us, 200, answer);
                }
                reply
            }
            Err(refusal) => {
                self.refused(log, call);
                refusal
            }
        }
    }

    fn refused(&mut self, log: &mut Log, call: &Call) {
        if self.options.records_refused && self.records_readings() {
            let known = Self::token(call) == TOKEN;
            let who = if known { Who::Us } else { Who::Unknown };
            self.record(log, call, who, if known { 400 } else { 401 }, Vec::new());
        }
    }

    fn other(&mut self, log: &mut Log, call: &Call) -> Reply {
        let path = call.path.strip_prefix(self.options.context_path.as_str()).unwrap_or("?");
        let answer = match path {
            "/api/audit_logs/event_types" => self
                .authorize(call, "the list of event types", self.options.event_types_forbidden)
                .map(|()| self.event_types()),
            "/api/audit_logs/export" => {
                self.authorize(call, "iam:ExportAudits", self.options.export_forbidden).and_then(|()| {
                    let query = Query::read(call, &self.options).map_err(|problem| self.error(400, &problem, call))?;
                    let found = self.select(log, call, &query);
                    match call.parameter("format") {
                        Some("json") => Ok(Reply {
                            status: 200,
                            headers: vec![("content-type", JSON.to_owned())],
                            prefix: b"[".to_vec(),
                            items: found,
                            suffix: b"]".to_vec(),
                            as_of: call.now,
                        }),
                        Some("csv") => Ok(Reply::text(200, "text/csv", self.csv(log, &found))),
                        _ => Err(self.error(400, "format must be json or csv", call)),
                    }
                })
            }
            "/login" => Ok(Reply::text(200, "text/html", b"<!DOCTYPE html><title>Sign in</title>".to_vec())),
            _ => Err(self.error(404, "no such endpoint", call)),
        };
        if path.starts_with(PATH) && answer.is_ok() && self.records_readings() {
            self.record(log, call, Who::Us, 200, Vec::new());
        }
        answer.unwrap_or_else(|refusal| refusal)
    }
}

impl Api7 {
    /// Id, time and type of entries, as CSV.
    fn csv(&self, log: &Log, found: &[usize]) -> Vec<u8> {
        let mut csv = "id,event_time\r\n".to_owned();
        for entry in found.iter().filter_map(|index| log.get(*index)) {
            // Writing to a String cannot fail.
            let _ = write!(csv, "{},{}\r\n", events::id(entry.key), self.options.unit.number(self.time(entry)));
        }
        csv.into_bytes()
    }
}
