//! Before the first scan of a run: does the token work here, and may it read everything? With too few rights the audit
//! log answers with a part of it and says nothing of the rest.

use crate::{
    scan::{DENIED, patient, refusal},
    source::Settings,
    state::{Rights, State},
};
use headwater_contracts::{
    Next, OwnRequests, PageEnd, ReadError, Record, Rejection, Request, Scan, Span, Timestamp, Unreadable,
};
use serde_json::Value;
use std::sync::Arc;

/// Categories and types of events: of the audit API, and short.
pub(crate) const CATEGORIES: &str = "/api/v2/audit/categories";
/// What the token may do. Of another, older API: it may be gone, and its shape is not documented.
const PERMISSIONS: &str = "/api/v0/token/permissions";

/// See the module.
pub(crate) struct Check {
    settings: Arc<Settings>,
    stream: String,
    state: State,
    at: Timestamp,
    asks: Asks,
    throttled: u32,
}

/// The questions, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Categories,
    Permissions,
    Nothing,
}

impl Check {
    pub(crate) fn new(settings: Arc<Settings>, stream: String, state: State, at: Timestamp) -> Self {
        Self { settings, stream, state, at, asks: Asks::Categories, throttled: 0 }
    }

    fn finish(&mut self, rights: Rights) -> Result<Next, ReadError> {
        self.state.rights = rights;
        self.state.checked = true;
        match shortfall(&self.state).filter(|_| self.settings.expect_org_wide) {
            Some(problem) => Err(ReadError::Denied(format!("{problem} (`expect_org_wide` is set)"))),
            None => {
                self.asks = Asks::Nothing;
                Ok(Next::Complete)
            }
        }
    }
}

/// What makes it seem that the token shows a part of the log only.
pub(crate) fn shortfall(state: &State) -> Option<String> {
    match state.rights {
        Rights::Own => Some(format!(
            "the token lacks the permission for the organization's audit logs, so only its owner's records are read: {DENIED}"
        )),
        Rights::Unknown if state.users.lonely() => Some(format!(
            "all records of a week or more are of one user, `{}`: the token may show its owner's records only; {DENIED}",
            state.users.one.as_deref().unwrap_or_default(),
        )),
        Rights::Organization | Rights::Unknown => None,
    }
}

/// What an answer of undocumented shape says about audit permissions: only what is plainly there counts.
fn rights(body: &[u8]) -> Rights {
    let mut texts = Vec::new();
    if let Ok(body) = serde_json::from_slice::<Value>(body) {
        collect(&body, &mut texts);
    }
    texts.retain(|text| text.contains("audit"));
    let of_all = |text: &String| text.contains("organization") || text.contains("organisation");
    match (texts.is_empty(), texts.iter().any(of_all)) {
        (true, _) => Rights::Unknown,
        (false, true) => Rights::Organization,
        (false, false) => Rights::Own,
    }
}

/// All texts in a value, in lower case; keys are no permissions, unless their value is true.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.to_lowercase()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => {
            for (key, value) in map {
                if *value == Value::Bool(true) {
                    texts.push(key.to_lowercase());
                }
                collect(value, texts);
            }
        }
        _ => {}
    }
}

impl Scan for Check {
    fn span(&self) -> Span {
        Span::new(self.at, self.at)
    }

