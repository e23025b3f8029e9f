//! The YAML of a `mural` source.

use crate::{echo::Recognizer, source::Mural, source::Settings};
use headwater_contracts::{
    Auth, BuiltSource, Cadence, ConfigError, OwnQueryPolicy, Period, RateLimit, Rescan, Secret, SourceConfig,
    SourceOptions,
};
use headwater_source_kit::{check_endpoint, stream_name};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;
use url::Url;

/// Most action names in one request. Source: the vendor's page "About the Audit Log API".
pub(crate) const ACTIONS_PER_CHAIN: usize = 10;

/// Reads the audit log of one Mural Enterprise company.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MuralConfig {
    /// Address of the API. Default: `https://api.mural.co`.
    #[serde(default = "default_endpoint")]
    pub endpoint: Url,
    /// API key with the audit-log scope, best one used by nothing else.
    pub api_key: Secret,
    /// Which events to read. Default: all.
    #[serde(default)]
    pub filter: Filter,
    /// Calls that this source may make. The company shares 1500 a day. When they run short, early sweeps wait first, then
    /// sweeps for stragglers; the sweep that completes a range never does. Default: `{ calls: 700, per: 24h }`.
    #[serde(default)]
    pub call_budget: CallBudget,
    /// Least time between two calls. Default: `20s`; `1s` for `headwater query`.
    #[serde(default = "default_interval")]
    pub min_call_interval: Period,
    /// How far back events can be read, at most 30 days. Default: `29d23h`.
    #[serde(default = "default_lookback")]
    pub max_lookback: Period,
    /// Whether events are read as soon as they appear. Default: `early`.
    #[serde(default)]
    pub mode: Mode,
    /// How dates are written in requests. Default: `iso`.
    #[serde(default)]
    pub date_format: DateFormat,
    /// `actor.id` that `ACCESS_AUDIT_LOG` events caused by this key show. Needed, with `own_ips`, to recognise them.
    #[serde(default)]
    pub own_actor_id: Option<String>,
    /// Addresses that headwater's calls come from. Needed, with `own_actor_id`, to recognise own queries.
    #[serde(default)]
    pub own_ips: Vec<IpAddr>,
    /// What to do with events that headwater's own reading causes. Default: `tag`, because the match is weak.
    #[serde(default = "default_own_queries")]
    pub own_queries: OwnQueryPolicy,
}

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Actions such as `CREATE_MURAL`; empty for all. Each ten take a call of their own per sweep.
    pub actions: Vec<String>,
}

/// So many calls per so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallBudget {
    /// Number of calls.
    pub calls: u32,
    /// In any period this long.
    pub per: Period,
}

impl Default for CallBudget {
    fn default() -> Self {
        Self { calls: 700, per: Period::hours(24) }
    }
}

/// When events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As soon as they appear: recent ranges are read again and again until they have settled.
    #[default]
    Early,
    /// Each range once, when it has settled: fewest calls, events are `settle` late.
    Settled,
}

/// How dates are written in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateFormat {
    /// `2024-03-05T10:11:12Z`.
    #[default]
    Iso,
    /// `2024-03-05 10:11:12`, for deployments that know only the older form.
    Legacy,
}

#[allow(clippy::expect_used)] // a constant, checked by every test
fn default_endpoint() -> Url {
    Url::parse("https://api.mural.co").expect("a constant address")
}

fn default_interval() -> Period {
    Period::seconds(20)
}

fn default_lookback() -> Period {
    Period::hours(29 * 24 + 23)
}

fn default_own_queries() -> OwnQueryPolicy {
    OwnQueryPolicy::Tag
}

fn defaults() -> Cadence {
    Cadence {
        poll_interval: Period::hours(1),
        // Bounds may include or exclude their instant: windows overlap by a second.
        overlap: Period::seconds(1),
        settle: Period::hours(72),
        rescan: vec![Rescan { every: Period::hours(24), span: Period::days(7) }],
        page_size: Some(5000),
    }
}

