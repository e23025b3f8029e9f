//! What a client of the simulated Mural sees: one test, or more, for each row of the crate's table.

mod common;

use common::{Stage, all, body, continued, window};
use headwater_simulator::{Dates, Drift, ErrorBody, Fault, FinalToken, Kind, RetryAfter, Scenario, When, WideWindow};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

const DAY_S: i64 = 86_400;

fn small(events: u32) -> Scenario {
    Scenario::new().history(10, events)
}

fn whole() -> String {
    window("2024-03-01T00:00:00Z", "2024-03-30T00:00:00Z")
}

#[tokio::test]
async fn item_1_an_entry_appears_at_a_daily_extraction_24_to_48_hours_later() {
    let stage = Stage::mural(small(2000).mural(|m| {
        m.straggler_60h_per_mille = 50;
        m.straggler_5d_per_mille = 30;
    }));
    let now = stage.simulator.now();
    let (entries, ended) = stage.chain(&whole(), 5).await;
    assert!(ended);
    let ledger = stage.simulator.ledger();
    let visible: BTreeSet<String> = ledger.visible_ids(now).into_iter().collect();
    assert_eq!(all(&entries, "id").into_iter().collect::<BTreeSet<_>>(), visible);
    let delays: Vec<i64> = ledger.events().iter().map(|e| (e.visible_at - e.time).num_hours()).collect();
    let share = |hours: std::ops::Range<i64>| delays.iter().filter(|hour| hours.contains(hour)).count();
    assert!(share(24..48) > 1700 && share(60..84) > 50 && share(120..144) > 20);
    assert_eq!(share(24..48) + share(60..84) + share(120..144), delays.len());
    assert!(ledger.events().iter().all(|e| e.visible_at.timestamp() % DAY_S == 6 * 3600));
    // A reader who remembers the newest date misses what appears below it.
    let newest = entries[0]["date"].as_str().unwrap().to_owned();
    stage.pass(6 * DAY_S);
    let (later, _) = stage.chain(&whole(), 5).await;
    let new = later.iter().filter(|e| !visible.contains(e["id"].as_str().unwrap()));
    assert!(new.filter(|e| e["date"].as_str().unwrap() < newest.as_str()).count() > 10);
}

#[tokio::test]
async fn item_2_extraction_may_change_the_snapshot_date_alone() {
    let stage = Stage::mural(small(300).mural(|m| m.reextracted_per_mille = 400));
    let by_id = |entries: Vec<Value>| -> HashMap<String, Value> {
        entries.into_iter().map(|e| (e["id"].as_str().unwrap().to_owned(), e)).collect()
    };
    let before = by_id(stage.chain(&whole(), 5).await.0);
    stage.pass(4 * DAY_S);
    let mut after = by_id(stage.chain(&whole(), 5).await.0);
    let mut changed = 0;
    for (id, old) in &before {
        let new = after.get_mut(id).unwrap();
        let truth = stage.simulator.ledger().event(id).unwrap();
        changed += i32::from(new["snapshotDate"] != old["snapshotDate"]);
        assert!(truth.forms.len() <= 2);
        new["snapshotDate"] = old["snapshotDate"].clone();
        assert_eq!(new, old);
    }
    assert!(changed > 5, "{changed}");
}

#[tokio::test]
async fn item_3_newest_first_with_ties_across_pages() {
    let mut scenario = small(400);
    scenario.ties_per_mille = 600;
    let stage = Stage::mural(scenario);
    let (entries, ended) = stage.chain(&format!("{}&maxResults=3", whole()), 400).await;
    assert!(ended);
    let dates = all(&entries, "date");
    assert!(dates.iter().rev().is_sorted());
    assert!(dates.chunks(3).zip(dates.chunks(3).skip(1)).any(|(page, next)| page.last() == next.first()));
    assert_eq!(all(&entries, "id").into_iter().collect::<BTreeSet<_>>().len(), entries.len());
    for (limit, fits, exceeds) in [(50_000, "50000", "50001"), (1000, "1000", "1001")] {
        let stage = Stage::mural(small(5).mural(|m| m.max_results = limit));
        assert_eq!(stage.status(&format!("maxResults={fits}")).await, 200);
        for bad in [exceeds, "0", "-1", "many"] {
            assert_eq!(stage.status(&format!("maxResults={bad}")).await, 400, "{bad}");
        }
    }
}

