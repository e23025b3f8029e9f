//! Reaching a server: whom TLS trusts, and how names are looked up. For sources, sinks and telemetry alike.

mod anyone;
mod names;
mod pinned;
mod trust;

pub use names::Names;
pub use trust::Trust;
