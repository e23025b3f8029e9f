//! What a simulated provider holds and how it behaves: plain data, so that a failing test can print it and a file can
//! keep it.

use crate::faults::{Fault, FaultRule, When};
use crate::{
    anypoint::AnypointOptions, api7::Api7Options, mural::MuralOptions, pactflow::PactFlowOptions,
    solace_cloud::SolaceCloudOptions,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The audit APIs that can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Provider {
    /// PactFlow, `GET /audit`.
    #[serde(rename = "pactflow")]
    PactFlow,
    /// Mural, `GET /enterprise/v1/audit-log`.
    Mural,
    /// Solace Cloud, `GET /api/v2/audit/logs`.
    SolaceCloud,
    /// API7 Enterprise, `GET /api/audit_logs`.
    Api7,
    /// Anypoint Platform, `POST /audit/v2/organizations/{org}/query`.
    Anypoint,
}

impl Provider {
    /// Every provider.
    pub const ALL: &'static [Self] = &[Self::PactFlow, Self::Mural, Self::SolaceCloud, Self::Api7, Self::Anypoint];

    /// Its `type:` in a pipeline.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PactFlow => "pactflow",
            Self::Mural => "mural",
            Self::SolaceCloud => "solace_cloud",
            Self::Api7 => "api7",
            Self::Anypoint => "anypoint",
        }
    }

    /// Whether its records bear ids. Without them the ids of [`crate::Truth`] are the simulator's own: what arrived is
    /// told by its content.
    pub fn has_ids(self) -> bool {
        self != Self::Anypoint
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = String;

    /// Reads a `type:`; the error names those there are.
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|provider| provider.as_str() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|provider| provider.as_str()).collect();
            format!("there is no simulator for `{name}` (there is: {})", known.join(", "))
        })
    }
}

/// An event that happened before the simulator started and appears after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateEvent {
    /// How long before the start it happened, in seconds.
    pub age_s: u32,
    /// How long after the start it becomes visible, in seconds.
    pub appears_after_s: u32,
}

/// Events that appear because somebody reads: what lies before and after a page changes between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Events that appear with each request to the audit log.
    pub events_per_request: u32,
    /// The youngest such an event can be, in seconds.
    pub min_age_s: u32,
    /// The oldest it can be, in seconds: those lie before what has been served.
    pub max_age_s: u32,
    /// After this many requests the log is calm.
    pub requests: u32,
}

/// The server's clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockStep {
    /// When, in seconds after the start by the injected clock.
    pub after_s: u32,
    /// By how much; back if negative.
    pub by_s: i32,
}

/// Nodes of the provider whose clocks are wrong: the log does not know of it, some answers' `Date` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddDate {
    /// From when on, in seconds after the start, by the server's clock.
    pub after_s: u32,
    /// For how long.
    pub for_s: u32,
    /// Of 1000 answers, those of such a node.
    pub per_mille: u16,
    /// How far its clock is ahead; behind if negative.
    pub by_s: i32,
}

/// Who else reads the audit log, and so writes into it. Seconds between two readings; `None` is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtherReaders {
    /// Another collector with our user (PactFlow), another token of our user (API7), another key (Mural) or another user (Solace
    /// Cloud).
    pub second_collector_every_s: Option<u32>,
    /// The second collector also reads once after each request of ours: two collectors that feed each other (PactFlow).
    pub second_collector_echoes: bool,
    /// An administrator with a browser.
    pub human_every_s: Option<u32>,
    /// Somebody with our user and a `User-Agent` that begins like ours (PactFlow; API7: with our token), with our key from
    /// another address (Mural), or with our user from another address (Solace Cloud).
    pub spoofed_every_s: Option<u32>,
    /// A thief who repeats one of our requests exactly, `User-Agent` and all, at least `replay_min_age_s` later.
    pub replay_every_s: Option<u32>,
    /// How old a request of ours must be before it is repeated, in seconds.
    pub replay_min_age_s: u32,
}

