//! Protobuf as it is on the wire, read without a schema: numbers of fields, and what they hold.

use crate::datum::{take, varint};

/// What a field holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Held<'b> {
    Varint(u64),
    Bytes(&'b [u8]),
    Other,
}

/// The fields of a message, in their order.
pub(crate) fn fields(mut bytes: &[u8]) -> Vec<(u64, Held<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let held = match tag & 7 {
            0 => Held::Varint(varint(&mut bytes)),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                Held::Bytes(take(&mut bytes, length))
            }
            1 => (take(&mut bytes, 8), Held::Other).1,
            5 => (take(&mut bytes, 4), Held::Other).1,
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, held));
    }
    fields
}

/// The text at a path of field numbers.
pub(crate) fn text<'b>(bytes: &'b [u8], path: &[u64]) -> Option<&'b str> {
    let (first, rest) = path.split_first().unwrap();
    let (_, Held::Bytes(inner)) = fields(bytes).into_iter().find(|(number, _)| number == first)? else { return None };
    if rest.is_empty() { Some(std::str::from_utf8(inner).unwrap()) } else { text(inner, rest) }
}

/// The number in a field.
pub(crate) fn number(bytes: &[u8], field: u64) -> Option<u64> {
    fields(bytes).into_iter().find_map(|(number, held)| match held {
        Held::Varint(value) if number == field => Some(value),
        _ => None,
    })
}
