//! Short texts that people write in YAML.

use headwater_contracts::{ByteSize, Period, StartAt};
use headwater_sink_kit::Template;
use std::io;

/// The first byte says what the rest is: a duration, a size, an instant, else a template.
pub(crate) fn run(input: &[u8]) {
    let Some((kind, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind {
        b'd' => {
            if let Ok(period) = Period::parse(text) {
                assert_eq!(Period::parse(&period.to_string()), Ok(period), "{text}");
            }
        }
        b's' => drop(ByteSize::parse(text)),
        b'i' => {
            if let Ok(start) = text.parse::<StartAt>() {
                start.resolve(headwater_contracts::Timestamp::UNIX_EPOCH);
            }
        }
        _ => {
            if let Ok(template) = Template::parse(text)
                && !text.contains("{{")
            {
                assert_eq!(template.fixed(), Some(text));
            }
        }
    }
}

#[allow(clippy::unnecessary_wraps)] // others read files
pub(crate) fn seeds() -> io::Result<Vec<Vec<u8>>> {
    let words = ["d1d2h30m", "d500ms", "s10MiB", "s64000", "i2026-01-31T00:00:00Z", "iearliest"];
    let templates = ["taudit.{{ %headwater.provider }}", "t{{ .class_uid }}-{{ \"a b\".c[0] }}"];
    Ok(words.iter().chain(&templates).map(|seed| seed.as_bytes().to_vec()).collect())
}
