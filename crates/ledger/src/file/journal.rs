//! Own requests between two commits.
//!
//! A request is written down before it is sent, so that its echo is recognised also after a crash. That is one durable
//! write for each page read, and as a transaction of the database it would cost more than the page's events. So requests are
//! appended to a file of their own, `requests.journal`, and the next transaction takes them over.
//!
//! | what | how |
//! |---|---|
//! | durable | one line is written and synced before [`Journal::append`] returns |
//! | never twice | lines are numbered, and the database knows the last number it took over, in the same transaction |
//! | never half | a line begins with a digest of the rest; one that does not fit is left out, and told if others follow it |
//! | never long | what was taken over is written over, from the start |

use crate::StreamKey;
use headwater_contracts::{Identity, OwnRequest};
use redb::StorageBackend;
use serde::{Deserialize, Serialize};
use std::{io, sync::Arc};

/// One own request of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Ascending by one, over all streams and for ever.
    pub(crate) number: u64,
    pub(crate) stream: StreamKey,
    pub(crate) request: OwnRequest,
}

/// The file, and what of it the database has not taken over.
#[derive(Debug)]
pub(crate) struct Journal {
    backend: Arc<dyn StorageBackend>,
    /// Where the next line goes.
    end: u64,
    next: u64,
    pending: Vec<Entry>,
    /// Numbers between those of other entries that no line has: it was damaged.
    lost: u64,
    /// The first line is of a later time than the database, which is an older copy.
    is_ahead: bool,
}

impl Journal {
    /// Reads what is in the file; `taken` is the number of the last entry that the database has taken over.
    pub(crate) fn open(backend: Arc<dyn StorageBackend>, taken: u64) -> io::Result<Self> {
        let mut text = vec![0; usize::try_from(backend.len()?).map_err(io::Error::other)?];
        backend.read(0, &mut text)?;
        let mut journal = Self { backend, end: 0, next: taken + 1, pending: Vec::new(), lost: 0, is_ahead: false };
        let mut end = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            end += line.len() as u64;
            // The last line may be half: it was being written. One before others is damaged.
            let Some(entry) = read(line) else { continue };
            // What was taken over is left from an earlier round, and so is all behind it.
            let Some(lost) = entry.number.checked_sub(journal.next) else { break };
            journal.is_ahead |= lost > 0 && end == line.len() as u64;
            journal.lost += lost;
            journal.end = end;
            journal.next = entry.number + 1;
            journal.pending.push(entry);
        }
        Ok(journal)
    }

    /// How many requests were written down, and cannot be read: what the file has before and after them shows it.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the database is older than the journal: it does not know what was committed in between.
    pub(crate) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// Writes a request down: durable when this returns. If it fails, the request may be there after a crash.
    pub(crate) fn append(&mut self, stream: &StreamKey, request: &OwnRequest) -> io::Result<()> {
        let entry = Entry { number: self.next, stream: stream.clone(), request: request.clone() };
        let line = line(&entry)?;
        let end = self.end + line.len() as u64;
        if end > self.backend.len()? {
            self.backend.set_len(end)?;
        }
        self.backend.write(self.end, &line)?;
        self.backend.sync_data()?;
        self.end = end;
        self.next += 1;
        self.pending.push(entry);
        Ok(())
    }

    /// What the database is to take over, in order.
    pub(crate) fn pending(&self) -> &[Entry] {
        &self.pending
    }

    /// The database has taken over all that is pending.
    pub(crate) fn taken(&mut self) {
        self.pending.clear();
        self.end = 0;
    }
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{} {json}\n", Identity::of(&[json.as_bytes()])).into_bytes())
}

fn read(line: &[u8]) -> Option<Entry> {
    let (digest, json) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    (Identity::of(&[json.as_bytes()]).to_string() == digest).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    fn request(id: &str) -> OwnRequest {
        OwnRequest {
            id: id.into(),
            user_agent: format!("headwater; req {id}"),
            method: "GET".into(),
            path: "/audit".into(),
            query: vec![("from".into(), "é\n".into())],
            sent: headwater_contracts::Timestamp::UNIX_EPOCH,
        }
    }

    fn stream() -> StreamKey {
        StreamKey { source: "a".into(), stream: "b".into() }
    }

    /// The same bytes in another backend: what a new process finds.
    fn again(backend: &dyn StorageBackend) -> Arc<dyn StorageBackend> {
        let mut bytes = vec![0; usize::try_from(backend.len().unwrap()).unwrap()];
        backend.read(0, &mut bytes).unwrap();
        holding(&bytes)
    }

    fn holding(bytes: &[u8]) -> Arc<dyn StorageBackend> {
        let backend = InMemoryBackend::new();
        backend.set_len(bytes.len() as u64).unwrap();
        backend.write(0, bytes).unwrap();
        Arc::new(backend)
    }

    fn ids(journal: &Journal) -> Vec<&str> {
        journal.pending().iter().map(|entry| entry.request.id.as_str()).collect()
    }

    #[test]
    fn what_was_taken_over_does_not_come_back_though_it_is_still_in_the_file() {
        let backend: Arc<dyn StorageBackend> = Arc::new(InMemoryBackend::new());
        let mut journal = Journal::open(backend.clone(), 0).unwrap();
        for id in ["a", "b", "a long one", "d"] {
            journal.append(&stream(), &request(id)).unwrap();
        }
        let reopened = |taken| Journal::open(again(&*backend), taken).unwrap();
        assert_eq!(ids(&reopened(0)), ["a", "b", "a long one", "d"]);
        assert_eq!(ids(&reopened(4)), [""; 0]);
        assert!(!reopened(0).is_ahead());
        journal.taken();
        // One whole line, and lines of the first round behind it.
        journal.append(&stream(), &request("e")).unwrap();
        // An older copy of the database.
        let older = Journal::open(again(&*backend), 2).unwrap();
        assert!(older.is_ahead() && older.lost() == 2);
        let mut journal = Journal::open(again(&*backend), 4).unwrap();
        assert_eq!(ids(&journal), ["e"]);
        journal.append(&stream(), &request("f")).unwrap();
        assert_eq!(journal.pending().iter().map(|entry| entry.number).collect::<Vec<_>>(), [5, 6]);
    }

    proptest! {
        #[test]
        fn damage_costs_the_lines_it_is_in_and_is_told_if_others_follow(flip in any::<prop::sample::Index>(), bit in 0..8u8) {
            let backend: Arc<dyn StorageBackend> = Arc::new(InMemoryBackend::new());
            let mut journal = Journal::open(backend.clone(), 0).unwrap();
            let ends = ["a", "b", "c"].map(|id| {
                journal.append(&stream(), &request(id)).unwrap();
                journal.end
            });
            let mut bytes = vec![0; usize::try_from(backend.len().unwrap()).unwrap()];
            backend.read(0, &mut bytes).unwrap();
            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let hit = ends.iter().filter(|end| **end <= at as u64).count();
            // Without the break at its end, a line and the next are one.
            let upto = if at as u64 + 1 == ends[hit] { hit + 2 } else { hit + 1 }.min(3);
            let found = Journal::open(holding(&bytes), 0).unwrap();
            prop_assert_eq!(ids(&found), [&["a", "b", "c"][..hit], &["a", "b", "c"][upto..]].concat());
            prop_assert_eq!(found.lost(), if upto < 3 { (upto - hit) as u64 } else { 0 });
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Journal::open(holding(&bytes), 0).unwrap().pending().is_empty());
        }
    }
}
