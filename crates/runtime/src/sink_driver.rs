//! One task per sink: gathers batches of all lanes, delivers within the batch limits, retries, answers per batch.

use crate::{backoff::Backoff, failure::Failure, hurry::Hurry, status::SinkLine, trace::Span};
use headwater_contracts::{BatchOptions, Clock, Event, OnReject, Rejected, Sink, SinkError, SinkOptions};
use std::{collections::HashMap, ops::Range, sync::Arc};
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
    pub(crate) hurry: Hurry,
    pub(crate) line: SinkLine,
    /// Fail the run after so many attempts in vain; `None`: never, the provider is the buffer.
    pub(crate) give_up_after: Option<u32>,
}

impl SinkDriver {
    /// Runs until every sender is gone or the run has failed.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let gathered = gather(self.options.batch, self.clock.as_ref(), &self.hurry, first, &mut jobs).await;
            if !self.settle(gathered).await {
                return;
            }
        }
        if let Err(error) = self.sink.close().await {
            self.failure.set(format!("sink `{}`: {error}", self.name));
        }
    }

    /// Delivers the jobs' events and answers each job. `false` if the run must stop.
    async fn settle(&mut self, jobs: Vec<Job>) -> bool {
        let mut events = Vec::with_capacity(jobs.iter().map(|job| job.events.len()).sum());
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push((job.events.len(), job.ack));
            events.extend(job.events);
        }
        let mut reasons = HashMap::new();
        for range in pieces(&events, self.options.batch) {
            let Some(rejected) = self.deliver(&events[range.clone()]).await else { return false };
            reasons.extend(rejected.into_iter().map(|rejected| (range.start + rejected.index, rejected.reason)));
        }
        metrics::counter!("headwater_sink_delivered_total", "sink" => self.name.clone())
            .increment((events.len() - reasons.len()) as u64);
        if let (OnReject::Block, Some(reason)) = (self.options.on_reject, reasons.values().next()) {
            self.failure.set(blocked(&self.name, reason));
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

    /// Delivers one piece, as often as it takes. `None` if the run must stop.
    async fn deliver(&mut self, events: &[Event]) -> Option<Vec<Rejected>> {
        let mut backoff = Backoff::new(self.options.retry);
        let began = self.clock.now();
        self.line.update(|line| line.since = Some(began));
        loop {
            let mut trace = Span::delivery(&self.name, events.len());
            let (reason, after, denied) = match self.sink.deliver(events).await {
                Ok(delivery) => {
                    self.works(true);
                    self.line.update(|line| {
                        (line.since, line.attempts, line.denied, line.reason) = (None, 0, false, None);
                    });
                    return Some(delivery.rejected);
                }
                Err(SinkError::Retry { reason, after }) => (reason, after, false),
                Err(SinkError::Denied(reason)) => (reason, None, true),
                Err(SinkError::Fatal(reason)) => {
                    trace.failed(&reason);
                    self.failure.set(format!("sink `{}`: {reason}", self.name));
                    return None;
                }
            };
            trace.failed(&reason);
            drop(trace);
            let wait = backoff.next(after);
            self.works(false);
            self.line.update(|line| {
                (line.attempts, line.denied, line.reason) = (backoff.attempts(), denied, Some(reason.clone()));
            });
            metrics::counter!("headwater_sink_retries_total", "sink" => self.name.clone()).increment(1);
            if self.give_up_after.is_some_and(|limit| backoff.attempts() >= limit) {
                let attempts = backoff.attempts();
                self.failure.set(format!("sink `{}`: gave up after {attempts} attempts: {reason}", self.name));
                return None;
            }
            tracing::warn!(sink = %self.name, events = events.len(), "not delivered, again in {wait:.1?}: {reason}");
            self.clock.sleep(wait).await;
        }
    }
}

impl SinkDriver {
    fn works(&self, works: bool) {
        metrics::gauge!("headwater_sink_up", "sink" => self.name.clone()).set(f64::from(u8::from(works)));
    }
}

/// Why the run stops at an event that a sink refuses.
pub(crate) fn blocked(sink: &str, reason: &str) -> String {
    format!("sink `{sink}` refused an event, and says `on_reject: block`: {reason}")
}

/// Merges what is queued, up to the batch limits; waits for more only if `batch.timeout` says so and nobody waits for it.
async fn gather(
    batch: BatchOptions,
    clock: &dyn Clock,
    hurry: &Hurry,
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
) -> Vec<Job> {
    let bytes = |job: &Job| job.events.iter().map(Event::size).sum::<u64>();
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
                () = hurry.raised() => break,
            },
        };
        events += job.events.len();
        size += bytes(&job);
        gathered.push(job);
    }
    gathered
}

/// Cuts events into deliveries within the batch limits; an event that is larger than `max_bytes` travels alone.
fn pieces(events: &[Event], batch: BatchOptions) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        let bytes = event.size();
        if at > start && (at - start >= batch.max_events || size + bytes > batch.max_bytes.0) {
            pieces.push(start..at);
            (start, size) = (at, 0);
        }
        size += bytes;
    }
    if start < events.len() {
        pieces.push(start..events.len());
    }
    pieces
}
