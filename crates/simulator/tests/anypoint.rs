//! What the simulated Anypoint answers, over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

mod common;

use common::Stage;
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, Drift, HighLimit, Provider, Scenario};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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
        let mut platform = Self { stage, token: String::new() };
        let answer = platform.login(TOKEN, form).await.1;
        answer["access_token"].as_str().unwrap_or_default().clone_into(&mut platform.token);
        platform
    }

    async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.stage.simulator.url())
    }

    async fn login(&self, path: &str, body: String) -> (u16, Value) {
        Self::answer(self.stage.client.post(self.url(path)).body(body)).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.stage.client.get(self.url(path));
        Self::answer(request.header("authorization", format!("Bearer {}", self.token))).await
    }

    async fn query_of(&self, organization: &str, parameters: &str, body: Value) -> (u16, Value) {
        let url = self.url(&format!("/audit/v2/organizations/{organization}/query?{parameters}"));
        let request = self.stage.client.post(url).header("authorization", format!("bearer {}", self.token));
        Self::answer(request.body(body.to_string())).await
    }

    async fn query(&self, parameters: &str, body: Value) -> (u16, Value) {
        self.query_of(ROOT, parameters, body).await
    }

    /// All records of an organization, along cursors.
    async fn all(&self, organization: &str, parameters: &str) -> Vec<Value> {
        let mut body = json!({ "startDate": ALL, "endDate": "2024-04-01T00:00:00.000Z" });
        let mut records = Vec::new();
        loop {
            let (status, page) =
                self.query_of(organization, &format!("cursorPagination=true&{parameters}"), body.clone()).await;
            assert_eq!(status, 200, "{page}");
            if page.get("cursor").is_none() {
                return records;
            }
            records.extend(page["data"].as_array().unwrap().iter().cloned());
            body["cursor"] = page["cursor"].clone();
        }
    }

    /// All records of one kind: those whose text contains `mark`.
    async fn with(&self, organization: &str, mark: &str) -> Vec<Value> {
        let all = self.all(organization, "").await;
        all.into_iter().filter(|record| record.to_string().contains(mark)).collect()
    }
}

const TOKEN: &str = "/accounts/api/v2/oauth2/token";

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
    let platform = Platform::new(Scenario::new().history(7, 60).anypoint(|a| a.longest_range_days = Some(3))).await;
    for (end, status) in [("2024-03-04T00:00:00.000Z", 200), ("2024-03-04T00:00:00.001Z", 400)] {
        assert_eq!(platform.query("", json!({ "startDate": ALL, "endDate": end })).await.0, status, "{end}");
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
    let platform = Platform::new(Scenario::new().history(1, 5).anypoint(|a| a.per_minute = Some(6))).await;
    let listing = |name: &str| {
        let url = platform.url(&format!("/audit/v2/organizations/{ROOT}/{name}"));
        platform.stage.client.get(url).header("authorization", format!("Bearer {}", platform.token)).send()
    };
    for (name, member) in [
        ("platforms", "name"),
        ("objectTypes", "platforms"),
        ("actions", "objectTypes"),
        ("objects", "objectId"),
        ("retentionSettings", "retentionPeriod"),
    ] {
        let answer = listing(name).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(answer["total"].as_u64() >= Some(1) && !answer["data"][0][member].is_null(), "{name}: {answer}");
    }
    assert_eq!(platform.query("", json!({ "startDate": ALL })).await.0, 200);
    let refused = listing("actions").await.unwrap();
    assert!(refused.status() == 503 && refused.headers().get("retry-after").is_none());
    platform.stage.pass(60);
    assert_eq!(platform.query("", json!({ "startDate": ALL })).await.0, 200);
}

