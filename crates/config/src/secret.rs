//! Secrets by reference: `{ env: X }`, `{ file: path }`, `{ exec: [command, argument] }`.

use crate::{
    LoadOptions, Node,
    environment::{SIMULATED, UNRESOLVED},
};
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long a command may take.
const EXEC_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether it has ended, once it has closed its output.
const EXEC_POLL: Duration = Duration::from_millis(5);
/// No secret is longer.
const BYTES_MAX: u64 = 1 << 20;

/// Where a secret is.
enum Reference<'a> {
    Env(&'a str),
    File(&'a str),
    Exec(Vec<&'a str>),
}

/// Whether `node` has the shape of a reference: one key, `env`, `file` or `exec`.
pub(crate) fn is_reference(node: &Node) -> bool {
    matches!(node.entries(), [entry] if matches!(entry.key.as_str(), "env" | "file" | "exec"))
}

fn reference(node: &Node) -> Result<Reference<'_>, String> {
    let [entry] = node.entries() else { return Err("a secret reference has one key".into()) };
    let value = &entry.value;
    let text = || value.text().ok_or_else(|| format!("`{}` takes text, found {}", entry.key, value.describe()));
    match entry.key.as_str() {
        "env" => text().map(Reference::Env),
        "file" => text().map(Reference::File),
        _ => {
            let words: Option<Vec<&str>> =
                value.items().iter().map(|item| item.scalar().map(|s| s.text.as_str())).collect();
            words
                .filter(|words| !words.is_empty())
                .map(Reference::Exec)
                .ok_or_else(|| "`exec` takes a command and its arguments: write `[command, argument]`".to_owned())
        }
    }
}

/// The file that a secret is in, if `node` says so.
pub(crate) fn file(node: &Node) -> Option<PathBuf> {
    match reference(node).ok()? {
        Reference::File(path) => Some(node.span.file.resolve(Path::new(path))),
        Reference::Env(_) | Reference::Exec(_) => None,
    }
}

/// The secret that `node` refers to. The error names the place of the secret and never a part of it.
pub(crate) fn resolve(node: &Node, options: &LoadOptions<'_>) -> Result<String, String> {
    let reference = reference(node)?;
    if !options.resolve_secrets {
        match reference {
            Reference::Env(name) if options.environment.var(name).is_none() => options.environment.missing(name),
            Reference::File(path) if !node.span.file.resolve(Path::new(path)).exists() => {
                options.environment.missing(path);
            }
            _ => {}
        }
        return Ok(UNRESOLVED.to_owned());
    }
    let found = match reference {
        Reference::Env(name) => options
            .environment
            .var(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("environment variable `{name}` is not set")),
        Reference::File(path) => read(&node.span.file.resolve(Path::new(path)), path),
        Reference::Exec(words) => run(&words, EXEC_TIMEOUT),
    };
    found.or_else(|problem| if options.lenient { Ok(SIMULATED.to_owned()) } else { Err(problem) })
}

fn read(path: &Path, shown: &str) -> Result<String, String> {
    let problem = |why: String| format!("cannot read the secret file `{shown}`: {why}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| problem(e.to_string()))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| problem(e.to_string()))?;
    let text = text(bytes).map_err(|why| problem(why.into()))?;
    let end = text.strip_suffix('\n').map_or(text.as_str(), |rest| rest.strip_suffix('\r').unwrap_or(rest));
    if end.is_empty() { Err(problem("it is empty".into())) } else { Ok(end.to_owned()) }
}

fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err("it is longer than 1 MiB");
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8")
}

/// Runs a command and takes its standard output, trimmed. What it prints is shown nowhere.
fn run(words: &[&str], timeout: Duration) -> Result<String, String> {
    let (name, arguments) = words.split_first().ok_or("`exec` is empty")?;
    let problem = |why: &str| format!("the secret command `{name}` {why}");
    let mut child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| problem(&format!("cannot be run: {e}")))?;
    let outcome = output(&mut child, timeout);
    // Ended already in the good case; then this does nothing.
    let _ = child.kill();
    let _ = child.wait();
    let (bytes, status) = outcome.map_err(|why| problem(&why))?;
    if !status.success() {
        return Err(problem(&format!("failed: {status}")));
    }
    let text = text(bytes).map_err(|why| problem(&format!("gave no usable output: {why}")))?;
    let text = text.trim();
    if text.is_empty() { Err(problem("printed nothing")) } else { Ok(text.to_owned()) }
}

fn output(child: &mut Child, timeout: Duration) -> Result<(Vec<u8>, std::process::ExitStatus), String> {
    let deadline = Instant::now() + timeout;
    let late = || format!("did not end within {} s", timeout.as_secs());
    let stdout = child.stdout.take().ok_or("has no output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = stdout.take(BYTES_MAX + 1).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody listens any more once the time is up.
        let _ = sender.send(result);
    });
    let bytes = receiver.recv_timeout(timeout).map_err(|_| late())?.map_err(|e| e.to_string())?;
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok((bytes, status));
        }
        if Instant::now() >= deadline {
            return Err(late());
        }
        std::thread::sleep(EXEC_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gives_its_trimmed_output_or_its_name() {
        assert_eq!(run(&["echo", " s3cret "], EXEC_TIMEOUT).as_deref(), Ok("s3cret"));
        let failed = run(&["sh", "-c", "echo s3cret; exit 3"], EXEC_TIMEOUT).unwrap_err();
        assert!(failed.contains("`sh` failed") && failed.contains('3') && !failed.contains("s3cret"), "{failed}");
        assert!(run(&["no-such-command-here"], EXEC_TIMEOUT).unwrap_err().contains("cannot be run"));
        assert!(run(&["true"], EXEC_TIMEOUT).unwrap_err().contains("printed nothing"));
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let hung = run(&["sleep", "30"], Duration::from_millis(20)).unwrap_err();
        assert!(hung.contains("did not end"), "{hung}");
    }

    #[test]
    fn a_file_loses_one_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "abc \n\n").unwrap();
        assert_eq!(read(&path, "secret").as_deref(), Ok("abc \n"));
        std::fs::write(&path, "\n").unwrap();
        assert!(read(&path, "secret").unwrap_err().contains("empty"));
        assert!(read(&folder.path().join("none"), "none").unwrap_err().contains("`none`"));
    }
}
