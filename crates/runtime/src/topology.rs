//! The pipeline as the runtime runs it, and the way of a batch through its transforms.

use crate::{
    dead_letter::{DeadLetter, DeadLetters},
    reader::{Oversized, sha256},
    trial::{StageTrial, Trial},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use headwater_contracts::{
    BuiltSource, Emit, Encode, Event, OnReject, Outcome, Port, Sink, SinkOptions, SourceOptions, Transform,
};
use headwater_ledger::Consumer;
use serde_json::json;
use std::{collections::HashMap, ops::Range, path::PathBuf, sync::Arc};

/// A source component.
pub struct SourceSpec {
    /// Its name in the pipeline.
    pub name: String,
    /// What the plugin built.
    pub built: BuiltSource,
    /// The options all sources share.
    pub options: SourceOptions,
    /// Whether it reads a built-in simulator.
    pub simulated: bool,
}

/// A component that reads files: events of another source's stream, delivered before it is read.
pub struct ImportSpec {
    /// Its name in the pipeline.
    pub name: String,
    /// The source component whose events they are.
    pub source: String,
    /// Its stream.
    pub stream: String,
    /// The files, in the order they are read.
    pub files: Vec<PathBuf>,
    /// How they are read.
    pub reading: crate::export::Reading,
}

/// A component that reads topics, in partitions that it shares with other instances.
pub struct ConsumerSpec {
    /// Its name in the pipeline.
    pub name: String,
    /// What is ours of them.
    pub consumer: Arc<dyn Consumer>,
}

/// A transform component.
pub struct TransformSpec {
    /// Its name in the pipeline; also the name of its rule when it drops an event.
    pub name: String,
    /// Components, or `component.port`, it reads from.
    pub inputs: Vec<String>,
    /// The transform.
    pub transform: Arc<dyn Transform>,
    /// What becomes of events that it fails on.
    pub on_refusal: OnRefusal,
}

/// What becomes of an event that a transform fails on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// It goes to the dead letters; but a transform that fails on every event from its first one on stops the run.
    #[default]
    Judge,
    /// It goes to the dead letters.
    DeadLetter,
    /// The run stops before it.
    Stop,
}

/// A sink component.
pub struct SinkSpec {
    /// Its name in the pipeline.
    pub name: String,
    /// Components, or `component.port`, it reads from.
    pub inputs: Vec<String>,
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// The options all sinks share.
    pub options: SinkOptions,
}

/// Where rejected events go.
pub enum DeadLetterTarget {
    /// A store of their own.
    Store(Box<dyn DeadLetters>),
    /// The sink of this name.
    Sink(String),
}

/// A checked pipeline: every input exists, and `transforms` are in topological order.
pub struct Topology {
    /// The sources.
    pub sources: Vec<SourceSpec>,
    /// Files to read before them.
    pub imports: Vec<ImportSpec>,
    /// Topics that are read.
    pub consumers: Vec<ConsumerSpec>,
    /// The transforms, each after those it reads from.
    pub transforms: Vec<TransformSpec>,
    /// The sinks.
    pub sinks: Vec<SinkSpec>,
    /// Where rejected events go.
    pub dead_letters: DeadLetterTarget,
    /// The folder for records that are longer than their source's `max_event_bytes`.
    pub oversized: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Transform(usize),
    Sink(usize),
}

struct Stage {
    name: Arc<str>,
    transform: Arc<dyn Transform>,
    on_refusal: OnRefusal,
    trial: Arc<StageTrial>,
    /// By port.
    consumers: Vec<Vec<Target>>,
    /// By port, the rule that a result nobody reads counts under.
    unread: Vec<Arc<str>>,
}

