//! The `route` transform: one output per condition.

use crate::compiler::Condition;
use crate::machine::{Machine, Trouble};
use crate::problem::Locate;
use crate::target::EventTarget;
use headwater_contracts::{Emit, Event, Port, Transform};

/// The output for events that meet no condition.
pub const UNMATCHED: &str = "_unmatched";

/// One output of a [`Route`].
pub struct RouteRule {
    /// Its name.
    pub name: String,
    /// Which events leave through it.
    pub condition: Condition,
    /// Where in the user's file a byte of the condition is.
    pub locate: Locate,
}

/// Sends each event, unchanged, to every output whose condition it meets. One that meets none leaves by
/// [`UNMATCHED`], or is dropped, counted by rule. An event that any condition fails on goes to the dead letters only.
pub struct Route {
    name: String,
    rules: Vec<RouteRule>,
    reroute_unmatched: bool,
}

impl Route {
    /// A transform named `name` in the pipeline, with the outputs in the order given, then [`UNMATCHED`] if
    /// `reroute_unmatched` (Vector's default).
    pub fn new(name: &str, rules: Vec<RouteRule>, reroute_unmatched: bool) -> Self {
        Self { name: name.to_owned(), rules, reroute_unmatched }
    }

    fn matches(&self, machine: &mut Machine, target: &mut EventTarget) -> Result<Vec<Port>, String> {
        let mut ports = Vec::new();
        for (port, rule) in self.rules.iter().enumerate() {
            let explain = |trouble: Trouble| {
                trouble.describe(&format!("transform `{}`, route `{}`,", self.name, rule.name), &rule.locate)
            };
            if machine.test(&rule.condition, target).map_err(explain)? {
                ports.push(port);
            }
        }
        if ports.is_empty() && self.reroute_unmatched {
            ports.push(self.rules.len());
        }
        Ok(ports)
    }
}

impl Transform for Route {
    fn ports(&self) -> Vec<String> {
        let unmatched = self.reroute_unmatched.then(|| UNMATCHED.to_owned());
        self.rules.iter().map(|rule| rule.name.clone()).chain(unmatched).collect()
    }

    fn run(&self, events: Vec<Event>, emit: &mut dyn Emit) {
        let mut machine = Machine::new();
        for event in events {
            let mut target = EventTarget::new(event);
            let ports = self.matches(&mut machine, &mut target);
            let event = target.into_original();
            match ports.as_deref() {
                Ok([others @ .., last]) => {
                    for port in others {
                        emit.next(*port, event.clone());
                    }
                    emit.next(*last, event);
                }
                Ok([]) => emit.drop(&event),
                Err(reason) => emit.fail(event, reason.clone()),
            }
        }
    }
}
