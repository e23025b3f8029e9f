//! Sources whose name was changed: the ledger knows streams by it.

use headwater_config::Pipeline;
use headwater_ledger::StreamKey;
use std::collections::{BTreeMap, BTreeSet};

/// A source that the ledger has and the configuration does not.
#[derive(Debug, PartialEq, Eq)]
struct Gone<'a> {
    name: &'a str,
    streams: Vec<&'a str>,
    /// Sources that the ledger does not have, and that read one of its streams: its new name, probably.
    heirs: Vec<&'a str>,
}

/// Says which streams of the ledger are not read any more, and which are read from their beginning under another name.
pub(crate) fn warn(pipeline: &Pipeline, kept: &[StreamKey]) {
    let mut configured: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in &pipeline.sources {
        configured.insert(&source.name, source.built.source.streams());
    }
    for name in pipeline.imports.iter().map(|spec| &spec.name).chain(pipeline.consumers.iter().map(|spec| &spec.name)) {
        configured.insert(name, Vec::new());
    }
    for Gone { name, streams, heirs } in gone(&configured, kept) {
        let streams = streams.iter().map(|stream| format!("`{stream}`")).collect::<Vec<_>>().join(", ");
        if heirs.is_empty() {
            tracing::warn!(
                "the ledger has streams of source `{name}`, which is not configured: {streams}. They are kept, and not read. To go on with \
                 them, name their source `{name}`; `headwater ledger reset {name}` forgets them"
            );
        }
        for heir in heirs {
            tracing::warn!(
                "source `{heir}` reads what source `{name}` has read, which is not configured any more: {streams}. The ledger knows streams by \
                 the name of their source, so that this is a first run: everything since `start_at` is delivered again. To go on where \
                 `{name}` stands, name the source `{name}`. If it is to begin anew, `headwater ledger reset {name}` ends this warning"
            );
        }
    }
}

fn gone<'a>(configured: &'a BTreeMap<&str, Vec<String>>, kept: &'a [StreamKey]) -> Vec<Gone<'a>> {
    let known: BTreeSet<&str> = kept.iter().map(|key| key.source.as_str()).collect();
    let new: Vec<(&str, &Vec<String>)> =
        configured.iter().map(|(name, streams)| (*name, streams)).filter(|(name, _)| !known.contains(name)).collect();
    let left = known.into_iter().filter(|name| !configured.contains_key(name));
    left.map(|name| {
        let streams: Vec<&str> = kept.iter().filter(|key| key.source == name).map(|key| key.stream.as_str()).collect();
        let reads = |all: &Vec<String>| all.iter().any(|stream| streams.contains(&stream.as_str()));
        let heirs = new.iter().filter(|(_, all)| reads(all)).map(|(name, _)| *name).collect();
        Gone { name, streams, heirs }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_source_that_reads_the_streams_of_one_that_is_gone_is_its_heir() {
        let configured = BTreeMap::from([
            ("kept", vec!["a".to_owned()]),
            ("new", vec!["b".to_owned(), "x".to_owned()]),
            ("other", vec!["y".to_owned()]),
        ]);
        let key = |source: &str, stream: &str| StreamKey { source: source.into(), stream: stream.into() };
        let ledger = [key("kept", "a"), key("old", "b"), key("old", "c"), key("gone", "z")];
        assert_eq!(
            gone(&configured, &ledger),
            [
                Gone { name: "gone", streams: vec!["z"], heirs: Vec::new() },
                Gone { name: "old", streams: vec!["b", "c"], heirs: vec!["new"] },
            ]
        );
        assert_eq!(gone(&configured, &ledger[..1]), []);
    }
}
