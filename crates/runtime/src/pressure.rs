//! When a lane has nothing better to do than wait for what sinks hold back.

use crate::hurry::{Hurry, Waiting};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The reader of a lane waits, and most of its batches have reached the sinks: only then are the sinks hurried. While
/// more is still being transformed it is worth gathering, and while some is, the processors have work during the
/// delivery.
#[derive(Debug, Clone)]
pub(crate) struct Pressure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hurry: Hurry,
    /// As few batches on their way to the sinks count as most having arrived.
    few: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Batches on their way to the sinks.
    coming: usize,
    waiting: usize,
    raised: Option<Waiting>,
}

impl Pressure {
    pub(crate) fn new(hurry: Hurry, few: usize) -> Self {
        Self(Arc::new(Inner { hurry, few, state: Mutex::default() }))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state: MutexGuard<'_, State> = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let raise = state.waiting > 0 && state.coming <= self.0.few;
        if raise != state.raised.is_some() {
            state.raised = raise.then(|| self.0.hurry.raise());
        }
    }

    /// A batch enters the lane.
    pub(crate) fn enters(&self) {
        self.change(|state| state.coming += 1);
    }

    /// A batch has reached the sinks.
    pub(crate) fn arrives(&self) {
        self.change(|state| state.coming = state.coming.saturating_sub(1));
    }

    /// The lane's reader waits, as long as the value lives.
    pub(crate) fn wait(&self) -> Wait {
        self.change(|state| state.waiting += 1);
        Wait(self.clone())
    }
}

/// See [`Pressure::wait`].
pub(crate) struct Wait(Pressure);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.change(|state| state.waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hurried(hurry: &Hurry) -> bool {
        use std::{future::Future, pin::pin, task::Context, task::Poll, task::Waker};
        matches!(pin!(hurry.raised()).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
    }

    #[test]
    fn sinks_are_hurried_while_the_reader_waits_and_few_batches_are_still_coming() {
        let hurry = Hurry::default();
        let pressure = Pressure::new(hurry.clone(), 1);
        (0..3).for_each(|_| pressure.enters());
        let wait = pressure.wait();
        assert!(!hurried(&hurry), "three are coming");
        pressure.arrives();
        assert!(!hurried(&hurry), "two are");
        pressure.arrives();
        assert!(hurried(&hurry));
        pressure.enters();
        assert!(!hurried(&hurry));
        pressure.arrives();
        assert!(hurried(&hurry));
        drop(wait);
        assert!(!hurried(&hurry));
    }
}
