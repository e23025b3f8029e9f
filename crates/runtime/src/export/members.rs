//! gzip of one member or several (RFC 1952). Zeros may follow the last one: what was written in blocks, to a tape or by some
//! archivers, is padded with them, and `gzip -d` passes over them too.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

pub(super) struct Members<R> {
    /// The member that is being read; `None` after the last.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(packed: R) -> Self {
        Self { member: Some(GzDecoder::new(packed)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.member = match self.member.take().map(GzDecoder::into_inner) {
                Some(mut packed) => (!skip_zeros(&mut packed)?).then(|| GzDecoder::new(packed)),
                None => None,
            };
        }
        Ok(0)
    }
}

/// Whether nothing else follows.
fn skip_zeros(bytes: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = bytes.fill_buf()?;
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        match (buffer.len(), zeros) {
            (0, _) => return Ok(true),
            (all, zeros) if zeros < all => {
                bytes.consume(zeros);
                return Ok(false);
            }
            _ => bytes.consume(zeros),
        }
    }
}
