use crate::support::{Seen, compiler, event, failure, json, program, remap, result, time, written};
use headwater_contracts::{Event, Transform};
use headwater_vrl::{Filter, Remap, RemapOptions, Route, RouteRule, locate_in};
use serde_json::json;

fn filter(condition: &str) -> Filter {
    Filter::new("only", compiler().compile_condition(condition).unwrap(), locate_in("p.vrl", condition))
}

fn route(rules: &[(&str, &str)], reroute_unmatched: bool) -> Route {
    let rules = rules.iter().map(|(name, condition)| RouteRule {
        name: (*name).to_owned(),
        condition: compiler().compile_condition(condition).unwrap(),
        locate: locate_in("p.vrl", condition),
    });
    Route::new("split", rules.collect(), reroute_unmatched)
}

#[test]
fn a_program_changes_the_event_and_the_next_one_sees_it() {
    let first = Seen::of(&remap(".b = .a + 1 ?? 0\ndel(.a)"), vec![event(r#"{"a":1}"#)]);
    let events: Vec<Event> = first.next.into_iter().map(|(_, event)| event).collect();
    let second = Seen::of(&remap(".c = .b"), events);
    assert_eq!(second.json(), [json!({"b": 2, "c": 2})]);
}

#[test]
fn an_event_that_no_program_changes_keeps_its_bytes() {
    let raw = r#"{ "z": 18446744073709551615, "a": 1.0, "a": 2 }"#;
    for text in
        ["if %headwater.own_query == false { abort }", "if .a == 1 { abort }", "x = .z\nlog(x)", "del(.nothing)"]
    {
        let seen = Seen::of(&remap(text), vec![event(raw)]);
        assert_eq!(written(&seen.next[0].1), raw.as_bytes(), "{text}");
    }
    assert_eq!(written(&Seen::of(&filter("exists(.z)"), vec![event(raw)]).next[0].1), raw.as_bytes());
}

#[test]
fn the_headwater_metadata_have_their_types() {
    let mut late = event("{ }");
    late.late = Some(chrono::TimeDelta::minutes(26 * 60 + 5));
    late.suspicious = Some("imitates headwater".into());
    let text = r"
        .types = [is_timestamp(%headwater.time), is_timestamp(%headwater.observed_time), is_boolean(%headwater.own_query)]
        .source = %headwater.source
        .provider = %headwater.provider
        .stream = %headwater.stream
        .id = %headwater.id
        .time = %headwater.time
        .observed = %headwater.observed_time
        .own = %headwater.own_query
        .policy = %headwater.own_query_policy
        .suspicious = %headwater.suspicious
        .late = %headwater.late
        .raw = %headwater.raw
        .none = %headwater.unheard_of
        .keys = length(keys(object!(%headwater)))
        .same = %headwater.id == object!(%).headwater.id
    ";
    let seen = Seen::of(&remap(text), vec![late]);
    assert_eq!(
        seen.json(),
        [json!({
            "types": [true, true, true],
            "source": "contracts",
            "provider": "pactflow",
            "stream": "acme.pactflow.io",
            "id": "e-1",
            "time": "2026-01-01T00:00:00Z",
            "observed": "2026-01-02T03:04:05.678Z",
            "own": true,
            "policy": "tag",
            "suspicious": "imitates headwater",
            "late": "26h",
            "raw": "{ }",
            "none": null,
            "keys": 12,
            "same": true,
        })]
    );
    let mut timeless = event("{}");
    timeless.time = None;
    let seen = Seen::of(&remap(".time = %headwater.time\n.late = %headwater.late"), vec![timeless]);
    assert_eq!(seen.json(), [json!({"time": null, "late": null})]);
}

#[test]
fn metadata_of_the_users_own_travels_with_the_event() {
    let first = Seen::of(&remap("%team = \"blue\"\n%deep.er = 1"), vec![event("{}")]);
    let events: Vec<Event> = first.next.into_iter().map(|(_, event)| event).collect();
    assert_eq!(written(&events[0]), b"{}", "metadata are no part of the event");
    let second = Seen::of(&remap(".team = %team\n.all = %\ndel(.all.headwater)\ndel(%deep)\n.gone = %deep"), events);
    assert_eq!(second.json(), [json!({"team": "blue", "all": {"team": "blue", "deep": {"er": 1}}, "gone": null})]);
}

#[test]
fn an_array_becomes_one_event_per_element() {
    let seen = Seen::of(&remap("%m = true\n. = [{\"n\": 1}, .a, []]"), vec![event(r#"{"a":2}"#)]);
    assert_eq!(seen.json(), [json!({"n": 1}), json!(2), json!([])]);
    assert!(seen.next.iter().all(|(port, event)| *port == 0 && event.id == "e-1" && event.metadata.is_some()));

    let none = Seen::of(&remap(". = []"), vec![event("{}")]);
    assert_eq!((none.next.len(), none.dropped.len(), none.failed.len()), (0, 1, 0));
}

#[test]
fn an_abort_drops_by_rule_or_passes_the_event_as_it_was() {
    let text = ".a = 2\n%m = 1\nif .b == true { abort \"why\" }";
    let raw = r#"{"a": 1, "b": true}"#;
    let dropped = Seen::of(&remap(text), vec![event(raw)]);
    assert_eq!((dropped.next.len(), dropped.dropped.len(), dropped.failed.len()), (0, 1, 0));

    let options = RemapOptions { drop_on_abort: false };
    let keep = Remap::new("keep", program(text), locate_in("p.vrl", text), options);
    let passed = Seen::of(&keep, vec![event(raw)]);
    assert_eq!(written(&passed.next[0].1), raw.as_bytes());
    assert_eq!(passed.next[0].1.metadata, None);

    // Also when a transform before it had made a value.
    let mut valued = Seen::of(&remap(".c = 3\n%m = 0"), vec![event(raw)]).next.remove(0).1;
    valued.index = 7;
    let passed = Seen::of(&keep, vec![valued.clone()]);
    assert_eq!(passed.next[0].1.value, valued.value);
    assert_eq!(passed.next[0].1.metadata, valued.metadata);
    assert_eq!(passed.next[0].1.index, 7);
}

#[test]
fn a_failed_event_is_handed_back_as_it_was_with_the_place() {
    let text = ".a = 1\n.b = to_int!(.text)\n";
    let seen = Seen::of(&remap(text), vec![event(r#"{"text":"ä"}"#)]);
    let (failed, reason) = &seen.failed[0];
    assert!(reason.starts_with("transform `shape` at p.vrl:2:6: `to_int`: "), "{reason}");
    assert_eq!(failed.value, None);
    assert_eq!(written(failed), r#"{"text":"ä"}"#.as_bytes());
}

#[test]
fn places_count_characters_and_name_the_innermost_call() {
    assert_eq!(
        failure("x = \"ä€\"; .y = parse_json!(string!(.a))", r#"{"a":1}"#),
        "transform `shape` at p.vrl:1:28: `string`: expected string, got integer"
    );
    assert_eq!(failure("\n  assert!(.a == 2, \"not two\")", r#"{"a":1}"#), "transform `shape` at p.vrl:2:3: not two");
}

#[test]
fn what_is_no_object_is_shown_as_it_is() {
    assert_eq!(result(". = {\"text\": .}", "\"text\""), json!({"text": "text"}));
    assert_eq!(result("if !is_object(.) { . = {\"text\": .} }", "[1]"), json!({"text": [1]}));
}

#[test]
fn one_bad_event_does_not_touch_its_neighbours_and_order_is_kept() {
    let events: Vec<Event> = [r#"{"n":"1"}"#, r#"{"n":"x"}"#, r#"{"n":"3"}"#].map(event).into();
    let seen = Seen::of(&remap("v = to_int!(.n)\n.n = v"), events);
    assert_eq!(seen.json(), [json!({"n": 1}), json!({"n": 3})]);
    assert_eq!(seen.failed.len(), 1);
}

#[test]
fn variables_do_not_leak_from_event_to_event() {
    let events: Vec<Event> = [r#"{"a":1}"#, "{}"].map(event).into();
    let seen = Seen::of(&remap("x = null\nif exists(.a) { x = .a }\n.x = x"), events);
    assert_eq!(seen.json(), [json!({"a": 1, "x": 1}), json!({"x": null})]);
}

#[test]
fn times_are_read_as_utc_wherever_the_machine_is() {
    let text = r#".t = to_unix_timestamp(parse_timestamp!(.t, "%Y-%m-%d %H:%M:%S"))"#;
    let expected = time("2026-07-01T12:00:00Z").timestamp();
    assert_eq!(result(text, r#"{"t":"2026-07-01 12:00:00"}"#), json!({"t": expected}));
}

#[test]
fn a_filter_passes_drops_or_fails() {
    let events: Vec<Event> = [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":"x"}"#].map(event).into();
    let seen = Seen::of(&filter("int!(.a) == 1"), events);
    assert_eq!(seen.json(), [json!({"a": 1})]);
    assert_eq!(seen.dropped.len(), 1);
    assert_eq!(seen.failed[0].1, "transform `only` at p.vrl:1:1: `int`: expected integer, got string");
}

#[test]
fn a_route_sends_to_every_match_and_knows_the_unmatched() {
    let both = route(&[("even", "mod!(.n, 2) == 0"), ("big", "int!(.n) > 10")], true);
    assert_eq!(both.ports(), ["even", "big", "_unmatched"]);
    let events: Vec<Event> = [r#"{"n":12}"#, r#"{"n":13}"#, r#"{"n":1}"#, r#"{"n":2}"#].map(event).into();
    let seen = Seen::of(&both, events.clone());
    let ports: Vec<(usize, i64)> = seen.next.iter().map(|(port, e)| (*port, json(e)["n"].as_i64().unwrap())).collect();
    assert_eq!(ports, [(0, 12), (1, 12), (1, 13), (2, 1), (0, 2)]);

    let strict = route(&[("even", "mod!(.n, 2) == 0")], false);
    assert_eq!(strict.ports(), ["even"]);
    let seen = Seen::of(&strict, events);
    assert_eq!((seen.next.len(), seen.dropped.len()), (2, 2));
}

#[test]
fn a_route_that_fails_sends_nothing() {
    let rules = route(&[("all", "true"), ("big", "int!(.n) > 10")], true);
    let seen = Seen::of(&rules, vec![event(r#"{"n":"x"}"#)]);
    assert_eq!((seen.next.len(), seen.dropped.len()), (0, 0));
    assert!(seen.failed[0].1.starts_with("transform `split`, route `big`, at p.vrl:1:1: "), "{}", seen.failed[0].1);
}

#[test]
fn a_record_that_cannot_be_read_fails_wherever_a_program_looks_and_passes_where_none_does() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let digits = format!("{{\"a\":{}}}", "9".repeat(400));
    let fields = || route(&[("a", "exists(.a)")], true);
    let metadata = || route(&[("a", "%headwater.own_query == true")], true);
    for raw in [deep.as_str(), &digits, r#"{"a":1e999}"#, r#"{"a":"\u12G4"}"#] {
        let looking: [&dyn Transform; 4] = [&remap(".b = 1"), &remap("x = .a"), &filter("exists(.a)"), &fields()];
        for transform in looking {
            let seen = Seen::of(transform, vec![event(raw), event(r#"{"a":1}"#)]);
            assert_eq!((seen.next.len(), seen.dropped.len(), seen.failed.len()), (1, 0, 1));
            let (failed, reason) = &seen.failed[0];
            assert!(reason.contains("the record cannot be read: ") && reason.len() < 200, "{reason}");
            assert_eq!(written(failed), raw.as_bytes());
        }
        let blind: [&dyn Transform; 3] =
            [&remap("x = %headwater.raw"), &filter("%headwater.own_query == true"), &metadata()];
        for transform in blind {
            let seen = Seen::of(transform, vec![event(raw)]);
            assert_eq!(written(&seen.next[0].1), raw.as_bytes());
        }
    }
    let halves = Seen::of(&remap(".b = 1"), vec![event(r#"{"a":"x\ud800"}"#)]);
    assert_eq!(halves.json(), [json!({"a": "x\u{fffd}", "b": 1})]);
}

#[test]
fn integers_beyond_64_bits_are_rounded_to_doubles_and_raw_keeps_them() {
    let seen = Seen::of(&remap(".b = string!(%headwater.raw)"), vec![event(r#"{"a":18446744073709551617}"#)]);
    assert_eq!(seen.json(), [json!({"a": 1.844_674_407_370_955_2e19, "b": r#"{"a":18446744073709551617}"#})]);
}

#[test]
fn the_deepest_record_that_is_read_can_be_changed_copied_and_written() {
    let levels = headwater_contracts::json::DEPTH_MAX - 1;
    let raw = format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let seen = Seen::of(&remap(".b = .a\n. = {\"c\": {\"d\": .}}"), vec![event(&raw)]);
    assert_eq!(written(&seen.next[0].1).len(), raw.len() * 2 + 11);
}
