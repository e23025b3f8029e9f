//! The ordered path of one stream's batches: transforms, sinks, acknowledgement, ledger.
//!
//! Three tasks hand over to each other. Transforms of several batches run at once on the blocking pool; their results
//! are taken in order, sent to the sinks in order, and committed in order. Batches that were acknowledged while the
//! ledger was busy are committed together.

use crate::{
    dead_letter::{DeadLetter, DeadLetters},
    failure::Failure,
    hurry::Hurry,
    sink_driver::Job,
    status::Line,
    topology::{Account, Routed, Wiring, as_event},
};
use headwater_contracts::{Clock, Event, Identity, Tally, Timestamp};
use headwater_ledger::{Commit, Filed, Ledger, LedgerError, StreamKey};
use serde_json::Value;
use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

/// Batches of one stream between reading and commit. With [`crate::driver::BATCH_EVENTS`] this bounds memory.
const IN_FLIGHT: usize = 3;

/// How long to wait before asking a full disk again.
pub(crate) const FULL_DISK_WAIT: Duration = Duration::from_secs(5);

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
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) in_flight: InFlight,
    pub(crate) line: Line,
    pub(crate) failure: Failure,
    pub(crate) hurry: Hurry,
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
struct Rest {
    filed: Vec<Filed>,
    consumed: Vec<String>,
    state: Option<Value>,
    forget_before: Option<Timestamp>,
    tally: Tally,
    done: Option<oneshot::Sender<u64>>,
    permit: OwnedSemaphorePermit,
}

/// By index of the sink, its answer: the events it refused, and why.
type Acks = Vec<(usize, oneshot::Receiver<Vec<(Event, String)>>)>;

