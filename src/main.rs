//! `headwater`: audit events, from the source. See `headwater --help`.

mod allocator;
mod assemble;
mod cli;
mod commands;
mod consumers;
mod descriptors;
mod diagnosis;
mod imports;
mod places;
mod plugins;
mod reload;
mod share;
mod simulation;
mod streams;
mod table;
mod terminal;
mod warnings;

use clap::Parser;
use cli::{Cli, Command, LedgerCommand};
use headwater_contracts::{mask, visible_lines};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Exit codes; 2 is clap's own for a wrong command line.
pub(crate) mod exit {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    /// `EX_CONFIG` of sysexits.h.
    pub(crate) const CONFIG: u8 = 78;
}

/// A command's bad end: what to print on stderr, and the exit code.
pub(crate) struct Failure {
    code: u8,
    message: String,
    /// Whether the message says by itself that it is an error, and where it lies.
    rendered: bool,
}

impl Failure {
    /// Something failed while running.
    pub(crate) fn run(message: impl ToString) -> Self {
        Self { code: exit::FAILED, message: message.to_string(), rendered: false }
    }

    /// The command line asks for something that does not exist.
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self { code: exit::USAGE, message: message.to_string(), rendered: false }
    }

    /// A text on the command line is wrong; `message` is the rendered diagnostics.
    pub(crate) fn argument(message: impl ToString) -> Self {
        Self { rendered: true, ..Self::usage(message) }
    }

    /// The configuration is wrong; `message` is the rendered diagnostics.
    pub(crate) fn config(message: impl ToString) -> Self {
        Self { code: exit::CONFIG, message: message.to_string(), rendered: true }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
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
    values.for_each(|(_, value)| mask::learn_url(&value.to_string_lossy()));
}

fn main() -> ExitCode {
    allocator::give_back_at_once();
    allocator::forget_the_loading();
    descriptors::allow_all_there_may_be();
    terminal::mask_panics();
    learn_proxies();
    let cli = Cli::parse();
    if let Err(problem) = terminal::log(cli.log_format, &cli.log) {
        let _ = writeln!(io::stderr(), "error: {problem}");
        return exit::USAGE.into();
    }
    // Fails only if a provider is installed already, and there is one place that installs one: here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match &cli.command {
        Command::Run(args) => commands::run(args, cli.log_format),
        Command::Validate { config } => commands::validate(config),
        Command::Test { config } => commands::test(config),
        Command::Check { config, timeout, simulate } => commands::check(config, *timeout, *simulate),
        Command::Graph { config, format } => commands::graph(config, *format),
        Command::Simulate { providers, port, scenario } => commands::simulate(providers, *port, scenario),
        Command::Schema => commands::schema(),
        Command::Vrl { program, input, metadata, config } => commands::vrl(program, input, metadata.as_deref(), config),
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
        Err(Failure { code, message, rendered }) => {
            terminal::clear();
            let text = mask::mask(message.trim_end());
            // Diagnostics have colours, and have made visible what they quote.
            let text = if rendered { text } else { visible_lines(&text).into_owned().into() };
            if cli.log_format == cli::LogFormat::Json && !rendered {
                tracing::error!("{text}");
            } else {
                let _ = writeln!(io::stderr(), "{}{text}", if rendered { "" } else { "error: " });
            }
            code.into()
        }
    }
}
