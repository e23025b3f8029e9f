use super::*;
use crate::{compress::Compression, recover::Records};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn lines() -> Format {
    Format { records: Records::Lines, compression: Compression::None, header: Vec::new() }
}

fn log(rotate: Rotate) -> Log {
    Log::new(lines(), rotate)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.ndjson");
    (dir, path)
}

/// Names and contents of a directory.
fn listing(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into())
        })
        .collect();
    files.sort();
    files
}

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// A file that fails where it is told to.
struct Faulty {
    file: File,
    /// Bytes taken before a write fails.
    room: usize,
    sync_fails: bool,
    cut_fails: bool,
}

impl Medium for Faulty {
    fn put(&mut self, block: &[Cow<'_, [u8]>]) -> io::Result<()> {
        let block = block.concat();
        let taken = self.room.min(block.len());
        self.file.put(&[block[..taken].into()])?;
        if taken < block.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.sync_fails { Err(io::Error::other("input/output error")) } else { self.file.sync() }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.cut_fails { Err(io::Error::other("input/output error")) } else { self.file.cut(length) }
    }
}

const FIRST: &str = "{\"a\":1}\n";
const SECOND: &str = "{\"b\":2}\n";

proptest! {
    #[test]
    fn a_failed_write_or_sync_leaves_the_acknowledged_length(room in 0usize..12, sync_fails: bool, cut_fails: bool) {
        let (_dir, path) = home();
        fs::write(&path, FIRST).unwrap();
        let (file, _) = open_or_create(&path, false).unwrap();
        let length = FIRST.len() as u64;
        let result = append_whole(&mut Faulty { file, room, sync_fails, cut_fails }, length, &[SECOND.as_bytes().into()]);
        let held = fs::read_to_string(&path).unwrap();
        match result {
            Ok(()) => {
                prop_assert_eq!(held, [FIRST, SECOND].concat());
                prop_assert!(room >= SECOND.len() && !sync_fails);
            }
            Err(failed) if failed.cut => prop_assert_eq!(held, FIRST),
            Err(_) => {
                // Cutting failed as well: opening the file again leaves whole records only.
                log(Rotate::default()).append(&path, &[SECOND.as_bytes()], at(0)).unwrap();
                let held = fs::read_to_string(&path).unwrap();
                prop_assert!(held == [FIRST, SECOND].concat() || held == [FIRST, SECOND, SECOND].concat(), "{}", held);
            }
        }
    }
}

#[test]
fn a_torn_end_is_kept_beside_the_file_and_what_was_whole_stays() {
    let (dir, path) = home();
    for (found, name, torn) in [("{\"a\":1}\n{\"b", "audit.ndjson", "{\"b"), ("{\"c\"", "other", "{\"c\"")] {
        let path = path.with_file_name(name);
        fs::write(&path, found).unwrap();
        log(Rotate::default()).append(&path, &[b"{}\n"], at(0)).unwrap();
        let whole = found.strip_suffix(torn).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{whole}{{}}\n"));
        assert_eq!(fs::read_to_string(dir.path().join(format!("{name}.torn"))).unwrap(), torn);
    }
}

#[test]
fn a_torn_end_behind_a_link_is_left_to_its_owner() {
    let (dir, path) = home();
    let victim = dir.path().join("victim");
    fs::write(&victim, "no newline at the end").unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    let error = log(Rotate::default()).append(&path, &[b"{}\n"], at(0)).unwrap_err().to_string();
    assert!(error.contains("symbolic link"), "{error}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "no newline at the end");
    // What ends well is continued, wherever it is.
    fs::write(&victim, FIRST).unwrap();
    log(Rotate::default()).append(&path, &[SECOND.as_bytes()], at(0)).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), [FIRST, SECOND].concat());
    // Nor is the torn part written through one.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "{\"c\"").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join("audit.ndjson.torn")).unwrap();
    log(Rotate::default()).append(&path, &[b"{}\n"], at(0)).unwrap_err();
    assert_eq!(fs::read_to_string(&victim).unwrap(), [FIRST, SECOND].concat());
}

#[test]
fn files_and_directories_are_for_their_owner_only() {
    let (dir, _) = home();
    let path = dir.path().join("a/b/audit.ndjson");
    log(Rotate::default()).append(&path, &[b"{}\n"], at(0)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir.path().join("a/b")), 0o700);
    assert_eq!(mode(&dir.path().join("a")), 0o700);
}

