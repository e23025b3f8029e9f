//! The contract that every source keeps against its simulator: nothing lost, nothing invented, nothing twice but for a kill,
//! own queries dropped and nobody else's, imitations of them marked.

use crate::{
    clock::TestClock,
    recorder::{Arrival, Arrived, Recorder},
    rig::{Build, Kept, Rig, sha256},
    saboteur::Saboteur,
    wrong_clocks::WrongClocks,
};
use chrono::TimeDelta;
use headwater_contracts::{ByteSize, Clock, Period, StartAt, Timestamp};
use headwater_ledger::{FileLedger, Ledger, MemoryLedger};
use headwater_runtime::RunError;
use headwater_simulator::{Fault, Kind, Poison, Provider, Scenario, Simulator, Truth};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, PoisonError, atomic::Ordering},
};

/// Most events that one kill can send a second time: those between delivery and commit. At most 699 are being committed (a
/// commit is due at 500, and a batch has 200), as many are gathered for the next, and four batches of 200 are with the sinks.
pub const EVENTS_PER_KILL: usize = 2200;

/// What a run can be put through, as [`Verdict::census`] counts it.
pub const TROUBLES: &[&str] = &[
    "marked late",
    "hours late",
    "drift",
    "faults",
    "errors in pages",
    "kills",
    "duplicates after kills",
    "own queries",
    "spoofed",
    "replayed",
    "other collector",
    "human",
    "clock skew",
    "wrong clocks",
    "no Date",
    "poison",
    "poison set aside",
    "odd times",
    "ledger in a file",
];

/// What occurs only where events may change under their ids.
pub const CHANGED: &str = "changed";

/// What came of a seeded run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Events that had to be delivered.
    pub expected: usize,
    /// Ids of events that should have been delivered and were not; of own queries, that were neither delivered nor dropped.
    pub lost: Vec<String>,
    /// Ids that were delivered and never existed, or with other bytes.
    pub invented: Vec<String>,
    /// Copies beyond the first that a kill between delivery and commit explains.
    pub duplicates: usize,
    /// Ids of copies that nothing explains: the ledger held the event already, or no kill lies between.
    pub repeated: Vec<String>,
    /// Ids of own queries that were delivered although they should be dropped.
    pub own_delivered: Vec<String>,
    /// How many of these kills explain. A kill between a request and the answer that shows a server's clock far from
    /// ours explains one: what cannot be told for sure is delivered, never dropped.
    pub own_excused: usize,
    /// Own queries delivered where nothing could tell them: the server's clock is far from ours and is never shown.
    pub own_untold: usize,
    /// Clocks were wrong: what is dated by them (own queries, and who imitates them) may be told wrongly, and is then delivered.
    pub undatable: bool,
    /// Ids of events that were dropped and are no own queries.
    pub stolen: Vec<String>,
    /// Own queries dropped by the rule, as the ledger accounts for them.
    pub own_dropped: u64,
    /// Own queries that were dropped, as the rule saw them; at least, not counting those that were delivered too.
    pub own_dropped_seen: (u64, u64),
    /// Own queries there were.
    pub own: usize,
    /// Ids of imitations delivered without a remark.
    pub unremarked: Vec<String>,
    /// Ids of honest events delivered with a remark.
    pub slandered: Vec<String>,
    /// How often the incarnation was killed.
    pub crashes: usize,
    /// Requests on the wrong origin, each of which may have leaked the credential.
    pub leaked: usize,
    /// Reasons of dead letters that nothing explains: their events can be read.
    pub dead_lettered: Vec<String>,
    /// Events that are not to be delivered, because they are no JSON or too long, and are dead letters.
    pub set_aside: usize,
    /// In how many runs each of [`TROUBLES`] occurred.
    pub census: BTreeMap<&'static str, usize>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        let (least, most) = self.own_dropped_seen;
        self.lost.is_empty()
            && self.invented.is_empty()
            && self.repeated.is_empty()
            && self.duplicates <= self.crashes * EVENTS_PER_KILL
            && (self.undatable || self.own_delivered.len() <= self.own_excused)
            && self.stolen.is_empty()
            && (least..=most).contains(&self.own_dropped)
            && self.unremarked.is_empty()
            && (self.undatable || self.slandered.is_empty())
            && self.leaked == 0
            && self.dead_lettered.is_empty()
    }

    /// Adds another run's figures.
    pub fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.lost.extend(other.lost);
        self.invented.extend(other.invented);
        self.duplicates += other.duplicates;
        self.repeated.extend(other.repeated);
        self.own_delivered.extend(other.own_delivered);
        self.own_excused += other.own_excused;
        self.own_untold += other.own_untold;
        self.stolen.extend(other.stolen);
        self.own_dropped += other.own_dropped;
        self.own_dropped_seen.0 += other.own_dropped_seen.0;
        self.own_dropped_seen.1 += other.own_dropped_seen.1;
        self.own += other.own;
        self.unremarked.extend(other.unremarked);
        self.slandered.extend(other.slandered);
        self.crashes += other.crashes;
        self.leaked += other.leaked;
        self.dead_lettered.extend(other.dead_lettered);
        self.set_aside += other.set_aside;
        for (trouble, runs) in other.census {
            *self.census.entry(trouble).or_default() += runs;
        }
    }

    /// The census as a line.
    pub fn census_line(&self) -> String {
        let runs = |trouble| self.census.get(trouble).copied().unwrap_or_default();
        TROUBLES
            .iter()
            .chain(&[CHANGED])
            .map(|trouble| format!("{trouble} {}", runs(*trouble)))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} expected, {} lost, {} invented, {} repeated, {} duplicates after {} kills; own queries: {} made, {} dropped, {} delivered after kills, {} for want of a clock; {} others dropped; {} imitations unremarked, {} slandered; {} leaks, {} set aside, {} other dead letters",
            self.expected,
            self.lost.len(),
            self.invented.len(),
            self.repeated.len(),
            self.duplicates,
            self.crashes,
            self.own,
            self.own_dropped,
            self.own_delivered.len(),
            self.own_untold,
            self.stolen.len(),
            self.unremarked.len(),
            self.slandered.len(),
            self.leaked,
            self.set_aside,
            self.dead_lettered.len()
        )
    }
}

