//! Mistakes in reading API7.

use super::{Mistake, Verdict, check};
use headwater_contracts::Request;
use headwater_simulator::{AuditReads, Provider, Scenario};
use serde_json::Value;

/// Both bounds as if they were inclusive.
pub(super) fn narrow(request: &mut Request) {
    for (name, value) in &mut request.query {
        let number = value.parse::<i64>().unwrap_or_default();
        match name.as_str() {
            "start_at" => *value = (number + 1).to_string(),
            "end_at" => *value = (number - 1).to_string(),
            _ => {}
        }
    }
}

/// A page that says it is all there is.
pub(super) fn with_total(envelope: &[u8], records: u64) -> String {
    let mut page: Value = serde_json::from_slice(envelope).unwrap();
    page["total"] = records.into();
    page.to_string()
}

/// The scenario of a seed, with a thief who repeats fresh requests.
pub(super) fn with_a_thief(seed: u64) -> Scenario {
    let mut scenario = Scenario::seeded(Provider::Api7, seed).api7(|a| a.reads = AuditReads::Logged);
    (scenario.others.replay_every_s, scenario.others.replay_min_age_s) = (Some(250), 120);
    (scenario.clock_skew_s, scenario.clock_steps) = (0, Vec::new());
    scenario
}

/// What the simulator of API7 must reproduce, by its number in the simulator's table, and the mistake or the test that proves
/// it (tests are in `crates/simulator/tests/api7.rs`, `source-plugins/api7` and `tests/cli.rs`):
///
/// | # | proof |
/// |---|---|
/// | 1 | `MergesTies`, `OnePass` |
/// | 2 | `IgnoresTotal`; `item_2_*` |
/// | 3 | `Watermark`, `NoOverlap`, `NoRescan`; `item_3_*` |
/// | 4 | `IgnoresTotal`; `item_4_*` |
/// | 5 | `TrustsTheBounds`, `AlwaysSeconds` |
/// | 6 | `NeverConsumes`; `item_6_*` |
/// | 7 | `TrustsThePrefix`, `TrustsTheToken`, `NeverConsumes` |
/// | 8 | `item_8_*`; `access_denied_ends_once_with_1_and_says_so` |
/// | 9 | faults of `tests/seeded.rs`; TLS is not served |
/// | 10 | odd samples of `tests/seeded.rs`; `trim` and `record` of the plugin |
/// | 11 | `item_11_*`; clock steps and kills of `tests/seeded.rs` |
#[test]
fn mistakes_in_reading_api7_are_caught() {
    let lost = |verdict: &Verdict| !verdict.lost.is_empty();
    check(Provider::Api7, Mistake::Watermark, lost);
    check(Provider::Api7, Mistake::NoOverlap, lost);
    check(Provider::Api7, Mistake::NoRescan, lost);
    check(Provider::Api7, Mistake::MergesTies, lost);
    check(Provider::Api7, Mistake::IgnoresTotal, lost);
    check(Provider::Api7, Mistake::OnePass, lost);
    check(Provider::Api7, Mistake::TrustsTheBounds, lost);
    check(Provider::Api7, Mistake::AlwaysSeconds, lost);
    check(Provider::Api7, Mistake::TrustsThePrefix, lost);
    check(Provider::Api7, Mistake::TrustsTheToken, lost);
    check(Provider::Api7, Mistake::NeverConsumes, |verdict| {
        !verdict.lost.is_empty() && verdict.lost.iter().all(|lost| lost.ends_with("Spoofed"))
    });
}
