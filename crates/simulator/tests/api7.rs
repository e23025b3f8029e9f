//! What a client of the simulated API7 control plane sees: one test, or more, for each row of the crate's table.

mod common;

use common::{Stage, all, body};
use headwater_simulator::{AuditReads, ClockStep, Drift, EmptyList, ErrorBody, Fault, Kind, Scenario, TimeUnit, When};
use serde_json::Value;
use std::collections::BTreeSet;

fn small(events: u32) -> Scenario {
    Scenario::new().history(10, events).api7(|a| a.reads = AuditReads::NotLogged)
}

fn entries(page: &Value) -> Vec<Value> {
    page["list"].as_array().cloned().unwrap_or_default()
}

/// Seconds of a Stage's start, noon of 15 March 2024.
const NOON: i64 = 1_710_504_000;

#[tokio::test]
async fn item_1_hundreds_share_a_second_in_an_order_that_changes() {
    let stage = Stage::api7(small(900).api7(|a| a.burst_s = 86_400));
    let whole = stage.json("page_size=500&direction=asc").await;
    let times: Vec<i64> = entries(&whole).iter().map(|entry| entry["event_time"].as_i64().unwrap()).collect();
    assert!(times.is_sorted());
    let most = times.chunk_by(|a, b| a == b).map(<[i64]>::len).max().unwrap();
    assert!(most > 50, "{most}");
    let again = stage.json("page_size=500&direction=asc").await;
    assert_ne!(all(&entries(&whole), "id"), all(&entries(&again), "id"));
    // So that paging through them once repeats some and misses others.
    let mut seen = BTreeSet::new();
    for page in 1..=18 {
        seen.extend(all(&entries(&stage.json(&format!("page_size=50&page={page}&direction=asc")).await), "id"));
    }
    assert!(seen.len() < 900, "{}", seen.len());
}

#[tokio::test]
async fn item_2_pages() {
    let stage = Stage::api7(small(200).api7(|a| a.max_page_size = 50));
    assert_eq!(entries(&stage.json("").await).len(), 10);
    let page = stage.json("page_size=1000").await;
    assert_eq!((entries(&page).len(), page["total"].as_u64()), (50, Some(200)));
    assert_eq!(stage.json("page=99").await["list"], serde_json::json!([]));
    let stage = Stage::api7(small(5).api7(|a| a.empty_list = EmptyList::Null));
    assert_eq!(stage.json("page=99").await["list"], Value::Null);
    for bad in ["page=0", "page_size=0", "page=x", "start_at=now", "direction=up", "order_by=id"] {
        let answer = stage.get(bad).await;
        assert_eq!(answer.status(), 400, "{bad}");
        assert!(body(answer).await["error_msg"].is_string());
    }
}

#[tokio::test]
async fn item_3_rows_come_and_go_between_pages() {
    let drift = Drift { events_per_request: 3, min_age_s: 0, max_age_s: 300, requests: 100 };
    let stage = Stage::api7(Scenario { drift: Some(drift), ..small(100) });
    for direction in ["asc", "desc"] {
        let first = stage.json(&format!("direction={direction}")).await["total"].as_u64().unwrap();
        let second = stage.json(&format!("direction={direction}&page=2")).await["total"].as_u64().unwrap();
        assert_eq!(second, first + 3);
    }
    let stage = Stage::api7(small(100).late(7200, 60).api7(|a| a.retention_days = 8));
    let before = stage.json("direction=asc&page_size=500").await;
    stage.pass(61);
    let after = stage.json("direction=asc&page_size=500").await;
    let (before, after) = (all(&entries(&before), "id"), all(&entries(&after), "id"));
    assert_eq!(after.iter().filter(|id| !before.contains(id)).count(), 1, "a late row");
    let first = all(&entries(&stage.json("direction=asc&page_size=20").await), "id");
    stage.pass(86_400);
    let second = stage.json("direction=asc&page_size=20&page=2").await;
    assert!(second["total"].as_u64().unwrap() < after.len() as u64, "retention");
    let shown = [first, all(&entries(&second), "id")].concat();
    let still = all(&entries(&stage.json("direction=asc&page_size=20").await), "id");
    assert!(still.iter().any(|id| !shown.contains(id)), "what has moved to the first page is on no later one");
}

