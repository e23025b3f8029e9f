//! The front doors of plugins: their YAML keys, the docs of those keys, and how to build the component.

use crate::{OwnQueryPolicy, Period, RateLimit, Rescan, Secret, Sink, Source, SourceOptions};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use thiserror::Error;
use url::Url;

/// A value that cannot be used, found while building a component. The loader adds file, line and column of `field`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct ConfigError {
    /// The option's key, `a.b` for nested ones; empty for the component as a whole.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl ConfigError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// How requests to a source's endpoint are authenticated.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `name: prefix + secret`, for example `Authorization: Bearer …`.
    Header {
        /// Header name, lower-case.
        name: &'static str,
        /// What stands before the secret, with its blank.
        prefix: &'static str,
        /// The credential.
        secret: Secret,
    },
    /// A token that the runtime fetches from the same endpoint, keeps for all streams of the component, and sends as
    /// `Authorization: Bearer …`.
    Login(crate::Login),
}

impl Auth {
    /// Replaces the credentials: for a header the whole text, for a login its parts, separated by colons, in the order of
    /// [`crate::Login::fields`]. For simulators.
    pub fn set_credential(&mut self, credential: &str) {
        match self {
            Self::Header { secret, .. } => *secret = Secret::new(credential),
            Self::Login(login) => login.set_credential(credential),
        }
    }
}

/// What a source plugin hands to the runtime.
pub struct BuiltSource {
    /// The plugin itself.
    pub source: Box<dyn Source>,
    /// Provider id, for example `solace_cloud`.
    pub provider: &'static str,
    /// Where the API is, context path included.
    pub endpoint: Url,
    /// How to authenticate there.
    pub auth: Auth,
    /// What to do with recognised own queries.
    pub own_query_policy: OwnQueryPolicy,
    /// Most requests in a time, if the options do not say; shared per host.
    pub rate_limit: RateLimit,
    /// Least time between two requests of one stream.
    pub min_interval: Period,
    /// The same for a question that a person waits for: what the API's limits allow for a short time.
    pub question_interval: Period,
}

/// A source plugin's YAML.
pub trait SourceConfig: DeserializeOwned + JsonSchema + 'static {
    /// The value of `type:`.
    const TYPE: &'static str;

    /// Checks the options and builds the source.
    fn build(self, options: &SourceOptions) -> Result<BuiltSource, ConfigError>;
}

/// A sink plugin's YAML.
pub trait SinkConfig: DeserializeOwned + JsonSchema + 'static {
    /// The value of `type:`.
    const TYPE: &'static str;

    /// Checks the options and builds the sink. Must not touch the destination: `validate` calls it too.
    fn build(self) -> Result<Box<dyn Sink>, ConfigError>;
}

/// The options of a source with its plugin's defaults filled in: what planning needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Cadence {
    /// Time between two polls of a stream that is caught up.
    pub poll_interval: Period,
    /// How much of what was read before each poll reads again.
    pub overlap: Period,
    /// How long after its time an event may appear before its range counts as complete.
    pub settle: Period,
    /// Longer re-reads, less often.
    pub rescan: Vec<Rescan>,
    /// Events per page, if it is to be sent.
    pub page_size: Option<u32>,
}

impl Cadence {
    /// Requests of a day on which nothing happens, where each poll and each re-scan takes one.
    pub fn requests_per_day(&self) -> u64 {
        let rescans = self.rescan.iter().map(|rescan| rescan.every.times_a_day());
        self.poll_interval.times_a_day() + rescans.sum::<u64>()
    }

    /// `options`, with these defaults for what they leave out.
    #[must_use]
    pub fn with(self, options: &SourceOptions) -> Self {
        Self {
            poll_interval: options.poll_interval.unwrap_or(self.poll_interval),
            overlap: options.overlap.unwrap_or(self.overlap),
            settle: options.settle.unwrap_or(self.settle),
            rescan: options.rescan.clone().unwrap_or(self.rescan),
            page_size: options.page_size.or(self.page_size),
        }
    }
}
