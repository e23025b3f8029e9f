//! The source suite is itself put to the test: clients with the mistakes that real ones make must not pass it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::naive_bytecount)] // this is a test

mod support;

use headwater_contracts::{
    BuiltSource, Echo, Identity, Next, OwnRequests, PageEnd, Plan, ReadError, Record, Rejection, Request, Scan, Source,
    SourceOptions, Span, StreamView, Timestamp, Unreadable,
};
use headwater_ledger::MemoryLedger;
use headwater_simulator::{AuditReads, Provider, Scenario};
use headwater_testkit::source_suite::{Case, Verdict};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// A mistake, made to an otherwise right client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// None: the suite must pass.
    None,
    /// Takes what is older than the newest event of an earlier poll for read.
    Watermark,
    /// Drops whatever reads the audit log with our product's name.
    TrustsThePrefix,
    /// Tells events apart by their bytes.
    HashesTheBody,
    /// Never looks back.
    NoOverlap,
    /// Looks back a little, and never far.
    NoRescan,
    /// Takes every record that shows one of our requests for ours, however many there are.
    NeverConsumes,
    /// Takes two events with the same instant for one.
    MergesTies,
    /// Takes a record that has changed for the one it was (Solace Cloud).
    IgnoresContent,
    /// Asks for windows that touch, with both bounds (Solace Cloud).
    TilesWindows,
    /// Asks for what comes after the last start, exactly (Solace Cloud).
    SkipsTies,
    /// Asks for one page number after the other (Solace Cloud).
    TrustsPageNumbers,
    /// Takes a page for all there is, whatever `total` says (API7).
    IgnoresTotal,
    /// Reads what shares one time page by page, once (API7).
    OnePass,
    /// Takes both bounds of a window for inclusive (API7).
    TrustsTheBounds,
    /// Takes times for seconds (API7).
    AlwaysSeconds,
    /// Takes every read of the log with our token for ours (API7).
    TrustsTheToken,
}

struct Wrong {
    inner: Box<dyn Source>,
    mistake: Mistake,
    /// The newest event of earlier scans.
    newest: Arc<Mutex<Option<Timestamp>>>,
    /// Every own request there ever was.
    ever: Arc<Mutex<OwnRequests>>,
    /// Where the last window ended.
    tile: Arc<Mutex<Option<String>>>,
}

impl Source for Wrong {
    fn streams(&self) -> Vec<String> {
        self.inner.streams()
    }

    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let mut plan = self.inner.plan(view);
        let mistake = self.mistake;
        let mark = *self.newest.lock().unwrap();
        let scan = |inner| WrongScan {
            asked: Vec::new(),
            inner,
            mistake,
            newest: self.newest.clone(),
            mark,
            ever: self.ever.clone(),
            tile: self.tile.clone(),
            now: written(view.now),
            walk: Walk::default(),
        };
        plan.scans = plan.scans.into_iter().map(|inner| Box::new(scan(inner)) as _).collect();
        plan
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        self.inner.horizon(now)
    }

    fn budget_window(&self) -> chrono::Duration {
        self.inner.budget_window()
    }

    fn echo_window(&self) -> chrono::Duration {
        self.inner.echo_window()
    }
}

struct WrongScan {
    /// Queries asked, each as text.
    asked: Vec<String>,
    inner: Box<dyn Scan>,
    mistake: Mistake,
    newest: Arc<Mutex<Option<Timestamp>>>,
    /// The newest event when this scan began.
    mark: Option<Timestamp>,
    ever: Arc<Mutex<OwnRequests>>,
    tile: Arc<Mutex<Option<String>>>,
    /// When it was planned.
    now: String,
    walk: Walk,
}

/// How a scan of Solace Cloud that goes wrong has gone.
#[derive(Default)]
struct Walk {
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

fn written(time: Timestamp) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

impl WrongScan {
    /// Makes a request of Solace Cloud wrong.
    fn spoil(&mut self, request: &mut Request) {
        let get =
            |request: &Request, name| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let Some(start) = get(request, "startTime") else { return };
        let set = |request: &mut Request, name: &str, value: String| {
            request.query.retain(|(key, _)| key != name);
            request.query.push((name.to_owned(), value));
        };
        self.walk.asked = get(request, "pageNumber").unwrap().parse().unwrap();
        let first = self.walk.first.get_or_insert_with(|| start.clone()).clone();
        match self.mistake {
            Mistake::TilesWindows => {
                let (tile, now) = (&self.tile, &self.now);
                let (low, high) = self.walk.window.get_or_insert_with(|| {
                    let low = tile.lock().unwrap().replace(now.clone());
                    (low.unwrap_or_default(), now.clone())
                });
                set(request, "startTime", start.max(low.clone()));
                set(request, "endTime", high.clone());
            }
            Mistake::SkipsTies if !self.walk.last.is_empty() => set(request, "startTime", self.walk.last.clone()),
            Mistake::TrustsPageNumbers => {
                set(request, "startTime", first);
                set(request, "pageNumber", (self.walk.pages + 1).to_string());
            }
            _ => {}
        }
    }
}

impl Scan for WrongScan {
    fn span(&self) -> Span {
        self.inner.span()
    }

