//! A member of a record as it is written.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The JSON text of a member, for a second look at it where that is needed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Raw<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> Raw<'a> {
    /// The JSON text.
    pub fn text(self) -> &'a str {
        self.0.get()
    }
}
