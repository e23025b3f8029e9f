//! Logging in, where a source's requests need a token.

use super::{Driver, Halt, Reading, announce::Undated};
use crate::token::{Need, Tokens};
use headwater_contracts::{OwnRequest, ReadError, Rejection};
use headwater_ledger::StreamKey;

impl Driver {
    /// Sees to it that the next request has a token, if it needs one. The outer error ends the stream, the inner one is
    /// for the backoff.
    pub(super) async fn log_in(&self, reading: &mut Reading) -> Result<Result<(), ReadError>, Halt> {
        let Some(tokens) = self.http.tokens() else { return Ok(Ok(())) };
        let _turn = self.unless_halted(tokens.turn()).await?;
        match tokens.need(self.clock.monotonic()) {
            Need::Nothing => return Ok(Ok(())),
            Need::Wait(problem) => return Ok(Err(problem)),
            Need::Login => {}
        }
        let failed = self.fetch_token(&tokens, reading).await?;
        let now = self.clock.monotonic();
        Ok(match failed {
            // The old one may still do.
            Some(problem) if tokens.need(now) != Need::Nothing => Err(problem),
            Some(problem) => {
                tracing::warn!(source = %self.key.source, "{problem}; the access token at hand serves on");
                Ok(())
            }
            None => Ok(()),
        })
    }

    /// What other streams have logged in with may show in the log of this one.
    pub(super) fn hear_of_logins(&self, reading: &mut Reading) {
        let Some(tokens) = self.http.tokens() else { return };
        for (own, sent) in tokens.made_since(&mut reading.logins_seen) {
            reading.sent.insert(own.clone());
            reading.undated.push(Undated { own, sent, login: true });
        }
    }

    /// The record of a login may appear in any of the component's logs, whichever stream sends it: all have to know of it,
    /// also after a crash.
    pub(super) async fn tell_other_streams(&self, own: &OwnRequest) -> Result<(), Halt> {
        let start = self.beginning();
        let own_stream = self.key.stream.clone();
        for stream in self.source.streams().into_iter().filter(|stream| *stream != own_stream) {
            let (key, copy) = (StreamKey { source: self.key.source.clone(), stream }, own.clone());
            self.with_ledger(move |ledger, _| {
                // A stream that another instance reads is told there, and learns of it when it is taken over.
                if ledger.owns(&key) {
                    ledger.load(&key, start)?;
                }
                ledger.record_request(&key, &copy)
            })
            .await?;
        }
        Ok(())
    }

    /// Fetches a token; answers with what went wrong, if anything did.
    async fn fetch_token(&self, tokens: &Tokens, reading: &mut Reading) -> Result<Option<ReadError>, Halt> {
        let own = self.announce(&tokens.login().request(), true, reading).await?;
        self.tell_other_streams(&own).await?;
        tokens.note(own.clone(), self.clock.monotonic());
        let answered = self.unless_halted(self.http.log_in(tokens.login(), &own.user_agent, self.server_now())).await?;
        self.line.update(|line| line.requests += 1);
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(error) => return Ok(Some(tokens.unanswered(error.to_string(), self.clock.monotonic()))),
        };
        let status = answer.status;
        metrics::counter!("headwater_logins_total", "source" => self.key.source.clone(), "status" => status.to_string())
            .increment(1);
        self.hear_of_logins(reading);
        if answer.date.is_some() {
            self.server.observe(answer.date);
        }
        if answer.date.is_some() {
            self.correct(reading).await?;
        }
        self.clock_shown(reading).await?;
        let body = self.unless_halted(answer.error_body(self.clock.as_ref())).await?;
        let now = self.clock.monotonic();
        if status == 200 && !tokens.is_refusal(&body) {
            let granted = tokens.granted(&body, now);
            if granted.is_ok() {
                tracing::debug!(source = %self.key.source, "fetched an access token");
            }
            return Ok(granted.err());
        }
        let (retry_after, content_type) = (answer.retry_after, answer.content_type.clone());
        let refused = tokens.refused(&Rejection { status, retry_after, content_type, body }, now);
        Ok(Some(self.http.or_the_proxys(refused)))
    }
}
