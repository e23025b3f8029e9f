//! The keys of the parts that no plugin owns: for decoding, and for the JSON Schema.

use crate::OnError;
use headwater_contracts::ExportFormat;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

/// One name or a list of names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of component names")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "One name, or a list of names.", "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// The ledger in a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileStateKeys {
    /// Folder of the ledger, from the working directory if relative. Default: `./state`.
    #[serde(default = "FileStateKeys::default_path")]
    pub(crate) path: PathBuf,
}

impl FileStateKeys {
    pub(crate) fn default_path() -> PathBuf {
        PathBuf::from("./state")
    }
}

/// Dead letters in a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLetterKeys {
    /// Folder of NDJSON files, from the working directory if relative. Default: `./state/dead-letter`.
    pub(crate) path: PathBuf,
}

/// Files that people exported from a provider: events of another source, delivered before it is read, and never twice.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportKeys {
    /// The file, from the folder of the YAML file if relative; in its name `*` and `?` stand for any others. Compressed with
    /// gzip or not.
    pub(crate) path: PathBuf,
    /// The source whose events the file holds. They are filed under its name in the ledger, so that what it has delivered is
    /// not delivered again, by neither.
    pub(crate) source: String,
    /// Its stream (for `anypoint` the organization's id). Default: its only one.
    pub(crate) stream: Option<String>,
    /// The provider whose records the file holds, for a check: it must be that of `source`.
    pub(crate) provider: Option<String>,
    /// How the records stand in the file: `ndjson`, `json` or `csv`. Default: as the end of its name says.
    pub(crate) format: Option<ExportFormat>,
    /// Of a CSV: which member of the API's record a column holds, by the column's name, where that is another.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, String>,
    /// Of a CSV: members of the API's record that it lacks. Its events are delivered without them, and stand in for those
    /// of the API.
    #[serde(default)]
    pub(crate) without: BTreeSet<String>,
}

/// Runs a VRL program on each event.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemapKeys {
    /// The program itself. Either this or `file`.
    #[expect(dead_code, reason = "decoded to check it; the text is taken from the node, with its place")]
    source: Option<String>,
    /// File of the program, from the folder of the YAML file if relative, or `builtin:NAME`.
    #[expect(dead_code, reason = "decoded to check it; taken from the node, with its place")]
    file: Option<String>,
    /// Whether `abort` drops the event by rule; otherwise it goes on unchanged. Default: `true`.
    #[serde(default = "yes")]
    pub(crate) drop_on_abort: bool,
    /// What happens to an event that the program fails on: `dead_letter`, or `block`, which stops the run before it. Default:
    /// `dead_letter`, unless all of the first 100 events fail: then the run stops, and none of them is set aside.
    #[serde(default)]
    pub(crate) on_error: Option<OnError>,
}

/// Lets events pass that a VRL condition holds for, and drops the others by rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterKeys {
    /// The condition.
    #[expect(dead_code, reason = "decoded to check it; the text is taken from the node, with its place")]
    condition: String,
    /// What happens to an event that the condition fails on: `dead_letter`, or `block`, which stops the run before it. Default:
    /// `dead_letter`, unless all of the first 100 events fail: then the run stops, and none of them is set aside.
    #[serde(default)]
    pub(crate) on_error: Option<OnError>,
}

/// Sends each event out of every port whose VRL condition holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteKeys {
    /// Conditions by port. Other components read `NAME.port`.
    #[expect(dead_code, reason = "decoded to check it; the texts are taken from the node, with their places")]
    route: BTreeMap<String, String>,
    /// Whether events that no condition holds for leave by the port `_unmatched`; otherwise they are dropped by rule.
    /// Default: `true`.
    #[serde(default = "yes")]
    pub(crate) reroute_unmatched: bool,
    /// What happens to an event that a condition fails on: `dead_letter`, or `block`, which stops the run before it. Default:
    /// `dead_letter`, unless all of the first 100 events fail: then the run stops, and none of them is set aside.
    #[serde(default)]
    pub(crate) on_error: Option<OnError>,
}

/// Rows of a CSV file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsvKeys {
    /// The file, from the folder of the YAML file if relative.
    pub(crate) path: PathBuf,
    /// What stands between two fields: one ASCII character. Default: `,`.
    #[serde(default = "comma")]
    pub(crate) delimiter: char,
    /// Whether the first row names the columns. Default: `true`.
    #[serde(default = "yes")]
    pub(crate) include_headers: bool,
}

/// A MaxMind database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MmdbKeys {
    /// The file, from the folder of the YAML file if relative.
    pub(crate) path: PathBuf,
}

/// A unit test of transforms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestKeys {
    /// Its name.
    pub(crate) name: String,
    /// Events that go in.
    pub(crate) inputs: Vec<TestInputKeys>,
    /// What must come out.
    #[serde(default)]
    pub(crate) outputs: Vec<TestOutputKeys>,
    /// Outputs that nothing may come out of.
    #[serde(default)]
    pub(crate) no_outputs_from: Names,
}

/// An event that goes in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestInputKeys {
    /// The transforms it goes into.
    pub(crate) insert_at: Names,
    /// How the event is written. Default: `raw`.
    #[serde(default, rename = "type")]
    pub(crate) kind: TestEventKind,
    /// For `raw`: the event's bytes, as a provider sends them.
    pub(crate) value: Option<String>,
    /// For `log`: the event's fields.
    pub(crate) log_fields: Option<Fields>,
    /// For `vrl`: a program that makes the event.
    pub(crate) source: Option<String>,
    /// Metadata by name.
    pub(crate) metadata: Option<Fields>,
}

/// How a test's event is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TestEventKind {
    /// Bytes.
    #[default]
    Raw,
    /// Fields.
    Log,
    /// A program.
    Vrl,
}

/// What must come out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestOutputKeys {
    /// The outputs to look at.
    #[expect(dead_code, reason = "decoded to check it; taken from the node, with its place")]
    extract_from: Names,
    /// Conditions that one event must fulfil, all of them; without any, an event must come out.
    #[serde(default)]
    #[schemars(with = "Vec<ConditionSchema>")]
    #[expect(dead_code, reason = "taken from the node, with its place")]
    conditions: Option<de::IgnoredAny>,
}

/// A condition: VRL, or `{ type: vrl, source: VRL }`.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only for the schema")]
enum ConditionSchema {
    Plain(String),
    Tagged(ConditionKeys),
}

/// A condition with its language.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "decoded to check it; the text is taken from the node, with its place")]
pub(crate) struct ConditionKeys {
    /// The language.
    #[serde(rename = "type")]
    kind: ConditionKind,
    /// The condition.
    source: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ConditionKind {
    Vrl,
}

/// Any mapping; its values are taken from the node.
#[derive(Debug)]
pub(crate) struct Fields;

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, de::IgnoredAny>::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}
