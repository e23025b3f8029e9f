//! Events to lines. Pure.

use headwater_contracts::{Encode, Event};
use headwater_sink_kit::{line, on_one_line};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a line holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The event as the transforms left it.
    #[default]
    Json,
    /// The provider's bytes.
    Raw,
}

impl Encode for Encoding {
    fn encode(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Json => line(event, out)?,
            Self::Raw => on_one_line(&event.raw, out),
        }
        out.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_sink_kit::records;
    use headwater_testkit::sink_suite::event;

    #[test]
    fn raw_ignores_what_the_transforms_made() {
        let transformed = event("a", "b", true);
        assert_eq!(records(&Encoding::Raw, std::slice::from_ref(&transformed)).0, b"{\"before\":\"a\"}\n");
        assert_eq!(records(&Encoding::Json, &[transformed]).0, b"{\"id\":\"a\",\"text\":\"b\"}\n");
    }
}
