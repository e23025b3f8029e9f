//! Request budgets: so many requests per so long, for everything that talks to one host.

use headwater_contracts::{Clock, RateLimit, Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A token bucket as one instant (the generic cell rate algorithm): a burst of `requests`, then one each
/// `per / requests`.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: RateLimit,
    /// When the bucket will be full again.
    full_at: Mutex<Option<Timestamp>>,
}

impl Budget {
    fn new(limit: RateLimit) -> Self {
        Self { limit, full_at: Mutex::new(None) }
    }

    /// Takes one request out of the budget, waiting for it if need be.
    pub(crate) async fn acquire(&self, clock: &dyn Clock) {
        let wait = self.take(clock.now());
        if wait > chrono::Duration::zero() {
            clock.sleep(wait.to_std().unwrap_or_default()).await;
        }
    }

    fn take(&self, now: Timestamp) -> chrono::Duration {
        let interval = self.limit.per.0 / i32::try_from(self.limit.requests.max(1)).unwrap_or(i32::MAX);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let base = full_at.map_or(now, |at| at.max(now));
        *full_at = Some(base + interval);
        (base + interval - self.limit.per.0) - now
    }
}

/// The budgets by host and port: sources that share a host share its budget, the strictest one asked for.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Mutex<HashMap<String, Arc<Budget>>>);

impl Budgets {
    /// The budget of `host`.
    pub(crate) fn of(&self, host: &str, limit: RateLimit) -> Arc<Budget> {
        let pace = |limit: RateLimit| f64::from(limit.requests) / limit.per.0.as_seconds_f64();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = all.entry(host.to_owned()).or_insert_with(|| Arc::new(Budget::new(limit)));
        if pace(limit) < pace(budget.limit) {
            *budget = Arc::new(Budget::new(limit));
        }
        budget.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Period;

    #[test]
    fn a_burst_then_an_even_pace_and_never_more_than_the_limit_allows() {
        let budget = Budget::new(RateLimit { requests: 30, per: Period::minutes(1) });
        let start = Timestamp::UNIX_EPOCH;
        let mut now = start;
        let mut sent = Vec::new();
        for _ in 0..300 {
            now += budget.take(now).max(chrono::Duration::zero());
            sent.push(now);
        }
        assert_eq!(sent[29], start, "a whole burst at once");
        assert_eq!(sent[30] - start, chrono::Duration::seconds(2));
        // In any minute: at most a burst plus what refills in it.
        assert!(sent.windows(61).all(|w| w[60] - w[0] >= chrono::Duration::minutes(1)));
    }

    #[test]
    fn sources_of_one_host_share_the_strictest_budget() {
        let budgets = Budgets::default();
        let limit = |requests| RateLimit { requests, per: Period::minutes(1) };
        budgets.of("a:443", limit(60));
        let strict = budgets.of("a:443", limit(30));
        assert!(Arc::ptr_eq(&strict, &budgets.of("a:443", limit(60))));
        assert!(!Arc::ptr_eq(&strict, &budgets.of("b:443", limit(60))));
    }
}
