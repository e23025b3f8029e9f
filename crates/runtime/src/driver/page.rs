//! One page: request, answer, and the body through the splitter.

use super::{Driver, Halt, Reading, sort::Pending};
use crate::{
    http::Answer,
    splitter::{Page, SplitError, Splitter},
    status::Phase,
    trace::Span,
};
use bytes::Bytes;
use headwater_contracts::{Echo, Next, PageEnd, ReadError, Record, Rejection, Scan};

impl Driver {
    /// Requests and reads one page. The outer error ends the stream, the inner one is for the backoff.
    pub(super) async fn page(
        &self,
        scan: &mut dyn Scan,
        reading: &mut Reading,
        trace: &Span,
    ) -> Result<Result<Next, ReadError>, Halt> {
        if let Err(error) = self.log_in(reading).await? {
            return Ok(Err(error));
        }
        let request = scan.request();
        let own = self.announce(&request, self.source.leaves_echoes(), reading).await?;
        let token = self.http.tokens().map(|tokens| (tokens.number(), tokens));
        let mut trace = trace.request(request.method.as_str(), &request.path);
        let sent = self.clock.monotonic();
        let answered = self.unless_halted(self.http.send(&request, &own.user_agent, self.server_now())).await?;
        self.line.update(|line| line.requests += 1);
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                trace.failed(&error);
                return Ok(Err(ReadError::Transient(error.to_string())));
            }
        };
        let status = answer.status;
        trace.set("http.response.status_code", i64::from(status));
        metrics::counter!("headwater_requests_total", "source" => self.key.source.clone(), "status" => status.to_string())
            .increment(1);
        metrics::histogram!("headwater_request_seconds", "source" => self.key.source.clone())
            .record(self.clock.monotonic().saturating_sub(sent).as_secs_f64());
        self.hear_of_logins(reading);
        self.server.observe(answer.date);
        if let Some(date) = answer.date {
            self.line.update(|line| line.clock_ahead = Some(date - self.clock.now()));
            self.correct(reading).await?;
        }
        self.clock_shown(reading).await?;
        if let Some((number, tokens)) = token
            && let Some(error) = tokens.judge(&self.key.stream, number, status, self.clock.monotonic())
        {
            return Ok(Err(error));
        }
        let server_time = self.server_now();
        if !(200..300).contains(&status) {
            trace.failed(&status);
            let body = self.unless_halted(answer.error_body()).await?;
            let (retry_after, content_type) = (answer.retry_after, answer.content_type.clone());
            return Ok(scan.rejected(&Rejection { status, retry_after, content_type, body }));
        }
        match self.body(scan, &mut answer, reading).await? {
            Ok(page) => Ok(scan.page(&PageEnd { envelope: &page.envelope, records: page.records, server_time })),
            Err(error) => {
                trace.failed(&error);
                Ok(if matches!(error, ReadError::Malformed(_)) { scan.unusable(error) } else { Err(error) })
            }
        }
    }

    /// Streams a page's body through the splitter, handing over batches as they fill.
    async fn body(
        &self,
        scan: &mut dyn Scan,
        answer: &mut Answer,
        reading: &mut Reading,
    ) -> Result<Result<Page, ReadError>, Halt> {
        let whole = scan.whole();
        let mut splitter = if whole { Splitter::whole() } else { Splitter::new(scan.elements()) };
        let html = !whole && answer.content_type.contains("text/html");
        let broken = loop {
            let chunk =
                match self.unless_halted(answer.chunk()).await? {
                    Ok(Some(_)) if html => break Some(ReadError::Malformed(
                        "HTML instead of JSON: is `endpoint` the API's address, and does the credential still work?"
                            .into(),
                    )),
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break None,
                    Err(error) => break Some(ReadError::Transient(error.to_string())),
                };
            // In slices, so that a large chunk does not become a large heap of records.
            let mut broken = None;
            for slice in chunk.chunks(32 << 10) {
                let Reading { sent, held, .. } = &mut *reading;
                let pushed = splitter.push(slice, &mut |raw| {
                    let record = scan.record(raw, sent);
                    if let Ok(Record { echo: Echo::Own(id), wanted: true, identity, time, .. }) = &record
                        && self.is_new(*identity, *time)
                    {
                        sent.consume(id);
                    }
                    let trimmed = if record.is_ok() { scan.trimmed(raw) } else { None };
                    let raw = trimmed.map_or_else(|| Bytes::copy_from_slice(raw), Bytes::from);
                    held.push(Pending { raw, record });
                });
                if let Err(error) = pushed {
                    broken = Some(error);
                    break;
                }
                if reading.held.is_full() {
                    self.hand_over(reading).await?;
                    self.line.phase(Phase::Reading { scan: scan.describe(), progress: scan.progress() });
                }
            }
            if let Some(error) = broken {
                break Some(ReadError::Malformed(error.to_string()));
            }
        };
        // Records of a page that breaks off later are records all the same.
        Ok(match broken {
            Some(error) => Err(error),
            None => splitter.finish().map_err(|error| match error {
                SplitError::CutShort(_) => ReadError::Transient(error.to_string()),
                _ => ReadError::Malformed(error.to_string()),
            }),
        })
    }
}
