//! Files in place of pages: what a person exported, delivered as events of a stream before the stream is read.
//!
//! Their identities are kept for good, in a stream of the ledger beside the one they are filed under (the *archive*): of the
//! stream itself the ledger forgets what no scan will meet again, and a file can be met again at any time. So a file may be
//! read twice, by half, or beside another that holds the same events. Coverage is not touched: that a file has everything,
//! nobody can prove.

use super::{Driver, Halt, Reading, sort::Pending, time::marked};
use crate::{
    export::{self, Export, Piece},
    lane::filed_under,
    reader::read_record,
    status::Phase,
};
use headwater_contracts::{Coverage, Echo, Import, Timestamp, Unreadable};
use headwater_ledger::{Commit, Filed, StreamKey, UNTOLD};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Records after which what has been delivered is written into the archive.
const ARCHIVE_EVERY: usize = 10_000;

/// What to import.
pub(crate) struct ImportJob {
    /// The component that names the files.
    pub(crate) name: String,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) reading: export::Reading,
}

/// The archive's state. Its fields are a file format.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Archive {
    /// Files that have been read to their end, as they looked then.
    files: BTreeMap<String, Look>,
}

/// How a file looks from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Look {
    bytes: u64,
    modified_ms: u128,
    /// What was said about how to read it.
    reading: String,
}

impl Look {
    fn at(path: &Path, reading: &export::Reading) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let modified = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self { bytes: metadata.len(), modified_ms: modified.as_millis(), reading: format!("{reading:?}") })
    }
}

/// What judging a record takes, beside the record.
struct Known {
    /// Where the archive is.
    archive: StreamKey,
    covered: Coverage,
    /// The ledger has forgotten what was delivered of the time before.
    horizon: Timestamp,
    /// And what was sent.
    requests_from: Timestamp,
}

/// What has been handed to the lane since the archive was written.
#[derive(Default)]
struct Unarchived {
    settled: BTreeSet<Filed>,
    records: usize,
}

/// Why a file was not read to its end.
enum Broken {
    /// The file is to blame.
    File(String),
    Halt(Halt),
}

impl From<Halt> for Broken {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl Driver {
    /// Delivers what the files hold. `Err` says which could not be read, and why.
    pub(crate) async fn import(self, job: ImportJob) -> Result<(), String> {
        let ended = self.files(&job).await;
        self.end(ended).await
    }

    async fn files(&self, job: &ImportJob) -> Result<(), Halt> {
        let start = self.beginning();
        let mut record = self.with_ledger(move |ledger, key| ledger.load(key, start)).await?;
        let stream = format!("{} (imports)", self.key.stream);
        let archive = StreamKey { source: self.key.source.clone(), stream };
        let key = archive.clone();
        let kept = self.with_ledger(move |ledger, _| ledger.load(&key, start)).await?;
        let mut done: Archive = kept.state.and_then(|state| serde_json::from_value(state).ok()).unwrap_or_default();
        if record.start == UNTOLD {
            record.start = self.start_at.resolve(self.server_now());
        }
        // What has been forgotten, has been by the clock of the last mark: no answer has shown the server's in this run.
        let now = marked(&record, self.source.as_ref()).unwrap_or_else(|| self.server_now());
        // What is due tells a plugin how far back it still needs identities.
        self.plan(&record, true, now);
        let mut reading = Reading::new(self.retry);
        reading.catch_up(&record);
        let known = Known {
            archive,
            // An event out of a file is not late.
            covered: std::mem::take(&mut reading.coverage),
            horizon: self.source.horizon(now),
            requests_from: now - self.source.echo_window().max(self.source.budget_window()),
        };
        let mut broken = Vec::new();
        for path in &job.files {
            let name = path.display().to_string();
            let look = Look::at(path, &job.reading);
            if look.is_some() && done.files.get(&name) == look.as_ref() {
                tracing::info!(source = %job.name, "`{name}` has been imported before, and has not changed since");
                continue;
            }
            let mut unarchived = Unarchived::default();
            let read =
                self.file(path, &job.reading, record.state.as_ref(), &known, &mut reading, &mut unarchived).await;
            match read {
                Ok(()) => {
                    done.files.extend(look.map(|look| (name.clone(), look)));
                    self.archive(&known, &mut reading, &mut unarchived, Some(&done)).await?;
                    tracing::info!(source = %job.name, "`{name}` is imported");
                }
                Err(Broken::File(problem)) => {
                    self.archive(&known, &mut reading, &mut unarchived, None).await?;
                    let problem = format!(
                        "`{name}`: {problem}; what was read of it is delivered, and will not be delivered again"
                    );
                    tracing::error!(source = %job.name, "{problem}");
                    broken.push(problem);
                }
                Err(Broken::Halt(halt)) => {
                    if matches!(halt, Halt::Stop) {
                        self.archive(&known, &mut reading, &mut unarchived, None).await?;
                    }
                    return Err(halt);
                }
            }
        }
        if broken.is_empty() {
            Ok(())
        } else {
            Err(Halt::GivenUp(format!("import `{}`: {}", job.name, broken.join("; "))))
        }
    }

