//! A run from its first page to its end: what it delivers, what it leaves, how it stops.

use super::*;

/// The standard library would open `/dev/null` in its place, where all would count as delivered.
#[test]
fn a_closed_stdout_takes_nothing() {
    let simulator = simulator(Provider::PactFlow, Scenario::new().history(2, 50));
    let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
    for command in ["run --once", "schema", "graph", "ledger show"] {
        let line = format!("exec '{}' {command} >&-", env!("CARGO_BIN_EXE_headwater"));
        let done = std::process::Command::new("sh").args(["-c", &line]).current_dir(dir.path()).output().unwrap();
        assert_code(&done, Some(1));
        assert!(stderr(&done).contains("stdout"), "{command}: {}", stderr(&done));
    }
    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    assert!(stdout(&done).lines().count() >= 50, "what nobody took is still to be had");
}

/// One whole run on the demonstration's faults: throttling, a torn answer, an outage.
fn every_event_once(provider: Provider) {
    let simulator = simulator(provider, Scenario::demo(provider));
    let begun = SystemClock.now();
    let dir = folder(&pipeline(&simulator, provider, simulator.credential()));
    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    let truths: BTreeMap<String, _> =
        simulator.ledger().events().into_iter().map(|truth| (truth.id.clone(), truth)).collect();
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for line in stdout(&done).lines() {
        let id = id(&serde_json::from_str(line).unwrap());
        assert!(truths.get(&id).is_some_and(|truth| truth.is(line.as_bytes())), "not what was sent: {line}");
        *copies.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = copies.iter().filter(|(_, copies)| **copies != 1).collect();
    assert!(twice.is_empty(), "{provider}: delivered more than once: {twice:?}");
    // What happens while the run goes on is for the next one. The records of own reading are dropped where they can be told.
    let own = |kind: Kind| provider != Provider::Mural && kind == Kind::OwnCollector;
    // API7 is read up to a minute ago.
    let begun = if provider == Provider::Api7 { begun - chrono::TimeDelta::seconds(62) } else { begun };
    let lost: Vec<_> = truths
        .values()
        .filter(|truth| truth.served > 0 && truth.time <= begun && !own(truth.kind) && !copies.contains_key(&truth.id))
        .collect();
    assert!(lost.is_empty(), "{provider}: lost {lost:#?}");
    assert!(truths.values().all(|truth| !own(truth.kind) || !copies.contains_key(&truth.id)), "an own query passes");
    assert!(copies.len() > 500, "{provider}: {} events", copies.len());

    let table = stderr(&done);
    let row = table.lines().find(|line| line.starts_with("in/")).expect("the closing table").to_owned();
    let delivered = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(2).unwrap().to_owned();
    assert_eq!(delivered, copies.len().to_string(), "{row}");

    // A second run on the same state has nothing to say but what is new.
    let again = run(dir.path(), &["run", "--once"]);
    assert_code(&again, Some(0));
    let repeated: Vec<String> = stdout(&again)
        .lines()
        .map(|line| id(&serde_json::from_str(line).unwrap()))
        .filter(|id| copies.contains_key(id))
        .collect();
    assert_eq!(repeated, [""; 0], "{provider}: delivered again by the next run");
}

#[test]
fn once_delivers_every_event_of_pactflow_once() {
    every_event_once(Provider::PactFlow);
}

#[test]
fn once_delivers_every_event_of_api7_once() {
    every_event_once(Provider::Api7);
}

#[test]
fn once_delivers_every_event_of_mural_once() {
    every_event_once(Provider::Mural);
}

#[test]
fn once_delivers_every_event_of_solace_cloud_once() {
    every_event_once(Provider::SolaceCloud);
}

#[test]
fn simulate_runs_the_default_pipeline_and_leaves_nothing() {
    let dir = folder(&text("pipeline.yaml"));
    let mut command = support::command(dir.path(), &["run", "--simulate", "--once"]);
    let done = support::without_credentials(&mut command).output().unwrap();
    assert_code(&done, Some(0));
    assert_eq!(entries(dir.path()), ["pipeline.yaml"]);
    let mut providers = BTreeMap::new();
    for line in stdout(&done).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["metadata"]["version"], "1.6.0");
        *providers.entry(event["metadata"]["product"]["name"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    for provider in ["PactFlow", "Mural", "PubSub+ Cloud", "API7 Enterprise", "Anypoint Platform"] {
        assert!(providers[provider] > 500, "{providers:?}");
    }
    assert!(stderr(&done).contains("drop_own_queries"), "own queries are dropped and counted: {}", stderr(&done));
}

#[test]
fn ledger_show_tells_what_has_been_read() {
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
    let before = run(dir.path(), &["ledger", "show"]);
    assert_code(&before, FAILED);
    assert!(stderr(&before).contains("there is no ledger in `"), "{}", stderr(&before));
    assert_eq!(entries(dir.path()), ["pipeline.yaml"]);

    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    let delivered = stdout(&done).lines().count() as u64;

    let shown = run(dir.path(), &["ledger", "show", "--format", "json"]);
    assert_code(&shown, Some(0));
    let stream: Value = serde_json::from_slice(&shown.stdout).expect("one line for one stream");
    assert_eq!(stream["source"], "in");
    let number = |key: &str| stream[key].as_u64().unwrap_or_else(|| panic!("{key}: {stream}"));
    let dropped: u64 = stream["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(number("delivered"), delivered);
    assert_eq!(number("read"), delivered + dropped + number("suppressed") + number("dead_lettered"));
    assert_eq!(number("identities"), delivered + dropped);
    let covered = stream["coverage"].as_array().unwrap();
    assert_eq!(covered.len(), 1, "one range without a gap: {covered:?}");

    let shown = run(dir.path(), &["ledger", "show"]);
    assert_code(&shown, Some(0));
    let said = stdout(&shown);
    let row = said.lines().nth(1).unwrap();
    assert!(said.starts_with("stream ") && row.starts_with("in/"), "{said}");
    assert_eq!(row.split_whitespace().nth(2), Some(delivered.to_string().as_str()), "{said}");
    assert!(said.contains("covered from") && said.contains(covered[0]["from"].as_str().unwrap()), "{said}");
}

#[test]
fn a_second_process_on_the_same_state_is_refused() {
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&pipeline_to(TO_FILE, &simulator, Provider::PactFlow, simulator.credential()));
    let mut first = Headwater::start(dir.path(), &["run"]);
    first.wait_for("caught up");
    for args in [&["run", "--once"][..], &["ledger", "show"]] {
        let second = run(dir.path(), args);
        assert_code(&second, FAILED);
        let said = stderr(&second);
        assert!(said.starts_with("error: the ledger `") && said.contains("is in use by another process"), "{said}");
        assert_eq!(stdout(&second), "");
    }
    assert!(first.child.try_wait().unwrap().is_none(), "the first one goes on");
}

#[test]
fn a_stop_signal_ends_a_run_with_0_and_nothing_is_read_again() {
    for signal in ["TERM", "INT"] {
        let simulator = calm(Provider::PactFlow);
        let dir = folder(&pipeline_to(TO_FILE, &simulator, Provider::PactFlow, simulator.credential()));
        let mut headwater = Headwater::start(dir.path(), &["run"]);
        headwater.wait_for("caught up");
        support::signal(&headwater.child, signal);
        assert_eq!(headwater.child.wait().unwrap().code(), Some(0), "SIG{signal}");
        let delivered = || fs::read_to_string(dir.path().join("out.ndjson")).unwrap().lines().count();
        assert_eq!(delivered(), 300, "SIG{signal}");
        assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
        assert_eq!(delivered(), 300, "SIG{signal}: everything was committed");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_run_with_1() {
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
    let mut command = support::command(dir.path(), &["run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_code(&done, FAILED);
    let said = stderr(&done);
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: sink `out`: ") && last.contains("stdout"), "{said}");
    // What nobody took is not marked as delivered.
    let next = run(dir.path(), &["run", "--once"]);
    assert_code(&next, Some(0));
    assert_eq!(stdout(&next).lines().count(), 300);
}

#[test]
fn credentials_are_shown_nowhere() {
    for provider in [Provider::PactFlow, Provider::Mural, Provider::Api7] {
        let simulator = calm(provider);
        let wrong = "wrong-credential-5f1c";
        for (credential, code) in
            [(simulator.credential(), Some(0)), (simulator.unprivileged_credential(), FAILED), (wrong, FAILED)]
        {
            // The file is the user's; the secret reaches the program by the environment.
            let dir = folder(&pipeline(&simulator, provider, "${SECRET}"));
            for level in ["debug", "trace"] {
                let mut command = support::command(dir.path(), &["run", "--once", "--log", level]);
                let done = command.env("SECRET", credential).output().unwrap();
                assert_code(&done, code);
                assert!(level == "trace" || stderr(&done).contains("DEBUG"), "there is something to look at");
                let state = all_bytes(&dir.path().join("state"));
                for (place, bytes) in [("stdout", &done.stdout), ("stderr", &done.stderr), ("the state", &state)] {
                    assert!(!holds(bytes, credential), "{provider}: the credential is in {place} ({level})");
                }
            }
            let seen = simulator.ledger().requests();
            assert!(seen.iter().any(|request| request.headers.iter().any(|(_, value)| value.contains(credential))));
        }
    }
}

#[test]
fn what_a_login_sends_and_gets_is_shown_nowhere() {
    let simulator = calm(Provider::Anypoint);
    let (id, right) = simulator.credential().split_once(':').unwrap();
    for (secret, code) in [(right, Some(0)), ("wrong-secret-5f1c", FAILED)] {
        let dir = folder(&format!(
            "state: {{ type: file, path: state }}\n\
             sources:\n  in: {{ type: anypoint, endpoint: \"{}\", organization_ids: [{}], auth: {{ client_id: {id}, client_secret: \"${{SECRET}}\" }}, retention: 7d, start_at: earliest }}\n\
             sinks:\n  out: {{ type: console, inputs: [in] }}\n",
            simulator.url(),
            headwater_simulator::ANYPOINT_ORGANIZATIONS.join(", "),
        ));
        let mut command = support::command(dir.path(), &["run", "--once", "--log", "trace"]);
        let done = command.env("SECRET", secret).output().unwrap();
        assert_code(&done, code);
        let tokens: Vec<String> = simulator
            .ledger()
            .requests()
            .iter()
            .filter_map(|seen| seen.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned))
            .collect();
        let state = all_bytes(&dir.path().join("state"));
        for (place, bytes) in [("stdout", &done.stdout), ("stderr", &done.stderr), ("the state", &state)] {
            for shown in tokens.iter().map(String::as_str).chain([secret]) {
                assert!(!holds(bytes, shown), "a credential is in {place}");
            }
        }
        assert!(code == FAILED || !tokens.is_empty());
    }
}

#[test]
fn simulate_prints_addresses_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut headwater = Headwater::start(dir.path(), &["simulate", "--scenario", "late"]);
    for provider in ["pactflow", "mural", "solace_cloud", "api7"] {
        let mut line = String::new();
        headwater.out.read_line(&mut line).unwrap();
        let [name, url, credential] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("`{line}`") };
        assert_eq!(name, provider);
        let address = url.strip_prefix("http://").unwrap();
        let (path, header) = match provider {
            "pactflow" => ("/audit", format!("Authorization: Bearer {credential}")),
            "mural" => ("/enterprise/v1/audit-log", format!("Authorization: apikey {credential}")),
            "api7" => ("/api/audit_logs", format!("X-API-KEY: {credential}")),
            _ => ("/api/v2/audit/logs", format!("Authorization: Bearer {credential}")),
        };
        let answer = |header: &str| {
            let mut stream = TcpStream::connect(address.split('/').next().unwrap()).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{header}\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let good = answer(&header);
        assert!(
            good.starts_with("HTTP/1.1 200 ")
                && ["\"actor\"", "\"uuid\"", "\"userId\"", "\"operator\""].iter().any(|key| good.contains(key)),
            "{good}"
        );
        let stranger = answer("Accept: */*");
        assert!(stranger.starts_with("HTTP/1.1 401 "), "{stranger}");
    }
    // The last one wants a login.
    let mut line = String::new();
    headwater.out.read_line(&mut line).unwrap();
    assert!(line.starts_with("anypoint ") && line.contains("http://127.0.0.1:"), "{line}");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
}

#[test]
fn simulated_events_are_marked_and_stay_on_this_machine() {
    let dir = folder(
        "sources:\n  in: { type: pactflow, endpoint: https://acme.pactflow.io, token: x }\n\
         transforms:\n  normalize: { type: remap, inputs: [in], file: 'builtin:normalize.vrl' }\n\
         sinks:\n  out: { type: file, path: out.ndjson, inputs: [normalize] }\n  \
         siem: { type: syslog, mode: udp, address: 192.0.2.1, inputs: [normalize] }\n  \
         otel: { type: otlp, endpoint: 'http://collector.example:4317', inputs: [normalize] }\n  \
         kafka: { type: kafka, bootstrap_servers: 'localhost:9092, broker.example:9092', inputs: [normalize] }\n",
    );
    let output = run(dir.path(), &["run", "--simulate", "--once"]);
    assert_code(&output, Some(0));
    let said = stderr(&output);
    for address in ["192.0.2.1:514", "http://collector.example:4317/", "broker.example:9092"] {
        assert!(said.contains(&format!("simulated events do not go to {address}")), "{said}");
    }
    let text = fs::read_to_string(dir.path().join("out.ndjson")).unwrap();
    assert!(text.lines().count() > 100);
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(
            event["metadata"]["labels"].as_array().is_some_and(|labels| labels.contains(&"simulated".into())),
            "{line}"
        );
    }
}

#[test]
fn simulated_events_bear_a_mark_where_their_bytes_have_none_and_sinks_here_are_named() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = receiver.local_addr().unwrap();
    let dir = folder(&format!(
        "sources:\n  in: {{ type: pactflow, endpoint: https://acme.pactflow.io, token: x }}\n\
         sinks:\n  out: {{ type: file, path: out.ndjson, inputs: [in] }}\n  \
         siem: {{ type: syslog, mode: udp, address: '{here}', enterprise_id: 7, structured_data: [], inputs: [in] }}\n"
    ));
    let output = run(dir.path(), &["run", "--simulate", "--once"]);
    assert_code(&output, Some(0));
    let said = stderr(&output);
    assert!(
        said.contains(&format!("simulated events go to {here}. Each bears the structured data `[simulated@7]`")),
        "{said}"
    );
    assert!(said.contains("out.ndjson`. Nothing there tells them from real ones"), "{said}");
    let mut message = [0; 9000];
    let length = receiver.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..length]).into_owned();
    assert!(message.contains(" [simulated@7] {"), "{message}");
}

