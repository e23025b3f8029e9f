//! `host:port`.

use std::fmt;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Name or IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads `host:port`, `[2001:db8::1]:port`, or, with a default port, either without it.
    pub(crate) fn parse(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        let problem = || {
            let example = if default_port.is_some() { "`host`, `host:port`" } else { "`host:port`" };
            format!("`{text}` is no address: write {example}, an IPv6 address in brackets")
        };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| problem())?)),
            _ => (text, default_port),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) if host.parse::<std::net::Ipv6Addr>().is_ok() => host,
            None if !host.is_empty() && !host.contains([':', '/', '[', ' ']) => host,
            _ => return Err(problem()),
        };
        match port {
            Some(port) if port != 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err(problem()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_with_and_without_port() {
        let read = |text, default| {
            Address::parse(text, default).map(|address| (address.host.clone(), address.port, address.to_string()))
        };
        let is = |host: &str, port, text: &str| Ok((host.to_owned(), port, text.to_owned()));
        assert_eq!(read("a.example:514", None), is("a.example", 514, "a.example:514"));
        assert_eq!(read("a.example", Some(6514)), is("a.example", 6514, "a.example:6514"));
        assert_eq!(read("[2001:db8::1]:1", None), is("2001:db8::1", 1, "[2001:db8::1]:1"));
        assert_eq!(read("[2001:db8::1]", Some(6514)), is("2001:db8::1", 6514, "[2001:db8::1]:6514"));
        for wrong in
            ["a.example", "a.example:", "a:b:1", ":1", "tcp://a:1", "2001:db8::1", "a:0", "a:65536", "[a]:1", ""]
        {
            assert!(Address::parse(wrong, None).is_err(), "{wrong}");
        }
    }
}
