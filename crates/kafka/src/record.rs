//! Handing a record to librdkafka.

use crate::Producer;
use headwater_contracts::Outgoing;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureRecord},
};

/// Queues a record; its future tells what became of it. `Ok(None)`: the queue is full, try again once something has left it.
pub fn send(producer: &Producer, record: &Outgoing) -> Result<Option<DeliveryFuture>, KafkaError> {
    let headers =
        record.headers.iter().fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(&value[..]) })
        });
    let mut message = FutureRecord::<[u8], [u8]>::to(&record.topic)
        .payload(&record.value)
        .headers(headers)
        .timestamp(record.time.timestamp_millis());
    if let Some(key) = &record.key {
        message = message.key(key);
    }
    match producer.send_result(message) {
        Ok(delivery) => Ok(Some(delivery)),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(None),
        Err((error, _)) => Err(error),
    }
}
