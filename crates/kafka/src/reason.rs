//! What an error of Kafka means for what was sent.

use headwater_contracts::Outgoing;
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is this record's: the cluster will never take it.
    Rejected,
    /// It passes, or a person mends it at the cluster; until then, try again.
    Retry,
    /// The client is of no use any more: another one has taken its place, or it must be made anew.
    Fenced,
}

/// What an error means. The codes are those of the protocol (<https://kafka.apache.org/protocol#protocol_error_codes>).
pub fn verdict(error: &KafkaError) -> Verdict {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::InvalidMessage
            | Code::InvalidTimestamp
            | Code::InvalidTopic
            | Code::InvalidMessageSize,
        ) => Verdict::Rejected,
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fatal) => Verdict::Fenced,
        _ => Verdict::Retry,
    }
}

/// Whether the cluster refuses who we are, or what we may do: no outage, that is.
pub fn is_denied(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
        )
    )
}

/// What failed for a topic, and what to do.
pub fn explain(topic: &str, brokers: &str, error: &KafkaError) -> String {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    let advice = match code {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            format!("topic `{topic}` does not exist: create it")
        }
        Some(Code::TopicAuthorizationFailed) => {
            format!("may not write to topic `{topic}`: grant this user `Write` and `Describe` on it")
        }
        Some(Code::ClusterAuthorizationFailed) => {
            "may not write idempotently: grant this user `IdempotentWrite`".to_owned()
        }
        Some(Code::TransactionalIdAuthorizationFailed) => {
            "may not use its transactional id: grant this user `Write` and `Describe` on those that begin with `headwater`".to_owned()
        }
        Some(
            Code::MessageTimedOut | Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve,
        ) => {
            format!(
                "no answer from {brokers} in time for topic `{topic}`: does it exist, is the cluster up, and are address, TLS and \
                 SASL right?"
            )
        }
        Some(Code::MessageSizeTooLarge) => format!(
            "too large for topic `{topic}`: raise its `max.message.bytes`, or lower `max_record_bytes` here, so that \
             `raw_data` is left out"
        ),
        _ => format!("topic `{topic}`"),
    };
    match code {
        Some(code) => format!("{advice} ({code})"),
        None => format!("{advice}: {error}"),
    }
}

/// Why the cluster refuses a record that travelled alone; `doubt` is what its topic's settings say of it.
pub fn refused(record: &Outgoing, doubt: Option<&str>, brokers: &str, error: &KafkaError) -> String {
    use RDKafkaErrorCode as Code;
    let topic = &record.topic;
    let code = error.rdkafka_error_code().map(|code| format!(" ({code})")).unwrap_or_default();
    match (doubt, error.rdkafka_error_code()) {
        (Some(doubt), _) => format!("topic `{topic}` refuses it: {doubt}{code}"),
        (None, Some(Code::InvalidTimestamp)) => format!(
            "topic `{topic}` refuses its time, {}: compare the topic's `message.timestamp.before.max.ms` and `.after.max.ms`, and \
             the clocks of provider and brokers{code}",
            record.time.to_rfc3339()
        ),
        (None, Some(Code::InvalidRecord)) if record.key.is_none() => {
            format!("topic `{topic}` refuses it: a compacted topic wants keys, and it has none{code}")
        }
        (None, Some(Code::InvalidRecord)) => {
            format!(
                "topic `{topic}` refuses it: is there a schema, or another rule of the brokers, that it breaks?{code}"
            )
        }
        _ => explain(topic, brokers, error),
    }
}
