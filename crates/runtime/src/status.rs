//! What each stream is doing, for people: the terminal, `/health`, the closing table.

use headwater_contracts::{Tally, Timestamp, mask, visible};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// The account of this run.
    pub tally: Tally,
    /// Requests sent in this run.
    pub requests: u64,
    /// Requests that failed in this run.
    pub failures: u64,
    /// How far the server's clock is ahead of this machine's, by its last answer; to the second.
    pub clock_ahead: Option<chrono::TimeDelta>,
    /// How long until the provider deletes what has not been read.
    pub retention_left: Option<chrono::TimeDelta>,
    /// Ranges lost for good before they were read, in words.
    pub gaps: Vec<String>,
}

/// All streams' lines, shared.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    /// Whether a run has begun: from then on, a board without lines is one of an instance without streams.
    begun: bool,
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

    /// Whether it is known what streams there are.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().begun
    }

    /// Marks all lines as done and not ours: a run begins, and may have other streams than the one before.
    pub(crate) fn rest(&self) {
        self.lock().lines.iter_mut().for_each(|line| (line.phase, line.ours) = (Phase::Done, false));
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

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, to be changed through the answer. A stream that has one already, from before a change of the
    /// configuration, keeps it.
    pub(crate) fn line(&self, source: &str, stream: &str) -> Line {
        let lines = &mut self.lock().lines;
        if let Some(index) = lines.iter().position(|line| line.source == source && line.stream == stream) {
            lines[index].ours = true;
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
