//! A changed configuration, by signal or by itself, in a run that goes on.

use super::*;

/// The signal and the watch, each: a configuration that cannot be used changes nothing, one that can is taken over, and what
/// was read before is not read again.
fn takes_over(args: &[&str], tell: impl Fn(&Headwater)) {
    let simulator = calm(Provider::Mural);
    let credential = simulator.credential().to_owned();
    let to = |sink: &str| pipeline_to(sink, &simulator, Provider::Mural, &credential);
    let dir = folder(&to("type: file, path: first.ndjson"));
    let change = |text: &str| fs::write(dir.path().join("pipeline.yaml"), text).unwrap();
    let mut headwater = Headwater::start(dir.path(), &[&["run"], args].concat());
    headwater.wait_for("caught up");
    change("sources: 3");
    tell(&headwater);
    headwater.wait_for("the old one goes on");
    change(&to("type: file, path: first.ndjson").replace("path: state", "path: elsewhere"));
    tell(&headwater);
    headwater.wait_for("the old one goes on");
    change(&to("type: file, path: second.ndjson"));
    tell(&headwater);
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
    let ids = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        text.lines().map(|line| id(&serde_json::from_str(line).unwrap())).collect()
    };
    let (first, second) = (ids("first.ndjson"), ids("second.ndjson"));
    assert!(!first.is_empty());
    assert!(second.iter().all(|id| !first.contains(id)), "delivered again: {second:?}");
}

#[test]
fn a_hangup_takes_over_the_changed_configuration() {
    takes_over(&[], |headwater| support::signal(&headwater.child, "HUP"));
}

#[test]
fn a_watched_configuration_is_taken_over_by_itself() {
    takes_over(&["--watch"], |_| {});
}

#[test]
fn a_reload_with_a_credential_that_is_refused_is_not_ready() {
    let simulator = calm(Provider::PactFlow);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let with = |credential: &str| {
        let pipeline = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, credential);
        format!("{pipeline}api: {{ address: \"127.0.0.1:{port}\" }}\n")
    };
    let dir = folder(&with(simulator.credential()));
    let mut headwater = Headwater::start(dir.path(), &["run"]);
    headwater.wait_for("caught up");
    let ready = support::get(port, "/ready");
    assert!(ready.contains(" 200 ") && ready.contains("\"denied\":false"), "{ready}");
    for (credential, said, status) in
        [("wrong", "access denied", " 503 "), (simulator.credential(), "caught up", " 200 ")]
    {
        fs::write(dir.path().join("pipeline.yaml"), with(credential)).unwrap();
        support::signal(&headwater.child, "HUP");
        headwater.wait_for("goes on with the new one");
        headwater.wait_for(said);
        let ready = support::get(port, "/ready");
        assert!(ready.contains(status), "{credential}: {ready}");
    }
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
}

#[test]
fn while_a_reload_waits_for_a_secret_the_api_answers() {
    let simulator = calm(Provider::PactFlow);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let with = |credential: &str| {
        let yaml = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, "CREDENTIAL");
        format!("{}api: {{ address: \"127.0.0.1:{port}\" }}\n", yaml.replace("CREDENTIAL", credential))
    };
    let dir = folder(&with(simulator.credential()));
    let at = |name: &str| dir.path().join(name);
    // It waits for the test, at most as long as it may take.
    let script = format!(
        "touch begun; for _ in $(seq 80); do [ -e go ] && break; sleep 0.1; done; touch over; echo {}",
        simulator.credential()
    );
    fs::write(at("secret.sh"), script).unwrap();
    let mut headwater = Headwater::start(dir.path(), &["run"]);
    headwater.wait_for("caught up");
    let yaml = with("CREDENTIAL");
    let quoted = ["\"CREDENTIAL\"", "'CREDENTIAL'", "CREDENTIAL"].into_iter().find(|text| yaml.contains(text)).unwrap();
    fs::write(at("pipeline.yaml"), yaml.replace(quoted, "{ exec: [sh, secret.sh] }")).unwrap();
    support::signal(&headwater.child, "HUP");
    while !at("begun").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(support::get(port, "/health").contains(" 200 ") && !at("over").exists());
    fs::write(at("go"), "").unwrap();
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reload_that_could_not_write_leaves_the_old_pipeline_at_work() {
    let simulator = calm(Provider::PactFlow);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    let configure = |letters: &str, out: &str| {
        let yaml = format!(
            "state: {{ type: file, path: state }}\ndead_letter: {{ path: '{letters}' }}\nsources:\n  in: {{ type: pactflow, endpoint: '{}', token: {} }}\n\
             sinks:\n  out: {{ type: file, path: '{out}', inputs: [in] }}\n",
            simulator.url(),
            simulator.credential()
        );
        fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
    };
    configure("letters", "out.ndjson");
    let mut headwater = support::Headwater::start(dir.path(), &["run", "--log", "info"]);
    headwater.wait_for("caught up");
    for (letters, out, problem) in [
        ("/proc/nope", "out.ndjson", "`dead_letter`: cannot write in `/proc`"),
        ("letters", "folder", "sink `out`: `"),
        ("letters", "/proc/nope/out.ndjson", "sink `out`: cannot write in `/proc`"),
    ] {
        configure(letters, out);
        support::signal(&headwater.child, "HUP");
        headwater.wait_for("the old one goes on");
        headwater.wait_for(problem);
    }
    configure("letters", "other.ndjson");
    support::signal(&headwater.child, "HUP");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert!(headwater.child.wait().unwrap().success());
}

#[test]
fn mending_a_sink_that_cannot_deliver_and_reloading_goes_on_with_the_mended_one() {
    let simulator = calm(Provider::PactFlow);
    let credential = simulator.credential();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("type: syslog, mode: tcp, address: \"{free}\", retry: {{ initial: 10ms, max: 20ms }}");
    let dir = folder(&pipeline_to(&dead, &simulator, Provider::PactFlow, credential));
    let mut headwater = Headwater::start(dir.path(), &["run", "--grace", "300ms"]);
    headwater.wait_for("not delivered, again in");
    let mended = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, credential);
    fs::write(dir.path().join("pipeline.yaml"), mended).unwrap();
    support::signal(&headwater.child, "HUP");
    headwater.wait_for("it is let go, and read again");
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
    assert_eq!(delivered(dir.path()), 300);
}

#[test]
fn a_watched_run_takes_over_a_secret_that_is_replaced() {
    let simulator = calm(Provider::PactFlow);
    let config = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, "TOKEN").replace("\"TOKEN\"", "{ file: token }");
    let dir = folder(&config);
    fs::write(dir.path().join("token"), "of-yesterday").unwrap();
    let mut headwater = Headwater::start(dir.path(), &["run", "--watch"]);
    headwater.wait_for("asking again");
    fs::write(dir.path().join("token"), simulator.credential()).unwrap();
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
    assert_eq!(delivered(dir.path()), 300);
}
