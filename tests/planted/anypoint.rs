//! Mistakes in reading Anypoint.

use super::{Mistake, Verdict, check};
use headwater_simulator::Provider;

/// What proves each numbered behaviour of the Anypoint simulator.
///
/// | # | behaviour | proved by |
/// |---|---|---|
/// | 1 | logins are recorded; tokens die early or do not say when | `tests/anypoint.rs`: `a_day_of_polling_…`, `a_token_that_dies_early_…` |
/// | 2 | 401 and 403 without permission | `tests/anypoint.rs`: `an_organization_without_permission_…` |
/// | 3 | throttled logins | `tests/anypoint.rs`: `a_throttled_login_…` |
/// | 4 | 503 until the minute ends, broken answers | seeded runs; `CountsOn` |
/// | 5 | inclusive bounds, spellings | `crates/simulator/tests/anypoint.rs`: `bounds_are_inclusive_…`; `query.rs` of the simulator |
/// | 6, 7, 17 | filters, limits, listings | `crates/simulator/tests/anypoint.rs` |
/// | 8 | cursors | seeded runs; `crates/simulator/tests/anypoint.rs` |
/// | 9 | short pages | `StopsOnAShortPage` |
/// | 10 | bursts, identical records | `HashesTheBody`, `MergesTies` |
/// | 11 | late records | `Watermark`, `NoOverlap`, `NoRescan` |
/// | 12 | renamings | `HashesTheBody` (repeated) |
/// | 13 | odd shapes | seeded runs |
/// | 14 | business groups | seeded runs over three organizations |
/// | 15 | pages by offset shift | not proved: re-scans heal what shifts |
/// | 16 | retention | seeded runs with 10 days |
/// | 18 | the truth | all |
#[test]
fn mistakes_in_reading_anypoint_late_are_caught() {
    let lost = |verdict: &Verdict| !verdict.lost.is_empty();
    check(Provider::Anypoint, Mistake::Watermark, lost);
    check(Provider::Anypoint, Mistake::NoOverlap, lost);
    check(Provider::Anypoint, Mistake::NoRescan, lost);
}

#[test]
fn mistakes_in_telling_anypoint_records_apart_are_caught() {
    let wrong =
        |verdict: &Verdict| !verdict.lost.is_empty() || !verdict.invented.is_empty() || !verdict.repeated.is_empty();
    check(Provider::Anypoint, Mistake::MergesTies, wrong);
    check(Provider::Anypoint, Mistake::HashesTheBody, wrong);
    check(Provider::Anypoint, Mistake::CountsOn, wrong);
}

#[test]
fn mistakes_in_paging_anypoint_are_caught() {
    check(Provider::Anypoint, Mistake::StopsOnAShortPage, |verdict| !verdict.lost.is_empty());
}

#[test]
fn mistakes_in_trusting_anypoint_names_are_caught() {
    check(Provider::Anypoint, Mistake::TrustsTheName, |verdict| !verdict.stolen.is_empty());
}
