//! A server as a child process that does not outlive the test.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// How long the log was when this process began.
    begin: u64,
    /// Kills the server once its standard input closes, and be it because the test was killed.
    guard: Child,
    _lifeline: Option<ChildStdin>,
}

impl Process {
    /// Starts `command`; what it prints is appended to `log`.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Process {
        let output = OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let begin = output.metadata().expect("a log file").len();
        let errors = output.try_clone().expect("a log file");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut guard = Command::new("sh")
            .args(["-c", "read line; kill -KILL \"$0\""])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let lifeline = guard.stdin.take();
        Process { child, log: log.to_owned(), begin, guard, _lifeline: lifeline }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// What the process has printed.
    pub(crate) fn printed(&self) -> String {
        let mut text = Vec::new();
        let mut file = File::open(&self.log).expect("the log file");
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(self.begin))
            .expect("the log file is as long as it was");
        file.read_to_end(&mut text).expect("the log file is readable");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until a line that holds `text` was printed, and returns it.
    pub(crate) fn wait_for(&mut self, text: &str, limit: Duration) -> String {
        let since = Instant::now();
        loop {
            let ended = self.child.try_wait().expect("the state of a child");
            let printed = self.printed();
            // Only whole lines: the last may still be being written.
            if let Some(line) = printed.split_inclusive('\n').find(|line| line.contains(text) && line.ends_with('\n')) {
                return line.trim_end().to_owned();
            }
            let tail: Vec<_> = printed.lines().rev().take(30).collect();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            if let Some(status) = ended {
                panic!("ended with {status} before it printed {text:?}; {} ends so:\n{tail}", self.log.display());
            }
            assert!(
                since.elapsed() < limit,
                "has not printed {text:?} within {limit:?}; {} ends so:\n{tail}",
                self.log.display()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot send SIG{name} to {}", self.child.id());
    }

    /// SIGTERM, then waits for the end.
    pub(crate) fn stop(&mut self, limit: Duration) -> ExitStatus {
        // A paused process takes no other signal.
        self.signal("CONT");
        self.signal("TERM");
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            assert!(since.elapsed() < limit, "has not stopped within {limit:?}; its log: {}", self.log.display());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    /// SIGKILL: a server that was stopped has ended before.
    fn drop(&mut self) {
        // The guard first: it must not kill a later process of the same number.
        for child in [&mut self.guard, &mut self.child] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
