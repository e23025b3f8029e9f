//! What a person at a terminal sees of a run: a line per stream while it goes on, a table at its end, log lines between.

use crate::{cli::LogFormat, table::table};
use chrono::{SecondsFormat, Utc};
use headwater_config::{Diagnostics, Severity, Span};
use headwater_contracts::{mask, visible, visible_lines};
use headwater_runtime::{Board, Phase, Rejected, StreamStatus};
use headwater_sink_kit::for_terminals;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    convert::Infallible,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::Duration,
};
use tracing::Level;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter};

/// The lines at the bottom of the terminal, if there are any: log lines go above them.
static LINES: OnceLock<MultiProgress> = OnceLock::new();

/// How what is said on stderr looks.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Says once how what is said on stderr is to look.
pub(crate) fn set_format(format: LogFormat) {
    let _ = FORMAT.set(format);
}

/// How what is said on stderr looks.
pub(crate) fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or(LogFormat::Text)
}

/// Says something on stderr that is no line of the log, and so said whatever `--log` is: as it is, or as an object like those of the
/// log. Without credentials, and without what a terminal would obey; where nobody reads it, there is nobody to tell.
pub(crate) fn tell(level: Level, text: &str) {
    let text = mask::mask(text);
    let _ = match format() {
        LogFormat::Text => writeln!(io::stderr(), "{}", visible_lines(&text)),
        LogFormat::Json => {
            let text = ["error: ", "warning: ", "note: "]
                .iter()
                .fold(&*text, |text, word| text.strip_prefix(word).unwrap_or(text));
            write_object(level, json!({ "message": text }))
        }
    };
}

/// Says what is wrong with a configuration, or odd: each problem with its place.
pub(crate) fn tell_problems(problems: &Diagnostics) {
    if format() == LogFormat::Text {
        // They have made visible what they quote, and have colours.
        let _ = writeln!(io::stderr(), "{}", mask::mask(problems.render(has_colours()).trim_end()));
        return;
    }
    for problem in problems.sorted() {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARN,
        };
        let mut fields = json!({ "message": problem.to_string() });
        if let Some(place) = problem.span.as_ref().map(Span::location) {
            fields["file"] = place.file.into();
            fields["line"] = place.line.into();
            fields["column"] = place.column.into();
        }
        mask::mask_json(&mut fields);
        let _ = write_object(level, fields);
    }
}

/// Writes a line like those of the log in JSON.
fn write_object(level: Level, fields: serde_json::Value) -> io::Result<()> {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let object = json!({ "timestamp": now, "level": level.as_str(), "fields": fields, "target": "headwater" });
    io::stderr().write_all(&for_terminals(format!("{object}\n").as_bytes()))
}

