//! A member of a record as it is written.

use serde::de::{Deserialize, Deserializer, Error};
use sonic_rs::LazyValue;
use std::borrow::Cow;

/// The JSON text of a member, for a second look at it where that is needed. Only [`crate::object`] and [`crate::part`]
/// read one.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// The JSON text.
    pub fn text(self) -> &'a str {
        self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match LazyValue::<'de>::deserialize(deserializer)?.as_raw_cow() {
            Cow::Borrowed(text) => Ok(Self(text)),
            Cow::Owned(_) => Err(D::Error::custom("not read from memory")),
        }
    }
}
