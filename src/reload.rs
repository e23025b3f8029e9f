//! Taking over a changed configuration without a restart: at SIGHUP, and with `--watch` when one of its files changes.

use crate::{
    Failure,
    assemble::{Assembled, Purpose, assemble},
};
use headwater_config::{Pipeline, Table};
use headwater_runtime::export;
use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How often `--watch` looks at the files. Looking costs one system call per file, and works on every file system.
const EVERY: Duration = Duration::from_secs(1);

/// Where the configuration comes from, and what of it cannot change.
pub(crate) struct Reload {
    paths: Vec<PathBuf>,
    watch: bool,
    fixed: [(&'static str, String); 4],
}

impl Reload {
    pub(crate) fn new(paths: &[PathBuf], watch: bool, pipeline: &Pipeline) -> Self {
        Self { paths: paths.to_vec(), watch, fixed: fixed(pipeline) }
    }

    /// Waits until there is another configuration that can be run, leaves it in `next`, and stops the pipeline. One that
    /// cannot be run is reported, and the old one goes on.
    pub(crate) async fn wait(
        &self,
        files: Vec<PathBuf>,
        stop: &watch::Sender<bool>,
        next: &mut Option<Assembled>,
    ) -> Infallible {
        let mut hangups = signal(SignalKind::hangup()).ok();
        let mut seen = fingerprint(&self.paths, &files);
        loop {
            tokio::select! {
                () = hung_up(&mut hangups) => {}
                () = self.changed(&files, &mut seen) => {}
            }
            match tokio::task::block_in_place(|| self.load()) {
                Ok(assembled) => {
                    assembled.log_warnings();
                    tracing::info!("the configuration has changed: the pipeline goes on with the new one");
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

    fn load(&self) -> Result<Assembled, Failure> {
        let assembled = assemble(&self.paths, Purpose::Run)?;
        let now = fixed(&assembled.pipeline);
        let changed = self.fixed.iter().zip(&now).filter(|(before, now)| before != now);
        let sections: Vec<_> = changed.map(|((section, _), _)| section.to_string()).collect();
        if sections.is_empty() {
            return Ok(assembled);
        }
        Err(Failure::config(format!("changed: {}; restart for that", sections.join(", "))))
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

/// What cannot change in a running process, as text to compare: what has been read is kept in the one, the others are in use.
fn fixed(pipeline: &Pipeline) -> [(&'static str, String); 4] {
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

async fn hung_up(hangups: &mut Option<tokio::signal::unix::Signal>) {
    match hangups {
        Some(hangups) => {
            hangups.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Files that a pipeline is made of, beside its YAML: programs, enrichment tables, and what is imported.
pub(crate) fn files(pipeline: &Pipeline) -> Vec<PathBuf> {
    let programs = pipeline.transforms.iter().flat_map(|spec| spec.transform.texts()).map(|text| text.file().into());
    let tables = pipeline.enrichment_tables.iter().map(|table| match &table.table {
        Table::Csv { path, .. } | Table::Mmdb { path } => path.clone(),
    });
    let imports = pipeline.imports.iter().flat_map(|spec| export::files(&spec.path).unwrap_or_default());
    programs.chain(tables).chain(imports).collect()
}

/// A file as it looks from outside; `None` if it is not there.
type Seen = (PathBuf, Option<(SystemTime, u64)>);

fn fingerprint(paths: &[PathBuf], files: &[PathBuf]) -> Vec<Seen> {
    let folders = paths.iter().filter_map(|path| fs::read_dir(path).ok());
    let inside = folders.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut all: Vec<Seen> =
        paths.iter().chain(files).cloned().chain(inside).map(|path| (path.clone(), look(&path))).collect();
    all.sort();
    all
}

fn look(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
