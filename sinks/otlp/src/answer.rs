//! What an answer means for the request's events. Pure.
//!
//! After the OTLP specification 1.x, "Failures" of OTLP/gRPC and OTLP/HTTP:
//!
//! | answer | gRPC | HTTP |
//! |---|---|---|
//! | try again, after the wait it names | `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `ABORTED`, `OUT_OF_RANGE`, `CANCELLED`, `DATA_LOSS`; `RESOURCE_EXHAUSTED` with `RetryInfo` | 429, 502, 503, 504; 408 and other 5xx without an OTLP status; 2xx other than 200, 202, 204 |
//! | the request is malformed or too large: halve it | `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED` without `RetryInfo` | 400, 413, 422 |
//! | a person's matter: the credential | `UNAUTHENTICATED`, `PERMISSION_DENIED` | 401, 403, 407 |
//! | a person's matter: address, protocol | `UNIMPLEMENTED` | 1xx, 3xx, 404, 405, 415, 501, and whatever is not from an OTLP receiver |
//! | refused for good | every other code | every other status |
//!
//! OTLP receivers say why in a `Status`, and gRPC servers a `grpc-status`. What has none is from something on the way: a proxy, a load balancer.
//! It has not looked at the events, so that nothing it says refuses them for good.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use serde_json::{Map, Value};
use std::{
    error::Error,
    time::{Duration, SystemTime},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What the receiver said of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// It has taken all.
    Taken,
    /// It has taken all but this many, and does not say which.
    Partly { refused: u64, reason: String },
    /// It has taken nothing, and never will.
    Refused { reason: String, divisible: bool },
    /// It has taken nothing that it would vouch for; the same may do later.
    Again { reason: String, after: Option<Duration> },
    /// No request can succeed until a person has changed something.
    Unfit { reason: String },
    /// The same, and it is the credential, or what it may do.
    Denied { reason: String },
}

/// The answer to a request that reached the receiver.
pub(crate) fn of_response(response: ExportLogsServiceResponse) -> Answer {
    let Some(partial) = response.partial_success else { return Answer::Taken };
    let refused = u64::try_from(partial.rejected_log_records).unwrap_or_default();
    if refused == 0 {
        if !partial.error_message.is_empty() {
            tracing::warn!("the receiver has taken everything, and warns: {}", partial.error_message);
        }
        return Answer::Taken;
    }
    let reason = if partial.error_message.is_empty() { "no reason given".to_owned() } else { partial.error_message };
    Answer::Partly { refused, reason }
}

/// A gRPC status, of the server or of what broke on the way to it.
pub(crate) fn of_status(status: &Status) -> Answer {
    let info = status.get_details_retry_info();
    let after = info.as_ref().and_then(|info| info.retry_delay).filter(|delay| !delay.is_zero());
    if let Some(cause) = status.source() {
        // Not the server's: the connection failed.
        return Answer::Again { reason: causes(cause), after };
    }
    let reason = format!("{:?}: {}", status.code(), status.message());
    if let Some(http) = status.message().strip_prefix(NO_GRPC_STATUS) {
        return match http.trim().parse() {
            Ok(408_u16 | 429 | 500 | 502..) => Answer::Again { reason, after },
            Ok(401 | 403 | 407) => Answer::Denied { reason },
            _ => Answer::Unfit { reason },
        };
    }
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Cancelled
        | Code::DataLoss => Answer::Again { reason, after },
        Code::ResourceExhausted if info.is_some() => Answer::Again { reason, after },
        Code::ResourceExhausted | Code::InvalidArgument => Answer::Refused { reason, divisible: true },
        Code::Unauthenticated | Code::PermissionDenied => Answer::Denied { reason },
        Code::Unimplemented => Answer::Unfit { reason },
        _ => Answer::Refused { reason, divisible: false },
    }
}

/// How tonic begins the message of a status that it makes of an HTTP one, since the answer has none of gRPC.
const NO_GRPC_STATUS: &str = "grpc-status header missing, mapped from HTTP status code";

