//! NDJSON on standard output or standard error: one event, one line, one `write` per batch.
//!
//! | event | line |
//! |---|---|
//! | as a source read it | the provider's bytes; put on one line if they hold a line break |
//! | made by a transform | compact JSON of the value |
//! | with `encoding: raw` | the provider's bytes, whatever the transforms made of it |
//!
//! On a terminal, characters that it would obey are written as `\u001b`, as JSON may have them.
//!
//! A batch is delivered once the operating system has taken its last byte: a pipe's reader may still lose what the
//! pipe holds. A closed pipe is fatal, every other failure is tried again.

mod encode;
mod lines;

use async_trait::async_trait;
pub use encode::Encoding;
use headwater_contracts::{ConfigError, Delivery, Encode, Event, Sink, SinkConfig, SinkError};
use headwater_sink_kit::{Background, for_terminals, records};
use lines::Lines;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, ErrorKind, IsTerminal as _, Write},
    os::fd::AsFd,
    sync::Arc,
};

/// Not open for writing (errno(3)): the same number on Linux, macOS and the BSDs.
const EBADF: i32 = 9;

/// Writes events as NDJSON to standard output or standard error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    /// Where to write: `stdout` or `stderr` (which also carries the logs). Default: `stdout`.
    pub target: Target,
    /// What to write: `json`, the event as the transforms left it, or `raw`, the provider's bytes. Default: `json`.
    pub encoding: Encoding,
}

/// A standard stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The stream itself, without the standard library's buffer and without its habit of taking a closed stdout for
    /// a working one.
    fn open(self) -> io::Result<File> {
        let descriptor = match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        };
        descriptor.map(File::from)
    }
}

impl SinkConfig for ConsoleConfig {
    const TYPE: &'static str = "console";

    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        let name = self.target.name();
        let stream = self
            .target
            .open()
            .map_err(|error| ConfigError::new("target", format!("`{name}` of this process cannot be used: {error}")))?;
        let is_terminal = stream.is_terminal();
        Ok(Box::new(Console { is_terminal, ..Console::new(stream, name, self.encoding) }))
    }
}

/// The sink, over any writer: a standard stream, or what a test wants to look into.
pub struct Console<W> {
    writer: Background<Lines<W>, io::Result<()>>,
    name: &'static str,
    encoding: Encoding,
    is_terminal: bool,
}

impl<W: Write + Send + 'static> Console<W> {
    /// Writes to `writer`, which messages call `name`.
    pub fn new(writer: W, name: &'static str, encoding: Encoding) -> Self {
        Self { writer: Background::new(Lines::new(writer)), name, encoding, is_terminal: false }
    }

    fn failure(&self, error: &io::Error) -> SinkError {
        let name = self.name;
        match error.kind() {
            ErrorKind::BrokenPipe => SinkError::Fatal(format!(
                "`{name}` is closed: the program that read it has ended; start the pipeline again with a reader, the \
                 events not written are still at the provider"
            )),
            _ if error.raw_os_error() == Some(EBADF) => {
                SinkError::Fatal(format!("`{name}` is closed: start headwater with one that can be written to"))
            }
            _ => SinkError::Retry { reason: format!("cannot write to `{name}`: {error}"), after: None },
        }
    }
}

#[async_trait]
impl<W: Write + Send + 'static> Sink for Console<W> {
    fn encoder(&self) -> Option<Arc<dyn Encode>> {
        Some(Arc::new(self.encoding))
    }

    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        let (text, rejected) = records(&self.encoding, events);
        let text = if self.is_terminal { for_terminals(&text) } else { text };
        let written = self.writer.run(move |lines| lines.write(&text)).await;
        match written {
            Some(Ok(())) => Ok(Delivery { rejected }),
            Some(Err(error)) => Err(self.failure(&error)),
            None => {
                Err(SinkError::Fatal(format!("the thread that writes to `{}` has failed: this is a bug", self.name)))
            }
        }
    }

    /// Waits for the end of a batch whose delivery was given up.
    async fn close(&mut self) -> Result<(), SinkError> {
        match self.writer.run(Lines::finish).await {
            // A panicked job was answered for by `deliver`; there is nothing left to wait for.
            Some(Ok(())) | None => Ok(()),
            Some(Err(error)) => Err(self.failure(&error)),
        }
    }
}
