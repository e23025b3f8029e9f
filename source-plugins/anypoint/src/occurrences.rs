//! Numbering equal records within one scan.
//!
//! The ledger holds a set of identities. With `(fingerprint, n)` as the identity of the `n`-th equal record of a scan it
//! becomes a multiset: `k` equal records are the identities 1 to `k`, in whatever order they come. That needs each scan to
//! count *all* equals of a record that it meets, from one on:
//!
//! * The fingerprint has the timestamp, and bounds include their millisecond: a window has all equals or none. Windows
//!   that share a boundary count the same there; windows that overlap do, too.
//! * A page that breaks off is asked for again, and its elements come again: its numbers are only kept once it has ended.
//! * A scan that begins again counts from the start.
//! * One that appears late, behind the cursor, is missed now and makes the count one more next time.
//!
//! Records come in the order of their timestamps, so that numbers of earlier instants need not be kept: memory follows the
//! page. Should one come out of order, the scan begins again and keeps all.

use headwater_contracts::{Identity, Timestamp};
use std::collections::HashMap;

/// The numbers given so far.
#[derive(Debug, Default)]
pub(crate) struct Occurrences {
    /// By fingerprint, of pages that have ended: how many, and when they happened.
    settled: HashMap<Identity, (u32, Option<Timestamp>)>,
    /// The same, of the page that is being read.
    page: HashMap<Identity, (u32, Option<Timestamp>)>,
    /// The latest instant of pages that have ended.
    reached: Option<Timestamp>,
    /// A record came that is older than that.
    disordered: bool,
    /// Whether nothing is forgotten.
    keeps_all: bool,
}

impl Occurrences {
    /// One that forgets nothing: for records in no order.
    pub(crate) fn keeping_all() -> Self {
        Self { keeps_all: true, ..Self::default() }
    }

    /// The number of this record among its equals.
    pub(crate) fn next(&mut self, fingerprint: Identity, time: Option<Timestamp>) -> u32 {
        self.disordered |= !self.keeps_all && time.is_some() && time < self.reached;
        let before = self.settled.get(&fingerprint).map_or(0, |(count, _)| *count);
        let (count, _) = self.page.entry(fingerprint).or_insert((0, time));
        *count += 1;
        before + *count
    }

    /// A page is asked for, perhaps again.
    pub(crate) fn begin_page(&mut self) {
        self.page.clear();
    }

    /// The page has ended. `false` if its records were not in order: then the scan must begin again.
    #[must_use]
    pub(crate) fn end_page(&mut self) -> bool {
        if self.disordered {
            return false;
        }
        for (fingerprint, (count, time)) in self.page.drain() {
            self.reached = self.reached.max(time);
            self.settled.entry(fingerprint).or_insert((0, time)).0 += count;
        }
        if !self.keeps_all {
            let reached = self.reached;
            self.settled.retain(|_, (_, time)| time.is_none() || *time >= reached);
        }
        true
    }

    /// The scan begins again; it keeps all if its records were not in order.
    pub(crate) fn restart(&mut self) {
        *self = Self { keeps_all: self.keeps_all || self.disordered, ..Self::default() };
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.settled.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn fingerprint(content: u8, ms: i64) -> Identity {
        Identity::of(&[&[content], &ms.to_le_bytes()])
    }

    fn at(ms: i64) -> Option<Timestamp> {
        Timestamp::from_timestamp_millis(ms)
    }

    /// Reads `log` (time, content) in pages of these sizes; a size of zero is a page that breaks off half-way.
    fn scan(occurrences: &mut Occurrences, log: &[(i64, u8)], sizes: &[usize]) -> Option<HashSet<(i64, u8, u32)>> {
        let mut seen = HashSet::new();
        let (mut from, mut sizes) = (0, sizes.iter().cycle());
        while from < log.len() {
            let size = *sizes.next()?;
            let to = (from + size.max(1)).min(log.len());
            occurrences.begin_page();
            for (ms, content) in &log[from..to] {
                // What a broken page has shown goes out like everything else.
                seen.insert((*ms, *content, occurrences.next(fingerprint(*content, *ms), at(*ms))));
            }
            if size > 0 {
                if !occurrences.end_page() {
                    return None;
                }
                from = to;
            }
        }
        Some(seen)
    }

    proptest! {
        #[test]
        fn whatever_the_pages_each_scan_gives_equals_the_same_numbers(
            mut log in prop::collection::vec((0i64..6, 0u8..3), 0..60),
            sizes in prop::collection::vec(0usize..9, 1..9),
            other in prop::collection::vec(1usize..9, 1..9),
            late in prop::collection::vec((0i64..6, 0u8..3), 0..5),
            bounds in (0i64..6, 0i64..6),
        ) {
            log.sort_unstable();
            let sizes: Vec<usize> = sizes.into_iter().chain([3]).collect();
            let first = scan(&mut Occurrences::default(), &log, &sizes).unwrap();
            prop_assert_eq!(first.len(), log.len(), "each record has an identity of its own");
            prop_assert_eq!(&scan(&mut Occurrences::default(), &log, &other).unwrap(), &first);
            // A window that overlaps gives its part the same numbers.
            let part: Vec<_> = log.iter().copied().filter(|(ms, _)| (bounds.0..=bounds.1).contains(ms)).collect();
            prop_assert!(scan(&mut Occurrences::default(), &part, &other).unwrap().is_subset(&first));
            // Late ones add as many as they are.
            log.extend(&late);
            log.sort_unstable();
            let again = scan(&mut Occurrences::default(), &log, &other).unwrap();
            prop_assert_eq!(again.difference(&first).count(), late.len());
            prop_assert!(first.is_subset(&again));
        }

        #[test]
        fn a_log_out_of_order_is_noticed_or_does_no_harm(
            log in prop::collection::vec((0i64..6, 0u8..3), 0..40), sizes in prop::collection::vec(1usize..9, 1..9),
        ) {
            let mut occurrences = Occurrences::default();
            let seen = scan(&mut occurrences, &log, &sizes).unwrap_or_else(|| {
                occurrences.restart();
                scan(&mut occurrences, &log, &sizes).unwrap()
            });
            prop_assert_eq!(seen.len(), log.len());
            let mut counts: HashMap<_, u32> = HashMap::new();
            for record in &log {
                *counts.entry(*record).or_default() += 1;
            }
            prop_assert!(seen.iter().all(|(ms, content, n)| *n <= counts[&(*ms, *content)]));
        }
    }

    #[test]
    fn only_the_numbers_of_the_last_instant_are_kept() {
        let mut occurrences = Occurrences::default();
        let log: Vec<_> = (0..10_000).map(|n| (n / 2, u8::try_from(n % 2).unwrap())).collect();
        scan(&mut occurrences, &log, &[200]).unwrap();
        assert_eq!(occurrences.kept(), 2);
    }
}
