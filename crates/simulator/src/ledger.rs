//! The truth that a test compares with.

use crate::log::{Entry, Kind};
use crate::poison::Poison;
use crate::time::instant;
use crate::world::World;
use headwater_contracts::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};

/// One event as it really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Its id, as the provider spells it.
    pub id: String,
    /// When it happened.
    pub time: Timestamp,
    /// From when on the API shows it, by the server's clock.
    pub visible_at: Timestamp,
    /// From when on the API has forgotten it, by the server's clock.
    pub expires_at: Timestamp,
    /// Why it is there.
    pub kind: Kind,
    /// What makes it hard to read, if anything does.
    pub poison: Option<Poison>,
    /// Its JSON, exactly as it has been shown: one form, or more where the provider writes an event again.
    pub forms: Vec<Vec<u8>>,
    /// From when on each form is shown, by the server's clock.
    pub shown_from: Vec<Timestamp>,
    /// How often it was sent, repetitions and answers that broke off later included.
    pub served: u64,
}

impl Truth {
    /// The form that the API shows at `now`; `None` before the first.
    pub fn form_at(&self, now: Timestamp) -> Option<&[u8]> {
        let shown = self.forms.iter().zip(&self.shown_from).filter(|(_, from)| **from <= now);
        shown.max_by_key(|(_, from)| **from).map(|(form, _)| form.as_slice())
    }

    /// Whether `raw` is exactly this event as the provider sends it.
    pub fn is(&self, raw: &[u8]) -> bool {
        self.forms.iter().any(|form| form == raw)
    }
}

/// One request that reached the simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Raw query, without `?`.
    pub query: String,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Status of the answer; `None` for a request that was never answered.
    pub status: Option<u16>,
    /// The audit log itself was asked for (and the fault rules counted it).
    pub audit: bool,
}

impl Seen {
    /// The first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Its `User-Agent`, empty if none.
    pub fn user_agent(&self) -> &str {
        self.header("user-agent").unwrap_or_default()
    }
}

/// What the simulator holds, shows and has seen. A handle: it stays valid, and readable after the server has stopped.
#[derive(Clone)]
pub struct Ledger {
    world: Arc<Mutex<World>>,
}

impl Ledger {
    pub(crate) fn new(world: Arc<Mutex<World>>) -> Self {
        Self { world }
    }

    /// Every event that has been generated so far, in chronological order. Renders them all: for millions, prefer
    /// [`Ledger::visible_ids`].
    pub fn events(&self) -> Vec<Truth> {
        self.with(|world| {
            world.log.order().iter().filter_map(|&(_, i)| world.log.get(i)).map(|e| truth(world, e)).collect()
        })
    }

    /// The event with this id.
    pub fn event(&self, id: &str) -> Option<Truth> {
        self.with(|world| {
            let index = world.log.find(world.api.key(id)?)?;
            let found = truth(world, world.log.get(index)?);
            (found.id == id).then_some(found)
        })
    }

    /// Ids of the events that the API shows at `now` (server's clock), in chronological order. Nothing is known of
    /// events after the present.
    pub fn visible_ids(&self, now: Timestamp) -> Vec<String> {
        self.ids(|world, entry| {
            let now = now.timestamp_millis();
            entry.visible_at <= now && entry.time > now - world.api.facts().retention
        })
    }

    /// Ids of all events that the API has shown until now, also of those it has forgotten since.
    pub fn ids_shown_so_far(&self) -> Vec<String> {
        self.ids(|world, entry| {
            entry.visible_at <= world.now() && entry.visible_at < entry.time + world.api.facts().retention
        })
    }

    /// Number of events generated so far, those not visible yet included.
    pub fn len(&self) -> usize {
        self.with(|world| world.log.entries().len())
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often the event was sent; 0 for an id that does not exist.
    pub fn served(&self, id: &str) -> u64 {
        self.with(|world| {
            let index = world.api.key(id).and_then(|key| world.log.find(key));
            index.and_then(|index| world.log.get(index)).map_or(0, |entry| entry.served)
        })
    }

    /// Every request, in order of arrival.
    pub fn requests(&self) -> Vec<Seen> {
        self.with(|world| world.requests.clone())
    }

    /// Requests that a client sent where it should not: to the origin of a hostile link or redirect. Must stay empty.
    pub fn trapped(&self) -> Vec<Seen> {
        self.with(|world| world.trapped.clone())
    }

    fn ids(&self, shown: impl Fn(&World, &Entry) -> bool) -> Vec<String> {
        self.with(|world| {
            let entries = world.log.order().iter().filter_map(|&(_, index)| world.log.get(index));
            entries.filter(|entry| shown(world, entry)).map(|entry| world.api.id(entry.key)).collect()
        })
    }

    /// Looks at the world as it is now.
    fn with<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance();
        look(&world)
    }
}

fn truth(world: &World, entry: &Entry) -> Truth {
    let versions = world.api.versions(entry);
    let forms = versions.iter().map(|&as_of| {
        let mut raw = Vec::new();
        world.render(entry, as_of, &mut raw);
        raw
    });
    Truth {
        id: world.api.id(entry.key),
        time: instant(entry.time),
        visible_at: instant(entry.visible_at),
        expires_at: instant(entry.time + world.api.facts().retention),
        kind: entry.kind,
        poison: world.poison(entry),
        forms: forms.collect(),
        shown_from: versions.iter().map(|&from| instant(from)).collect(),
        served: entry.served,
    }
}
