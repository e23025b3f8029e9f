//! One record on its way to the plugin: looked at before anything parses it, and set aside if it is too long to be held.
//!
//! Whatever a record holds, it costs nobody else anything. What is no JSON becomes a dead letter that says where. What is JSON and
//! more than parsers can hold (see [`json`]) is shown to the plugin with stand-ins, so that its id, its time and its identity are
//! those of a record; its bytes stay as they are.

use headwater_contracts::{Echo, Identity, Record, Unreadable, hex, json};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// How much of a long record is kept in memory: to read id and time in it, and to show how it begins.
const HEAD: usize = 64 << 10;
/// How much of it a dead letter shows.
const SHOWN: usize = 1 << 10;
/// The folder of records that were too long, beside the dead letters.
pub const OVERSIZED: &str = "oversized";

/// Reads a record with `record`, a plugin's, which is never given what it could not stand.
///
/// # Errors
/// Why it is no record.
pub fn read_record(
    raw: &[u8],
    record: &mut dyn FnMut(&[u8]) -> Result<Record, Unreadable>,
) -> Result<Record, Unreadable> {
    match json::look(raw) {
        Ok(looked) => record(&json::view(raw, &looked)),
        Err(flaw) => {
            // It stands in the log, so the plugin hears of it: of a text that is as good a record as this, and as different.
            let _ = record(format!("\"unreadable {}\"", Identity::of(&[raw])).as_bytes());
            Err(Unreadable { reason: format!("a record of the audit log is not readable JSON: {flaw}") })
        }
    }
}

/// How long a record may be, and what becomes of longer ones.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Most bytes of a record that is delivered.
    pub limit: usize,
    /// Where longer ones are kept. `None`: nowhere; they are counted and their digest is told.
    pub folder: Option<PathBuf>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { limit: crate::ELEMENT_MAX, folder: None }
    }
}

/// A record that was too long, where it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversized {
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// How many there are.
    pub bytes: u64,
    /// The file that has them, below the folder of the dead letters. `None` if nothing keeps them.
    pub file: Option<String>,
    /// The first of them.
    pub head: Vec<u8>,
}

impl Oversized {
    /// What can be told of the record by its beginning, and why it is not delivered. Its identity is made of its bytes, so that it is
    /// met again, and delivered, once `max_event_bytes` allows it.
    pub(crate) fn record(
        &self,
        limit: usize,
        record: &mut dyn FnMut(&[u8]) -> Result<Record, Unreadable>,
    ) -> (Record, String) {
        // What has no beginning that can be read stands in the log all the same.
        let opening = json::opening(&self.head);
        let read = read_record(opening.as_deref().unwrap_or(&self.head), record).ok();
        let identity = Identity::of(&[b"oversized", self.sha256.as_bytes()]);
        let record = match read {
            Some(record) => Record { identity, echo: Echo::Foreign, ..record },
            None => Record::foreign(self.sha256.clone(), identity, None),
        };
        let kept = match &self.file {
            Some(file) => format!("all of it is kept in `{file}` beside the dead letters"),
            None => "it is not kept, because there is no folder of dead letters".to_owned(),
        };
        let reason = format!(
            "the record has {} bytes, more than the {limit} of `max_event_bytes`; {kept} (SHA-256 {})",
            self.bytes, self.sha256
        );
        (record, reason)
    }

    /// How it begins.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let mut end = self.head.len().min(SHOWN);
        // Not in the middle of a character.
        while end > 0 && self.head.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        self.head[..end].to_vec()
    }
}

/// Takes long records to disk while they stream by.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: Option<PathBuf>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    part: Option<Part>,
    digest: Sha256,
    bytes: u64,
    head: Vec<u8>,
}

/// A file that is not all there: gone if it is not kept.
#[derive(Debug)]
struct Part {
    file: File,
    path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // Renamed, if it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

impl Spool {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self { folder: bounds.folder.clone(), open: None }
    }

