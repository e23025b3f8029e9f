//! The source against a small model of the server, without HTTP: whatever its bounds, pages, ends of chains and delays
//! are, every event is delivered once, and coverage claims nothing unread.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may

mod chains;
mod windows;

use headwater_contracts::{
    Coverage, Identity, Next, OwnRequests, PageEnd, Rejection, Request, Scan, Source, SourceConfig, SourceOptions,
    Span, StreamView, Timestamp,
};
use headwater_source_mural::MuralConfig;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The model's present when the first run begins.
const BEGIN: i64 = 1_700_000_000_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(ms).unwrap()
}

#[derive(Debug, Clone, Copy)]
enum EndOfChain {
    NoToken,
    NullToken,
    EmptyToken,
    EmptyPage,
}

#[derive(Debug, Clone)]
struct Habits {
    bounds_inclusive: bool,
    largest_page: u32,
    served: usize,
    end: EndOfChain,
    legacy_dates: bool,
    /// Empty pages before each page in mid-chain.
    empty_pages: usize,
    /// Every so many-th call in mid-chain finds its token expired; 0 for never.
    expires: usize,
    /// A page never says what follows it.
    loses_tokens: bool,
}

#[derive(Debug, Clone)]
struct Stored {
    id: String,
    action: String,
    time: i64,
    /// The time that it shows.
    shown: i64,
    visible: i64,
}

struct Server {
    habits: Habits,
    now: i64,
    stored: Vec<Stored>,
    frozen: HashMap<String, Vec<Stored>>,
    /// Empty pages still to come before what a token leads to.
    empties: HashMap<String, usize>,
    calls: Vec<Timestamp>,
    continued: usize,
}

fn parse(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().timestamp_millis()
}

impl Server {
    fn new(habits: Habits, stored: Vec<Stored>) -> Self {
        Self {
            habits,
            now: BEGIN,
            stored,
            frozen: HashMap::new(),
            empties: HashMap::new(),
            calls: vec![],
            continued: 0,
        }
    }

    /// Elements and envelope, or a status.
    fn answer(&mut self, request: &Request) -> Result<(Vec<Vec<u8>>, Vec<u8>), u16> {
        self.calls.push(at(self.now));
        self.now += 20_000;
        let query: HashMap<_, _> = request.query.iter().cloned().collect();
        let size: u32 = query["maxResults"].parse().unwrap();
        if size > self.habits.largest_page {
            return Err(400);
        }
        let mut rows = if let Some(token) = query.get("nextToken") {
            self.continued += 1;
            if self.habits.expires > 0 && self.continued.is_multiple_of(self.habits.expires) {
                return Err(410);
            }
            if let Some(empties) = self.empties.get(token).copied().filter(|left| *left > 0) {
                let (rest, next) = (self.frozen[token].clone(), format!("token-{}", self.calls.len()));
                self.frozen.insert(next.clone(), rest);
                self.empties.insert(next.clone(), empties - 1);
                return Ok((vec![], json!({ "data": [], "nextToken": next }).to_string().into_bytes()));
            }
            self.frozen[token].clone()
        } else {
            let (since, until) = (parse(&query["filter[date][since]"]), parse(&query["filter[date][until]"]));
            assert!(since < until && until <= self.now && until - since < 30 * DAY, "{since} {until} {}", self.now);
            let inclusive = self.habits.bounds_inclusive;
            let inside = |t: i64| (since < t && t < until) || (inclusive && (t == since || t == until));
            let actions: Option<Vec<&str>> = query.get("filter[action]").map(|names| names.split(',').collect());
            assert!(actions.as_ref().is_none_or(|names| names.len() <= 10));
            let wanted = |e: &&Stored| actions.as_ref().is_none_or(|names| names.contains(&e.action.as_str()));
            let mut rows: Vec<_> = self
                .stored
                .iter()
                .filter(|e| e.visible <= self.now && inside(e.time))
                .filter(wanted)
                .cloned()
                .collect();
            rows.sort_by_key(|e| (std::cmp::Reverse(e.time), e.id.clone()));
            rows
        };
        let rest = rows.split_off(rows.len().min(self.habits.served).min(usize::try_from(size).unwrap()));
        let mut envelope = json!({ "data": [] });
        let token = format!("token-{}", self.calls.len());
        if self.habits.loses_tokens {
            // Neither there nor null.
        } else if rest.is_empty() {
            match self.habits.end {
                EndOfChain::NoToken => {}
                EndOfChain::NullToken => envelope["nextToken"] = Value::Null,
                EndOfChain::EmptyToken => envelope["nextToken"] = json!(""),
                EndOfChain::EmptyPage if rows.is_empty() => {
                    // Another token than the one that led here, and then the same for ever.
                    envelope["nextToken"] = json!("the end");
                    self.frozen.insert("the end".to_owned(), vec![]);
                }
                EndOfChain::EmptyPage => {
                    envelope["nextToken"] = json!(token);
                    self.frozen.insert(token, vec![]);
                }
            }
        } else {
            envelope["nextToken"] = json!(token);
            self.empties.insert(token.clone(), self.habits.empty_pages);
            self.frozen.insert(token, rest);
        }
        let pattern = if self.habits.legacy_dates { "%Y-%m-%d %H:%M:%S%.3f" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
        let element = |e: &Stored| {
            json!({ "id": e.id, "action": e.action, "date": at(e.shown).format(pattern).to_string(), "snapshotDate": self.now })
                .to_string()
                .into_bytes()
        };
        Ok((rows.iter().map(element).collect(), envelope.to_string().into_bytes()))
    }
}

/// The runtime's part, reduced: a ledger that is a set, state and coverage.
struct Reader {
    source: Box<dyn Source>,
    start: i64,
    /// Actions that the filter names, all if empty.
    actions: Vec<String>,
    state: Option<Value>,
    coverage: Coverage,
    seen: HashSet<Identity>,
    delivered: BTreeMap<String, u32>,
    remarks: Vec<String>,
}

impl Reader {
    fn new(own: Value, options: &SourceOptions, start: i64) -> Self {
        let mut yaml = json!({ "api_key": "k" });
        yaml.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let config: MuralConfig = serde_json::from_value(yaml).unwrap();
        Self {
            source: config.build(options).unwrap().source,
            start,
            actions: own
                .pointer("/filter/actions")
                .map(|names| serde_json::from_value(names.clone()).unwrap())
                .unwrap_or_default(),
            state: None,
            coverage: Coverage::default(),
            seen: HashSet::new(),
            delivered: BTreeMap::new(),
            remarks: vec![],
        }
    }

