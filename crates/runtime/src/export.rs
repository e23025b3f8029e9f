//! Files that people exported from a provider, taken apart into the bytes of their records. Blocking: the driver calls it
//! from the blocking pool, a few records at a time, so that memory does not follow the file.
//!
//! | format | a record is | module |
//! |---|---|---|
//! | `ndjson` | a line | `lines` |
//! | `json` | an element of the document, or of its array | `array` |
//! | `csv` | a row, rebuilt as the API's JSON | `cut`, `rows`, `table` |
//!
//! Each may be compressed with gzip, which is told by its first bytes, and begin with a byte order mark.

mod array;
mod cut;
mod lines;
mod members;
mod rows;
mod table;

pub(crate) use table::Layout;

use crate::reader::{Bounds, Oversized, read_record};
use headwater_contracts::{ExportFormat, Import, OwnRequests, files::open_file};
use members::Members;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Most records taken from a file at once.
const RECORDS: usize = 100;
/// Most bytes of them, but for the last.
const BYTES: usize = 256 << 10;

/// A byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// How files begin that cannot be read, and what they are.
const FOREIGN: [(&[u8], &str); 8] = [
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (b"{\0", UTF_16),
    (b"\0{", UTF_16),
    (b"PK\x03\x04", "a ZIP archive or a workbook: unpack it, or save it as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "compressed with xz: unpack it, or pack it with gzip"),
    (b"BZh", "compressed with bzip2: unpack it, or pack it with gzip"),
];
const UTF_16: &str = "text in UTF-16: convert it to UTF-8, for example with `iconv -f UTF-16 -t UTF-8`";

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its JSON; of a row that is no record, the row.
    pub(crate) raw: Vec<u8>,
    /// Where it stands: `line 7`, `record 7`.
    pub(crate) place: String,
    /// Why it is no record, if that is known already.
    pub(crate) problem: Option<String>,
    /// Where it is, if it was too long to be held.
    pub(crate) oversized: Option<Oversized>,
}

impl Piece {
    fn new(raw: Vec<u8>, place: String) -> Self {
        Self { raw, place, problem: None, oversized: None }
    }

    fn oversized(kept: Oversized, place: String) -> Self {
        Self { oversized: Some(kept), ..Self::new(Vec::new(), place) }
    }
}

/// Takes a file apart.
trait Pieces: Send {
    /// Adds the next records to `out`, at least one unless the file has ended; `false` if it has. An error ends the file;
    /// what was added before it counts.
    fn more(&mut self, out: &mut Vec<Piece>) -> Result<bool, String>;

    /// At the end of the file: why it is a part of what was asked for, if it says so.
    fn remainder(&self, _import: &dyn Import) -> Option<String> {
        None
    }
}

fn is_full(pieces: &[Piece]) -> bool {
    pieces.len() >= RECORDS || pieces.iter().map(|piece| piece.raw.len()).sum::<usize>() >= BYTES
}

/// What a person says about files: how they are to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// `None`: by the end of the file's name.
    pub format: Option<ExportFormat>,
    /// Of a CSV, which member a column holds, where it is not its name.
    pub columns: BTreeMap<String, String>,
    /// Members whose absence from a CSV is accepted.
    pub without: BTreeSet<String>,
}

/// A file that is being read.
pub(crate) struct Export {
    pieces: Box<dyn Pieces>,
    /// Met after the records that were handed out last.
    trouble: Option<String>,
    ended: bool,
    read: Arc<AtomicU64>,
    size: u64,
}