#[tokio::test]
async fn item_4_a_chain_reads_a_frozen_result() {
    let drift = Drift { events_per_request: 5, min_age_s: 90_000, max_age_s: 160_000, requests: 100 };
    let stage = Stage::mural(Scenario { drift: Some(drift), ..small(200) });
    let before = stage.simulator.ledger().visible_ids(stage.simulator.now()).len() + 5;
    let page = stage.json(&format!("{}&maxResults=50", whole())).await;
    let token = page["nextToken"].as_str().unwrap();
    // Everything but maxResults is ignored beside a token, and what has appeared since is not there.
    let rest = stage.json(&continued("filter%5Baction%5D=NOTHING&maxResults=20000", token)).await;
    assert_eq!(50 + rest["data"].as_array().unwrap().len(), before);
    assert_eq!(stage.status("nextToken=nonsense").await, 400);
    stage.pass(3601);
    assert_eq!(stage.status(&continued("", token)).await, 400);
}

#[tokio::test]
async fn item_4_a_chain_ends_in_different_ways() {
    for mode in [FinalToken::Absent, FinalToken::Null, FinalToken::EmptyString, FinalToken::ThenEmpty] {
        let stage = Stage::mural(small(100).mural(|m| m.final_token = mode));
        let page = stage.json(&whole()).await;
        let token = page.get("nextToken");
        match mode {
            FinalToken::Absent => assert_eq!(token, None),
            FinalToken::Null => assert_eq!(token, Some(&Value::Null)),
            FinalToken::EmptyString => assert_eq!(token, Some(&Value::from(""))),
            FinalToken::ThenEmpty => {
                let last = stage.json(&continued("", token.unwrap().as_str().unwrap())).await;
                assert_eq!(last["data"], serde_json::json!([]));
                assert_eq!(last.get("nextToken"), token);
            }
        }
        let (entries, ended) = stage.chain(&format!("{}&maxResults=7", whole()), 40).await;
        assert!(ended && entries.len() == page["data"].as_array().unwrap().len());
    }
}

#[tokio::test]
async fn a_page_may_call_itself_an_error() {
    let with = |records| When::Requests { first: u64::from(records), count: 1 };
    let scenario = [false, true]
        .into_iter()
        .fold(small(100), |scenario, records| scenario.fault(with(records), Fault::Complaint { records }));
    let stage = Stage::mural(scenario);
    let records = |page: &Value| page["data"].as_array().unwrap().len();
    let (empty, half, whole) = (stage.json(&whole()).await, stage.json(&whole()).await, stage.json(&whole()).await);
    assert!(empty["errors"].is_array() && half["errors"].is_array() && whole.get("errors").is_none());
    assert_eq!((records(&empty), records(&half)), (0, records(&whole).div_ceil(2)));
}

#[tokio::test]
async fn item_12_a_page_may_come_after_empty_ones_that_lead_to_it() {
    let stage = Stage::mural(small(100).mural(|m| m.empty_pages_per_mille = 500));
    let whole_chain = stage.chain(&whole(), 1).await.0;
    let first = format!("{}&maxResults=7", whole());
    let (mut page, mut entries, mut empty) = (stage.json(&first).await, Vec::new(), 0);
    loop {
        let data = page["data"].as_array().unwrap().clone();
        empty += i32::from(data.is_empty());
        entries.extend(data);
        let Some(token) = page["nextToken"].as_str() else { break };
        page = stage.json(&format!("{}&maxResults=7", continued("", token))).await;
    }
    assert_eq!(entries, whole_chain);
    assert!(empty > 2, "{empty}");
}

#[tokio::test]
async fn item_4_a_token_may_repeat_until_the_next_chain() {
    let stage = Stage::mural(small(100).mural(|m| m.repeating_chains = 1));
    let (_, ended) = stage.chain(&format!("{}&maxResults=60", whole()), 10).await;
    assert!(!ended);
    assert!(stage.chain(&format!("{}&maxResults=60", whole()), 10).await.1);
}

