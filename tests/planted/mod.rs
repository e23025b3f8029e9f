//! The source suite is itself put to the test: clients with the mistakes that real ones make must not pass it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::naive_bytecount)] // this is a test

mod anypoint;
mod api7;
mod mural;
mod pactflow;
mod poison;
mod solace_cloud;

use crate::support;
use headwater_contracts::{
    BuiltSource, Echo, Identity, Next, OwnRequests, PageEnd, Plan, ReadError, Record, Rejection, Request, Scan, Source,
    SourceOptions, Span, StreamView, Timestamp, Unreadable,
};
use headwater_ledger::MemoryLedger;
use headwater_simulator::{AuditReads, Provider, Scenario, TimeUnit};
use headwater_testkit::{
    source_suite::{Case, Verdict},
    wrong_clocks::WrongClocks,
};
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
    /// Takes the first so many records for all there are, as a capped total says (Anypoint, Solace Cloud).
    TrustsTheTotal,
    /// Takes a refusal with this status for the end of the log.
    EndsOn(u16),
    /// Takes a page with an error in it for a page.
    TakesErrorsForPages,
    /// Forwards the kinds of records that it knows, and no others.
    KnownTypesOnly,
    /// Takes a larger id for a later record (Solace Cloud).
    TrustsIdOrder,
    /// Takes a page for all there is, whatever `total` says (API7).
    IgnoresTotal,
    /// Reads what shares one time page by page, once (API7).
    OnePass,
    /// Steps over both borders of a window by one, whichever of them belong to it (API7, Anypoint).
    TrustsTheBounds,
    /// Takes times for seconds (API7).
    AlwaysSeconds,
    /// Takes every read of the log with our token for ours (API7).
    TrustsTheToken,
    /// Takes a page with fewer records than it asked for for the last.
    StopsOnAShortPage,
    /// Takes an empty page for the end of a chain, although it leads on (Mural).
    StopsOnAnEmptyPage,
    /// Pages by offset instead of by cursor (Anypoint).
    PagesByOffset,
    /// Reads the root organization, and takes its log for that of all business groups (Anypoint).
    RootOnly,
    /// Numbers equal records, and does not go back when a page is read again (Anypoint).
    CountsOn,
    /// Does not get beyond a record that is nested deeply: what is behind it on its page is passed over.
    StopsAtDepth,
    /// Takes every login (Anypoint) or reading (Solace Cloud) with its own name for its own.
    TrustsTheName,
    /// Delivers text in place of a record that its parser refuses.
    TextForObjects,
    /// Leaves out half a surrogate pair.
    DropsHalves,
}

struct Wrong {
    inner: Box<dyn Source>,
    mistake: Mistake,
    memory: Memory,
}

/// What a wrong client remembers of earlier polls.
#[derive(Clone, Default)]
struct Memory {
    /// The newest event of each stream.
    newest: Arc<Mutex<HashMap<String, Timestamp>>>,
    /// Every own request there ever was.
    ever: Arc<Mutex<OwnRequests>>,
    /// Where the last window ended (Solace Cloud).
    tile: Arc<Mutex<Option<String>>>,
    /// The largest id (Solace Cloud).
    largest: Arc<Mutex<String>>,
}

