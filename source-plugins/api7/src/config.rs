//! The YAML of an `api7` source.

use crate::{
    echo::Recognizer,
    source::{Api7, Settings},
    unit::Unit,
};
use headwater_contracts::{
    Auth, BuiltSource, ByteSize, Cadence, ConfigError, OwnQueryPolicy, Period, RateLimit, Rescan, Secret, SourceConfig,
    SourceOptions,
};
use headwater_source_kit::{check_endpoint, stream_name};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Reads the audit log of one API7 Enterprise control plane (API7 Gateway).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api7Config {
    /// Address of the control plane (dashboard), such as `https://api7.example:7443`. A self-signed certificate needs
    /// `tls: { ca_file }`.
    pub endpoint: Url,
    /// API token of a dedicated account that is allowed `iam:GetAudit`.
    pub token: Secret,
    /// Which events to read. Default: all.
    #[serde(default)]
    pub filter: Filter,
    /// The unit of times in requests. Default: `auto`, which is told by the oldest entry of the log.
    #[serde(default)]
    pub timestamp_unit: TimestampUnit,
    /// For how many days the control plane keeps events (`audit.retention_days`): 180 by default in older versions, 60 in
    /// newer ones. What has not been read for longer is reported as a gap. Default: `60`.
    #[serde(default = "default_retention")]
    pub retention_hint_days: u32,
    /// Whether to ask for the list of event types once a day if `filter.event_type` is set, to warn of one that does not
    /// exist. Default: `true`.
    #[serde(default = "default_true")]
    pub fetch_event_types: bool,
    /// Who the token belongs to, as the audit log shows it. With it, an own query must also show this user and token, and
    /// other reads of the audit log by them are marked as suspicious.
    #[serde(default)]
    pub own_identity: Option<OwnIdentity>,
    /// How far the time in an own query's record may be from the time headwater sent it. Default: `5m`.
    #[serde(default = "default_echo_skew")]
    pub echo_skew: Period,
    /// What to do with the records that headwater's own reading causes. Default: `suppress`.
    #[serde(default)]
    pub own_queries: OwnQueryPolicy,
}

/// Which events to read: an event must fit all that are given. The server filters, but for `operator`: headwater does that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Key of an event type, as `GET /api/audit_logs/event_types` lists it.
    pub event_type: Option<String>,
    /// Name or e-mail address of the user who acted, as the event itself shows them, in capital or small letters. The API knows
    /// no names: it is asked for everything, and headwater leaves out what others did.
    pub operator: Option<String>,
    /// Id of the user who acted: neither name nor e-mail address.
    pub operator_id: Option<String>,
    /// Id of the resource acted on.
    pub resource_id: Option<String>,
}

/// The unit of times in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampUnit {
    /// The one that the log's own entries have.
    #[default]
    Auto,
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
}

/// The token's owner as the audit log shows it. Every field given must match.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnIdentity {
    /// `operator.id` of its records.
    #[serde(default)]
    pub operator_id: Option<String>,
    /// `token_name` of its records. Leave it out to have reads with any other token of that user marked, too.
    #[serde(default)]
    pub token_name: Option<String>,
}

fn default_retention() -> u32 {
    60
}

/// Records larger than this are delivered with their request and response bodies replaced by a mark that says so.
const MAX_EVENT_BYTES: ByteSize = ByteSize::mib(1);

fn default_true() -> bool {
    true
}

fn default_echo_skew() -> Period {
    Period::minutes(5)
}

/// Smaller pages than this are filled by the records of headwater's own reading, where it is recorded.
const SMALLEST_PAGE: u32 = 10;

fn defaults() -> Cadence {
    Cadence {
        // Some versions record each request.
        poll_interval: Period::minutes(5),
        overlap: Period::minutes(10),
        settle: Period::minutes(1),
        rescan: vec![Rescan { every: Period::hours(24), span: Period::hours(48) }],
        page_size: Some(100),
    }
}

impl Api7Config {
    fn check(&self, cadence: &Cadence, max_event_bytes: ByteSize) -> Result<(), ConfigError> {
        let fail = |field: &str, problem: String| Err(ConfigError::new(field, problem));
        check_endpoint(&self.endpoint, "https://api7.example:7443", "token")?;
        if self.token.expose().trim().is_empty() {
            return fail("token", "`token` is empty; write an API token of an account allowed `iam:GetAudit`".into());
        }
        let Filter { event_type, operator, operator_id, resource_id } = &self.filter;
        let fields = [
            ("event_type", event_type),
            ("operator", operator),
            ("operator_id", operator_id),
            ("resource_id", resource_id),
        ];
        for (field, value) in fields {
            if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
                return fail(&format!("filter.{field}"), format!("`{field}` is empty; leave it out for all events"));
            }
        }
        if self.own_identity.as_ref().is_some_and(|who| who.operator_id.is_none() && who.token_name.is_none()) {
            return fail("own_identity", "write `operator_id`, `token_name` or both, or leave it out".into());
        }
        if !(1..=36_500).contains(&self.retention_hint_days) {
            return fail("retention_hint_days", "must be 1 to 36500 days".into());
        }
        if max_event_bytes < ByteSize::kib(4) {
            return fail("max_event_bytes", "must be at least `4KiB`: what is not a body is never cut".into());
        }
        if cadence.page_size.is_some_and(|size| !(SMALLEST_PAGE..=10_000).contains(&size)) {
            return fail(
                "page_size",
                format!("`page_size` must be {SMALLEST_PAGE} to 10000; a server that gives less is believed"),
            );
        }
        if cadence.poll_interval < Period::seconds(5) {
            return fail(
                "poll_interval",
                "`poll_interval` must be at least `5s`: each poll may leave a record in the log".into(),
            );
        }
        if cadence.rescan.iter().any(|rescan| rescan.every < cadence.poll_interval) {
            return fail("rescan", "`every` must be at least `poll_interval`".into());
        }
        let retention = Period::days(i64::from(self.retention_hint_days));
        let spans = cadence.rescan.iter().map(|rescan| ("rescan", rescan.span));
        for (field, period) in [("overlap", cadence.overlap), ("settle", cadence.settle)].into_iter().chain(spans) {
            if period > retention {
                return fail(field, format!("`{period}` is longer than `retention_hint_days`"));
            }
        }
        Ok(())
    }
}

