//! What each stream is doing, for people: the terminal, `/health`, the closing table.

use crate::rejections::{Refusing, Rejected, Rejections};
use headwater_contracts::{Tally, Timestamp, mask, visible};
use headwater_ledger::StreamKey;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a stream may do nothing although it should, and how long a sink may fail to deliver, before `/ready` says so.
pub(crate) const PATIENCE: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// The same for a delivery.
pub(crate) const SINK_PATIENCE: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// What a stream is at.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Phase {
    /// Not begun.
    #[default]
    Starting,
    /// Reading; the scan in words, and how much of it is done, 0 to 1, if it can be told.
    Reading {
        /// What the scan reads.
        scan: String,
        /// 0 to 1.
        progress: Option<f64>,
    },
    /// Waiting after a failure.
    BackingOff {
        /// What failed.
        reason: String,
        /// When it asks again.
        until: Timestamp,
    },
    /// Caught up; the next look is at this time.
    CaughtUp {
        /// Next look.
        until: Timestamp,
    },
    /// Ended: caught up with `--once`, or stopped.
    Done,
    /// Given up.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One stream's line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamStatus {
    /// The source component.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// Whether this process reads it: no longer once it is another instance's, or the configuration has lost it.
    pub ours: bool,
    /// What it is at.
    pub phase: Phase,
    /// Records that it has read in this run, repetitions included.
    pub read: u64,
    /// The account of those that are settled: delivered, dropped, kept as dead letters or suppressed, and committed.
    pub tally: Tally,
    /// Requests sent in this run.
    pub requests: u64,
    /// Requests that failed in this run.
    pub failures: u64,
    /// Why the last question got no page; `None` if it got one, or none has been answered.
    pub problem: Option<String>,
    /// Whether the provider has refused the credential since the last page: that does not pass by itself.
    pub denied: bool,
    /// When it last got somewhere: began, read a page, or was caught up.
    pub progress: Option<Timestamp>,
    /// How far the server's clock is ahead of this machine's, by its last answer; to the second.
    pub clock_ahead: Option<chrono::TimeDelta>,
    /// What is wrong with the server's clock, or this machine's, if anything is: nothing is marked then.
    pub clock_trouble: Option<String>,
    /// How long until the provider deletes what has not been read.
    pub retention_left: Option<chrono::TimeDelta>,
    /// Ranges lost for good before they were read, in words.
    pub gaps: Vec<String>,
}

impl StreamStatus {
    /// Records that have been read and are not settled: they are on their way, or are read again by the next run.
    pub fn open(&self) -> u64 {
        self.read.saturating_sub(self.tally.read)
    }

    /// Since when the stream stands still although something is due, if it has for longer than ten minutes.
    pub fn stands_still(&self, now: Timestamp) -> Option<Timestamp> {
        let due = match &self.phase {
            Phase::Done | Phase::Failed { .. } => return None,
            Phase::CaughtUp { until } => self.progress?.max(*until),
            Phase::Starting | Phase::Reading { .. } | Phase::BackingOff { .. } => self.progress?,
        };
        (now - due > PATIENCE).then_some(due)
    }
}

/// How a sink does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Whether it is one of the run that goes on.
    pub ours: bool,
    /// When the delivery began that is not over, if there is one.
    pub since: Option<Timestamp>,
    /// Attempts of it that were in vain.
    pub attempts: u32,
    /// Whether the last one was because the destination refuses the credential: that does not pass by itself.
    pub denied: bool,
    /// Why the last one was.
    pub reason: Option<String>,
}

impl SinkStatus {
    /// Since when nothing can be delivered, if that is for longer than a minute.
    pub fn is_stuck(&self, now: Timestamp) -> Option<Timestamp> {
        self.since.filter(|since| now - *since > SINK_PATIENCE)
    }
}

/// All streams' lines, shared.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    sinks: Vec<SinkStatus>,
    rejections: Rejections,
    /// Whether a run has begun: from then on, a board without lines is one of an instance without streams.
    begun: bool,
    /// What keeps all of them from going on.
    obstacle: Option<String>,
    lines: Vec<StreamStatus>,
}

impl Board {
    /// A copy of all lines, fit to be shown: a server may have repeated in its answer what it was sent.
    pub fn snapshot(&self) -> Vec<StreamStatus> {
        let mut lines = self.lock().lines.clone();
        for line in &mut lines {
            match &mut line.phase {
                Phase::Reading { scan: text, .. }
                | Phase::BackingOff { reason: text, .. }
                | Phase::Failed { reason: text } => {
                    *text = fit(text);
                }
                Phase::Starting | Phase::CaughtUp { .. } | Phase::Done => {}
            }
            line.gaps.iter_mut().for_each(|gap| *gap = fit(gap));
        }
        lines
    }

    /// How each sink does, fit to be shown.
    pub fn sinks(&self) -> Vec<SinkStatus> {
        let mut sinks: Vec<_> = self.lock().sinks.iter().filter(|sink| sink.ours).cloned().collect();
        sinks.iter_mut().filter_map(|sink| sink.reason.as_mut()).for_each(|reason| *reason = fit(reason));
        sinks
    }