impl MuralConfig {
    fn check(&self, cadence: &Cadence) -> Result<(), ConfigError> {
        let fail = |field: &str, problem: String| Err(ConfigError::new(field, problem));
        check_endpoint(&self.endpoint, "https://api.mural.co", "api_key")?;
        if self.api_key.expose().trim().is_empty() {
            return fail("api_key", "`api_key` is empty; write a key with the audit-log scope".into());
        }
        if let Some(action) = self.filter.actions.iter().find(|name| name.trim().is_empty() || name.contains(',')) {
            return fail("filter.actions", format!("`{action}` is no action; write one name per item"));
        }
        let chains = u32::try_from(self.chains()).unwrap_or(u32::MAX);
        if self.call_budget.calls < chains.saturating_mul(10) || self.call_budget.per < Period::minutes(1) {
            return fail(
                "call_budget",
                format!("this leaves no room to read; allow at least {} calls per day", chains.saturating_mul(100)),
            );
        }
        if self.max_lookback > Period::days(30) {
            return fail(
                "max_lookback",
                format!("`{}` is longer than the 30 days that Mural answers for", self.max_lookback),
            );
        }
        if cadence.settle.0 + chrono::TimeDelta::days(1) > self.max_lookback.0 {
            return fail("settle", format!("`{}` leaves less than a day of `max_lookback` to read in", cadence.settle));
        }
        if cadence.poll_interval < Period::minutes(1) {
            return fail(
                "poll_interval",
                "`poll_interval` must be at least `1m`: events appear a day late, and calls are few".into(),
            );
        }
        if cadence.overlap > Period::hours(1) {
            return fail(
                "overlap",
                "`overlap` widens each window and may be `1h` at most; late events are found by `settle` and `rescan`"
                    .into(),
            );
        }
        if cadence.rescan.iter().any(|rescan| rescan.every < Period::hours(1)) {
            return fail("rescan", "`every` must be at least `1h`".into());
        }
        if cadence.page_size.is_some_and(|size| !(1..=50_000).contains(&size)) {
            return fail("page_size", "`page_size` must be 1 to 50000, the API's limit".into());
        }
        if self.own_queries == OwnQueryPolicy::Suppress && (self.own_actor_id.is_none() || self.own_ips.is_empty()) {
            return fail(
                "own_queries",
                "`suppress` needs `own_actor_id` and `own_ips`: without them an own query cannot be told from somebody else's".into(),
            );
        }
        Ok(())
    }

    fn chains(&self) -> usize {
        self.filter.actions.len().div_ceil(ACTIONS_PER_CHAIN).max(1)
    }
}

impl SourceConfig for MuralConfig {
    const TYPE: &'static str = "mural";

    fn build(self, options: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        let cadence = defaults().with(options);
        self.check(&cadence)?;
        let recognizer = self
            .own_actor_id
            .filter(|_| !self.own_ips.is_empty())
            .map(|actor_id| Recognizer { actor_id, ips: self.own_ips });
        // The documented limit is one of a day; a question takes a few calls, and ends. What somebody has set
        // for reasons of their own holds for questions too.
        let usual = self.min_call_interval == default_interval();
        let question_interval = if usual { Period::seconds(1) } else { self.min_call_interval };
        let settings = Settings {
            stream: stream_name(&self.endpoint),
            cadence,
            actions: self.filter.actions,
            budget: self.call_budget,
            max_lookback: self.max_lookback.0,
            mode: self.mode,
            date_format: self.date_format,
            recognizer,
        };
        Ok(BuiltSource {
            source: Box::new(Mural::new(settings)),
            provider: Self::TYPE,
            endpoint: self.endpoint,
            auth: Auth::Header { name: "authorization", prefix: "apikey ", secret: self.api_key },
            own_query_policy: self.own_queries,
            rate_limit: RateLimit { requests: 60, per: Period::minutes(1) },
            min_interval: self.min_call_interval,
            question_interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unusable_values_name_their_option() {
        let check = |yaml: serde_json::Value, options: SourceOptions, field: &str| {
            let built = serde_json::from_value::<MuralConfig>(yaml.clone()).unwrap().build(&options);
            assert_eq!(built.err().map(|error| error.field).as_deref(), Some(field), "{yaml}");
        };
        let plain = SourceOptions::default;
        check(json!({ "api_key": "" }), plain(), "api_key");
        check(json!({ "api_key": "k", "endpoint": "ftp://x" }), plain(), "endpoint");
        check(json!({ "api_key": "k", "endpoint": "https://x/?q" }), plain(), "endpoint");
        check(json!({ "api_key": "k", "filter": { "actions": ["A,B"] } }), plain(), "filter.actions");
        check(json!({ "api_key": "k", "call_budget": { "calls": 5, "per": "24h" } }), plain(), "call_budget");
        check(json!({ "api_key": "k", "max_lookback": "31d" }), plain(), "max_lookback");
        check(json!({ "api_key": "k", "own_queries": "suppress" }), plain(), "own_queries");
        let key = json!({ "api_key": "k" });
        check(key.clone(), SourceOptions { settle: Some(Period::days(30)), ..plain() }, "settle");
        check(key.clone(), SourceOptions { page_size: Some(50_001), ..plain() }, "page_size");
        check(key.clone(), SourceOptions { poll_interval: Some(Period::seconds(5)), ..plain() }, "poll_interval");
        check(key, SourceOptions { overlap: Some(Period::hours(2)), ..plain() }, "overlap");
    }

    #[test]
    fn the_defaults_build_and_the_key_does_not_print() {
        let config = serde_json::from_value::<MuralConfig>(json!({ "api_key": "s3cr3t" })).unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"));
        let built = config.build(&SourceOptions::default()).unwrap();
        assert_eq!(built.source.streams(), ["api.mural.co"]);
        assert_eq!(built.min_interval, Period::seconds(20));
        assert_eq!(built.own_query_policy, OwnQueryPolicy::Tag);
    }
}
