//! Files and folders that people name: what else may stand in their place, and is never opened. A pipe would be waited for, for ever.

use std::{
    fs::{self, File, FileType},
    io::{self, ErrorKind, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

/// Opens a file to be read. What is no file is an error that says what it is.
pub fn open_file(path: &Path) -> io::Result<File> {
    must_be_file(path)?;
    File::open(path)
}

/// Reads a whole file, likewise.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of text, likewise.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_file(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Fails if something else than a file is at `path`. What is not there is no failure.
pub fn must_be_file(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    // A pipe that was handed over has somebody at its other end: `<(command)` of a shell, a credential of a service manager.
    let handed_over = ["/dev/fd", "/dev/stdin", "/proc"].iter().any(|place| path.starts_with(place));
    if found.is_file() || handed_over && !found.is_dir() {
        return Ok(());
    }
    let kind = if found.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
    Err(io::Error::new(kind, format!("it is {}, and not a file: name a file", name(found.file_type()))))
}

/// Fails if something else than a folder is at `path`, or at a place above it. What is not there is no failure.
pub fn must_be_folder(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let Some((there, found)) = there.filter(|(_, found)| !found.is_dir()) else { return Ok(()) };
    let what = if there == path { "it".to_owned() } else { format!("`{}`", there.display()) };
    let kind = name(found.file_type());
    Err(io::Error::new(
        ErrorKind::NotADirectory,
        format!("{what} is {kind}, and not a folder: name a folder, or move that away"),
    ))
}

/// What a person calls it.
fn name(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_file() => "a file",
        _ if kind.is_fifo() => "a named pipe (FIFO)",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_no_file_is_named_and_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _listener = UnixListener::bind(at("socket")).unwrap();
        assert_eq!(read_text(&at("file")).unwrap(), "text");
        for (path, what) in [
            (at(""), "a folder"),
            (at("pipe"), "a named pipe (FIFO)"),
            (at("socket"), "a socket"),
            ("/dev/zero".into(), "a device"),
        ] {
            let error = read_file(&path).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("name a file"), "{error}");
        }
        assert_eq!(read_file(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(must_be_folder(dir.path()).is_ok() && must_be_folder(&dir.path().join("none/below")).is_ok());
        assert!(must_be_folder(&file).unwrap_err().to_string().starts_with("it is a file, and not a folder"));
        let below = must_be_folder(&file.join("below")).unwrap_err().to_string();
        assert!(below.contains("file` is a file, and not a folder"), "{below}");
    }
}
