//! The machine's clock.

use async_trait::async_trait;
use chrono::TimeDelta;
use headwater_contracts::{Clock, Timestamp};
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How far a server's clock may be from ours before its `Date` is taken for a mistake. TLS needs a sane clock anyway.
const BELIEVABLE: TimeDelta = TimeDelta::days(1);

/// The system's wall clock and tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        chrono::Utc::now()
    }

    fn monotonic(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The server's clock as its `Date` headers show it, carried on by our monotonic one: a step of the local clock changes
/// nothing.
///
/// `Date` has whole seconds and names the instant the answer was made, so this is at most about a second behind: an
/// event is then read again rather than missed.
pub(crate) struct ServerClock {
    clock: Arc<dyn Clock>,
    /// What the server showed, and our monotonic time then.
    shown: Mutex<(Timestamp, Duration)>,
    warned: AtomicBool,
}

impl ServerClock {
    /// Until the server shows its clock, ours must do.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let shown = Mutex::new((clock.now(), clock.monotonic()));
        Self { clock, shown, warned: AtomicBool::new(false) }
    }

    /// Takes note of a `Date`, unless it cannot be: one wrong header must not move the ledger to another year.
    pub(crate) fn observe(&self, date: Timestamp) -> bool {
        let off = (date - self.clock.now()).abs();
        if off > BELIEVABLE {
            if !self.warned.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    "the server's `Date` is {date}, more than a day from this machine's clock: ignored; one of the two clocks is wrong"
                );
            }
            return false;
        }
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = (date, self.clock.monotonic());
        true
    }

    /// What the server's clock shows when our monotonic one shows `ours`.
    pub(crate) fn at(&self, ours: Duration) -> Timestamp {
        let (date, then) = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        date + TimeDelta::milliseconds(millis(ours) - millis(then))
    }

    /// What the server's clock shows now.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(self.clock.monotonic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wall clock that steps and a monotonic one that does not.
    #[derive(Debug)]
    struct Stepping(Mutex<(Timestamp, Duration)>);

    #[async_trait]
    impl Clock for Stepping {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().0
        }
        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().1
        }
        async fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn a_step_of_the_local_clock_does_not_move_the_servers() {
        let day = Timestamp::from_timestamp(1_700_000_000, 0).unwrap();
        let clock = Arc::new(Stepping(Mutex::new((day, Duration::from_secs(5)))));
        let server = ServerClock::new(clock.clone());
        assert!(server.observe(day + TimeDelta::hours(1)));
        *clock.0.lock().unwrap() = (day - TimeDelta::hours(10), Duration::from_secs(7));
        assert_eq!(server.now(), day + TimeDelta::hours(1) + TimeDelta::seconds(2));
    }

    #[test]
    fn a_date_of_another_year_is_not_believed() {
        let day = Timestamp::from_timestamp(1_700_000_000, 0).unwrap();
        let server = ServerClock::new(Arc::new(Stepping(Mutex::new((day, Duration::ZERO)))));
        assert!(!server.observe(day + TimeDelta::days(365)));
        assert_eq!(server.now(), day);
    }
}
