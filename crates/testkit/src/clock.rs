//! A clock that a test owns.

use async_trait::async_trait;
use headwater_contracts::{Clock, Timestamp};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Stands still but for [`TestClock::advance`] and for sleepers: whoever sleeps on it moves it to the end of the sleep at
/// once. Days of backoff and polling pass in milliseconds, and in an order that does not depend on the machine.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.timestamp_millis())))
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: chrono::Duration) {
        self.0.fetch_add(duration.num_milliseconds(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        // Rounded up: a sleeper must not wake before its time.
        let ms = i64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i64::MAX / 2);
        let until = self.0.load(Ordering::SeqCst).saturating_add(ms);
        self.0.fetch_max(until, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}
