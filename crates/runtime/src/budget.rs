//! Request budgets: so many requests per so long, for everything that talks to one host.

use headwater_contracts::RateLimit;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A token bucket as one instant (the generic cell rate algorithm): a burst of `requests`, then one each
/// `per / requests`.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    /// When it will be full again, by the monotonic clock.
    full_at: Duration,
}

impl Budget {
    fn new(limit: RateLimit) -> Self {
        Self(Mutex::new(Bucket { limit, full_at: Duration::ZERO }))
    }

    /// Takes one request out of the budget: how long it must still wait.
    pub(crate) fn take(&self, now: Duration) -> Duration {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let per = bucket.limit.per.to_std();
        bucket.full_at = bucket.full_at.max(now) + per / bucket.limit.requests.max(1);
        bucket.full_at.saturating_sub(per + now)
    }

    /// From now on also keeps to `limit`.
    fn tighten(&self, limit: RateLimit) {
        let pace = |limit: RateLimit| f64::from(limit.requests) / limit.per.0.as_seconds_f64();
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pace(limit) < pace(bucket.limit) {
            bucket.limit = limit;
        }
    }
}

/// The budgets by host and port: sources that share a host share its budget, the strictest one asked for.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Mutex<HashMap<String, Arc<Budget>>>);

impl Budgets {
    /// The budget of `host`, for all who ask for it.
    pub(crate) fn of(&self, host: &str, limit: RateLimit) -> Arc<Budget> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = all.entry(host.to_owned()).or_insert_with(|| Arc::new(Budget::new(limit)));
        budget.tighten(limit);
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
        let start = Duration::from_secs(9);
        let mut now = start;
        let mut sent = Vec::new();
        for _ in 0..300 {
            now += budget.take(now);
            sent.push(now);
        }
        assert_eq!(sent[29], start, "a whole burst at once");
        assert_eq!(sent[30], start + Duration::from_secs(2));
        // In any minute: at most a burst plus what refills in it.
        assert!(sent.windows(61).all(|w| w[60] >= w[0] + Duration::from_mins(1)));
    }

    #[test]
    fn sources_of_one_host_share_the_strictest_budget_whoever_asks_first() {
        let budgets = Budgets::default();
        let limit = |requests| RateLimit { requests, per: Period::minutes(1) };
        let first = budgets.of("a:443", limit(60));
        let second = budgets.of("a:443", limit(30));
        assert!(!Arc::ptr_eq(&first, &budgets.of("b:443", limit(60))));
        let now = Duration::from_secs(100);
        let free = (0..100).filter(|n| if n % 2 == 0 { &first } else { &second }.take(now).is_zero()).count();
        assert_eq!(free, 30, "a burst of the stricter limit, shared");
    }
}
