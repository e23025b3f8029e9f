//! Own requests: written down before they are sent, dated by the server's clock, used up by their echoes.

use super::{Driver, Halt, Reading};
use crate::lane::{filed_elsewhere, filed_under};
use headwater_contracts::{Identity, OwnRequest, Request, Timestamp};
use std::time::Duration;

/// How far our idea of the server's clock may be off before it is worth a write: `Date` has whole seconds.
const CLOCK_DOUBT: chrono::TimeDelta = chrono::TimeDelta::seconds(2);
/// Most requests remembered for that: a server that never sends a `Date` must not fill memory.
const UNDATED_MAX: usize = 1000;

/// A request that no answer has followed yet whose `Date` could be believed.
pub(super) struct Undated {
    pub(super) own: OwnRequest,
    /// Our monotonic time of sending.
    pub(super) sent: Duration,
    /// A login: the component's other streams know of it as well.
    pub(super) login: bool,
}

impl Driver {
    /// Keeps to the budget, writes the request into the ledger if it is to be remembered, and returns what was written.
    pub(super) async fn announce(
        &self,
        request: &Request,
        remember: bool,
        reading: &mut Reading,
    ) -> Result<OwnRequest, Halt> {
        if let Some(last) = reading.last_request {
            let wait = (last + self.min_interval.0 - self.server_now()).to_std().unwrap_or_default();
            self.pause(wait.min(self.min_interval.to_std()), reading).await?;
        }
        self.pause(self.budget.take(self.clock.monotonic()), reading).await?;
        let id = format!("{:032x}", rand::random::<u128>());
        let own = OwnRequest {
            user_agent: format!("{}; req {id})", self.agent),
            id,
            method: request.method.as_str().into(),
            path: self.http.path(request),
            query: request.query.clone(),
            sent: self.server_now(),
        };
        reading.last_request = Some(own.sent);
        if !remember {
            return Ok(own);
        }
        let copy = own.clone();
        self.with_ledger(move |ledger, key| ledger.record_request(key, &copy)).await?;
        if reading.undated.len() < UNDATED_MAX {
            reading.undated.push(Undated { own: own.clone(), sent: self.clock.monotonic(), login: false });
        }
        reading.sent.insert(own.clone());
        Ok(own)
    }

    /// Waits; what has been read is on its way meanwhile.
    async fn pause(&self, duration: Duration, reading: &mut Reading) -> Result<(), Halt> {
        if !duration.is_zero() {
            self.hand_over(reading).await?;
        }
        self.wait(duration).await
    }

    /// Writes down anew when requests were sent, if the server's clock turns out to be another than was thought: their
    /// echoes will bear the server's time. Also those that were never answered, and may have been heard all the same. As long as
    /// that clock is in doubt, it may turn out to be yet another.
    pub(super) async fn correct(&self, reading: &mut Reading) -> Result<(), Halt> {
        let doubtful = !self.server.standing().agreed;
        for mut undated in std::mem::take(&mut reading.undated) {
            let by_server = self.server.at(undated.sent);
            // Its echo may have come already, in an answer that broke off.
            if reading.sent.by_user_agent(&undated.own.user_agent).is_none() {
                continue;
            }
            if (by_server - undated.own.sent).abs() > CLOCK_DOUBT {
                undated.own.sent = by_server;
                let own = undated.own.clone();
                reading.sent.insert(own.clone());
                if undated.login {
                    self.tell_other_streams(&own).await?;
                }
                self.with_ledger(move |ledger, key| ledger.record_request(key, &own)).await?;
            }
            if doubtful {
                reading.undated.push(undated);
            }
        }
        Ok(())
    }

    /// Whether an echo is seen for the first time, and so uses up its request. Echoes are few: one look each is cheap.
    /// If the ledger cannot answer now, `sort_out` fails on it in a moment.
    pub(super) fn is_new(&self, identity: Identity, time: Option<Timestamp>) -> bool {
        let filed = [filed_under(identity, time), filed_elsewhere(identity, time, None)];
        !self.in_flight.contains(&identity)
            && self.ledger.known(&self.key, &filed).is_ok_and(|known| known == [false, false])
    }
}
