//! Telling events that headwater's own reading caused. The match is weak: an event shows the key's id, an address and a
//! time, nothing of the request. So it needs the operator's word on both, and never matches more events of an hour
//! than calls were sent in it.

use crate::record::Entry;
use chrono::{DurationRound, TimeDelta};
use headwater_contracts::{Echo, OwnRequests, Timestamp};
use std::net::IpAddr;

/// What the operator says about headwater's own calls.
#[derive(Debug)]
pub(crate) struct Recognizer {
    /// Id of the API key's entity.
    pub(crate) actor_id: String,
    /// Addresses that calls come from.
    pub(crate) ips: Vec<IpAddr>,
}

impl Recognizer {
    /// Judges one event against the own requests not matched so far.
    pub(crate) fn judge(&self, entry: &Entry<'_>, sent: &OwnRequests) -> Echo {
        if entry.action() != Some("ACCESS_AUDIT_LOG") {
            return Echo::Foreign;
        }
        let actor = entry.actor();
        if actor.kind.text() != Some("APIKEY") || actor.id.text() != Some(&self.actor_id) {
            return Echo::Foreign;
        }
        let from_here = entry.ip().and_then(|ip| ip.parse::<IpAddr>().ok()).is_some_and(|ip| self.ips.contains(&ip));
        if !from_here {
            return Echo::Suspicious("possible key misuse: the audit log was read with this key from another address");
        }
        // The earliest one, so that the same events and requests always pair up the same way.
        let hour = entry.time().and_then(hour_of);
        sent.iter()
            .filter(|request| hour.is_some() && hour_of(request.sent) == hour)
            .min_by(|a, b| (a.sent, &a.id).cmp(&(b.sent, &b.id)))
            .map_or(
                Echo::Suspicious(
                    "possible key misuse: the audit log was read with this key more often than headwater did",
                ),
                |request| Echo::Own(request.id.clone()),
            )
    }
}

fn hour_of(time: Timestamp) -> Option<Timestamp> {
    time.duration_trunc(TimeDelta::hours(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::OwnRequest;

    fn sent(times: &[&str]) -> OwnRequests {
        let mut sent = OwnRequests::default();
        for (n, time) in times.iter().enumerate() {
            sent.insert(OwnRequest {
                id: n.to_string(),
                user_agent: format!("headwater/0.1.0 (req {n})"),
                method: "GET".into(),
                path: "/enterprise/v1/audit-log".into(),
                query: vec![],
                sent: time.parse().unwrap(),
            });
        }
        sent
    }

    #[test]
    fn as_many_events_of_an_hour_are_ours_as_calls_were_sent_in_it() {
        let recognizer = Recognizer { actor_id: "key-9f2".into(), ips: vec!["198.51.100.7".parse().unwrap()] };
        let raw = include_bytes!("../tests/pages/access-audit-log-apikey.json");
        let entry = Entry::read(raw).unwrap();
        let mut sent = sent(&["2022-02-02T10:59:59.999Z", "2022-02-02T09:59:59.999Z", "2022-02-02T10:20:00Z"]);
        for expected in ["2", "0"] {
            assert_eq!(recognizer.judge(&entry, &sent), Echo::Own(expected.into()));
            sent.consume(expected);
        }
        assert!(matches!(recognizer.judge(&entry, &sent), Echo::Suspicious(_)));
    }

    #[test]
    fn other_keys_people_and_actions_are_foreign_and_other_addresses_suspicious() {
        let recognizer = Recognizer { actor_id: "key-9f2".into(), ips: vec!["198.51.100.7".parse().unwrap()] };
        let sent = sent(&["2022-02-02T10:00:00Z"]);
        let raw = include_str!("../tests/pages/access-audit-log-apikey.json");
        let judge = |from: &str, to: &str| {
            assert!(raw.contains(from));
            recognizer.judge(&Entry::read(raw.replace(from, to).as_bytes()).unwrap(), &sent)
        };
        assert_eq!(judge("key-9f2", "key-other"), Echo::Foreign);
        assert_eq!(judge("APIKEY", "USER"), Echo::Foreign);
        assert_eq!(judge("ACCESS_AUDIT_LOG", "CREATE_MURAL"), Echo::Foreign);
        assert!(matches!(judge("198.51.100.7", "198.51.100.8"), Echo::Suspicious(_)));
        assert_eq!(judge("198.51.100.7", "198.51.100.7"), Echo::Own("0".into()));
    }
}
