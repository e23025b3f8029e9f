//! Names in a configuration that its provider does not list. No list is closed, so each is a doubt and no mistake.

use super::known::{Known, is_same};
use headwater_config::closest;
use headwater_contracts::{Asked, Term};

/// What is odd about a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The option that holds it.
    pub(crate) option: String,
    /// What is odd.
    pub(crate) problem: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// What is odd about the names that `source` asks for.
pub(crate) fn doubts(source: &str, asked: &[&Asked], known: &Known) -> Vec<Doubt> {
    asked.iter().filter_map(|name| doubt(source, name, asked, known)).collect()
}

fn doubt(source: &str, name: &Asked, asked: &[&Asked], known: &Known) -> Option<Doubt> {
    let listed = known.of(name.kind);
    let doubt = |problem: String, hint: Option<String>| Some(Doubt { option: name.option.clone(), problem, hint });
    let Asked { kind, name: word, .. } = name;
    if listed.is_empty() {
        let own: Vec<&str> = known.own.iter().filter(|own| own.kind == *kind).map(|own| own.text.as_str()).collect();
        if known.own.iter().any(|own| own.kind == *kind && own.matches(word)) {
            return None;
        }
        // Of all the names that headwater does not know most are right: only what looks like a slip is worth a word.
        let close = closest(word, own.into_iter().filter(|own| !own.contains('*')))?;
        return doubt(
            format!("source `{source}` asks for the {kind} `{word}`, which headwater does not know"),
            Some(format!(
                "did you mean `{close}`? the provider lists no names; `headwater list {source}` shows those that headwater knows"
            )),
        );
    }
    let Some(term) = listed.iter().find(|term| term.name == *word) else {
        let hint = meant(word, &listed).map_or_else(
            || format!("`headwater list {source}` shows what there is"),
            |meant| format!("did you mean {meant}? `headwater list {source}` shows what there is"),
        );
        return doubt(
            format!("source `{source}` asks for the {kind} `{word}`, which the provider does not list"),
            Some(hint),
        );
    };
    if let Some(within) = &name.within
        && !term.within.is_empty()
        && !term.within.contains(within)
    {
        let of = term.within.join("`, `");
        return doubt(
            format!(
                "source `{source}` asks for the {kind} `{word}` of `{within}`, and the provider lists it for `{of}`"
            ),
            Some(format!("nothing will be read; ask for `{of}`")),
        );
    }
    let is_asked = |other: &str| asked.iter().any(|name| name.kind == *kind && name.name == other);
    let others: Vec<&str> = known.also(kind, word).into_iter().filter(|other| !is_asked(other)).collect();
    if others.is_empty() || name.within.is_some() {
        return None;
    }
    let others = others.join("`, `");
    doubt(
        format!(
            "source `{source}` asks for the {kind} `{word}`, and the provider has `{others}` as well, which is another name to it"
        ),
        Some(format!("add `{others}` to read both")),
    )
}

/// What somebody who wrote `word` may have meant, in quotes, with the label if it was that.
fn meant(word: &str, listed: &[&Term]) -> Option<String> {
    let by_label = |term: &&&Term| term.label.as_deref().is_some_and(|label| is_same(label, word));
    if let Some(term) = listed.iter().find(|term| is_same(&term.name, word)) {
        return Some(format!("`{}`", term.name));
    }
    if let Some(term) = listed.iter().find(by_label) {
        return Some(format!("`{}`, whose label is `{}`", term.name, term.label.as_deref().unwrap_or_default()));
    }
    let labels = listed.iter().filter_map(|term| term.label.as_deref());
    let close = closest(word, listed.iter().map(|term| term.name.as_str()).chain(labels))?;
    let term = listed
        .iter()
        .find(|term| term.name == close)
        .or_else(|| listed.iter().find(|term| term.label.as_deref() == Some(close)))?;
    Some(format!("`{}`", term.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Term;

    fn asked(kind: &'static str, name: &str, within: Option<&str>) -> Asked {
        Asked { kind, option: "filter.x".into(), name: name.into(), within: within.map(str::to_owned) }
    }

    fn said(known: &Known, asked: &[Asked]) -> Vec<String> {
        let asked: Vec<&Asked> = asked.iter().collect();
        let text = |doubt: Doubt| format!("{} ({})", doubt.problem, doubt.hint.unwrap_or_default());
        doubts("s", &asked, known).into_iter().map(text).collect()
    }

    fn check(known: &Known, asked: &[Asked], expected: Option<&[&str]>) {
        let said = said(known, asked);
        match expected {
            None => assert!(said.is_empty(), "{said:?}"),
            Some(words) => {
                assert_eq!(said.len(), 1, "{said:?}");
                assert!(words.iter().all(|word| said[0].contains(word)), "{said:?}");
            }
        }
    }

    #[test]
    fn a_name_is_compared_with_what_the_provider_lists() {
        let known = Known {
            listed: vec![
                Term::new("action", "login").label(Some("Sign in".into())),
                Term::new("action", "Edit"),
                Term::new("action", "edit"),
                Term::new("event type", "LOGIN").within(["IAM".into()]),
            ],
            ..Known::default()
        };
        let action = |name: &str| asked("action", name, None);
        check(&known, &[action("login")], None);
        check(&known, &[action("Login")], Some(&["does not list", "did you mean `login`?"]));
        check(&known, &[action("logn")], Some(&["did you mean `login`?"]));
        check(&known, &[action("sign in")], Some(&["`login`, whose label is `Sign in`"]));
        check(&known, &[action("Quarantine")], Some(&["does not list", "headwater list s"]));
        check(&known, &[action("edit")], Some(&["has `Edit` as well", "add `Edit`"]));
        check(&known, &[action("edit"), action("Edit")], None);
        check(&known, &[asked("event type", "LOGIN", Some("IAM"))], None);
        check(&known, &[asked("event type", "LOGIN", Some("SERVICE"))], Some(&["for `IAM`", "ask for `IAM`"]));
    }

    #[test]
    fn where_the_provider_lists_nothing_only_what_looks_like_a_slip_is_told() {
        let known = Known { own: headwater_library::names("mural"), ..Known::default() };
        let action = |name: &str| asked("action", name, None);
        for right in ["CREATE_MURAL", "ACCESS_REPORTS_USAGE", "SOMETHING_ENTIRELY_NEW"] {
            check(&known, &[action(right)], None);
        }
        check(
            &known,
            &[action("SIGN_IN_FALIURE")],
            Some(&["headwater does not know", "did you mean `SIGN_IN_FAILURE`?"]),
        );
        check(&known, &[asked("color", "red", None)], None);
    }
}
