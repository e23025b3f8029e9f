//! Records whose bodies have grown too large: where the audit log records its own reading with the answers given, each such
//! record holds the page before.

use headwater_contracts::json;

/// `raw` with both bodies replaced by a mark, if it is longer than `most` bytes and has a body; every other byte stays.
pub(crate) fn trimmed(raw: &[u8], most: usize) -> Option<Vec<u8>> {
    if raw.len() <= most {
        return None;
    }
    let bodies = ["http_request", "http_response"].map(|part| json::at(raw, &[part, "body"]));
    let mut places: Vec<(usize, usize)> = bodies.into_iter().flatten().filter_map(|body| place(raw, body)).collect();
    // A mark as long as what it replaces would gain nothing.
    places.retain(|(from, to)| to - from > mark(to - from).len());
    places.sort_unstable();
    if places.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(most);
    let mut copied = 0;
    for (from, to) in places {
        out.extend_from_slice(raw.get(copied..from)?);
        out.extend_from_slice(mark(to - from).as_bytes());
        copied = to;
    }
    out.extend_from_slice(raw.get(copied..)?);
    Some(out)
}

/// What stands for a body of so many bytes.
fn mark(bytes: usize) -> String {
    format!(r#"{{"headwater_truncated":true,"original_bytes":{bytes}}}"#)
}

/// Where `part`, which was borrowed from `whole`, stands in it.
fn place(whole: &[u8], part: &[u8]) -> Option<(usize, usize)> {
    let from = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let to = from + part.len();
    (whole.get(from..to)? == part).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn only_the_bodies_of_what_is_too_large_give_way_to_a_mark() {
        let raw = include_bytes!("../tests/pages/add-service.json");
        assert_eq!(trimmed(raw, raw.len()), None);
        let short: Value = serde_json::from_slice(&trimmed(raw, 100).unwrap()).unwrap();
        let mut expected: Value = serde_json::from_slice(raw).unwrap();
        let length = expected["http_request"]["body"].to_string().len();
        expected["http_request"]["body"] = json!({ "headwater_truncated": true, "original_bytes": length });
        assert_eq!(short, expected);
        assert_eq!(trimmed(br#"{"id":"a","event_time":1718000000,"resource_id":"long enough"}"#, 10), None);
    }

    #[test]
    fn a_body_of_any_depth_gives_way() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let raw = format!("{{\"id\":\"a\",\"http_request\":{{\"body\":{deep}}}}}");
        let short: Value = serde_json::from_slice(&trimmed(raw.as_bytes(), 1000).unwrap()).unwrap();
        assert_eq!(short["http_request"]["body"]["original_bytes"], 200_000);
    }

    proptest! {
        #[test]
        fn what_is_left_is_json_with_the_same_id(request in ".{0,300}", response in ".{0,300}", most in 0usize..400) {
            let raw = json!({ "id": "a", "http_request": { "body": request }, "http_response": { "body": { "x": response } } });
            let raw = raw.to_string().into_bytes();
            if let Some(short) = trimmed(&raw, most) {
                prop_assert!(short.len() < raw.len());
                let value: Value = serde_json::from_slice(&short).unwrap();
                prop_assert_eq!(&value["id"], "a");
            }
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = trimmed(&raw, 0);
        }
    }
}
