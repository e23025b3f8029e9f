//! What a client of the simulated PactFlow sees: one test, or more, for each row of the crate's table.

mod common;

use common::{OURS, Stage, all, body};
use headwater_simulator::{
    Drift, ErrorBody, Fault, FromMode, Kind, Links, OwnRecords, Provider, RetryAfter, Scenario, Simulator,
    UnknownCursor, When, Zone,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

fn small(events: u32) -> Scenario {
    Scenario::new().history(5, events)
}

fn uuids(events: &[Value]) -> Vec<String> {
    all(events, "uuid")
}

#[tokio::test]
async fn a_walk_gives_every_event_once_byte_for_byte_in_order() {
    let stage = Stage::pactflow(small(250));
    let mut expected = stage.simulator.ledger().visible_ids(stage.simulator.now());
    let (events, ended) = stage.walk("pageSize=100", 10).await;
    assert!(ended);
    // Requests two and three see the records of those before them.
    expected.extend(
        stage.simulator.ledger().events().iter().filter(|e| e.kind == Kind::OwnCollector).map(|e| e.id.clone()),
    );
    assert_eq!(uuids(&events), expected[..events.len()]);
    assert_eq!(events.len(), 252);
    let body = stage.get("pageSize=3").await.text().await.unwrap();
    let first = stage.simulator.ledger().event(&expected[0]).unwrap();
    let raw = std::str::from_utf8(&first.forms[0]).unwrap();
    assert!(body.starts_with(&format!("{{\"events\":[{raw},")), "{body}");
    assert!(first.is(raw.as_bytes()) && !first.is(b"{}"));
    assert_eq!(first.served, 2);
}

#[tokio::test]
async fn item_1_a_reading_is_recorded_with_what_it_asked() {
    for (mode, in_same, in_next, later) in [
        (OwnRecords::SameResponse, 1, 2, 3),
        (OwnRecords::NextRequest, 0, 1, 2),
        (OwnRecords::AfterSeconds(30), 0, 0, 2),
    ] {
        let stage = Stage::pactflow(small(0).pactflow(|p| p.own_records = mode));
        let events = |page: Value| page["events"].as_array().unwrap().clone();
        assert_eq!(events(stage.json("pageSize=50&type=audit").await).len(), in_same, "{mode:?}");
        assert_eq!(events(stage.json("").await).len(), in_next, "{mode:?}");
        stage.pass(30);
        let records = events(stage.json("").await);
        assert_eq!(records.len(), later, "{mode:?}");
        let payload = &records[0]["payload"];
        assert_eq!(payload["queryString"], "pageSize=50&type=audit");
        assert_eq!(payload["userAgent"], OURS);
        assert_eq!((&payload["path"], &payload["method"]), (&Value::from("/audit"), &Value::from("GET")));
        assert!(stage.simulator.ledger().events().iter().all(|event| event.kind == Kind::OwnCollector));
    }
}

#[tokio::test]
async fn item_1_refused_requests_are_recorded_on_demand() {
    for records in [false, true] {
        let stage = Stage::pactflow(small(0).pactflow(|p| p.records_refused = records));
        assert_eq!(stage.status("pageSize=0").await, 400);
        assert_eq!(stage.simulator.ledger().len(), usize::from(records));
    }
}

#[tokio::test]
async fn item_2_reading_until_there_is_no_next_never_ends() {
    let stage = Stage::pactflow(Scenario::named(Provider::PactFlow, "own_query_loop").unwrap());
    let (_, ended) = stage.walk("pageSize=100", 300).await;
    assert!(!ended);
    assert_eq!(stage.json("").await["events"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn item_3_from_holds_the_named_event_or_not() {
    for (mode, first) in [(FromMode::Inclusive, 0), (FromMode::Exclusive, 1)] {
        let stage = Stage::pactflow(small(50).pactflow(|p| p.from = mode));
        let ids = stage.simulator.ledger().visible_ids(stage.simulator.now());
        let page = stage.json(&format!("from={}&pageSize=5", ids[10])).await;
        assert_eq!(uuids(page["events"].as_array().unwrap()), ids[10 + first..15 + first]);
        let next = page["_links"]["next"]["href"].as_str().unwrap();
        assert!(next.ends_with(&format!("/audit?from={}&pageSize=5", ids[15])), "{next}");
        let (walked, _) = stage.walk("pageSize=7", 20).await;
        assert_eq!(uuids(&walked)[..50], ids);
    }
}

#[tokio::test]
async fn item_4_other_readers_leave_records_that_look_like_ours() {
    let mut scenario = small(0);
    scenario.others.second_collector_every_s = Some(3600);
    scenario.others.human_every_s = Some(86_400);
    scenario.others.spoofed_every_s = Some(86_400);
    scenario.others.replay_every_s = Some(7200);
    scenario.others.replay_min_age_s = 3600;
    let stage = Stage::pactflow(scenario);
    stage.json("pageSize=9").await;
    stage.pass(7200);
    let ledger = stage.simulator.ledger();
    let count = |kind| ledger.events().iter().filter(|event| event.kind == kind).count();
    assert_eq!(count(Kind::SecondCollector), 5 * 24 + 2);
    assert_eq!((count(Kind::Human), count(Kind::OwnCollector)), (5, 1));
    assert_eq!(count(Kind::Spoofed), 5 + 1);
    let events = ledger.events();
    let parse = |kind, last: bool| -> Value {
        let mut found = events.iter().filter(|event| event.kind == kind);
        let event = if last { found.next_back() } else { found.next() };
        serde_json::from_slice(&event.unwrap().forms[0]).unwrap()
    };
    let (own, thief) = (parse(Kind::OwnCollector, true), parse(Kind::Spoofed, true));
    assert_eq!((&own["payload"], &own["db_user_id"]), (&thief["payload"], &thief["db_user_id"]));
    let imitator = parse(Kind::Spoofed, false);
    assert!(imitator["payload"]["userAgent"].as_str().unwrap().starts_with("headwater/"));
    assert_eq!(parse(Kind::SecondCollector, true)["user_email"], own["user_email"]);
    assert_ne!(parse(Kind::Human, true)["user_email"], own["user_email"]);
}

#[tokio::test]
async fn item_5_offsets_change_so_that_text_sorts_wrongly() {
    let mut scenario = Scenario::new().history(4, 2000);
    scenario.ties_per_mille = 300;
    let stage = Stage::at(Provider::PactFlow, scenario, "2024-04-08T00:00:00Z");
    let (events, _) = stage.walk("pageSize=100", 40).await;
    let times = all(&events, "timestamp");
    assert!(times.iter().any(|t| t.ends_with("+11:00")) && times.iter().any(|t| t.ends_with("+10:00")));
    let instants: Vec<_> = times.iter().map(|t| chrono::DateTime::parse_from_rfc3339(t).unwrap()).collect();
    assert!(instants.is_sorted());
    assert!(!times.is_sorted());
    assert!(instants.windows(2).any(|pair| pair[0] == pair[1]));
    assert!(instants.iter().any(|t| t.timestamp_subsec_millis() > 0));
    let utc = Stage::pactflow(small(3).pactflow(|p| p.zone = Zone::Utc));
    assert!(utc.json("").await["events"][0]["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn item_6_late_events_slip_in_before_served_ones() {
    let stage = Stage::pactflow(small(100).late(120, 60).late(6 * 3600, 3600));
    let (before, _) = stage.walk("pageSize=100", 5).await;
    stage.pass(60);
    let (within, _) = stage.walk("pageSize=100", 5).await;
    stage.pass(3600);
    let (outside, _) = stage.walk("pageSize=100", 5).await;
    let new = |old: &[Value], new: &[Value]| -> Vec<usize> {
        let old: BTreeSet<_> = uuids(old).into_iter().collect();
        let foreign = new.iter().enumerate().filter(|(_, e)| e["payload"]["params"]["resource_name"] != "audit");
        foreign.filter(|(_, e)| !old.contains(e["uuid"].as_str().unwrap())).map(|(i, _)| i).collect()
    };
    let (first, second) = (new(&before, &within), new(&within, &outside));
    assert_eq!((first.len(), second.len()), (1, 1));
    assert!(first[0] <= 100 && second[0] < 100, "{first:?} {second:?}");
}

#[tokio::test]
async fn item_6_events_appear_while_pages_are_read() {
    let scenario = Scenario {
        drift: Some(Drift { events_per_request: 3, min_age_s: 3600, max_age_s: 7200, requests: 4 }),
        ..small(30)
    };
    let stage = Stage::pactflow(scenario);
    for _ in 0..6 {
        stage.json("").await;
    }
    let events = stage.simulator.ledger().events();
    assert_eq!(events.iter().filter(|event| event.kind == Kind::Foreign).count(), 30 + 3 * 4);
}

#[tokio::test]
async fn item_7_links_may_lead_astray() {
    let next = |links| async move {
        let stage = Stage::pactflow(small(10).pactflow(|p| {
            p.links = links;
            p.context_path = "/broker".to_owned();
        }));
        let page = stage.json("pageSize=2").await;
        let href = page["_links"]["next"]["href"].as_str().unwrap().to_owned();
        (href, stage)
    };
    let (href, stage) = next(Links::Faithful).await;
    assert!(stage.simulator.url().ends_with("/broker") && href.starts_with(stage.simulator.url()), "{href}");
    let (href, stage) = next(Links::OtherScheme).await;
    assert!(href.starts_with(&stage.simulator.url().replace("http:", "https:")), "{href}");
    let (href, stage) = next(Links::OtherPath).await;
    assert_eq!(stage.client.get(&href).send().await.unwrap().status(), 404);
    assert!(next(Links::Relative).await.0.starts_with("/broker/audit?from="));
    let (href, stage) = next(Links::OtherHost).await;
    assert!(stage.simulator.ledger().trapped().is_empty());
    stage.client.get(&href).header("authorization", "Bearer leaked").send().await.unwrap();
    assert_eq!(stage.simulator.ledger().trapped()[0].header("authorization"), Some("Bearer leaked"));
}

#[tokio::test]
async fn item_7_redirects_lead_to_a_login() {
    let scenario = small(5)
        .fault(When::Requests { first: 0, count: 1 }, Fault::Redirect { elsewhere: false })
        .fault(When::Requests { first: 1, count: 1 }, Fault::Redirect { elsewhere: true });
    let stage = Stage::pactflow(scenario);
    let (own, foreign) = (stage.get("").await, stage.get("").await);
    assert_eq!((own.status().as_u16(), own.headers()["location"].to_str().unwrap()), (302, "/login"));
    assert!(foreign.headers()["location"].to_str().unwrap().starts_with(stage.simulator.trap_url()));
}

#[tokio::test]
async fn item_8_events_expire_and_take_the_cursor_with_them() {
    for (mode, status) in [
        (UnknownCursor::NotFound, 404),
        (UnknownCursor::BadRequest, 400),
        (UnknownCursor::Empty, 200),
        (UnknownCursor::Restart, 200),
    ] {
        let stage = Stage::pactflow(small(100).pactflow(|p| p.unknown_cursor = mode));
        let cursor = stage.simulator.ledger().visible_ids(stage.simulator.now())[40].clone();
        assert_eq!(stage.status(&format!("from={cursor}")).await, 200);
        stage.pass(88 * 86_400);
        let answer = stage.get(&format!("from={cursor}")).await;
        assert_eq!(answer.status(), status, "{mode:?}");
        let visible = stage.simulator.ledger().visible_ids(stage.simulator.now());
        assert!(!visible.contains(&cursor) && (30..70).contains(&visible.len()));
        assert!(stage.simulator.ledger().ids_shown_so_far().contains(&cursor));
        let body: Value = body(answer).await;
        match mode {
            UnknownCursor::Empty => assert_eq!(body["events"], serde_json::json!([])),
            UnknownCursor::Restart => assert_eq!(body["events"][0]["uuid"], visible[0].as_str()),
            _ => assert!(body["errors"].is_array()),
        }
    }
}

#[tokio::test]
async fn item_9_a_regenerated_token_heals_at_its_hour() {
    let stage = Stage::pactflow(
        small(50).fault(When::During { after_s: 60, for_s: 600 }, Fault::status(401, ErrorBody::Negotiated)),
    );
    assert_eq!(stage.status("pageSize=5").await, 200);
    stage.pass(60);
    assert_eq!(stage.status("").await, 401);
    stage.pass(600);
    assert_eq!(stage.status("").await, 200);
}

#[tokio::test]
async fn item_9_credentials_are_checked() {
    let mut stage = Stage::pactflow(small(5));
    for (authorization, status) in [
        (format!("Bearer {}", stage.simulator.unprivileged_credential()), 403),
        (format!("Basic {}", stage.simulator.credential()), 401),
        ("Bearer wrong".to_owned(), 401),
        (stage.authorization.clone(), 200),
    ] {
        stage.authorization = authorization;
        assert_eq!(stage.status("").await, status);
    }
}

#[tokio::test]
async fn item_9_errors_come_in_every_shape() {
    for shape in ErrorBody::ALL {
        let fault = Fault::status(500, shape);
        let stage = Stage::pactflow(small(5).fault(When::Requests { first: 0, count: 2 }, fault));
        let answer = stage.get("").await;
        assert_eq!(answer.status(), 500);
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let body = answer.text().await.unwrap();
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let fits = match shape {
            ErrorBody::Negotiated | ErrorBody::Errors => json["errors"][0].is_string(),
            ErrorBody::Problem => content_type.starts_with("application/problem+json") && json["title"].is_string(),
            ErrorBody::Error => json["error"].is_string(),
            ErrorBody::ErrorsMap => json["errors"]["request"][0].is_string(),
            ErrorBody::ErrorMessage => json["error"]["message"].is_string() && json["reference"].is_string(),
            ErrorBody::CodeMessage => json["code"].is_string() && json["message"].is_string(),
            ErrorBody::Html => content_type.starts_with("text/html") && body.starts_with("<!DOCTYPE html>"),
            ErrorBody::Plain => !body.is_empty() && json.is_null(),
            ErrorBody::ErrorMsg => json["error_msg"].is_string(),
            ErrorBody::Message => json["message"].is_string(),
            ErrorBody::Empty => body.is_empty(),
        };
        assert!(fits, "{shape:?}: {content_type} {body}");
        let wants_problems = stage.request("").header("accept", "application/problem+json").send().await.unwrap();
        assert_eq!(wants_problems.status(), 500);
        if shape == ErrorBody::Negotiated {
            assert_eq!(common::body(wants_problems).await["status"], 500);
        }
    }
}

#[tokio::test]
async fn item_9_throttling_says_when_or_does_not() {
    let only = |n| When::Requests { first: n, count: 1 };
    let stage = Stage::pactflow(
        small(5)
            .fault(only(0), Fault::throttle(RetryAfter::Seconds(7)))
            .fault(only(1), Fault::throttle(RetryAfter::Date(90)))
            .fault(only(2), Fault::throttle(RetryAfter::None))
            .fault(only(3), Fault::Html),
    );
    let mut said = Vec::new();
    for _ in 0..3 {
        let answer = stage.get("").await;
        assert_eq!(answer.status(), 429);
        said.push(answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned()));
    }
    assert_eq!(said, [Some("7".to_owned()), Some("Fri, 15 Mar 2024 12:01:30 GMT".to_owned()), None]);
    let html = stage.get("").await;
    assert_eq!(
        (html.status().as_u16(), html.headers()["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    assert_eq!(stage.status("").await, 200);
}

#[tokio::test]
async fn item_9_and_11_bodies_break_off() {
    for gzip in [false, true] {
        let only = |n| When::Requests { first: n, count: 1 };
        let mut scenario = small(60)
            .fault(only(0), Fault::CutBody)
            .fault(only(1), Fault::ShortBody)
            .fault(only(2), Fault::Stall { close_after_ms: Some(5) })
            .fault(only(3), Fault::Stall { close_after_ms: None })
            .fault(only(4), Fault::Hang);
        scenario.gzip = gzip;
        let stage = Stage::pactflow(scenario);
        assert!(stage.get("").await.bytes().await.is_err(), "cut");
        let short = stage.get("").await.bytes().await.unwrap();
        assert!(short.starts_with(b"{\"events\":[{") && serde_json::from_slice::<Value>(&short).is_err(), "short");
        assert!(stage.get("").await.bytes().await.is_err(), "stall, then cut");
        let limit = Duration::from_millis(200);
        assert!(tokio::time::timeout(limit, stage.get("").await.bytes()).await.is_err(), "stall");
        let arrived = async {
            while stage.simulator.ledger().requests().len() < 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(limit).await;
        };
        tokio::select! {
            answer = stage.get("") => panic!("{answer:?}"),
            () = arrived => {}
        }
        assert_eq!(stage.json("").await["events"].as_array().unwrap().len(), 65);
        let seen = stage.simulator.ledger().requests();
        assert_eq!(
            seen.iter().map(|s| s.status).collect::<Vec<_>>(),
            [Some(200), Some(200), Some(200), Some(200), None, Some(200)]
        );
        // Each of them was received, so each left a record: also the one without an answer.
        let own = stage.simulator.ledger().events().iter().filter(|e| e.kind == Kind::OwnCollector).count();
        assert_eq!(own, 6);
    }
}

#[tokio::test]
async fn item_10_odd_events_and_none() {
    let mut scenario = small(400).pactflow(|p| p.system_account = true);
    scenario.odd_per_mille = 500;
    let stage = Stage::pactflow(scenario);
    let (events, _) = stage.walk("pageSize=100", 9).await;
    let some = |has: &dyn Fn(&Value) -> bool| events.iter().any(has);
    assert!(some(&|e| e.get("user_email") == Some(&Value::Null)));
    assert!(some(&|e| e.get("user_email").is_none()));
    assert!(some(&|e| e["payload"].get("path").is_none()));
    assert!(some(&|e| e["outcome"]["status"] == 201));
    assert!(some(&|e| e["type"] == "SaasBroker::Api::Resources::WorkspaceRebalance"));
    assert!(some(&|e| e["payload"]["userAgent"] == OURS && e["user_email"].is_null()));
    assert_eq!(Stage::pactflow(small(0)).json("").await["events"], serde_json::json!([]));
}

#[tokio::test]
async fn filters_count_or_are_ignored() {
    let stage = Stage::pactflow(small(60));
    let ids = stage.simulator.ledger().visible_ids(stage.simulator.now());
    let page = stage.json("sort=-timestamp&pageSize=3").await;
    assert_eq!(page["events"][0]["uuid"], ids[59].as_str());
    let at = stage.simulator.ledger().event(&ids[30]).unwrap().time;
    let since = at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(stage.json(&format!("since={since}")).await["events"][0]["uuid"], ids[30].as_str());
    assert_eq!(stage.json("pageNumber=2&pageSize=10").await["events"][0]["uuid"], ids[10].as_str());
    assert_eq!((stage.status("since=yesterday").await, stage.status("pageSize=101").await), (400, 400));
    let old = Stage::pactflow(small(60).pactflow(|p| p.honours_filters = false));
    let ids = old.simulator.ledger().visible_ids(old.simulator.now());
    assert_eq!(old.json("since=yesterday&sort=desc&pageNumber=9").await["events"][0]["uuid"], ids[0].as_str());
}

#[tokio::test]
async fn the_root_leads_to_the_log_and_the_user_is_known() {
    let stage = Stage::pactflow(small(1).pactflow(|p| p.context_path = "/b".to_owned()));
    let get = |path: &str| {
        stage.client.get(format!("{}{path}", stage.simulator.url())).header("authorization", &stage.authorization)
    };
    let root: Value = body(get("/").send().await.unwrap()).await;
    assert_eq!(root["_links"]["pb:audit"]["href"], format!("{}/audit", stage.simulator.url()));
    let user: Value = body(get("/user").send().await.unwrap()).await;
    assert_eq!(user["email"], "audit-collector@example.com");
    assert_eq!(stage.simulator.ledger().len(), 1, "only readings of the log are recorded");
}

#[tokio::test]
async fn the_servers_clock_is_the_injected_one_plus_its_skew() {
    let stage = Stage::pactflow(Scenario { clock_skew_s: 90, live_per_hour: 60, ..small(1) });
    let date = |answer: &reqwest::Response| answer.headers()["date"].to_str().unwrap().to_owned();
    assert_eq!(date(&stage.get("").await), "Fri, 15 Mar 2024 12:01:30 GMT");
    stage.pass(86_400);
    assert_eq!(date(&stage.get("").await), "Sat, 16 Mar 2024 12:01:30 GMT");
    let live = stage.simulator.ledger().events().iter().filter(|event| event.kind == Kind::Foreign).count() - 1;
    assert!((1200..1700).contains(&live), "{live}");
    let without = Stage::pactflow(Scenario { date_header: false, ..small(1) });
    assert_eq!(date(&without.get("").await), "");
}

#[tokio::test]
async fn the_same_scenario_tells_the_same_story_however_the_clock_moves() {
    let scenario = Scenario { live_per_hour: 30, odd_per_mille: 100, ..Scenario::new().seed(5) };
    let (one, other) = (Stage::pactflow(scenario.clone()), Stage::pactflow(scenario));
    for _ in 0..24 {
        one.pass(3600);
        let _ = one.simulator.ledger().len();
    }
    other.pass(86_400);
    assert_eq!(one.simulator.ledger().events(), other.simulator.ledger().events());
}

#[tokio::test]
async fn a_stopped_simulator_keeps_its_ledger() {
    let mut stage = Stage::pactflow(small(3));
    stage.json("").await;
    let ledger = stage.simulator.ledger();
    stage.simulator.stop();
    assert!(stage.request("").send().await.is_err());
    assert_eq!((ledger.requests().len(), ledger.len()), (1, 4));
}

#[tokio::test]
async fn every_preset_starts_and_answers_in_the_end() {
    for provider in [Provider::PactFlow, Provider::Mural] {
        let named = Scenario::NAMES.iter().map(|name| Scenario::named(provider, name).unwrap());
        let seeded = (0..40).map(|seed| Scenario::seeded(provider, seed));
        for mut scenario in named.chain(seeded).chain([Scenario::demo(provider)]) {
            // The reader of this test is no match for such records.
            scenario.poison_per_mille = 0;
            let stage = Stage::new(provider, scenario.clone());
            stage.pass(86_400);
            let mut answered = false;
            for _ in 0..100 {
                let request = stage.request("").timeout(Duration::from_millis(300)).send();
                let Ok(response) = request.await else { continue };
                let fine = response.status() == 200;
                answered =
                    fine && response.bytes().await.is_ok_and(|body| serde_json::from_slice::<Value>(&body).is_ok());
                if answered {
                    break;
                }
            }
            assert!(answered, "{scenario:?}");
        }
    }
}

#[test]
fn a_million_events_are_generated_within_seconds() {
    let stage = Stage::pactflow(Scenario::new().history(80, 1_000_000));
    let simulator: &Simulator = &stage.simulator;
    assert_eq!(simulator.ledger().visible_ids(simulator.now()).len(), 1_000_000);
}
