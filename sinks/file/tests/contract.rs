//! The sink suite against the file sink, in every encoding and compression.

#![allow(clippy::unwrap_used, clippy::panic)] // Test code: a panic is how it fails.

use async_trait::async_trait;
use headwater_contracts::Sink;
use headwater_sink_file::{Compression, Encoding, FileConfig, RotateOptions};
use headwater_testkit::sink_suite::{Arrival, Destination, Outage, sink_contract};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

struct Folder {
    dir: TempDir,
    encoding: Encoding,
    compression: Compression,
    rotate: RotateOptions,
    /// Holds the file's lock during an outage.
    intruder: Option<File>,
}

impl Folder {
    fn path(&self) -> PathBuf {
        self.dir.path().join("audit/events.log")
    }

    fn config(&self) -> FileConfig {
        FileConfig {
            path: self.path().to_str().unwrap().to_owned(),
            encoding: self.encoding,
            columns: match self.encoding {
                Encoding::Csv => vec!["id".to_owned(), ".text".to_owned()],
                Encoding::Ndjson => vec![],
            },
            rotate: self.rotate,
            compression: self.compression,
            csv_formulas: headwater_sink_kit::Formulas::Keep,
        }
    }

    fn text(&self, path: &Path) -> Vec<u8> {
        let bytes = fs::read(path).unwrap();
        let mut text = Vec::new();
        match self.compression {
            Compression::None => text = bytes,
            Compression::Gzip => {
                flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
            }
            Compression::Zstd => {
                zstd::Decoder::new(&bytes[..]).unwrap().read_to_end(&mut text).unwrap();
            }
        }
        text
    }

    fn file_arrivals(&self, path: &Path) -> Vec<Arrival> {
        let text = self.text(path);
        assert!(text.is_empty() || text.ends_with(b"\n"), "half a record in {}", path.display());
        let unreadable = || Arrival { id: "unreadable".to_owned(), text: String::new() };
        match self.encoding {
            Encoding::Ndjson => {
                let lines = text.split_inclusive(|byte| *byte == b'\n');
                lines.map(|line| Arrival::from_json(line).unwrap_or_else(unreadable)).collect()
            }
            Encoding::Csv => {
                let mut reader = csv::Reader::from_reader(&text[..]);
                assert!(text.is_empty() || reader.headers().unwrap() == vec!["id", ".text"]);
                let rows = reader.records().map(|row| row.unwrap());
                rows.map(|row| Arrival { id: row[0].to_owned(), text: row[1].to_owned() }).collect()
            }
        }
    }
}

#[async_trait]
impl Destination for Folder {
    fn sink(&mut self) -> Box<dyn Sink> {
        Box::new(self.config().sink().unwrap())
    }

    async fn arrivals(&mut self) -> Vec<Arrival> {
        let Ok(entries) = fs::read_dir(self.path().parent().unwrap()) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        // Rotated files first, by time and number; the active one, without a time, last.
        files.sort_by_key(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let middle = name.trim_start_matches("events.").trim_end_matches("log").trim_end_matches('.').to_owned();
            let (time, number) = middle.split_once('-').unwrap_or((&middle, "0"));
            (middle.is_empty(), time.to_owned(), number.parse::<u32>().unwrap())
        });
        files.iter().flat_map(|path| self.file_arrivals(path)).collect()
    }

    /// Another process puts its own file in the place of ours, and holds it.
    async fn break_down(&mut self, outage: Outage) -> bool {
        if outage == Outage::Halfway {
            return false;
        }
        fs::rename(self.path(), self.dir.path().join("away")).unwrap();
        let intruder = File::create(self.path()).unwrap();
        intruder.lock().unwrap();
        self.intruder = Some(intruder);
        true
    }

    async fn recover(&mut self) {
        fs::rename(self.dir.path().join("away"), self.path()).unwrap();
        self.intruder = None;
    }
}

async fn contract(encoding: Encoding, compression: Compression, rotate: RotateOptions) {
    let dir = || tempfile::tempdir().unwrap();
    sink_contract(|| Folder { dir: dir(), encoding, compression, rotate, intruder: None }).await;
}

fn small() -> RotateOptions {
    RotateOptions { max_bytes: Some(headwater_contracts::ByteSize(400)), every: None }
}

#[tokio::test]
async fn ndjson_keeps_the_sink_contract() {
    contract(Encoding::Ndjson, Compression::None, RotateOptions::default()).await;
}

#[tokio::test]
async fn csv_keeps_the_sink_contract() {
    contract(Encoding::Csv, Compression::None, RotateOptions::default()).await;
    contract(Encoding::Csv, Compression::Gzip, small()).await;
}

#[tokio::test]
async fn compressed_files_keep_the_sink_contract() {
    contract(Encoding::Ndjson, Compression::Gzip, RotateOptions::default()).await;
    contract(Encoding::Ndjson, Compression::Zstd, RotateOptions::default()).await;
}

#[tokio::test]
async fn rotated_files_keep_the_sink_contract() {
    contract(Encoding::Ndjson, Compression::None, small()).await;
}
