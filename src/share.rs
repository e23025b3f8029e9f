//! What of the pipeline is this process's: all of it, or its share of a group's streams.

use crate::Failure;
use headwater_config::KafkaState;
use headwater_ledger::{Assignment, FileLedger, KafkaLedger, KafkaPlace, Ledger, Membership};
use std::{collections::BTreeSet, convert::Infallible, path::Path, sync::Arc};
use tokio::sync::watch;

/// Whom this process shares the streams with.
pub(crate) enum Share {
    /// With nobody: the ledger is a file, and locked.
    Alone(Arc<FileLedger>),
    /// With the instances of a group, by Kafka's group protocol.
    Group { ledger: Arc<KafkaLedger>, membership: Membership },
}

/// A time during which the share does not change.
pub(crate) struct Turn {
    /// The ledger of what is ours.
    pub(crate) ledger: Arc<dyn Ledger>,
    assigned: Assignment,
}

impl Share {
    /// The whole pipeline, with a ledger in a folder.
    pub(crate) fn alone(path: &Path) -> Result<Self, Failure> {
        Ok(Self::Alone(Arc::new(FileLedger::open(path).map_err(Failure::run)?)))
    }

    /// A share of the streams, with a ledger in Kafka.
    pub(crate) fn of_group(state: &KafkaState) -> Result<Self, Failure> {
        let place = place(state);
        let ledger = Arc::new(KafkaLedger::open(place.clone()).map_err(Failure::run)?);
        let membership = Membership::join(&place).map_err(Failure::run)?;
        Ok(Self::Group { ledger, membership })
    }

    /// Waits for a share, and takes it over.
    pub(crate) async fn turn(&self) -> Result<Turn, Failure> {
        let (ledger, membership) = match self {
            Self::Alone(ledger) => return Ok(Turn { ledger: ledger.clone(), assigned: None }),
            Self::Group { ledger, membership } => (ledger, membership),
        };
        let mut changes = membership.assigned();
        let assigned =
            changes.wait_for(Option::is_some).await.map_err(|_| Failure::run("the group has ended"))?.clone();
        let partitions = assigned.as_deref().cloned().unwrap_or_default();
        membership.hold();
        ledger.own(&partitions);
        tracing::info!(partitions = partitions.len(), "this instance reads the streams of its share");
        Ok(Turn { ledger: ledger.clone(), assigned })
    }

    /// Stops the run as soon as the share is another one.
    pub(crate) async fn until_lost(&self, turn: &Turn, stop: &watch::Sender<bool>) -> Infallible {
        if let Self::Group { membership, .. } = self {
            let changed = membership.assigned().wait_for(|assigned| !same(assigned, &turn.assigned)).await.is_ok();
            if changed {
                tracing::info!("the group shares its streams anew");
                let _ = stop.send(true);
            }
        }
        std::future::pending().await
    }

    /// Lets go of what was ours. Whether it is lost: the share has changed, or another instance has taken of it.
    pub(crate) fn let_go(&self, turn: &Turn) -> bool {
        let Self::Group { ledger, membership } = self else { return false };
        let lost = ledger.is_fenced() || !same(&membership.assigned().borrow(), &turn.assigned);
        ledger.disown();
        membership.release();
        lost
    }
}

/// Each assignment is one of its own, also where it names the same partitions: between two, another instance may have had them.
fn same(a: &Assignment, b: &Assignment) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::<BTreeSet<i32>>::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
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
