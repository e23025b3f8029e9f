//! Who may read: logins and the tokens they give.

use crate::api::Call;
use crate::dice::Dice;
use crate::log::Who;
use crate::time::seconds;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::collections::HashMap;

pub(super) const CLIENT: &str = "4f6e1a0b9c8d4e7fa1b2c3d4e5f60718";
pub(super) const SECRET: &str = "sim-anypoint-secret-0123456789";
pub(super) const OTHER_CLIENT: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
pub(super) const OTHER_SECRET: &str = "sim-anypoint-secret-without-scope";
pub(super) const USER: &str = "sim-auditor";
const PASSWORD: &str = "sim-anypoint-password";

/// Whether a path is one that logs in.
pub(super) fn is_login(path: &str) -> bool {
    matches!(path, "/accounts/api/v2/oauth2/token" | "/accounts/login" | "/accounts/api/login")
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// To read, as a connected app.
    App,
    /// To read, as a person.
    User,
    /// To do other things.
    Unprivileged,
}

/// The fields of a login, whichever way they came.
#[derive(Debug, Default)]
pub(super) struct Asked(HashMap<String, String>);

impl Asked {
    /// Reads a form, a JSON object, and HTTP Basic.
    pub(super) fn read(call: &Call) -> Self {
        let mut fields: HashMap<String, String> = match serde_json::from_slice::<Value>(&call.body) {
            Ok(Value::Object(map)) => {
                map.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
            }
            _ => url::form_urlencoded::parse(&call.body).into_owned().collect(),
        };
        let basic = call.authorization.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok());
        if let Some((client, secret)) = basic
            .and_then(|text| String::from_utf8(text).ok()?.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())))
        {
            fields.insert("client_id".into(), client);
            fields.insert("client_secret".into(), secret);
        }
        let login = call.path.ends_with("/login");
        fields.retain(|field, _| login == matches!(field.as_str(), "username" | "password"));
        Self(fields)
    }

    /// A login with user name and password.
    pub(super) fn is_user(&self) -> bool {
        self.0.contains_key("username")
    }

    fn is(&self, field: &str, text: &str) -> bool {
        self.0.get(field).is_some_and(|value| value == text)
    }
}

/// The tokens given.
#[derive(Debug)]
pub(super) struct Tokens {
    given: HashMap<String, (Grant, i64)>,
    dice: Dice,
}

impl Tokens {
    pub(super) fn new(seed: u64) -> Self {
        Self { given: HashMap::new(), dice: Dice::new(&[seed, 0x70c]) }
    }

    /// Who asks, as the log shows it, and the token, if the login is right.
    pub(super) fn grant(&mut self, asked: &Asked, now: i64, life_s: u32) -> (Who, Option<String>) {
        let user = asked.is("username", USER);
        let client = asked.is("client_id", CLIENT) && asked.is("grant_type", "client_credentials");
        let grant = if user && asked.is("password", PASSWORD) {
            Some(Grant::User)
        } else if client && asked.is("client_secret", SECRET) {
            Some(Grant::App)
        } else if asked.is("client_id", OTHER_CLIENT) && asked.is("client_secret", OTHER_SECRET) {
            Some(Grant::Unprivileged)
        } else {
            None
        };
        let who = match grant {
            Some(Grant::Unprivileged) => Who::OtherCollector,
            _ => super::shown(user || asked.is("client_id", CLIENT)),
        };
        let token = grant.map(|grant| {
            let token = format!("{:032x}", self.dice.wide());
            self.given.insert(token.clone(), (grant, now + seconds(life_s)));
            token
        });
        (who, token)
    }

    /// What the bearer of this `Authorization` may do now.
    pub(super) fn holder(&self, authorization: &str, now: i64) -> Option<Grant> {
        let (scheme, token) = authorization.split_once(' ')?;
        let (grant, until) = self.given.get(token).filter(|_| scheme.eq_ignore_ascii_case("bearer"))?;
        (now < *until).then_some(*grant)
    }
}
