//! What is this machine, and what is not.

use std::net::IpAddr;

/// Whether a host, by its name or address, is this machine whatever a name server says.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn only_what_cannot_lead_elsewhere_is_this_machine() {
        for here in [
            "localhost",
            "LocalHost.",
            "a.localhost",
            "127.0.0.1",
            "127.8.9.1",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "0.0.0.0",
        ] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in ["localhost.example.com", "10.0.0.1", "logs", "", "128.0.0.1", "::2", "127.0.0.1.nip.io"] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