/// How a source is put to the test.
pub struct Case<'a> {
    /// Its simulator.
    pub provider: Provider,
    /// How to build it.
    pub build: &'a Build,
    /// How own queries are told from others, if they can be told.
    pub own: Option<OwnQueries>,
    /// The steps in which time passes, one poll after each, as polls at work would.
    pub steps: Vec<TimeDelta>,
    /// How late, at most, an event of this scenario is promised to be found: time passes for so long before the books are
    /// compared.
    pub settle: fn(&Scenario) -> TimeDelta,
    /// How late events usually appear, at most.
    pub usual_delay: TimeDelta,
    /// Whether events that change under their ids are to be delivered again, and the last content must arrive.
    pub content_counts: bool,
}

/// How own queries are told from others, so that they must be dropped and imitations must be marked.
#[derive(Debug, Clone, Copy)]
pub struct OwnQueries {
    /// How far the server's clock may be from what it is taken for without an own query being missed.
    pub tolerance: TimeDelta,
}

/// What a run has left to compare.
struct Run<'a> {
    rig: &'a Rig,
    simulator: &'a Simulator,
    scenario: Scenario,
    /// What was visible by then must have been found.
    cut: Timestamp,
}

impl Case<'_> {
    /// Runs the scenario of `seed`, with kills if the seed says so, every tenth with a ledger in a file.
    pub async fn seeded(&self, seed: u64) -> Verdict {
        self.seeded_with(seed, WrongClocks::seeded(seed, self.steps.iter().sum())).await
    }

    /// The same with other clocks.
    pub async fn seeded_with(&self, seed: u64, clocks: WrongClocks) -> Verdict {
        let mut dice = StdRng::seed_from_u64(seed ^ 0x5eed);
        let kills = if dice.random_bool(0.5) { dice.random_range(1..12) } else { 0 };
        let scenario = Scenario::seeded(self.provider, seed);
        if seed % 10 == 9 {
            let dir = tempfile::tempdir().expect("a folder");
            let ledger = Arc::new(FileLedger::open(dir.path()).expect("a ledger"));
            let mut verdict = self.run_with(scenario, ledger, kills, &mut dice, clocks).await;
            verdict.census.insert("ledger in a file", 1);
            return verdict;
        }
        self.run_with(scenario, Arc::new(MemoryLedger::new()), kills, &mut dice, clocks).await
    }

    /// Runs a scenario, killing the incarnation `kills` times at random effects.
    pub async fn run(&self, scenario: Scenario, ledger: Arc<dyn Ledger>, kills: usize, dice: &mut StdRng) -> Verdict {
        self.run_with(scenario, ledger, kills, dice, WrongClocks::default()).await
    }

    /// The same while clocks are wrong.
    pub async fn run_with(
        &self,
        mut scenario: Scenario,
        ledger: Arc<dyn Ledger>,
        mut kills: usize,
        dice: &mut StdRng,
        mut clocks: WrongClocks,
    ) -> Verdict {
        scenario.odd_dates.clone_from(&clocks.odd_dates);
        let start = Timestamp::from_timestamp(1_717_200_000 + dice.random_range(0..86_400), 0).unwrap_or_default();
        let clock = TestClock::at(start);
        let simulator = Simulator::start(self.provider, scenario.clone(), Arc::new(clock.right())).expect("simulator");
        let mut rig = Rig::new(clock.clone(), ledger);
        if scenario.faults.iter().any(|rule| rule.fault.hangs()) {
            // Of the real clock: how long a hung connection holds up a test. Without one, what takes long is only slow.
            rig.options.timeout = Some(Period(TimeDelta::milliseconds(250)));
        }
        // A server whose clock is always off is what `max_clock_skew` is for.
        let doubt = TimeDelta::seconds(i64::from(scenario.clock_doubt_s()));
        let skew = Period(doubt * 2 + TimeDelta::minutes(5));
        rig.options.max_clock_skew = clocks.max_skew.or((doubt > TimeDelta::minutes(4)).then_some(skew));
        if clocks.are_wrong() {
            // Of everything there is, but by the time at which it begins.
            rig.options.start_at = Some(StartAt::Ago(Period::days(40)));
        }
        if self.content_counts {
            rig.recorder = Recorder::by_content();
        }
        if scenario.poison_per_mille > 0 && self.provider != Provider::Api7 {
            rig.options.max_event_bytes = Some(ByteSize(Poison::LONG as u64));
        }
        let build = || (self.build)(simulator.url(), simulator.credential(), &rig.options);
        let mut verdict = Verdict::default();
        let (mut cut, settle) = (clock.now(), (self.settle)(&scenario));
        for (number, step) in self.steps.iter().chain([&settle, &TimeDelta::zero()]).enumerate() {
            clocks.before_run(&clock, number < self.steps.len());
            loop {
                let saboteur = if kills > 0 && dice.random_bool(0.5) {
                    Saboteur::at(dice.random_range(0..40), dice.random())
                } else {
                    Saboteur::idle()
                };
                match rig.run(build(), &saboteur).await {
                    Ok(_) => break,
                    // Delivered, and not marked.
                    Err(RunError::GivenUp(_)) if number < self.steps.len() && clocks.are_wrong() => break,
                    Err(_) if saboteur.struck() => {
                        kills -= 1;
                        verdict.crashes += 1;
                    }
                    Err(error) => panic!("the run failed by itself: {error}"),
                }
            }
            if number == self.steps.len() {
                cut = clock.now();
            }
            clock.advance(*step);
        }
        verdict.undatable = clocks.are_wrong();
        self.compare(&Run { rig: &rig, simulator: &simulator, scenario, cut }, &mut verdict);
        verdict
    }

    /// Compares what has been delivered with what there was by `cut`, of a run that the caller has directed. What is dated by clocks
    /// may have been told wrongly.
    pub fn books(&self, rig: &Rig, simulator: &Simulator, scenario: Scenario, cut: Timestamp) -> Verdict {
        let crashes = rig.graces.load(Ordering::SeqCst);
        let mut verdict = Verdict { undatable: true, crashes, ..Verdict::default() };
        self.compare(&Run { rig, simulator, scenario, cut }, &mut verdict);
        if crashes > 0 {
            // The last one may have dropped what nobody reads again before the books are compared.
            verdict.own_dropped_seen.0 = verdict.own_dropped_seen.0.min(verdict.own_dropped);
        }
        verdict
    }

    fn compare(&self, run: &Run<'_>, verdict: &mut Verdict) {
        let mut arrived = run.rig.recorder.arrived();
        let truths = run.simulator.ledger().events();
        let mut dropped = run.rig.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.provider.has_ids() {
            let ids = ids_by_content(&truths, &arrived, &dropped);
            arrived = arrived.into_iter().map(|(id, copies)| (ids[&id].clone(), copies)).collect();
            dropped = dropped.into_iter().map(|(id, raw)| (ids[&id].clone(), raw)).collect();
        }
        let mut letters: HashMap<String, Kept> =
            run.rig.letters.kept().into_iter().map(|kept| (kept.sha256.clone(), kept)).collect();
        for truth in &truths {
            let copies = arrived.get(&truth.id).map_or(&[][..], Vec::as_slice);
            if copies.iter().any(|copy| !truth.is(&copy.raw)) {
                verdict.invented.push(truth.id.clone());
            }
            let named = || format!("{} of {}, shown {}: {:?}", truth.id, truth.time, truth.visible_at, truth.kind);
            let count = |arrival| copies.iter().filter(|copy| copy.arrival == arrival).count();
            verdict.duplicates += count(Arrival::Again);
            verdict.repeated.extend((count(Arrival::Repeated) > 0).then(named));
            self.compare_remarks(truth, copies, verdict);

            let promised = truth.visible_at <= run.cut && truth.expires_at > run.rig.clock.now();
            let last = truth.form_at(run.cut).filter(|_| self.content_counts);
            // A later form, which nobody had to find yet, will do as well.
            let later =
                |raw: &[u8]| truth.forms.iter().zip(&truth.shown_from).any(|(f, from)| f == raw && *from > run.cut);
            let current = |copy: &Arrived| last.is_none_or(|last| copy.raw == last || later(&copy.raw));
            let (found, gone) = (copies.iter().any(current), dropped.contains_key(&truth.id));
            if self.sets_aside(truth) {
                let digests = truth.forms.iter().map(|form| sha256(form));
                let aside = digests.filter(|digest| letters.remove(digest).is_some()).count() > 0;
                verdict.set_aside += usize::from(aside);
                verdict.invented.extend((!copies.is_empty()).then(named));
                verdict.lost.extend((promised && !aside).then(named));
                continue;
            }
            if truth.kind == Kind::OwnCollector && self.own.is_some() {
                verdict.own += 1;
                verdict.own_delivered.extend(found.then(named));
                verdict.own_dropped_seen.0 += u64::from(gone && !found);
                verdict.own_dropped_seen.1 += u64::from(gone);
                verdict.lost.extend((promised && !found && !gone).then(named));
            } else {
                verdict.own += usize::from(truth.kind == Kind::OwnCollector);
                verdict.stolen.extend(gone.then(named));
                verdict.expected += usize::from(promised);
                verdict.lost.extend((promised && !found).then(named));
            }
        }
        let known: HashSet<&str> = truths.iter().map(|truth| truth.id.as_str()).collect();
        verdict.invented.extend(arrived.keys().filter(|id| !known.contains(id.as_str())).cloned());
        verdict.leaked = run.simulator.ledger().trapped().len();
        verdict.dead_lettered = letters.into_values().map(|kept| format!("{}: {}", kept.id, kept.reason)).collect();
        let streams = run.rig.ledger.streams().expect("the ledger's streams");
        verdict.own_dropped = streams.iter().map(|(_, record, _)| record.tally.dropped_total()).sum();
        let skew = TimeDelta::seconds(i64::from(run.scenario.clock_doubt_s()));
        if self.own.is_some_and(|own| skew > own.tolerance) {
            verdict.own_excused = verdict.crashes;
            if !run.scenario.date_header {
                verdict.own_untold = std::mem::take(&mut verdict.own_delivered).len();
            }
        }
        take_census(run, self.usual_delay, &truths, &arrived, verdict);
    }

    /// Whether an event is to become a dead letter: it is no JSON, or too long and not delivered shortened.
    fn sets_aside(&self, truth: &Truth) -> bool {
        match truth.poison {
            Some(Poison::Escape) => true,
            Some(Poison::Long) => self.provider != Provider::Api7,
            _ => false,
        }
    }

    /// A remark belongs on whoever pretends to be us, and on nobody else.
    fn compare_remarks(&self, truth: &Truth, copies: &[Arrived], verdict: &mut Verdict) {
        let named = || format!("{} {:?}", truth.id, truth.kind);
        let remarked = |copy: &Arrived| copy.suspicious;
        match truth.kind {
            Kind::Spoofed if self.own.is_some() => {
                verdict.unremarked.extend((!copies.iter().all(remarked)).then(named));
            }
            Kind::OwnCollector if self.own.is_some() => {}
            _ => verdict.slandered.extend(copies.iter().any(remarked).then(named)),
        }
    }
}

