//! The YAML options.

use crate::{
    address::Address,
    connect::{Receiver, Secure},
    datagram::Mailbox,
    framing::Framing,
    host::hostname,
    message::{Body, Encoder, HOSTNAME_MAX, header_field},
    priority::{Code, Coded},
    shortened::Shortened,
    sink::{SyslogSink, Way},
    structured_data::{ElementConfig, KnownElement, StructuredData, simulated},
    tls,
};
use headwater_contracts::{ByteSize, ConfigError, Period, Sink, SinkConfig, Tls};
use headwater_sink_kit::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc};

/// What every receiver must take, RFC 5424 section 6.1.
const LEAST: u64 = 480;
/// Below rsyslog's default of 8096: it cuts longer ones, and takes the rest for another message. RFC 5425 section 4.3.1 asks for 8192.
const STREAM_DEFAULT: u64 = 8000;
/// What every receiver should take, RFC 5424 section 6.1.
const UDP_DEFAULT: u64 = 2048;
/// Payload of the largest UDP datagram over IPv4.
const UDP_MAX: u64 = 65_507;
/// An enterprise number for examples, RFC 5612.
const EXAMPLE_ENTERPRISE: u32 = 32_473;

/// Sends events as syslog messages, RFC 5424, over TCP, TLS, UDP or a unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// How to reach the receiver.
    pub mode: Mode,
    /// Where it listens: `host:port`. Default port: 6514 for `tls`, 514 for `udp`; `tcp` has none.
    pub address: Option<String>,
    /// The socket of `mode: unix`, for example `/dev/log`.
    #[serde(default, deserialize_with = "headwater_contracts::from_file::optional_file")]
    pub path: Option<PathBuf>,
    /// What kind of socket `path` is. Default: `datagram`.
    pub unix_mode: Option<UnixMode>,
    /// How messages are told apart on a stream. Default: `octet_counting`.
    pub framing: Option<Framing>,
    /// TLS towards the receiver, for `mode: tls`.
    pub tls: Option<Tls>,
    /// The facility: 0 to 23, a name such as `audit` or `local0`, or a template. Default: 13, "log audit".
    pub facility: Option<Code>,
    /// The severity: 0 to 7, a name such as `notice`, or a template. Default: by the event's OCSF severity.
    pub severity: Option<Code>,
    /// HOSTNAME. Default: this host's name.
    pub hostname: Option<String>,
    /// APP-NAME, a template. Default: `{{ %headwater.provider }}`.
    pub app_name: Option<String>,
    /// MSGID, a template. Default: `ocsf-{{ type_uid }}`.
    pub msgid: Option<String>,
    /// The elements of the structured data, in order. Default: `[origin, ocsf]`.
    pub structured_data: Option<Vec<ElementConfig>>,
    /// Your private enterprise number, in the name of the element `ocsf`. Default: 32473, which is reserved for examples.
    pub enterprise_id: Option<u32>,
    /// What the message holds. Default: `json`.
    #[serde(default)]
    pub body: Body,
    /// Whether a byte order mark says that the message is UTF-8. Default: `false`.
    #[serde(default)]
    pub bom: bool,
    /// Longest message, without its frame. Default: 8000 bytes, which is below rsyslog's 8096; 2048 for `udp`.
    pub max_length: Option<ByteSize>,
    /// Longest wait for a connection, TLS included. Default: `10s`.
    pub connect_timeout: Option<Period>,
    /// Longest wait for a receiver that takes nothing. Default: `30s`.
    pub write_timeout: Option<Period>,
}

/// How to reach the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// TCP, RFC 6587.
    Tcp,
    /// TLS, RFC 5425.
    Tls,
    /// UDP, RFC 5426.
    Udp,
    /// A unix socket.
    Unix,
}

/// The kinds of unix socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnixMode {
    /// One message per datagram, as `/dev/log` wants it.
    #[default]
    Datagram,
    /// A stream of frames.
    Stream,
}

