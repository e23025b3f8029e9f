//! The first reason why the whole run must stop.

use std::sync::Arc;
use tokio::sync::watch;

/// Set once, seen by all.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Arc<watch::Sender<Option<String>>>);

impl Failure {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Keeps the first reason.
    pub(crate) fn set(&self, reason: String) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                tracing::error!("{reason}");
                *current = Some(reason);
            }
            first
        });
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Returns once there is a reason.
    pub(crate) async fn happened(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so this ends only by a reason.
        let _ = receiver.wait_for(Option::is_some).await;
    }
}
