//! A writer that keeps lines whole, also across failures.

use std::io::{self, ErrorKind, Write};

/// Writes blocks of whole lines. Where a block breaks off inside a line, the rest of that line is written before the
/// next block: a reader never sees half a line glued to another.
pub(crate) struct Lines<W> {
    writer: W,
    /// What is missing of a line that broke off, with its line break.
    rest: Vec<u8>,
}

impl<W: Write> Lines<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer, rest: Vec::new() }
    }

    /// Writes and flushes `text`, which is empty or ends with a line break.
    pub(crate) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.finish()?;
        let mut written = 0;
        let result = put(&mut self.writer, text, &mut written).and_then(|()| self.writer.flush());
        if result.is_err() && written > 0 && text[written - 1] != b'\n' {
            let line = text[written..].split_inclusive(|&byte| byte == b'\n').next();
            self.rest = line.unwrap_or_default().to_vec();
        }
        result
    }

    /// Completes a line that broke off.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = put(&mut self.writer, &self.rest, &mut written);
        self.rest.drain(..written);
        result
    }
}

/// Writes all of `text`; `written` says how far it came. One `write` where the operating system takes it at once.
fn put(writer: &mut impl Write, text: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < text.len() {
        match writer.write(&text[*written..]) {
            Ok(0) => return Err(io::Error::new(ErrorKind::WriteZero, "the stream takes no more bytes")),
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes so many bytes at each call; 0 stands for a failure.
    struct Reluctant {
        script: Vec<usize>,
        taken: Vec<u8>,
    }

    impl Write for Reluctant {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            match self.script.pop() {
                None => {
                    self.taken.extend_from_slice(text);
                    Ok(text.len())
                }
                Some(0) => Err(io::Error::from(ErrorKind::WouldBlock)),
                Some(most) => {
                    let count = most.min(text.len());
                    self.taken.extend_from_slice(&text[..count]);
                    Ok(count)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn every_line_is_whole_and_every_accepted_block_is_there(script in prop::collection::vec(0usize..9, 0..40)) {
            let mut lines = Lines::new(Reluctant { script, taken: Vec::new() });
            let blocks = ["alpha\nbeta\n", "gamma\n", "delta\nepsilon\nzeta\n"];
            for block in blocks {
                while lines.write(block.as_bytes()).is_err() {}
            }
            let taken = String::from_utf8(lines.writer.taken).unwrap();
            let known: Vec<&str> = blocks.iter().flat_map(|block| block.lines()).collect();
            prop_assert!(taken.ends_with('\n'));
            prop_assert!(taken.lines().all(|line| known.contains(&line)), "{}", taken);
            for block in blocks {
                prop_assert!(taken.contains(block), "{}", taken);
            }
        }
    }

    #[test]
    fn a_block_goes_out_in_one_write() {
        struct Count(usize);
        impl Write for Count {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Ok(text.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut lines = Lines::new(Count(0));
        lines.write("a\n".repeat(100_000).as_bytes()).unwrap();
        assert_eq!(lines.writer.0, 1);
    }
}
