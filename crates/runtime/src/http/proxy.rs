//! The proxy of an endpoint: the one configured, or the environment's, as curl and others read it.

use headwater_contracts::ConfigError;
use std::net::IpAddr;
use url::{Host, Url};

/// The proxy that the environment names for `endpoint`. Loopback is never asked for through one.
pub(super) fn of_environment(
    endpoint: &Url,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Url>, ConfigError> {
    if is_loopback(endpoint) {
        return Ok(None);
    }
    let set = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, variable(name).filter(|value| !value.trim().is_empty())?)))
    };
    let own = match endpoint.scheme() {
        "https" => set(&["HTTPS_PROXY", "https_proxy"]),
        // What a CGI server makes of the header `Proxy` is not the user's word.
        _ if variable("REQUEST_METHOD").is_some() => set(&["http_proxy"]),
        _ => set(&["HTTP_PROXY", "http_proxy"]),
    };
    let Some((name, address)) = own.or_else(|| set(&["ALL_PROXY", "all_proxy"])) else { return Ok(None) };
    if let Some((_, exceptions)) = set(&["NO_PROXY", "no_proxy"])
        && is_excepted(endpoint, &exceptions)
    {
        return Ok(None);
    }
    let wrong = |why: &str| {
        let problem = format!("the environment variable `{name}` {why}: write `http://host:port`, or take it away");
        ConfigError::new("proxy", problem)
    };
    let address = address.trim();
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let proxy: Url = with_scheme.parse().map_err(|_| wrong("is not the address of a proxy"))?;
    match (proxy.scheme(), proxy.host_str()) {
        ("http" | "https", Some(host)) if !host.is_empty() => Ok(Some(proxy)),
        (scheme, _) if scheme.starts_with("socks") => Err(wrong("names a SOCKS proxy, which is not supported")),
        _ => Err(wrong("is not the address of an HTTP proxy")),
    }
}

/// Scheme, host and port: safe to show.
pub(super) fn name(proxy: &Url) -> String {
    proxy.origin().ascii_serialization()
}

pub(super) fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether `NO_PROXY` names the endpoint: `*`, a domain with all below it (also as `.domain` or `*.domain`), an address, or a network as
/// `10.0.0.0/8`; each perhaps with a port.
fn is_excepted(endpoint: &Url, exceptions: &str) -> bool {
    let Some(host) = endpoint.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    exceptions.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let (entry, port) = with_port(entry);
        if port.is_some() && port != endpoint.port_or_known_default() {
            return false;
        }
        if entry == "*" {
            return true;
        }
        if let Some(address) = address {
            return is_in_network(address, entry);
        }
        let domain = entry.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        !domain.is_empty()
            && host.strip_suffix(&domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// An entry without its brackets and port.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
        _ => (entry, None),
    }
}

fn is_in_network(address: IpAddr, network: &str) -> bool {
    let (base, length) = network.split_once('/').unwrap_or((network, "128"));
    let (Ok(base), Ok(length)) = (base.parse(), length.parse::<u32>()) else { return false };
    let prefix = |bits: u128, width: u32| bits.checked_shr(width.saturating_sub(length)).unwrap_or(0);
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => {
            prefix(u128::from(address.to_bits()), 32) == prefix(u128::from(base.to_bits()), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(base)) => prefix(address.to_bits(), 128) == prefix(base.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excepted(endpoint: &str, exceptions: &str) -> bool {
        is_excepted(&endpoint.parse().unwrap(), exceptions)
    }

    #[test]
    fn no_proxy_is_read_in_its_usual_forms() {
        const NAME: &str = "https://audit.eu.example.com";
        for entry in [
            "*",
            "example.com",
            ".example.com",
            "*.example.com",
            "EU.Example.com.",
            "a.b, audit.eu.example.com",
            "*.example.com:443",
        ] {
            assert!(excepted(NAME, entry), "{entry}");
        }
        for entry in ["ample.com", "example.org", "*.eu", "", ",", ".", "example.com:8443", "10.0.0.0/8"] {
            assert!(!excepted(NAME, entry), "{entry}");
        }
        assert!(excepted("https://10.1.2.3", "10.0.0.0/8") && excepted("https://10.1.2.3", "10.1.2.3"));
        assert!(excepted("https://10.1.2.3", "0.0.0.0/0") && !excepted("https://10.1.2.3", "10.1.2.4"));
        assert!(!excepted("https://11.1.2.3", "10.0.0.0/8") && !excepted("https://10.1.2.3", "fe80::/10"));
        assert!(excepted("https://[fd00::1]:8443", "fd00::/8") && excepted("https://[fd00::1]:8443", "[fd00::1]:8443"));
        assert!(!excepted("https://[fd00::1]:8443", "[fd00::1]:443") && !excepted("https://[fd00::1]", "10.0.0.0/129"));
    }

    fn proxy(endpoint: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        let proxy = of_environment(&endpoint.parse().unwrap(), variable);
        proxy.map(|proxy| proxy.as_ref().map(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_names_a_proxy_or_is_told_that_it_does_not() {
        let found = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(proxy("https://a.example", &[("https_proxy", "http://u:p@p:3128")]), found("http://p:3128"));
        assert_eq!(proxy("https://a.example", &[("HTTPS_PROXY", "p:3128")]), found("http://p:3128"));
        assert_eq!(proxy("http://a.example", &[("http_proxy", "p"), ("ALL_PROXY", "q")]), found("http://p"));
        assert_eq!(proxy("http://a.example", &[("https_proxy", "p"), ("all_proxy", "q:1")]), found("http://q:1"));
        assert_eq!(proxy("http://a.example", &[("HTTP_PROXY", "p"), ("REQUEST_METHOD", "GET")]), Ok(None));
        assert_eq!(proxy("https://a.example", &[("https_proxy", "p"), ("no_proxy", "*.example")]), Ok(None));
        assert_eq!(proxy("https://a.example", &[("https_proxy", "")]), Ok(None));
        assert_eq!(proxy("http://127.0.0.1:1", &[("http_proxy", "p")]), Ok(None));
        for garbage in ["::", "http://", "ftp://p", "p q", "socks5://p:1080"] {
            let error = proxy("http://a.example", &[("http_proxy", garbage)]).unwrap_err();
            assert!(error.contains("`http_proxy`"), "{garbage}: {error}");
        }
    }
}
