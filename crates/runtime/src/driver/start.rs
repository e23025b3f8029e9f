//! A `start_at` that was changed after the first run.

use super::Driver;
use headwater_contracts::{StartAt, Timestamp};

impl Driver {
    /// Says what a changed `start_at` does: where a stream began stays what it is. `wanted` is what the option means now. An age
    /// moves on with the time, so that it always means a later time than it did: that is no change.
    pub(super) fn compare_start(&self, wanted: Timestamp, began: Timestamp) {
        let (source, stream) = (&self.key.source, &self.key.stream);
        let now = self.server_now();
        let reachable = wanted.max(now - self.source.retention());
        // Clocks differ a little, and each may have set the start.
        let doubt = self.server.most(now) - now;
        if reachable + doubt < began {
            tracing::warn!(
                source = %source, stream = %stream,
                "`start_at` means {} now, but this stream began at {}, and what happened between is not read by itself; `headwater ledger backfill {source} --from {}` reads it",
                written(wanted), written(began), written(reachable)
            );
        } else if matches!(self.start_at, StartAt::At(_)) && began + doubt < wanted {
            tracing::info!(
                source = %source, stream = %stream,
                "`start_at` ({}) is later than where this stream began ({}): that changes nothing; reading goes on where the ledger stands",
                written(wanted), written(began)
            );
        }
    }
}

fn written(time: Timestamp) -> String {
    time.format("%FT%TZ").to_string()
}
