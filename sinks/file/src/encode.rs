//! Events to records. Pure.

use headwater_contracts::{Encode, Event};
use headwater_sink_kit::{Formulas, csv_row, line};
use vrl::path::OwnedValuePath;

/// How an event becomes a record.
#[derive(Debug, Clone)]
pub(crate) enum Encoder {
    /// One JSON value per line.
    Ndjson,
    /// One row per event: these paths.
    Csv(Vec<OwnedValuePath>, Formulas),
}

impl Encode for Encoder {
    /// The record with its line break.
    fn encode(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Ndjson => line(event, out).map(|()| out.push(b'\n')),
            Self::Csv(columns, formulas) => csv_row(event, columns, *formulas, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Rejected;
    use headwater_sink_kit::records;
    use headwater_testkit::sink_suite::event;
    use proptest::prelude::*;
    use serde_json::json;
    use vrl::value::Value;

    fn raw(json: &str) -> Event {
        Event { raw: json.to_owned().into(), ..event("a", "b", false) }
    }

    fn columns(paths: &[&str]) -> Encoder {
        Encoder::Csv(paths.iter().map(|path| vrl::path::parse_value_path(path).unwrap()).collect(), Formulas::Keep)
    }

    #[test]
    fn untouched_events_stay_byte_for_byte_unless_they_hold_a_line_break() {
        let events = [raw(r#"{ "a" : 1.000 }"#), raw("{\n \"a b\" : [1.0,\r\n\" \\\" \"]\n}\n")];
        let expected = "{ \"a\" : 1.000 }\n{\"a b\":[1.0,\" \\\" \"]}\n";
        assert_eq!(records(&Encoder::Ndjson, &events), (expected.as_bytes().to_vec(), vec![]));
    }

    #[test]
    fn columns_are_vrl_paths_and_missing_ones_are_empty() {
        let body = json!({
            "metadata": { "uid": "u,1", "when.exactly": "x" }, "list": [{ "a": true }, 2], "null": null, "n": 1.5
        });
        let encoder =
            columns(&["metadata.uid", "metadata.\"when.exactly\"", "list[0].a", "list", "null", "none.at.all", "n"]);
        let (records, rejected) = records(&encoder, &[raw(&body.to_string())]);
        let expected = "\"u,1\",x,true,\"[{\"\"a\"\":true},2]\",,,1.5\r\n";
        assert_eq!((String::from_utf8(records).unwrap().as_str(), rejected), (expected, vec![]));
    }

    #[test]
    fn an_event_that_is_no_json_is_named_and_the_others_are_written() {
        let (records, rejected) = records(&columns(&["a"]), &[raw("{\"a\":1}"), raw("nonsense"), raw("{\"a\":2}")]);
        assert_eq!(records, b"1\r\n2\r\n");
        assert!(
            matches!(&rejected[..], [Rejected { index: 1, reason }] if reason.contains("not JSON")),
            "{rejected:?}"
        );
    }

    proptest! {
        #[test]
        fn any_text_reads_back_from_csv(a in ".{0,20}", b in "[\"\r\n, ]{0,10}") {
            let transformed = Event {
                value: Some(Value::from(json!({ "a": a.clone(), "b": b.clone() }))),
                ..event("a", "b", true)
            };
            let (records, rejected) = records(&columns(&[".a", ".b"]), &[transformed]);
            prop_assert!(rejected.is_empty());
            // As in a file: below a header line.
            let file = [b"a,b\r\n", &records[..]].concat();
            let mut reader = csv::Reader::from_reader(&file[..]);
            let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(rows.len(), 1);
            prop_assert_eq!(rows[0].iter().collect::<Vec<_>>(), vec![a.as_str(), b.as_str()]);
        }
    }
}
