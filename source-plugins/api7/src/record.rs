//! One element of `list`: its id, its time, who asked for what with which token.

use crate::unit::{self, Unit};
use headwater_contracts::{Identity, Timestamp, Unreadable};
use headwater_source_kit::{Raw, Scalar, no_id, object, part};
use serde::Deserialize;

/// What the plugin reads of a record; everything else passes through untouched.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    event_time: Scalar<'a>,
    #[serde(borrow, default)]
    operator: Option<Raw<'a>>,
    #[serde(borrow, default)]
    token_name: Scalar<'a>,
    #[serde(borrow, default)]
    source: Scalar<'a>,
    #[serde(borrow, default)]
    http_request: Option<Raw<'a>>,
}

/// The request that a record describes.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked<'a> {
    #[serde(borrow, default)]
    pub(crate) method: Scalar<'a>,
    /// Path and query.
    #[serde(borrow, default)]
    pub(crate) uri: Scalar<'a>,
    #[serde(borrow, default)]
    pub(crate) user_agent: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Operator<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
}

impl<'a> Entry<'a> {
    /// Reads one element. Only an element that is no object or has no `id` is unreadable.
    pub(crate) fn read(raw: &'a [u8]) -> Result<Self, Unreadable> {
        let entry: Self = object(raw)?;
        if let Some(unreadable) = no_id("id", &entry.id) {
            return Err(unreadable);
        }
        Ok(entry)
    }

    /// The provider's id, never empty.
    pub(crate) fn id(&self) -> &str {
        self.id.text().unwrap_or_default()
    }

    /// `event_time` as it is written, if it is a number or the digits of one.
    fn written(&self) -> Option<i64> {
        self.event_time.whole().or_else(|| self.event_time.text()?.parse().ok())
    }

    /// `event_time` as an instant.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.written().and_then(unit::instant)
    }

    /// The unit of `event_time`.
    pub(crate) fn unit(&self) -> Option<Unit> {
        self.written().map(Unit::of)
    }

    /// `operator.id`, if it is text.
    pub(crate) fn operator_id(&self) -> Option<String> {
        part::<Operator<'_>>(self.operator).id.text().map(str::to_owned)
    }

    /// `token_name`, if there is one; the dashboard's records have none.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.token_name.text().filter(|name| !name.is_empty())
    }

    /// Whether nothing says that it came otherwise than through the API.
    pub(crate) fn by_api(&self) -> bool {
        self.source == Scalar::Absent || self.source.text() == Some("api")
    }

    /// `http_request`, empty if it is of another shape.
    pub(crate) fn asked(&self) -> Asked<'a> {
        part(self.http_request)
    }

    /// What makes it the same event: its id.
    pub(crate) fn identity(&self) -> Identity {
        Identity::of(&[b"api7", self.id().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_real_record_reads() {
        let entry = Entry::read(include_bytes!("../tests/pages/patch-service-token.json")).unwrap();
        assert_eq!((entry.id(), entry.unit()), ("a4", Some(Unit::Milliseconds)));
        assert_eq!(entry.time().unwrap().to_rfc3339(), "2024-06-10T06:16:20.123+00:00");
        assert_eq!(entry.operator_id().as_deref(), Some("7f8d6b1e-2a5c-4f0e-9d3b-1c2e3f4a5b6c"));
        assert_eq!((entry.token_name(), entry.by_api()), (Some("adc-ci"), true));
        assert_eq!(entry.asked().method.text(), Some("PATCH"));
        assert_eq!(entry.asked().user_agent.text(), Some("adc/0.15.0"));
        let entry = Entry::read(include_bytes!("../tests/pages/login-failure.json")).unwrap();
        assert_eq!((entry.unit(), entry.operator_id(), entry.by_api()), (Some(Unit::Seconds), None, false));
        assert!(Entry::read(include_bytes!("../tests/pages/unknown-event.json")).unwrap().asked().uri.text().is_none());
    }

    #[test]
    fn odd_members_do_not_make_a_record_unreadable() {
        let raw = br#"{"id":"a","event_time":"1718000000","operator":[],"token_name":7,"source":{},"http_request":"x","http_response":null,"diff":{}}"#;
        let entry = Entry::read(raw).unwrap();
        assert_eq!(entry.time().unwrap().timestamp(), 1_718_000_000);
        assert_eq!((entry.operator_id(), entry.token_name(), entry.by_api()), (None, None, false));
        assert_eq!(entry.asked().uri, Scalar::Absent);
        assert_eq!(Entry::read(br#"{"id":"a","event_time":1.5}"#).unwrap().time(), None);
        for raw in [&b"17"[..], b"[\"a\"]", b"{}", br#"{"id":""}"#, br#"{"id":7}"#, br#"{"id":"#] {
            assert!(Entry::read(raw).is_err(), "{}", String::from_utf8_lossy(raw));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::read(&raw);
        }
    }
}
