//! What of the pipeline is this process's: all of it, or its share of a group's streams and of topics' partitions.

use crate::{Failure, consumers, places::in_place};
use headwater_config::{KafkaState, Pipeline, State};
use headwater_contracts::KafkaCluster;
use headwater_kafka::{Assigned, Membership, Seat};
use headwater_ledger::{FileLedger, KafkaLedger, KafkaPlace, Ledger, LedgerError, MemoryLedger, Stage, StreamKey};
use headwater_runtime::{Board, ConsumerSpec, SystemClock};
use headwater_source_kafka::{Subscription, TopicsConsumer};
use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How often it is asked whether a cluster has troubles.
const LOOK: Duration = Duration::from_secs(5);

/// Whom this process shares the work with.
pub(crate) struct Share {
    base: Base,
    /// Topics, and our seats in the groups that read them.
    topics: Vec<(String, Subscription)>,
    /// Whether a cluster that does not answer is waited for.
    patient: bool,
}

/// Whose the streams are that are read from providers.
enum Base {
    /// This process's: the ledger is a file, and locked.
    Alone(Arc<FileLedger>),
    /// Those of a group, shared by Kafka's group protocol.
    Group { place: Box<KafkaPlace>, membership: Membership },
    /// Nobody's: there are none. Records that leave with offsets are for this cluster.
    Nothing(Box<KafkaCluster>),
}

/// A time during which the share does not change.
pub(crate) struct Turn {
    /// The ledger of what is ours.
    pub(crate) ledger: Arc<dyn Ledger>,
    group: Option<(Arc<KafkaLedger>, Arc<Assigned>)>,
    topics: Vec<(String, Arc<TopicsConsumer>, Arc<Assigned>)>,
}

impl Turn {
    /// What is ours of topics.
    pub(crate) fn consumers(&self) -> Vec<ConsumerSpec> {
        let specs = self
            .topics
            .iter()
            .map(|(name, consumer, _)| ConsumerSpec { name: name.clone(), consumer: consumer.clone() });
        specs.collect()
    }
}

impl Share {
    /// The whole pipeline, with a ledger in a folder. It reads no topics.
    pub(crate) fn alone(path: &Path) -> Result<Self, Failure> {
        let ledger = FileLedger::open(path).map_err(Failure::run)?;
        Ok(Self { base: Base::Alone(Arc::new(ledger)), topics: Vec::new(), patient: false })
    }

    /// The streams that the ledger has, where it is this process's alone.
    pub(crate) fn kept(&self) -> Result<Vec<StreamKey>, Failure> {
        let Base::Alone(ledger) = &self.base else { return Ok(Vec::new()) };
        let streams = ledger.streams().map_err(Failure::run)?;
        Ok(streams.into_iter().map(|(key, ..)| key).collect())
    }

    /// What the pipeline says: its ledger, if it needs one, and seats in the groups of its topics. A cluster that does not answer is
    /// waited for, if that is `patient`. Blocking.
    pub(crate) fn of(pipeline: &Pipeline, patient: bool) -> Result<Self, Failure> {
        in_place(pipeline)?;
        let base = match (consumers::stage(pipeline), &pipeline.state) {
            (Some(stage), _) => Base::Nothing(Box::new(stage.cluster().clone())),
            (None, State::File { path }) => {
                Base::Alone(Arc::new(until_answered(patient.then_some("there is space"), || {
                    FileLedger::open(path).map_err(|error| (error.to_string(), error.passes()))
                })?))
            }
            (None, State::Kafka(state)) => Self::of_group(state, patient)?,
        };
        let mut topics = Vec::new();
        for spec in &pipeline.consumers {
            let joined = until_answered(patient.then_some("the cluster answers"), || {
                let joined = Subscription::join(consumers::topics(spec));
                joined.map_err(|error| (format!("source `{}`: {error}", spec.name), error.unanswered))
            })?;
            topics.push((spec.name.clone(), joined));
        }
        Ok(Self { base, topics, patient })
    }

    fn of_group(state: &KafkaState, patient: bool) -> Result<Base, Failure> {
        let place = place(state);
        // The topic has to be there before the group shares it.
        open(&place, patient)?;
        let joined = Membership::join(&place.group());
        let membership =
            joined.map_err(|error| Failure::run(format!("the ledger in topic `{}`: {error}", place.topic)))?;
        Ok(Base::Group { place: Box::new(place), membership })
    }

