//! What librdkafka calls back: its log, and the need of a token.

use crate::{is_denied, token};
use headwater_contracts::{KafkaCluster, Sasl};
use rdkafka::{
    ClientContext, Statistics,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The callbacks of a client of ours. Clones share what they have heard.
#[derive(Debug, Clone)]
pub struct Context {
    sasl: Option<Sasl>,
    denial: Arc<Mutex<Option<String>>>,
}

impl Context {
    /// Those of a client of `cluster`.
    pub fn new(cluster: &KafkaCluster) -> Self {
        Self { sasl: cluster.sasl.clone(), denial: Arc::default() }
    }

    /// Why the cluster does not let the client in, if it has said so; what is sent meanwhile only times out.
    pub fn denial(&self) -> Option<String> {
        self.heard().clone()
    }

    /// It does now.
    pub fn let_in(&self) {
        self.heard().take();
    }

    fn heard(&self) -> MutexGuard<'_, Option<String>> {
        self.denial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Connections that come and go are librdkafka's matter; what stops a delivery is said where it stops.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "kafka", facility, "{message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::debug!(target: "kafka", facility, "{message}");
            }
            _ => tracing::trace!(target: "kafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve,
            ) => {
                tracing::debug!(target: "kafka", "{reason}");
            }
            // A reader that is told where the end is.
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            // Said by the operation that meets it, with what to do.
            Some(RDKafkaErrorCode::Fatal) => tracing::debug!(target: "kafka", "{error}: {reason}"),
            _ => {
                if is_denied(&error) {
                    *self.heard() = Some(format!("{error}: {reason}"));
                }
                tracing::warn!(target: "kafka", "{error}: {reason}");
            }
        }
    }

    fn stats(&self, _: Statistics) {
        // They are for whoever asks for them, and far too long for a log.
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let sasl = self.sasl.clone().ok_or("no `sasl` is configured")?;
        // On a thread of its own: librdkafka may call from one that serves an async runtime.
        let fetched = std::thread::spawn(move || token::token(&sasl)).join();
        fetched.map_err(|_| "the thread that fetched the token has failed: this is a bug")?.map_err(Into::into)
    }
}

impl rdkafka::consumer::ConsumerContext for Context {}
