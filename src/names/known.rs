//! What is known of a provider's names: what it lists, and where it does not, what headwater's mapping table tells apart.

use super::Heard;
use headwater_contracts::{Question, Term};
use headwater_library::Name;
use headwater_runtime::{Phase, StreamStatus};
use std::collections::{BTreeMap, BTreeSet};

/// So many questions are named that have the same reason for no answer.
const NAMED: usize = 3;

/// Names, by who knows them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Those that the provider lists, each once: kinds in the order of the questions, a tree from its root, others by the alphabet.
    pub(crate) listed: Vec<Term>,
    /// Those of headwater, of kinds of which the provider lists none.
    pub(crate) own: Vec<Name>,
    /// Questions that have no list for an answer.
    pub(crate) unanswered: Vec<Unanswered>,
}

/// Questions that have no list for an answer, all for one reason.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// What they are about.
    questions: Vec<String>,
    /// Why.
    pub(crate) reason: String,
    /// Whether a source that works may be refused these.
    pub(crate) optional: bool,
}

impl Unanswered {
    /// What they are about, the first of them by name.
    pub(crate) fn what(&self) -> String {
        let (named, others) = self.questions.split_at(self.questions.len().min(NAMED));
        let named = named.join(", ");
        if others.is_empty() { named } else { format!("{named} and {} more", others.len()) }
    }
}

impl Known {
    /// What `heard` tells of these questions; `status` is that of the stream that asked them.
    pub(crate) fn new(provider: &str, questions: &[Question], heard: &Heard, status: Option<&StreamStatus>) -> Self {
        let (mut listed, mut unanswered) = (Vec::new(), Vec::<Unanswered>::new());
        for (number, question) in questions.iter().enumerate() {
            match heard.to(number).unwrap_or_else(|| Err(unasked(status))) {
                Ok(terms) => listed.extend(terms),
                Err(reason) => {
                    let (what, optional) = (question.what.clone(), question.optional);
                    match unanswered.iter_mut().find(|other| other.reason == reason) {
                        Some(other) => {
                            other.questions.push(what);
                            other.optional &= optional;
                        }
                        None => unanswered.push(Unanswered { questions: vec![what], reason, optional }),
                    }
                }
            }
        }
        let kinds: Vec<&str> = questions.iter().flat_map(|question| question.kinds).copied().collect();
        let listed = in_order(merged(listed), &kinds);
        let own = headwater_library::names(provider);
        let own = own.into_iter().filter(|name| listed.iter().all(|term| term.kind != name.kind)).collect();
        Self { listed, own, unanswered }
    }

    /// What the provider lists of this kind.
    pub(crate) fn of(&self, kind: &str) -> Vec<&Term> {
        self.listed.iter().filter(|term| term.kind == kind).collect()
    }

    /// Other spellings of a name that the provider lists: it takes them for other names.
    pub(crate) fn also(&self, kind: &str, name: &str) -> Vec<&str> {
        let spelled = |term: &&Term| term.kind == kind && term.name != name && is_same(&term.name, name);
        self.listed.iter().filter(spelled).map(|term| term.name.as_str()).collect()
    }

    /// How far below the root of its tree a name is.
    pub(crate) fn depth(&self, term: &Term) -> usize {
        let above = |term: &Term| {
            let above = term.within.first()?;
            self.listed.iter().find(|other| other.kind == term.kind && other.name == *above)
        };
        // A tree that leads in a circle has no root.
        std::iter::successors(above(term), |term| above(term)).take(self.listed.len()).count()
    }
}

/// Whether two names are the same but for capital letters, blanks and what stands for these.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let folded = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect()
    };
    folded(one) == folded(other)
}

fn unasked(status: Option<&StreamStatus>) -> String {
    let problem = status.and_then(|status| match &status.phase {
        Phase::Failed { reason } | Phase::BackingOff { reason, .. } => Some(reason.clone()),
        _ => status.problem.clone(),
    });
    problem.unwrap_or_else(|| "no answer in time; try a longer `--timeout`".to_owned())
}

/// Each name once, with all that it belongs to, in the order in which they come.
fn merged(terms: Vec<Term>) -> Vec<Term> {
    let mut places: BTreeMap<(&'static str, String), usize> = BTreeMap::new();
    let mut merged: Vec<Term> = Vec::new();
    for term in terms {
        let place = *places.entry((term.kind, term.name.clone())).or_insert(merged.len());
        match merged.get_mut(place) {
            None => merged.push(term),
            Some(known) => {
                known.label = known.label.take().or(term.label);
                let within: BTreeSet<String> = known.within.drain(..).chain(term.within).collect();
                known.within = within.into_iter().collect();
            }
        }
    }
    merged
}

fn in_order(mut terms: Vec<Term>, kinds: &[&str]) -> Vec<Term> {
    let names: BTreeSet<(&str, String)> = terms.iter().map(|term| (term.kind, term.name.clone())).collect();
    let is_tree = |term: &Term| term.within.iter().any(|above| names.contains(&(term.kind, above.clone())));
    let trees: BTreeSet<&str> = terms.iter().filter(|term| is_tree(term)).map(|term| term.kind).collect();
    terms.sort_by_cached_key(|term| {
        let kind = kinds.iter().position(|kind| *kind == term.kind);
        let word = if trees.contains(term.kind) { String::new() } else { term.name.to_lowercase() };
        (kind, word)
    });
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(terms: Vec<Term>) -> Known {
        Known { listed: in_order(merged(terms), &["organization", "action"]), ..Known::default() }
    }

    #[test]
    fn names_come_once_by_the_alphabet_and_a_tree_from_its_root() {
        let action = |name: &str, within: &str| Term::new("action", name).within([within.to_owned()]);
        let group = |name: &str, above: &[&str]| {
            Term::new("organization", name).within(above.iter().map(|above| (*above).to_owned()))
        };
        let known = known(vec![
            action("start", "b"),
            action("Login", "x"),
            group("z", &[]),
            group("b", &["z"]),
            group("a", &["b"]),
            action("edit", "x"),
            action("Edit", "x"),
            action("start", "a"),
            group("b", &["z"]),
        ]);
        let names: Vec<&str> = known.listed.iter().map(|term| term.name.as_str()).collect();
        assert_eq!(names, ["z", "b", "a", "edit", "Edit", "Login", "start"]);
        assert_eq!(known.listed[6].within, ["a", "b"]);
        assert_eq!(known.also("action", "edit"), ["Edit"]);
        let depths: Vec<usize> = known.of("organization").into_iter().map(|term| known.depth(term)).collect();
        assert_eq!(depths, [0, 1, 2]);
    }

    #[test]
    fn a_tree_that_leads_in_a_circle_ends() {
        let group = |name: &str, above: &str| Term::new("organization", name).within([above.to_owned()]);
        let known = known(vec![group("a", "b"), group("b", "a"), group("c", "c")]);
        assert!(known.listed.iter().all(|term| known.depth(term) <= 3));
    }
}
