//! The sink contract, as a suite that every sink runs against its own destination.
//!
//! A sink's `tests/contract.rs` implements [`Destination`] (how to build the sink, how to read back what arrived, and, where
//! it can be arranged, how to break the far side) and calls [`sink_contract`]. Sent and received are compared event
//! by event: nothing missing, nothing invented, nothing changed.
//!
//! | check | promise |
//! |---|---|
//! | `everything arrives` | what `deliver` answered for can be read back at once, once each, in order, unchanged |
//! | `encoded events` | the same holds for events that were encoded before they came |
//! | `awkward events` | Unicode, line breaks, quotes, control characters and a huge event arrive unchanged |
//! | `empty batch` | delivering nothing succeeds and delivers nothing |
//! | `dropped midway` | a `deliver` that is dropped after any number of polls and repeated loses nothing |
//! | `new sink` | a second sink on the same destination adds to what the first delivered |
//! | `rejection` | the event refused by the far side is named, it alone, and the others arrive |
//! | `far side down` | the answer is [`SinkError::Retry`], and the same batch arrives once the far side is back |
//! | `far side breaks halfway` | the same, after the far side has taken a part of the batch |
//!
//! The last three need hooks; a destination without them (a console) passes without those checks.

use async_trait::async_trait;
use bytes::Bytes;
use headwater_contracts::{Delivery, Event, Identity, Origin, OwnQueryPolicy, Sink, SinkError, Timestamp};
use std::{collections::BTreeMap, fmt, future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

/// One event as read back from a destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Field `id` of the event.
    pub id: String,
    /// Field `text` of the event.
    pub text: String,
}

impl Arrival {
    /// What a destination holds of an event that it keeps as JSON. `None` if it is not one of the suite's events.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(json).ok()?;
        let field = |name| value.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        Some(Self { id: field("id")?, text: field("text")? })
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.text.chars().take(60).collect();
        write!(f, "{} ({start:?}, {} bytes)", self.id, self.text.len())
    }
}

/// A way for the far side to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It takes nothing.
    Down,
    /// It takes a part of the next batch, then nothing.
    Halfway,
}

/// A sink's far side, as the suite needs it. Each check gets a new one.
#[async_trait]
pub trait Destination: Send {
    /// A new sink for this destination. Called again for a restart; the earlier sink is gone by then.
    fn sink(&mut self) -> Box<dyn Sink>;

    /// Everything the destination holds now, in the order it arrived. An unreadable item is an arrival whose `id`
    /// says so, so that the comparison fails.
    async fn arrivals(&mut self) -> Vec<Arrival>;

    /// Breaks the far side; `false` if this cannot be arranged.
    async fn break_down(&mut self, _outage: Outage) -> bool {
        false
    }

    /// Ends the outage.
    async fn recover(&mut self) {}

    /// Makes the far side refuse the event with this id for good; `false` if this cannot be arranged.
    async fn refuse(&mut self, _id: &str) -> bool {
        false
    }

    /// Whether the destination keeps the order in which it was sent. Default: `true`.
    fn ordered(&self) -> bool {
        true
    }

    /// Size of the `text` of the huge event, bytes. Default: 1 MiB.
    fn huge(&self) -> usize {
        1 << 20
    }
}

/// A promise not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The check that noticed, as in the table of this module.
    pub check: &'static str,
    /// What was seen.
    pub problem: String,
}

/// Runs the suite and fails the test with every violation found.
///
/// # Panics
/// If the sink breaks its contract.
pub async fn sink_contract<D: Destination>(new: impl FnMut() -> D) {
    let violations = sink_violations(new).await;
    let list: Vec<String> = violations.iter().map(|v| format!("  {}: {}", v.check, v.problem)).collect();
    assert!(violations.is_empty(), "the sink breaks its contract:\n{}", list.join("\n"));
}