/// An HTTP response; `now` is what a date in `Retry-After` is counted from.
pub(crate) fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Answer {
    if status.is_success() {
        return of_success(status, headers, body, now);
    }
    let kind = Kind::of(headers);
    let stated = if kind.is_protobuf && !body.is_empty() { tonic_types::Status::decode(body).ok() } else { None };
    let is_receivers = stated.is_some() || kind.is_json && has_status(body);
    let said = stated.map_or_else(|| beginning(&String::from_utf8_lossy(body)), |status| status.message);
    let reason = if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") };
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Again { reason, after: retry_after(headers, now) },
        300..=399 => Answer::Unfit { reason: format!("{reason}{}", leads(headers)) },
        401 | 403 | 407 => Answer::Denied { reason },
        // What hands over to another protocol has taken nothing.
        ..200 | 404 | 405 | 415 | 501 => Answer::Unfit { reason },
        408 | 500.. if !is_receivers => Answer::Again { reason, after: retry_after(headers, now) },
        // It is for a proxy to say, too, and halves are smaller.
        413 => Answer::Refused { reason, divisible: true },
        // An OTLP receiver says what its answer is. Go's servers and proxies that are spoken to in the wrong protocol do not.
        400.. if kind.text.is_empty() || kind.text.starts_with("text/html") => Answer::Unfit { reason },
        400 | 422 => Answer::Refused { reason, divisible: true },
        _ => Answer::Refused { reason, divisible: false },
    }
}

/// A 2xx response.
fn of_success(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Answer {
    if !matches!(status.as_u16(), 200 | 202 | 204) {
        // Of all of these only 200 is one of OTLP's. 202 and 204 say as much; the others, such as 206, that something is missing.
        let reason =
            format!("HTTP {status}, which no OTLP receiver answers: whether it has taken the events is unknown");
        return Answer::Again { reason, after: retry_after(headers, now) };
    }
    let kind = Kind::of(headers);
    let said = |name: &str| headers.get(name).map(|value| beginning(&String::from_utf8_lossy(value.as_bytes())));
    let refused = said("grpc-status").filter(|code| code != "0");
    if refused.is_some() || kind.text.starts_with("application/grpc") {
        let code = refused.map_or_else(String::new, |code| format!(" with gRPC status {code}"));
        let said = said("grpc-message").map_or_else(String::new, |said| format!(": {said}"));
        let reason = format!(
            "HTTP {status}{code}{said}: an answer of gRPC; if that is what the receiver speaks, set `protocol: grpc`"
        );
        return Answer::Unfit { reason };
    }
    let response = match (kind.is_protobuf, kind.is_json) {
        _ if body.is_empty() => Some(ExportLogsServiceResponse::default()),
        (true, _) => ExportLogsServiceResponse::decode(body).ok(),
        (_, true) => of_json(body),
        _ => None,
    };
    let foreign = || {
        let said =
            if kind.is_json { format!(": {}", beginning(&String::from_utf8_lossy(body))) } else { String::new() };
        Answer::Unfit {
            reason: format!("HTTP {status}, but no answer of an OTLP receiver (Content-Type `{}`){said}", kind.text),
        }
    };
    response.map_or_else(foreign, of_response)
}

/// What `Content-Type` says; empty if it is absent.
struct Kind<'a> {
    text: &'a str,
    is_protobuf: bool,
    is_json: bool,
}

impl<'a> Kind<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let text = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_protobuf = text.starts_with("application/x-protobuf") || text.starts_with("application/protobuf");
        Self { text, is_protobuf, is_json: text.starts_with("application/json") }
    }
}

/// Where a redirect leads, without what may be a credential.
fn leads(headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let to = location.map_or_else(String::new, |to| {
        let to = to.split(['?', '#']).next().unwrap_or_default();
        // A name and password before the host.
        let to = match to.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1))) {
            Some((scheme, rest)) => format!("{scheme}://{rest}"),
            None => to.to_owned(),
        };
        format!(" to `{}`", beginning(&to))
    });
    format!(": a redirect{to}, which is not followed, so that `headers` go to the configured place only")
}

/// OTLP/JSON, which some answer whatever they are asked in. `None` if it is something else: gateways say in JSON, with 200, that they
/// have refused a request. A member that is not known may be one of a newer OTLP.
fn of_json(body: &[u8]) -> Option<ExportLogsServiceResponse> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let answer = json.as_object()?;
    if answer.iter().any(|(name, value)| says_error(name, value)) {
        return None;
    }
    let Some(partial) = member(answer, ["partialSuccess", "partial_success"]) else {
        return Some(ExportLogsServiceResponse::default());
    };
    let partial = partial.as_object()?;
    let rejected_log_records = match member(partial, ["rejectedLogRecords", "rejected_log_records"]) {
        Some(count) => whole_number(count)?,
        None => 0,
    };
    let error_message = match member(partial, ["errorMessage", "error_message"]) {
        Some(message) => message.as_str()?.to_owned(),
        None => String::new(),
    };
    Some(ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess { rejected_log_records, error_message }),
    })
}

