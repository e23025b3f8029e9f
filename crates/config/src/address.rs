//! Addresses: what is wrong with one that is no URL, and what goes over the network in clear.

use crate::{Diagnostic, Diagnostics, Node, Scalar};
use headwater_contracts::is_this_machine;
use std::net::Ipv6Addr;
use url::Url;

/// What is wrong with a text that should be a URL, and what to write instead.
pub(crate) fn problem(scalar: &Scalar, fallback: &str) -> (String, String) {
    let shown = scalar.shown();
    match meant(scalar) {
        Some(meant) => {
            (format!("`{shown}` is not a URL: it does not begin with `https://`"), format!("write `{meant}`"))
        }
        None => {
            let why = Url::parse(&scalar.text).err().map_or_else(String::new, |error| format!(": {error}"));
            (format!("`{shown}` is not a URL{why}"), format!("write one such as `{fallback}`"))
        }
    }
}

/// The URL that was probably meant by a text without a scheme, such as `acme.example:8443` or `::1`.
pub(crate) fn meant(scalar: &Scalar) -> Option<String> {
    let (text, shown) = (scalar.text.as_str(), scalar.shown());
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("https://[{shown}]"));
    }
    if let Some((scheme, rest)) = shown.split_once("//").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) {
        return Some(format!("{scheme}://{rest}"));
    }
    let named = text.chars().all(|c| !c.is_whitespace()) && !text.contains("//") && !text.starts_with(['/', ':', '.']);
    // `https:host` and `host:8080` both have a scheme for the parser.
    let known = ["http:", "https:", "ftp:", "file:"].iter().any(|scheme| text.to_ascii_lowercase().starts_with(scheme));
    let meant = Url::parse(&format!("https://{text}")).ok().filter(Url::has_host);
    meant.filter(|_| named && !known).map(|_| format!("https://{shown}"))
}

/// Whether a key holds an address that requests are sent to.
pub(crate) fn is_address(key: &str) -> bool {
    ["endpoint", "url", "uri", "proxy"].iter().any(|name| key == *name || key.ends_with(&format!("_{name}")))
}

/// Warns of each address in `node` that is neither encrypted nor on this machine.
pub(crate) fn warn(node: &Node, subject: &str, diagnostics: &mut Diagnostics) {
    walk(node, "", subject, diagnostics);
}

fn walk(node: &Node, path: &str, subject: &str, diagnostics: &mut Diagnostics) {
    for entry in node.entries() {
        let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        match entry.value.scalar() {
            Some(scalar) if is_address(&entry.key) => {
                if let Some(warning) = in_clear(&entry.key, scalar) {
                    let warning = Diagnostic::at(&entry.value.span, format!("`{path}` of {subject}: {warning}"));
                    let hint = "write `https://`, or an address on this machine such as `localhost`";
                    diagnostics.push(warning.hint(hint).warning());
                }
            }
            _ => walk(&entry.value, &path, subject, diagnostics),
        }
    }
    for item in node.items() {
        walk(item, path, subject, diagnostics);
    }
}

fn in_clear(key: &str, scalar: &Scalar) -> Option<String> {
    let url = Url::parse(scalar.text.trim()).ok().filter(|url| url.scheme() == "http")?;
    if url.host_str().is_none_or(is_this_machine) {
        return None;
    }
    if !key.ends_with("proxy") {
        return Some("what is sent, credentials too, can be read on its way: `http` is not encrypted".to_owned());
    }
    let credential = !url.username().is_empty() || url.password().is_some();
    // What goes through the tunnel has an encryption of its own.
    credential.then(|| "the proxy's credential can be read on its way: `http` is not encrypted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceFile, parse};

    fn node(yaml: &str) -> Node {
        parse(&SourceFile::new("p.yaml", "", yaml), &mut Diagnostics::default()).unwrap()
    }

    #[test]
    fn what_was_probably_meant_is_said() {
        let meant = |text: &str| meant(node(&format!("k: '{text}'")).get("k").unwrap().scalar().unwrap());
        assert_eq!(meant("acme.pactflow.io").as_deref(), Some("https://acme.pactflow.io"));
        assert_eq!(meant("acme.example:8443/tools").as_deref(), Some("https://acme.example:8443/tools"));
        assert_eq!(meant("localhost:8080").as_deref(), Some("https://localhost:8080"));
        assert_eq!(meant("10.0.0.1").as_deref(), Some("https://10.0.0.1"));
        assert_eq!(meant("::1").as_deref(), Some("https://[::1]"));
        assert_eq!(meant("[::1]:7443").as_deref(), Some("https://[::1]:7443"));
        assert_eq!(meant("https//acme.example").as_deref(), Some("https://acme.example"));
        for text in ["https://", "/audit", "//acme", "a b", "", "ftp:acme", "host:70000"] {
            assert_eq!(meant(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_leaves_the_machine_in_clear_is_warned_of() {
        let warned = |yaml: &str| {
            let mut diagnostics = Diagnostics::default();
            warn(&node(yaml), "source `a`", &mut diagnostics);
            assert!(!diagnostics.has_errors());
            diagnostics.len()
        };
        for quiet in [
            "endpoint: https://acme.example",
            "endpoint: http://localhost:80",
            "endpoint: HTTP://127.9.9.9",
            "endpoint: 'http://[::1]:80'",
            "endpoint: http://sim.localhost",
            "proxy: http://proxy.example:3128",
            "proxy: https://u:p@proxy.example",
            "topic: http://acme.example",
        ] {
            assert_eq!(warned(quiet), 0, "{quiet}");
        }
        for loud in [
            "endpoint: http://acme.example",
            "endpoint: http://10.0.0.1",
            "endpoint: http://localhost.example",
            "schema_registry: { url: HTTP://registry }",
            "sasl: { token_endpoint: http://idp.example/t }",
            "proxy: http://u:p@proxy.example",
        ] {
            assert_eq!(warned(loud), 1, "{loud}");
        }
    }
}
