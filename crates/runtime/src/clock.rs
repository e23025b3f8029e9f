//! The machine's clock, and the server's as this machine knows it.

use async_trait::async_trait;
use chrono::{SecondsFormat, TimeDelta};
use headwater_contracts::{Clock, Period, Timestamp};
use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// The system's wall clock and tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        chrono::Utc::now()
    }

    fn monotonic(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// How far the server's clock and this machine's may be apart, unless `max_clock_skew` says otherwise.
pub(crate) const SKEW: TimeDelta = TimeDelta::minutes(5);
/// A `Date` that is further from what was to be expected is a step of a clock, or odd.
const STEP: TimeDelta = TimeDelta::minutes(5);
/// So many answers, over so long a time, make an odd `Date` the server's clock.
const CONFIRMATIONS: u32 = 3;
const CONFIRMED_AFTER: Duration = Duration::from_mins(1);
/// How often the server's clock may step within `max_clock_skew` without further answers that confirm it.
const TURNED_AFTER: Duration = Duration::from_hours(1);
/// So many events of a time still to come show that a clock is behind; fewer may have an odd time.
const TO_COME: usize = 3;
/// Trouble with clocks that comes and goes is logged so often, at most.
const TOLD_EVERY: Duration = Duration::from_hours(1);

/// The server's clock as its `Date` headers show it, carried on by our monotonic one, and compared with this machine's.
///
/// Scans are planned by it: events bear the server's time. `Date` has whole seconds and names the instant the answer was made, so
/// this is at most about a second behind: an event is then read again rather than missed.
///
/// One clock alone may be wrong, so that what outlives the run (coverage, progress, forgetting) waits until two agree: the
/// server's, and this machine's wall clock. A `Date` far from what was to be expected moves nothing before further answers, or
/// this machine's clock, confirm it: providers have many nodes.
///
/// Where answers have no `Date`, this machine's clock stands in for the server's, and agrees with itself. What is known to have
/// happened is the other witness then: it shows that the clock is behind. That it is ahead, nothing shows.
pub(crate) struct ServerClock {
    source: String,
    clock: Arc<dyn Clock>,
    /// How far the two may be apart.
    skew: TimeDelta,
    shown: Mutex<Shown>,
}

/// What is known of the server's clock.
#[allow(clippy::struct_excessive_bools, reason = "each is about something else")]
struct Shown {
    /// What it showed, and our monotonic time then.
    date: Timestamp,
    then: Duration,
    /// An answer has come: until then it is this machine's clock.
    answered: bool,
    /// An answer with a `Date` has.
    dated: bool,
    /// The server's clock cannot show less than this.
    least: Option<Timestamp>,
    /// The latest events that happened after what this machine's clock shows, ascending.
    to_come: Vec<Timestamp>,
    /// How often it has gone elsewhere than was to be expected.
    steps: u64,
    /// A `Date` that nothing has confirmed.
    odd: Option<Odd>,
    /// Our monotonic time when it last went where this machine's clock agrees, from where it agreed as well.
    turned: Option<Duration>,
    /// Whether this machine's clock was near at the last look.
    near: bool,
    /// The trouble that has been logged and has not ended, and our monotonic time at the last line.
    telling: bool,
    told: Option<Duration>,
}

/// A `Date` far from what was to be expected.
#[derive(Clone, Copy)]
struct Odd {
    date: Timestamp,
    then: Duration,
    /// Our monotonic time when the first answer showed it, and how many have.
    since: Duration,
    answers: u32,
}

/// What can be built on the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It is known, and this machine's clock agrees.
    pub(crate) agreed: bool,
    /// An answer has come.
    pub(crate) answered: bool,
    /// The same as `agreed`, if the last answers' `Date` was not odd.
    pub(crate) near: bool,
    /// How often it has gone elsewhere than was to be expected: what was planned before that is void.
    pub(crate) steps: u64,
}

/// The latest time that can have been written down by `now`: then and now, the server's clock may have been off by `skew`.
pub(crate) fn most(now: Timestamp, skew: Option<Period>) -> Timestamp {
    now + skew.map_or(SKEW, |skew| skew.0) * 2
}

fn carried_on(date: Timestamp, then: Duration, now: Duration) -> Timestamp {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    date + TimeDelta::milliseconds(millis(now) - millis(then))
}

fn apart(a: Timestamp, b: Timestamp) -> TimeDelta {
    (a - b).abs()
}

impl Shown {
    fn at(&self, ours: Duration) -> Timestamp {
        carried_on(self.date, self.then, ours)
    }

