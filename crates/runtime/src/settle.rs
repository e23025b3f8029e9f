//! The end of a lane: acknowledgements are awaited in order, dead letters kept, and what is settled is committed.
//!
//! A commit costs the same for one event as for hundreds, and most of it is waiting for the disk. So settled batches
//! are gathered: until there are enough, until the reader waits for something, or until somebody
//! waits for the commit. A crash before it repeats the gathered events, and no others.

use crate::{
    dead_letter::DeadLetter,
    lane::{Dispatched, Given, LaneContext},
    sink_driver::{self, Job},
    topology::{Account, as_event},
    trace::Span,
    trial::LONGEST,
};
use headwater_contracts::{Identity, Tally, mask};
use headwater_ledger::{Commit, LedgerError, Refusal, StreamKey};
use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// How long to wait before asking a full disk, or a cluster that does not answer, again.
pub(crate) const FULL_DISK_WAIT: Duration = Duration::from_secs(5);

/// Settles a lane's batches until there are no more, or the run fails. While one step is written, the next is gathered.
pub(crate) async fn settle(context: LaneContext, mut batches: mpsc::Receiver<Dispatched>) {
    let context = Arc::new(context);
    let mut settled = 0;
    let worth = context.commits.commit_events();
    let mut gathered = Step::default();
    let mut refused = Refused::default();
    let mut writing = None;
    while let Some(batch) = batches.recv().await {
        let Some((commit, done)) = acknowledge(&context, batch, &mut gathered, &mut refused).await else { break };
        if commit || done.is_some() || gathered.commit.settled.len() >= worth {
            let step = std::mem::take(&mut gathered);
            settled += step.commit.tally.settled();
            if !written(writing.take()).await {
                return;
            }
            refused.hold(&context);
            let context = context.clone();
            writing = Some(tokio::spawn(async move { write(&context, step).await }));
        }
        if let Some(done) = done {
            if !written(writing.take()).await {
                return;
            }
            let _ = done.send(settled);
        }
    }
    // The run is over or has failed; what was acknowledged is delivered, and must not be delivered again.
    if !written(writing).await {
        return;
    }
    refused.hold(&context);
    if refused.letters.is_empty() {
        write(&context, gathered).await;
    } else {
        let undecided = Undecided { context: context.clone(), letters: refused.letters, gathered };
        let _ = context.undecided.send(undecided);
    }
}

/// What transforms on trial have refused of a lane, and is neither kept nor committed: see [`crate::trial`].
#[derive(Default)]
struct Refused {
    letters: Vec<DeadLetter>,
    since: Duration,
}

impl Refused {
    /// Whether these letters, and those before them, wait for the end of the trial. `delivered`: something of the same step
    /// has left for good.
    fn waits(&self, context: &LaneContext, letters: &[DeadLetter], delivered: bool) -> bool {
        let all = || self.letters.iter().chain(letters);
        let in_time = self.letters.is_empty()
            || context.give_up_after.is_some()
            || context.clock.monotonic().saturating_sub(self.since) < LONGEST;
        context.holds && !delivered && in_time && all().any(|letter| context.trial.is_open_for(&letter.component))
    }

    fn hold(&self, context: &LaneContext) {
        if self.letters.is_empty() {
            context.trial.release(&context.key);
        } else {
            context.trial.hold(&context.key);
        }
    }
}

/// What a lane leaves behind that ends before the trial does.
pub(crate) struct Undecided {
    context: Arc<LaneContext>,
    letters: Vec<DeadLetter>,
    gathered: Step,
}

impl Undecided {
    /// The transforms have passed: what they refused becomes dead letters.
    pub(crate) async fn settle(self) {
        let Self { context, letters, mut gathered } = self;
        if keep(&context, letters, &mut gathered.kept).await {
            context.trial.release(&context.key);
            write(&context, gathered).await;
        }
    }
}

/// Settled batches that are committed together.
#[derive(Default)]
struct Step {
    commit: Commit,
    /// The events in it that are dead letters.
    dead: HashSet<Identity>,
    /// By component, the dead letters of it that have been kept.
    kept: Kept,
}

