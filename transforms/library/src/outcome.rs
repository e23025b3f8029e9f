//! Success or failure, from what the table counts as evidence, and never guessed.

use crate::attributes::{Out, fixed};
use crate::ocsf::OTHER;
use crate::pattern::Captures;
use crate::table::{Outcome, Provider};
use crate::view::View;
use vrl::value::Value;

/// `status_id` and `status`. The first row that matches decides; where none does, the fact `status` is shown as it is.
pub(crate) fn outcome(out: &mut Out, table: &'static Provider, view: &View<'_>) -> (i64, Value) {
    for row in &table.status {
        let holds = row.when.iter().all(|(name, patterns)| {
            let matches = |text: &str| patterns.0.iter().any(|one| one.matches(text, &mut Captures::new()));
            view.lookup(name).is_some_and(matches)
        });
        if !holds {
            continue;
        }
        // What says nothing else than the outcome is represented by it.
        for name in row.when.keys().filter(|name| *name == "status" || table.flags.contains_key(*name)) {
            if let Some(leaf) = view.fact(name) {
                out.take(leaf);
            }
        }
        return match row.is {
            Outcome::Success => (1, fixed("Success")),
            Outcome::Failure => (2, fixed("Failure")),
        };
    }
    match view.fact("status") {
        Some(status) => (OTHER.into(), out.take(status)),
        None => (0, fixed("Unknown")),
    }
}
