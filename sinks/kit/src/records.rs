//! The records of a batch, one after the other.

use bytes::Bytes;
use headwater_contracts::{Encode, Event, Rejected};

/// The records of `events`, and the events that cannot be one.
pub fn records(encoder: &dyn Encode, events: &[Event]) -> (Vec<u8>, Vec<Rejected>) {
    let size: u64 = events.iter().map(|event| event.size() + 1).sum();
    let mut records = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    let mut rejected = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let start = records.len();
        if let Err(reason) = event.write_encoded(encoder, &mut records) {
            records.truncate(start);
            rejected.push(Rejected { index, reason });
        }
    }
    (records, rejected)
}

/// Like [`records`], but as they are: what the events bear already is not copied.
pub fn pieces(encoder: &dyn Encode, events: &[Event]) -> (Vec<Bytes>, Vec<Rejected>) {
    let mut records = Vec::with_capacity(events.len());
    let mut rejected = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if let Some(record) = &event.encoded {
            records.push(record.clone());
            continue;
        }
        let mut record = Vec::new();
        match encoder.encode(event, &mut record) {
            Ok(()) => records.push(record.into()),
            Err(reason) => rejected.push(Rejected { index, reason }),
        }
    }
    (records, rejected)
}
