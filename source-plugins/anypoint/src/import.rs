//! Records out of a file: the answers of queries, as JSON, or CSV with all members that tell records apart.
//!
//! Equal records are numbered as in a scan, file by file: a file that two exports were joined in must not hold the same
//! range twice. Files of queries come oldest first, those of the console newest first: for either, the equals of one
//! instant are all that is kept. One in no order is read again with everything kept, some 50 bytes per record.

use crate::{
    occurrences::Occurrences,
    record::{Entry, numbered},
    source::Settings,
};
use headwater_contracts::{Cell, Column, Columns, Import, Need, OwnRequests, Record, Timestamp, Unreadable};
use headwater_source_kit::counted;
use std::sync::Arc;

const fn column(member: &'static str, cell: Cell, need: Need) -> Column {
    Column { member, cell, need }
}

/// Every member that takes part in an identity must be there, or the same record would be two events. The columns of
/// `query.csv` are not documented; those of the console (Time, Product, Type, Action, Object, User, Parent, Payload) are
/// names, and names are no identity.
const COLUMNS: Columns = Columns {
    members: &[
        column("timestamp", Cell::Milliseconds, Need::Identity),
        column("platform", Cell::Text, Need::Identity),
        column("action", Cell::Text, Need::Identity),
        column("subaction", Cell::Text, Need::Identity),
        column("objects", Cell::Json, Need::Identity),
        column("payload", Cell::JsonOrText, Need::Identity),
        column("userId", Cell::Text, Need::Identity),
        column("clientId", Cell::Text, Need::Identity),
        column("organizationId", Cell::Text, Need::Identity),
        column("failed", Cell::Truth, Need::Identity),
        column("failedCause", Cell::Text, Need::Identity),
        column("anypointTransactionId", Cell::Text, Need::Identity),
        column("clientIP", Cell::Text, Need::None),
        column("userName", Cell::Text, Need::None),
        column("clientName", Cell::Text, Need::None),
    ],
    open: false,
    advice: "records of this API have no ids, so that every member counts; the console's CSV shows names in place of ids. Export with the query API (`headwater query SOURCE --since .. --format json`, or `POST /audit/v2/organizations/ORG/query`) and import that as `ndjson` or `json`; if only the names of the columns differ, say under `columns` which one holds which member",
};

/// The order that records are taken to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
    None,
}

/// See the module.
pub(crate) struct Exported {
    settings: Arc<Settings>,
    organization: String,
    order: Order,
    occurrences: Occurrences,
}

impl Exported {
    pub(crate) fn new(settings: Arc<Settings>, organization: String) -> Self {
        Self { settings, organization, order: Order::OldestFirst, occurrences: Occurrences::default() }
    }

    /// The time that must not decrease.
    fn place(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        match self.order {
            Order::NewestFirst => Timestamp::from_timestamp_millis(-time?.timestamp_millis()),
            Order::OldestFirst | Order::None => time,
        }
    }
}

impl Import for Exported {
    fn elements(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn columns(&self) -> Option<&'static Columns> {
        Some(&COLUMNS)
    }

    fn remainder(&self, envelope: &[u8], records: u64) -> Option<String> {
        counted(envelope, "total", records)
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        let place = self.place(entry.time);
        let identity = numbered(&entry, &self.organization, place, &mut self.occurrences);
        let echo = self.settings.recognizer.judge(&entry, sent);
        Ok(Record { echo, ..Record::foreign(identity.to_string(), identity, entry.time) })
    }

    fn in_order(&mut self) -> bool {
        let ordered = self.occurrences.end_page();
        self.occurrences.begin_page();
        if !ordered {
            (self.order, self.occurrences) = match self.order {
                Order::OldestFirst => (Order::NewestFirst, Occurrences::default()),
                Order::NewestFirst | Order::None => (Order::None, Occurrences::keeping_all()),
            };
        }
        ordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::Recognizer;
    use chrono::TimeDelta;
    use headwater_contracts::{Cadence, Identity, Period};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn reader() -> Exported {
        let cadence = Cadence {
            poll_interval: Period::minutes(5),
            overlap: Period::minutes(5),
            settle: Period::minutes(5),
            rescan: Vec::new(),
            page_size: None,
        };
        let recognizer = Recognizer { name: None, ips: Vec::new(), skew: TimeDelta::minutes(5) };
        let settings = Settings {
            organizations: Vec::new(),
            cadence,
            asked: Vec::new(),
            filter: serde_json::Map::new(),
            retention: TimeDelta::days(30),
            ahead: TimeDelta::minutes(5),
            versioned_objects: true,
            include_internal: false,
            recognizer,
        };
        Exported::new(Arc::new(settings), "org".into())
    }

    /// All identities of a file, read again as often as the reader asks; `every` so many records it is asked.
    fn read(file: &[(i64, u8)], every: usize) -> BTreeSet<Identity> {
        let (mut reader, sent, mut found) = (reader(), OwnRequests::default(), BTreeSet::new());
        let mut times = 0;
        loop {
            times += 1;
            assert!(times <= 3, "the third time everything is kept");
            let ended = file.chunks(every).all(|records| {
                for (ms, content) in records {
                    let raw = format!(r#"{{"timestamp":{ms},"action":"{content}"}}"#);
                    found.insert(reader.record(raw.as_bytes(), &sent).unwrap().identity);
                }
                reader.in_order()
            });
            if ended {
                return found;
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_a_file_its_records_have_the_identities_of_a_scan(
            mut log in prop::collection::vec((0i64..8, 0u8..3), 0..60), every in 1usize..9, order in 0u8..3,
        ) {
            let mut counts: BTreeMap<(i64, u8), u32> = BTreeMap::new();
            let mut expected = BTreeSet::new();
            for (ms, content) in &log {
                let count = counts.entry((*ms, *content)).or_default();
                *count += 1;
                let raw = format!(r#"{{"timestamp":{ms},"action":"{content}"}}"#);
                let fingerprint = Entry::read(raw.as_bytes()).unwrap().fingerprint("org");
                expected.insert(Identity::of(&[&fingerprint.0, &count.to_le_bytes()]));
            }
            match order {
                0 => log.sort_by_key(|(ms, _)| *ms),
                1 => log.sort_by_key(|(ms, _)| -ms),
                _ => {}
            }
            prop_assert_eq!(read(&log, every), expected);
        }
    }
}