    fn seats(&self) -> Vec<watch::Receiver<Seat>> {
        let of_ledger = match &self.base {
            Base::Group { membership, .. } => Some(membership.seat()),
            Base::Alone(_) | Base::Nothing(_) => None,
        };
        of_ledger.into_iter().chain(self.topics.iter().map(|(_, topics)| topics.seat())).collect()
    }

    /// Waits until every group has made up its mind. None is held up meanwhile: two instances would wait for each other.
    async fn assigned(&self) -> Result<Vec<Arc<Assigned>>, Failure> {
        let mut seats = self.seats();
        loop {
            for seat in &mut seats {
                let decided = seat.wait_for(|seat| !matches!(seat, Seat::Waiting)).await;
                decided.map_err(|_| Failure::run("the group has ended"))?;
            }
            self.hold();
            let mut all = Vec::new();
            for seat in &seats {
                match &*seat.borrow() {
                    Seat::Assigned(assigned) => all.push(assigned.clone()),
                    Seat::Lost(reason) => return Err(Failure::run(reason)),
                    Seat::Waiting => {}
                }
            }
            if all.len() == seats.len() {
                return Ok(all);
            }
            self.release();
        }
    }

    /// Looks after the clusters whose groups we belong to: one that does not answer is said, and shown on the board.
    pub(crate) async fn look_after(&self, board: &Board) -> Infallible {
        let mut unseen: Option<String> = None;
        loop {
            tokio::time::sleep(LOOK).await;
            // Each is asked, so that none keeps its troubles for later.
            let troubled: Vec<KafkaCluster> =
                self.clusters().filter_map(|(cluster, troubled)| troubled.then_some(cluster)).collect();
            let doubtful =
                if unseen.is_some() { self.clusters().map(|(cluster, _)| cluster).collect() } else { troubled };
            if doubtful.is_empty() {
                continue;
            }
            let look = move || {
                doubtful.iter().find_map(|cluster| headwater_kafka::meet(cluster, headwater_kafka::BRIEFLY).err())
            };
            let now = tokio::task::spawn_blocking(look).await.ok().flatten().map(|unseen| unseen.to_string());
            match (&unseen, &now) {
                (None, Some(reason)) => {
                    tracing::error!("{reason}. Until it answers, nothing is read or delivered; nothing is lost");
                }
                (Some(_), None) => tracing::info!("the cluster answers again"),
                _ => {}
            }
            board.obstacle(now.clone());
            unseen = now;
        }
    }

    /// The clusters of our groups, and whether something has failed there lately.
    fn clusters(&self) -> impl Iterator<Item = (KafkaCluster, bool)> {
        let of_ledger = match &self.base {
            Base::Group { place, membership } => Some((place.cluster.clone(), membership.is_troubled())),
            Base::Alone(_) | Base::Nothing(_) => None,
        };
        let of_topics = self.topics.iter().map(|(_, topics)| (topics.cluster().clone(), topics.is_troubled()));
        of_ledger.into_iter().chain(of_topics)
    }

    fn hold(&self) {
        if let Base::Group { membership, .. } = &self.base {
            membership.hold();
        }
        for (_, topics) in &self.topics {
            topics.hold();
        }
    }

    fn release(&self) {
        if let Base::Group { membership, .. } = &self.base {
            membership.release();
        }
        for (_, topics) in &self.topics {
            topics.release();
        }
    }

    /// Waits for a share of these streams. Each has a ledger of its own: what is left over from the last one cannot reach into it.
    pub(crate) async fn turn(&self, streams: Vec<StreamKey>) -> Result<Turn, Failure> {
        let mut assigned = self.assigned().await?.into_iter();
        let mut group = None;
        let (ledger, stage): (Arc<dyn Ledger>, _) = match &self.base {
            Base::Alone(ledger) => (ledger.clone(), None),
            Base::Nothing(cluster) => {
                let stage = Arc::new(Stage::new(KafkaCluster::clone(cluster)));
                (Arc::new(MemoryLedger::beside(stage.clone())), Some(stage))
            }
            Base::Group { place, .. } => {
                let ours = assigned.next().ok_or_else(|| Failure::run("the group has ended"))?;
                let (place, patient) = (KafkaPlace::clone(place), self.patient);
                let partitions = ours.partitions.iter().map(|(_, partition)| *partition).collect();
                let opened = tokio::task::spawn_blocking(move || {
                    let ledger = open(&place, patient)?;
                    ledger.own(&partitions);
                    ledger.prepare(&streams);
                    Ok::<_, Failure>(ledger)
                });
                let opened = opened.await.map_err(|panic| Failure::run(format!("the ledger crashed: {panic}")))?;
                let ledger = Arc::new(opened?);
                tracing::info!(partitions = ours.partitions.len(), "this instance reads the streams of its share");
                group = Some((ledger.clone(), ours));
                let stage = ledger.stage();
                (ledger, Some(stage))
            }
        };
        let mut topics = Vec::new();
        for ((name, subscription), ours) in self.topics.iter().zip(assigned) {
            tracing::info!(source = %name, partitions = ours.partitions.len(), "this instance reads its share of the topics");
            // Beside a ledger in a file no sink leaves records anywhere.
            let stage = stage.clone().unwrap_or_else(|| Arc::new(Stage::new(subscription.cluster().clone())));
            let consumer = subscription.consumer(ours.clone(), stage, Arc::new(SystemClock));
            topics.push((name.clone(), Arc::new(consumer), ours));
        }
        Ok(Turn { ledger, group, topics })
    }

