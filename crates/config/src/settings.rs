//! `state`, `api`, `telemetry`, `dead_letter`, `ocsf_version` and `enrichment_tables`.

use crate::{
    Api, Content, DeadLetter, Diagnostic, Diagnostics, Entry, KafkaState, State, Table, TableSpec,
    component::{Workshop, kind, located},
    decode::Subject,
    document::Document,
    keys::{CsvKeys, DeadLetterKeys, FileStateKeys, MmdbKeys},
};
use headwater_contracts::{ConfigError, KafkaUse, OcsfVersion, Period, Telemetry};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Default folder of the ledger.
const STATE: &str = "./state";

impl Document {
    /// Default place of the ledger: beside the first file.
    pub(crate) fn default_state(&self) -> PathBuf {
        let state = Path::new(STATE);
        self.start.as_ref().map_or_else(|| state.to_owned(), |start| start.file.resolve(state))
    }

    /// Default folder of dead letters: in that of the ledger, or where it would be.
    pub(crate) fn default_dead_letter(&self, state: &State) -> DeadLetter {
        let folder = match state {
            State::File { path } => path.clone(),
            State::Kafka(_) => self.default_state(),
        };
        DeadLetter::Path(folder.join("dead-letter"))
    }
}

impl Workshop<'_> {
    /// Decodes a value with a `type` beside its own keys.
    pub(crate) fn tagged<T: DeserializeOwned + JsonSchema>(
        &self,
        entry: &Entry,
        name: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<T> {
        let own = entry.value.subset(|key| key != "type");
        self.decoder.decode_all(&own, Subject::new(name, &entry.span), diagnostics)
    }

    /// Reads `state`.
    pub(crate) fn state(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<State> {
        Some(match kind(entry, "section", &["file", "kafka"], diagnostics)? {
            "file" => {
                let keys: FileStateKeys = self.tagged(entry, "`state`", diagnostics)?;
                State::File { path: keys.path.unwrap_or_else(|| entry.span.file.resolve(Path::new(STATE))) }
            }
            _ => {
                let state = self.tagged::<KafkaState>(entry, "`state`", diagnostics)?;
                if !checked("state", entry, check(&state), diagnostics) {
                    return None;
                }
                let remark = state.cluster().remark().and_then(|remark| located(&remark, entry, "`state`"));
                if let Some(remark) = remark {
                    diagnostics.push(remark.warning());
                }
                State::Kafka(Box::new(state))
            }
        })
    }

    /// Reads `api`.
    pub(crate) fn api(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Api> {
        if entry.value.is_null() {
            return None;
        }
        self.decoder.decode_all(&entry.value, Subject::new("`api`", &entry.span), diagnostics)
    }

    /// Reads `telemetry`.
    pub(crate) fn telemetry(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Telemetry> {
        if entry.value.is_null() {
            return None;
        }
        let subject = Subject::new("`telemetry`", &entry.span);
        let telemetry: Telemetry = self.decoder.decode_all(&entry.value, subject, diagnostics)?;
        checked("telemetry", entry, telemetry.check(), diagnostics).then_some(telemetry)
    }

    /// Reads `ocsf_version`.
    pub(crate) fn ocsf_version(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<OcsfVersion> {
        self.decoder.decode_all(&entry.value, Subject::new("`ocsf_version`", &entry.value.span), diagnostics)
    }

    /// Reads `dead_letter`. That a sink of this name exists is for the wiring to check.
    pub(crate) fn dead_letter(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<DeadLetter> {
        match &entry.value.content {
            Content::Scalar(_) => entry.value.text().map(|name| DeadLetter::Sink(name.to_owned())),
            Content::Mapping(_) => {
                let keys: DeadLetterKeys =
                    self.decoder.decode_all(&entry.value, Subject::new("`dead_letter`", &entry.span), diagnostics)?;
                Some(DeadLetter::Path(keys.path))
            }
            Content::Sequence(_) => {
                let problem =
                    Diagnostic::at(&entry.value.span, "`dead_letter`: expected a folder or a sink, found a list");
                diagnostics.push(problem.hint("write `{ path: .. }` or the name of a sink"));
                None
            }
        }
    }

    /// Reads an enrichment table.
    pub(crate) fn table(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<TableSpec> {
        let name = format!("enrichment table `{}`", entry.key);
        let file = &entry.span.file;
        let table = match kind(entry, "enrichment table", &["csv", "mmdb"], diagnostics)? {
            "csv" => {
                let keys: CsvKeys = self.tagged(entry, &name, diagnostics)?;
                let Some(delimiter) = u8::try_from(keys.delimiter).ok().filter(u8::is_ascii) else {
                    let span = &entry.value.find("delimiter").0.span;
                    let problem = format!("`delimiter` of {name}: `{}` is not an ASCII character", keys.delimiter);
                    diagnostics.push(Diagnostic::at(span, problem));
                    return None;
                };
                Table::Csv { path: file.resolve(&keys.path), delimiter, include_headers: keys.include_headers }
            }
            _ => Table::Mmdb { path: file.resolve(&self.tagged::<MmdbKeys>(entry, &name, diagnostics)?.path) },
        };
        // What is wrong with a table is mostly its file.
        let span = entry.value.entry("path").map_or(&entry.span, |path| &path.value.span);
        Some(TableSpec { name: entry.key.clone(), table, span: span.clone() })
    }
}

/// Whether a section is right; what is wrong is reported at the key that it is about.
fn checked(section: &str, entry: &Entry, outcome: Result<(), ConfigError>, diagnostics: &mut Diagnostics) -> bool {
    let Err(problem) = outcome else { return true };
    let span = &entry.value.find(problem.field.split('.').next().unwrap_or_default()).0.span;
    diagnostics.push(Diagnostic::at(span, format!("`{}` of `{section}`: {problem}", problem.field)));
    false
}

/// Whether it can be the name of a topic, a group or an instance.
pub(crate) fn is_kafka_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 200 && name.chars().all(legal)
}

/// What the types of the keys do not say.
fn check(state: &KafkaState) -> Result<(), ConfigError> {
    let names = [("group", Some(&state.group)), ("topic", Some(&state.topic)), ("instance", state.instance.as_ref())];
    for (field, name) in names.into_iter().filter_map(|(field, name)| Some((field, name?))) {
        if !is_kafka_name(name) {
            let problem = format!("`{name}` is no such name: up to 200 of A-Z, a-z, 0-9, `.`, `_` and `-`");
            return Err(ConfigError::new(field, problem));
        }
    }
    if state.partitions == 0 {
        return Err(ConfigError::new("partitions", "must be at least 1"));
    }
    if state.transaction_events == 0 {
        return Err(ConfigError::new("transaction_events", "must be at least 1"));
    }
    if state.session_timeout < Period::seconds(1) {
        return Err(ConfigError::new("session_timeout", "must be at least `1s`"));
    }
    if state.session_timeout > Period::minutes(5) {
        return Err(ConfigError::new("session_timeout", "must be at most `5m`, which is as long as Kafka waits"));
    }
    state.cluster().check(KafkaUse::Ledger)
}
