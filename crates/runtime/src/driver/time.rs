//! What depends on the time: kept only while the clocks agree, and cut where it is of a time still to come.

use super::{Driver, Halt, Reading};
use crate::clock::{Standing, most};
use chrono::TimeDelta;
use headwater_contracts::{Coverage, Period, Source, Span, StartAt, Timestamp};
use headwater_ledger::{Commit, StreamRecord, UNTOLD};
use serde_json::Value;
use std::time::Duration;

/// What a run does while the server's clock and this machine's disagree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clocks {
    /// Reads and delivers, and marks nothing. With `once` it ends with an error.
    #[default]
    Mark,
    /// Gives up: what it says or delivers depends on the time.
    Demand,
    /// Goes by the server's clock: nothing of it depends on this machine's.
    Ignore,
}

/// Longest wait before the stream is planned anew, whatever the plan says.
const LONGEST_REST: Duration = Duration::from_hours(1);
/// How long what cannot be kept is gone by. Events may bear the time of the clock that is behind: they lie before where it leads.
const LONGEST_ASIDE: Duration = Duration::from_hours(1);
/// How often the clocks are compared meanwhile.
const GLANCE: Duration = Duration::from_secs(5);

/// What a reading knows of the time, and what it keeps back because of it.
pub(super) struct Times {
    /// Where the stream begins or begins anew, which the ledger is told once the time is known.
    untold: Option<Anew>,
    /// Whether `start_at` has been compared with where the first run began.
    pub(super) compared: bool,
    /// How often the server's clock had stepped when the plan was made.
    steps: u64,
    /// Whether the plan was made from what the ledger holds, so that what comes of it may be kept there.
    pub(super) markable: bool,
    /// What could not be kept.
    pub(super) aside: Option<Aside>,
    /// How far the time that is planned by is ahead of the server's clock; it is, while that is behind the ledger.
    pub(super) lead: TimeDelta,
    /// When the latest event that this run has read happened.
    pub(super) newest: Option<Timestamp>,
}

impl Default for Times {
    fn default() -> Self {
        let (untold, compared, steps, aside, lead, newest) = Default::default();
        Self { untold, compared, steps, markable: true, aside, lead, newest }
    }
}

/// What scans have brought that cannot be kept while the clocks disagree. The next scans are planned from it, so that reading goes
/// on; once the clocks agree, or one steps, it is let go, and each hour, so that all since they last agreed is read again.
pub(super) struct Aside {
    steps: u64,
    /// Since when, by the clock that only goes on.
    since: Duration,
    coverage: Coverage,
    state: Option<Value>,
}

/// The latest time that a record speaks of.
pub(super) fn marked(record: &StreamRecord, source: &dyn Source) -> Option<Timestamp> {
    let covered = record.coverage.end().and_then(Timestamp::from_timestamp_millis);
    covered.max(record.state.as_ref().and_then(|state| source.latest(state)))
}

/// The time that a record speaks of, if it is still to come at `now`, by more than clocks may be apart.
pub fn ahead(record: &StreamRecord, source: &dyn Source, skew: Option<Period>, now: Timestamp) -> Option<Timestamp> {
    marked(record, source).filter(|ahead| *ahead > most(now, skew))
}

/// Where a stream has to begin anew.
struct Anew {
    from: Timestamp,
    /// The time still to come that its record speaks of; `None` if it had not begun.
    ahead: Option<Timestamp>,
}

impl Driver {
    /// Compares the clocks, and shows the result.
    pub(super) fn standing(&self) -> Standing {
        let mut standing = self.server.standing();
        let trouble = self.server.trouble();
        if self.clocks == Clocks::Ignore {
            standing.agreed |= trouble.is_some();
        }
        self.line.update(|line| line.clock_trouble = trouble);
        standing
    }

    /// Whether what the scan at hand has brought may be kept: the clocks agree, and none has stepped since it was planned.
    pub(super) fn may_mark(&self, reading: &Reading) -> bool {
        let standing = self.standing();
        standing.agreed && standing.steps == reading.times.steps && reading.times.markable
    }

    /// Whether the clock that the scan at hand was planned by has turned out to be another.
    pub(super) fn is_outdated(&self, reading: &Reading) -> bool {
        self.server.standing().steps != reading.times.steps
    }

    /// Where a first run begins, if that is known.
    pub(super) fn beginning(&self) -> Timestamp {
        match self.start_at {
            StartAt::Now | StartAt::Ago(_) if !self.standing().agreed => UNTOLD,
            start_at => start_at.resolve(self.server_now()),
        }
    }