    /// Stops the run as soon as the share is another one.
    pub(crate) async fn until_lost(&self, turn: &Turn, stop: &watch::Sender<bool>) -> Infallible {
        let mut changes: Vec<_> = self.seats().into_iter().zip(turn.assigned()).collect();
        let waits = changes.iter_mut().map(|(seat, assigned)| Box::pin(seat.wait_for(|seat| !same(seat, assigned))));
        let waits: Vec<_> = waits.collect();
        if !waits.is_empty() {
            let changed = futures::future::select_all(waits).await.0.is_ok();
            if changed {
                tracing::info!("the group shares its streams anew");
                let _ = stop.send(true);
            }
        }
        std::future::pending().await
    }

    /// Lets go of what was ours. Whether it is lost: the share has changed, or another instance has taken of it.
    pub(crate) fn let_go(&self, turn: &Turn) -> bool {
        let changed =
            self.seats().into_iter().zip(turn.assigned()).any(|(seat, assigned)| !same(&seat.borrow(), assigned));
        let mut fenced = false;
        if let Some((ledger, _)) = &turn.group {
            fenced |= ledger.is_fenced();
            ledger.close();
        }
        for (_, consumer, _) in &turn.topics {
            fenced |= consumer.is_fenced();
            consumer.close();
        }
        self.release();
        changed || fenced
    }
}

impl Turn {
    /// What each group has given us, in the order of the seats.
    fn assigned(&self) -> impl Iterator<Item = &Arc<Assigned>> {
        let of_ledger = self.group.iter().map(|(_, assigned)| assigned);
        of_ledger.chain(self.topics.iter().map(|(_, _, assigned)| assigned))
    }
}

/// Each assignment is one of its own, also where it names the same partitions: between two, another instance may have had them.
fn same(seat: &Seat, assigned: &Arc<Assigned>) -> bool {
    matches!(seat, Seat::Assigned(now) if Arc::ptr_eq(now, assigned))
}

/// The ledger in a topic.
fn open(place: &KafkaPlace, patient: bool) -> Result<KafkaLedger, Failure> {
    until_answered(patient.then_some("the cluster answers"), || {
        KafkaLedger::open(place.clone())
            .map_err(|error| (error.to_string(), matches!(error, LedgerError::Unavailable { .. })))
    })
}

/// Tries until what `awaited` names has come, if it is to be awaited. A failure is a reason, and whether it passes.
fn until_answered<T>(
    awaited: Option<&str>,
    mut attempt: impl FnMut() -> Result<T, (String, bool)>,
) -> Result<T, Failure> {
    loop {
        match (attempt(), awaited) {
            (Ok(done), _) => return Ok(done),
            (Err((reason, true)), Some(awaited)) => {
                tracing::warn!("nothing is read until {awaited}, which is tried again in 5 seconds: {reason}");
                std::thread::sleep(Duration::from_secs(5));
            }
            (Err((reason, _)), _) => return Err(Failure::run(reason)),
        }
    }
}

/// Where the ledger of a configuration is kept.
pub(crate) fn place(state: &KafkaState) -> KafkaPlace {
    KafkaPlace {
        cluster: state.cluster(),
        topic: state.topic.clone(),
        group: state.group.clone(),
        instance: state.instance.clone(),
        partitions: state.partitions.into(),
        transaction_events: state.transaction_events,
        session_timeout: state.session_timeout.to_std(),
    }
}
