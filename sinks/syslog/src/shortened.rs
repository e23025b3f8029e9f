//! How many messages are less than their events.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How often it is said.
const PERIOD: Duration = Duration::from_mins(1);

/// Counts messages that had to be shortened. It is said at the first, and from then on at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Shortened {
    unsaid: AtomicU64,
    uncounted: AtomicU64,
    said: Mutex<Option<Instant>>,
}

impl Shortened {
    pub(crate) fn count(&self) {
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        self.uncounted.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since this was last asked: for a metric.
    pub(crate) fn take(&self) -> u64 {
        self.uncounted.swap(0, Ordering::Relaxed)
    }

    /// How many are to be spoken of now.
    pub(crate) fn to_say(&self, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|said| now.saturating_duration_since(said) < PERIOD) {
            return None;
        }
        let count = Some(self.unsaid.swap(0, Ordering::Relaxed)).filter(|count| *count > 0)?;
        *said = Some(now);
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_others_by_the_minute() {
        let shortened = Shortened::default();
        let start = Instant::now();
        assert_eq!(shortened.to_say(start), None);
        shortened.count();
        assert_eq!(shortened.to_say(start), Some(1));
        shortened.count();
        shortened.count();
        assert_eq!(shortened.to_say(start + Duration::from_secs(59)), None);
        assert_eq!(shortened.to_say(start + PERIOD), Some(2));
        assert_eq!(shortened.to_say(start + 2 * PERIOD), None);
        assert_eq!(shortened.take(), 3);
        assert_eq!(shortened.take(), 0);
    }
}