/// A member by either of the names that a reader of protobuf's JSON must know. `null` is absent.
fn member<'a>(object: &'a Map<String, Value>, names: [&str; 2]) -> Option<&'a Value> {
    names.into_iter().find_map(|name| object.get(name).filter(|value| !value.is_null()))
}

/// A 64-bit number in protobuf's JSON: a number or a text, both also with a fraction of zero or an exponent.
fn whole_number(value: &Value) -> Option<i64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        // Up to here each whole number is exact.
        #[allow(clippy::cast_possible_truncation, reason = "it is whole, and less than 2^53")]
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    })
}

/// Whether a member, which OTLP does not have, is one in which others say that something went wrong, and does say so.
fn says_error(name: &str, value: &Value) -> bool {
    let name = name.to_ascii_lowercase();
    let is_good_news = ["success", "accepted", "ok"].contains(&name.as_str());
    // How many it has not taken.
    let is_bad_news = ["reject", "refus", "drop", "discard", "fail"].iter().any(|part| name.contains(part));
    let is_verdict = ["error", "errors", "code", "message", "status", "result"].contains(&name.as_str());
    if !is_good_news && !is_bad_news && !is_verdict {
        return false;
    }
    let is_fine = match value {
        Value::Null => true,
        Value::Bool(value) => *value == is_good_news,
        Value::Number(number) if is_good_news => number.as_f64() != Some(0.0),
        Value::Number(number) if is_bad_news => number.as_f64() == Some(0.0),
        Value::Number(number) => matches!(number.as_u64(), Some(0 | 200)),
        Value::String(text) => {
            ["", "0", "200", "ok", "success", "true"].iter().any(|fine| text.eq_ignore_ascii_case(fine))
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    };
    !is_fine
}

/// Whether a JSON body is a `google.rpc.Status`.
fn has_status(body: &[u8]) -> bool {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    json.is_some_and(|json| json["code"].is_i64() && json["message"].is_string())
}

/// RFC 9110 section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).ok(),
    }
}

/// The first line or so of an error page.
fn beginning(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}