    /// The stream's record as the next plan may use it: nothing in it is of a time still to come, as [`Times::lead`] has it.
    pub(super) async fn record(&self, reading: &mut Reading) -> Result<StreamRecord, Halt> {
        let start = self.beginning();
        let mut record = self.with_ledger(move |ledger, key| ledger.load(key, start)).await?;
        if let Some(forgotten) = record.forgotten {
            // Nothing later than what has happened is ever forgotten.
            self.server.at_least(forgotten);
        }
        let (standing, now) = (self.standing(), self.server_now());
        if standing.steps != reading.times.steps {
            // Of a scan that was planned by another clock.
            reading.held.state = None;
            reading.times.lead = TimeDelta::zero();
            reading.times.steps = standing.steps;
        }
        reading.times.aside =
            reading.times.aside.take().filter(|aside| !standing.agreed && aside.steps == standing.steps);
        let before = reading.times.untold.take();
        let anew = self.anew(&record, now);
        // Before the first answer, what is read from where the ledger has forgotten on is known, whatever time it is.
        let known = |anew: &Anew| !standing.answered && record.forgotten.is_some() && anew.from <= now;
        let unclear = anew.as_ref().filter(|anew| !standing.agreed && !known(anew));
        let ahead = unclear.and_then(|anew| anew.ahead);
        if ahead.is_some() && before.is_some() {
            // It was planned to begin anew.
            (reading.times.aside, reading.held.state) = (None, None);
        }
        reading.times.markable = reading.times.aside.is_none() && ahead.is_none();
        reading.times.lead =
            ahead.map_or_else(TimeDelta::zero, |ahead| lead(ahead, now, self.clock.now(), reading.times.lead));
        if let Some(anew) = anew.filter(|_| ahead.is_none()) {
            record.start = anew.from;
            if anew.ahead.is_some() {
                record.state = None;
                record.coverage.cut(anew.from, 0);
            }
            if standing.agreed {
                self.begin(&anew, now).await?;
            } else {
                reading.times.untold = Some(anew);
            }
        }
        if let Some(aside) = &reading.times.aside {
            record.coverage.clone_from(&aside.coverage);
            record.state.clone_from(&aside.state);
        }
        Ok(record)
    }

    /// Where the stream has to begin anew, if it has to: it has not begun, or its record speaks of a time still to come. Then
    /// a clock was wrong when that was written, and how far the log had been read cannot be told from it.
    fn anew(&self, record: &StreamRecord, now: Timestamp) -> Option<Anew> {
        let first = self.start_at.resolve(now);
        if record.start == UNTOLD {
            return Some(Anew { from: first, ahead: None });
        }
        let most = self.server.most(now);
        let started = Some(record.start).filter(|start| *start > most && first < *start);
        let marked = marked(record, self.source.as_ref()).filter(|ahead| *ahead > most);
        if let (Some(forgotten), Some(ahead)) = (record.forgotten, started.max(marked)) {
            // Whichever clock was wrong, and whenever: what came since is known, and what came before was read. A start that
            // depends on the time may be wrong as well.
            return Some(Anew { from: record.start.min(first).max(forgotten), ahead: Some(ahead) });
        }
        if started.is_some() {
            return Some(Anew { from: first, ahead: started.max(marked) });
        }
        let ahead = marked?;
        // What is older than `back` may be forgotten; so may, if the wrong clock was little ahead, what it took for older than that.
        let back = self.source.look_back();
        let from = if ahead - back < now - back / 2 { ahead - back } else { now - back };
        Some(Anew { from: from.max(record.start), ahead: Some(ahead) })
    }

    /// Identities of events before this may be forgotten; `None` if none may. Events bear the provider's time, so that the latest is a
    /// witness of its own: should the clocks that agree be ahead, for one of them only stands in for the other, they forget no more.
    pub(super) fn horizon(&self, reading: &Reading, now: Timestamp) -> Option<Timestamp> {
        let newest = reading.times.newest?;
        Some(self.source.horizon(now) - (now - newest).max(TimeDelta::zero()))
    }

    /// Commits where the stream begins.
    async fn begin(&self, anew: &Anew, now: Timestamp) -> Result<(), Halt> {
        if let Some(ahead) = anew.ahead {
            tracing::warn!(
                source = %self.key.source, stream = %self.key.stream,
                "the ledger speaks of {ahead}, and it is {now}: a clock was wrong when that was written. What it claims from {} on is taken back, and read again from there. What was delivered is known, unless the wrong clock has let it be forgotten: then it is delivered again",
                anew.from
            );
        }
        let step = Commit { anew: Some(anew.from), ..Commit::default() };
        self.with_ledger(move |ledger, key| ledger.commit(key, &step)).await
    }

