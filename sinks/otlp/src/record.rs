//! An event as a log record: names after OpenTelemetry's semantic conventions where they have one. Pure.

use crate::body::{NESTED, any, pair, string};
use chrono::DateTime;
use headwater_contracts::{Event, Timestamp};
use headwater_sink_kit::{Facts, severity, shortened};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::LogRecord,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;
use vrl::value::Value;

/// The attribute of an event that a simulator made up.
pub(crate) const SIMULATED: &str = "audit.simulated";

/// What the body of a record is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The event as OTLP's own values, which receivers can query without parsing.
    #[default]
    Kvlist,
    /// The event's JSON as one string.
    Json,
}

/// How events become records.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mapping {
    /// What the body is.
    pub body: Body,
    /// Whether the provider's record goes along as `log.record.original`.
    pub original: bool,
}

/// A log record, and the resource it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The provider id: `service.name`.
    pub provider: Cow<'static, str>,
    /// Whose account it happened in, if known: `audit.tenant.id`.
    pub tenant: Option<String>,
    /// The record.
    pub log: LogRecord,
}

impl Mapping {
    /// The record of an event. One that no transform has looked at and that is no JSON is a record with its text.
    pub fn record(self, event: &Event) -> Record {
        match Facts::of(event) {
            Ok(facts) => self.of(&facts, event),
            Err(_) => self.record(&Event { value: Some(Value::Bytes(event.raw.clone())), ..event.clone() }),
        }
    }

    /// The record of the event without what may be left out (`raw_data`, `unmapped`), once it `fits`; `None` if it
    /// never does.
    pub fn shortened(self, event: &Event, fits: impl Fn(&Record) -> bool) -> Option<Record> {
        let short = |value: &Value| self.record(&Event { value: Some(value.clone()), ..event.clone() });
        let mut json = Vec::new();
        event.write_json(&mut json).ok()?;
        let value = shortened(&Facts::of(event).ok()?, json.len(), |value| fits(&short(value)))?;
        Some(short(&value))
    }

    fn of(self, facts: &Facts<'_>, event: &Event) -> Record {
        let severity_text = facts.text(&["severity"]).map(Cow::into_owned).unwrap_or_default();
        let logged = facts.integer(&["metadata", "logged_time"]).and_then(DateTime::from_timestamp_millis);
        Record {
            provider: event.origin.provider.clone(),
            tenant: facts.tenant().map(Cow::into_owned),
            log: LogRecord {
                time_unix_nano: nanoseconds(facts.time()),
                observed_time_unix_nano: nanoseconds(logged.unwrap_or_else(|| facts.observed())),
                severity_number: severity(facts.severity_id()).otlp.unwrap_or_default(),
                severity_text,
                event_name: facts.class().map(|class| format!("ocsf.{class}")).unwrap_or_default(),
                body: Some(self.body(facts, event)),
                attributes: self.attributes(facts, event),
                // The sources' ids are not W3C's: `trace_id`, `span_id` and `flags` stay unset.
                ..LogRecord::default()
            },
        }
    }

    fn body(self, facts: &Facts<'_>, event: &Event) -> AnyValue {
        match self.body {
            Body::Kvlist => any(facts.value(), NESTED),
            Body::Json => {
                let mut json = Vec::new();
                match event.write_json(&mut json).map(|()| String::from_utf8(json)) {
                    Ok(Ok(json)) => string(json),
                    _ => any(facts.value(), 0),
                }
            }
        }
    }

    /// Sorted by key.
    fn attributes(self, facts: &Facts<'_>, event: &Event) -> Vec<KeyValue> {
        let mut list = Attributes(Vec::with_capacity(24));
        list.text("audit.provider", Some(facts.provider().into()));
        if event.origin.simulated {
            list.0.push(pair(SIMULATED, AnyValue { value: Some(any_value::Value::BoolValue(true)) }));
        }
        list.text("log.record.uid", Some(facts.event_id().into()));
        if self.original {
            list.text("log.record.original", original(facts, event));
        }
        if facts.integer(&["class_uid"]).is_some() {
            list.text("audit.action", facts.operation());
            list.text("audit.correlation_id", facts.text(&["metadata", "correlation_uid"]));
            list.text("audit.outcome", facts.outcome().map(Cow::from));
            if let Some(target) = facts.target() {
                list.text("audit.target.id", target.uid());
                list.text("audit.target.name", target.name());
                list.text("audit.target.type", target.kind());
            }
            list.text("client.address", facts.text(&["src_endpoint", "ip"]));
            if facts.outcome() == Some("failure") {
                list.text("error.type", Some(facts.text(&["status_code"]).unwrap_or("_OTHER".into())));
            }
            list.text("http.request.method", facts.text(&["http_request", "http_method"]));
            list.number("http.response.status_code", facts.integer(&["http_response", "code"]));
            for name in ["activity_id", "category_uid", "class_uid", "severity_id", "status_id", "type_uid"] {
                list.number(&format!("ocsf.{name}"), facts.integer(&[name]));
            }
            list.text("ocsf.version", facts.text(&["metadata", "version"]));
            list.text("url.path", facts.text(&["http_request", "url", "path"]));
            list.text("url.query", facts.text(&["http_request", "url", "query_string"]));
            list.text("user.email", facts.text(&["actor", "user", "email_addr"]));
            list.text("user.id", facts.text(&["actor", "user", "uid"]));
            list.text("user.name", facts.text(&["actor", "user", "name"]));
            list.text("user_agent.original", facts.text(&["http_request", "user_agent"]));
        }
        list.0.sort_by(|a, b| a.key.cmp(&b.key));
        list.0
    }
}

/// The provider's record: of an OCSF event what the normalizer left of it (secrets are redacted there), else its bytes.
fn original<'a>(facts: &'a Facts<'_>, event: &'a Event) -> Option<Cow<'a, str>> {
    match facts.get(&["class_uid"]) {
        Some(_) => facts.text(&["raw_data"]),
        None => Some(String::from_utf8_lossy(&event.raw)),
    }
}

/// Since 1970; 0, which OTLP reads as unknown, for what no unsigned number can say.
fn nanoseconds(time: Timestamp) -> u64 {
    time.timestamp_nanos_opt().and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).unwrap_or_default()
}

/// Absent values are left out.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn text(&mut self, key: &str, value: Option<Cow<'_, str>>) {
        self.0.extend(value.map(|value| pair(key, string(value))));
    }

    fn number(&mut self, key: &str, value: Option<i64>) {
        self.0.extend(value.map(|value| pair(key, AnyValue { value: Some(any_value::Value::IntValue(value)) })));
    }
}
