//! The YAML of an `anypoint` source.

use crate::{
    echo::Recognizer,
    source::{Anypoint, Settings},
    vocabulary::{ACTION, OBJECT_TYPE, PLATFORM},
};
use headwater_contracts::{
    Asked, Auth, BuiltSource, Cadence, ConfigError, Login, LoginBody, LoginField, OwnQueryPolicy, Period, RateLimit,
    Rescan, Secret, SourceConfig, SourceOptions,
};
use headwater_source_kit::check_endpoint;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeSet, net::IpAddr};
use url::Url;

/// The US control plane, whose budget is larger than that of the others.
const US: &str = "anypoint.mulesoft.com";

/// Reads the audit logs of organizations of the MuleSoft Anypoint Platform.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnypointConfig {
    /// Address of the control plane. Default: `https://anypoint.mulesoft.com`; others are
    /// `https://eu1.anypoint.mulesoft.com`, `https://gov.anypoint.mulesoft.com`, `https://ca1.platform.mulesoft.com` and
    /// `https://jp1.platform.mulesoft.com`.
    #[serde(default = "default_endpoint")]
    pub endpoint: Url,
    /// Ids of the organizations to read: the root and each business group, for a query shows one only. Logins are in the
    /// root.
    pub organization_ids: Vec<String>,
    /// How to log in.
    pub auth: AuthConfig,
    /// Which events to read. Default: all.
    #[serde(default)]
    pub filter: Filter,
    /// How far back the organization keeps its audit logs, as its retention setting says: 30 to 2190 days. Default: `365d`.
    #[serde(default = "default_retention")]
    pub retention: Period,
    /// How far ahead of the server's clock each tail looks, for records stamped by other clocks. Default: `5m`.
    #[serde(default = "default_ahead")]
    pub ahead: Period,
    /// Whether names are shown as they were when a record was written, where the platform knows. Default: `true`.
    #[serde(default = "default_versioned")]
    pub versioned_objects: bool,
    /// Whether to ask for entries of internal actors as well. What that brings is not documented. Default: `false`.
    #[serde(default)]
    pub include_internal: bool,
    /// Addresses that headwater's calls come from, as the audit log shows them. With them, a login with the same credential
    /// from elsewhere is never taken for headwater's own.
    #[serde(default)]
    pub own_ips: Vec<IpAddr>,
    /// How far the time of an own login's record may be from the time headwater sent it. Default: `5m`.
    #[serde(default = "default_echo_skew")]
    pub echo_skew: Period,
    /// What to do with the records that headwater's own logins cause. Default: `tag`, because they show when and where from
    /// the credential is used.
    #[serde(default = "default_own_queries")]
    pub own_queries: OwnQueryPolicy,
}

/// How to log in: `client_id` and `client_secret` of a connected app, or `username` and `password`, or a `token`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Id of a connected app that acts on its own behalf, with the scope "Audit Log Viewer" in each business group.
    #[serde(default, deserialize_with = "Secret::name")]
    pub client_id: Option<Secret>,
    /// Its secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// Name of a user with the role "Audit Log Viewer".
    #[serde(default, deserialize_with = "Secret::name")]
    pub username: Option<Secret>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// An access token that somebody else keeps current.
    #[serde(default)]
    pub token: Option<Secret>,
}

/// Which events to read: those that match every list that is not empty. The platform compares exactly, upper and lower
/// case included, and has more than one spelling of some names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Products, such as `Runtime Manager`.
    pub platforms: Vec<String>,
    /// Types of objects, such as `Application`.
    pub object_types: Vec<String>,
    /// Actions, such as `Deploy`.
    pub actions: Vec<String>,
    /// Subactions.
    pub sub_actions: Vec<String>,
    /// Ids of environments.
    pub environment_ids: Vec<String>,
    /// Ids of objects.
    pub object_ids: Vec<String>,
    /// Ids of objects' parents.
    pub parent_ids: Vec<String>,
    /// Ids of users.
    pub user_ids: Vec<String>,
    /// Ids of connected apps.
    pub client_ids: Vec<String>,
    /// Only failed actions, or only others.
    pub failed: Option<bool>,
}

