//! The order of a page whose records are sorted by time, but for a few that bear another time than the one they are sorted by.

/// One in so many records of a page may be in the wrong place.
const ODD: usize = 10;
/// Fewer have no end that could be spared.
const SMALL: usize = 4;

/// The positions of a longest subsequence that does not descend.
pub fn ascending<T: Ord>(times: &[T]) -> Vec<usize> {
    // For each length, the position of the least time that a subsequence of it can end with.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; times.len()];
    for (at, time) in times.iter().enumerate() {
        let length = ends.partition_point(|end| times[*end] <= *time);
        before[at] = length.checked_sub(1).map(|shorter| ends[shorter]);
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut positions: Vec<usize> = std::iter::successors(ends.last().copied(), |at| before[*at]).collect();
    positions.reverse();
    positions
}

/// Whether a page of `all` records, of which `odd` are not in order, is not sorted at all.
pub fn is_unsorted(odd: usize, all: usize) -> bool {
    odd * ODD > all
}

/// Of times in order, the one to go on from: the last that has some behind it. Nothing is behind the last ones that could prove
/// them wrong, so a tenth of them is asked for again.
pub fn certain<T: Copy>(ordered: &[T]) -> Option<T> {
    let spared = if ordered.len() < SMALL { 0 } else { ordered.len().div_ceil(ODD) };
    ordered.get(ordered.len().checked_sub(1 + spared)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_times_are_left_out_wherever_they_stand() {
        let order = |times: &[i32]| ascending(times).into_iter().map(|at| times[at]).collect::<Vec<_>>();
        assert_eq!(order(&[1, 2, 900, 3, -5, 3, 4]), [1, 2, 3, 3, 4]);
        assert!(order(&[]).is_empty());
        assert_eq!(certain(&[1, 2, 3, 4, 900]), Some(4));
        assert_eq!(certain(&[7, 8]), Some(8), "two have no end to spare");
        assert_eq!(certain::<i32>(&[]), None);
    }

    proptest! {
        #[test]
        fn as_many_as_can_be_are_in_order(times in prop::collection::vec(0i8..20, 0..12)) {
            let found = ascending(&times);
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1] && times[pair[0]] <= times[pair[1]]));
            let longest = (0u32..1 << times.len())
                .filter(|set| {
                    let chosen: Vec<_> = (0..times.len()).filter(|at| set >> at & 1 == 1).map(|at| times[at]).collect();
                    chosen.is_sorted()
                })
                .map(u32::count_ones)
                .max();
            prop_assert_eq!(Some(u32::try_from(found.len()).unwrap()), longest);
        }
    }
}