/// Who reads what: the pipeline's edges, resolved.
pub(crate) struct Wiring {
    sources: HashMap<String, Vec<Target>>,
    stages: Vec<Stage>,
    pub(crate) sink_names: Vec<String>,
    /// Those that stop the run rather than have an event rejected.
    blocking: Vec<String>,
    encoders: Vec<Option<Arc<dyn Encode>>>,
    /// The sink that takes dead letters, if one does.
    pub(crate) letters_to: Option<usize>,
}

/// A batch after the transforms.
pub(crate) struct Routed {
    /// Per sink, its events in order.
    pub(crate) sinks: Vec<Vec<Event>>,
    /// Per event of the batch, what is known of its fate so far.
    pub(crate) accounts: Vec<Account>,
    /// By stage, how many events it has been given.
    pub(crate) given: Vec<u64>,
    /// To be kept before the batch may be committed.
    pub(crate) letters: Vec<DeadLetter>,
    /// Why the run must stop, if it must.
    pub(crate) fatal: Option<String>,
}

/// The fate of one event that entered a lane. It may have become several, with several fates: the gravest counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    pub(crate) dead: bool,
    pub(crate) delivered: bool,
    dropped_by: Option<Arc<str>>,
}

impl Account {
    /// `None` if nothing became of it, which breaks a transform's contract.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self { dead: true, .. } => Some(Outcome::DeadLettered),
            Self { delivered: true, .. } => Some(Outcome::Delivered),
            Self { dropped_by: Some(rule), .. } => Some(Outcome::Dropped(rule.to_string())),
            _ => None,
        }
    }
}

impl Wiring {
    /// Resolves the edges of a checked pipeline.
    pub(crate) fn new(
        sources: &[String],
        transforms: Vec<TransformSpec>,
        sinks: &[SinkSpec],
        letters_to: Option<&str>,
    ) -> Self {
        let readers = |output: &str| {
            let of_transforms = transforms.iter().enumerate().map(|(i, t)| (&t.inputs, Target::Transform(i)));
            let of_sinks = sinks.iter().enumerate().map(|(i, s)| (&s.inputs, Target::Sink(i)));
            of_transforms
                .chain(of_sinks)
                .filter(|(inputs, _)| inputs.iter().any(|i| i == output))
                .map(|(_, t)| t)
                .collect()
        };
        let stages = transforms
            .iter()
            .map(|spec| {
                let outputs: Vec<String> = spec
                    .transform
                    .ports()
                    .iter()
                    .map(|port| if port.is_empty() { spec.name.clone() } else { format!("{}.{port}", spec.name) })
                    .collect();
                Stage {
                    name: spec.name.as_str().into(),
                    transform: spec.transform.clone(),
                    on_refusal: spec.on_refusal,
                    trial: Arc::default(),
                    consumers: outputs.iter().map(|output| readers(output)).collect(),
                    unread: outputs.iter().map(|output| output.as_str().into()).collect(),
                }
            })
            .collect();
        Self {
            sources: sources.iter().map(|name| (name.clone(), readers(name))).collect(),
            stages,
            sink_names: sinks.iter().map(|spec| spec.name.clone()).collect(),
            blocking: sinks
                .iter()
                .filter(|spec| spec.options.on_reject == OnReject::Block)
                .map(|spec| spec.name.clone())
                .collect(),
            encoders: sinks.iter().map(|spec| spec.sink.encoder()).collect(),
            letters_to: letters_to.and_then(|name| sinks.iter().position(|spec| spec.name == name)),
        }
    }

    /// The transforms that are judged by their first events.
    pub(crate) fn trial(&self) -> Trial {
        let judged = self.stages.iter().filter(|stage| stage.on_refusal == OnRefusal::Judge);
        Trial::of(judged.map(|stage| (stage.name.clone(), stage.trial.clone())))
    }

