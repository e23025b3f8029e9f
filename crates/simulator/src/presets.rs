//! Scenarios ready made: by name, by seed, and the friendly one that newcomers see.
//!
//! In each of them a correct client gets to read everything in the end: outages heal, chains begin to end, quotas
//! suffice.

use crate::anypoint::HighLimit;
use crate::api7::{AuditReads, EmptyList, TimeUnit};
use crate::dice::Dice;
use crate::faults::{ErrorBody, Fault, RetryAfter, When};
use crate::mural::{Dates, FinalToken, WideWindow};
use crate::pactflow::{FromMode, Links, OwnRecords, UnknownCursor, Zone};
use crate::scenario::{ClockStep, Drift, Provider, Scenario};
use crate::solace_cloud::{LastPage, LimitBody, PastEnd, TimeFilter};

const HOUR_S: u32 = 3600;
const DAY_S: u32 = 24 * HOUR_S;

impl Scenario {
    /// The names that [`Scenario::named`] knows.
    pub const NAMES: &'static [&'static str] =
        &["late", "drift", "throttle", "flaky", "auth", "own_query_loop", "hostile_links"];

    /// A scenario that shows one difficulty, or `None` if there is none of that name.
    pub fn named(provider: Provider, name: &str) -> Option<Self> {
        let base = Self::new().history(10, 400);
        let pactflow = provider == Provider::PactFlow;
        // Events appear at once or soon.
        let prompt = provider != Provider::Mural;
        Some(match name {
            // Within an overlap of minutes, hours late, and at last days.
            "late" if provider == Provider::SolaceCloud => base
                .late(20 * HOUR_S, HOUR_S)
                .late(3 * DAY_S, 2 * HOUR_S)
                .solace_cloud(|s| (s.long_per_mille, s.visibility_delay_s, s.changes_per_mille) = (200, 900, 200)),
            "late" if prompt => base
                .late(120, 60)
                .late(300, 240)
                .late(6 * HOUR_S, HOUR_S)
                .late(2 * DAY_S, 2 * HOUR_S)
                .anypoint(|a| a.identical_per_mille = 100),
            "late" => base.late(20 * HOUR_S, 40 * HOUR_S).late(2 * DAY_S, 3 * DAY_S).mural(|m| {
                m.straggler_60h_per_mille = 100;
                m.straggler_5d_per_mille = 50;
                m.reextracted_per_mille = 200;
            }),
            "drift" => {
                let (min_age_s, max_age_s) = match provider {
                    Provider::PactFlow | Provider::Api7 | Provider::Anypoint => (0, 300),
                    Provider::Mural => (25 * HOUR_S, 47 * HOUR_S),
                    Provider::SolaceCloud => (0, 12 * HOUR_S),
                };
                let drift = Drift { events_per_request: 2, min_age_s, max_age_s, requests: 20 };
                Self { drift: Some(drift), ties_per_mille: 300, ..base }
            }
            "throttle" => base
                .mural(|m| m.quota = Some(800))
                .solace_cloud(|s| (s.limit, s.limit_body) = (Some(30), LimitBody::Html))
                .fault(When::Requests { first: 1, count: 1 }, Fault::throttle(RetryAfter::Seconds(2)))
                .fault(When::Requests { first: 3, count: 1 }, Fault::throttle(RetryAfter::Date(2)))
                .fault(When::Requests { first: 5, count: 2 }, Fault::throttle(RetryAfter::None))
                .fault(
                    When::Requests { first: 9, count: 1 },
                    Fault::Status { status: 429, body: ErrorBody::Html, retry_after: RetryAfter::Seconds(1) },
                ),
            "flaky" => base
                .fault(When::Requests { first: 0, count: 1 }, Fault::status(503, ErrorBody::Html))
                .fault(When::Requests { first: 2, count: 1 }, Fault::CutBody)
                .fault(When::Requests { first: 4, count: 1 }, Fault::ShortBody)
                .fault(When::Requests { first: 6, count: 1 }, Fault::status(500, ErrorBody::ErrorMessage))
                .fault(When::Requests { first: 8, count: 1 }, Fault::Stall { close_after_ms: Some(20) })
                .fault(When::Sometimes { per_mille: 200, within: 60 }, Fault::CutBody),
            "auth" => base
                .fault(When::Requests { first: 0, count: 1 }, Fault::status(403, ErrorBody::Negotiated))
                .fault(When::Requests { first: 2, count: 2 }, Fault::status(401, ErrorBody::Negotiated))
                .fault(When::Requests { first: 5, count: 1 }, Fault::Redirect { elsewhere: false })
                .fault(When::Requests { first: 7, count: 1 }, Fault::Html),
            "own_query_loop" => {
                let mut scenario = base.pactflow(|p| {
                    p.default_page_size = 2;
                    p.honours_page_size = false;
                    p.own_records = OwnRecords::SameResponse;
                });
                scenario.solace_cloud.records_readings = true;
                scenario.api7.reads = AuditReads::WithBodies;
                scenario.api7.max_page_size = 50;
                scenario.history_events = 40;
                scenario.others.second_collector_echoes = pactflow;
                scenario.others.human_every_s = Some(DAY_S);
                scenario.others.spoofed_every_s = Some(2 * DAY_S);
                scenario.others.replay_every_s = Some(2 * HOUR_S);
                scenario.others.replay_min_age_s = HOUR_S;
                scenario
            }
            "hostile_links" => base
                .pactflow(|p| {
                    p.default_page_size = 20;
                    p.links = Links::OtherHost;
                })
                .fault(When::Requests { first: 2, count: 1 }, Fault::Redirect { elsewhere: true }),
            _ => return None,
        })
    }

    /// A random combination of behaviours, the same for the same seed.
    pub fn seeded(provider: Provider, seed: u64) -> Self {
        let mut dice = Dice::new(&[seed, 0x5eed]);
        let mut scenario = Self::new().seed(seed).history(dice.pick([3, 8, 14]), dice.pick([0, 7, 120, 450]));
        scenario.live_per_hour = dice.pick([0, 0, 6, 40]);
        scenario.ties_per_mille = dice.pick([0, 100, 500]);
        scenario.odd_per_mille = dice.pick([0, 150, 400]);
        scenario.gzip = dice.chance(400);
        scenario.clock_skew_s = dice.pick([0, 0, -40, 75, 3600]);
        scenario.others.second_collector_every_s = dice.pick([None, Some(6 * HOUR_S)]);
        scenario.others.human_every_s = dice.pick([None, Some(DAY_S)]);
        scenario.others.spoofed_every_s = dice.pick([None, Some(DAY_S)]);
        scenario.others.replay_every_s = dice.pick([None, Some(3 * HOUR_S)]);
        scenario.others.replay_min_age_s = dice.pick([120, HOUR_S]);
        scenario.date_header = !dice.chance(150);
        match provider {
            Provider::PactFlow => {
                // Within an overlap of ten minutes: later events are the business of a re-scan.
                scenario.late_per_mille = dice.pick([0, 200]);
                scenario.late_max_s = 480;
                scenario = scenario.sometimes_late(&mut dice);
                // Soon and often, so that copies of fresh requests are among the repetitions.
                if dice.chance(300) {
                    scenario.others.replay_every_s = Some(250);
                    scenario.others.replay_min_age_s = 120;
                }
                scenario.drift = dice
                    .pick([None, Some(Drift { events_per_request: 1, min_age_s: 0, max_age_s: 300, requests: 25 })]);
                let p = &mut scenario.pactflow;
                dice.pick(["", "", "/broker", "/a/b"]).clone_into(&mut p.context_path);
                p.default_page_size = dice.pick([2, 3, 20, 100]);
                p.honours_page_size = dice.chance(700);
                p.honours_filters = dice.chance(600);
                p.from = dice.pick([FromMode::Inclusive, FromMode::Exclusive]);
                p.own_records =
                    dice.pick([OwnRecords::SameResponse, OwnRecords::NextRequest, OwnRecords::AfterSeconds(45)]);
                p.records_refused = dice.chance(300);
                p.links = dice.pick([
                    Links::Faithful,
                    Links::OtherHost,
                    Links::OtherScheme,
                    Links::OtherPath,
                    Links::Relative,
                ]);
                p.links_first = dice.chance(300);
                p.unknown_cursor = dice.pick([
                    UnknownCursor::NotFound,
                    UnknownCursor::BadRequest,
                    UnknownCursor::Empty,
                    UnknownCursor::Restart,
                ]);
                p.zone = dice.pick([Zone::Utc, Zone::Melbourne]);
                p.system_account = dice.chance(300);
                // Two records for each request that brings two or three: such a log grows as fast as anybody can read it.
                let winnable = scenario.pactflow.honours_page_size || scenario.pactflow.default_page_size > 3;
                scenario.others.second_collector_echoes = dice.chance(200) && winnable;
                if !winnable {
                    // Read for ten days until the re-scan: no more than can be read page by page in a test.
                    scenario.live_per_hour = scenario.live_per_hour.min(6);
                    scenario.others.replay_every_s = scenario.others.replay_every_s.map(|every| every.max(3 * HOUR_S));
                }
            }
            Provider::Api7 => {
                scenario.late_per_mille = dice.pick([0, 200]);
                scenario.late_max_s = 480;
                scenario = scenario.sometimes_late(&mut dice);
                scenario.drift = dice
                    .pick([None, Some(Drift { events_per_request: 1, min_age_s: 0, max_age_s: 300, requests: 40 })]);
                if scenario.date_header && dice.chance(250) {
                    let by_s = dice.pick([-1800, -200, 900]);
                    scenario.clock_steps = vec![ClockStep { after_s: dice.pick([700, 4000, 20_000]), by_s }];
                }
                let a = &mut scenario.api7;
                dice.pick(["", "", "/gateway"]).clone_into(&mut a.context_path);
                a.max_page_size = dice.pick([50, 100, 500]);
                a.empty_list = dice.pick([EmptyList::Array, EmptyList::Null]);
                a.unit = dice.pick([TimeUnit::Seconds, TimeUnit::Milliseconds]);
                a.start_inclusive = dice.chance(500);
                a.end_inclusive = dice.chance(500);
                a.burst_s = dice.pick([0, HOUR_S, DAY_S]);
                a.write_delay_s = dice.pick([0, 30]);
                a.reads = dice.pick([AuditReads::NotLogged, AuditReads::Logged, AuditReads::WithBodies]);
                a.records_refused = dice.chance(300);
                a.retention_days = dice.pick([60, 180, 9]);
                a.error_body = dice.pick([ErrorBody::ErrorMsg, ErrorBody::Message]);
            }
            Provider::Mural => {
                scenario.drift = dice.pick([
                    None,
                    Some(Drift { events_per_request: 2, min_age_s: 25 * HOUR_S, max_age_s: 47 * HOUR_S, requests: 15 }),
                ]);
                let m = &mut scenario.mural;
                m.extraction_hour = dice.pick([0, 6, 23]);
                m.straggler_60h_per_mille = dice.pick([0, 60]);
                m.straggler_5d_per_mille = dice.pick([0, 30]);
                m.reextracted_per_mille = dice.pick([0, 300]);
                m.max_results = dice.pick([50_000, 1000]);
                m.final_token =
                    dice.pick([FinalToken::Absent, FinalToken::Null, FinalToken::EmptyString, FinalToken::ThenEmpty]);
                m.repeating_chains = dice.pick([0, 0, 1]);
                m.expired_token_status = dice.pick([400, 404, 410]);
                m.wide_window = dice.pick([WideWindow::Error, WideWindow::ClampOld, WideWindow::ClampNew]);
                m.other_calls_per_day = dice.pick([0, 200, 600]);
                m.dates = dice.pick([Dates::Iso, Dates::Legacy]);
                m.records_readings = dice.chance(700);
                // From dice of its own: the other choices of a seed stay what they were.
                m.empty_pages_per_mille = Dice::new(&[seed, 0xe0]).pick([0, 100, 400]);
            }
            Provider::SolaceCloud => {
                // Ties of more than a page, too.
                scenario.ties_per_mille = dice.pick([0, 100, 500, 950]);
                // Each instant brings twenty of them then.
                let busy = scenario.ties_per_mille > 900;
                scenario.live_per_hour = scenario.live_per_hour.min(if busy { 1 } else { 20 });
                scenario.late_per_mille = dice.pick([0, 200]);
                scenario.late_max_s = 2 * HOUR_S;
                // A day late, which the usual overlap finds, and days late, which only the daily re-scan does.
                if dice.chance(500) {
                    scenario = scenario.late(20 * HOUR_S, 2 * HOUR_S).late(90, 30);
                }
                if dice.chance(400) {
                    scenario = scenario.late(3 * DAY_S, HOUR_S).late(5 * DAY_S, 3 * HOUR_S);
                }
                scenario.drift = dice.pick([
                    None,
                    Some(Drift { events_per_request: 1, min_age_s: 0, max_age_s: 300, requests: 40 }),
                    Some(Drift { events_per_request: 2, min_age_s: 0, max_age_s: 20 * HOUR_S, requests: 40 }),
                ]);
                let s = &mut scenario.solace_cloud;
                s.tells_permissions = dice.chance(500);
                s.wraps_categories = dice.chance(300);
                s.max_page_size = dice.pick([10, 25, 100]);
                s.clamps_page_size = dice.chance(600);
                // What does not clamp takes the default size.
                let least = if s.clamps_page_size && scenario.ties_per_mille < 900 { 10 } else { 25 };
                s.max_page_size = s.max_page_size.max(least);
                s.time_filter = dice.pick([TimeFilter::StartAndEnd, TimeFilter::Start, TimeFilter::End]);
                s.long_per_mille = dice.pick([0, 50, 300]);
                s.visibility_delay_s = dice.pick([0, 60, 1800]);
                s.changes_per_mille = dice.pick([0, 0, 150]);
                s.retention_days = dice.pick([180, 180, 8]);
                s.expires_per_request = dice.pick([None, Some(1), Some(7)]);
                s.last_page = dice.pick([LastPage::Absent, LastPage::Null, LastPage::Same, LastPage::Beyond]);
                s.one_page_when_empty = dice.chance(500);
                s.count_cap = dice.pick([None, None, Some(30)]);
                s.past_end = dice.pick([PastEnd::Empty, PastEnd::NotFound]);
                s.records_readings = dice.chance(500);
                // Small pages take many requests, and each of them would be another record to read.
                s.max_page_size = if s.records_readings { 100 } else { s.max_page_size };
                s.limit = dice.pick([None, Some(200)]);
                s.limit_body = dice.pick([LimitBody::Json, LimitBody::Html, LimitBody::Empty]);
                s.limit_retry_after = dice.pick([RetryAfter::None, RetryAfter::Seconds(40)]);
            }
            Provider::Anypoint => {
                scenario.late_per_mille = dice.pick([0, 200]);
                scenario.late_max_s = 720;
                scenario = scenario.sometimes_late(&mut dice);
                if dice.chance(300) {
                    scenario = scenario.late(3 * DAY_S, 3 * HOUR_S);
                }
                scenario.drift = dice
                    .pick([None, Some(Drift { events_per_request: 1, min_age_s: 0, max_age_s: 300, requests: 25 })]);
                let a = &mut scenario.anypoint;
                a.expires_in_s = dice.pick([Some(3600), Some(900), None]);
                a.token_life_s = dice.pick([3600, 900, 300]);
                a.throttled_logins = dice.pick([0, 0, 1, 3]);
                a.per_minute = dice.pick([None, None, Some(40)]);
                a.html_503 = dice.chance(500);
                a.high_limit = dice.pick([HighLimit::Clamp, HighLimit::Error]);
                a.short_pages = dice.chance(500);
                // Shorter than the wait for a new minute: then a scan begins again.
                a.cursor_ttl_s = dice.pick([600, 600, 30]);
                a.identical_per_mille = dice.pick([0, 60, 300]);
                a.burst_per_mille = dice.pick([0, 0, 4]);
                a.split_per_mille = dice.pick([0, 10]);
                a.shared_per_mille = dice.pick([0, 50]);
                a.ahead_per_mille = dice.pick([0, 50]);
                a.renamed_after_h = dice.pick([None, Some([1, 5])]).map(Vec::from).unwrap_or_default();
                a.retention_days = dice.pick([365, 365, 10]);
                // Of dice of its own: all else of a seed stays as it was.
                a.longest_range_days = Dice::new(&[seed, 0x10e6]).pick([None, None, Some(1), Some(3)]);
            }
        }
        scenario.roll_faults(&mut dice);
        if provider == Provider::Api7 {
            scenario.api7_errors(&mut dice);
        }
        // From dice of their own: the other choices of a seed stay what they were.
        scenario.roll_complaints(&mut Dice::new(&[seed, 0xe1]));
        scenario.poison_per_mille = Dice::new(&[seed, 0x9015]).pick([0, 0, 8, 40]);
        scenario.odd_times_per_mille = Dice::new(&[seed, 0x0dd7]).pick([0, 0, 3, 8]);
        scenario
    }

    /// Adds answers with 200 that are no pages, or not whole ones.
    fn roll_complaints(&mut self, dice: &mut Dice) {
        if !dice.chance(350) {
            return;
        }
        let fault = dice.pick([
            Fault::Complaint { records: false },
            Fault::Complaint { records: true },
            Fault::Complaint { records: true },
            Fault::status(202, ErrorBody::Empty),
        ]);
        let when = match dice.below(2) {
            0 => When::Requests { first: dice.below(12), count: 1 + dice.below(2) },
            _ => When::Sometimes { per_mille: 150, within: 60 },
        };
        *self = std::mem::take(self).fault(when, fault);
    }

    /// Gives most errors the shapes that API7 has.
    fn api7_errors(&mut self, dice: &mut Dice) {
        for rule in &mut self.faults {
            if let Fault::Status { body, .. } = &mut rule.fault {
                *body = dice.pick([ErrorBody::ErrorMsg, ErrorBody::Message, ErrorBody::Html, *body]);
            }
        }
    }

    /// Adds events that appear minutes late, and such that appear hours late, which only re-scans find.
    fn sometimes_late(mut self, dice: &mut Dice) -> Self {
        if dice.chance(500) {
            self = self.late(90, 30).late(400, 100);
        }
        if dice.chance(400) {
            self = self.late(6 * HOUR_S, HOUR_S / 2).late(20 * HOUR_S, 2 * HOUR_S);
        }
        self
    }

    /// Adds a few faults that heal.
    fn roll_faults(&mut self, dice: &mut Dice) {
        let statuses = [500, 502, 503, 504, 429];
        let retry = [RetryAfter::None, RetryAfter::Seconds(1), RetryAfter::Seconds(30), RetryAfter::Date(20)];
        for _ in 0..dice.below(4) {
            let when = match dice.below(3) {
                0 => When::Requests { first: dice.below(12), count: 1 + dice.below(2) },
                1 => When::Sometimes { per_mille: dice.pick([100, 250]), within: 80 },
                _ => When::During { after_s: dice.pick([0, 600, 7200]), for_s: dice.pick([5, 60, 300]) },
            };
            let fault = match dice.below(7) {
                0 => Fault::CutBody,
                1 => Fault::ShortBody,
                2 => Fault::Stall { close_after_ms: Some(10) },
                3 => Fault::Trickle { pause_ms: 1 },
                _ => Fault::Status {
                    status: dice.pick(statuses),
                    body: dice.pick(ErrorBody::ALL),
                    retry_after: dice.pick(retry),
                },
            };
            *self = std::mem::take(self).fault(when, fault);
        }
        if dice.chance(250) {
            let fault = dice.pick([
                Fault::status(401, ErrorBody::Negotiated),
                Fault::status(403, ErrorBody::Empty),
                Fault::Redirect { elsewhere: true },
                Fault::Html,
            ]);
            let when = When::Requests { first: dice.below(8), count: 1 };
            *self = std::mem::take(self).fault(when, fault);
        }
        if dice.chance(150) {
            let when = When::Requests { first: dice.below(8), count: 1 };
            *self = std::mem::take(self).fault(when, Fault::Hang);
        }
    }

    /// A realistic week that is read in seconds on a real clock: some hundred events, a few of them late, a throttle and
    /// two broken answers that heal at once, and the records that reading causes.
    pub fn demo(provider: Provider) -> Self {
        let mut scenario = Self::new().seed(2024).live(120);
        scenario.odd_per_mille = 30;
        scenario.ties_per_mille = 20;
        scenario.gzip = true;
        scenario.others.human_every_s = Some(DAY_S);
        scenario = scenario
            .fault(When::Requests { first: 1, count: 1 }, Fault::throttle(RetryAfter::Seconds(1)))
            .fault(When::Requests { first: 3, count: 1 }, Fault::CutBody)
            .fault(
                When::Requests { first: 5, count: 1 },
                Fault::Status { status: 503, body: ErrorBody::Html, retry_after: RetryAfter::Seconds(1) },
            );
        match provider {
            Provider::PactFlow => scenario.history(7, 600).late(60, 2).late(200, 5).pactflow(|p| {
                p.own_records = OwnRecords::SameResponse;
                p.honours_page_size = true;
                p.default_page_size = 50;
            }),
            Provider::Api7 => scenario.history(7, 900).late(60, 2).late(200, 5).api7(|a| {
                a.max_page_size = 50;
                a.burst_s = HOUR_S;
                a.write_delay_s = 5;
            }),
            Provider::Mural => scenario.history(7, 1200).mural(|m| {
                m.straggler_60h_per_mille = 20;
                m.reextracted_per_mille = 50;
                m.final_token = FinalToken::ThenEmpty;
            }),
            Provider::SolaceCloud => scenario.history(7, 800).late(3 * HOUR_S, 1).solace_cloud(|s| {
                s.long_per_mille = 30;
                s.tells_permissions = true;
            }),
            Provider::Anypoint => scenario.history(7, 1000).anypoint(|a| {
                a.identical_per_mille = 20;
                a.burst_per_mille = 1;
                (a.guesses_per_mille, a.removals_per_mille) = (60, 200);
                a.short_pages = true;
                a.adopts_ids = true;
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_seed_is_a_scenario_that_survives_a_file(seed in any::<u64>()) {
            for provider in Provider::ALL {
                let scenario = Scenario::seeded(*provider, seed);
                prop_assert_eq!(&scenario, &Scenario::seeded(*provider, seed));
                let text = serde_json::to_string(&scenario).unwrap();
                prop_assert_eq!(&scenario, &serde_json::from_str::<Scenario>(&text).unwrap());
            }
        }
    }

    #[test]
    fn every_name_is_a_scenario_and_no_other_is() {
        for provider in Provider::ALL {
            for name in Scenario::NAMES {
                assert!(Scenario::named(*provider, name).is_some(), "{provider} {name}");
            }
            assert_eq!(Scenario::named(*provider, "nonsense"), None);
        }
    }

    #[test]
    fn seeds_reach_every_kind_of_trouble() {
        let all: Vec<Scenario> = (0..400).map(|seed| Scenario::seeded(Provider::PactFlow, seed)).collect();
        let some = |has: &dyn Fn(&Scenario) -> bool| all.iter().filter(|scenario| has(scenario)).count() > 10;
        assert!(some(&|s| s.faults.iter().any(|f| f.fault == Fault::Hang)));
        assert!(some(&|s| s.faults.iter().any(|f| f.fault == Fault::CutBody)));
        assert!(some(&|s| s.faults.is_empty()));
        assert!(some(&|s| s.pactflow.links == Links::OtherHost));
        assert!(some(&|s| s.pactflow.own_records == OwnRecords::SameResponse && s.pactflow.default_page_size == 2));
    }
}
