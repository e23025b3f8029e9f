//! One event, one message: RFC 5424. Pure.

use crate::{
    cef::cef,
    framing::{Framing, frame},
    leef::leef,
    priority::Coded,
    shortened::Shortened,
    structured_data::StructuredData,
};
use headwater_contracts::{Encode, Event, Timestamp};
use headwater_sink_kit::{Facts, Template, line, severity, shortened};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt::Write as _;

/// Longest HOSTNAME, RFC 5424 section 6.
pub(crate) const HOSTNAME_MAX: usize = 255;
/// Longest APP-NAME, RFC 5424 section 6.
const APP_NAME_MAX: usize = 48;
/// Longest MSGID, RFC 5424 section 6.
const MSGID_MAX: usize = 32;

/// What MSG holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The event as compact JSON.
    #[default]
    Json,
    /// ArcSight's Common Event Format.
    Cef,
    /// QRadar's Log Event Extended Format 2.0.
    Leef,
    /// The event's `message`, for people; all of it as JSON where there is none.
    Message,
}

/// Makes messages.
pub(crate) struct Encoder {
    pub(crate) facility: Coded,
    /// `None`: by the event's OCSF severity.
    pub(crate) severity: Option<Coded>,
    pub(crate) hostname: String,
    pub(crate) app_name: Template,
    pub(crate) msgid: Template,
    pub(crate) structured_data: StructuredData,
    pub(crate) body: Body,
    pub(crate) bom: bool,
    /// Bytes of a message, frame not included.
    pub(crate) max_length: usize,
    /// `None` for datagrams.
    pub(crate) framing: Option<Framing>,
    /// Messages that are less than their events.
    pub(crate) shortened: Shortened,
}

/// What a template without facility falls back to: "log audit".
const AUDIT: u8 = 13;

impl Encode for Encoder {
    fn encode(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        frame(self.framing, &self.message(event)?, out);
        Ok(())
    }
}

impl Encoder {
    fn message(&self, event: &Event) -> Result<Vec<u8>, String> {
        let facts = Facts::of(event)?;
        let header = self.header(&facts)?;
        // Structured data that is too long by itself is left out before the event is given up.
        for whole in [true, false] {
            let mut message = header.clone();
            self.structured_data.write(&facts, whole, &mut message);
            message.push(' ');
            if self.bom {
                message.push('\u{feff}');
            }
            let Some(room) = self.max_length.checked_sub(message.len()) else { continue };
            if let Some(body) = self.body(event, &facts, room)? {
                let mut message = message.into_bytes();
                message.extend_from_slice(&body);
                return Ok(message);
            }
        }
        Err(format!(
            "does not fit into {} bytes (`max_length`), and has no text that could be sent instead: raise `max_length` if \
             the receiver takes more",
            self.max_length
        ))
    }

    /// All before the structured data, with the blank.
    fn header(&self, facts: &Facts<'_>) -> Result<String, String> {
        let facility = self.facility.of(facts)?.unwrap_or(AUDIT);
        let chosen = self.severity.as_ref().map(|severity| severity.of(facts)).transpose()?.flatten();
        let severity = chosen.unwrap_or_else(|| severity(facts.severity_id()).syslog);
        let pri = u16::from(facility) * 8 + u16::from(severity);
        let mut header = format!("<{pri}>1 {} {} ", timestamp(facts.time()), self.hostname);
        for (template, longest) in [(&self.app_name, APP_NAME_MAX), (&self.msgid, MSGID_MAX)] {
            let text = template.fill(facts).unwrap_or_default();
            let _ = write!(header, "{} ", header_field(&text, longest));
            if longest == APP_NAME_MAX {
                header.push_str("- "); // PROCID: no process of ours has caused the event.
            }
        }
        Ok(header)
    }

    /// The event's JSON, without its largest parts where it is too large. Never cut.
    fn json(&self, event: &Event, facts: &Facts<'_>, room: usize) -> Result<Option<Vec<u8>>, String> {
        let mut json = Vec::new();
        line(event, &mut json)?;
        if json.len() <= room {
            return Ok(Some(json));
        }
        let fits = |value: &_| sonic_rs::to_vec(value).is_ok_and(|json| json.len() <= room);
        let least = shortened(facts, json.len(), fits).and_then(|value| sonic_rs::to_vec(&value).ok());
        if least.is_some() {
            self.shortened.count();
        }
        Ok(least)
    }

    /// MSG in at most `room` bytes; `None` if it cannot be.
    fn body(&self, event: &Event, facts: &Facts<'_>, room: usize) -> Result<Option<Vec<u8>>, String> {
        let whole = match self.body {
            Body::Cef => cef(facts, room).map(String::into_bytes),
            Body::Leef => leef(facts, room).map(String::into_bytes),
            Body::Message if text(facts).is_some() => None,
            Body::Json | Body::Message => self.json(event, facts, room)?,
        };
        if whole.is_none() && self.body != Body::Message {
            self.shortened.count();
        }
        // Of an event that is not OCSF nobody knows what its `message` is.
        let may_be_cut = self.body == Body::Message || facts.get(&["class_uid"]).is_some();
        Ok(whole.or_else(|| text(facts).filter(|_| may_be_cut).map(|text| cut(text, room))))
    }
}

/// Whether a character may do something to who reads a message, other than to be read: end the line, or move a terminal's cursor. A tab does
/// neither.
pub(crate) fn is_control(c: char) -> bool {
    c != '\t' && c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The event's `message`, on one line. A byte order mark at its beginning is none of its own: receivers would take it off.
fn text(facts: &Facts<'_>) -> Option<String> {
    let text = facts.text(&["message"])?.trim_start_matches('\u{feff}').replace(is_control, " ");
    Some(text).filter(|text| !text.is_empty())
}

fn cut(mut text: String, room: usize) -> Vec<u8> {
    text.truncate(text.floor_char_boundary(room));
    text.into_bytes()
}

/// TIMESTAMP in UTC with milliseconds. Never `-`: many parsers do not know that it is allowed.
fn timestamp(time: Timestamp) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A header field: PRINTUSASCII, cut to its longest; `-` where there is nothing to say.
pub(crate) fn header_field(text: &str, longest: usize) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let field: String = text.chars().map(printable).take(longest).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}