impl Filter {
    fn lists(&self) -> [(&'static str, &'static str, &[String]); 9] {
        [
            ("platforms", "platforms", &self.platforms),
            ("object_types", "objectTypes", &self.object_types),
            ("actions", "actions", &self.actions),
            ("sub_actions", "subactions", &self.sub_actions),
            ("environment_ids", "environmentIds", &self.environment_ids),
            ("object_ids", "objectIds", &self.object_ids),
            ("parent_ids", "parentIds", &self.parent_ids),
            ("user_ids", "userIds", &self.user_ids),
            ("client_ids", "clientIds", &self.client_ids),
        ]
    }

    /// The names that the platform lists.
    fn asked(&self) -> Vec<Asked> {
        let lists = [
            (PLATFORM, "filter.platforms", &self.platforms),
            (OBJECT_TYPE, "filter.object_types", &self.object_types),
            (ACTION, "filter.actions", &self.actions),
        ];
        lists.into_iter().flat_map(|(kind, option, names)| Asked::each(kind, option, names)).collect()
    }

    /// The members of a query's body. Each value once, in an order that does not depend on how they are written down.
    pub(crate) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        for (_, member, values) in self.lists() {
            let values: BTreeSet<&String> = values.iter().collect();
            if !values.is_empty() {
                body.insert(member.into(), values.into_iter().cloned().collect());
            }
        }
        if let Some(failed) = self.failed {
            body.insert("failed".into(), failed.into());
        }
        body
    }
}

#[allow(clippy::expect_used)] // a constant, checked by every test
fn default_endpoint() -> Url {
    Url::parse("https://anypoint.mulesoft.com").expect("a constant address")
}

fn default_retention() -> Period {
    Period::days(365)
}

fn default_ahead() -> Period {
    Period::minutes(5)
}

fn default_versioned() -> bool {
    true
}

fn default_echo_skew() -> Period {
    Period::minutes(5)
}

fn default_own_queries() -> OwnQueryPolicy {
    OwnQueryPolicy::Tag
}

fn defaults() -> Cadence {
    Cadence {
        poll_interval: Period::minutes(1),
        overlap: Period::minutes(15),
        settle: Period::minutes(2),
        rescan: vec![
            Rescan { every: Period::hours(1), span: Period::hours(24) },
            Rescan { every: Period::hours(24), span: Period::days(7) },
        ],
        page_size: Some(200),
    }
}

const REFUSED: &str = "check `auth`: the connected app must be enabled, act on its own behalf (client credentials), and have the scope \"Audit Log Viewer\"; a user must not need a second factor; and `endpoint` must be the control plane they belong to";

impl AuthConfig {
    /// How requests are authenticated, and who logs in.
    fn auth(self) -> Result<(Auth, Option<String>), ConfigError> {
        let given = [
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("username", &self.username),
            ("password", &self.password),
            ("token", &self.token),
        ];
        for (field, value) in given {
            if value.as_ref().is_some_and(|value| value.expose().trim().is_empty()) {
                return Err(ConfigError::new(format!("auth.{field}"), format!("`{field}` is empty")));
            }
        }
        let login = |path, body, fields| Login {
            path,
            body,
            fields,
            token: "access_token",
            expires_in: "expires_in",
            // The shortest session timeout that an organization can set.
            lifetime: Period::minutes(15),
            refused_hint: REFUSED,
        };
        let name = |name: &Secret| name.expose().to_owned();
        match self {
            Self { client_id: Some(id), client_secret: Some(secret), username: None, password: None, token: None } => {
                let fields = vec![
                    ("grant_type", LoginField::Fixed("client_credentials")),
                    ("client_id", LoginField::Name(name(&id))),
                    ("client_secret", LoginField::Secret(secret)),
                ];
                Ok((Auth::Login(login("/accounts/api/v2/oauth2/token", LoginBody::Form, fields)), Some(name(&id))))
            }
            Self {
                client_id: None,
                client_secret: None,
                username: Some(user),
                password: Some(password),
                token: None,
            } => {
                let fields =
                    vec![("username", LoginField::Name(name(&user))), ("password", LoginField::Secret(password))];
                Ok((Auth::Login(login("/accounts/login", LoginBody::Json, fields)), Some(name(&user))))
            }
            Self { client_id: None, client_secret: None, username: None, password: None, token: Some(secret) } => {
                Ok((Auth::Header { name: "authorization", prefix: "Bearer ", secret }, None))
            }
            _ => Err(ConfigError::new(
                "auth",
                "write `client_id` and `client_secret` of a connected app, or `username` and `password`, or `token`",
            )),
        }
    }
}

