//! Words the tests of this folder share.
#![allow(dead_code, reason = "each test file uses some of them")]

use chrono::TimeDelta;
use headwater_contracts::{Identity, OwnRequest, Timestamp};
use headwater_ledger::{Filed, StreamKey};

/// The instant `ms` milliseconds after the epoch.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::milliseconds(ms)
}

/// A stream of the source `audit`.
pub(crate) fn stream(name: &str) -> StreamKey {
    StreamKey { source: "audit".into(), stream: name.into() }
}

/// The event with this number, at this time.
pub(crate) fn filed(time: i64, number: u64) -> Filed {
    Filed { time, identity: Identity::of(&[&number.to_be_bytes()]) }
}

/// An own request.
pub(crate) fn request(id: &str, sent: i64) -> OwnRequest {
    OwnRequest {
        id: id.into(),
        user_agent: format!("headwater/{id}"),
        method: "GET".into(),
        path: "/audit".into(),
        query: vec![("from".into(), "2026-01-01T00:00:00Z".into())],
        sent: at(sent),
    }
}
