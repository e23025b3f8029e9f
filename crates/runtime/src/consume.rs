//! The driver of one partition of a topic: what is read goes to a lane, which keeps the offset in the ledger's place.
//!
//! There is nothing to plan, to ask for, or to recognise: an offset is read once, unless what it holds was not committed.

use crate::{
    dead_letter::DeadLetter,
    driver::{Ending, stopped},
    lane::{Lane, LaneContext, Work},
    settle::FULL_DISK_WAIT,
    status::Phase,
};
use headwater_contracts::{Event, Tally};
use headwater_ledger::{Consumer, Fed, Feed, Opened};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// A partition, and what its lane will need.
pub(crate) struct Partition {
    pub(crate) consumer: Arc<dyn Consumer>,
    /// But for where its steps are kept, which shows when the partition is opened.
    pub(crate) context: LaneContext,
    pub(crate) ending: Ending,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Why the reading ends before it is caught up.
enum Halt {
    Stop,
    Failed(String),
    GivenUp(String),
}

impl Partition {
    /// Reads until it is over. `Err` holds why the partition was given up.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        self.context.line.phase(Phase::Starting);
        let opened = match self.open().await {
            Ok(opened) => opened,
            Err(halt) => return self.end(Err(halt)),
        };
        if let Some(gap) = opened.gap {
            self.report_gap(&gap);
        }
        self.context.commits = opened.commits;
        let lane = Lane::start(self.context.clone());
        let read = self.read(&lane, opened.feed).await;
        if !matches!(read, Err(Halt::Failed(_))) {
            // What is in flight is still delivered and committed.
            let _ = lane.drain().await;
        }
        let ended = self.end(read);
        lane.close().await;
        ended
    }

    fn end(&self, ended: Result<(), Halt>) -> Result<(), String> {
        let key = &self.context.key;
        match ended {
            Ok(()) | Err(Halt::Stop) => {
                self.context.line.phase(Phase::Done);
                Ok(())
            }
            Err(Halt::GivenUp(reason)) => {
                self.context.line.phase(Phase::Failed { reason: reason.clone() });
                Err(format!("{}/{}: {reason}", key.source, key.stream))
            }
            Err(Halt::Failed(reason)) => {
                self.context.line.phase(Phase::Failed { reason: reason.clone() });
                self.context.failure.set(reason.clone());
                Err(reason)
            }
        }
    }

    /// Takes the partition over, waiting for a cluster that does not answer.
    async fn open(&mut self) -> Result<Opened, Halt> {
        let mut attempts = 0;
        loop {
            let (consumer, stream) = (self.consumer.clone(), self.context.key.stream.clone());
            let opening = tokio::task::spawn_blocking(move || consumer.open(&stream));
            let opened = tokio::select! {
                opened = opening => opened,
                () = stopped(&mut self.stop) => return Err(Halt::Stop),
                () = self.context.failure.happened() => return Err(Halt::Stop),
            };
            match opened {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(passing)) if passing.passes() => {
                    attempts += 1;
                    self.stalled(&passing.to_string(), attempts)?;
                    tokio::select! {
                        () = self.context.clock.sleep(FULL_DISK_WAIT) => {}
                        () = stopped(&mut self.stop) => return Err(Halt::Stop),
                        () = self.context.failure.happened() => return Err(Halt::Stop),
                    }
                }
                Ok(Err(error)) => return Err(Halt::Failed(error.to_string())),
                Err(panic) => return Err(Halt::Failed(format!("opening a partition crashed: {panic}"))),
            }
        }
    }

    async fn read(&mut self, lane: &Lane, mut feed: Feed) -> Result<(), Halt> {
        let mut failures = 0;
        loop {
            let fed = tokio::select! {
                fed = feed.recv() => fed,
                () = stopped(&mut self.stop) => return Err(Halt::Stop),
                () = self.context.failure.happened() => return Err(Halt::Stop),
            };
            let (line, clock) = (&self.context.line, &self.context.clock);
            match fed {
                Some(Fed::Batch { events, unreadable, dropped, next }) => {
                    failures = 0;
                    line.update(|line| {
                        line.requests += 1;
                        line.phase = Phase::Reading { scan: format!("records up to offset {next}"), progress: None };
                    });
                    let work = self.work(events, unreadable, dropped, next);
                    line.has_read(&self.context.key, work.tally.read);
                    let closed = tokio::select! {
                        pushed = lane.push(work) => pushed.is_err(),
                        () = self.context.failure.happened() => return Err(Halt::Stop),
                    };
                    if closed {
                        return Err(Halt::Failed(
                            "a transform, a sink or the offsets' group has stopped working".into(),
                        ));
                    }
                }
                Some(Fed::Quiet) => drop(lane.push(Work { commit: true, ..Work::default() }).await),
                Some(Fed::CaughtUp) => {
                    failures = 0;
                    let until = clock.now();
                    line.update(|line| {
                        line.requests += 1;
                        line.phase = Phase::CaughtUp { until };
                    });
                    if self.ending.once {
                        return Ok(());
                    }
                }
                Some(Fed::Stalled(reason)) => {
                    failures += 1;
                    self.stalled(&reason, failures)?;
                }
                None => {
                    let key = &self.context.key;
                    return Err(Halt::Failed(format!("the reading of {}/{} has ended", key.source, key.stream)));
                }
            }
        }
    }

    fn work(
        &self,
        mut events: Vec<Event>,
        unreadable: Vec<(Event, String)>,
        dropped: BTreeMap<String, u64>,
        next: i64,
    ) -> Work {
        let component = &self.context.source;
        let mut letters: Vec<DeadLetter> = unreadable
            .into_iter()
            .map(|(event, reason)| DeadLetter { event, component: component.clone(), reason, oversized: None })
            .collect();
        let all = events.iter_mut().chain(letters.iter_mut().map(|letter| &mut letter.event));
        all.zip(0..).for_each(|(event, index)| event.index = index);
        let read = (events.len() + letters.len()) as u64 + dropped.values().sum::<u64>();
        Work {
            events,
            unreadable: letters,
            state: Some(Value::from(next)),
            tally: Tally { read, dropped, ..Tally::default() },
            ..Work::default()
        }
    }

    /// Shows that nothing can be read now. `Err` once a run that is to end has tried often enough.
    fn stalled(&self, reason: &str, attempts: u32) -> Result<(), Halt> {
        let (key, clock) = (&self.context.key, &self.context.clock);
        metrics::counter!("headwater_read_errors_total", "source" => key.source.clone(), "class" => "transient")
            .increment(1);
        tracing::warn!(source = %key.source, stream = %key.stream, "{reason}");
        self.context.line.update(|line| {
            line.failures += 1;
            line.requests += 1;
            line.phase = Phase::BackingOff { reason: reason.to_owned(), until: clock.now() + FULL_DISK_WAIT };
        });
        match self.ending.give_up_after {
            Some(limit) if attempts >= limit => Err(Halt::GivenUp(reason.to_owned())),
            _ => Ok(()),
        }
    }

    fn report_gap(&self, gap: &str) {
        let key = &self.context.key;
        tracing::error!(source = %key.source, stream = %key.stream, "lost before it could be read: {gap}");
        let labels = [("source", key.source.clone()), ("stream", key.stream.clone())];
        metrics::counter!("headwater_gaps_total", &labels).increment(1);
        self.context.line.update(|line| line.gaps.push(gap.to_owned()));
    }
}
