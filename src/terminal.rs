//! What a person at a terminal sees of a run: a line per stream while it goes on, a table at its end, log lines between.

use crate::{cli::LogFormat, table::table};
use headwater_runtime::{Board, Phase, Rejected, StreamStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    convert::Infallible,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::Duration,
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The lines at the bottom of the terminal, if there are any: log lines go above them.
static LINES: OnceLock<MultiProgress> = OnceLock::new();

/// Sets up logging to stderr.
pub(crate) fn log(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("`--log {filter}`: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveLines);
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
            let doing = match status.phase {
                Phase::Reading { scan, .. } => scan,
                phase => doing(&phase),
            };
            let (source, stream, read) = (status.source, status.stream, status.tally.read);
            tracing::info!(%source, %stream, "{} requests, {read} events read; {doing}", status.requests);
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
    format!(
        "{:<12} {:>8} read {:>8} delivered {:>6} dropped  {doing}",
        status.source,
        tally.read,
        tally.delivered,
        tally.dropped_total()
    )
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
        for StreamStatus { source, stream, tally, requests, .. } in &streams {
            let (read, delivered, suppressed, late) = (tally.read, tally.delivered, tally.suppressed, tally.late);
            let (dropped, dead_lettered) = (tally.dropped_total(), tally.dead_lettered);
            tracing::info!(
                %source, %stream, read, delivered, dropped, suppressed, dead_lettered, late, requests,
                "the account of this run"
            );
        }
        for Rejected { component, kept, reason, id, place, .. } in letters {
            tracing::warn!(%component, events = kept, %id, "events in the dead letters, {place}; the first one: {reason}");
        }
        return;
    }
    let mut text = account(&streams);
    for Rejected { component, kept, reason, id, place, .. } in letters {
        let events = if *kept == 1 { "1 event is" } else { &format!("{kept} events are") };
        let _ = writeln!(text, "\n{events} in the dead letters, {place}: `{component}` refused `{id}` first: {reason}");
    }
    let _ = writeln!(io::stderr(), "{}", text.trim_end());
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

/// Writes log lines to stderr, above the streams' lines if there are any.
struct AboveLines;

struct LineWriter(Vec<u8>);

impl<'a> MakeWriter<'a> for AboveLines {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter(Vec::new())
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
        let write = || io::stderr().write_all(&self.0);
        let _ = match LINES.get() {
            Some(lines) => lines.suspend(write),
            None => write(),
        };
    }
}
