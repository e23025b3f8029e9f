//! One token per credential, shared by all streams of a component: fetched by one at a time, renewed before it ends, and
//! never fetched in a loop, because every fetch is a record in the customer's audit log.
//!
//! | what happens | what follows |
//! |---|---|
//! | four fifths of the lifetime are over | it is renewed; if that fails, the old one serves until its end |
//! | 401 to a token that has worked for this stream, or is older than the floor | it is given up, another is fetched |
//! | 401 to a token that has not worked and is younger | it is no question of the token: the permission is missing |
//! | a stream that no token ever helped | its floor doubles with each token fetched because of it, up to an hour |
//! | a login that is refused | the next one waits for the floor, which doubles |
//! | 429 to a login | the next one waits as long as the answer says |

use headwater_contracts::{Login, OwnRequest, ReadError, Rejection, complaint, excerpt, instead_of_json, mask};
use reqwest::header::HeaderValue;
use serde_json::Value;
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Least time between two logins.
const FLOOR: Duration = Duration::from_mins(1);
/// What a floor grows to.
const FLOOR_MAX: Duration = Duration::from_hours(1);
/// Longest lifetime believed.
const LIFETIME_MAX: Duration = Duration::from_hours(24);

/// The token of one credential. All times are of the monotonic clock.
pub(crate) struct Tokens {
    login: Login,
    /// Held while a token is fetched.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("login", &self.login).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Tokens fetched so far.
    fetched: u64,
    not_before: Duration,
    refusals: u32,
    failures: u32,
    /// Why the last login failed, if it did.
    problem: Option<ReadError>,
    streams: HashMap<String, Standing>,
    /// The logins of this run.
    made: Vec<(OwnRequest, Duration)>,
}

struct Token {
    value: HeaderValue,
    number: u64,
    since: Duration,
    renew_at: Duration,
    ends_at: Duration,
}

/// What tokens have done for one stream.
#[derive(Default)]
struct Standing {
    /// The last token that worked.
    worked: Option<u64>,
    /// Tokens fetched because of this stream since one worked.
    in_vain: u32,
}

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: there is a token.
    Nothing,
    /// A login.
    Login,
    /// To wait: for this reason there is no token now.
    Wait(ReadError),
}

fn doubled(times: u32) -> Duration {
    FLOOR.saturating_mul(1 << times.min(10)).min(FLOOR_MAX)
}

