//! Dead letters: events that a transform or a sink refused for good, kept with the reason, to be read and replayed.
//!
//! | key | meaning |
//! |---|---|
//! | `time` | when it became a dead letter, RFC 3339 |
//! | `component`, `reason` | who refused it, and why |
//! | `source`, `provider`, `stream` | where it came from |
//! | `id`, `identity` | the provider's id, and the identity in the ledger, hex |
//! | `event_time`, `observed_time` | when it happened, if it said so; when headwater read it |
//! | `own_query` | whether headwater's own reading caused it |
//! | `raw` or `raw_base64` | the provider's bytes: text, or base64 where they are not UTF-8 |
//! | `raw_begins` | in place of them, of a record that is longer than `max_event_bytes`: how it begins |
//! | `raw_file` | where such a record is, in full: a file below the folder of the dead letters |
//! | `raw_bytes` | how many bytes such a record has |
//! | `sha256` | SHA-256 of the provider's bytes, hex |
//! | `event` | what the transforms had made of it, if anything |

use crate::{
    compress::Compression,
    log::{Log, Rotate},
    recover::{Format, Records},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use headwater_contracts::{Event, Timestamp, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// One dead letter, as it stands in the file. Its fields are a file format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it became one.
    pub time: Timestamp,
    /// The component that refused it.
    pub component: String,
    /// Why.
    pub reason: String,
    /// The source component that read it.
    pub source: String,
    /// The provider id, for example `pactflow`.
    pub provider: String,
    /// The stream's name.
    pub stream: String,
    /// The provider's id of the event.
    pub id: String,
    /// Its identity in the ledger, hex.
    pub identity: String,
    /// When it happened, if it said so readably.
    pub event_time: Option<Timestamp>,
    /// When headwater read it.
    pub observed_time: Timestamp,
    /// Whether headwater's own reading caused it.
    pub own_query: bool,
    /// The provider's bytes, if they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The provider's bytes in base64, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// How the provider's bytes begin, if they were too many to be held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_begins: Option<String>,
    /// The file that has them then, below the folder of the dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_file: Option<String>,
    /// How many they are then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_bytes: Option<u64>,
    /// SHA-256 of the provider's bytes, hex. Empty in letters of older versions.
    #[serde(default)]
    pub sha256: String,
    /// What the transforms had made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<serde_json::Value>,
}

/// Where the bytes of a record are that were too many to be held; the event has the first of them.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// SHA-256 of all of them, hex.
    pub sha256: String,
    /// How many they are.
    pub bytes: u64,
    /// The file, below the folder of the dead letters.
    pub file: Option<String>,
}

impl DeadLetter {
    /// The same letter, of a record whose bytes are elsewhere.
    #[must_use]
    pub fn elsewhere(mut self, Elsewhere { sha256, bytes, file }: Elsewhere) -> Self {
        self.raw_begins = self.raw.take().or_else(|| self.raw_base64.take());
        Self { sha256, raw_bytes: Some(bytes), raw_file: file, event: None, ..self }
    }

    /// `event`, refused by `component` at `time`.
    pub fn new(event: &Event, component: &str, reason: &str, time: Timestamp) -> Self {
        let (raw, raw_base64) = match std::str::from_utf8(&event.raw) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(&event.raw))),
        };
        Self {
            time,
            component: component.to_owned(),
            reason: reason.to_owned(),
            source: event.origin.source.clone(),
            provider: event.origin.provider.to_string(),
            stream: event.origin.stream.clone(),
            id: event.id.clone(),
            identity: event.identity.to_string(),
            event_time: event.time,
            observed_time: event.observed,
            own_query: event.own_query,
            raw,
            raw_base64,
            raw_begins: None,
            raw_file: None,
            raw_bytes: None,
            sha256: hex(&Sha256::digest(&event.raw)),
            // A value that cannot be written is not kept; the raw bytes are, and a replay makes it anew.
            event: event.made(),
        }
    }

    /// The provider's bytes; `None` if the line they were read from is not one that this crate wrote.
    pub fn raw_bytes(&self) -> Option<Vec<u8>> {
        match (&self.raw, &self.raw_base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(encoded)) => STANDARD.decode(encoded).ok(),
            (None, None) => None,
        }
    }
}

/// Name of the file that is written to.
const FILE: &str = "dead-letter.ndjson";
/// A file is set aside before it grows beyond this.
const MAX_BYTES: u64 = 100 * 1024 * 1024;

/// The dead letters of a pipeline: `dead-letter.ndjson` in a directory, and beside it the full ones of earlier,
/// `dead-letter.20261122T031500Z.ndjson`.
///
/// At least once: a crash between [`DeadLetterFile::append`] and the ledger's commit writes a letter again, with
/// the same `identity`. The calls block.
pub struct DeadLetterFile {
    path: PathBuf,
    log: Log,
}

impl DeadLetterFile {
    /// Opens or creates the file in `dir`, which is created if missing; a line torn by a crash is moved to
    /// `dead-letter.ndjson.torn`. Fails if the directory cannot be written to or another process has the file open.
    pub fn open(dir: impl AsRef<Path>) -> io::Result<Self> {
        Self::with_limit(dir.as_ref(), MAX_BYTES)
    }

    fn with_limit(dir: &Path, max_bytes: u64) -> io::Result<Self> {
        let format = Format { records: Records::Lines, compression: Compression::None, header: Vec::new() };
        let mut log = Log::new(format, Rotate { max_bytes: Some(max_bytes), every: None }).refusing_links();
        let path = Self::place(dir);
        log.length(&path, chrono::Utc::now())?;
        Ok(Self { path, log })
    }

