//! Answers that are no page, or not all of one; `check` says so at once.

use super::*;

#[test]
fn access_denied_ends_once_with_1_and_says_so() {
    for provider in [Provider::PactFlow, Provider::Mural, Provider::Api7] {
        let simulator = calm(provider);
        let dir = folder(&pipeline(&simulator, provider, simulator.unprivileged_credential()));
        let done = run(dir.path(), &["run", "--once"]);
        assert_code(&done, FAILED);
        assert!(stderr(&done).contains("error: gave up on in/") && stderr(&done).contains("403"), "{}", stderr(&done));
    }
}

#[test]
fn a_page_that_calls_itself_an_error_is_neither_the_end_nor_complete() {
    for records in [false, true] {
        let always = When::During { after_s: 0, for_s: u32::MAX };
        let scenario = Scenario::new().history(3, 40).fault(always, Fault::Complaint { records });
        let simulator = simulator(Provider::PactFlow, scenario);
        let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
        let ran = run(dir.path(), &["run", "--once"]);
        assert_code(&ran, FAILED);
        let said = if records { "a part of the log did not answer" } else { "the log is degraded" };
        assert!(stderr(&ran).contains(&format!("HTTP 200 with an error: {said}")), "{}", stderr(&ran));
        assert_eq!(stdout(&ran).lines().count() > 0, records, "what came is delivered");
        let shown = run(dir.path(), &["ledger", "show", "--format", "json"]);
        let stream: Value = serde_json::from_slice(&shown.stdout).expect("one line for one stream");
        assert_eq!(stream["coverage"], serde_json::json!([]), "nothing is covered");
        let checked = run(dir.path(), &["check"]);
        assert_code(&checked, FAILED);
        assert!(stdout(&checked).contains(said), "{}", stdout(&checked));
    }
}

#[test]
fn check_fails_at_once_on_what_is_no_log_and_on_sinks_that_cannot_take_anything() {
    let simulator = calm(Provider::PactFlow);
    let credential = simulator.credential();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let syslog = |address| format!("type: syslog, mode: tcp, address: \"{address}\"");
    let good = pipeline_to(&syslog(taken.local_addr().unwrap()), &simulator, Provider::PactFlow, credential);
    let dir = folder(&good);
    let output = run(dir.path(), &["check"]);
    assert_code(&output, Some(0));
    for row in ["out ", "state ", "dead_letter "] {
        let row = stdout(&output).lines().find(|line| line.starts_with(row)).map(str::to_owned).unwrap_or_default();
        assert!(row.contains("ok"), "{}", stdout(&output));
    }
    assert_eq!(entries(dir.path()), ["pipeline.yaml"], "check leaves nothing");

    let dead = pipeline_to(&syslog(free), &simulator, Provider::PactFlow, credential);
    let nowhere = good.replace(simulator.url(), &format!("{}/audit", simulator.url()));
    for (config, part) in [(dead, "cannot connect"), (nowhere, "404")] {
        let dir = folder(&config);
        let began = std::time::Instant::now();
        let output = run(dir.path(), &["check"]);
        assert_code(&output, FAILED);
        assert!(stdout(&output).contains("failed") && stdout(&output).contains(part), "{}", stdout(&output));
        assert!(began.elapsed().as_secs() < 25, "a definite answer is not waited for");
    }
}

/// A server that answers every request with this body.
fn server(content_type: &'static str, body: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 8192]);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

/// Runs once against a server whose only page is this one of PactFlow, and shows the stream's ledger.
fn run_on_one_page(page: &'static str) -> (std::process::Output, Value) {
    let dir = folder(&format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: pactflow, endpoint: \"{}\", token: t, start_at: earliest, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }} }}\n\
         sinks:\n  out: {{ type: console, inputs: [in] }}\n",
        server("application/json", page)
    ));
    let ran = run(dir.path(), &["run", "--once"]);
    let shown = run(dir.path(), &["ledger", "show", "--format", "json"]);
    (ran, serde_json::from_slice(&shown.stdout).expect("one line for one stream"))
}

