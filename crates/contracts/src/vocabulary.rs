//! What a log can be asked for: the names that a provider has for its events, and those that a configuration filters by.

use crate::Request;

/// What a provider is to be asked about its names, and the names that the settings of a source ask for.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// The questions, in this order; none if the API lists nothing.
    pub questions: Vec<Question>,
    /// The names that the settings hold.
    pub asked: Vec<Asked>,
}

/// One question: the provider lists names of some kinds.
#[derive(Debug, Clone)]
pub struct Question {
    /// What it is about, for a person: `actions of organization X`.
    pub what: String,
    /// The kinds of names that the answer lists.
    pub kinds: &'static [&'static str],
    /// The request. Like a page's it takes from the budget, and the provider may record it.
    pub request: Request,
    /// Reads a whole answer. `None`: the answer is not such a list.
    pub read: fn(&[u8]) -> Option<Vec<Term>>,
    /// What a person should do about 401 and 403.
    pub denied: &'static str,
    /// Whether a source that works may be refused this: the log itself can be read without the right to it.
    pub optional: bool,
}

/// A name that a provider lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// What it names: `action`, `event type`, `organization`.
    pub kind: &'static str,
    /// The name, as the API writes it and a filter must.
    pub name: String,
    /// What the provider's console and documents write for it, where that is something else.
    pub label: Option<String>,
    /// What it belongs to: the category of an event type, the organization above one.
    pub within: Vec<String>,
}

impl Term {
    /// A name without a label that belongs to nothing.
    pub fn new(kind: &'static str, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), label: None, within: Vec::new() }
    }

    /// With a label, unless that says the same as the name.
    #[must_use]
    pub fn label(mut self, label: Option<String>) -> Self {
        self.label = label.filter(|label| !label.trim().is_empty() && *label != self.name);
        self
    }

    /// With what it belongs to.
    #[must_use]
    pub fn within(mut self, within: impl IntoIterator<Item = String>) -> Self {
        self.within = within.into_iter().collect();
        self
    }
}

/// A name that the settings of a source ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it names, as in [`Term::kind`].
    pub kind: &'static str,
    /// The option, `a.b.0` for an item of a list.
    pub option: String,
    /// The name.
    pub name: String,
    /// What it must belong to, as the settings say.
    pub within: Option<String>,
}

impl Asked {
    /// The items of the list `option`.
    pub fn each(kind: &'static str, option: &str, names: &[String]) -> Vec<Self> {
        let one = |(number, name): (usize, &String)| Self {
            kind,
            option: format!("{option}.{number}"),
            name: name.clone(),
            within: None,
        };
        names.iter().enumerate().map(one).collect()
    }
}
