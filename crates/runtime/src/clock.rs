//! The machine's clock.

use async_trait::async_trait;
use headwater_contracts::{Clock, Timestamp};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// The system's wall clock and tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        chrono::Utc::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The server's clock as its `Date` headers show it, carried on by ours.
///
/// `Date` has whole seconds and names the instant the answer was made, so this is at most about a second behind: an
/// event is then read again rather than missed.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    ahead_ms: AtomicI64,
}

impl ServerClock {
    /// Takes note of a `Date` received at `ours`.
    pub(crate) fn observe(&self, date: Timestamp, ours: Timestamp) {
        self.ahead_ms.store((date - ours).num_milliseconds(), Ordering::Relaxed);
    }

    /// What the server's clock shows when ours shows `ours`.
    pub(crate) fn at(&self, ours: Timestamp) -> Timestamp {
        ours + chrono::Duration::milliseconds(self.ahead_ms.load(Ordering::Relaxed))
    }
}
