//! Bodies in pieces: a page of 50 000 events is rendered while it is sent.

use crate::api::Reply;
use crate::world::World;
use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Events rendered at once: about 100 KiB.
const EVENTS_PER_PIECE: usize = 256;

/// Bytes that trickle at once.
const DRIP: usize = 1 << 10;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Completely.
    Whole,
    /// Completely, by and by.
    Trickle { pause_ms: u64 },
    /// In the middle; the connection breaks.
    Cut,
    /// In the middle, as if that were all.
    Short,
    /// In the middle; nothing more comes until the connection breaks or the client goes away.
    Stall { close_after_ms: Option<u64> },
}

/// What is left to send.
struct Pieces {
    world: Arc<Mutex<World>>,
    reply: Reply,
    sent: usize,
    stage: Stage,
    ending: Ending,
    /// What has been rendered and not sent.
    rest: Bytes,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Prefix,
    Items,
    Suffix,
    End,
}

/// The body of a reply, broken off as `ending` says.
pub(crate) fn body(world: Arc<Mutex<World>>, mut reply: Reply, ending: Ending, gzip: bool) -> Body {
    if !matches!(ending, Ending::Whole | Ending::Trickle { .. }) {
        break_off(&world, &mut reply);
    }
    let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let pieces = Pieces { world, reply, sent: 0, stage: Stage::Prefix, ending, rest: Bytes::new(), gzip };
    Body::from_stream(futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        let piece = pieces.portion();
        if let (Ending::Trickle { pause_ms }, Ok(Some(_))) = (pieces.ending, &piece) {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        match piece {
            Ok(Some(piece)) => Some((Ok(piece), Some(pieces))),
            Err(error) => Some((Err(error), None)),
            Ok(None) => {
                match pieces.ending {
                    Ending::Whole | Ending::Trickle { .. } | Ending::Short => return None,
                    // What has been written goes out first: the client sees a beginning.
                    Ending::Cut => tokio::task::yield_now().await,
                    Ending::Stall { close_after_ms: Some(ms) } => tokio::time::sleep(Duration::from_millis(ms)).await,
                    Ending::Stall { close_after_ms: None } => std::future::pending().await,
                }
                Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
            }
        }
    }))
}

/// Leaves the first half of the events and a half of the one after, or half of a body without events.
fn break_off(world: &Mutex<World>, reply: &mut Reply) {
    let half = reply.items.len() / 2;
    if let Some(index) = reply.items.get(half) {
        let world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let mut torn = if half > 0 { vec![b','] } else { Vec::new() };
        if let Some(entry) = world.log.get(*index) {
            world.render(entry, reply.as_of, &mut torn);
        }
        torn.truncate(torn.len() / 2);
        reply.items.truncate(half);
        reply.suffix = torn;
    } else if reply.suffix.is_empty() {
        reply.prefix.truncate(reply.prefix.len() / 2);
    } else {
        reply.suffix.truncate(reply.suffix.len() / 2);
    }
}

impl Pieces {
    /// What is sent next: a whole piece, or what falls off it.
    fn portion(&mut self) -> io::Result<Option<Bytes>> {
        if self.rest.is_empty() {
            let Some(piece) = self.next()? else { return Ok(None) };
            self.rest = piece;
        }
        let most = if matches!(self.ending, Ending::Trickle { .. }) { DRIP } else { usize::MAX };
        Ok(Some(self.rest.split_to(most.min(self.rest.len()))))
    }

    /// The next piece, never empty; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.stage != Stage::End {
            let plain = self.plain();
            let piece = match &mut self.gzip {
                None => plain,
                Some(gzip) => {
                    gzip.write_all(&plain)?;
                    // A broken body must show what was sent before the break; only a complete one gets the trailer.
                    match (self.stage, self.ending) {
                        (Stage::End, Ending::Whole | Ending::Trickle { .. } | Ending::Short) => gzip.try_finish()?,
                        _ => gzip.flush()?,
                    }
                    std::mem::take(gzip.get_mut())
                }
            };
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        Ok(None)
    }

    fn plain(&mut self) -> Vec<u8> {
        match self.stage {
            Stage::Prefix => {
                self.stage = Stage::Items;
                std::mem::take(&mut self.reply.prefix)
            }
            Stage::Items => {
                let mut piece = Vec::new();
                let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
                let rest = self.reply.items.get(self.sent..).unwrap_or_default();
                for &index in rest.iter().take(EVENTS_PER_PIECE) {
                    if self.sent > 0 {
                        piece.push(b',');
                    }
                    if let Some(entry) = world.log.get(index) {
                        world.render(entry, self.reply.as_of, &mut piece);
                    }
                    world.log.count_served(index);
                    self.sent += 1;
                }
                if self.sent == self.reply.items.len() {
                    self.stage = Stage::Suffix;
                }
                piece
            }
            Stage::Suffix | Stage::End => {
                self.stage = Stage::End;
                std::mem::take(&mut self.reply.suffix)
            }
        }
    }
}
