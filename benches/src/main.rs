//! What an event costs, in CPU time, on the whole way: HTTP page to normalized NDJSON file, acknowledged and committed;
//! beside its unavoidable parts: JSON parse, the same VRL program, JSON write. All in one run, one after the other, so that
//! their ratio holds on a busy machine too.
//!
//! The simulator runs in a child process: its work is not ours.

mod parts;
mod whole;

use anyhow::{Context, Result, ensure};
use headwater_simulator::{Provider, Scenario, Simulator};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The whole way may cost at most this many times its unavoidable parts.
const CEILING: f64 = 1.5;
/// Rounds per provider. In each, the whole way and its parts are measured one right after the other, because a shared
/// machine is now faster and now slower; the round with the median ratio is shown.
const ROUNDS: usize = 11;

fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let provider = |name: &String| name.parse::<Provider>().map_err(anyhow::Error::msg);
    let providers = match &args[..] {
        [serve_this, name] if serve_this == "--serve" => return serve(provider(name)?),
        [] => vec![Provider::Mural, Provider::PactFlow],
        names => names.iter().map(provider).collect::<Result<_>>()?,
    };
    println!("CPU time per event, us (of {ROUNDS} rounds, the one with the median ratio)\n");
    println!(
        "{:<10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7}",
        "provider", "events", "bytes", "parse", "VRL", "write", "whole", "ratio"
    );
    let mut worst: f64 = 0.0;
    for provider in providers {
        let server = Server::start(provider)?;
        let raws = whole::raws(provider, &server.url, &server.credential)?;
        drop(server);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            // A new one each time: providers allow so many calls a day.
            let server = Server::start(provider)?;
            let whole = whole::measure(provider, &server.url, &server.credential, raws.len())?;
            rounds.push((whole, parts::measure(provider, &raws)?));
        }
        rounds.sort_by(|(a, x), (b, y)| (a / x.sum()).total_cmp(&(b / y.sum())));
        let (whole, parts) = rounds[ROUNDS / 2];
        let ratio = whole / parts.sum();
        worst = worst.max(ratio);
        println!(
            "{:<10} {:>8} {:>8} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>7.2}",
            provider.as_str(),
            raws.len(),
            raws.iter().map(bytes::Bytes::len).sum::<usize>() / raws.len().max(1),
            parts.parse,
            parts.vrl,
            parts.write,
            whole,
            ratio
        );
    }
    println!("\nratio: whole / (parse + VRL + write); at most {CEILING}");
    ensure!(worst <= CEILING, "the whole way costs {worst:.2} times its unavoidable parts");
    Ok(())
}

/// A simulator in a process of its own, ended with this value.
struct Server {
    child: Child,
    url: String,
    credential: String,
}

impl Server {
    fn start(provider: Provider) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", provider.as_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let (url, credential) = line.trim().split_once(' ').context("an address and a credential")?;
        Ok(Self { url: url.to_owned(), credential: credential.to_owned(), child })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child: serves until its stdin ends.
fn serve(provider: Provider) -> Result<()> {
    // A quiet week; enough events for CPU time to be measured well.
    let events = if provider == Provider::Mural { 120_000 } else { 60_000 };
    let scenario = Scenario::new().seed(1).history(7, events);
    let simulator = Simulator::start(provider, scenario, Arc::new(headwater_runtime::SystemClock))?;
    println!("{} {}", simulator.url(), simulator.credential());
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
