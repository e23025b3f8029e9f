//! The plugins that a binary knows, told to the loader by the binary.

use crate::{
    Diagnostics, Node,
    decode::{Decoder, Subject},
    shape::Shape,
};
use headwater_contracts::{BuiltSource, ConfigError, Sink, SinkConfig, SourceConfig, SourceOptions};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Source plugins, sink plugins and shipped VRL programs by name.
#[derive(Default)]
pub struct Registry {
    pub(crate) sources: BTreeMap<&'static str, SourcePlugin>,
    pub(crate) sinks: BTreeMap<&'static str, SinkPlugin>,
    pub(crate) programs: BTreeMap<&'static str, &'static str>,
}

/// A decoded component, or why it cannot be built. `None` if it could not be decoded, which has been reported.
type Built<T> = Option<Result<T, ConfigError>>;
type BuildSource = fn(&Decoder<'_>, &Node, Subject<'_>, Option<&SourceOptions>, &mut Diagnostics) -> Built<BuiltSource>;
type BuildSink = fn(&Decoder<'_>, &Node, Subject<'_>, bool, &mut Diagnostics) -> Built<Box<dyn Sink>>;

pub(crate) struct SourcePlugin {
    pub(crate) shape: Shape,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    /// Decodes the plugin's own keys; builds the source if the common ones are fine.
    pub(crate) build: BuildSource,
}

pub(crate) struct SinkPlugin {
    pub(crate) shape: Shape,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    /// Decodes the plugin's own keys; builds the sink if told that the common ones are fine.
    pub(crate) build: BuildSink,
}

pub(crate) fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// The keys of `T`, from its schema.
pub(crate) fn shape<T: JsonSchema>() -> Shape {
    Shape::of(generator().into_root_schema_for::<T>().as_value())
}

impl Registry {
    /// A registry that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `type: C::TYPE` a source. A second one of the same type replaces the first.
    pub fn source<C: SourceConfig>(&mut self) -> &mut Self {
        let plugin = SourcePlugin { shape: shape::<C>(), schema: C::json_schema, build: build_source::<C> };
        self.sources.insert(C::TYPE, plugin);
        self
    }

    /// Makes `type: C::TYPE` a sink. A second one of the same type replaces the first.
    pub fn sink<C: SinkConfig>(&mut self) -> &mut Self {
        let plugin = SinkPlugin { shape: shape::<C>(), schema: C::json_schema, build: build_sink::<C> };
        self.sinks.insert(C::TYPE, plugin);
        self
    }

    /// Makes `file: builtin:NAME` this VRL text.
    pub fn program(&mut self, name: &'static str, text: &'static str) -> &mut Self {
        self.programs.insert(name, text);
        self
    }

    /// The values of `type` that sources take, sorted.
    pub fn source_types(&self) -> Vec<&'static str> {
        self.sources.keys().copied().collect()
    }

    /// The values of `type` that sinks take, sorted.
    pub fn sink_types(&self) -> Vec<&'static str> {
        self.sinks.keys().copied().collect()
    }

    /// Names and texts of the shipped programs, sorted by name.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.programs.iter().map(|(name, text)| (*name, *text))
    }
}

fn decode<C: DeserializeOwned + JsonSchema>(
    decoder: &Decoder<'_>,
    node: &Node,
    subject: Subject<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<C> {
    decoder.decode_all(node, subject, diagnostics)
}

fn build_source<C: SourceConfig>(
    decoder: &Decoder<'_>,
    node: &Node,
    subject: Subject<'_>,
    options: Option<&SourceOptions>,
    diagnostics: &mut Diagnostics,
) -> Built<BuiltSource> {
    let config: C = decode(decoder, node, subject, diagnostics)?;
    options.map(|options| config.build(options))
}

fn build_sink<C: SinkConfig>(
    decoder: &Decoder<'_>,
    node: &Node,
    subject: Subject<'_>,
    common: bool,
    diagnostics: &mut Diagnostics,
) -> Built<Box<dyn Sink>> {
    let config: C = decode(decoder, node, subject, diagnostics)?;
    common.then(|| config.build())
}
