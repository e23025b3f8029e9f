//! The golden files, byte for byte.

use crate::events::{encoder, golden_folder, made, message};
use serde_json::{Value, json};
use std::fs;

fn read(name: &str) -> Vec<u8> {
    let path = golden_folder().join("sinks").join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Without the line break that ends a text file.
fn line(name: &str) -> String {
    let text = String::from_utf8(read(name)).unwrap();
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

#[test]
fn golden_files_are_met_byte_for_byte() {
    for case in ["mural-escaping", "solace-service-delete-failure"] {
        let body: Value = serde_json::from_slice(&read(&format!("{case}.ocsf.json"))).unwrap();
        let event = made(&body);
        let text = |more: &Value| String::from_utf8(message(&event, more).unwrap()).unwrap();
        assert_eq!(text(&json!({})), line(&format!("{case}.syslog.txt")));
        assert_eq!(text(&json!({"body": "cef"})), line(&format!("{case}.syslog-cef.txt")));
        let body = |kind: &str| {
            let bare = json!({"body": kind, "structured_data": []});
            text(&bare).splitn(8, ' ').nth(7).unwrap().to_owned()
        };
        assert_eq!(body("cef"), line(&format!("{case}.cef.txt")));
        assert_eq!(body("leef"), line(&format!("{case}.leef.txt")));

        let mut framed = Vec::new();
        encoder(&json!({"mode": "tcp", "address": "localhost:1"})).encode(&event, &mut framed).unwrap();
        assert_eq!(framed, read(&format!("{case}.syslog-octet-counted.bin")));
        let mut framed = Vec::new();
        let newline = json!({"mode": "tcp", "address": "localhost:1", "framing": "newline"});
        encoder(&newline).encode(&event, &mut framed).unwrap();
        assert_eq!(framed, format!("{}\n", line(&format!("{case}.syslog.txt"))).as_bytes());
    }
}
