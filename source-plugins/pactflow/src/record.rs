//! One element of `events`: its id, its time, and who asked for what.

use headwater_contracts::{Identity, Timestamp, Unreadable};
use headwater_source_kit::{Raw, Scalar, no_id, object, part};
use serde::Deserialize;

/// What the plugin reads of a record; everything else passes through untouched.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    fields: Fields<'a>,
    /// The request that the record describes.
    pub(crate) payload: Payload<'a>,
    /// `timestamp` as an instant, if it is one.
    pub(crate) time: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    uuid: Scalar<'a>,
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    db_user_id: Scalar<'a>,
    #[serde(borrow, default)]
    user_email: Scalar<'a>,
    #[serde(borrow, default)]
    payload: Option<Raw<'a>>,
}

/// The request that a record describes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload<'a> {
    /// Absent on old on-premises versions.
    #[serde(borrow, default)]
    pub(crate) path: Scalar<'a>,
    /// Raw, without the question mark.
    #[serde(borrow, default)]
    pub(crate) query_string: Scalar<'a>,
    #[serde(borrow, default)]
    pub(crate) method: Scalar<'a>,
    #[serde(borrow, default)]
    pub(crate) user_agent: Scalar<'a>,
}

impl<'a> Entry<'a> {
    /// Reads one element. Only an element that is no object or has no `uuid` is unreadable.
    pub(crate) fn read(raw: &'a [u8]) -> Result<Self, Unreadable> {
        let fields: Fields<'a> = object(raw)?;
        if let Some(unreadable) = no_id("uuid", &fields.uuid) {
            return Err(unreadable);
        }
        // A payload of another shape describes no request that could be ours; that is all it is read for.
        let payload = part(fields.payload);
        let time = fields.timestamp.text().and_then(instant);
        Ok(Self { fields, payload, time })
    }

    /// The provider's id, never empty.
    pub(crate) fn uuid(&self) -> &str {
        self.fields.uuid.text().unwrap_or_default()
    }

    /// `user_email`, if it is text.
    pub(crate) fn email(&self) -> Option<&str> {
        self.fields.user_email.text()
    }

    /// `db_user_id`, if it is an integer.
    pub(crate) fn db_user_id(&self) -> Option<i64> {
        self.fields.db_user_id.whole()
    }

    /// What makes it the same event: its uuid.
    pub(crate) fn identity(&self) -> Identity {
        Identity::of(&[b"pactflow", self.uuid().as_bytes()])
    }
}

/// RFC 3339 with any offset.
fn instant(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_real_record_reads() {
        let raw = include_bytes!("../tests/pages/regenerate-api-token.json");
        let entry = Entry::read(raw).unwrap();
        assert_eq!(entry.uuid(), "16WlpdLpDMzfMYxLTZYXYw");
        assert_eq!(entry.time.unwrap().to_rfc3339(), "2019-12-09T22:15:24.864+00:00");
        assert_eq!(entry.db_user_id(), Some(2));
        assert_eq!(entry.email(), Some("someuser@somecompany.com"));
        assert_eq!(entry.payload.method.text(), Some("POST"));
        assert_eq!(entry.payload.path.text(), Some("/settings/tokens/_UjhYvyyEjM9L2SgWd0qsw/regenerate"));
    }

    #[test]
    fn odd_members_do_not_make_a_record_unreadable() {
        let raw = br#"{"uuid":"a","timestamp":17,"db_user_id":"x","user_email":[],"payload":["p"],"client":{"ip":"1.2.3.4"}}"#;
        let entry = Entry::read(raw).unwrap();
        assert_eq!((entry.uuid(), entry.time, entry.email(), entry.db_user_id()), ("a", None, None, None));
        assert_eq!(entry.payload.path, Scalar::Absent);
        assert!(Entry::read(br#"{"uuid":"a","payload":null}"#).is_ok());
        assert!(Entry::read(br#"{"uuid":"a","payload":{"path":7}}"#).is_ok());
    }

    #[test]
    fn what_is_no_record_is_unreadable() {
        for raw in [&b"17"[..], b"[\"a\",\"b\"]", b"null", b"{}", br#"{"uuid":""}"#, br#"{"uuid":7}"#, br#"{"uuid":"#] {
            assert!(Entry::read(raw).is_err(), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn upper_and_lower_case_ids_are_different_events() {
        let identity = |id: &str| Entry::read(format!(r#"{{"uuid":"{id}"}}"#).as_bytes()).unwrap().identity();
        assert_ne!(identity("aB"), identity("Ab"));
        assert_eq!(identity("aB"), identity("aB"));
    }

    proptest! {
        #[test]
        fn a_time_is_the_same_instant_under_every_offset(ms in 0i64..4_000_000_000_000, minutes in -14 * 60i32..14 * 60) {
            let time = Timestamp::from_timestamp_millis(ms).unwrap();
            let offset = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
            let text = time.with_timezone(&offset).to_rfc3339_opts(chrono::SecondsFormat::Millis, false);
            prop_assert_eq!(instant(&text), Some(time));
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::read(&raw);
        }
    }
}
