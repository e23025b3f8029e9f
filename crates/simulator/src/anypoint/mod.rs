//! MuleSoft Anypoint Platform: `POST /audit/v2/organizations/{org}/query`, oldest first, no ids, a cursor that leads to an
//! empty page at the end, tokens whose fetching is itself recorded, and a budget per minute that answers 503.

mod events;
mod names;
mod pages;
mod query;
mod tokens;
mod tree;

use crate::api::{Api, Call, Facts, Reply};
use crate::dice::{Dice, halves};
use crate::faults::ErrorBody;
use crate::log::{Entry, Kind, Log, Reading, Who};
use crate::scenario::Scenario;
use crate::time::{days, seconds};
use events::{Events, Variant};
use pages::Cursors;
use query::Query;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokens::{Grant, Tokens};

/// The organizations: the root and two business groups below it.
pub const ORGANIZATIONS: [&str; 3] = [
    "ac584c40-1bf7-4c08-96a3-c9013a01d871",
    "2b0d8f6e-6a0c-4f0e-9d8b-51f5b7f1c0aa",
    "9e7d1c44-3f5b-4a8e-8c61-0b7a2d9e4f13",
];

/// Failed logins that follow the first of somebody who guesses a password, 20 seconds apart.
const GUESSES: i64 = 7;

/// What becomes of `limit` above 200.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HighLimit {
    /// 200 are answered.
    #[default]
    Clamp,
    /// 400.
    Error,
}

/// How the simulated Anypoint Platform behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnypointOptions {
    /// `expires_in` of a token; `None` leaves it out.
    pub expires_in_s: Option<u32>,
    /// How long a token really works, in seconds.
    pub token_life_s: u32,
    /// The first this many logins get 429 with `X-RateLimit-Reset`.
    pub throttled_logins: u32,
    /// Organizations, by number, that nobody may read.
    pub forbidden: Vec<u8>,
    /// What they answer.
    pub forbidden_status: u16,
    /// Audit requests per minute; beyond it 503 until the minute ends. `None` is without limit.
    pub per_minute: Option<u32>,
    /// Whether that 503 has an HTML body instead of none.
    pub html_503: bool,
    /// What becomes of `limit` above 200.
    pub high_limit: HighLimit,
    /// Highest `offset`; beyond it 400.
    pub offset_max: u32,
    /// Highest `total` that `doIncludeTotal=capped` shows.
    pub total_max: u32,
    /// Pages in the middle hold a random number of records.
    pub short_pages: bool,
    /// The longest range that is answered, in days; a longer one gets 400.
    pub longest_range_days: Option<u32>,
    /// How long a cursor works, in seconds.
    pub cursor_ttl_s: u32,
    /// Of 1000 events, those that come with one to three identical ones, some of which appear late.
    pub identical_per_mille: u16,
    /// Of 1000 events, those that come with 230 others in the same millisecond.
    pub burst_per_mille: u16,
    /// Of 1000 events, those whose payload is split over several records.
    pub split_per_mille: u16,
    /// Of 1000 events, those that also show in another organization.
    pub shared_per_mille: u16,
    /// Of 1000 events, those that come with one stamped up to two minutes ahead.
    pub ahead_per_mille: u16,
    /// Of 1000 failed logins, those that are followed by more of the same person: somebody guesses a password.
    pub guesses_per_mille: u16,
    /// Of 1000 applications of a policy, those that are removals instead.
    pub removals_per_mille: u16,
    /// Hours after the start at which everything is renamed.
    pub renamed_after_h: Vec<u32>,
    /// Records older than this many days are gone.
    pub retention_days: u32,
    /// Whether an id that is not known is taken for that of the next organization, in the order of asking: then any
    /// configuration can be shown.
    pub adopts_ids: bool,
}

impl Default for AnypointOptions {
    fn default() -> Self {
        Self {
            expires_in_s: Some(3600),
            token_life_s: 3600,
            throttled_logins: 0,
            forbidden: Vec::new(),
            forbidden_status: 401,
            per_minute: None,
            html_503: false,
            high_limit: HighLimit::default(),
            offset_max: 10_000,
            total_max: 1000,
            short_pages: false,
            longest_range_days: None,
            cursor_ttl_s: 600,
            identical_per_mille: 0,
            burst_per_mille: 0,
            split_per_mille: 0,
            shared_per_mille: 0,
            ahead_per_mille: 0,
            guesses_per_mille: 0,
            removals_per_mille: 0,
            renamed_after_h: Vec::new(),
            retention_days: 365,
            adopts_ids: false,
        }
    }
}

/// The simulated platform.
pub(crate) struct Anypoint {
    options: AnypointOptions,
    seed: u64,
    facts: Facts,
    events: Events,
    tokens: Tokens,
    cursors: Cursors,
    /// The minute that requests are counted in, and their number.
    minute: (i64, u32),
    /// Ids of organizations, by number.
    ids: Vec<String>,
}

