//! What has become of the batch in hand, so that a retry sends only what is open. Pure.

use headwater_contracts::{Delivery, Event, Identity, Rejected};

/// The fates of a batch's events. It outlives a delivery that failed or was dropped: the same batch comes again.
#[derive(Default)]
pub(crate) struct Progress {
    batch: Vec<Identity>,
    fates: Vec<Fate>,
}

#[derive(Clone)]
enum Fate {
    Open,
    Taken,
    Rejected(String),
}

impl Progress {
    /// Goes on with this batch, or begins it if it is another.
    pub(crate) fn take_up(&mut self, events: &[Event]) {
        if !self.batch.iter().eq(events.iter().map(|event| &event.identity)) {
            self.batch = events.iter().map(|event| event.identity).collect();
            self.fates = vec![Fate::Open; events.len()];
        }
    }

    pub(crate) fn is_open(&self, index: usize) -> bool {
        matches!(self.fates.get(index), Some(Fate::Open))
    }

    pub(crate) fn taken(&mut self, index: usize) {
        self.settle(index, Fate::Taken);
    }

    pub(crate) fn rejected(&mut self, index: usize, reason: String) {
        self.settle(index, Fate::Rejected(reason));
    }

    /// The batch is done with, and forgotten.
    pub(crate) fn finish(&mut self) -> Delivery {
        self.batch.clear();
        let fates = std::mem::take(&mut self.fates).into_iter().enumerate();
        let rejected = fates.filter_map(|(index, fate)| match fate {
            Fate::Rejected(reason) => Some(Rejected { index, reason }),
            Fate::Open | Fate::Taken => None,
        });
        Delivery { rejected: rejected.collect() }
    }

    fn settle(&mut self, index: usize, fate: Fate) {
        if let Some(open) = self.fates.get_mut(index) {
            *open = fate;
        }
    }
}
