//! Dead letters are said: the first of each kind at once, the others counted.

use crate::dead_letter::DeadLetter;
use headwater_contracts::visible;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Kinds of reasons of one component that are told apart; what comes after them is only counted.
const KINDS_MAX: usize = 20;
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
    /// The reason of the first one.
    pub reason: String,
    /// The id of the first one.
    pub id: String,
    /// Where they are kept.
    pub place: String,
}

/// The account of dead letters, by component. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rejections(Arc<Mutex<BTreeMap<String, Component>>>);

#[derive(Debug, Default)]
struct Component {
    rejected: Rejected,
    kinds: HashSet<String>,
    /// Those that no line has told of.
    untold: u64,
    /// The reason of the last one.
    last: String,
}

impl Rejections {
    /// Takes note of events that are to be kept in `place`. The first of a kind is logged.
    pub(crate) fn note(&self, letters: &[DeadLetter], place: &str) {
        let mut components = self.lock();
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
            let kind = kind(&reason);
            let key = (letter.component.clone(), kind.clone());
            if let Some((_, count)) = news.get_mut(&key) {
                *count += 1;
            } else if component.kinds.len() < KINDS_MAX && component.kinds.insert(kind) {
                news.insert(key, (letter, 1));
            } else {
                component.untold += 1;
                component.last = reason;
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
    }

    /// They are in the dead letters now.
    pub(crate) fn kept(&self, components: impl IntoIterator<Item = String>) {
        let mut all = self.lock();
        for component in components {
            all.entry(component).or_default().rejected.kept += 1;
        }
    }

    /// One line for each component that has refused more since the last one.
    pub(crate) fn remind(&self) {
        for (name, component) in &mut *self.lock() {
            let events = std::mem::take(&mut component.untold);
            if events > 0 {
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
        self.lock().values().map(|component| component.rejected.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Component>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        rejections.note(&[letter("a", "at 5:1: `to_int`: no number in \"x1\"")], "somewhere");
        rejections
            .note(&[letter("b", "at 5:1: `to_int`: no number in \"yy22\""), letter("c", "HTTP 500")], "somewhere");
        let all = rejections.all();
        assert_eq!((all.len(), all[0].events, all[0].id.as_str()), (1, 3, "a"));
        let untold = |rejections: &Rejections| rejections.lock()["bad"].untold;
        assert_eq!(untold(&rejections), 1);
        rejections.remind();
        assert_eq!(untold(&rejections), 0);
    }

    #[test]
    fn a_component_that_never_repeats_itself_costs_bounded_memory() {
        let rejections = Rejections::default();
        for n in 0..100_u8 {
            let word = char::from(b'a' + n % 26).to_string().repeat(usize::from(n) + 1);
            rejections.note(&[letter("a", &word)], "somewhere");
        }
        assert_eq!(rejections.lock()["bad"].kinds.len(), KINDS_MAX);
        assert_eq!(rejections.all()[0].events, 100);
    }
}
