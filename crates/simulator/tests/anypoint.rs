//! What the simulated Anypoint answers, over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

mod common;

use common::Stage;
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, HighLimit, Provider, Scenario};
use serde_json::{Value, json};

const ROOT: &str = ANYPOINT_ORGANIZATIONS[0];

struct Platform {
    stage: Stage,
    token: String,
}

impl Platform {
    async fn new(scenario: Scenario) -> Self {
        let stage = Stage::new(Provider::Anypoint, scenario);
        let (id, secret) = stage.simulator.credential().split_once(':').unwrap();
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let answer = stage
            .client
            .post(format!("{}/accounts/api/v2/oauth2/token", stage.simulator.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        Self { stage, token: answer["access_token"].as_str().unwrap().to_owned() }
    }

    async fn query(&self, parameters: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/audit/v2/organizations/{ROOT}/query?{parameters}", self.stage.simulator.url());
        let request = self.stage.client.post(url).header("authorization", format!("bearer {}", self.token));
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }
}

const ALL: &str = "2024-03-01T00:00:00.000Z";

#[tokio::test]
async fn a_cursor_is_on_every_page_but_the_empty_one_and_belongs_to_its_query() {
    let platform = Platform::new(Scenario::new().history(7, 600).anypoint(|a| a.short_pages = true)).await;
    let mut body = json!({ "startDate": ALL, "limit": 50 });
    let mut pages = 0;
    loop {
        let (status, page) = platform.query("cursorPagination=true", body.clone()).await;
        assert_eq!(status, 200, "{page}");
        assert!(page.get("total").is_none());
        if page["data"].as_array().unwrap().is_empty() {
            assert!(page.get("cursor").is_none());
            break;
        }
        body["cursor"] = page["cursor"].clone();
        pages += 1;
    }
    assert!(pages > 8, "{pages} pages");
    body["limit"] = 51.into();
    assert_eq!(platform.query("cursorPagination=true", body.clone()).await.0, 400);
    body["limit"] = 50.into();
    platform.stage.pass(601);
    assert_eq!(platform.query("cursorPagination=true", body).await.0, 400, "expired");
}

#[tokio::test]
async fn bounds_are_inclusive_and_dates_are_checked() {
    let platform = Platform::new(Scenario::new().history(7, 60)).await;
    let (_, page) = platform.query("", json!({ "startDate": ALL })).await;
    let time = page["data"][5]["timestamp"].as_i64().unwrap_or_else(|| {
        page["data"][5]["timestamp"]
            .as_str()
            .unwrap()
            .parse::<headwater_contracts::Timestamp>()
            .unwrap()
            .timestamp_millis()
    });
    let (_, one) = platform.query("", json!({ "startDate": time, "endDate": time })).await;
    assert_eq!(one["data"][0], page["data"][5]);
    for wrong in [
        json!({}),
        json!({ "startDate": "2024-03-10T00:00:00+00:00Z" }),
        json!([]),
        json!({ "startDate": ALL, "actions": "x" }),
    ] {
        assert_eq!(platform.query("", wrong.clone()).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn filters_are_exact_and_all_must_match() {
    let platform = Platform::new(Scenario::new().history(7, 400)).await;
    let count = async |filter: Value| {
        let mut body = json!({ "startDate": ALL });
        filter.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
        platform.query("", body).await.1["total"].as_u64().unwrap()
    };
    let all = count(json!({})).await;
    let deploys = count(json!({ "actions": ["Deploy"] })).await;
    assert!(deploys > 0 && deploys < all);
    assert_eq!(count(json!({ "actions": [], "organizationId": "x", "unknown": 1 })).await, all);
    assert_eq!(count(json!({ "actions": ["deploy"] })).await, 0);
    assert_eq!(count(json!({ "actions": ["Deploy"], "objectTypes": ["User"] })).await, 0);
    assert_eq!(count(json!({ "actions": ["Deploy", "create"], "objectTypes": ["Application"] })).await, deploys);
    let failed = count(json!({ "failed": true })).await;
    assert!(failed > 0 && failed + count(json!({ "failed": false })).await == all);
}

#[tokio::test]
async fn limits_offsets_and_totals() {
    let platform = Platform::new(Scenario::new().history(7, 900).anypoint(|a| {
        a.high_limit = HighLimit::Error;
        (a.total_max, a.offset_max) = (100, 300);
    }))
    .await;
    let ask = async |parameters: &str, limit: u32, offset: u32| {
        platform.query(parameters, json!({ "startDate": ALL, "limit": limit, "offset": offset })).await
    };
    assert_eq!(ask("", 201, 0).await.0, 400);
    let (_, page) = ask("", 200, 0).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 200);
    assert!(page["total"].as_u64().unwrap() > 300);
    assert_eq!(ask("doIncludeTotal=capped", 1, 0).await.1["total"], 100);
    assert_eq!(ask("", 1, 301).await.0, 400);
    assert_eq!(ask("", 1, 200).await.1["data"].as_array().unwrap().len(), 1);
    let (_, down) = platform.query("", json!({ "startDate": ALL, "ascending": false })).await;
    assert_ne!(down["data"][0], page["data"][0]);
}

#[tokio::test]
async fn too_many_requests_are_503_until_the_minute_ends_listings_included() {
    let platform = Platform::new(Scenario::new().history(1, 5).anypoint(|a| a.per_minute = Some(3))).await;
    let listing = |name: &str| {
        let url = format!("{}/audit/v2/organizations/{ROOT}/{name}", platform.stage.simulator.url());
        platform.stage.client.get(url).header("authorization", format!("Bearer {}", platform.token)).send()
    };
    let answer: Value = serde_json::from_slice(&listing("platforms").await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(answer["total"], 2);
    assert_eq!(listing("retentionSettings").await.unwrap().status(), 200);
    assert_eq!(platform.query("", json!({ "startDate": ALL })).await.0, 200);
    let refused = listing("actions").await.unwrap();
    assert!(refused.status() == 503 && refused.headers().get("retry-after").is_none());
    platform.stage.pass(60);
    assert_eq!(platform.query("", json!({ "startDate": ALL })).await.0, 200);
}