    /// The stages' names, in their order.
    pub(crate) fn stage_names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| &*stage.name)
    }

    /// Whether this sink stops the run rather than have an event rejected.
    pub(crate) fn blocks_on_reject(&self, sink: &str) -> bool {
        self.blocking.iter().any(|name| name == sink)
    }

    /// Takes a batch through the transforms, up to the sinks' doors. `unreadable` are elements that were no records.
    pub(crate) fn run(
        &self,
        source: &str,
        trial: &Trial,
        events: Vec<Event>,
        unreadable: Vec<DeadLetter>,
        size: usize,
    ) -> Routed {
        let mut flow = Flow {
            wiring: self,
            trial,
            pending: self.stages.iter().map(|_| Vec::new()).collect(),
            stage: 0,
            records: Vec::new(),
            marks: Vec::new(),
            routed: Routed {
                sinks: self.sink_names.iter().map(|_| Vec::new()).collect(),
                accounts: vec![Account::default(); size],
                given: vec![0; self.stages.len()],
                letters: Vec::new(),
                fatal: None,
            },
        };
        for letter in unreadable {
            flow.bury(letter);
        }
        let readers = self.sources.get(source).map_or(&[][..], Vec::as_slice);
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            events.by_ref().take(AT_ONCE).for_each(|event| flow.hand_out(readers, event));
            for (index, stage) in self.stages.iter().enumerate() {
                let events = std::mem::take(&mut flow.pending[index]);
                if !events.is_empty() {
                    flow.routed.given[index] += events.len() as u64;
                    flow.stage = index;
                    stage.transform.run(events, &mut flow);
                }
            }
            flow.bind_records();
        }
        let mut routed = flow.routed;
        if routed.fatal.is_none() && routed.accounts.iter().any(|account| account.outcome().is_none()) {
            routed.fatal = Some("a transform let an event vanish: neither passed on, nor dropped, nor failed".into());
        }
        routed
    }
}

/// Events of a batch that go through the stages together: parsed, they take many times their bytes.
const AT_ONCE: usize = 25;

/// A batch on its way through the stages.
struct Flow<'a> {
    wiring: &'a Wiring,
    trial: &'a Trial,
    pending: Vec<Vec<Event>>,
    stage: usize,
    /// Records of the events encoded last, one after the other: they are allocated and freed together.
    records: Vec<u8>,
    /// Whose they are: sink, position among its events, bytes.
    marks: Vec<(usize, usize, Range<usize>)>,
    routed: Routed,
}

impl Flow<'_> {
    fn account(&mut self, event: &Event) -> Option<&mut Account> {
        self.routed.accounts.get_mut(event.index as usize)
    }

    fn hand_out(&mut self, targets: &[Target], event: Event) {
        let Some((last, others)) = targets.split_last() else { return };
        for target in others {
            if self.encode(*target, &event) {
                self.deliver(*target, without_value(&event));
            } else {
                self.deliver(*target, event.clone());
            }
        }
        if self.encode(*last, &event) {
            self.deliver(*last, Event { value: None, metadata: None, ..event });
        } else {
            self.deliver(*last, event);
        }
    }

    /// Encodes the event that is about to be delivered, if the target is a sink that encodes and can encode it. If it
    /// cannot, the sink will say so.
    fn encode(&mut self, target: Target, event: &Event) -> bool {
        let Target::Sink(index) = target else { return false };
        let Some(encoder) = self.wiring.encoders[index].as_ref() else { return false };
        let start = self.records.len();
        let done = encoder.encode(event, &mut self.records).is_ok();
        if done {
            self.marks.push((index, self.routed.sinks[index].len(), start..self.records.len()));
        } else {
            self.records.truncate(start);
        }
        done
    }

    /// Gives the events encoded since the last call their records.
    fn bind_records(&mut self) {
        // A copy of just the size: these wait for the sink, and room for more would wait with them.
        let records = Bytes::copy_from_slice(&self.records);
        self.records.clear();
        for (sink, position, range) in self.marks.drain(..) {
            self.routed.sinks[sink][position].encoded = Some(records.slice(range));
        }
    }

    fn deliver(&mut self, target: Target, event: Event) {
        match target {
            Target::Transform(index) => self.pending[index].push(event),
            Target::Sink(index) => {
                if let Some(account) = self.account(&event) {
                    account.delivered = true;
                }
                self.routed.sinks[index].push(event);
            }
        }
    }

    fn bury(&mut self, letter: DeadLetter) {
        if let Some(account) = self.account(&letter.event) {
            account.dead = true;
        }
        self.routed.letters.push(letter);
    }
}

