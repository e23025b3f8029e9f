//! From a row back to the API's JSON record: which column holds which member, and how its cells are written.

use chrono::DateTime;
use csv::ByteRecord;
use headwater_contracts::{Cell, Column, Columns, Need};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Where the cells of a file's rows go.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Number of columns in the header.
    width: usize,
    /// In the order they are written: those of one outer member stand together.
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    /// The column's index, and its name in the header.
    index: usize,
    name: String,
    outer: Option<String>,
    member: String,
    cell: Cell,
}

impl Layout {
    /// Matches a header with the columns that are known, or says what it lacks and what to do. `renamed` is by the header's
    /// names; members in `without` may be absent.
    pub(crate) fn new(
        header: &[String],
        columns: &Columns,
        renamed: &BTreeMap<String, String>,
        without: &BTreeSet<String>,
    ) -> Result<Self, String> {
        let advice = columns.advice;
        if let Some(stranger) = renamed.keys().find(|name| !header.contains(name)) {
            let names = header.join("`, `");
            return Err(format!("`columns` names `{stranger}`, and the header has no such column; it has `{names}`"));
        }
        let mut places: Vec<Place> = Vec::new();
        for (index, name) in header.iter().enumerate() {
            let wanted = renamed.get(name).unwrap_or(name);
            let number = index + 1;
            let (member, cell) = match known(columns, wanted) {
                Some(column) => (column.member.to_owned(), column.cell),
                None if name.is_empty() => return Err(format!("column {number} has no name; {advice}")),
                None if !columns.open => {
                    let (names, has) = (names(columns), header.join("`, `"));
                    return Err(format!(
                        "column {number}, `{name}`, is none of `{names}` (the header is `{has}`): with it, a record could not have the identity that it has in the API; {advice}"
                    ));
                }
                None => (wanted.clone(), Cell::Text),
            };
            if let Some(other) = places.iter().find(|place| overlap(&place.path(), &member)) {
                return Err(format!("columns `{}` and `{name}` both hold `{member}`; {advice}", other.name));
            }
            let (outer, member) = match member.split_once('.') {
                Some((outer, inner)) if known(columns, &member).is_some() => (Some(outer.to_owned()), inner.to_owned()),
                _ => (None, member),
            };
            places.push(Place { index, name: name.clone(), outer, member, cell });
        }
        for column in columns.members {
            let there = places.iter().any(|place| overlap(&place.path(), column.member));
            let refusal = match column.need {
                _ if there => continue,
                Need::None => continue,
                Need::Identity => {
                    "without it, a record could not have the identity that it has in the API, and would be delivered twice"
                }
                Need::Content if without.contains(column.member) => continue,
                Need::Content => {
                    "the events would stand in for the API's fuller ones; if that is what you want, list it under `without`"
                }
            };
            let (member, has) = (column.member, header.join("`, `"));
            return Err(format!("there is no column for `{member}` (the header is `{has}`): {refusal}; {advice}"));
        }
        let order: BTreeMap<String, usize> =
            places.iter().rev().map(|place| (place.top().to_owned(), place.index)).collect();
        places.sort_by_key(|place| (order.get(place.top()).copied(), place.index));
        Ok(Self { width: header.len(), places })
    }

    /// The record of a row, as compact JSON; or why it is none, with the column.
    pub(crate) fn record(&self, row: &ByteRecord) -> Result<Vec<u8>, String> {
        if row.len() != self.width {
            return Err(format!("{} cells under a header of {}", row.len(), self.width));
        }
        let mut json = String::from("{");
        let mut open: Option<&str> = None;
        for place in &self.places {
            let at = |problem: String| format!("column {}, `{}`: {problem}", place.index + 1, place.name);
            let cell = std::str::from_utf8(row.get(place.index).unwrap_or_default())
                .map_err(|_| at("it is not UTF-8".to_owned()))?;
            if cell.is_empty() {
                continue;
            }
            if open != place.outer.as_deref() {
                if open.is_some() {
                    json.push('}');
                }
                if let Some(outer) = &place.outer {
                    key(outer, &mut json);
                    json.push('{');
                }
                open = place.outer.as_deref();
            }
            key(&place.member, &mut json);
            json.push_str(&value(cell, place.cell).map_err(at)?);
        }
        if open.is_some() {
            json.push('}');
        }
        json.push('}');
        Ok(json.into_bytes())
    }
}