impl Lane {
    /// Starts a lane's tasks.
    pub(crate) fn start(context: LaneContext) -> Self {
        let (work, works) = mpsc::channel(IN_FLIGHT);
        let (to_dispatch, dispatches) = mpsc::channel(IN_FLIGHT);
        let (to_commit, commits) = mpsc::channel(IN_FLIGHT);
        let hurry = context.hurry.clone();
        let tasks = vec![
            tokio::spawn(transform(context.clone(), works, to_dispatch)),
            tokio::spawn(dispatch(context.clone(), dispatches, to_commit)),
            tokio::spawn(commit(context, commits)),
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

async fn transform(
    context: LaneContext,
    mut works: mpsc::Receiver<(Work, OwnedSemaphorePermit)>,
    next: mpsc::Sender<(JoinHandle<Routed>, Rest)>,
) {
    while let Some((work, permit)) = works.recv().await {
        let Work { events, unreadable, consumed, state, forget_before, tally, done } = work;
        let filed = events.iter().chain(unreadable.iter().map(|letter| &letter.event)).map(filed).collect();
        let rest = Rest { filed, consumed, state, forget_before, tally, done, permit };
        let (wiring, source, size) = (context.wiring.clone(), context.source.clone(), rest.filed.len());
        let routed = tokio::task::spawn_blocking(move || wiring.run(&source, events, unreadable, size));
        if next.send((routed, rest)).await.is_err() {
            return;
        }
    }
}

async fn dispatch(
    context: LaneContext,
    mut works: mpsc::Receiver<(JoinHandle<Routed>, Rest)>,
    next: mpsc::Sender<(Vec<Account>, Vec<DeadLetter>, Acks, Rest)>,
) {
    while let Some((routed, rest)) = works.recv().await {
        let routed = match routed.await {
            Ok(routed) => routed,
            Err(panic) => return context.failure.set(format!("a transform of `{}` crashed: {panic}", context.source)),
        };
        if let Some(reason) = routed.fatal {
            return context.failure.set(reason);
        }
        let mut acks = Vec::new();
        for (index, (events, sink)) in routed.sinks.into_iter().zip(&context.sinks).enumerate() {
            if !events.is_empty() {
                let (ack, answer) = oneshot::channel();
                if sink.send(Job { events, ack }).await.is_err() {
                    return;
                }
                acks.push((index, answer));
            }
        }
        if next.send((routed.accounts, routed.letters, acks, rest)).await.is_err() {
            return;
        }
    }
}

async fn commit(context: LaneContext, mut works: mpsc::Receiver<(Vec<Account>, Vec<DeadLetter>, Acks, Rest)>) {
    let mut settled = 0;
    let mut received = Vec::with_capacity(IN_FLIGHT);
    while works.recv_many(&mut received, IN_FLIGHT).await > 0 {
        let mut step = Commit::default();
        let mut letters = Vec::new();
        let mut waiting = Vec::new();
        for (mut accounts, own_letters, acks, rest) in received.drain(..) {
            letters.extend(own_letters);
            for (sink, ack) in acks {
                // An unanswered job means that the run has failed; what it held is read again next time.
                let Ok(rejected) = ack.await else { return };
                for (event, reason) in rejected {
                    if let Some(account) = accounts.get_mut(event.index as usize) {
                        account.dead = true;
                    }
                    letters.push(DeadLetter { event, component: context.wiring.sink_names[sink].clone(), reason });
                }
            }
            step.tally.add(&rest.tally);
            accounts.iter().filter_map(Account::outcome).for_each(|outcome| step.tally.settle(&outcome));
            step.settled.extend(rest.filed);
            step.consumed.extend(rest.consumed);
            step.state = rest.state.or(step.state);
            step.forget_before = rest.forget_before.or(step.forget_before);
            waiting.push((rest.done, rest.permit));
        }
        settled += step.tally.settled();
        count(&context.key, &step.tally);
        context.line.update(|line| line.tally.add(&step.tally));
        if !keep(&context, letters).await || !write(&context, step).await {
            return;
        }
        for (done, permit) in waiting {
            drop(permit);
            if let Some(done) = done {
                let _ = done.send(settled);
            }
        }
    }
}

/// Keeps dead letters, durably: in their store, waiting out a full disk, or in the sink that takes them. `false` if the
/// run must stop.
async fn keep(context: &LaneContext, letters: Vec<DeadLetter>) -> bool {
    if letters.is_empty() {
        return true;
    }
    let refused = match context.wiring.letters_to {
        Some(sink) => keep_in_sink(context, sink, letters).await,
        None => keep_in_store(context, Arc::new(letters)).await,
    };
    if let Some(reason) = &refused {
        context.failure.set(format!("cannot keep dead letters: {reason}; nothing was committed"));
    }
    refused.is_none()
}

/// Why the sink did not take the letters, if it did not.
async fn keep_in_sink(context: &LaneContext, sink: usize, letters: Vec<DeadLetter>) -> Option<String> {
    let name = &context.wiring.sink_names[sink];
    if let Some(own) = letters.iter().find(|letter| letter.component == *name) {
        return Some(format!("the sink `{name}` that takes them refused one itself: {}", own.reason));
    }
    let (ack, answer) = oneshot::channel();
    let events = letters.into_iter().map(as_event).collect();
    let sent = context.sinks[sink].send(Job { events, ack }).await;
    match answer.await {
        Ok(refused) if sent.is_ok() => {
            refused.first().map(|(_, reason)| format!("the sink `{name}` refused one: {reason}"))
        }
        _ => Some(format!("the sink `{name}` has ended")),
    }
}

/// Why the store did not take the letters, if it did not.
async fn keep_in_store(context: &LaneContext, letters: Arc<Vec<DeadLetter>>) -> Option<String> {
    loop {
        let (store, letters) = (context.letters.clone(), letters.clone());
        let kept = tokio::task::spawn_blocking(move || {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            store.as_mut().map_or(Ok(()), |store| store.append(&letters))
        });
        match kept.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                tracing::error!("no space left for dead letters: {error}; nothing is lost, delivery waits");
                context.clock.sleep(FULL_DISK_WAIT).await;
            }
            Ok(Err(error)) => return Some(error.to_string()),
            Err(panic) => return Some(panic.to_string()),
        }
    }
}

/// Commits a step, waiting out a full disk. `false` if the run must stop.
async fn write(context: &LaneContext, step: Commit) -> bool {
    let step = Arc::new(step);
    loop {
        let (ledger, key, copy) = (context.ledger.clone(), context.key.clone(), step.clone());
        match tokio::task::spawn_blocking(move || ledger.commit(&key, &copy)).await {
            Ok(Ok(())) => break,
            Ok(Err(full @ LedgerError::Full { .. })) => {
                tracing::error!("{full}");
                context.clock.sleep(FULL_DISK_WAIT).await;
            }
            Ok(Err(error)) => {
                context.failure.set(error.to_string());
                return false;
            }
            Err(panic) => {
                context.failure.set(format!("the ledger crashed: {panic}"));
                return false;
            }
        }
    }
    context.in_flight.remove(step.settled.iter().map(|filed| &filed.identity));
    true
}

/// Where an event is filed in the ledger.
pub(crate) fn filed(event: &Event) -> Filed {
    Filed { time: event.time.map_or(0, |time| time.timestamp_millis()), identity: event.identity }
}

fn count(key: &StreamKey, tally: &Tally) {
    let add = |name: &'static str, by: u64| {
        metrics::counter!(name, "source" => key.source.clone(), "stream" => key.stream.clone()).increment(by);
    };
    add("headwater_events_read_total", tally.read);
    add("headwater_events_delivered_total", tally.delivered);
    add("headwater_events_suppressed_total", tally.suppressed);
    add("headwater_events_dead_lettered_total", tally.dead_lettered);
    add("headwater_events_late_total", tally.late);
    for (rule, by) in &tally.dropped {
        let labels = [("source", key.source.clone()), ("stream", key.stream.clone()), ("rule", rule.clone())];
        metrics::counter!("headwater_events_dropped_total", &labels).increment(*by);
    }
}
