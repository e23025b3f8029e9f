//! What people see: every file of `tests/diagnostics` with the text it must give. `UPDATE_GOLDEN=1` writes the texts.

mod common;

use headwater_config::read_texts;
use std::{fs, path::Path};

#[test]
fn every_bad_file_gives_its_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    assert!(files.len() >= 8, "the golden files are not there");
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let loaded =
            read_texts(&common::text(name, &fs::read_to_string(&path).unwrap()), &common::registry(), common::strict());
        let found = loaded.diagnostics.to_string();
        assert!(!found.contains("s3cret"), "{name} shows a secret:\n{found}");
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if expected != found {
            wrong.push(format!("== {name}: expected\n{expected}== found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
