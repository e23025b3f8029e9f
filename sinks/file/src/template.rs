//! Names of files: the `path` template, and the name a file is rotated to.

use chrono::format::{Item, StrftimeItems};
use headwater_contracts::Timestamp;
use std::path::{Path, PathBuf};

/// A path with strftime placeholders, such as `audit/%Y/%m-%d.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(String);

impl Template {
    /// Checks the placeholders.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.ends_with('/') {
            return Err(format!("`{text}` names no file: write a path such as `audit/%Y-%m-%d.ndjson`"));
        }
        if text.contains("{{") {
            return Err(format!(
                "`{text}` holds `{{{{`: fields of the event cannot be part of the path; route events to several file \
                 sinks instead"
            ));
        }
        if StrftimeItems::new(text).any(|item| item == Item::Error) {
            return Err(format!(
                "`{text}` holds an unknown placeholder: `%Y`, `%m`, `%d`, `%H`, `%M`, `%j`, `%s` and the others of \
                 strftime are known; a percent sign is `%%`"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path at an instant, UTC.
    pub(crate) fn at(&self, now: Timestamp) -> PathBuf {
        now.format(&self.0).to_string().into()
    }
}

/// A name beside `path` that no file has: `audit.ndjson.gz` becomes `audit.20261122T031500Z.ndjson.gz`, then
/// `audit.20261122T031500Z-1.ndjson.gz` and so on.
pub(crate) fn set_aside(path: &Path, now: Timestamp) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A leading dot is part of the name.
    let dot = name.char_indices().skip(1).find_map(|(i, c)| (c == '.').then_some(i)).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let time = now.format("%Y%m%dT%H%M%SZ");
    let mut candidate = path.with_file_name(format!("{stem}.{time}{extension}"));
    let mut number = 0;
    // `symlink_metadata`: a dangling link is a name in use as well.
    while candidate.symlink_metadata().is_ok() {
        number += 1;
        candidate = path.with_file_name(format!("{stem}.{time}-{number}{extension}"));
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noon() -> Timestamp {
        "2026-11-22T12:00:30Z".parse().unwrap()
    }

    #[test]
    fn placeholders_take_the_time_of_writing_in_utc() {
        let path = |text| Template::parse(text).unwrap().at(noon());
        assert_eq!(path("a/%Y/%m-%d/%H.ndjson"), Path::new("a/2026/11-22/12.ndjson"));
        assert_eq!(path("100%%.ndjson"), Path::new("100%.ndjson"));
        assert_eq!(path("plain"), Path::new("plain"));
    }

    #[test]
    fn what_cannot_be_a_path_is_refused_with_a_hint() {
        let problem = |text| Template::parse(text).unwrap_err();
        assert!(problem("a/%Q.ndjson").contains("unknown placeholder"));
        assert!(problem("a/{{ source }}.ndjson").contains("several file sinks"));
        assert!(problem("").contains("names no file"));
        assert!(problem("a/").contains("names no file"));
    }

    #[test]
    fn a_rotated_name_is_free_and_keeps_the_extensions() {
        let dir = tempfile::tempdir().unwrap();
        let aside = |name: &str| {
            let path = set_aside(&dir.path().join(name), noon());
            path.file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(aside("audit.ndjson.gz"), "audit.20261122T120030Z.ndjson.gz");
        assert_eq!(aside("audit"), "audit.20261122T120030Z");
        assert_eq!(aside(".audit.log"), ".audit.20261122T120030Z.log");
        std::fs::write(dir.path().join("audit.20261122T120030Z"), "").unwrap();
        assert_eq!(aside("audit"), "audit.20261122T120030Z-1");
    }

    proptest! {
        #[test]
        fn no_template_panics(text in ".{0,30}") {
            if let Ok(template) = Template::parse(&text) {
                let _ = set_aside(&template.at(noon()), noon());
            }
        }
    }
}
