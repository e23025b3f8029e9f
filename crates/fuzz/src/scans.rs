//! Whole scans of the five plugins, whatever their providers answer.

use headwater_contracts::{
    Coverage, Next, OwnRequest, OwnRequests, PageEnd, Rejection, Scan, Source, SourceConfig, SourceOptions, Span,
    StartAt, StreamView, Timestamp,
};
use headwater_runtime::{Element, Splitter, read_record};
use serde_json::{Value, json};
use std::{collections::VecDeque, io, sync::LazyLock, time::Duration};

/// Between two answers: no JSON has it.
const END: u8 = 0;
/// Most scans that one input may lead to.
const SCANS: usize = 1000;

static SOURCES: LazyLock<Vec<Box<dyn Source>>> = LazyLock::new(|| {
    let options = SourceOptions { start_at: Some(StartAt::Earliest), ..SourceOptions::default() };
    let url = "https://provider.example.com";
    vec![
        build::<headwater_source_pactflow::PactflowConfig>(json!({ "endpoint": url, "token": "t" }), &options),
        build::<headwater_source_mural::MuralConfig>(json!({ "endpoint": url, "api_key": "k" }), &options),
        build::<headwater_source_solace_cloud::SolaceCloudConfig>(json!({ "endpoint": url, "token": "t" }), &options),
        build::<headwater_source_api7::Api7Config>(json!({ "endpoint": url, "token": "t" }), &options),
        build::<headwater_source_anypoint::AnypointConfig>(
            json!({
                "endpoint": url,
                "organization_ids": ["11111111-2222-3333-4444-555555555555"],
                "auth": { "client_id": "c", "client_secret": "s" },
            }),
            &options,
        ),
    ]
});

fn build<C: SourceConfig>(keys: Value, options: &SourceOptions) -> Box<dyn Source> {
    let config: C = serde_json::from_value(keys).unwrap_or_else(|error| panic!("{}: {error}", C::TYPE));
    config.build(options).unwrap_or_else(|error| panic!("{}: {}: {error}", C::TYPE, error.field)).source
}

/// The first byte chooses the provider, and whether the first answer is what a former run left in the ledger.
pub(crate) fn run(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let source = &SOURCES[usize::from(*choice) % SOURCES.len()];
    let mut answers = rest.split(|byte| *byte == END);
    let now = Timestamp::from_timestamp_millis(1_768_478_400_000).unwrap_or_default();
    let mut coverage = Coverage::default();
    let mut state: Option<Value> = None;
    if *choice >= 128 {
        state = answers.next().and_then(|text| serde_json::from_slice(text).ok());
        let until = now - Duration::from_hours(2);
        coverage.add(Span::new(until - source.retention(), until), 7);
    }
    let mut sent = OwnRequests::default();
    let mut scans: VecDeque<Box<dyn Scan>> = plan(&**source, now, true, &coverage, state.as_ref()).into();
    for _ in 0..SCANS {
        let Some(mut scan) = scans.pop_front() else { break };
        loop {
            let Some(answer) = answers.next() else { return };
            match step(&mut *scan, answer, now, &mut sent) {
                Some(Next::Complete) => {
                    let span = scan.span();
                    let future = !span.is_empty() && span.to > now.timestamp_millis();
                    assert!(!future, "{span:?} claims what has not happened yet");
                    coverage.add(span, 0);
                    state = scan.state().or(state);
                    break;
                }
                Some(Next::Split(pieces)) => {
                    for piece in pieces.into_iter().rev() {
                        scans.push_front(piece);
                    }
                    break;
                }
                Some(Next::More | Next::Restart(_)) | None => {}
            }
        }
    }
    // What was read leads to a next plan.
    plan(&**source, now, false, &coverage, state.as_ref());
}

/// What the plugin would read, with this in the ledger.
fn plan(
    source: &dyn Source,
    now: Timestamp,
    first: bool,
    coverage: &Coverage,
    state: Option<&Value>,
) -> Vec<Box<dyn Scan>> {
    let stream = &source.streams()[0];
    let start = now - source.retention();
    source.plan(&StreamView { stream, now, start, first, coverage, state, calls: &[] }).scans
}

/// Asks, and answers. The answer's first byte says whether it is a page, or with what it is refused.
fn step(scan: &mut dyn Scan, answer: &[u8], now: Timestamp, sent: &mut OwnRequests) -> Option<Next> {
    let request = scan.request();
    let agent = format!("agent {}", sent.len());
    sent.insert(OwnRequest {
        id: agent.clone(),
        user_agent: agent,
        method: request.method.as_str().to_owned(),
        path: request.path,
        query: request.query,
        sent: now,
    });
    let (kind, body) = answer.split_first().unwrap_or((&b' ', &[]));
    let status = [400, 401, 403, 404, 410, 429, 500, 503].get(usize::from(kind.wrapping_sub(b'0')));
    let next = if let Some(status) = status {
        scan.rejected(&Rejection {
            status: *status,
            retry_after: None,
            content_type: "application/json".into(),
            body: body.to_vec(),
        })
    } else {
        let mut splitter = if scan.whole() { Splitter::whole() } else { Splitter::new(scan.elements()) };
        let mut element = |element: Element<'_>| {
            let Element::Whole(raw) = element else { return };
            if let Ok(record) = read_record(raw, &mut |raw| scan.record(raw, sent)) {
                assert!(!record.id.is_empty(), "a record has an id: {}", String::from_utf8_lossy(raw));
                scan.trimmed(raw);
            }
        };
        match splitter.push(answer, &mut element).and_then(|()| splitter.finish()) {
            Ok(page) => scan.page(&PageEnd { envelope: &page.envelope, records: page.records, server_time: now }),
            Err(error) => scan.unusable(headwater_contracts::ReadError::Malformed(error.to_string())),
        }
    };
    scan.state();
    assert!(!scan.describe().is_empty());
    assert!(scan.progress().is_none_or(|progress| (0.0..=1.0).contains(&progress)), "{:?}", scan.progress());
    next.ok()
}

pub(crate) fn seeds() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    let shapes: [(&str, &[u8], &[u8]); 5] = [
        (
            "pactflow",
            b"{\"events\":[",
            b"],\"_links\":{\"next\":{\"href\":\"https://provider.example.com/audit?from=x\"}}}",
        ),
        ("mural", b"{\"data\":[", b"],\"next\":\"token\"}"),
        (
            "solace_cloud",
            b"{\"data\":[",
            b"],\"meta\":{\"pagination\":{\"count\":1,\"pageNumber\":1,\"totalPages\":2}}}",
        ),
        ("api7", b"{\"list\":[", b"],\"total\":1}"),
        ("anypoint", b"{\"data\":[", b"],\"total\":1}"),
    ];
    for (choice, (provider, head, tail)) in shapes.into_iter().enumerate() {
        for sample in crate::files(&format!("crates/simulator/samples/{provider}"), ".json")? {
            let page = [head, &sample, tail].concat();
            let first = u8::try_from(choice).unwrap_or_default();
            seeds.push([&[first][..], &page, &[END], &page, &[END], b"5slow", &[END], head, tail].concat());
        }
    }
    Ok(seeds)
}
