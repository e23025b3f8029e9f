//! A pipeline, typed and checked.

use crate::{Diagnostic, Graph, Node, Span, VrlText, decode::value_problem};
use headwater_contracts::{
    BuiltSource, ConfigError, ExportFormat, KafkaCluster, OcsfVersion, Period, Sasl, Sink, SinkOptions, SourceOptions,
    Telemetry, Tls,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
};

/// Everything a configuration says. Components are in the order written.
pub struct Pipeline {
    /// Where the ledger is.
    pub state: State,
    /// Where the HTTP API listens; `None` switches it off.
    pub api: Option<Api>,
    /// Where own metrics and traces go; `None`: nowhere.
    pub telemetry: Option<Telemetry>,
    /// Where rejected events go.
    pub dead_letter: DeadLetter,
    /// The release of OCSF that `normalize_ocsf` writes.
    pub ocsf_version: OcsfVersion,
    /// What is read.
    pub sources: Vec<SourceSpec>,
    /// Files that are read before them.
    pub imports: Vec<ImportSpec>,
    /// Topics that are read.
    pub consumers: Vec<ConsumerSpec>,
    /// What happens to events on their way.
    pub transforms: Vec<TransformSpec>,
    /// Tables that VRL programs look things up in.
    pub enrichment_tables: Vec<TableSpec>,
    /// Where events go.
    pub sinks: Vec<SinkSpec>,
    /// Unit tests of the transforms.
    pub tests: Vec<UnitTest>,
    /// Names of all components, each after those it reads from.
    pub order: Vec<String>,
    /// Files that were read for it, beside the YAML: certificates, keys, schemas, secrets.
    pub files: Vec<PathBuf>,
    /// What is written where, as it stands in the YAML and as it is.
    pub places: Vec<Place>,
    pub(crate) graph: Graph,
}

/// A file or folder that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As it is written; from the working directory, where earlier versions looked for it.
    pub written: PathBuf,
    /// Where it is.
    pub path: PathBuf,
}

impl Pipeline {
    /// Components and the edges between them.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A folder. Default: `./state`, from the folder of the first YAML file.
    File {
        /// The folder.
        path: PathBuf,
    },
    /// A compacted topic of a Kafka cluster.
    Kafka(Box<KafkaState>),
}

/// The ledger in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaState {
    /// Brokers to begin with, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The topic; made if there is none, compacted. Default: `headwater-ledger`.
    #[serde(default = "KafkaState::default_topic")]
    pub topic: String,
    /// Instances of the same group share the streams.
    pub group: String,
    /// This instance's name in the group, such as a pod's. One that starts again under its name has its streams back at once;
    /// without a name they are free only when the dead one's session has timed out.
    #[serde(default)]
    pub instance: Option<String>,
    /// Partitions of a new topic: the most instances that can share its streams. Default: 16.
    #[serde(default = "KafkaState::default_partitions")]
    pub partitions: u16,
    /// Events in one transaction, at most about so many; fewer where reading waits for it. Default: 2000.
    #[serde(default = "KafkaState::default_transaction_events")]
    pub transaction_events: usize,
    /// Where an instance dies, hangs or is cut off, the others read its streams within this time. Default: `10s`.
    #[serde(default = "KafkaState::default_session_timeout")]
    pub session_timeout: Period,
    /// TLS; `{}` for its defaults. With a `ca_file` only the authorities in it are trusted.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who we are at the cluster.
    #[serde(default)]
    pub sasl: Option<Sasl>,
    /// Settings of librdkafka, by their names there.
    #[serde(default)]
    pub librdkafka_options: BTreeMap<String, String>,
}

impl KafkaState {
    fn default_topic() -> String {
        "headwater-ledger".to_owned()
    }

    const fn default_partitions() -> u16 {
        16
    }

    const fn default_transaction_events() -> usize {
        2000
    }

    const fn default_session_timeout() -> Period {
        Period::seconds(10)
    }

    /// The cluster, and who we are there.
    pub fn cluster(&self) -> KafkaCluster {
        KafkaCluster {
            bootstrap_servers: self.bootstrap_servers.clone(),
            tls: self.tls.clone(),
            sasl: self.sasl.clone(),
            librdkafka_options: self.librdkafka_options.clone(),
        }
    }
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Address and port to listen at, such as `127.0.0.1:8686`.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String", example = "127.0.0.1:8686")]
    pub address: SocketAddr,
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "`{text}` is no address to listen at: write an IP address and a port, such as `127.0.0.1:8686`"
        ))
    })
}

