//! What a normalized event costs, in nanoseconds of one core: `cargo run --release -p headwater-library --example bench`.
//!
//! Each step is measured over all golden events of a provider, the best of many short rounds: what disturbs a
//! measurement only ever makes it longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measuring tool: it stops at the first error"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};
use vrl::compiler::{Program, TargetValueRef, TimeZone, runtime::Runtime};
use vrl::value::{Secrets, Value};

const ROUNDS: usize = 400;
const ROUND: Duration = Duration::from_millis(2);

/// Nanoseconds of `step` per event; `prepare` is not counted.
fn measure<T>(events: usize, mut prepare: impl FnMut(usize) -> T, mut step: impl FnMut(T)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (mut spent, mut count) = (Duration::ZERO, 0u32);
        while spent < ROUND {
            let inputs: Vec<T> = (0..events).map(&mut prepare).collect();
            let start = Instant::now();
            inputs.into_iter().for_each(&mut step);
            spent += start.elapsed();
            count += u32::try_from(events).unwrap();
        }
        best = best.min(spent.as_secs_f64() * 1e9 / f64::from(count));
    }
    best
}

fn run(runtime: &mut Runtime, program: &Program, event: &mut Value, metadata: &mut Value, utc: TimeZone) {
    let mut secrets = Secrets::default();
    let mut target = TargetValueRef { value: event, metadata, secrets: &mut secrets };
    runtime.resolve(&mut target, program, &utc).unwrap();
    runtime.clear();
}

fn main() {
    let normalize = common::builtin("normalize.vrl");
    let enrich = common::builtin("enrich.vrl");
    let utc = TimeZone::Named("UTC".parse().unwrap());
    let goldens = common::goldens();
    println!(
        "{:<10} {:>6} {:>7} {:>10} {:>7} {:>7}   ns per event",
        "provider", "bytes", "parse", "normalize", "enrich", "write"
    );
    for provider in headwater_library::providers() {
        let cases: Vec<_> = goldens.iter().filter(|golden| golden.provider == provider).collect();
        let events: Vec<Value> = cases.iter().map(|case| serde_json::from_str(&case.raw).unwrap()).collect();
        let metadata: Vec<Value> = cases
            .iter()
            .map(|case| {
                let mut meta = case.meta.clone();
                meta["raw"] = case.raw.as_str().into();
                serde_json::json!({ "headwater": meta }).into()
            })
            .collect();
        let mut runtime = Runtime::default();
        let mut normalized = events.clone();
        for (event, metadata) in normalized.iter_mut().zip(&metadata) {
            run(&mut runtime, normalize.program(), event, &mut metadata.clone(), utc);
        }

        let bytes: usize = cases.iter().map(|case| case.raw.len()).sum();
        let parse = measure(
            cases.len(),
            |at| &cases[at].raw,
            |raw| {
                black_box(serde_json::from_slice::<Value>(raw.as_bytes()).unwrap());
            },
        );
        let mut program = |program: &Program, events: &[Value]| {
            measure(
                events.len(),
                |at| (events[at].clone(), metadata[at].clone()),
                |(mut event, mut metadata)| {
                    run(&mut runtime, program, &mut event, &mut metadata, utc);
                    black_box(event);
                },
            )
        };
        let normalize = program(normalize.program(), &events);
        let enrich = program(enrich.program(), &normalized);
        let mut out = Vec::new();
        let write = measure(
            cases.len(),
            |at| &normalized[at],
            |event| {
                out.clear();
                serde_json::to_writer(&mut out, event).unwrap();
                black_box(&out);
            },
        );
        println!("{provider:<10} {:>6} {parse:>7.0} {normalize:>10.0} {enrich:>7.0} {write:>7.0}", bytes / cases.len());
    }
}
