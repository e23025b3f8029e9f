//! One JSON document: an array of records, or a page as the API answers it.

use super::{Bounds, Bytes, Piece, Pieces, not_kept, unreadable};
use crate::{
    reader::Spool,
    splitter::{Element, Page, SplitError, Splitter},
};
use headwater_contracts::{Import, complaint, shown};
use std::io::BufRead;

/// Bytes taken apart at once: what a large buffer holds would become many records.
const SLICE: usize = 32 << 10;

pub(super) struct Array {
    bytes: Bytes,
    splitter: Option<Splitter>,
    spool: Spool,
    records: u64,
    /// What the page around the records was.
    page: Option<Page>,
}

impl Array {
    /// Finds the first byte of the document, which says what it is.
    pub(super) fn open(mut bytes: Bytes, elements: &'static [&'static str], bounds: &Bounds) -> Result<Self, String> {
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
            let splitter = Some(Splitter::new(path).limit(bounds.limit));
            return Ok(Self { bytes, splitter, spool: Spool::new(bounds), records: 0, page: None });
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
            let page = splitter.finish().map_err(|error| problem(&error))?;
            let page = self.page.insert(page);
            return match complaint(&page.envelope, page.records) {
                Some(said) => Err(format!(
                    "it is an answer that calls itself an error, and may lack records: \"{}\"; fetch it again",
                    shown(&said, 300)
                )),
                None => Ok(false),
            };
        }
        let (records, spool) = (&mut self.records, &mut self.spool);
        let mut unkept = None;
        let pushed = splitter.push(slice, &mut |element| {
            let mut place = || {
                *records += 1;
                format!("record {records}")
            };
            match element {
                Element::Whole(raw) => out.push(Piece::new(raw.to_vec(), place())),
                Element::Piece { bytes, last } => match spool.take(bytes, last) {
                    Ok(kept) => out.extend(kept.map(|kept| Piece::oversized(kept, place()))),
                    Err(error) => unkept = Some(error),
                },
            }
        });
        self.bytes.consume(used);
        if let Some(error) = unkept {
            return Err(not_kept(&error));
        }
        pushed.map(|()| true).map_err(|error| problem(&error))
    }

    fn remainder(&self, import: &dyn Import) -> Option<String> {
        self.page.as_ref().and_then(|page| import.remainder(&page.envelope, page.records))
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
