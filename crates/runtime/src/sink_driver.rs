//! One task per sink: gathers batches of all lanes, delivers, retries without end, answers per batch.

use crate::{backoff::Backoff, failure::Failure};
use headwater_contracts::{BatchOptions, Clock, Event, OnReject, Sink, SinkError, SinkOptions};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Events of one batch for one sink.
pub(crate) struct Job {
    pub(crate) events: Vec<Event>,
    /// Answered once the destination has taken responsibility for all but the events sent back. Dropped unanswered if
    /// the run fails.
    pub(crate) ack: oneshot::Sender<Vec<(Event, String)>>,
}

/// A sink at work.
pub(crate) struct SinkDriver {
    pub(crate) name: String,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) options: SinkOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) failure: Failure,
}

impl SinkDriver {
    /// Runs until every sender is gone or the run has failed.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let gathered = gather(self.options.batch, self.clock.as_ref(), first, &mut jobs).await;
            if !self.deliver(gathered).await {
                return;
            }
        }
        if let Err(error) = self.sink.close().await {
            self.failure.set(format!("sink `{}`: {error}", self.name));
        }
    }

    /// Delivers the jobs' events, as often as it takes. `false` if the run must stop.
    async fn deliver(&mut self, jobs: Vec<Job>) -> bool {
        let mut events = Vec::with_capacity(jobs.iter().map(|job| job.events.len()).sum());
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push((job.events.len(), job.ack));
            events.extend(job.events);
        }
        let mut backoff = Backoff::new(self.options.retry);
        let delivery = loop {
            match self.sink.deliver(&events).await {
                Ok(delivery) => break delivery,
                Err(SinkError::Retry { reason, after }) => {
                    let wait = backoff.next(after);
                    metrics::counter!("headwater_sink_retries_total", "sink" => self.name.clone()).increment(1);
                    tracing::warn!(sink = %self.name, events = events.len(), "not delivered, again in {wait:.1?}: {reason}");
                    self.clock.sleep(wait).await;
                }
                Err(SinkError::Fatal(reason)) => {
                    self.failure.set(format!("sink `{}`: {reason}", self.name));
                    return false;
                }
            }
        };
        let mut reasons: std::collections::HashMap<usize, String> =
            delivery.rejected.into_iter().map(|rejected| (rejected.index, rejected.reason)).collect();
        metrics::counter!("headwater_sink_delivered_total", "sink" => self.name.clone())
            .increment((events.len() - reasons.len()) as u64);
        if let (OnReject::Block, Some(reason)) = (self.options.on_reject, reasons.values().next()) {
            self.failure.set(format!("sink `{}` refused an event, and says `on_reject: block`: {reason}", self.name));
            return false;
        }
        let mut events = events.into_iter().enumerate();
        for (count, ack) in answers {
            let rejected =
                events.by_ref().take(count).filter_map(|(i, event)| Some((event, reasons.remove(&i)?))).collect();
            // A lane that is gone no longer waits; the batch is then read and delivered again after the next start.
            let _ = ack.send(rejected);
        }
        true
    }
}

/// Merges what is queued, up to the batch limits; waits for more only if `batch.timeout` says so.
async fn gather(batch: BatchOptions, clock: &dyn Clock, first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let bytes = |job: &Job| job.events.iter().map(|event| event.raw.len() as u64).sum::<u64>();
    let (mut events, mut size) = (first.events.len(), bytes(&first));
    let mut gathered = vec![first];
    let mut deadline = clock.sleep(batch.timeout.to_std());
    while events < batch.max_events && size < batch.max_bytes.0 {
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(_) if batch.timeout.to_std().is_zero() => break,
            Err(_) => tokio::select! {
                job = jobs.recv() => match job { Some(job) => job, None => break },
                () = &mut deadline => break,
            },
        };
        events += job.events.len();
        size += bytes(&job);
        gathered.push(job);
    }
    gathered
}