#[test]
fn with_json_logs_every_line_on_stderr_is_json() {
    let simulator = calm(Provider::PactFlow);
    for (bad, code) in [("type: filter, condition: 'true'", Some(0)), (REFUSING[0], FAILED)] {
        let dir = folder(&through(bad, &simulator, Provider::PactFlow));
        let output = run(dir.path(), &["run", "--once", "--log-format", "json"]);
        assert_code(&output, code);
        let said = stderr(&output);
        let parsed: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(parsed.iter().any(|line| line["fields"]["message"] == "the account of this run"), "{said}");
    }
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file_that_names_them() {
    let simulator = calm(Provider::PactFlow);
    let bad = format!("{}, on_error: dead_letter", REFUSING[0]);
    let config = through(&bad, &simulator, Provider::PactFlow);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("conf")).unwrap();
    let at = |place: &str| dir.path().join(place);
    fs::write(at("conf/pipeline.yaml"), &config).unwrap();
    assert_code(&run(dir.path(), &["run", "--once", "conf/pipeline.yaml"]), Some(0));
    assert_eq!(entries(dir.path()), ["conf"]);
    assert!(at("conf/state/ledger.redb").exists());
    assert_eq!(lines(&at("conf/state/dead-letter/dead-letter.ndjson")), 300, "the dead letters follow `state.path`");
    fs::write(
        at("conf/pipeline.yaml"),
        config.replace(REFUSING[0], "type: filter, condition: 'true'").replace("path: state", "path: other"),
    )
    .unwrap();
    assert_code(&run(dir.path(), &["run", "--once", "conf/pipeline.yaml"]), Some(0));
    assert_eq!(entries(dir.path()), ["conf"]);
    assert!(lines(&at("conf/out.ndjson")) >= 300 && at("conf/other/dead-letter").exists());

    // A ledger where earlier versions kept it is not begun anew.
    fs::rename(at("conf/other"), at("other")).unwrap();
    for args in [&["run", "--once", "conf/pipeline.yaml"][..], &["ledger", "show", "conf/pipeline.yaml"]] {
        let refused = run(dir.path(), args);
        assert_code(&refused, CONFIG);
        assert!(stderr(&refused).contains("earlier versions kept it"), "{}", stderr(&refused));
    }
    assert!(!at("conf/other").exists());
    fs::rename(at("other"), at("conf/other")).unwrap();
    assert_code(&run(dir.path(), &["run", "--once", "conf/pipeline.yaml"]), Some(0));
}