/// How many dead letters, by component.
type Kept = BTreeMap<String, u64>;

impl Step {
    /// An event that was taken for delivered is none that was.
    fn bury(&mut self, identity: Identity) {
        if self.dead.insert(identity) {
            self.commit.tally.delivered = self.commit.tally.delivered.saturating_sub(1);
            self.commit.tally.dead_lettered += 1;
        }
    }
}

/// Waits for a step that is being written. `false` if the run must stop.
async fn written(writing: Option<JoinHandle<bool>>) -> bool {
    match writing {
        Some(writing) => writing.await.unwrap_or(false),
        None => true,
    }
}

/// Waits for the sinks' answers to a batch and adds it to what is gathered: whether to commit now, and who waits for
/// it. `None` if the run has failed: what the batch held is read again next time.
async fn acknowledge(
    context: &LaneContext,
    batch: Dispatched,
    gathered: &mut Step,
    refused: &mut Refused,
) -> Option<(bool, Option<oneshot::Sender<u64>>)> {
    let Dispatched { mut accounts, mut letters, given, acks, rest } = batch;
    let names = &context.wiring.sink_names;
    let mut all = vec![(context.source.as_str(), rest.filed.len() as u64)];
    all.extend(context.wiring.stage_names().zip(given));
    for Given { sink, events, answer } in acks {
        all.push((&names[sink], events));
        for (event, reason) in answer.await.ok()? {
            if let Some(account) = accounts.get_mut(event.index as usize) {
                account.dead = true;
            }
            letters.push(DeadLetter { event, component: names[sink].clone(), reason, oversized: None });
        }
    }
    context.rejections.note(&all, &letters, &context.letters_place);
    let mut tally = rest.tally;
    accounts.iter().filter_map(Account::outcome).for_each(|outcome| tally.settle(&outcome));
    if refused.waits(context, &letters, gathered.commit.tally.delivered + tally.delivered > 0) {
        if refused.letters.is_empty() {
            refused.since = context.clock.monotonic();
        }
        refused.letters.extend(letters);
    } else {
        letters.splice(..0, std::mem::take(&mut refused.letters));
        context.trial.set_aside(letters.iter().filter(|letter| context.trial.is_open_for(&letter.component)).count());
        if !keep(context, letters, &mut gathered.kept).await {
            return None;
        }
    }
    // The reader may go on: from here on, identities are all that is held.
    drop(rest.permit);
    let dead = accounts.iter().zip(&rest.filed).filter(|(account, _)| account.dead);
    gathered.dead.extend(dead.map(|(_, filed)| filed.identity));
    let gathered = &mut gathered.commit;
    gathered.tally.add(&tally);
    gathered.settled.extend(rest.filed);
    gathered.consumed.extend(rest.consumed);
    gathered.state = rest.state.or(gathered.state.take());
    gathered.forget_before = rest.forget_before.or(gathered.forget_before);
    Some((rest.commit, rest.done))
}

