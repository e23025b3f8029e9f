//! The source suite is itself put to the test: clients with the mistakes that real ones make must not pass it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::naive_bytecount)] // this is a test

#[path = "../support/mod.rs"]
mod support;

mod anypoint;
mod api7;
mod mural;
mod pactflow;
mod solace_cloud;

use headwater_contracts::{
    BuiltSource, Echo, Identity, Next, OwnRequests, PageEnd, Plan, ReadError, Record, Rejection, Request, Scan, Source,
    SourceOptions, Span, StreamView, Timestamp, Unreadable,
};
use headwater_ledger::MemoryLedger;
use headwater_simulator::Provider;
use headwater_testkit::source_suite::{Case, Verdict};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use solace_cloud::Walk;
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
    /// Takes a page that is not full for the last (Anypoint).
    StopsOnAShortPage,
    /// Numbers equal records, and does not go back when a page is read again (Anypoint).
    CountsOn,
    /// Takes every login with its own name for its own (Anypoint).
    TrustsTheName,
}

struct Wrong {
    inner: Box<dyn Source>,
    mistake: Mistake,
    /// The newest event of earlier scans.
    newest: Arc<Mutex<Option<Timestamp>>>,
    /// Every own request there ever was.
    ever: Arc<Mutex<OwnRequests>>,
    /// Where the last window ended (Solace Cloud).
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
            counts: HashMap::new(),
            walk: Walk::new(self.tile.clone(), view.now),
        };
        plan.scans = plan.scans.into_iter().map(|inner| Box::new(scan(inner)) as _).collect();
        plan
    }

    fn retention(&self) -> chrono::TimeDelta {
        self.inner.retention()
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        self.inner.horizon(now)
    }

    fn budget_window(&self) -> chrono::Duration {
        self.inner.budget_window()
    }

    fn leaves_echoes(&self) -> bool {
        self.inner.leaves_echoes()
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
    /// How often each record has been seen (Anypoint).
    counts: HashMap<Vec<u8>, u32>,
    walk: Walk,
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
        self.walk.spoil(self.mistake, &mut request);
        if self.mistake == Mistake::TrustsTheBounds {
            api7::narrow(&mut request);
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
            Mistake::SkipsTies => self.walk.saw(raw),
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
        Ok(match self.wrong_page(end)? {
            Next::Split(pieces) => Next::Split(pieces.into_iter().map(|piece| self.around(piece)).collect()),
            next => next,
        })
    }

    fn unusable(&mut self, error: ReadError) -> Result<Next, ReadError> {
        self.inner.unusable(error)
    }

    fn trimmed(&self, raw: &[u8]) -> Option<Vec<u8>> {
        self.inner.trimmed(raw)
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

impl WrongScan {
    /// The same mistake in a piece of this scan.
    fn around(&self, inner: Box<dyn Scan>) -> Box<dyn Scan> {
        Box::new(Self {
            asked: Vec::new(),
            inner,
            mistake: self.mistake,
            newest: self.newest.clone(),
            mark: self.mark,
            ever: self.ever.clone(),
            counts: HashMap::new(),
            walk: self.walk.clone(),
        })
    }

    fn wrong_page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        if self.mistake == Mistake::TrustsPageNumbers && !self.inner.whole() {
            let envelope = self.walk.page(end.envelope);
            return self.inner.page(&PageEnd { envelope: envelope.as_bytes(), ..*end });
        }
        let again = self.asked.split_last().is_some_and(|(last, before)| before.contains(last));
        if self.mistake == Mistake::IgnoresTotal || (self.mistake == Mistake::OnePass && again) {
            let envelope = api7::with_total(end.envelope, end.records);
            return self.inner.page(&PageEnd { envelope: envelope.as_bytes(), ..*end });
        }
        if self.mistake == Mistake::StopsOnAShortPage && end.records < 200 {
            return self.inner.page(&PageEnd { records: 0, ..*end });
        }
        self.inner.page(end)
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
            Provider::Anypoint => support::build_anypoint(url, credential, &options),
            _ => support::build_mural(url, credential, &options),
        };
        let (newest, ever, tile) = (newest.clone(), ever.clone(), tile.clone());
        BuiltSource { source: Box::new(Wrong { inner: right.source, mistake, newest, ever, tile }), ..right }
    };
    let case = match provider {
        Provider::PactFlow => support::pactflow(),
        Provider::SolaceCloud => support::solace_cloud(),
        Provider::Api7 => support::api7(),
        Provider::Anypoint => support::anypoint(),
        _ => support::mural(),
    };
    let case = Case { build: &build, ..case };
    let runtime = support::runtime();
    let run = async {
        if provider == Provider::Api7 && mistake == Mistake::NeverConsumes {
            let mut dice = StdRng::seed_from_u64(seed);
            return case.run(api7::with_a_thief(seed), Arc::new(MemoryLedger::new()), 0, &mut dice).await;
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
        objection(provider, mistake, 150).unwrap_or_else(|| panic!("{provider}: {mistake:?} passes the suite"));
    assert!(complaint(&verdict), "{provider}: {mistake:?} is caught for the wrong reason: {verdict}");
}

#[test]
fn a_right_client_behind_the_same_wrapper_passes() {
    assert_eq!(objection(Provider::PactFlow, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Mural, Mistake::None, 3), None);
    assert_eq!(objection(Provider::SolaceCloud, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Api7, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Anypoint, Mistake::None, 3), None);
}