    fn plan(&self, server: &Server) -> headwater_contracts::Plan {
        self.source.plan(&StreamView {
            first: false,
            stream: "api.mural.co",
            now: at(server.now),
            start: at(self.start),
            coverage: &self.coverage,
            state: self.state.as_ref(),
            calls: &server.calls,
        })
    }

    fn catch_up(&mut self, server: &mut Server, mut crash: impl FnMut() -> bool) {
        for _ in 0..600 {
            let plan = self.plan(server);
            if plan.scans.is_empty() {
                assert!(plan.wake.is_some_and(|wake| wake > at(server.now)), "{:?}", plan.wake);
                return;
            }
            let mut queue: VecDeque<_> = plan.scans.into();
            'scans: while let Some(mut scan) = queue.pop_front() {
                for _ in 0..500 {
                    match self.page(scan.as_mut(), server) {
                        Next::Complete => break,
                        Next::Split(pieces) => {
                            for piece in pieces.into_iter().rev() {
                                queue.push_front(piece);
                            }
                            break;
                        }
                        Next::More | Next::Restart(_) => {}
                    }
                    if crash() {
                        break 'scans;
                    }
                }
            }
        }
        panic!("the plan never comes to an end");
    }

    fn page(&mut self, scan: &mut dyn Scan, server: &mut Server) -> Next {
        let request = scan.request();
        let (elements, envelope) = match server.answer(&request) {
            Ok(page) => page,
            Err(status) => {
                let refused = Rejection { status, retry_after: None, content_type: String::new(), body: vec![] };
                return scan.rejected(&refused).unwrap_or(Next::More);
            }
        };
        for raw in &elements {
            let record = scan.record(raw, &OwnRequests::default()).unwrap();
            if record.wanted && self.seen.insert(record.identity) {
                *self.delivered.entry(record.id).or_default() += 1;
            }
        }
        let end = PageEnd { envelope: &envelope, records: elements.len() as u64, server_time: at(server.now) };
        let next = scan.page(&end).unwrap();
        self.remarks.extend(scan.remarks());
        if let Some(state) = scan.state() {
            self.state = Some(state);
        }
        if let Next::Complete = next {
            self.coverage.add(scan.span(), 0);
            // What had appeared when the sweep began and lies in a claimed range has been delivered.
            for event in server.stored.iter().filter(|e| e.time >= self.start && e.visible - e.time < 72 * HOUR) {
                let asked = self.actions.is_empty() || self.actions.contains(&event.action);
                let claimed = asked && self.coverage.contains(at(event.time));
                assert!(!claimed || self.delivered.contains_key(&event.id), "claimed but not read: {event:?}");
            }
        }
        next
    }
}