impl SourceConfig for Api7Config {
    const TYPE: &'static str = "api7";

    fn build(self, options: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        let cadence = defaults().with(options);
        let max_event_bytes = options.max_event_bytes.unwrap_or(MAX_EVENT_BYTES);
        self.check(&cadence, max_event_bytes)?;
        let settings = Settings {
            stream: stream_name(&self.endpoint),
            cadence,
            filter: self.filter,
            unit: match self.timestamp_unit {
                TimestampUnit::Auto => None,
                TimestampUnit::S => Some(Unit::Seconds),
                TimestampUnit::Ms => Some(Unit::Milliseconds),
            },
            retention: Period::days(i64::from(self.retention_hint_days)).0,
            max_event_bytes: usize::try_from(max_event_bytes.0).unwrap_or(usize::MAX),
            fetch_event_types: self.fetch_event_types,
            recognizer: Recognizer {
                context: self.endpoint.path().trim_end_matches('/').to_owned(),
                identity: self.own_identity,
                skew: self.echo_skew.0,
            },
        };
        Ok(BuiltSource {
            source: Box::new(Api7::new(settings)),
            provider: Self::TYPE,
            endpoint: self.endpoint,
            auth: Auth::Header { name: "x-api-key", prefix: "", secret: self.token },
            own_query_policy: self.own_queries,
            // No limit is documented; this reads a busy month in minutes and never floods a control plane. A burst stays
            // below a page: more records of own reads in one second than that would make it dense.
            rate_limit: RateLimit { requests: 20, per: Period::seconds(10) },
            min_interval: Period::seconds(0),
            question_interval: Period::seconds(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn yaml(more: Value) -> Value {
        let mut yaml = json!({ "endpoint": "https://api7.example:7443", "token": "a7ee-s3cr3t" });
        for (key, value) in more.as_object().unwrap() {
            yaml[key] = value.clone();
        }
        yaml
    }

    #[test]
    fn unusable_values_name_their_option() {
        let check = |more: Value, options: SourceOptions, field: &str| {
            let config = serde_json::from_value::<Api7Config>(yaml(more.clone())).unwrap();
            assert_eq!(config.build(&options).err().map(|error| error.field).as_deref(), Some(field), "{more}");
        };
        let plain = SourceOptions::default;
        check(json!({ "endpoint": "ftp://api7" }), plain(), "endpoint");
        check(json!({ "endpoint": "https://u:p@api7/" }), plain(), "endpoint");
        check(json!({ "token": " " }), plain(), "token");
        check(json!({ "filter": { "operator_id": "" } }), plain(), "filter.operator_id");
        check(json!({ "filter": { "operator": " " } }), plain(), "filter.operator");
        check(json!({ "own_identity": {} }), plain(), "own_identity");
        check(json!({ "retention_hint_days": 0 }), plain(), "retention_hint_days");
        let small = Some(ByteSize::kib(1));
        check(json!({}), SourceOptions { max_event_bytes: small, ..plain() }, "max_event_bytes");
        check(json!({}), SourceOptions { page_size: Some(9), ..plain() }, "page_size");
        check(json!({}), SourceOptions { poll_interval: Some(Period::seconds(4)), ..plain() }, "poll_interval");
        check(json!({}), SourceOptions { overlap: Some(Period::days(61)), ..plain() }, "overlap");
        let rescan = Rescan { every: Period::seconds(9), span: Period::hours(1) };
        check(json!({}), SourceOptions { rescan: Some(vec![rescan]), ..plain() }, "rescan");
    }

    #[test]
    fn unknown_keys_are_refused_and_secrets_do_not_print() {
        assert!(serde_json::from_value::<Api7Config>(yaml(json!({ "tokn": 1 }))).is_err());
        let config = serde_json::from_value::<Api7Config>(yaml(json!({}))).unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"));
        let built = config.build(&SourceOptions::default()).unwrap();
        assert_eq!(built.source.streams(), ["api7.example:7443"]);
    }
}