/// An error with what caused it: the reason is often at the bottom.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tonic_types::ErrorDetails;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn http(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        of_http(StatusCode::from_u16(status).unwrap(), &headers, body, NOW)
    }

    const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

    #[test]
    fn the_codes_that_pass_are_tried_again_and_no_others() {
        let again = |answer: &Answer| matches!(answer, Answer::Again { .. });
        let passing: Vec<i32> =
            (1..=16).filter(|code| again(&of_status(&Status::new(Code::from(*code), "m")))).collect();
        assert_eq!(passing, [1, 4, 10, 11, 14, 15]);
        let stated = tonic_types::Status { code: 13, message: "m".to_owned(), details: vec![] }.encode_to_vec();
        let passing: Vec<u16> = (300..600).filter(|status| again(&http(*status, &[PROTOBUF], &stated))).collect();
        assert_eq!(passing, [429, 502, 503, 504]);
    }

    #[test]
    fn what_no_receiver_says_refuses_no_event() {
        for headers in [&[][..], &[("content-type", "text/html")], &[("content-type", "text/plain")], &[PROTOBUF]] {
            for status in [408, 500, 502, 505, 520, 599] {
                let answer = http(status, headers, if headers == [PROTOBUF] { b"" } else { b"<html>Oops</html>" });
                assert!(matches!(answer, Answer::Again { .. }), "{status}, {headers:?}: {answer:?}");
            }
        }
        for status in [400, 402, 409, 410, 422, 431, 451] {
            let answer = http(status, &[("content-type", "text/html")], b"<html>No</html>");
            assert!(matches!(answer, Answer::Unfit { .. }), "{status}: {answer:?}");
        }
        let json = http(500, &[("content-type", "application/json")], br#"{"code":13,"message":"m"}"#);
        assert!(matches!(json, Answer::Refused { divisible: false, .. }), "{json:?}");
        let of_proxy = |code, status: u16| of_status(&Status::new(code, format!("{NO_GRPC_STATUS} {status}")));
        assert!(matches!(of_proxy(Code::Unknown, 500), Answer::Again { .. }));
        assert!(matches!(of_proxy(Code::Unknown, 408), Answer::Again { .. }));
        assert!(matches!(of_proxy(Code::Unknown, 520), Answer::Again { .. }));
        assert!(matches!(of_proxy(Code::Internal, 400), Answer::Unfit { .. }));
        assert!(matches!(of_proxy(Code::Unknown, 501), Answer::Unfit { .. }));
    }

    /// What is done about an answer, in a word.
    fn rule(answer: &Answer) -> &'static str {
        match answer {
            Answer::Taken | Answer::Partly { .. } => "taken",
            Answer::Refused { divisible: true, .. } => "halved",
            Answer::Refused { divisible: false, .. } => "refused",
            Answer::Again { .. } => "again",
            Answer::Unfit { .. } => "unfit",
            Answer::Denied { .. } => "denied",
        }
    }

    #[test]
    fn each_status_has_its_rule_whoever_gives_it() {
        let stated = tonic_types::Status { code: 3, message: "m".to_owned(), details: vec![] }.encode_to_vec();
        for status in 100..600 {
            let of_receiver = match status {
                401 | 403 | 407 => "denied",
                100..200 | 300..400 | 404 | 405 | 415 | 501 => "unfit",
                429 | 502..=504 => "again",
                400 | 413 | 422 => "halved",
                // A `Status` is no answer to a request that has been taken.
                200..300 => continue,
                _ => "refused",
            };
            let of_proxy = match of_receiver {
                "refused" | "halved" if status == 408 || status >= 500 => "again",
                "refused" | "halved" if status != 413 => "unfit",
                other => other,
            };
            assert_eq!(rule(&http(status, &[PROTOBUF], &stated)), of_receiver, "{status}");
            assert_eq!(rule(&http(status, &[("content-type", "text/html")], b"<html>")), of_proxy, "{status}");
            assert_eq!(rule(&http(status, &[], b"")), of_proxy, "{status}");
        }
    }

    #[test]
    fn a_redirect_says_where_it_leads_and_no_credential() {
        let Answer::Unfit { reason } = http(308, &[("location", "https://u:p@other.example/v1/logs?token=t#x")], b"")
        else {
            panic!("a redirect is a person's matter");
        };
        assert!(reason.contains("308") && reason.contains("to `https://other.example/v1/logs`"), "{reason}");
        assert!(!reason.contains("u:p") && !reason.contains("token"), "{reason}");
    }

    #[test]
    fn a_full_receiver_is_asked_again_only_if_it_says_when() {
        let delay = Duration::from_millis(1500);
        let details = ErrorDetails::with_retry_info(Some(delay));
        let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert_eq!(
            of_status(&status),
            Answer::Again { reason: "ResourceExhausted: full".to_owned(), after: Some(delay) }
        );
        let bare = of_status(&Status::resource_exhausted("message larger than max"));
        assert!(matches!(bare, Answer::Refused { divisible: true, .. }), "{bare:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value: &str| match http(503, &[("retry-after", value)], b"") {
            Answer::Again { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("125"), Some(Duration::from_secs(125)));
        assert_eq!(after("Thu, 01 Jan 1970 00:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn success_is_what_an_otlp_receiver_says() {
        let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".to_owned() };
        let bytes = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let expected = || Answer::Partly { refused: 2, reason: "too old".to_owned() };
        assert_eq!(http(200, &[PROTOBUF], &bytes), expected());
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
        assert_eq!(http(200, &[("content-type", "application/json")], json), expected());
        assert_eq!(http(200, &[("content-type", "application/json")], b"{}"), Answer::Taken);
        assert_eq!(http(202, &[], b""), Answer::Taken);
        let page = http(200, &[("content-type", "text/html")], b"<html>Welcome</html>");
        assert!(matches!(page, Answer::Unfit { .. }), "{page:?}");
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn a_refusal_in_json_is_not_taken_for_success() {
        for body in [
            r#"{"error":"quota exceeded","code":429}"#,
            r#"{"code":7,"message":"permission denied"}"#,
            r#"{"success":false}"#,
            r#"{"accepted":false}"#,
            r#"{"accepted":0}"#,
            r#"{"result":"error","reason":"quota"}"#,
            r#"{"accepted":10,"rejected":50}"#,
            r#"{"acceptedLogRecords":10,"droppedLogRecords":50}"#,
            r#"{"failed":60,"ok":0}"#,
            r#"{"ok":0}"#,
            r#"{"failures":["quota"]}"#,
            r#"{"message":"Service Unavailable"}"#,
            r#"{"errors":[{"detail":"no"}],"partialSuccess":{}}"#,
            r#"{"Status":"failed"}"#,
            r#"{"partialSuccess":"3 rejected"}"#,
            r#"{"partialSuccess":{"rejectedLogRecords":"three"}}"#,
            r#"{"partialSuccess":{"rejectedLogRecords":2.5}}"#,
            r#"{"partial_success":{"error_message":7}}"#,
            "[]",
            "null",
            "\"login required\"",
            "{",
        ] {
            let answer = http(200, &[JSON], body.as_bytes());
            let Answer::Unfit { reason } = &answer else { panic!("{body}: {answer:?}") };
            assert!(reason.contains(body), "{body}: {reason}");
        }
        for body in [
            "{}",
            r#"{"partialSuccess":null}"#,
            r#"{"partialSuccess":{"rejectedLogRecords":null,"errorMessage":null}}"#,
            r#"{"partialSuccess":{},"traceId":"t"}"#,
            r#"{"success":true,"error":null,"errors":[],"code":200,"message":"OK"}"#,
            r#"{"accepted":60}"#,
            r#"{"accepted":60,"rejected":0,"failures":[],"dropped":false}"#,
        ] {
            assert_eq!(http(200, &[JSON], body.as_bytes()), Answer::Taken, "{body}");
        }
    }

    #[test]
    fn what_was_refused_is_read_in_each_spelling_of_protobufs_json() {
        for name in ["rejectedLogRecords", "rejected_log_records"] {
            for count in ["20", "20.0", "2e1", "\"20\"", "\"20.0\"", "\"2e1\""] {
                for (partial, message) in [("partialSuccess", "errorMessage"), ("partial_success", "error_message")] {
                    let body = format!(r#"{{"{partial}":{{"{name}":{count},"{message}":"too old"}}}}"#);
                    let expected = Answer::Partly { refused: 20, reason: "too old".to_owned() };
                    assert_eq!(http(200, &[JSON], body.as_bytes()), expected, "{body}");
                }
            }
        }
    }

    #[test]
    fn an_answer_of_grpc_is_no_success_of_http() {
        let grpc = ("content-type", "application/grpc");
        for headers in [&[grpc, ("grpc-status", "13")][..], &[grpc], &[PROTOBUF, ("grpc-status", "7")]] {
            let answer = http(200, headers, b"");
            assert!(matches!(&answer, Answer::Unfit { reason } if reason.contains("gRPC")), "{headers:?}: {answer:?}");
        }
        assert!(matches!(http(200, &[PROTOBUF, ("grpc-status", "0")], b""), Answer::Taken));
    }

    #[test]
    fn of_the_successes_three_are_taken_and_the_others_tried_again() {
        for status in 200..300 {
            let answer = http(status, &[], b"");
            match status {
                200 | 202 | 204 => assert_eq!(answer, Answer::Taken, "{status}"),
                _ => assert!(matches!(answer, Answer::Again { .. }), "{status}: {answer:?}"),
            }
        }
    }

    #[test]
    fn the_reason_is_the_receivers() {
        let status = tonic_types::Status { code: 3, message: "no such field".to_owned(), details: vec![] };
        let expected = |divisible, reason: &str| Answer::Refused { reason: reason.to_owned(), divisible };
        assert_eq!(
            http(400, &[PROTOBUF], &status.encode_to_vec()),
            expected(true, "HTTP 400 Bad Request: no such field")
        );
        assert_eq!(
            http(422, &[("content-type", "text/plain")], b"too\n old"),
            expected(true, "HTTP 422 Unprocessable Entity: too old")
        );
    }

    #[test]
    fn a_server_of_another_protocol_is_not_taken_for_a_refusal() {
        let answer = http(400, &[], b"Client sent an HTTP request to an HTTPS server.\n");
        assert!(matches!(answer, Answer::Unfit { .. }), "{answer:?}");
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 200u16..600, kind in "(application/(x-protobuf|json)|text/html|.{0,9})", body: Vec<u8>) {
            let headers: Vec<_> = kind.parse::<reqwest::header::HeaderValue>().is_ok()
                .then_some(("content-type", kind.as_str())).into_iter().collect();
            let _ = http(status, &headers, &body);
        }
    }
}
