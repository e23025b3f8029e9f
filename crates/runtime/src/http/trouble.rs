//! What went wrong below HTTP, and what to do about it.

use std::fmt::Write as _;

/// An error with its causes; without the address, which the caller names.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = source {
        let step = error.to_string();
        if !text.contains(&step) {
            let _ = write!(text, "{}{step}", if text.is_empty() { "" } else { ": " });
        }
        source = error.source();
    }
    match () {
        () if text.contains("dns error") => text,
        () if error.is_timeout() => "timed out".into(),
        () if text.is_empty() => error.to_string(),
        () => text,
    }
}

/// What a person should look at, where the text of an error is known to come from a slip. A server that has `answered` before speaks
/// what `scheme` says.
pub(super) fn hint(text: &str, scheme: &str, answered: bool) -> &'static str {
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    match scheme {
        _ if says(&["UnknownIssuer"]) => {
            ": nobody that is trusted here has signed the server's certificate; if it is self-signed, or of your own authority, name the authority's PEM file as `tls.ca_file`"
        }
        _ if says(&["CaUsedAsEndEntity"]) => {
            ": the server's certificate says that it is an authority's own; if it is the right one, name this very certificate in `tls.ca_file`"
        }
        _ if answered => "",
        "https" if says(&["InvalidContentType", "corrupt message", "wrong version number"]) => {
            ": what answers there does not speak TLS; is `endpoint` an `http://` address, or the port another one?"
        }
        "http"
            if says(&[
                "reset by peer",
                "closed before message completed",
                "invalid HTTP version",
                "parsing",
                "unexpected EOF",
            ]) =>
        {
            ": if what answers there speaks TLS, `endpoint` has to begin with `https://`"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_scheme_is_suspected_from_either_side() {
        assert!(hint("received corrupt message of type InvalidContentType", "https", false).contains("`http://`"));
        assert!(hint("Connection reset by peer (os error 104)", "http", false).contains("`https://`"));
        assert!(hint("invalid HTTP version parsed", "http", false).contains("`https://`"));
        assert_eq!(hint("Connection reset by peer (os error 104)", "https", false), "");
        assert_eq!(hint("dns error", "http", false), "");
        assert_eq!(hint("Connection reset by peer (os error 104)", "http", true), "", "it has answered by HTTP");
        assert!(hint("invalid peer certificate: UnknownIssuer", "https", true).contains("`tls.ca_file`"));
    }
}
