//! The names that a filter holds. The API lists none.

use headwater_contracts::{Asked, Vocabulary};

/// What the settings ask for.
pub(crate) fn vocabulary(actions: &[String]) -> Vocabulary {
    Vocabulary { questions: Vec::new(), asked: Asked::each("action", "filter.actions", actions) }
}
