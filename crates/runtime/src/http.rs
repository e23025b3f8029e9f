//! The one HTTP client of all sources.
//!
//! Credentials go to the configured origin and nowhere else: a source can name a path and a query, never a host, and
//! redirects are not followed. Bodies are streamed; nothing here holds a page.

use crate::token::Tokens;
use bytes::Bytes;
use headwater_contracts::{Auth, ConfigError, Login, LoginBody, Method, Request, SourceOptions, Timestamp, Tls};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{self, HeaderMap, HeaderValue};
use std::{fmt::Write as _, sync::Arc, time::Duration};
use thiserror::Error;
use url::Url;

/// RFC 3986 section 2.3: everything but unreserved characters is escaped, so that `+`, `[` and `:` survive every server.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Longest body accepted, bytes after decompression. A 50,000-event page is about 30 MB.
const BODY_MAX: u64 = 1 << 30;
/// How much of an error body is read.
const ERROR_BODY_MAX: usize = 64 << 10;

/// The exchange failed below HTTP, or the body broke off.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ExchangeError(String);

/// A client for one source.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    endpoint: Url,
    credential: Credential,
}

/// What requests bear.
#[derive(Debug, Clone)]
enum Credential {
    /// The same header always.
    Header(header::HeaderName, HeaderValue),
    /// A token, which comes and goes. Clones of the client share it.
    Token(Arc<Tokens>),
}

/// An answer whose body is still to come.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Date`, if sent and readable.
    pub date: Option<Timestamp>,
    /// `Retry-After` in either form, an HTTP date being relative to `date`; with 429 also `X-RateLimit-Reset`.
    pub retry_after: Option<Duration>,
    /// `Content-Type`, or empty.
    pub content_type: String,
    response: reqwest::Response,
    received: u64,
}

impl HttpClient {
    /// A client for `endpoint` with the TLS, proxy and timeouts of `options`.
    pub fn new(endpoint: &Url, auth: &Auth, options: &SourceOptions) -> Result<Self, ConfigError> {
        let timeout = options.timeout.map_or(Duration::from_mins(1), headwater_contracts::Period::to_std);
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(timeout)
            .read_timeout(timeout)
            .tcp_nodelay(true);
        if is_loopback(endpoint) {
            // The environment's proxies are for the world outside.
            builder = builder.no_proxy();
        }
        if let Some(proxy) = &options.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|e| ConfigError::new("proxy", causes(&e)))?;
            builder = builder.proxy(proxy);
        }
        builder = with_tls(builder, options.tls.as_ref().unwrap_or(&Tls::default()))?;
        let client = builder.build().map_err(|e| ConfigError::new("tls", causes(&e)))?;
        let unfit = || {
            ConfigError::new(
                "",
                "the credential holds characters that no HTTP header can carry (a line break at its end?)",
            )
        };
        let credential = match auth {
            Auth::Header { name, prefix, secret } => {
                let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose())).map_err(|_| unfit())?;
                value.set_sensitive(true);
                Credential::Header(header::HeaderName::from_static(name), value)
            }
            Auth::Login(login) => {
                // A form could carry them, and no credential has any: it comes from a file or an editor.
                if login.fields.iter().any(|(_, field)| field.expose().contains(char::is_control)) {
                    return Err(unfit());
                }
                Credential::Token(Arc::new(Tokens::new(login.clone())))
            }
        };
        Ok(Self { client, endpoint: endpoint.clone(), credential })
    }

    /// The token of this client, if its requests bear one.
    pub(crate) fn tokens(&self) -> Option<Arc<Tokens>> {
        match &self.credential {
            Credential::Header(..) => None,
            Credential::Token(tokens) => Some(tokens.clone()),
        }
    }

    /// The path as the server sees it, context path included.
    pub fn path(&self, request: &Request) -> String {
        format!("{}{}", self.endpoint.path().trim_end_matches('/'), request.path)
    }

    /// Sends `request`; returns when the head of the answer is there.
    pub async fn send(&self, request: &Request, user_agent: &str, now: Timestamp) -> Result<Answer, ExchangeError> {
        let mut url = self.endpoint.clone();
        url.set_path(&self.path(request));
        url.set_query(encode_query(&request.query).as_deref());
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(request.accept));
        match &self.credential {
            Credential::Header(name, value) => drop(headers.insert(name.clone(), value.clone())),
            Credential::Token(tokens) => {
                if let Some(value) = tokens.header() {
                    headers.insert(header::AUTHORIZATION, value);
                }
            }
        }
        if let Ok(user_agent) = HeaderValue::from_str(user_agent) {
            headers.insert(header::USER_AGENT, user_agent);
        }
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut builder = self.client.request(method, url).headers(headers);
        if let Some(body) = &request.body {
            builder = builder.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        self.answer(builder, now).await
    }

    /// Sends a login; returns when the head of the answer is there.
    pub(crate) async fn log_in(
        &self,
        login: &Login,
        user_agent: &str,
        now: Timestamp,
    ) -> Result<Answer, ExchangeError> {
        let mut url = self.endpoint.clone();
        url.set_path(&self.path(&login.request()));
        let fields = login.fields.iter().map(|(name, value)| (*name, value.expose()));
        let (content_type, body) = match login.body {
            LoginBody::Form => (
                "application/x-www-form-urlencoded",
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish(),
            ),
            LoginBody::Json => {
                let object: serde_json::Map<_, _> =
                    fields.map(|(name, value)| (name.to_owned(), serde_json::Value::from(value))).collect();
                ("application/json", serde_json::Value::Object(object).to_string())
            }
        };
        let builder = self
            .client
            .post(url)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, user_agent)
            .header(header::CONTENT_TYPE, content_type)
            .body(body);
        self.answer(builder, now).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder, now: Timestamp) -> Result<Answer, ExchangeError> {
        let response = request
            .send()
            .await
            .map_err(|e| ExchangeError(format!("no answer from `{}`: {}", self.origin(), causes(&e))))?;
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok()).map(Timestamp::from);
        let status = response.status().as_u16();
        let server_now = date.unwrap_or(now);
        let reset = response.headers().get("x-ratelimit-reset").and_then(|value| value.to_str().ok());
        let reset = reset.filter(|_| status == 429).and_then(|value| rate_limit_reset(value, server_now));
        Ok(Answer {
            status,
            date,
            retry_after: text(header::RETRY_AFTER).and_then(|value| retry_after(value, server_now)).or(reset),
            content_type: text(header::CONTENT_TYPE).unwrap_or_default().to_owned(),
            response,
            received: 0,
        })
    }

    /// Scheme, host and port: safe to show.
    pub fn origin(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }
}