/// The truths that ids of headwater's own making stand for, where the provider has none: each id for one truth that was
/// shown with these bytes. What is left over was invented, and keeps its id.
fn ids_by_content(
    truths: &[Truth],
    arrived: &HashMap<String, Vec<Arrived>>,
    dropped: &HashMap<String, Vec<u8>>,
) -> HashMap<String, String> {
    let mut shown: HashMap<&[u8], VecDeque<usize>> = HashMap::new();
    for (number, truth) in truths.iter().enumerate() {
        let forms: HashSet<&[u8]> = truth.forms.iter().map(Vec::as_slice).collect();
        for form in forms {
            shown.entry(form).or_default().push_back(number);
        }
    }
    let firsts = arrived.iter().filter_map(|(id, copies)| Some((id, copies.first()?.raw.as_slice())));
    let dropped = dropped.iter().filter(|(id, _)| !arrived.contains_key(*id)).map(|(id, raw)| (id, raw.as_slice()));
    let mut taken = HashSet::new();
    let mut ids = HashMap::new();
    for (id, raw) in firsts.chain(dropped) {
        let free = shown.get_mut(raw).and_then(|equals| {
            loop {
                let number = equals.pop_front()?;
                if taken.insert(number) {
                    break truths.get(number);
                }
            }
        });
        ids.insert(id.clone(), free.map_or_else(|| format!("invented {id}"), |truth| truth.id.clone()));
    }
    ids
}