#[tokio::test]
async fn item_4_the_total_is_that_of_the_filter() {
    let stage = Stage::api7(small(300));
    let whole = stage.json("page_size=500").await;
    let logins = entries(&whole).iter().filter(|entry| entry["event_type"] == "Login").count();
    let filtered = stage.json("event_type=Login&page_size=5").await;
    assert_eq!(filtered["total"].as_u64(), Some(logins as u64));
    let all = entries(&whole);
    let one = all.iter().find(|entry| entry["resource_id"].is_string()).unwrap();
    let (operator, resource) = (&one["operator"]["id"], &one["resource_id"]);
    let same = |entry: &&Value| entry["operator"]["id"] == *operator && entry["resource_id"] == *resource;
    let query = format!("operator_id={}&resource_id={}", operator.as_str().unwrap(), resource.as_str().unwrap());
    let expected = all.iter().filter(same).count() as u64;
    assert_eq!(stage.json(&query).await["total"].as_u64(), Some(expected));
}

#[tokio::test]
async fn item_5_units_and_bounds() {
    for unit in [TimeUnit::Seconds, TimeUnit::Milliseconds] {
        for (start, end) in [(false, false), (false, true), (true, false), (true, true)] {
            let stage = Stage::api7(small(100).api7(|a| {
                (a.unit, a.start_inclusive, a.end_inclusive) = (unit, start, end);
            }));
            let page = stage.json("page_size=500&direction=asc").await;
            let times: Vec<i64> = entries(&page).iter().map(|entry| entry["event_time"].as_i64().unwrap()).collect();
            assert_eq!(times[0] > 100_000_000_000, unit == TimeUnit::Milliseconds);
            let window = stage.json(&format!("start_at={}&end_at={}&page_size=500", times[3], times[9])).await;
            assert_eq!(entries(&window).len(), 5 + usize::from(start) + usize::from(end), "{unit:?} {start} {end}");
        }
    }
}

#[tokio::test]
async fn item_6_readings_are_recorded_or_not_or_with_their_answers() {
    for reads in [AuditReads::NotLogged, AuditReads::Logged, AuditReads::WithBodies] {
        let stage = Stage::api7(small(20).api7(|a| a.reads = reads));
        let mut sizes = Vec::new();
        for _ in 0..4 {
            stage.pass(1);
            stage.get(&format!("start_at={NOON}")).await.bytes().await.unwrap();
            sizes.push(stage.get(&format!("start_at={NOON}&page=1")).await.bytes().await.unwrap().len());
        }
        let page = stage.json(&format!("start_at={NOON}&direction=asc")).await;
        let own = entries(&page);
        match reads {
            AuditReads::NotLogged => assert!(own.is_empty()),
            AuditReads::Logged => {
                assert_eq!(own[0]["http_request"]["user_agent"], common::OURS);
                assert_eq!(own[0]["http_request"]["uri"], format!("/api/audit_logs?start_at={NOON}"));
                assert_eq!((&own[0]["token_name"], &own[0]["source"]), (&"headwater".into(), &"api".into()));
                assert!(sizes[3] < 10_000, "{sizes:?}");
            }
            AuditReads::WithBodies => assert!(sizes[3] > 8 * sizes[0], "it snowballs: {sizes:?}"),
        }
    }
}

#[tokio::test]
async fn item_7_others_read_the_log() {
    let mut scenario = small(20).api7(|a| a.reads = AuditReads::Logged);
    scenario.others.second_collector_every_s = Some(86_400);
    scenario.others.human_every_s = Some(86_400);
    scenario.others.spoofed_every_s = Some(86_400);
    let stage = Stage::api7(scenario);
    let page = stage.json("page_size=500").await;
    let reads: Vec<Value> = entries(&page).into_iter().filter(|e| e["event_type"] == "List Audit Logs").collect();
    let of = |kind: Kind| -> Vec<&Value> {
        reads
            .iter()
            .filter(|e| stage.simulator.ledger().event(e["id"].as_str().unwrap()).unwrap().kind == kind)
            .collect()
    };
    let (second, human, spoofed) = (of(Kind::SecondCollector), of(Kind::Human), of(Kind::Spoofed));
    assert!(!second.is_empty() && !human.is_empty() && !spoofed.is_empty());
    assert_eq!(
        (&second[0]["operator"], &second[0]["token_name"]),
        (&spoofed[0]["operator"], &"other-collector".into())
    );
    assert_ne!(human[0]["operator"], spoofed[0]["operator"]);
    assert_eq!(spoofed[0]["token_name"], "headwater");
    assert!(spoofed[0]["http_request"]["user_agent"].as_str().unwrap().starts_with("headwater/"));
}

