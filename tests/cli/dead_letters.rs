//! Events that a transform or a sink refuses: what is said of them, and what is settled.

use super::*;

#[test]
fn a_transform_that_refuses_its_first_hundred_events_stops_the_run_and_none_is_settled() {
    for bad in REFUSING {
        let simulator = calm(Provider::PactFlow);
        let dir = folder(&through(bad, &simulator, Provider::PactFlow));
        let output = run(dir.path(), &["run"]);
        assert_code(&output, FAILED);
        let said = stderr(&output);
        assert!(said.contains("transform `bad` refused each of its first 100 events"), "{said}");
        assert!(said.contains("on_error: dead_letter"), "{said}");
        assert_eq!(lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), 0, "{bad}: {said}");
        fs::write(
            dir.path().join("pipeline.yaml"),
            through("type: filter, condition: 'true'", &simulator, Provider::PactFlow),
        )
        .unwrap();
        assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
        assert_eq!(delivered(dir.path()), 300, "{bad}");
    }
}

#[test]
fn once_fails_where_a_transform_refuses_every_event_however_few_they_are() {
    let simulator = simulator(Provider::PactFlow, Scenario::new().seed(11).history(5, 30));
    let dir = folder(&through(REFUSING[0], &simulator, Provider::PactFlow));
    let output = run(dir.path(), &["run", "--once"]);
    assert_code(&output, FAILED);
    assert!(stderr(&output).contains("refused every event it was given ("), "{}", stderr(&output));
    assert_eq!(lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), 0);
    let mended = through("type: filter, condition: 'true'", &simulator, Provider::PactFlow);
    fs::write(dir.path().join("pipeline.yaml"), mended).unwrap();
    assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
    assert_eq!(delivered(dir.path()), 30);
}

#[test]
fn what_a_transform_refuses_before_its_first_good_event_is_a_dead_letter_once() {
    // The oldest events come first, and are those that it refuses.
    let old = "type: remap, source: 'if to_unix_timestamp!(%headwater.time) < to_unix_timestamp(now()) - 370000 { x = to_int!(.uuid); .x = x }'";
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&through(old, &simulator, Provider::PactFlow));
    let mut counts = Vec::new();
    for _ in 0..2 {
        let output = run(dir.path(), &["run", "--once"]);
        assert_code(&output, Some(0));
        counts.push((lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), delivered(dir.path())));
    }
    let (dead, good) = counts[0];
    assert!(dead > 0 && good > 0 && dead + good == 300, "{counts:?}");
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn a_stream_that_is_refused_whole_is_settled_once_another_passes() {
    let (bad, good) =
        (simulator(Provider::PactFlow, Scenario::new().seed(12).history(5, 30)), calm(Provider::PactFlow));
    let sources = [("bad", &bad), ("good", &good)].map(|(name, simulator)| {
        let (url, token) = (simulator.url(), simulator.credential());
        format!("  {name}: {{ type: pactflow, endpoint: '{url}', token: '{token}', start_at: earliest, rate_limit: {{ requests: 1000000, per: 1s }} }}\n")
    });
    let dir = folder(&format!(
        "sources:\n{}transforms:\n  drop: {{ type: remap, inputs: [bad, good], file: 'builtin:drop_own_queries.vrl' }}\n  \
         picky: {{ type: filter, inputs: [drop], condition: '%headwater.source == \"good\" || to_int!(.uuid) > 1' }}\n\
         sinks:\n  out: {{ type: file, path: out.ndjson, inputs: [picky] }}\n",
        sources.concat()
    ));
    for _ in 0..2 {
        assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
        let dead = lines(&dir.path().join("state/dead-letter/dead-letter.ndjson"));
        assert_eq!((dead, delivered(dir.path())), (30, 300));
    }
}

