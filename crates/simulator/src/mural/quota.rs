//! The customer's calls per rolling 24 hours, which all its integrations share.

use crate::time::DAY;
use std::collections::VecDeque;

/// The calls of the last 24 hours.
#[derive(Debug)]
pub(super) struct Quota {
    limit: Option<u32>,
    calls: VecDeque<i64>,
    /// Milliseconds between two calls of another integration, which has always been there.
    other_every: Option<i64>,
    other_next: i64,
}

impl Quota {
    pub(super) fn new(limit: Option<u32>, other_calls_per_day: u32, start: i64) -> Self {
        let other_every = (other_calls_per_day > 0).then(|| (DAY / i64::from(other_calls_per_day)).max(1));
        Self { limit, calls: VecDeque::new(), other_every, other_next: start - DAY }
    }

    /// Counts a call; the error is how long to wait for room, in ms.
    pub(super) fn spend(&mut self, now: i64) -> Result<(), i64> {
        let Some(limit) = self.limit.and_then(|limit| usize::try_from(limit).ok()) else { return Ok(()) };
        self.forget(now);
        if let Some(every) = self.other_every {
            // Of a long silence, only the calls of its last day count.
            let skipped = (now - DAY - self.other_next).max(0) / every;
            self.other_next += skipped * every;
            while self.other_next <= now {
                self.forget(self.other_next);
                // The other integration is refused like ours; it goes on asking.
                if self.calls.len() < limit {
                    let at = self.calls.partition_point(|call| *call <= self.other_next);
                    self.calls.insert(at, self.other_next);
                }
                self.other_next += every;
            }
            self.forget(now);
        }
        if self.calls.len() < limit {
            self.calls.push_back(now);
            return Ok(());
        }
        Err(self.calls.front().map_or(DAY, |oldest| oldest + DAY - now))
    }

    fn forget(&mut self, now: i64) {
        while self.calls.front().is_some_and(|call| *call <= now - DAY) {
            self.calls.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_rolls() {
        let mut quota = Quota::new(Some(2), 0, 0);
        assert_eq!(quota.spend(0), Ok(()));
        assert_eq!(quota.spend(1000), Ok(()));
        assert_eq!(quota.spend(2000), Err(DAY - 2000));
        assert_eq!(quota.spend(DAY), Ok(()));
        assert_eq!(quota.spend(DAY), Err(1000));
    }

    #[test]
    fn another_integration_takes_its_share() {
        let mut quota = Quota::new(Some(100), 60, 0);
        let granted = (0..100).filter(|_| quota.spend(0).is_ok()).count();
        assert!((39..=40).contains(&granted), "{granted}");
    }
}
