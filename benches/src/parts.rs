//! What no pipeline with this program can save.

use anyhow::{Result, anyhow};
use bytes::Bytes;
use cpu_time::ThreadTime;
use headwater_simulator::Provider;
use std::time::Duration;
use vrl::{
    compiler::{TargetValueRef, TimeZone, runtime::Runtime},
    value::{Secrets, Value},
};

/// CPU time per event, us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    /// JSON to a VRL value.
    pub(crate) parse: f64,
    /// The program alone, on a value and metadata that are there already.
    pub(crate) vrl: f64,
    /// The result to JSON, and its memory freed.
    pub(crate) write: f64,
}

impl Parts {
    pub(crate) fn sum(self) -> f64 {
        self.parse + self.vrl + self.write
    }
}

/// Measures each part over all events, in batches as the pipeline's, so that caches are as warm; on all cores at once, as
/// the pipeline works: what cores share makes each slower.
pub(crate) fn measure(provider: Provider, raws: &[Bytes]) -> Result<Parts> {
    let cores = std::thread::available_parallelism()?.get();
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| measure_one(provider, raws))).collect();
        let parts = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        parts.collect::<Result<Vec<Parts>>>()
    })?;
    let mean = |part: fn(&Parts) -> f64| all.iter().map(part).sum::<f64>() / all.len() as f64;
    Ok(Parts { parse: mean(|p| p.parse), vrl: mean(|p| p.vrl), write: mean(|p| p.write) })
}

fn measure_one(provider: Provider, raws: &[Bytes]) -> Result<Parts> {
    let mut functions = vrl::stdlib::all();
    functions.extend(headwater_library::functions(headwater_contracts::OcsfVersion::default()));
    let text = headwater_library::builtin("normalize.vrl").unwrap_or_default();
    let program = vrl::compiler::compile(text, &functions).map_err(|e| anyhow!("{e:?}"))?.program;
    let zone = TimeZone::Named("UTC".parse().map_err(|e| anyhow!("{e}"))?);
    let mut runtime = Runtime::default();
    let mut out = Vec::new();
    let (mut parse, mut resolve, mut write) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for batch in raws.chunks(100) {
        let before = ThreadTime::now();
        let values = batch.iter().map(|raw| serde_json::from_slice(raw)).collect::<Result<Vec<Value>, _>>()?;
        parse += before.elapsed();

        let metas: Vec<Value> = batch.iter().map(|raw| metadata(provider, raw)).collect();
        let before = ThreadTime::now();
        let mut results = Vec::with_capacity(batch.len());
        for (mut value, mut metadata) in values.into_iter().zip(metas) {
            let mut secrets = Secrets::default();
            let mut target = TargetValueRef { value: &mut value, metadata: &mut metadata, secrets: &mut secrets };
            runtime.resolve(&mut target, &program, &zone).map_err(|e| anyhow!("{e:?}"))?;
            runtime.clear();
            results.push((value, metadata));
        }
        resolve += before.elapsed();

        out.clear();
        let before = ThreadTime::now();
        for (value, metadata) in results {
            serde_json::to_writer(&mut out, &value)?;
            out.push(b'\n');
            drop((value, metadata));
        }
        write += before.elapsed();
    }
    let per_event = |time: Duration| time.as_secs_f64() * 1e6 / raws.len() as f64;
    Ok(Parts { parse: per_event(parse), vrl: per_event(resolve), write: per_event(write) })
}

fn metadata(provider: Provider, raw: &[u8]) -> Value {
    serde_json::json!({ "headwater": {
        "provider": provider.as_str(), "source": "in", "stream": "127.0.0.1", "id": "0123456789abcdef",
        "observed_time": "2026-01-15T00:00:00.000Z", "own_query": false, "late": null, "suspicious": null,
        "raw": String::from_utf8_lossy(raw),
    } })
    .into()
}
