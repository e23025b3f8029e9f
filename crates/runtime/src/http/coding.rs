//! How a body is coded on its way. Only gzip is asked for; servers and what stands before them have ideas of their own.

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use std::io::Write;

/// Undoes a coding, piece by piece, however much the whole is.
pub(super) enum Decoder {
    /// Nothing to undo.
    Plain,
    /// gzip of one member or several (RFC 1952).
    Gzip { members: Box<MultiGzDecoder<Vec<u8>>>, begun: bool },
    /// The body is over.
    Done,
}

impl Decoder {
    /// What the headers ask for; an error if nobody asked the server for that.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut codings: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        // What is shown stays as it came: a credential that a server puts here would not be known in lower case.
        let is = |coding: &str, names: &[&str]| names.iter().any(|name| coding.eq_ignore_ascii_case(name));
        // Some servers name the character set here, or that there is nothing to name.
        codings.retain(|one| !is(one, &["", "identity", "none", "utf-8", "utf8", "binary"]));
        match codings[..] {
            [] => Ok(Self::Plain),
            [coding] if is(coding, &["gzip", "x-gzip"]) => {
                Ok(Self::Gzip { members: Box::new(MultiGzDecoder::new(Vec::new())), begun: false })
            }
            _ => Err(format!(
                "the answer is coded with `{}`, which was not asked for (only gzip is): what stands between here and the API may do that",
                headwater_contracts::shown(&codings.join(", "), 40)
            )),
        }
    }

    /// Takes from `coded` and answers with what that becomes, some 32 KiB at most; `None` if more is needed.
    pub(super) fn decode(&mut self, coded: &mut Bytes) -> Result<Option<Bytes>, String> {
        let (members, begun) = match self {
            Self::Plain | Self::Done => return Ok((!coded.is_empty()).then(|| std::mem::take(coded))),
            Self::Gzip { members, begun } => (members, begun),
        };
        while !coded.is_empty() {
            let taken = match members.write(coded) {
                Ok(taken) => taken,
                Err(_) if !*begun => {
                    let beginning = headwater_contracts::excerpt(coded);
                    return Err(format!("the answer says that it is gzip, and is not: it begins with {beginning}"));
                }
                Err(error) => return Err(format!("the gzip of the answer is damaged: {error}")),
            };
            *begun = true;
            coded.advance(taken);
            let decoded = std::mem::take(members.get_mut());
            if !decoded.is_empty() {
                return Ok(Some(decoded.into()));
            }
            if taken == 0 {
                return Err("the gzip of the answer is damaged".to_owned());
            }
        }
        Ok(None)
    }

    /// The body has ended: what is left of it.
    pub(super) fn end(&mut self) -> Result<Option<Bytes>, String> {
        let Self::Gzip { mut members, begun: true } = std::mem::replace(self, Self::Done) else { return Ok(None) };
        members.try_finish().map_err(|_| "the gzip of the answer ends in the middle, or is damaged".to_owned())?;
        let rest = std::mem::take(members.get_mut());
        Ok((!rest.is_empty()).then(|| rest.into()))
    }
}

/// UTF-8 with a mark for the order of bytes, which it has no need of.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes the mark off the beginning of a body.
#[derive(Default)]
pub(super) struct Mark {
    passed: usize,
    over: bool,
}

impl Mark {
    pub(super) fn take_off(&mut self, piece: &mut Bytes) {
        while !self.over && piece.first() == MARK.get(self.passed) && !piece.is_empty() {
            piece.advance(1);
            self.passed += 1;
        }
        self.over |= !piece.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    fn headers(coding: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, coding.parse().unwrap())])
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    /// The body, and the largest piece of it.
    fn decoded(coding: &str, body: &[u8], chunk: usize) -> Result<(Vec<u8>, usize), String> {
        let mut decoder = Decoder::of(&headers(coding))?;
        let (mut whole, mut largest) = (Vec::new(), 0);
        let mut take = |piece: Bytes| {
            largest = largest.max(piece.len());
            whole.extend_from_slice(&piece);
        };
        for chunk in body.chunks(chunk) {
            let mut coded = Bytes::copy_from_slice(chunk);
            while let Some(piece) = decoder.decode(&mut coded)? {
                take(piece);
            }
        }
        decoder.end()?.into_iter().for_each(&mut take);
        assert_eq!(decoder.end(), Ok(None));
        Ok((whole, largest))
    }

    #[test]
    fn gzip_is_read_in_every_spelling_and_of_several_members() {
        let two = [gzip(b"{\"data\":"), gzip(b""), gzip(b"[]}")].concat();
        for coding in ["gzip", "GZIP", "x-gzip", " gzip , identity"] {
            for chunk in 1..two.len() {
                assert_eq!(decoded(coding, &two, chunk).unwrap().0, b"{\"data\":[]}", "{coding} {chunk}");
            }
        }
        for coding in ["identity", "", "utf-8"] {
            assert_eq!(decoded(coding, b"[]", 1).unwrap().0, b"[]");
        }
        assert_eq!(decoded("gzip", b"", 1).unwrap().0, b"");
    }

    #[test]
    fn what_was_not_asked_for_and_what_is_broken_is_named() {
        for coding in ["br", "Br7sEcReT", "zstd", "deflate", "gzip, br", "gzip, gzip"] {
            assert!(decoded(coding, b"", 1).unwrap_err().contains(&format!("`{coding}`")), "{coding}");
        }
        let whole = gzip(&b"some bytes that repeat, ".repeat(100));
        for cut in 1..whole.len() {
            assert!(decoded("gzip", &whole[..cut], 7).is_err(), "cut at {cut}");
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(decoded("gzip", &flipped, 7).unwrap_err().contains("damaged"));
        let plain = decoded("gzip", b"{\"data\":[]}", 100).unwrap_err();
        assert!(plain.contains("is not") && plain.contains("`{\"data\":[]}`"), "{plain}");
    }

    #[test]
    fn a_byte_order_mark_is_taken_off_the_beginning() {
        for (body, expected) in
            [("\u{feff}{}", "{}"), ("{\u{feff}}", "{\u{feff}}"), ("\u{feff}\u{feff}", "\u{feff}"), ("", "")]
        {
            for chunk in 1..5 {
                let mut mark = Mark::default();
                let pieces = body.as_bytes().chunks(chunk).map(|chunk| {
                    let mut piece = Bytes::copy_from_slice(chunk);
                    mark.take_off(&mut piece);
                    piece
                });
                assert_eq!(pieces.collect::<Vec<_>>().concat(), expected.as_bytes());
            }
        }
    }

    #[test]
    fn a_bomb_comes_in_small_pieces() {
        let (whole, largest) = decoded("gzip", &gzip(&vec![0; 10 << 20]), 1 << 20).unwrap();
        assert!(whole.len() == 10 << 20 && largest <= 64 << 10, "{largest}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..300), chunk in 1usize..50) {
            let _ = decoded("gzip", &body, chunk);
            let mut member = gzip(&body);
            member.extend(&body);
            let _ = decoded("gzip", &member, chunk);
        }
    }
}