    /// The file that letters in `dir` are added to.
    pub fn place(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Adds letters. They are on disk when this returns; if it fails, none of them is kept and all may be added again.
    pub fn append(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
        let mut lines = Vec::new();
        for letter in letters {
            serde_json::to_writer(&mut lines, letter)?;
            lines.push(b'\n');
        }
        self.log.append(&self.path, &[lines], chrono::Utc::now())
    }

    /// The files in `dir` that hold dead letters, oldest first. None if there is no such directory.
    pub fn files(dir: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(dir.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if let Some(age) = path.file_name().and_then(|name| age(name.to_str()?)) {
                files.push((age, path));
            }
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }
}

/// Sorts the files: time of rotation, then number within the second; the file still written to comes last.
fn age(name: &str) -> Option<(bool, String, u64)> {
    let middle = name.strip_prefix("dead-letter.")?.strip_suffix("ndjson")?;
    let Some(rotated) = middle.strip_suffix('.') else {
        return middle.is_empty().then(|| (true, String::new(), 0));
    };
    match rotated.split_once('-') {
        Some((time, number)) => Some((false, time.to_owned(), number.parse().ok()?)),
        None => Some((false, rotated.to_owned(), 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_testkit::sink_suite::event;

    fn letter(event: &Event) -> DeadLetter {
        DeadLetter::new(event, "normalize", "no `id`:\nempty", "2026-11-22T03:15:00.5Z".parse().unwrap())
    }

    fn read(dir: &Path) -> Vec<DeadLetter> {
        let files = DeadLetterFile::files(dir).unwrap();
        let texts: Vec<String> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_holds_all_that_a_person_or_a_replay_needs() {
        let line = serde_json::to_value(letter(&event("e1", "déjà\nvu", true))).unwrap();
        let expected = serde_json::json!({
            "time": "2026-11-22T03:15:00.500Z", "component": "normalize", "reason": "no `id`:\nempty",
            "source": "suite", "provider": "suite", "stream": "suite.example", "id": "e1",
            "identity": event("e1", "", false).identity.to_string(), "event_time": "2025-10-09T08:53:20Z",
            "observed_time": "2025-10-09T08:54:20Z", "own_query": false, "raw": "{\"before\":\"e1\"}",
            "sha256": letter(&event("e1", "déjà\nvu", true)).sha256,
            "event": { "id": "e1", "text": "déjà\nvu" }
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn letters_read_back_with_their_exact_bytes_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state/dead-letter");
        let spread = Event { raw: "{\n\"a\" : 1 }".into(), ..event("a", "", false) };
        let binary = Event { raw: vec![0xff, 0x00, b'\n'].into(), ..event("b", "", false) };
        for event in [&spread, &binary] {
            DeadLetterFile::open(&dir).unwrap().append(&[letter(event)]).unwrap();
        }
        let letters = read(&dir);
        assert_eq!(letters, [letter(&spread), letter(&binary)]);
        assert_eq!(letters[0].raw_bytes().unwrap(), spread.raw);
        assert_eq!(letters[1].raw_bytes().unwrap(), binary.raw);
    }

    #[test]
    fn a_record_that_was_too_long_is_pointed_to_and_letters_of_older_versions_are_read() {
        let place = Elsewhere { sha256: "ab".into(), bytes: 7_000_000, file: Some("oversized/ab.json".into()) };
        let letter = super::tests::letter(&event("e1", "", false)).elsewhere(place);
        let line = serde_json::to_value(&letter).unwrap();
        assert_eq!((&line["raw_file"], &line["raw_bytes"]), (&"oversized/ab.json".into(), &7_000_000.into()));
        assert_eq!((&line["raw_begins"], line.get("raw")), (&"{\"id\":\"e1\",\"text\":\"\"}".into(), None));
        assert_eq!(letter.raw_bytes(), None);
        let mut old = serde_json::to_value(super::tests::letter(&event("e2", "", false))).unwrap();
        old.as_object_mut().unwrap().remove("sha256");
        assert_eq!(serde_json::from_value::<DeadLetter>(old).unwrap().id, "e2");
    }

    #[test]
    fn full_files_are_set_aside_and_listed_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = DeadLetterFile::with_limit(dir.path(), 1000).unwrap();
        let letters: Vec<DeadLetter> = (0..60).map(|i| letter(&event(&format!("e{i}"), "x", false))).collect();
        for letter in &letters {
            file.append(std::slice::from_ref(letter)).unwrap();
        }
        assert!(DeadLetterFile::files(dir.path()).unwrap().len() > 10);
        assert_eq!(read(dir.path()), letters);
        assert!(DeadLetterFile::files(dir.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious\n").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(FILE)).unwrap();
        let error = DeadLetterFile::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    }

    #[test]
    fn a_torn_letter_is_cut_off_and_a_second_writer_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut file = DeadLetterFile::open(dir.path()).unwrap();
        let first = letter(&event("a", "", false));
        file.append(std::slice::from_ref(&first)).unwrap();
        assert!(DeadLetterFile::open(dir.path()).is_err());
        drop(file);
        let torn = [fs::read(&path).unwrap(), b"{\"time\":".to_vec()].concat();
        fs::write(&path, torn).unwrap();
        let mut file = DeadLetterFile::open(dir.path()).unwrap();
        file.append(std::slice::from_ref(&first)).unwrap();
        assert_eq!(read(dir.path()), [first.clone(), first]);
        assert_eq!(fs::read(dir.path().join("dead-letter.ndjson.torn")).unwrap(), b"{\"time\":");
    }
}
