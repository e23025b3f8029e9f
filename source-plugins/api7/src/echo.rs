//! Telling the records that headwater's own reading caused from those of anybody else.
//!
//! A record is ours only if it shows a one-time `User-Agent` that we sent and no record has shown before, at about that
//! time, and exactly the request we sent it with, through the API. Token, user or a fixed `User-Agent` alone would also hide
//! people who read the trail, and thieves of the token.

use crate::{config::OwnIdentity, record::Entry, state::Owner};
use headwater_contracts::{Echo, OwnRequest, OwnRequests};
use headwater_source_kit::same_query;

/// What every headwater's `User-Agent` begins with.
const PRODUCT: &str = "headwater/";

/// The audit log, below the endpoint.
pub(crate) const AUDIT: &str = "/api/audit_logs";

/// What is needed to recognise an own query.
#[derive(Debug)]
pub(crate) struct Recognizer {
    /// The endpoint's context path, without a slash at its end: a proxy may take it off before the request is recorded.
    pub(crate) context: String,
    /// The token's owner, if the operator says.
    pub(crate) identity: Option<OwnIdentity>,
    /// How far a record's time may be from the time of sending.
    pub(crate) skew: chrono::TimeDelta,
}

impl Recognizer {
    /// The own request that caused this record, if one did.
    pub(crate) fn own<'s>(&self, entry: &Entry<'_>, sent: &'s OwnRequests) -> Option<&'s OwnRequest> {
        let asked = entry.asked();
        let request = sent.by_user_agent(asked.user_agent.text()?)?;
        let (path, query) = split(asked.uri.text()?);
        let ours = asked.method.text() == Some("GET")
            && request.method == "GET"
            && self.bare(path) == self.bare(&request.path)
            && same_query(query, &request.query)
            && entry.by_api()
            && (entry.time()? - request.sent).abs() <= self.skew
            && self.is_owner(entry).unwrap_or(true);
        ours.then_some(request)
    }

    /// The remark on a record that is not ours although it looks like it. `owner` is whom own records have shown.
    pub(crate) fn foreign(&self, entry: &Entry<'_>, owner: Option<&Owner>) -> Echo {
        let asked = entry.asked();
        if asked.user_agent.text().is_some_and(|agent| agent.starts_with(PRODUCT)) {
            return Echo::Suspicious(
                "possible token misuse: a request in headwater's name that this headwater did not send",
            );
        }
        let path = asked.uri.text().map(|uri| self.bare(split(uri).0));
        if !path.is_some_and(|path| path == AUDIT || path.starts_with("/api/audit_logs/")) {
            return Echo::Foreign;
        }
        let token = owner.is_some_and(|owner| {
            entry.token_name() == Some(&owner.token_name) && entry.operator_id().as_ref() == Some(&owner.operator_id)
        });
        if token || self.is_owner(entry) == Some(true) {
            return Echo::Suspicious(
                "possible token misuse: the audit log was read with headwater's token or by its owner, but not through this headwater",
            );
        }
        Echo::Foreign
    }

    /// Whether the record shows the owner that the operator named; `None` if none was.
    fn is_owner(&self, entry: &Entry<'_>) -> Option<bool> {
        let owner = self.identity.as_ref()?;
        let operator = owner.operator_id.is_none() || entry.operator_id() == owner.operator_id;
        let token = owner.token_name.as_deref().is_none_or(|name| entry.token_name() == Some(name));
        Some(operator && token)
    }

    /// A path without the context path.
    fn bare<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.context.as_str()).filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }
}

