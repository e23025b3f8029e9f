//! Compression: every block is complete in itself, and blocks in a row are one valid file.

use flate2::{Compression as Level, write::GzEncoder};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    borrow::Cow,
    io::{self, Write},
};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952), one member per batch.
    Gzip,
    /// Zstandard (RFC 8878), one frame with a checksum per batch.
    Zstd,
}

/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The first bytes of a Zstandard frame (RFC 8878, section 3.1.1).
pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

impl Compression {
    /// Records as one block, in pieces to be written one after the other: uncompressed ones are not copied.
    pub(crate) fn block(self, records: &[impl AsRef<[u8]>]) -> io::Result<Vec<Cow<'_, [u8]>>> {
        let records = records.iter().map(AsRef::as_ref);
        let compressed = match self {
            Self::None => return Ok(records.map(Cow::Borrowed).collect()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Level::default());
                records.into_iter().try_for_each(|record| encoder.write_all(record))?;
                encoder.finish()?
            }
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                records.into_iter().try_for_each(|record| encoder.write_all(record))?;
                encoder.finish()?
            }
        };
        Ok(vec![compressed.into()])
    }
}
