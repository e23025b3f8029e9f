//! Sources that read topics: `type: kafka`.

use crate::{
    ConsumerSpec, Diagnostic, Diagnostics, Entry, KafkaSource, Node,
    component::{Workshop, located},
    settings::is_kafka_name,
};
use headwater_contracts::{ConfigError, KafkaUse, Period};

/// The value of `type`.
pub(crate) const KAFKA: &str = "kafka";

/// Whether a source is one that reads topics.
pub(crate) fn is_kafka(entry: &Entry) -> bool {
    entry.value.get("type").and_then(Node::scalar).is_some_and(|kind| kind.text == KAFKA)
}

impl Workshop<'_> {
    /// Decodes a source that reads topics. `others` are those before it.
    pub(crate) fn consumer(
        &self,
        entry: &Entry,
        others: &[ConsumerSpec],
        diagnostics: &mut Diagnostics,
    ) -> Option<ConsumerSpec> {
        let name = format!("source `{}`", entry.key);
        let options: KafkaSource = self.tagged(entry, &name, diagnostics)?;
        if let Err(problem) = check(&options, others) {
            let field = problem.field.as_str();
            let node = entry.value.find(field).0;
            // That its variable is not set has been said.
            if node.scalar().is_some_and(|scalar| scalar.unset) {
                return None;
            }
            let span = &node.span;
            diagnostics.push(Diagnostic::at(span, format!("`{field}` of {name}: {problem}")));
            return None;
        }
        let remark = options.cluster().remark().and_then(|remark| located(&remark, entry, &name));
        if let Some(remark) = remark {
            diagnostics.push(remark.warning());
        }
        Some(ConsumerSpec { name: entry.key.clone(), options, span: entry.span.clone() })
    }
}

/// What the types of the keys do not say.
fn check(source: &KafkaSource, others: &[ConsumerSpec]) -> Result<(), ConfigError> {
    let names = [("group", Some(&source.group)), ("instance", source.instance.as_ref())];
    let names = names.into_iter().filter_map(|(field, name)| Some((field.to_owned(), name?)));
    let topics = source.topics.iter().enumerate().map(|(number, topic)| (format!("topics.{number}"), topic));
    for (field, name) in names.chain(topics) {
        if !is_kafka_name(name) {
            let problem = format!("`{name}` is no such name: up to 200 of A-Z, a-z, 0-9, `.`, `_` and `-`");
            return Err(ConfigError::new(field, problem));
        }
    }
    if source.topics.is_empty() {
        return Err(ConfigError::new("topics", "names no topic: write `[..]` with one at least"));
    }
    let twice = source.topics.iter().enumerate().find(|(number, topic)| source.topics[..*number].contains(*topic));
    if let Some((number, topic)) = twice {
        return Err(ConfigError::new(format!("topics.{number}"), format!("`{topic}` stands there twice")));
    }
    if let Some(other) = others.iter().find(|other| other.options.group == source.group) {
        let problem = format!(
            "source `{}` reads in group `{}` too, and the two would take partitions from each other: give each a group of its own, \
             or name all topics in one",
            other.name, source.group
        );
        return Err(ConfigError::new("group", problem));
    }
    if source.transaction_events == 0 {
        return Err(ConfigError::new("transaction_events", "must be at least 1"));
    }
    if source.session_timeout < Period::seconds(1) {
        return Err(ConfigError::new("session_timeout", "must be at least `1s`"));
    }
    if source.session_timeout > Period::minutes(5) {
        return Err(ConfigError::new("session_timeout", "must be at most `5m`, which is as long as Kafka waits"));
    }
    source.cluster().check(KafkaUse::Source)
}
