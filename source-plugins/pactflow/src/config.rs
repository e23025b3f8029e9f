//! The YAML of a `pactflow` source.

use crate::{echo::Recognizer, source::Pactflow};
use headwater_contracts::{
    Auth, BuiltSource, Cadence, ConfigError, OwnQueryPolicy, Period, RateLimit, Rescan, Secret, SourceConfig,
    SourceOptions,
};
use headwater_source_kit::{check_endpoint, stream_name};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Reads the audit log of one PactFlow account, SaaS or on-premises.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PactflowConfig {
    /// Address of the account, such as `https://acme.pactflow.io`. On-premises it may have a context path.
    pub endpoint: Url,
    /// API token of a dedicated system account with the Administrator role. A read-only token suffices.
    pub token: Secret,
    /// Whether to ask for events since an instant where no known event can be the starting point: on the first run,
    /// and when a known event is gone. Old on-premises versions do not know this; without it the log is read from its
    /// beginning and what lies before `start_at` is skipped. Default: `false`.
    #[serde(default)]
    pub use_since: bool,
    /// What to do when the server no longer knows the event to continue from. Default: `replay`.
    #[serde(default)]
    pub on_cursor_lost: OnCursorLost,
    /// Who the token belongs to, as the audit log shows it. With it, an own query must also show this user, and other
    /// reads of the audit log by this user are marked as suspicious.
    #[serde(default)]
    pub own_identity: Option<OwnIdentity>,
    /// How far the time in an own query's record may be from the time headwater sent it. Default: `5m`.
    #[serde(default = "default_echo_skew")]
    pub echo_skew: Period,
    /// What to do with the records that headwater's own reading causes. Default: `suppress`.
    #[serde(default)]
    pub own_queries: OwnQueryPolicy,
}

/// What to do when the server no longer knows the event to continue from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCursorLost {
    /// Read again from an earlier known event, then from `since` if allowed, then from the oldest event. What was
    /// delivered before is not delivered again.
    #[default]
    Replay,
    /// Report an error and keep the state, until a person decides.
    Fail,
}

/// The token's owner as the audit log shows it. Every field given must match.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnIdentity {
    /// `user_email` of its records. System accounts may have none.
    #[serde(default)]
    pub email: Option<String>,
    /// `db_user_id` of its records.
    #[serde(default)]
    pub db_user_id: Option<i64>,
}

fn default_echo_skew() -> Period {
    Period::minutes(5)
}

fn defaults() -> Cadence {
    Cadence {
        // Each poll leaves a record in the customer's trail.
        poll_interval: Period::minutes(5),
        overlap: Period::minutes(10),
        settle: Period::seconds(0),
        rescan: vec![Rescan { every: Period::hours(24), span: Period::hours(48) }],
        // The largest that the API takes, because every page asked for leaves a record in the trail; a version that
        // refuses the parameter is asked without it.
        page_size: Some(100),
    }
}

/// Smaller pages than this are filled by the records of headwater's own reading.
const SMALLEST_PAGE: u32 = 4;

fn check_cadence(cadence: &Cadence) -> Result<(), ConfigError> {
    if cadence.page_size.is_some_and(|size| !(SMALLEST_PAGE..=100).contains(&size)) {
        return Err(ConfigError::new(
            "page_size",
            format!(
                "`page_size` must be {SMALLEST_PAGE} to 100: 100 is the API's limit, and because each page read adds a record to the log, reading by fewer than {SMALLEST_PAGE} would outgrow itself; leave it out for 100"
            ),
        ));
    }
    let shortest = Period::seconds(5);
    if cadence.poll_interval < shortest {
        return Err(ConfigError::new(
            "poll_interval",
            format!(
                "`poll_interval` must be at least `{shortest}`: the server's clock is known to a second, and each poll leaves a record in the log; minutes are usual"
            ),
        ));
    }
    if cadence.rescan.iter().any(|rescan| rescan.every < cadence.poll_interval) {
        return Err(ConfigError::new("rescan", "`every` must be at least `poll_interval`"));
    }
    for (field, period) in [("overlap", cadence.overlap), ("settle", cadence.settle)]
        .into_iter()
        .chain(cadence.rescan.iter().map(|rescan| ("rescan", rescan.span)))
    {
        if period.0 > crate::RETENTION {
            return Err(ConfigError::new(
                field,
                format!("`{period}` is longer than the 90 days that PactFlow keeps events"),
            ));
        }
    }
    Ok(())
}