    fn elements(&self) -> &'static [&'static str] {
        self.inner.elements()
    }

    fn whole(&self) -> bool {
        self.inner.whole()
    }

    fn request(&mut self) -> Request {
        let mut request = self.inner.request();
        self.spoil(&mut request);
        if self.mistake == Mistake::TrustsTheBounds {
            for (name, value) in &mut request.query {
                let number = value.parse::<i64>().unwrap_or_default();
                match name.as_str() {
                    "start_at" => *value = (number + 1).to_string(),
                    "end_at" => *value = (number - 1).to_string(),
                    _ => {}
                }
            }
        }
        self.asked.push(format!("{:?}", request.query));
        request
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let mut record = if self.mistake == Mistake::NeverConsumes {
            let mut ever = self.ever.lock().unwrap();
            sent.iter().cloned().for_each(|request| ever.insert(request));
            self.inner.record(raw, &ever)?
        } else {
            self.inner.record(raw, sent)?
        };
        match self.mistake {
            Mistake::TrustsTheToken if String::from_utf8_lossy(raw).contains("\"token_name\":\"headwater\"") => {
                record.echo = Echo::Own(String::new());
            }
            Mistake::TrustsThePrefix if String::from_utf8_lossy(raw).contains("\"headwater/") => {
                record.echo = Echo::Own(String::new());
            }
            Mistake::Watermark => {
                record.wanted = record.wanted && record.time > self.mark;
                let mut newest = self.newest.lock().unwrap();
                *newest = (*newest).max(record.time);
            }
            Mistake::IgnoresContent => record.identity = Identity::of(&[record.id.as_bytes()]),
            Mistake::SkipsTies => {
                let start = serde_json::from_slice::<Value>(raw).unwrap()["startTime"].as_str().map(str::to_owned);
                self.walk.last = self.walk.last.clone().max(start.unwrap_or_default());
            }
            Mistake::HashesTheBody => record.identity = Identity::of(&[raw]),
            Mistake::MergesTies => {
                record.identity = Identity::of(&[record.time.unwrap_or_default().to_rfc3339().as_bytes()]);
            }
            _ => {}
        }
        Ok(record)
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        if self.mistake == Mistake::TrustsPageNumbers && !self.inner.whole() {
            // The right client must not notice that it got another page.
            self.walk.pages += 1;
            let mut envelope: Value = serde_json::from_slice(end.envelope).unwrap();
            envelope["meta"]["pagination"]["pageNumber"] = self.walk.asked.into();
            return self.inner.page(&PageEnd { envelope: envelope.to_string().as_bytes(), ..*end });
        }
        let again = self.asked.split_last().is_some_and(|(last, before)| before.contains(last));
        if self.mistake == Mistake::IgnoresTotal || (self.mistake == Mistake::OnePass && again) {
            let mut page: Value = serde_json::from_slice(end.envelope).unwrap();
            page["total"] = end.records.into();
            let envelope = page.to_string();
            return self.inner.page(&PageEnd { envelope: envelope.as_bytes(), ..*end });
        }
        self.inner.page(end)
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        if self.mistake == Mistake::TrustsPageNumbers && rejection.status == 404 {
            let server_time = Timestamp::UNIX_EPOCH;
            return self.inner.page(&PageEnd { envelope: br#"{"data":[]}"#, records: 0, server_time });
        }
        self.inner.rejected(rejection)
    }

    fn state(&self) -> Option<Value> {
        self.inner.state()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// One seed's verdict on a mistake.
fn verdict(provider: Provider, mistake: Mistake, seed: u64) -> Verdict {
    let newest = Arc::new(Mutex::new(None));
    let ever = Arc::new(Mutex::new(OwnRequests::default()));
    let tile = Arc::new(Mutex::new(None));
    let build = move |url: &str, credential: &str, options: &SourceOptions| -> BuiltSource {
        let mut options = options.clone();
        if mistake == Mistake::NoOverlap {
            options.overlap = Some(headwater_contracts::Period::seconds(0));
        }
        if matches!(mistake, Mistake::NoOverlap | Mistake::NoRescan) {
            options.rescan = Some(Vec::new());
        }
        let right = match provider {
            Provider::PactFlow => support::build_pactflow(url, credential, &options),
            Provider::SolaceCloud => support::build_solace_cloud(url, credential, &options),
            Provider::Api7 if mistake == Mistake::AlwaysSeconds => {
                support::build_api7_in_seconds(url, credential, &options)
            }
            Provider::Api7 => support::build_api7(url, credential, &options),
            _ => support::build_mural(url, credential, &options),
        };
        let (newest, ever, tile) = (newest.clone(), ever.clone(), tile.clone());
        BuiltSource { source: Box::new(Wrong { inner: right.source, mistake, newest, ever, tile }), ..right }
    };
    let case = match provider {
        Provider::PactFlow => support::pactflow(),
        Provider::SolaceCloud => support::solace_cloud(),
        Provider::Api7 => support::api7(),
        _ => support::mural(),
    };
    let case = Case { build: &build, ..case };
    let runtime = support::runtime();
    let run = async {
        if provider == Provider::Api7 && mistake == Mistake::NeverConsumes {
            // A thief who repeats fresh requests.
            let mut scenario = Scenario::seeded(provider, seed).api7(|a| a.reads = AuditReads::Logged);
            (scenario.others.replay_every_s, scenario.others.replay_min_age_s) = (Some(250), 120);
            (scenario.clock_skew_s, scenario.clock_steps) = (0, Vec::new());
            let mut dice = StdRng::seed_from_u64(seed);
            return case.run(scenario, Arc::new(MemoryLedger::new()), 0, &mut dice).await;
        }
        case.seeded(seed).await
    };
    runtime.block_on(support::in_time(seed, run))
}

/// Runs seeds until the suite objects; `None` if it never does.
fn objection(provider: Provider, mistake: Mistake, seeds: u64) -> Option<Verdict> {
    (0..seeds).map(|seed| verdict(provider, mistake, seed)).find(|verdict| !verdict.is_good())
}

fn check(provider: Provider, mistake: Mistake, complaint: impl Fn(&Verdict) -> bool) {
    let verdict =
        objection(provider, mistake, 30).unwrap_or_else(|| panic!("{provider}: {mistake:?} passes the suite"));
    assert!(complaint(&verdict), "{provider}: {mistake:?} is caught for the wrong reason: {verdict}");
}

#[test]
fn a_right_client_behind_the_same_wrapper_passes() {
    assert_eq!(objection(Provider::PactFlow, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Mural, Mistake::None, 3), None);
    assert_eq!(objection(Provider::SolaceCloud, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Api7, Mistake::None, 3), None);
}

#[test]
fn mistakes_in_reading_pactflow_are_caught() {
    check(Provider::PactFlow, Mistake::Watermark, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::TrustsThePrefix, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::NoOverlap, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::NoRescan, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::NeverConsumes, |verdict| {
        !verdict.lost.is_empty() && verdict.lost.iter().all(|lost| lost.ends_with("Spoofed"))
    });
    check(Provider::PactFlow, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
}

/// What the simulator of API7 must reproduce, by its number in the simulator's table, and the mistake or the test that proves
/// it (tests are in `crates/simulator/tests/api7.rs`, `source-plugins/api7` and `tests/cli.rs`):
///
/// | # | proof |
/// |---|---|
/// | 1 | `MergesTies`, `OnePass` |
/// | 2 | `IgnoresTotal`; `item_2_*` |
/// | 3 | `Watermark`, `NoOverlap`, `NoRescan`; `item_3_*` |
/// | 4 | `IgnoresTotal`; `item_4_*` |
/// | 5 | `TrustsTheBounds`, `AlwaysSeconds` |
/// | 6 | `NeverConsumes`; `item_6_*` |
/// | 7 | `TrustsThePrefix`, `TrustsTheToken`, `NeverConsumes` |
/// | 8 | `item_8_*`; `access_denied_ends_once_with_1_and_says_so` |
/// | 9 | faults of `tests/seeded.rs`; TLS is not served |
/// | 10 | odd samples of `tests/seeded.rs`; `trim` and `record` of the plugin |
/// | 11 | `item_11_*`; clock steps and kills of `tests/seeded.rs` |
#[test]
fn mistakes_in_reading_api7_are_caught() {
    let lost = |verdict: &Verdict| !verdict.lost.is_empty();
    check(Provider::Api7, Mistake::Watermark, lost);
    check(Provider::Api7, Mistake::NoOverlap, lost);
    check(Provider::Api7, Mistake::NoRescan, lost);
    check(Provider::Api7, Mistake::MergesTies, lost);
    check(Provider::Api7, Mistake::IgnoresTotal, lost);
    check(Provider::Api7, Mistake::OnePass, lost);
    check(Provider::Api7, Mistake::TrustsTheBounds, lost);
    check(Provider::Api7, Mistake::AlwaysSeconds, lost);
    check(Provider::Api7, Mistake::TrustsThePrefix, lost);
    check(Provider::Api7, Mistake::TrustsTheToken, lost);
    check(Provider::Api7, Mistake::NeverConsumes, |verdict| {
        !verdict.lost.is_empty() && verdict.lost.iter().all(|lost| lost.ends_with("Spoofed"))
    });
}

#[test]
fn mistakes_in_reading_mural_are_caught() {
    check(Provider::Mural, Mistake::Watermark, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::NoOverlap, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::HashesTheBody, |verdict| !verdict.repeated.is_empty());
    check(Provider::Mural, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
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
