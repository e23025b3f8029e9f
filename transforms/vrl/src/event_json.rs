//! Events from files: raw bytes beside a JSON object of facts, as `headwater test` and `headwater vrl` take them.

use crate::facts::{NAMES, ROOT};
use crate::tables::nearest;
use bytes::Bytes;
use headwater_contracts::{Event, Identity, Origin, OwnQueryPolicy, Period, Timestamp};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// The metadata of the events of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metas(Vec<Json>);

impl Metas {
    /// Reads one JSON object for all events, or one object per event, one after the other (NDJSON).
    ///
    /// # Errors
    /// What is no JSON object, with its place in the text.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let mut metas = Vec::new();
        for meta in serde_json::Deserializer::from_slice(text).into_iter::<Json>() {
            let meta = meta.map_err(|error| format!("metadata is not JSON: {error}"))?;
            if !meta.is_object() {
                return Err(format!("metadata must be JSON objects, number {} is not", metas.len() + 1));
            }
            metas.push(meta);
        }
        Ok(Self(metas))
    }

    /// Whether these can go with `events` events.
    pub(crate) fn fit(&self, events: usize) -> Result<(), String> {
        match self.0.len() {
            0 | 1 => Ok(()),
            metas if metas == events => Ok(()),
            metas => Err(format!(
                "there are {metas} metadata objects for {events} events: give one for all, or one for each"
            )),
        }
    }

    /// The metadata of event number `number`, counted from 0.
    pub(crate) fn of(&self, number: usize) -> Json {
        match self.0.as_slice() {
            [one] => one.clone(),
            each => each.get(number).cloned().unwrap_or(Json::Null),
        }
    }
}

/// An event of the bytes `raw` with metadata from JSON. An object with a key `headwater` is all of `%`; any other is
/// `%headwater`. Its fields are those that programs see; times are RFC 3339 and become timestamps, `late` is a
/// duration such as `26h`. `raw` is always the bytes. What is left out: `id` is derived from the bytes,
/// `observed_time` is `now`, `source` and `stream` are `test`, `provider` is `unknown`.
///
/// # Errors
/// The field that is unknown or of the wrong type.
pub fn event_with_metadata(raw: Bytes, metadata: &Json, now: Timestamp) -> Result<Event, String> {
    let empty = Map::new();
    let all = match metadata {
        Json::Null => &empty,
        Json::Object(all) => all,
        other => return Err(format!("metadata must be an object, this is `{other}`")),
    };
    let (facts, users) = match all.get(ROOT) {
        Some(Json::Object(facts)) => {
            (facts, all.iter().filter(|(key, _)| *key != ROOT).map(|(k, v)| (k.clone(), v.clone())).collect())
        }
        Some(other) => return Err(format!("`{ROOT}` in the metadata must be an object, this is `{other}`")),
        None => (all, Map::new()),
    };
    let facts = Fields(facts);
    facts.check_names()?;
    let identity = Identity::of(&[&raw]);
    let policy = facts.parsed("own_query_policy", "`suppress`, `tag` or `forward`", |text| {
        [OwnQueryPolicy::Suppress, OwnQueryPolicy::Tag, OwnQueryPolicy::Forward]
            .into_iter()
            .find(|policy| policy.as_str() == text)
    })?;
    let rfc3339 = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let origin = Origin {
        source: facts.text("source")?.unwrap_or("test").to_owned(),
        provider: facts.text("provider")?.unwrap_or("unknown").to_owned().into(),
        stream: facts.text("stream")?.unwrap_or("test").to_owned(),
        own_query_policy: policy.unwrap_or_default(),
        simulated: facts.flag("simulated")?,
        read_by: None,
    };
    Ok(Event {
        origin: Arc::new(origin),
        id: facts.text("id")?.map_or_else(|| identity.to_string(), str::to_owned),
        identity,
        time: facts.parsed("time", "an RFC 3339 time", rfc3339)?,
        observed: facts.parsed("observed_time", "an RFC 3339 time", rfc3339)?.unwrap_or(now),
        own_query: facts.flag("own_query")?,
        suspicious: facts.text("suspicious")?.map(|text| text.to_owned().into()),
        late: facts.parsed("late", "a duration such as `26h`", |text| Some(Period::parse(text).ok()?.0))?,
        raw,
        value: None,
        encoded: None,
        metadata: (!users.is_empty()).then(|| Json::Object(users).into()),
        index: 0,
    })
}

struct Fields<'m>(&'m Map<String, Json>);

impl<'m> Fields<'m> {
    fn check_names(&self) -> Result<(), String> {
        match self.0.keys().find(|key| !NAMES.contains(&key.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let hint = nearest(unknown, NAMES.into_iter())
                    .map_or(String::new(), |near| format!(": did you mean `{near}`?"));
                Err(format!("unknown metadata field `{unknown}`{hint} (fields: {})", NAMES.join(", ")))
            }
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'m str>, String> {
        match self.0.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("metadata field `{name}` must be a string, this is `{other}`")),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        match self.0.get(name) {
            None | Some(Json::Null) => Ok(false),
            Some(Json::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("metadata field `{name}` must be `true` or `false`, this is `{other}`")),
        }
    }

    fn parsed<T>(&self, name: &str, kind: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
        self.text(name)?
            .map(|text| parse(text).ok_or_else(|| format!("metadata field `{name}` must be {kind}, this is `{text}`")))
            .transpose()
    }
}
