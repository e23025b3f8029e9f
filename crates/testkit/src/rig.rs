//! One source against its simulator, through the real runtime over real HTTP, on a clock of the test's.

use crate::{
    clock::TestClock,
    recorder::Recorder,
    saboteur::{SabotagedLedger, Saboteur},
};
use headwater_contracts::{
    BuiltSource, Clock, Emit, Event, Period, Retry, SinkOptions, SourceOptions, StartAt, Transform,
};
use headwater_ledger::{Filed, Ledger};
use headwater_runtime::{
    Board, Clocks, DeadLetter, DeadLetterTarget, DeadLetters, Ending, OnRefusal, RunError, RunOptions, SinkSpec,
    SourceSpec, Summary, Topology, TransformSpec, run,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Builds the source under test for an endpoint and a credential.
pub type Build = dyn Fn(&str, &str, &SourceOptions) -> BuiltSource + Send + Sync;

/// A dead letter that has been kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The event's id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
}

/// Dead letters that have been kept. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Letters(Arc<Mutex<Vec<Kept>>>);

/// SHA-256, hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    headwater_contracts::hex(&Sha256::digest(bytes))
}

impl Letters {
    /// All of them.
    pub fn kept(&self) -> Vec<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl DeadLetters for Letters {
    fn append(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(letters.iter().map(|letter| Kept {
            id: letter.event.id.clone(),
            reason: letter.reason.clone(),
            sha256: match &letter.oversized {
                Some(oversized) => oversized.sha256.clone(),
                None => sha256(&letter.event.raw),
            },
        }));
        Ok(())
    }
}

/// What survives the death of an incarnation: the ledger, the destination, the world's clock.
pub struct Rig {
    /// The clock of headwater and of the simulator.
    pub clock: TestClock,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// What has been delivered.
    pub recorder: Recorder,
    /// The own queries dropped, by id, by whatever incarnation, committed or not.
    pub dropped: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// What has been dead-lettered.
    pub letters: Letters,
    /// Options of the source under test.
    pub options: SourceOptions,
    /// How many incarnations ended by grace: before their commit, like those that are killed.
    pub graces: AtomicUsize,
}

impl Rig {
    /// Nothing delivered yet, at the clock's time, with an empty ledger.
    pub fn new(clock: TestClock, ledger: Arc<dyn Ledger>) -> Self {
        let options = SourceOptions {
            start_at: Some(StartAt::Earliest),
            retry: Some(Retry { initial: Period::seconds(1), max: Period::minutes(5) }),
            ..SourceOptions::default()
        };
        Self {
            clock,
            ledger,
            recorder: Recorder::default(),
            dropped: Arc::default(),
            letters: Letters::default(),
            options,
            graces: AtomicUsize::new(0),
        }
    }

    /// Which of these the ledger holds.
    fn known(&self, filed: &[Filed]) -> Vec<bool> {
        let mut held = vec![false; filed.len()];
        for (key, ..) in self.ledger.streams().expect("the ledger's streams") {
            let known = self.ledger.known(&key, filed).expect("the ledger's answer");
            held.iter_mut().zip(known).for_each(|(held, known)| *held |= known);
        }
        held
    }

    /// Runs one incarnation until the stream is caught up, or the saboteur strikes.
    pub async fn run(&self, built: BuiltSource, saboteur: &Saboteur) -> Result<Summary, RunError> {
        let (_keep, stop) = watch::channel(false);
        self.incarnation(built, saboteur, true, stop).await
    }

    /// Runs one incarnation as at work, until `duration` has passed on the clock.
    pub async fn run_for(&self, built: BuiltSource, duration: chrono::TimeDelta) -> Result<(), RunError> {
        let (sender, stop) = watch::channel(false);
        let clock = self.clock.right();
        clock.keep_pace(duration);
        let end = clock.now() + duration;
        let over = async {
            while clock.now() < end {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            let _ = sender.send(true);
            std::future::pending::<Infallible>().await
        };
        let idle = Saboteur::idle();
        tokio::select! {
            outcome = self.incarnation(built, &idle, false, stop) => match outcome {
                // On this clock, grace is over as soon as somebody waits for its end.
                Err(RunError::Grace) => {
                    self.graces.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            },
            never = over => match never {},
        }
    }

    async fn incarnation(
        &self,
        built: BuiltSource,
        saboteur: &Saboteur,
        once: bool,
        stop: watch::Receiver<bool>,
    ) -> Result<Summary, RunError> {
        let topology = Topology {
            sources: vec![SourceSpec { name: "source".into(), built, options: self.options.clone(), simulated: false }],
            imports: Vec::new(),
            consumers: Vec::new(),
            transforms: vec![TransformSpec {
                name: "drop_own_queries".into(),
                inputs: vec!["source".into()],
                transform: Arc::new(DropOwn(self.dropped.clone())),
                on_refusal: OnRefusal::Stop,
            }],
            sinks: vec![SinkSpec {
                name: "recorder".into(),
                inputs: vec!["drop_own_queries".into()],
                sink: self.recorder.sink(saboteur.clone(), |filed| self.known(filed)),
                options: SinkOptions::default(),
            }],
            dead_letters: DeadLetterTarget::Store(Box::new(self.letters.clone())),
            oversized: None,
        };
        let ledger: Arc<dyn Ledger> =
            Arc::new(SabotagedLedger { inner: self.ledger.clone(), saboteur: saboteur.clone() });
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let options = RunOptions {
            ending: Ending { once, give_up_after: None, at_once: false },
            clocks: Clocks::Mark,
            grace: Duration::from_secs(1),
            stop,
            board: Board::default(),
        };
        let outcome = run(topology, ledger, clock, options).await;
        saboteur.wait_for_silence();
        outcome
    }
}

/// What the shipped rule does, without VRL; remembers what it drops.
struct DropOwn(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Transform for DropOwn {
    fn run(&self, events: Vec<Event>, emit: &mut dyn Emit) {
        for event in events {
            if event.own_query {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(event.id.clone(), event.raw.to_vec());
                emit.drop(&event);
            } else {
                emit.next(0, event);
            }
        }
    }
}
