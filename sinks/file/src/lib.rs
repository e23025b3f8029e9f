//! Events to files: NDJSON or CSV, synced to disk before they are acknowledged, rotated, compressed.
//!
//! | what | how |
//! |---|---|
//! | acknowledged | after `fdatasync`; a new file's directory is synced too |
//! | never half | a failed batch is cut off again; a batch that a crash tore goes to a `.torn` file at the next start |
//! | never overwritten | data is appended only; a file that cannot be continued is set aside under a new name |
//! | one writer | the file is locked while it is open |
//! | compressed | each batch is a gzip member or zstd frame of its own, so that a file is readable at any moment |
//!
//! The same machinery keeps the dead letters: [`DeadLetterFile`].

mod compress;
mod dead_letter;
mod encode;
mod log;
mod recover;
mod sink;
mod template;
mod writable;

pub use compress::Compression;
pub use dead_letter::{DeadLetter, DeadLetterFile, Elsewhere};
pub use sink::{Encoding, FileConfig, FileSink, RotateOptions};
pub use writable::writable;