    /// Reads a file to its end, and again from its beginning as often as the order of its records demands.
    async fn file(
        &self,
        path: &Path,
        how: &export::Reading,
        state: Option<&serde_json::Value>,
        known: &Known,
        reading: &mut Reading,
        unarchived: &mut Unarchived,
    ) -> Result<(), Broken> {
        let mut import = self
            .source
            .import(&self.key.stream, state)
            .ok_or_else(|| Broken::File("records of this source cannot be imported".to_owned()))?;
        let mut told = 0_u64;
        'again: loop {
            let mut export = Export::open(path, how, &self.bounds, import.as_ref()).map_err(Broken::File)?;
            loop {
                let (reopened, taken) = tokio::task::spawn_blocking(move || {
                    let taken = export.next();
                    (export, taken)
                })
                .await
                .map_err(|panic| Broken::File(format!("reading it crashed: {panic}")))?;
                export = reopened;
                let pieces = taken.map_err(Broken::File)?;
                let ended = pieces.is_empty();
                if let Some(last) = pieces.last() {
                    let scan = format!("file `{}`, {}", path.display(), last.place);
                    self.line.phase(Phase::Reading { scan, progress: Some(export.progress()) });
                }
                told += self.take_in(path, pieces, import.as_mut(), known, reading, unarchived).await?;
                if !import.in_order() {
                    tracing::info!(source = %self.key.source, stream = %self.key.stream, "the records of `{}` are in another order: reading it again from its beginning", path.display());
                    continue 'again;
                }
                if ended {
                    if let Some(reason) = export.remainder(import.as_ref()) {
                        tracing::warn!(
                            source = %self.key.source, stream = %self.key.stream,
                            "`{}` is one page of several: {reason}. What it has is delivered; import the others as well, or let `start_at` of the source reach back as far",
                            path.display()
                        );
                    }
                    break 'again;
                }
                if unarchived.records >= ARCHIVE_EVERY {
                    self.archive(known, reading, unarchived, None).await?;
                }
                if *self.stop.borrow() {
                    return Err(Broken::Halt(Halt::Stop));
                }
            }
        }
        if told > 0 {
            tracing::warn!(
                source = %self.key.source, stream = %self.key.stream,
                "{told} records of `{}` from before {} lie in ranges that have been read completely; which events of them were delivered is not kept so long, and they count as delivered",
                path.display(), known.horizon.format("%FT%TZ")
            );
        }
        Ok(())
    }

    /// Judges records and hands them over. Returns how many count as delivered because their range has been covered.
    async fn take_in(
        &self,
        path: &Path,
        pieces: Vec<Piece>,
        import: &mut dyn Import,
        known: &Known,
        reading: &mut Reading,
        unarchived: &mut Unarchived,
    ) -> Result<u64, Halt> {
        let mut told = 0;
        let mut batch = Vec::with_capacity(pieces.len());
        for Piece { raw, place, problem, oversized } in pieces {
            let mut read = |raw: &[u8]| import.record(raw, &reading.sent);
            let at = |reason| format!("{}, {place}: {reason}", path.display());
            if let Some(kept) = oversized {
                let mut pending = Pending::oversized(kept, self.bounds.limit, &mut read);
                pending.oversized = pending.oversized.map(|(reason, kept)| (at(reason), kept));
                batch.push(pending);
                continue;
            }
            let record = match problem {
                Some(reason) => Err(Unreadable { reason }),
                None => read_record(&raw, &mut read),
            };
            let mut record = record.map_err(|Unreadable { reason }| Unreadable { reason: at(reason) });
            if let Ok(record) = &mut record {
                if let Some(time) = record.time {
                    if time < known.horizon && known.covered.contains(time) {
                        record.wanted = false;
                        told += 1;
                    }
                    // Of what was sent so long ago nothing is known, so that nothing follows from not knowing it.
                    if time < known.requests_from && matches!(record.echo, Echo::Suspicious(_)) {
                        record.echo = Echo::Foreign;
                    }
                }
                if let Echo::Own(id) = &record.echo
                    && record.wanted
                    && !batch.iter().any(|pending| pending.is(record.identity))
                    && self.is_new(record.identity, record.time)
                    && !self.archived(known, vec![filed_under(record.identity, record.time)]).await?[0]
                {
                    reading.sent.consume(id);
                }
            }
            let trimmed = if record.is_ok() { import.trimmed(&raw) } else { None };
            batch.push(Pending::new(trimmed.unwrap_or(raw), record));
        }
        let filed: Vec<Filed> = batch.iter().map(Pending::filed).collect();
        let archived = self.archived(known, filed.clone()).await?;
        for ((mut pending, filed), archived) in batch.into_iter().zip(filed).zip(archived) {
            if archived {
                pending.suppress();
            } else if pending.is_wanted() {
                unarchived.settled.insert(filed);
            }
            unarchived.records += 1;
            reading.held.push(pending);
        }
        if reading.held.is_full() {
            self.hand_over(reading).await?;
        }
        Ok(told)
    }

    /// For each identity, whether it came out of a file before.
    async fn archived(&self, known: &Known, identities: Vec<Filed>) -> Result<Vec<bool>, Halt> {
        let archive = known.archive.clone();
        self.with_ledger(move |ledger, _| ledger.known(&archive, &identities)).await
    }

    /// Waits until everything that was read is delivered and committed, checks the books, and remembers it for good.
    async fn archive(
        &self,
        known: &Known,
        reading: &mut Reading,
        unarchived: &mut Unarchived,
        done: Option<&Archive>,
    ) -> Result<(), Halt> {
        self.balance(reading).await?;
        let Unarchived { settled, .. } = std::mem::take(unarchived);
        let state = done.and_then(|done| serde_json::to_value(done).ok());
        let step = Commit { settled: settled.into_iter().collect(), state, ..Commit::default() };
        let archive = known.archive.clone();
        self.with_ledger(move |ledger, _| ledger.commit(&archive, &step)).await
    }
}
