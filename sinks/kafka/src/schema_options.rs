//! The options about schemas, and their checks.

use crate::{
    Encoding,
    registry::Registry,
    schema::{Format, Schema},
    subjects::{Origin, Subject, Subjects},
};
use headwater_contracts::{ConfigError, Secret, Tls};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc, time::Duration};
use url::Url;

/// A registry that speaks Confluent's REST API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistry {
    /// The base of its API, such as `http://localhost:8081`.
    pub url: Url,
    /// Name, or API key, for HTTP's basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Password, or API secret, of `username`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A bearer token, in place of name and password.
    #[serde(default)]
    pub token: Option<Secret>,
    /// TLS towards an `https` address.
    #[serde(default)]
    pub tls: Tls,
    /// What schemas are registered under: `topic` (`TOPIC-value`), `record` (the record's full name), `topic_record` (`TOPIC-RECORD`), or
    /// a text, which may hold fields. Default: `topic`.
    #[serde(default = "default_subject")]
    pub subject: String,
    /// Whether a schema that the subject does not have yet is registered. Default: `true`; with `false` it has to be there.
    #[serde(default = "default_register")]
    pub register: bool,
}

/// What records are written by.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum RecordSchema {
    /// The newest that the registry has.
    Newest(Newest),
    /// One of yours.
    File(SchemaFile),
}

/// The newest schema of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Newest {
    /// As of the first record that needs it.
    Latest,
}

/// A schema in a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaFile {
    /// The path, from the folder of the YAML file if relative: an Avro record's schema (`.avsc`), or a `.proto` file.
    #[serde(deserialize_with = "headwater_contracts::from_file::file")]
    pub file: PathBuf,
    /// Protobuf: the message's name with its package. Default: the first one of the file.
    #[serde(default)]
    pub message: Option<String>,
}

// By hand: `{ file: .. }` alone has the shape of a secret's reference, unless a mapping is asked for.
impl<'de> Deserialize<'de> for RecordSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = RecordSchema;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("`latest`, or `file` with the path of a schema")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RecordSchema, E> {
        match text {
            "latest" => Ok(RecordSchema::Newest(Newest::Latest)),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<RecordSchema, A::Error> {
        SchemaFile::deserialize(MapAccessDeserializer::new(keys)).map(RecordSchema::File)
    }
}

fn default_subject() -> String {
    "topic".to_owned()
}

const fn default_register() -> bool {
    true
}

/// What the options say of an encoding's schemas; `None` if it has none. Reads files, and reaches nobody.
pub(crate) fn subjects(
    encoding: Encoding,
    registry: Option<&SchemaRegistry>,
    schema: Option<&RecordSchema>,
    timeout: Duration,
) -> Result<Option<Subjects>, ConfigError> {
    let format = match encoding {
        Encoding::Avro => Format::Avro,
        Encoding::Protobuf => Format::Protobuf,
        Encoding::Json | Encoding::Raw => {
            let useless = |field| Err(ConfigError::new(field, "is of use with `encoding: avro` or `protobuf` only"));
            return match (registry, schema) {
                (Some(_), _) => useless("schema_registry"),
                (_, Some(_)) => useless("schema"),
                (None, None) => Ok(None),
            };
        }
    };
    let Some(options) = registry else {
        let needed = "is needed by this `encoding`: write `schema_registry: { url: http://localhost:8081 }`";
        return Err(ConfigError::new("schema_registry", needed));
    };
    check(options)?;
    let origin = match schema {
        None => Schema::shipped(format).map(|schema| Origin::Own(Arc::new(schema))),
        Some(RecordSchema::File(SchemaFile { file, message })) => {
            Schema::read(format, file, message.as_deref()).map(|schema| Origin::Own(Arc::new(schema)))
        }
        Some(RecordSchema::Newest(Newest::Latest)) => Ok(Origin::Latest),
    };
    let origin = origin.map_err(|problem| ConfigError::new("schema", problem))?;
    let wrong_subject = |problem: String| ConfigError::new("schema_registry.subject", problem);
    let subject = Subject::parse(&options.subject).map_err(wrong_subject)?;
    if subject.needs_record() && matches!(origin, Origin::Latest) {
        let problem =
            "names the record, which is not known before the subject: use `topic`, or a `file` in place of `latest`";
        return Err(wrong_subject(problem.to_owned()));
    }
    let registry = Registry::new(options, timeout).map_err(below)?;
    Ok(Some(Subjects { registry, format, subject, origin, register: options.register, known: HashMap::new() }))
}

/// The registry's own options.
fn check(options: &SchemaRegistry) -> Result<(), ConfigError> {
    let wrong = |field: &str, problem: &str| Err(below(ConfigError::new(field, problem)));
    let url = &options.url;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return wrong("url", "must begin with `http://` or `https://` and a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("url", "must not hold a credential: use `username` and `password`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("url", "must not have a query or a fragment");
    }
    if url.scheme() == "http" && options.tls != Tls::default() {
        return wrong("tls", "is for an `https` address");
    }
    if options.password.is_some() && options.username.is_none() {
        return wrong("username", "is missing beside `password`");
    }
    if options.token.is_some() && options.username.is_some() {
        return wrong("token", "is in place of `username` and `password`: leave one of them away");
    }
    if options.token.as_ref().is_some_and(|token| !token.expose().chars().all(|c| c.is_ascii_graphic())) {
        return wrong("token", "holds characters that no header can carry (a line break at its end?)");
    }
    Ok(())
}

fn below(error: ConfigError) -> ConfigError {
    ConfigError { field: format!("schema_registry.{}", error.field), ..error }
}
