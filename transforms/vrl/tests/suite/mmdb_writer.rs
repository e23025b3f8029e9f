//! Writes small MaxMind DB files, after the public "MaxMind DB File Format Specification", version 2.0.
//!
//! ```text
//! search tree            node = left record, right record; 24 bits each, big endian
//! 16 zero bytes          separator
//! data section           maps, strings, numbers; pointers are not needed here
//! AB CD EF "MaxMind.com" marker, then the metadata: one more map
//! ```
//!
//! A record smaller than the number of nodes is a node; equal to it: nothing known; larger: the offset in the data
//! section plus the number of nodes plus 16.

use serde_json::{Value, json};
use std::net::Ipv4Addr;

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

/// The file for these IPv4 networks: address, prefix length, what is known about it.
pub(crate) fn mmdb(networks: &[(Ipv4Addr, u8, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    for (address, prefix, facts) in networks {
        let offset = data.len();
        encode(&mut data, facts);
        let bits = u32::from(*address);
        let mut node = 0;
        for depth in 0..*prefix {
            let side = (bits >> (31 - depth)) as usize & 1;
            if depth + 1 == *prefix {
                nodes[node][side] = Record::Data(offset);
            } else if let Record::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([Record::Empty; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Record::Node(next);
                node = next;
            }
        }
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            Record::Empty => count,
            Record::Node(node) => *node,
            Record::Data(offset) => count + 16 + offset,
        };
        file.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    encode(
        &mut file,
        &json!({
            "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "database_type": "Test",
            "description": {"en": "for a test"}, "ip_version": 4, "languages": ["en"], "node_count": count, "record_size": 24,
        }),
    );
    file
}

/// Types of the format: 2 string, 3 double, 6 uint32, 7 map, 11 array, 14 boolean.
fn encode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => {
            control(out, 2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Number(number) => match number.as_u64() {
            Some(whole) => {
                control(out, 6, 4);
                out.extend_from_slice(&u32::try_from(whole).unwrap().to_be_bytes());
            }
            None => {
                control(out, 3, 8);
                out.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::Object(map) => {
            control(out, 7, map.len());
            for (key, value) in map {
                encode(out, &Value::String(key.clone()));
                encode(out, value);
            }
        }
        Value::Array(items) => {
            control(out, 11, items.len());
            for item in items {
                encode(out, item);
            }
        }
        // The size is the value.
        Value::Bool(flag) => control(out, 14, usize::from(*flag)),
        Value::Null => panic!("the format has no null"),
    }
}

/// The control byte: type in the upper three bits (0: extended, in the next byte less 7), size in the lower five.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let size = u8::try_from(size).ok().filter(|size| *size < 29).expect("small things only");
    if kind <= 7 {
        out.push(kind << 5 | size);
    } else {
        out.extend_from_slice(&[size, kind - 7]);
    }
}
