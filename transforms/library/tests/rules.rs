//! What the tables make of events that no golden file shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Compiled, End, Schemas, builtin};
use serde_json::{Value as Json, json};
use std::sync::LazyLock;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::load);

struct Normalizer {
    program: Compiled,
}

impl Normalizer {
    fn new() -> Self {
        Self { program: builtin("normalize.vrl") }
    }

    fn of(&self, provider: &str, event: &Json) -> Json {
        let meta = json!({ "provider": provider, "source": "s", "stream": "t.example", "id": "e1", "observed_time": "2026-01-15T00:00:00Z" });
        let out = self.program.run_raw(&event.to_string(), &meta);
        assert_eq!(SCHEMAS.problems(&out), Vec::<String>::new(), "{event}\n{out}");
        out
    }

    fn mural(&self, action: &str, affected: Json) -> Json {
        self.of(
            "mural",
            &json!({ "action": action, "id": "e1", "date": "2022-02-02T08:00:00Z", "ip": "203.0.113.7",
            "actor": { "id": "u1", "type": "USER", "name": "Ana" }, "affected": affected }),
        )
    }

    fn pactflow(&self, method: &str, path: &str, resource_name: &str, kind: &str) -> Json {
        self.of("pactflow", &json!({ "uuid": "e1", "timestamp": "2024-05-02T03:10:00.000Z", "type": format!("PactBroker::Api::Resources::{kind}"),
            "db_user_id": 2, "user_email": "a@example.com",
            "payload": { "path": path, "queryString": "", "method": method, "params": { "resource_name": resource_name } } }))
    }
}

#[test]
fn solace_cloud_types_get_their_class_and_a_way_out_without_a_resource() {
    let normalizer = Normalizer::new();
    let event = |kind: &str, resource: Json| {
        normalizer.of(
            "solace_cloud",
            &json!({ "id": "e1", "source": "203.0.113.7", "userId": "u1", "resourceId": resource, "status": "SUCCEEDED",
            "eventCategory": "SERVICE", "eventType": kind, "meta": { "msg_vpn_name": "orders", "responseCode": "700" },
            "traceId": "t", "orgId": "o", "startTime": "2022-08-22T18:36:23.830Z" }),
        )
    };
    let check = |kind: &str, with: i64, without: i64| {
        assert_eq!(event(kind, json!("r1"))["type_uid"], with, "{kind}");
        assert_eq!(event(kind, Json::Null)["type_uid"], without, "{kind}");
    };
    check("LOGIN", 300_201, 300_201);
    check("LOGOUT", 300_202, 300_202);
    check("USER_CREATION", 300_101, 600_301);
    check("USER_DELETION", 300_106, 600_304);
    check("USER_ACTIVATION", 300_102, 600_303);
    check("ROLE_UPDATE", 300_199, 600_303);
    check("PASSWORD_RESET", 300_104, 600_303);
    check("PASSWORD_CHANGE", 300_103, 300_103);
    check("ENVIRONMENT_CREATE", 300_401, 600_301);
    check("ENVIRONMENT_UPDATE", 300_403, 600_303);
    check("ENVIRONMENT_DELETE", 300_404, 600_304);
    check("USER_GROUP_CREATE", 300_606, 600_301);
    check("USER_GROUP_UPDATE", 300_699, 600_303);
    check("USER_GROUP_DELETE", 300_605, 600_304);
    check("ROLE_MAPPING_UPDATE", 600_303, 600_303);
    check("RESOURCE_ASSIGNMENT", 600_399, 600_399);
    check("SERVICE_CLONE", 600_301, 600_301);
    check("SERVICE_DELETE", 600_304, 600_304);
    check("SERVICE_SCALEUP", 600_303, 600_303);
    check("SERVICE_SHOW_PASSWORD", 600_302, 600_302);
    check("SERVICE_FAILOVER", 600_399, 600_399);
    check("UNKNOWN", 600_300, 600_300);
    check("PROMOTION_REQUEST", 600_399, 600_399);

    let out = event("ENVIRONMENT_UPDATE", json!("r1"));
    assert_eq!(out["entity"], json!({ "uid": "r1", "type": "Environment", "type_id": 99 }));
    assert_eq!(out["unmapped"], json!({ "meta": { "msg_vpn_name": "orders" } }));
    assert_eq!(out["message"], "ENVIRONMENT_UPDATE on orders by u1");
    // No end: the start is the time. No status of HTTP: a code all the same.
    assert_eq!((&out["time"], &out["start_time"]), (&json!(1_661_193_383_830_i64), &json!(1_661_193_383_830_i64)));
    assert_eq!((out.get("end_time"), out.get("http_response")), (None, None));
    assert_eq!((&out["status_code"], &out["status"]), (&json!("700"), &json!("Success")));
    let out = event("SERVICE_UPDATE", json!("r1"));
    assert_eq!(out["resources"], json!([{ "uid": "r1", "name": "orders", "type": "Event Broker Service" }]));
    assert_eq!(event("PASSWORD_CHANGE", Json::Null)["user"]["uid"], "u1");
}

