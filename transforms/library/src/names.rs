//! The names of a provider that its mapping table tells apart: for a person who asks what there is, where the provider does not say.

use crate::pattern::{Captures, Pattern};
use crate::table::{self, Derived, Provider, Rule};

/// A name that rows of a mapping table compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// What it names: `action`, `event type`.
    pub kind: &'static str,
    /// The name, with `*` for the rest of it where a row says only how it begins or ends.
    pub text: String,
    pattern: Pattern,
}

impl Name {
    fn new(kind: &'static str, pattern: Pattern) -> Option<Self> {
        let text = match &pattern {
            Pattern::Word(word) => word.clone(),
            Pattern::Prefix(prefix) => format!("{prefix}*"),
            Pattern::Suffix(suffix) => format!("*{suffix}"),
            Pattern::Any | Pattern::Part(_) | Pattern::Range(..) | Pattern::Path(_) => return None,
        };
        Some(Self { kind, text, pattern })
    }

    /// Whether it stands for `name`, in capital or small letters.
    pub fn matches(&self, name: &str) -> bool {
        self.pattern.matches(name, &mut Captures::new())
    }
}

/// The names that the provider's table knows, by kind and in the order of the alphabet. The provider may have many more: rows are written
/// for what needs one.
pub fn names(provider: &str) -> Vec<Name> {
    let Some(table) = table::provider(provider) else { return Vec::new() };
    let mut names = Vec::new();
    for (kind, subject) in &table.names {
        for rule in &table.rules {
            names.extend(patterns(table, rule, subject).into_iter().filter_map(|pattern| Name::new(kind, pattern)));
        }
    }
    names.sort_by_key(|name| (name.kind, name.text.to_lowercase()));
    names.dedup_by(|a, b| a.kind == b.kind && a.text.eq_ignore_ascii_case(&b.text));
    names
}

/// What a row compares `subject` with: itself, or what is derived from it.
fn patterns(table: &Provider, rule: &Rule, subject: &str) -> Vec<Pattern> {
    let mut patterns = rule.compared_with(subject).to_vec();
    for (name, derived) in table.derived.iter().filter(|(_, derived)| derived.from == subject) {
        for verb in rule.compared_with(name).iter().filter_map(word) {
            patterns.extend(whole(rule, derived, verb).into_iter().map(Pattern::Word));
        }
    }
    patterns
}

/// The texts that `verb` is derived from, as far as the row tells: `CREATE` on a `MURAL` is of `CREATE_MURAL`.
fn whole(rule: &Rule, derived: &Derived, verb: &str) -> Vec<String> {
    let mut texts = Vec::new();
    if derived.or_whole {
        texts.push(verb.to_owned());
    }
    let Some(suffix) = derived.without_suffix.as_ref().filter(|_| !derived.or_whole) else { return texts };
    let Some(place) = suffix.names().next() else { return texts };
    for filling in rule.compared_with(place).iter().filter_map(word) {
        let mut text = verb.to_owned();
        if suffix.fill(&mut text, |name| (name == place).then_some(filling)) {
            texts.push(text);
        }
    }
    texts
}

fn word(pattern: &Pattern) -> Option<&str> {
    if let Pattern::Word(word) = pattern { Some(word) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(provider: &str, kind: &str) -> Vec<String> {
        names(provider).into_iter().filter(|name| name.kind == kind).map(|name| name.text).collect()
    }

    #[test]
    fn every_provider_has_names_each_once() {
        for provider in crate::providers() {
            let all = names(provider);
            assert!(all.len() > 5, "{provider}: {all:?}");
            let mut folded: Vec<_> = all.iter().map(|name| (name.kind, name.text.to_lowercase())).collect();
            folded.dedup();
            assert_eq!(folded.len(), all.len());
        }
        assert!(names("nobody").is_empty());
    }

    #[test]
    fn a_verb_and_what_it_is_done_to_are_a_name() {
        let actions = texts("mural", "action");
        for action in ["CREATE_MURAL", "SIGN_IN_FAILURE", "DEACTIVATE_USER", "ACCESS_REPORTS_*"] {
            assert!(actions.iter().any(|known| known == action), "{action}: {actions:?}");
        }
        assert!(!actions.iter().any(|known| known == "CREATE"), "a verb alone is no action");
        assert!(texts("anypoint", "action").contains(&"undeploy".to_owned()));
        assert!(texts("anypoint", "object type").contains(&"connected application".to_owned()));
    }

    #[test]
    fn a_name_with_a_rest_stands_for_all_that_begin_so() {
        let all = names("mural");
        let known = |name: &str| all.iter().any(|known| known.matches(name));
        assert!(known("ACCESS_REPORTS_USAGE") && known("create_mural") && !known("SIGN_IN_FALIURE"));
    }
}
