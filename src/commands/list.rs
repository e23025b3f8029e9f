//! `headwater list`: what can be asked of a source's log, from the provider itself. No ledger, nothing kept.

use super::ask::{ask_only, one_source};
use crate::{
    Failure,
    cli::{ListArgs, ListFormat},
    names::{Heard, Known, inquiry},
    simulation,
    table::table,
    terminal,
};
use headwater_config::Question;
use headwater_contracts::Term;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use tracing::Level;

/// What is in a column that says who knows a name.
const PROVIDER: &str = "provider";
const OWN: &str = "headwater";

/// One name, as it is shown.
struct Row<'a> {
    kind: &'a str,
    name: &'a str,
    label: Option<&'a str>,
    within: &'a [String],
    also: Vec<&'a str>,
    depth: usize,
    from: &'static str,
}

/// Asks the provider, and prints what it lists; what headwater knows, where it lists nothing.
pub(crate) fn list(args: &ListArgs) -> Result<(), Failure> {
    let question = Question { source: &args.source, filter: None };
    let asked_of = one_source(&args.config, question, args.simulate)?;
    let provider = asked_of.built.provider;
    let questions = asked_of.built.source.vocabulary().questions;
    let heard = Heard::default();
    let streams = if questions.is_empty() {
        Vec::new()
    } else {
        let mut sources = vec![asked_of];
        let _simulators = if args.simulate { simulation::point_at_simulators(&mut sources)? } else { Vec::new() };
        let inquiries = sources.iter().map(|source| inquiry(source, &questions, &heard)).collect();
        ask_only(inquiries, args.timeout)?
    };
    let known = Known::new(provider, &questions, &heard, streams.first());
    show(&rows(&known), args.format)?;
    explain(&args.source, provider, questions.is_empty(), &known)
}

fn rows(known: &Known) -> Vec<Row<'_>> {
    let listed = known.listed.iter().map(|term: &Term| Row {
        kind: term.kind,
        name: &term.name,
        label: term.label.as_deref(),
        within: &term.within,
        also: known.also(term.kind, &term.name),
        depth: known.depth(term),
        from: PROVIDER,
    });
    let own = known.own.iter().map(|name| Row {
        kind: name.kind,
        name: &name.text,
        label: None,
        within: &[],
        also: Vec::new(),
        depth: 0,
        from: OWN,
    });
    listed.chain(own).collect()
}

fn show(rows: &[Row<'_>], format: ListFormat) -> Result<(), Failure> {
    match format {
        ListFormat::Table => {
            let cells = |row: &Row<'_>| {
                let label = row.label.map_or_else(String::new, |label| format!("{:1$}{label}", "", 2 * row.depth));
                let [within, also] = [row.within.join(", "), row.also.join(", ")];
                vec![row.kind.to_owned(), row.name.to_owned(), label, within, also, row.from.to_owned()]
            };
            let heads = ["kind", "name", "label", "of", "also written", "known to"];
            let mut rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
            let is_filled = |column: &usize| rows.is_empty() || rows.iter().any(|row| !row[*column].is_empty());
            let filled: Vec<usize> = (0..heads.len()).filter(is_filled).collect();
            let heads: Vec<&str> = filled.iter().map(|column| heads[*column]).collect();
            for row in &mut rows {
                *row = filled.iter().filter_map(|column| row.get(*column).cloned()).collect();
            }
            super::say(table(&heads, &rows))
        }
        ListFormat::Json => {
            let lines: Vec<String> = rows.iter().map(|row| object(row).to_string() + "\n").collect();
            super::print_json(lines.concat().as_bytes())
        }
    }
}

/// A row without what it has not.
fn object(row: &Row<'_>) -> Value {
    let members = [
        ("kind", json!(row.kind)),
        ("name", json!(row.name)),
        ("label", json!(row.label)),
        ("of", json!(row.within)),
        ("also_written", json!(row.also)),
        ("known_to", json!(row.from)),
    ];
    let is_there = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    let members = members.into_iter().filter(|(_, value)| is_there(value));
    Value::Object(members.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

/// Says on stderr what is missing from the list, and why. An error if the provider refused what reading the log needs too.
fn explain(source: &str, provider: &str, lists_nothing: bool, known: &Known) -> Result<(), Failure> {
    let own: BTreeSet<&str> = known.own.iter().map(|name| name.kind).collect();
    if !own.is_empty() {
        let kinds = own.into_iter().collect::<Vec<_>>().join(", ");
        let why = if lists_nothing {
            format!("the API of `{provider}` lists none")
        } else {
            format!("`{source}` has told none")
        };
        super::remark(format_args!(
            "{kinds}: {why}; these are names that headwater's mapping table tells apart: there are others, and a provider need not \
             have all of these"
        ));
    }
    let mut refused = Vec::new();
    for unanswered in &known.unanswered {
        let said = format!("{}: {}", unanswered.what(), unanswered.reason);
        if unanswered.optional {
            terminal::tell(Level::WARN, &format!("warning: {said}"));
        } else {
            refused.push(said);
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::run(refused.join("\nerror: "))) }
}