    /// Takes the next bytes of a record; with its last, says where it is.
    pub(crate) fn take(&mut self, bytes: &[u8], last: bool) -> io::Result<Option<Oversized>> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let part = self.folder.as_deref().map(part).transpose()?;
                self.open.insert(Open { part, digest: Sha256::new(), bytes: 0, head: Vec::new() })
            }
        };
        open.digest.update(bytes);
        open.bytes += bytes.len() as u64;
        open.head.extend_from_slice(&bytes[..bytes.len().min(HEAD - open.head.len())]);
        if let Some(part) = &mut open.part {
            part.file.write_all(bytes)?;
        }
        if !last {
            return Ok(None);
        }
        let Some(Open { part, digest, bytes, head }) = self.open.take() else { return Ok(None) };
        let sha256 = hex(&digest.finalize());
        let file = match (&part, &self.folder) {
            (Some(part), Some(folder)) => {
                let name = format!("{sha256}.json");
                part.file.sync_all()?;
                fs::rename(&part.path, folder.join(&name))?;
                File::open(folder)?.sync_all()?;
                Some(format!("{OVERSIZED}/{name}"))
            }
            _ => None,
        };
        Ok(Some(Oversized { sha256, bytes, file, head }))
    }
}

/// SHA-256 of a record, hex.
pub(crate) fn sha256(raw: &[u8]) -> String {
    hex(&Sha256::digest(raw))
}

/// Opens a file for a record that is on its way; only we may read it.
fn part(folder: &Path) -> io::Result<Part> {
    let mut builder = fs::DirBuilder::new();
    let mut options = File::options();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        builder.mode(0o700);
        options.mode(0o600);
    }
    builder.recursive(true).create(folder)?;
    let path = folder.join(format!("{:016x}.part", rand::random::<u64>()));
    let file = options.write(true).create_new(true).open(&path)?;
    Ok(Part { file, path })
}

/// Removes what a crash left of records that were on their way: they are read again.
pub fn clear_parts(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "part") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(raw: &[u8]) -> Result<Record, Unreadable> {
        let value: serde_json::Value = serde_json::from_slice(raw).expect("a plugin is given JSON that it can read");
        let id = value["id"].as_str().ok_or(Unreadable { reason: "no id".into() })?.to_owned();
        let identity = Identity::of(&[id.as_bytes()]);
        Ok(Record::foreign(id, identity, None))
    }

    #[test]
    fn a_record_that_parsers_cannot_hold_has_the_id_that_it_has() {
        let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
        for odd in [deep.as_str(), "1e999", &"9".repeat(400), "\"\\ud800\""] {
            let raw = format!("{{\"x\":{odd},\"id\":\"a\"}}");
            let read = read_record(raw.as_bytes(), &mut plugin).unwrap();
            assert_eq!(read, plugin(b"{\"id\":\"a\"}").unwrap());
        }
        let mut heard = 0;
        let mut hear = |raw: &[u8]| {
            heard += 1;
            plugin(raw)
        };
        let reason = read_record(br#"{"id":"\u12G4"}"#, &mut hear).unwrap_err().reason;
        assert!(reason.contains("byte 7: this is no escape of JSON"), "{reason}");
        assert_eq!(heard, 1, "the plugin counts it");
    }

    #[test]
    fn a_record_that_is_too_long_is_on_disk_in_full_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("letters").join(OVERSIZED);
        let bounds = Bounds { limit: 10, folder: Some(folder.clone()) };
        let mut spool = Spool::new(&bounds);
        let raw = format!("{{\"id\":\"a\",\"text\":\"{}\"}}", "x".repeat(200_000));
        for piece in raw.as_bytes().chunks(30_000) {
            assert_eq!(spool.take(piece, false).unwrap(), None);
        }
        let kept = spool.take(&[], true).unwrap().unwrap();
        let file = dir.path().join("letters").join(kept.file.as_ref().unwrap());
        assert_eq!((fs::read(file).unwrap(), kept.bytes), (raw.clone().into_bytes(), raw.len() as u64));
        let (record, reason) = kept.record(10, &mut plugin);
        assert_eq!((record.id.as_str(), kept.shown().len()), ("a", SHOWN));
        assert_ne!(record.identity, plugin(b"{\"id\":\"a\"}").unwrap().identity, "it may still be delivered one day");
        assert!(reason.contains(&kept.sha256) && reason.contains("max_event_bytes"), "{reason}");
        let before = fs::read_dir(&folder).unwrap().count();
        spool.take(b"{", false).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), before + 1);
        drop(spool);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), before, "a page that breaks off leaves nothing");
        fs::write(folder.join("0.part"), "x").unwrap();
        clear_parts(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), before);
    }
}
