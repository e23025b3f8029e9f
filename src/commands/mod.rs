//! One file per command.

mod again;
mod ask;
mod backfill;
mod check;
mod graph;
mod ledger;
mod list;
mod query;
mod run;
mod schema;
mod simulate;
mod test;
mod validate;
mod vrl;

pub(crate) use again::{rescan, verify};
pub(crate) use backfill::backfill;
pub(crate) use check::check;
pub(crate) use graph::graph;
pub(crate) use ledger::{export_ledger, reset_ledger, show_ledger};
pub(crate) use list::list;
pub(crate) use query::query;
pub(crate) use run::run;
pub(crate) use schema::schema;
pub(crate) use simulate::simulate;
pub(crate) use test::test;
pub(crate) use validate::validate;
pub(crate) use vrl::vrl;

use crate::{Failure, terminal};
use headwater_contracts::{mask, visible_lines};
use headwater_sink_kit::for_terminals;
use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};
use tracing::Level;

/// Prints a text of ours to stdout: without credentials, and without what a terminal would obey.
fn say(text: impl AsRef<str>) -> Result<(), Failure> {
    print(visible_lines(&mask::mask(text.as_ref())).as_bytes())
}

/// Prints data to stdout, as they are; a reader that has gone (`| head`) is no failure.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    // Not the standard library's stdout, which takes a closed one for a working one.
    let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    match out.and_then(|mut out| out.write_all(text.as_ref())) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Failure::run(format!("cannot write to stdout: {e}"))),
    }
}

/// Prints lines of JSON to stdout: to a terminal without what it would obey.
fn print_json(lines: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() { print(for_terminals(lines)) } else { print(lines) }
}

/// Says something on stderr.
fn remark(text: impl std::fmt::Display) {
    terminal::tell(Level::INFO, &text.to_string());
}

/// Says on stderr what went wrong with a part.
fn complain(text: impl std::fmt::Display) {
    terminal::tell(Level::ERROR, &text.to_string());
}
