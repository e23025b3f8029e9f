//! The shipped VRL programs, the mapping tables they read, and the host functions that do the heavy part.
//!
//! | program                | what it does                                                      | host functions  |
//! |------------------------|-------------------------------------------------------------------|-----------------|
//! | `drop_own_queries.vrl` | drops the audit records that headwater's own reading caused        | none            |
//! | `normalize.vrl`        | the provider's JSON becomes one OCSF event, 1.6.0 unless told otherwise | `normalize_ocsf`|
//! | `enrich.vrl`           | adds OCSF `observables`; a place for lookups in enrichment tables  | none            |
//!
//! What maps where is data: `tables/<provider>.yaml` for each provider, `tables/ocsf.yaml` for the classes. The code
//! in this crate reads those tables and knows no provider by name.

mod assemble;
mod attributes;
mod classes;
mod fallback;
mod function;
mod meta;
mod names;
mod normalize;
mod ocsf;
mod outcome;
mod pattern;
mod redact;
mod table;
mod time;
mod unmapped;
mod version;
mod view;

pub use names::{Name, names};

use headwater_contracts::OcsfVersion;

/// The programs compiled into the binary: name as written after `builtin:` in a pipeline, and source text.
pub fn builtins() -> &'static [(&'static str, &'static str)] {
    &[
        ("drop_own_queries.vrl", include_str!("../drop_own_queries.vrl")),
        ("normalize.vrl", include_str!("../normalize.vrl")),
        ("enrich.vrl", include_str!("../enrich.vrl")),
    ]
}

/// The source text of the shipped program `name` (`normalize.vrl`), or `None` if there is none of that name.
pub fn builtin(name: &str) -> Option<&'static str> {
    builtins().iter().find(|(known, _)| *known == name).map(|(_, source)| *source)
}

/// The host functions of the shipped programs, to be given to the VRL compiler beside its standard library. Events become
/// OCSF of the release `version`.
pub fn functions(version: OcsfVersion) -> Vec<Box<dyn vrl::compiler::Function>> {
    vec![Box::new(function::NormalizeOcsf { version })]
}

/// Ids of the providers that have a mapping table, as in `%headwater.provider`.
pub fn providers() -> Vec<&'static str> {
    table::providers().map(|provider| provider.id.as_str()).collect()
}
