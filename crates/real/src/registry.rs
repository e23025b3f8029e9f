//! Apicurio Registry with its store in memory: a schema registry that speaks Confluent's REST API.

use crate::{
    java::{installed, java},
    process::Process,
};
use std::time::Duration;
use tempfile::TempDir;

/// A schema registry of one test. It ends when this is dropped.
pub struct Registry {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Registry {
    /// Starts one on a free port of 127.0.0.1, and waits until it answers.
    pub fn start() -> Registry {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = java(256);
        command.args(["-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port=0"]);
        // The line that names the port.
        command.args(["-Dquarkus.log.category.\"io.quarkus\".level=INFO", "-jar"]);
        command.arg(installed().join("registry/run.jar")).current_dir(folder.path());
        let mut process = Process::spawn(&mut command, &folder.path().join("registry.log"));
        let line = process.wait_for("Listening on: http://127.0.0.1:", Duration::from_mins(5));
        let port =
            line.rsplit(':').next().map(|port| port.chars().take_while(char::is_ascii_digit).collect::<String>());
        let port = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {line:?}"));
        Registry { process, port, _folder: folder }
    }

    /// The base of Confluent's API: `{url}/subjects/..`, `{url}/schemas/ids/..`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Makes it accept connections and answer nothing.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Ends [`Registry::pause`].
    pub fn resume(&self) {
        self.process.signal("CONT");
    }
}
