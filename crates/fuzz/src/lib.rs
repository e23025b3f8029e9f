//! What reads bytes that others wrote, under bytes that nobody would write: each target takes any input, and panics where a
//! promise is broken. `crates/fuzz/run` searches for such inputs with libFuzzer, guided by coverage; the tests try the seeds and random
//! changes of them.
//!
//! | target | bytes | promise |
//! |---|---|---|
//! | `pages` | an answer, and how it is cut | cut anywhere, it gives the same elements; put together again, they are the answer |
//! | `scans` | a provider's answers, one after the other | a plugin takes or refuses each, and claims no time that has not been |
//! | `configuration` | YAML | it is a pipeline, or the problems have a place in it |
//! | `words` | a duration, a size, an instant, a template | what is read is written so that it is read the same |
#![allow(clippy::panic)] // how a broken promise is told

mod configuration;
mod pages;
mod scans;
mod words;

use std::{fs, io, path::Path};

/// Something that takes any bytes.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes an input; panics where a promise is broken.
    pub run: fn(&[u8]),
    /// What a search begins with.
    pub seeds: fn() -> io::Result<Vec<Vec<u8>>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "pages", run: pages::run, seeds: pages::seeds },
    Target { name: "scans", run: scans::run, seeds: scans::seeds },
    Target { name: "configuration", run: configuration::run, seeds: configuration::seeds },
    Target { name: "words", run: words::run, seeds: words::seeds },
];

impl Target {
    /// Writes the seeds into a folder.
    pub fn plant(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for (number, seed) in (self.seeds)()?.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
        Ok(())
    }
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The files below a folder of the checkout whose names end so.
fn files(folder: &str, end: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(fs::read(path)?);
            }
        }
    }
    Ok(found)
}
