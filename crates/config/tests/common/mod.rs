//! A source plugin and two sinks that do nothing but be configured.
#![allow(dead_code, reason = "each test binary uses its part")]

use async_trait::async_trait;
use headwater_config::{LoadOptions, Registry, SourceFile};
use headwater_contracts::{
    Auth, BuiltSource, ConfigError, Delivery, Event, OwnQueryPolicy, Period, Plan, RateLimit, Secret, Sink, SinkConfig,
    SinkError, Source, SourceConfig, SourceOptions, StreamView, Timestamp,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};
use url::Url;

/// Configuration of an audit API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcmeConfig {
    /// Address of the API.
    pub(crate) endpoint: Url,
    /// Credential.
    pub(crate) token: Secret,
    /// Server-side filters.
    #[serde(default)]
    pub(crate) filter: Filter,
    /// A number below ten.
    pub(crate) level: Option<u8>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    pub(crate) actions: Vec<String>,
    pub(crate) policy: OwnQueryPolicy,
}

struct Nothing;

impl Source for Nothing {
    fn streams(&self) -> Vec<String> {
        vec!["main".into()]
    }
    fn plan(&self, _: &StreamView<'_>) -> Plan {
        Plan::default()
    }
    fn requests_per_day(&self) -> u64 {
        0
    }
    fn retention(&self) -> chrono::TimeDelta {
        chrono::TimeDelta::days(90)
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        now
    }
}

impl SourceConfig for AcmeConfig {
    const TYPE: &'static str = "acme";

    fn build(self, _: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        if self.level.is_some_and(|level| level > 9) {
            return Err(ConfigError::new("level", "at most 9: write a smaller number"));
        }
        if self.filter.actions.iter().any(String::is_empty) {
            return Err(ConfigError::new("filter.actions", "an action is empty"));
        }
        Ok(BuiltSource {
            source: Box::new(Nothing),
            provider: Self::TYPE,
            endpoint: self.endpoint,
            auth: Auth::Header { name: "authorization", prefix: "Bearer ", secret: self.token },
            own_query_policy: self.filter.policy,
            rate_limit: RateLimit { requests: 1, per: Period::seconds(1) },
            min_interval: Period::seconds(0),
            question_interval: Period::seconds(0),
        })
    }
}

/// Writes to standard output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsoleConfig {}

/// Writes to a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileConfig {
    /// The file.
    pub(crate) path: String,
    /// How it is packed.
    pub(crate) compression: Option<Compression>,
    /// Fixed fields.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

struct Void;

#[async_trait]
impl Sink for Void {
    async fn deliver(&mut self, _: &[Event]) -> Result<Delivery, SinkError> {
        Ok(Delivery::default())
    }
}

impl SinkConfig for ConsoleConfig {
    const TYPE: &'static str = "console";
    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        Ok(Box::new(Void))
    }
}

impl SinkConfig for FileConfig {
    const TYPE: &'static str = "file";
    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        Ok(Box::new(Void))
    }
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.source::<AcmeConfig>().sink::<ConsoleConfig>().sink::<FileConfig>();
    registry.program("normalize.vrl", ".ok = true\n").program("enrich.vrl", ".more = true\n");
    registry
}

pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("s3cret-token".into()),
        "LEVEL" => Some("7".into()),
        "EMPTY" => Some(String::new()),
        "BAD" => Some("s3cret-and-bad".into()),
        _ => None,
    }
}

pub(crate) fn strict() -> LoadOptions<'static> {
    LoadOptions::strict(&(environment as fn(&str) -> Option<String>))
}

pub(crate) fn text(name: &str, text: &str) -> Vec<std::sync::Arc<SourceFile>> {
    vec![SourceFile::new(name, Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics"), text)]
}
