//! The YAML of a `solace_cloud` source.

use crate::{
    echo::Recognizer,
    source::{Settings, SolaceCloud},
};
use headwater_contracts::{
    Auth, BuiltSource, Cadence, ConfigError, Identity, OwnQueryPolicy, Period, RateLimit, Rescan, Secret, SourceConfig,
    SourceOptions,
};
use headwater_source_kit::{check_endpoint, stream_name};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;
use url::Url;

/// Reads the audit log of one Solace Cloud (PubSub+ Cloud) account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SolaceCloudConfig {
    /// Address of the API in the account's region. Default: `https://api.solace.cloud`.
    #[serde(default = "default_endpoint")]
    pub endpoint: Url,
    /// API token of an Administrator with the permission "Retrieve my organization's audit logs".
    pub token: Secret,
    /// Which events to read. Default: all.
    #[serde(default)]
    pub filter: Filter,
    /// Whether to refuse to read if the token seems to show its owner's records only. Default: `false`, a warning.
    #[serde(default)]
    pub expect_org_wide: bool,
    /// How long Solace Cloud keeps records. Default: `180d`.
    #[serde(default = "default_retention")]
    pub retention: Period,
    /// Least time between two calls. Default: `2s`.
    #[serde(default = "default_interval")]
    pub min_call_interval: Period,
    /// `userId` of the token's owner. Needed, with `own_ips`, to recognise own queries, should they ever be recorded.
    #[serde(default)]
    pub own_user_id: Option<String>,
    /// Addresses that headwater's calls come from. Needed, with `own_user_id`, to recognise own queries.
    #[serde(default)]
    pub own_ips: Vec<IpAddr>,
    /// What to do with events that headwater's own reading causes. Default: `tag`, because the match is weak.
    #[serde(default = "default_own_queries")]
    pub own_queries: OwnQueryPolicy,
}

/// Which events to read; all that is set must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// A category such as `SERVICE` or `IAM`.
    pub event_category: Option<String>,
    /// A type within that category, such as `SERVICE_DELETE`.
    pub event_type: Option<String>,
    /// The trace that events belong to.
    pub trace_id: Option<String>,
}

impl Filter {
    /// A digest of it; `None` if it lets everything through.
    pub(crate) fn digest(&self) -> Option<String> {
        let parts = [&self.event_category, &self.event_type, &self.trace_id];
        let parts = parts.map(|part| part.as_deref().unwrap_or_default().as_bytes());
        parts.iter().any(|part| !part.is_empty()).then(|| Identity::of(&parts).to_string())
    }
}

#[allow(clippy::expect_used)] // a constant, checked by every test
fn default_endpoint() -> Url {
    Url::parse("https://api.solace.cloud").expect("a constant address")
}

fn default_interval() -> Period {
    Period::seconds(2)
}

fn default_retention() -> Period {
    Period::days(180)
}

fn default_own_queries() -> OwnQueryPolicy {
    OwnQueryPolicy::Tag
}

fn defaults() -> Cadence {
    Cadence {
        poll_interval: Period::minutes(1),
        // Longer than the longest action and the delay after it: a record appears only after its end, with its old start.
        overlap: Period::hours(24),
        settle: Period::minutes(5),
        rescan: vec![Rescan { every: Period::hours(24), span: Period::days(7) }],
        page_size: Some(100),
    }
}

impl SolaceCloudConfig {
    fn check(&self, cadence: &Cadence) -> Result<(), ConfigError> {
        let fail = |field: &str, problem: &str| Err(ConfigError::new(field, problem));
        check_endpoint(&self.endpoint, "https://api.solace.cloud", "token")?;
        if self.token.expose().trim().is_empty() {
            return fail(
                "token",
                "`token` is empty; write an API token with the permission \"Retrieve my organization's audit logs\"",
            );
        }
        let filter = &self.filter;
        let parts = [
            ("filter.event_category", &filter.event_category),
            ("filter.event_type", &filter.event_type),
            ("filter.trace_id", &filter.trace_id),
        ];
        for (field, value) in parts {
            if value.as_deref().is_some_and(|value| value.trim().is_empty()) {
                return fail(field, "is empty; leave it out to read everything");
            }
        }
        if filter.event_type.is_some() && filter.event_category.is_none() {
            return fail("filter.event_type", "`event_type` counts within a category only; set `event_category` too");
        }
        if self.retention < Period::days(3) {
            return fail("retention", "`retention` must be at least `3d`; Solace Cloud keeps records for six months");
        }
        if cadence.overlap.0 > self.retention.0 {
            return fail("overlap", "`overlap` is longer than `retention`");
        }
        if cadence.settle.0 > self.retention.0 {
            return fail("settle", "`settle` is longer than `retention`");
        }
        if cadence.poll_interval < Period::seconds(10) {
            return fail("poll_interval", "`poll_interval` must be at least `10s`: requests are limited");
        }
        if cadence.rescan.iter().any(|rescan| rescan.every < Period::minutes(10)) {
            return fail("rescan", "`every` must be at least `10m`: requests are limited");
        }
        if cadence.page_size.is_some_and(|size| !(1..=1000).contains(&size)) {
            return fail("page_size", "`page_size` must be 1 to 1000; a server that refuses it is asked for 25");
        }
        if self.own_queries == OwnQueryPolicy::Suppress && (self.own_user_id.is_none() || self.own_ips.is_empty()) {
            return fail(
                "own_queries",
                "`suppress` needs `own_user_id` and `own_ips`: without them an own query cannot be told from somebody else's",
            );
        }
        Ok(())
    }
}