#[test]
fn dead_letters_are_said_at_the_first_of_their_kind_and_at_the_end() {
    let bad = format!("{}, on_error: dead_letter", REFUSING[0]);
    for (more, code) in [(None, Some(0)), (Some("--fail-on-dead-letters"), FAILED)] {
        let simulator = calm(Provider::PactFlow);
        let dir = folder(&through(&bad, &simulator, Provider::PactFlow));
        let args: Vec<&str> = ["run", "--once"].into_iter().chain(more).collect();
        let output = run(dir.path(), &args);
        assert_code(&output, code);
        let said = stderr(&output);
        let kept = lines(&dir.path().join("state/dead-letter/dead-letter.ndjson"));
        assert_eq!(kept, 300, "{said}");
        let warned: Vec<&str> = said.lines().filter(|line| line.contains("goes to the dead letters")).collect();
        assert_eq!(warned.len(), 1, "{said}");
        for part in ["component=bad", "source=in", "id=", "dead-letter.ndjson", "to_int"] {
            assert!(warned[0].contains(part), "{part}: {}", warned[0]);
        }
        assert!(said.contains("300 events are in the dead letters"), "{said}");
    }
}

#[test]
fn a_transform_that_refuses_most_of_its_events_is_an_error_that_is_repeated() {
    // Some pass, so that nothing stops the run.
    let most = "type: remap, source: 'if !match(string!(.uuid), r''^[A-F]'') { x = to_int!(.uuid); .x = x }'";
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&through(most, &simulator, Provider::PactFlow));
    let output = run(dir.path(), &["run", "--once"]);
    assert_code(&output, Some(0));
    let said = stderr(&output);
    let (dead, good) = (lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), delivered(dir.path()));
    assert!(good > 0 && dead > 200 && dead + good == 300, "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("ERROR") && line.contains("refuses ")).collect();
    assert!(errors.len() > 1 && errors.iter().all(|line| line.contains("component=bad")), "{said}");
    assert!(errors[errors.len() - 1].contains(&format!("refuses {dead} of its last 300 events")), "{said}");
}

#[test]
fn events_that_are_read_and_not_settled_are_no_events_that_do_not_exist() {
    let simulator = calm(Provider::PactFlow);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("type: syslog, mode: tcp, address: \"{free}\", retry: {{ initial: 1ms, max: 2ms }}");
    let dir = folder(&pipeline_to(&dead, &simulator, Provider::PactFlow, simulator.credential()));
    for (args, part) in [
        (&[][..], " more were read and are not settled. The next start reads them again"),
        (&["--log-format", "json"], "\"open\":"),
    ] {
        let output = run(dir.path(), &[&["run", "--once"], args].concat());
        assert_code(&output, FAILED);
        let said = stderr(&output);
        assert!(said.contains(part) && !said.contains("\"open\":0"), "{said}");
    }
}

#[test]
fn what_a_refused_transform_leaves_unsettled_is_not_in_the_closing_table() {
    let simulator = simulator(Provider::PactFlow, Scenario::new().seed(11).history(5, 30));
    let dir = folder(&through(REFUSING[0], &simulator, Provider::PactFlow));
    let output = run(dir.path(), &["run", "--once"]);
    assert_code(&output, FAILED);
    let said = stderr(&output);
    let row = said.lines().find(|line| line.starts_with("in/")).expect("the closing table");
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(&cells[1..3], ["0", "0"], "nothing is settled: {said}");
    assert!(said.contains("more were read and are not settled"), "{said}");
}

#[test]
fn dead_letters_that_go_to_a_sink_are_said_as_those_in_files_are() {
    let simulator = calm(Provider::PactFlow);
    for (more, code, kept) in [(", on_error: dead_letter", Some(0), 300), ("", FAILED, 0)] {
        let config = through(&format!("{}{more}", REFUSING[0]), &simulator, Provider::PactFlow);
        let dir = folder(&format!("dead_letter: letters\n{config}  letters: {{ type: file, path: letters.ndjson }}\n"));
        let output = run(dir.path(), &["run", "--once"]);
        assert_code(&output, code);
        let said = stderr(&output);
        assert_eq!(lines(&dir.path().join("letters.ndjson")), kept, "{said}");
        if kept > 0 {
            assert!(said.contains("refused: goes to the dead letters, sink `letters`"), "{said}");
            assert!(said.contains("300 events are in the dead letters, sink `letters`"), "{said}");
        }
    }
}
