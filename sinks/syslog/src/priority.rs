//! PRI: facility and severity by number, name or template.

use headwater_sink_kit::{Facts, Template};
use schemars::JsonSchema;
use serde::Deserialize;

/// Facilities by number, RFC 5424 section 6.2.1; 13 is "log audit".
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Severities by number, RFC 5424 section 6.2.1.
const SEVERITIES: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// A facility or a severity as people write it: `13`, `audit`, or a template such as `{{ syslog.facility }}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number, a name, or a template such as `{{ a.b }}`")]
pub enum Code {
    /// By number.
    Number(u64),
    /// By name, or a template that gives a number or a name.
    Text(String),
}

/// A code that may depend on the event.
pub(crate) struct Coded {
    template: Template,
    what: &'static str,
    names: &'static [&'static str],
}

impl Coded {
    pub(crate) fn facility(code: &Code) -> Result<Self, String> {
        Self::parse(code, "facility", FACILITIES)
    }

    pub(crate) fn severity(code: &Code) -> Result<Self, String> {
        Self::parse(code, "severity", SEVERITIES)
    }

    fn parse(code: &Code, what: &'static str, names: &'static [&'static str]) -> Result<Self, String> {
        let template = match code {
            Code::Number(number) => Template::parse(&number.to_string())?,
            Code::Text(text) => Template::parse(text)?,
        };
        let coded = Self { template, what, names };
        if let Some(text) = coded.template.fixed() {
            coded.number(text)?;
        }
        Ok(coded)
    }

    /// The code for an event; `None` if the event lacks a field of the template, `Err` if what it has is no code.
    pub(crate) fn of(&self, facts: &Facts<'_>) -> Result<Option<u8>, String> {
        self.template.fill(facts).ok().map(|text| self.number(&text)).transpose()
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let at = match text.trim().parse::<usize>() {
            Ok(number) => Some(number).filter(|number| *number < self.names.len()),
            Err(_) => self.names.iter().position(|name| name.eq_ignore_ascii_case(text.trim())),
        };
        at.and_then(|at| u8::try_from(at).ok()).ok_or_else(|| {
            let (last, names) = (self.names.len() - 1, self.names.join(", "));
            format!("`{text}` is no syslog {}: write 0 to {last}, or one of {names}", self.what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_testkit::sink_suite::event;

    fn of(code: Code, text: &str) -> Result<Option<u8>, String> {
        Coded::facility(&code)?.of(&Facts::of(&event("e", text, true)).unwrap())
    }

    #[test]
    fn numbers_names_and_templates_give_a_facility() {
        assert_eq!(of(Code::Number(13), ""), Ok(Some(13)));
        assert_eq!(of(Code::Text("audit".to_owned()), ""), Ok(Some(13)));
        assert_eq!(of(Code::Text("Local7".to_owned()), ""), Ok(Some(23)));
        assert_eq!(of(Code::Text("{{ text }}".to_owned()), "4"), Ok(Some(4)));
        assert_eq!(of(Code::Text("{{ missing }}".to_owned()), "4"), Ok(None));
    }

    #[test]
    fn what_is_no_code_is_said_at_once_or_with_the_event() {
        assert!(of(Code::Number(24), "").unwrap_err().contains("0 to 23"));
        assert!(
            of(Code::Text("{{ text }}".to_owned()), "nobody").unwrap_err().contains("`nobody` is no syslog facility")
        );
        assert!(Coded::severity(&Code::Text("8".to_owned())).is_err());
        assert!(Coded::severity(&Code::Text("warning".to_owned())).is_ok());
    }
}