    /// Counts answers that show a `Date` which was not to be expected: whether they are enough to believe it.
    fn confirmed(&mut self, date: Timestamp, ours: Duration) -> bool {
        let again = self.odd.filter(|odd| apart(carried_on(odd.date, odd.then, ours), date) <= STEP);
        let (since, answers) = again.map_or((ours, 1), |odd| (odd.since, odd.answers + 1));
        self.odd = Some(Odd { date, then: ours, since, answers });
        answers >= CONFIRMATIONS && ours.saturating_sub(since) >= CONFIRMED_AFTER
    }

    /// Whether this machine's clock agrees. Once it does not, it has to come a little nearer than it might have gone: at the very
    /// bound nothing flutters.
    fn look(&mut self, wall: Timestamp, ours: Duration, skew: TimeDelta) -> bool {
        let most = if self.near { skew } else { skew - skew / 10 };
        self.near = apart(self.at(ours), wall) <= most && self.behind(wall, most).is_none();
        self.near
    }

    /// What shows that this machine's clock is behind by more than `most`, where the server's does not show itself.
    fn behind(&self, wall: Timestamp, most: TimeDelta) -> Option<Timestamp> {
        self.least.filter(|least| !self.dated && *least - wall > most)
    }
}

impl ServerClock {
    /// Until the server shows its clock, ours must do.
    pub(crate) fn new(source: &str, clock: Arc<dyn Clock>, skew: Option<Period>) -> Self {
        let shown = Shown {
            date: clock.now(),
            then: clock.monotonic(),
            answered: false,
            dated: false,
            least: None,
            to_come: Vec::new(),
            steps: 0,
            odd: None,
            turned: None,
            near: true,
            telling: false,
            told: None,
        };
        let skew = skew.map_or(SKEW, |skew| skew.0);
        Self { source: source.to_owned(), clock, skew, shown: Mutex::new(shown) }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest time that can have been written down by `now`.
    pub(crate) fn most(&self, now: Timestamp) -> Timestamp {
        most(now, Some(Period(self.skew)))
    }

    /// Takes note of an answer and its `Date`. Where answers have none, this machine's clock stands in, and its steps are
    /// confirmed like a server's.
    pub(crate) fn observe(&self, date: Option<Timestamp>) {
        let (wall, ours) = (self.clock.now(), self.clock.monotonic());
        let mut shown = self.shown();
        if date.is_none() && !shown.answered {
            tracing::warn!(
                source = %self.source,
                "answers have no `Date`: this machine's clock alone says what time it is; keep it right (NTP), or have the proxy in between pass the header on"
            );
        }
        shown.dated |= date.is_some();
        let agrees = date.is_some_and(|date| apart(date, wall) <= self.skew);
        let date = date.unwrap_or(wall);
        let expected = apart(date, shown.at(ours)) <= STEP;
        // Where this machine's clock agrees with what was to be expected as well, nodes with different clocks may take turns.
        let far = apart(shown.at(ours), wall) > self.skew;
        let turn = shown.turned.is_none_or(|turned| ours.saturating_sub(turned) >= TURNED_AFTER);
        if agrees && !far && turn && shown.answered && !expected {
            shown.turned = Some(ours);
        }
        let agrees = agrees && (far || turn);
        if !shown.answered || expected || agrees || shown.confirmed(date, ours) {
            (shown.date, shown.then, shown.answered, shown.odd) = (date, ours, true, None);
            shown.steps += u64::from(!expected);
        }
        self.tell(&mut shown, wall, ours);
    }

    /// Takes note of what shows that the time is at least this, whatever clocks say.
    pub(crate) fn at_least(&self, time: Timestamp) {
        let mut shown = self.shown();
        shown.least = shown.least.max(Some(time));
    }

    /// Takes note of when an event happened that has not been met before. One alone may have an odd time.
    pub(crate) fn happened(&self, time: Timestamp) {
        let wall = self.clock.now();
        let mut shown = self.shown();
        if shown.dated || time - wall <= self.skew {
            return;
        }
        shown.to_come.push(time);
        shown.to_come.sort_unstable();
        if shown.to_come.len() > TO_COME {
            shown.to_come.remove(0);
        }
        if shown.to_come.len() == TO_COME {
            shown.least = shown.least.max(shown.to_come.first().copied());
        }
    }

    /// Compares the clocks. To be asked before anything is marked, and now and then while nothing is read.
    pub(crate) fn standing(&self) -> Standing {
        let (wall, ours) = (self.clock.now(), self.clock.monotonic());
        let mut shown = self.shown();
        self.tell(&mut shown, wall, ours);
        let near = shown.answered && shown.near;
        Standing { agreed: near && shown.odd.is_none(), answered: shown.answered, near, steps: shown.steps }
    }

    /// What is wrong with the clocks, if anything is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let (wall, ours) = (self.clock.now(), self.clock.monotonic());
        self.shown().trouble(wall, ours, self.skew)
    }

