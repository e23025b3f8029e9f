//! How to reach a Kafka cluster: the same for the sink, the source and the ledger.

use crate::{ConfigError, STAND_INS, Secret, Tls, is_this_machine};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use url::Url;

/// A Kafka cluster, and who we are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaCluster {
    /// Brokers to begin with, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// TLS; `None` for a connection in the clear.
    pub tls: Option<Tls>,
    /// Who we are; `None` where nobody asks.
    pub sasl: Option<Sasl>,
    /// Settings of librdkafka, by their names there; [those that are headwater's own](crate::KafkaUse::own) are refused.
    pub librdkafka_options: BTreeMap<String, String>,
}

/// Who we are at a Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How we say so: `plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer`.
    pub mechanism: Mechanism,
    /// The user, for `plain` and `scram-*`.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// For `oauthbearer`: a token that does not change.
    pub token: Option<Secret>,
    /// For `oauthbearer`: where tokens are to be had by client credentials (RFC 6749 section 4.4).
    pub token_endpoint: Option<Url>,
    /// The client at the token endpoint.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// The scope to ask the token endpoint for.
    pub scope: Option<String>,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Mechanism {
    /// RFC 4616: the password itself. Only over TLS.
    #[serde(rename = "plain")]
    Plain,
    /// RFC 7677.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// RFC 7628: a bearer token.
    #[serde(rename = "oauthbearer")]
    Oauthbearer,
}

impl KafkaCluster {
    /// Checks how it is reached.
    pub fn check_connection(&self) -> Result<(), ConfigError> {
        let brokers = self.bootstrap_servers.split(',').map(str::trim);
        for broker in brokers {
            let named = broker
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok());
            if !named {
                let problem = format!("`{broker}` is no broker: write `host:port`, several separated by commas");
                return Err(ConfigError::new("bootstrap_servers", problem));
            }
        }
        self.tls.as_ref().map_or(Ok(()), Tls::check)?;
        self.sasl.as_ref().map_or(Ok(()), Sasl::check)
    }

    /// The first of its brokers that is not this machine.
    pub fn outside(&self) -> Option<&str> {
        let is_outside = |broker: &&str| {
            let address = broker.split_once("://").map_or(*broker, |(_, address)| address);
            !is_this_machine(address.rsplit_once(':').map_or(address, |(host, _)| host))
        };
        self.bootstrap_servers.split(',').map(str::trim).find(is_outside)
    }

    /// What is to be said of a connection in the clear to another machine.
    pub fn remark(&self) -> Option<ConfigError> {
        // What stands in for a variable that is not set could be anything.
        let is_known = |broker: &&str| !STAND_INS.iter().any(|stand_in| broker.contains(stand_in));
        let broker = self.outside().filter(is_known).filter(|_| self.tls.is_none())?;
        let what = match self.sasl.as_ref().map(|sasl| sasl.mechanism) {
            Some(Mechanism::Plain) => "records and the password",
            Some(Mechanism::Oauthbearer) => "records and the token",
            _ => "records",
        };
        let problem = format!(
            "{what} can be read on their way to `{broker}`: without `tls` the connection is not encrypted; write `tls: {{}}` beside it, with \
             brokers that listen for TLS, or name brokers on this machine"
        );
        Some(ConfigError::new("bootstrap_servers", problem))
    }

    /// Whether two clusters are one and the same, as far as their names tell.
    pub fn is_same(&self, other: &Self) -> bool {
        let names = |cluster: &Self| {
            let mut names: Vec<String> =
                cluster.bootstrap_servers.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
            names.sort();
            names.dedup();
            names
        };
        names(self) == names(other)
    }
}

impl Sasl {
    fn check(&self) -> Result<(), ConfigError> {
        let missing = |field: &str, why: &str| Err(ConfigError::new(format!("sasl.{field}"), why.to_owned()));
        if self.mechanism == Mechanism::Oauthbearer {
            return match (&self.token, &self.token_endpoint) {
                (None, Some(_)) if self.client_id.is_none() => {
                    missing("client_id", "is missing beside `token_endpoint`")
                }
                (None, Some(_)) if self.client_secret.is_none() => {
                    missing("client_secret", "is missing beside `token_endpoint`")
                }
                (Some(_), None) | (None, Some(_)) => Ok(()),
                (Some(_), Some(_)) => missing("token", "is given beside `token_endpoint`: leave one of them out"),
                (None, None) => missing("token", "is missing: `oauthbearer` needs a `token`, or a `token_endpoint`"),
            };
        }
        if self.username.is_none() {
            return missing("username", "is missing");
        }
        if self.password.is_none() {
            return missing("password", "is missing");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_in_the_clear_to_another_machine_is_remarked() {
        let cluster =
            |brokers: &str, tls| KafkaCluster { bootstrap_servers: brokers.into(), tls, ..KafkaCluster::default() };
        let remark = cluster("localhost:9092, k.example:9092", None).remark().unwrap();
        assert!(
            remark.problem.contains("`k.example:9092`") && remark.problem.contains("; write `tls: {}`"),
            "{remark}"
        );
        assert!(cluster("127.0.0.1:9092,[::1]:9092", None).remark().is_none());
        assert!(cluster("k.example:9092", Some(Tls::default())).remark().is_none());
        assert!(cluster("simulated:9092", None).remark().is_none());
    }
}
