//! Clocks that go wrong by days, each source: at the start of a run, in it, and on some of the provider's nodes. Everything is delivered
//! all the same, once, and nobody sleeps until the wrong date.

use crate::support;
use chrono::TimeDelta;
use headwater_contracts::{Clock, OwnRequest, Period, StartAt, Timestamp};
use headwater_ledger::{
    Commit, Commits, FileLedger, Filed, Ledger, LedgerError, MemoryLedger, StreamKey, StreamRecord,
};
use headwater_runtime::RunError;
use headwater_simulator::{OddDate, Provider, Scenario, Simulator};
use headwater_testkit::{
    clock::TestClock,
    recorder::Recorder,
    rig::Rig,
    saboteur::Saboteur,
    source_suite::{Case, Verdict},
    wrong_clocks::WrongClocks,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const TEN_DAYS: TimeDelta = TimeDelta::days(10);

/// A source at work, against its simulator.
struct Play {
    case: Case<'static>,
    scenario: Scenario,
    simulator: Simulator,
    clock: TestClock,
    rig: Rig,
}

impl Play {
    fn new(case: Case<'static>, odd: Option<OddDate>, ledger: Arc<dyn Ledger>) -> Self {
        let mut scenario = Scenario::new().seed(7).history(3, 150).live(30);
        scenario.odd_dates.extend(odd);
        Self::of(case, scenario, ledger)
    }

    fn of(case: Case<'static>, scenario: Scenario, ledger: Arc<dyn Ledger>) -> Self {
        let clock = TestClock::at("2026-01-15T12:00:00Z".parse::<Timestamp>().unwrap());
        let simulator = Simulator::start(case.provider, scenario.clone(), Arc::new(clock.right())).unwrap();
        let mut rig = Rig::new(clock.clone(), ledger);
        rig.options.start_at = Some(StartAt::Ago(Period::days(7)));
        if case.content_counts {
            rig.recorder = Recorder::by_content();
        }
        Self { case, scenario, simulator, clock, rig }
    }

    /// Reads until caught up.
    async fn once(&self) -> Result<(), RunError> {
        let built = (self.case.build)(self.simulator.url(), self.simulator.credential(), &self.rig.options);
        self.rig.run(built, &Saboteur::idle()).await.map(drop)
    }

    /// Reads once while this machine's clock is ten days ahead.
    async fn once_in_ten_days(&self) {
        self.clock.set_wrong(TEN_DAYS);
        let ended = self.once().await.unwrap_err().to_string();
        assert!(ended.contains("nothing is marked") && ended.contains("max_clock_skew"), "{ended}");
        self.clock.set_wrong(TimeDelta::zero());
    }

    /// Polls for some hours of the clock.
    async fn at_work(&mut self, hours: i64) {
        self.rig.options.poll_interval = Some(Period::minutes(if self.slow() { 60 } else { 10 }));
        let built = (self.case.build)(self.simulator.url(), self.simulator.credential(), &self.rig.options);
        self.rig.run_for(built, TimeDelta::hours(hours)).await.unwrap();
    }

    /// Whether its events take days to appear.
    fn slow(&self) -> bool {
        self.case.provider == Provider::Mural
    }

    /// What there was `ago`, beside what has been delivered.
    fn books(&self, ago: TimeDelta) -> Verdict {
        let cut = self.clock.right().now() - ago;
        self.case.books(&self.rig, &self.simulator, self.scenario.clone(), cut)
    }

    /// What there was `ago` has been delivered, once.
    fn is_delivered(&self, ago: TimeDelta) {
        let verdict = self.books(ago);
        assert!(verdict.is_good() && verdict.expected > 50, "{}: {verdict}\n{verdict:#?}", self.case.provider);
    }

    /// The same, of now, in the time that the source promises.
    async fn will_be_delivered(&self) {
        let settle = (self.case.settle)(&self.scenario);
        self.clock.advance(settle);
        self.once().await.unwrap();
        self.is_delivered(settle);
    }

    /// The latest time that the ledger speaks of is not in the future.
    fn is_of_the_past(&self) {
        let now = self.clock.right().now() + TimeDelta::minutes(10);
        for (key, record, _) in self.rig.ledger.streams().unwrap() {
            let end = record.coverage.end().unwrap_or_default();
            assert!(record.start <= now && end <= now.timestamp_millis(), "{key:?} {record:?}");
        }
    }
}

/// The five, one after the other.
fn each(odd: Option<OddDate>, play: impl AsyncFn(&mut Play)) {
    let cases: [fn() -> Case<'static>; 5] =
        [support::anypoint, support::mural, support::api7, support::pactflow, support::solace_cloud];
    for case in cases {
        let run = async { play(&mut Play::new(case(), odd, Arc::new(MemoryLedger::new()))).await };
        support::runtime().block_on(support::in_time(7, run));
    }
}

#[test]
fn a_clock_ten_days_ahead_before_days_of_downtime_loses_nothing() {
    each(None, async |play| {
        play.once().await.unwrap();
        play.clock.advance(TimeDelta::minutes(30));
        play.once_in_ten_days().await;
        play.is_of_the_past();
        play.clock.advance(TimeDelta::days(3));
        play.once().await.unwrap();
        play.will_be_delivered().await;
    });
}

#[test]
fn a_first_start_ten_days_ahead_sets_no_start() {
    each(None, async |play| {
        play.once_in_ten_days().await;
        play.clock.advance(TimeDelta::hours(1));
        play.once().await.unwrap();
        play.is_of_the_past();
        play.will_be_delivered().await;
    });
}

#[test]
fn between_two_right_runs_a_wrong_one_forgets_nothing() {
    each(None, async |play| {
        play.once().await.unwrap();
        play.once_in_ten_days().await;
        play.clock.advance(TimeDelta::minutes(20));
        play.will_be_delivered().await;
    });
}

/// The five, where answers have no `Date`: this machine's clock alone tells the time.
fn undated(play: impl AsyncFn(&mut Play)) {
    let cases: [fn() -> Case<'static>; 5] =
        [support::anypoint, support::mural, support::api7, support::pactflow, support::solace_cloud];
    for case in cases {
        let scenario = Scenario { date_header: false, ..Scenario::new().seed(7).history(3, 150).live(30) };
        let run = async { play(&mut Play::of(case(), scenario, Arc::new(MemoryLedger::new()))).await };
        support::runtime().block_on(support::in_time(7, run));
    }
}

/// Whether its clock is known to be wrong or not: what there is to read is read.
async fn once_wrong(play: &Play, by: TimeDelta) {
    play.clock.set_wrong(by);
    if let Err(ended) = play.once().await {
        assert!(ended.to_string().contains("it is behind"), "{ended}");
    }
    play.clock.set_wrong(TimeDelta::zero());
}

#[test]
fn without_a_date_a_first_start_by_a_wrong_clock_loses_nothing_and_doubles_nothing() {
    // Ahead by less than `start_at` and by more, and behind.
    for days in [5, 10, -3, -10] {
        undated(async |play| {
            once_wrong(play, TimeDelta::days(days)).await;
            play.clock.advance(TimeDelta::hours(1));
            play.once().await.unwrap();
            play.is_of_the_past();
            play.will_be_delivered().await;
        });
    }
}

#[test]
fn without_a_date_a_wrong_clock_between_right_runs_loses_nothing_and_doubles_nothing() {
    for days in [10, 400, -3, -10] {
        undated(async |play| {
            play.once().await.unwrap();
            play.clock.advance(TimeDelta::minutes(30));
            once_wrong(play, TimeDelta::days(days)).await;
            // The machine is off for less time than its clock was ahead.
            play.clock.advance(TimeDelta::days(3));
            play.once().await.unwrap();
            play.is_of_the_past();
            play.will_be_delivered().await;
        });
    }
}

/// Anypoint, which forgets what no re-scan will meet again; two weeks of its log are read, and what is older than a week is forgotten.
fn forgetful(date_header: bool, play: impl AsyncFn(&mut Play)) {
    let scenario = Scenario { date_header, ..Scenario::new().seed(7).history(14, 200).live(30) };
    let mut forgetful = Play::of(support::anypoint(), scenario, Arc::new(MemoryLedger::new()));
    forgetful.rig.options.start_at = Some(StartAt::Ago(Period::days(14)));
    let run = async {
        forgetful.once().await.unwrap();
        forgetful.clock.advance(TimeDelta::minutes(30));
        play(&mut forgetful).await;
        forgetful.clock.set_wrong(TimeDelta::zero());
        forgetful.clock.advance(TimeDelta::minutes(30));
        forgetful.once().await.unwrap();
        forgetful.is_of_the_past();
        forgetful.will_be_delivered().await;
    };
    support::runtime().block_on(support::in_time(7, run));
}

#[test]
fn a_start_behind_the_ledger_reads_nothing_that_is_forgotten() {
    forgetful(true, async |play| {
        play.clock.set_wrong(-TEN_DAYS);
        assert!(play.once().await.is_err());
    });
}

#[test]
fn ahead_without_a_date_forgets_nothing_that_is_read_again() {
    forgetful(false, async |play| {
        play.clock.set_wrong(TEN_DAYS * 40);
        play.once().await.unwrap();
    });
}

#[test]
fn behind_without_a_date_reads_nothing_that_is_forgotten_and_says_so() {
    for days in [-3, -10, -30] {
        forgetful(false, async |play| {
            play.clock.set_wrong(TimeDelta::days(days));
            let ended = play.once().await;
            // What has been forgotten had happened a week before.
            assert_eq!(ended.is_err(), days < -7, "{ended:?}");
        });
    }
}

#[test]
fn a_running_process_reads_on_once_its_clock_is_set_right() {
    each(None, async |play| {
        play.once().await.unwrap();
        play.clock.set_wrong(TEN_DAYS);
        play.clock.set_wrong_in(TimeDelta::seconds(10), TimeDelta::zero());
        let (hours, ago) = if play.slow() { (34, 26) } else { (6, 1) };
        play.at_work(hours).await;
        play.is_delivered(TimeDelta::hours(ago));
        play.is_of_the_past();
    });
}

#[test]
fn a_date_that_is_odd_for_a_while_is_not_believed() {
    let odd = OddDate { after_s: 700, for_s: 1200, per_mille: 1000, by_s: 20 * 3600 };
    each(Some(odd), async |play| {
        let (hours, ago) = if play.slow() { (34, 26) } else { (6, 1) };
        play.at_work(hours).await;
        play.is_delivered(TimeDelta::hours(ago));
        play.is_of_the_past();
    });
}

#[test]
fn a_server_that_goes_days_wrong_for_good_is_polled_as_before() {
    for by_s in [-3 * 86_400, 3 * 86_400] {
        let odd = OddDate { after_s: 3600, for_s: u32::MAX, per_mille: 1000, by_s };
        each(Some(odd), async |play| {
            play.once().await.unwrap();
            play.clock.advance(TimeDelta::hours(2));
            let before = play.simulator.ledger().requests().len();
            let (hours, ago) = if play.slow() { (34, 26) } else { (6, 3) };
            play.at_work(hours).await;
            let requests = play.simulator.ledger().requests().len() - before;
            assert!(requests < 600, "{}, {by_s} s: {requests} requests", play.case.provider);
            play.is_delivered(TimeDelta::hours(ago));
            play.is_of_the_past();
        });
    }
}

#[test]
fn a_ledger_that_speaks_of_the_future_begins_anew_and_delivers_nothing_twice() {
    each(None, async |play| {
        // Both clocks were wrong: then nobody could tell.
        let dir = tempfile::tempdir().unwrap();
        play.rig.ledger = Arc::new(FileLedger::open(dir.path()).unwrap());
        play.once().await.unwrap();
        let ahead = play.clock.right().now() + TEN_DAYS;
        for (key, record, _) in play.rig.ledger.streams().unwrap() {
            let state = record.state.map(|state| in_future(&state));
            let covered = Some(headwater_contracts::Span::new(record.start, ahead));
            play.rig.ledger.commit(&key, &Commit { state, covered, ..Commit::default() }).unwrap();
        }
        play.clock.advance(TimeDelta::days(3));
        play.once().await.unwrap();
        play.is_of_the_past();
        play.will_be_delivered().await;
    });
}

/// The state with ten days more in each of its times.
fn in_future(state: &serde_json::Value) -> serde_json::Value {
    let time = |text: &str| Some((text.parse::<Timestamp>().ok()? + TEN_DAYS).to_rfc3339());
    match state {
        serde_json::Value::String(text) => time(text).unwrap_or_else(|| text.clone()).into(),
        serde_json::Value::Array(items) => items.iter().map(in_future).collect(),
        serde_json::Value::Object(members) => {
            members.iter().map(|(key, value)| (time(key).unwrap_or_else(|| key.clone()), in_future(value))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn the_suite_catches_a_driver_that_marks_by_any_clock() {
    let odd = OddDate { after_s: 0, for_s: 3600, per_mille: 300, by_s: 10 * 86_400 };
    for case in [support::anypoint as fn() -> Case<'static>, support::mural] {
        let is_good = |seed, max_skew| {
            let case = case();
            let run = case.seeded_with(seed, WrongClocks::odd(odd, max_skew));
            support::runtime().block_on(support::in_time(seed, run)).is_good()
        };
        let caught = (0..20).find(|seed| !is_good(*seed, Some(Period::days(30_000))));
        let seed = caught.unwrap_or_else(|| panic!("{}: it passes the suite", case().provider));
        assert!(is_good(seed, None), "{}: HEADWATER_SEED={seed}", case().provider);
    }
}

/// A ledger that does something of its own before each commit.
struct Watched<F> {
    inner: MemoryLedger,
    /// Whether it notes how far it has forgotten.
    notes: bool,
    before: F,
}

/// The rule of clocks that a driver breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// None: everything is delivered, once.
    None,
    /// What is a week old by this machine's clock is forgotten, whatever the server's shows.
    ForgetsByAnyClock,
    /// How far it has forgotten is not noted.
    NotesNothing,
}

impl<F: Fn(&StreamKey, &mut Commit) + Send + Sync + 'static> Ledger for Watched<F> {
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError> {
        let record = self.inner.load(stream, start)?;
        let forgotten = record.forgotten.filter(|_| self.notes);
        Ok(StreamRecord { forgotten, ..record })
    }

    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError> {
        self.inner.known(stream, identities)
    }

    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError> {
        self.inner.record_request(stream, request)
    }

    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        self.inner.streams()
    }
}

impl<F: Fn(&StreamKey, &mut Commit) + Send + Sync + 'static> Commits for Watched<F> {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        let mut commit = commit.clone();
        (self.before)(stream, &mut commit);
        self.inner.commit(stream, &commit)
    }
}

/// Whether a driver that breaks a rule passes, in a world in which the clock is wrong between two right runs.
fn passes(case: fn() -> Case<'static>, rule: Broken, date_header: bool) -> bool {
    let scenario = Scenario { date_header, ..Scenario::new().seed(7).history(14, 200).live(30) };
    let run = async {
        let mut play = Play::of(case(), scenario, Arc::new(MemoryLedger::new()));
        let clock = play.clock.clone();
        let before = move |_: &StreamKey, commit: &mut Commit| {
            if rule == Broken::ForgetsByAnyClock {
                commit.forget_before = Some(clock.now() - TimeDelta::days(7));
            }
        };
        let notes = rule != Broken::NotesNothing;
        play.rig.ledger = Arc::new(Watched { inner: MemoryLedger::new(), notes, before });
        play.rig.options.start_at = Some(StartAt::Ago(Period::days(14)));
        play.once().await.unwrap();
        play.clock.advance(TimeDelta::minutes(30));
        play.clock.set_wrong(TEN_DAYS);
        assert_eq!(play.once().await.is_err(), date_header);
        play.clock.set_wrong(TimeDelta::zero());
        play.clock.advance(TimeDelta::days(9));
        play.once().await.unwrap();
        let settle = (play.case.settle)(&play.scenario);
        play.clock.advance(settle);
        play.once().await.unwrap();
        play.books(settle).is_good()
    };
    support::runtime().block_on(support::in_time(7, run))
}

#[test]
fn a_driver_that_forgets_by_any_clock_or_does_not_note_what_it_forgot_is_caught() {
    assert!(passes(support::anypoint, Broken::None, true) && passes(support::anypoint, Broken::None, false));
    assert!(!passes(support::anypoint, Broken::ForgetsByAnyClock, true));
    // Nine days later, reading begins anew a week back: two days are missing.
    assert!(!passes(support::anypoint, Broken::NotesNothing, false));
}

#[test]
fn what_happens_after_a_request_was_sent_is_not_called_read() {
    each(None, async |play| {
        // Where the clock stood when a stream began, until a range is marked; how far beyond that each first range reached.
        let begun = Mutex::new(BTreeMap::<StreamKey, Timestamp>::new());
        let beyond = Arc::new(Mutex::new(Vec::new()));
        let (clock, found) = (play.clock.clone(), Arc::clone(&beyond));
        let before = move |stream: &StreamKey, commit: &mut Commit| {
            let mut begun = begun.lock().unwrap();
            if commit.anew.is_some() {
                begun.insert(stream.clone(), clock.now());
                // As on a full disk: the first answer has come, and its page is not read yet.
                clock.advance(TimeDelta::minutes(5));
            }
            if let Some(covered) = commit.covered
                && let Some(begun) = begun.remove(stream)
            {
                found.lock().unwrap().push(TimeDelta::milliseconds(covered.to - begun.timestamp_millis()));
            }
        };
        play.rig.ledger = Arc::new(Watched { inner: MemoryLedger::new(), notes: true, before });
        play.once().await.unwrap();
        let beyond = std::mem::take(&mut *beyond.lock().unwrap());
        assert!(!beyond.is_empty(), "{}", play.case.provider);
        assert!(beyond.iter().all(|beyond| *beyond <= TimeDelta::seconds(1)), "{beyond:?}");
    });
}