/// A simulated provider's past, future and manners. `Scenario::default()` is a calm one without faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Decides every random choice.
    pub seed: u64,
    /// How far the history reaches back from the start, in days.
    pub history_days: u32,
    /// Events in the history, evenly spread.
    pub history_events: u32,
    /// Events per hour that happen while the clock moves on.
    pub live_per_hour: u32,
    /// Of 1000 events, those that share the instant of the one before.
    pub ties_per_mille: u16,
    /// Of 1000 events, those of an odd shape: null and missing members, unknown fields, unknown types.
    pub odd_per_mille: u16,
    /// Of 1000 events, those that are hard to read: [`crate::Poison`].
    pub poison_per_mille: u16,
    /// Of 1000 events, those that show another time than the one they are listed and asked for by.
    pub odd_times_per_mille: u16,
    /// Of 1000 events, those that become visible late, by up to `late_max_s`.
    pub late_per_mille: u16,
    /// Upper bound of that lateness, in seconds, in addition to the provider's usual delay.
    pub late_max_s: u32,
    /// Single late events.
    pub late: Vec<LateEvent>,
    /// What changes with each request.
    pub drift: Option<Drift>,
    /// Who else reads.
    pub others: OtherReaders,
    /// What goes wrong. The first rule that applies to a request decides.
    pub faults: Vec<FaultRule>,
    /// Compress answers for clients that accept gzip.
    pub gzip: bool,
    /// How far the server's clock is ahead of the injected one, in seconds. The server lives by its own clock: events,
    /// delays, quotas and `Date`.
    pub clock_skew_s: i32,
    /// When the server's clock is set, forward or back.
    pub clock_steps: Vec<ClockStep>,
    /// Answers whose `Date` is wrong.
    pub odd_dates: Vec<OddDate>,
    /// Whether answers carry a `Date`.
    pub date_header: bool,
    /// Serve HTTPS, with a certificate of its own making: [`crate::Simulator::certificate`].
    pub tls: bool,
    /// Behaviour of PactFlow.
    pub pactflow: PactFlowOptions,
    /// Behaviour of Mural.
    pub mural: MuralOptions,
    /// Behaviour of Solace Cloud.
    pub solace_cloud: SolaceCloudOptions,
    /// Behaviour of API7.
    pub api7: Api7Options,
    /// Behaviour of Anypoint.
    pub anypoint: AnypointOptions,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            history_days: 7,
            history_events: 200,
            live_per_hour: 0,
            ties_per_mille: 0,
            odd_per_mille: 0,
            poison_per_mille: 0,
            odd_times_per_mille: 0,
            late_per_mille: 0,
            late_max_s: 0,
            late: Vec::new(),
            drift: None,
            others: OtherReaders::default(),
            faults: Vec::new(),
            gzip: false,
            clock_skew_s: 0,
            clock_steps: Vec::new(),
            odd_dates: Vec::new(),
            date_header: true,
            tls: false,
            pactflow: PactFlowOptions::default(),
            mural: MuralOptions::default(),
            solace_cloud: SolaceCloudOptions::default(),
            api7: Api7Options::default(),
            anypoint: AnypointOptions::default(),
        }
    }
}

impl Scenario {
    /// A calm scenario without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how many events lie in how many days before the start.
    #[must_use]
    pub fn history(mut self, days: u32, events: u32) -> Self {
        self.history_days = days;
        self.history_events = events;
        self
    }

    /// Sets how many events per hour happen while the clock moves on.
    #[must_use]
    pub fn live(mut self, events_per_hour: u32) -> Self {
        self.live_per_hour = events_per_hour;
        self
    }

    /// Adds an event that happened `age_s` before the start and appears `appears_after_s` after it.
    #[must_use]
    pub fn late(mut self, age_s: u32, appears_after_s: u32) -> Self {
        self.late.push(LateEvent { age_s, appears_after_s });
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, when: When, fault: Fault) -> Self {
        self.faults.push(FaultRule { when, fault });
        self
    }

    /// Changes how PactFlow behaves.
    #[must_use]
    pub fn pactflow(mut self, change: impl FnOnce(&mut PactFlowOptions)) -> Self {
        change(&mut self.pactflow);
        self
    }

    /// Changes how API7 behaves.
    #[must_use]
    pub fn api7(mut self, change: impl FnOnce(&mut Api7Options)) -> Self {
        change(&mut self.api7);
        self
    }

    /// How far the server's clock can be from what a client takes it for before an answer has shown it, in seconds.
    pub fn clock_doubt_s(&self) -> u32 {
        let steps = self.clock_steps.iter().map(|step| step.by_s);
        steps.chain([self.clock_skew_s]).map(i32::unsigned_abs).max().unwrap_or_default()
    }

    /// Changes how Anypoint behaves.
    #[must_use]
    pub fn anypoint(mut self, change: impl FnOnce(&mut AnypointOptions)) -> Self {
        change(&mut self.anypoint);
        self
    }

    /// Changes how Mural behaves.
    #[must_use]
    pub fn mural(mut self, change: impl FnOnce(&mut MuralOptions)) -> Self {
        change(&mut self.mural);
        self
    }

    /// Changes how Solace Cloud behaves.
    #[must_use]
    pub fn solace_cloud(mut self, change: impl FnOnce(&mut SolaceCloudOptions)) -> Self {
        change(&mut self.solace_cloud);
        self
    }
}
