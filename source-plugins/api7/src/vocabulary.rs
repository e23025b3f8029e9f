//! The list of event types: `GET /api/audit_logs/event_types`, items of `key` and `name`. The permission for it is not documented,
//! so that a refusal is no reason to doubt the token.

use crate::{config::Filter, echo::AUDIT};
use headwater_contracts::{Asked, Question, Request, Term, Vocabulary};
use headwater_source_kit::{listed, text};

const EVENT_TYPE: &str = "event type";
const DENIED: &str = "the role of the token's owner may lack `iam:GetAudit`, or whatever this list takes: its permission is not documented; the log itself does not need the list";

/// What the control plane lists, and what the filter asks for.
pub(crate) fn vocabulary(filter: &Filter) -> Vocabulary {
    let asked = filter.event_type.iter().map(|name| Asked {
        kind: EVENT_TYPE,
        option: "filter.event_type".into(),
        name: name.clone(),
        within: None,
    });
    let question = Question {
        what: "event types".into(),
        kinds: &[EVENT_TYPE],
        request: Request::get(format!("{AUDIT}/event_types")),
        read: event_types,
        denied: DENIED,
        optional: true,
    };
    Vocabulary { questions: vec![question], asked: asked.collect() }
}

fn event_types(body: &[u8]) -> Option<Vec<Term>> {
    let term = |item| Some(Term::new(EVENT_TYPE, text(&item, "key")?).label(text(&item, "name")));
    Some(listed(body, &["list", "data"])?.into_iter().filter_map(term).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_name_and_the_name_its_label() {
        let body = br#"{"total":2,"list":[{"key":"create_service","name":"Add Service"},{"name":"no key"}]}"#;
        let expected = [Term::new(EVENT_TYPE, "create_service").label(Some("Add Service".into()))];
        assert_eq!(event_types(body).unwrap(), expected);
        assert!(event_types(br#"{"error_msg":"no"}"#).is_none());
    }
}
