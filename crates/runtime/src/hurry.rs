//! Tells sinks that somebody waits for what they hold back.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// Raised while a lane is full or draining: a sink that gathers events for a larger batch then sends what it has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hurry(Arc<State>);

#[derive(Debug, Default)]
struct State {
    waiting: AtomicUsize,
    raised: Notify,
}

/// Somebody waits, as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<State>);

impl Hurry {
    pub(crate) fn raise(&self) -> Waiting {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        self.0.raised.notify_waiters();
        Waiting(self.0.clone())
    }

    /// Returns once somebody waits.
    pub(crate) async fn raised(&self) {
        let raised = self.0.raised.notified();
        tokio::pin!(raised);
        // Listening before looking: a raise between the two is not missed.
        raised.as_mut().enable();
        if self.0.waiting.load(Ordering::SeqCst) == 0 {
            raised.await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