impl SourceConfig for SolaceCloudConfig {
    const TYPE: &'static str = "solace_cloud";

    fn build(self, options: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        let cadence = defaults().with(options);
        self.check(&cadence)?;
        let ips = self.own_ips;
        let recognizer = self.own_user_id.filter(|_| !ips.is_empty()).map(|user| Recognizer { user, ips });
        let settings = Settings {
            cadence,
            filter: self.filter,
            retention: self.retention.0,
            expect_org_wide: self.expect_org_wide,
            recognizer,
        };
        Ok(BuiltSource {
            source: Box::new(SolaceCloud::new(stream_name(&self.endpoint), settings)),
            provider: Self::TYPE,
            endpoint: self.endpoint,
            auth: Auth::Header { name: "authorization", prefix: "Bearer ", secret: self.token },
            own_query_policy: self.own_queries,
            // The limits are not published: little enough for any of them, and other tools share them.
            rate_limit: RateLimit { requests: 60, per: Period::minutes(5) },
            min_interval: self.min_call_interval,
            question_interval: self.min_call_interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn mistakes_are_named() {
        let check = |yaml: Value, options: SourceOptions, field: &str| {
            let config: SolaceCloudConfig = serde_json::from_value(yaml.clone()).unwrap();
            let built = config.build(&options);
            assert_eq!(built.err().map(|error| error.field).as_deref(), Some(field), "{yaml}");
        };
        let plain = SourceOptions::default;
        check(json!({ "token": "" }), plain(), "token");
        check(json!({ "token": "t", "endpoint": "ftp://x" }), plain(), "endpoint");
        check(json!({ "token": "t", "filter": { "event_type": "LOGIN" } }), plain(), "filter.event_type");
        check(json!({ "token": "t", "filter": { "trace_id": " " } }), plain(), "filter.trace_id");
        check(json!({ "token": "t", "retention": "1d" }), plain(), "retention");
        check(json!({ "token": "t", "own_queries": "suppress" }), plain(), "own_queries");
        let token = json!({ "token": "t" });
        check(token.clone(), SourceOptions { overlap: Some(Period::days(200)), ..plain() }, "overlap");
        check(token.clone(), SourceOptions { settle: Some(Period::days(200)), ..plain() }, "settle");
        check(token.clone(), SourceOptions { page_size: Some(0), ..plain() }, "page_size");
        check(token.clone(), SourceOptions { poll_interval: Some(Period::seconds(1)), ..plain() }, "poll_interval");
        let rescan = vec![Rescan { every: Period::seconds(1), span: Period::days(1) }];
        check(token, SourceOptions { rescan: Some(rescan), ..plain() }, "rescan");
    }

    #[test]
    fn the_defaults_build_and_the_token_does_not_print() {
        let config = serde_json::from_value::<SolaceCloudConfig>(json!({ "token": "s3cr3t" })).unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"));
        let built = config.build(&SourceOptions::default()).unwrap();
        assert_eq!(built.source.streams(), ["api.solace.cloud"]);
        assert_eq!(built.own_query_policy, OwnQueryPolicy::Tag);
    }

    #[test]
    fn another_filter_is_another_digest_and_none_is_none() {
        let digest = |category: Option<&str>, trace: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Filter { event_category: owned(category), event_type: None, trace_id: owned(trace) }.digest()
        };
        assert_eq!(digest(None, None), None);
        assert!(digest(Some("IAM"), None).is_some());
        assert_ne!(digest(Some("IAM"), None), digest(None, Some("IAM")));
    }
}