#[tokio::test]
async fn item_8_credentials_and_permissions() {
    let stage = Stage::api7(small(5).api7(|a| (a.event_types_forbidden, a.export_forbidden) = (true, true)));
    let token = stage.simulator.credential();
    let url = |path: &str| format!("{}{path}", stage.simulator.url());
    let list = url("/api/audit_logs");
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(stage.client.get(&list).header("x-api-key", token)).await, 200);
    assert_eq!(status(stage.client.get(&list).header("cookie", format!("a=b; X-API-KEY={token}"))).await, 200);
    assert_eq!(status(stage.client.get(&list).header("authorization", &stage.authorization)).await, 401);
    assert_eq!(
        status(stage.client.get(&list).header("x-api-key", stage.simulator.unprivileged_credential())).await,
        403
    );
    for path in ["/api/audit_logs/event_types", "/api/audit_logs/export?format=json"] {
        assert_eq!(status(stage.client.get(url(path)).header("x-api-key", token)).await, 403, "{path}");
    }
    // Regenerated, or expired, in the middle of a window.
    let stage =
        Stage::api7(small(5).fault(When::Requests { first: 1, count: 1 }, Fault::status(401, ErrorBody::ErrorMsg)));
    assert_eq!([stage.status("").await, stage.status("page=2").await, stage.status("page=2").await], [200, 401, 200]);
}

#[tokio::test]
async fn item_9_errors_in_both_shapes() {
    for (shape, key) in [(ErrorBody::ErrorMsg, "error_msg"), (ErrorBody::Message, "message")] {
        let stage = Stage::api7(small(5).api7(|a| a.error_body = shape));
        assert!(body(stage.get("page=0").await).await[key].is_string());
    }
}

#[tokio::test]
async fn item_9_a_certificate_of_its_own_is_for_those_who_know_it() {
    let stage = Stage::api7(Scenario { tls: true, ..small(5) });
    assert!(stage.simulator.url().starts_with("https://127.0.0.1:"));
    let refused = stage.request("").send().await.unwrap_err();
    assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");
    let authority = reqwest::Certificate::from_pem(stage.simulator.certificate().unwrap().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_merge([authority]).build().unwrap();
    let answer = client.execute(stage.request("").build().unwrap()).await.unwrap();
    assert_eq!(body(answer).await["total"], 5);
    assert!(Stage::api7(small(1)).simulator.certificate().is_none());
}

#[tokio::test]
async fn item_10_odd_entries() {
    let mut scenario = small(400);
    scenario.odd_per_mille = 500;
    let stage = Stage::api7(scenario);
    let entries = entries(&stage.json("page_size=500").await);
    assert!(entries.iter().any(|e| e["operator"].is_null() && e["event_type"] == "Login"));
    assert!(entries.iter().any(|e| e["source"] == "terraform" && e["resource_diff"].is_object()));
    assert!(entries.iter().any(|e| e.to_string().len() > 20_000));
    assert!(entries.iter().any(|e| e["http_request"]["body"]["password"] == "******"));
    assert!(entries.iter().any(|e| e.get("source").is_none()));
}

#[tokio::test]
async fn item_11_exports_and_clock_steps() {
    let stage = Stage::api7(small(30));
    let export = async |query: &str| {
        let url = format!("{}/api/audit_logs/export{query}", stage.simulator.url());
        stage.client.get(url).header("x-api-key", stage.simulator.credential()).send().await.unwrap()
    };
    assert_eq!(export("").await.status(), 400);
    assert_eq!(body(export("?format=json").await).await.as_array().unwrap().len(), 30);
    assert_eq!(export("?format=csv").await.text().await.unwrap().lines().count(), 31);

    let mut scenario = small(30).live(600);
    scenario.clock_steps = vec![ClockStep { after_s: 600, by_s: -1800 }];
    let stage = Stage::api7(scenario);
    stage.pass(599);
    let before = stage.json("page_size=500").await["total"].as_u64().unwrap();
    stage.pass(1);
    let now = stage.simulator.now();
    assert_eq!(now.timestamp(), NOON + 600 - 1800);
    assert!(stage.json("page_size=500").await["total"].as_u64().unwrap() >= before, "what was shown stays shown");
    stage.pass(600);
    let newer = stage.json(&format!("start_at={}&end_at={}&page_size=500", NOON - 1200, NOON - 600)).await;
    assert!(newer["total"].as_u64().unwrap() > 50, "life goes on at the time the clock shows");
}
