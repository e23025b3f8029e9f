//! CloudEvents 1.0, and their Kafka protocol binding.

use chrono::SecondsFormat;
use headwater_sink_kit::Facts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;

/// RFC 3986 section 2.3: all but unreserved characters are escaped.
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a record is a CloudEvent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudEvents {
    /// Attributes in headers that begin with `ce_`; the value is the event (Kafka binding, section 3.2).
    Binary,
    /// The value is a CloudEvent with the event under `data` (section 3.3).
    Structured,
}

/// An event's context attributes, in the specification's order; `key` is the record's.
pub(crate) fn attributes(event: &Facts<'_>, key: Option<&str>) -> Vec<(&'static str, String)> {
    let provider = event.provider();
    let tenant = event.tenant().unwrap_or("-".into());
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", event.event_id()),
        ("source", format!("/audit/{provider}/{}", utf8_percent_encode(&tenant, RESERVED))),
    ];
    match event.class() {
        Some(class) => {
            attributes.push(("type", format!("io.ocsf.{class}")));
            attributes.push(("time", time(event)));
            if let Some(version) = event.text(&["metadata", "version"]) {
                attributes.push(("dataschema", format!("https://schema.ocsf.io/{version}/classes/{class}")));
            }
        }
        None => {
            attributes.push(("type", format!("headwater.{provider}.audit")));
            attributes.push(("time", time(event)));
        }
    }
    if let Some(subject) = event.target().as_ref().and_then(|target| target.uid().map(Cow::into_owned)) {
        attributes.push(("subject", subject));
    }
    if let Some(key) = key {
        attributes.push(("partitionkey", key.to_owned()));
    }
    attributes
}

fn time(event: &Facts<'_>) -> String {
    event.time().to_rfc3339_opts(SecondsFormat::Millis, true)
}