/// Whether a program can make anything of the event: it has a value, or its bytes are JSON.
fn is_readable(event: &Event) -> bool {
    event.value.is_some() || serde_json::from_slice::<serde_json::Value>(&event.raw).is_ok()
}

/// A copy of the event for a sink that has its record.
fn without_value(event: &Event) -> Event {
    Event {
        origin: event.origin.clone(),
        id: event.id.clone(),
        suspicious: event.suspicious.clone(),
        raw: event.raw.clone(),
        encoded: None,
        value: None,
        metadata: None,
        ..*event
    }
}

/// A dead letter as an event, for a sink to take: everything that the files of dead letters hold.
pub(crate) fn as_event(letter: DeadLetter) -> Event {
    let mut event = letter.event;
    let mut value = json!({
        "component": letter.component,
        "reason": letter.reason,
        "source": event.origin.source,
        "provider": event.origin.provider,
        "stream": event.origin.stream,
        "id": event.id,
        "identity": event.identity.to_string(),
        "event_time": event.time.map(|time| time.to_rfc3339()),
        "observed_time": event.observed.to_rfc3339(),
        "own_query": event.own_query,
        "event": event.made(),
    });
    let raw = match std::str::from_utf8(&event.raw) {
        Ok(text) if letter.oversized.is_some() => ("raw_begins", text.to_owned()),
        Ok(text) => ("raw", text.to_owned()),
        Err(_) => ("raw_base64", BASE64.encode(&event.raw)),
    };
    value[raw.0] = raw.1.into();
    match letter.oversized {
        Some(Oversized { sha256, bytes, file, .. }) => {
            value["sha256"] = sha256.into();
            value["raw_bytes"] = bytes.into();
            value["raw_file"] = file.into();
        }
        None => value["sha256"] = sha256(&event.raw).into(),
    }
    event.value = Some(value.into());
    event.encoded = None;
    event
}

impl Emit for Flow<'_> {
    fn next(&mut self, port: Port, event: Event) {
        let stage = &self.wiring.stages[self.stage];
        stage.trial.pass();
        match stage.consumers.get(port) {
            Some(readers) if !readers.is_empty() => self.hand_out(readers, event),
            _ => {
                let rule = stage.unread.get(port).unwrap_or(&stage.name).clone();
                if let Some(account) = self.account(&event) {
                    account.dropped_by = Some(rule);
                }
            }
        }
    }

    fn drop(&mut self, event: &Event) {
        let stage = &self.wiring.stages[self.stage];
        stage.trial.pass();
        let rule = stage.name.clone();
        if let Some(account) = self.account(event) {
            account.dropped_by = Some(rule);
        }
    }

    fn fail(&mut self, event: Event, reason: String) {
        let stage = &self.wiring.stages[self.stage];
        match stage.on_refusal {
            OnRefusal::Stop => {
                self.routed.fatal.get_or_insert_with(|| {
                    let id = &event.id;
                    format!("{reason}; the transform says `on_error: block`, so the run stops before event `{id}`")
                });
                return;
            }
            // What is not JSON is not the program's fault.
            OnRefusal::Judge if is_readable(&event) && stage.trial.refuse(&reason) => {
                self.routed.fatal.get_or_insert_with(|| self.trial.sentence(&stage.name, &stage.trial));
            }
            OnRefusal::Judge | OnRefusal::DeadLetter => {}
        }
        self.bury(DeadLetter { event, component: stage.name.to_string(), reason, oversized: None });
    }
}
