//! Enrichment tables: loaded at start, looked into by programs, reloaded without recompiling them.

mod csv_table;
mod functions;
mod mmdb_table;

use csv_table::CsvTable;
pub(crate) use functions::functions;
use mmdb_table::MmdbTable;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;
use vrl::value::{ObjectMap, Value};

pub use csv_table::ColumnType;

/// Where a table comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableSpec {
    /// A CSV file.
    Csv {
        /// Its path.
        path: PathBuf,
        /// The byte between fields, `,` as a rule.
        delimiter: u8,
        /// Whether the first line names the columns; else they are `0`, `1` and so on.
        headers: bool,
        /// Types of columns; those not listed are strings.
        schema: BTreeMap<String, ColumnType>,
    },
    /// A MaxMind DB file: facts about IP addresses.
    Mmdb {
        /// Its path.
        path: PathBuf,
    },
}

impl TableSpec {
    fn path(&self) -> &Path {
        match self {
            Self::Csv { path, .. } | Self::Mmdb { path } => path,
        }
    }
}

/// A table that could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("enrichment table `{table}`: `{}`: {problem}", path.display())]
pub struct TableError {
    /// Its name in the pipeline.
    pub table: String,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong and, where known, in which line of the file.
    pub problem: String,
}

/// The tables of a pipeline. Clones share them: programs keep looking into what [`Tables::reload`] has replaced.
#[derive(Debug, Clone, Default)]
pub struct Tables(Arc<BTreeMap<String, Arc<Table>>>);

impl Tables {
    /// Loads all tables.
    ///
    /// # Errors
    /// Every table that cannot be loaded.
    pub fn load(specs: BTreeMap<String, TableSpec>) -> Result<Self, Vec<TableError>> {
        let mut tables = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, spec) in specs {
            match Data::load(&name, &spec) {
                Ok(data) => {
                    let data = RwLock::new(Arc::new(data));
                    tables.insert(name.clone(), Arc::new(Table { name, spec, data }));
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self(Arc::new(tables))) } else { Err(errors) }
    }

    /// Reads all files again. Lookups go on meanwhile, and see the old content until the new is complete.
    ///
    /// # Errors
    /// Every table that cannot be loaded, or that lacks a column that a program asks by. Those keep what they have.
    pub fn reload(&self) -> Result<(), Vec<TableError>> {
        let errors: Vec<_> = self.0.values().filter_map(|table| table.reload().err()).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The names of the tables, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The table `name`, or the name that was probably meant.
    fn get(&self, name: &str) -> Result<&Arc<Table>, Option<&str>> {
        self.0.get(name).ok_or_else(|| nearest(name, self.0.keys().map(String::as_str)))
    }
}

/// The known name most like `name`, if any is like it at all.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// One table.
struct Table {
    name: String,
    spec: TableSpec,
    data: RwLock<Arc<Data>>,
}

enum Data {
    Csv(CsvTable),
    Mmdb(MmdbTable),
}

/// What a program asks for, known when it is compiled.
#[derive(Debug, Clone, Copy)]
struct Question<'q> {
    /// Columns that must equal something.
    equal: &'q [String],
    /// Columns that must lie in a range of time.
    between: &'q [String],
    /// Columns to return, if that is known already.
    select: Option<&'q [String]>,
    case_sensitive: bool,
}

/// A range of time, ends included. Vector's `{ "from": .., "to": .. }`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Between {
    column: String,
    from: Option<headwater_contracts::Timestamp>,
    to: Option<headwater_contracts::Timestamp>,
}

/// One lookup.
#[derive(Debug)]
struct Lookup<'q> {
    /// The values of the columns of [`Question::equal`], in that order.
    equal: Vec<Value>,
    between: Vec<Between>,
    select: Option<&'q [String]>,
    /// The most rows wanted.
    limit: usize,
}

impl Data {
    fn load(name: &str, spec: &TableSpec) -> Result<Self, TableError> {
        let loaded = match spec {
            TableSpec::Csv { path, delimiter, headers, schema } => {
                CsvTable::load(path, *delimiter, *headers, schema).map(Self::Csv)
            }
            TableSpec::Mmdb { path } => MmdbTable::load(path).map(Self::Mmdb),
        };
        loaded.map_err(|problem| TableError { table: name.to_owned(), path: spec.path().to_owned(), problem })
    }
}

impl Table {
    fn data(&self) -> Arc<Data> {
        Arc::clone(&self.data.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gets ready for lookups of this shape; the number returned goes with each of them.
    fn prepare(&self, question: Question<'_>) -> Result<usize, String> {
        // Held to the end: two programs compiled at once must not lose each other's index.
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        match data.as_ref() {
            Data::Csv(csv) => {
                let (with_index, number) = csv.prepare(question).map_err(|problem| self.about(&problem))?;
                *data = Arc::new(Data::Csv(with_index));
                Ok(number)
            }
            Data::Mmdb(_) => {
                MmdbTable::prepare(question).map_err(|problem| self.about(problem))?;
                Ok(0)
            }
        }
    }

    fn find(&self, prepared: usize, lookup: &Lookup<'_>) -> Result<Vec<ObjectMap>, String> {
        match self.data().as_ref() {
            Data::Csv(csv) => csv.find(prepared, lookup),
            Data::Mmdb(mmdb) => mmdb.find(lookup),
        }
        .map_err(|problem| self.about(&problem))
    }

    fn reload(&self) -> Result<(), TableError> {
        let loaded = Data::load(&self.name, &self.spec)?;
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        let ready =
            match (data.as_ref(), loaded) {
                (Data::Csv(old), Data::Csv(new)) => Data::Csv(new.with_indexes_of(old).map_err(|problem| {
                    TableError { table: self.name.clone(), path: self.spec.path().to_owned(), problem }
                })?),
                (_, new) => new,
            };
        *data = Arc::new(ready);
        Ok(())
    }

    fn about(&self, problem: &str) -> String {
        format!("enrichment table `{}`: {problem}", self.name)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).field("spec", &self.spec).finish_non_exhaustive()
    }
}