#[test]
fn a_page_that_is_a_part_of_the_answer_is_delivered_and_not_complete() {
    for page in [
        r#"{"events":[{"uuid":"a","timestamp":"2026-01-01T00:00:00Z"}],"partial":true}"#,
        r#"{"events":[{"uuid":"a","timestamp":"2026-01-01T00:00:00Z"}],"timed_out":true}"#,
        r#"{"events":[],"incomplete":true}"#,
    ] {
        let (ran, stream) = run_on_one_page(page);
        assert_code(&ran, FAILED);
        assert!(stderr(&ran).contains("HTTP 200 with an error: "), "{}", stderr(&ran));
        assert_eq!(stdout(&ran).lines().count() > 0, page.contains("uuid"), "what came is delivered");
        assert_eq!(stream["coverage"], serde_json::json!([]), "nothing is covered");
    }
}

#[test]
fn a_warning_beside_a_page_is_told_once_and_the_page_counts() {
    let (ran, stream) = run_on_one_page(r#"{"events":[],"warnings":["shard 3 timed out"]}"#);
    assert_code(&ran, Some(0));
    let told = stderr(&ran).matches("beside a page of the log: shard 3 timed out").count();
    assert_eq!(told, 1, "{}", stderr(&ran));
    assert_ne!(stream["coverage"], serde_json::json!([]), "{stream}");
}

#[test]
fn check_takes_no_page_for_one_that_is_none() {
    for (content_type, body) in [("text/html", "<html>Sign in</html>"), ("application/json", "{\"hello\":1}")] {
        let url = server(content_type, body);
        let sources = [("pactflow", "token"), ("mural", "api_key"), ("solace_cloud", "token"), ("api7", "token")]
            .map(|(provider, key)| format!("  {provider}: {{ type: {provider}, endpoint: \"{url}\", {key}: x }}\n"));
        let sinks = "sinks:\n  out: { type: blackhole, inputs: [pactflow, mural, solace_cloud, api7] }\n";
        let dir = folder(&format!("sources:\n{}{sinks}", sources.concat()));
        let output = run(dir.path(), &["check"]);
        assert_code(&output, FAILED);
        let said = stdout(&output);
        for provider in ["pactflow", "mural", "solace_cloud", "api7"] {
            let row = said.lines().find(|line| line.starts_with(provider)).unwrap_or_default();
            assert!(row.contains("failed"), "{provider}, {body}: {said}");
        }
    }
}

#[test]
fn one_record_that_no_table_can_show_leaves_a_question_its_other_rows() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let record = |id: &str, more: &str| format!(r#"{{"uuid":"{id}","timestamp":"2026-01-01T00:00:00Z"{more}}}"#);
    for odd in [r#","x":1e999"#.to_owned(), format!(r#","x":{deep}"#)] {
        let page = format!(r#"{{"events":[{},{},{}]}}"#, record("a", ""), record("b", &odd), record("c", ""));
        let url = server("application/json", page.leak());
        let dir = folder(&format!(
            "sources:\n  in: {{ type: pactflow, endpoint: \"{url}\", token: t, rate_limit: {{ requests: 1000000, per: 1s }} }}\n\
             sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n"
        ));
        let ask = |more: &[&str]| {
            run(dir.path(), &[&["query", "in", "--since", "2025-12-31", "--until", "2026-01-02"], more].concat())
        };
        for more in
            [&["--format", "table"][..], &["--format", "csv", "--columns", "uuid"], &["--where", ".uuid != \"z\""]]
        {
            let asked = ask(more);
            assert_code(&asked, Some(0));
            let rows =
                stdout(&asked).lines().filter(|line| line.contains("2026-01-01") || ["a", "c"].contains(line)).count();
            assert_eq!(rows, 2, "{more:?}: {}", stdout(&asked));
            assert!(stderr(&asked).contains("left out `b`"), "{more:?}: {}", stderr(&asked));
            assert!(stderr(&asked).contains("1 of the events; `--format json`"), "{}", stderr(&asked));
        }
        assert_eq!(stdout(&ask(&["--format", "json"])).lines().count(), 3);
    }
}
