//! A clock that a test owns.

use async_trait::async_trait;
use chrono::TimeDelta;
use headwater_contracts::{Clock, Timestamp};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Stands still but for [`TestClock::advance`] and for sleepers: whoever sleeps on it moves it to the end of the sleep at
/// once. Days of backoff and polling pass in milliseconds, and in an order that does not depend on the machine.
///
/// What it shows may be wrong by an offset, while the time that passes is right: so are machines whose clock is set.
#[derive(Debug, Clone)]
pub struct TestClock {
    true_ms: Arc<AtomicI64>,
    wrong: Arc<Mutex<Wrong>>,
    /// Milliseconds that have passed here for less than one of the machine's, and most that may.
    owed_ms: Arc<AtomicI64>,
    pace: Arc<AtomicI64>,
}

/// How wrong it is, and will be.
#[derive(Debug, Default)]
struct Wrong {
    by_ms: i64,
    /// From these times on, ascending, by so much.
    at_ms: VecDeque<(i64, i64)>,
    /// After so many more looks, by so much.
    after_looks: Option<(u32, i64)>,
}

impl TestClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        let true_ms = Arc::new(AtomicI64::new(start.timestamp_millis()));
        Self { true_ms, wrong: Arc::default(), owed_ms: Arc::default(), pace: Arc::new(AtomicI64::new(i64::MAX)) }
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: TimeDelta) {
        self.true_ms.fetch_add(duration.num_milliseconds(), Ordering::SeqCst);
    }

    /// From now on `duration` takes two seconds of the machine's time at least: several that sleep on this clock must not let hours pass
    /// while another waits for an answer.
    pub fn keep_pace(&self, duration: TimeDelta) {
        self.pace.store((duration.num_milliseconds() / 2000).max(1), Ordering::SeqCst);
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what it shows to the true time and `by` more; nothing more is to come.
    pub fn set_wrong(&self, by: TimeDelta) {
        *self.wrong() = Wrong { by_ms: by.num_milliseconds(), ..Wrong::default() };
    }

    /// Sets it so, once `later` has passed. Call in that order.
    pub fn set_wrong_in(&self, later: TimeDelta, by: TimeDelta) {
        let at = self.true_ms.load(Ordering::SeqCst) + later.num_milliseconds();
        self.wrong().at_ms.push_back((at, by.num_milliseconds()));
    }

    /// Sets it so, once it has been looked at so often.
    pub fn set_wrong_after(&self, looks: u32, by: TimeDelta) {
        self.wrong().after_looks = Some((looks, by.num_milliseconds()));
    }

    /// The same time, shown rightly whatever this one shows.
    #[must_use]
    pub fn right(&self) -> Self {
        Self { wrong: Arc::default(), ..self.clone() }
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let truly = self.true_ms.load(Ordering::SeqCst);
        let mut wrong = self.wrong();
        while let Some((_, by)) = wrong.at_ms.pop_front_if(|(at, _)| *at <= truly) {
            wrong.by_ms = by;
        }
        match &mut wrong.after_looks {
            Some((0, by)) => {
                wrong.by_ms = *by;
                wrong.after_looks = None;
            }
            Some((looks, _)) => *looks -= 1,
            None => {}
        }
        Timestamp::from_timestamp_millis(truly.saturating_add(wrong.by_ms)).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.true_ms.load(Ordering::SeqCst).unsigned_abs())
    }

    async fn sleep(&self, duration: Duration) {
        // Rounded up: a sleeper must not wake before its time.
        let ms = i64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i64::MAX / 2);
        let until = self.true_ms.load(Ordering::SeqCst).saturating_add(ms);
        let passed = until - self.true_ms.fetch_max(until, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let pace = self.pace.load(Ordering::SeqCst);
        if self.owed_ms.fetch_add(passed.max(0), Ordering::SeqCst).saturating_add(passed) >= pace {
            let owed = self.owed_ms.swap(0, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis((owed / pace).unsigned_abs())).await;
        }
    }
}
