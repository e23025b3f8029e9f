//! Randomness that is the same for the same seed, on every machine and in every version of every library.

/// A `SplitMix64` sequence.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The sequence that `parts`, in order, define.
    pub(crate) fn new(parts: &[u64]) -> Self {
        let mut dice = Self(0x9e37_79b9_7f4a_7c15);
        for part in parts {
            dice.0 = dice.roll() ^ part;
        }
        dice
    }

    /// The next 64 bits.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 128 bits.
    pub(crate) fn wide(&mut self) -> u128 {
        (u128::from(self.roll()) << 64) | u128::from(self.roll())
    }

    /// A number in `[0, limit)`; 0 if there is none.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll().checked_rem(limit).unwrap_or(0)
    }

    /// A duration in `[0, limit_ms)`; 0 if there is none.
    pub(crate) fn millis(&mut self, limit_ms: i64) -> i64 {
        i64::try_from(self.below(u64::try_from(limit_ms).unwrap_or(0))).unwrap_or(0)
    }

    /// An index into a collection of `len`; 0 if it is empty.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// True in `per_mille` of 1000 cases.
    pub(crate) fn chance(&mut self, per_mille: u16) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        const { assert!(N > 0) };
        choices[self.index(N)]
    }
}

/// Two 64-bit halves of a key, to seed what is derived from it.
pub(crate) fn halves(key: u128) -> [u64; 2] {
    // The low half keeps its 64 bits, and so does the high half once it is shifted down: both conversions hold.
    let half = |bits: u128| u64::try_from(bits).unwrap_or(u64::MAX);
    [half(key >> 64), half(key & u128::from(u64::MAX))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_another() {
        let rolls =
            |parts: &[u64]| (0..4).map(|_| 0).scan(Dice::new(parts), |d, _: i32| Some(d.roll())).collect::<Vec<_>>();
        assert_eq!(rolls(&[1, 2]), rolls(&[1, 2]));
        assert_ne!(rolls(&[1, 2]), rolls(&[2, 1]));
        assert_ne!(rolls(&[1]), rolls(&[1, 0]));
    }

    #[test]
    fn limits_hold() {
        let mut dice = Dice::new(&[7]);
        assert!((0..1000).all(|_| dice.below(3) < 3));
        assert_eq!((dice.below(0), dice.millis(-5), dice.index(0)), (0, 0, 0));
        assert!((0..1000).all(|_| dice.chance(1000)));
        assert!(!(0..1000).any(|_| dice.chance(0)));
        let hits = (0..10_000).filter(|_| dice.chance(100)).count();
        assert!((800..1200).contains(&hits), "{hits}");
    }
}
