//! The plugins of this binary: one line each.

use headwater_config::Registry;

/// Everything a pipeline may name.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.source::<headwater_source_anypoint::AnypointConfig>();
    registry.source::<headwater_source_api7::Api7Config>();
    registry.source::<headwater_source_mural::MuralConfig>();
    registry.source::<headwater_source_pactflow::PactflowConfig>();
    registry.source::<headwater_source_solace_cloud::SolaceCloudConfig>();
    registry.sink::<headwater_sink_blackhole::BlackholeConfig>();
    registry.sink::<headwater_sink_console::ConsoleConfig>();
    registry.sink::<headwater_sink_file::FileConfig>();
    registry.sink::<headwater_sink_kafka::KafkaConfig>();
    registry.sink::<headwater_sink_otlp::OtlpConfig>();
    registry.sink::<headwater_sink_syslog::SyslogConfig>();
    for (name, program) in headwater_library::builtins() {
        registry.program(name, program);
    }
    registry
}