    /// Logs trouble when it begins and when it ends, and shows it as metrics.
    fn tell(&self, shown: &mut Shown, wall: Timestamp, ours: Duration) {
        if !shown.answered {
            return;
        }
        shown.look(wall, ours, self.skew);
        let server = shown.odd.map_or_else(|| shown.at(ours), |odd| carried_on(odd.date, odd.then, ours));
        let gauge = |name: &'static str| metrics::gauge!(name, "source" => self.source.clone());
        gauge("headwater_clock_skew_seconds").set((server - wall).as_seconds_f64());
        let trouble = shown.trouble(wall, ours, self.skew);
        gauge("headwater_clock_trusted").set(if trouble.is_none() { 1.0 } else { 0.0 });
        match trouble {
            Some(trouble) if !shown.telling && shown.told.is_none_or(|told| ours.saturating_sub(told) > TOLD_EVERY) => {
                tracing::error!(source = %self.source, "{trouble}");
                (shown.telling, shown.told) = (true, Some(ours));
            }
            None if std::mem::take(&mut shown.telling) => {
                tracing::info!(source = %self.source, "the server's clock and this machine's agree again: progress is kept again");
            }
            _ => {}
        }
    }

    /// What the server's clock shows when our monotonic one shows `ours`.
    pub(crate) fn at(&self, ours: Duration) -> Timestamp {
        self.shown().at(ours)
    }

    /// What the server's clock shows now.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(self.clock.monotonic())
    }
}

