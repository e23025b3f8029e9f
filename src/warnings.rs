//! What a correct configuration will hardly have been meant to do: found before anything runs, and nothing that stops it.

use headwater_config::{Diagnostic, Diagnostics, Pipeline, Role, SIMULATED, SourceSpec, TransformSpec};
use headwater_contracts::{Auth, OwnQueryPolicy, Period, RateLimit, SinkConfig};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Adds a warning for each.
pub(crate) fn warn(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    budgets(pipeline, diagnostics);
    accounts(pipeline, diagnostics);
    own_queries(pipeline, diagnostics);
    for source in &pipeline.sources {
        for remark in source.built.source.remarks() {
            diagnostics.push(source.remark(&remark));
        }
    }
}

/// Requests of a day on which nothing happens, and what may be asked. Sources that share a host share its limit, the strictest.
fn budgets(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    let mut hosts: BTreeMap<String, Vec<&SourceSpec>> = BTreeMap::new();
    for source in &pipeline.sources {
        let endpoint = &source.built.endpoint;
        let port = endpoint.port_or_known_default().unwrap_or_default();
        hosts.entry(format!("{}:{port}", endpoint.host_str().unwrap_or_default())).or_default().push(source);
        let (each, pause) = (source.built.source.requests_per_day(), source.built.min_interval);
        if pause > Period::seconds(0) && each > pause.times_a_day() {
            let message = format!(
                "source `{}` asks for {each} requests a day and stream, and waits {pause} between two: {} are done, and events come \
                 later and later",
                source.name,
                pause.times_a_day(),
            );
            diagnostics.push(slower(source, message));
        }
    }
    for (host, sources) in hosts {
        let limit = |source: &SourceSpec| daily(source.options.rate_limit.unwrap_or(source.built.rate_limit));
        let wanted: u64 = sources.iter().map(|source| requests(source)).sum();
        let Some(strictest) = sources.iter().copied().min_by_key(|source| limit(source)) else { continue };
        let allowed = limit(strictest);
        if wanted <= allowed {
            continue;
        }
        let streams: usize = sources.iter().map(|source| source.built.source.streams().len()).sum();
        let who = match sources.as_slice() {
            [only] if streams == 1 => format!("source `{}`", only.name),
            [only] => format!("source `{}`, with its {streams} streams,", only.name),
            several => {
                let names: Vec<String> = several.iter().map(|source| format!("`{}`", source.name)).collect();
                format!("sources {}, which share the limit of `{host}`,", names.join(", "))
            }
        };
        let asks = if sources.len() == 1 { "asks" } else { "ask" };
        let message = format!(
            "{who} {asks} for {wanted} requests a day at least, and `rate_limit` allows {allowed}: reading falls behind for good"
        );
        diagnostics.push(slower(strictest, message));
    }
}

fn slower(source: &SourceSpec, message: String) -> Diagnostic {
    let given = ["rate_limit", "poll_interval", "rescan"].map(|key| source.place(key));
    let place = given.into_iter().find(|place| *place != &source.span).unwrap_or(&source.span);
    Diagnostic::at(place, message)
        .hint("set a longer `poll_interval` or fewer `rescan`; or allow more requests, if the provider does")
        .warning()
}

/// Requests of all streams of a source on a day on which nothing happens.
fn requests(source: &SourceSpec) -> u64 {
    source.built.source.requests_per_day().saturating_mul(source.built.source.streams().len() as u64)
}

fn daily(limit: RateLimit) -> u64 {
    let day = Period::days(1).to_std().as_millis();
    let per = limit.per.to_std().as_millis().max(1);
    u64::try_from(u128::from(limit.requests) * day / per).unwrap_or(u64::MAX)
}

/// Two sources that read one log.
fn accounts(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    for (number, source) in pipeline.sources.iter().enumerate() {
        let Some((first, stream)) =
            pipeline.sources[..number].iter().find_map(|other| Some((other, same(other, source)?)))
        else {
            continue;
        };
        let message = format!(
            "sources `{}` and `{}` read the same log, `{stream}`: each of its events is delivered twice",
            first.name, source.name
        );
        let hint = "remove one of them; where each has another `filter` this may be meant";
        diagnostics.push(Diagnostic::at(&source.span, message).hint(hint).note("the other one", &first.span).warning());
    }
}

