//! Anypoint's logins, through the real runtime: what they cost, and what happens when they go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use crate::support;
use chrono::TimeDelta;
use headwater_contracts::{Clock, Timestamp};
use headwater_ledger::MemoryLedger;
use headwater_simulator::{Provider, Scenario, Seen, Simulator};
use headwater_testkit::{clock::TestClock, rig::Rig, saboteur::Saboteur};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Of the real clock, and far from what any of these needs on a slow machine.
const HANGS: Duration = Duration::from_mins(2);

struct Stage {
    clock: TestClock,
    simulator: Simulator,
    rig: Rig,
}

impl Stage {
    fn new(scenario: Scenario) -> Self {
        let clock = TestClock::at("2026-01-15T12:00:00Z".parse::<Timestamp>().unwrap());
        let simulator = Simulator::start(Provider::Anypoint, scenario, Arc::new(clock.clone())).unwrap();
        let rig = Rig::new(clock.clone(), Arc::new(MemoryLedger::new()));
        Self { clock, simulator, rig }
    }

    /// Polls once. False where that fails, or has not ended after two days of the test's clock.
    async fn poll(&self, more: &serde_json::Value) -> bool {
        let built =
            support::build_anypoint_with(self.simulator.url(), self.simulator.credential(), &self.rig.options, more);
        let nobody = Saboteur::idle();
        let patience = self.clock.now() + TimeDelta::days(2);
        let lost = async {
            while self.clock.now() < patience {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            ended = self.rig.run(built, &nobody) => ended.is_ok(),
            () = lost => false,
            () = tokio::time::sleep(HANGS) => panic!("neither an end nor two days in {HANGS:?}"),
        }
    }

    fn logins(&self) -> Vec<Seen> {
        let requests = self.simulator.ledger().requests();
        requests.into_iter().filter(|seen| seen.path.starts_with("/accounts/")).collect()
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    support::runtime().block_on(test)
}

#[test]
fn one_token_serves_all_streams_of_a_run() {
    run(async {
        let stage = Stage::new(Scenario::new().history(7, 300));
        assert!(stage.poll(&json!({})).await);
        assert_eq!(stage.logins().len(), 1, "three organizations, one login");
        assert_eq!(stage.rig.recorder.arrived().len(), 300);
    });
}

#[test]
fn a_server_that_refuses_long_ranges_is_asked_for_shorter_ones() {
    run(async {
        for longest in [1, 3] {
            let stage = Stage::new(Scenario::new().history(60, 60).anypoint(|a| a.longest_range_days = Some(longest)));
            assert!(stage.poll(&json!({ "retention": "365d" })).await);
            assert_eq!(stage.rig.recorder.arrived().len(), 60);
            let requests = stage.simulator.ledger().requests();
            let refused = requests.iter().filter(|seen| seen.status == Some(400)).count();
            assert!((3..=9).contains(&refused), "each organization learns it once: {refused}");
        }
    });
}

#[test]
fn a_token_that_dies_early_or_says_nothing_of_its_end_is_replaced() {
    run(async {
        for expires_in in [Some(3600), None] {
            let scenario = Scenario::new().history(14, 300).anypoint(|a| {
                a.expires_in_s = expires_in;
                // Reading 14 days is throttled to last longer than this.
                a.token_life_s = 120;
                a.per_minute = Some(6);
            });
            let stage = Stage::new(scenario);
            assert!(stage.poll(&json!({})).await);
            assert_eq!(stage.rig.recorder.arrived().len(), 300);
            assert!((2..8).contains(&stage.logins().len()), "{} logins", stage.logins().len());
        }
    });
}

#[test]
fn a_throttled_login_waits_as_long_as_it_is_told() {
    run(async {
        let stage = Stage::new(Scenario::new().history(3, 50).anypoint(|a| a.throttled_logins = 2));
        assert!(stage.poll(&json!({})).await);
        let logins = stage.logins();
        assert_eq!(logins.iter().map(|seen| seen.status).collect::<Vec<_>>(), [Some(429), Some(429), Some(200)]);
        assert!(logins.windows(2).all(|two| two[1].at - two[0].at >= TimeDelta::seconds(30)));
    });
}

#[test]
fn an_organization_without_permission_costs_few_logins_and_no_other_organization() {
    run(async {
        for status in [401, 403] {
            let scenario = Scenario::new().history(3, 60).live(10).anypoint(|a| {
                a.forbidden = vec![1];
                a.forbidden_status = status;
                a.expires_in_s = Some(86_400);
                a.token_life_s = 86_400;
            });
            let stage = Stage::new(scenario);
            let began = stage.clock.now();
            assert!(!stage.poll(&json!({})).await, "the forbidden stream goes on trying");
            let hours = (stage.clock.now() - began).num_hours();
            assert!(hours >= 24, "{hours} hours passed");
            let logins = i64::try_from(stage.logins().len()).unwrap();
            // The token is renewed once a day; a doubling floor ends at one an hour.
            assert!(
                logins <= if status == 401 { 8 + hours } else { 2 + hours / 19 },
                "{logins} logins in {hours} hours ({status})"
            );
            assert!(stage.rig.recorder.arrived().len() > 30, "the other organizations are read");
        }
    });
}

#[test]
fn a_wrong_secret_is_tried_ever_more_rarely() {
    run(async {
        let stage = Stage::new(Scenario::new().history(1, 10));
        let began = stage.clock.now();
        assert!(
            !stage
                .poll(&json!({ "auth": { "client_id": "4f6e1a0b9c8d4e7fa1b2c3d4e5f60718", "client_secret": "wrong" } }))
                .await
        );
        let hours = (stage.clock.now() - began).num_hours();
        let logins = i64::try_from(stage.logins().len()).unwrap();
        assert!(hours > 2 && logins <= 7 + hours, "{logins} logins in {hours} hours");
    });
}

#[test]
fn a_user_logs_in_with_json_and_a_token_of_ones_own_needs_no_login() {
    run(async {
        let stage = Stage::new(Scenario::new().history(3, 50));
        assert!(
            stage.poll(&json!({ "auth": { "username": "sim-auditor", "password": "sim-anypoint-password" } })).await
        );
        let logins = stage.logins();
        assert_eq!(logins.len(), 1);
        assert_eq!(
            (logins[0].path.as_str(), logins[0].header("content-type")),
            ("/accounts/login", Some("application/json"))
        );
    });
}
