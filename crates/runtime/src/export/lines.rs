//! One record per line. Empty lines are none.

use super::{Bounds, Bytes, MARK, Piece, Pieces, is_full, not_kept, unreadable};
use crate::reader::{Oversized, Spool};
use std::io::{BufRead, Read};

pub(super) struct Lines {
    bytes: Bytes,
    limit: usize,
    spool: Spool,
    line: u64,
}

impl Lines {
    pub(super) fn new(bytes: Bytes, bounds: &Bounds) -> Self {
        Self { bytes, limit: bounds.limit, spool: Spool::new(bounds), line: 0 }
    }

    /// The rest of a line that began with `head` and is too long.
    fn oversized(&mut self, head: &[u8]) -> Result<Option<Oversized>, String> {
        let mut piece = head.to_vec();
        loop {
            let whole = piece.ends_with(b"\n");
            let ended = whole || piece.is_empty();
            let text = if whole { piece.trim_ascii_end() } else { &piece };
            let kept = self.spool.take(text, ended).map_err(|error| not_kept(&error))?;
            if ended {
                return Ok(kept);
            }
            piece.clear();
            let read = (&mut self.bytes).take(64 << 10).read_until(b'\n', &mut piece);
            read.map_err(|error| unreadable(&error))?;
        }
    }
}

impl Pieces for Lines {
    fn more(&mut self, out: &mut Vec<Piece>) -> Result<bool, String> {
        while !is_full(out) {
            let mut raw = Vec::new();
            // With the end of the line.
            let most = self.limit as u64 + 2;
            let read = (&mut self.bytes).take(most).read_until(b'\n', &mut raw).map_err(|error| unreadable(&error))?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            let place = format!("line {}", self.line);
            let text = raw.trim_ascii();
            // Files that were put behind each other.
            let text = text.strip_prefix(MARK).unwrap_or(text);
            if text.len() > self.limit {
                out.extend(self.oversized(&raw)?.map(|kept| Piece::oversized(kept, place)));
            } else if !text.is_empty() {
                let raw = if text.len() == raw.len() { raw } else { text.to_vec() };
                out.push(Piece::new(raw, place));
            }
        }
        Ok(true)
    }
}
