//! The sink: a batch into requests, and answers into fates.

use crate::{
    Mapping, Record,
    answer::Answer,
    grpc::Grpc,
    http::Http,
    progress::Progress,
    request::{request, size},
};
use async_trait::async_trait;
use headwater_contracts::{ConfigError, Delivery, Destination, Event, Period, Sink, SinkError, Tls};
use headwater_sink_kit::TlsFiles;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use std::ops::Range;

pub(crate) enum Client {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

impl Client {
    async fn export(&mut self, request: ExportLogsServiceRequest) -> Answer {
        match self {
            Self::Grpc(client) => client.export(request).await,
            Self::Http(client) => client.export(request).await,
        }
    }
}

/// A client, and how to make another one when the files of its TLS have changed.
pub(crate) struct Clients {
    now: Client,
    make: Box<dyn Fn() -> Result<Client, ConfigError> + Send>,
    files: TlsFiles,
}

impl Clients {
    /// Makes the first one.
    pub(crate) fn new(
        make: impl Fn() -> Result<Client, ConfigError> + Send + 'static,
        tls: &Tls,
    ) -> Result<Self, ConfigError> {
        Ok(Self { files: TlsFiles::of(tls), now: make()?, make: Box::new(make) })
    }

    async fn export(&mut self, request: ExportLogsServiceRequest) -> Answer {
        let answer = self.now.export(request).await;
        if matches!(answer, Answer::Again { .. } | Answer::Unfit { .. } | Answer::Denied { .. })
            && self.files.have_changed()
        {
            match (self.make)() {
                Ok(client) => {
                    tracing::info!("the certificates of `tls` have changed, and are used from now on");
                    self.now = client;
                    if let Answer::Unfit { reason } | Answer::Denied { reason } = answer {
                        return Answer::Again { reason, after: None };
                    }
                }
                Err(error) => tracing::warn!("the changed certificates are not used: `{}`: {error}", error.field),
            }
        }
        answer
    }
}

/// The sink.
pub struct OtlpSink {
    client: Clients,
    mapping: Mapping,
    max_request_bytes: usize,
    destination: Destination,
    progress: Progress,
    /// Most records in the next request. OTLP does not say which records of a request were refused: after such an
    /// answer requests begin with a single record, and double with each that is taken whole.
    max_records: usize,
    /// Whether this receiver has ever taken anything.
    has_worked: bool,
}

/// A record of the batch that is still to be sent.
struct Open {
    /// Its place in the batch.
    index: usize,
    record: Record,
    size: usize,
}

impl OtlpSink {
    pub(crate) fn new(client: Clients, mapping: Mapping, max_request_bytes: usize, destination: Destination) -> Self {
        Self {
            client,
            mapping,
            max_request_bytes,
            destination,
            progress: Progress::default(),
            max_records: usize::MAX,
            has_worked: false,
        }
    }

    /// The records that are to be sent. What fits no request is rejected on the way.
    fn open(&mut self, events: &[Event]) -> Vec<Open> {
        let limit = self.max_request_bytes;
        let mut open = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            if !self.progress.is_open(index) {
                continue;
            }
            let whole = self.mapping.record(event);
            let whole_size = size(&whole);
            let fitting = if whole_size <= limit {
                Some(whole)
            } else {
                self.mapping.shortened(event, |record| size(record) <= limit)
            };
            match fitting {
                Some(record) => open.push(Open { index, size: size(&record), record }),
                None => self.progress.rejected(
                    index,
                    format!("too large: {whole_size} bytes as a request, and `max_request_bytes` is {limit}"),
                ),
            }
        }
        open
    }

    /// As many records from the beginning of `range` as one request may have, at least one.
    fn first_request(&self, open: &[Open], range: &Range<usize>) -> Range<usize> {
        let mut bytes = 0;
        let fitting = open[range.clone()].iter().take(self.max_records).take_while(|record| {
            bytes += record.size;
            bytes <= self.max_request_bytes
        });
        range.start..range.start + fitting.count().max(1)
    }

    /// Notes what the answer means for these records. Gives back what must be sent once more in halves.
    fn settle(&mut self, sent: &[Open], answer: Answer) -> Result<Resend, SinkError> {
        let indices = sent.iter().map(|open| open.index);
        match answer {
            Answer::Taken => {
                self.has_worked = true;
                self.max_records = self.max_records.saturating_mul(2);
                indices.for_each(|index| self.progress.taken(index));
            }
            Answer::Partly { refused, reason } if refused >= sent.len() as u64 => {
                self.has_worked = true;
                indices.for_each(|index| self.progress.rejected(index, reason.clone()));
            }
            Answer::Partly { refused, reason } => {
                self.has_worked = true;
                self.max_records = 1;
                let reason = format!(
                    "the receiver refused {refused} of the {} records of this request and did not say which, so this one \
                     may have arrived: {reason}",
                    sent.len()
                );
                indices.for_each(|index| self.progress.rejected(index, reason.clone()));
            }
            Answer::Refused { divisible: true, .. } if sent.len() > 1 => return Ok(Resend::InHalves),
            Answer::Refused { reason, .. } => indices.for_each(|index| self.progress.rejected(index, reason.clone())),
            Answer::Again { reason, after } => return Err(SinkError::Retry { reason, after }),
            Answer::Denied { reason } if self.has_worked => return Err(SinkError::Denied(reason)),
            Answer::Unfit { reason } if self.has_worked => return Err(SinkError::Retry { reason, after: None }),
            Answer::Unfit { reason } | Answer::Denied { reason } => {
                return Err(SinkError::Fatal(format!(
                    "{reason}: check `endpoint`, `protocol`, `headers` and `compression`"
                )));
            }
        }
        Ok(Resend::Nothing)
    }
}

enum Resend {
    Nothing,
    InHalves,
}

#[async_trait]
impl Sink for OtlpSink {
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        self.progress.take_up(events);
        let open = self.open(events);
        // What is left to send, the next at the end.
        let mut left: Vec<_> = std::iter::once(0..open.len()).filter(|range| !range.is_empty()).collect();
        while let Some(range) = left.pop() {
            let sending = self.first_request(&open, &range);
            if sending.end < range.end {
                left.push(sending.end..range.end);
            }
            let records: Vec<&Record> = open[sending.clone()].iter().map(|open| &open.record).collect();
            let answer = self.client.export(request(&records)).await;
            if let Resend::InHalves = self.settle(&open[sending.clone()], answer)? {
                let middle = sending.start + sending.len() / 2;
                left.push(middle..sending.end);
                left.push(sending.start..middle);
            }
        }
        Ok(self.progress.finish())
    }

    /// Sends a request without records, which every receiver takes that takes any.
    async fn probe(&mut self, _: Period) -> Result<String, String> {
        match self.client.export(request(&[])).await {
            Answer::Taken | Answer::Partly { .. } => Ok("took an empty request".to_owned()),
            // It knows us, and finds fault with a request that says nothing.
            Answer::Refused { divisible: true, reason } => Ok(format!("answered an empty request: {reason}")),
            Answer::Refused { reason, .. } | Answer::Again { reason, .. } => Err(reason),
            Answer::Unfit { reason } | Answer::Denied { reason } => {
                Err(format!("{reason}: check `endpoint`, `protocol`, `headers` and `compression`"))
            }
        }
    }

    fn destination(&self) -> Option<Destination> {
        Some(self.destination.clone())
    }
}
