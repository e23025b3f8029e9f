//! Values of an event as values of OTLP. Pure.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use vrl::value::Value;

/// How many messages may be nested in a body. Protobuf readers stop at 100, and a record is the third message of a request;
/// this leaves six to whoever wraps it.
pub(crate) const NESTED: usize = 90;
/// An object takes three of them: the list, a pair, the pair's value.
const OBJECT: usize = 3;
/// A list takes two: the array, and a value in it.
const ARRAY: usize = 2;

/// The value, where `room` messages may still be nested. Members of objects that are null are left out. What lies
/// deeper than there is room for is written as JSON text.
pub(crate) fn any(value: &Value, room: usize) -> AnyValue {
    use any_value::Value::{
        ArrayValue as Array, BoolValue, BytesValue, DoubleValue, IntValue, KvlistValue, StringValue,
    };
    AnyValue {
        value: match value {
            Value::Null => None,
            Value::Boolean(value) => Some(BoolValue(*value)),
            Value::Integer(value) => Some(IntValue(*value)),
            Value::Float(value) => Some(DoubleValue(value.into_inner())),
            Value::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => Some(BytesValue(bytes.to_vec())),
            Value::Object(object) if room >= OBJECT => Some(KvlistValue(KeyValueList {
                values: object
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| pair(key.as_str(), any(value, room - OBJECT)))
                    .collect(),
            })),
            Value::Array(array) if room >= ARRAY => {
                Some(Array(ArrayValue { values: array.iter().map(|value| any(value, room - ARRAY)).collect() }))
            }
            other => Some(StringValue(text(other))),
        },
    }
}

/// A pair of a list or of attributes.
pub(crate) fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), key_strindex: 0 }
}

/// A string value.
pub(crate) fn string(text: impl Into<String>) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.into())) }
}

/// Strings as they are, everything else as JSON prints it, times without the quotes.
fn text(value: &Value) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(json) => json.to_string(),
        Err(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{any, *};
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use proptest::prelude::{any as arbitrary, *};
    use prost::Message;
    use serde_json::{Value as Json, json};

    /// What a reader makes of it.
    fn json(any: &AnyValue) -> Json {
        use any_value::Value::{ArrayValue, BoolValue, DoubleValue, IntValue, KvlistValue, StringValue};
        match &any.value {
            None => Json::Null,
            Some(BoolValue(value)) => json!(value),
            Some(IntValue(value)) => json!(value),
            Some(DoubleValue(value)) => json!(value),
            Some(StringValue(value)) => json!(value),
            Some(ArrayValue(array)) => array.values.iter().map(json).collect(),
            Some(KvlistValue(list)) => {
                let pairs = list.values.iter().map(|pair| (pair.key.clone(), json(pair.value.as_ref().unwrap())));
                Json::Object(pairs.collect())
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    fn without_null_members(value: &Json) -> Json {
        match value {
            Json::Object(object) => Json::Object(
                object
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| (key.clone(), without_null_members(value)))
                    .collect(),
            ),
            Json::Array(array) => array.iter().map(without_null_members).collect(),
            other => other.clone(),
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            arbitrary::<bool>().prop_map(Json::from),
            arbitrary::<i64>().prop_map(Json::from),
            prop::num::f64::NORMAL.prop_map(Json::from),
            ".{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(6, 64, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                prop::collection::btree_map(".{0,5}", inner, 0..5)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_back_with_the_same_values(value in any_json()) {
            let parsed: Value = serde_json::from_str(&value.to_string()).unwrap();
            let bytes = any(&parsed, NESTED).encode_to_vec();
            let read = json(&AnyValue::decode(&bytes[..]).unwrap());
            prop_assert_eq!(read, without_null_members(&serde_json::from_str(&value.to_string()).unwrap()));
        }
    }

    #[test]
    fn what_lies_too_deep_is_text_and_the_record_is_readable() {
        for open_close in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open_close.0.repeat(120), open_close.1.repeat(120));
            let value: Value = serde_json::from_str(&deep).unwrap();
            let record = opentelemetry_proto::tonic::logs::v1::LogRecord {
                body: Some(any(&value, NESTED)),
                ..Default::default()
            };
            let request =
                crate::request::request(&[&crate::Record { log: record, provider: "p".into(), tenant: None }]);
            let bytes = request.encode_to_vec();
            let read = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
            let body = read.resource_logs[0].scope_logs[0].log_records[0].body.clone().unwrap();
            assert!(json(&body).to_string().replace("\\\"", "\"").contains(&open_close.0.repeat(50)), "{body:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_bytes() {
        let value = any(&Value::Bytes(vec![0xff, 0xfe].into()), NESTED);
        assert_eq!(value.value, Some(any_value::Value::BytesValue(vec![0xff, 0xfe])));
    }
}