impl Export {
    /// Opens a file and reads as much of it as tells that its format is what it is said to be.
    pub(crate) fn open(path: &Path, reading: &Reading, bounds: &Bounds, import: &dyn Import) -> Result<Self, String> {
        let format = reading
            .format
            .or_else(|| format_of(path))
            .ok_or("its name does not tell its format; set `format: ndjson`, `format: json` or `format: csv`")?;
        let file = open_file(path).map_err(|error| match error.kind() {
            io::ErrorKind::IsADirectory => {
                "this is a folder; name the files in it, such as `exports/*.ndjson`".to_owned()
            }
            io::ErrorKind::NotFound => {
                "there is no such file; correct `path`, or remove this source if what it was for is done".to_owned()
            }
            _ => format!("cannot be opened: {error}"),
        })?;
        let metadata = file.metadata().map_err(|error| format!("cannot be read: {error}"))?;
        let read = Arc::new(AtomicU64::new(0));
        let mut bytes = unpacked(Counted { file, read: read.clone() }).map_err(|error| unreadable(&error))?;
        let beginning = bytes.fill_buf().map_err(|error| unreadable(&error))?;
        if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| beginning.starts_with(magic)) {
            return Err(format!("it is {what}"));
        }
        let pieces: Box<dyn Pieces> = match format {
            ExportFormat::Ndjson => Box::new(lines::Lines::new(bytes, bounds)),
            ExportFormat::Json => Box::new(array::Array::open(bytes, import.elements(), bounds)?),
            ExportFormat::Csv => {
                let columns = import.columns().ok_or(
                    "no CSV export of this provider is known; export JSON, one record per line, and set `format: ndjson`",
                )?;
                Box::new(rows::Rows::open(bytes, columns, reading, bounds)?)
            }
        };
        Ok(Self { pieces, trouble: None, ended: false, read, size: metadata.len() })
    }

    /// The next records; none at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Vec<Piece>, String> {
        let mut out = Vec::new();
        while !self.ended && self.trouble.is_none() && !is_full(&out) {
            match self.pieces.more(&mut out) {
                Ok(more) => self.ended = !more,
                Err(trouble) => self.trouble = Some(trouble),
            }
        }
        match self.trouble.take() {
            Some(trouble) if out.is_empty() => Err(trouble),
            trouble => {
                self.trouble = trouble;
                Ok(out)
            }
        }
    }

    /// At the end of the file: why it is a part of what was asked for, if it says so.
    pub(crate) fn remainder(&self, import: &dyn Import) -> Option<String> {
        self.pieces.remainder(import)
    }

    /// How much of the file has been read, 0 to 1.
    pub(crate) fn progress(&self) -> f64 {
        if self.size == 0 { 1.0 } else { self.read.load(Ordering::Relaxed) as f64 / self.size as f64 }
    }
}

/// Looks at the beginning of a file, before anything runs: whether it can be opened, is of its format, and holds records of
/// this provider. The error says what a person should do.
pub fn preflight(path: &Path, reading: &Reading, import: &mut dyn Import) -> Result<(), String> {
    let mut export = Export::open(path, reading, &Bounds::default(), import)?;
    let pieces = export.next()?;
    let nothing = OwnRequests::default();
    let mut first_problem = None;
    let (mut records, mut dated) = (0_usize, 0_usize);
    for piece in &pieces {
        let problem = match &piece.problem {
            Some(problem) => problem.clone(),
            // What is too long goes to the dead letters, and tells nothing of the file.
            None if piece.oversized.is_some() => continue,
            None => match read_record(&piece.raw, &mut |raw| import.record(raw, &nothing)) {
                Ok(record) => {
                    records += 1;
                    dated += usize::from(record.time.is_some());
                    continue;
                }
                Err(unreadable) => unreadable.reason,
            },
        };
        first_problem.get_or_insert_with(|| format!("{}: {problem}", piece.place));
    }
    match first_problem {
        // A few that cannot be read are for the dead letters. If none can, the file is not what it was taken for.
        Some(problem) if records == 0 => Err(format!(
            "{problem}; nothing at its beginning is a record of this provider: check `source` and `format`"
        )),
        _ if records > 0 && dated == 0 => Err(
            "no record at its beginning has a time where this provider's records have one: check `source` and `format`"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// The format that the end of a name tells.
fn format_of(path: &Path) -> Option<ExportFormat> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let (_, end) = name.rsplit_once('.')?;
    match end {
        "ndjson" | "jsonl" => Some(ExportFormat::Ndjson),
        "json" => Some(ExportFormat::Json),
        "csv" => Some(ExportFormat::Csv),
        _ => None,
    }
}

/// The files that a path means: itself, or, with `*` or `?` in its last part, those in the folder that match, by name.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let pattern = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !pattern.contains(['*', '?']) {
        return Ok(vec![path.to_owned()]);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries =
        folder.read_dir().map_err(|error| format!("cannot look into the folder `{}`: {error}", folder.display()))?;
    let (mut found, mut unreadable) = (Vec::new(), None);
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot look into the folder `{}`: {error}", folder.display()))?;
        if !matches(pattern.as_bytes(), entry.file_name().to_string_lossy().as_bytes()) {
            continue;
        }
        match entry.path().metadata() {
            Ok(metadata) if metadata.is_file() => found.push(entry.path()),
            Ok(_) => {}
            Err(error) => unreadable = Some((entry.path(), error)),
        }
    }
    if found.is_empty() {
        return Err(match unreadable {
            Some((path, error)) => format!("`{}` matches, and cannot be looked at: {error}", path.display()),
            None => "no file matches; correct `path`, or remove this source if what it was for is done".to_owned(),
        });
    }
    found.sort();
    Ok(found)
}

