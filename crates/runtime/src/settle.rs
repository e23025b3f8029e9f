//! The end of a lane: acknowledgements are awaited in order, dead letters kept, and what is settled is committed.
//!
//! A commit costs the same for one event as for hundreds, and most of it is waiting for the disk. So settled batches
//! are gathered: until there are enough, until the reader waits for something, or until somebody
//! waits for the commit. A crash before it repeats the gathered events, and no others.

use crate::{
    dead_letter::DeadLetter,
    lane::{Dispatched, LaneContext},
    sink_driver::Job,
    topology::{Account, as_event},
    trace::Span,
};
use headwater_contracts::{Tally, mask};
use headwater_ledger::{Commit, StreamKey};
use std::{
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
    let mut gathered = Commit::default();
    let mut writing = None;
    while let Some(batch) = batches.recv().await {
        let Some((commit, done)) = acknowledge(&context, batch, &mut gathered).await else { break };
        if commit || done.is_some() || gathered.settled.len() >= worth {
            let step = std::mem::take(&mut gathered);
            settled += step.tally.settled();
            if !written(writing.take()).await {
                return;
            }
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
    if written(writing).await {
        write(&context, gathered).await;
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
    gathered: &mut Commit,
) -> Option<(bool, Option<oneshot::Sender<u64>>)> {
    let Dispatched { mut accounts, mut letters, acks, rest } = batch;
    for (sink, ack) in acks {
        for (event, reason) in ack.await.ok()? {
            if let Some(account) = accounts.get_mut(event.index as usize) {
                account.dead = true;
            }
            letters.push(DeadLetter { event, component: context.wiring.sink_names[sink].clone(), reason });
        }
    }
    if !keep(context, letters).await {
        return None;
    }
    // The reader may go on: from here on, identities are all that is held.
    drop(rest.permit);
    let mut tally = rest.tally;
    accounts.iter().filter_map(Account::outcome).for_each(|outcome| tally.settle(&outcome));
    count(&context.key, &tally);
    context.line.update(|line| line.tally.add(&tally));
    gathered.tally.add(&tally);
    gathered.settled.extend(rest.filed);
    gathered.consumed.extend(rest.consumed);
    gathered.state = rest.state.or(gathered.state.take());
    gathered.forget_before = rest.forget_before.or(gathered.forget_before);
    Some((rest.commit, rest.done))
}

/// Keeps dead letters, durably: in their store, waiting out a full disk, or in the sink that takes them. `false` if the
/// run must stop.
async fn keep(context: &LaneContext, mut letters: Vec<DeadLetter>) -> bool {
    if letters.is_empty() {
        return true;
    }
    // A destination may have repeated in its refusal what it was sent.
    for letter in &mut letters {
        letter.reason = mask::mask(&letter.reason).into_owned();
    }
    let refused = match context.wiring.letters_to {
        Some(sink) => keep_in_sink(context, sink, letters).await,
        None => keep_in_store(context, Arc::new(letters)).await,
    };
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
    if step == Commit::default() {
        return true;
    }
    let step = Arc::new(step);
    let mut trace = Span::commit(&context.key, step.settled.len());
    let mut attempts = 0;
    loop {
        let (commits, key, copy) = (context.commits.clone(), context.key.clone(), step.clone());
        match tokio::task::spawn_blocking(move || commits.commit(&key, &copy)).await {
            Ok(Ok(())) => break,
            Ok(Err(passing)) if passing.passes() && context.give_up_after.is_none_or(|limit| attempts < limit) => {
                attempts += 1;
                tracing::error!("{passing}");
                trace.failed(&passing);
                tokio::select! {
                    () = context.clock.sleep(FULL_DISK_WAIT) => {}
                    () = context.failure.happened() => return false,
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
    context.in_flight.remove(step.settled.iter().map(|filed| &filed.identity));
    true
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
