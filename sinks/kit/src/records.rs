//! The records of a batch, one after the other.

use headwater_contracts::{Encode, Event, Rejected};

/// The records of `events`, and the events that cannot be one.
pub fn records(encoder: &dyn Encode, events: &[Event]) -> (Vec<u8>, Vec<Rejected>) {
    let mut records = Vec::new();
    let rejected = write_records(encoder, events, &mut records);
    (records, rejected)
}

/// Appends the records of `events` to `out`, and returns the events that cannot be one.
pub fn write_records(encoder: &dyn Encode, events: &[Event], out: &mut Vec<u8>) -> Vec<Rejected> {
    let size: u64 = events.iter().map(|event| event.size() + 1).sum();
    out.reserve(usize::try_from(size).unwrap_or_default());
    let mut rejected = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let start = out.len();
        if let Err(reason) = event.write_encoded(encoder, out) {
            out.truncate(start);
            rejected.push(Rejected { index, reason });
        }
    }
    rejected
}
