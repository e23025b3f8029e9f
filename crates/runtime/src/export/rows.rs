//! One record per row, under a header: RFC 4180, quoted cells with line breaks included.

use super::{Bytes, Layout, Piece, Pieces, Reading, is_full};
use csv::{ByteRecord, Reader, ReaderBuilder};
use headwater_contracts::Columns;
use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What the parser reads ahead.
const AHEAD: u64 = 1 << 20;

pub(super) struct Rows {
    reader: Reader<Rationed>,
    ration: Arc<AtomicU64>,
    /// What a row may take.
    row_max: u64,
    layout: Layout,
    row: ByteRecord,
}

impl Rows {
    /// Reads the header.
    pub(super) fn open(
        bytes: Bytes,
        columns: &'static Columns,
        reading: &Reading,
        limit: usize,
    ) -> Result<Self, String> {
        let row_max = limit as u64 + AHEAD;
        let ration = Arc::new(AtomicU64::new(row_max));
        let rationed = Rationed { bytes, ration: ration.clone(), limit };
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(rationed);
        let mut row = ByteRecord::new();
        if !reader.read_byte_record(&mut row).map_err(|error| problem(&error))? {
            return Err(format!("it has no header; {}", columns.advice));
        }
        let header: Vec<String> = row.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
        let layout = Layout::new(&header, columns, &reading.columns, &reading.without)
            .map_err(|problem| format!("line 1: {problem}"))?;
        Ok(Self { reader, ration, row_max, layout, row })
    }
}

impl Pieces for Rows {
    fn more(&mut self, out: &mut Vec<Piece>) -> Result<bool, String> {
        while !is_full(out) {
            self.ration.store(self.row_max, Ordering::Relaxed);
            if !self.reader.read_byte_record(&mut self.row).map_err(|error| problem(&error))? {
                return Ok(false);
            }
            let line = self.row.position().map_or(0, csv::Position::line);
            let place = format!("line {line}");
            out.push(match self.layout.record(&self.row) {
                Ok(raw) => Piece::new(raw, place),
                Err(problem) => Piece { problem: Some(problem), ..Piece::new(written(&self.row), place) },
            });
        }
        Ok(true)
    }
}

/// The row as CSV, for the dead letters.
fn written(row: &ByteRecord) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_byte_record(row);
    let mut bytes = writer.into_inner().unwrap_or_default();
    bytes.truncate(bytes.trim_ascii_end().len());
    bytes
}

fn problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => super::unreadable(error),
        _ => format!("this is no CSV: {error}"),
    }
}

/// Gives no more for one row than a row may take: one whose quote is not closed would be the whole file.
struct Rationed {
    bytes: Bytes,
    ration: Arc<AtomicU64>,
    limit: usize,
}

impl Read for Rationed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.ration.load(Ordering::Relaxed);
        if left == 0 {
            let limit = self.limit;
            return Err(io::Error::other(format!(
                "a row is longer than the {limit} bytes of `max_event_bytes`; is a quote not closed?"
            )));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.bytes.read(&mut buffer[..most])?;
        self.ration.fetch_sub(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