/// A stream that both read.
fn same(one: &SourceSpec, other: &SourceSpec) -> Option<String> {
    let (a, b) = (&one.built, &other.built);
    let place = |built: &headwater_contracts::BuiltSource| {
        let url = &built.endpoint;
        let host = url.host_str().map(|host| host.trim_end_matches('.').to_owned());
        (built.provider, host, url.port_or_known_default(), url.path().trim_end_matches('/').to_owned())
    };
    // What stands in for a variable that is not set is the same for all.
    let is_known = |text: Option<&str>| text.is_some_and(|text| !text.contains(SIMULATED));
    if !is_known(a.endpoint.host_str())
        || place(a) != place(b)
        || a.source.shares_endpoint() && !same_credential(&a.auth, &b.auth)
    {
        return None;
    }
    let streams: BTreeSet<String> = a.source.streams().into_iter().collect();
    b.source.streams().into_iter().find(|stream| is_known(Some(stream)) && streams.contains(stream))
}

fn same_credential(one: &Auth, other: &Auth) -> bool {
    match (one, other) {
        (Auth::Header { secret: a, .. }, Auth::Header { secret: b, .. }) => a == b && !a.expose().contains(SIMULATED),
        _ => false,
    }
}

/// Sources that record their own reading, with nothing on the way to a sink that drops these records.
fn own_queries(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    for source in &pipeline.sources {
        let built = &source.built;
        let recorded = built.source.leaves_echoes() || matches!(built.auth, Auth::Login(_));
        if built.own_query_policy != OwnQueryPolicy::Suppress || !recorded {
            continue;
        }
        let Some((reader, sink)) = unguarded(pipeline, &source.name) else { continue };
        let message = format!(
            "what source `{}` itself reads is recorded in the log, and is delivered to sink `{sink}`: nothing on the way drops it",
            source.name
        );
        let rule = format!(
            "add the rule, and let `{reader}` read it in place of `{0}`:\n\
             transforms:\n  drop_own_queries:\n    type: remap\n    inputs: [{0}]\n    file: builtin:drop_own_queries.vrl",
            source.name
        );
        let hint = "add the shipped rule, or say `own_queries: forward` if you want these records";
        diagnostics.push(Diagnostic::at(&source.span, message).hint(hint).help(rule).warning());
    }
}

/// A sink that events of `source` come to without passing a program that looks at `%headwater.own_query`, and the reader of
/// `source` on that way.
fn unguarded<'a>(pipeline: &'a Pipeline, source: &str) -> Option<(&'a str, &'a str)> {
    let edges = &pipeline.graph().edges;
    let transform = |name: &str| pipeline.transforms.iter().find(|spec| spec.name == name);
    let is_sink = |name: &str| pipeline.graph().nodes.iter().any(|node| node.name == name && node.role == Role::Sink);
    // One that could not be read may well be one.
    let guards = |name: &str| !is_sink(name) && transform(name).is_none_or(is_guard);
    let sinks: HashSet<&str> =
        pipeline.sinks.iter().filter(|sink| delivers(sink.kind)).map(|sink| sink.name.as_str()).collect();
    for first in edges.iter().filter(|edge| edge.from.component == source).map(|edge| edge.to.as_str()) {
        let (mut seen, mut left) = (HashSet::new(), vec![first]);
        while let Some(name) = left.pop() {
            if guards(name) || !seen.insert(name) {
                continue;
            }
            if sinks.contains(name) {
                return Some((first, name));
            }
            left.extend(edges.iter().filter(|edge| edge.from.component == name).map(|edge| edge.to.as_str()));
        }
    }
    None
}

/// Whether anybody gets to see what such a sink takes.
fn delivers(kind: &str) -> bool {
    kind != headwater_sink_blackhole::BlackholeConfig::TYPE
}

/// Whether a transform decides by what an own query is; a remark in a program decides nothing.
fn is_guard(spec: &TransformSpec) -> bool {
    let code = |line: &str| line.split('#').next().unwrap_or_default().contains("%headwater.own_query");
    spec.transform.texts().iter().any(|text| text.text().lines().any(code))
}
