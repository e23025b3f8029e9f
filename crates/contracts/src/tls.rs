//! TLS towards a server, as it is configured.

use crate::{ConfigError, files::read_file, mask};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// TLS towards a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of certificate authorities to trust beside the system's.
    #[serde(deserialize_with = "crate::from_file::optional_file")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of a client certificate chain.
    #[serde(deserialize_with = "crate::from_file::optional_file")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    #[serde(deserialize_with = "crate::from_file::optional_file")]
    pub key_file: Option<PathBuf>,
    /// Whether to verify the server's certificate. Default: `true`.
    pub verify: Option<bool>,
}

/// What a PEM file holds.
pub type Pem = Vec<u8>;

impl Tls {
    /// Fails if one of the client certificate and its key is there without the other. Reads no file.
    pub fn check(&self) -> Result<(), ConfigError> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => Err(ConfigError::new("tls.cert_file", "a client certificate needs its `key_file`")),
            (None, Some(_)) => Err(ConfigError::new("tls.key_file", "a client key needs its `cert_file`")),
            _ => Ok(()),
        }
    }

    /// What `ca_file` holds, if it is given.
    pub fn authorities(&self) -> Result<Option<Pem>, ConfigError> {
        self.ca_file.as_ref().map(|file| read("ca_file", file)).transpose()
    }

    /// What is wrong with a `ca_file` that can be read and holds none.
    pub fn no_authority(&self) -> ConfigError {
        let file = self.ca_file.as_deref().unwrap_or(Path::new(""));
        ConfigError::new("tls.ca_file", format!("`{}` holds no PEM certificate", file.display()))
    }

    /// The client certificate chain and its key, if they are given.
    pub fn identity(&self) -> Result<Option<(Pem, Pem)>, ConfigError> {
        self.check()?;
        let (Some(cert), Some(key)) = (&self.cert_file, &self.key_file) else { return Ok(None) };
        let (cert, key) = (read("cert_file", cert)?, read("key_file", key)?);
        mask::learn_pem(&key);
        Ok(Some((cert, key)))
    }

    /// What is wrong with a client certificate and key that can be read and not used.
    pub fn no_identity(why: impl std::fmt::Display) -> ConfigError {
        ConfigError::new("tls.cert_file", format!("no usable client certificate and key: {why}"))
    }
}

fn read(option: &str, file: &Path) -> Result<Pem, ConfigError> {
    read_file(file).map_err(|error| {
        ConfigError::new(format!("tls.{option}"), format!("cannot read `{}`: {error}", file.display()))
    })
}
