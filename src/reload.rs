//! Taking over a changed configuration without a restart: at SIGHUP, and with `--watch` when one of its files changes.

use crate::{
    Failure,
    assemble::{Assembled, Purpose, assemble},
};
use headwater_config::{DeadLetter, Pipeline, Table};
use headwater_contracts::{Clock as _, files::must_be_file};
use headwater_runtime::{SystemClock, export};
use headwater_sink_file::writable;
use std::{
    convert::Infallible,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Mutex, watch},
};

/// How often `--watch` looks at the files. Looking costs one system call per file, and works on every file system.
const EVERY: Duration = Duration::from_secs(1);

/// What cannot change, as [`fixed`] has it.
type Fixed = [(&'static str, String); 4];

/// Where the configuration comes from, and what of it cannot change.
pub(crate) struct Reload {
    paths: Vec<PathBuf>,
    watch: bool,
    grace: Duration,
    fixed: Fixed,
    /// Signals that came while a pipeline was being replaced are not lost.
    hangups: Mutex<Option<Signal>>,
    /// How the files looked when the configuration was read that is in use.
    seen: std::sync::Mutex<Option<Vec<Seen>>>,
}

impl Reload {
    pub(crate) fn new(paths: &[PathBuf], watch: bool, grace: Duration, pipeline: &Pipeline) -> Self {
        let hangups = Mutex::new(signal(SignalKind::hangup()).ok());
        Self { paths: paths.to_vec(), watch, grace, fixed: fixed(pipeline), hangups, seen: std::sync::Mutex::default() }
    }

    /// Waits until there is another configuration that can be run, leaves it in `next`, and stops the pipeline. One that
    /// cannot be run is reported, and the old one goes on.
    pub(crate) async fn wait(
        &self,
        files: Vec<PathBuf>,
        stop: &watch::Sender<bool>,
        next: &mut Option<Assembled>,
    ) -> Infallible {
        let mut hangups = self.hangups.lock().await;
        let mut seen = self.seen().take().unwrap_or_else(|| fingerprint(&self.paths, &files));
        loop {
            tokio::select! {
                () = hung_up(&mut hangups) => {}
                () = self.changed(&files, &mut seen) => {}
            }
            let before = fingerprint(&self.paths, &files);
            // Secrets may come from programs that take long: meanwhile the old pipeline is served.
            let (paths, fixed) = (self.paths.clone(), self.fixed.clone());
            let loaded = tokio::task::spawn_blocking(move || load(&paths, &fixed)).await;
            match loaded.unwrap_or_else(|panic| Err(Failure::run(panic.to_string()))) {
                Ok(assembled) => {
                    assembled.log_warnings();
                    let grace = self.grace;
                    tracing::info!(
                        "the configuration has changed: what is in flight is delivered first, for at most {grace:?}"
                    );
                    *self.seen() =
                        Some(as_before(fingerprint(&self.paths, &self::files(&assembled.pipeline)), &before));
                    *next = Some(assembled);
                    let _ = stop.send(true);
                    return std::future::pending().await;
                }
                Err(failure) => {
                    tracing::error!("the changed configuration cannot be used, the old one goes on:\n{failure}");
                }
            }
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Vec<Seen>>> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns when a file looks different; never without `--watch`.
    async fn changed(&self, files: &[PathBuf], seen: &mut Vec<Seen>) {
        if !self.watch {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(EVERY).await;
            let now = fingerprint(&self.paths, files);
            if *seen != now {
                *seen = now;
                return;
            }
        }
    }
}

/// Reads the configuration, and makes of it what can be run in place of what runs. Blocking.
fn load(paths: &[PathBuf], fixed_before: &Fixed) -> Result<Assembled, Failure> {
    let assembled = assemble(paths, Purpose::Run)?;
    let now = fixed(&assembled.pipeline);
    let changed = fixed_before.iter().zip(&now).filter(|(before, now)| before != now);
    let sections: Vec<_> = changed.map(|((section, _), _)| section.to_string()).collect();
    if sections.is_empty() {
        return can_write(&assembled.pipeline).map(|()| assembled).map_err(Failure::config);
    }
    Err(Failure::config(format!("changed: {}; restart for that", sections.join(", "))))
}

/// Fails if dead letters, or the events of a file sink, could not be written: better to go on than to stop at the first of them.
fn can_write(pipeline: &Pipeline) -> Result<(), String> {
    if let DeadLetter::Path(folder) = &pipeline.dead_letter {
        writable(folder).map_err(|problem| format!("`dead_letter`: {problem}"))?;
    }
    let now = SystemClock.now();
    for (name, file) in pipeline.sinks.iter().filter_map(|sink| Some((&sink.name, sink.sink.file_at(now)?))) {
        must_be_file(&file).map_err(|problem| format!("sink `{name}`: `{}`: {problem}", file.display()))?;
        writable(file.parent().unwrap_or(Path::new(""))).map_err(|problem| format!("sink `{name}`: {problem}"))?;
    }
    Ok(())
}

/// What cannot change in a running process, as text to compare: what has been read is kept in the one, the others are in use.
fn fixed(pipeline: &Pipeline) -> Fixed {
    let topics: Vec<_> = pipeline.consumers.iter().map(|spec| (&spec.name, &spec.options)).collect();
    // A ledger is not begun in the middle of a run.
    let needs_no_ledger = crate::consumers::stage(pipeline).is_some();
    [
        ("`state`", format!("{:?}", pipeline.state)),
        ("`api`", format!("{:?}", pipeline.api)),
        ("`telemetry`", format!("{:?}", pipeline.telemetry)),
        ("sources of `type: kafka`, or what stands beside them", format!("{topics:?} {needs_no_ledger}")),
    ]
}

async fn hung_up(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => {
            hangups.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Files that a pipeline is made of, beside its YAML: programs, enrichment tables, what is imported, certificates, secrets.
pub(crate) fn files(pipeline: &Pipeline) -> Vec<PathBuf> {
    let programs = pipeline.transforms.iter().flat_map(|spec| spec.transform.texts()).map(|text| text.file().into());
    let tables = pipeline.enrichment_tables.iter().map(|table| match &table.table {
        Table::Csv { path, .. } | Table::Mmdb { path } => path.clone(),
    });
    let imports = pipeline.imports.iter().flat_map(|spec| export::files(&spec.path).unwrap_or_default());
    programs.chain(tables).chain(imports).chain(pipeline.files.iter().cloned()).collect()
}

/// A file as it looks; `None` if it is not there.
type Seen = (PathBuf, Option<Look>);

/// What tells two states of a file apart, also where its time of change was put back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
    /// What is in it, if that is quickly read; otherwise when the system last touched it.
    content: u64,
}

/// A file is looked into up to this size, bytes.
const SMALL: u64 = 1 << 20;

/// `now`, with what was seen `before` it of the same files: a change between the two is one to come.
fn as_before(mut now: Vec<Seen>, before: &[Seen]) -> Vec<Seen> {
    for (path, look) in &mut now {
        if let Some((_, earlier)) = before.iter().find(|(earlier, _)| earlier == path) {
            look.clone_from(earlier);
        }
    }
    now
}

fn fingerprint(paths: &[PathBuf], files: &[PathBuf]) -> Vec<Seen> {
    let folders = paths.iter().filter_map(|path| fs::read_dir(path).ok());
    let inside = folders.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut all: Vec<Seen> =
        paths.iter().chain(files).cloned().chain(inside).map(|path| (path.clone(), look(&path))).collect();
    all.sort();
    all
}

fn look(path: &Path) -> Option<Look> {
    let metadata = fs::metadata(path).ok()?;
    let small = metadata.is_file() && metadata.len() <= SMALL;
    let content = if small {
        let mut hasher = DefaultHasher::new();
        fs::read(path).ok()?.hash(&mut hasher);
        hasher.finish()
    } else {
        metadata.ctime_nsec().unsigned_abs() ^ metadata.ctime().unsigned_abs().rotate_left(32)
    };
    Some(Look { modified: metadata.modified().ok()?, bytes: metadata.len(), inode: metadata.ino(), content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_although_size_and_time_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipeline.yaml");
        fs::write(&path, "a: 1").unwrap();
        let before = look(&path).unwrap();
        assert_eq!(look(&path), Some(before.clone()));
        fs::write(&path, "a: 2").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(before.modified).unwrap();
        let after = look(&path).unwrap();
        assert_eq!((before.modified, before.bytes), (after.modified, after.bytes));
        assert_ne!(before, after);
    }

    #[test]
    fn what_changes_while_the_configuration_is_read_is_a_change_to_come() {
        let (one, other) = (PathBuf::from("a"), PathBuf::from("b"));
        let now = vec![(one.clone(), None), (other.clone(), None)];
        let look = Look { modified: SystemTime::UNIX_EPOCH, bytes: 1, inode: 1, content: 1 };
        let before = [(one.clone(), Some(look.clone()))];
        assert_eq!(as_before(now, &before), [(one, Some(look)), (other, None)]);
    }
}
