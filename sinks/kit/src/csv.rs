//! Events as rows: RFC 4180.

use headwater_contracts::{Event, visible};
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;
use vrl::{path::OwnedValuePath, value::Value};

/// What becomes of a cell that a spreadsheet would take for a formula: names in audit logs are written by whoever has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Formulas {
    /// Each cell is the text of the event.
    #[default]
    Keep,
    /// A `'` goes before it, as before anything that begins with `=`, `+`, `-` or `@` and is neither a number nor an id such as
    /// `-x9_k`; control characters are written as `\u{1b}`.
    Escape,
}

impl Formulas {
    /// A cell as it is written.
    pub fn cell(self, cell: &str) -> Cow<'_, str> {
        if self == Self::Keep {
            return Cow::Borrowed(cell);
        }
        let text = visible(cell);
        // Spreadsheets look past blanks, and take full-width signs for the others (OWASP, "CSV Injection").
        let begins = |c: char| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
        let is_id =
            cell.starts_with('-') && cell.chars().skip(1).all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let is_formula = cell.trim_start().starts_with(begins) && !is_id && cell.parse::<f64>().is_err();
        if is_formula { Cow::Owned(format!("'{text}")) } else { text }
    }
}

/// Appends the event as one record of RFC 4180, with its CRLF: the values at these paths. `Err` says why it cannot.
pub fn csv_row(event: &Event, columns: &[OwnedValuePath], formulas: Formulas, out: &mut Vec<u8>) -> Result<(), String> {
    let cells = cells(event, columns)?;
    let cells: Vec<String> = cells.iter().map(|cell| formulas.cell(cell).into_owned()).collect();
    out.extend(csv_record(&cells)?);
    Ok(())
}

/// The values at these paths as text; of an event that no transform has looked at, of the provider's JSON.
pub fn cells(event: &Event, columns: &[OwnedValuePath]) -> Result<Vec<String>, String> {
    let value = match &event.value {
        Some(value) => Cow::Borrowed(value),
        None => Cow::Owned(
            serde_json::from_slice::<Value>(&event.raw)
                .map_err(|error| format!("the provider's bytes are not JSON, so they have no columns: {error}"))?,
        ),
    };
    columns.iter().map(|column| value.get(column).map_or(Ok(String::new()), text)).collect()
}

/// A field's text: strings and times as they are, nothing for null, JSON for what is nested.
fn text(value: &Value) -> Result<String, String> {
    let json = match value {
        Value::Null => return Ok(String::new()),
        value => serde_json::to_value(value).map_err(|error| format!("cannot be written as JSON: {error}"))?,
    };
    Ok(match json {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

/// One record of RFC 4180, with its CRLF.
pub fn csv_record<T: AsRef<[u8]>>(fields: &[T]) -> Result<Vec<u8>, String> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(fields).map_err(|error| format!("cannot be written as CSV: {error}"))?;
    writer.into_inner().map_err(|error| format!("cannot be written as CSV: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_takes_no_cell_for_a_formula() {
        let check = |cell: &str, expected: &str| assert_eq!(Formulas::Escape.cell(cell), expected);
        check("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0");
        check("@SUM(1+1)", "'@SUM(1+1)");
        check("+1+1", "'+1+1");
        check(" \t=1", "' \\u{9}=1");
        check("＝1", "'＝1");
        check("-2+3", "'-2+3");
        check("-2.5", "-2.5");
        check("-k9_x-Q", "-k9_x-Q");
        check("a=b", "a=b");
        check("\u{1b}[31mred\nx", "\\u{1b}[31mred\\u{a}x");
        assert_eq!(Formulas::Keep.cell("=1\n"), "=1\n");
    }
}