impl Tokens {
    pub(crate) fn new(login: Login) -> Self {
        Self { login, turn: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// Waits for the right to fetch a token.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token as it is sent, if there is one.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.state().token.as_ref().map(|token| token.value.clone())
    }

    /// The token's number, to be given to [`Tokens::judge`].
    pub(crate) fn number(&self) -> u64 {
        self.state().fetched
    }

    /// What a request that is sent now needs.
    pub(crate) fn need(&self, now: Duration) -> Need {
        let state = self.state();
        let serves = |until: fn(&Token) -> Duration| state.token.as_ref().is_some_and(|token| now < until(token));
        if serves(|token| token.renew_at) {
            return Need::Nothing;
        }
        if now >= state.not_before {
            return Need::Login;
        }
        if serves(|token| token.ends_at) {
            return Need::Nothing;
        }
        let wait = state.not_before.saturating_sub(now);
        Need::Wait(match &state.problem {
            Some(denied @ ReadError::Denied(_)) => denied.clone(),
            Some(ReadError::Transient(reason) | ReadError::Malformed(reason)) => {
                ReadError::Later { wait, reason: format!("the login failed: {reason}") }
            }
            problem => {
                let why = problem.as_ref().map_or_else(String::new, |problem| format!(" ({problem})"));
                ReadError::Throttled {
                    retry_after: Some(wait),
                    reason: format!("the next access token may be fetched in {}s{why}", wait.as_secs()),
                }
            }
        })
    }

    /// Notes a login that is about to be sent.
    pub(crate) fn note(&self, own: OwnRequest, now: Duration) {
        self.state().made.push((own, now));
    }

    /// The logins of this run but for the first `seen`; counts them as seen.
    pub(crate) fn made_since(&self, seen: &mut usize) -> Vec<(OwnRequest, Duration)> {
        let state = self.state();
        let new = state.made.get(*seen..).unwrap_or_default().to_vec();
        *seen = state.made.len();
        new
    }

    /// The server has answered a login with 2xx.
    pub(crate) fn granted(&self, body: &[u8], now: Duration) -> Result<(), ReadError> {
        let read = self.read(body);
        let mut state = self.state();
        state.not_before = now + FLOOR;
        match read {
            Ok((value, lifetime)) => {
                state.fetched += 1;
                let number = state.fetched;
                let token =
                    Token { value, number, since: now, renew_at: now + lifetime * 4 / 5, ends_at: now + lifetime };
                state.token = Some(token);
                (state.refusals, state.failures, state.problem) = (0, 0, None);
                Ok(())
            }
            Err(problem) => {
                state.problem = Some(problem.clone());
                Err(problem)
            }
        }
    }

    fn token_in<'a>(&self, answer: &'a Value) -> Option<&'a str> {
        answer.get(self.login.token).and_then(Value::as_str).filter(|token| !token.is_empty())
    }

    /// Whether an answer with 200 has an error in place of a token.
    pub(crate) fn is_refusal(&self, body: &[u8]) -> bool {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        self.token_in(&answer).is_none() && complaint(body, 0).is_some()
    }

    fn read(&self, body: &[u8]) -> Result<(HeaderValue, Duration), ReadError> {
        let unusable = |what: String| ReadError::Malformed(format!("the answer to the login {what}; check `endpoint`"));
        let answer: Value = serde_json::from_slice(body).map_err(|_| match instead_of_json("", body) {
            Some(instead) => unusable(format!("is {instead} It begins with {}", excerpt(body))),
            // It may hold a token all the same, so it is not shown.
            None => unusable("is not JSON".into()),
        })?;
        let token = self.token_in(&answer).ok_or_else(|| unusable(format!("has no `{}`", self.login.token)))?;
        mask::learn_token(token);
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| unusable("holds a token that no header can carry".into()))?;
        value.set_sensitive(true);
        let seconds = match answer.get(self.login.expires_in) {
            Some(Value::Number(seconds)) => seconds.as_f64(),
            Some(Value::String(seconds)) => seconds.trim().parse().ok(),
            _ => None,
        };
        let said = seconds.filter(|seconds| *seconds >= 1.0);
        let said = said.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok((value, said.unwrap_or(self.login.lifetime.to_std()).min(LIFETIME_MAX)))
    }

    /// The server has answered a login with anything else.
    pub(crate) fn refused(&self, rejection: &Rejection, now: Duration) -> ReadError {
        let problem = match rejection.classify(self.login.refused_hint) {
            // Whatever a login is told below 500, asking the same again soon cannot help.
            ReadError::Malformed(reason) => ReadError::Denied(format!("{reason}; {}", self.login.refused_hint)),
            ReadError::Transient(reason) if rejection.status == 200 && !is_passing(&reason) => {
                ReadError::Denied(format!("{reason}; {}", self.login.refused_hint))
            }
            other => other,
        };
        let mut state = self.state();
        state.not_before = now
            + match &problem {
                ReadError::Throttled { retry_after, .. } => retry_after.unwrap_or(FLOOR),
                ReadError::Transient(_) => {
                    state.failures += 1;
                    Duration::from_secs(1 << state.failures.min(6)).min(FLOOR)
                }
                _ => {
                    state.refusals += 1;
                    doubled(state.refusals - 1)
                }
            };
        state.problem = Some(problem.clone());
        prefixed(problem)
    }

    /// A login that got no answer.
    pub(crate) fn unanswered(&self, reason: String, now: Duration) -> ReadError {
        let mut state = self.state();
        state.failures += 1;
        state.not_before = now + Duration::from_secs(1 << state.failures.min(6)).min(FLOOR);
        let problem = ReadError::Transient(reason);
        state.problem = Some(problem.clone());
        prefixed(problem)
    }

    /// Judges the answer `status` to a request of `stream` that bore token `number`. An error if the token is to blame:
    /// the request is then worth repeating with another.
    pub(crate) fn judge(&self, stream: &str, number: u64, status: u16, now: Duration) -> Option<ReadError> {
        let mut state = self.state();
        let State { token, streams, .. } = &mut *state;
        let standing = streams.entry(stream.to_owned()).or_default();
        if status != 401 {
            if status == 200 {
                *standing = Standing { worked: Some(number), in_vain: 0 };
            }
            return None;
        }
        let again = |why: &str| Some(ReadError::Transient(format!("HTTP 401: {why}")));
        let Some(held) = token.as_ref().filter(|held| held.number == number) else {
            return again("the access token has been replaced meanwhile");
        };
        if standing.worked != Some(number) {
            if now.saturating_sub(held.since) < doubled(standing.in_vain) {
                return None;
            }
            standing.in_vain = standing.in_vain.saturating_add(1);
        }
        *token = None;
        again("the access token is not accepted any more; fetching another")
    }
}

