//! Events as rows: RFC 4180.

use headwater_contracts::Event;
use std::borrow::Cow;
use vrl::{path::OwnedValuePath, value::Value};

/// Appends the event as one record of RFC 4180, with its CRLF: the values at these paths. `Err` says why it cannot.
pub fn csv_row(event: &Event, columns: &[OwnedValuePath], out: &mut Vec<u8>) -> Result<(), String> {
    out.extend(csv_record(&cells(event, columns)?)?);
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