/// Runs the suite; an empty list is a pass. `new` gives an empty destination for each check.
pub async fn sink_violations<D: Destination>(mut new: impl FnMut() -> D) -> Vec<Violation> {
    let results = [
        ("everything arrives", everything_arrives(new(), false).await),
        ("encoded events", everything_arrives(new(), true).await),
        ("awkward events", awkward_events(new()).await),
        ("empty batch", empty_batch(new()).await),
        ("dropped midway", dropped_midway(&mut new).await),
        ("new sink", new_sink(new()).await),
        ("rejection", rejection(new()).await),
        ("far side down", outage(new(), Outage::Down).await),
        ("far side breaks halfway", outage(new(), Outage::Halfway).await),
    ];
    results.into_iter().filter_map(|(check, result)| Some(Violation { check, problem: result.err()? })).collect()
}

type Check = Result<(), String>;

async fn everything_arrives(mut far: impl Destination, encoded: bool) -> Check {
    let mut sink = far.sink();
    let sent = events("a", 25);
    let mut given = sent.clone();
    if encoded {
        encode(&*sink, &mut given)?;
    }
    for (number, batch) in given.chunks(10).enumerate() {
        delivered(&mut *sink, batch).await?;
        // Read before `close`: an answer is a promise already kept.
        compare(&mut far, &sent[..number * 10 + batch.len()], Copies::One).await?;
    }
    closed(&mut *sink).await?;
    drop(sink);
    compare(&mut far, &sent, Copies::One).await
}

/// As a lane does: the value goes, the record comes.
fn encode(sink: &dyn Sink, events: &mut [Event]) -> Check {
    let Some(encoder) = sink.encoder() else { return Ok(()) };
    for event in events {
        let mut record = Vec::new();
        encoder.encode(event, &mut record)?;
        event.encoded = Some(record.into());
        event.value = None;
    }
    Ok(())
}

async fn awkward_events(mut far: impl Destination) -> Check {
    let texts = [
        "déjà vu, Ωμέγα, 審査ログ, 🦀👩‍👩‍👧, \u{202e}reversed\u{202c}, \u{feff}",
        "line\nbreak, carriage\r\nreturn, \u{2028} and \u{85}",
        "\"quotes\", 'apostrophes', commas, ;semicolons; \\backslashes\\ and ]]> and --",
        "tab\t, bell\u{7}, escape\u{1b}[31m, delete\u{7f}",
        "",
        "  blanks around  ",
    ];
    let mut sent: Vec<Event> =
        texts.iter().enumerate().map(|(i, text)| event(&format!("awkward-{i}"), text, i % 2 == 0)).collect();
    sent.extend(texts.iter().enumerate().map(|(i, text)| event(&format!("awkward-too-{i}"), text, i % 2 == 1)));
    sent.push(spread(&event("spread over lines", "as some providers print it\n", false)));
    sent.push(event("huge", &"0123456789abcdé".repeat(far.huge() / 16), false));
    sent.push(event("after", "the huge one", false));
    let mut sink = far.sink();
    delivered(&mut *sink, &sent).await?;
    compare(&mut far, &sent, Copies::One).await
}

async fn empty_batch(mut far: impl Destination) -> Check {
    let mut sink = far.sink();
    delivered(&mut *sink, &[]).await?;
    compare(&mut far, &[], Copies::One).await?;
    let sent = events("a", 3);
    delivered(&mut *sink, &sent).await?;
    delivered(&mut *sink, &[]).await?;
    closed(&mut *sink).await?;
    compare(&mut far, &sent, Copies::One).await
}

/// Drops the future after 1, 2, 3.. polls, until one delivery needed no more polls than it was given.
async fn dropped_midway<D: Destination>(new: &mut impl FnMut() -> D) -> Check {
    for polls in 1..=12 {
        let mut far = new();
        let mut sink = far.sink();
        let sent = events("a", 30);
        delivered(&mut *sink, &sent[..10]).await?;
        let at_once = {
            let attempt = pin!(sink.deliver(&sent[10..20]));
            polled(attempt, polls).await
        };
        let finished = at_once.is_some();
        match at_once {
            Some(answer) => all_taken(answer)?,
            None => delivered(&mut *sink, &sent[10..20]).await?,
        }
        let copies = if finished { Copies::One } else { Copies::OneOrMore };
        compare(&mut far, &sent[..20], copies).await.map_err(|e| format!("after {polls} polls: {e}"))?;
        delivered(&mut *sink, &sent[20..]).await?;
        closed(&mut *sink).await?;
        compare(&mut far, &sent, copies).await.map_err(|e| format!("after {polls} polls and one more batch: {e}"))?;
        if finished {
            break;
        }
    }
    Ok(())
}

