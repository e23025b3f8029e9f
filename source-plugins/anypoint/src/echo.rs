//! Telling the records that headwater's own logins caused. Reading the log leaves none; fetching a token does, in the root
//! organization.
//!
//! A record shows who logged in, from where and when, nothing of the request. So it is ours if it shows our name, at about
//! the time of a login that was really sent and that no other record has been matched with, and, where the addresses of
//! headwater's calls are known, one of them. Whoever else logs in as we do is delivered, and marked.

use crate::record::Entry;
use chrono::TimeDelta;
use headwater_contracts::{Echo, OwnRequest, OwnRequests, Timestamp};
use serde_json::Value;
use std::net::IpAddr;

/// What is needed to recognise an own login.
#[derive(Debug)]
pub(crate) struct Recognizer {
    /// Client id or user name, if there is a login.
    pub(crate) name: Option<String>,
    /// Addresses that calls come from; empty if not known.
    pub(crate) ips: Vec<IpAddr>,
    /// How far a record's time may be from the time of sending.
    pub(crate) skew: TimeDelta,
}

impl Recognizer {
    /// Judges one record against the own logins not matched so far.
    pub(crate) fn judge(&self, entry: &Entry, sent: &OwnRequests) -> Echo {
        let is_login = |action: &str| action.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("login"));
        if !entry.text("action").is_some_and(is_login) {
            return Echo::Foreign;
        }
        let payload = entry.payload().unwrap_or_default();
        let named = |request: &OwnRequest| request.query.iter().any(|(_, name)| shows(entry, &payload, name));
        let ours: Vec<_> = sent.iter().filter(|request| request.method == "POST" && named(request)).collect();
        if ours.is_empty() && !self.name.as_deref().is_some_and(|name| shows(entry, &payload, name)) {
            return Echo::Foreign;
        }
        if let Some(ip) = ip(entry, &payload)
            && !self.ips.is_empty()
            && !self.ips.contains(&ip)
        {
            return Echo::Suspicious("possible misuse of the credential: a login with it from another address");
        }
        // The nearest, and among those the first, so that the same records and logins always pair up the same way.
        let distance =
            |request: &&OwnRequest| entry.time.map_or(TimeDelta::MAX, |time: Timestamp| (time - request.sent).abs());
        let nearest = ours.into_iter().filter(|request| distance(request) <= self.skew);
        nearest.min_by_key(|request| (distance(request), &request.id)).map_or(
            Echo::Suspicious("possible misuse of the credential: a login with it that this headwater did not send"),
            |request| Echo::Own(request.id.clone()),
        )
    }
}

/// Whether a login record is one of `name`: a connected app that got a token, or a user.
fn shows(entry: &Entry, payload: &Value, name: &str) -> bool {
    let is = |text: Option<&str>| text == Some(name);
    let subaction = entry.text("subaction").or(payload["subaction"].as_str()).unwrap_or_default();
    let token = subaction.eq_ignore_ascii_case("token");
    let properties = &payload["properties"];
    let object = |key: &str| entry.objects().any(|object| is(object.get(key).and_then(Value::as_str)));
    if token {
        object("objectId") || is(entry.text("clientId")) || is(properties["clientID"].as_str())
    } else {
        is(entry.text("userName")) || object("objectName")
    }
}

/// The address that a login came from, if the record shows it.
fn ip(entry: &Entry, payload: &Value) -> Option<IpAddr> {
    let properties = &payload["properties"];
    let places = [
        entry.record.get("clientIP"),
        entry.record.get("clientIp"),
        properties.get("clientIP"),
        properties.get("clientIp"),
        properties["connectedApp"].get("clientIP"),
    ];
    places.into_iter().flatten().find_map(|place| place.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "68e9005e741c4323b6bac8b2006d6302";
    const TOKEN: &str = include_str!("../tests/pages/connected-app-token.json");

    fn sent(field: &str, name: &str, times: &[&str]) -> OwnRequests {
        let mut sent = OwnRequests::default();
        for (n, time) in times.iter().enumerate() {
            sent.insert(OwnRequest {
                id: n.to_string(),
                user_agent: format!("headwater/0.1.0 (req {n})"),
                method: "POST".into(),
                path: "/accounts/api/v2/oauth2/token".into(),
                query: vec![(field.into(), name.into())],
                sent: time.parse().unwrap(),
            });
        }
        sent
    }

    fn judge(raw: &str, sent: &OwnRequests, ips: &[&str]) -> Echo {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let recognizer = Recognizer { name: Some(CLIENT.into()), ips, skew: TimeDelta::minutes(5) };
        recognizer.judge(&Entry::read(raw.as_bytes()).unwrap(), sent)
    }

    // The sample's time is 2023-10-14T18:15:30.250Z.
    #[test]
    fn as_many_logins_are_ours_as_were_sent_and_the_nearest_comes_first() {
        let mut sent =
            sent("client_id", CLIENT, &["2023-10-14T18:14:00Z", "2023-10-14T18:15:29Z", "2023-10-14T17:00:00Z"]);
        for expected in ["1", "0"] {
            assert_eq!(judge(TOKEN, &sent, &[]), Echo::Own(expected.into()));
            sent.consume(expected);
        }
        assert!(matches!(judge(TOKEN, &sent, &[]), Echo::Suspicious(_)), "the third was sent an hour before");
    }

    #[test]
    fn a_login_from_elsewhere_is_suspicious_where_our_address_is_known() {
        let sent = sent("client_id", CLIENT, &["2023-10-14T18:15:29Z"]);
        assert_eq!(judge(TOKEN, &sent, &["203.0.113.24"]), Echo::Own("0".into()));
        assert!(matches!(judge(TOKEN, &sent, &["203.0.113.25"]), Echo::Suspicious(_)));
    }

    #[test]
    fn others_and_other_actions_are_foreign() {
        let sent = sent("client_id", CLIENT, &["2023-10-14T18:15:29Z"]);
        assert_eq!(judge(&TOKEN.replace(CLIENT, "other"), &sent, &[]), Echo::Foreign);
        assert_eq!(judge(&TOKEN.replace("Login - Token", "Edit"), &sent, &[]), Echo::Foreign);
        assert_eq!(judge(include_str!("../tests/pages/login-success.json"), &sent, &[]), Echo::Foreign);
    }

    #[test]
    fn a_user_who_logs_in_is_told_by_name_even_if_only_the_login_knows_it() {
        let sent = sent("username", "rcarrasco", &["2023-10-14T15:02:10Z"]);
        assert_eq!(judge(include_str!("../tests/pages/login-success.json"), &sent, &[]), Echo::Own("0".into()));
    }
}