/// Whether a name matches a pattern of `*` (anything) and `?` (one byte).
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // The last star, and where in the name what follows it was tried first.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, tried)) = star else { return false };
                star = Some((at, tried + 1));
                p = at + 1;
                n = tried + 1;
            }
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}

type Bytes = Box<dyn BufRead + Send>;

/// The bytes of a file, unpacked if it is compressed, without a byte order mark.
fn unpacked(file: impl Read + Send + 'static) -> io::Result<Bytes> {
    let mut plain = BufReader::with_capacity(64 << 10, file);
    let packed = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut bytes: Bytes =
        if packed { Box::new(BufReader::with_capacity(64 << 10, Members::new(plain))) } else { Box::new(plain) };
    if bytes.fill_buf()?.starts_with(MARK) {
        bytes.consume(3);
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "its compressed data ends in the middle: fetch the file again".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn not_kept(error: &io::Error) -> String {
    format!("a record that is longer than `max_event_bytes` cannot be kept beside the dead letters: {error}")
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use headwater_contracts::{Cell, Column, Columns, Identity, Need, Record, Unreadable};
    use proptest::prelude::*;
    use std::{fs, io::Write};

    /// Records with an `id` and a `time`.
    pub(super) struct Plain;

    pub(super) const COLUMNS: Columns = Columns {
        members: &[
            Column { member: "id", cell: Cell::Text, need: Need::Identity },
            Column { member: "time", cell: Cell::Whole, need: Need::Identity },
            Column { member: "more", cell: Cell::Json, need: Need::Content },
            Column { member: "more.name", cell: Cell::Text, need: Need::None },
        ],
        open: true,
        advice: "say so under `columns`",
    };

    impl Import for Plain {
        fn elements(&self) -> &'static [&'static str] {
            &["list"]
        }

        fn remainder(&self, _: &[u8], _: u64) -> Option<String> {
            None
        }

        fn columns(&self) -> Option<&'static Columns> {
            Some(&COLUMNS)
        }

        fn record(&mut self, raw: &[u8], _: &OwnRequests) -> Result<Record, Unreadable> {
            let value: serde_json::Value =
                serde_json::from_slice(raw).map_err(|error| Unreadable { reason: error.to_string() })?;
            let id = value["id"].as_str().ok_or(Unreadable { reason: "no `id`".into() })?.to_owned();
            let time = value["time"].as_i64().and_then(headwater_contracts::Timestamp::from_timestamp_millis);
            let identity = Identity::of(&[id.as_bytes()]);
            Ok(Record::foreign(id, identity, time))
        }
    }

    fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    /// All records of a file, and what ended it if that was an error.
    fn read(name: &str, bytes: &[u8]) -> (Vec<Piece>, Option<String>) {
        read_within(&Bounds::default(), name, bytes)
    }

    fn read_within(bounds: &Bounds, name: &str, bytes: &[u8]) -> (Vec<Piece>, Option<String>) {
        let (_dir, path) = write(name, bytes);
        let mut export = match Export::open(&path, &Reading::default(), bounds, &Plain) {
            Ok(export) => export,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let mut all = Vec::new();
        loop {
            match export.next() {
                Ok(pieces) if pieces.is_empty() => return (all, None),
                Ok(pieces) => all.extend(pieces),
                Err(error) => return (all, Some(error)),
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raws(pieces: &[Piece]) -> Vec<&str> {
        pieces.iter().map(|piece| std::str::from_utf8(&piece.raw).unwrap()).collect()
    }

    #[test]
    fn each_format_gives_its_records_packed_or_not_with_and_without_a_mark() {
        for (name, text) in [
            ("a.ndjson", "{\"id\":\"a\",\"time\":1}\r\n\n{\"id\":\"b\",\"time\":2}"),
            ("a.json", "[ {\"id\":\"a\",\"time\":1} , {\"id\":\"b\",\"time\":2} ]\n"),
            ("a.JSON", "{\"total\":2,\"list\":[{\"id\":\"a\",\"time\":1},{\"id\":\"b\",\"time\":2}]}"),
            ("a.csv", "id,time,more\r\na,1,\r\nb,2,\r\n"),
        ] {
            for bytes in [text.as_bytes().to_vec(), [b"\xef\xbb\xbf", text.as_bytes()].concat()] {
                for bytes in [gzip(&bytes), bytes] {
                    let (pieces, error) = read(name, &bytes);
                    assert_eq!(error, None, "{name}");
                    assert_eq!(raws(&pieces), [r#"{"id":"a","time":1}"#, r#"{"id":"b","time":2}"#], "{name}");
                }
            }
        }
        let two = [gzip(b"{\"id\":\"a\"}\n"), gzip(b"{\"id\":\"b\"}\n")].concat();
        assert_eq!(read("a.jsonl.gz", &two).0.len(), 2, "gzip members behind each other are one file");
        for zeros in [1, 512, 100_000] {
            let padded = [two.clone(), vec![0; zeros], two.clone(), vec![0; zeros]].concat();
            let (pieces, error) = read("a.jsonl.gz", &padded);
            assert_eq!((pieces.len(), error), (4, None), "zeros pad what was written in blocks");
        }
    }

    #[test]
    fn what_a_file_that_breaks_off_has_shown_is_kept() {
        let (pieces, error) = read("a.json", b"[{\"id\":\"a\"},{\"id\":");
        assert_eq!(pieces.len(), 1);
        assert!(error.unwrap().contains("ends in the middle"));
        let (pieces, error) = read("a.json", b"{\"list\":[{\"id\":\"a\"}],\"error\":\"shard 2 is gone\"}");
        assert_eq!(pieces.len(), 1);
        assert!(error.unwrap().contains("shard 2 is gone"));
        let mut packed = gzip(&b"{\"id\":\"a\"}\n".repeat(20_000));
        packed.truncate(packed.len() / 2);
        let (pieces, error) = read("a.ndjson.gz", &packed);
        assert!(!pieces.is_empty());
        assert!(error.unwrap().contains("fetch the file again"));
    }

    #[test]
    fn errors_say_what_to_do() {
        let check = |name: &str, bytes: &[u8], expected: &str| {
            let (_dir, path) = write(name, bytes);
            let problem = preflight(&path, &Reading::default(), &mut Plain).unwrap_err();
            assert!(problem.contains(expected), "{name}: {problem}");
        };
        check("a.txt", b"", "set `format: ndjson`");
        check("a.json", b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n", "set `format: ndjson`");
        check("a.json", b"{\"items\":[]}", "no array under `list`");
        check("a.json", b"<html>", "this is no JSON");
        check("a.ndjson", b"<html>\n</html>\n", "byte 0: no value begins with this; nothing at its beginning");
        check("a.ndjson", b"{\"id\":\"a\",\"date\":1}\n", "has a time where");
        check("a.csv", b"", "no header");
        check("a.csv", b"id,when\n", "line 1: there is no column for `time`");
        check("a.csv", b"id,time\n", "line 1: there is no column for `more`");
        check("a.csv", b"id,time,more,ID\n", "both hold `id`");
        check("a.csv", b"id,time,more\na,soon,\n", "line 2: column 2, `time`: `soon` is no whole number");
        let dir = tempfile::tempdir().unwrap();
        for (path, expected) in [("gone.csv", "there is no such file"), ("", "this is a folder")] {
            let reading = Reading { format: Some(ExportFormat::Csv), ..Reading::default() };
            let problem = preflight(&dir.path().join(path), &reading, &mut Plain).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        assert!(files(&dir.path().join("*.csv")).unwrap_err().contains("no file matches"));
        // An empty export is one, and a few records that cannot be read are for the dead letters.
        for (name, bytes) in
            [("a.ndjson", &b""[..]), ("a.json", b"[]"), ("a.ndjson", b"nonsense\n{\"id\":\"a\",\"time\":1}\n")]
        {
            let (_dir, path) = write(name, bytes);
            assert_eq!(preflight(&path, &Reading::default(), &mut Plain), Ok(()));
        }
    }

    #[test]
    fn a_star_means_the_files_that_match_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", "a.json", "xa.csv"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("c.csv")).unwrap();
        let found = |pattern: &str| {
            let names = files(&dir.path().join(pattern)).unwrap();
            names.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("*.csv"), ["a.csv", "b.csv", "xa.csv"]);
        assert_eq!(found("?.csv"), ["a.csv", "b.csv"]);
        assert_eq!(found("a*"), ["a.csv", "a.json"]);
        assert_eq!(found("gone.csv"), ["gone.csv"]);
    }

    #[test]
    fn what_is_too_long_is_kept_on_disk_and_what_follows_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { limit: 1000, folder: Some(dir.path().join("oversized")) };
        let long = format!("{{\"id\":\"b\",\"more\":\"{}\"}}", "x".repeat(300_000));
        let exact = format!("{{\"id\":\"c\",\"more\":\"{}\"}}", "x".repeat(1000 - 20));
        assert_eq!(exact.len(), 1000);
        for (name, text) in [
            ("a.ndjson", format!("{{\"id\":\"a\"}}\n{long} \r\n{exact}\r\n{long}")),
            ("a.json", format!("[{{\"id\":\"a\"}},{long},{exact}\n,{long}]")),
        ] {
            let (pieces, error) = read_within(&bounds, name, text.as_bytes());
            assert_eq!(error, None);
            assert_eq!(raws(&pieces), ["{\"id\":\"a\"}", "", &exact, ""], "{name}");
            for piece in [&pieces[1], &pieces[3]] {
                let file = piece.oversized.as_ref().unwrap().file.as_ref().unwrap();
                assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), long, "{name}");
            }
        }
        // Also where a quote is not closed: then it is all the rest.
        for (row, end) in [("a,1,\"x\ny\n", "\"\nb,2,\n"), ("a,1,", "\nb,2,\n"), ("a,1,\"", "")] {
            let row = format!("{row}{}", "x".repeat(300_000));
            let csv = format!("id,time,more\nc,3,\n{row}{end}");
            let (pieces, error) = read_within(&bounds, "a.csv", csv.as_bytes());
            assert_eq!(error, None);
            let rest = if end.is_empty() { &[][..] } else { &[r#"{"id":"b","time":2}"#] };
            assert_eq!(raws(&pieces), [&[r#"{"id":"c","time":3}"#, ""], rest].concat());
            let file = pieces[1].oversized.as_ref().unwrap().file.as_ref().unwrap();
            let quote = if end.starts_with('"') { "\"" } else { "" };
            assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), format!("{row}{quote}"));
        }
    }

    #[test]
    fn a_row_whose_quote_is_not_closed_is_set_aside_alone() {
        let problems = |text: &str| {
            let (pieces, error) = read("a.csv", text.as_bytes());
            assert_eq!(error, None);
            let shown = |piece: Piece| match piece.problem {
                Some(problem) => format!("{}: {problem}: {}", piece.place, String::from_utf8(piece.raw).unwrap()),
                None => format!("{}: {}", piece.place, String::from_utf8(piece.raw).unwrap()),
            };
            pieces.into_iter().map(shown).collect::<Vec<_>>()
        };
        let said = problems("id,time,more\na,1,\n\"b,2,\nc,3,\r\nd,4,\n");
        assert!(said[1].starts_with("line 3: a quote in this line is not closed") && said[1].ends_with(": \"b,2,"));
        assert_eq!(said[2..], [r#"line 4: {"id":"c","time":3}"#, r#"line 5: {"id":"d","time":4}"#]);
        // What ends in the middle of a cell has been cut off there: its lines are no rows.
        let said = problems("id,time,more\na,1,\nb,2,\"x\nc,3,\nd");
        assert!(said.len() == 2 && said[1].contains("the file ends in the middle of this row"), "{said:?}");
        let said = problems("id,time,more\n\"a,1,\nb,2,\"{}\"\nc,3,\n");
        assert!(said[0].contains("in a row of several lines: is a quote not closed?"), "{said:?}");
        assert_eq!(said[1..], [r#"line 4: {"id":"c","time":3}"#]);
    }

    #[test]
    fn line_ends_of_any_kind_headers_and_marks_between_files_and_null_bytes_are_read() {
        let csv = "id,time,more\ra,1,\r\n\n\u{feff}id,time,more\nb\0,2,\n";
        let (pieces, error) = read("a.csv", csv.as_bytes());
        assert_eq!(error, None);
        assert_eq!(raws(&pieces), [r#"{"id":"a","time":1}"#, r#"{"id":"b\u0000","time":2}"#]);
        assert_eq!(pieces[1].place, "line 5");
        let (pieces, _) = read("a.ndjson", "{\"id\":\"a\"}\n\u{feff}{\"id\":\"b\"}\n".as_bytes());
        assert_eq!(raws(&pieces), [r#"{"id":"a"}"#, r#"{"id":"b"}"#]);
        let utf_16: Vec<u8> = "\u{feff}id,time".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for name in ["a.csv", "a.ndjson", "a.json"] {
            let said = read(name, &utf_16).1.unwrap();
            assert!(said.contains("iconv -f UTF-16"), "{name}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), name in "a\\.(ndjson|json|csv)") {
            let _ = read(&name, &bytes);
            let _ = read(&name, &[b"id,time,more\n", &bytes[..]].concat());
        }

        #[test]
        fn a_file_gives_its_records_byte_for_byte(texts in prop::collection::vec(".{0,30}", 0..250), packed: bool) {
            let records: Vec<String> =
                texts.iter().map(|text| serde_json::json!({ "id": "a", "text": text }).to_string()).collect();
            for (name, text) in
                [("a.ndjson", records.join("\n")), ("a.json", format!("[{}]", records.join(" ,\n")))]
            {
                let bytes = if packed { gzip(text.as_bytes()) } else { text.into_bytes() };
                let (pieces, error) = read(name, &bytes);
                prop_assert_eq!(error, None);
                prop_assert_eq!(raws(&pieces), records.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_star_matches_as_its_meaning_says(pattern in "[ab*?]{0,6}", name in "[ab]{0,6}") {
            fn meaning(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => meaning(rest, name) || (!name.is_empty() && meaning(pattern, &name[1..])),
                    (Some((p, pattern)), Some((n, name))) => (*p == b'?' || p == n) && meaning(pattern, name),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), meaning(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