    /// What each component has refused since the process began, fit to be shown.
    pub fn rejected(&self) -> Vec<Rejected> {
        let mut rejected = self.rejections().all();
        for first in &mut rejected {
            (first.reason, first.id) = (fit(&first.reason), fit(&first.id));
        }
        rejected
    }

    /// The components that refuse much of what they are given, fit to be shown.
    pub fn refusing(&self) -> Vec<Refusing> {
        let mut refusing = self.rejections().refusing();
        for component in &mut refusing {
            component.reason = fit(&component.reason);
        }
        refusing
    }

    /// Logs how many events each component has refused since the last time, if it has.
    pub fn remind_of_rejections(&self) {
        self.rejections().remind();
    }

    pub(crate) fn rejections(&self) -> Rejections {
        self.lock().rejections.clone()
    }

    /// Adds a sink, to be changed through the answer. One of before a change of the configuration is replaced.
    pub(crate) fn sink(&self, name: &str) -> SinkLine {
        let sinks = &mut self.lock().sinks;
        let index = sinks.iter().position(|sink| sink.name == name).unwrap_or(sinks.len());
        if index == sinks.len() {
            sinks.push(SinkStatus::default());
        }
        sinks[index] = SinkStatus { name: name.to_owned(), ours: true, ..SinkStatus::default() };
        SinkLine { board: self.clone(), index }
    }

    /// Whether it is known what streams there are.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().begun
    }

    /// Shows what keeps all streams from going on, or that nothing does.
    pub fn obstacle(&self, reason: Option<String>) {
        self.lock().obstacle = reason;
    }

    /// What keeps all streams from going on.
    pub(crate) fn has_obstacle(&self) -> Option<String> {
        self.lock().obstacle.as_deref().map(fit)
    }

    /// Marks all lines as done and not ours: a run begins, and may have other streams than the one before.
    pub(crate) fn rest(&self) {
        let mut lines = self.lock();
        lines.lines.iter_mut().for_each(|line| (line.phase, line.ours) = (Phase::Done, false));
        lines.sinks.iter_mut().for_each(|sink| sink.ours = false);
    }

    /// Says that all streams of the run have their lines.
    pub(crate) fn begin(&self) {
        let mut lines = self.lock();
        lines.begun = true;
        for line in lines.lines.iter_mut().filter(|line| !line.ours) {
            // Whoever reads it now says so; what was left here once would be an alarm for ever.
            if line.retention_left.take().is_some() {
                crate::driver::retention_left(&line.source, &line.stream).set(f64::NAN);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, to be changed through the answer. A stream that has one already, from before a change of the
    /// configuration, keeps it.
    pub(crate) fn line(&self, source: &str, stream: &str) -> Line {
        let lines = &mut self.lock().lines;
        if let Some(index) = lines.iter().position(|line| line.source == source && line.stream == stream) {
            let line = &mut lines[index];
            // What was not settled is read again, with the credential that is configured now.
            (line.ours, line.read, line.denied) = (true, line.tally.read, false);
            return Line { board: self.clone(), index };
        }
        lines.push(StreamStatus {
            source: source.into(),
            stream: stream.into(),
            ours: true,
            ..StreamStatus::default()
        });
        Line { board: self.clone(), index: lines.len() - 1 }
    }
}

fn fit(text: &str) -> String {
    visible(&mask::mask(text)).into_owned()
}

/// One line of the board.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    board: Board,
    index: usize,
}

impl Line {
    pub(crate) fn update(&self, change: impl FnOnce(&mut StreamStatus)) {
        change(&mut self.board.lock().lines[self.index]);
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.update(|line| line.phase = phase);
    }

    /// Counts records of a stream that have been read, whatever becomes of them.
    pub(crate) fn has_read(&self, key: &StreamKey, records: u64) {
        self.update(|line| line.read += records);
        metrics::counter!("headwater_events_read_total", "source" => key.source.clone(), "stream" => key.stream.clone())
            .increment(records);
    }
}

/// One sink of the board.
#[derive(Debug, Clone)]
pub(crate) struct SinkLine {
    board: Board,
    index: usize,
}

impl SinkLine {
    pub(crate) fn update(&self, change: impl FnOnce(&mut SinkStatus)) {
        change(&mut self.board.lock().sinks[self.index]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_read_and_is_not_settled_is_open_until_the_next_run_reads_it_again() {
        let board = Board::default();
        let open = || board.snapshot()[0].open();
        let line = board.line("source", "a");
        line.update(|line| (line.read, line.denied) = (5, true));
        assert_eq!(open(), 5);
        line.update(|line| line.tally.read = 3);
        assert_eq!(open(), 2);
        board.rest();
        board.line("source", "a");
        assert_eq!((open(), board.snapshot()[0].denied), (0, false));
    }

    #[test]
    fn what_is_no_longer_read_here_is_not_ours_and_no_alarm() {
        let board = Board::default();
        for streams in [["a", "b"], ["b", "c"]] {
            board.rest();
            for stream in streams {
                board.line("source", stream).update(|line| line.retention_left = Some(chrono::TimeDelta::hours(1)));
            }
            board.begin();
        }
        let lines = board.snapshot();
        let found: Vec<_> =
            lines.iter().map(|line| (line.stream.as_str(), line.ours, line.retention_left.is_some())).collect();
        assert_eq!(found, [("a", false, false), ("b", true, true), ("c", true, true)]);
    }
}