/// Sets up logging to stderr.
pub(crate) fn log(format: LogFormat, filter: &str) -> Result<(), String> {
    // The filter takes any word for a part of the program, and would then show nothing of all others, errors included.
    let is_level = |word: &&str| word.is_empty() || word.contains(['=', '[']) || word.parse::<LevelFilter>().is_ok();
    if let Some(word) = filter.split(',').map(str::trim).find(|word| !is_level(word)) {
        return Err(format!(
            "`--log {filter}`: `{word}` is not a level: error, warn, info, debug, trace, off; for one part of the program `{word}=debug`"
        ));
    }
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("`--log {filter}`: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveLines(format));
    match format {
        LogFormat::Text => builder.with_target(false).with_ansi(has_colours()).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Whether stderr is a terminal that can do more than append text.
fn is_capable() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether what is said on stderr has colours: on a terminal, unless `NO_COLOR` is set (no-color.org) or `TERM` is `dumb`.
pub(crate) fn has_colours() -> bool {
    is_capable() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the streams' lines are shown: only on a terminal, and only where log lines are for people too.
fn shows_lines(format: LogFormat) -> bool {
    is_capable() && format == LogFormat::Text
}

/// Logs every so often how far each stream is, until dropped; only where its line is not shown.
pub(crate) async fn narrate(board: Board, format: LogFormat, every: Duration) -> Infallible {
    if shows_lines(format) {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(every).await;
        for status in board.snapshot() {
            // What is over, or waits for its next look, has been said.
            if matches!(status.phase, Phase::CaughtUp { .. } | Phase::Done | Phase::Failed { .. }) {
                continue;
            }
            // How much of one scan is done says little where there are many.
            let doing = match &status.phase {
                Phase::Reading { scan, .. } => scan.clone(),
                phase => doing(phase),
            };
            let StreamStatus { source, stream, requests, read, tally, .. } = &status;
            let (delivered, open) = (tally.delivered, status.open());
            tracing::info!(
                %source, %stream,
                "{requests} requests, {read} events read, {delivered} delivered, {open} on their way; {doing}"
            );
        }
    }
}

/// Shows the streams' lines until dropped.
pub(crate) async fn show(board: Board, format: LogFormat) {
    if !shows_lines(format) {
        return std::future::pending().await;
    }
    let lines = LINES.get_or_init(MultiProgress::new);
    let mut bars: Vec<ProgressBar> = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        for (index, status) in board.snapshot().iter().enumerate() {
            if bars.len() <= index {
                let bar = lines.add(ProgressBar::no_length());
                bars.push(bar.with_style(
                    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
                ));
            }
            bars[index].set_message(line(status));
            bars[index].tick();
        }
    }
}

/// Takes the lines away.
pub(crate) fn clear() {
    if let Some(lines) = LINES.get() {
        let _ = lines.clear();
    }
}

fn doing(phase: &Phase) -> String {
    match phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Reading { scan, progress: Some(done) } => format!("{} {scan}", bar(*done)),
        Phase::Reading { scan, progress: None } => scan.clone(),
        Phase::BackingOff { reason, until } => format!("waiting until {}: {reason}", until.format("%H:%M:%S")),
        Phase::CaughtUp { until } => format!("caught up, next look at {}", until.format("%H:%M:%S")),
        Phase::Done => "done".to_owned(),
        Phase::Failed { reason } => format!("failed: {reason}"),
    }
}

/// One stream in one line.
fn line(status: &StreamStatus) -> String {
    let doing = doing(&status.phase);
    let tally = &status.tally;
    let line = format!(
        "{:<12} {:>8} read {:>8} delivered {:>6} dropped  {doing}",
        status.source,
        status.read,
        tally.delivered,
        tally.dropped_total()
    );
    visible(&line).into_owned()
}

fn bar(done: f64) -> String {
    let filled = (0..10).filter(|cell| f64::from(*cell) < done * 10.0).count();
    format!("[{}{}] {:>3.0} %", "=".repeat(filled), " ".repeat(10 - filled), done * 100.0)
}

/// Says at the end of a run what came of it: a table for people, log lines for programs.
pub(crate) fn conclude(board: &Board, format: LogFormat) {
    let (streams, rejected) = (board.snapshot(), board.rejected());
    let letters = rejected.iter().filter(|rejected| rejected.kept > 0);
    if format == LogFormat::Json {
        for status in &streams {
            let (StreamStatus { source, stream, tally, requests, .. }, open) = (status, status.open());
            let (read, delivered, suppressed, late) = (tally.read, tally.delivered, tally.suppressed, tally.late);
            let (dropped, dead_lettered) = (tally.dropped_total(), tally.dead_lettered);
            tracing::info!(
                %source, %stream, read, delivered, dropped, suppressed, dead_lettered, late, requests, open,
                "the account of this run"
            );
        }
        for Rejected { component, kept, settled, reason, id, place, .. } in letters {
            tracing::warn!(%component, events = kept, settled, %id, "events in the dead letters, {place}; the first one: {reason}");
        }
        return;
    }
    let mut text = account(&streams);
    for status in streams.iter().filter(|status| status.open() > 0) {
        let (StreamStatus { source, stream, .. }, open) = (status, status.open());
        let _ = writeln!(
            text,
            "\n{source}/{stream}: {open} more were read and are not settled. The next start reads them again"
        );
    }
    for Rejected { component, kept, settled, reason, id, place, .. } in letters {
        let events = if *kept == 1 { "1 event is" } else { &format!("{kept} events are") };
        let _ = writeln!(text, "\n{events} in the dead letters, {place}: `{component}` refused `{id}` first: {reason}");
        if settled < kept {
            let _ = writeln!(text, "{} of them are not settled: the next start reads them again", kept - settled);
        }
    }
    tell(Level::INFO, text.trim_end());
}

/// The account of a run, per stream.
pub(crate) fn account(streams: &[StreamStatus]) -> String {
    let rows: Vec<Vec<String>> = streams
        .iter()
        .map(|status| {
            let tally = &status.tally;
            let rules: Vec<String> = tally.dropped.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
            vec![
                format!("{}/{}", status.source, status.stream),
                tally.read.to_string(),
                tally.delivered.to_string(),
                if rules.is_empty() { "0".into() } else { rules.join(", ") },
                tally.suppressed.to_string(),
                tally.dead_lettered.to_string(),
                tally.late.to_string(),
                status.requests.to_string(),
            ]
        })
        .collect();
    table(&["stream", "read", "delivered", "dropped (rule)", "suppressed", "dead-lettered", "late", "requests"], &rows)
}

/// A line of the log without credentials, and without anything that a terminal would obey but the colours that the line was given.
fn fit(line: &str, format: LogFormat) -> String {
    let masked = mask::mask(line);
    if format == LogFormat::Text {
        // A line that is no beginning of an entry cannot pass for one.
        let text = in_colours(&masked);
        return format!("{}\n", text.trim_end_matches('\n').replace('\n', "\n  | "));
    }
    let whole = if masked == line { None } else { serde_json::from_str::<serde_json::Value>(line).ok() };
    let line = match whole {
        // What is hidden may begin within an escape.
        Some(mut whole) => {
            mask::mask_json(&mut whole);
            format!("{whole}\n")
        }
        None => masked.into_owned(),
    };
    String::from_utf8_lossy(&for_terminals(line.as_bytes())).into_owned()
}

/// What the log's format uses: nothing that hides text (ECMA-48, "SGR").
const COLOURS: &[&str] = &["0", "1", "2", "3", "31", "32", "33", "34", "35"];

/// `line` with the colours that the log's format gives it, and no other control sequence.
fn in_colours(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (n, piece) in line.split("\u{1b}[").enumerate() {
        let digits = piece.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(piece.len());
        let is_colour = n > 0 && piece[digits..].starts_with('m') && COLOURS.contains(&&piece[..digits]);
        let (colour, rest) = piece.split_at(if is_colour { digits + 1 } else { 0 });
        match (n, is_colour) {
            (0, _) => {}
            (_, true) => out.extend(["\u{1b}[", colour]),
            (_, false) => out.push_str("\\u{1b}["),
        }
        out.push_str(&visible_lines(rest));
    }
    out
}

/// Says on stderr that the program is at fault, as the standard library would, yet without credentials.
pub(crate) fn mask_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
        let thread = std::thread::current();
        let text = format!("thread '{}' {panic}{trace}", thread.name().unwrap_or("<unnamed>"));
        tell(Level::ERROR, &text);
    }));
}

