//! One JSON document: an array of records, or a page as the API answers it.

use super::{Bytes, Piece, Pieces, unreadable};
use crate::splitter::{SplitError, Splitter};
use std::io::BufRead;

/// Bytes taken apart at once: what a large buffer holds would become many records.
const SLICE: usize = 32 << 10;

pub(super) struct Array {
    bytes: Bytes,
    splitter: Option<Splitter>,
    records: u64,
}

impl Array {
    /// Finds the first byte of the document, which says what it is.
    pub(super) fn open(mut bytes: Bytes, elements: &'static [&'static str]) -> Result<Self, String> {
        loop {
            let buffer = bytes.fill_buf().map_err(|error| unreadable(&error))?;
            let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let path = match buffer.get(blank) {
                Some(b'[') => &[][..],
                Some(b'{') => elements,
                None if buffer.is_empty() => return Err("it is empty: an export without records is `[]`".to_owned()),
                None => {
                    bytes.consume(blank);
                    continue;
                }
                Some(_) => return Err("this is no JSON document: check `format`".to_owned()),
            };
            return Ok(Self { bytes, splitter: Some(Splitter::new(path)), records: 0 });
        }
    }
}

impl Pieces for Array {
    fn more(&mut self, out: &mut Vec<Piece>) -> Result<bool, String> {
        let Some(splitter) = &mut self.splitter else { return Ok(false) };
        let buffer = self.bytes.fill_buf().map_err(|error| unreadable(&error))?;
        let slice = &buffer[..buffer.len().min(SLICE)];
        let used = slice.len();
        if used == 0 {
            let Some(splitter) = self.splitter.take() else { return Ok(false) };
            return splitter.finish().map(|_| false).map_err(|error| problem(&error));
        }
        let records = &mut self.records;
        let pushed = splitter.push(slice, &mut |raw| {
            *records += 1;
            out.push(Piece { raw: raw.to_vec(), place: format!("record {records}"), problem: None });
        });
        self.bytes.consume(used);
        pushed.map(|()| true).map_err(|error| problem(&error))
    }
}

fn problem(error: &SplitError) -> String {
    match error {
        SplitError::CutShort(at) => format!("it ends in the middle, after {at} bytes: export or fetch it again"),
        SplitError::Malformed { problem, .. } if problem.contains("after the document") => {
            format!("{error}: for one JSON record per line, set `format: ndjson`")
        }
        _ => error.to_string().replace("of the page", "of the file"),
    }
}
