//! RFC 5424, read strictly by its grammar (section 6), written without a look at the encoder.

use std::collections::BTreeMap;

/// Structured data: by SD-ID, the parameters by name.
pub(crate) type Data = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) pri: u16,
    pub(crate) time: String,
    pub(crate) host: String,
    pub(crate) app: String,
    pub(crate) procid: String,
    pub(crate) msgid: String,
    pub(crate) data: Data,
    pub(crate) bom: bool,
    pub(crate) msg: String,
}

pub(crate) fn parse(message: &[u8]) -> Result<Message, String> {
    let text = std::str::from_utf8(message).map_err(|e| e.to_string())?;
    let rest = text.strip_prefix('<').ok_or("no PRI")?;
    let (pri, rest) = rest.split_once('>').ok_or("PRI does not end")?;
    let number: u16 = pri.parse().map_err(|_| format!("PRI {pri}"))?;
    if number > 191 || number.to_string() != pri {
        return Err(format!("PRI {pri}"));
    }
    let rest = rest.strip_prefix("1 ").ok_or("not version 1")?;
    let mut fields = rest.splitn(6, ' ');
    let mut field = |name: &str, longest: usize| {
        let field = fields.next().ok_or(format!("no {name}"))?;
        let fine = !field.is_empty() && field.len() <= longest && field.bytes().all(|byte| (33..=126).contains(&byte));
        if fine { Ok(field.to_owned()) } else { Err(format!("{name} {field:?}")) }
    };
    let (time, host, app) = (field("TIMESTAMP", 32)?, field("HOSTNAME", 255)?, field("APP-NAME", 48)?);
    let (procid, msgid) = (field("PROCID", 128)?, field("MSGID", 32)?);
    if time != "-" {
        let parsed = chrono::DateTime::parse_from_rfc3339(&time).map_err(|e| format!("TIMESTAMP {time}: {e}"))?;
        assert_eq!(parsed.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(), time, "in UTC, with milliseconds");
    }
    let rest = fields.next().ok_or("no STRUCTURED-DATA")?;
    let (data, rest) = data(rest)?;
    let (bom, msg) = match rest.strip_prefix(' ') {
        Some(msg) => msg.strip_prefix('\u{feff}').map_or((false, msg), |msg| (true, msg)),
        None if rest.is_empty() => (false, ""),
        None => return Err(format!("after the structured data: {rest:?}")),
    };
    Ok(Message { pri: number, time, host, app, procid, msgid, data, bom, msg: msg.to_owned() })
}

fn data(text: &str) -> Result<(Data, &str), String> {
    let mut data = Data::new();
    if let Some(rest) = text.strip_prefix('-') {
        return Ok((data, rest));
    }
    let mut rest = text;
    while let Some(element) = rest.strip_prefix('[') {
        let (id, mut inside) = name(element)?;
        let mut params = BTreeMap::new();
        while let Some(param) = inside.strip_prefix(' ') {
            let (name, after) = name(param)?;
            let (value, after) = value(after.strip_prefix("=\"").ok_or("no =\"")?)?;
            params.insert(name, value);
            inside = after;
        }
        rest = inside.strip_prefix(']').ok_or(format!("an element does not end: {inside:?}"))?;
        if data.insert(id.clone(), params).is_some() {
            return Err(format!("{id} twice"));
        }
    }
    if data.is_empty() { Err(format!("no structured data: {text:?}")) } else { Ok((data, rest)) }
}

fn name(text: &str) -> Result<(String, &str), String> {
    let end = text.find(['=', ' ', ']', '"']).ok_or("a name does not end")?;
    let name = &text[..end];
    if name.is_empty() || name.len() > 32 || !name.bytes().all(|byte| (33..=126).contains(&byte)) {
        return Err(format!("name {name:?}"));
    }
    Ok((name.to_owned(), &text[end..]))
}

fn value(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            ']' => return Err("an unescaped ]".to_owned()),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\' | ']'))) => value.push(escaped),
                other => return Err(format!("escape of {other:?}")),
            },
            c => value.push(c),
        }
    }
    Err("a value does not end".to_owned())
}

/// Takes the frames of a stream apart; the rest is a frame that has not ended.
pub(crate) fn frames(newline: bool, stream: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        let frame = if newline { line(rest) } else { counted(rest) };
        let Some((frame, after)) = frame else { return (frames, rest.to_vec()) };
        frames.push(frame.to_vec());
        rest = after;
    }
}

fn line(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = stream.iter().position(|byte| *byte == b'\n')?;
    Some((&stream[..end], &stream[end + 1..]))
}

/// RFC 6587 section 3.4.1: MSG-LEN has no leading zero.
fn counted(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = stream.iter().position(|byte| *byte == b' ')?;
    let digits = std::str::from_utf8(&stream[..end]).unwrap();
    let length: usize = digits.parse().unwrap_or_else(|_| panic!("MSG-LEN {digits:?}"));
    assert_eq!(length.to_string(), digits, "MSG-LEN");
    let rest = &stream[end + 1..];
    (rest.len() >= length).then(|| rest.split_at(length))
}

#[test]
fn the_parser_refuses_what_the_grammar_does_not_allow() {
    let good = "<110>1 - h a - m [x@1 a=\"b\\]\"][y@1] text";
    assert_eq!(parse(good.as_bytes()).unwrap().data["x@1"]["a"], "b]");
    for (from, to) in [
        ("<110>", "<192>"),
        ("<110>", "<0110>"),
        (">1 ", ">2 "),
        (" h ", " h\u{e9} "),
        ("\\]", "]"),
        ("y@1", "x@1"),
        ("] text", "]text"),
    ] {
        assert!(parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} as {to}");
    }
}
