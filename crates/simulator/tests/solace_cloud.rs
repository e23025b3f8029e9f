//! What a client of the simulated Solace Cloud sees: one test, or more, for each row of the crate's table.
#![allow(clippy::unwrap_used)] // this is a test

mod common;

use common::{Stage, all, body};
use headwater_simulator::{
    Drift, Fault, LastPage, LimitBody, PastEnd, Provider, RetryAfter, Scenario, SolaceCloudOptions, TimeFilter,
    TokenScope, When,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

fn small(events: u32, change: impl FnOnce(&mut SolaceCloudOptions)) -> Scenario {
    Scenario::new().history(10, events).solace_cloud(change)
}

fn data(page: &Value) -> &Vec<Value> {
    page["data"].as_array().unwrap()
}

fn pagination<'v>(page: &'v Value, key: &str) -> &'v Value {
    &page["meta"]["pagination"][key]
}

#[tokio::test]
async fn items_1_and_14_tokens_see_all_or_a_part_or_nothing() {
    let stage = Stage::solace_cloud(small(300, |s| s.max_page_size = 1000));
    let everything = data(&stage.json("pageSize=1000").await).len();
    assert_eq!(everything, 300);
    for (token, status) in [("sim-solace-token-of-the-european-union", 401), ("nonsense", 401)] {
        let mut stranger = Stage::solace_cloud(small(1, |_| {}));
        stranger.authorization = format!("Bearer {token}");
        assert_eq!(stranger.status("").await, status, "{token}");
    }
    let mut unprivileged = Stage::solace_cloud(small(1, |_| {}));
    unprivileged.authorization = format!("Bearer {}", unprivileged.simulator.unprivileged_credential());
    assert_eq!(unprivileged.status("").await, 403);
    let own = Stage::solace_cloud(small(300, |s| (s.scope, s.max_page_size) = (TokenScope::Own, 1000)));
    let page = own.json("pageSize=1000").await;
    assert!((20..200).contains(&data(&page).len()), "a subset, and nothing says so");
    assert_eq!(all(data(&page), "userId").into_iter().collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test]
async fn item_2_unknown_names_and_values_are_refused_in_detail() {
    let stage = Stage::solace_cloud(small(5, |s| s.clamps_page_size = false));
    for (query, parameter) in [
        ("cachebuster=1", "cachebuster"),
        ("eventCategory=NONSENSE", "eventCategory"),
        ("startTime=yesterday", "startTime"),
        ("sort=userId:asc", "sort"),
        ("pageSize=0", "pageSize"),
        ("pageSize=101", "pageSize"),
        ("downloadType=xml", "downloadType"),
    ] {
        let response = stage.get(query).await;
        assert_eq!(response.status(), 400, "{query}");
        let error = body(response).await;
        assert!(error["message"].is_string() && error["errorId"].is_string(), "{error}");
        assert!(error["validationDetails"][parameter][0].is_string(), "{error}");
    }
    let clamping = Stage::solace_cloud(small(50, |s| s.max_page_size = 10));
    let page = clamping.json("pageSize=101").await;
    assert_eq!((data(&page).len(), pagination(&page, "pageSize")), (10, &Value::from(10)));
}

#[tokio::test]
async fn items_3_and_5_defaults_and_ties_in_another_order_each_time() {
    let mut scenario = small(200, |_| {});
    scenario.ties_per_mille = 950;
    let stage = Stage::solace_cloud(scenario);
    let page = stage.json("").await;
    assert_eq!((data(&page).len(), pagination(&page, "pageNumber")), (25, &Value::from(1)));
    assert!(all(data(&page), "startTime").iter().rev().is_sorted(), "newest first");
    let read = async |query: &str| all(data(&stage.json(query).await), "id");
    let (first, second) = (read("sort=startTime:asc").await, read("sort=startTime:asc").await);
    assert_ne!(first, second, "more ties than a page holds, shuffled");
    assert!(all(data(&stage.json("sort=endTime:asc").await), "endTime").is_sorted());
}

#[tokio::test]
async fn item_4_bounds_are_exclusive_and_compared_with_start_or_end() {
    for filter in [TimeFilter::StartAndEnd, TimeFilter::Start, TimeFilter::End] {
        let change = |s: &mut SolaceCloudOptions| {
            (s.time_filter, s.max_page_size, s.long_per_mille) = (filter, 1000, 400);
        };
        let stage = Stage::solace_cloud(small(300, change));
        let everything = stage.json("pageSize=1000&sort=startTime:asc").await;
        let middle = data(&everything)[150].clone();
        let (start, end) = (middle["startTime"].as_str().unwrap(), middle["endTime"].as_str().unwrap());
        let found = async |query: String| {
            all(data(&stage.json(&format!("pageSize=1000&{query}")).await), "id")
                .contains(&middle["id"].as_str().unwrap().to_owned())
        };
        let (low, high) = match filter {
            TimeFilter::StartAndEnd => (start, end),
            TimeFilter::Start => (start, start),
            TimeFilter::End => (end, end),
        };
        assert!(!found(format!("startTime={low}")).await, "{filter:?}");
        assert!(!found(format!("endTime={high}")).await, "{filter:?}");
        // Windows that touch lose what lies across their border, if they compare it with different times.
        let border = data(&everything)[200]["startTime"].as_str().unwrap().to_owned();
        let window = async |query: String| all(data(&stage.json(&format!("pageSize=1000&{query}")).await), "id");
        let sides = [window(format!("endTime={border}")).await, window(format!("startTime={border}")).await].concat();
        let lost = 300 - sides.into_iter().collect::<BTreeSet<_>>().len();
        assert!(if filter == TimeFilter::StartAndEnd { lost > 1 } else { lost >= 1 }, "{filter:?}: {lost}");
    }
}

#[tokio::test]
async fn items_6_7_and_8_pages_shift_while_they_are_read() {
    let drift = Drift { events_per_request: 3, min_age_s: 0, max_age_s: 864_000, requests: 100 };
    let inserting = Stage::solace_cloud(Scenario { drift: Some(drift), ..small(200, |_| {}) });
    let expiring = Stage::solace_cloud(small(200, |s| (s.retention_days, s.expires_per_request) = (8, Some(5))));
    for (stage, loses) in [(inserting, false), (expiring, true)] {
        let mut ids = Vec::new();
        for page in 1..30 {
            ids.extend(all(data(&stage.json(&format!("sort=startTime:asc&pageNumber={page}")).await), "id"));
        }
        let different: BTreeSet<_> = ids.iter().cloned().collect();
        let still: BTreeSet<_> = stage.simulator.ledger().visible_ids(stage.simulator.now()).into_iter().collect();
        let missed = still.difference(&different).count();
        assert!(missed > 0, "page numbers miss what has been inserted behind them, or what expiry moved past them");
        assert_eq!(ids.len() > different.len(), !loses, "an insertion repeats a record, an expiry does not");
    }
}

#[tokio::test]
async fn item_9_a_record_changes_under_its_id() {
    let stage = Stage::solace_cloud(small(40, |s| s.changes_per_mille = 1000).live(60));
    stage.pass(600);
    let page = stage.json("pageSize=100").await;
    let unfinished: Vec<&Value> = data(&page).iter().filter(|record| record["status"] == "IN_PROGRESS").collect();
    assert!(!unfinished.is_empty());
    stage.pass(6 * 3600);
    let now = stage.simulator.now();
    for record in unfinished {
        let truth = stage.simulator.ledger().event(record["id"].as_str().unwrap()).unwrap();
        assert_eq!(truth.forms.len(), 2);
        let last: Value = serde_json::from_slice(truth.form_at(now).unwrap()).unwrap();
        assert!(last["status"] != "IN_PROGRESS" && last["endTime"].is_string(), "{last}");
    }
}

#[tokio::test]
async fn item_10_the_end_of_the_pages_is_told_in_different_ways() {
    for (mode, next) in [
        (LastPage::Absent, None),
        (LastPage::Null, Some(Value::Null)),
        (LastPage::Same, Some(Value::from(2))),
        (LastPage::Beyond, Some(Value::from(3))),
    ] {
        let stage = Stage::solace_cloud(small(30, |s| {
            (s.last_page, s.count_cap, s.past_end) = (mode, Some(28), PastEnd::NotFound);
        }));
        let page = stage.json("pageNumber=2").await;
        assert_eq!(page["meta"]["pagination"].get("nextPage").cloned(), next);
        assert_eq!((pagination(&page, "count"), data(&page).len()), (&Value::from(28), 5));
        assert_eq!(stage.status("pageNumber=3").await, 404);
    }
    for one in [false, true] {
        let stage = Stage::solace_cloud(small(0, |s| s.one_page_when_empty = one));
        assert_eq!(pagination(&stage.json("").await, "totalPages"), &Value::from(u8::from(one)));
        assert_eq!(data(&stage.json("pageNumber=7").await).len(), 0);
    }
}

#[tokio::test]
async fn item_11_odd_records() {
    let mut scenario = small(400, |s| s.max_page_size = 1000);
    scenario.odd_per_mille = 500;
    let page = Stage::solace_cloud(scenario).json("pageSize=1000").await;
    let some = |has: &dyn Fn(&Value) -> bool| data(&page).iter().any(has);
    for key in ["resourceId", "description", "duration", "endTime", "shortDescription"] {
        assert!(some(&|record| record.get(key).is_none()), "{key}");
    }
    assert!(some(&|r| r["meta"] == serde_json::json!({})) && some(&|r| r["meta"]["nested"].is_object()));
    assert!(some(&|r| r["status"] == "FAILURE" && r["meta"]["responseCode"] == "200"));
    assert!(some(&|r| r["eventCategory"] == "AGENT_MESH"));
    assert!(!all(data(&page), "id").is_sorted());
}

#[tokio::test]
async fn item_12_the_rate_limit_refuses_until_its_window_has_passed() {
    for (limit_body, start) in [(LimitBody::Json, "{"), (LimitBody::Html, "<"), (LimitBody::Empty, "")] {
        let stage = Stage::solace_cloud(small(1, |s| {
            (s.limit, s.limit_body, s.limit_retry_after) = (Some(20), limit_body, RetryAfter::Seconds(40));
        }));
        for _ in 0..40 {
            assert_eq!(stage.status("").await, 200);
        }
        stage.pass(30);
        let refused = stage.get("").await;
        assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "40"));
        let text = refused.text().await.unwrap();
        assert!(text.starts_with(start) && text.is_empty() == start.is_empty(), "{text}");
        stage.pass(330);
        assert_eq!(stage.status("").await, 200);
    }
}

