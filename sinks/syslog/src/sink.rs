//! `deliver`: over a stream or in datagrams.

use crate::{
    connect::Receiver,
    datagram::{Mailbox, Mailer},
    message::Encoder,
    stream::{Connection, FAREWELL, Frames},
};
use async_trait::async_trait;
use bytes::Bytes;
use headwater_contracts::{
    ConfigError, Delivery, Destination, Encode, Event, Period, Rejected, STAND_INS, Sink, SinkError, is_this_machine,
};
use headwater_sink_kit::pieces;
use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long a probe waits for the receiver to close its side.
const GOODBYE: Duration = Duration::from_secs(1);

/// The sink.
pub(crate) struct SyslogSink {
    pub(crate) encoder: Arc<Encoder>,
    /// Who is written to, as messages call it.
    pub(crate) name: String,
    /// The SD-ID of what a simulator made up.
    pub(crate) simulated: String,
    pub(crate) way: Way,
    pub(crate) connect_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

/// How events travel, and what is open for it.
pub(crate) enum Way {
    Stream(Receiver, Option<Connection>),
    Datagrams(Mailbox, Option<Mailer>),
}

#[async_trait]
impl Sink for SyslogSink {
    fn encoder(&self) -> Option<Arc<dyn Encode>> {
        Some(self.encoder.clone())
    }

    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        let (messages, mut rejected) = pieces(&*self.encoder, events);
        if messages.is_empty() {
            return Ok(Delivery { rejected });
        }
        let too_long = match self.way {
            Way::Stream(..) => self.stream(&messages).await.map(|()| Vec::new()),
            Way::Datagrams(..) => self.datagrams(messages.clone()).await,
        }
        .map_err(|reason| SinkError::Retry { reason, after: None })?;
        self.speak_of_shortened();
        // Messages are counted without the events that could not be one.
        let sent: Vec<usize> =
            (0..events.len()).filter(|index| rejected.iter().all(|rejected| rejected.index != *index)).collect();
        rejected.extend(too_long.into_iter().map(|position| Rejected {
            index: sent[position],
            reason: format!(
                "a message of {} bytes is too long for a datagram to {}: lower `max_length`, or use `tcp` or `tls`",
                messages[position].len(),
                self.name
            ),
        }));
        rejected.sort_by_key(|rejected| rejected.index);
        Ok(Delivery { rejected })
    }

    /// Connects, which for TLS is to be believed by the other side, and sends nothing.
    async fn probe(&mut self, _: Period) -> Result<String, String> {
        match &self.way {
            Way::Stream(receiver, _) => {
                let connection = opened(&self.name, self.connect_timeout, receiver.connect()).await?;
                // Whether it says goodbye is all one.
                let _ = timeout(GOODBYE, connection.close(GOODBYE)).await;
                let secure = if matches!(receiver, Receiver::Tls(..)) { " over TLS" } else { "" };
                Ok(format!("{} takes connections{secure}", self.name))
            }
            Way::Datagrams(mailbox, _) => {
                opened(&self.name, self.connect_timeout, mailbox.open()).await?;
                let says =
                    if matches!(mailbox, Mailbox::Udp(_)) { "; UDP does not tell whether anybody listens" } else { "" };
                Ok(format!("{} can be sent to{says}", self.name))
            }
        }
    }

    fn remarks(&self) -> Vec<ConfigError> {
        let (address, problem) = match &self.way {
            Way::Stream(Receiver::Tcp(address), _) => (address, "`tcp` is not encrypted"),
            Way::Datagrams(Mailbox::Udp(address), _) => {
                (address, "`udp` cannot be encrypted, and loses messages without a word")
            }
            _ => return Vec::new(),
        };
        // What stands in for a variable that is not set could be anything.
        if is_this_machine(&address.host) || STAND_INS.iter().any(|stand_in| address.host.contains(stand_in)) {
            return Vec::new();
        }
        let problem = format!(
            "events can be read, and changed, on their way to `{address}`: {problem}; write `mode: tls`, with a receiver that listens for it \
             (over TCP, by default at port 6514), or an address on this machine"
        );
        vec![ConfigError::new("mode", problem)]
    }

