//! One element of `data`: its id, its date, who did what from where.

use crate::window;
use headwater_contracts::{Identity, Timestamp, Unreadable};
use headwater_source_kit::{Raw, Scalar, no_id, object, part};
use serde::Deserialize;

/// What the plugin reads of a record; everything else passes through untouched.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    date: Scalar<'a>,
    #[serde(borrow, default)]
    action: Scalar<'a>,
    #[serde(borrow, default)]
    ip: Scalar<'a>,
    #[serde(borrow, default)]
    actor: Option<Raw<'a>>,
}

/// Who did it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Actor<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Scalar<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(crate) kind: Scalar<'a>,
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

    /// `date` as an instant, if it is one.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.date.text().and_then(window::instant)
    }

    /// `action`, if it is text.
    pub(crate) fn action(&self) -> Option<&str> {
        self.action.text()
    }

    /// `ip`, if it is text.
    pub(crate) fn ip(&self) -> Option<&str> {
        self.ip.text()
    }

    /// `actor`, empty if it is of another shape.
    pub(crate) fn actor(&self) -> Actor<'a> {
        part(self.actor)
    }

    /// What makes it the same event: its id alone, because `snapshotDate` changes when it is extracted again.
    pub(crate) fn identity(&self) -> Identity {
        Identity::of(&[b"mural", self.id().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_real_record_reads() {
        let entry = Entry::read(include_bytes!("../tests/pages/access-audit-log-apikey.json")).unwrap();
        assert_eq!(entry.id(), "node-0005-7a1f");
        assert_eq!(entry.time().unwrap().to_rfc3339(), "2022-02-02T10:00:00+00:00");
        assert_eq!((entry.action(), entry.ip()), (Some("ACCESS_AUDIT_LOG"), Some("198.51.100.7")));
        assert_eq!((entry.actor().id.text(), entry.actor().kind.text()), (Some("key-9f2"), Some("APIKEY")));
    }

    #[test]
    fn odd_members_do_not_make_a_record_unreadable() {
        let entry = Entry::read(br#"{"id":"a","date":1,"action":null,"ip":{},"actor":["x"],"more":1}"#).unwrap();
        assert_eq!((entry.time(), entry.action(), entry.ip()), (None, None, None));
        assert_eq!(entry.actor().id, Scalar::Absent);
        for raw in [&b"17"[..], b"[\"a\"]", b"{}", br#"{"id":""}"#, br#"{"id":7}"#, br#"{"id":"#] {
            assert!(Entry::read(raw).is_err(), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn another_extraction_of_an_event_is_the_same_event() {
        let read = |raw: &str| Entry::read(raw.as_bytes()).unwrap().identity();
        assert_eq!(read(r#"{"id":"a","snapshotDate":"x"}"#), read(r#"{"id":"a","snapshotDate":"y"}"#));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::read(&raw);
        }
    }
}