async fn new_sink(mut far: impl Destination) -> Check {
    let sent = events("a", 12);
    let mut first = far.sink();
    delivered(&mut *first, &sent[..5]).await?;
    // Not closed: a crash.
    drop(first);
    let mut second = far.sink();
    delivered(&mut *second, &sent[5..9]).await?;
    closed(&mut *second).await?;
    drop(second);
    let mut third = far.sink();
    delivered(&mut *third, &sent[9..]).await?;
    compare(&mut far, &sent, Copies::One).await
}

async fn rejection(mut far: impl Destination) -> Check {
    let sent = events("a", 7);
    if !far.refuse(&sent[3].id).await {
        return Ok(());
    }
    let mut sink = far.sink();
    let answer = deliver(&mut *sink, &sent).await?.map_err(|e| format!("expected a rejection, got the error `{e}`"))?;
    let named: Vec<usize> = answer.rejected.iter().map(|r| r.index).collect();
    if named != [3] {
        return Err(format!("expected the rejected events [3], got {named:?}"));
    }
    if answer.rejected[0].reason.trim().is_empty() {
        return Err("the rejection has no reason".to_owned());
    }
    let others: Vec<Event> = sent.into_iter().enumerate().filter_map(|(i, event)| (i != 3).then_some(event)).collect();
    compare(&mut far, &others, Copies::One).await
}

async fn outage(mut far: impl Destination, outage: Outage) -> Check {
    let sent = events("a", 30);
    let mut sink = far.sink();
    delivered(&mut *sink, &sent[..10]).await?;
    if !far.break_down(outage).await {
        return Ok(());
    }
    for attempt in 1..=2 {
        match deliver(&mut *sink, &sent[10..20]).await? {
            Err(SinkError::Retry { reason, .. }) if !reason.trim().is_empty() => {}
            Err(SinkError::Retry { .. }) => return Err("the reason to retry is empty".to_owned()),
            Err(SinkError::Denied(reason)) => {
                return Err(format!("an outage is no refusal of a credential, got `{reason}`"));
            }
            Err(SinkError::Fatal(reason)) => return Err(format!("an outage is not fatal, got `{reason}`")),
            Ok(answer) => return Err(format!("attempt {attempt} answered {answer:?} while the far side was down")),
        }
    }
    far.recover().await;
    delivered(&mut *sink, &sent[10..20]).await.map_err(|e| format!("after the outage: {e}"))?;
    compare(&mut far, &sent[..20], Copies::OneOrMore).await?;
    delivered(&mut *sink, &sent[20..]).await?;
    closed(&mut *sink).await?;
    compare(&mut far, &sent, Copies::OneOrMore).await
}

/// Far longer than any local destination takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(1);

async fn deliver(sink: &mut dyn Sink, batch: &[Event]) -> Result<Result<Delivery, SinkError>, String> {
    tokio::time::timeout(PATIENCE, sink.deliver(batch)).await.map_err(|_| "`deliver` does not return".to_owned())
}

async fn delivered(sink: &mut dyn Sink, batch: &[Event]) -> Check {
    all_taken(deliver(sink, batch).await?)
}

fn all_taken(answer: Result<Delivery, SinkError>) -> Check {
    match answer {
        Ok(delivery) if delivery.rejected.is_empty() => Ok(()),
        Ok(delivery) => Err(format!("good events were rejected: {:?}", delivery.rejected)),
        Err(error) => Err(format!("a good batch was not delivered: {error}")),
    }
}

async fn closed(sink: &mut dyn Sink) -> Check {
    let answer = tokio::time::timeout(PATIENCE, sink.close()).await.map_err(|_| "`close` does not return")?;
    answer.map_err(|error| format!("`close` failed: {error}"))
}

