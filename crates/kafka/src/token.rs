//! Bearer tokens for SASL OAUTHBEARER (RFC 7628).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headwater_contracts::{Sasl, Secret, mask};
use rdkafka::client::OAuthToken;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lifetime of a token that does not say: a minute is what the shortest known have.
const UNSAID: Duration = Duration::from_mins(1);
/// Longest wait for the token endpoint.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The token of the options: as configured, or fetched. Blocking.
pub(crate) fn token(sasl: &Sasl) -> Result<OAuthToken, String> {
    let (token, lives) = match (&sasl.token, &sasl.token_endpoint) {
        (Some(token), _) => (token.expose().to_owned(), None),
        (None, Some(_)) => fetch(sasl)?,
        (None, None) => return Err("neither `sasl.token` nor `sasl.token_endpoint` is configured".to_owned()),
    };
    let claims = claims(&token).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ends = claims["exp"].as_u64().map(Duration::from_secs);
    let ends = ends.unwrap_or_else(|| now + lives.unwrap_or(UNSAID));
    Ok(OAuthToken {
        principal_name: claims["sub"].as_str().or(sasl.client_id.as_deref()).unwrap_or("headwater").to_owned(),
        token,
        lifetime_ms: i64::try_from(ends.as_millis()).unwrap_or(i64::MAX),
    })
}

/// What a JSON Web Token (RFC 7519) says of itself; nobody checks it here.
fn claims(token: &str) -> Option<Value> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// Client credentials (RFC 6749 section 4.4): the token and how long it lives.
fn fetch(sasl: &Sasl) -> Result<(String, Option<Duration>), String> {
    let endpoint = sasl.token_endpoint.clone().ok_or("`sasl.token_endpoint` is missing")?;
    let said = |error: &dyn std::fmt::Display| format!("no token from `{endpoint}`: {error}");
    let client = reqwest::blocking::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| said(&error))?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &sasl.scope {
        form.append_pair("scope", scope);
    }
    let answer = client
        .post(endpoint.clone())
        .basic_auth(sasl.client_id.as_deref().unwrap_or_default(), sasl.client_secret.as_ref().map(Secret::expose))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(form.finish())
        .send()
        .map_err(|error| said(&error.without_url()))?;
    let status = answer.status();
    let body = answer.bytes().map_err(|error| said(&error.without_url()))?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| said(&format!("HTTP {status}, and no JSON")))?;
    match body["access_token"].as_str() {
        Some(token) if status.is_success() => {
            mask::learn_token(token);
            Ok((token.to_owned(), body["expires_in"].as_u64().map(Duration::from_secs)))
        }
        _ => Err(said(&format!("HTTP {status}: {}", body["error"].as_str().unwrap_or("no `access_token`")))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Test code: a panic is how it fails.
mod tests {
    use super::*;
    use headwater_contracts::Mechanism;

    #[test]
    fn a_web_token_says_who_it_is_of_and_until_when() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"poller","exp":1900000000}"#);
        let sasl = Sasl {
            mechanism: Mechanism::Oauthbearer,
            username: None,
            password: None,
            token: Some(Secret::new(format!("e30.{claims}."))),
            token_endpoint: None,
            client_id: None,
            client_secret: None,
            scope: None,
        };
        let token = token(&sasl).unwrap();
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("poller", 1_900_000_000_000));
    }
}
