//! What every encoding takes from an event: the names that Kafka keys and headers, OTLP attributes and syslog fields share.

use chrono::{DateTime, Datelike as _};
use headwater_contracts::{Event, Timestamp};
use std::borrow::Cow;
use vrl::{path::OwnedValuePath, value::Value};

/// An event that a sink is about to encode, read by name. Of an event that is not OCSF most names are absent; those that
/// the pipeline knows itself (provider, id, time) are not.
pub struct Facts<'a> {
    event: &'a Event,
    value: Cow<'a, Value>,
}

/// What an action was done to.
pub struct Target<'a>(&'a Value);

impl<'a> Facts<'a> {
    /// Looks at the event: at what the transforms made of it, else at the provider's JSON. `Err` if that is no JSON.
    pub fn of(event: &'a Event) -> Result<Self, String> {
        let value = match &event.value {
            Some(value) => Cow::Borrowed(value),
            None => Cow::Owned(
                serde_json::from_slice(&event.raw)
                    .map_err(|error| format!("the provider's bytes are not JSON, so they have no fields: {error}"))?,
            ),
        };
        Ok(Self { event, value })
    }

    /// The whole event.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The event, as its own.
    pub fn into_value(self) -> Value {
        self.value.into_owned()
    }

    /// What stands at a path of keys; `None` also for null and for the empty string, which say nothing.
    pub fn get(&self, path: &[&str]) -> Option<&Value> {
        at(&self.value, path)
    }

    /// A field as text: strings as they are, numbers and booleans as JSON prints them.
    pub fn text(&self, path: &[&str]) -> Option<Cow<'_, str>> {
        text(self.get(path)?)
    }

    /// A field that is a whole number.
    pub fn integer(&self, path: &[&str]) -> Option<i64> {
        match self.get(path)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The provider id, for example `solace_cloud`.
    pub fn provider(&self) -> &'a str {
        &self.event.origin.provider
    }

    /// `metadata.uid`, else the identity that headwater gave the event.
    pub fn uid(&self) -> Cow<'_, str> {
        self.text(&["metadata", "uid"]).unwrap_or(Cow::Borrowed(&self.event.id))
    }

    /// `provider:uid`: one name for the event among all providers.
    pub fn event_id(&self) -> String {
        format!("{}:{}", self.provider(), self.uid())
    }

    /// Whose account it happened in: `metadata.tenant_uid`.
    pub fn tenant(&self) -> Option<Cow<'_, str>> {
        self.text(&["metadata", "tenant_uid"])
    }

    /// When it happened: OCSF's `time`, else what the source read, else when headwater read it. Times of years that
    /// RFC 3339 cannot write (0000 to 9999) are passed over.
    pub fn time(&self) -> Timestamp {
        let ocsf = self.get(&["class_uid"]).and_then(|_| self.integer(&["time"]));
        let written = |time: &Timestamp| (0..=9999).contains(&time.year());
        ocsf.and_then(DateTime::from_timestamp_millis)
            .filter(written)
            .or(self.event.time.filter(written))
            .unwrap_or(self.event.observed)
    }

    /// When headwater read it.
    pub fn observed(&self) -> Timestamp {
        self.event.observed
    }

    /// What was done, in the provider's word.
    pub fn operation(&self) -> Option<Cow<'_, str>> {
        self.text(&["api", "operation"])
            .or_else(|| self.text(&["metadata", "event_code"]))
            .or_else(|| self.text(&["activity_name"]))
    }

    /// `success`, `failure`, `unknown` or `other`, by OCSF's `status_id`.
    pub fn outcome(&self) -> Option<&'static str> {
        Some(match self.integer(&["status_id"])? {
            0 => "unknown",
            1 => "success",
            2 => "failure",
            _ => "other",
        })
    }

    /// OCSF's `severity_id`; 0 if the event has none.
    pub fn severity_id(&self) -> i64 {
        self.integer(&["severity_id"]).unwrap_or(0)
    }

    /// The OCSF class as its schema file is called, for example `api_activity`.
    pub fn class(&self) -> Option<Cow<'static, str>> {
        match self.integer(&["class_uid"])? {
            // The one class of ours whose file is not called like its caption, "User Access Management".
            3005 => Some("user_access".into()),
            _ => {
                let caption = self.text(&["class_name"])?;
                Some(caption.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_").into())
            }
        }
    }

    /// What it was done to, by OCSF class.
    pub fn target(&self) -> Option<Target<'_>> {
        let target = match self.integer(&["class_uid"])? {
            3001 | 3002 | 3005 => self.get(&["user"]),
            3004 => self.get(&["entity"]),
            3006 => self.get(&["group"]),
            6001 => self.first(&["web_resources"]),
            6002 => self.get(&["app"]),
            6003 => self.first(&["resources"]),
            _ => None,
        };
        target.map(Target)
    }

    /// A field as text, by a parsed path.
    pub(crate) fn path(&self, path: &OwnedValuePath) -> Option<Cow<'_, str>> {
        self.value.get(path).and_then(text)
    }

    /// The event itself.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    fn first(&self, path: &[&str]) -> Option<&Value> {
        self.get(path)?.as_array()?.first()
    }
}

impl Target<'_> {
    /// Its id.
    pub fn uid(&self) -> Option<Cow<'_, str>> {
        at(self.0, &["uid"]).and_then(text)
    }

    /// Its name.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        at(self.0, &["name"]).and_then(text)
    }

    /// What kind of thing it is.
    pub fn kind(&self) -> Option<Cow<'_, str>> {
        at(self.0, &["type"]).and_then(text)
    }
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    let found = path.iter().try_fold(value, |value, key| value.as_object()?.get(*key))?;
    let says_nothing = match found {
        Value::Null => true,
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    (!says_nothing).then_some(found)
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Bytes(_) | Value::String(_) => value.to_str_lossy(),
        Value::Object(_) | Value::Array(_) | Value::Null => None,
        other => serde_json::to_string(other).ok().map(|json| json.trim_matches('"').to_owned().into()),
    }
}
