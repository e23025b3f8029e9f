//! How slowly an answer may come.
//!
//! `timeout` ends silence. A peer that sends a byte now and then is never silent, and never done either.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use std::{pin::pin, time::Duration};

/// Least bytes of a page a second, as they are sent, over [`SPANS`] times `timeout`.
const LEAST: u64 = 512;
/// How many times `timeout` make the span that is judged.
const SPANS: u32 = 2;
/// How long a page is waited for until that is said, and how much longer until it is said again.
const SAID_AFTER: Duration = Duration::from_mins(1);
const SAID_AGAIN: Duration = Duration::from_mins(10);
/// Longest wait for the body of an error: it is there to be shown, and not waited for.
pub(super) const ERROR_BODY: Duration = Duration::from_secs(10);

/// The pace of one page. Only waiting counts: what a slow sink holds up is not the server's fault.
#[derive(Debug)]
pub(super) struct Pace {
    span: Duration,
    waited: Duration,
    bytes: u64,
    /// The same of the whole page.
    all_waited: Duration,
    all_bytes: u64,
    /// When it is to be said next, by `all_waited`.
    due: Duration,
}

impl Pace {
    pub(super) fn new(timeout: Duration) -> Self {
        let (waited, all_waited) = (Duration::ZERO, Duration::ZERO);
        Self { span: timeout.saturating_mul(SPANS), waited, bytes: 0, all_waited, all_bytes: 0, due: SAID_AFTER }
    }

    /// What is to be said of a page that has been waited for for long and is still coming.
    pub(super) fn remark(&mut self) -> Option<String> {
        let waited = self.all_waited;
        if waited < self.due {
            return None;
        }
        self.due = waited + SAID_AGAIN;
        let (bytes, rate) = (self.all_bytes, self.all_bytes / waited.as_secs().max(1));
        Some(format!(
            "a page comes slowly: {bytes} bytes in {waited:.0?}, {rate} a second, and it is not at its end. It is read on; a smaller \
             `page_size` may help"
        ))
    }

    /// Takes note of `bytes` that were waited for; an error if too few have come for too long.
    pub(super) fn came(&mut self, bytes: usize, waited: Duration) -> Result<(), String> {
        self.bytes += bytes as u64;
        self.waited += waited;
        self.all_bytes += bytes as u64;
        self.all_waited += waited;
        if self.bytes >= LEAST * self.span.as_secs().max(1) {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
        if self.waited < self.span {
            return Ok(());
        }
        Err(format!(
            "the answer drips: {} bytes in {:.0?}, and the least is {LEAST} a second over twice `timeout`; a smaller `page_size` may help",
            self.bytes, self.waited
        ))
    }
}

/// What comes of a body before `time_is_up`, at most so many bytes.
pub(super) async fn beginning(
    most: usize,
    time_is_up: impl Future<Output = ()>,
    body: impl Stream<Item = Bytes>,
) -> Vec<u8> {
    let mut read = Vec::new();
    let mut body = pin!(body);
    let reading = async {
        while read.len() < most
            && let Some(chunk) = body.next().await
        {
            read.extend_from_slice(&chunk[..chunk.len().min(most - read.len())]);
        }
    };
    // What has come by then is what is shown.
    futures::future::select(pin!(time_is_up), pin!(reading)).await;
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future, stream};
    use tokio::sync::oneshot;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_page_that_drips_is_given_up_and_one_that_is_slow_is_not() {
        let mut drips = Pace::new(SECOND * 5);
        let gave_up = (1..100).find(|_| drips.came(1, SECOND * 2).is_err());
        assert_eq!(gave_up, Some(5));
        let text = drips.came(1, SECOND).unwrap_err();
        assert!(text.contains("drips: 6 bytes in 11s"), "{text}");

        let mut slow = Pace::new(SECOND * 5);
        assert!((0..10_000).all(|_| slow.came(600, SECOND).is_ok()));
        // One pause is not a pace.
        assert!(slow.came(1, SECOND * 5).is_ok());
    }

    #[test]
    fn a_page_that_is_slow_is_said_after_a_minute_and_then_each_ten() {
        let mut slow = Pace::new(SECOND * 5);
        let said: Vec<(u64, String)> = (1..=1300)
            .filter_map(|second| {
                slow.came(600, SECOND).ok()?;
                Some((second, slow.remark()?))
            })
            .collect();
        assert_eq!(said.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [60, 660, 1260]);
        assert!(said[1].1.contains("396000 bytes in 660s, 600 a second"), "{}", said[1].1);
        let mut quick = Pace::new(SECOND * 5);
        assert!((0..100_000).all(|_| quick.came(100, Duration::from_micros(500)).is_ok() && quick.remark().is_none()));
    }

    #[tokio::test]
    async fn the_body_of_an_error_is_read_for_some_time_and_some_bytes() {
        let (ring, bell) = oneshot::channel();
        let mut ring = Some(ring);
        // Three bytes come, then the time is up.
        let drip = stream::iter(0..).then(move |n| {
            let up = if n == 3 { ring.take() } else { None };
            async move {
                if let Some(up) = up {
                    let _ = up.send(());
                    future::pending::<()>().await;
                }
                Bytes::from_static(b"e")
            }
        });
        assert_eq!(beginning(100, bell.map(drop), drip).await, b"eee");
        let flood = stream::repeat(Bytes::from_static(b"0123456789"));
        assert_eq!(beginning(25, future::pending(), flood).await.len(), 25);
        let parts = stream::iter([Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert_eq!(beginning(25, future::pending(), parts).await, b"abc");
    }
}
