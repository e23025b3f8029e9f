//! PactFlow: `GET {base}/audit`, oldest first, keyset pages by event uuid, and a record of every reading.

mod events;
mod page;

use crate::api::{Api, Call, Facts, Reply};
use crate::dice::Dice;
use crate::faults::ErrorBody;
use crate::log::{Entry, Kind, Log, Reading, Who};
use crate::scenario::Scenario;
use crate::time::{days, seconds};
use events::Events;
use serde::{Deserialize, Serialize};

/// Whether the page begun by `from` holds the event `from` names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromMode {
    /// Yes; `next` names the first event of the next page.
    #[default]
    Inclusive,
    /// No; `next` names the last event of this page.
    Exclusive,
}

/// When the record of a `GET /audit` appears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnRecords {
    /// In the answer it records, if its page reaches that far.
    SameResponse,
    /// From the next request on.
    #[default]
    NextRequest,
    /// After this many seconds.
    AfterSeconds(u32),
}

/// What the `href`s of `_links` look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// The endpoint as configured.
    #[default]
    Faithful,
    /// Another host: the trap.
    OtherHost,
    /// `https`, where the server speaks `http`.
    OtherScheme,
    /// The same origin, another context path, where there is nothing.
    OtherPath,
    /// Path and query only.
    Relative,
}

/// The answer to a `from` that names no event, or one that has expired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCursor {
    /// 404.
    #[default]
    NotFound,
    /// 400.
    BadRequest,
    /// 200 without events.
    Empty,
    /// 200 from the oldest event on.
    Restart,
}

/// The offset of timestamps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// `Z`.
    Utc,
    /// `+10:00` or `+11:00`, changing with summer time.
    #[default]
    Melbourne,
}

/// How the simulated PactFlow behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
// Each of them is an independent fact about a server's version.
#[allow(clippy::struct_excessive_bools)]
pub struct PactFlowOptions {
    /// Context path: empty, or beginning with `/` and not ending so.
    pub context_path: String,
    /// Events per page without `pageSize`.
    pub default_page_size: u32,
    /// Whether `pageSize` (1 to 100) counts.
    pub honours_page_size: bool,
    /// Whether `since`, `sort`, `type` and `pageNumber` count; an old on-premises version ignores them.
    pub honours_filters: bool,
    /// Inclusive or exclusive.
    pub from: FromMode,
    /// When the record of a reading appears.
    pub own_records: OwnRecords,
    /// Whether refused requests are recorded as well.
    pub records_refused: bool,
    /// What links look like.
    pub links: Links,
    /// `_links` before `events` in the body.
    pub links_first: bool,
    /// The answer to an unknown `from`.
    pub unknown_cursor: UnknownCursor,
    /// Offset of timestamps.
    pub zone: Zone,
    /// Events older than this many days are gone.
    pub retention_days: u32,
    /// The token belongs to a system account: `user_email` of its records is null.
    pub system_account: bool,
    /// Shape of the errors that are not faults.
    pub error_body: ErrorBody,
}

impl Default for PactFlowOptions {
    fn default() -> Self {
        Self {
            context_path: String::new(),
            default_page_size: 100,
            honours_page_size: true,
            honours_filters: true,
            from: FromMode::default(),
            own_records: OwnRecords::default(),
            records_refused: false,
            links: Links::default(),
            links_first: false,
            unknown_cursor: UnknownCursor::default(),
            zone: Zone::default(),
            retention_days: 90,
            system_account: false,
            error_body: ErrorBody::default(),
        }
    }
}

const HAL: &str = "application/hal+json;charset=utf-8";
const TOKEN: &str = "sim-pactflow-read-only-token";
const UNPRIVILEGED: &str = "sim-pactflow-token-of-a-guest";

/// The simulated tenant.
pub(crate) struct PactFlow {
    options: PactFlowOptions,
    facts: Facts,
    events: Events,
    origin: String,
    trap_url: String,
}