/// Notes what the run was put through.
fn take_census(
    run: &Run<'_>,
    usual_delay: TimeDelta,
    truths: &[Truth],
    arrived: &HashMap<String, Vec<Arrived>>,
    verdict: &mut Verdict,
) {
    let Run { scenario, cut, .. } = run;
    let shown = |truth: &&Truth| truth.visible_at <= *cut;
    let some = |kind| truths.iter().filter(shown).any(|truth| truth.kind == kind);
    // Half an hour more than the provider's usual delay.
    let hours = usual_delay + TimeDelta::minutes(30);
    let occurred = [
        ("marked late", arrived.values().flatten().any(|copy| copy.late)),
        ("hours late", truths.iter().filter(shown).any(|truth| truth.visible_at - truth.time > hours)),
        ("drift", scenario.drift.is_some()),
        ("faults", !scenario.faults.is_empty()),
        ("errors in pages", scenario.faults.iter().any(|rule| matches!(rule.fault, Fault::Complaint { .. }))),
        ("kills", verdict.crashes > 0),
        ("duplicates after kills", verdict.duplicates > 0),
        ("own queries", some(Kind::OwnCollector)),
        ("spoofed", some(Kind::Spoofed)),
        ("replayed", some(Kind::Spoofed) && scenario.others.replay_every_s.is_some()),
        ("other collector", some(Kind::SecondCollector)),
        ("human", some(Kind::Human)),
        ("clock skew", scenario.clock_skew_s != 0),
        ("wrong clocks", verdict.undatable),
        ("no Date", !scenario.date_header),
        ("poison", truths.iter().filter(shown).any(|truth| truth.poison.is_some())),
        ("poison set aside", verdict.set_aside > 0),
        ("odd times", scenario.odd_times_per_mille > 0),
        (CHANGED, arrived.values().any(|copies| copies.iter().any(|copy| copy.raw != copies[0].raw))),
    ];
    verdict.census.extend(occurred.into_iter().filter(|(_, occurred)| *occurred).map(|(trouble, _)| (trouble, 1)));
}
