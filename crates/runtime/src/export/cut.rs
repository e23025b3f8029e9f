//! The bytes of a CSV, cut into rows before anything parses them. A row that is too long, or whose quote is not closed, costs its
//! neighbours nothing.

use super::{Bounds, Bytes, not_kept, unreadable};
use crate::reader::{Oversized, Spool};
use std::io::{BufRead, Cursor};

/// What stands between two ends of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A row, without the end of its line.
    Row(Vec<u8>),
    /// One that is longer than a record may be.
    Long(Oversized),
    /// The first line of a row whose quote is not closed before the file ends. What follows is cut anew.
    Unclosed(Vec<u8>),
    /// A row whose quote is not closed, in a file that ends in the middle of it.
    Torn(Vec<u8>),
}

/// Where in a row the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Cell,
    InCell,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two.
    Quote,
}

impl Place {
    /// After `byte`, as the parser goes on: only a quote at the beginning of a cell means that it is quoted.
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::Quote,
            (Self::Quoted, _) | (Self::Cell | Self::Quote, b'"') => Self::Quoted,
            (_, b',') => Self::Cell,
            _ => Self::InCell,
        }
    }
}

pub(super) struct Cutter {
    bytes: Bytes,
    /// What is cut a second time.
    again: Cursor<Vec<u8>>,
    limit: usize,
    spool: Spool,
    /// The line of the next byte, from 1, and whether the byte before it was a carriage return.
    line: u64,
    returned: bool,
}

impl Cutter {
    pub(super) fn new(bytes: Bytes, bounds: &Bounds) -> Self {
        let spool = Spool::new(bounds);
        Self { bytes, again: Cursor::default(), limit: bounds.limit, spool, line: 1, returned: false }
    }

    /// The next row that is not empty, and its first line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Cut, u64)>, String> {
        let (mut row, mut place, mut is_long, mut line) = (Vec::new(), Place::Cell, false, self.line);
        loop {
            if row.is_empty() {
                line = self.line;
            }
            let is_again = !self.again.fill_buf().is_ok_and(<[u8]>::is_empty);
            let source: &mut dyn BufRead = if is_again { &mut self.again } else { &mut self.bytes };
            let buffer = source.fill_buf().map_err(|error| unreadable(&error))?;
            let ended = buffer.is_empty();
            let (mut used, mut row_ended) = (0, false);
            for byte in buffer {
                used += 1;
                let ends_line = matches!(byte, b'\n' | b'\r');
                self.line += u64::from(*byte == b'\r' || (*byte == b'\n' && !self.returned));
                self.returned = *byte == b'\r';
                if ends_line && place != Place::Quoted {
                    row_ended = true;
                    break;
                }
                place = place.after(*byte);
            }
            row.extend_from_slice(&buffer[..used - usize::from(row_ended)]);
            source.consume(used);
            if row.len() > self.limit || is_long {
                is_long = true;
                let kept = self.spool.take(&row, row_ended || ended).map_err(|error| not_kept(&error))?;
                row.clear();
                match kept {
                    Some(kept) => return Ok(Some((Cut::Long(kept), line))),
                    None => continue,
                }
            }
            match (row_ended, ended) {
                (true, _) if row.is_empty() => place = Place::Cell,
                (true, _) => return Ok(Some((Cut::Row(row), line))),
                (_, true) if row.is_empty() => return Ok(None),
                (_, true) if place != Place::Quoted => return Ok(Some((Cut::Row(row), line))),
                (_, true) if !row.ends_with(b"\n") => return Ok(Some((Cut::Torn(row), line))),
                (_, true) => return Ok(Some((self.unclosed(row, line), line))),
                _ => {}
            }
        }
    }

    /// A quote that is opened in `line` would be the rest of the file.
    fn unclosed(&mut self, mut row: Vec<u8>, line: u64) -> Cut {
        let end = row.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(row.len());
        self.again = Cursor::new(row.split_off(end));
        (self.line, self.returned) = (line, false);
        Cut::Unclosed(row)
    }
}
