//! The sink suite, over every kind of transport.

use crate::{
    events::sink,
    parser::parse,
    receiver::{KINDS, Kind, Receiver},
};
use async_trait::async_trait;
use headwater_contracts::Sink;
use headwater_testkit::sink_suite::{Arrival, Destination, Outage, sink_contract};

struct Far {
    receiver: Receiver,
    up: bool,
}

#[async_trait]
impl Destination for Far {
    fn sink(&mut self) -> Box<dyn Sink> {
        if !std::mem::replace(&mut self.up, true) {
            // Its sockets are bound without waiting for anything.
            at_once(self.receiver.up());
        }
        sink(self.receiver.options())
    }

    async fn arrivals(&mut self) -> Vec<Arrival> {
        let messages = self.receiver.messages().await;
        let arrival = |message: &Vec<u8>| Arrival::from_json(parse(message).ok()?.msg.as_bytes());
        let unreadable = |message: &[u8]| Arrival {
            id: "unreadable".to_owned(),
            text: String::from_utf8_lossy(message).into_owned(),
        };
        messages.iter().map(|message| arrival(message).unwrap_or_else(|| unreadable(message))).collect()
    }

    /// `Halfway` cannot be arranged: small batches are in the kernel's hands before the far side can break, and syslog
    /// has no acknowledgement to tell. `faults.rs` does it with batches that are larger than the kernel's buffers.
    async fn break_down(&mut self, outage: Outage) -> bool {
        if outage == Outage::Halfway {
            return false;
        }
        // What it has not read when it ends is lost without a trace; the suite is about what it was sent afterwards.
        self.receiver.messages().await;
        self.receiver.down().await;
        true
    }

    async fn recover(&mut self) {
        self.receiver.up().await;
    }

    fn huge(&self) -> usize {
        16 << 10
    }
}

/// Polls a future that is ready at once.
fn at_once(future: impl Future<Output = ()>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(future).poll(&mut context).is_ready(), "binding waits for nothing");
}

async fn contract(kind: Kind) {
    sink_contract(|| Far { receiver: Receiver::new(kind), up: false }).await;
}

#[tokio::test]
async fn every_transport_keeps_the_sink_contract() {
    for kind in KINDS {
        eprintln!("{kind:?}");
        contract(kind).await;
    }
}
