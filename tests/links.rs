//! Links from one page of the project to another lead somewhere, and tests that a page names exist.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

/// The files of a folder and of those below it whose names end so.
fn files(folder: &Path, wanted: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, wanted, found);
        } else if path.extension().is_some_and(|extension| extension == wanted) {
            found.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a page links to, `](here#part)`, without addresses of other sites.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains(':') && !target.contains(char::is_whitespace) && !target.starts_with('#'))
}

#[test]
fn links_lead_to_files() {
    let mut found = Vec::new();
    files(root(), "md", &mut found);
    assert!(found.len() > 20, "{found:?}");
    let (mut dead, mut alive) = (Vec::new(), 0);
    for page in found {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let file = link.split_once('#').map_or(link, |(file, _)| file);
            if page.parent().unwrap().join(file).exists() {
                alive += 1;
            } else {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty() && alive > 50, "{alive} lead somewhere; {dead:#?}");
}

/// The names of all tests of the project.
fn tests() -> HashSet<String> {
    let mut sources = Vec::new();
    files(root(), "rs", &mut sources);
    let texts = sources.iter().map(|path| fs::read_to_string(path).unwrap());
    let named = |text: String| {
        let behind = ["#[test]", "#[tokio::test"].map(|mark| text.split(mark).skip(1)).into_iter().flatten();
        let name = |rest: &str| rest.split("fn ").nth(1)?.split('(').next().map(str::to_owned);
        behind.filter_map(name).collect::<Vec<_>>()
    };
    texts.flat_map(named).collect()
}

#[test]
fn every_line_of_the_source_documents_is_answered_with_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/source-documents.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let rows = || rows.iter().filter(|row| !row[0].starts_with("---"));
    let known = tests();
    let mut counted = BTreeMap::<&str, usize>::new();
    for row in rows().filter(|row| row.len() == 4 && row[1] != "served") {
        let (answer, place, tests) = (row[1], row[2], row[3]);
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        for name in &names {
            assert!(known.contains(*name), "{}: there is no test `{name}`", row[0]);
        }
        let shown = matches!(answer, "yes" | "partly");
        assert!(!place.is_empty() && (!shown || !names.is_empty()), "{}: where, and which test shows it?", row[0]);
        *counted.entry(answer).or_default() += 1;
    }
    let said = rows().filter(|row| row.len() == 3 && row[0] != "served");
    let said: BTreeMap<&str, usize> = said.map(|row| (row[0], row[2].parse().unwrap())).collect();
    assert_eq!(counted, said);
    assert_eq!(counted.values().sum::<usize>(), 61);
}
