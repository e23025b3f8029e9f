//! Credentials that are exchanged for a token: said by the plugin, done by the runtime.

use crate::{Method, Period, Request, Secret};

/// How a token is fetched: `POST path` below the endpoint, with these fields; the answer is a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Path below the endpoint, starting with `/`.
    pub path: &'static str,
    /// How the fields are written.
    pub body: LoginBody,
    /// The fields, in order.
    pub fields: Vec<(&'static str, LoginField)>,
    /// Member of the answer that is the token.
    pub token: &'static str,
    /// Member of the answer that is its lifetime in seconds, where there is one.
    pub expires_in: &'static str,
    /// The lifetime to assume if the answer does not say.
    pub lifetime: Period,
    /// What a person should check if the login is refused.
    pub refused_hint: &'static str,
}

/// How the fields of a login are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginBody {
    /// `application/x-www-form-urlencoded`
    Form,
    /// A JSON object of strings.
    Json,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginField {
    /// The same for everybody, such as `client_credentials`.
    Fixed(&'static str),
    /// Who logs in: no secret. The audit log shows it, so own logins are recognised by it.
    Name(String),
    /// The proof.
    Secret(Secret),
}

impl LoginField {
    /// The text that is sent.
    pub fn expose(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Name(name) => name,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

impl Login {
    /// The request as the ledger remembers it, for recognising the record that it leaves: the names, no secrets.
    pub fn request(&self) -> Request {
        let names = self.fields.iter().filter_map(|(field, value)| match value {
            LoginField::Name(name) => Some(((*field).to_owned(), name.clone())),
            _ => None,
        });
        Request { method: Method::Post, query: names.collect(), ..Request::get(self.path) }
    }

    /// Replaces names and secrets, in order, by the parts of `credential` between colons.
    pub(crate) fn set_credential(&mut self, credential: &str) {
        let mut parts = credential.split(':');
        for (_, field) in &mut self.fields {
            match field {
                LoginField::Fixed(_) => {}
                LoginField::Name(name) => parts.next().unwrap_or_default().clone_into(name),
                LoginField::Secret(secret) => *secret = Secret::new(parts.next().unwrap_or_default()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login {
            path: "/token",
            body: LoginBody::Form,
            fields: vec![
                ("grant_type", LoginField::Fixed("client_credentials")),
                ("client_id", LoginField::Name("me".into())),
                ("client_secret", LoginField::Secret(Secret::new("s3cr3t"))),
            ],
            token: "access_token",
            expires_in: "expires_in",
            lifetime: Period::minutes(15),
            refused_hint: "check it",
        }
    }

    #[test]
    fn what_is_remembered_of_a_login_names_who_and_no_secret() {
        let request = login().request();
        assert_eq!(request.query, [("client_id".to_owned(), "me".to_owned())]);
        assert_eq!((request.method, request.body), (Method::Post, None));
        assert!(!format!("{:?}", login()).contains("s3cr3t"));
    }

    #[test]
    fn a_credential_in_parts_replaces_names_and_secrets_in_order() {
        let mut changed = login();
        changed.set_credential("you:other");
        let texts: Vec<_> = changed.fields.iter().map(|(_, field)| field.expose()).collect();
        assert_eq!(texts, ["client_credentials", "you", "other"]);
    }
}
