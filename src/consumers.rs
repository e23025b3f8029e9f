//! The topics of `type: kafka` sources: what the consumer is told of them, and what they need beside themselves.

use crate::Failure;
use headwater_config::{ConsumerSpec, Diagnostic, Diagnostics, OffsetReset, Pipeline, State};
use headwater_contracts::KafkaUse;
use headwater_kafka::Group;
use headwater_ledger::Stage;
use headwater_source_kafka::{Start, Topics};
use std::{collections::HashSet, sync::Arc};

/// What the consumer is told.
pub(crate) fn topics(spec: &ConsumerSpec) -> Topics {
    let options = &spec.options;
    Topics {
        component: spec.name.clone(),
        group: Group {
            cluster: options.cluster(),
            id: options.group.clone(),
            topics: options.topics.clone(),
            instance: options.instance.clone(),
            session_timeout: options.session_timeout.to_std(),
        },
        start: match options.auto_offset_reset {
            OffsetReset::Earliest => Start::Earliest,
            OffsetReset::Latest => Start::Latest,
        },
        transaction_events: options.transaction_events,
    }
}

/// Where records wait in a pipeline that needs no ledger, since all that it reads are topics: for transactions on their cluster.
pub(crate) fn stage(pipeline: &Pipeline) -> Option<Arc<Stage>> {
    let first = pipeline.consumers.first()?;
    let alone = pipeline.sources.is_empty() && pipeline.imports.is_empty();
    alone.then(|| Arc::new(Stage::new(first.options.cluster())))
}

/// Refuses what looks at the ledger, where there is none.
pub(crate) fn need_ledger(pipeline: &Pipeline) -> Result<(), Failure> {
    if stage(pipeline).is_none() {
        return Ok(());
    }
    let groups: Vec<&str> = pipeline.consumers.iter().map(|spec| spec.options.group.as_str()).collect();
    Err(Failure::config(format!(
        "there is no ledger: all that is read are topics, and how far that is say the group's offsets. Ask the cluster: \
         `kafka-consumer-groups.sh --bootstrap-server .. --describe --group {}`",
        groups.join(" --group ")
    )))
}

/// Reports sinks that write where this pipeline reads, or keeps its ledger.
pub(crate) fn refuse_circles(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    for sink in &pipeline.sinks {
        let Some((cluster, topic)) = sink.sink.topic() else { continue };
        if let State::Kafka(state) = &pipeline.state
            && state.topic == topic
            && state.cluster().is_same(cluster)
        {
            let message = format!("sink `{}` writes to topic `{topic}`, where the ledger is kept", sink.name);
            diagnostics.push(Diagnostic::at(&sink.span, message).hint("give one of them another topic"));
        }
        let read = upstream(pipeline, &sink.name);
        // Dead letters come from everywhere.
        let takes_letters = pipeline.graph().dead_letter.as_deref() == Some(sink.name.as_str());
        for source in &pipeline.consumers {
            let reads = source.options.topics.iter().any(|read| read == topic);
            let arrives = takes_letters || read.contains(source.name.as_str());
            if reads && arrives && source.options.cluster().is_same(cluster) {
                let message = format!(
                    "sink `{}` writes to topic `{topic}`, which source `{}` reads: events would go round in a circle",
                    sink.name, source.name
                );
                let problem = Diagnostic::at(&sink.span, message).hint("write to another topic");
                diagnostics.push(problem.note("it is read here", &source.span));
            }
        }
    }
}

/// The components whose events come to this one.
fn upstream<'a>(pipeline: &'a Pipeline, name: &'a str) -> HashSet<&'a str> {
    let edges = &pipeline.graph().edges;
    let (mut found, mut left) = (HashSet::new(), vec![name]);
    while let Some(reader) = left.pop() {
        let read = edges.iter().filter(|edge| edge.to == reader).map(|edge| edge.from.component.as_str());
        left.extend(read.filter(|read| found.insert(*read)));
    }
    found
}

/// Reports settings of a cluster that its client does not know, or cannot read.
pub(crate) fn check_clients(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    for source in &pipeline.consumers {
        if let Err(problem) = headwater_kafka::check(&source.options.cluster(), KafkaUse::Source) {
            let message = format!("`{}` of source `{}`: {problem}", problem.field, source.name);
            diagnostics.push(Diagnostic::at(&source.span, message));
        }
    }
    if let State::Kafka(state) = &pipeline.state
        && let Err(problem) = headwater_kafka::check(&state.cluster(), KafkaUse::Ledger)
    {
        diagnostics.push(Diagnostic::new(format!("`{}` of `state`: {problem}", problem.field)));
    }
}

/// Reports sinks that need more than the pipeline has, before anything runs.
pub(crate) fn join_sinks(pipeline: &mut Pipeline, diagnostics: &mut Diagnostics) {
    let stage = match (stage(pipeline), &pipeline.state) {
        // The ledger's: it says so when it is there.
        (None, State::Kafka(_)) if pipeline.consumers.is_empty() => return,
        (None, State::Kafka(state)) => Some(Arc::new(Stage::new(state.cluster()))),
        (stage, _) => stage,
    };
    for sink in &mut pipeline.sinks {
        if let Err(problem) = sink.sink.join(stage.as_ref().map(|stage| stage.outbox(&sink.name))) {
            let message = format!("sink `{}`, `{}`: {problem}", sink.name, problem.field);
            diagnostics.push(Diagnostic::at(&sink.span, message));
        }
    }
    let Some(stage) = stage.filter(|stage| stage.is_joined()) else { return };
    for other in pipeline.consumers.iter().filter(|other| !other.options.cluster().is_same(stage.cluster())) {
        let message = format!(
            "source `{}` reads from another cluster than `{}`, and a sink delivers `exactly_once`: a transaction cannot span two",
            other.name,
            stage.cluster().bootstrap_servers
        );
        diagnostics.push(
            Diagnostic::at(&other.span, message).hint("run a process for each cluster, or deliver `at_least_once`"),
        );
    }
}

/// Reports sources that cannot be simulated.
pub(crate) fn refuse_simulation(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    for spec in &pipeline.consumers {
        let message = format!("source `{}` reads topics, and there is no simulator of them", spec.name);
        diagnostics.push(Diagnostic::at(&spec.span, message).hint("run it without `--simulate`"));
    }
}