impl Source for Wrong {
    fn streams(&self) -> Vec<String> {
        let all = self.inner.streams();
        if self.mistake == Mistake::RootOnly { all.into_iter().take(1).collect() } else { all }
    }

    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let mut plan = self.inner.plan(view);
        let scan = |inner| WrongScan {
            asked: Vec::new(),
            inner,
            mistake: self.mistake,
            stream: view.stream.to_owned(),
            mark: self.memory.newest.lock().unwrap().get(view.stream).copied(),
            largest: self.memory.largest.lock().unwrap().clone(),
            memory: self.memory.clone(),
            counts: HashMap::new(),
            deep: false,
            size: 0,
            seen: 0,
            walk: Walk::new(self.memory.tile.clone(), view.now),
        };
        plan.scans = plan.scans.into_iter().map(|inner| Box::new(scan(inner)) as _).collect();
        plan
    }

    fn requests_per_day(&self) -> u64 {
        self.inner.requests_per_day()
    }

    fn retention(&self) -> chrono::TimeDelta {
        self.inner.retention()
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        self.inner.horizon(now)
    }

    fn look_back(&self) -> chrono::TimeDelta {
        self.inner.look_back()
    }

    fn latest(&self, state: &Value) -> Option<Timestamp> {
        self.inner.latest(state)
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
    stream: String,
    memory: Memory,
    /// The newest event when this scan began.
    mark: Option<Timestamp>,
    /// The largest id when this scan began.
    largest: String,
    /// How often each record has been seen (Anypoint).
    counts: HashMap<Vec<u8>, u32>,
    /// Whether the page has had a record that is nested deeply.
    deep: bool,
    /// How many records the request asked for.
    size: u64,
    /// How many records the pages before this one had.
    seen: u64,
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
        match self.mistake {
            Mistake::TrustsTheBounds => {
                api7::narrow(&mut request);
                anypoint::narrow(&mut request);
            }
            Mistake::TrustsTheTotal if request.body.is_some() => request = request.query("doIncludeTotal", "capped"),
            // Solace Cloud counts what comes after the bound of each request.
            Mistake::TrustsTheTotal => self.seen = 0,
            Mistake::PagesByOffset => self.seen = anypoint::by_offset(&mut request, self.seen),
            _ => {}
        }
        self.size = size(&request);
        self.asked.push(format!("{:?}", request.query));
        request
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let mut record = if self.mistake == Mistake::NeverConsumes {
            let mut ever = self.memory.ever.lock().unwrap();
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
                if let Some(time) = record.time {
                    let mut newest = self.memory.newest.lock().unwrap();
                    newest.entry(self.stream.clone()).and_modify(|newest| *newest = time.max(*newest)).or_insert(time);
                }
            }
            Mistake::KnownTypesOnly => record.wanted = record.wanted && is_known(raw),
            Mistake::TrustsIdOrder => {
                record.wanted = record.wanted && record.id > self.largest;
                let mut largest = self.memory.largest.lock().unwrap();
                *largest = std::mem::take(&mut *largest).max(record.id.clone());
            }
            Mistake::StopsAtDepth => {
                self.deep |= raw.windows(100).any(|part| part == [b'['; 100]);
                record.wanted = record.wanted && !self.deep;
            }
            Mistake::IgnoresContent => record.identity = Identity::of(&[record.id.as_bytes()]),
            Mistake::SkipsTies => self.walk.saw(raw),
            Mistake::TrustsTheName
                if ["Token", "/audit/logs"].iter().any(|text| String::from_utf8_lossy(raw).contains(text))
                    && matches!(record.echo, Echo::Suspicious(_)) =>
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
        self.deep = false;
        let next = self.wrong_page(end);
        self.seen += end.records;
        Ok(match next? {
            Next::Split(pieces) => Next::Split(pieces.into_iter().map(|piece| self.around(piece)).collect()),
            next => next,
        })
    }

    fn unusable(&mut self, error: ReadError) -> Result<Next, ReadError> {
        self.inner.unusable(error)
    }

    fn trimmed(&self, raw: &[u8]) -> Option<Vec<u8>> {
        poison::spoiled(self.mistake, raw).or_else(|| self.inner.trimmed(raw))
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        if self.mistake == Mistake::TrustsPageNumbers && rejection.status == 404 {
            return self.last_page(None);
        }
        if self.mistake == Mistake::TakesErrorsForPages && rejection.status == 200 {
            // Its records have been seen.
            let records = u64::from(!rejection.body.windows(8).any(|part| part == b"degraded"));
            return self.inner.page(&PageEnd { envelope: &rejection.body, records, server_time: self.walk.planned() });
        }
        if self.mistake == Mistake::EndsOn(rejection.status) && !self.inner.whole() {
            return self.last_page(self.walk.latest());
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
            stream: self.stream.clone(),
            memory: self.memory.clone(),
            mark: self.mark,
            largest: self.largest.clone(),
            counts: HashMap::new(),
            deep: false,
            size: 0,
            seen: 0,
            walk: self.walk.clone(),
        })
    }

    /// Tells the right client that there is nothing more, but for a record.
    fn last_page(&mut self, record: Option<String>) -> Result<Next, ReadError> {
        let envelope = br#"{"data":[],"list":[],"total":0,"meta":{"pagination":{"totalPages":1}}}"#;
        let _ = self.inner.request();
        if let Some(record) = record {
            let _ = self.inner.record(record.as_bytes(), &OwnRequests::default());
        }
        self.inner.page(&PageEnd { envelope, records: 0, server_time: self.walk.planned() })
    }

    fn wrong_page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        if self.mistake == Mistake::TrustsPageNumbers && !self.inner.whole() {
            // The right client is not told of pages: it would begin again behind the last record.
            self.walk.turn();
            return if end.records == 0 { self.last_page(None) } else { Ok(Next::More) };
        }
        let again = self.asked.split_last().is_some_and(|(last, before)| before.contains(last));
        if self.mistake == Mistake::IgnoresTotal || (self.mistake == Mistake::OnePass && again) {
            // A short page: behind a full one the right client looks once more, whatever its total says.
            let records = end.records.min(1);
            let envelope = api7::with_total(end.envelope, records);
            return self.inner.page(&PageEnd { envelope: envelope.as_bytes(), records, ..*end });
        }
        let stops = match self.mistake {
            Mistake::StopsOnAShortPage => end.records < self.size,
            Mistake::StopsOnAnEmptyPage => end.records == 0,
            Mistake::TrustsTheTotal => total(end.envelope).is_some_and(|total| self.seen + end.records >= total),
            Mistake::PagesByOffset => {
                let envelope = anypoint::with_cursor(end.envelope, self.seen + end.records);
                return self.inner.page(&PageEnd { envelope: envelope.as_bytes(), ..*end });
            }
            _ => false,
        };
        if !stops || self.inner.whole() || self.size == 0 {
            return self.inner.page(end);
        }
        if self.inner.elements() == ["list"] {
            // A short page: behind a full one the right client looks once more, whatever its total says.
            let records = end.records.min(1);
            let envelope = api7::with_total(end.envelope, records);
            return self.inner.page(&PageEnd { envelope: envelope.as_bytes(), records, ..*end });
        }
        self.last_page(None)
    }
}