/// Writes log lines to stderr, above the streams' lines if there are any.
struct AboveLines(LogFormat);

struct LineWriter(Vec<u8>, LogFormat);

impl<'a> MakeWriter<'a> for AboveLines {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter(Vec::new(), self.0)
    }
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let line = fit(&String::from_utf8_lossy(&self.0), self.1);
        let write = || io::stderr().write_all(line.as_bytes());
        let _ = match LINES.get() {
            Some(lines) => lines.suspend(write),
            None => write(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_show_no_credential_and_keep_their_shape_and_colours() {
        mask::learn("pAss\"w0rdOfLog");
        let line = "\u{1b}[2mat\u{1b}[0m pAss\"w0rdOfLog\u{202e}\u{1b}[2J\n";
        assert_eq!(fit(line, LogFormat::Text), concat!("\u{1b}[2mat\u{1b}[0m ***", r"\u{202e}\u{1b}[2J", "\n"));
        let forged = "\u{1b}[33mWARN\u{1b}[0m id=\u{1b}[8mhid\n2026-01-01  INFO all is well\n";
        let shown = concat!("\u{1b}[33mWARN\u{1b}[0m id=", r"\u{1b}[8mhid", "\n  | 2026-01-01  INFO all is well\n");
        assert_eq!(fit(forged, LogFormat::Text), shown);
        let line =
            serde_json::json!({ "level": "WARN", "fields": { "message": "bad pAss\"w0rdOfLog \u{202e}" } }).to_string();
        let expected = "{\"fields\":{\"message\":\"bad *** \\u202e\"},\"level\":\"WARN\"}\n";
        assert_eq!(fit(&format!("{line}\n"), LogFormat::Json), expected);
    }
}
