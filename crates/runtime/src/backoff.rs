//! How long to wait before asking again.

use headwater_contracts::Retry;
use rand::Rng;
use std::time::Duration;

/// Doubling waits from `initial` to `max`, each with jitter, without end.
///
/// Half of each wait is random ("equal jitter"): collectors that failed together do not come back together, and none
/// comes back at once.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    initial: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    /// Starts at the shortest wait.
    pub(crate) fn new(retry: Retry) -> Self {
        Self { initial: retry.initial.to_std(), max: retry.max.to_std(), attempts: 0 }
    }

    /// The next wait; at least `asked`, if the other side asked for one.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.initial.saturating_mul(1 << self.attempts.min(20)).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        let jittered = doubled.mul_f64(rand::rng().random_range(0.5..=1.0));
        asked.map_or(jittered, |asked| asked.max(jittered))
    }

    /// How many waits there were since the last success.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Back to the shortest wait.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Period;

    #[test]
    fn waits_grow_to_the_ceiling_and_honour_what_was_asked() {
        let mut backoff = Backoff::new(Retry { initial: Period::seconds(1), max: Period::seconds(30) });
        let mut ceiling = 1.0;
        for _ in 0..70 {
            let wait = backoff.next(None).as_secs_f64();
            assert!(wait >= ceiling / 2.0 - 1e-9 && wait <= ceiling + 1e-9, "{wait} for {ceiling}");
            ceiling = f64::min(ceiling * 2.0, 30.0);
        }
        assert_eq!(backoff.next(Some(Duration::from_secs(99))), Duration::from_secs(99));
        backoff.reset();
        assert!(backoff.next(None) <= Duration::from_secs(1));
    }
}
