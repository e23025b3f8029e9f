//! The rate limit: judged every 30 seconds over the last five minutes, and until then as it was judged last.

use crate::time::SECOND;
use std::collections::VecDeque;

const EVERY: i64 = 30 * SECOND;
const WINDOW: i64 = 300 * SECOND;

/// The requests of the last minutes.
#[derive(Debug)]
pub(super) struct Limit {
    most: Option<u32>,
    start: i64,
    /// Refused ones included: who goes on hammering stays out.
    requests: VecDeque<i64>,
}

impl Limit {
    pub(super) fn new(most: Option<u32>, start: i64) -> Self {
        Self { most, start, requests: VecDeque::new() }
    }

    /// Counts a request; whether it gets through.
    pub(super) fn admits(&mut self, now: i64) -> bool {
        let Some(most) = self.most.and_then(|most| usize::try_from(most).ok()) else { return true };
        let judged = self.start + (now - self.start).div_euclid(EVERY) * EVERY;
        while self.requests.front().is_some_and(|at| *at <= judged - WINDOW) {
            self.requests.pop_front();
        }
        let counted = self.requests.partition_point(|at| *at < judged);
        self.requests.push_back(now);
        counted < most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_noticed_at_the_next_judgement_and_forgotten_after_the_window() {
        let mut limit = Limit::new(Some(10), 0);
        assert!((0..50).all(|_| limit.admits(SECOND)), "not judged yet");
        assert!(!limit.admits(EVERY));
        // The request at 30 s counts too, but one is no matter.
        assert!(!limit.admits(WINDOW));
        assert!(limit.admits(WINDOW + EVERY));
        // Whoever asks every second never gets through again.
        let mut limit = Limit::new(Some(10), 0);
        let through = (0..3600).filter(|n| limit.admits(n * SECOND)).count();
        assert_eq!(through, 30);
    }
}