impl PactFlow {
    pub(crate) fn new(scenario: &Scenario, origin: String, trap_url: String) -> Self {
        let options = scenario.pactflow.clone();
        let events = Events::new(options.zone, options.system_account);
        let facts = Facts {
            credential: TOKEN.to_owned(),
            unprivileged_credential: UNPRIVILEGED.to_owned(),
            context_path: options.context_path.clone(),
            audit_path: format!("{}/audit", options.context_path),
            samples: events.samples(),
            retention: days(options.retention_days),
        };
        Self { options, facts, events, origin, trap_url }
    }

    fn error(&self, status: u16, message: &str, call: &Call) -> Reply {
        Reply::error(status, self.options.error_body, message, call)
    }

    /// Who asks, or the refusal.
    fn authorize(&self, call: &Call) -> Result<(), Reply> {
        match call.authorization.strip_prefix("Bearer ") {
            Some(TOKEN) => Ok(()),
            Some(UNPRIVILEGED) => Err(self.error(403, "insufficient permission for the audit log", call)),
            _ => Err(self.error(401, "the token is missing, invalid or expired", call)),
        }
    }

    fn record(log: &mut Log, call: &Call, who: Who, visible_at: i64) {
        let reading =
            Reading { who, path: call.path.clone(), query: call.query.clone(), user_agent: call.user_agent.clone() };
        log.record(reading, Kind::of_reader(&call.user_agent), call.now, |_| visible_at);
    }

    fn root(&self) -> Reply {
        let base = format!("{}{}", self.origin, self.options.context_path);
        let root = serde_json::json!({ "_links": {
            "self": { "href": base, "title": "Index", "templated": false },
            "pb:audit": { "href": format!("{base}/audit"), "title": "Audit trail", "templated": false },
        }});
        Reply::text(200, HAL, root.to_string().into_bytes())
    }

    fn user(&self) -> Reply {
        let email = (!self.options.system_account).then_some(events::OUR_EMAIL);
        let user = serde_json::json!({
            "uuid": "4c1f9f0a-52d4-4c0e-9d0b-7a8b6f1e2d3c", "email": email, "active": true,
            "type": if self.options.system_account { "system" } else { "user" },
        });
        Reply::text(200, HAL, user.to_string().into_bytes())
    }
}

impl Api for PactFlow {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn id(&self, key: u128) -> String {
        events::uuid(key)
    }

    fn key(&self, id: &str) -> Option<u128> {
        events::key(id)
    }

    fn visible_at(&self, time: i64, _: &mut Dice) -> i64 {
        time
    }

    fn render(&self, entry: &Entry, _: i64, out: &mut Vec<u8>) {
        self.events.render(entry, out);
    }

    fn audit(&mut self, log: &mut Log, call: &Call) -> Reply {
        let query = self
            .authorize(call)
            .and_then(|()| page::Query::read(&self.options, call).map_err(|problem| self.error(400, &problem, call)));
        let query = match query {
            Ok(query) => query,
            Err(refusal) => {
                self.refused(log, call);
                return refusal;
            }
        };
        match self.options.own_records {
            OwnRecords::SameResponse => {
                Self::record(log, call, Who::Us, call.now);
                self.page(log, call, &query)
            }
            OwnRecords::NextRequest => {
                let reply = self.page(log, call, &query);
                Self::record(log, call, Who::Us, call.now);
                reply
            }
            OwnRecords::AfterSeconds(delay) => {
                let reply = self.page(log, call, &query);
                Self::record(log, call, Who::Us, call.now + seconds(delay));
                reply
            }
        }
    }

    fn refused(&mut self, log: &mut Log, call: &Call) {
        if self.options.records_refused {
            let who = if self.authorize(call).is_ok() { Who::Us } else { Who::Unknown };
            Self::record(log, call, who, call.now);
        }
    }

    fn other(&mut self, _: &mut Log, call: &Call) -> Reply {
        let path = call.path.strip_prefix(self.options.context_path.as_str()).unwrap_or("?");
        match path {
            "/login" => Reply::text(200, "text/html; charset=utf-8", b"<!DOCTYPE html><title>Sign in</title>".to_vec()),
            "" | "/" => self.root(),
            "/user" => match self.authorize(call) {
                // Everybody may know who they are.
                Err(refusal) if refusal.status != 403 => refusal,
                _ => self.user(),
            },
            _ => self.error(404, "the requested document was not found on this server", call),
        }
    }
}
