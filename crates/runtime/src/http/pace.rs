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
/// Longest wait for the body of an error: it is there to be shown, and not waited for.
pub(super) const ERROR_BODY: Duration = Duration::from_secs(10);

/// The pace of one page. Only waiting counts: what a slow sink holds up is not the server's fault.
#[derive(Debug)]
pub(super) struct Pace {
    span: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { span: timeout.saturating_mul(SPANS), waited: Duration::ZERO, bytes: 0 }
    }

    /// Takes note of `bytes` that were waited for; an error if too few have come for too long.
    pub(super) fn came(&mut self, bytes: usize, waited: Duration) -> Result<(), String> {
        self.bytes += bytes as u64;
        self.waited += waited;
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
