//! STRUCTURED-DATA, RFC 5424 section 6.3.

use crate::message::is_control;
use headwater_contracts::{ConfigError, Secret};
use headwater_sink_kit::{Facts, Template};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// One element of the structured data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`origin`, `ocsf`, or an element with `id` and `params`")]
pub enum ElementConfig {
    /// One that headwater knows how to fill.
    Known(KnownElement),
    /// One of your own.
    Own(OwnElement),
}

/// An element that headwater fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KnownElement {
    /// `[origin software="headwater" swVersion=".."]`, RFC 5424 section 7.2.
    Origin,
    /// `[ocsf@ENTERPRISE_ID ..]`: what a receiver filters by, without parsing the body.
    Ocsf,
}

/// An element of your own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnElement {
    /// Its SD-ID, for example `site@32473`. A secret, because some services expect their token here.
    pub id: Secret,
    /// Its parameters: name to template. One that the event has no value for is left out.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

/// The elements of every message, ready to be filled.
pub(crate) struct StructuredData {
    elements: Vec<Element>,
    /// The element of what a simulator made up.
    simulated: String,
}

/// Its SD-ID.
pub(crate) fn simulated(enterprise_id: u32) -> String {
    format!("simulated@{enterprise_id}")
}

enum Element {
    Origin,
    Ocsf { id: String },
    Own { id: Secret, params: Vec<(String, Template)> },
}

impl Element {
    fn id(&self) -> &str {
        match self {
            Self::Origin => "origin",
            Self::Ocsf { id } => id,
            Self::Own { id, .. } => id.expose(),
        }
    }
}

impl StructuredData {
    /// Checks the option `structured_data`.
    pub(crate) fn parse(elements: Vec<ElementConfig>, enterprise_id: u32) -> Result<Self, ConfigError> {
        let mut parsed = Vec::new();
        for (i, element) in elements.into_iter().enumerate() {
            let element = match element {
                ElementConfig::Known(KnownElement::Origin) => Element::Origin,
                ElementConfig::Known(KnownElement::Ocsf) => Element::Ocsf { id: format!("ocsf@{enterprise_id}") },
                ElementConfig::Own(own) => parse_own(i, own)?,
            };
            // The id may be a token: it is not repeated here.
            if parsed.iter().any(|other: &Element| other.id() == element.id()) {
                let problem = "has the id of an earlier element: RFC 5424 allows each once in a message";
                return Err(ConfigError::new(format!("structured_data.{i}"), problem));
            }
            parsed.push(element);
        }
        Ok(Self { elements: parsed, simulated: format!("[{}]", simulated(enterprise_id)) })
    }

    /// Appends all elements, or, not `whole`, only those of the user's own, and the mark of what is simulated; `-` if there is none.
    pub(crate) fn write(&self, facts: &Facts<'_>, whole: bool, out: &mut String) {
        let start = out.len();
        if facts.event().origin.simulated {
            out.push_str(&self.simulated);
        }
        for element in &self.elements {
            match element {
                Element::Origin if whole => {
                    let _ = write!(out, "[origin software=\"headwater\" swVersion=\"{}\"]", env!("CARGO_PKG_VERSION"));
                }
                Element::Ocsf { id } if whole => ocsf(id, facts, out),
                Element::Origin | Element::Ocsf { .. } => {}
                Element::Own { id, params } => {
                    let _ = write!(out, "[{}", id.expose());
                    for (name, template) in params {
                        param(name, template.fill(facts).ok().as_deref(), out);
                    }
                    out.push(']');
                }
            }
        }
        if out.len() == start {
            out.push('-');
        }
    }
}

fn parse_own(i: usize, own: OwnElement) -> Result<Element, ConfigError> {
    let field = |key: &str| format!("structured_data.{i}.{key}");
    // RFC 5424 ends a name at 32 characters; the tokens of some services are longer.
    if !is_name(own.id.expose()) {
        let problem = "must be printable ASCII without `=`, `]`, `\"` and blanks, such as `site@32473`";
        return Err(ConfigError::new(field("id"), problem));
    }
    let mut params = Vec::new();
    for (name, text) in own.params {
        if !is_name(&name) || name.len() > 32 {
            let problem =
                format!("`{name}` is no parameter name: up to 32 printable ASCII characters but `=`, `]`, `\"`");
            return Err(ConfigError::new(field("params"), problem));
        }
        let template = Template::parse(&text).map_err(|problem| ConfigError::new(field("params"), problem))?;
        params.push((name, template));
    }
    Ok(Element::Own { id: own.id, params })
}

/// SD-NAME, RFC 5424 section 6: PRINTUSASCII but `=`, `]` and `"`.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"'))
}

fn ocsf(id: &str, facts: &Facts<'_>, out: &mut String) {
    let target = facts.target();
    let target = target.as_ref();
    let _ = write!(out, "[{id}");
    param("version", facts.text(&["metadata", "version"]).as_deref(), out);
    param("provider", Some(facts.provider()), out);
    for name in ["class_uid", "activity_id", "type_uid", "severity_id", "status_id"] {
        param(name, facts.text(&[name]).as_deref(), out);
    }
    param("uid", Some(&facts.uid()), out);
    param("tenant_uid", facts.tenant().as_deref(), out);
    param("actor_uid", facts.text(&["actor", "user", "uid"]).as_deref(), out);
    param("actor_name", facts.text(&["actor", "user", "name"]).as_deref(), out);
    param("src_ip", facts.text(&["src_endpoint", "ip"]).as_deref(), out);
    param("operation", facts.operation().as_deref(), out);
    param("target_uid", target.and_then(headwater_sink_kit::Target::uid).as_deref(), out);
    param("target_name", target.and_then(headwater_sink_kit::Target::name).as_deref(), out);
    out.push(']');
}

/// ` name="value"`, escaped as RFC 5424 section 6.3.3 says. Control characters and what ends a line become blanks: RFC 5424 allows them, terminals and
/// splitters of lines do not like them.
fn param(name: &str, value: Option<&str>, out: &mut String) {
    let Some(value) = value else { return };
    let _ = write!(out, " {name}=\"");
    for c in value.chars() {
        match c {
            '"' | '\\' | ']' => out.extend(['\\', c]),
            c if is_control(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
}
