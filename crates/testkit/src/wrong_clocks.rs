//! Clocks that go wrong: this machine's at the start of a run or in it, and those of some of the provider's nodes.

use crate::clock::TestClock;
use chrono::TimeDelta;
use headwater_contracts::Period;
use headwater_simulator::OddDate;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// How wrong they go, in seconds: from what nobody notices to years.
const WRONG_BY_S: [i32; 8] = [40, 400, 3 * 3600, 20 * 3600, 3 * DAY_S, 10 * DAY_S, 400 * DAY_S, 4000 * DAY_S];
const DAY_S: i32 = 86_400;

/// What is wrong with the clocks of a run of the suite. By default nothing is. The last runs, after which the books are compared, have
/// right clocks: until then nothing may have been marked that must not be.
#[derive(Debug, Default)]
pub struct WrongClocks {
    /// Decides before each run; `None` leaves this machine's clock alone.
    dice: Option<StdRng>,
    /// Of the provider's nodes.
    pub odd_dates: Vec<OddDate>,
    /// `max_clock_skew` of the source, if it is to be another than the suite's own choice.
    pub max_skew: Option<Period>,
}

impl WrongClocks {
    /// A quarter of all seeds have some, of dice of their own: all else of a seed stays as it was. Runs take `steps` in all.
    pub fn seeded(seed: u64, steps: TimeDelta) -> Self {
        let mut dice = StdRng::seed_from_u64(seed ^ 0xc10c);
        if !dice.random_bool(0.25) {
            return Self::default();
        }
        let mut clocks = Self::default();
        let total = u32::try_from(steps.num_seconds()).unwrap_or(u32::MAX);
        for _ in 0..dice.random_range(0..4) {
            let after_s = dice.random_range(0..total.max(2) * 3 / 4);
            clocks.odd_dates.push(OddDate {
                after_s,
                for_s: dice.random_range(1..total / 4),
                per_mille: [30, 300, 1000][dice.random_range(0..3)],
                by_s: wrong_by(&mut dice),
            });
        }
        if clocks.odd_dates.is_empty() || dice.random_bool(0.5) {
            clocks.dice = Some(dice);
        }
        clocks
    }

    /// Some answers show this `Date`; clocks may be so far apart for the source, if that is said.
    pub fn odd(odd: OddDate, max_skew: Option<Period>) -> Self {
        Self { odd_dates: vec![odd], max_skew, ..Self::default() }
    }

    /// Whether anything is wrong at all.
    pub fn are_wrong(&self) -> bool {
        self.dice.is_some() || !self.odd_dates.is_empty()
    }

    /// Sets this machine's clock before a run; rightly, unless clocks `may` be wrong.
    pub(crate) fn before_run(&mut self, clock: &TestClock, may: bool) {
        clock.set_wrong(TimeDelta::zero());
        let Some(dice) = self.dice.as_mut().filter(|_| may) else { return };
        if dice.random_bool(0.3) {
            clock.set_wrong(TimeDelta::seconds(wrong_by(dice).into()));
        }
        if dice.random_bool(0.3) {
            let by = if dice.random_bool(0.5) { 0 } else { wrong_by(dice) };
            clock.set_wrong_after(dice.random_range(0..60), TimeDelta::seconds(by.into()));
        }
    }
}

fn wrong_by(dice: &mut StdRng) -> i32 {
    let by = WRONG_BY_S[dice.random_range(0..WRONG_BY_S.len())];
    if dice.random_bool(0.5) { by } else { -by }
}