#[test]
fn it_rotates_before_a_file_would_grow_too_large() {
    let (dir, path) = home();
    let mut log = log(Rotate { max_bytes: Some(10), every: None });
    for (second, text) in [(0, "1234\n"), (1, "5678\n"), (2, "9\n"), (2, "larger than ten\n"), (2, "x\n")] {
        log.append(&path, &[text.as_bytes()], at(second)).unwrap();
    }
    let expected = [
        ("audit.20270115T080002Z-1.ndjson", "9\n"),
        ("audit.20270115T080002Z-2.ndjson", "larger than ten\n"),
        ("audit.20270115T080002Z.ndjson", "1234\n5678\n"),
        ("audit.ndjson", "x\n"),
    ];
    // Within one second the number tells the order.
    assert_eq!(listing(dir.path()), pairs(&expected));
}

#[test]
fn it_rotates_when_the_time_enters_another_span_also_across_a_restart() {
    let (dir, path) = home();
    let hourly = Rotate { max_bytes: None, every: Some(TimeDelta::hours(1)) };
    let mut first = log(hourly);
    first.append(&path, &[b"1\n"], at(0)).unwrap();
    first.append(&path, &[b"2\n"], at(3599)).unwrap();
    first.append(&path, &[b"3\n"], at(3600)).unwrap();
    drop(first);
    let file = File::options().append(true).open(&path).unwrap();
    file.set_modified(at(3600).into()).unwrap();
    let mut second = log(hourly);
    second.append(&path, &[b"4\n"], at(3700)).unwrap();
    drop(second);
    file.set_modified(at(3700).into()).unwrap();
    log(hourly).append(&path, &[b"5\n"], at(7300)).unwrap();
    let expected = [
        ("audit.20270115T090000Z.ndjson", "1\n2\n"),
        ("audit.20270115T100140Z.ndjson", "3\n4\n"),
        ("audit.ndjson", "5\n"),
    ];
    assert_eq!(listing(dir.path()), pairs(&expected));
}

#[test]
fn each_csv_file_has_one_header_and_other_columns_begin_another_file() {
    let (dir, path) = home();
    let csv = |header: &str| Format { records: Records::Csv, header: header.as_bytes().to_vec(), ..lines() };
    Log::new(csv("id\r\n"), Rotate::default()).append(&path, &[b"1\r\n"], at(0)).unwrap();
    Log::new(csv("id\r\n"), Rotate::default()).append(&path, &[b"2\r\n"], at(0)).unwrap();
    Log::new(csv("id,text\r\n"), Rotate::default()).append(&path, &[b"3,a\r\n"], at(0)).unwrap();
    let expected = [("audit.20270115T080000Z.ndjson", "id\r\n1\r\n2\r\n"), ("audit.ndjson", "id,text\r\n3,a\r\n")];
    assert_eq!(listing(dir.path()), pairs(&expected));
}

#[test]
fn a_file_moved_or_removed_by_someone_else_is_replaced_at_once() {
    let (dir, path) = home();
    let mut log = log(Rotate::default());
    log.append(&path, &[b"1\n"], at(0)).unwrap();
    fs::rename(&path, dir.path().join("moved")).unwrap();
    log.append(&path, &[b"2\n"], at(0)).unwrap();
    fs::remove_file(&path).unwrap();
    log.append(&path, &[b"3\n"], at(0)).unwrap();
    fs::write(&path, "").unwrap();
    log.append(&path, &[b"4\n"], at(0)).unwrap();
    assert_eq!(listing(dir.path()), pairs(&[("audit.ndjson", "4\n"), ("moved", "1\n")]));
}

#[test]
fn a_second_writer_is_kept_out_until_the_first_has_gone() {
    let (_dir, path) = home();
    let mut first = log(Rotate::default());
    let mut second = log(Rotate::default());
    first.append(&path, &[b"1\n"], at(0)).unwrap();
    let error = second.append(&path, &[b"2\n"], at(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    second.append(&path, &[b"2\n"], at(0)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
}

#[test]
fn errors_say_what_failed_where_and_what_to_do() {
    let (dir, path) = home();
    fs::create_dir(&path).unwrap();
    let error = log(Rotate::default()).append(&path, &[b"1\n"], at(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    assert!(error.to_string().contains("audit.ndjson`") && error.to_string().contains("must name a file"), "{error}");
    fs::write(dir.path().join("file"), "").unwrap();
    let error = log(Rotate::default()).append(&dir.path().join("file/below"), &[b"1\n"], at(0)).unwrap_err();
    assert!(error.to_string().starts_with("cannot create the directory of `"), "{error}");
}