impl AnypointConfig {
    fn check(&self, cadence: &Cadence) -> Result<(), ConfigError> {
        let fail = |field: &str, problem: String| Err(ConfigError::new(field, problem));
        check_endpoint(&self.endpoint, "https://anypoint.mulesoft.com", "auth")?;
        if self.organization_ids.is_empty() {
            return fail(
                "organization_ids",
                "`organization_ids` is empty; write the id of the root organization and of each business group to read"
                    .into(),
            );
        }
        let mut seen = BTreeSet::new();
        for id in &self.organization_ids {
            if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return fail("organization_ids", format!("`{id}` is no organization id: letters, digits and `-` only"));
            }
            if !seen.insert(id) {
                return fail("organization_ids", format!("`{id}` stands there twice"));
            }
        }
        for (option, _, values) in self.filter.lists() {
            if values.iter().any(|value| value.trim().is_empty()) {
                return fail(&format!("filter.{option}"), format!("an item of `{option}` is empty"));
            }
        }
        if self.retention < Period::days(1) || self.retention > Period::days(2190) {
            return fail("retention", "`retention` must be what the organization's setting says: up to `2190d`".into());
        }
        if self.ahead > Period::hours(1) {
            return fail("ahead", "`ahead` may be `1h` at most".into());
        }
        if cadence.poll_interval < Period::seconds(10) {
            return fail(
                "poll_interval",
                "`poll_interval` must be at least `10s`: each organization takes two calls a poll, of 40 a minute for all"
                    .into(),
            );
        }
        if cadence.overlap > Period::hours(12) || cadence.settle > Period::hours(12) {
            let field = if cadence.overlap > Period::hours(12) { "overlap" } else { "settle" };
            return fail(field, format!("`{field}` may be `12h` at most; later events are found by `rescan`"));
        }
        for rescan in &cadence.rescan {
            if rescan.every < cadence.poll_interval || rescan.span > self.retention {
                return fail(
                    "rescan",
                    "`every` must be at least `poll_interval`, and `span` no longer than `retention`".into(),
                );
            }
        }
        if cadence.page_size.is_some_and(|size| !(1..=200).contains(&size)) {
            return fail("page_size", "`page_size` must be 1 to 200, the API's limit".into());
        }
        if self.own_queries == OwnQueryPolicy::Suppress && self.own_ips.is_empty() {
            return fail(
                "own_queries",
                "`suppress` needs `own_ips`: without them a thief's login could be taken for an own one".into(),
            );
        }
        Ok(())
    }
}

impl SourceConfig for AnypointConfig {
    const TYPE: &'static str = "anypoint";

