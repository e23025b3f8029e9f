//! Whether a folder can be written to.

use headwater_contracts::files::must_be_folder;
use std::{
    fs::{self, File},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Looks at one folder may go on at the same time.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// Fails if no file can be made in `folder`; where it is not there yet, in the one that it would be made in. Leaves nothing behind.
pub fn writable(folder: &Path) -> Result<(), String> {
    must_be_folder(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    let there = folder.ancestors().find(|path| path.as_os_str().is_empty() || path.exists()).unwrap_or(folder);
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let look = LOOKS.fetch_add(1, Ordering::Relaxed);
    let probe = there.join(format!(".headwater-check-{}-{look}", std::process::id()));
    let made = File::create_new(&probe);
    let removed = made.and_then(|_| fs::remove_file(&probe));
    removed.map_err(|error| format!("cannot write in `{}`: {error}", there.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_judged_by_the_one_it_would_be_in() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable(dir.path()), Ok(()));
        assert_eq!(writable(&dir.path().join("a/b")), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(writable(&dir.path().join("file/b")).unwrap_err().contains("not a folder"));
        assert!(writable(Path::new("/proc/1/no")).is_err());
    }
}
