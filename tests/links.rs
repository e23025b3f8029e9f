//! Links from one page of the project to another lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The pages of a folder and of those below it.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// What a page links to, `](here#part)`, without addresses of other sites.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains(':') && !target.contains(char::is_whitespace) && !target.starts_with('#'))
}

#[test]
fn links_lead_to_files() {
    let mut found = Vec::new();
    pages(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
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
