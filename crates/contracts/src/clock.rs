//! Time, injected.

use crate::Timestamp;
use async_trait::async_trait;
use std::time::Duration;

/// Tells the time and waits. The runtime and the simulator take one, so that a test can own both.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The instant now, UTC.
    fn now(&self) -> Timestamp;
    /// Time since some fixed instant; never goes back, whatever happens to [`Clock::now`]. The default suits clocks that a
    /// test owns.
    fn monotonic(&self) -> Duration {
        (self.now() - Timestamp::UNIX_EPOCH).to_std().unwrap_or_default()
    }
    /// Returns once `duration` has passed on this clock. Cancel by dropping.
    async fn sleep(&self, duration: Duration);
}