impl SourceConfig for PactflowConfig {
    const TYPE: &'static str = "pactflow";

    fn build(self, options: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        check_endpoint(&self.endpoint, "https://acme.pactflow.io", "token")?;
        if self.token.expose().trim().is_empty() {
            return Err(ConfigError::new("token", "`token` is empty; write the API token of a system account"));
        }
        if self.own_identity.as_ref().is_some_and(|who| who.email.is_none() && who.db_user_id.is_none()) {
            return Err(ConfigError::new("own_identity", "write `email`, `db_user_id` or both, or leave it out"));
        }
        let cadence = defaults().with(options);
        check_cadence(&cadence)?;
        let audit_path = format!("{}/audit", self.endpoint.path().trim_end_matches('/'));
        let source = Pactflow::new(
            stream_name(&self.endpoint),
            crate::source::Settings {
                cadence,
                use_since: self.use_since,
                on_cursor_lost: self.on_cursor_lost,
                recognizer: Recognizer { audit_path, identity: self.own_identity, skew: self.echo_skew.0 },
            },
        );
        Ok(BuiltSource {
            source: Box::new(source),
            provider: Self::TYPE,
            endpoint: self.endpoint,
            auth: Auth::Header { name: "authorization", prefix: "Bearer ", secret: self.token },
            own_query_policy: self.own_queries,
            // No limit is documented; this reads 90 days of a busy account in minutes and never floods it.
            rate_limit: RateLimit { requests: 120, per: Period::minutes(1) },
            min_interval: Period::seconds(0),
            question_interval: Period::seconds(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(yaml: serde_json::Value, options: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        serde_json::from_value::<PactflowConfig>(yaml).unwrap().build(options)
    }

    #[test]
    fn the_stream_is_named_by_host_port_and_context_path() {
        let check = |endpoint: &str, name: &str| {
            let built = build(json!({ "endpoint": endpoint, "token": "t" }), &SourceOptions::default()).unwrap();
            assert_eq!(built.source.streams(), [name]);
        };
        check("https://acme.pactflow.io", "acme.pactflow.io");
        check("https://acme.pactflow.io:443/", "acme.pactflow.io");
        check("http://broker.example:9292/tools/pact/", "broker.example:9292/tools/pact");
    }

    #[test]
    fn unusable_values_name_their_option() {
        let check = |yaml: serde_json::Value, options: SourceOptions, field: &str| {
            assert_eq!(build(yaml, &options).err().map(|error| error.field).as_deref(), Some(field));
        };
        let good = json!({ "endpoint": "https://acme.pactflow.io", "token": "t" });
        let plain = SourceOptions::default;
        check(json!({ "endpoint": "ftp://acme", "token": "t" }), plain(), "endpoint");
        check(json!({ "endpoint": "https://acme/?a=b", "token": "t" }), plain(), "endpoint");
        check(json!({ "endpoint": "https://u:p@acme/", "token": "t" }), plain(), "endpoint");
        check(json!({ "endpoint": "https://acme/", "token": " " }), plain(), "token");
        check(json!({ "endpoint": "https://acme/", "token": "t", "own_identity": {} }), plain(), "own_identity");
        check(good.clone(), SourceOptions { page_size: Some(101), ..plain() }, "page_size");
        check(good.clone(), SourceOptions { page_size: Some(3), ..plain() }, "page_size");
        check(good.clone(), SourceOptions { poll_interval: Some(Period::seconds(4)), ..plain() }, "poll_interval");
        check(good.clone(), SourceOptions { overlap: Some(Period::days(91)), ..plain() }, "overlap");
        let rescan = Rescan { every: Period::seconds(1), span: Period::hours(1) };
        check(good, SourceOptions { rescan: Some(vec![rescan]), ..plain() }, "rescan");
    }

    #[test]
    fn unknown_keys_are_refused_and_secrets_do_not_print() {
        let yaml = json!({ "endpoint": "https://acme/", "token": "s3cr3t", "tokn": 1 });
        assert!(serde_json::from_value::<PactflowConfig>(yaml).is_err());
        let yaml = json!({ "endpoint": "https://acme/", "token": "s3cr3t" });
        let config = serde_json::from_value::<PactflowConfig>(yaml).unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"));
    }
}
