//! Dead letters are said: the first of each kind at once, the others counted. A component that refuses many is an error.

use crate::dead_letter::DeadLetter;
use headwater_contracts::visible;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Kinds of reasons of one component that are told apart; what comes after them is only counted.
const KINDS_MAX: usize = 20;
/// Events after which a component is judged by the part that it refuses.
const JUDGED_AFTER: u64 = 100;
/// About as many of the last events are looked at.
const REMEMBERED: u64 = 1000;
/// One of so many refused is an error.
const ALARMING: u64 = 10;
/// As much of a reason as is logged and compared, characters.
const REASON_MAX: usize = 400;

/// What a component has refused since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// The component.
    pub component: String,
    /// How many events.
    pub events: u64,
    /// How many of them are in the dead letters: others are read again.
    pub kept: u64,
    /// How many of these are settled, so that they are not read again.
    pub settled: u64,
    /// The reason of the first one.
    pub reason: String,
    /// The id of the first one.
    pub id: String,
    /// Where they are kept.
    pub place: String,
}

/// A component that refuses much of what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusing {
    /// The component.
    pub component: String,
    /// Of how many events, the last ones that it was given.
    pub given: u64,
    /// How many of them it refused.
    pub refused: u64,
    /// The last reason.
    pub reason: String,
}

/// What a component was given and refused of late.
#[derive(Debug, Default)]
struct Lately {
    given: u64,
    refused: u64,
}

impl Lately {
    /// What is long ago counts less and less.
    fn given(&mut self, events: u64) {
        self.given += events;
        while self.given > REMEMBERED {
            (self.given, self.refused) = (self.given / 2, self.refused / 2);
        }
    }

    fn share(&self) -> f64 {
        self.refused as f64 / self.given.max(1) as f64
    }

    /// Whether more is refused than a sound component would. An alarm ends at half of what began it.
    fn is_alarming(&self, before: bool) -> bool {
        let one_of = if before { 2 * ALARMING } else { ALARMING };
        self.given >= JUDGED_AFTER && self.refused * one_of >= self.given
    }
}

/// The account of dead letters, by component. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rejections(Arc<Mutex<BTreeMap<String, Component>>>);

#[derive(Debug, Default)]
struct Component {
    rejected: Rejected,
    lately: Lately,
    /// Whether an error has told of it.
    alarmed: bool,
    kinds: HashSet<String>,
    /// Those that no line has told of.
    untold: u64,
    /// The reason of the last one.
    last: String,
}

impl Rejections {
    /// Takes note of how many events components were given, and of those that they refused, which are to be kept in `place`. The first of
    /// a kind is logged.
    pub(crate) fn note(&self, given: &[(&str, u64)], letters: &[DeadLetter], place: &str) {
        let mut components = self.lock();
        for (name, events) in given {
            match components.get_mut(*name) {
                Some(component) => component.lately.given(*events),
                None => components.entry((*name).to_owned()).or_default().lately.given(*events),
            }
        }
        let mut news: BTreeMap<(String, String), (&DeadLetter, u64)> = BTreeMap::new();
        for letter in letters {
            let component = components.entry(letter.component.clone()).or_default();
            let reason = shortened(&letter.reason);
            if component.rejected.events == 0 {
                component.rejected = Rejected {
                    component: letter.component.clone(),
                    reason: reason.clone(),
                    id: letter.event.id.clone(),
                    place: place.to_owned(),
                    ..Rejected::default()
                };
            }
            component.rejected.events += 1;
            component.lately.refused += 1;
            component.last.clone_from(&reason);
            let kind = kind(&reason);
            let key = (letter.component.clone(), kind.clone());
            if let Some((_, count)) = news.get_mut(&key) {
                *count += 1;
            } else if component.kinds.len() < KINDS_MAX && component.kinds.insert(kind) {
                news.insert(key, (letter, 1));
            } else {
                component.untold += 1;
            }
            metrics::counter!("headwater_dead_letters_total", "component" => letter.component.clone()).increment(1);
        }
        for (letter, events) in news.into_values() {
            let (source, stream) = letter.event.origin.lane();
            tracing::warn!(
                component = %letter.component, %source, %stream, id = %visible(&letter.event.id), events,
                "refused: goes to the dead letters, {place}: {}", shortened(&letter.reason)
            );
        }
        let given = given.iter().map(|(name, _)| *name);
        let looked_at: BTreeSet<&str> = letters.iter().map(|letter| letter.component.as_str()).chain(given).collect();
        for name in looked_at {
            if let Some(component) = components.get_mut(name) {
                component.look(name, false);
            }
        }
    }

    /// They are in the dead letters now.
    pub(crate) fn kept(&self, component: &str) {
        if let Some(component) = self.lock().get_mut(component) {
            component.rejected.kept += 1;
        }
    }

    /// So many of them are in the ledger as well.
    pub(crate) fn settled(&self, kept: &BTreeMap<String, u64>) {
        let mut all = self.lock();
        for (component, letters) in kept {
            if let Some(component) = all.get_mut(component) {
                component.rejected.settled += letters;
            }
        }
    }

