//! The release of OCSF that a pipeline writes.

use schemars::JsonSchema;
use serde::Deserialize;

/// A release of OCSF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum OcsfVersion {
    /// Without what 1.6.0 brought: the hash of the raw data, credentials of service users, the method PATCH.
    #[serde(rename = "1.5.0")]
    V1_5,
    /// What the mapping tables are written for.
    #[default]
    #[serde(rename = "1.6.0")]
    V1_6,
    /// Differs from 1.6.0 in the number alone.
    #[serde(rename = "1.7.0")]
    V1_7,
    /// Differs from 1.6.0 in the number alone.
    #[serde(rename = "1.8.0")]
    V1_8,
}

impl OcsfVersion {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_5 => "1.5.0",
            Self::V1_6 => "1.6.0",
            Self::V1_7 => "1.7.0",
            Self::V1_8 => "1.8.0",
        }
    }
}
