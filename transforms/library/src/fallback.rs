//! The counter of events that no row of a table matched.
//!
//! `normalize_fallback_total{provider, event_code}`: what to add to a table, or to a program after `normalize.vrl`.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Most distinct event codes shown. Codes come from outside: without a limit they would fill the memory.
const CODES_MAX: usize = 1000;
/// Longest event code shown, in characters.
const CODE_LENGTH_MAX: usize = 120;
/// What stands for the codes beyond the limit.
const OTHERS: &str = "(others)";

static SEEN: LazyLock<Mutex<HashSet<(String, String)>>> = LazyLock::new(Mutex::default);

/// Counts one event of this provider and event code (empty if it has none).
pub(crate) fn count(provider: &str, event_code: &str) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (provider, event_code) = label(&mut seen, provider, event_code);
    drop(seen);
    metrics::counter!("normalize_fallback_total", "provider" => provider, "event_code" => event_code).increment(1);
}

fn label(seen: &mut HashSet<(String, String)>, provider: &str, event_code: &str) -> (String, String) {
    let short = |text: &str| text.chars().take(CODE_LENGTH_MAX).collect::<String>();
    let known = (short(provider), short(event_code));
    if seen.contains(&known) {
        return known;
    }
    if seen.len() >= CODES_MAX {
        return (OTHERS.to_owned(), OTHERS.to_owned());
    }
    seen.insert(known.clone());
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_from_outside_cannot_grow_the_metrics_without_end() {
        let mut seen = HashSet::new();
        let labels: HashSet<_> = (0..3 * CODES_MAX).map(|n| label(&mut seen, "acme", &format!("CODE_{n}"))).collect();
        assert_eq!(labels.len(), CODES_MAX + 1);
        assert_eq!(label(&mut seen, "acme", "CODE_0"), ("acme".to_owned(), "CODE_0".to_owned()));
        assert_eq!(label(&mut HashSet::new(), "acme", &"é".repeat(500)).1.chars().count(), CODE_LENGTH_MAX);
    }
}
