//! The records of a batch, one after the other.

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
