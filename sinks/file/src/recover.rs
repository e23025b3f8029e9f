//! What a file left by an earlier run holds: where its last whole record ends.
//!
//! Everything acknowledged was synced to disk in whole records, so a crash can only leave something torn behind the
//! last of them. Whatever cannot be such a torn end (other bytes than this sink writes) is never cut.

use crate::compress::{Compression, GZIP_MAGIC, ZSTD_MAGIC};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, ErrorKind, Read};

/// How records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Records {
    /// At every line break.
    Lines,
    /// At line breaks outside quotes.
    Csv,
}

/// What a file is made of.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    pub(crate) records: Records,
    pub(crate) compression: Compression,
    /// What every file begins with, uncompressed: the header line of a CSV file, or nothing.
    pub(crate) header: Vec<u8>,
}

/// What to do with an existing file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Continue it after this many bytes; what follows them is torn.
    Continue(u64),
    /// It is not what this sink would have written: leave it whole and begin another.
    Foreign(&'static str),
}

/// Reads a file from its start.
pub(crate) fn examine(file: impl BufRead, format: &Format) -> io::Result<Verdict> {
    match format.compression {
        Compression::None => plain(file, format),
        Compression::Gzip => blocks(file, format, &GZIP_MAGIC, |file, start| {
            let mut member = GzDecoder::new(file);
            drain(&mut member, start)
        }),
        Compression::Zstd => blocks(file, format, &ZSTD_MAGIC, |file, start| {
            let mut frame = zstd::Decoder::with_buffer(file)?.single_frame();
            drain(&mut frame, start)
        }),
    }
}

fn plain(mut file: impl BufRead, format: &Format) -> io::Result<Verdict> {
    let (mut read, mut whole) = (0u64, 0u64);
    let mut start = Start::new(format.header.len().max(ZSTD_MAGIC.len()));
    let mut quoted = false;
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        start.add(chunk);
        for &byte in chunk {
            read += 1;
            match byte {
                b'"' if format.records == Records::Csv => quoted = !quoted,
                b'\n' if !quoted => whole = read,
                _ => {}
            }
        }
        let length = chunk.len();
        file.consume(length);
    }
    if start.bytes.starts_with(&GZIP_MAGIC) || start.bytes.starts_with(&ZSTD_MAGIC) {
        return Ok(Verdict::Foreign("it is compressed and `compression` is `none`"));
    }
    Ok(start.verdict(whole, &format.header))
}

/// Counts whole blocks, each of which begins with `magic` and is read to its end by `decode`.
fn blocks<R: BufRead>(
    file: R,
    format: &Format,
    magic: &[u8],
    mut decode: impl FnMut(&mut Counted<R>, &mut Start) -> io::Result<()>,
) -> io::Result<Verdict> {
    let mut file = Counted { inner: file, consumed: 0 };
    let mut start = Start::new(format.header.len());
    let mut whole = 0;
    loop {
        let next = file.fill_buf()?;
        if next.is_empty() {
            break;
        }
        // A decoder calls anything too short for its header torn: make sure that it is the start of one.
        if next.iter().zip(magic).any(|(found, expected)| found != expected) {
            return Ok(Verdict::Foreign("it is damaged, or compressed in another way"));
        }
        match decode(&mut file, &mut start) {
            Ok(()) => whole = file.consumed,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(_) => return Ok(Verdict::Foreign("it is damaged, or compressed in another way")),
        }
    }
    if whole == 0 {
        start.bytes.clear();
    }
    Ok(start.verdict(whole, &format.header))
}

fn drain(decoder: &mut impl Read, start: &mut Start) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => start.add(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The first bytes of a file, uncompressed.
struct Start {
    bytes: Vec<u8>,
    most: usize,
}

impl Start {
    fn new(most: usize) -> Self {
        Self { bytes: Vec::with_capacity(most), most }
    }

    fn add(&mut self, bytes: &[u8]) {
        let missing = self.most - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..missing.min(bytes.len())]);
    }

    fn verdict(&self, whole: u64, header: &[u8]) -> Verdict {
        if whole > 0 && !self.bytes.starts_with(header) {
            return Verdict::Foreign("it begins with other columns");
        }
        Verdict::Continue(whole)
    }
}

/// Counts what has been consumed.
struct Counted<R> {
    inner: R,
    consumed: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.consumed += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.consumed += count as u64;
        self.inner.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn format(records: Records, compression: Compression, header: &str) -> Format {
        Format { records, compression, header: header.as_bytes().to_vec() }
    }

    fn verdict(bytes: &[u8], format: &Format) -> Verdict {
        examine(bytes, format).unwrap()
    }

    #[test]
    fn a_line_break_inside_quotes_ends_no_csv_record() {
        let csv = format(Records::Csv, Compression::None, "id,text\r\n");
        let whole = b"id,text\r\n1,\"a\n\"\"b\"\r\n";
        let torn = [&whole[..], b"2,\"c\n"].concat();
        assert_eq!(verdict(&torn, &csv), Verdict::Continue(whole.len() as u64));
        assert_eq!(verdict(b"id,te", &csv), Verdict::Continue(0));
        assert_eq!(verdict(b"id,other\r\n", &csv), Verdict::Foreign("it begins with other columns"));
    }

    #[test]
    fn what_another_compression_wrote_is_not_cut() {
        let data = b"{}\n{}\n";
        for written in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let file = written.block(&[data]).unwrap().concat();
            for configured in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let verdict = verdict(&file, &format(Records::Lines, configured, ""));
                assert_eq!(verdict == Verdict::Continue(file.len() as u64), written == configured, "{verdict:?}");
                assert_eq!(matches!(verdict, Verdict::Foreign(_)), written != configured, "{verdict:?}");
            }
        }
    }

    #[test]
    fn a_damaged_block_is_not_taken_for_a_torn_end() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut file = compression.block(&[b"{\"a\":1}\n"]).unwrap().concat();
            let last = file.len() - 1;
            file[last - 1] ^= 0xff;
            file.extend(compression.block(&[b"{}\n"]).unwrap().concat());
            assert!(matches!(verdict(&file, &format(Records::Lines, compression, "")), Verdict::Foreign(_)));
        }
    }

    proptest! {
        #[test]
        fn cut_anywhere_a_file_continues_after_its_last_whole_record(
            records in prop::collection::vec("[a\",\u{e9}]{0,8}", 1..6),
            place in 0.0f64..1.0,
        ) {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let mut file = Vec::new();
                let mut ends = vec![0];
                for record in &records {
                    file.extend(compression.block(&[format!("{record}\n")]).unwrap().concat());
                    ends.push(file.len() as u64);
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let cut = (file.len() as f64 * place) as usize;
                let last = ends.iter().copied().filter(|end| *end <= cut as u64).max().unwrap();
                let lines = format(Records::Lines, compression, "");
                prop_assert_eq!(verdict(&file[..cut], &lines), Verdict::Continue(last));
                prop_assert_eq!(verdict(&file, &lines), Verdict::Continue(file.len() as u64));
            }
        }

        #[test]
        fn no_bytes_whatever_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0usize..3) {
            let start: &[u8] = [&[][..], &GZIP_MAGIC[..], &ZSTD_MAGIC[..]][magic];
            let bytes = [start, &bytes].concat();
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                for records in [Records::Lines, Records::Csv] {
                    let _ = examine(&bytes[..], &format(records, compression, "id\r\n"));
                }
            }
        }
    }
}
