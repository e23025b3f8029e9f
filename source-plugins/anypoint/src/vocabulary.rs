//! What the platform lists of its names: platforms, types of objects and actions of an organization's audit log, and the tree of
//! business groups.
//!
//! | list | path | item |
//! |---|---|---|
//! | platforms | `/audit/v2/organizations/{id}/platforms` | `name`, `label` |
//! | types of objects | `/audit/v2/organizations/{id}/objectTypes` | `name`, `label`, `platforms` |
//! | actions | `/audit/v2/organizations/{id}/actions` | `name`, `label`, `objectTypes` |
//! | business groups | `/accounts/api/organizations/{id}/hierarchy` | `id`, `name`, `subOrganizations` |
//!
//! Facts: the vendor's OpenAPI file of the audit log query API; for the tree, clients that others have published. The first three come
//! as `{"data": [..], "total": n}`, hold what there is in that organization, and take from the budget of its queries.

use crate::window::DENIED;
use headwater_contracts::{Asked, Question, Request, Term, Vocabulary};
use headwater_source_kit::{listed, text, texts};
use serde_json::Value;

pub(crate) const PLATFORM: &str = "platform";
pub(crate) const OBJECT_TYPE: &str = "object type";
pub(crate) const ACTION: &str = "action";
const ORGANIZATION: &str = "organization";

const DENIED_TREE: &str = "the tree of business groups takes a right to read organizations, beside \"Audit Log Viewer\"; the audit log itself does not need it";

/// What these organizations list, and what the settings ask for.
pub(crate) fn vocabulary(organizations: &[String], asked: &[Asked]) -> Vocabulary {
    let questions = organizations.iter().flat_map(|id| {
        let names = |kinds: &'static [&'static str], list: &str, read| Question {
            what: format!("{list} of organization `{id}`"),
            kinds,
            request: Request::get(format!("/audit/v2/organizations/{id}/{list}")),
            read,
            denied: DENIED,
            optional: false,
        };
        let tree = Question {
            what: format!("business groups of organization `{id}`"),
            kinds: &[ORGANIZATION],
            request: Request::get(format!("/accounts/api/organizations/{id}/hierarchy")),
            read: groups,
            denied: DENIED_TREE,
            optional: true,
        };
        [
            names(&[PLATFORM], "platforms", platforms),
            names(&[OBJECT_TYPE], "objectTypes", object_types),
            names(&[ACTION], "actions", actions),
            tree,
        ]
    });
    Vocabulary { questions: questions.collect(), asked: asked.to_vec() }
}

fn platforms(body: &[u8]) -> Option<Vec<Term>> {
    names(PLATFORM, body, None)
}

fn object_types(body: &[u8]) -> Option<Vec<Term>> {
    names(OBJECT_TYPE, body, Some("platforms"))
}

fn actions(body: &[u8]) -> Option<Vec<Term>> {
    names(ACTION, body, Some("objectTypes"))
}

fn names(kind: &'static str, body: &[u8], within: Option<&str>) -> Option<Vec<Term>> {
    let term = |item| {
        let within = within.map(|member| texts(&item, member)).unwrap_or_default();
        Some(Term::new(kind, text(&item, "name")?).label(text(&item, "label")).within(within))
    };
    Some(listed(body, &["data"])?.into_iter().filter_map(term).collect())
}

fn groups(body: &[u8]) -> Option<Vec<Term>> {
    let root: Value = serde_json::from_slice(body).ok()?;
    root.get("id")?.as_str()?;
    let mut found = Vec::new();
    let mut left = vec![(None, &root)];
    while let Some((above, group)) = left.pop() {
        let Some(id) = group.get("id").and_then(Value::as_str) else { continue };
        let name = group.get("name").and_then(Value::as_str).map(str::to_owned);
        found.push(Term::new(ORGANIZATION, id).label(name).within(above));
        let below = group.get("subOrganizations").and_then(Value::as_array);
        left.extend(below.into_iter().flatten().rev().map(|group| (Some(id.to_owned()), group)));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_what_a_name_belongs_to_are_read() {
        let body = br#"{"data":[{"name":"login","label":"Login","objectTypes":["User"]},{"name":"x","label":"x"},{}],"total":3}"#;
        let expected = [
            Term::new(ACTION, "login").label(Some("Login".into())).within(["User".into()]),
            Term { kind: ACTION, name: "x".into(), label: None, within: vec![] },
        ];
        assert_eq!(actions(body).unwrap(), expected);
        for other in [&b"<html>"[..], b"{}", br#"{"error":"no"}"#] {
            assert!(actions(other).is_none() && groups(other).is_none());
        }
    }

    #[test]
    fn the_tree_names_each_group_below_the_one_above() {
        let body = br#"{"id":"r","name":"Root","subOrganizations":[
            {"id":"a","name":"A","subOrganizations":[{"id":"b"}]},{"name":"no id"},{"id":"c","subOrganizations":null}]}"#;
        let told: Vec<_> = groups(body).unwrap().into_iter().map(|term| (term.name, term.within.join(","))).collect();
        let expected = [("r", ""), ("a", "r"), ("b", "a"), ("c", "r")];
        assert_eq!(told, expected.map(|(id, above)| (id.to_owned(), above.to_owned())));
    }

    #[test]
    fn each_organization_is_asked_for_its_own() {
        let asked = Asked::each(ACTION, "filter.actions", &["Login".into()]);
        let vocabulary = vocabulary(&["o-1".into(), "o-2".into()], &asked);
        assert_eq!(vocabulary.questions.len(), 8);
        assert_eq!(vocabulary.questions[6].request.path, "/audit/v2/organizations/o-2/actions");
        assert_eq!(vocabulary.asked[0].option, "filter.actions.0");
    }
}
