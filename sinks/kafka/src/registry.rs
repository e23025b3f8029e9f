//! The schema registry, by its REST API.

use crate::{SchemaRegistry, schema::Format};
use headwater_contracts::{ConfigError, Secret};
use headwater_sink_kit::{Names, Trust};
use schema_registry_converter::{
    async_impl::schema_registry::{SrSettings, perform_sr_call},
    error::SRCError,
    schema_registry_common::{RawError, RawRegisteredSchema, SrCall},
};
use std::{error::Error, net::IpAddr, time::Duration};

/// As much as is told of a registry's own words, characters.
const WORDS: usize = 500;

/// A client of the registry.
#[derive(Debug)]
pub(crate) struct Registry {
    settings: SrSettings,
    url: String,
}

/// A schema that the registry has.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) id: u32,
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub(crate) kind: String,
    pub(crate) text: String,
    /// Whether it needs other schemas of the registry.
    pub(crate) refers: bool,
}

impl Registry {
    /// Checks the options. Reaches nobody.
    pub(crate) fn new(options: &SchemaRegistry, timeout: Duration) -> Result<Self, ConfigError> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Names::default())
            .referer(false)
            .http1_only();
        if options.url.host_str().is_some_and(|host| host == "localhost" || loopback(host)) {
            // The environment's proxies are for the world outside.
            client = client.no_proxy();
        }
        if options.url.scheme() == "https" {
            client = client.tls_backend_preconfigured(Trust::new(&options.tls)?.client_config(&["http/1.1"])?);
        }
        let url = options.url.as_str().trim_end_matches('/').to_owned();
        let mut settings = SrSettings::new_builder(url.clone());
        settings.set_timeout(timeout);
        if let Some(token) = &options.token {
            settings.set_token_authorization(token.expose());
        } else if let Some(username) = &options.username {
            settings.set_basic_authorization(username, options.password.as_ref().map(Secret::expose));
        }
        let settings = settings.build_with(client).map_err(|error| ConfigError::new("url", causes(&error)))?;
        Ok(Self { settings, url })
    }

    /// The id of a schema under a subject, where it is registered if it is not yet. `Err` says what to do.
    pub(crate) async fn register(&self, subject: &str, format: Format, text: &str) -> Result<u32, String> {
        let (name, body) = (escaped(subject), body(format, text));
        self.id(subject, SrCall::PostNew(&name, &body)).await
    }

    /// The id of a schema under a subject, where it has to be. `Err` says what to do.
    pub(crate) async fn look_up(&self, subject: &str, format: Format, text: &str) -> Result<u32, String> {
        let (name, body) = (escaped(subject), body(format, text));
        self.id(subject, SrCall::PostForVersion(&name, &body)).await
    }

    /// The newest schema of a subject. `Err` says what to do.
    pub(crate) async fn latest(&self, subject: &str) -> Result<Registered, String> {
        let name = escaped(subject);
        let answer = self.ask(subject, SrCall::GetLatest(&name)).await?;
        let (Some(id), Some(text)) = (answer.id, answer.schema) else { return Err(self.lacks(subject)) };
        let kind = answer.schema_type.unwrap_or_else(|| "AVRO".to_owned());
        Ok(Registered { id, kind, text, refers: answer.references.is_some_and(|references| !references.is_empty()) })
    }

    async fn id(&self, subject: &str, call: SrCall<'_>) -> Result<u32, String> {
        self.ask(subject, call).await?.id.ok_or_else(|| self.lacks(subject))
    }

    async fn ask(&self, subject: &str, call: SrCall<'_>) -> Result<RawRegisteredSchema, String> {
        perform_sr_call(&self.settings, call).await.map_err(|error| self.explain(subject, call, &error))
    }

    fn lacks(&self, subject: &str) -> String {
        format!(
            "schema registry {}: its answer about subject `{subject}` names no schema: is `url` the base of its API?",
            self.url
        )
    }

    /// What failed, and what to do.
    fn explain(&self, subject: &str, call: SrCall<'_>, error: &SRCError) -> String {
        let url = &self.url;
        let Some(status) = status(error) else {
            return format!(
                "cannot ask schema registry {url} about subject `{subject}`: is it up, and are address, TLS and proxy right? ({})",
                causes(error)
            );
        };
        let advice = match (status, call) {
            (401, _) => "takes no credential or not this one: set `username` and `password`, or `token`".to_owned(),
            (403, SrCall::PostNew(..)) => format!(
                "does not let us register under subject `{subject}`: grant the right to write it, or register the schema yourself and set \
                 `register: false`"
            ),
            (403, _) => format!("does not let us read subject `{subject}`: grant the right to read it"),
            (404, SrCall::PostForVersion(..)) => {
                format!(
                    "does not have this schema under subject `{subject}`: register it there, or set `register: true`"
                )
            }
            (404, SrCall::GetLatest(_)) => {
                format!("has no subject `{subject}`: register a schema there, or name a `file` in place of `latest`")
            }
            (404, _) => "has no such address: is `url` the base of its API?".to_owned(),
            (409, _) => format!(
                "refuses the schema for subject `{subject}`, as readers of the older ones could not read it: change the schema, or the \
                 subject's compatibility level"
            ),
            (422, _) => format!("takes the schema for subject `{subject}` as invalid"),
            (429, _) => format!("is asked too often (subject `{subject}`)"),
            (500.., _) => format!("failed at subject `{subject}`"),
            _ => {
                format!("did not answer as a schema registry about subject `{subject}`: is `url` the base of its API?")
            }
        };
        let words = error.source().and_then(|source| source.downcast_ref::<RawError>());
        let words = words.filter(|words| words.error_code != 0).map(|words| &words.message);
        let words = words.map(|words| format!(": {}", words.chars().take(WORDS).collect::<String>().trim()));
        format!("schema registry {url} {advice} (HTTP {status}{})", words.unwrap_or_default())
    }
}

/// What registering and looking up send. The type of Avro is left out, as registries that know Avro only want it.
fn body(format: Format, text: &str) -> String {
    match format {
        Format::Avro => serde_json::json!({ "schema": text }),
        Format::Protobuf => serde_json::json!({ "schema": text, "schemaType": format.registry_name() }),
    }
    .to_string()
}

/// A subject as a segment of a path.
fn escaped(subject: &str) -> String {
    percent_encoding::utf8_percent_encode(subject, crate::cloud_events::RESERVED).to_string()
}

fn loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The status of the answer. The client tells it in its words only; a test holds it to them.
fn status(error: &SRCError) -> Option<u16> {
    let (_, after) = error.error.split_once("failed with status ")?;
    after.get(..3)?.parse().ok()
}

/// An error, and those that it comes from.
fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = if text.is_empty() { said } else { format!("{text}: {said}") };
        }
        cause = error.source();
    }
    text
}
