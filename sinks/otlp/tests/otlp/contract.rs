//! The sink suite, for both protocols.

use crate::receiver::{Receiver, member};
use async_trait::async_trait;
use headwater_contracts::Sink;
use headwater_sink_otlp::Protocol;
use headwater_testkit::sink_suite::{Arrival, Destination, Outage, sink_contract};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Value as Json, json};

struct Far {
    receiver: Receiver,
    options: Json,
    down: Option<Outage>,
}

fn arrival(record: &LogRecord) -> Arrival {
    let found = member(record, "id").zip(member(record, "text"));
    let unreadable = || Arrival { id: format!("unreadable: {record:?}"), text: String::new() };
    found.map_or_else(unreadable, |(id, text)| Arrival { id: id.to_owned(), text: text.to_owned() })
}

#[async_trait]
impl Destination for Far {
    fn sink(&mut self) -> Box<dyn Sink> {
        Box::new(self.receiver.config(self.options.clone()).sink().unwrap())
    }

    async fn arrivals(&mut self) -> Vec<Arrival> {
        self.receiver.records().iter().map(arrival).collect()
    }

    async fn break_down(&mut self, outage: Outage) -> bool {
        match outage {
            // One request takes the whole batch.
            Outage::Halfway if self.options.get("max_request_bytes").is_none() => return false,
            Outage::Down => self.receiver.stop(),
            Outage::Halfway => self.receiver.told().busy_soon = true,
        }
        self.down = Some(outage);
        true
    }

    async fn recover(&mut self) {
        match self.down.take() {
            Some(Outage::Down) => self.receiver.start(),
            _ => {
                let mut told = self.receiver.told();
                (told.busy, told.busy_soon) = (false, false);
            }
        }
    }

    fn huge(&self) -> usize {
        // What a request of the small ones has room for.
        if self.options.get("max_request_bytes").is_some() { 1000 } else { 1 << 20 }
    }

    async fn refuse(&mut self, id: &str) -> bool {
        self.receiver.told().refuse = Some(id.to_owned());
        true
    }
}

/// In requests of many events, and in such of a few.
async fn contract(protocol: Protocol) {
    for options in [json!({}), json!({"max_request_bytes": 2000, "compression": "zstd"})] {
        sink_contract(|| Far { receiver: Receiver::new(protocol), options: options.clone(), down: None }).await;
    }
}

#[tokio::test]
async fn grpc_keeps_the_sink_contract() {
    contract(Protocol::Grpc).await;
}

#[tokio::test]
async fn http_keeps_the_sink_contract() {
    contract(Protocol::Http).await;
}