#[tokio::test]
async fn item_12_a_slow_body_arrives_whole_for_those_who_wait_for_each_piece() {
    let trickle = Fault::Trickle { pause_ms: 40 };
    let stage = Stage::solace_cloud(small(100, |_| {}).fault(When::Requests { first: 0, count: 2 }, trickle));
    // A limit for the whole answer is a mistake: there is no knowing how large it is.
    let hasty = stage.request("pageSize=100").timeout(Duration::from_millis(250));
    let hasty = async { hasty.send().await?.bytes().await };
    assert!(hasty.await.unwrap_err().is_timeout());
    let began = std::time::Instant::now();
    assert_eq!(data(&stage.json("pageSize=100").await).len(), 100);
    assert!(began.elapsed() > Duration::from_millis(250), "{:?}", began.elapsed());
}

#[tokio::test]
async fn item_13_categories_grow_and_a_download_is_a_stream_of_octets() {
    let stage = Stage::solace_cloud(small(1, |_| {}));
    let wrapped = Stage::solace_cloud(small(1, |s| s.wraps_categories = true));
    let categories = async |stage: &Stage| {
        let url = format!("{}/api/v2/audit/categories", stage.simulator.url());
        let request = stage.client.get(url).header("authorization", &stage.authorization);
        body(request.send().await.unwrap()).await
    };
    let before = categories(&stage).await.as_array().unwrap().clone();
    assert_eq!(categories(&wrapped).await, serde_json::json!({ "data": before }));
    assert_eq!(all(&before, "category"), ["DISTRIBUTED_TRACING", "IAM", "SERVICE"]);
    let iam: Vec<&str> = before[1]["types"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(iam, ["LOGIN", "PASSWORD_RESET", "UNKNOWN", "USER_CREATION", "USER_GROUP_CREATE"]);
    assert_eq!(before[1]["types"][0]["description"], "User login");
    stage.pass(2 * 86_400);
    assert!(categories(&stage).await.as_array().unwrap().len() > before.len());
    assert_eq!(stage.get("downloadType=json").await.headers()["content-type"], "application/octet-stream");
}

#[tokio::test]
async fn item_13_categories_take_from_the_budget_of_the_log() {
    let stage = Stage::solace_cloud(small(1, |s| s.limit = Some(3)));
    let categories = async || {
        let url = format!("{}/api/v2/audit/categories", stage.simulator.url());
        stage.client.get(url).header("authorization", &stage.authorization).send().await.unwrap().status().as_u16()
    };
    for _ in 0..3 {
        assert_eq!(categories().await, 200);
    }
    stage.pass(30);
    assert_eq!([categories().await, stage.get("").await.status().as_u16()], [429, 429]);
}

#[tokio::test]
async fn item_15_reading_is_recorded_if_it_is_recorded() {
    let stage = Stage::new(Provider::SolaceCloud, small(1, |s| s.records_readings = true));
    stage.json("").await;
    stage.json("").await;
    stage.pass(60);
    let page = stage.json("").await;
    let own = data(&page).iter().filter(|r| r["meta"]["requestPath"] == "/api/v2/audit/logs").collect::<Vec<_>>();
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|r| r["source"] == "127.0.0.1" && r["userId"] == "u0000000017"));
}