#[tokio::test]
async fn item_1_a_login_is_recorded_whichever_way_it_comes_and_if_it_fails() {
    let platform = Platform::new(Scenario::new().history(1, 0).anypoint(|a| a.token_life_s = 300)).await;
    let (id, secret) = platform.stage.simulator.credential().split_once(':').unwrap();
    let fields = json!({ "grant_type": "client_credentials", "client_id": id, "client_secret": secret });
    let (status, answer) = platform.login(TOKEN, fields.to_string()).await;
    assert_eq!((status, &answer["token_type"], &answer["expires_in"]), (200, &"bearer".into(), &3600.into()));
    let basic = platform.stage.client.post(platform.url(TOKEN)).basic_auth(id, Some(secret));
    assert_eq!(Platform::answer(basic.body("grant_type=client_credentials")).await.0, 200);
    let (status, answer) =
        platform.login("/accounts/login", "username=sim-auditor&password=sim-anypoint-password".to_owned()).await;
    assert!(status == 200 && answer["access_token"].is_string() && answer.get("expires_in").is_none(), "{answer}");
    let (status, answer) = platform.login(TOKEN, fields.to_string().replace(secret, "wrong")).await;
    assert!(status == 401 && answer["error"].is_string() && answer["error_description"].is_string(), "{answer}");

    let logins = platform.with(ROOT, "Token").await;
    assert_eq!(logins.len(), 5, "the one before the test, three ways, and one that failed");
    assert_eq!(logins.iter().filter(|record| record["failed"] == true).count(), 1);
    let seen = platform.stage.simulator.ledger().requests();
    assert_eq!(seen.iter().filter(|request| request.path.starts_with("/accounts/")).count(), 5);
    platform.stage.pass(300);
    assert_eq!(platform.query("", json!({ "startDate": ALL })).await.0, 401, "it dies before its `expires_in`");
}

#[tokio::test]
async fn item_2_permission_is_granted_by_organization_and_refused_with_401_or_403() {
    for status in [401, 403] {
        let forbidden =
            Scenario::new().history(1, 5).anypoint(|a| (a.forbidden, a.forbidden_status) = (vec![1], status));
        let platform = Platform::new(forbidden).await;
        let ask = async |organization| platform.query_of(organization, "", json!({ "startDate": ALL })).await.0;
        let [root, group, other] = ANYPOINT_ORGANIZATIONS;
        assert_eq!([ask(root).await, ask(group).await, ask(other).await], [200, status, 200]);
        assert_eq!(ask("00000000-0000-0000-0000-000000000000").await, 404);
    }
}

