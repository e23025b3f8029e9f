//! What CEF and LEEF share: `name=value` fields after a header, and facts that both name.

use headwater_sink_kit::Facts;
use std::borrow::Cow;

/// A growing list of fields that never exceeds its room.
pub(crate) struct Pairs {
    text: String,
    fields: usize,
    separator: char,
    room: usize,
    escape: fn(&str, &mut String),
}

impl Pairs {
    /// Begins with the header; `None` if that does not fit.
    pub(crate) fn new(header: String, separator: char, room: usize, escape: fn(&str, &mut String)) -> Option<Self> {
        (header.len() <= room).then_some(Self { text: header, fields: 0, separator, room, escape })
    }

    /// Adds a field, if there is a value and it fits.
    pub(crate) fn put(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.add(|text, escape| field(name, value, text, escape));
    }

    /// Adds `name` with the field that says what it means: both or neither.
    pub(crate) fn labelled(&mut self, name: &str, label: &str, value: Option<&str>) {
        let (Some(value), separator) = (value, self.separator) else { return };
        self.add(|text, escape| {
            field(&format!("{name}Label"), label, text, escape);
            text.push(separator);
            field(name, value, text, escape);
        });
    }

    pub(crate) fn end(self) -> String {
        self.text
    }

    fn add(&mut self, write: impl FnOnce(&mut String, fn(&str, &mut String))) {
        let before = self.text.len();
        if self.fields > 0 {
            self.text.push(self.separator);
        }
        write(&mut self.text, self.escape);
        if self.text.len() > self.room {
            self.text.truncate(before);
        } else {
            self.fields += 1;
        }
    }
}

fn field(name: &str, value: &str, text: &mut String, escape: fn(&str, &mut String)) {
    text.push_str(name);
    text.push('=');
    escape(value, text);
}

/// Who made the log.
pub(crate) struct Product<'a> {
    pub(crate) vendor: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) version: Cow<'a, str>,
}

/// The event's product; of an event that names none, headwater and its provider.
pub(crate) fn product<'a>(facts: &'a Facts<'_>) -> Product<'a> {
    let version = facts.text(&["metadata", "product", "version"]);
    Product {
        vendor: facts.text(&["metadata", "product", "vendor_name"]).unwrap_or(Cow::Borrowed("headwater")),
        name: facts.text(&["metadata", "product", "name"]).unwrap_or(Cow::Borrowed(facts.provider())),
        version: version.or_else(|| facts.text(&["metadata", "log_version"])).unwrap_or(Cow::Borrowed("unknown")),
    }
}

/// The requested path, with its query.
pub(crate) fn url<'a>(facts: &'a Facts<'_>) -> Option<Cow<'a, str>> {
    let path = facts.text(&["http_request", "url", "path"])?;
    Some(match facts.text(&["http_request", "url", "query_string"]) {
        Some(query) => format!("{path}?{query}").into(),
        None => path,
    })
}
