//! Where the servers are installed, and how their programs are run.

use std::{env, path::PathBuf, process::Command};

/// What `tests/real/kafka/install` made: jars, and the schema registry in `registry/`.
pub(crate) fn installed() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache"))).expect("XDG_CACHE_HOME or HOME is set");
    let folder = cache.join("headwater-real/kafka");
    assert!(folder.join("files.sha256").exists(), "no Kafka in {}: run tests/real/kafka/install", folder.display());
    folder
}

/// Java, small and quick to start; the caller adds what to run.
pub(crate) fn java(heap_mb: u32) -> Command {
    let mut java = Command::new("java");
    // The first compiler only and one collector thread: tests live for seconds, on few cores.
    java.arg(format!("-Xmx{heap_mb}m")).args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]);
    java
}

/// A class of Kafka with a `main`, as the scripts of a Kafka distribution run it. `level` of Log4j is what it prints as its errors.
pub(crate) fn kafka_class(heap_mb: u32, level: &str, class: &str) -> Command {
    let mut command = java(heap_mb);
    command.arg(format!("-Dlog4j2.configurationFile={}", installed().join("log4j2.properties").display()));
    command.arg(format!("-Dlog.level={level}"));
    command.arg("-cp").arg(installed().join("*")).arg(class);
    command
}