impl Place {
    fn path(&self) -> String {
        self.outer.as_ref().map_or_else(|| self.member.clone(), |outer| format!("{outer}.{}", self.member))
    }

    /// The member of the record itself.
    fn top(&self) -> &str {
        self.outer.as_deref().unwrap_or(&self.member)
    }
}

/// The column for a name; in whatever case, and with blanks, as headings are written.
fn known<'c>(columns: &'c Columns, name: &str) -> Option<&'c Column> {
    let plain = |text: &str| text.replace([' ', '-'], "_").to_lowercase();
    let exact = columns.members.iter().find(|column| column.member == name);
    exact.or_else(|| columns.members.iter().find(|column| plain(column.member) == plain(name)))
}

fn names(columns: &Columns) -> String {
    columns.members.iter().map(|column| column.member).collect::<Vec<_>>().join("`, `")
}

/// Whether one path is the other, or leads to it.
fn overlap(one: &str, other: &str) -> bool {
    let leads = |to: &str, path: &str| path.strip_prefix(to).is_some_and(|rest| rest.starts_with('.'));
    one == other || leads(one, other) || leads(other, one)
}

fn key(name: &str, json: &mut String) {
    if !json.ends_with('{') {
        json.push(',');
    }
    json.push_str(&quoted(name));
    json.push(':');
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A cell that is not empty, as JSON.
fn value(text: &str, cell: Cell) -> Result<String, String> {
    let shown: String = text.chars().take(40).collect();
    let json = || serde_json::from_str::<&RawValue>(text).map(|value| value.get().to_owned());
    match cell {
        Cell::Text => Ok(quoted(text)),
        Cell::Whole => {
            text.parse::<i64>().map(|number| number.to_string()).map_err(|_| format!("`{shown}` is no whole number"))
        }
        Cell::Truth => match text.to_ascii_lowercase().as_str() {
            "true" => Ok("true".to_owned()),
            "false" => Ok("false".to_owned()),
            _ => Err(format!("`{shown}` is neither `true` nor `false`")),
        },
        Cell::Milliseconds => match text.parse::<i64>() {
            Ok(number) => Ok(number.to_string()),
            Err(_) if text.contains('.') && DateTime::parse_from_rfc3339(text).is_ok() => Ok(quoted(text)),
            Err(_) => Err(format!(
                "`{shown}` is no time to the millisecond: neither epoch milliseconds nor RFC 3339 with a fraction and a zone"
            )),
        },
        Cell::Json => json().map_err(|error| format!("`{shown}` is no JSON: {error}")),
        Cell::JsonOrText => Ok(json().unwrap_or_else(|_| quoted(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    const COLUMNS: Columns = Columns {
        members: &[
            Column { member: "id", cell: Cell::Text, need: Need::Identity },
            Column { member: "at", cell: Cell::Milliseconds, need: Need::Identity },
            Column { member: "failed", cell: Cell::Truth, need: Need::None },
            Column { member: "code", cell: Cell::Whole, need: Need::None },
            Column { member: "http", cell: Cell::Json, need: Need::Content },
            Column { member: "http.uri", cell: Cell::Text, need: Need::None },
            Column { member: "http.body", cell: Cell::Json, need: Need::None },
            Column { member: "payload", cell: Cell::JsonOrText, need: Need::None },
        ],
        open: false,
        advice: "do this",
    };

    fn layout(header: &str, open: bool, renamed: &[(&str, &str)], without: &[&str]) -> Result<Layout, String> {
        let header: Vec<String> = header.split(',').map(str::to_owned).collect();
        let columns = Columns { open, ..COLUMNS };
        let renamed = renamed.iter().map(|(name, member)| ((*name).to_owned(), (*member).to_owned())).collect();
        Layout::new(&header, &columns, &renamed, &without.iter().map(|member| (*member).to_owned()).collect())
    }

    fn record(layout: &Layout, cells: &[&str]) -> Result<Value, String> {
        layout.record(&ByteRecord::from(cells.to_vec())).map(|raw| serde_json::from_slice(&raw).unwrap())
    }

    #[test]
    fn parts_of_a_member_come_together_wherever_their_columns_stand() {
        let layout = layout("http.uri,ID,at,http.body,failed,code,payload,Extra", true, &[], &[]).unwrap();
        let found = record(&layout, &["/x", "7", "17", "{\"a\": 1.50}", "True", "-3", "plain", "e"]).unwrap();
        let expected = json!({ "http": { "uri": "/x", "body": { "a": 1.5 } }, "id": "7", "at": 17, "failed": true,
            "code": -3, "payload": "plain", "Extra": "e" });
        assert_eq!(found, expected);
        assert_eq!(record(&layout, &["", "7", "17", "", "", "", "", ""]).unwrap(), json!({ "id": "7", "at": 17 }));
    }

    #[test]
    fn columns_can_be_renamed_and_content_left_out_on_a_persons_word() {
        let layout = layout("Event,at", false, &[("Event", "id")], &["http"]).unwrap();
        let time = "2023-10-14T15:02:11.410Z";
        assert_eq!(record(&layout, &["7", time]).unwrap(), json!({ "id": "7", "at": time }));
    }

    #[test]
    fn a_header_that_will_not_do_is_refused_with_what_to_do() {
        let check = |found: Result<Layout, String>, expected: &str| {
            let problem = found.unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        check(layout("id,http", false, &[], &[]), "no column for `at`");
        check(layout("id,http", false, &[], &["at"]), "would be delivered twice; do this");
        check(layout("id,at", false, &[], &[]), "list it under `without`");
        check(layout("id,at,http,User", false, &[], &[]), "column 4, `User`, is none of");
        check(layout("id,at,http,http.uri", false, &[], &[]), "both hold");
        check(layout("id,at,,http", true, &[], &[]), "column 3 has no name");
        check(layout("id,at,http", true, &[("x", "id")], &[]), "the header has no such column");
    }

    #[test]
    fn a_cell_that_will_not_do_is_named() {
        let layout = layout("id,at,failed,code,http", false, &[], &[]).unwrap();
        let check = |cells: [&str; 5], expected: &str| {
            let problem = record(&layout, &cells).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        check(["7", "2023-10-14T15:02:11Z", "", "", ""], "column 2, `at`: `2023-10-14T15:02:11Z` is no time");
        check(["7", "1", "yes", "", ""], "neither `true` nor `false`");
        check(["7", "1", "", "1.5", ""], "is no whole number");
        check(["7", "1", "", "", "{"], "column 5, `http`: `{` is no JSON");
        assert!(record(&layout, &["7", "1"]).unwrap_err().contains("2 cells under a header of 5"));
    }

    proptest! {
        #[test]
        fn any_record_comes_back(
            id in ".{1,20}", at: i64, failed: Option<bool>, code: Option<i64>, uri in ".{0,20}",
            body in prop::option::of(prop::collection::btree_map(".{0,5}", any::<i32>(), 0..4)), text in "[^0-9\\[{\"ntf-]{1,10}",
        ) {
            let mut members = Map::new();
            members.insert("id".into(), id.into());
            members.insert("at".into(), at.into());
            members.extend(failed.map(|failed| ("failed".to_owned(), failed.into())));
            members.extend(code.map(|code| ("code".to_owned(), code.into())));
            let mut http = Map::new();
            if !uri.is_empty() {
                http.insert("uri".into(), uri.into());
            }
            http.extend(body.map(|body| ("body".to_owned(), json!(body))));
            if !http.is_empty() {
                members.insert("http".into(), http.into());
            }
            members.insert("payload".into(), text.into());
            let value = Value::Object(members);
            let cell = |pointer: &str| match value.pointer(pointer) {
                None => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            // In parts, and as a whole.
            let parts = layout("id,at,failed,code,http.uri,http.body,payload", false, &[], &[]).unwrap();
            let cells = ["/id", "/at", "/failed", "/code", "/http/uri", "/http/body", "/payload"].map(cell);
            prop_assert_eq!(record(&parts, &cells.each_ref().map(String::as_str)), Ok(value.clone()));
            let whole = layout("payload,http,code,failed,at,id", false, &[], &[]).unwrap();
            let cells = ["/payload", "/http", "/code", "/failed", "/at", "/id"].map(cell);
            prop_assert_eq!(record(&whole, &cells.each_ref().map(String::as_str)), Ok(value));
        }
    }
}
