//! One raw event in, one OCSF event out. Never fails, never drops.
//!
//! Which class an event gets, the first of these that can be filled:
//! 1. what the first matching row of the provider's table says (`is`), and what it says instead (`or`);
//! 2. API Activity, Other; `Unknown` if the event has no type at all; it needs an actor and an operation;
//! 3. Base Event.

use crate::assemble::{base_metadata, finish, put_code, put_status, put_time};
use crate::attributes::{Out, fixed, object};
use crate::classes::Case;
use crate::meta::Meta;
use crate::ocsf::{API_ACTIVITY, BASE_EVENT, Code, OTHER, SCHEMA, UNKNOWN};
use crate::table::{self, Provider};
use crate::view::{View, text};
use crate::{fallback, redact, unmapped};
use sha2::{Digest, Sha256};
use vrl::value::{ObjectMap, Value};

/// Turns `event` into an OCSF event; also returns its `type_uid`.
pub(crate) fn normalize(mut event: Value, provider: &str, meta: &Meta, redact: bool) -> (Value, i64) {
    let mut remarks = Vec::new();
    if let Some(suspicion) = &meta.suspicious {
        remarks.push(suspicion.clone());
    }
    let mut redacted = if redact { redact::redact_value(&mut event) } else { 0 };
    let mut raw = Out::default();
    if let Some(bytes) = &meta.raw {
        let text = String::from_utf8_lossy(bytes);
        match redact.then(|| redact::redact_text(&text)).flatten() {
            // No hash: with all other bytes known, it would let anyone test guesses of a short secret.
            Some((text, count)) => {
                redacted = count;
                raw.put("raw_data", text);
            }
            None => {
                raw.put("raw_data", bytes.clone());
                raw.put("raw_data_hash", hash(bytes));
            }
        }
    }
    if redacted > 0 {
        remarks.push(format!("redacted {redacted} value(s)"));
    }
    let (mut out, code) = match (event, table::provider(provider)) {
        (Value::Object(map), Some(table)) => mapped(map, table, meta, remarks),
        (Value::Object(map), None) => {
            fallback::count(provider, "");
            let (mut out, code) = bare(Code::new(BASE_EVENT, OTHER), provider, meta, remarks);
            put_unmapped(&mut out, map);
            (out, code)
        }
        (other, _) => {
            if meta.raw.is_none() {
                raw.put("raw_data", other.to_string_lossy().as_ref());
            }
            bare(Code::new(BASE_EVENT, UNKNOWN), provider, meta, remarks)
        }
    };
    out.event.append(&mut raw.event);
    (Value::Object(out.event), code.type_uid())
}

/// An event of a provider that has a table.
fn mapped(mut map: ObjectMap, table: &'static Provider, meta: &Meta, mut remarks: Vec<String>) -> (Out, Code) {
    for key in &table.json_texts {
        read_json_text(&mut map, key);
    }
    let view = View::read(table, &map);
    let (rule, captures) = view.row(table);
    let event_code = view.lookup("event_code");
    if rule.is_none() {
        fallback::count(&table.id, event_code.unwrap_or_default());
    }
    let rule = rule.or(table.otherwise.as_ref());
    let other = if event_code.is_some() { OTHER } else { UNKNOWN };
    let case = Case { table, raw: &map, view: &view, rule, captures };
    let candidates = [rule.map(|rule| rule.is), rule.map(|rule| rule.or), Some(Code::new(API_ACTIVITY, other))];
    let mut chosen = None;
    for code in candidates.into_iter().flatten() {
        let mut out = Out::default();
        match case.fill(&mut out, code.class) {
            Ok(()) => {
                chosen = Some((out, code));
                break;
            }
            Err(missing) => {
                let name = SCHEMA.classes.get(&code.class).map_or("", |class| class.name.as_str());
                let remark = format!("not {name} ({}): the record has no `{missing}`", code.type_uid());
                if remarks.last() != Some(&remark) {
                    remarks.push(remark);
                }
            }
        }
    }
    let (mut out, code) = chosen.unwrap_or_else(|| {
        let no_actor = view.entity("actor").is_none_or(|actor| !actor.is_known());
        (Out::default(), Code::new(BASE_EVENT, if no_actor { OTHER } else { other }))
    });
    // A row's remark on the outcome holds whatever the class.
    let status_detail = rule.and_then(|rule| rule.status_detail.as_deref());
    finish(&mut out, table, &view, (code, status_detail), meta, remarks);
    put_unmapped(&mut out, map);
    (out, code)
}

/// Puts the object that the text under `key` is, if it is one, in the place of the text.
fn read_json_text(map: &mut ObjectMap, key: &str) {
    let object = map.get(key).and_then(text).and_then(|text| serde_json::from_str(&text).ok());
    if let Some(object @ Value::Object(_)) = object {
        map.insert(key.into(), object);
    }
}

/// A Base Event of which only the metadata is known.
fn bare(code: Code, provider: &str, meta: &Meta, mut remarks: Vec<String>) -> (Out, Code) {
    let provider = if provider.is_empty() { "unknown" } else { provider };
    let mut out = Out::default();
    put_code(&mut out, code, None);
    put_status(&mut out, (0, fixed("Unknown")));
    put_time(&mut out, None, meta, &mut remarks);
    let mut metadata = base_metadata(meta, provider, &[], remarks);
    metadata
        .insert("product".into(), object([("name", Value::from(provider)), ("vendor_name", Value::from(provider))]));
    out.put("metadata", Value::Object(metadata));
    (out, code)
}

fn put_unmapped(out: &mut Out, raw: ObjectMap) {
    let rest = unmapped::rest(raw, &out.used);
    if !rest.is_empty() {
        out.put("unmapped", Value::Object(rest));
    }
}

fn hash(bytes: &[u8]) -> Value {
    let digest = Sha256::digest(bytes);
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let hex: String = digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    object([("algorithm", fixed("SHA-256")), ("algorithm_id", Value::from(3)), ("value", Value::from(hex))])
}