impl Answer {
    /// The next piece of the body, decompressed; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        let chunk = self.response.chunk().await.map_err(|e| {
            ExchangeError(format!("the answer broke off after {} bytes: {}", self.received, causes(&e)))
        })?;
        self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.received > BODY_MAX {
            return Err(ExchangeError(format!(
                "the answer is larger than {BODY_MAX} bytes; set a smaller `page_size`"
            )));
        }
        Ok(chunk)
    }

    /// The beginning of an error body; what cannot be read of it is left out.
    pub async fn error_body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_MAX - body.len())]);
            if body.len() >= ERROR_BODY_MAX {
                break;
            }
        }
        body
    }
}

fn with_tls(mut builder: reqwest::ClientBuilder, tls: &Tls) -> Result<reqwest::ClientBuilder, ConfigError> {
    if let Some(pem) = tls.authorities()? {
        let authorities = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if authorities.is_empty() {
            return Err(tls.no_authority());
        }
        builder = builder.tls_certs_merge(authorities);
    }
    if let Some((cert, mut key)) = tls.identity()? {
        key.push(b'\n');
        key.extend(cert);
        let identity = reqwest::Identity::from_pem(&key).map_err(|error| Tls::no_identity(causes(&error)))?;
        builder = builder.identity(identity);
    }
    if tls.verify == Some(false) {
        tracing::warn!(
            "`tls.verify: false`: anyone on the way to the endpoint can read the credential and forge events"
        );
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    Ok(builder)
}

fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `a=b&c=d`, percent-encoded; `None` if empty.
fn encode_query(query: &[(String, String)]) -> Option<String> {
    let mut text = String::new();
    for (name, value) in query {
        let separator = if text.is_empty() { "" } else { "&" };
        let (name, value) = (utf8_percent_encode(name, RESERVED), utf8_percent_encode(value, RESERVED));
        let _ = write!(text, "{separator}{name}={value}");
    }
    (!text.is_empty()).then_some(text)
}

/// `Retry-After` as RFC 9110 section 10.2.3 has it: seconds, or an HTTP date.
fn retry_after(value: &str, server_now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(86_400)));
    }
    let at = Timestamp::from(httpdate::parse_http_date(value.trim()).ok()?);
    Some((at - server_now).to_std().unwrap_or_default().min(Duration::from_hours(24)))
}

/// `X-RateLimit-Reset`: seconds since the epoch, or, where that would be in 1970, from now.
fn rate_limit_reset(value: &str, server_now: Timestamp) -> Option<Duration> {
    let seconds: i64 = value.trim().parse().ok()?;
    let wait = if seconds > 1_000_000_000 { seconds - server_now.timestamp() } else { seconds };
    // The server's clock is known to a second.
    u64::try_from(wait).ok().map(|wait| Duration::from_secs((wait + 1).min(86_400)))
}

/// An error with its causes; without the address, which the caller names.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = source {
        let step = error.to_string();
        if !text.contains(&step) {
            let _ = write!(text, "{}{step}", if text.is_empty() { "" } else { ": " });
        }
        source = error.source();
    }
    match () {
        () if error.is_timeout() => "timed out".into(),
        () if text.is_empty() => error.to_string(),
        () if text.contains("UnknownIssuer") => format!(
            "{text}: nobody that is trusted here has signed the server's certificate; if it is self-signed, or of your own authority, name the authority's PEM file as `tls.ca_file`"
        ),
        () => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped_so_that_every_server_reads_them_alike() {
        let query = [
            ("filter[date][since]".to_owned(), "2024-01-01T00:00:00Z".to_owned()),
            ("sort".to_owned(), "+t".to_owned()),
        ];
        assert_eq!(
            encode_query(&query).as_deref(),
            Some("filter%5Bdate%5D%5Bsince%5D=2024-01-01T00%3A00%3A00Z&sort=%2Bt")
        );
        assert_eq!(encode_query(&[]), None);
    }

    #[test]
    fn a_reset_is_an_instant_or_a_wait() {
        let now = Timestamp::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(rate_limit_reset("1700000030", now), Some(Duration::from_secs(31)));
        assert_eq!(rate_limit_reset("30", now), Some(Duration::from_secs(31)));
        assert_eq!(rate_limit_reset("1600000000", now), None);
        assert_eq!(rate_limit_reset("soon", now), None);
    }

    #[test]
    fn retry_after_reads_both_forms() {
        let now = Timestamp::from(httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap());
        let check = |text, expected: Option<u64>| {
            assert_eq!(retry_after(text, now), expected.map(Duration::from_secs), "{text}");
        };
        check("120", Some(120));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:40:37 GMT", Some(0));
        check("99999999999", Some(86_400));
        check("soon", None);
        check("-1", None);
    }
}
