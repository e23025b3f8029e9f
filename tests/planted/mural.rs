//! Mistakes in reading Mural.

use super::{Harm::Lost, Mistake, check, item};
use headwater_simulator::Provider;

#[test]
fn mistakes_in_reading_mural_are_caught() {
    check(Provider::Mural, Mistake::Watermark, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::StopsAtDepth, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::NoOverlap, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::HashesTheBody, |verdict| !verdict.repeated.is_empty());
    check(Provider::Mural, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
}

#[test]
fn each_behaviour_of_mural_catches_a_mistake() {
    item(Provider::Mural, 12, Mistake::StopsOnAnEmptyPage, Lost, |s| s.mural(|m| m.empty_pages_per_mille = 400));
}