    /// One line for each component that has refused more since the last one.
    pub(crate) fn remind(&self) {
        for (name, component) in &mut *self.lock() {
            let events = std::mem::take(&mut component.untold);
            if events > 0 && !component.look(name, true) {
                let Component { rejected: Rejected { events: all, place, .. }, last, .. } = component;
                tracing::warn!(
                    component = %name, events, all = *all,
                    "more events refused: they go to the dead letters, {place}; the last one: {last}"
                );
            }
        }
    }

    /// The account so far.
    pub(crate) fn all(&self) -> Vec<Rejected> {
        let all = self.lock();
        all.values().map(|component| &component.rejected).filter(|rejected| rejected.events > 0).cloned().collect()
    }

    /// Those that refuse much of what they are given.
    pub(crate) fn refusing(&self) -> Vec<Refusing> {
        let all = self.lock();
        let alarmed = all.iter().filter(|(_, component)| component.alarmed);
        let shown = |(name, component): (&String, &Component)| Refusing {
            component: name.clone(),
            given: component.lately.given,
            refused: component.lately.refused,
            reason: component.last.clone(),
        };
        alarmed.map(shown).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Component>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    /// Looks at the part that it refuses, and says so where that is an error: when it becomes one, and whenever to `repeat`.
    /// Whether that was said.
    fn look(&mut self, name: &str, repeat: bool) -> bool {
        if self.rejected.events == 0 {
            return false;
        }
        let Lately { given, refused } = self.lately;
        metrics::gauge!("headwater_refused_ratio", "component" => name.to_owned()).set(self.lately.share());
        let before = self.alarmed;
        self.alarmed = self.lately.is_alarming(before);
        if before && !self.alarmed {
            tracing::info!(component = %name, "refuses less now: {refused} of its last {given} events");
        }
        let says = self.alarmed && (repeat || !before);
        if says {
            let Self { rejected: Rejected { place, events, .. }, last, .. } = self;
            tracing::error!(
                component = %name, all = *events,
                "refuses {refused} of its last {given} events, so that it is probably wrong itself. They go to the dead letters, {place}, and \
                 are not read again; mend it. The last reason: {last}"
            );
        }
        says
    }
}

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON_MAX) {
        Some((end, _)) => format!("{}..", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// What reasons of one kind share: all but numbers and what is quoted from the event.
fn kind(reason: &str) -> String {
    let mut quote = None;
    let mut kind = String::new();
    for c in reason.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`') => quote = Some(c),
            None if c.is_numeric() => {}
            None => kind.push(c),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::{Event, Identity, Origin, OwnQueryPolicy, Timestamp};

    fn letter(id: &str, reason: &str) -> DeadLetter {
        let origin = Origin {
            source: "s".into(),
            provider: "p".into(),
            stream: "x".into(),
            own_query_policy: OwnQueryPolicy::default(),
            simulated: false,
            read_by: None,
        };
        let event = Event {
            origin: Arc::new(origin),
            id: id.into(),
            identity: Identity::of(&[id.as_bytes()]),
            time: None,
            observed: Timestamp::UNIX_EPOCH,
            own_query: false,
            suspicious: None,
            late: None,
            raw: "{}".into(),
            value: None,
            encoded: None,
            metadata: None,
            index: 0,
        };
        DeadLetter { event, component: "bad".into(), reason: reason.into(), oversized: None }
    }

    #[test]
    fn one_kind_is_told_once_whatever_the_event_adds_to_it() {
        let rejections = Rejections::default();
        rejections.note(&[], &[letter("a", "at 5:1: `to_int`: no number in \"x1\"")], "somewhere");
        rejections.note(
            &[],
            &[letter("b", "at 5:1: `to_int`: no number in \"yy22\""), letter("c", "HTTP 500")],
            "somewhere",
        );
        let all = rejections.all();
        assert_eq!((all.len(), all[0].events, all[0].id.as_str()), (1, 3, "a"));
        let untold = |rejections: &Rejections| rejections.lock()["bad"].untold;
        assert_eq!(untold(&rejections), 1);
        rejections.remind();
        assert_eq!(untold(&rejections), 0);
    }

    #[test]
    fn a_component_that_refuses_a_tenth_of_its_events_is_an_error_until_it_refuses_less() {
        let rejections = Rejections::default();
        let give = |given: u64, refused: usize| {
            rejections.note(&[("bad", given), ("good", 5000)], &vec![letter("a", "no"); refused], "somewhere");
            rejections.refusing().into_iter().map(|found| (found.refused, found.given)).collect::<Vec<_>>()
        };
        assert_eq!(give(99, 98), [], "too few to judge by");
        assert_eq!(give(1, 1), [(99, 100)]);
        rejections.remind();
        assert!((0..20).any(|_| give(200, 0).is_empty()));
        // A few that nobody can read are no alarm, however many good ones there were.
        assert_eq!(give(1_000_000, 20), []);
        assert_eq!(rejections.all().len(), 1, "who refuses nothing is not named");
    }

    #[test]
    fn a_component_that_never_repeats_itself_costs_bounded_memory() {
        let rejections = Rejections::default();
        for n in 0..100_u8 {
            let word = char::from(b'a' + n % 26).to_string().repeat(usize::from(n) + 1);
            rejections.note(&[], &[letter("a", &word)], "somewhere");
        }
        assert_eq!(rejections.lock()["bad"].kinds.len(), KINDS_MAX);
        assert_eq!(rejections.all()[0].events, 100);
    }
}
