//! Paths that stand in a configuration: relative ones start from the folder of the file that names them.
//!
//! For `#[serde(deserialize_with = "..")]` of an option. The loader knows the names below and puts the folder in front; any other
//! deserializer gives the path as it is written.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use std::{fmt, path::PathBuf};

/// The name that stands for a file that is read.
pub const FILE: &str = "headwater: a file that is read";
/// The name that stands for a file or folder that is written.
pub const PLACE: &str = "headwater: a file or folder that is written";
/// The name that stands for the same with placeholders of strftime.
pub const TEMPLATE: &str = "headwater: a file that is written, with placeholders";

/// A file that is read.
pub fn file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    named(deserializer, FILE).map(PathBuf::from)
}

/// The same, which may be left out. Needs `#[serde(default)]` beside it.
pub fn optional_file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    struct File(PathBuf);
    impl<'de> Deserialize<'de> for File {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            file(deserializer).map(Self)
        }
    }
    Ok(Option::<File>::deserialize(deserializer)?.map(|File(path)| path))
}

/// A file or folder that is written.
pub fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    named(deserializer, PLACE).map(PathBuf::from)
}

/// The path of a file that is written, with placeholders of strftime.
pub fn template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    named(deserializer, TEMPLATE)
}

fn named<'de, D: Deserializer<'de>>(deserializer: D, name: &'static str) -> Result<String, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path")
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
            String::deserialize(deserializer)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    deserializer.deserialize_newtype_struct(name, Text)
}
