//! Lists of names: where they stand in an answer, and what an item calls itself.

use serde_json::{Map, Value};

/// The objects of a list that is the answer itself, or stands in one of `members`. `None` if there is none.
pub fn listed(body: &[u8], members: &[&str]) -> Option<Vec<Map<String, Value>>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let list = body.as_array().or_else(|| members.iter().find_map(|member| body.get(*member)?.as_array()))?;
    Some(list.iter().filter_map(|item| item.as_object().cloned()).collect())
}

/// A member that is a text with something in it.
pub fn text(object: &Map<String, Value>, member: &str) -> Option<String> {
    object.get(member)?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// The texts of a member that is a list, or one text.
pub fn texts(object: &Map<String, Value>, member: &str) -> Vec<String> {
    match object.get(member) {
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(Value::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_the_answer_or_a_member_of_it() {
        for body in [r#"[{"name":"a"},7]"#, r#"{"data":[{"name":"a"}],"total":1}"#] {
            let items = listed(body.as_bytes(), &["data"]).unwrap();
            assert_eq!(items.iter().filter_map(|item| text(item, "name")).collect::<Vec<_>>(), ["a"], "{body}");
        }
        for body in ["", "<html>", "{}", r#"{"data":{}}"#, r#"{"error":"no"}"#] {
            assert_eq!(listed(body.as_bytes(), &["data"]), None, "{body}");
        }
    }

    #[test]
    fn texts_are_those_of_a_list_or_one() {
        let item = &listed(br#"[{"a":["x",1,"y"],"b":"z","c":" "}]"#, &[]).unwrap()[0];
        assert_eq!(texts(item, "a"), ["x", "y"]);
        assert_eq!(texts(item, "b"), ["z"]);
        assert!(texts(item, "none").is_empty());
        assert_eq!(text(item, "c"), None);
    }
}
