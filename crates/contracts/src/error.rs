//! Why a page could not be read, named by what the runtime does about it.

use std::time::Duration;
use thiserror::Error;

/// The outcome of a request that gave no usable page. None of them moves the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The provider asks for fewer requests: wait `retry_after`, or back off if it does not say; then ask again.
    #[error("throttled by the provider: {reason}")]
    Throttled {
        /// How long the provider asks to wait, from `Retry-After` in either form.
        retry_after: Option<Duration>,
        /// Status and what the body says.
        reason: String,
    },
    /// Network trouble, 5xx, a page cut short: back off with jitter and ask the same again.
    #[error("{0}")]
    Transient(String),
    /// The credentials or permissions do not suffice. Keep the state, raise an alarm, ask again slowly.
    #[error("access denied: {0}")]
    Denied(String),
    /// An answer that cannot be what the API promises, or a request it calls invalid. Retried slowly, alarmed.
    #[error("unusable answer: {0}")]
    Malformed(String),
}

impl ReadError {
    /// A word for metrics and logs.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Transient(_) => "transient",
            Self::Denied(_) => "denied",
            Self::Malformed(_) => "malformed",
        }
    }
}