    /// An answer has shown the server's clock: what waited for it is done, or the stream is given up.
    pub(super) async fn clock_shown(&self, reading: &mut Reading) -> Result<(), Halt> {
        self.standing();
        if self.clocks == Clocks::Demand
            && let Some(trouble) = self.server.trouble()
        {
            return Err(Halt::GivenUp(trouble));
        }
        if self.may_mark(reading)
            && let Some(anew) = reading.times.untold.take()
        {
            self.begin(&anew, self.server_now()).await?;
        }
        self.report_gaps(reading);
        Ok(())
    }

    /// Reports what the plan says is lost, once it is sure what the time is.
    pub(super) fn report_gaps(&self, reading: &mut Reading) {
        if self.clocks != Clocks::Mark {
            // Nothing is to be kept complete: whoever asks for more than there is was told so.
            reading.gaps.clear();
        }
        if !reading.gaps.is_empty() && self.may_mark(reading) {
            for gap in std::mem::take(&mut reading.gaps) {
                self.report_gap(&gap);
            }
        }
    }

    /// What a run that ends caught up has to say, if nothing of it could be marked.
    pub(super) fn unmarked(&self, reading: &Reading) -> Result<(), Halt> {
        let standing = self.standing();
        match self.server.trouble().filter(|_| !standing.agreed) {
            Some(trouble) => {
                Err(Halt::GivenUp(format!("what there was is delivered, and nothing is marked: {trouble}")))
            }
            None if !standing.answered && reading.times.lead > TimeDelta::zero() => Err(Halt::GivenUp(format!(
                "this machine's clock shows {}, and the ledger has forgotten what was delivered before a later time: by this clock nothing is due. Set it (NTP)",
                self.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ))),
            None => Ok(()),
        }
    }

    /// Waits until the next look is due; not that long if a clock steps, for then it may be due already.
    pub(super) async fn rest(&self, until: Timestamp, reading: &mut Reading) -> Result<(), Halt> {
        self.commit_held().await?;
        let now = self.clock.monotonic();
        reading.times.aside = reading.times.aside.take().filter(|aside| now < aside.since + LONGEST_ASIDE);
        let key = |standing: Standing| (standing.near, standing.steps);
        let before = key(self.standing());
        let wait = (until - self.server_now()).to_std().unwrap_or_default();
        let end = self.clock.monotonic() + wait.clamp(Duration::from_millis(100), LONGEST_REST);
        loop {
            let left = end.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return Ok(());
            }
            self.unless_halted(self.clock.sleep(left.min(GLANCE))).await?;
            if key(self.standing()) != before {
                // Only an answer tells which of the clocks it was.
                reading.first = true;
                return Ok(());
            }
        }
    }
}

/// How far ahead of the server's clock, which shows `now`, the plan's time has to be, where no clock agrees and the ledger speaks of
/// `ahead`. Two clocks agreed on that: by one that is behind it, events would be read again that are forgotten. This machine's may be
/// right. Otherwise time goes on from what the ledger speaks of: `before` is what it was until now.
fn lead(ahead: Timestamp, now: Timestamp, ours: Timestamp, before: TimeDelta) -> TimeDelta {
    if ours > ahead { ours - now } else { before.max(ahead - now) }
}

impl Reading {
    /// Sets aside what a scan has brought and cannot be kept.
    pub(super) fn set_aside(&mut self, since: Duration, span: Option<Span>, state: Option<Value>) {
        let (steps, coverage, before) = (self.times.steps, &self.coverage, &self.state);
        let aside = self.times.aside.get_or_insert_with(|| Aside {
            steps,
            since,
            coverage: coverage.clone(),
            state: before.clone(),
        });
        if let Some(span) = span {
            aside.coverage.add(span, 0);
        }
        aside.state = state.or(aside.state.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_servers_clock_is_behind_the_ledger_time_goes_on_from_there_or_by_ours() {
        let at = |minutes: i64| Timestamp::from_timestamp(1_700_000_000 + minutes * 60, 0).unwrap_or_default();
        let minutes = TimeDelta::minutes;
        assert_eq!(lead(at(0), at(-100), at(-100), minutes(0)), minutes(100));
        assert_eq!(lead(at(0), at(-70), at(-70), minutes(100)), minutes(100), "it does not stand still");
        assert_eq!(lead(at(0), at(-100), at(30), minutes(0)), minutes(130));
    }
}
