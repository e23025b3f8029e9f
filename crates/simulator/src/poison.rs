//! Records that are hard to read: what a member may hold that a caller of the API has chosen.

use crate::dice::{Dice, halves};
use crate::log::{Body, Entry, Kind};
use serde_json::{Map, Value};

/// What makes a record hard to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Poison {
    /// Nested more deeply than parsers go.
    Deep,
    /// A number that is larger than any double.
    Number,
    /// Half a surrogate pair.
    Half,
    /// JSON written as text, with escapes, where an object is expected.
    Text,
    /// An escape that JSON does not have: the record is no JSON.
    Escape,
    /// More than [`Poison::LONG`] bytes.
    Long,
}

impl Poison {
    /// Records that are long are longer than this, and no others are.
    pub const LONG: usize = 64 << 10;

    /// What the event is made hard to read by, if it is one of the `per_mille`.
    pub(crate) fn of(entry: &Entry, per_mille: u16) -> Option<Self> {
        if entry.kind != Kind::Foreign || !matches!(entry.body, Body::Sample(_)) {
            return None;
        }
        let mut dice = dice(entry);
        let all = [Self::Deep, Self::Number, Self::Half, Self::Text, Self::Escape, Self::Long];
        dice.chance(per_mille).then(|| dice.pick(all))
    }

    /// Changes the event's JSON, which begins at `from`.
    pub(crate) fn spoil(self, entry: &Entry, out: &mut Vec<u8>, from: usize) {
        let mut dice = dice(entry);
        let value = match self {
            Self::Deep => {
                let levels = 130 + dice.index(2000);
                format!("{}{}", "[".repeat(levels), "]".repeat(levels))
            }
            Self::Number => dice.pick(["1e999".to_owned(), "-1E+400".to_owned(), "9".repeat(400)].each_ref()).clone(),
            Self::Half => dice.pick([r#""a\ud800""#, r#""\uDFFFb""#]).to_owned(),
            Self::Escape => dice.pick([r#""\u12G4""#, r#""\x""#, "\"\u{7}\"", "007"]).to_owned(),
            Self::Long => format!("\"{}\"", "]}\u{e9}".repeat(Self::LONG / 4 + dice.index(5000))),
            Self::Text => {
                let object = serde_json::from_slice::<Map<String, Value>>(&out[from..]);
                if let Ok(mut object) = object
                    && let Some(member) = object.values_mut().find(|member| member.is_object())
                {
                    *member = Value::String(format!("{member}\n"));
                    out.truncate(from);
                    out.extend_from_slice(Value::Object(object).to_string().as_bytes());
                    return;
                }
                r#""{\"a\":\"b\\n\"}""#.to_owned()
            }
        };
        while out.pop().is_some_and(|byte| byte != b'}') {}
        out.extend_from_slice(format!(",\"chosen\":{value}}}").as_bytes());
    }
}

fn dice(entry: &Entry) -> Dice {
    let [high, low] = halves(entry.key);
    Dice::new(&[high, low, 0x9015])
}