#[tokio::test]
async fn item_5_windows() {
    let dates = |page: &Value| all(page["data"].as_array().unwrap(), "date");
    let stage = Stage::mural(Scenario::new().history(50, 1000));
    let week = dates(&stage.json("").await);
    assert!(week.iter().all(|date| date.as_str() >= "2024-03-08T12:00:00") && week.len() > 80);
    let old = dates(&stage.json(&window("2024-01-25T00:00:00Z", "2024-02-13T00:00:00Z")).await);
    assert_eq!(old.len(), 0, "older than 30 days");
    for (mode, first, last) in
        [(WideWindow::ClampOld, "2024-03-02", "2024-02-14"), (WideWindow::ClampNew, "2024-03-15", "2024-02-14T12")]
    {
        let stage = Stage::mural(Scenario::new().history(50, 1000).mural(|m| m.wide_window = mode));
        let dates = dates(&stage.json(&window("2024-02-01T00:00:00Z", "2024-03-15T12:00:00Z")).await);
        assert!(
            dates[0].as_str() < first && dates[dates.len() - 1].as_str() >= last,
            "{mode:?} {} {}",
            dates[0],
            dates[dates.len() - 1]
        );
    }
    assert_eq!(stage.status(&window("2024-02-01T00:00:00Z", "2024-03-15T12:00:00Z")).await, 400);
    assert_eq!(stage.status(&window("yesterday", "2024-03-15")).await, 400);
    assert_eq!(stage.status(&window("2024-03-15", "2024-03-14")).await, 400);
    let inclusive = window(&week[9], &week[3]);
    assert_eq!(dates(&stage.json(&inclusive).await), week[3..10]);
}

#[tokio::test]
async fn item_6_unknown_parameters_are_ignored() {
    let stage = Stage::mural(small(100));
    let (all, ignored) = (stage.json("").await, stage.json("filter%5C%5Bdate%5C%5D=2020-01-01&page=9").await);
    assert_eq!(all["data"], ignored["data"]);
}

#[tokio::test]
async fn actions_are_filtered_up_to_ten() {
    let stage = Stage::mural(small(300));
    let page = stage.json(&format!("{}&filter%5Baction%5D=CREATE_MURAL,RENAME_MURAL", whole())).await;
    let actions: BTreeSet<_> = all(page["data"].as_array().unwrap(), "action").into_iter().collect();
    assert_eq!(actions, BTreeSet::from(["CREATE_MURAL".to_owned(), "RENAME_MURAL".to_owned()]));
    assert_eq!(stage.status(&format!("filter%5Baction%5D={}", ["A"; 11].join(","))).await, 400);
}

#[tokio::test]
async fn item_7_the_quota_is_shared_and_refills() {
    let stage = Stage::mural(small(5).mural(|m| {
        m.quota = Some(20);
        m.other_calls_per_day = 12;
    }));
    let mut granted = 0;
    let refusal = loop {
        let answer = stage.get("").await;
        if answer.status() != 200 {
            break answer;
        }
        granted += 1;
    };
    assert_eq!(refusal.status(), 429);
    assert!((7..=8).contains(&granted), "{granted}");
    let wait: i64 = refusal.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=7200).contains(&wait), "{wait}");
    assert!(body(refusal).await["code"].is_string());
    stage.pass(DAY_S);
    assert_eq!(stage.status("").await, 200);
}

#[tokio::test]
async fn item_7_refusals_may_say_nothing() {
    let stage = Stage::mural(small(5).mural(|m| {
        m.quota = Some(0);
        m.quota_retry_after = Some(RetryAfter::None);
        m.quota_body = ErrorBody::Html;
    }));
    let refusal = stage.get("").await;
    assert_eq!((refusal.status().as_u16(), refusal.headers().get("retry-after")), (429, None));
    assert!(refusal.text().await.unwrap().starts_with("<!DOCTYPE"));
}

#[tokio::test]
async fn item_8_the_scheme_is_compared_literally() {
    let mut stage = Stage::mural(small(5));
    let key = stage.simulator.credential().to_owned();
    for (authorization, status) in [
        (format!("Bearer {key}"), 401),
        (format!("ApiKey {key}"), 401),
        (format!("apikey  {key}"), 401),
        (key.clone(), 401),
        (format!("apikey {}", stage.simulator.unprivileged_credential()), 403),
        (format!("apikey {key}"), 200),
    ] {
        stage.authorization = authorization;
        assert_eq!(stage.status("").await, status, "{}", stage.authorization);
    }
}