#[tokio::test]
async fn item_3_a_throttled_login_says_when_to_come_again() {
    let platform = Platform::new(Scenario::new().history(1, 5).anypoint(|a| a.throttled_logins = 2)).await;
    let answer = platform.stage.client.post(platform.url(TOKEN)).send().await.unwrap();
    let reset: i64 = answer.headers()["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("retry-after")), (429, None));
    assert_eq!(
        (reset - platform.stage.simulator.now().timestamp(), &answer.headers()["x-ratelimit-remaining"]),
        (30, &"0".parse().unwrap())
    );
}

#[tokio::test]
async fn item_10_more_than_a_page_in_a_millisecond_and_records_that_are_the_same() {
    let scenario = Scenario::new().history(7, 40).anypoint(|a| (a.burst_per_mille, a.identical_per_mille) = (50, 400));
    let platform = Platform::new(scenario).await;
    platform.stage.pass(600);
    let (mut instants, mut copies) = (BTreeMap::<i64, u32>::new(), BTreeMap::<String, u32>::new());
    for record in platform.all(ROOT, "").await {
        *instants.entry(record["timestamp"].as_i64().unwrap_or_default()).or_default() += 1;
        *copies.entry(record.to_string()).or_default() += 1;
    }
    assert!(instants.values().any(|count| *count > 100), "{instants:?}");
    assert!(copies.values().any(|count| *count > 1));
}

#[tokio::test]
async fn item_11_records_appear_days_late_and_ahead_of_the_clock() {
    let scenario = Scenario::new().history(7, 200).late(2 * 86_400, 60).anypoint(|a| a.ahead_per_mille = 300);
    let platform = Platform::new(scenario.live(3600)).await;
    let truths = platform.stage.simulator.ledger().events();
    let late = truths.iter().find(|truth| (truth.visible_at - truth.time).num_days() == 2).unwrap();
    let shows = async || {
        for organization in ANYPOINT_ORGANIZATIONS {
            if platform.all(organization, "").await.iter().any(|record| late.is(record.to_string().as_bytes())) {
                return true;
            }
        }
        false
    };
    assert!(!shows().await);
    platform.stage.pass(120);
    assert!(shows().await, "it appears with its time of two days ago");
    let now = platform.stage.simulator.now().timestamp_millis();
    let all = platform.all(ROOT, "").await;
    assert!(all.iter().any(|record| record["timestamp"].as_i64() > Some(now)), "ahead of the clock");
}

#[tokio::test]
async fn guesses_are_failed_logins_of_one_person_within_minutes() {
    /// The most failed logins of one person within ten minutes.
    async fn most(guesses_per_mille: u16) -> usize {
        let scenario = Scenario::new().history(7, 300).anypoint(|a| a.guesses_per_mille = guesses_per_mille);
        let mut failed = Platform::new(scenario).await.all(ROOT, "").await;
        failed.retain(|record| record["action"] == "Login" && record["failed"] == true);
        assert!(failed.iter().all(|record| record["objects"][0]["objectId"] == record["userId"]), "their own accounts");
        let within = |first: &Value| {
            let since = |later: &Value| later["timestamp"].as_i64().unwrap() - first["timestamp"].as_i64().unwrap();
            let near = failed.iter().filter(|later| (0..600_000).contains(&since(later)));
            near.filter(|later| later["userId"] == first["userId"]).count()
        };
        failed.iter().map(within).max().unwrap()
    }
    assert!(most(0).await < 4);
    assert!(most(200).await >= 8);
}

#[tokio::test]
async fn policies_are_removed_too_if_they_shall_be() {
    /// Of policies, what was done and how often.
    async fn done(removals_per_mille: u16) -> BTreeMap<String, u32> {
        let scenario = Scenario::new().history(7, 300).anypoint(|a| a.removals_per_mille = removals_per_mille);
        let mut done = BTreeMap::<String, u32>::new();
        for record in Platform::new(scenario).await.all(ROOT, "").await {
            if record["objects"][0]["objectType"] == "policy" {
                *done.entry(record["action"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        done
    }
    assert_eq!(done(0).await.keys().collect::<Vec<_>>(), ["create"]);
    let done = done(300).await;
    assert!(done["delete"] > 2 && done["delete"] < done["create"], "{done:?}");
}

const VERSIONS: &str = "getVersionedObjectsInLogs=true";

#[tokio::test]
async fn item_12_a_renaming_changes_old_records_but_their_versions() {
    let platform = Platform::new(Scenario::new().history(7, 100).anypoint(|a| {
        a.renamed_after_h = vec![1];
        (a.token_life_s, a.expires_in_s) = (86_400, Some(86_400));
    }))
    .await;
    let (before, versions) = (platform.all(ROOT, "").await, platform.all(ROOT, VERSIONS).await);
    platform.stage.pass(3600);
    let changed = async |parameters, old: &[Value]| {
        let new = platform.all(ROOT, parameters).await;
        old.iter().zip(&new).filter(|(old, new)| old != new).count()
    };
    let (latest, versioned) = (changed("", &before).await, changed(VERSIONS, &versions).await);
    assert!(latest > 30 && versioned < latest, "{latest} changed, {versioned} of the versions");
    let after = platform.all(ROOT, "").await;
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(
            (&old["timestamp"], &old["payload"], &old["action"]),
            (&new["timestamp"], &new["payload"], &new["action"])
        );
    }
}

#[tokio::test]
async fn item_13_records_have_odd_shapes_and_no_id() {
    let mut scenario = Scenario::new().history(7, 400).anypoint(|a| a.split_per_mille = 50);
    scenario.odd_per_mille = 500;
    let platform = Platform::new(scenario).await;
    let mut records = Vec::new();
    for organization in ANYPOINT_ORGANIZATIONS {
        records.extend(platform.all(organization, "").await);
    }
    let some = |has: &dyn Fn(&Value) -> bool| records.iter().any(has);
    assert!(records.iter().all(|record| record.get("id").is_none()));
    assert!(some(&|r| r["userName"].is_null() && r["clientName"].is_string()));
    assert!(some(&|r| r["objects"].as_array().unwrap().len() > 1));
    assert!(some(&|r| r["payload"].is_object()) && some(&|r| r["payload"].is_string()));
    assert!(some(&|r| r.get("payload").is_some_and(Value::is_null)) && some(&|r| r.get("payload").is_none()));
    let parts = |id: &Value| records.iter().filter(|r| r["payload"]["properties"]["correlationId"] == *id).count();
    let split = records.iter().find(|r| r["payload"]["properties"]["correlationId"].is_string()).unwrap();
    assert_eq!(parts(&split["payload"]["properties"]["correlationId"]), 3);
}

#[tokio::test]
async fn item_14_business_groups_are_found_and_each_shows_its_own_records() {
    let platform = Platform::new(Scenario::new().history(7, 400).anypoint(|a| a.shared_per_mille = 100)).await;
    let me = platform.get("/accounts/api/me").await.1;
    let root = me["client"]["org_id"].as_str().unwrap().to_owned();
    let below = platform.get(&format!("/accounts/api/organizations/{root}")).await.1["subOrganizationIds"].clone();
    let tree = platform.get(&format!("/accounts/api/organizations/{root}/hierarchy")).await.1;
    assert_eq!((root.as_str(), &below), (ROOT, &json!(ANYPOINT_ORGANIZATIONS[1..])));
    assert_eq!(tree["subOrganizations"][1]["id"], ANYPOINT_ORGANIZATIONS[2]);
    assert_eq!(platform.get("/accounts/api/organizations/nobody").await.0, 404);
    let login = platform.login("/accounts/login", "username=sim-auditor&password=sim-anypoint-password".to_owned());
    let mut person = Platform { token: login.await.1["access_token"].as_str().unwrap().to_owned(), ..platform };
    assert_eq!(person.get("/accounts/api/me").await.1["user"]["organization"]["subOrganizationIds"], below);

    let content = |mut record: Value| {
        record["organizationId"] = Value::Null;
        record.to_string()
    };
    let mut contents = Vec::new();
    for organization in ANYPOINT_ORGANIZATIONS {
        let records = person.all(organization, "").await;
        assert_eq!(records.iter().any(|record| record["action"] == "Login"), organization == ROOT, "{organization}");
        contents.push(records.into_iter().map(content).collect::<BTreeSet<_>>());
    }
    let shared = |a: usize, b: usize| contents[a].intersection(&contents[b]).count();
    let twice = shared(0, 1) + shared(1, 2) + shared(0, 2);
    assert!((5..100).contains(&twice), "{twice} of 400 show in two organizations, the others in one");
    "expired".clone_into(&mut person.token);
    assert_eq!(person.get("/accounts/api/me").await.0, 401);
}

#[tokio::test]
async fn item_15_pages_by_offset_shift_where_cursors_do_not() {
    let drift = Drift { events_per_request: 3, min_age_s: 0, max_age_s: 7 * 86_400, requests: 30 };
    let platform = Platform::new(Scenario { drift: Some(drift), ..Scenario::new().history(7, 400) }).await;
    let bounds = |ascending: bool| json!({ "startDate": ALL, "endDate": "2024-03-15T12:00:00Z", "limit": 20, "ascending": ascending });
    let transactions =
        |page: &Value| -> Vec<String> { page["data"].as_array().unwrap().iter().map(Value::to_string).collect() };
    let mut pages: Vec<String> = Vec::new();
    for offset in (0..240).step_by(20) {
        let mut body = bounds(true);
        body["offset"] = offset.into();
        pages.extend(transactions(&platform.query("", body).await.1));
    }
    let different: BTreeSet<_> = pages.iter().collect();
    assert!(
        different.len() < pages.len(),
        "what is inserted before an offset pushes a record onto the next page again"
    );
    let mut body = bounds(true);
    let mut along = Vec::new();
    while let (200, page) = platform.query("cursorPagination=true", body.clone()).await
        && page.get("cursor").is_some()
    {
        along.extend(transactions(&page));
        body["cursor"] = page["cursor"].clone();
    }
    assert_eq!(along.iter().collect::<BTreeSet<_>>().len(), along.len(), "a cursor repeats nothing");
}

#[tokio::test]
async fn item_16_records_expire_while_they_are_read() {
    let platform = Platform::new(Scenario::new().history(10, 2000).anypoint(|a| {
        a.retention_days = 8;
        (a.token_life_s, a.cursor_ttl_s) = (86_400, 86_400);
    }))
    .await;
    let (_, before) = platform.query("", json!({ "startDate": 0, "limit": 100 })).await;
    platform.stage.pass(3600);
    let (_, next) = platform.query("", json!({ "startDate": 0, "limit": 100, "offset": 100 })).await;
    let (_, after) = platform.query("", json!({ "startDate": 0, "limit": 200 })).await;
    assert_ne!(before["data"][0], after["data"][0], "the oldest have gone");
    let shown = [before["data"].as_array().unwrap().clone(), next["data"].as_array().unwrap().clone()].concat();
    let skipped = after["data"].as_array().unwrap().iter().filter(|record| !shown.contains(record)).count();
    assert!((1..50).contains(&skipped), "pages by offset skip as many as have gone: {skipped}");
}
