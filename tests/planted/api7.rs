//! Mistakes in reading API7.

use super::{
    Harm::{Lost, Stolen},
    Mistake, Verdict, always, check, item,
};
use headwater_contracts::Request;
use headwater_simulator::{AuditReads, ClockStep, ErrorBody, Fault, Provider, Scenario, TimeUnit, When};
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

#[test]
fn each_behaviour_of_api7_catches_a_mistake() {
    const P: Provider = Provider::Api7;
    const DAY: u32 = 86_400;
    let bursts = |s: Scenario| s.api7(|a| (a.burst_s, a.max_page_size) = (DAY, 20));
    // So few entries that a window is one page.
    let refused = |fault| move |s: Scenario| s.history(10, 100).fault(When::Requests { first: 2, count: 1 }, fault);
    let spoofed = |mut s: Scenario| {
        s.others.spoofed_every_s = Some(DAY);
        s.api7(|a| a.reads = AuditReads::Logged)
    };
    item(P, 1, Mistake::OnePass, Lost, bursts);
    item(P, 1, Mistake::MergesTies, Lost, bursts);
    item(P, 2, Mistake::StopsOnAShortPage, Lost, |s| s.api7(|a| a.max_page_size = 10));
    item(P, 3, Mistake::NoOverlap, Lost, |s| Scenario { late_per_mille: 300, late_max_s: 480, ..s });
    item(P, 3, Mistake::NoRescan, Lost, |s| s.late(6 * 3600, 1800));
    always(P, 4, Mistake::IgnoresTotal, Lost, |s| s);
    always(P, 5, Mistake::AlwaysSeconds, Lost, |s| s);
    item(P, 5, Mistake::TrustsTheBounds, Lost, |s| {
        s.api7(|a| (a.unit, a.start_inclusive, a.end_inclusive) = (TimeUnit::Seconds, false, false))
    });
    item(P, 6, Mistake::NeverConsumes, Stolen, |mut s| {
        (s.others.replay_every_s, s.others.replay_min_age_s) = (Some(250), 120);
        s.api7(|a| a.reads = AuditReads::Logged)
    });
    item(P, 7, Mistake::TrustsThePrefix, Stolen, spoofed);
    item(P, 7, Mistake::TrustsTheToken, Stolen, spoofed);
    item(P, 8, Mistake::EndsOn(401), Lost, refused(Fault::status(401, ErrorBody::ErrorMsg)));
    item(P, 9, Mistake::EndsOn(502), Lost, refused(Fault::status(502, ErrorBody::Html)));
    item(P, 10, Mistake::KnownTypesOnly, Lost, |s| Scenario { odd_per_mille: 300, ..s });
    item(P, 11, Mistake::Watermark, Lost, |s| Scenario {
        clock_steps: vec![ClockStep { after_s: 1000, by_s: -1800 }],
        ..s
    });
}
