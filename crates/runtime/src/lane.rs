//! The ordered path of one stream's batches: transforms, sinks, acknowledgement, ledger.
//!
//! A thread and two tasks hand over to each other: batches are transformed, sent to the sinks, and settled
//! ([`crate::settle`]), always in order. One thread per stream is more than any of the providers can keep busy, and it finds
//! its memory warm: spread over several, the same work costs a third more.

use crate::{
    dead_letter::{DeadLetter, DeadLetters},
    failure::Failure,
    hurry::Hurry,
    rejections::Rejections,
    settle::{Undecided, settle},
    sink_driver::Job,
    status::Line,
    topology::{Account, Routed, Wiring},
    trial::Trial,
};
use headwater_contracts::{Clock, Event, Identity, Tally, Timestamp};
use headwater_ledger::{Commits, Filed, StreamKey};
use serde_json::Value;
use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

/// Batches of one stream between reading and acknowledgement. With [`crate::driver::BATCH_EVENTS`] this bounds memory.
const IN_FLIGHT: usize = 4;

/// Something to settle.
#[derive(Default)]
pub(crate) struct Work {
    /// New events, `index` 0 and up.
    pub(crate) events: Vec<Event>,
    /// Elements that were no records; their events' indexes follow those of `events`.
    pub(crate) unreadable: Vec<DeadLetter>,
    /// Own requests whose echo is among the events.
    pub(crate) consumed: Vec<String>,
    /// The plugin's state once everything up to here is settled.
    pub(crate) state: Option<Value>,
    /// Identities of events older than this may be forgotten. With every commit, so that forgetting keeps up.
    pub(crate) forget_before: Option<Timestamp>,
    /// `read`, `suppressed` and `late`; the rest is filled in as events settle.
    pub(crate) tally: Tally,
    /// Nothing may follow for a while: commit everything up to here.
    pub(crate) commit: bool,
    /// Told the lane's number of settled events once everything up to here is committed.
    pub(crate) done: Option<oneshot::Sender<u64>>,
}

/// Identities between reading and commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<Identity>>>);

impl InFlight {
    /// Adds an identity; `false` if it is on its way already.
    pub(crate) fn insert(&self, identity: Identity) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(identity)
    }

    /// Whether the identity is on its way.
    pub(crate) fn contains(&self, identity: &Identity) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(identity)
    }

    pub(crate) fn remove<'a>(&self, identities: impl IntoIterator<Item = &'a Identity>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for identity in identities {
            all.remove(identity);
        }
    }
}

/// What all lanes share, and whose lane it is.
#[derive(Clone)]
pub(crate) struct LaneContext {
    pub(crate) source: String,
    pub(crate) key: StreamKey,
    pub(crate) wiring: Arc<Wiring>,
    pub(crate) sinks: Vec<mpsc::Sender<Job>>,
    pub(crate) letters: Arc<Mutex<Option<Box<dyn DeadLetters>>>>,
    /// Where they are, in words.
    pub(crate) letters_place: Arc<str>,
    pub(crate) rejections: Rejections,
    pub(crate) trial: Trial,
    /// Whether steps may wait for the end of the trial. Not where others beside the ledger keep what has been read.
    pub(crate) holds: bool,
    /// What waits when the lane ends.
    pub(crate) undecided: mpsc::UnboundedSender<Undecided>,
    /// Open as long as any lane may still write.
    pub(crate) _alive: mpsc::Sender<std::convert::Infallible>,
    /// Where its steps are kept.
    pub(crate) commits: Arc<dyn Commits>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) in_flight: InFlight,
    pub(crate) line: Line,
    pub(crate) failure: Failure,
    pub(crate) hurry: Hurry,
    /// Fail the run after so many attempts of the ledger in vain; `None`: never.
    pub(crate) give_up_after: Option<u32>,
}

/// The driver's end of a lane.
pub(crate) struct Lane {
    work: mpsc::Sender<(Work, OwnedSemaphorePermit)>,
    permits: Arc<Semaphore>,
    hurry: Hurry,
    tasks: Vec<JoinHandle<()>>,
}

/// The lane has ended because the run failed.
#[derive(Debug)]
pub(crate) struct Closed;

