//! Mistakes in reading Solace Cloud.

use super::{Mistake, check};
use headwater_contracts::{Request, Timestamp};
use headwater_simulator::Provider;
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// How a scan that goes wrong has gone.
#[derive(Clone)]
pub(super) struct Walk {
    /// Where the last window ended, of whichever scan.
    tile: Arc<Mutex<Option<String>>>,
    /// When it was planned.
    now: String,
    /// `startTime` of its first request.
    first: Option<String>,
    /// Where its window begins and ends.
    window: Option<(String, String)>,
    /// The last start read, as it was written.
    last: String,
    pages: u64,
    /// The page that the right client asked for.
    asked: u64,
}

impl Walk {
    pub(super) fn new(tile: Arc<Mutex<Option<String>>>, now: Timestamp) -> Self {
        let now = now.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        Self { tile, now, first: None, window: None, last: String::new(), pages: 0, asked: 0 }
    }

    /// Makes a request wrong.
    pub(super) fn spoil(&mut self, mistake: Mistake, request: &mut Request) {
        let get =
            |request: &Request, name| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let Some(start) = get(request, "startTime") else { return };
        let set = |request: &mut Request, name: &str, value: String| {
            request.query.retain(|(key, _)| key != name);
            request.query.push((name.to_owned(), value));
        };
        self.asked = get(request, "pageNumber").unwrap().parse().unwrap();
        let first = self.first.get_or_insert_with(|| start.clone()).clone();
        match mistake {
            Mistake::TilesWindows => {
                let (tile, now) = (&self.tile, &self.now);
                let (low, high) = self.window.get_or_insert_with(|| {
                    let low = tile.lock().unwrap().replace(now.clone());
                    (low.unwrap_or_default(), now.clone())
                });
                set(request, "startTime", start.max(low.clone()));
                set(request, "endTime", high.clone());
            }
            Mistake::SkipsTies if !self.last.is_empty() => set(request, "startTime", self.last.clone()),
            Mistake::TrustsPageNumbers => {
                set(request, "startTime", first);
                set(request, "pageNumber", (self.pages + 1).to_string());
            }
            _ => {}
        }
    }

    /// Notes a record's start.
    pub(super) fn saw(&mut self, raw: &[u8]) {
        let start = serde_json::from_slice::<Value>(raw).unwrap()["startTime"].as_str().map(str::to_owned);
        self.last = self.last.clone().max(start.unwrap_or_default());
    }

    /// Counts a page, and makes it the one that was asked for: the right client must not notice that it got another.
    pub(super) fn page(&mut self, envelope: &[u8]) -> String {
        self.pages += 1;
        let mut envelope: Value = serde_json::from_slice(envelope).unwrap();
        envelope["meta"]["pagination"]["pageNumber"] = self.asked.into();
        envelope.to_string()
    }
}

/// What proves each item of "Simulator must reproduce" (the table of the simulator's crate). `item` tests are in
/// `crates/simulator/tests/solace_cloud.rs`, where nothing else is said; the rest are mistakes planted here.
///
/// | # | proof |
/// |---|---|
/// | 1 token kinds | `items_1_and_14`, plugin `check::tests` |
/// | 2 strict parameters | `item_2`; the suite itself, half of whose servers refuse a page size |
/// | 3 defaults, shuffled ties | `TrustsPageNumbers`, `SkipsTies`, `items_3_and_5` |
/// | 4 bounds | `TilesWindows`, `item_4` |
/// | 5 long actions, many ties | `Watermark`, `SkipsTies`, `MergesTies` |
/// | 6 late records | `Watermark`, `NoOverlap`, `NoRescan` |
/// | 7 no snapshot | plugin `seek::tests::page_numbers_lose_records_where_this_walk_does_not`, `items_6_7_and_8` |
/// | 8 retention | the same, and plugin `source::tests` (gap) |
/// | 9 changes | `IgnoresContent`, `item_9` |
/// | 10 ends of pages | plugin `page::tests`, `item_10` |
/// | 11 odd records | `item_11`, plugin `record::tests` |
/// | 12 limits and faults | `item_12`, plugin `check::tests` (waits), `tests/seeded.rs` |
/// | 13 categories | `item_13` |
/// | 14 region | `items_1_and_14` |
/// | 15 recorded reading | `item_15`, `tests/seeded.rs` with its owner |
/// | 16 truth | all of these |
#[test]
fn mistakes_in_reading_solace_cloud_are_caught() {
    for mistake in [
        Mistake::Watermark,
        Mistake::NoOverlap,
        Mistake::NoRescan,
        Mistake::MergesTies,
        Mistake::IgnoresContent,
        Mistake::TilesWindows,
        Mistake::SkipsTies,
        Mistake::TrustsPageNumbers,
    ] {
        check(Provider::SolaceCloud, mistake, |verdict| !verdict.lost.is_empty());
    }
}