fn habits() -> impl Strategy<Value = Habits> {
    let end = prop_oneof![
        Just(EndOfChain::NoToken),
        Just(EndOfChain::NullToken),
        Just(EndOfChain::EmptyToken),
        Just(EndOfChain::EmptyPage)
    ];
    (
        any::<bool>(),
        prop_oneof![Just(1000), Just(50_000)],
        1usize..6,
        end,
        any::<bool>(),
        // Enough for the records of one instant, which cannot be read in pieces, and for what ends a chain.
        prop_oneof![Just(0usize), 8usize..16],
        0usize..3,
    )
        .prop_map(|(bounds_inclusive, largest_page, served, end, legacy_dates, expires, empty_pages)| Habits {
            bounds_inclusive,
            largest_page,
            served,
            end,
            legacy_dates,
            // Both together would let no chain of equal times come to its end.
            empty_pages: if expires == 0 { empty_pages } else { 0 },
            expires,
            loses_tokens: false,
        })
}

fn event() -> impl Strategy<Value = (i64, i64)> {
    let late = prop_oneof![5 => DAY..2 * DAY, 1 => 2 * DAY..3 * DAY, 1 => 3 * DAY..6 * DAY];
    // Borders of partitions and equal times occur.
    let time = prop_oneof![2 => -20 * DAY..2 * DAY, 1 => (-80i64..8).prop_map(|n| n * 6 * HOUR - BEGIN % (6 * HOUR))];
    (time, late)
}

fn stored(events: &[(i64, i64)]) -> Vec<Stored> {
    let one = |(n, (time, late)): (usize, &(i64, i64))| Stored {
        id: format!("node-{n}"),
        action: format!("ACTION_{}", n % 13),
        time: BEGIN + time,
        shown: BEGIN + time,
        visible: BEGIN + time + late,
    };
    events.iter().enumerate().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_event_is_delivered_once_whatever_the_server_does(
        habits in habits(),
        events in prop::collection::vec(event(), 0..80),
        pauses in prop::collection::vec(HOUR..14 * HOUR, 10..20),
        crashes in prop::collection::vec(prop::bool::weighted(0.05), 1..80),
        settled in any::<bool>(),
        start in prop_oneof![Just(-7 * DAY), Just(-DAY + 1234), Just(0)],
    ) {
        let mut server = Server::new(habits, stored(&events));
        let mode = if settled { "settled" } else { "early" };
        let mut reader = Reader::new(json!({ "mode": mode }), &SourceOptions::default(), BEGIN + start);
        let (mut crashes, mut pauses) = (crashes.into_iter(), pauses.into_iter().cycle());
        while server.now < BEGIN + 12 * DAY {
            reader.catch_up(&mut server, || crashes.next().unwrap_or(false));
            server.now += pauses.next().unwrap();
        }
        reader.catch_up(&mut server, || false);
        for event in &server.stored {
            let expected = u32::from(event.time >= reader.start);
            prop_assert_eq!(reader.delivered.get(&event.id).copied().unwrap_or(0), expected, "{:?}", event);
        }
        let settled_by_now = at(server.now - 3 * DAY - 7 * HOUR);
        let open = reader.coverage.gaps(Span::new(at(reader.start), settled_by_now));
        prop_assert!(open.is_empty(), "{open:?}");
        prop_assert!(reader.coverage.end() <= Some(server.now - 3 * DAY), "nothing is claimed before it has settled");
    }
}

fn plain() -> Habits {
    Habits {
        bounds_inclusive: true,
        largest_page: 50_000,
        served: 100,
        end: EndOfChain::NoToken,
        legacy_dates: false,
        empty_pages: 0,
        expires: 0,
        loses_tokens: false,
    }
}

fn first_scan(reader: &Reader, server: &Server) -> Box<dyn Scan> {
    reader.plan(server).scans.remove(0)
}

fn end(envelope: &'static str, records: u64) -> PageEnd<'static> {
    PageEnd { envelope: envelope.as_bytes(), records, server_time: at(BEGIN) }
}

fn reader() -> (Reader, Server) {
    let own = json!({ "mode": "settled" });
    (Reader::new(own, &SourceOptions::default(), BEGIN - 10 * DAY), Server::new(plain(), vec![]))
}
