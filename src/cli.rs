//! The command line: what can be said, and with which words.

use clap::{Parser, Subcommand, ValueEnum};
use headwater_contracts::StartAt;
use std::{ffi::OsString, ops::Deref, path::PathBuf, time::Duration};

/// Audit events, from the source: reads SaaS audit logs and delivers every event, once, normalized.
///
/// Exit codes: 0 done, 1 failed at run time, 2 usage, 78 bad configuration.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How what is said on stderr looks: log lines, errors and warnings.
    #[arg(long, global = true, value_enum, default_value = "text", env = "HEADWATER_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Which log lines: `error`, `warn`, `info`, `debug`, or per module, `headwater_runtime=debug`.
    #[arg(long, global = true, default_value = "info", env = "HEADWATER_LOG")]
    pub(crate) log: String,
}

/// How log lines are asked to look by a command line that is wrong, and so cannot be read as a whole.
pub(crate) fn format_asked_for(arguments: impl Iterator<Item = OsString>) -> LogFormat {
    let said: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let behind = |(n, word): (usize, &String)| match word.strip_prefix("--log-format") {
        Some("") => said.get(n + 1).cloned(),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => None,
    };
    let given = said.iter().enumerate().filter_map(behind).next_back();
    let asked = given.or_else(|| std::env::var("HEADWATER_LOG_FORMAT").ok());
    if asked.as_deref() == Some("json") { LogFormat::Json } else { LogFormat::Text }
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
        #[command(flatten)]
        config: Files,
        /// Also ask the providers which names of events they have, and warn of a `filter` that holds another. Takes the
        /// credentials.
        #[arg(long)]
        online: bool,
        /// How long the providers may take to answer.
        #[arg(long, default_value = "60s", value_parser = period, requires = "online")]
        timeout: Duration,
    },
    /// Run the unit tests written in a configuration.
    Test {
        #[command(flatten)]
        config: Files,
    },
    /// Reach every source and every sink and say what is right and wrong: credential, permissions, clocks, retention. Reads the
    /// last hour, delivers nothing, keeps nothing. Exit code 1 if one of them fails.
    Check {
        #[command(flatten)]
        config: Files,
        /// How long it may take; what has answered by then counts as reached.
        #[arg(long, default_value = "60s", value_parser = period)]
        timeout: Duration,
        /// Check the built-in simulators instead: no credentials.
        #[arg(long)]
        simulate: bool,
    },
    /// Draw the pipeline.
    Graph {
        #[command(flatten)]
        config: Files,
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
        /// A configuration whose enrichment tables the program may use, and whose `ocsf_version` it writes.
        #[arg(long, short)]
        config: Vec<PathBuf>,
    },
    /// Print what a source's log can be asked for: its provider's names of platforms, actions, categories, event types and
    /// organizations.
    List(ListArgs),
    /// Ask a source's log a question, now, without touching the ledger.
    Query(QueryArgs),
    /// Look at what has been read.
    Ledger {
        /// What to do with the ledger.
        #[command(subcommand)]
        command: LedgerCommand,
    },
}

/// The configuration, by position or by name.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// Files, or folders of `*.yaml`.
    #[arg(value_name = "CONFIG", default_value = "pipeline.yaml", conflicts_with = "named")]
    positional: Vec<PathBuf>,
    /// The same as CONFIG.
    #[arg(long = "config", short = 'c', value_name = "CONFIG")]
    named: Vec<PathBuf>,
}

impl Deref for Files {
    type Target = [PathBuf];

    fn deref(&self) -> &[PathBuf] {
        if self.named.is_empty() { &self.positional } else { &self.named }
    }
}

/// What `run` can be told.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: Files,
    /// Read all streams until caught up, deliver, commit, and exit.
    #[arg(long)]
    pub(crate) once: bool,
    /// Take over changes of the configuration's files by themselves, as SIGHUP makes it do.
    #[arg(long, conflicts_with_all = ["once", "simulate"])]
    pub(crate) watch: bool,
    /// Exit with 1 if an event has become a dead letter.
    #[arg(long, requires = "once")]
    pub(crate) fail_on_dead_letters: bool,
    /// Point the sources at built-in simulators: no credentials, no state kept. Sinks on other machines get nothing.
    #[arg(long)]
    pub(crate) simulate: bool,
    /// Deliver simulated events also to sinks on other machines.
    #[arg(long, requires = "simulate")]
    pub(crate) to_real_sinks: bool,
    /// How long what is in flight may take after SIGTERM, or before a changed configuration is taken over.
    #[arg(long, default_value = "30s", value_parser = period)]
    pub(crate) grace: Duration,
}