impl SyslogConfig {
    fn way(&self) -> Result<(Way, String), ConfigError> {
        let default_port = match self.mode {
            Mode::Tcp | Mode::Unix => None,
            Mode::Tls => Some(6514),
            Mode::Udp => Some(514),
        };
        let unwanted = |field: &str, wants: &str| ConfigError::new(field, format!("is for {wants} only"));
        if self.mode == Mode::Unix {
            if self.address.is_some() {
                return Err(unwanted("address", "`mode: tcp`, `tls` and `udp`"));
            }
        } else if self.path.is_some() {
            return Err(unwanted("path", "`mode: unix`"));
        } else if self.unix_mode.is_some() {
            return Err(unwanted("unix_mode", "`mode: unix`"));
        }
        if self.tls.is_some() && self.mode != Mode::Tls {
            return Err(unwanted("tls", "`mode: tls`"));
        }
        if self.framing.is_some() && !self.is_stream() {
            return Err(ConfigError::new("framing", "is for streams only: a datagram is one message"));
        }
        let address = || {
            let text = self.address.as_deref().ok_or_else(|| {
                ConfigError::new("address", "is missing: where the receiver listens, such as `logs.example.com:6514`")
            })?;
            Address::parse(text, default_port).map_err(|problem| ConfigError::new("address", problem))
        };
        let way = match self.mode {
            Mode::Tcp => Way::Stream(Receiver::Tcp(address()?), None),
            Mode::Tls => {
                let address = address()?;
                let name = tls::server_name(&address.host)?;
                let secure = Secure::new(name, &self.tls.clone().unwrap_or_default())?;
                Way::Stream(Receiver::Tls(address, secure), None)
            }
            Mode::Udp => Way::Datagrams(Mailbox::Udp(address()?), None),
            Mode::Unix => {
                let path = self
                    .path
                    .clone()
                    .ok_or_else(|| ConfigError::new("path", "is missing: the receiver's socket, such as `/dev/log`"))?;
                if self.is_stream() {
                    Way::Stream(Receiver::Unix(path), None)
                } else {
                    Way::Datagrams(Mailbox::Unix(path), None)
                }
            }
        };
        let name = match &way {
            Way::Stream(Receiver::Tcp(address) | Receiver::Tls(address, ..), _)
            | Way::Datagrams(Mailbox::Udp(address), _) => format!("`{address}`"),
            Way::Stream(Receiver::Unix(path), _) | Way::Datagrams(Mailbox::Unix(path), _) => {
                format!("`{}`", path.display())
            }
        };
        Ok((way, name))
    }

    fn is_stream(&self) -> bool {
        match self.mode {
            Mode::Tcp | Mode::Tls => true,
            Mode::Udp => false,
            Mode::Unix => self.unix_mode == Some(UnixMode::Stream),
        }
    }

    fn encoder(&self) -> Result<Encoder, ConfigError> {
        let default = if self.mode == Mode::Udp { UDP_DEFAULT } else { STREAM_DEFAULT };
        let max_length = self.max_length.map_or(default, |size| size.0);
        if max_length < LEAST || (self.mode == Mode::Udp && max_length > UDP_MAX) {
            let problem = if max_length < LEAST {
                format!("must be at least {LEAST}, which every receiver takes")
            } else {
                format!("can be at most {UDP_MAX}, the size of a datagram")
            };
            return Err(ConfigError::new("max_length", problem));
        }
        let template = |field: &str, text: &Option<String>, default: &str| {
            Template::parse(text.as_deref().unwrap_or(default)).map_err(|problem| ConfigError::new(field, problem))
        };
        let at = |field: &'static str| move |problem: String| ConfigError::new(field, problem);
        let hostname = match &self.hostname {
            Some(name) if header_field(name, HOSTNAME_MAX) != *name => {
                let problem = format!("`{name}` must be 1 to {HOSTNAME_MAX} printable ASCII characters without blanks");
                return Err(ConfigError::new("hostname", problem));
            }
            Some(name) => name.clone(),
            None => hostname(),
        };
        let elements = self.structured_data.clone().unwrap_or_else(|| {
            vec![ElementConfig::Known(KnownElement::Origin), ElementConfig::Known(KnownElement::Ocsf)]
        });
        Ok(Encoder {
            facility: Coded::facility(self.facility.as_ref().unwrap_or(&Code::Number(13))).map_err(at("facility"))?,
            severity: self.severity.as_ref().map(Coded::severity).transpose().map_err(at("severity"))?,
            hostname,
            app_name: template("app_name", &self.app_name, "{{ %headwater.provider }}")?,
            msgid: template("msgid", &self.msgid, "ocsf-{{ type_uid }}")?,
            structured_data: StructuredData::parse(elements, self.enterprise())?,
            body: self.body,
            bom: self.bom,
            max_length: usize::try_from(max_length).unwrap_or(usize::MAX),
            framing: self.is_stream().then(|| self.framing.unwrap_or_default()),
            shortened: Shortened::default(),
        })
    }
}

impl SyslogConfig {
    fn enterprise(&self) -> u32 {
        self.enterprise_id.unwrap_or(EXAMPLE_ENTERPRISE)
    }
}

impl SinkConfig for SyslogConfig {
    const TYPE: &'static str = "syslog";

    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        let (way, name) = self.way()?;
        let wait = |field: &str, chosen: Option<Period>, default| {
            let wait = chosen.unwrap_or(default).to_std();
            if wait.is_zero() { Err(ConfigError::new(field, "must be longer than `0s`")) } else { Ok(wait) }
        };
        Ok(Box::new(SyslogSink {
            encoder: Arc::new(self.encoder()?),
            simulated: simulated(self.enterprise()),
            name,
            way,
            connect_timeout: wait("connect_timeout", self.connect_timeout, Period::seconds(10))?,
            write_timeout: wait("write_timeout", self.write_timeout, Period::seconds(30))?,
        }))
    }
}
