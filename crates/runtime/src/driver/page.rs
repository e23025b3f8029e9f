//! One page: request, answer, and the body through the splitter.

use super::{Driver, Halt, Reading, sort::Pending};
use crate::{
    http::Answer,
    reader::{Spool, read_record},
    splitter::{Element, Page, SplitError, Splitter},
    status::Phase,
    trace::Span,
};
use bytes::Bytes;
use headwater_contracts::{
    Echo, Next, PageEnd, ReadError, Record, Rejection, Scan, complaint, excerpt, instead_of_json, promises_more, shown,
    warnings,
};

/// How often a page that has records and calls itself an error is asked for again before the scan goes on without counting as
/// complete: what is behind the page is not to wait for a server that always complains.
const COMPLAINTS: u32 = 3;
/// So many different warnings of a provider are logged: one that has a number in each would fill the log.
const WARNINGS: u32 = 10;
/// How much of a body is kept to say what it was, if it turns out to be no page.
const BEGINNING: usize = 4 << 10;
/// A page whose JSON is wrong after so many bytes is no other kind of answer.
const STILL_BEGINNING: u64 = 200;

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
        // What is no page may be a proxy's answer: that it has no `Date` tells nothing of the provider's.
        if answer.date.is_some() || status == 200 {
            self.server.observe(answer.date);
        }
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
        // What happens after the request is sent need not be on the page, however long the answer and the ledger take. By the clock
        // that the scan was planned by: what it notes is compared with the time of the next plan.
        let server_time = self.server.at(sent) + reading.times.lead;
        if status != 200 {
            trace.failed(&status);
            let body = self.unless_halted(answer.error_body(self.clock.as_ref())).await?;
            return Ok(self.reject(scan, &answer, body));
        }
        match self.body(scan, &mut answer, reading).await? {
            Ok(page) => {
                if !scan.whole()
                    && let Some(said) = complaint(&page.envelope, page.records)
                {
                    trace.failed(&said);
                    if page.records == 0 || reading.complaints < COMPLAINTS {
                        reading.complaints += 1;
                        return Ok(self.reject(scan, &answer, page.envelope));
                    }
                    let said = Rejection { status, body: page.envelope.clone(), ..rejection(&answer) }.reason();
                    reading.incomplete.get_or_insert(said);
                }
                reading.complaints = 0;
                if !scan.whole()
                    && reading.warnings < WARNINGS
                    && let Some(said) = warnings(&page.envelope)
                {
                    let known = reading.notes.len();
                    self.note(format!("the provider warns, beside a page of the log: {}", shown(&said, 300)), reading);
                    reading.warnings += u32::from(reading.notes.len() > known);
                }
                let next = scan.page(&PageEnd { envelope: &page.envelope, records: page.records, server_time });
                if matches!(next, Ok(Next::Complete))
                    && let Some(name) = promises_more(&page.envelope)
                {
                    self.note(format!("a page is the last by all that is known of the API, and says `{name}`: if records are missing, tell the vendor"), reading);
                }
                Ok(next)
            }
            Err(error) => {
                trace.failed(&error);
                Ok(if matches!(error, ReadError::Malformed(_)) { scan.unusable(error) } else { Err(error) })
            }
        }
    }

    /// Tells the scan of an answer that is no page.
    fn reject(&self, scan: &mut dyn Scan, answer: &Answer, body: Vec<u8>) -> Result<Next, ReadError> {
        scan.rejected(&Rejection { body, ..rejection(answer) }).map_err(|error| self.http.or_the_proxys(error))
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
        let mut beginning = Beginning::default();
        splitter = splitter.limit(self.bounds.limit);
        let mut spool = Spool::new(&self.bounds);
        let mut unkept = None;
        let broken = loop {
            let chunk = match self.unless_halted(answer.chunk(self.clock.as_ref())).await? {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(error) => break Some(ReadError::Transient(error.to_string())),
            };
            if let Some(remark) = answer.remark() {
                let (source, stream, endpoint) = (&self.key.source, &self.key.stream, self.http.origin());
                tracing::warn!(%source, %stream, %endpoint, "{remark}");
            }
            if !whole {
                beginning.take(&chunk);
                if beginning.is_no_json(&answer.content_type) {
                    break Some(ReadError::Malformed(beginning.said(&answer.content_type, "")));
                }
            }
            // In slices, so that a large chunk does not become a large heap of records.
            let mut broken = None;
            for slice in chunk.chunks(32 << 10) {
                let Reading { sent, held, .. } = &mut *reading;
                let pushed = splitter.push(slice, &mut |element| {
                    let raw = match element {
                        Element::Whole(raw) => raw,
                        Element::Piece { bytes, last } => {
                            match spool.take(bytes, last) {
                                Ok(Some(kept)) => {
                                    let read = &mut |raw: &[u8]| scan.record(raw, sent);
                                    held.push(Pending::oversized(kept, self.bounds.limit, read));
                                }
                                Ok(None) => {}
                                Err(error) => unkept = Some(error),
                            }
                            return;
                        }
                    };
                    let record = read_record(raw, &mut |raw| scan.record(raw, sent));
                    if let Ok(Record { echo: Echo::Own(id), wanted: true, identity, time, .. }) = &record
                        && !held.has(*identity)
                        && self.is_new(*identity, *time)
                    {
                        sent.consume(id);
                    }
                    let trimmed = if record.is_ok() { scan.trimmed(raw) } else { None };
                    let raw = trimmed.map_or_else(|| Bytes::copy_from_slice(raw), Bytes::from);
                    held.push(Pending::new(raw, record));
                });
                if let Some(error) = unkept.take() {
                    let limit = self.bounds.limit;
                    let problem =
                        format!("a record of more than {limit} bytes cannot be kept beside the dead letters: {error}");
                    return Ok(Err(ReadError::Transient(problem)));
                }
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
                break Some(ReadError::Malformed(beginning.about(&answer.content_type, &error)));
            }
        };
        // Records of a page that breaks off later are records all the same.
        Ok(match broken {
            Some(error) => Err(error),
            None => splitter.finish().map_err(|error| match error {
                SplitError::CutShort(_) => ReadError::Transient(error.to_string()),
                _ => ReadError::Malformed(beginning.about(&answer.content_type, &error)),
            }),
        })
    }
}