/// Where rejected events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetter {
    /// NDJSON files in this folder. Default: `dead-letter` in that of the ledger.
    Path(PathBuf),
    /// The sink with this name.
    Sink(String),
}

/// A source component.
pub struct SourceSpec {
    /// Its name.
    pub name: String,
    /// Its `type`.
    pub kind: &'static str,
    /// The options every source takes.
    pub options: SourceOptions,
    /// What its plugin built.
    pub built: BuiltSource,
    /// Where its name was written.
    pub span: Span,
    /// Its keys, as they were written.
    pub(crate) keys: Node,
}

impl SourceSpec {
    /// Where the option at `path` (`a.b`) was written; the name of the source, if it was not.
    pub fn place(&self, path: &str) -> &Span {
        match self.keys.find(path) {
            (node, true) => &node.span,
            _ => &self.span,
        }
    }

    /// What the plugin remarks on an option, as a warning at it.
    pub fn remark(&self, remark: &ConfigError) -> Diagnostic {
        let place = format!("`{}` of source `{}`", remark.field, self.name);
        value_problem(self.place(&remark.field), &place, &remark.problem).warning()
    }
}

/// A source component that reads files: events of another source.
pub struct ImportSpec {
    /// Its name.
    pub name: String,
    /// The file; `*` and `?` in its name stand for any others.
    pub path: PathBuf,
    /// The source whose events they are, and its stream.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// How the records stand in the files; `None`: as their names say.
    pub format: Option<ExportFormat>,
    /// Of a CSV: members by the columns that hold them, where the names differ.
    pub columns: BTreeMap<String, String>,
    /// Of a CSV: members that it may lack.
    pub without: BTreeSet<String>,
    /// Where `path` was written.
    pub span: Span,
}

/// A source component that reads topics.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// Its name.
    pub name: String,
    /// What it reads, and how.
    pub options: KafkaSource,
    /// Where its name was written.
    pub span: Span,
}

/// Reads topics that another headwater has written, or anybody.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSource {
    /// Brokers to begin with, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The topics.
    pub topics: Vec<String>,
    /// `group.id`: instances of the same group share the partitions, and the group's offsets say how far they are.
    pub group: String,
    /// This instance's name in the group, such as a pod's. One that starts again under its name has its partitions back at
    /// once; without a name they are free only when the dead one's session has timed out.
    #[serde(default)]
    pub instance: Option<String>,
    /// Where a partition is begun of which the group has no offset: `earliest` or `latest`. Default: `earliest`.
    #[serde(default)]
    pub auto_offset_reset: OffsetReset,
    /// Where an instance dies, hangs or is cut off, the others read its partitions within this time. Default: `10s`.
    #[serde(default = "KafkaState::default_session_timeout")]
    pub session_timeout: Period,
    /// What the records are: `json`, the event's JSON, as the `kafka` sink writes it with `encoding: raw`. Default: `json`.
    #[serde(default)]
    pub decoding: Decoding,
    /// Events in one transaction, or between two commits of offsets, at most about so many; fewer where nothing comes.
    /// Default: 2000.
    #[serde(default = "KafkaState::default_transaction_events")]
    pub transaction_events: usize,
    /// TLS; `{}` for its defaults. With a `ca_file` only the authorities in it are trusted.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who we are at the cluster.
    #[serde(default)]
    pub sasl: Option<Sasl>,
    /// Settings of librdkafka, by their names there. Those that the guarantees hang on are refused.
    #[serde(default)]
    pub librdkafka_options: BTreeMap<String, String>,
}

impl KafkaSource {
    /// The cluster, and who we are there.
    pub fn cluster(&self) -> KafkaCluster {
        KafkaCluster {
            bootstrap_servers: self.bootstrap_servers.clone(),
            tls: self.tls.clone(),
            sasl: self.sasl.clone(),
            librdkafka_options: self.librdkafka_options.clone(),
        }
    }
}

/// Where a partition is begun of which the group has no offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// At its first record.
    #[default]
    Earliest,
    /// At its end.
    Latest,
}

/// What the records of a topic are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decoding {
    /// JSON.
    #[default]
    Json,
}

