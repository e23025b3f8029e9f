//! The sink: options, and `deliver`.

use crate::{
    compress::Compression,
    encode::Encoder,
    log::{Log, Rotate},
    recover::{Format, Records},
    template::Template,
    writable::writable,
};
use async_trait::async_trait;
use headwater_contracts::{
    ByteSize, ConfigError, Delivery, Destination, Encode, Event, Period, Sink, SinkConfig, SinkError, Timestamp,
    files::must_be_file,
};
use headwater_sink_kit::{Background, Formulas, csv_record, pieces};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Appends events to files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file to append to. May hold strftime placeholders such as `%Y-%m-%d`, filled in with the time of writing,
    /// UTC. Directories are created. From the folder of the YAML file if relative.
    #[serde(deserialize_with = "headwater_contracts::from_file::template")]
    pub path: String,
    /// What a record is: `ndjson`, one JSON value per line, or `csv`, one row per event. Default: `ndjson`.
    #[serde(default)]
    pub encoding: Encoding,
    /// The columns of `encoding: csv`, in order: VRL paths such as `metadata.uid`. They are the header line as well.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What becomes of a cell of `encoding: csv` that a spreadsheet would take for a formula: `keep` writes it as it is, `escape` with a
    /// `'` before it, and control characters as `\u{1b}`. Default: `keep`.
    #[serde(default)]
    pub csv_formulas: Formulas,
    /// When to begin another file. Default: never, other than by `path`.
    #[serde(default)]
    pub rotate: RotateOptions,
    /// How the file is compressed: `none`, `gzip` or `zstd`. Default: `none`.
    #[serde(default)]
    pub compression: Compression,
}

/// What a record is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// One JSON value per line.
    #[default]
    Ndjson,
    /// One row per event, RFC 4180, with a header line.
    Csv,
}

/// When to begin another file. The full one is renamed: the time of the rotation goes before its extension.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateOptions {
    /// Before the file would grow beyond this size, as compressed. A batch is never split.
    pub max_bytes: Option<ByteSize>,
    /// With the first batch of each such span, counted from 1970-01-01T00:00:00Z: `1h` rotates on the hour, `1d` at
    /// midnight UTC.
    pub every: Option<Period>,
}

impl FileConfig {
    /// Checks the options. Touches no file.
    pub fn sink(self) -> Result<FileSink, ConfigError> {
        let path = Template::parse(&self.path).map_err(|problem| ConfigError::new("path", problem))?;
        if self.rotate.max_bytes == Some(ByteSize(0)) {
            return Err(ConfigError::new("rotate.max_bytes", "must be more than 0"));
        }
        if self.rotate.every.is_some_and(|every| every.to_std().is_zero()) {
            return Err(ConfigError::new("rotate.every", "must be longer than `0s`"));
        }
        let (encoder, records, header) = match self.encoding {
            Encoding::Ndjson if !self.columns.is_empty() => {
                return Err(ConfigError::new("columns", "are for `encoding: csv` only"));
            }
            Encoding::Ndjson => (Encoder::Ndjson, Records::Lines, Vec::new()),
            Encoding::Csv if self.columns.is_empty() => {
                return Err(ConfigError::new(
                    "columns",
                    "are missing: `encoding: csv` needs a list of paths such as `[time, metadata.uid]`",
                ));
            }
            Encoding::Csv => {
                let paths = self.columns.iter().enumerate().map(|(i, column)| {
                    headwater_contracts::path(column).ok_or_else(|| {
                        let field = format!("columns.{i}");
                        ConfigError::new(field, format!("`{column}` is not a path such as `metadata.uid` or `a[0].b`"))
                    })
                });
                let paths = paths.collect::<Result<_, _>>()?;
                let header = csv_record(&self.columns).map_err(|problem| ConfigError::new("columns", problem))?;
                (Encoder::Csv(paths, self.csv_formulas), Records::Csv, header)
            }
        };
        let format = Format { records, compression: self.compression, header };
        let rotate = Rotate {
            max_bytes: self.rotate.max_bytes.map(|size| size.0),
            every: self.rotate.every.map(|every| every.0),
        };
        let log = Background::new(Log::new(format, rotate));
        Ok(FileSink { path, encoder: Arc::new(encoder), log, now: Arc::new(chrono::Utc::now) })
    }
}

impl SinkConfig for FileConfig {
    const TYPE: &'static str = "file";

    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        Ok(Box::new(self.sink()?))
    }
}

/// The sink.
pub struct FileSink {
    path: Template,
    encoder: Arc<Encoder>,
    log: Background<Log, io::Result<()>>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl FileSink {
    /// Takes the time from `now` instead of the system's clock.
    #[must_use]
    pub fn with_clock(self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), ..self }
    }
}

#[async_trait]
impl Sink for FileSink {
    fn encoder(&self) -> Option<Arc<dyn Encode>> {
        Some(self.encoder.clone())
    }

    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        let now = (self.now)();
        let path = self.path.at(now);
        let (records, rejected) = pieces(&*self.encoder, events);
        match self.log.run(move |log| log.append(&path, &records, now)).await {
            Some(Ok(())) => Ok(Delivery { rejected }),
            Some(Err(error)) => Err(failure(&error)),
            None => Err(SinkError::Fatal("the thread that writes the file has failed: this is a bug".to_owned())),
        }
    }

    /// Writes nothing: a file that is there may be another's, and one that is not would be left behind.
    async fn probe(&mut self, _: Period) -> Result<String, String> {
        let path = self.path.at((self.now)());
        must_be_file(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        writable(path.parent().unwrap_or(Path::new("")))?;
        if path.exists() {
            let opened = std::fs::OpenOptions::new().append(true).open(&path);
            opened.map_err(|error| format!("cannot write to `{}`: {error}", path.display()))?;
        }
        Ok(format!("`{}` can be written", path.display()))
    }

    fn destination(&self) -> Option<Destination> {
        let address = format!("`{}`", self.path.at((self.now)()).display());
        Some(Destination { address, is_outside: false, simulated: None })
    }

    fn file_at(&self, now: Timestamp) -> Option<PathBuf> {
        Some(self.path.at(now))
    }

    /// Waits for the end of a batch whose delivery was given up; everything else is on disk already.
    async fn close(&mut self) -> Result<(), SinkError> {
        self.log.run(|_| Ok(())).await;
        Ok(())
    }
}

/// What a person must change is fatal, so that it is seen at once; what passes or is freed is tried again.
fn failure(error: &io::Error) -> SinkError {
    match error.kind() {
        ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidFilename
        | ErrorKind::PermissionDenied => SinkError::Fatal(error.to_string()),
        _ => SinkError::Retry { reason: error.to_string(), after: None },
    }
}
