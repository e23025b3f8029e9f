//! Configurations.

use headwater_config::{LoadOptions, Registry, SourceFile, read_texts};
use std::io;

/// YAML of a pipeline; what it names outside of itself is not there.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut registry = Registry::new();
    registry.source::<headwater_source_pactflow::PactflowConfig>();
    registry.source::<headwater_source_anypoint::AnypointConfig>();
    registry.sink::<headwater_sink_blackhole::BlackholeConfig>();
    registry.sink::<headwater_sink_syslog::SyslogConfig>();
    let nothing = |_: &str| None;
    // Secrets may name programs to run.
    let options = LoadOptions { environment: &nothing, lenient: true, resolve_secrets: false };
    let file = SourceFile::new("pipeline.yaml", "/nonexistent", text);
    let loaded = read_texts(&[file], &registry, options);
    let rendered = loaded.diagnostics.render(false);
    assert_eq!(rendered.is_empty(), loaded.diagnostics.is_empty());
    if loaded.diagnostics.is_empty() {
        let graph = loaded.pipeline.graph();
        assert_eq!(loaded.pipeline.order.len(), graph.nodes.len(), "every component has its place in the order");
        graph.to_dot();
    }
}

pub(crate) fn seeds() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = crate::files("examples", ".yaml")?;
    seeds.extend(crate::files("crates/config/tests", ".yaml")?);
    Ok(seeds)
}
