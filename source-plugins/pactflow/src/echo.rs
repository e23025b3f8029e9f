//! Telling the records that headwater's own reading caused from those of anybody else.
//!
//! A record is ours only if it shows a one-time `User-Agent` that we sent and no record has shown before, at about that
//! time, and nothing else than the request we sent it with. Path, user or a fixed `User-Agent` alone would also hide
//! people who read the trail, and thieves of the token.

use crate::{config::OwnIdentity, record::Entry};
use headwater_contracts::{Echo, OwnRequest, OwnRequests};
use headwater_source_kit::{Scalar, same_query};

/// What every headwater's `User-Agent` begins with.
const PRODUCT: &str = "headwater/";

/// What is needed to recognise an own query.
#[derive(Debug)]
pub(crate) struct Recognizer {
    /// Path of the audit log, context path included.
    pub(crate) audit_path: String,
    /// The token's owner, if known.
    pub(crate) identity: Option<OwnIdentity>,
    /// How far a record's time may be from the time of sending.
    pub(crate) skew: chrono::TimeDelta,
}

impl Recognizer {
    /// The own request that caused this record, if one did.
    pub(crate) fn own<'s>(&self, entry: &Entry<'_>, sent: &'s OwnRequests) -> Option<&'s OwnRequest> {
        let request = sent.by_user_agent(entry.payload.user_agent.text()?)?;
        // Old versions record less of a request. What is absent does not speak against it: nobody else can know an agent
        // used once. What is there must be right.
        let is = |shown: &Scalar<'_>, sent: &str| *shown == Scalar::Absent || shown.text() == Some(sent);
        let query = &entry.payload.query_string;
        let ours = is(&entry.payload.path, &request.path)
            && is(&entry.payload.method, &request.method)
            && request.method == "GET"
            && (*query == Scalar::Absent || query.text().is_some_and(|raw| same_query(raw, &request.query)))
            && (entry.time? - request.sent).abs() <= self.skew
            && self.is_owner(entry).unwrap_or(true);
        ours.then_some(request)
    }

    /// The remark on a record that is not ours although it looks like it.
    pub(crate) fn foreign(&self, entry: &Entry<'_>) -> Echo {
        if entry.payload.user_agent.text().is_some_and(|agent| agent.starts_with(PRODUCT)) {
            return Echo::Suspicious(
                "possible token misuse: a request in headwater's name that this headwater did not send",
            );
        }
        if entry.payload.path.text() == Some(&self.audit_path) && self.is_owner(entry) == Some(true) {
            return Echo::Suspicious(
                "possible token misuse: the token's owner read the audit log, but not through this headwater",
            );
        }
        Echo::Foreign
    }

    /// Whether the record shows the token's owner; `None` if the owner is not known.
    fn is_owner(&self, entry: &Entry<'_>) -> Option<bool> {
        let owner = self.identity.as_ref()?;
        let email = owner.email.as_deref().is_none_or(|email| entry.email() == Some(email));
        let id = owner.db_user_id.is_none_or(|id| entry.db_user_id() == Some(id));
        Some(email && id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Timestamp;

    const AGENT: &str = "headwater/0.1.0 (poller a; req 1)";

    fn sent() -> OwnRequests {
        let mut sent = OwnRequests::default();
        sent.insert(OwnRequest {
            id: "1".into(),
            user_agent: AGENT.into(),
            method: "GET".into(),
            path: "/ctx/audit".into(),
            query: vec![("from".into(), "a-_b".into()), ("pageSize".into(), "5".into())],
            sent: "2024-05-02T03:00:00Z".parse::<Timestamp>().unwrap(),
        });
        sent
    }

    fn raw(agent: &str, path: &str, method: &str, query: &str, time: &str, email: &str) -> String {
        format!(
            r#"{{"uuid":"u","timestamp":"{time}","db_user_id":17,"user_email":"{email}","payload":{{"path":"{path}","queryString":"{query}","method":"{method}","userAgent":"{agent}"}}}}"#
        )
    }

    fn judge(raw: &str, identity: Option<OwnIdentity>) -> Echo {
        let recognizer = Recognizer { audit_path: "/ctx/audit".into(), identity, skew: chrono::TimeDelta::minutes(5) };
        let entry = Entry::read(raw.as_bytes()).unwrap();
        match recognizer.own(&entry, &sent()) {
            Some(request) => Echo::Own(request.id.clone()),
            None => recognizer.foreign(&entry),
        }
    }

    #[test]
    fn only_the_exact_echo_of_what_was_sent_is_ours() {
        let time = "2024-05-02T13:00:01.000+10:00";
        let query = "pageSize=5&from=a%2D_b";
        let ours = raw(AGENT, "/ctx/audit", "GET", query, time, "me@x");
        assert_eq!(judge(&ours, None), Echo::Own("1".into()));
        let me = Some(OwnIdentity { email: Some("me@x".into()), db_user_id: Some(17) });
        assert_eq!(judge(&ours, me.clone()), Echo::Own("1".into()));

        let suspicious = |raw: String, identity| assert!(matches!(judge(&raw, identity), Echo::Suspicious(_)), "{raw}");
        suspicious(raw("headwater/0.1.0 (poller a; req 2)", "/ctx/audit", "GET", query, time, "me@x"), None);
        suspicious(raw(AGENT, "/ctx/secrets", "GET", query, time, "me@x"), None);
        suspicious(raw(AGENT, "/ctx/audit", "POST", query, time, "me@x"), None);
        suspicious(raw(AGENT, "/ctx/audit", "GET", "from=other", time, "me@x"), None);
        suspicious(raw(AGENT, "/ctx/audit", "GET", &format!("{query}&from=x"), time, "me@x"), None);
        suspicious(raw(AGENT, "/ctx/audit", "GET", query, "2024-05-02T03:05:00.001Z", "me@x"), None);
        suspicious(raw(AGENT, "/ctx/audit", "GET", query, "no time", "me@x"), None);
        suspicious(raw(AGENT, "/ctx/audit", "GET", query, time, "thief@x"), me.clone());
        suspicious(raw("curl/8", "/ctx/audit", "GET", query, time, "me@x"), me);
    }

    #[test]
    fn what_a_record_leaves_out_does_not_speak_against_it() {
        let time = "2024-05-02T03:00:01Z";
        let record = |payload: &str| {
            format!(r#"{{"uuid":"u","timestamp":"{time}","payload":{{"userAgent":"{AGENT}"{payload}}}}}"#)
        };
        for absent in ["", r#","path":null,"method":"GET""#, r#","queryString":"pageSize=5&from=a-_b""#] {
            assert_eq!(judge(&record(absent), None), Echo::Own("1".into()), "{absent}");
        }
        for wrong in
            [r#","path":"""#, r#","path":7"#, r#","method":"POST""#, r#","queryString":"""#, r#","queryString":[]"#]
        {
            assert!(matches!(judge(&record(wrong), None), Echo::Suspicious(_)), "{wrong}");
        }
    }

    #[test]
    fn other_people_reading_the_trail_are_just_events() {
        let time = "2024-05-02T03:00:01Z";
        let me = Some(OwnIdentity { email: Some("me@x".into()), db_user_id: None });
        assert_eq!(judge(&raw("curl/8", "/ctx/audit", "GET", "", time, "you@x"), me.clone()), Echo::Foreign);
        assert_eq!(judge(&raw("curl/8", "/ctx/audit", "GET", "", time, "me@x"), None), Echo::Foreign);
        assert_eq!(judge(&raw("curl/8", "/ctx/pacts", "GET", "", time, "me@x"), me), Echo::Foreign);
    }
}
