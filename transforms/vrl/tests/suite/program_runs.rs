use crate::support::{program, time};
use bytes::Bytes;
use headwater_vrl::{Metas, ProgramRun, event_with_metadata, locate_in, run_program};
use serde_json::{Value, json};

fn run(text: &str, raw: &[&str], metas: &str) -> Result<ProgramRun, String> {
    let raw = raw.iter().map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
    let metas = Metas::parse(metas.as_bytes())?;
    run_program("vrl", &program(text), locate_in("p.vrl", text), raw, &metas, time("2026-03-04T05:06:07Z"))
}

fn output(text: &str, raw: &[&str], metas: &str) -> String {
    String::from_utf8(run(text, raw, metas).unwrap().output).unwrap()
}

const META: &str = r#"{
  "provider": "solace_cloud", "source": "solace", "stream": "api.solace.cloud", "id": "10dri",
  "time": "2026-01-14T01:00:00+01:00", "observed_time": "2026-01-15T00:00:00.000Z", "own_query": true,
  "own_query_policy": "forward", "simulated": true, "suspicious": "hm", "late": "26h"
}"#;

#[test]
fn metadata_of_a_file_are_what_programs_see_in_a_pipeline() {
    let text = ". = %headwater\n.types = [is_timestamp(.time), is_timestamp(.observed_time)]";
    let line = output(text, &[r#"{"a": 1}"#], META);
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap(),
        json!({
            "provider": "solace_cloud", "source": "solace", "stream": "api.solace.cloud", "id": "10dri",
            "time": "2026-01-14T00:00:00Z", "observed_time": "2026-01-15T00:00:00Z", "own_query": true,
            "own_query_policy": "forward", "simulated": true, "suspicious": "hm", "late": "26h", "raw": "{\"a\": 1}",
            "types": [true, true],
        })
    );
}

#[test]
fn one_object_serves_all_or_each_event_has_its_own() {
    let text = ".id = %headwater.id";
    assert_eq!(output(text, &["{}", "{}"], r#"{"id":"x"}"#), "{\"id\":\"x\"}\n{\"id\":\"x\"}\n");
    assert_eq!(output(text, &["{}", "{}"], "{\"id\":\"x\"}\n{\"id\":\"y\"}\n"), "{\"id\":\"x\"}\n{\"id\":\"y\"}\n");
    assert_eq!(output(".at = %headwater.observed_time", &["{}"], ""), "{\"at\":\"2026-03-04T05:06:07Z\"}\n");
    let error = run(text, &["{}", "{}", "{}"], "{}{}").unwrap_err();
    assert_eq!(error, "there are 2 metadata objects for 3 events: give one for all, or one for each");
}

#[test]
fn metadata_of_the_users_own_stand_beside_headwater() {
    let line = output(".t = %team\n.i = %headwater.id", &["{}"], r#"{"headwater":{"id":"x"},"team":"blue"}"#);
    assert_eq!(line, "{\"i\":\"x\",\"t\":\"blue\"}\n");
}

#[test]
fn what_became_of_each_event_is_told() {
    let result =
        run("if .a == 1 { abort }\n.b = to_int!(.b)", &[r#"{"a":1}"#, r#"{"b":"7"}"#, r#"{"b":{}}"#], "").unwrap();
    assert_eq!(result.output, b"{\"b\":7}\n");
    assert_eq!(result.dropped, [1]);
    assert_eq!(result.failed.len(), 1);
    assert_eq!(result.failed[0].event, 3);
    assert!(result.failed[0].reason.starts_with("transform `vrl` at p.vrl:2:6: "), "{:?}", result.failed);
}

#[test]
fn an_unchanged_event_is_one_line_whatever_its_layout() {
    assert_eq!(
        output("if false { abort }", &["{\n \"a\": 18446744073709551615\n}"], ""),
        "{  \"a\": 18446744073709551615 }\n"
    );
}

#[test]
fn wrong_metadata_are_named() {
    let check = |meta: Value, part: &str| {
        let error = event_with_metadata(Bytes::from_static(b"{}"), &meta, time("2026-01-01T00:00:00Z")).unwrap_err();
        assert!(error.contains(part), "{meta}: {error}");
    };
    check(json!([]), "must be an object");
    check(json!({"observed_tme": "x"}), "did you mean `observed_time`?");
    check(json!({"time": "yesterday"}), "`time` must be an RFC 3339 time, this is `yesterday`");
    check(json!({"late": "soon"}), "a duration such as `26h`");
    check(json!({"own_query": "yes"}), "must be `true` or `false`");
    check(json!({"id": 7}), "`id` must be a string");
    check(json!({"own_query_policy": "drop"}), "`suppress`, `tag` or `forward`");
    check(json!({"headwater": 1}), "must be an object");
    assert!(Metas::parse(b"{} [").is_err());
    assert!(Metas::parse(b"17").is_err());
}