/// How many records a request asks for, whatever the parameter is called.
fn size(request: &Request) -> u64 {
    let parameter =
        request.query.iter().find(|(name, _)| ["pageSize", "page_size", "maxResults"].contains(&name.as_str()));
    let member = || request.body.as_ref()?["limit"].as_u64();
    parameter.and_then(|(_, value)| value.parse().ok()).or_else(member).unwrap_or_default()
}

/// How many records there are, as a page says.
fn total(envelope: &[u8]) -> Option<u64> {
    let page: Value = serde_json::from_slice(envelope).ok()?;
    page["total"].as_u64().or_else(|| page["meta"]["pagination"]["count"].as_u64())
}

/// The usual kinds of records: Anypoint's actions, the categories of Solace Cloud, the event types of API7.
const KNOWN: [&str; 14] = [
    "Deploy",
    "create",
    "Edit",
    "edit",
    "Login",
    "Login - Token",
    "IAM",
    "SERVICE",
    "Add Service",
    "Create Consumer",
    "Invite User",
    "Update Service",
    "Update User Role",
    "List Audit Logs",
];

fn is_known(raw: &[u8]) -> bool {
    let record: Value = serde_json::from_slice(raw).unwrap();
    let kind = ["action", "eventCategory", "event_type"].iter().find_map(|name| record[*name].as_str());
    kind.is_some_and(|kind| KNOWN.contains(&kind))
}

/// One seed's verdict on a mistake.
fn verdict(provider: Provider, mistake: Mistake, seed: u64) -> Verdict {
    let mut dice = StdRng::seed_from_u64(seed);
    let thief = provider == Provider::Api7 && mistake == Mistake::NeverConsumes;
    with_case(provider, mistake, None, seed, async |case| {
        if thief {
            return case.run(api7::with_a_thief(seed), Arc::new(MemoryLedger::new()), 0, &mut dice).await;
        }
        // Clocks that go wrong are another matter: `tests/support/clocks.rs`.
        case.seeded_with(seed, WrongClocks::default()).await
    })
}

/// The verdict on a mistake in one world. Small pages, so that there are many.
fn verdict_in(provider: Provider, mistake: Mistake, scenario: Scenario) -> Verdict {
    let mut dice = StdRng::seed_from_u64(scenario.seed);
    with_case(provider, mistake, Some(20), scenario.seed, async |case| {
        case.run(scenario, Arc::new(MemoryLedger::new()), 0, &mut dice).await
    })
}

