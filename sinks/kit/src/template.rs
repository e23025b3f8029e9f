//! Texts with fields of the event in them: topics, keys, header values.

use crate::Facts;
use std::borrow::Cow;
use vrl::path::OwnedValuePath;

/// A text such as `audit.{{ %headwater.provider }}.{{ class_uid }}`, Vector's syntax: between `{{` and `}}` stands a path of
/// the event, with or without its leading dot, or one of `%headwater.source`, `.provider`, `.stream` and `.id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Field { written: String, path: OwnedValuePath },
    Meta(Meta),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Meta {
    Source,
    Provider,
    Stream,
    Id,
}

impl Template {
    /// Reads a template; `Err` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) =
                after.split_once("}}").ok_or_else(|| format!("`{text}` opens `{{{{` and does not close it"))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(part(inside.trim()).map_err(|problem| format!("`{text}`: {problem}"))?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The text for an event; `Err` names the field that it lacks.
    pub fn fill<'a>(&'a self, event: &Facts<'a>) -> Result<Cow<'a, str>, String> {
        if let [Part::Text(text)] = &self.parts[..] {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Meta(meta) => out.push_str(&event.meta(*meta)),
                Part::Field { written, path } => match event.path(path) {
                    Some(text) => out.push_str(&text),
                    None => {
                        return Err(format!(
                            "the event has no text or number at `{written}`, which `{}` needs: set it by a transform, \
                             or route such events to another sink",
                            self.text
                        ));
                    }
                },
            }
        }
        Ok(Cow::Owned(out))
    }

    /// The text, if it is the same for all events.
    pub fn fixed(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn part(inside: &str) -> Result<Part, String> {
    if let Some(meta) = inside.strip_prefix('%') {
        return match meta {
            "headwater.source" => Ok(Part::Meta(Meta::Source)),
            "headwater.provider" => Ok(Part::Meta(Meta::Provider)),
            "headwater.stream" => Ok(Part::Meta(Meta::Stream)),
            "headwater.id" => Ok(Part::Meta(Meta::Id)),
            other => Err(format!(
                "`%{other}` is unknown here: `%headwater.source`, `%headwater.provider`, `%headwater.stream` and \
                 `%headwater.id` are known"
            )),
        };
    }
    match headwater_contracts::path(inside) {
        Some(path) if !inside.is_empty() => Ok(Part::Field { written: inside.to_owned(), path }),
        _ => Err(format!("`{inside}` is not a path such as `metadata.uid` or `resources[0].name`")),
    }
}

impl<'a> Facts<'a> {
    fn meta(&self, meta: Meta) -> Cow<'a, str> {
        let origin = &self.event().origin;
        Cow::Borrowed(match meta {
            Meta::Source => &origin.source,
            Meta::Provider => &origin.provider,
            Meta::Stream => &origin.stream,
            Meta::Id => &self.event().id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_testkit::sink_suite::event;
    use proptest::prelude::*;

    fn filled(template: &str) -> Result<String, String> {
        let event = event("e-1", "hello", true);
        let facts = Facts::of(&event).unwrap();
        let template = Template::parse(template)?;
        template.fill(&facts).map(Cow::into_owned)
    }

    #[test]
    fn fields_and_metadata_take_their_places() {
        assert_eq!(filled("audit").unwrap(), "audit");
        assert_eq!(filled("a.{{ id }}-{{.text}}").unwrap(), "a.e-1-hello");
        assert_eq!(filled("{{ %headwater.provider }}/{{%headwater.id}}").unwrap(), "suite/e-1");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert!(filled("a.{{ missing.field }}").unwrap_err().contains("`missing.field`"));
        assert!(filled("a.{{ id").unwrap_err().contains("does not close"));
        assert!(filled("{{ %kafka.key }}").unwrap_err().contains("unknown here"));
        assert!(filled("{{ }}").unwrap_err().contains("not a path"));
    }

    proptest! {
        #[test]
        fn no_template_panics(text in "[{}a.%\\[\\]0 \"\\\\]{0,24}") {
            let _ = filled(&text);
        }
    }
}
