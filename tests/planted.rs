//! The source suite is itself put to the test: clients with the mistakes that real ones make must not pass it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::naive_bytecount)] // this is a test

mod support;

use headwater_contracts::{
    BuiltSource, Echo, Identity, Next, OwnRequests, PageEnd, Plan, ReadError, Record, Rejection, Request, Scan, Source,
    SourceOptions, Span, StreamView, Timestamp, Unreadable,
};
use headwater_simulator::Provider;
use headwater_testkit::source_suite::{Case, Verdict};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

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
    /// Takes a page that is not full for the last.
    StopsOnAShortPage,
    /// Numbers equal records, and does not go back when a page is read again.
    CountsOn,
    /// Takes every login with its own name for its own.
    TrustsTheName,
}

struct Wrong {
    inner: Box<dyn Source>,
    mistake: Mistake,
    /// The newest event of earlier scans.
    newest: Arc<Mutex<Option<Timestamp>>>,
    /// Every own request there ever was.
    ever: Arc<Mutex<OwnRequests>>,
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
            inner,
            mistake,
            newest: self.newest.clone(),
            mark,
            ever: self.ever.clone(),
            counts: HashMap::new(),
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
    inner: Box<dyn Scan>,
    mistake: Mistake,
    newest: Arc<Mutex<Option<Timestamp>>>,
    /// The newest event when this scan began.
    mark: Option<Timestamp>,
    ever: Arc<Mutex<OwnRequests>>,
    counts: HashMap<Vec<u8>, u32>,
}

impl Scan for WrongScan {
    fn span(&self) -> Span {
        self.inner.span()
    }

    fn elements(&self) -> &'static [&'static str] {
        self.inner.elements()
    }

    fn request(&mut self) -> Request {
        self.inner.request()
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
            Mistake::TrustsThePrefix if String::from_utf8_lossy(raw).contains("\"headwater/") => {
                record.echo = Echo::Own(String::new());
            }
            Mistake::Watermark => {
                record.wanted = record.wanted && record.time > self.mark;
                let mut newest = self.newest.lock().unwrap();
                *newest = (*newest).max(record.time);
            }
            Mistake::TrustsTheName
                if String::from_utf8_lossy(raw).contains("Token") && matches!(record.echo, Echo::Suspicious(_)) =>
            {
                record.echo = Echo::Own(String::new());
            }
            Mistake::CountsOn => {
                let count = self.counts.entry(raw.to_vec()).or_default();
                *count += 1;
                record.identity = Identity::of(&[raw, &count.to_le_bytes()]);
                record.id = record.identity.to_string();
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
        match self.mistake {
            Mistake::StopsOnAShortPage if end.records < 200 => self.inner.page(&PageEnd { records: 0, ..*end }),
            _ => self.inner.page(end),
        }
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
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
            Provider::Anypoint => support::build_anypoint(url, credential, &options),
            _ => support::build_mural(url, credential, &options),
        };
        let (newest, ever) = (newest.clone(), ever.clone());
        BuiltSource { source: Box::new(Wrong { inner: right.source, mistake, newest, ever }), ..right }
    };
    let case = match provider {
        Provider::PactFlow => support::pactflow(),
        Provider::Anypoint => support::anypoint(),
        _ => support::mural(),
    };
    let case = Case { build: &build, ..case };
    let runtime = support::runtime();
    runtime.block_on(support::in_time(seed, case.seeded(seed)))
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
    assert_eq!(objection(Provider::Anypoint, Mistake::None, 3), None);
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

#[test]
fn mistakes_in_reading_mural_are_caught() {
    check(Provider::Mural, Mistake::Watermark, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::NoOverlap, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::HashesTheBody, |verdict| !verdict.repeated.is_empty());
    check(Provider::Mural, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
}

/// What proves each numbered behaviour of the Anypoint simulator.
///
/// | # | behaviour | proved by |
/// |---|---|---|
/// | 1 | logins are recorded; tokens die early or do not say when | `tests/anypoint.rs`: `a_day_of_polling_…`, `a_token_that_dies_early_…` |
/// | 2 | 401 and 403 without permission | `tests/anypoint.rs`: `an_organization_without_permission_…` |
/// | 3 | throttled logins | `tests/anypoint.rs`: `a_throttled_login_…` |
/// | 4 | 503 until the minute ends, broken answers | seeded runs; `CountsOn` |
/// | 5 | inclusive bounds, spellings | `crates/simulator/tests/anypoint.rs`: `bounds_are_inclusive_…`; `query.rs` of the simulator |
/// | 6, 7, 17 | filters, limits, listings | `crates/simulator/tests/anypoint.rs` |
/// | 8 | cursors | seeded runs; `crates/simulator/tests/anypoint.rs` |
/// | 9 | short pages | `StopsOnAShortPage` |
/// | 10 | bursts, identical records | `HashesTheBody`, `MergesTies` |
/// | 11 | late records | `Watermark`, `NoOverlap`, `NoRescan` |
/// | 12 | renamings | `HashesTheBody` (repeated) |
/// | 13 | odd shapes | seeded runs |
/// | 14 | business groups | seeded runs over three organizations |
/// | 15 | pages by offset shift | not proved: re-scans heal what shifts |
/// | 16 | retention | seeded runs with 10 days |
/// | 18 | the truth | all |
#[test]
fn mistakes_in_reading_anypoint_late_are_caught() {
    let lost = |verdict: &Verdict| !verdict.lost.is_empty();
    check(Provider::Anypoint, Mistake::Watermark, lost);
    check(Provider::Anypoint, Mistake::NoOverlap, lost);
    check(Provider::Anypoint, Mistake::NoRescan, lost);
}

#[test]
fn mistakes_in_telling_anypoint_records_apart_are_caught() {
    let wrong =
        |verdict: &Verdict| !verdict.lost.is_empty() || !verdict.invented.is_empty() || !verdict.repeated.is_empty();
    check(Provider::Anypoint, Mistake::MergesTies, wrong);
    check(Provider::Anypoint, Mistake::HashesTheBody, wrong);
    check(Provider::Anypoint, Mistake::CountsOn, wrong);
}

#[test]
fn mistakes_in_paging_anypoint_are_caught() {
    check(Provider::Anypoint, Mistake::StopsOnAShortPage, |verdict| !verdict.lost.is_empty());
}

#[test]
fn mistakes_in_trusting_anypoint_names_are_caught() {
    check(Provider::Anypoint, Mistake::TrustsTheName, |verdict| !verdict.stolen.is_empty());
}