#[tokio::test]
async fn item_8_a_key_is_revoked_in_mid_chain_and_comes_back() {
    let fault = Fault::status(401, ErrorBody::CodeMessage);
    let stage = Stage::mural(small(100).fault(When::During { after_s: 10, for_s: 100 }, fault));
    let page = stage.json(&format!("{}&maxResults=10", whole())).await;
    let next = continued("maxResults=10", page["nextToken"].as_str().unwrap());
    stage.pass(10);
    assert_eq!(stage.status(&next).await, 401);
    stage.pass(100);
    assert_eq!(stage.status(&next).await, 200);
}

#[tokio::test]
async fn item_9_readings_are_recorded_with_the_usual_delay() {
    let mut scenario = small(0);
    scenario.others.second_collector_every_s = Some(43_200);
    scenario.others.human_every_s = Some(86_400);
    scenario.others.spoofed_every_s = Some(86_400);
    let stage = Stage::mural(scenario);
    stage.json("").await;
    let ledger = stage.simulator.ledger();
    let own = ledger.events().into_iter().find(|event| event.kind == Kind::OwnCollector).unwrap();
    assert!((24..48).contains(&(own.visible_at - own.time).num_hours()));
    assert!(!ledger.visible_ids(stage.simulator.now()).contains(&own.id));
    stage.pass(2 * DAY_S);
    let page = stage.json(&whole()).await;
    let data = page["data"].as_array().unwrap();
    let actor = |kind| {
        let ids: BTreeSet<_> = ledger.events().iter().filter(|e| e.kind == kind).map(|e| e.id.clone()).collect();
        let found = data.iter().find(|e| ids.contains(e["id"].as_str().unwrap())).unwrap();
        assert_eq!(found["action"], "ACCESS_AUDIT_LOG");
        (found["actor"]["type"].clone(), found["actor"]["id"].clone(), found["ip"].clone())
    };
    let (own, thief) = (actor(Kind::OwnCollector), actor(Kind::Spoofed));
    assert_eq!((&own.0, &own.1), (&thief.0, &thief.1));
    assert_ne!(own.2, thief.2);
    assert_eq!(actor(Kind::SecondCollector).0, "APIKEY");
    assert_ne!(actor(Kind::SecondCollector).1, own.1);
    assert_eq!(actor(Kind::Human).0, "USER");
}

#[tokio::test]
async fn item_10_odd_entries_and_both_date_formats() {
    let mut scenario = small(400).mural(|m| m.dates = Dates::Legacy);
    scenario.odd_per_mille = 500;
    let page = Stage::mural(scenario).json(&whole()).await;
    let some = |has: &dyn Fn(&Value) -> bool| page["data"].as_array().unwrap().iter().any(has);
    assert!(some(&|e| e["actor"].get("email").is_none()) && some(&|e| e["actor"].get("email") == Some(&Value::Null)));
    assert!(some(&|e| e.get("affected") == Some(&Value::Null)) && some(&|e| e["origin"].is_object()));
    assert!(some(&|e| e["actor"]["type"] == "ROBOT") && some(&|e| e["action"] == "CALIBRATE_HOLOGRAM"));
    assert!(some(&|e| e["destination"].is_object()) && some(&|e| e.get("ip").is_none()));
    let is_legacy =
        |e: &Value, key: &str| e[key].as_str().is_some_and(|date| date.len() == 23 && date.as_bytes()[10] == b' ');
    assert!(page["data"].as_array().unwrap().iter().all(|e| is_legacy(e, "date") && is_legacy(e, "snapshotDate")));
}

#[tokio::test]
async fn item_11_a_page_of_fifty_thousand_streams_whole_and_broken() {
    let mut scenario = Scenario::new().history(20, 60_000).fault(When::Requests { first: 1, count: 1 }, Fault::CutBody);
    scenario.gzip = true;
    let stage = Stage::mural(scenario);
    let wide = window("2024-02-20T00:00:00Z", "2024-03-16T00:00:00Z");
    let page = stage.json(&wide).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 50_000);
    assert!(stage.get(&wide).await.bytes().await.is_err());
    let id = page["data"][0]["id"].as_str().unwrap();
    assert_eq!(stage.simulator.ledger().served(id), 2);
    assert_eq!(stage.simulator.ledger().served("node-nothing"), 0);
}
