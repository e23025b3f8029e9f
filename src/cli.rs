//! The command line: what can be said, and with which words.

use clap::{Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};

/// Audit events, from the source: reads SaaS audit logs and delivers every event, once, normalized.
///
/// Exit codes: 0 done, 1 failed at run time, 2 usage, 78 bad configuration.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How log lines on stderr look.
    #[arg(long, global = true, value_enum, default_value = "text", env = "HEADWATER_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Which log lines: `error`, `warn`, `info`, `debug`, or per module, `headwater_runtime=debug`.
    #[arg(long, global = true, default_value = "info", env = "HEADWATER_LOG")]
    pub(crate) log: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the sources and deliver their events.
    Run(RunArgs),
    /// Check a configuration: every mistake at once, with file, line, column and a hint.
    Validate {
        /// Files, or folders of `*.yaml`.
        #[arg(default_value = "pipeline.yaml")]
        config: Vec<PathBuf>,
    },
    /// Run the unit tests written in a configuration.
    Test {
        /// Files, or folders of `*.yaml`.
        #[arg(default_value = "pipeline.yaml")]
        config: Vec<PathBuf>,
    },
    /// Draw the pipeline.
    Graph {
        /// Files, or folders of `*.yaml`.
        #[arg(default_value = "pipeline.yaml")]
        config: Vec<PathBuf>,
        /// In which language.
        #[arg(long, value_enum, default_value = "mermaid")]
        format: GraphFormat,
    },
    /// Serve simulated audit APIs over HTTP, until interrupted.
    Simulate {
        /// Which ones; all if none is named.
        providers: Vec<String>,
        /// First port; each further API takes the next one. 0 takes free ones.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// A scenario by name, for example `late`, `throttle`, `flaky`; or `seed:N` for a random one.
        #[arg(long, default_value = "demo")]
        scenario: String,
    },
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Run a VRL program on raw events, one JSON per line, and print the results.
    Vrl {
        /// A `.vrl` file, or `builtin:NAME`.
        program: String,
        /// Raw events, one per line; `-` is stdin.
        #[arg(long, default_value = "-")]
        input: String,
        /// `%headwater` of the events: one JSON object for all, or one per line.
        #[arg(long)]
        metadata: Option<PathBuf>,
        /// A configuration whose enrichment tables the program may use.
        #[arg(long)]
        config: Vec<PathBuf>,
    },
    /// Look at what has been read.
    Ledger {
        /// What to do with the ledger.
        #[command(subcommand)]
        command: LedgerCommand,
    },
}

/// What `run` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Files, or folders of `*.yaml`.
    #[arg(default_value = "pipeline.yaml")]
    pub(crate) config: Vec<PathBuf>,
    /// Read all streams until caught up, deliver, commit, and exit.
    #[arg(long)]
    pub(crate) once: bool,
    /// Take over changes of the configuration's files by themselves, as SIGHUP makes it do.
    #[arg(long, conflicts_with_all = ["once", "simulate"])]
    pub(crate) watch: bool,
    /// Point the sources at built-in simulators: no credentials, no state kept.
    #[arg(long)]
    pub(crate) simulate: bool,
    /// How long what is in flight may take after SIGTERM.
    #[arg(long, default_value = "30s", value_parser = period)]
    pub(crate) grace: Duration,
}

/// Commands on the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Print, per stream, coverage, counts, and what is kept.
    Show {
        /// Files, or folders of `*.yaml`.
        #[arg(default_value = "pipeline.yaml")]
        config: Vec<PathBuf>,
        /// For people or for programs.
        #[arg(long, value_enum, default_value = "text")]
        format: LedgerFormat,
    },
}

/// How the ledger is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LedgerFormat {
    /// For people.
    Text,
    /// One JSON object per stream and line.
    Json,
}

/// In which language the graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid, as Markdown viewers draw it.
    Mermaid,
    /// DOT, for Graphviz.
    Dot,
}

fn period(text: &str) -> Result<Duration, String> {
    headwater_contracts::Period::parse(text).map(headwater_contracts::Period::to_std)
}