    fn build(self, options: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        let cadence = defaults().with(options);
        self.check(&cadence)?;
        let (auth, name) = self.auth.auth()?;
        // Of 700 and 40 a minute that the platform allows an address; others may share it.
        let requests = if self.endpoint.host_str() == Some(US) { 600 } else { 30 };
        let settings = Settings {
            organizations: self.organization_ids,
            cadence,
            asked: self.filter.asked(),
            filter: self.filter.body(),
            retention: self.retention.0,
            ahead: self.ahead.0,
            versioned_objects: self.versioned_objects,
            include_internal: self.include_internal,
            recognizer: Recognizer { name, ips: self.own_ips, skew: self.echo_skew.0 },
        };
        Ok(BuiltSource {
            source: Box::new(Anypoint::new(settings)),
            provider: Self::TYPE,
            endpoint: self.endpoint,
            auth,
            own_query_policy: self.own_queries,
            rate_limit: RateLimit { requests, per: Period::minutes(1) },
            min_interval: Period::seconds(0),
            question_interval: Period::seconds(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(changes: Value) -> Value {
        let mut yaml =
            json!({ "organization_ids": ["a-1", "b-2"], "auth": { "client_id": "me", "client_secret": "s3cr3t" } });
        for (key, value) in changes.as_object().unwrap() {
            yaml[key] = value.clone();
        }
        yaml
    }

    fn build(yaml: Value, options: &SourceOptions) -> Result<BuiltSource, ConfigError> {
        serde_json::from_value::<AnypointConfig>(yaml).unwrap().build(options)
    }

    #[test]
    fn unusable_values_name_their_option() {
        let check = |yaml: Value, options: SourceOptions, field: &str| {
            let built = build(with(yaml.clone()), &options);
            assert_eq!(built.err().map(|error| error.field).as_deref(), Some(field), "{yaml}");
        };
        let plain = SourceOptions::default;
        check(json!({ "endpoint": "ftp://x" }), plain(), "endpoint");
        check(json!({ "organization_ids": [] }), plain(), "organization_ids");
        check(json!({ "organization_ids": ["a/../b"] }), plain(), "organization_ids");
        check(json!({ "organization_ids": ["a", "a"] }), plain(), "organization_ids");
        check(json!({ "auth": {} }), plain(), "auth");
        check(json!({ "auth": { "client_id": "a" } }), plain(), "auth");
        check(json!({ "auth": { "token": "a", "username": "b", "password": "c" } }), plain(), "auth");
        check(json!({ "auth": { "client_id": "a", "client_secret": " " } }), plain(), "auth.client_secret");
        check(json!({ "filter": { "actions": [""] } }), plain(), "filter.actions");
        check(json!({ "retention": "9999d" }), plain(), "retention");
        check(json!({ "ahead": "2h" }), plain(), "ahead");
        check(json!({ "own_queries": "suppress" }), plain(), "own_queries");
        check(json!({}), SourceOptions { page_size: Some(201), ..plain() }, "page_size");
        check(json!({}), SourceOptions { poll_interval: Some(Period::seconds(1)), ..plain() }, "poll_interval");
        check(json!({}), SourceOptions { overlap: Some(Period::days(1)), ..plain() }, "overlap");
        check(json!({}), SourceOptions { settle: Some(Period::days(1)), ..plain() }, "settle");
        let rescan = Rescan { every: Period::hours(1), span: Period::days(400) };
        check(json!({}), SourceOptions { rescan: Some(vec![rescan]), ..plain() }, "rescan");
    }

    #[test]
    fn each_organization_is_a_stream_and_nothing_secret_prints() {
        let config = serde_json::from_value::<AnypointConfig>(with(json!({}))).unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"));
        let built = config.build(&SourceOptions::default()).unwrap();
        assert_eq!(built.source.streams(), ["a-1", "b-2"]);
        assert!(!format!("{:?}", built.auth).contains("s3cr3t"));
        assert!(!built.source.leaves_echoes());
        assert!(serde_json::from_value::<AnypointConfig>(with(json!({ "tokn": 1 }))).is_err());
    }

    #[test]
    fn the_budget_follows_the_control_plane() {
        let requests = |endpoint: &str| {
            build(with(json!({ "endpoint": endpoint })), &SourceOptions::default()).unwrap().rate_limit.requests
        };
        assert_eq!(requests("https://anypoint.mulesoft.com"), 600);
        assert_eq!(requests("https://eu1.anypoint.mulesoft.com"), 30);
        assert_eq!(requests("https://jp1.platform.mulesoft.com"), 30);
    }

    #[test]
    fn a_login_says_who_and_a_token_does_not() {
        let login = |auth: Value| build(with(json!({ "auth": auth })), &SourceOptions::default()).unwrap().auth;
        let Auth::Login(app) = login(json!({ "client_id": "me", "client_secret": "s" })) else { panic!("a login") };
        assert_eq!((app.path, app.body), ("/accounts/api/v2/oauth2/token", LoginBody::Form));
        assert_eq!(app.request().query, [("client_id".to_owned(), "me".to_owned())]);
        let Auth::Login(user) = login(json!({ "username": "u", "password": "p" })) else { panic!("a login") };
        assert_eq!((user.path, user.body), ("/accounts/login", LoginBody::Json));
        assert!(matches!(login(json!({ "token": "t" })), Auth::Header { prefix: "Bearer ", .. }));
    }
}