#[test]
fn mural_actions_get_the_class_of_what_they_affect() {
    let normalizer = Normalizer::new();
    let check = |action: &str, kind: &str, type_uid: i64| {
        let out = normalizer.mural(action, json!({ "id": "x", "name": "X", "type": kind }));
        assert_eq!(out["type_uid"], type_uid, "{action} {kind}: {out}");
    };
    check("SIGN_IN", "USER", 300_201);
    check("sign_in_success", "USER", 300_201);
    check("SIGN_OUT", "USER", 300_202);
    check("ACCESS_REPORTS_USERS", "COMPANY", 600_302);
    check("ACCESS_DENIED", "MURAL", 600_399);
    check("COPY_MURAL", "MURAL", 600_101);
    check("OPEN_ROOM", "ROOM", 600_102);
    check("MOVE_TEMPLATE", "TEMPLATE", 600_103);
    check("DELETE_HUB", "HUB", 600_104);
    check("IMPORT_MURAL", "MURAL", 600_106);
    check("DOWNLOAD_MURAL", "MURAL", 600_107);
    check("SHARE_MURAL", "MURAL", 600_108);
    check("CREATE_USER", "USER", 300_101);
    check("DELETE_USER", "USER", 300_106);
    check("SUSPEND_USER", "USER", 300_105);
    check("REACTIVATE_USER", "USER", 300_102);
    check("UPDATE_USER", "USER", 300_199);
    check("CREATE_WORKSPACE", "WORKSPACE", 300_401);
    check("READ_WORKSPACE", "WORKSPACE", 300_402);
    check("EDIT_COMPANY", "COMPANY", 300_403);
    check("RENAME_WORKSPACE", "WORKSPACE", 300_405);
    check("DELETE_BILLING_GROUP", "BILLING_GROUP", 300_404);
    check("SHARE_WORKSPACE", "WORKSPACE", 300_499);
    // Not the verb of what is affected, or no listed verb: never guess.
    check("DELETE_MURAL", "ROOM", 600_399);
    check("TWIST_MURAL", "MURAL", 600_399);
    check("ACTIVATE_WORKSPACE", "WORKSPACE", 600_399);
    check("MURAL", "MURAL", 600_399);
}

#[test]
fn mural_outcome_is_in_the_name_of_the_action() {
    let normalizer = Normalizer::new();
    for (action, status_id, severity_id) in
        [("ACCESS_DENIED", 2, 2), ("EXPORT_MURAL_FAILED", 2, 2), ("SIGN_IN", 1, 1), ("FAILURE_X", 1, 1)]
    {
        let out = normalizer.mural(action, Json::Null);
        assert_eq!((&out["status_id"], &out["severity_id"]), (&json!(status_id), &json!(severity_id)), "{action}");
    }
    assert_eq!(normalizer.mural("ACCESS_DENIED", Json::Null)["status_detail"], "Access denied");
}

#[test]
fn a_class_without_its_required_attribute_is_not_used() {
    let normalizer = Normalizer::new();
    let out = normalizer.mural("CREATE_MURAL", json!({ "id": null, "name": "", "type": "MURAL", "company": "c" }));
    assert_eq!(out["type_uid"], 600_301);
    assert_eq!(out["metadata"]["debug"].as_array().unwrap().len(), 1);
    assert_eq!(out["unmapped"]["affected"], json!({ "type": "MURAL", "company": "c" }));
    let out = normalizer.mural("ACCEPT_MEMBERSHIP", json!({ "id": "u2", "type": "USER" }));
    assert_eq!((&out["type_uid"], &out["activity_name"]), (&json!(600_399), &json!("ACCEPT_MEMBERSHIP")));
}

