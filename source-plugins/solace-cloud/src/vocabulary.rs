//! Categories and the types within them: `GET /api/v2/audit/categories`, a list of `category` and `types`, each of `name` and
//! `description`; bare, or in `data` as elsewhere in this API.

use crate::{check::CATEGORIES, config::Filter, scan::DENIED};
use headwater_contracts::{Asked, Question, Request, Term, Vocabulary};
use headwater_source_kit::{listed, text};
use serde_json::Value;

const CATEGORY: &str = "category";
const EVENT_TYPE: &str = "event type";

/// What the account lists, and what the filter asks for.
pub(crate) fn vocabulary(filter: &Filter) -> Vocabulary {
    let one = |kind, option: &str, name: &Option<String>, within: &Option<String>| {
        let within = within.clone();
        name.clone().map(|name| Asked { kind, option: option.into(), name, within })
    };
    let asked = [
        one(CATEGORY, "filter.event_category", &filter.event_category, &None),
        one(EVENT_TYPE, "filter.event_type", &filter.event_type, &filter.event_category),
    ];
    let question = Question {
        what: "categories and event types".into(),
        kinds: &[CATEGORY, EVENT_TYPE],
        request: Request::get(CATEGORIES),
        read: categories,
        denied: DENIED,
        optional: false,
    };
    Vocabulary { questions: vec![question], asked: asked.into_iter().flatten().collect() }
}

fn categories(body: &[u8]) -> Option<Vec<Term>> {
    let mut terms = Vec::new();
    for item in listed(body, &["data"])? {
        let Some(category) = text(&item, "category") else { continue };
        let types = item.get("types").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
        let types = types.filter_map(|one| {
            let term = Term::new(EVENT_TYPE, text(one, "name")?).label(text(one, "description"));
            Some(term.within([category.clone()]))
        });
        let types: Vec<Term> = types.collect();
        terms.push(Term::new(CATEGORY, category));
        terms.extend(types);
    }
    Some(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_within_its_category_whether_the_list_is_bare_or_not() {
        let list =
            r#"[{"category":"IAM","types":[{"name":"LOGIN","description":"User login"},{"description":"?"}]},{}]"#;
        let login = Term::new(EVENT_TYPE, "LOGIN").label(Some("User login".into())).within(["IAM".into()]);
        let expected = [Term::new(CATEGORY, "IAM"), login];
        for body in [list.to_owned(), format!(r#"{{"data":{list}}}"#)] {
            assert_eq!(categories(body.as_bytes()).unwrap(), expected);
        }
        assert!(categories(b"{}").is_none());
    }

    #[test]
    fn a_type_that_is_asked_for_counts_within_its_category() {
        let filter =
            Filter { event_category: Some("IAM".into()), event_type: Some("LOGIN".into()), ..Filter::default() };
        let asked = vocabulary(&filter).asked;
        assert_eq!(asked[1].within.as_deref(), Some("IAM"));
        assert_eq!(asked[0].option, "filter.event_category");
    }
}
