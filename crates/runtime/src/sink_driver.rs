//! One task per sink: gathers batches of all lanes, delivers within the batch limits, retries, answers per batch.

use crate::{
    backoff::Backoff,
    driver::{LONG_WAIT, stopped},
    failure::Failure,
    hurry::Hurry,
    status::SinkLine,
    trace::Span,
};
use headwater_contracts::{BatchOptions, Clock, Event, OnReject, Rejected, Sink, SinkError, SinkOptions};
use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// Longest wait that a destination is believed: what it asks for may be a mistake, or a clock's, and must not stop the sink for good.
const LONGEST: Duration = Duration::from_hours(1);

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
    pub(crate) stop: watch::Receiver<bool>,
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
            let wait = backoff.next(after.map(|asked| asked.min(LONGEST)));
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
            if let Some(asked) = after.filter(|asked| self.give_up_after.is_some() && *asked > LONG_WAIT) {
                self.failure
                    .set(format!("sink `{}`: gave up, as it asks for a wait of {asked:.0?}: {reason}", self.name));
                return None;
            }
            let asked = after.filter(|asked| *asked > LONGEST);
            let asked = asked.map_or_else(String::new, |asked| format!(" (it asks for a wait of {asked:.0?})"));
            tracing::warn!(sink = %self.name, events = events.len(), "not delivered, again in {wait:.1?}{asked}: {reason}");
            self.wait(wait).await;
        }
    }

    /// Waits, until the run is told to stop at most: there is one more attempt then, since most waits are longer than the grace.
    async fn wait(&mut self, wait: Duration) {
        let slept = self.clock.sleep(wait);
        if *self.stop.borrow() {
            return slept.await;
        }
        tokio::select! {
            () = slept => {}
            () = stopped(&mut self.stop) => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Board;
    use async_trait::async_trait;
    use headwater_contracts::{Delivery, Timestamp};
    use std::sync::Mutex;

    /// Asks for a wait, then takes everything.
    struct Asking(Option<Duration>);

    #[async_trait]
    impl Sink for Asking {
        async fn deliver(&mut self, _: &[Event]) -> Result<Delivery, SinkError> {
            match self.0.take() {
                Some(asked) => Err(SinkError::Retry { reason: "full".to_owned(), after: Some(asked) }),
                None => Ok(Delivery::default()),
            }
        }
    }

    /// Notes the waits; they end at once, or never.
    struct Waits {
        asked: Mutex<Vec<Duration>>,
        end: bool,
    }

    #[async_trait]
    impl Clock for Waits {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        async fn sleep(&self, duration: Duration) {
            self.asked.lock().unwrap().push(duration);
            if !self.end {
                std::future::pending::<()>().await;
            }
        }
    }

    fn driver(asked: Duration, end: bool, give_up_after: Option<u32>) -> (SinkDriver, Arc<Waits>, watch::Sender<bool>) {
        let clock = Arc::new(Waits { asked: Mutex::default(), end });
        let (stop, stopped) = watch::channel(false);
        let driver = SinkDriver {
            name: "out".to_owned(),
            sink: Box::new(Asking(Some(asked))),
            options: SinkOptions::default(),
            clock: clock.clone(),
            failure: Failure::new(),
            hurry: Hurry::default(),
            stop: stopped,
            line: Board::default().sink("out"),
            give_up_after,
        };
        (driver, clock, stop)
    }

    const YEARS: [Duration; 2] = [Duration::from_hours(24 * 365), Duration::from_secs(u64::MAX)];

    #[tokio::test]
    async fn a_destination_is_believed_an_hour() {
        for asked in YEARS {
            let (mut driver, clock, _stop) = driver(asked, true, None);
            assert!(driver.deliver(&[]).await.is_some());
            assert_eq!(*clock.asked.lock().unwrap(), [LONGEST]);
        }
        let (mut driver, clock, _stop) = driver(Duration::from_mins(10), true, None);
        assert!(driver.deliver(&[]).await.is_some());
        assert_eq!(*clock.asked.lock().unwrap(), [Duration::from_mins(10)]);
    }

    #[tokio::test]
    async fn who_waits_for_the_end_does_not_sit_out_a_long_wait() {
        for asked in YEARS {
            let (mut driver, clock, _stop) = driver(asked, true, Some(8));
            assert!(driver.deliver(&[]).await.is_none());
            let reason = driver.failure.get().unwrap();
            assert!(reason.contains("sink `out`: gave up") && reason.ends_with("full"), "{reason}");
            assert!(clock.asked.lock().unwrap().is_empty());
        }
        let (mut driver, ..) = driver(LONG_WAIT, true, Some(8));
        assert!(driver.deliver(&[]).await.is_some());
    }

    #[tokio::test]
    async fn an_order_to_stop_ends_a_wait() {
        let (mut driver, clock, stop) = driver(YEARS[0], false, None);
        let (delivered, ()) = tokio::join!(driver.deliver(&[]), async {
            while clock.asked.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            stop.send_replace(true);
        });
        assert!(delivered.is_some());
    }
}
