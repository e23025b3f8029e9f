//! Any JSON, any of these programs: each event taken ends exactly as the contract of transforms says.

use crate::support::{Seen, compiler, event, remap, written};
use headwater_contracts::{Event, Transform};
use headwater_vrl::{Compiler, Filter, Route, RouteRule, Tables, locate_in, render};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const PROGRAMS: &[&str] = &[
    ".a = 1",
    ". = .a",
    ". = [., .a]",
    ". = .b",
    ". = {\"in\": .}",
    "del(.a)\n.b.c.d = .a",
    ".a[3] = .b\ndel(.b[0])",
    ". = merge(., {\"x\": %headwater.id})",
    "if .a == 1 { abort }\n.a = .a || .b",
    ".n = to_int!(.a)\n.m = to_string!(.b)",
    ".k = keys(object!(.))\nfor_each(object!(.)) -> |k, v| { %seen = k\n .last = v }",
    ". = map_values(object(.a) ?? {}) -> |v| { encode_json(v) }",
    ". = flatten(object!(.))\n%headline = .a",
    ". = parse_json!(%headwater.raw)",
    ".s = split(string!(.a), \"b\")\nx = .s[1]\n.x = x",
    "del(.)",
];

const CONDITIONS: &[&str] =
    &[".a == 1", "exists(.a.b)", "is_object(.)", "int!(.a) > 0", "contains(to_string!(.b), \"a\")"];

static STAGES: LazyLock<Vec<Box<dyn Transform>>> = LazyLock::new(|| {
    let condition = |text: &str| compiler().compile_condition(text).unwrap();
    let remaps = PROGRAMS.iter().map(|text| Box::new(remap(text)) as Box<dyn Transform>);
    let filters = CONDITIONS
        .iter()
        .map(|text| Box::new(Filter::new("f", condition(text), locate_in("p.vrl", text))) as Box<dyn Transform>);
    let routes = [true, false].map(|reroute| {
        let rules = CONDITIONS.iter().take(3).map(|text| RouteRule {
            name: format!("r{}", text.len()),
            condition: condition(text),
            locate: locate_in("p.vrl", text),
        });
        Box::new(Route::new("r", rules.collect(), reroute)) as Box<dyn Transform>
    });
    remaps.chain(filters).chain(routes).collect()
});

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "[ab0-9]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]|.{0,3}", inner, 0..4)
                .prop_map(|map: BTreeMap<String, Value>| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_raw() -> impl Strategy<Value = String> {
    prop_oneof![8 => any_json().prop_map(|json| json.to_string()), 1 => ".{0,20}"]
}

proptest! {
    #[test]
    fn every_event_ends_exactly_once(raws in prop::collection::vec(any_raw(), 1..4)) {
        for stage in STAGES.iter() {
            let events: Vec<Event> = raws.iter().enumerate().map(|(number, raw)| {
                let mut event = event(raw);
                event.index = u32::try_from(number).unwrap();
                event
            }).collect();
            let seen = Seen::of(stage.as_ref(), events);
            for index in 0..u32::try_from(raws.len()).unwrap() {
                let went_on = seen.next.iter().filter(|(_, event)| event.index == index).count();
                let ended = seen.dropped.iter().filter(|event| event.index == index).count()
                    + seen.failed.iter().filter(|(event, _)| event.index == index).count();
                prop_assert!((went_on > 0 && ended == 0) || (went_on == 0 && ended == 1), "{} and {}", went_on, ended);
            }
            let ports = stage.ports().len();
            prop_assert!(seen.next.iter().all(|(port, _)| *port < ports));
            // In order, and writable.
            prop_assert!(seen.next.windows(2).all(|pair| pair[0].1.index <= pair[1].1.index));
            for (_, event) in &seen.next {
                written(event);
            }
            for (event, reason) in &seen.failed {
                prop_assert!(event.value.is_none() && !reason.contains("panicked"), "{}", reason);
            }
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused_at_a_place_within_it(text in "[.%a-c={}\\[\\]()|\"' \nä€!?0-9,;-]{0,40}") {
        static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new(Vec::new(), Tables::default()));
        if let Err(problems) = COMPILER.compile(&text) {
            prop_assert!(!problems.is_empty());
            for problem in &problems {
                prop_assert!(text.get(problem.offset.clone()).is_some(), "{:?}", problem);
                prop_assert!(problem.labels.iter().all(|label| text.get(label.offset.clone()).is_some()));
            }
            prop_assert!(render("p.vrl", &text, &problems).contains("--> p.vrl:"));
        }
    }
}
