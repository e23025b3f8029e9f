//! The built-in simulators, for `simulate` and `run --simulate`.

use crate::Failure;
use headwater_config::Pipeline;
use headwater_contracts::{Destination, Period, RateLimit, Retry, SinkConfig, StartAt};
use headwater_runtime::{SourceSpec, SystemClock};
use headwater_simulator::{Provider, Scenario, Simulator};
use headwater_sink_blackhole::BlackholeConfig;
use std::{sync::Arc, time::Duration};
use url::Url;

/// Puts sinks where nothing goes in the place of those that send to other machines: nobody's archive is to hold what never
/// happened.
pub(crate) fn spare_the_outside(pipeline: &mut Pipeline) -> Result<(), Failure> {
    for sink in &mut pipeline.sinks {
        let Some(Destination { address, is_outside: true, .. }) = sink.sink.destination() else { continue };
        sink.sink = BlackholeConfig::default().build().map_err(Failure::run)?;
        tracing::warn!(
            sink = %sink.name,
            "simulated events do not go to {address}, which is another machine: they count as delivered, and go nowhere. \
             `--to-real-sinks` delivers them"
        );
    }
    Ok(())
}

/// Says where simulated events go and stay, and what tells them from real ones there.
pub(crate) fn name_destinations(pipeline: &Pipeline) {
    for sink in &pipeline.sinks {
        let Some(Destination { address, simulated, .. }) = sink.sink.destination() else { continue };
        let mark = match simulated {
            Some(mark) => format!("Each bears {mark}"),
            None => {
                "Nothing there tells them from real ones, but the label `simulated` of what `normalize.vrl` has made"
                    .to_owned()
            }
        };
        tracing::warn!(sink = %sink.name, "simulated events go to {address}. {mark}");
    }
}

/// Starts one simulator per source and points the source at it. They serve as long as the answer lives.
pub(crate) fn point_at_simulators(sources: &mut [SourceSpec]) -> Result<Vec<Simulator>, Failure> {
    let mut simulators = Vec::new();
    for source in sources {
        let provider: Provider = source.built.provider.parse().map_err(Failure::run)?;
        let simulator = Simulator::start(provider, Scenario::demo(provider), Arc::new(SystemClock))
            .map_err(|e| Failure::run(format!("cannot start the simulator of `{provider}`: {e}")))?;
        let url = simulator.url();
        source.built.endpoint = Url::parse(url).map_err(|e| Failure::run(format!("`{url}`: {e}")))?;
        source.built.auth.set_credential(simulator.credential());
        // A fake on this machine needs no politeness, and nobody wants to wait for a demonstration.
        source.built.min_interval = Period::seconds(0);
        source.options.rate_limit = Some(RateLimit { requests: 1_000_000, per: Period::seconds(1) });
        source.options.retry =
            Some(Retry { initial: Period(chrono::TimeDelta::milliseconds(50)), max: Period::seconds(1) });
        source.options.start_at = Some(StartAt::Earliest);
        source.options.proxy = None;
        source.options.tls = None;
        source.simulated = true;
        tracing::info!(source = %source.name, "simulated {provider} at {url}");
        simulators.push(simulator);
    }
    Ok(simulators)
}

/// The scenario of this name for this provider, or `seed:N`.
pub(crate) fn scenario(name: &str, provider: Provider) -> Result<Scenario, Failure> {
    if let Some(seed) = name.strip_prefix("seed:") {
        let seed = seed.parse().map_err(|_| Failure::usage(format!("`{name}`: `seed:` needs a number behind it")))?;
        return Ok(Scenario::seeded(provider, seed));
    }
    if name == "demo" {
        return Ok(Scenario::demo(provider));
    }
    Scenario::named(provider, name).ok_or_else(|| {
        Failure::usage(format!(
            "there is no scenario `{name}` (there is: demo, {}, seed:N)",
            Scenario::NAMES.join(", ")
        ))
    })
}

/// How long `simulate` lets connections finish when it is interrupted.
pub(crate) const LINGER: Duration = Duration::from_millis(100);
