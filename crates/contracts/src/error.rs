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
    /// Something else has to happen first, which is due in `wait`: ask again then.
    #[error("{reason}; the next try is in {}s", wait.as_secs())]
    Later {
        /// How long that takes.
        wait: Duration,
        /// What it is, and why it has not happened yet.
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
    /// The same with another text.
    #[must_use]
    pub fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Throttled { retry_after, reason } => Self::Throttled { retry_after, reason: change(reason) },
            Self::Later { wait, reason } => Self::Later { wait, reason: change(reason) },
            Self::Transient(reason) => Self::Transient(change(reason)),
            Self::Denied(reason) => Self::Denied(change(reason)),
            Self::Malformed(reason) => Self::Malformed(change(reason)),
        }
    }

    /// A word for metrics and logs.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Later { .. } | Self::Transient(_) => "transient",
            Self::Denied(_) => "denied",
            Self::Malformed(_) => "malformed",
        }
    }
}
