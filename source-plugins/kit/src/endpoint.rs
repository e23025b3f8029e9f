//! The `endpoint` option.

use headwater_contracts::ConfigError;
use url::Url;

/// Host, port if it is not the scheme's, and context path: the name of a stream that an endpoint has one of. The ledger
/// is keyed by it.
pub fn stream_name(endpoint: &Url) -> String {
    let mut name = endpoint.host_str().unwrap_or_default().to_owned();
    if let Some(port) = endpoint.port() {
        name.push(':');
        name.push_str(&port.to_string());
    }
    name.push_str(endpoint.path().trim_end_matches('/'));
    name
}

/// Refuses what is no plain HTTP address. The message shows `example` and says that credentials belong into the option
/// named `secret`.
pub fn check_endpoint(endpoint: &Url, example: &str, secret: &str) -> Result<(), ConfigError> {
    let problem = if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host_str().is_none_or(str::is_empty) {
        format!("is not an HTTP address; write one such as `{example}`")
    } else if endpoint.query().is_some() || endpoint.fragment().is_some() {
        format!("has a query or a fragment; write the plain address, such as `{example}`")
    } else if !endpoint.username().is_empty() || endpoint.password().is_some() {
        format!("contains credentials; put them into `{secret}`")
    } else {
        return Ok(());
    };
    Err(ConfigError::new("endpoint", format!("`endpoint` {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_by_host_port_and_context_path() {
        let check = |endpoint: &str, name: &str| assert_eq!(stream_name(&Url::parse(endpoint).unwrap()), name);
        check("https://acme.example", "acme.example");
        check("https://acme.example:443/", "acme.example");
        check("http://broker.example:9292/tools/pact/", "broker.example:9292/tools/pact");
    }

    #[test]
    fn only_plain_http_addresses_pass() {
        let check = |endpoint: &str| check_endpoint(&Url::parse(endpoint).unwrap(), "https://a.example", "token");
        assert!(check("https://acme.example/context").is_ok());
        for (endpoint, hint) in [
            ("ftp://acme", "https://a.example"),
            ("https://acme/?a=b", "https://a.example"),
            ("https://acme/#a", "https://a.example"),
            ("https://u@acme/", "`token`"),
            ("https://:p@acme/", "`token`"),
        ] {
            let error = check(endpoint).unwrap_err();
            assert_eq!(error.field, "endpoint");
            assert!(error.to_string().contains(hint), "{endpoint}: {error}");
        }
    }
}