#[test]
fn an_event_without_actor_is_kept_whole() {
    let normalizer = Normalizer::new();
    let event = json!({ "action": "ABORT_VOTING_SESSION", "date": "2022-02-02T08:00:00Z", "ip": "203.0.113.7", "affected": { "id": "m", "type": "MURAL" } });
    let out = normalizer.of("mural", &event);
    assert_eq!((&out["type_uid"], &out["activity_name"]), (&json!(99), &json!("ABORT_VOTING_SESSION")));
    assert_eq!(out["unmapped"], event);
    assert_eq!(out["metadata"]["profiles"], json!(["cloud"]));
    // Whose log-on it was is known all the same.
    let out =
        normalizer.of("mural", &json!({ "action": "SIGN_IN_FAILURE", "affected": { "id": "u2", "type": "USER" } }));
    assert_eq!((&out["type_uid"], &out["user"]["uid"]), (&json!(300_201), &json!("u2")));
}

#[test]
fn an_event_without_a_type_is_unknown_not_other() {
    let normalizer = Normalizer::new();
    let out = normalizer.of("mural", &json!({ "actor": { "id": "u1" }, "ip": "203.0.113.7" }));
    assert_eq!((&out["type_uid"], &out["activity_name"]), (&json!(0), &json!("Unknown")));
    assert_eq!(out["actor"]["user"]["uid"], "u1");
    assert_eq!(out["metadata"]["profiles"], json!(["cloud", "host"]));
    assert_eq!(out["unmapped"], json!({ "ip": "203.0.113.7" }));
}

#[test]
fn pactflow_administration_is_recognised_by_path_and_method() {
    let normalizer = Normalizer::new();
    let check = |method: &str, path: &str, type_uid: i64| {
        let out = normalizer.pactflow(method, path, "x", "Admin");
        assert_eq!(out["type_uid"], type_uid, "{method} {path}: {out}");
        out
    };
    assert_eq!(check("DELETE", "/admin/users/u7", 300_106)["user"]["uid"], "u7");
    check("PATCH", "/admin/users/u7", 300_199);
    assert_eq!(check("PUT", "/admin/users/u7/roles/r1", 300_501)["privileges"], json!(["r1"]));
    check("DELETE", "/admin/users/u7/roles/r1", 300_502);
    check("DELETE", "/admin/teams/t1", 300_605);
    check("PUT", "/admin/teams/t1", 300_699);
    check("PATCH", "/admin/teams/t1/users", 300_699);
    check("DELETE", "/admin/teams/t1/users/u7", 300_604);
    let role = check("DELETE", "/admin/roles/r1", 300_404);
    assert_eq!(role["entity"], json!({ "uid": "r1", "type": "role", "type_id": 99 }));
    check("PUT", "/admin/roles/r1", 300_403);
    check("GET", "/admin/users/u7", 600_302);
    check("POST", "/admin/users", 600_301);
    check("DELETE", "/admin/users/", 600_304);
}

#[test]
fn pactflow_posts_mean_what_their_resource_makes_of_them() {
    let normalizer = Normalizer::new();
    let check = |method: &str, path: &str, resource_name: &str, kind: &str, type_uid: i64| {
        let out = normalizer.pactflow(method, path, resource_name, kind);
        assert_eq!(out["type_uid"], type_uid, "{method} {path} {resource_name} {kind}: {out}");
    };
    check("POST", "/login", "login", "UserLogin", 300_201);
    check("GET", "/login", "login", "UserLogin", 600_302);
    check("GET", "/logout", "logout", "SignOut", 300_202);
    check("POST", "/p", "pacts_for_verification", "X", 600_302);
    check("POST", "/p", "clean", "X", 600_304);
    check("POST", "/p", "execute_webhook", "X", 600_399);
    check("POST", "/p", "pacticipants", "X", 600_301);
    check("POST", "/secrets", "y", "X", 600_301);
    check("POST", "/provider-contracts/provider/Order%20Service/publish", "y", "X", 600_301);
    check("POST", "/anything", "y", "X", 600_399);
    check("HEAD", "/anything", "y", "X", 600_302);
    check("OPTIONS", "/anything", "y", "X", 600_399);
    check("PURGE", "/anything", "y", "X", 600_399);
}

