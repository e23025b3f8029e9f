//! The sink suite against the console sink, and what only a pipe can do.
#![allow(clippy::unwrap_used, clippy::panic)] // Test code: a panic is how it fails.

use async_trait::async_trait;
use headwater_contracts::{Sink, SinkConfig, SinkError};
use headwater_sink_console::{Console, ConsoleConfig, Encoding, Target};
use headwater_testkit::sink_suite::{Arrival, Destination, Outage, event, sink_contract};
use std::{
    io::{self, ErrorKind, Write},
    sync::{Arc, Mutex},
};

#[derive(Default)]
struct Far {
    text: Vec<u8>,
    /// Bytes still taken before each write fails.
    room: Option<usize>,
}

#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Far>>);

impl Write for Pipe {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut far = self.0.lock().unwrap();
        let count = match far.room {
            None => text.len(),
            Some(0) => return Err(io::Error::from(ErrorKind::WouldBlock)),
            Some(room) => room.min(text.len()),
        };
        far.room = far.room.map(|room| room - count);
        far.text.extend_from_slice(&text[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Destination for Pipe {
    fn sink(&mut self) -> Box<dyn Sink> {
        Box::new(Console::new(self.clone(), "stdout", Encoding::Json))
    }

    async fn arrivals(&mut self) -> Vec<Arrival> {
        let far = self.0.lock().unwrap();
        let lines = far.text.split_inclusive(|byte| *byte == b'\n');
        let unreadable = |line: &[u8]| Arrival {
            id: format!("unreadable line `{}`", String::from_utf8_lossy(line)),
            text: String::new(),
        };
        lines.map(|line| Arrival::from_json(line).unwrap_or_else(|| unreadable(line))).collect()
    }

    async fn break_down(&mut self, outage: Outage) -> bool {
        // 50 bytes end inside the second line.
        self.0.lock().unwrap().room = Some(if outage == Outage::Down { 0 } else { 50 });
        true
    }

    async fn recover(&mut self) {
        self.0.lock().unwrap().room = None;
    }
}

#[tokio::test]
async fn the_console_keeps_the_sink_contract() {
    sink_contract(Pipe::default).await;
}

#[tokio::test]
async fn a_closed_pipe_is_fatal_and_says_so() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut sink = Console::new(writer, "stdout", Encoding::Json);
    let answer = sink.deliver(&[event("a", "b", false)]).await;
    let Err(SinkError::Fatal(reason)) = answer else { panic!("expected a fatal error, got {answer:?}") };
    assert!(reason.contains("`stdout` is closed"), "{reason}");
}

#[test]
fn the_options_read_as_documented() {
    let config: ConsoleConfig = serde_json::from_str(r#"{"target": "stderr", "encoding": "raw"}"#).unwrap();
    assert_eq!(config, ConsoleConfig { target: Target::Stderr, encoding: Encoding::Raw });
    assert!(config.build().is_ok());
    assert_eq!(serde_json::from_str::<ConsoleConfig>("{}").unwrap(), ConsoleConfig::default());
    assert!(serde_json::from_str::<ConsoleConfig>(r#"{"colour": true}"#).is_err());
}