fn rejection(answer: &Answer) -> Rejection {
    Rejection {
        status: answer.status,
        retry_after: answer.retry_after,
        content_type: answer.content_type.clone(),
        body: Vec::new(),
    }
}

/// The first bytes of a body.
#[derive(Default)]
struct Beginning {
    bytes: Vec<u8>,
    /// More than is kept has come.
    more: bool,
}

impl Beginning {
    /// Keeps what comes first.
    fn take(&mut self, chunk: &[u8]) {
        let kept = chunk.len().min(BEGINNING - self.bytes.len());
        self.more |= kept < chunk.len();
        self.bytes.extend_from_slice(&chunk[..kept]);
    }

    fn is_no_json(&self, content_type: &str) -> bool {
        instead_of_json(content_type, &self.bytes).is_some()
    }

    /// What a body is of which the splitter says `error`.
    fn about(&self, content_type: &str, error: &SplitError) -> String {
        let early = match error {
            SplitError::Malformed { at, .. } => *at < STILL_BEGINNING || !self.more,
            SplitError::CutShort(_) | SplitError::TooLarge { .. } => false,
        };
        if early { self.said(content_type, &error.to_string()) } else { error.to_string() }
    }

    fn said(&self, content_type: &str, error: &str) -> String {
        let instead = instead_of_json(content_type, &self.bytes);
        let said = complaint(&self.bytes, 0).filter(|_| !self.more);
        match (instead, said) {
            (Some(instead), _) => format!("{instead} It begins with {}", excerpt(&self.bytes)),
            (None, Some(said)) => format!("the server says: {} ({error})", headwater_contracts::shown(&said, 300)),
            (None, None) => format!("{error}; the answer begins with {}", excerpt(&self.bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(body: &[u8], at: u64) -> String {
        let mut beginning = Beginning::default();
        for chunk in body.chunks(2) {
            beginning.take(chunk);
        }
        let problem = "it has no array under `data`".to_owned();
        beginning.about("application/json", &SplitError::Malformed { at, problem })
    }

    #[test]
    fn an_answer_that_is_no_page_is_shown_in_part() {
        let said = about(br#"{"ok":false,"error":"invalid_auth"}"#, 35);
        assert!(said.contains("the server says: invalid_auth") && said.contains("`data`"), "{said}");
        let html = about(b" <!doctype html><title>Log in</title>", 1);
        assert!(html.starts_with("HTML instead of JSON") && html.contains("`<!doctype html><title>Log in"), "{html}");
        let other = about(b"{\"hello\":1}", 11);
        assert!(other.contains("begins with `{\"hello\":1}`"), "{other}");
        // Records are nobody's business here.
        let page = [&br#"{"data":[{"email":"a@b.example"},"#[..], &[b' '; 9000]].concat();
        assert!(!about(&page, 5000).contains("a@b.example"));
    }

    #[test]
    fn utf_16_is_named() {
        for utf_16 in [&b"\xff\xfe{\0"[..], b"{\0\"\0", b"\0{\0\""] {
            let said = about(utf_16, 1);
            assert!(said.starts_with("text in UTF-16"), "{said}");
        }
    }
}
