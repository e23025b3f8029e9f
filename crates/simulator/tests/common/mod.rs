//! A clock that a test moves, a plain HTTP client, and shorthands.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]

use headwater_contracts::{Clock, Timestamp};
use headwater_simulator::{Provider, Scenario, Simulator};
use reqwest::{Client, Response, redirect::Policy};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Stands still until the test moves it.
pub struct Hands(AtomicI64);

#[async_trait::async_trait]
impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// A simulator, its clock, and a client.
pub struct Stage {
    pub simulator: Simulator,
    pub clock: Arc<Hands>,
    pub client: Client,
    /// Value of `Authorization`.
    pub authorization: String,
    path: &'static str,
}

const API7_PATH: &str = "/api/audit_logs";

pub const OURS: &str = "headwater/0.1.0 (test; req 01)";

impl Stage {
    /// Begins at noon of 15 March 2024, UTC.
    pub fn new(provider: Provider, scenario: Scenario) -> Self {
        Self::at(provider, scenario, "2024-03-15T12:00:00Z")
    }

    pub fn at(provider: Provider, scenario: Scenario, start: &str) -> Self {
        // A second installation is refused, and the first does for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let start: Timestamp = start.parse().unwrap();
        let clock = Arc::new(Hands(AtomicI64::new(start.timestamp_millis())));
        let simulator = Simulator::start(provider, scenario, clock.clone()).unwrap();
        let client = Client::builder().redirect(Policy::none()).no_proxy().user_agent(OURS).build().unwrap();
        let (scheme, path) = match provider {
            Provider::PactFlow => ("Bearer", "/audit"),
            Provider::SolaceCloud => ("Bearer", "/api/v2/audit/logs"),
            // Its own header: the other one is refused.
            Provider::Api7 => ("Bearer", API7_PATH),
            _ => ("apikey", "/enterprise/v1/audit-log"),
        };
        let authorization = format!("{scheme} {}", simulator.credential());
        Self { simulator, clock, client, authorization, path }
    }

    pub fn pactflow(scenario: Scenario) -> Self {
        Self::new(Provider::PactFlow, scenario)
    }

    pub fn api7(scenario: Scenario) -> Self {
        Self::new(Provider::Api7, scenario)
    }

    pub fn mural(scenario: Scenario) -> Self {
        Self::new(Provider::Mural, scenario)
    }

    pub fn solace_cloud(scenario: Scenario) -> Self {
        Self::new(Provider::SolaceCloud, scenario)
    }

    /// Moves the clock on.
    pub fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// A request for the audit log, not sent yet.
    pub fn request(&self, query: &str) -> reqwest::RequestBuilder {
        let mut url = format!("{}{}", self.simulator.url(), self.path);
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        let request = self.client.get(url).header("accept", "application/json");
        if self.path == API7_PATH {
            return request.header("x-api-key", self.simulator.credential());
        }
        request.header("authorization", &self.authorization)
    }

    pub async fn get(&self, query: &str) -> Response {
        self.request(query).send().await.unwrap()
    }

    pub async fn status(&self, query: &str) -> u16 {
        self.get(query).await.status().as_u16()
    }

    /// The body of a 200, as JSON.
    pub async fn json(&self, query: &str) -> Value {
        let response = self.get(query).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Every event of a PactFlow walk along `next`, at most `pages` pages; and whether it came to an end.
    pub async fn walk(&self, first: &str, pages: usize) -> (Vec<Value>, bool) {
        let mut query = first.to_owned();
        let mut events = Vec::new();
        for _ in 0..pages {
            let page = self.json(&query).await;
            events.extend(page["events"].as_array().unwrap().iter().cloned());
            let Some(next) = page["_links"]["next"]["href"].as_str() else { return (events, true) };
            next.split_once('?').unwrap().1.clone_into(&mut query);
        }
        (events, false)
    }

    /// Every entry of a Mural chain, at most `pages` pages; and whether it came to an end.
    pub async fn chain(&self, first: &str, pages: usize) -> (Vec<Value>, bool) {
        let mut query = first.to_owned();
        let mut entries = Vec::new();
        for _ in 0..pages {
            let page = self.json(&query).await;
            let data = page["data"].as_array().unwrap();
            entries.extend(data.iter().cloned());
            match page["nextToken"].as_str() {
                Some(token) if !token.is_empty() && !data.is_empty() => query = continued(first, token),
                _ => return (entries, true),
            }
        }
        (entries, false)
    }
}

/// `query` with a token.
pub fn continued(query: &str, token: &str) -> String {
    let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
    format!("{query}&nextToken={token}")
}

/// A window of Mural.
pub fn window(since: &str, until: &str) -> String {
    format!("filter%5Bdate%5D%5Bsince%5D={since}&filter%5Bdate%5D%5Buntil%5D={until}")
}

/// The strings under `key`.
pub fn all(events: &[Value], key: &str) -> Vec<String> {
    events.iter().map(|event| event[key].as_str().unwrap_or_default().to_owned()).collect()
}

/// The body of any answer, as JSON.
pub async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}