    fn elements(&self) -> &'static [&'static str] {
        &[]
    }

    fn whole(&self) -> bool {
        true
    }

    fn request(&mut self) -> Request {
        Request::get(if self.asks == Asks::Categories { CATEGORIES } else { PERMISSIONS })
    }

    fn record(&mut self, _: &[u8], _: &OwnRequests) -> Result<Record, Unreadable> {
        Err(Unreadable { reason: "no record was asked for".to_owned() })
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        self.throttled = 0;
        if self.asks != Asks::Categories {
            return self.finish(rights(end.envelope));
        }
        // A bare array as documented, or one in `data` as elsewhere in this API.
        let list: Option<Value> = serde_json::from_slice(end.envelope).ok();
        if !list.is_some_and(|list| list.is_array() || list.get("data").is_some_and(Value::is_array)) {
            return Err(ReadError::Malformed(format!(
                "`{CATEGORIES}` does not answer with a list of categories; check that `endpoint` is the API's address of your region"
            )));
        }
        self.asks = Asks::Permissions;
        Ok(Next::More)
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        let error = patient(rejection.classify(DENIED), self.throttled);
        match (self.asks, error) {
            (_, error @ ReadError::Throttled { .. }) => {
                self.throttled += 1;
                Err(error)
            }
            // Whatever is wrong there, it is no reason not to read.
            (Asks::Permissions | Asks::Nothing, _) => self.finish(Rights::Unknown),
            (Asks::Categories, ReadError::Malformed(_)) => Err(ReadError::Malformed(format!(
                "{}: no audit API there; check that `endpoint` is the API's address of your region",
                refusal(rejection)
            ))),
            (Asks::Categories, error) => Err(error),
        }
    }

    fn state(&self) -> Option<Value> {
        if self.asks == Asks::Nothing { serde_json::to_value(&self.state).ok() } else { None }
    }

    fn describe(&self) -> String {
        format!("token and region of `{}`", self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_api_plainly_says_about_rights_counts() {
        let check = |body: &str, expected| assert_eq!(rights(body.as_bytes()), expected, "{body}");
        check(r#"{"data":["Retrieve my organization's audit logs"]}"#, Rights::Organization);
        check(r#"[{"name":"audit_logs:get:organization"}]"#, Rights::Organization);
        check(r#"{"permissions":{"organization_audit":true}}"#, Rights::Organization);
        check(r#"{"permissions":{"organization_audit":false,"my_audit":true}}"#, Rights::Own);
        check(r#"{"data":["Retrieve my audit logs","Create services"]}"#, Rights::Own);
        for silent in ["", "<html>audit</html>", "[]", "7", r#"{"data":["organization:read"]}"#] {
            check(silent, Rights::Unknown);
        }
    }

    fn check(expect_org_wide: bool, state: State) -> Check {
        let settings = crate::source::tests::settings(expect_org_wide);
        Check::new(Arc::new(settings), "api.solace.cloud".into(), state, Timestamp::UNIX_EPOCH)
    }

    fn answer(check: &mut Check, body: &[u8]) -> Result<Next, ReadError> {
        check.page(&PageEnd { envelope: body, records: 0, server_time: Timestamp::UNIX_EPOCH })
    }

    const OWN: &[u8] = br#"{"data":["Retrieve my audit logs"]}"#;

    #[test]
    fn a_token_for_its_owner_only_is_a_warning_or_if_asked_for_an_error() {
        for (expected, class) in [(false, None), (true, Some("denied"))] {
            let mut check = check(expected, State::default());
            assert_eq!(check.request().path, CATEGORIES);
            assert!(matches!(answer(&mut check, b"[]"), Ok(Next::More)));
            assert_eq!(check.request().path, PERMISSIONS);
            assert_eq!(answer(&mut check, OWN).err().map(|error| error.class()), class);
            assert_eq!(check.state().is_some(), class.is_none());
            assert!(shortfall(&check.state).is_some_and(|text| text.contains("organization")));
        }
    }

    #[test]
    fn only_the_audit_api_itself_can_keep_headwater_from_reading() {
        let refused = |status| Rejection { status, retry_after: None, content_type: String::new(), body: vec![] };
        for (status, class) in
            [(401, "denied"), (403, "denied"), (404, "malformed"), (500, "transient"), (429, "throttled")]
        {
            let mut check = check(false, State::default());
            assert_eq!(check.rejected(&refused(status)).err().map(|error| error.class()), Some(class), "{status}");
            assert!(matches!(answer(&mut check, br#"{"data":[]}"#), Ok(Next::More)));
            let then = check.rejected(&refused(status));
            assert_eq!(then.is_err(), status == 429, "{status}");
        }
        assert!(answer(&mut check(false, State::default()), b"<html>").is_err());
    }

    #[test]
    fn throttling_that_does_not_say_how_long_is_waited_out_by_the_minute() {
        let wait = |times| match patient(ReadError::Throttled { retry_after: None, reason: String::new() }, times) {
            ReadError::Throttled { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
            _ => None,
        };
        assert_eq!(
            [wait(0), wait(1), wait(2), wait(3), wait(99)],
            [Some(60), Some(120), Some(240), Some(300), Some(300)]
        );
    }
}
