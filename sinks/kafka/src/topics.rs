//! What is known of the topics that are written to.

use headwater_contracts::{KafkaCluster, Outgoing, SinkError, Timestamp};
use headwater_kafka::{Limits, Producer, Unseen};
use std::{
    collections::{HashMap, HashSet},
    thread,
};
use tokio::sync::oneshot;

/// What is known of the topics that are written to.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    known: HashMap<String, Known>,
    /// Those whose limits were read for the batch at hand.
    fresh: HashSet<String>,
    /// Those of which it has been said that they delete what is written to them soon.
    warned: HashSet<String>,
    /// The time of the oldest record of each.
    oldest: HashMap<String, Timestamp>,
}

/// What a topic takes.
#[derive(Debug)]
enum Known {
    /// The cluster is being asked. Until it has answered, a topic takes everything.
    Asked(oneshot::Receiver<Result<Limits, String>>),
    Told(Limits),
}

impl Topics {
    /// Another batch: what is known may be of yesterday.
    pub(crate) fn next_batch(&mut self) {
        self.fresh.clear();
    }

    /// Finds the topics of these records, those that are not known. `Err` names one that is not there, or what else is in the way.
    pub(crate) async fn learn(
        &mut self,
        cluster: &KafkaCluster,
        producer: Option<&Producer>,
        records: impl Iterator<Item = &Outgoing>,
    ) -> Result<(), SinkError> {
        let mut last = None;
        for Outgoing { topic, .. } in records {
            if last != Some(topic) && !self.known.contains_key(topic) {
                let (asked, name) = (cluster.clone(), topic.clone());
                let producer = producer.cloned();
                let found = tokio::task::spawn_blocking(move || match producer {
                    Some(producer) => headwater_kafka::find_by(&producer, &asked, &name),
                    None => headwater_kafka::find(&asked, &name),
                });
                let found = found.await;
                let found = found.map_err(|panic| SinkError::Fatal(panic.to_string()))?;
                found.map_err(|Unseen { reason, denied }| {
                    if denied { SinkError::Denied(reason) } else { SinkError::Retry { reason, after: None } }
                })?;
                self.ask(cluster, topic);
            }
            last = Some(topic);
        }
        Ok(())
    }

    /// Asks for a topic's limits. On a thread of its own: a cluster that does not answer such questions holds nothing up.
    fn ask(&mut self, cluster: &KafkaCluster, topic: &str) {
        let (answer, asked) = oneshot::channel();
        let (cluster, name) = (cluster.clone(), topic.to_owned());
        thread::spawn(move || answer.send(headwater_kafka::limits(&cluster, &name)));
        self.known.insert(topic.to_owned(), Known::Asked(asked));
        self.fresh.insert(topic.to_owned());
    }

    /// Waits for a topic's limits, if they are being asked for.
    pub(crate) async fn told(&mut self, topic: &str) {
        if let Some(Known::Asked(asked)) = self.known.get_mut(topic) {
            let limits = asked.await.unwrap_or_else(|_| Err("the one who asked has failed: this is a bug".to_owned()));
            self.known.insert(topic.to_owned(), Known::Told(or_unlimited(topic, limits)));
        }
    }

    /// Takes in what has been told by now.
    fn take_in(&mut self, topic: &str) {
        if let Some(Known::Asked(asked)) = self.known.get_mut(topic)
            && let Ok(limits) = asked.try_recv()
        {
            self.known.insert(topic.to_owned(), Known::Told(or_unlimited(topic, limits)));
        }
    }

    /// Why a record may be refused, by its topic's limits as they are now.
    pub(crate) async fn doubt(&mut self, cluster: &KafkaCluster, record: &Outgoing, now: Timestamp) -> Option<String> {
        let topic = &record.topic;
        self.take_in(topic);
        if self.objection(record, now).is_some() && !self.fresh.contains(topic) {
            self.ask(cluster, topic);
            self.told(topic).await;
        }
        self.objection(record, now)
    }

    fn limits(&self, topic: &str) -> Option<&Limits> {
        match self.known.get(topic)? {
            Known::Told(limits) => Some(limits),
            Known::Asked(_) => None,
        }
    }

    /// What its topic's limits say against a record.
    pub(crate) fn objection(&self, record: &Outgoing, now: Timestamp) -> Option<String> {
        self.limits(&record.topic)?.objection(record, now)
    }

    /// Most bytes that a topic takes at once.
    pub(crate) fn most(&self, topic: &str) -> usize {
        self.limits(topic).and_then(|limits| limits.bytes).unwrap_or(usize::MAX)
    }

    /// Most bytes that all of them take at once.
    pub(crate) fn least(&self) -> usize {
        self.known.keys().map(|topic| self.most(topic)).min().unwrap_or(usize::MAX)
    }

    /// Remembers the oldest record of a topic.
    pub(crate) fn note(&mut self, record: &Outgoing) {
        match self.oldest.get_mut(&record.topic) {
            Some(oldest) => *oldest = record.time.min(*oldest),
            None => drop(self.oldest.insert(record.topic.clone(), record.time)),
        }
    }

    /// Says once of each topic that it deletes what is as old as its oldest record, as soon as that is known.
    pub(crate) fn warn_of_retention(&mut self, now: Timestamp) {
        for (topic, oldest) in self.oldest.clone() {
            self.take_in(&topic);
            let said = self.limits(&topic).and_then(|limits| limits.brevity(&topic, now - oldest));
            if let Some(said) = said.filter(|_| self.warned.insert(topic)) {
                tracing::warn!("an event of {} is delivered: {said}", oldest.to_rfc3339());
            }
        }
    }
}

/// The limits of a topic, or none where they are not told.
fn or_unlimited(topic: &str, told: Result<Limits, String>) -> Limits {
    told.unwrap_or_else(|why| {
        tracing::warn!(
            "the limits of topic `{topic}` are not known: {why}. A record that it refuses costs its neighbours another attempt"
        );
        Limits::default()
    })
}