/// A sink component.
pub struct SinkSpec {
    /// Its name.
    pub name: String,
    /// Its `type`.
    pub kind: &'static str,
    /// The options every sink takes.
    pub options: SinkOptions,
    /// What it reads, globs expanded, none twice.
    pub inputs: Vec<OutputRef>,
    /// What its plugin built.
    pub sink: Box<dyn Sink>,
    /// Where its name was written.
    pub span: Span,
}

/// An output of a component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputRef {
    /// The component.
    pub component: String,
    /// The port; empty for the main one.
    pub port: String,
}

impl fmt::Display for OutputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.component)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ".{}", self.port) }
    }
}

/// A transform component.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformSpec {
    /// Its name.
    pub name: String,
    /// What it reads, globs expanded, none twice.
    pub inputs: Vec<OutputRef>,
    /// What it does.
    pub transform: Transform,
    /// What happens to an event that its VRL fails on. `None`: it goes to the dead letters, unless all do from the first one
    /// on, which stops the run.
    pub on_error: Option<OnError>,
    /// Where its name was written.
    pub span: Span,
}

/// What a transform does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transform {
    /// Runs a program on each event.
    Remap {
        /// The program.
        program: VrlText,
        /// Whether `abort` drops the event by rule; otherwise the event goes on unchanged.
        drop_on_abort: bool,
    },
    /// Lets events pass that a condition holds for; drops the others by rule.
    Filter {
        /// The condition.
        condition: VrlText,
    },
    /// Sends each event out of every port whose condition holds.
    Route {
        /// Ports and conditions, in the order written.
        routes: Vec<(String, VrlText)>,
        /// Whether events that no condition holds for leave by the port `_unmatched`; otherwise they are dropped by rule.
        reroute_unmatched: bool,
    },
}

impl Transform {
    /// Its `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Remap { .. } => "remap",
            Self::Filter { .. } => "filter",
            Self::Route { .. } => "route",
        }
    }

    /// The VRL texts in it: the program, or the conditions.
    pub fn texts(&self) -> Vec<&VrlText> {
        match self {
            Self::Remap { program, .. } => vec![program],
            Self::Filter { condition } => vec![condition],
            Self::Route { routes, .. } => routes.iter().map(|(_, condition)| condition).collect(),
        }
    }
}

/// The port of a route transform for events that no condition holds for.
pub const UNMATCHED: &str = "_unmatched";

/// What happens to an event that a program fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It goes to the dead letters with the reason, also where all do.
    DeadLetter,
    /// The run stops; nothing is skipped.
    Block,
}

/// An enrichment table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name in VRL.
    pub name: String,
    /// What it is.
    pub table: Table,
    /// Where its path was written.
    pub span: Span,
}

/// What an enrichment table is. Paths are ready to open: relative ones start from the folder of the YAML file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// Rows of a CSV file.
    Csv {
        /// The file.
        path: PathBuf,
        /// What stands between two fields. Default: `,`.
        delimiter: u8,
        /// Whether the first row names the columns; otherwise they are `0`, `1`, and so on. Default: `true`.
        include_headers: bool,
    },
    /// A MaxMind database.
    Mmdb {
        /// The file.
        path: PathBuf,
    },
}

/// A unit test, in Vector's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitTest {
    /// Its name.
    pub name: String,
    /// Events that go in.
    pub inputs: Vec<TestInput>,
    /// What must come out.
    pub outputs: Vec<TestOutput>,
    /// Outputs that nothing may come out of.
    pub no_outputs_from: Vec<OutputRef>,
    /// Where the test was written.
    pub span: Span,
}

/// An event that a unit test puts in.
#[derive(Debug, Clone, PartialEq)]
pub struct TestInput {
    /// The transforms it goes into.
    pub insert_at: Vec<String>,
    /// The event.
    pub event: TestEvent,
    /// `%headwater` fields and others, by name.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Where it was written.
    pub span: Span,
}

/// The body of an event that a unit test puts in.
#[derive(Debug, Clone, PartialEq)]
pub enum TestEvent {
    /// Fields.
    Log(serde_json::Value),
    /// The event's bytes, as a provider sends them.
    Raw(String),
    /// A program that makes the event.
    Vrl(VrlText),
}

/// What a unit test expects.
#[derive(Debug, Clone, PartialEq)]
pub struct TestOutput {
    /// The outputs to look at.
    pub extract_from: Vec<OutputRef>,
    /// Conditions that at least one event must fulfil, all of them; without any, an event must come out.
    pub conditions: Vec<VrlText>,
    /// Where it was written.
    pub span: Span,
}