/// The answer, if `future` gives one within `polls` polls. Yields in between, so that I/O can move on.
async fn polled<F: Future>(mut future: std::pin::Pin<&mut F>, polls: usize) -> Option<F::Output> {
    for _ in 0..polls {
        let now = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(output) = now {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// How often each event may be there.
#[derive(Clone, Copy, PartialEq)]
enum Copies {
    One,
    OneOrMore,
}

async fn compare(far: &mut impl Destination, sent: &[Event], copies: Copies) -> Check {
    let arrived = far.arrivals().await;
    let expected: Vec<Arrival> = sent.iter().map(as_sent).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for arrival in &arrived {
        let Some(original) = expected.iter().find(|event| event.id == arrival.id) else {
            return Err(format!("invented: {arrival:?} was never sent"));
        };
        if original.text != arrival.text {
            return Err(format!("changed: sent {original:?}, arrived {arrival:?}"));
        }
        *counts.entry(&arrival.id).or_default() += 1;
    }
    if let Some(missing) = expected.iter().find(|event| !counts.contains_key(event.id.as_str())) {
        return Err(format!("lost: {missing:?} has not arrived ({} of {} have)", counts.len(), expected.len()));
    }
    if let Some((id, count)) = counts.iter().find(|(_, count)| **count > 1)
        && copies == Copies::One
    {
        return Err(format!("repeated: `{id}` arrived {count} times though nothing failed"));
    }
    if far.ordered() && !in_order(&expected, &arrived) {
        return Err(format!("out of order: arrived as {:?}", arrived.iter().map(|a| &a.id).collect::<Vec<_>>()));
    }
    Ok(())
}

/// Whether the last copies of the events stand in the order sent: the last copy is the one that was acknowledged.
fn in_order(expected: &[Arrival], arrived: &[Arrival]) -> bool {
    let places = expected.iter().map(|event| arrived.iter().rposition(|arrival| arrival.id == event.id));
    places.collect::<Vec<_>>().is_sorted()
}

fn as_sent(event: &Event) -> Arrival {
    let mut json = Vec::new();
    let written = event.write_json(&mut json).is_ok();
    let arrival = Arrival::from_json(&json).filter(|_| written);
    arrival.unwrap_or_else(|| Arrival { id: event.id.clone(), text: "an event that is not the suite's".to_owned() })
}

/// `count` ordinary events, every second of them transformed.
fn events(name: &str, count: usize) -> Vec<Event> {
    (0..count).map(|i| event(&format!("{name}-{i}"), &format!("event {i} of {count}"), i % 2 == 1)).collect()
}

/// One event of the suite: `{"id": .., "text": ..}`, as the provider's bytes or, `transformed`, as a value whose raw
/// bytes are something else.
pub fn event(id: &str, text: &str, transformed: bool) -> Event {
    let body = serde_json::json!({ "id": id, "text": text });
    let raw = if transformed { serde_json::json!({ "before": id }) } else { body.clone() };
    Event {
        origin: Arc::new(Origin {
            source: "suite".to_owned(),
            provider: "suite".into(),
            stream: "suite.example".to_owned(),
            own_query_policy: OwnQueryPolicy::default(),
            simulated: false,
            read_by: None,
        }),
        id: id.to_owned(),
        identity: Identity::of(&[id.as_bytes()]),
        time: Timestamp::from_timestamp(1_760_000_000, 0),
        observed: Timestamp::UNIX_EPOCH + Duration::from_secs(1_760_000_060),
        own_query: false,
        suspicious: None,
        late: None,
        raw: Bytes::from(raw.to_string()),
        value: transformed.then(|| vrl::value::Value::from(body)),
        encoded: None,
        metadata: None,
        index: 0,
    }
}

/// The same event as a provider that prints JSON over several lines sends it.
fn spread(event: &Event) -> Event {
    let Arrival { id, text } = as_sent(event);
    let raw = format!("{{\r\n  \"id\" : {},\n\t\"text\":{}\n}}", serde_json::json!(id), serde_json::json!(text));
    Event { raw: Bytes::from(raw), ..event.clone() }
}
