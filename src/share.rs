//! What of the pipeline is this process's: all of it, or its share of a group's streams.

use crate::Failure;
use headwater_config::KafkaState;
use headwater_ledger::{FileLedger, KafkaLedger, KafkaPlace, Ledger, Membership, Seat};
use std::{collections::BTreeSet, convert::Infallible, path::Path, sync::Arc};
use tokio::sync::watch;

/// Whom this process shares the streams with.
pub(crate) enum Share {
    /// With nobody: the ledger is a file, and locked.
    Alone(Arc<FileLedger>),
    /// With the instances of a group, by Kafka's group protocol.
    Group { place: Box<KafkaPlace>, membership: Membership },
}

/// A time during which the share does not change.
pub(crate) struct Turn {
    /// The ledger of what is ours.
    pub(crate) ledger: Arc<dyn Ledger>,
    group: Option<(Arc<KafkaLedger>, Arc<BTreeSet<i32>>)>,
}

impl Share {
    /// The whole pipeline, with a ledger in a folder.
    pub(crate) fn alone(path: &Path) -> Result<Self, Failure> {
        Ok(Self::Alone(Arc::new(FileLedger::open(path).map_err(Failure::run)?)))
    }

    /// A share of the streams, with a ledger in Kafka.
    pub(crate) fn of_group(state: &KafkaState) -> Result<Self, Failure> {
        let place = place(state);
        // The topic has to be there before the group shares it.
        KafkaLedger::open(place.clone()).map_err(Failure::run)?;
        let membership = Membership::join(&place).map_err(Failure::run)?;
        Ok(Self::Group { place: Box::new(place), membership })
    }

    /// Waits for a share. Each has a ledger of its own: what is left over from the last one cannot reach into it.
    pub(crate) async fn turn(&self) -> Result<Turn, Failure> {
        let (place, membership) = match self {
            Self::Alone(ledger) => return Ok(Turn { ledger: ledger.clone(), group: None }),
            Self::Group { place, membership } => (place, membership),
        };
        let mut seats = membership.seat();
        let seat = seats.wait_for(|seat| !matches!(seat, Seat::Waiting)).await;
        let assigned = match seat.map_err(|_| Failure::run("the group has ended"))?.clone() {
            Seat::Assigned(assigned) => assigned,
            Seat::Lost(reason) => return Err(Failure::run(reason)),
            Seat::Waiting => return Err(Failure::run("the group has ended")),
        };
        membership.hold();
        let place = KafkaPlace::clone(place);
        let opened = tokio::task::spawn_blocking(move || KafkaLedger::open(place)).await;
        let ledger =
            opened.map_err(|panic| Failure::run(format!("the ledger crashed: {panic}")))?.map_err(Failure::run)?;
        ledger.own(&assigned);
        let ledger = Arc::new(ledger);
        tracing::info!(partitions = assigned.len(), "this instance reads the streams of its share");
        Ok(Turn { ledger: ledger.clone(), group: Some((ledger, assigned)) })
    }

    /// Stops the run as soon as the share is another one.
    pub(crate) async fn until_lost(&self, turn: &Turn, stop: &watch::Sender<bool>) -> Infallible {
        if let (Self::Group { membership, .. }, Some((_, assigned))) = (self, &turn.group) {
            let changed = membership.seat().wait_for(|seat| !same(seat, assigned)).await.is_ok();
            if changed {
                tracing::info!("the group shares its streams anew");
                let _ = stop.send(true);
            }
        }
        std::future::pending().await
    }

    /// Lets go of what was ours. Whether it is lost: the share has changed, or another instance has taken of it.
    pub(crate) fn let_go(&self, turn: &Turn) -> bool {
        let (Self::Group { membership, .. }, Some((ledger, assigned))) = (self, &turn.group) else { return false };
        let lost = ledger.is_fenced() || !same(&membership.seat().borrow(), assigned);
        ledger.close();
        membership.release();
        lost
    }
}

/// Each assignment is one of its own, also where it names the same partitions: between two, another instance may have had them.
fn same(seat: &Seat, assigned: &Arc<BTreeSet<i32>>) -> bool {
    matches!(seat, Seat::Assigned(now) if Arc::ptr_eq(now, assigned))
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
