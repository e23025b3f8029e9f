//! Where a message ends on a stream: RFC 6587.

use schemars::JsonSchema;
use serde::Deserialize;

/// How messages are told apart on a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// The length in bytes, a blank, the message: RFC 6587 section 3.4.1, and what RFC 5425 requires with TLS.
    #[default]
    OctetCounting,
    /// The message and a line feed: RFC 6587 section 3.4.2. For receivers that know nothing else.
    Newline,
}

/// Appends `message` as it travels; without framing it is a datagram.
pub(crate) fn frame(framing: Option<Framing>, message: &[u8], out: &mut Vec<u8>) {
    if framing == Some(Framing::OctetCounting) {
        out.extend_from_slice(message.len().to_string().as_bytes());
        out.push(b' ');
    }
    out.extend_from_slice(message);
    if framing == Some(Framing::Newline) {
        out.push(b'\n');
    }
}
