//! A text as a reader of some notation sees it, which still knows where each byte stands in the text itself.

/// Bytes, and for each where it begins and ends in the original.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl View {
    pub(super) fn of(text: &str) -> Self {
        let places = (0..text.len()).map(|at| (at, at + 1)).collect();
        Self { bytes: text.as_bytes().to_vec(), places }
    }

    /// Where `start..end` of the view stands in the original.
    pub(super) fn place(&self, start: usize, end: usize) -> (usize, usize) {
        (self.places[start].0, self.places[end - 1].1)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// With the escapes of one notation undone; `None` if there are none.
    pub(super) fn decoded(&self, (sign, undo): Notation) -> Option<Self> {
        let mut next = Self { bytes: Vec::with_capacity(self.bytes.len()), places: Vec::new() };
        let mut changed = false;
        let mut at = 0;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let escape = if rest[0] == sign { undo(rest) } else { None };
            changed |= escape.is_some();
            let (length, plain) = escape.unwrap_or_else(|| (1, vec![rest[0]]));
            let place = self.place(at, at + length);
            next.places.resize(next.places.len() + plain.len(), place);
            next.bytes.extend(plain);
            at += length;
        }
        changed.then_some(next)
    }
}

/// How long an escape is, and what it stands for.
type Escape = Option<(usize, Vec<u8>)>;

/// What an escape begins with, and how it is undone.
pub(super) type Notation = (u8, fn(&[u8]) -> Escape);

/// That of URLs and forms (RFC 3986 section 2.1).
pub(super) const PERCENT: Notation = (b'%', percent);

/// All that are known. A text that is written in one may hold the signs of another as they are.
pub(super) const NOTATIONS: [Notation; 4] = [PERCENT, (b'\\', backslash), (b'&', reference), (0, nothing)];

fn number(digits: Option<&[u8]>, radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits?).ok()?;
    let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| valid)
}

fn utf8(code: u32) -> Option<Vec<u8>> {
    char::from_u32(code).map(|c| c.to_string().into_bytes())
}

fn byte(code: u32) -> Option<Vec<u8>> {
    u8::try_from(code).ok().map(|byte| vec![byte])
}

/// What UTF-16 has between letters, where it is read as UTF-8.
fn nothing(rest: &[u8]) -> Escape {
    rest.first().map(|_| (1, Vec::new()))
}

/// `%2F`.
fn percent(rest: &[u8]) -> Escape {
    Some((3, byte(number(rest.get(1..3), 16)?)?))
}

/// `\"`, `\n`, `\x1b`, `\u001b`, `\u{1b}`, and two `\u` for what is outside the basic plane.
fn backslash(rest: &[u8]) -> Escape {
    let escape = *rest.get(1)?;
    match escape {
        b'u' if rest.get(2) == Some(&b'{') => {
            let length = rest.iter().take(12).position(|b| *b == b'}')?;
            Some((length + 1, utf8(number(rest.get(3..length), 16)?)?))
        }
        b'u' => {
            let unit = number(rest.get(2..6), 16)?;
            let low = || {
                let next = rest.get(6..).filter(|next| next.starts_with(b"\\u"))?;
                number(next.get(2..6), 16).filter(|low| (0xdc00..0xe000).contains(low))
            };
            match unit {
                0xd800..0xdc00 => Some((12, utf8(0x1_0000 + ((unit - 0xd800) << 10) + (low()? - 0xdc00))?)),
                _ => Some((6, utf8(unit)?)),
            }
        }
        b'x' => Some((4, byte(number(rest.get(2..4), 16)?)?)),
        b'n' => Some((2, vec![b'\n'])),
        b't' => Some((2, vec![b'\t'])),
        b'r' => Some((2, vec![b'\r'])),
        b'0' => Some((2, vec![0])),
        _ if escape.is_ascii_punctuation() => Some((2, vec![escape])),
        _ => None,
    }
}

/// `&amp;`, `&#39;`, `&#x27;`.
fn reference(rest: &[u8]) -> Escape {
    let end = rest.iter().take(10).position(|b| *b == b';')?;
    let plain = match &rest[1..end] {
        b"amp" => vec![b'&'],
        b"lt" => vec![b'<'],
        b"gt" => vec![b'>'],
        b"quot" => vec![b'"'],
        b"apos" => vec![b'\''],
        [b'#', b'x' | b'X', digits @ ..] => utf8(number(Some(digits), 16)?)?,
        [b'#', digits @ ..] => utf8(number(Some(digits), 10)?)?,
        _ => return None,
    };
    Some((end + 1, plain))
}