#[test]
fn a_method_that_ocsf_does_not_know_stays_among_the_unmapped() {
    let out = Normalizer::new().pactflow("PURGE", "/x", "y", "X");
    assert_eq!(out["unmapped"]["payload"]["method"], "PURGE");
    assert_eq!(out["http_request"], json!({ "url": { "path": "/x" } }));
}

#[test]
fn a_client_address_is_found_under_any_of_its_likely_names() {
    let normalizer = Normalizer::new();
    for (place, name) in [("payload", "remoteIp"), ("", "client_ip")] {
        let mut event = json!({ "type": "A::B", "user_email": "a@example.com", "payload": { "method": "GET" } });
        let map = if place.is_empty() { &mut event } else { &mut event[place] };
        map[name] = json!("2001:db8::1");
        let out = normalizer.of("pactflow", &event);
        assert_eq!(out["src_endpoint"], json!({ "ip": "2001:db8::1" }));
        assert_eq!(out.get("unmapped"), None, "{out}");
    }
}

#[test]
fn secrets_are_gone_from_everything() {
    let normalizer = Normalizer::new();
    let event = json!({ "type": "A::B", "user_email": "a@example.com", "payload": { "method": "GET", "userAgent": "Bearer abcdefghijklmnop0123",
        "params": { "resource_name": "x", "secret": "hunter2", "note": "{\"apiKey\":\"hunter3\"}" } } });
    let out = normalizer.of("pactflow", &event);
    let text = out.to_string();
    for secret in ["hunter2", "hunter3", "abcdefghijklmnop0123"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(out.get("raw_data_hash"), None);
    assert!(out["metadata"]["debug"].as_array().unwrap().contains(&json!("redacted 3 value(s)")), "{out}");
    let open = common::compile("normalize_ocsf(provider: %headwater.provider, redact: false)");
    let out = open.run_raw(&event.to_string(), &json!({ "provider": "pactflow" }));
    assert_eq!(out["raw_data"], event.to_string());
    assert!(out.get("raw_data_hash").is_some());
    assert_eq!(out["unmapped"]["payload"]["params"]["secret"], "hunter2");
}

#[test]
fn times_that_cannot_be_read_are_replaced_and_said_so() {
    let normalizer = Normalizer::new();
    let out = normalizer.of("pactflow", &json!({ "type": "A::B", "db_user_id": 1, "timestamp": "yesterday" }));
    assert_eq!((&out["time"], &out["metadata"]["original_time"]), (&json!(1_768_435_200_000_i64), &json!("yesterday")));
    assert!(out["metadata"]["debug"][0].as_str().unwrap().contains("cannot be read"));
    let out = normalizer.of("pactflow", &json!({ "type": "A::B", "db_user_id": 1, "timestamp": 1_718_000_360 }));
    assert_eq!(
        (&out["time"], &out["metadata"]["original_time"]),
        (&json!(1_718_000_360_000_i64), &json!("1718000360"))
    );
    assert_eq!(out.get("timezone_offset"), None);
}

#[test]
fn an_unknown_provider_gives_a_base_event_with_everything_in_it() {
    let normalizer = Normalizer::new();
    let event = json!({ "what": "ever", "n": [1, null] });
    let out = normalizer.of("acme", &event);
    assert_eq!((&out["type_uid"], &out["type_name"]), (&json!(99), &json!("Base Event: Other")));
    assert_eq!(out["unmapped"], event);
    assert_eq!(out["raw_data"], event.to_string());
    assert_eq!(out["metadata"]["log_name"], "acme.audit");
}

#[test]
fn what_is_no_object_is_kept_as_raw_data() {
    let normalizer = Normalizer::new();
    for event in [json!("text"), json!([1, { "a": 2 }]), json!(null), json!(7)] {
        let out = normalizer.of("mural", &event);
        assert_eq!((&out["type_uid"], &out["raw_data"]), (&json!(0), &json!(event.to_string())));
        let End::Next(bare) = normalizer.program.run(event.clone().into(), &Json::Null) else { panic!("dropped") };
        assert_eq!(SCHEMAS.problems(&bare), Vec::<String>::new());
        assert!(bare["raw_data"].is_string(), "{bare}");
    }
}

#[test]
fn a_suspicious_record_says_why() {
    let normalizer = Normalizer::new();
    let raw = json!({ "action": "ACCESS_AUDIT_LOG", "actor": { "id": "k" } }).to_string();
    let out = normalizer
        .program
        .run_raw(&raw, &json!({ "provider": "mural", "suspicious": "a User-Agent of ours that we did not send" }));
    assert_eq!(out["metadata"]["debug"][0], "a User-Agent of ours that we did not send");
}

fn api7(method: &str, uri: &str, name: &str, more: &Json) -> Json {
    let mut event = json!({ "id": "e1", "event_time": 1_718_000_000, "operator": { "id": "u1", "username": "Ops" }, "source": "dashboard",
        "event_type": name, "ip_address": "192.0.2.15", "http_request": { "method": method, "uri": uri, "body": { "name": "made" } },
        "http_response": { "status_code": 200, "body": {} } });
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

#[test]
fn api7_is_recognised_by_method_and_path() {
    let normalizer = Normalizer::new();
    let check = |method: &str, uri: &str, type_uid: i64| {
        let out = normalizer.of("api7", &api7(method, uri, "Whatever It Is", &json!({})));
        assert_eq!(out["type_uid"], type_uid, "{method} {uri}: {out}");
        out
    };
    let ldap = check("POST", "/api/ldap/l1/login", 300_201);
    assert_eq!((&ldap["auth_protocol"], &ldap["auth_protocol_id"]), (&json!("LDAP"), &json!(12)));
    check("POST", "/api/logout", 300_202);
    check("POST", "/api/oidc/o1/logout", 300_202);
    // Nothing says who was invited.
    check("POST", "/api/invites", 600_301);
    let deleted = check("DELETE", "/api/users/u7", 300_106);
    assert_eq!((&deleted["user"]["uid"], &deleted["user"]["type"]), (&json!("u7"), &json!("User")));
    assert_eq!(deleted["message"], "Whatever It Is on u7 by Ops");
    check("PUT", "/api/users/u7/password_reset", 300_104);
    check("PUT", "/api/password", 300_103);
    check("PUT", "/api/me", 300_199);
    check("PUT", "/api/users/u7/assigned_roles", 600_303);
    let role = check("POST", "/api/roles", 300_401);
    assert_eq!(role["entity"], json!({ "name": "made", "type": "Role", "type_id": 99 }));
    let policy = check("PATCH", "/api/permission_policies/p1", 300_403);
    assert_eq!(policy["entity"], json!({ "uid": "p1", "policy": { "uid": "p1" }, "type": "Policy", "type_id": 5 }));
    check("DELETE", "/api/login_options/o1", 300_404);
    check("POST", "/api/roles/r1/attach_permission_policies", 300_403);
    assert_eq!(
        check("PUT", "/api/system_settings/scim/token", 300_403)["entity"]["name"],
        "system_settings/scim/token"
    );
    assert_eq!(check("PUT", "/api/license?x=1", 300_403)["entity"]["type"], "License");
    check("GET", "/api/audit_logs", 600_302);
    check("PUT", "/apisix/admin/routes/r1", 600_303);
    check("DELETE", "/apisix/admin/routes/r1", 600_304);
    check("POST", "/apisix/admin/consumers/c1/credentials", 600_301);
    check("POST", "/api/gateway_groups/g1/instance_token", 600_301);
    check("POST", "/api/import/openapi", 600_399);
    check("OPTIONS", "/api/roles", 600_399);
}

#[test]
fn api7_without_a_request_goes_by_the_name_and_without_a_name_by_the_request() {
    let normalizer = Normalizer::new();
    let none = json!({ "http_request": null });
    for (name, type_uid) in [
        ("Add Route", 600_301),
        ("export Audits", 600_302),
        ("Patch Service", 600_303),
        ("Remove Consumer", 600_304),
        ("Add", 600_399),
        ("Address Service", 600_399),
    ] {
        let out = normalizer.of("api7", &api7("", "", name, &none));
        assert_eq!(out["type_uid"], type_uid, "{name}: {out}");
    }
    let out =
        normalizer.of("api7", &api7("DELETE", "/apisix/admin/ssls/s1?force=true", "", &json!({ "event_type": null })));
    assert_eq!(
        (&out["api"]["operation"], &out["metadata"]["event_code"]),
        (&json!("DELETE /apisix/admin/ssls/s1"), &json!("DELETE /apisix/admin/ssls/s1"))
    );
    assert_eq!(out["http_request"]["url"], json!({ "path": "/apisix/admin/ssls/s1", "query_string": "force=true" }));
}

#[test]
fn api7_outcome_is_in_the_status_and_in_the_error() {
    let normalizer = Normalizer::new();
    let check = |more: Json, status_id: i64, code: Json, detail: Json| {
        let out = normalizer.of("api7", &api7("GET", "/api/users", "List Users", &more));
        assert_eq!(
            (&out["status_id"], &out["status_code"], &out["status_detail"]),
            (&json!(status_id), &code, &detail),
            "{out}"
        );
    };
    check(json!({}), 1, json!("200"), Json::Null);
    check(json!({ "http_response": { "status_code": 503 } }), 2, json!("503"), Json::Null);
    check(json!({ "error_message": "no" }), 2, json!("200"), json!("no"));
    check(json!({ "http_response": null }), 0, Json::Null, Json::Null);
    // No status of HTTP: a code all the same.
    check(json!({ "http_response": { "status_code": 7 } }), 0, json!("7"), Json::Null);
}

fn anypoint(normalizer: &Normalizer, platform: &str, kind: &str, action: &str, payload: Json) -> Json {
    normalizer.of(
        "anypoint",
        &json!({ "timestamp": 1_697_301_120_142_i64, "platform": platform, "action": action, "userId": "u1", "userName": "ana",
            "objects": [{ "objectId": "x", "objectName": "X", "objectType": kind }], "payload": payload }),
    )
}

#[test]
fn anypoint_actions_get_the_class_of_their_object() {
    let normalizer = Normalizer::new();
    let check = |platform: &str, kind: &str, action: &str, subaction: &str, type_uid: i64| {
        let out = anypoint(&normalizer, platform, kind, action, json!({ "subaction": subaction }));
        assert_eq!(out["type_uid"], type_uid, "{kind} {action} {subaction}: {out}");
    };
    check("CoreServices", "user", "logout", "", 300_202);
    check("CoreServices", "User", "Create", "", 300_101);
    check("CoreServices", "User", "Edit", "Password  reset", 300_104);
    check("CoreServices", "User", "Edit - Disable user", "", 300_105);
    check("CoreServices", "User", "Edit", "Something else", 300_199);
    check("CoreServices", "Role", "Create", "", 300_606);
    check("CoreServices", "Role", "Twist", "", 300_699);
    check("CoreServices", "Connected Application", "Login", "Token", 300_201);
    check("Runtime Manager", "application", "Undeploy", "", 600_202);
    check("Runtime Manager", "application", "Scale", "", 600_299);
    // Another product's application is an administered object.
    check("CoreServices", "application", "Create", "", 300_401);
    check("Exchange", "Project", "Create project", "", 300_401);
    // The verb of something else: never guess.
    check("Exchange", "Project", "Delete branch", "", 300_499);
    check("Any", "Environment", "Permissions change", "", 300_403);
}

#[test]
fn an_anypoint_action_is_one_row_however_it_is_spelled() {
    let normalizer = Normalizer::new();
    let check = |kind: &str, spellings: &[(&str, &str)], type_uid: i64| {
        for (action, subaction) in spellings {
            for (kind, action) in
                [(kind.to_owned(), (*action).to_owned()), (kind.to_lowercase(), action.to_lowercase())]
            {
                let out = anypoint(&normalizer, "api-platform-api", &kind, &action, json!({ "subaction": subaction }));
                assert_eq!(out["type_uid"], type_uid, "{kind} {action} {subaction}: {out}");
            }
        }
    };
    check("User", &[("Edit", "Disable user"), ("Edit - Disable user", ""), ("Edit - disable user", "None")], 300_105);
    check("Connected Application", &[("Login", "Token"), ("Login - Token", ""), ("Login - Token", "Token")], 300_201);
    check("Team", &[("Edit", "Add Members"), ("Edit - Add members", "None")], 300_603);
    check("Role", &[("Edit", "Remove user"), ("Edit - Remove user", "")], 300_604);
    let revoked =
        [("Edit - contract revoke", "Contract revoked"), ("Edit", "Contract revoked"), ("Edit - contract revoke", "")];
    check("Contract", &revoked, 300_411);
    check("Contract", &[("Edit - contract restore", "Contract restored"), ("Edit", "Contract restored")], 300_410);
    check("Contract", &[("Edit - contract approval", "Contract approval"), ("Edit", "Contract approval")], 300_410);
    check("Contract", &[("Edit - request tier change", "Request tier change")], 300_403);
    check(
        "Application",
        &[("Edit - reset client secret", "Reset client secret"), ("Edit", "Reset client secret")],
        300_403,
    );
    // Neither a part of a word nor another word is taken for one.
    check("Contract", &[("Edit - contract revoked by mistake", ""), ("Edit", "Contract revoke undone")], 300_403);
    check("Project", &[("Save branches", ""), ("Save", "branch")], 300_499);
}

#[test]
fn documented_anypoint_actions_without_an_activity_keep_the_provider_s_word() {
    let normalizer = Normalizer::new();
    let check = |kind: &str, action: &str, type_uid: i64| {
        let out = anypoint(&normalizer, "Any", kind, action, Json::Null);
        assert_eq!(
            (&out["type_uid"], &out["entity"]["name"]),
            (&json!(type_uid), &json!("X")),
            "{kind} {action}: {out}"
        );
        assert!(type_uid != 300_499 || out["activity_name"] == action, "{kind} {action}: {out}");
    };
    check("API version", "Deploy", 300_499);
    check("Asset portal", "Publish", 300_499);
    check("Asset Version Group", "Remove from public portal", 300_499);
    check("External Authorization", "Approved", 300_499);
    check("Connected Application", "Revoke Tokens", 300_499);
    check("Run configuration", "Revoke", 300_499);
    check("Project", "Share project", 300_499);
    check("Project", "Unsync with Github", 300_499);
    check("Asset", "Granted or revoked permissions", 300_403);
    check("Client", "Regenerate", 300_403);
    check("Project", "Merge Branch", 300_403);
    check("Project", "Modify project settings", 300_403);
    check("Project", "Rename project", 300_405);
    check("Project", "Rename branch", 300_499);
    check("Run configuration", "Continue", 300_413);
    check("Files", "Delete files", 300_404);
}

#[test]
fn anypoint_privileges_are_named_or_it_is_an_update() {
    let normalizer = Normalizer::new();
    let payload = |properties: Json| json!({ "subaction": "Add", "properties": properties });
    let change = |properties| anypoint(&normalizer, "CoreServices", "User", "Permissions change", payload(properties));
    let named = change(json!([{ "name": "Audit Log Viewer" }, { "permissions": ["a", { "name": "b" }] }]));
    assert_eq!((&named["type_uid"], &named["privileges"]), (&json!(300_501), &json!(["Audit Log Viewer", "a", "b"])));
    assert_eq!(change(json!({}))["type_uid"], 300_403);
}

#[test]
fn what_an_anypoint_event_names_beside_the_user_is_what_the_privileges_are_for() {
    let normalizer = Normalizer::new();
    let event = json!({
        "timestamp": 1_697_301_120_142_i64, "platform": "CoreServices", "action": "Permissions change", "userId": "u1",
        "objects": [
            { "objectId": "x", "objectName": "X", "objectType": "User", "environmentId": "e" },
            { "objectId": "e", "objectName": "Production", "objectType": "Environment" },
            { "objectType": "API" },
            { "objectId": "a", "objectType": "API", "parentId": "p" }
        ],
        "payload": { "subaction": "Add", "properties": { "name": "Audit Log Viewer" } }
    });
    let out = normalizer.of("anypoint", &event);
    assert_eq!((&out["type_uid"], &out["user"]["uid"]), (&json!(300_501), &json!("x")), "{out}");
    let resources = json!([{ "uid": "e", "name": "Production", "type": "Environment" }, { "uid": "a", "type": "API" }]);
    assert_eq!(out["resources"], resources, "{out}");
    assert!(out["unmapped"].to_string().contains("\"parentId\":\"p\""), "{out}");
    assert!(!out["unmapped"].to_string().contains("Production"), "{out}");
}

#[test]
fn an_anypoint_event_without_object_or_actor_falls_back() {
    let normalizer = Normalizer::new();
    let mut event = json!({ "timestamp": 1, "action": "Sweep", "userId": "u1" });
    assert_eq!(normalizer.of("anypoint", &event)["type_uid"], 600_399);
    event["clientId"] = "c1".into();
    assert_eq!(normalizer.of("anypoint", &event)["actor"]["app_uid"], "c1");
    event.as_object_mut().unwrap().retain(|key, _| !key.ends_with("Id"));
    assert_eq!(normalizer.of("anypoint", &event)["type_uid"], 99);
}
