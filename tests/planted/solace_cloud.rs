//! Mistakes in reading Solace Cloud.

use super::{
    Harm::{Lost, Stolen},
    Mistake, always, check, item,
};
use headwater_contracts::{Request, Timestamp};
use headwater_simulator::{ErrorBody, Fault, Provider, RetryAfter, Scenario, When};
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
}

impl Walk {
    pub(super) fn new(tile: Arc<Mutex<Option<String>>>, now: Timestamp) -> Self {
        let now = now.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        Self { tile, now, first: None, window: None, last: String::new(), pages: 0 }
    }

    /// A record that begins when the scan was planned, so that reading goes on from there.
    pub(super) fn latest(&self) -> Option<String> {
        self.first.is_some().then(|| format!(r#"{{"id":"latest","userId":"nobody","startTime":"{}"}}"#, self.now))
    }

    /// When the scan was planned.
    pub(super) fn planned(&self) -> Timestamp {
        self.now.parse().unwrap()
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

    /// Counts a page.
    pub(super) fn turn(&mut self) {
        self.pages += 1;
    }
}

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

#[test]
fn each_behaviour_of_solace_cloud_catches_a_mistake() {
    const P: Provider = Provider::SolaceCloud;
    const DAY: u32 = 86_400;
    // One end that comes too early is not believed: the next answer has to have what is behind the page before.
    let refused = |fault| move |s: Scenario| s.fault(When::Requests { first: 5, count: 2 }, fault);
    item(P, 1, Mistake::EndsOn(401), Lost, refused(Fault::status(401, ErrorBody::Message)));
    item(P, 2, Mistake::StopsOnAShortPage, Lost, |s| s.solace_cloud(|s| s.max_page_size = 10));
    item(P, 3, Mistake::TrustsPageNumbers, Lost, |s| Scenario { ties_per_mille: 900, live_per_hour: 1, ..s });
    always(P, 4, Mistake::TilesWindows, Lost, |s| s.solace_cloud(|s| s.long_per_mille = 300));
    always(P, 5, Mistake::Watermark, Lost, |s| s.solace_cloud(|s| s.long_per_mille = 300));
    item(P, 6, Mistake::NoRescan, Lost, |s| s.late(3 * DAY, 3600));
    item(P, 6, Mistake::NoOverlap, Lost, |s| Scenario { late_per_mille: 300, late_max_s: 7200, ..s });
    item(P, 7, Mistake::TrustsPageNumbers, Lost, |s| {
        s.solace_cloud(|s| (s.retention_days, s.expires_per_request) = (8, Some(5)))
    });
    item(P, 9, Mistake::IgnoresContent, Lost, |s| s.solace_cloud(|s| s.changes_per_mille = 150));
    item(P, 10, Mistake::TrustsTheTotal, Lost, |s| s.solace_cloud(|s| s.count_cap = Some(20)));
    item(P, 11, Mistake::KnownTypesOnly, Lost, |s| Scenario { odd_per_mille: 300, ..s });
    always(P, 11, Mistake::TrustsIdOrder, Lost, |s| s);
    item(P, 12, Mistake::EndsOn(429), Lost, refused(Fault::throttle(RetryAfter::None)));
    item(P, 12, Mistake::EndsOn(503), Lost, refused(Fault::status(503, ErrorBody::Html)));
    item(P, 15, Mistake::TrustsTheName, Stolen, |mut s| {
        s.others.spoofed_every_s = Some(DAY);
        s.solace_cloud(|s| s.records_readings = true)
    });
}
