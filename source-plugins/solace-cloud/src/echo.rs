//! Telling records that headwater's own reading caused, should reading be recorded (which is not documented).
//!
//! Such a record shows the path read, the token's owner, an address and a time, but no `User-Agent`: the match is weak. So
//! it needs the operator's word on owner and address, and never matches more records than requests were sent.

use crate::record::Entry;
use chrono::TimeDelta;
use headwater_contracts::{Echo, OwnRequests, Timestamp};
use std::net::IpAddr;

/// Where the audit endpoints are.
const AUDIT: &str = "/api/v2/audit/";
/// How far a record's start may be from the time of sending.
const SKEW: TimeDelta = TimeDelta::minutes(2);

/// What the operator says about headwater's own requests.
#[derive(Debug)]
pub(crate) struct Recognizer {
    /// `userId` of the token's owner.
    pub(crate) user: String,
    /// Addresses that requests come from.
    pub(crate) ips: Vec<IpAddr>,
}

impl Recognizer {
    /// Judges one record against the own requests not matched so far.
    pub(crate) fn judge(&self, entry: &Entry, sent: &OwnRequests) -> Echo {
        let path = entry.meta("requestPath").and_then(|path| path.split('?').next()).unwrap_or_default();
        if !path.starts_with(AUDIT) || entry.user() != Some(&self.user) {
            return Echo::Foreign;
        }
        let from_here =
            entry.address().and_then(|ip| ip.parse::<IpAddr>().ok()).is_some_and(|ip| self.ips.contains(&ip));
        if !from_here {
            return Echo::Suspicious(
                "possible token misuse: the token's owner read the audit log from another address",
            );
        }
        let method = entry.meta("requestMethod");
        let distance = |sent: Timestamp| entry.start.map(|start| (start - sent).abs());
        // The nearest one: records come in any order.
        sent.iter()
            .filter(|request| request.path.ends_with(path) && method.is_none_or(|method| method == request.method))
            .filter_map(|request| Some((distance(request.sent)?, &request.id)))
            .filter(|(distance, _)| *distance <= SKEW)
            .min()
            .map_or(
                Echo::Suspicious(
                    "possible token misuse: the token's owner read the audit log more often than headwater did",
                ),
                |(_, id)| Echo::Own(id.clone()),
            )
    }
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
                path: "/api/v2/audit/logs".into(),
                query: vec![],
                sent: time.parse().unwrap(),
            });
        }
        sent
    }

    fn record(path: &str, user: &str, ip: &str, start: &str) -> Entry {
        let raw = format!(
            r#"{{"id":"a","userId":"{user}","source":"{ip}","startTime":"{start}","meta":{{"requestPath":"{path}","requestMethod":"GET"}}}}"#
        );
        Entry::read(raw.as_bytes()).unwrap()
    }

    #[test]
    fn as_many_records_are_ours_as_requests_were_sent_at_about_their_time() {
        let recognizer = Recognizer { user: "me".into(), ips: vec!["2001:db8::1".parse().unwrap()] };
        let mut sent = sent(&["2024-05-02T03:00:00Z", "2024-05-02T03:01:00Z", "2024-05-02T09:00:00Z"]);
        let mine = |start: &str| record("/api/v2/audit/logs?pageSize=100", "me", "2001:db8:0::1", start);
        for (start, expected) in [("2024-05-02T03:01:01Z", "1"), ("2024-05-02T03:01:02Z", "0")] {
            assert_eq!(recognizer.judge(&mine(start), &sent), Echo::Own(expected.into()));
            sent.consume(expected);
        }
        assert!(matches!(recognizer.judge(&mine("2024-05-02T03:01:02Z"), &sent), Echo::Suspicious(_)));
        assert!(matches!(recognizer.judge(&mine("no time"), &sent), Echo::Suspicious(_)));
    }

    #[test]
    fn other_people_and_other_paths_are_foreign_and_other_addresses_suspicious() {
        let recognizer = Recognizer { user: "me".into(), ips: vec!["192.0.2.1".parse().unwrap()] };
        let sent = sent(&["2024-05-02T03:00:00Z"]);
        let judge = |path, user, ip| recognizer.judge(&record(path, user, ip, "2024-05-02T03:00:00Z"), &sent);
        assert_eq!(judge("/api/v2/audit/logs", "you", "192.0.2.1"), Echo::Foreign);
        assert_eq!(judge("/api/v0/services", "me", "192.0.2.1"), Echo::Foreign);
        assert!(matches!(judge("/api/v2/audit/logs", "me", "192.0.2.2"), Echo::Suspicious(_)));
        assert!(matches!(judge("/api/v2/audit/categories", "me", "192.0.2.1"), Echo::Suspicious(_)));
        assert_eq!(judge("/api/v2/audit/logs", "me", "192.0.2.1"), Echo::Own("0".into()));
    }
}