/// Runs a client with a mistake.
fn with_case(
    provider: Provider,
    mistake: Mistake,
    page_size: Option<u32>,
    seed: u64,
    run: impl AsyncFnOnce(&Case<'_>) -> Verdict,
) -> Verdict {
    let memory = Memory::default();
    // Told whose token it is: else it takes no reading for its own, whatever its name.
    let own = provider == Provider::SolaceCloud && mistake == Mistake::TrustsTheName;
    let build = move |url: &str, credential: &str, options: &SourceOptions| -> BuiltSource {
        let mut options = options.clone();
        if mistake == Mistake::NoOverlap {
            options.overlap = Some(headwater_contracts::Period::seconds(0));
        }
        options.page_size = page_size;
        // What these miss must not be found by reading it again.
        if matches!(
            mistake,
            Mistake::NoOverlap
                | Mistake::NoRescan
                | Mistake::EndsOn(_)
                | Mistake::TakesErrorsForPages
                | Mistake::TrustsPageNumbers
        ) || (provider == Provider::Anypoint && mistake == Mistake::TrustsTheBounds)
        {
            options.rescan = Some(Vec::new());
        }
        let right = match provider {
            Provider::PactFlow => support::build_pactflow(url, credential, &options),
            Provider::SolaceCloud if own => support::build_solace_cloud_own(url, credential, &options),
            Provider::SolaceCloud => support::build_solace_cloud(url, credential, &options),
            Provider::Api7 if mistake == Mistake::AlwaysSeconds => {
                support::build_api7_in_seconds(url, credential, &options)
            }
            Provider::Api7 => support::build_api7(url, credential, &options),
            Provider::Anypoint => support::build_anypoint(url, credential, &options),
            _ => support::build_mural(url, credential, &options),
        };
        let memory = memory.clone();
        BuiltSource { source: Box::new(Wrong { inner: right.source, mistake, memory }), ..right }
    };
    let case = match provider {
        Provider::PactFlow => support::pactflow(),
        Provider::SolaceCloud if own => support::solace_cloud_own(),
        Provider::SolaceCloud => support::solace_cloud(),
        Provider::Api7 => support::api7(),
        Provider::Anypoint => support::anypoint(),
        _ => support::mural(),
    };
    let case = Case { build: &build, ..case };
    support::runtime().block_on(support::in_time(seed, run(&case)))
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

/// What a mistake does.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Lost,
    /// Sent twice, or made up.
    Repeated,
    /// Dropped as our own.
    Stolen,
}

impl Harm {
    fn done(self, verdict: &Verdict) -> bool {
        match self {
            Self::Lost => !verdict.lost.is_empty(),
            Self::Repeated => !verdict.repeated.is_empty() || !verdict.invented.is_empty(),
            Self::Stolen => !verdict.stolen.is_empty(),
        }
    }
}

/// A world without trouble.
fn calm(provider: Provider) -> Scenario {
    let scenario = Scenario::new().seed(7).history(10, 1000).live(60);
    match provider {
        Provider::Api7 => scenario.api7(|a| (a.reads, a.unit) = (AuditReads::NotLogged, TimeUnit::Milliseconds)),
        _ => scenario,
    }
}

/// Proves that numbered behaviour `item` of a simulator catches a mistake: a right client gets along in a world with it, a
/// client with the mistake does not, and without the item nobody would notice the mistake.
fn item(provider: Provider, item: u8, mistake: Mistake, harm: Harm, with: impl FnOnce(Scenario) -> Scenario) {
    always(provider, item, mistake, harm, with);
    let verdict = verdict_in(provider, mistake, calm(provider));
    assert!(verdict.is_good(), "{provider} {item}: {mistake:?} is caught in a calm world: {verdict}");
}

/// The same for what cannot be switched off, or whose mistake goes wrong in a calm world as well.
fn always(provider: Provider, item: u8, mistake: Mistake, harm: Harm, with: impl FnOnce(Scenario) -> Scenario) {
    println!("{provider} {item}: {mistake:?}");
    let scenario = with(calm(provider));
    let verdict = verdict_in(provider, Mistake::None, scenario.clone());
    assert!(verdict.is_good() && verdict.expected > 0, "{provider} {item}: a right client is lost: {verdict}");
    let verdict = verdict_in(provider, mistake, scenario);
    assert!(harm.done(&verdict), "{provider} {item}: {mistake:?} passes, or is caught for the wrong reason: {verdict}");
}

#[test]
fn a_right_client_behind_the_same_wrapper_passes() {
    assert_eq!(objection(Provider::PactFlow, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Mural, Mistake::None, 3), None);
    assert_eq!(objection(Provider::SolaceCloud, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Api7, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Anypoint, Mistake::None, 3), None);
}
