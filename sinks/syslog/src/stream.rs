//! A connection, and what has been begun on it.

use socket2::Socket;
use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    pin::Pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    task::yield_now,
    time::timeout,
};

/// How long a receiver may take to close its side, once we have closed ours.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);

/// How often what a receiver has sent is looked at before a write, in reads of 4 KiB.
const LOOKS: usize = 64;

trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

/// A connection that keeps frames whole: what a dropped [`Connection::write`] left unfinished goes first in the next.
pub(crate) struct Connection {
    stream: Box<dyn ReadWrite>,
    /// The same socket: tells what the kernel knows, also where tokio has not heard of it yet.
    probe: Socket,
    unfinished: Option<Frames>,
}

/// Frames on their way: one after the other, and how far they have been written.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    written: usize,
}

impl Frames {
    pub(crate) fn of(frames: &[bytes::Bytes]) -> Self {
        let mut bytes = Vec::with_capacity(frames.iter().map(bytes::Bytes::len).sum());
        let mut ends = Vec::with_capacity(frames.len());
        for frame in frames {
            bytes.extend_from_slice(frame);
            ends.push(bytes.len());
        }
        Self { bytes, ends, written: 0 }
    }

    /// Forgets the frames of which nothing has been written.
    fn only_begun(&mut self) {
        let end = self.ends.iter().find(|end| **end >= self.written).filter(|_| self.written > 0);
        self.bytes.truncate(end.copied().unwrap_or_default());
    }
}

impl Connection {
    pub(crate) fn new(probe: Socket, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: Box::new(stream), probe, unfinished: None }
    }

    /// Fails if the receiver has closed its side, or the connection is known to be broken. What the receiver says is
    /// read and thrown away: syslog has no answers.
    pub(crate) async fn check(&mut self) -> io::Result<()> {
        for _ in 0..LOOKS {
            match self.probe.peek(&mut [MaybeUninit::uninit()]) {
                Ok(0) => return Err(closed()),
                Ok(_) => self.read_some().await?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there. Of TLS that may be a ticket, an alert or the end: then the session says so.
    async fn read_some(&mut self) -> io::Result<()> {
        // Lets tokio hear of it first.
        yield_now().await;
        let mut space = [0; 4096];
        let mut space = ReadBuf::new(&mut space);
        let read = poll_fn(|context| Poll::Ready(Pin::new(&mut self.stream).poll_read(context, &mut space))).await;
        match read {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) if space.filled().is_empty() => Err(closed()),
            // TLS that just ends.
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => Err(closed()),
            Poll::Ready(result) => result,
        }
    }

    /// Writes all frames. Fails if the receiver takes nothing for `patience`. After a drop midway, the same frames go on
    /// where they were; before others, the frame that was begun is completed.
    pub(crate) async fn write(&mut self, frames: Frames, patience: Duration) -> io::Result<()> {
        match &mut self.unfinished {
            Some(unfinished) if unfinished.bytes == frames.bytes => {}
            Some(_) => {
                self.finish(patience).await?;
                self.unfinished = Some(frames);
            }
            none => *none = Some(frames),
        }
        self.write_unfinished(patience).await
    }

    /// Completes the frame that was begun, if one was.
    async fn finish(&mut self, patience: Duration) -> io::Result<()> {
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.only_begun();
        }
        self.write_unfinished(patience).await
    }

    async fn write_unfinished(&mut self, patience: Duration) -> io::Result<()> {
        let Some(frames) = &mut self.unfinished else { return Ok(()) };
        let stuck = |_| io::Error::new(ErrorKind::TimedOut, format!("the receiver has taken nothing for {patience:?}"));
        while frames.written < frames.bytes.len() {
            let writing = self.stream.write(&frames.bytes[frames.written..]);
            match timeout(patience, writing).await.map_err(stuck)?? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => frames.written += count,
            }
        }
        timeout(patience, self.stream.flush()).await.map_err(stuck)??;
        self.unfinished = None;
        Ok(())
    }

    /// Completes what was begun, closes our side and waits for the receiver to close its own: it has then read all. `false` if it
    /// does not within [`FAREWELL`]. Fails if it has closed its side before.
    pub(crate) async fn close(mut self, patience: Duration) -> io::Result<bool> {
        self.finish(patience).await?;
        self.check().await?;
        self.stream.shutdown().await?;
        let drain = async {
            let mut space = [0; 4096];
            loop {
                match self.stream.read(&mut space).await {
                    Ok(0) => return Ok(true),
                    Ok(_) => {}
                    // It has closed without TLS's word of farewell, as rsyslog does. Had it not read all, its system would have reset
                    // the connection.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
        };
        timeout(FAREWELL, drain).await.unwrap_or(Ok(false))
    }
}

fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the receiver has closed the connection")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test's way to say that it failed
mod tests {
    use super::*;
    use socket2::{Domain, Type};
    use std::{io::Write, task::Context};

    /// TLS whose other side ends without a word.
    struct Rude;

    impl AsyncRead for Rude {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let words = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/";
            Poll::Ready(Err(io::Error::new(ErrorKind::UnexpectedEof, words)))
        }
    }

    impl AsyncWrite for Rude {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A connection to it, and the other end of what tells whether something is to be read.
    fn rude() -> (Connection, Socket) {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        ours.set_nonblocking(true).unwrap();
        (Connection::new(ours, Rude), theirs)
    }

    #[tokio::test]
    async fn an_end_of_tls_without_a_farewell_is_an_end() {
        let patience = Duration::from_mins(1);
        let (mut connection, _theirs) = rude();
        connection.write(Frames::of(&["a".into()]), patience).await.unwrap();
        connection.close(patience).await.unwrap();
        let (mut ended, mut theirs) = rude();
        theirs.write_all(b"x").unwrap();
        assert_eq!(ended.check().await.unwrap_err().to_string(), "the receiver has closed the connection");
    }

    #[tokio::test]
    async fn a_receiver_that_closes_before_we_do_has_not_read_all() {
        let (connection, theirs) = rude();
        drop(theirs);
        let noticed = connection.close(Duration::from_mins(1)).await.unwrap_err();
        assert_eq!(noticed.to_string(), "the receiver has closed the connection");
    }
}