/// Keeps dead letters, durably: in their store, waiting out a full disk, or in the sink that takes them, and adds them to `kept`.
/// `false` if the run must stop.
async fn keep(context: &LaneContext, mut letters: Vec<DeadLetter>, kept: &mut Kept) -> bool {
    if letters.is_empty() {
        return true;
    }
    let components: Vec<String> = letters.iter().map(|letter| letter.component.clone()).collect();
    // A destination may have repeated in its refusal what it was sent.
    for letter in &mut letters {
        letter.reason = mask::mask(&letter.reason).into_owned();
    }
    let refused = match context.wiring.letters_to {
        Some(sink) => keep_in_sink(context, sink, letters).await,
        None => keep_in_store(context, Arc::new(letters)).await,
    };
    if refused.is_none() {
        for component in components {
            context.rejections.kept(&component);
            *kept.entry(component).or_default() += 1;
        }
    }
    if let Some(reason) = &refused {
        context
            .failure
            .set(format!("cannot keep dead letters: {reason}; their batch was not committed and will be read again"));
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
    // The lane stands still until they are there.
    let _waiting = context.hurry.raise();
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
    let mut attempts = 0;
    loop {
        let (store, letters) = (context.letters.clone(), letters.clone());
        let kept = tokio::task::spawn_blocking(move || {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            store.as_mut().map_or(Ok(()), |store| store.append(&letters))
        });
        match kept.await {
            Ok(Ok(())) => return None,
            Ok(Err(error))
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
                    && context.give_up_after.is_none_or(|limit| attempts < limit) =>
            {
                attempts += 1;
                tracing::error!("no space left for dead letters: {error}; nothing is lost, delivery waits");
                if !wait_for_space(context).await {
                    return Some(error.to_string());
                }
            }
            Ok(Err(error)) => return Some(error.to_string()),
            Err(panic) => return Some(panic.to_string()),
        }
    }
}

/// Waits before what a full disk refused is tried again. `false` if the run has failed meanwhile.
async fn wait_for_space(context: &LaneContext) -> bool {
    tokio::select! {
        () = context.clock.sleep(FULL_DISK_WAIT) => true,
        () = context.failure.happened() => false,
    }
}

/// Commits a step, waiting out a full disk, and counts it. `false` if the run must stop.
async fn write(context: &LaneContext, mut step: Step) -> bool {
    if step.commit == Commit::default() && !context.trial.owes(&context.key) {
        return true;
    }
    let mut trace = Span::commit(&context.key, step.commit.settled.len());
    let mut attempts = 0;
    loop {
        let (commits, key, copy) = (context.commits.clone(), context.key.clone(), step.commit.clone());
        match tokio::task::spawn_blocking(move || commits.commit(&key, &copy)).await {
            Ok(Ok(())) => break,
            Ok(Err(LedgerError::Refused(refusals))) => {
                for refusal in &refusals {
                    step.bury(refusal.event.identity);
                }
                if !keep_refused(context, refusals, &mut step.kept).await {
                    return false;
                }
            }
            Ok(Err(passing)) if passing.passes() && context.give_up_after.is_none_or(|limit| attempts < limit) => {
                attempts += 1;
                tracing::error!("{passing}");
                trace.failed(&passing);
                if !wait_for_space(context).await {
                    return false;
                }
            }
            Ok(Err(error)) => {
                trace.failed(&error);
                context.failure.set(error.to_string());
                return false;
            }
            Err(panic) => {
                context.failure.set(format!("the ledger crashed: {panic}"));
                return false;
            }
        }
    }
    if let Some(tally) = context.trial.count(&context.key, &step.commit.tally) {
        count(&context.key, &tally);
        context.line.update(|line| line.tally.add(&tally));
    }
    context.rejections.settled(&step.kept);
    context.in_flight.remove(step.commit.settled.iter().map(|filed| &filed.identity));
    true
}

/// Keeps what the ledger's cluster has refused. `false` if the run must stop.
async fn keep_refused(context: &LaneContext, refusals: Vec<Refusal>, kept: &mut Kept) -> bool {
    for Refusal { sink, reason, .. } in &refusals {
        if context.wiring.blocks_on_reject(sink) {
            context.failure.set(sink_driver::blocked(sink, reason));
            return false;
        }
    }
    let letter = |Refusal { event, sink, reason }| DeadLetter { event, component: sink, reason, oversized: None };
    let letters: Vec<DeadLetter> = refusals.into_iter().map(letter).collect();
    context.rejections.note(&[], &letters, &context.letters_place);
    keep(context, letters, kept).await
}

fn count(key: &StreamKey, tally: &Tally) {
    let add = |name: &'static str, by: u64| {
        metrics::counter!(name, "source" => key.source.clone(), "stream" => key.stream.clone()).increment(by);
    };
    add("headwater_events_delivered_total", tally.delivered);
    add("headwater_events_suppressed_total", tally.suppressed);
    add("headwater_events_dead_lettered_total", tally.dead_lettered);
    add("headwater_events_late_total", tally.late);
    for (rule, by) in &tally.dropped {
        let labels = [("source", key.source.clone()), ("stream", key.stream.clone()), ("rule", rule.clone())];
        metrics::counter!("headwater_events_dropped_total", &labels).increment(*by);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test's way to say that it failed
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        dead_letter::DeadLetters,
        failure::Failure,
        hurry::Hurry,
        lane::{InFlight, filed},
        rejections::Rejections,
        status::Board,
        topology::Wiring,
        trial::Trial,
    };
    use headwater_contracts::{Event, Origin, OwnQueryPolicy};
    use headwater_ledger::{Commits, Filed};
    use std::sync::Mutex;

    fn event(number: u8) -> Event {
        let origin = Origin {
            source: "a".into(),
            provider: "p".into(),
            stream: "s".into(),
            own_query_policy: OwnQueryPolicy::default(),
            read_by: None,
            simulated: false,
        };
        Event {
            origin: origin.into(),
            id: number.to_string(),
            identity: Identity::of(&[&[number]]),
            time: None,
            observed: chrono::DateTime::UNIX_EPOCH,
            own_query: false,
            suspicious: None,
            late: None,
            raw: "{}".into(),
            value: None,
            encoded: None,
            metadata: None,
            index: 0,
        }
    }

    /// A ledger whose cluster refuses the record of an event, until it is without it.
    #[derive(Default)]
    struct Refusing {
        refused: Mutex<Option<Event>>,
        committed: Mutex<Vec<Commit>>,
    }

    impl Commits for Refusing {
        fn commit(&self, _: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
            if let Some(event) = self.refused.lock().unwrap().take() {
                let (sink, reason) = ("kafka".to_owned(), "too old".to_owned());
                return Err(LedgerError::Refused(vec![Refusal { event, sink, reason }]));
            }
            self.committed.lock().unwrap().push(commit.clone());
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<DeadLetter>>>);

    impl DeadLetters for Kept {
        fn append(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
            self.0.lock().unwrap().extend(letters.iter().cloned());
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_the_ledgers_cluster_refuses_is_a_dead_letter_and_the_rest_is_committed() {
        let (ledger, kept, board) = (Arc::new(Refusing::default()), Kept::default(), Board::default());
        *ledger.refused.lock().unwrap() = Some(event(2));
        let key = StreamKey { source: "a".into(), stream: "s".into() };
        let context = LaneContext {
            source: "a".into(),
            key,
            wiring: Arc::new(Wiring::new(&[], Vec::new(), &[], None)),
            sinks: Vec::new(),
            letters: Arc::new(Mutex::new(Some(Box::new(kept.clone())))),
            letters_place: "memory".into(),
            rejections: Rejections::default(),
            trial: Trial::of([]),
            holds: false,
            undecided: mpsc::unbounded_channel().0,
            _alive: mpsc::channel(1).0,
            commits: ledger.clone(),
            clock: Arc::new(SystemClock),
            in_flight: InFlight::default(),
            line: board.line("a", "s"),
            failure: Failure::new(),
            hurry: Hurry::default(),
            give_up_after: Some(1),
        };
        let settled: Vec<Filed> = [1, 2, 3].map(|number| filed(&event(number))).into();
        let tally = Tally { read: 3, delivered: 3, ..Tally::default() };
        let commit = Commit { settled: settled.clone(), tally, ..Commit::default() };
        assert!(write(&context, Step { commit, ..Step::default() }).await);

        let kept = kept.0.lock().unwrap();
        assert!(matches!(&kept[..], [letter] if letter.event.id == "2" && letter.component == "kafka"), "{kept:?}");
        let expected = Tally { read: 3, delivered: 2, dead_lettered: 1, ..Tally::default() };
        let committed = ledger.committed.lock().unwrap();
        assert!(matches!(&committed[..], [commit] if commit.settled == settled && commit.tally == expected));
        assert_eq!(board.snapshot()[0].tally, expected, "nothing counts before it is committed");
        let rejected = context.rejections.all();
        assert_eq!((rejected[0].kept, rejected[0].settled), (1, 1));
    }
}