/// Path and query of a URI.
fn split(uri: &str) -> (&str, &str) {
    uri.split_once('?').unwrap_or((uri, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Timestamp;
    use serde_json::{Value, json};

    const AGENT: &str = "headwater/0.1.0 (poller a; req 1)";
    const URI: &str = "/cp/api/audit_logs?start_at=1&page=1";

    fn sent() -> OwnRequests {
        let mut sent = OwnRequests::default();
        sent.insert(OwnRequest {
            id: "1".into(),
            user_agent: AGENT.into(),
            method: "GET".into(),
            path: "/cp/api/audit_logs".into(),
            query: vec![("start_at".into(), "1".into()), ("page".into(), "1".into())],
            sent: Timestamp::from_timestamp(1_718_000_000, 0).unwrap(),
        });
        sent
    }

    fn ours() -> Value {
        json!({
            "id": "e", "event_time": 1_718_000_001, "operator": { "id": "u-7" }, "source": "api", "token_name": "hw",
            "http_request": { "method": "GET", "uri": URI, "user_agent": AGENT },
        })
    }

    fn judge(record: &Value, identity: Option<OwnIdentity>) -> Echo {
        let recognizer = Recognizer { context: "/cp".into(), identity, skew: chrono::TimeDelta::minutes(5) };
        let raw = record.to_string();
        let entry = Entry::read(raw.as_bytes()).unwrap();
        let owner = Owner { operator_id: "u-7".into(), token_name: "hw".into() };
        match recognizer.own(&entry, &sent()) {
            Some(request) => Echo::Own(request.id.clone()),
            None => recognizer.foreign(&entry, Some(&owner)),
        }
    }

    #[test]
    fn only_the_exact_echo_of_what_was_sent_is_ours() {
        let with = |pointer: &str, value: Value| {
            let mut record = ours();
            *record.pointer_mut(pointer).unwrap() = value;
            record
        };
        let me = || Some(OwnIdentity { operator_id: Some("u-7".into()), token_name: Some("hw".into()) });
        assert_eq!(judge(&ours(), None), Echo::Own("1".into()));
        assert_eq!(judge(&ours(), me()), Echo::Own("1".into()));
        assert_eq!(judge(&with("/event_time", json!(1_718_000_001_500_i64)), None), Echo::Own("1".into()));
        // A proxy has taken the context path off; the query is in another order.
        let bare = with("/http_request/uri", json!("/api/audit_logs?page=1&start_at=1"));
        assert_eq!(judge(&bare, None), Echo::Own("1".into()));

        let suspicious =
            |record: Value, identity| assert!(matches!(judge(&record, identity), Echo::Suspicious(_)), "{record}");
        suspicious(with("/http_request/user_agent", json!("headwater/0.1.0 (poller a; req 2)")), None);
        suspicious(with("/http_request/method", json!("POST")), None);
        suspicious(with("/http_request/uri", json!("/cp/api/audit_logs?start_at=1")), None);
        suspicious(with("/http_request/uri", json!("/cp/api/audit_logs/export?start_at=1&page=1")), None);
        suspicious(with("/http_request/uri", Value::Null), None);
        suspicious(with("/event_time", json!(1_718_000_301)), None);
        suspicious(with("/event_time", json!("soon")), None);
        suspicious(with("/source", json!("dashboard")), None);
        suspicious(with("/token_name", json!("other")), me());
        // The token itself, in another hand.
        suspicious(with("/http_request/user_agent", json!("curl/8")), None);
    }

    #[test]
    fn other_people_and_other_tokens_reading_the_trail_are_just_events() {
        let read_by = |operator: &str, token: Option<&str>, uri: &str| {
            json!({ "id": "e", "event_time": 1_718_000_001, "operator": { "id": operator }, "token_name": token,
                "http_request": { "method": "GET", "uri": uri, "user_agent": "curl/8" } })
        };
        assert_eq!(judge(&read_by("u-8", Some("hw"), URI), None), Echo::Foreign);
        assert_eq!(judge(&read_by("u-7", Some("other"), URI), None), Echo::Foreign);
        assert_eq!(judge(&read_by("u-7", None, URI), None), Echo::Foreign);
        assert_eq!(judge(&read_by("u-7", Some("hw"), "/api/users"), None), Echo::Foreign);
        // Unless the operator says that the account is headwater's alone.
        let me = Some(OwnIdentity { operator_id: Some("u-7".into()), token_name: None });
        assert!(matches!(judge(&read_by("u-7", Some("other"), URI), me), Echo::Suspicious(_)));
    }
}
