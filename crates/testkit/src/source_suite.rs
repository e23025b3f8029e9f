//! The contract that every source keeps against its simulator: nothing lost, nothing invented, nothing twice on purpose,
//! own queries dropped and nobody else's.

use crate::{
    clock::TestClock,
    rig::{Build, Rig},
    saboteur::Saboteur,
};
use chrono::TimeDelta;
use headwater_contracts::{Clock, Timestamp};
use headwater_simulator::{Kind, Provider, Scenario, Simulator};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{fmt, sync::Arc};

/// What came of a seeded run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Events that had to be delivered or dropped.
    pub expected: usize,
    /// Ids of events that should have been delivered and were not.
    pub lost: Vec<String>,
    /// Ids that were delivered and never existed, or with other bytes.
    pub invented: Vec<String>,
    /// Copies beyond the first.
    pub duplicates: usize,
    /// Ids of own queries that were delivered although they should be dropped. A kill between a request and the answer
    /// that shows the server's clock explains one: what cannot be told for sure is delivered, never dropped.
    pub own_delivered: Vec<String>,
    /// Own queries dropped by the rule, and counted.
    pub own_dropped: u64,
    /// Own queries there were.
    pub own: usize,
    /// How often the incarnation was killed.
    pub crashes: usize,
    /// Requests on the wrong origin, each of which may have leaked the credential.
    pub leaked: usize,
    /// Dead letters.
    pub dead_lettered: usize,
}

impl Verdict {
    /// Whether every promise was kept. Duplicates are kept promises only where a crash explains them.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty()
            && self.invented.is_empty()
            && self.own_delivered.len() <= self.crashes
            && self.leaked == 0
            && self.dead_lettered == 0
            && (self.duplicates == 0 || self.crashes > 0)
    }

    /// Adds another run's figures.
    pub fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.lost.extend(other.lost);
        self.invented.extend(other.invented);
        self.duplicates += other.duplicates;
        self.own_delivered.extend(other.own_delivered);
        self.own_dropped += other.own_dropped;
        self.own += other.own;
        self.crashes += other.crashes;
        self.leaked += other.leaked;
        self.dead_lettered += other.dead_lettered;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} expected, {} lost, {} invented, {} duplicates, {} kills; own queries: {} made, {} dropped, {} delivered; {} leaks, {} dead letters",
            self.expected,
            self.lost.len(),
            self.invented.len(),
            self.duplicates,
            self.crashes,
            self.own,
            self.own_dropped,
            self.own_delivered.len(),
            self.leaked,
            self.dead_lettered
        )
    }
}

/// How a source is put to the test.
pub struct Case<'a> {
    /// Its simulator.
    pub provider: Provider,
    /// How to build it.
    pub build: &'a Build,
    /// Whether its own queries can be told exactly, so that they must be dropped.
    pub drops_own: bool,
    /// The steps in which time passes, one poll after each, as polls at work would.
    pub steps: Vec<TimeDelta>,
    /// How late, at most, an event is promised to be found: time passes for so long before the books are compared.
    pub settle: TimeDelta,
}

impl Case<'_> {
    /// Runs the scenario of `seed`, with kills if the seed says so.
    pub async fn seeded(&self, seed: u64) -> Verdict {
        let mut dice = StdRng::seed_from_u64(seed ^ 0x5eed);
        let kills = if dice.random_bool(0.5) { dice.random_range(1..12) } else { 0 };
        self.run(Scenario::seeded(self.provider, seed), kills, &mut dice).await
    }

    /// Runs a scenario, killing the incarnation `kills` times at random effects.
    pub async fn run(&self, scenario: Scenario, mut kills: usize, dice: &mut StdRng) -> Verdict {
        let start = Timestamp::from_timestamp(1_717_200_000 + dice.random_range(0..86_400), 0).unwrap_or_default();
        let clock = TestClock::at(start);
        let simulator = Simulator::start(self.provider, scenario, Arc::new(clock.clone())).expect("simulator");
        let rig = Rig::new(clock.clone());
        let build = || (self.build)(simulator.url(), simulator.credential(), &rig.options);
        let mut verdict = Verdict::default();
        let mut cut = clock.now();
        for (number, step) in self.steps.iter().chain([&self.settle, &TimeDelta::zero()]).enumerate() {
            loop {
                let saboteur = if kills > 0 && dice.random_bool(0.5) {
                    Saboteur::at(dice.random_range(0..40), dice.random())
                } else {
                    Saboteur::idle()
                };
                match rig.run(build(), &saboteur).await {
                    Ok(_) => break,
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
        self.compare(&rig, &simulator, cut, &mut verdict);
        verdict
    }

    fn compare(&self, rig: &Rig, simulator: &Simulator, cut: Timestamp, verdict: &mut Verdict) {
        let arrived = rig.recorder.arrived();
        let truths = simulator.ledger().events();
        for truth in &truths {
            let own = truth.kind == Kind::OwnCollector;
            let copies = arrived.get(&truth.id).map_or(&[][..], Vec::as_slice);
            verdict.own += usize::from(own);
            verdict.duplicates += copies.len().saturating_sub(1);
            if copies.iter().any(|copy| !truth.is(&copy.raw)) {
                verdict.invented.push(truth.id.clone());
            }
            if own && self.drops_own {
                verdict.own_delivered.extend((!copies.is_empty()).then(|| truth.id.clone()));
            } else if truth.visible_at <= cut && truth.expires_at > rig.clock.now() {
                verdict.expected += 1;
                verdict.lost.extend(copies.is_empty().then(|| format!("{} {:?}", truth.id, truth.kind)));
            }
        }
        let known: std::collections::HashSet<&str> = truths.iter().map(|truth| truth.id.as_str()).collect();
        verdict.invented.extend(arrived.keys().filter(|id| !known.contains(id.as_str())).cloned());
        verdict.leaked = simulator.ledger().trapped().len();
        verdict.dead_lettered = rig.letters.kept().len();
        let streams = headwater_ledger::Ledger::streams(rig.ledger.as_ref()).unwrap_or_default();
        verdict.own_dropped = streams.iter().map(|(_, record, _)| record.tally.dropped_total()).sum();
    }
}
