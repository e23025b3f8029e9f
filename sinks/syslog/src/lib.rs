//! Events to syslog receivers: RFC 5424 over TCP, TLS (RFC 5425), UDP (RFC 5426) or a unix socket.
//!
//! | what | how |
//! |---|---|
//! | message | `<PRI>1 TIME HOST APP - MSGID [origin ..][ocsf@.. ..] BODY`; the body is JSON, CEF, LEEF or a sentence |
//! | frame | on streams RFC 6587: octet counting, or a line feed; in datagrams none |
//! | too long | without `raw_data`, then without `unmapped`, then the sentence alone; JSON is never cut |
//! | acknowledged | once the operating system has taken the last byte, and the receiver had not closed before or after |
//! | dropped midway | on the same connection the batch goes on where it was: no frame is torn |
//!
//! Syslog has no acknowledgement; README.md says what that can cost.

mod address;
mod cef;
mod config;
mod connect;
mod datagram;
mod framing;
mod host;
mod leef;
mod message;
mod pairs;
mod priority;
mod shortened;
mod sink;
mod stream;
mod structured_data;
mod tls;

pub use config::{Mode, SyslogConfig, UnixMode};
pub use framing::Framing;
pub use message::Body;
pub use priority::Code;
pub use structured_data::{ElementConfig, KnownElement, OwnElement};
