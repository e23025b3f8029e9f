//! Mistakes in reading Mural.

use super::{Mistake, check};
use headwater_simulator::Provider;

#[test]
fn mistakes_in_reading_mural_are_caught() {
    check(Provider::Mural, Mistake::Watermark, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::NoOverlap, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::HashesTheBody, |verdict| !verdict.repeated.is_empty());
    check(Provider::Mural, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
}