/// Whether an error of OAuth 2.0 is the server's trouble (RFC 6749, 4.1.2.1).
fn is_passing(reason: &str) -> bool {
    ["temporarily_unavailable", "server_error"].iter().any(|word| reason.contains(word))
}

fn prefixed(problem: ReadError) -> ReadError {
    match problem {
        ReadError::Throttled { retry_after, reason } => {
            ReadError::Throttled { retry_after, reason: format!("the login: {reason}") }
        }
        ReadError::Transient(reason) => ReadError::Transient(format!("the login failed: {reason}")),
        ReadError::Denied(reason) => ReadError::Denied(format!("the login was refused: {reason}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::{LoginBody, LoginField, Period, Secret};

    fn tokens() -> Tokens {
        Tokens::new(Login {
            path: "/token",
            body: LoginBody::Form,
            fields: vec![("client_secret", LoginField::Secret(Secret::new("s3cr3t")))],
            token: "access_token",
            expires_in: "expires_in",
            lifetime: Period::minutes(15),
            refused_hint: "check the client",
        })
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rejection(status: u16, retry_after: Option<Duration>, body: &str) -> Rejection {
        Rejection { status, retry_after, content_type: String::new(), body: body.into() }
    }

    #[test]
    fn a_token_is_renewed_at_four_fifths_of_what_the_answer_says() {
        let check = |body: &str, renewed: u64| {
            let tokens = tokens();
            assert_eq!(tokens.need(seconds(0)), Need::Login);
            tokens.granted(body.as_bytes(), seconds(0)).unwrap();
            assert_eq!(tokens.need(seconds(renewed - 1)), Need::Nothing, "{body}");
            assert_eq!(tokens.need(seconds(renewed)), Need::Login, "{body}");
            assert!(tokens.header().unwrap().is_sensitive());
        };
        check(r#"{"access_token":"t","expires_in":3600}"#, 2880);
        check(r#"{"access_token":"t","expires_in":"1000"}"#, 800);
        check(r#"{"access_token":"t"}"#, 720);
        check(r#"{"access_token":"t","expires_in":-5}"#, 720);
        for body in ["", "<html>", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a\nb"}"#] {
            assert_eq!(tokens().granted(body.as_bytes(), seconds(0)).unwrap_err().class(), "malformed", "{body}");
        }
    }

    #[test]
    fn a_failed_renewal_leaves_the_old_token_in_use_until_its_end() {
        let tokens = tokens();
        tokens.granted(br#"{"access_token":"t","expires_in":1000}"#, seconds(0)).unwrap();
        tokens.refused(&rejection(429, Some(seconds(500)), ""), seconds(800));
        assert_eq!(tokens.need(seconds(999)), Need::Nothing);
        assert!(matches!(tokens.need(seconds(1000)), Need::Wait(ReadError::Throttled { .. })));
        assert_eq!(tokens.need(seconds(1300)), Need::Login);
    }

    #[test]
    fn a_token_that_worked_and_is_refused_is_replaced_at_once_but_not_in_a_loop() {
        let tokens = tokens();
        tokens.granted(br#"{"access_token":"t"}"#, seconds(0)).unwrap();
        assert_eq!(tokens.judge("a", 1, 200, seconds(1)), None);
        assert!(tokens.judge("a", 1, 401, seconds(20)).is_some());
        assert!(matches!(tokens.need(seconds(20)), Need::Wait(_)), "a minute between two logins");
        assert_eq!(tokens.need(seconds(60)), Need::Login);
    }

    #[test]
    fn a_stream_without_permission_costs_ever_fewer_logins() {
        let tokens = tokens();
        let mut logins = 0;
        for now in (0..24 * 3600).step_by(30).map(seconds) {
            if tokens.need(now) == Need::Login {
                logins += 1;
                tokens.granted(br#"{"access_token":"t","expires_in":86400}"#, now).unwrap();
            }
            let number = tokens.number();
            assert_eq!(tokens.judge("works", number, 200, now), None);
            tokens.judge("forbidden", number, 401, now);
        }
        assert!((5..35).contains(&logins), "{logins} logins in a day");
    }

    #[test]
    fn an_answer_with_200_and_an_error_is_a_refusal_that_says_so() {
        let tokens = tokens();
        let check = |body: &str, class: &str, says: &str| {
            assert!(tokens.is_refusal(body.as_bytes()), "{body}");
            let error = tokens.refused(&rejection(200, None, body), seconds(0));
            assert!(error.class() == class && error.to_string().contains(says), "{error}");
        };
        let unknown = r#"{"error":"invalid_client","error_description":"no such client"}"#;
        check(unknown, "denied", "invalid_client: no such client");
        check(r#"{"error":"temporarily_unavailable"}"#, "transient", "temporarily_unavailable");
        check(r#"{"message":"out of order"}"#, "denied", "out of order");
        for page in [r#"{"access_token":"t","error":"x"}"#, "{}", r#"{"token":"s3cr3t"}"#, "<html>"] {
            assert!(!tokens.is_refusal(page.as_bytes()), "{page}");
        }
        let html = tokens.granted(b"<html>Log in</html>", seconds(0)).unwrap_err().to_string();
        assert!(html.contains("HTML") && html.contains("`<html>Log in</html>`"), "{html}");
        let other = tokens.granted(br#"{"token":"s3cr3t"}"#, seconds(0)).unwrap_err().to_string();
        assert!(!other.contains("s3cr3t"), "{other}");
    }

    #[test]
    fn a_login_that_gets_no_answer_is_not_called_throttling() {
        let tokens = tokens();
        let error = tokens.unanswered("no answer: dns error".into(), seconds(0));
        assert_eq!(error.class(), "transient");
        let Need::Wait(wait) = tokens.need(seconds(1)) else { panic!("no wait") };
        assert!(wait.class() == "transient" && wait.to_string().contains("dns error; the next try is in 1s"), "{wait}");
        assert!(!wait.to_string().contains("throttled"), "{wait}");
    }

    #[test]
    fn a_refused_login_waits_longer_each_time() {
        let tokens = tokens();
        let mut now = seconds(0);
        for floor in [60, 120, 240] {
            let error = tokens.refused(&rejection(401, None, r#"{"error":"bad client"}"#), now);
            assert_eq!(error.class(), "denied", "{error}");
            assert!(matches!(tokens.need(now + seconds(floor - 1)), Need::Wait(ReadError::Denied(_))));
            now += seconds(floor);
            assert_eq!(tokens.need(now), Need::Login);
        }
        let error = tokens.refused(&rejection(400, None, r#"{"error":"invalid_client"}"#), now);
        assert!(error.to_string().contains("check the client"), "{error}");
    }
}
