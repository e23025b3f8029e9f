//! `headwater`: audit events, from the source. See `headwater --help`.

mod allocator;
mod assemble;
mod cli;
mod commands;
mod consumers;
mod descriptors;
mod diagnosis;
mod environment;
mod imports;
mod names;
mod one_place;
mod places;
mod plugins;
mod reload;
mod renamed;
mod share;
mod simulation;
mod streams;
mod table;
mod terminal;
mod warnings;

use clap::Parser;
use cli::{Cli, Command, LedgerCommand};
use headwater_config::Diagnostics;
use headwater_contracts::{mask, visible_lines};
use std::{io, process::ExitCode};
use tracing::Level;

/// Exit codes; 2 is clap's own for a wrong command line.
pub(crate) mod exit {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    /// `EX_CONFIG` of sysexits.h.
    pub(crate) const CONFIG: u8 = 78;
}

/// A command's bad end: what to say on stderr, and the exit code.
pub(crate) struct Failure {
    code: u8,
    said: Said,
}

/// What a failure has to say.
enum Said {
    /// One thing.
    Text(String),
    /// What the VRL compiler says of a text, each problem with its place.
    Rendered(String),
    /// What is wrong with a configuration, and what there is to note below.
    Problems(Box<Diagnostics>, Option<String>),
}

impl Failure {
    /// Something failed while running.
    pub(crate) fn run(message: impl ToString) -> Self {
        Self { code: exit::FAILED, said: Said::Text(message.to_string()) }
    }

    /// The command line asks for something that does not exist.
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self { code: exit::USAGE, said: Said::Text(message.to_string()) }
    }

    /// The configuration is wrong as a whole.
    pub(crate) fn config(message: impl ToString) -> Self {
        Self { code: exit::CONFIG, said: Said::Text(message.to_string()) }
    }

    /// The configuration is wrong in these places; `note` stands below them.
    pub(crate) fn problems(problems: Diagnostics, note: Option<String>) -> Self {
        Self { code: exit::CONFIG, said: Said::Problems(Box::new(problems), note) }
    }

    /// A program in a file is wrong; `message` is what the compiler says of it.
    pub(crate) fn program(message: String) -> Self {
        Self { code: exit::CONFIG, said: Said::Rendered(message) }
    }

    /// The same of what stands on the command line.
    pub(crate) fn on_the_command_line(self) -> Self {
        Self { code: exit::USAGE, ..self }
    }

    /// Says it on stderr.
    fn tell(&self) {
        match &self.said {
            Said::Text(text) => terminal::tell(Level::ERROR, &format!("error: {}", text.trim_end())),
            Said::Rendered(text) => terminal::tell(Level::ERROR, text.trim_end()),
            Said::Problems(problems, note) => {
                terminal::tell_problems(problems);
                if let Some(note) = note {
                    terminal::tell(Level::INFO, &format!("note: {note}"));
                }
            }
        }
    }
}

/// Without colours, for a log.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.said {
            Said::Text(text) | Said::Rendered(text) => f.write_str(text),
            Said::Problems(problems, note) => {
                write!(f, "{problems}{}", note.as_deref().unwrap_or_default())
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::run(error)
    }
}

/// Proxies that the environment names (curl's variables, which HTTP clients obey) may have credentials in them.
fn learn_proxies() {
    let is_proxy = |name: &str| name.to_ascii_lowercase().ends_with("_proxy");
    let values = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_proxy));
    values.for_each(|(_, value)| mask::learn_address(&value.to_string_lossy()));
}

/// What was asked for on the command line; else what to end with, once that is said.
fn asked() -> Result<Cli, ExitCode> {
    let problem = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(problem) => problem,
    };
    // The answer to `--help` and `--version`.
    if !problem.use_stderr() {
        let _ = problem.print();
        return Err(ExitCode::SUCCESS);
    }
    terminal::set_format(cli::format_asked_for(std::env::args_os().skip(1)));
    let plain = problem.render().to_string();
    if terminal::format() == cli::LogFormat::Text && plain == visible_lines(&mask::mask(&plain)) {
        let _ = problem.print();
    } else {
        terminal::tell(Level::ERROR, plain.trim_end());
    }
    Err(exit::USAGE.into())
}

fn main() -> ExitCode {
    allocator::give_back_at_once();
    allocator::forget_the_loading();
    descriptors::allow_all_there_may_be();
    terminal::mask_panics();
    learn_proxies();
    let cli = match asked() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    terminal::set_format(cli.log_format);
    if let Err(problem) = terminal::log(cli.log_format, &cli.log) {
        terminal::tell(Level::ERROR, &format!("error: {problem}"));
        return exit::USAGE.into();
    }
    // Fails only if a provider is installed already, and there is one place that installs one: here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match &cli.command {
        Command::Run(args) => commands::run(args, cli.log_format),
        Command::Validate { config, online, timeout } => commands::validate(config, online.then_some(*timeout)),
        Command::Test { config } => commands::test(config),
        Command::Check { config, timeout, simulate } => commands::check(config, *timeout, *simulate),
        Command::Graph { config, format } => commands::graph(config, *format),
        Command::Simulate { providers, port, scenario } => commands::simulate(providers, *port, scenario),
        Command::Schema => commands::schema(),
        Command::Vrl { program, input, metadata, config } => commands::vrl(program, input, metadata.as_deref(), config),
        Command::List(args) => commands::list(args),
        Command::Query(args) => commands::query(args, cli.log_format),
        Command::Ledger { command } => match command {
            LedgerCommand::Show { config, format } => commands::show_ledger(config, *format),
            LedgerCommand::Verify(args) => commands::verify(args, cli.log_format),
            LedgerCommand::Rescan(args) => commands::rescan(args, cli.log_format),
            LedgerCommand::Backfill(args) => commands::backfill(args, cli.log_format),
            LedgerCommand::Reset { source, stream, config } => {
                commands::reset_ledger(config, source, stream.as_deref())
            }
            LedgerCommand::Export { config } => commands::export_ledger(config),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::clear();
            failure.tell();
            failure.code.into()
        }
    }
}
