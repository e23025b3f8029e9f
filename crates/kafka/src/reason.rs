//! What an error of Kafka means for what was sent.

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