    fn destination(&self) -> Option<Destination> {
        let (address, is_outside) = match &self.way {
            Way::Stream(Receiver::Tcp(address) | Receiver::Tls(address, ..), _)
            | Way::Datagrams(Mailbox::Udp(address), _) => (address.to_string(), !is_this_machine(&address.host)),
            _ => (self.name.clone(), false),
        };
        let simulated = Some(format!("the structured data `[{}]`", self.simulated));
        Some(Destination { address, is_outside, simulated })
    }

    /// Sees a stream to its end. What could not be finished was never acknowledged.
    async fn close(&mut self) -> Result<(), SinkError> {
        if let Way::Stream(_, connection) = &mut self.way
            && let Some(connection) = connection.take()
        {
            match connection.close(self.write_timeout).await {
                Ok(true) => {}
                Ok(false) => tracing::warn!(
                    "{}: the receiver has not closed its side {} s after everything was sent: whether it has read all of it is not known",
                    self.name,
                    FAREWELL.as_secs()
                ),
                Err(error) => {
                    tracing::warn!("{}: {error} while closing; what it had not read by then is lost", self.name);
                }
            }
        }
        Ok(())
    }
}

impl SyslogSink {
    fn speak_of_shortened(&self) {
        let shortened = &self.encoder.shortened;
        match shortened.take() {
            0 => {}
            count => {
                metrics::counter!("headwater_syslog_shortened_total", "receiver" => self.name.clone()).increment(count);
            }
        }
        if let Some(count) = shortened.to_say(Instant::now()) {
            tracing::warn!(
                "{}: {count} messages lack `raw_data` or more of their events, as these are longer than `max_length`, {} bytes; raise it, if \
                 the receiver takes more",
                self.name,
                self.encoder.max_length
            );
        }
    }

    async fn stream(&mut self, messages: &[Bytes]) -> Result<(), String> {
        let Way::Stream(receiver, open) = &mut self.way else { return Ok(()) };
        if let Some(connection) = open
            && let Err(error) = connection.check().await
        {
            *open = None;
            tracing::warn!("{}: {error}; connecting again. What it had not read of earlier events is lost", self.name);
        }
        let mut fresh = false;
        if open.is_none() {
            *open = Some(opened(&self.name, self.connect_timeout, receiver.connect()).await?);
            fresh = true;
        }
        let Some(connection) = open else { return Ok(()) };
        let mut written = connection.write(Frames::of(messages), self.write_timeout).await;
        if written.is_ok() {
            // It may have closed in the meantime, and then has not read everything.
            written = connection.check().await;
        }
        written.map_err(|error| {
            *open = None;
            let error = if fresh { receiver.hint(error) } else { error };
            format!("cannot write to {}: {error}", self.name)
        })
    }

    async fn datagrams(&mut self, messages: Vec<Bytes>) -> Result<Vec<usize>, String> {
        let Way::Datagrams(mailbox, open) = &mut self.way else { return Ok(Vec::new()) };
        if let Some(mailer) = open
            && let Err(error) = mailer.check()
        {
            *open = None;
            tracing::warn!("{}: {error}; earlier events may be lost", self.name);
        }
        if open.is_none() {
            *open = Some(opened(&self.name, self.connect_timeout, mailbox.open()).await?);
        }
        let Some(mailer) = open else { return Ok(Vec::new()) };
        let sent = match mailer.send(messages, self.write_timeout).await {
            Ok(too_long) => mailer.check().map(|()| too_long),
            Err(error) => Err(error),
        };
        sent.map_err(|error| {
            // A reader that is slow has what it was sent; any other failure leaves that open.
            if error.kind() != ErrorKind::TimedOut {
                *open = None;
            }
            format!("cannot send to {}: {error}", self.name)
        })
    }
}

async fn opened<T>(name: &str, patience: Duration, opening: impl Future<Output = io::Result<T>>) -> Result<T, String> {
    match timeout(patience, opening).await {
        Ok(Ok(open)) => Ok(open),
        Ok(Err(error)) => Err(format!("cannot connect to {name}: {error}")),
        Err(_) => Err(format!("cannot connect to {name}: no answer within {patience:?}")),
    }
}
