//! rsyslog and syslog-ng of Debian parse what the sink sends to the fields that were meant. `tests/real/syslog/run` gets
//! them and runs this.

use crate::{
    certificates::Certificates,
    events::{golden_events, made, message, ocsf, sink},
    parser::{Data, Message, parse},
};
use headwater_contracts::{Event, Sink};
use headwater_real::{Network, Proxy, free_port};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpStream,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Where `run` has unpacked the servers: `rsyslog/` and `syslog-ng/`, each the root of a file system.
const SERVERS: &str = "HEADWATER_SYSLOG_SERVERS";

/// Where a server writes what it has parsed, a line a message.
const PARSED: &str = "parsed.ndjson";

/// Longest wait for a server to start, or to have written what it got.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server, its folder and its ports.
struct Server {
    name: &'static str,
    dir: TempDir,
    certificates: Certificates,
    ports: BTreeMap<&'static str, u16>,
    child: Mutex<Option<Child>>,
}

impl Server {
    fn start(name: &'static str) -> Arc<Self> {
        let ports = ["OCTETS", "LINES", "TLS", "UDP"].into_iter().map(|port| (port, free_port())).collect();
        let server = Self {
            name,
            dir: tempfile::tempdir().unwrap(),
            certificates: Certificates::new(),
            ports,
            child: Mutex::default(),
        };
        let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/real/syslog/{name}.conf"));
        let mut text = fs::read_to_string(conf).unwrap();
        for (name, port) in &server.ports {
            text = text.replace(&format!("@{name}@"), &port.to_string());
        }
        text = text.replace("@DIR@", server.dir.path().to_str().unwrap());
        text = text.replace("@CERTS@", server.certificates.path("").to_str().unwrap().trim_end_matches('/'));
        fs::write(server.path("conf"), text).unwrap();
        server.spawn();
        Arc::new(server)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn spawn(&self) {
        let root = PathBuf::from(std::env::var_os(SERVERS).expect(SERVERS)).join(self.name);
        let libraries = ["usr/lib/syslog-ng"].map(|path| root.join(path)).into_iter();
        // Debian's folders for an architecture are called `ARCH-linux-gnu`.
        let multiarch = ["usr/lib", "lib"].into_iter().flat_map(|lib| {
            let entries = fs::read_dir(root.join(lib)).into_iter().flatten().flatten().map(|entry| entry.path());
            entries.filter(|path| path.to_string_lossy().ends_with("-linux-gnu")).collect::<Vec<_>>()
        });
        let libraries: Vec<PathBuf> = libraries.chain(multiarch).collect();
        // What a killed server has left behind, and the message that it was writing: its next life would end that line.
        for file in ["pid", "stream.sock", "datagram.sock"] {
            let _ = fs::remove_file(self.path(file));
        }
        if let Ok(written) = fs::read(self.path(PARSED)) {
            let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            fs::write(self.path(PARSED), &written[..whole]).unwrap();
        }
        let mut command = match self.name {
            "rsyslog" => {
                let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
                let modules: Vec<_> = libraries.iter().map(|path| path.join("rsyslog")).collect();
                let modules = modules.iter().find(|path| path.is_dir()).expect("rsyslog's modules");
                command
                    .arg("-n")
                    .arg("-f")
                    .arg(self.path("conf"))
                    .arg("-i")
                    .arg(self.path("pid"))
                    .arg("-M")
                    .arg(modules);
                command
            }
            _ => {
                let versions = fs::read_dir(root.join("usr/lib/syslog-ng")).unwrap().map(|entry| entry.unwrap().path());
                let modules = versions.filter(|path| path.is_dir()).max().expect("syslog-ng's modules");
                let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
                command.args(["--foreground", "--no-caps", "--cfgfile"]).arg(self.path("conf"));
                command.arg("--persist-file").arg(self.path("persist")).arg("--pidfile").arg(self.path("pid"));
                command.arg("--control").arg(self.path("control")).arg("--module-path").arg(modules);
                command
            }
        };
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap()).stdin(Stdio::null());
        *self.child.lock().unwrap() = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        for port in ["OCTETS", "LINES", "TLS"] {
            while TcpStream::connect(("127.0.0.1", self.ports[port])).is_err() {
                let ended = self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
                assert!(ended.is_none() && Instant::now() < deadline, "{} does not start: {ended:?}", self.name);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Ends the server, with SIGTERM or SIGKILL.
    fn stop(&self, signal: &str) {
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
        child.wait().unwrap();
    }

    /// What the server has parsed so far, once there are `count` messages or no more come.
    fn parsed(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut quiet = Instant::now();
        let mut seen = 0;
        loop {
            let text = fs::read_to_string(self.path(PARSED)).unwrap_or_default();
            let lines: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
            if lines.len() != seen {
                (seen, quiet) = (lines.len(), Instant::now());
            }
            if lines.len() >= count || quiet.elapsed() > Duration::from_secs(10) || Instant::now() > deadline {
                return lines
                    .iter()
                    .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
                    .collect();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The sink's options for one of the server's inputs.
    fn options(&self, input: &str) -> Value {
        let address = |port: &str| format!("localhost:{}", self.ports[port]);
        let mut options = match input {
            "octets" => json!({"mode": "tcp", "address": address("OCTETS")}),
            "lines" => json!({"mode": "tcp", "address": address("LINES"), "framing": "newline"}),
            "tls" => json!({"mode": "tls", "address": address("TLS"), "tls": self.certificates.mutual()}),
            "udp" => json!({"mode": "udp", "address": format!("127.0.0.1:{}", self.ports["UDP"])}),
            "stream" => json!({"mode": "unix", "path": self.path("stream.sock"), "unix_mode": "stream"}),
            _ => json!({"mode": "unix", "path": self.path("datagram.sock")}),
        };
        // Of the servers, syslog-ng's unix-stream() knows lines only.
        if input == "stream" && self.name == "syslog-ng" {
            options["framing"] = json!("newline");
        }
        options["max_length"] = json!(32_768);
        options
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("-KILL");
    }
}

/// Texts that parsers stumble over.
fn awkward() -> Vec<Event> {
    let texts = [
        "déjà vu, Ωμέγα, 審査ログ, 🦀👩‍👩‍👧",
        "line\nbreak, carriage\r\nreturn, \u{2028} and \u{85}",
        "\"quotes\" 'apostrophes' \\backslashes\\ [brackets] ]] \\] =equals= |pipes|",
        "tab\t, bell\u{7}, escape\u{1b}[31m, delete\u{7f}, nul\0.",
        "<13>1 - - - - - - a message in a message",
        "12 <13>1 - - - - - -",
        "%percent% $dollar ${HOST} {{ template }}",
        "-",
    ];
    let long = "0123456789abcdé ".repeat(400);
    let mut events = Vec::new();
    for (i, user) in texts.iter().enumerate() {
        for (j, text) in texts.iter().chain([&long.as_str()]).enumerate() {
            events.push(made(&ocsf(&format!("awkward-{i}-{j}"), user, text)));
        }
    }
    events
}

/// What the server says of a message, in the words of our parser.
fn in_our_words(line: &Value) -> Message {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let time = chrono::DateTime::parse_from_rfc3339(&text("time")).unwrap_or_else(|e| panic!("{e}: {line}")).to_utc();
    let pri: u16 = text("pri").parse().unwrap();
    assert_eq!((text("facility"), text("severity")), ((pri / 8).to_string(), (pri % 8).to_string()));
    let data: Data = match line.get("parsed_sd") {
        Some(rsyslog) => serde_json::from_str(rsyslog.as_str().unwrap()).unwrap_or_else(|e| panic!("{e}: {line}")),
        None => {
            let mut data: Data = serde_json::from_value(line["_SDATA"].clone()).unwrap();
            // syslog-ng numbers what comes by a local socket.
            data.remove("meta");
            data
        }
    };
    Message {
        pri,
        time: time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        host: text("host"),
        app: text("app"),
        procid: Some(text("procid")).filter(|procid| !procid.is_empty()).unwrap_or("-".to_owned()),
        msgid: text("msgid"),
        data,
        bom: false,
        msg: text("msg"),
    }
}

async fn deliver(sink: &mut dyn Sink, batch: &[Event]) {
    let delivery = sink.deliver(batch).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(delivery.rejected, []);
}

/// Every event, over one input, in one kind of body: field by field what was meant.
async fn compared(server: &Server, input: &str, body: &str, events: &[Event]) {
    let before = server.parsed(0).len();
    let mut options = server.options(input);
    options["body"] = json!(body);
    let mut meant = Vec::new();
    for event in events {
        let more = json!({"body": body, "max_length": 32_768});
        meant.push(parse(&message(event, &more).unwrap()).unwrap());
    }
    let mut sink = sink(options);
    for batch in events.chunks(10) {
        deliver(&mut *sink, batch).await;
    }
    sink.close().await.unwrap();
    let parsed: Vec<Message> = server.parsed(before + events.len())[before..].iter().map(in_our_words).collect();
    assert_eq!(parsed.len(), meant.len(), "{} {input} {body}", server.name);
    for (parsed, meant) in parsed.iter().zip(&meant) {
        assert_eq!(parsed, meant, "{} {input} {body}", server.name);
    }
    println!("{}: {input}, {body}: {} messages, all fields as meant", server.name, parsed.len());
}

async fn parses_every_field(name: &'static str) {
    let server = Server::start(name);
    let mut events = golden_events();
    events.extend(awkward());
    for input in ["octets", "lines", "tls", "udp", "stream", "datagram"] {
        compared(&server, input, "json", &events).await;
    }
    for body in ["cef", "leef", "message"] {
        compared(&server, "octets", body, &events).await;
        compared(&server, "lines", body, &events).await;
    }
}

/// How often each event stands in the server's file, by its id. Waits for as many messages.
fn copies(server: &Server, messages: usize) -> BTreeMap<String, usize> {
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for line in server.parsed(messages) {
        let uid = line["msg"].as_str().and_then(|msg| serde_json::from_str::<Value>(msg).ok());
        let uid = uid.and_then(|event| Some(event["metadata"]["uid"].as_str()?.to_owned()));
        *copies.entry(uid.unwrap_or_else(|| format!("invented: {line}"))).or_default() += 1;
    }
    copies
}

/// The network passes nothing for a while, again and again, shorter than the sink's patience: that is only slow.
async fn cut(name: &'static str) {
    const EVENTS: usize = 3000;
    let server = Server::start(name);
    let events: Vec<Event> = (0..EVENTS).map(|i| made(&ocsf(&format!("e-{i}"), "ana", "read"))).collect();
    let mut options = server.options("octets");
    let network = Arc::new(Proxy::start(server.ports["OCTETS"]));
    options["address"] = json!(format!("127.0.0.1:{}", network.port()));
    options["write_timeout"] = json!("30s");
    let mut sink = sink(options);
    for (number, batch) in events.chunks(20).enumerate() {
        if number % 15 == 7 {
            network.set(Network::Cut);
            let network = network.clone();
            tokio::task::spawn_blocking(move || {
                std::thread::sleep(Duration::from_millis(300));
                network.set(Network::Open);
            });
        }
        deliver(&mut *sink, batch).await;
    }
    sink.close().await.unwrap();
    let copies = copies(&server, EVENTS);
    assert!(copies.values().all(|copies| *copies == 1), "{copies:?}");
    assert_eq!(copies.len(), EVENTS);
    assert!(events.iter().all(|event| copies.contains_key(&event.id)));
    println!("{name}: octets, a network cut 10 times: {EVENTS} sent, 0 lost, 0 doubled, 0 invented");
}

/// Waits until the server has written each of these at least once.
async fn written(server: &Server, events: &[Event]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let copies = copies(server, 0);
        let missing = events.iter().filter(|event| !copies.contains_key(&event.id)).count();
        if missing == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{}: {missing} events of a server that nobody ended are lost", server.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The server ends and comes back, in the middle of a run, once asked to and once killed. Lost can only be what it was given while it
/// ended.
async fn restarts(name: &'static str, input: &'static str) {
    const EVENTS: usize = 6000;
    const BATCH: usize = 20;
    /// Batches that are given to a server that ends, before its end is waited for.
    const MEANWHILE: usize = 30;
    let server = Server::start(name);
    let events: Vec<Event> = (0..EVENTS).map(|i| made(&ocsf(&format!("e-{i}"), "ana", "read"))).collect();
    let mut options = server.options(input);
    options["write_timeout"] = json!("30s");
    let mut sink = sink(options);
    let mut ends: Vec<Range<usize>> = Vec::new();
    let mut batches = events.chunks(BATCH).enumerate();
    while let Some((number, batch)) = batches.next() {
        let signal = match number {
            100 => "-TERM",
            200 => "-KILL",
            _ => {
                deliver(&mut *sink, batch).await;
                continue;
            }
        };
        let (since, from) = (ends.last().map_or(0, |end| end.end), number * BATCH);
        written(&server, &events[since..from]).await;
        let ending = server.clone();
        let mut ended = Some(tokio::task::spawn_blocking(move || ending.stop(signal)));
        let (mut batch, mut given) = (batch, from);
        let noticed = loop {
            match sink.deliver(batch).await {
                Ok(delivery) => assert_eq!(delivery.rejected, []),
                Err(noticed) => break noticed,
            }
            given += batch.len();
            batch = batches.next().expect("the end is noticed before all is given").1;
            if given >= from + MEANWHILE * BATCH
                && let Some(ended) = ended.take()
            {
                ended.await.unwrap();
            }
        };
        println!("{name}: {input}, {signal}: {} events given meanwhile; {noticed}", given - from);
        if let Some(ended) = ended {
            ended.await.unwrap();
        }
        ends.push(from..given);
        let starting = server.clone();
        tokio::task::spawn_blocking(move || starting.spawn()).await.unwrap();
        while sink.deliver(batch).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    sink.close().await.unwrap();
    assert_eq!(ends.len(), 2);
    written(&server, &events[ends[1].end..]).await;

    let copies = copies(&server, 0);
    let sent: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    let invented: Vec<&String> = copies.keys().filter(|uid| !sent.contains(uid.as_str())).collect();
    assert!(invented.is_empty(), "{invented:?}");
    let lost: Vec<usize> = (0..EVENTS).filter(|i| !copies.contains_key(&events[*i].id)).collect();
    let twice = copies.values().filter(|copies| **copies > 1).count();
    println!("{name}: {input}, restarted twice: {EVENTS} sent, {} lost, {twice} doubled, 0 invented", lost.len());
    for i in lost {
        assert!(ends.iter().any(|end| end.contains(&i)), "e-{i} is lost without a reason: {ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rsyslog: tests/real/syslog/run"]
async fn rsyslog_parses_every_field() {
    parses_every_field("rsyslog").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs syslog-ng: tests/real/syslog/run"]
async fn syslog_ng_parses_every_field() {
    parses_every_field("syslog-ng").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rsyslog and syslog-ng: tests/real/syslog/run"]
async fn servers_that_restart_invent_nothing_and_lose_only_what_they_had_not_read() {
    for name in ["rsyslog", "syslog-ng"] {
        for input in ["octets", "tls"] {
            restarts(name, input).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rsyslog and syslog-ng: tests/real/syslog/run"]
async fn a_network_that_is_cut_and_heals_costs_nothing() {
    for name in ["rsyslog", "syslog-ng"] {
        cut(name).await;
    }
}
