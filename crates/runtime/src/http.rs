//! The one HTTP client of all sources.
//!
//! Credentials go to the configured origin and nowhere else: a source can name a path and a query, never a host, and
//! redirects are not followed. Bodies are streamed; nothing here holds a page.

mod coding;
mod pace;
mod proxy;
mod trouble;
mod waits;

use crate::token::Tokens;
use bytes::Bytes;
use coding::{Decoder, Mark};
use headwater_contracts::{
    Auth, Clock, ConfigError, Login, LoginBody, Method, ReadError, Request, SourceOptions, Timestamp,
};
use headwater_net::{Names, Trust};
use pace::Pace;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{self, HeaderMap, HeaderValue};
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use trouble::{causes, hint};
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
    timeout: Duration,
    /// Where requests go first, if not to the endpoint; without credentials.
    proxy: Option<String>,
    /// Whether the server has answered so far. Clones of the client share it.
    answered: Arc<AtomicBool>,
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
    /// `Retry-After` and its relatives, instants being relative to `date`; with 429 also `X-RateLimit-Reset`.
    pub retry_after: Option<Duration>,
    /// `Content-Type`, or empty.
    pub content_type: String,
    response: reqwest::Response,
    /// `Err` if nobody can undo how the body is coded.
    decoder: Result<Decoder, String>,
    mark: Mark,
    /// What has come and is not decoded yet.
    coded: Bytes,
    pace: Pace,
    received: u64,
}

impl HttpClient {
    /// A client for `endpoint` with the TLS, proxy and timeouts of `options`.
    pub fn new(endpoint: &Url, auth: &Auth, options: &SourceOptions) -> Result<Self, ConfigError> {
        let timeout = options.timeout.map_or(Duration::from_mins(1), headwater_contracts::Period::to_std);
        let proxy = match &options.proxy {
            Some(proxy) => Some(proxy.clone()),
            None => proxy::of_environment(endpoint, |name| std::env::var(name).ok())?,
        };
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(timeout)
            .read_timeout(timeout)
            .tcp_nodelay(true)
            .dns_resolver(Names::default())
            // Bodies are decoded here, where what is wrong with them can be said.
            .no_gzip()
            // The environment's has been asked.
            .no_proxy();
        if let Some(proxy) = &proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|e| ConfigError::new("proxy", causes(&e)))?;
            builder = builder.proxy(proxy);
        }
        let secure = endpoint.scheme() == "https" || proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https");
        if secure || options.tls.is_some() {
            let trust = Trust::new(&options.tls.clone().unwrap_or_default())?;
            builder = builder.tls_backend_preconfigured(trust.client_config(&["h2", "http/1.1"])?);
        }
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
        let proxy = proxy.as_ref().map(proxy::name);
        Ok(Self { client, endpoint: endpoint.clone(), credential, timeout, proxy, answered: Arc::default() })
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
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
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
            // All of it: an answer to a login is small.
            .timeout(self.timeout)
            .body(body);
        self.answer(builder, now).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder, now: Timestamp) -> Result<Answer, ExchangeError> {
        let response = request.send().await.map_err(|error| {
            let text = causes(&error);
            let hint = hint(&text, self.endpoint.scheme(), self.answered.load(Ordering::Relaxed));
            ExchangeError(format!("no answer from `{}`{}: {text}{hint}", self.origin(), self.through()))
        })?;
        self.answered.store(true, Ordering::Relaxed);
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok()).map(Timestamp::from);
        let status = response.status().as_u16();
        Ok(Answer {
            status,
            date,
            retry_after: waits::wait(response.headers(), status, date.unwrap_or(now)),
            content_type: text(header::CONTENT_TYPE).unwrap_or_default().to_owned(),
            decoder: Decoder::of(response.headers()),
            mark: Mark::default(),
            coded: Bytes::new(),
            pace: Pace::new(self.timeout),
            response,
            received: 0,
        })
    }

    /// ` through the proxy ..`, if there is one.
    fn through(&self) -> String {
        self.proxy.as_ref().map_or_else(String::new, |proxy| format!(" through the proxy `{proxy}`"))
    }

    /// Names the proxy beside a refusal that may be the proxy's own: of an `http` endpoint it sees and answers everything.
    pub(crate) fn or_the_proxys(&self, refusal: ReadError) -> ReadError {
        if self.endpoint.scheme() == "https" || self.proxy.is_none() {
            return refusal;
        }
        refusal.map(|text| format!("{text} (the answer came{}, and may be its own)", self.through()))
    }

    /// Scheme, host and port: safe to show.
    pub fn origin(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }
}

impl Answer {
    /// The next piece of the body, decoded; `None` at its end. `clock` tells how long it was waited for.
    pub async fn chunk(&mut self, clock: &dyn Clock) -> Result<Option<Bytes>, ExchangeError> {
        let decoder = self.decoder.as_mut().map_err(|unasked| ExchangeError(unasked.clone()))?;
        let mut piece = loop {
            if let Some(piece) = decoder.decode(&mut self.coded).map_err(ExchangeError)? {
                break piece;
            }
            let asked = clock.monotonic();
            let chunk = self.response.chunk().await.map_err(|e| {
                ExchangeError(format!("the answer broke off after {} bytes: {}", self.received, causes(&e)))
            })?;
            match chunk {
                Some(chunk) => {
                    let waited = clock.monotonic().saturating_sub(asked);
                    self.pace.came(chunk.len(), waited).map_err(ExchangeError)?;
                    self.coded = chunk;
                }
                None => match decoder.end().map_err(ExchangeError)? {
                    Some(rest) => break rest,
                    None => return Ok(None),
                },
            }
        };
        self.mark.take_off(&mut piece);
        self.received += piece.len() as u64;
        if self.received > BODY_MAX {
            return Err(ExchangeError(format!(
                "the answer is larger than {BODY_MAX} bytes; set a smaller `page_size`"
            )));
        }
        Ok(Some(piece))
    }

    /// What is to be said of a body that has been coming for long.
    pub fn remark(&mut self) -> Option<String> {
        self.pace.remark()
    }

    /// The beginning of an error body; what cannot be read of it, or does not come in some seconds, is left out.
    pub async fn error_body(&mut self, clock: &dyn Clock) -> Vec<u8> {
        let body = futures::stream::unfold(self, |answer| async {
            let chunk = answer.chunk(clock).await.ok()??;
            Some((chunk, answer))
        });
        pace::beginning(ERROR_BODY_MAX, tokio::time::sleep(pace::ERROR_BODY), body).await
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
}
