//! Records that come out of a file instead of a page: what a person exported from the provider's console or API.
//!
//! A plugin says how its records are told apart, by the same code that its scans use; the runtime opens the files, takes
//! them apart, and knows from the ledger what was delivered.

use crate::{OwnRequests, Record, Unreadable};
use schemars::JsonSchema;
use serde::Deserialize;

/// How records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// One record per line, as JSON.
    Ndjson,
    /// One JSON document: an array of records, or a page as the API answers it.
    Json,
    /// One record per row, under a header.
    Csv,
}

/// Reads the records of one file, in the order they stand there. Pure, as a [`crate::Scan`] is.
pub trait Import: Send {
    /// Path of object keys to the array of records in a JSON document that is no array itself.
    fn elements(&self) -> &'static [&'static str];

    /// How a row of the provider's CSV becomes a record; `None` if the provider exports no CSV.
    fn columns(&self) -> Option<&'static Columns> {
        None
    }

    /// Why a page, of which `envelope` is all but its records, is not all that was asked for: it counts more of them, or names
    /// the page that follows. `None` if it says nothing of the kind.
    fn remainder(&self, envelope: &[u8], records: u64) -> Option<String>;

    /// Reads one record: one JSON value. `sent` are the own requests not matched so far. The same record has the identity
    /// that [`crate::Scan::record`] gives it; it is always wanted.
    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable>;

    /// As [`crate::Scan::trimmed`].
    fn trimmed(&self, _raw: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Asked after every few records and after the last. `false` if the records came in an order that identities cannot
    /// be told in with what was kept in memory: then this reader has changed its ways, and all records of the file pass
    /// [`Import::record`] again, from the first.
    fn in_order(&mut self) -> bool {
        true
    }
}

/// The columns of a provider's CSV, by the members of its JSON record that they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// The members.
    pub members: &'static [Column],
    /// Whether other columns are kept, as text under their own name. Not where they would change an identity.
    pub open: bool,
    /// What a person should do whose file has other columns.
    pub advice: &'static str,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The member's name; one inside another is `outer.inner`.
    pub member: &'static str,
    /// How its cells are written.
    pub cell: Cell,
    /// What becomes of a file without it.
    pub need: Need,
}

/// How the cells of a column are written. An empty one means that the member is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Text.
    Text,
    /// A whole number.
    Whole,
    /// `true` or `false`.
    Truth,
    /// An instant to the millisecond: digits of epoch milliseconds, or RFC 3339 with a fraction and a zone.
    Milliseconds,
    /// JSON.
    Json,
    /// JSON, or else text.
    JsonOrText,
}

/// What becomes of a file without a column. One that stands in parts (`outer.inner`) is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Identities could not be those of the API: refused.
    Identity,
    /// Events would stand in for fuller ones of the API: refused, unless the person says so.
    Content,
    /// Nothing.
    None,
}
