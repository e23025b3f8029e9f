//! Where variables come from, and what loading may touch.

/// Environment variables.
pub trait Environment {
    /// The value of a variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;

    /// Hears of what is not there, a variable or the file of a secret, and is gone on without: it will be needed to run.
    fn missing(&self, _what: &str) {}

    /// Hears of a variable that is set and empty, where its value is put in as it is: what is wrong there may come from that.
    fn empty(&self, _name: &str) {}
}

/// The environment of this process. A variable that is not UTF-8 counts as not set.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn var(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// How to load.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// Where `${VAR}` and `{ env: VAR }` come from.
    pub environment: &'a dyn Environment,
    /// For `run --simulate`: variables and secrets that are not there become the text [`SIMULATED`].
    pub lenient: bool,
    /// Whether `{ env: X }`, `{ file: .. }` and `{ exec: .. }` are read. If not, each begins with [`UNRESOLVED`].
    pub resolve_secrets: bool,
}

impl<'a> LoadOptions<'a> {
    /// Everything must be there, and secrets are read.
    pub fn strict(environment: &'a dyn Environment) -> Self {
        Self { environment, lenient: false, resolve_secrets: true }
    }
}

/// What a missing variable or secret becomes in lenient mode.
pub const SIMULATED: &str = headwater_contracts::STAND_INS[0];
/// What a secret begins with that is not to be read. The rest says where it is, so that two can be compared.
pub const UNRESOLVED: &str = headwater_contracts::STAND_INS[1];

/// What is missing, where a variable is set and empty.
pub fn set_and_empty(name: &str) -> String {
    format!("{name} (set, and empty)")
}
