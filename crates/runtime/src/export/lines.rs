//! One record per line. Empty lines are none.

use super::{Bytes, Piece, Pieces, is_full, too_long, unreadable};
use crate::splitter::ELEMENT_MAX;
use std::io::{BufRead, Read};

pub(super) struct Lines {
    bytes: Bytes,
    line: u64,
}

impl Lines {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, line: 0 }
    }
}

impl Pieces for Lines {
    fn more(&mut self, out: &mut Vec<Piece>) -> Result<bool, String> {
        while !is_full(out) {
            let mut raw = Vec::new();
            let most = ELEMENT_MAX as u64 + 1;
            let read = (&mut self.bytes).take(most).read_until(b'\n', &mut raw).map_err(|error| unreadable(&error))?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            if raw.len() > ELEMENT_MAX {
                return Err(too_long(&format!("line {}", self.line)));
            }
            let text = raw.trim_ascii();
            if !text.is_empty() {
                let raw = if text.len() == raw.len() { raw } else { text.to_vec() };
                out.push(Piece { raw, place: format!("line {}", self.line), problem: None });
            }
        }
        Ok(true)
    }
}
