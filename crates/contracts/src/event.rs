//! One audit event on its way.

use crate::{Encode, Identity, OwnQueryPolicy, Timestamp};
use bytes::Bytes;
use std::{borrow::Cow, sync::Arc};
use vrl::value::Value;

/// Where an event comes from: the same for all events of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source component's name in the pipeline.
    pub source: String,
    /// The provider id, for example `pactflow`.
    pub provider: Cow<'static, str>,
    /// The stream's name, for example the tenant's host.
    pub stream: String,
    /// What the pipeline wants done with own queries.
    pub own_query_policy: OwnQueryPolicy,
    /// Whether a built-in simulator made them up. `%headwater.simulated`.
    pub simulated: bool,
    /// Whose lane its events are in, where that is not `source` and its `stream`: a second tier reads events of sources that
    /// only the first one knows.
    pub read_by: Option<ReadBy>,
}

/// A component of this pipeline, and its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBy {
    /// The component's name in the pipeline.
    pub component: String,
    /// Its stream.
    pub stream: String,
}

impl Origin {
    /// The component and the stream whose lane its events are in.
    pub fn lane(&self) -> (&str, &str) {
        match &self.read_by {
            Some(ReadBy { component, stream }) => (component, stream),
            None => (&self.source, &self.stream),
        }
    }
}

/// One audit event. Raw bytes until a transform looks; then also a value that consecutive transforms share.
#[derive(Debug, Clone)]
pub struct Event {
    /// Source, provider, stream.
    pub origin: Arc<Origin>,
    /// The provider's id, or the fingerprint's hex where it has none. `%headwater.id`.
    pub id: String,
    /// The identity in the ledger.
    pub identity: Identity,
    /// When it happened, if the record says so readably. `%headwater.time`.
    pub time: Option<Timestamp>,
    /// When headwater read it. `%headwater.observed_time`.
    pub observed: Timestamp,
    /// Whether headwater's own reading caused it. `%headwater.own_query`.
    pub own_query: bool,
    /// A remark on a record that imitates headwater's own. `%headwater.suspicious`.
    pub suspicious: Option<Cow<'static, str>>,
    /// How long after its time it appeared, if in a range that had been covered before. `%headwater.late`.
    pub late: Option<chrono::Duration>,
    /// The provider's JSON, byte for byte.
    pub raw: Bytes,
    /// What the transforms made of it; `None` until the first has looked.
    pub value: Option<Value>,
    /// The record that the sink's [`Encode`] made of it, in place of the value.
    pub encoded: Option<Bytes>,
    /// Metadata beside `%headwater` that transforms have set; `None` until one did.
    pub metadata: Option<Value>,
    /// Position in its [`crate::Batch`]; events derived from one share it.
    pub index: u32,
}

impl Event {
    /// Appends the event's record: the one it bears, or what `encoder` makes of it.
    pub fn write_encoded(&self, encoder: &dyn Encode, out: &mut Vec<u8>) -> Result<(), String> {
        match &self.encoded {
            Some(record) => {
                out.extend_from_slice(record);
                Ok(())
            }
            None => encoder.encode(self, out),
        }
    }

    /// Bytes it takes up in a delivery, or, unencoded, those the provider sent.
    pub fn size(&self) -> u64 {
        self.encoded.as_ref().unwrap_or(&self.raw).len() as u64
    }

    /// What the transforms made of it, for a person to look at: also from a record that is JSON.
    pub fn made(&self) -> Option<serde_json::Value> {
        match (&self.value, &self.encoded) {
            (Some(value), _) => serde_json::to_value(value).ok(),
            (None, Some(record)) => serde_json::from_slice(record).ok(),
            (None, None) => None,
        }
    }

    /// Appends the event as compact JSON: the value if a transform made one, else the raw bytes as they are.
    pub fn write_json(&self, out: &mut Vec<u8>) -> sonic_rs::Result<()> {
        match &self.value {
            Some(value) => sonic_rs::to_writer(out, value),
            None => {
                out.extend_from_slice(&self.raw);
                Ok(())
            }
        }
    }
}
