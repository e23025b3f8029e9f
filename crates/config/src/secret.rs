//! Secrets by reference: `{ env: X }`, `{ file: path }`, `{ exec: [command, argument] }`.

use crate::{
    LoadOptions, Node,
    environment::{SIMULATED, UNRESOLVED, set_and_empty},
};
use headwater_contracts::files::open_file;
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
    let text = || {
        value
            .text()
            .ok_or_else(|| format!("`{0}` takes text, found {1}: write `{{ {0}: .. }}`", entry.key, value.describe()))
    };
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
            Reference::Env(name) => match options.environment.var(name) {
                Some(value) if value.is_empty() => options.environment.missing(&set_and_empty(name)),
                Some(_) => {}
                None => options.environment.missing(name),
            },
            Reference::File(path) if !node.span.file.resolve(Path::new(path)).exists() => {
                options.environment.missing(path);
            }
            Reference::File(_) | Reference::Exec(_) => {}
        }
        return Ok(unread(node));
    }
    let found = match reference {
        Reference::Env(name) => match options.environment.var(name) {
            Some(value) if value.is_empty() => Err(format!("environment variable `{name}` is set, and empty")),
            Some(value) => Ok(value),
            None => Err(format!("environment variable `{name}` is not set")),
        },
        Reference::File(path) => read(&node.span.file.resolve(Path::new(path)), path),
        Reference::Exec(words) => run(&words, EXEC_TIMEOUT),
    };
    found.or_else(|problem| if options.lenient { Ok(SIMULATED.to_owned()) } else { Err(problem) })
}

/// What stands for a secret that is not read: the same for the same place, so that two can be compared.
fn unread(node: &Node) -> String {
    let place = node.to_json().to_string();
    format!("{UNRESOLVED} {}", place.replace(|c: char| !c.is_ascii_graphic(), "?"))
}

/// What is wrong with a secret that is neither text nor a reference.
pub(crate) fn expected(node: &Node) -> String {
    let meant = match node.entries() {
        [entry] => crate::suggest::closest(&entry.key, ["env", "file", "exec"]),
        _ => None,
    };
    let write = match meant {
        Some("file") => "`{ file: /path/of/the/secret }`",
        Some("exec") => "`{ exec: [command, argument] }`",
        Some(_) => "`{ env: NAME }`",
        None => "`{ env: NAME }`, `{ file: /path/of/the/secret }`, `{ exec: [command, argument] }`, or a text",
    };
    // What stands there may be the secret itself.
    let found = match (node.scalar(), meant, node.entries()) {
        (Some(_), ..) => "nothing".to_owned(),
        (None, Some(_), [entry]) => format!("a mapping with the key `{}`", entry.key),
        _ => node.describe(),
    };
    format!("expected a secret, found {found}: write {write}")
}

/// What is odd about a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remark {
    /// `$NAME`.
    Variable,
    /// `${` is left in it.
    Reference,
    /// It begins with the word that belongs before it in a header.
    Scheme,
    /// It stands in quotes.
    Quoted,
    /// It has blanks around it.
    Blanks,
}

impl Remark {
    /// What is odd, and what to do. Never a part of the secret.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Variable => (
                "is the name of a variable, and is sent as it stands",
                "write `\"${NAME}\"` or `{ env: NAME }` for the variable's value",
            ),
            Self::Reference => (
                "has a `${` left in it, and is sent so",
                "nothing is replaced in the value of a variable or in a secret's file: write the secret itself there",
            ),
            Self::Scheme => (
                "begins with the name of a scheme, such as `Bearer `, which is added when it is sent",
                "write only what follows it",
            ),
            Self::Quoted => (
                "has quotes around it, which are sent with it",
                "take them off where the value is set: outside of YAML quotes are characters",
            ),
            Self::Blanks => ("has blanks around it, which are sent with it", "take them off"),
        }
    }
}

/// Looks at the text of a secret: what cannot be one is an error. Names no part of it.
pub(crate) fn look(text: &str) -> Result<Vec<Remark>, String> {
    if text.trim().is_empty() {
        return Err("is empty: write the secret, or `{ env: NAME }`".to_owned());
    }
    if text.starts_with('\u{feff}') {
        return Err(
            "begins with a byte order mark (U+FEFF), which an editor has put there: save it without one".to_owned()
        );
    }
    if text.ends_with(['\n', '\r']) {
        return Err("has a line break at its end: take it off (`{ file: .. }` does so by itself)".to_owned());
    }
    let mut remarks = Vec::new();
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if text.trim().strip_prefix('$').is_some_and(is_name) {
        remarks.push(Remark::Variable);
    }
    if text.contains("${") {
        remarks.push(Remark::Reference);
    }
    let first = text.trim_start().split_once(char::is_whitespace).map(|(first, _)| first.to_ascii_lowercase());
    if first.is_some_and(|word| ["bearer", "basic", "apikey", "token"].contains(&word.as_str())) {
        remarks.push(Remark::Scheme);
    }
    let inside = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if inside('"') || inside('\'') || (text.starts_with('\u{201c}') && text.ends_with('\u{201d}')) {
        remarks.push(Remark::Quoted);
    }
    if text.trim() != text {
        remarks.push(Remark::Blanks);
    }
    Ok(remarks)
}

fn read(path: &Path, shown: &str) -> Result<String, String> {
    let problem = |why: String| format!("cannot read the secret file `{shown}`: {why}");
    let mut bytes = Vec::new();
    let file = open_file(path).map_err(|e| problem(e.to_string()))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| problem(e.to_string()))?;
    let text = text(bytes).map_err(|why| problem(why.into()))?;
    // As an editor of Windows writes it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
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
    fn odd_secrets_are_noticed_and_usual_ones_are_not() {
        let odd = |text: &str| look(text).unwrap();
        assert_eq!(odd("$PACTFLOW_TOKEN"), [Remark::Variable]);
        assert_eq!(odd("${TOKEN}"), [Remark::Reference]);
        assert_eq!(odd("a${B:-c}"), [Remark::Reference]);
        assert_eq!(odd("Bearer abc"), [Remark::Scheme]);
        assert_eq!(odd("basic YTpi"), [Remark::Scheme]);
        assert_eq!(odd("'abc'"), [Remark::Quoted]);
        assert_eq!(odd("\"abc\""), [Remark::Quoted]);
        assert_eq!(odd(" abc"), [Remark::Blanks]);
        for usual in ["abc", "p$ss", "$2b$10$N9qo8uLO", "$1", "pass word", "bearer", "{\"a\":1}", "0123", "\""] {
            assert_eq!(odd(usual), [], "{usual}");
        }
        for wrong in ["", "  ", "\n", "\u{feff}abc", "abc\n", "abc\r\n"] {
            let problem = look(wrong).unwrap_err();
            assert!(!problem.contains("abc"), "{problem}");
        }
    }

    #[test]
    fn a_file_loses_one_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "abc \n\n").unwrap();
        assert_eq!(read(&path, "secret").as_deref(), Ok("abc \n"));
        std::fs::write(&path, "\u{feff}abc\r\n").unwrap();
        assert_eq!(read(&path, "secret").as_deref(), Ok("abc"));
        std::fs::write(&path, "\n").unwrap();
        assert!(read(&path, "secret").unwrap_err().contains("empty"));
        assert!(read(&folder.path().join("none"), "none").unwrap_err().contains("`none`"));
    }
}