impl Shown {
    fn trouble(&self, wall: Timestamp, ours: Duration, skew: TimeDelta) -> Option<String> {
        let whole = |time: Timestamp| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let whole_seconds = |delta: TimeDelta| Period(TimeDelta::seconds(delta.num_seconds()));
        let server = self.at(ours);
        if !self.answered {
            None
        } else if let Some(least) = self.behind(wall, TimeDelta::zero()).filter(|_| !self.near) {
            Some(format!(
                "this machine's clock shows {}, and events have happened at {} or later: it is behind, and answers have no `Date`. Events are read and delivered; until the clock is right no range is marked as covered, no progress is kept and nothing is forgotten. Set this machine's clock (NTP)",
                whole(wall),
                whole(least),
            ))
        } else if !self.near {
            Some(format!(
                "the server's clock shows {} and this machine's {}, {} apart: more than `max_clock_skew` ({}). Events are read and delivered; until the clocks agree no range is marked as covered, no progress is kept and nothing is forgotten. Set this machine's clock (NTP), or have the server's set",
                whole(server),
                whole(wall),
                whole_seconds(apart(server, wall)),
                Period(skew),
            ))
        } else {
            self.odd.map(|odd| {
                format!(
                    "an answer's `Date` was {}, and {} was to be expected: not believed unless further answers confirm it; until then no range is marked as covered, no progress is kept and nothing is forgotten",
                    whole(odd.date),
                    whole(carried_on(self.date, self.then, odd.then)),
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wall clock that steps and a monotonic one that does not.
    #[derive(Debug)]
    struct Stepping(Mutex<(Timestamp, Duration)>);

    #[async_trait]
    impl Clock for Stepping {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().0
        }
        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().1
        }
        async fn sleep(&self, _: Duration) {}
    }

    impl Stepping {
        fn pass(&self, seconds: u32) {
            let mut now = self.0.lock().unwrap();
            now.0 += TimeDelta::seconds(seconds.into());
            now.1 += Duration::from_secs(seconds.into());
        }

        fn step(&self, by: TimeDelta) {
            self.0.lock().unwrap().0 += by;
        }
    }

    fn day() -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn clocks() -> (Arc<Stepping>, ServerClock) {
        let clock = Arc::new(Stepping(Mutex::new((day(), Duration::from_secs(5)))));
        (clock.clone(), ServerClock::new("s", clock, None))
    }

    fn agreed(server: &ServerClock) -> bool {
        let agreed = server.standing().agreed;
        assert_eq!(agreed, server.trouble().is_none() && server.shown().answered);
        agreed
    }

    #[test]
    fn nothing_is_built_on_a_clock_before_the_first_answer() {
        let (_, server) = clocks();
        assert!(!server.standing().agreed && server.trouble().is_none());
        server.observe(Some(day() + TimeDelta::seconds(75)));
        assert_eq!((agreed(&server), server.standing().steps), (true, 0));
        let (_, silent) = clocks();
        silent.observe(None);
        assert!(agreed(&silent), "where answers have no `Date`, ours must do");
    }

    #[test]
    fn without_a_date_what_has_happened_shows_that_the_clock_is_behind() {
        let (clock, server) = clocks();
        server.observe(None);
        server.at_least(day() - TimeDelta::days(7));
        assert!(agreed(&server));
        clock.step(-TimeDelta::days(10));
        for _ in 0..4 {
            server.observe(None);
            clock.pass(60);
        }
        assert!(!agreed(&server) && server.trouble().unwrap().contains("it is behind"), "{:?}", server.trouble());
        clock.step(TimeDelta::days(10));
        for _ in 0..4 {
            server.observe(None);
            clock.pass(60);
        }
        assert!(agreed(&server));
        // One event with an odd time shows nothing, and neither do two.
        for _ in 0..2 {
            server.happened(day() + TimeDelta::days(900));
            assert!(agreed(&server));
        }
        server.happened(day() + TimeDelta::hours(1));
        assert!(!agreed(&server) && server.trouble().unwrap().contains("2023-11-14T23:13:20Z or later"));
        server.happened(day() + TimeDelta::hours(2));
        assert!(server.trouble().unwrap().contains("2023-11-15T00:13:20Z or later"));
        // Where the server shows its clock, that one tells.
        server.observe(Some(clock.now()));
        assert!(agreed(&server));
    }

    #[test]
    fn a_step_of_the_local_clock_does_not_move_the_servers_and_ends_the_agreement_until_it_is_back() {
        let (clock, server) = clocks();
        server.observe(Some(day()));
        clock.pass(2);
        clock.step(-TimeDelta::hours(10));
        assert_eq!(server.now(), day() + TimeDelta::seconds(2));
        assert!(!agreed(&server) && server.trouble().unwrap().contains("10h apart"), "{:?}", server.trouble());
        server.observe(Some(day() + TimeDelta::seconds(2)));
        assert!(!agreed(&server));
        clock.step(TimeDelta::hours(10));
        assert_eq!((agreed(&server), server.standing().steps), (true, 0));
    }

    #[test]
    fn at_the_start_the_servers_clock_is_read_by_and_not_built_on_while_ours_is_far() {
        let (clock, _) = clocks();
        clock.step(TimeDelta::days(10));
        let server = ServerClock::new("s", clock.clone(), None);
        server.observe(Some(day()));
        assert_eq!((server.now(), agreed(&server), server.standing().steps), (day(), false, 1));
        clock.step(-TimeDelta::days(10));
        assert!(agreed(&server), "without a further answer");
    }

    #[test]
    fn one_odd_date_moves_nothing_and_a_right_one_ends_the_doubt() {
        let (clock, server) = clocks();
        server.observe(Some(day()));
        for _ in 0..9 {
            clock.pass(16);
            let right = server.now();
            server.observe(Some(right + TimeDelta::hours(20)));
            assert_eq!((server.now(), agreed(&server), server.standing().near), (right, false, true));
            server.observe(Some(right));
            assert_eq!((agreed(&server), server.standing().steps), (true, 0));
        }
        server.observe(Some(server.now() + TimeDelta::hours(20)));
        server.observe(Some(server.now() + TimeDelta::hours(20)));
        server.observe(Some(server.now() + TimeDelta::hours(20)));
        assert_eq!(server.standing().steps, 0, "three within a moment are no confirmation");
    }

    #[test]
    fn a_step_that_further_answers_or_this_machines_clock_confirm_is_one() {
        let (clock, server) = clocks();
        server.observe(Some(day()));
        for seconds in [0, 30, 60] {
            assert_eq!(server.standing().steps, 0);
            server.observe(Some(day() + TimeDelta::hours(20) + TimeDelta::seconds(seconds)));
            clock.pass(30);
        }
        assert_eq!((server.standing().steps, agreed(&server)), (1, false));
        assert_eq!(server.now(), day() + TimeDelta::hours(20) + TimeDelta::seconds(90));
        let (asleep, server) = clocks();
        server.observe(Some(day()));
        asleep.step(TimeDelta::hours(8));
        assert!(!agreed(&server));
        server.observe(Some(day() + TimeDelta::hours(8)));
        assert_eq!((server.standing().steps, agreed(&server)), (1, true), "a machine that slept");
    }

    #[test]
    fn dates_that_take_turns_move_little_however_far_clocks_may_be_apart() {
        let clock = Arc::new(Stepping(Mutex::new((day(), Duration::ZERO))));
        let server = ServerClock::new("s", clock.clone(), Some(Period::hours(9)));
        server.observe(Some(day()));
        for turn in 1..=120 {
            clock.pass(30);
            let right = clock.now();
            server.observe(Some(right + TimeDelta::hours(turn % 2)));
        }
        assert_eq!(server.standing().steps, 1, "in an hour");
    }

    #[test]
    fn at_the_very_bound_nothing_flutters() {
        let (clock, server) = clocks();
        server.observe(Some(day()));
        clock.step(SKEW + TimeDelta::seconds(1));
        assert!(!agreed(&server));
        clock.step(TimeDelta::seconds(-2));
        assert!(!agreed(&server));
        clock.step(-SKEW / 10);
        assert!(agreed(&server));
    }
}
