//! Any event gives a message that can be read back.

use crate::{
    events::{encoder, made, ocsf},
    parser::{frames, parse},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,30}", "[\\]\\[\"\\\\=|\r\n\t\0\u{7f}\u{85}\u{2028}\u{feff}é🦀 -]{0,30}", "[a-z]{0,700}"]
}

/// Milliseconds: of our days, at the ends of what four digits of a year can write, and beyond what a calendar reaches.
fn time() -> impl Strategy<Value = i64> {
    const YEAR_0: i64 = -62_167_219_200_000;
    const YEAR_10_000: i64 = 253_402_300_800_000;
    let near = |end: i64| end - 2..end + 2;
    prop_oneof![
        0..2_000_000_000_000i64,
        near(YEAR_0),
        near(YEAR_10_000),
        -8 * YEAR_10_000..8 * YEAR_10_000,
        any::<i64>()
    ]
}

/// As a sentence is sent: a byte order mark at its beginning would be taken for the protocol's.
fn sentence(text: &str) -> String {
    blanks(text.trim_start_matches('\u{feff}'))
}

/// As structured data holds it.
fn blanks(text: &str) -> String {
    text.chars().map(|c| if is_control(c) { ' ' } else { c }).collect()
}

/// What a terminal or a splitter of lines may take for more than a character.
fn is_control(c: char) -> bool {
    c != '\t' && c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

proptest! {
    #[test]
    fn any_event_gives_a_message_that_can_be_read(
        (id, user, message, code) in (text(), text(), text(), text()),
        newline in any::<bool>(),
        body in prop_oneof![Just("json"), Just("cef"), Just("leef"), Just("message")],
        bom in any::<bool>(),
        max_length in 480usize..4000,
        time in time(),
        severity in 0i64..8,
    ) {
        let mut event = ocsf(&id, &user, &message);
        event["metadata"]["event_code"] = json!(code);
        event["time"] = json!(time);
        event["severity_id"] = json!(severity);
        let framing = if newline { "newline" } else { "octet_counting" };
        let options = json!({"mode": "tcp", "address": "localhost:1", "framing": framing, "body": body, "bom": bom,
            "max_length": max_length, "app_name": "{{ actor.user.name }}", "msgid": "{{ metadata.event_code }}"});
        let mut out = Vec::new();
        match encoder(&options).encode(&made(&event), &mut out) {
            Ok(()) => {}
            // Only an empty sentence leaves nothing to send.
            Err(reason) => {
                prop_assert!(sentence(&message).is_empty() && reason.contains("max_length"), "{}", reason);
                return Ok(());
            }
        }
        let (mut frames, rest) = frames(newline, &out);
        prop_assert!(rest.is_empty() && frames.len() == 1, "one frame, and nothing beside it");
        let frame = frames.remove(0);
        prop_assert!(frame.len() <= max_length);
        prop_assert!(!frame.contains(&b'\n') && !frame.contains(&b'\r') && !frame.contains(&0));

        let read = parse(&frame).map_err(TestCaseError::fail)?;
        prop_assert_eq!(read.pri / 8, 13);
        prop_assert_eq!(read.bom, bom);
        if let Some(data) = read.data.get("ocsf@32473") {
            let value = |key: &str| data.get(key).map_or("", String::as_str).to_owned();
            prop_assert_eq!(value("actor_name"), blanks(&user));
            prop_assert_eq!(value("target_name"), blanks(&message));
            prop_assert_eq!(value("tenant_uid"), "t]1");
        }
        match body {
            "json" => match serde_json::from_str::<Value>(&read.msg) {
                Ok(whole) if whole.get("raw_data").is_some() => prop_assert_eq!(whole, event),
                Ok(less) if less.is_object() => prop_assert_eq!(&less["metadata"]["is_truncated"], &json!(true)),
                _ => prop_assert!(sentence(&message).starts_with(&read.msg)),
            },
            "message" if !sentence(&message).is_empty() => prop_assert!(sentence(&message).starts_with(&read.msg)),
            _ => {}
        }
        if body == "cef" && read.msg.starts_with("CEF:0|") && let Some((_, last)) = read.msg.rsplit_once(" msg=") {
            let kept = |c| if is_control(c) && c != '\n' && c != '\r' { ' ' } else { c };
            prop_assert_eq!(unescaped(last), message.chars().map(kept).collect::<String>());
        }

        // A parser of other people's reads the same. It takes a field that is only a colon for the end of the header.
        if [&read.app, &read.msgid].contains(&&":".to_owned()) {
            return Ok(());
        }
        let text = String::from_utf8(frame).unwrap();
        let other = syslog_loose::parse_message(&text, syslog_loose::Variant::RFC5424);
        prop_assert_eq!(other.protocol, syslog_loose::Protocol::RFC5424(1));
        prop_assert_eq!(other.appname.unwrap_or("-"), &read.app);
        prop_assert_eq!(other.msgid.unwrap_or("-"), &read.msgid);
        prop_assert_eq!(other.structured_data.len(), read.data.len());
    }

    #[test]
    fn no_bytes_of_a_provider_break_a_line(raw in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut event = headwater_testkit::sink_suite::event("e", "t", false);
        event.raw = raw.into();
        let options = json!({"mode": "tcp", "address": "localhost:1", "framing": "newline"});
        let mut out = Vec::new();
        if encoder(&options).encode(&event, &mut out).is_ok() {
            prop_assert_eq!(frames(true, &out).0.len(), 1);
        }
    }
}

fn unescaped(value: &str) -> String {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(c @ ('\\' | '=')) => out.push(c),
                other => panic!("escape of {other:?}"),
            },
            c => out.push(c),
        }
    }
    out
}
