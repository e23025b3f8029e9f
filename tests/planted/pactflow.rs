//! Mistakes in reading PactFlow.

use super::{Mistake, check};
use headwater_simulator::Provider;

#[test]
fn mistakes_in_reading_pactflow_are_caught() {
    check(Provider::PactFlow, Mistake::Watermark, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::TrustsThePrefix, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::StopsAtDepth, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::NoOverlap, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::NoRescan, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::NeverConsumes, |verdict| {
        !verdict.lost.is_empty() && verdict.lost.iter().all(|lost| lost.ends_with("Spoofed"))
    });
    check(Provider::PactFlow, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
}