/// What is asked of a log. Of options that are given twice the last counts, so that a script's may be changed behind it.
#[derive(Debug, clap::Args)]
pub(crate) struct QueryArgs {
    /// The source, by its name in the configuration.
    pub(crate) source: String,
    /// Files, or folders of `*.yaml`, that name the source and its credential.
    #[arg(long, short, default_value = "pipeline.yaml")]
    pub(crate) config: Vec<PathBuf>,
    /// From when: an age such as `30d`, a date or a time such as `2026-01-31` or `2026-01-31T08:00:00Z`, or
    /// `earliest`.
    #[arg(long, default_value = "7d", value_parser = moment, overrides_with = "since")]
    pub(crate) since: StartAt,
    /// Until when, likewise; or `now`.
    #[arg(long, default_value = "now", value_parser = moment, overrides_with = "until")]
    pub(crate) until: StartAt,
    /// A filter that the provider applies, in place of the source's own: `actions: [LOGIN]`. May be given repeatedly.
    #[arg(long, value_name = "KEY: VALUE")]
    pub(crate) filter: Vec<String>,
    /// A condition in VRL that headwater applies: `.` is the provider's record.
    #[arg(long = "where", value_name = "VRL")]
    pub(crate) condition: Option<String>,
    /// Only the newest so many, oldest first.
    #[arg(long, value_name = "N", overrides_with = "last")]
    pub(crate) last: Option<usize>,
    /// Show the events as OCSF. Tables and CSV do by themselves, unless `--columns` says what to show.
    #[arg(long)]
    pub(crate) normalize: bool,
    /// How to show them.
    #[arg(long, value_enum, default_value = "json", overrides_with = "format")]
    pub(crate) format: QueryFormat,
    /// What becomes of cells in CSV that a spreadsheet would take for a formula: `escape` puts a `'` before them and writes control
    /// characters as `\u{1b}`, `keep` writes every cell as it is.
    #[arg(long, value_enum, default_value = "escape", overrides_with = "csv_formulas")]
    pub(crate) csv_formulas: CsvFormulas,
    /// Paths to show in a table or CSV, such as `action,objects[0].objectName`; `time` is the event's time.
    #[arg(long, value_delimiter = ',', value_name = "PATH,..")]
    pub(crate) columns: Vec<String>,
    /// Ask the built-in simulator instead: no credentials.
    #[arg(long)]
    pub(crate) simulate: bool,
}

/// Whose names are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The source, by its name in the configuration.
    pub(crate) source: String,
    /// Files, or folders of `*.yaml`, that name the source and its credential.
    #[arg(long, short, default_value = "pipeline.yaml")]
    pub(crate) config: Vec<PathBuf>,
    /// How to show them.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: ListFormat,
    /// How long the provider may take to answer.
    #[arg(long, default_value = "60s", value_parser = period)]
    pub(crate) timeout: Duration,
    /// Ask the built-in simulator instead: no credentials.
    #[arg(long)]
    pub(crate) simulate: bool,
}

/// How names are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people.
    Table,
    /// One JSON object per line.
    Json,
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// One JSON object per line.
    Json,
    /// RFC 4180 with a header line.
    Csv,
    /// For people.
    Table,
}

/// What becomes of formulas in CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CsvFormulas {
    /// They become texts.
    Escape,
    /// They stay.
    Keep,
}

/// Commands on the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Print, per stream, coverage, counts, and what is kept.
    Show {
        #[command(flatten)]
        config: Files,
        /// For people or for programs.
        #[arg(long, value_enum, default_value = "text")]
        format: LedgerFormat,
    },
    /// Read the providers' logs again, deliver nothing, and compare: is everything that they show settled? Exit code 1 if
    /// anything of a covered range is missing.
    Verify(AgainArgs),
    /// Read a range again, and deliver what has not been settled. What a stream covers stays as it is: for a time before
    /// its beginning there is `backfill`.
    Rescan(AgainArgs),
    /// Read what happened before a source's streams began, deliver it, and let them begin there: `show` and `verify` cover it
    /// from then on. One that was interrupted goes on when it is started again.
    Backfill(BackfillArgs),
    /// Forget what is known of a source's streams: its next run is a first one.
    Reset {
        /// The source, by its name in the configuration.
        source: String,
        /// Only this stream.
        #[arg(long)]
        stream: Option<String>,
        /// Files, or folders of `*.yaml`.
        #[arg(long, short, default_value = "pipeline.yaml")]
        config: Vec<PathBuf>,
    },
    /// Print all that is known as NDJSON: each stream's record, then the identities of its settled events.
    Export {
        #[command(flatten)]
        config: Files,
    },
}

/// What is read again.
#[derive(Debug, clap::Args)]
pub(crate) struct AgainArgs {
    /// The sources, by their names in the configuration; all if none is named.
    pub(crate) sources: Vec<String>,
    /// From when: an age such as `36h`, or a date or a time such as `2026-01-31` or `2026-01-31T08:00:00Z`. Without it, `verify`
    /// begins with what was covered first, `rescan` a day ago.
    #[arg(long, value_parser = moment)]
    pub(crate) from: Option<StartAt>,
    /// Until when, likewise; or `now`.
    #[arg(long, default_value = "now", value_parser = moment)]
    pub(crate) to: StartAt,
    /// Files, or folders of `*.yaml`.
    #[arg(long, short, default_value = "pipeline.yaml")]
    pub(crate) config: Vec<PathBuf>,
}

/// What is read of the time before.
#[derive(Debug, clap::Args)]
pub(crate) struct BackfillArgs {
    /// The source, by its name in the configuration.
    pub(crate) source: String,
    /// From when: an age such as `90d`, a time such as `2026-01-31T00:00:00Z`, or `earliest`.
    #[arg(long, value_parser = moment)]
    pub(crate) from: StartAt,
    /// Files, or folders of `*.yaml`.
    #[arg(long, short, default_value = "pipeline.yaml")]
    pub(crate) config: Vec<PathBuf>,
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

fn moment(text: &str) -> Result<StartAt, String> {
    text.parse()
}

fn period(text: &str) -> Result<Duration, String> {
    headwater_contracts::Period::parse(text).map(headwater_contracts::Period::to_std)
}