impl Anypoint {
    pub(crate) fn new(scenario: &Scenario, start: i64) -> Self {
        let options = scenario.anypoint.clone();
        let renamed = options.renamed_after_h.iter().map(|hours| start + seconds(hours * 3600)).collect();
        let events = Events::new(renamed, options.removals_per_mille);
        let facts = Facts {
            credential: format!("{}:{}", tokens::CLIENT, tokens::SECRET),
            unprivileged_credential: format!("{}:{}", tokens::OTHER_CLIENT, tokens::OTHER_SECRET),
            context_path: String::new(),
            audit_path: format!("/audit/v2/organizations/{}/query", ORGANIZATIONS[0]),
            samples: events.samples(),
            retention: days(options.retention_days),
        };
        Self {
            facts,
            events,
            tokens: Tokens::new(scenario.seed),
            cursors: Cursors::new(scenario.seed),
            minute: (0, 0),
            ids: if options.adopts_ids { Vec::new() } else { ORGANIZATIONS.map(str::to_owned).to_vec() },
            seed: scenario.seed,
            options,
        }
    }

    /// The number of the organization whose path below `/audit/v2/organizations/{org}` is `tail`.
    fn organization(&mut self, path: &str, tail: &str) -> Option<usize> {
        let org = path.strip_prefix("/audit/v2/organizations/")?.strip_suffix(tail)?;
        let known = self.ids.iter().position(|known| known == org);
        if known.is_none() && self.options.adopts_ids && !org.contains('/') {
            self.ids.push(org.to_owned());
            return Some(self.ids.len() - 1);
        }
        known
    }

    fn error(status: u16, message: &str, call: &Call) -> Reply {
        Reply::error(status, ErrorBody::CodeMessage, message, call)
    }

    /// Counts a request; 503 if there were too many in this minute.
    fn spend(&mut self, call: &Call) -> Result<(), Reply> {
        let Some(limit) = self.options.per_minute else { return Ok(()) };
        let minute = call.now.div_euclid(60_000);
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        self.minute.1 += 1;
        if self.minute.1 > limit {
            let body = if self.options.html_503 { ErrorBody::Html } else { ErrorBody::Empty };
            return Err(Reply::error(503, body, "Service Unavailable", call));
        }
        Ok(())
    }

    /// Whether the caller may read an organization.
    fn authorize(&self, organization: usize, call: &Call) -> Result<(), Reply> {
        let forbidden = self.options.forbidden.iter().any(|number| usize::from(*number) == organization);
        match self.tokens.holder(&call.authorization, call.now) {
            None => Err(Self::error(401, "Unauthorized", call)),
            Some(Grant::Unprivileged) => Err(Self::error(403, "Forbidden", call)),
            Some(Grant::App | Grant::User) if forbidden => {
                Err(Self::error(self.options.forbidden_status, "You do not have permission", call))
            }
            Some(Grant::App | Grant::User) => Ok(()),
        }
    }

    fn answer(&mut self, log: &Log, call: &Call) -> Result<Reply, Reply> {
        let bad = |problem: String| Self::error(400, &problem, call);
        let organization =
            self.organization(&call.path, "/query").ok_or_else(|| Self::error(404, "no such organization", call))?;
        self.authorize(organization, call)?;
        let query = Query::read(call, self.options.high_limit).map_err(bad)?;
        if self.options.longest_range_days.is_some_and(|longest| query.length() > days(longest)) {
            return Err(bad("the range is too long".to_owned()));
        }
        let oldest = call.now - days(self.options.retention_days);
        let found = query.select(log, &self.events, organization, call.now, oldest);
        if call.parameter("cursorPagination") == Some("true") {
            self.cursors.page(organization, &query, found, call, &self.options).map_err(bad)
        } else {
            pages::by_offset(&query, found, call, &self.options).map_err(bad)
        }
    }
}

impl Api for Anypoint {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn is_audit(&self, method: &str, path: &str) -> bool {
        method == "POST" && path.starts_with("/audit/v2/organizations/") && path.ends_with("/query")
    }

    fn id(&self, key: u128) -> String {
        format!("{key:032x}")
    }

    fn key(&self, id: &str) -> Option<u128> {
        u128::from_str_radix(id, 16).ok()
    }

    fn visible_at(&self, time: i64, _: &mut Dice) -> i64 {
        time
    }

    fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>) {
        self.events.render(entry, as_of, out);
    }

    fn versions(&self, entry: &Entry) -> Vec<i64> {
        self.events.versions(entry)
    }

    fn companions(&mut self, entry: &Entry) -> Vec<Entry> {
        let [high, low] = halves(entry.key);
        let mut dice = Dice::new(&[self.seed, high, low, 0xc0]);
        let options = &self.options;
        let mut companions = Vec::new();
        let mut add = |events: &mut Events, dice: &mut Dice, variant: Option<Variant>, time: i64, visible_at: i64| {
            let key = dice.wide();
            if let Some(variant) = variant {
                events.vary(key, variant);
            }
            companions.push(Entry { key, time, visible_at, ..entry.clone() });
        };
        let same = Variant { of: entry.key, part: None, organization: None };
        if dice.chance(options.identical_per_mille) {
            for _ in 0..=dice.below(3) {
                let delay = if dice.chance(300) { dice.millis(seconds(600)) } else { 0 };
                add(&mut self.events, &mut dice, Some(same), entry.time, entry.visible_at + delay);
            }
        }
        if dice.chance(options.burst_per_mille) {
            for _ in 0..230 {
                add(&mut self.events, &mut dice, None, entry.time, entry.visible_at);
            }
        }
        if dice.chance(options.split_per_mille) {
            for part in 1..3 {
                let variant = Variant { part: Some(part), ..same };
                add(&mut self.events, &mut dice, Some(variant), entry.time, entry.visible_at);
            }
        }
        if dice.chance(options.shared_per_mille) && !self.events.only_in_root(entry) {
            let organization = (self.events.organization(entry) + 1) % ORGANIZATIONS.len();
            let variant = Variant { organization: Some(organization), ..same };
            add(&mut self.events, &mut dice, Some(variant), entry.time, entry.visible_at);
        }
        if dice.chance(options.ahead_per_mille) {
            let ahead = dice.millis(seconds(120));
            add(&mut self.events, &mut dice, None, entry.time + ahead, entry.visible_at);
        }
        if dice.chance(options.guesses_per_mille) && self.events.is_failed_login(entry) {
            for guess in 1..=GUESSES {
                let after = guess * seconds(20);
                add(&mut self.events, &mut dice, Some(same), entry.time + after, entry.visible_at + after);
            }
        }
        companions
    }

    fn audit(&mut self, log: &mut Log, call: &Call) -> Reply {
        if let Err(refusal) = self.spend(call) {
            return refusal;
        }
        self.answer(log, call).unwrap_or_else(|refusal| refusal)
    }

    fn refused(&mut self, _: &mut Log, _: &Call) {}

    fn post(&mut self, log: &mut Log, call: &Call) -> Reply {
        if !tokens::is_login(&call.path) {
            return Self::error(404, "no such endpoint", call);
        }
        if self.options.throttled_logins > 0 {
            self.options.throttled_logins -= 1;
            return Self::error(429, "rate limit exceeded", call)
                .header("x-ratelimit-limit", "10".into())
                .header("x-ratelimit-remaining", "0".into())
                .header("x-ratelimit-reset", (call.now / 1000 + 30).to_string());
        }
        let asked = tokens::Asked::read(call);
        let (who, granted) = self.tokens.grant(&asked, call.now, self.options.token_life_s);
        let kind = Kind::of_reader(&call.user_agent);
        let outcome = if granted.is_some() { "" } else { "failed" };
        let reading =
            Reading { who, path: call.path.clone(), query: outcome.to_owned(), user_agent: call.user_agent.clone() };
        log.record(reading, kind, call.now, |_| call.now);
        let Some(token) = granted else {
            let error = json!({ "error": "invalid_client", "error_description": "the client is unknown or its secret is wrong" });
            return Reply::text(401, "application/json", error.to_string().into_bytes());
        };
        let mut answer = json!({ "access_token": token, "token_type": "bearer" });
        if asked.is_user() {
            answer["redirectUrl"] = "/home/".into();
        } else if let Some(seconds) = self.options.expires_in_s {
            answer["expires_in"] = seconds.into();
        }
        Reply::text(200, "application/json", answer.to_string().into_bytes())
    }

    fn other(&mut self, _: &mut Log, call: &Call) -> Reply {
        let json = |body: &Value| Reply::text(200, "application/json", body.to_string().into_bytes());
        // Another service than the audit log's: without its budget.
        if let Some(path) = call.path.strip_prefix("/accounts/api/") {
            return match self.tokens.holder(&call.authorization, call.now) {
                None => Self::error(401, "Unauthorized", call),
                Some(grant) => tree::answer(path, grant)
                    .map_or_else(|| Self::error(404, "no such organization", call), |body| json(&body)),
            };
        }
        if let Err(refusal) = self.spend(call) {
            return refusal;
        }
        for (tail, data) in query::listings(self.options.retention_days) {
            let Some(organization) = self.organization(&call.path, tail) else { continue };
            if let Err(refusal) = self.authorize(organization, call) {
                return refusal;
            }
            let total = data.as_array().map_or(0, Vec::len);
            return json(&json!({ "data": data, "total": total }));
        }
        Self::error(404, "no such endpoint", call)
    }
}

/// Whom a login shows in the log.
pub(super) fn shown(known: bool) -> Who {
    if known { Who::Us } else { Who::Unknown }
}