/// What the stages hand on: what is left of the work, and its permit.
pub(crate) struct Rest {
    pub(crate) filed: Vec<Filed>,
    pub(crate) consumed: Vec<String>,
    pub(crate) state: Option<Value>,
    pub(crate) forget_before: Option<Timestamp>,
    pub(crate) tally: Tally,
    pub(crate) commit: bool,
    pub(crate) done: Option<oneshot::Sender<u64>>,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What a sink was given of a batch.
pub(crate) struct Given {
    /// The sink's index.
    pub(crate) sink: usize,
    /// How many events.
    pub(crate) events: u64,
    /// The events it refused, and why.
    pub(crate) answer: oneshot::Receiver<Vec<(Event, String)>>,
}

/// A batch on its way to the sinks.
pub(crate) struct Dispatched {
    pub(crate) accounts: Vec<Account>,
    pub(crate) letters: Vec<DeadLetter>,
    /// By stage, how many events it has been given.
    pub(crate) given: Vec<u64>,
    pub(crate) acks: Vec<Given>,
    pub(crate) rest: Rest,
}

impl Lane {
    /// Starts a lane's tasks.
    pub(crate) fn start(context: LaneContext) -> Self {
        let (work, works) = mpsc::channel(IN_FLIGHT);
        let (to_dispatch, dispatches) = mpsc::channel(IN_FLIGHT);
        let (to_settle, settles) = mpsc::channel(IN_FLIGHT);
        let hurry = context.hurry.clone();
        let transforming = context.clone();
        let name = format!("{} transforms", context.source);
        let spawned = thread::Builder::new().name(name).spawn(move || transform(&transforming, works, &to_dispatch));
        if let Err(error) = spawned {
            context.failure.set(format!("cannot start a thread for the transforms of `{}`: {error}", context.source));
        }
        let tasks = vec![
            tokio::spawn(dispatch(context.clone(), dispatches, to_settle)),
            tokio::spawn(settle(context, settles)),
        ];
        Self { work, permits: Arc::new(Semaphore::new(IN_FLIGHT)), hurry, tasks }
    }

    /// Hands over work; waits while the lane is full. That wait is all the backpressure there is.
    pub(crate) async fn push(&self, work: Work) -> Result<(), Closed> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = self.hurry.raise();
                self.permits.clone().acquire_owned().await.map_err(|_| Closed)?
            }
        };
        self.work.send((work, permit)).await.map_err(|_| Closed)
    }

    /// Waits until everything handed over is committed. Returns the number of events this lane has settled so far.
    pub(crate) async fn drain(&self) -> Result<u64, Closed> {
        let _waiting = self.hurry.raise();
        let (done, settled) = oneshot::channel();
        self.push(Work { done: Some(done), ..Work::default() }).await?;
        settled.await.map_err(|_| Closed)
    }

    /// Lets the lane finish what it has.
    pub(crate) async fn close(self) {
        drop(self.work);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Runs until there are no more batches, or nobody takes them.
fn transform(
    context: &LaneContext,
    mut works: mpsc::Receiver<(Work, OwnedSemaphorePermit)>,
    next: &mpsc::Sender<(Routed, Rest)>,
) {
    while let Some((work, permit)) = works.blocking_recv() {
        let Work { events, unreadable, consumed, state, forget_before, tally, commit, done } = work;
        let filed = events.iter().chain(unreadable.iter().map(|letter| &letter.event)).map(filed).collect();
        let rest = Rest { filed, consumed, state, forget_before, tally, commit, done, permit };
        let run = || context.wiring.run(&context.source, &context.trial, events, unreadable, rest.filed.len());
        let Ok(routed) = catch_unwind(AssertUnwindSafe(run)) else {
            return context.failure.set(format!("a transform of `{}` crashed; the log says where", context.source));
        };
        if next.blocking_send((routed, rest)).is_err() {
            return;
        }
    }
}

async fn dispatch(context: LaneContext, mut works: mpsc::Receiver<(Routed, Rest)>, next: mpsc::Sender<Dispatched>) {
    while let Some((mut routed, rest)) = works.recv().await {
        if let Some(reason) = routed.fatal {
            return context.failure.set(reason);
        }
        let mut acks = Vec::new();
        for (index, (events, sink)) in std::mem::take(&mut routed.sinks).into_iter().zip(&context.sinks).enumerate() {
            if !events.is_empty() {
                let (ack, answer) = oneshot::channel();
                let given = Given { sink: index, events: events.len() as u64, answer };
                if sink.send(Job { events, ack }).await.is_err() {
                    return;
                }
                acks.push(given);
            }
        }
        let Routed { accounts, letters, given, .. } = routed;
        let dispatched = Dispatched { accounts, letters, given, acks, rest };
        if next.send(dispatched).await.is_err() {
            return;
        }
    }
}

/// Where an event is filed in the ledger.
pub(crate) fn filed(event: &Event) -> Filed {
    filed_under(event.identity, event.time)
}

/// Where else an event may be filed that has this time here, or none and this time in its place: a page that is not asked for its
/// time shows it as a stray, which has none.
pub(crate) fn filed_elsewhere(identity: Identity, time: Option<Timestamp>, stray: Option<Timestamp>) -> Filed {
    filed_under(identity, if time.is_some() { None } else { stray })
}

/// Where an event of this identity and time is filed.
pub(crate) fn filed_under(identity: Identity, time: Option<Timestamp>) -> Filed {
    Filed { time: time.map_or(0, |time| time.timestamp_millis()), identity }
}
