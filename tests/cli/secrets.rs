//! A server repeats the credential it is sent, in every kind of answer and every notation: none of it may come out anywhere.

use crate::support::{self, run, stderr, stdout};
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, Provider, Scenario};
use std::{
    collections::{BTreeSet, HashSet},
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::LazyLock,
    thread,
};

/// Each has what notations differ in, and nothing that a header could not carry.
const PACTFLOW: &str = r#"pK7"s/9+q&Zx=31%<wV'tY6uR2"#;
const API7: &str = r#"aL4"d/8+m&Qn=52%<bC'jH1gF7"#;
const MURAL: &str = r#"mT2"f/5+r&Wd=93%<kS'pL8oZ4"#;
const SOLACE: &str = r#"sB6"h/1+v&Yc=74%<nD'xJ3eG9"#;
const CLIENT: &str = r#"cN9"w/3+t&Rf=15%<zM'yP7qK5"#;
/// What the login gives.
const TOKEN: &str = r#"tG5"y/7+b&Hs=86%<vF'rX4cD2"#;
const RECEIVER: &str = r#"rW8"k/2+n&Jp=47%<gA'hQ5tB3"#;
const ALL: [&str; 7] = [PACTFLOW, API7, MURAL, SOLACE, CLIENT, TOKEN, RECEIVER];

const KINDS: [&str; 9] =
    ["401json", "401text", "403json", "400json", "500text", "503text", "302location", "200html", "200error"];

fn base64(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let word = chunk.iter().chain(&[0; 3]).take(3).fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        (0..=chunk.len()).for_each(|at| out.push(char::from(ALPHABET[word >> (18 - 6 * at) & 63])));
    }
    out
}

fn percent(text: &str, digits: fn(u8) -> String) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { digits(b) }).collect()
}

/// The notation that begins with a name.
const CLIENT_AND_SECRET: usize = 9;

/// How servers write what they repeat.
fn notations(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&#39;");
    vec![
        secret.to_owned(),
        percent(secret, |b| format!("%{b:02X}")),
        percent(secret, |b| format!("%{b:02x}")),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        json.trim_matches('"').to_owned(),
        format!("{json:?}").trim_matches('"').to_owned(),
        html,
        base64(secret),
        base64(&format!("u:{secret}")),
        base64(&format!("client:{secret}")),
        secret[..12].to_owned(),
    ]
}

/// So many bytes of a notation give a secret away.
const PART: usize = 10;

/// All parts of all secrets in all notations.
static PARTS: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let mut parts = HashSet::new();
    for secret in ALL {
        for (at, notation) in notations(secret).iter().enumerate() {
            // The name of the user is no secret, and ends within a letter of Base64.
            let from = if at == CLIENT_AND_SECRET { PART } else { 0 };
            parts.extend(notation.as_bytes()[from..].windows(PART).map(<[u8]>::to_vec));
        }
    }
    parts
});

/// What of the secrets is in `text`.
fn shown(text: &str) -> Vec<String> {
    let parts = text.as_bytes().windows(PART).filter(|part| PARTS.contains(*part));
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

fn assert_hidden(place: &str, text: &str) {
    let found = shown(text);
    let line = text.lines().find(|line| found.iter().any(|part| line.contains(part))).unwrap_or_default();
    assert!(found.is_empty(), "{place} shows {found:?}\n{line}");
}

/// One request: its line, the credential in it, its `User-Agent`.
struct Asked {
    line: String,
    credential: String,
    agent: String,
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let (mut length, mut credential, mut agent) = (0, String::new(), String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|length| *length > 0)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" | "x-api-key" => value.rsplit(' ').next().unwrap_or_default().clone_into(&mut credential),
            "user-agent" => value.clone_into(&mut agent),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let form = url::form_urlencoded::parse(&body).find(|(name, _)| name == "client_secret");
    if let Some((_, secret)) = form {
        credential = secret.into_owned();
    }
    Some(Asked { line, credential, agent })
}

/// `/KIND/N/..`: answers of that kind, which repeat the credential in the `N`th notation. `/grant/KIND/N/..` lets logins succeed.
fn answer(asked: &Asked) -> String {
    let mut path = asked.line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').split('/');
    let first = path.next().unwrap_or_default();
    let kind = if first == "grant" { path.next().unwrap_or_default() } else { first };
    let notation: usize = path.next().and_then(|n| n.parse().ok()).unwrap_or_default();
    let echo = notations(&asked.credential).swap_remove(notation);
    if first == "grant" && asked.line.contains("oauth2/token") {
        let token = serde_json::json!({ "access_token": TOKEN, "expires_in": 3600 }).to_string();
        return response("200 OK", "application/json", "", &token);
    }
    let json = serde_json::to_string(&format!("bad: {echo} of {}", asked.agent)).unwrap();
    let text = format!("Authorization: Bearer {echo} User-Agent: {}", asked.agent);
    match kind {
        "401json" => response("401 Unauthorized", "application/json", "", &format!("{{\"message\":{json}}}")),
        "401text" => response("401 Unauthorized", "text/plain", "", &text),
        "403json" => {
            response("403 Forbidden", "application/json", "", &format!("{{\"error\":{{\"message\":{json}}}}}"))
        }
        "400json" => response("400 Bad Request", "application/json", "", &format!("{{\"errors\":[{json}]}}")),
        "500text" => response("500 Internal Server Error", "text/plain", "", &text),
        "503text" => response("503 Service Unavailable", "text/plain", "Retry-After: 0\r\n", &text),
        "302location" => {
            let location =
                format!("Location: http://127.0.0.1:1/?token={}\r\n", percent(&echo, |b| format!("%{b:02x}")));
            response("302 Found", "text/plain", &location, &text)
        }
        "200html" => response("200 OK", "text/html", "", &format!("<html>{text}</html>")),
        _ => response("200 OK", "application/json", "", &format!("{{\"error\":{json}}}")),
    }
}

fn response(status: &str, content_type: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The address of a server that repeats.
fn parrot() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream?;
                if let Some(asked) = read(&stream) {
                    stream.write_all(answer(&asked).as_bytes())?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    format!("http://{address}")
}

/// A source of each type for each kind of answer; each notation is met by some.
///
/// Where `ends`, there is no login whose next attempt would have to wait for longer and longer.
fn sources(parrot: &str, ends: bool) -> String {
    const LOGIN: usize = 4;
    let organization = ANYPOINT_ORGANIZATIONS[0];
    let anypoint = format!(
        "anypoint, organization_ids: [{organization}], auth: {{ client_id: id, client_secret: {{ env: CLIENT }} }}"
    );
    let types = [
        ("", "pactflow, token: { env: PACTFLOW }".to_owned()),
        ("", "api7, token: { env: API7 }".to_owned()),
        ("", "mural, api_key: { env: MURAL }, min_call_interval: 0s".to_owned()),
        ("", "solace_cloud, token: { env: SOLACE }, min_call_interval: 0s".to_owned()),
        ("", anypoint.clone()),
        ("/grant", anypoint),
    ];
    let mut yaml = String::new();
    let count = notations(PACTFLOW).len();
    for (of, (before, source)) in types.iter().enumerate() {
        for (at, kind) in KINDS.iter().enumerate() {
            let notation = (of * 2 + at) % count;
            if ends && of == LOGIN && !kind.starts_with('4') {
                continue;
            }
            let _ = writeln!(
                yaml,
                "  s{of}_{at}: {{ type: {source}, endpoint: '{parrot}{before}/{kind}/{notation}', start_at: 1h, \
                 rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 1ms, max: 2ms }} }}"
            );
        }
    }
    yaml
}

fn environment(command: &mut std::process::Command) -> &mut std::process::Command {
    command.envs([
        ("PACTFLOW", PACTFLOW),
        ("API7", API7),
        ("MURAL", MURAL),
        ("SOLACE", SOLACE),
        ("CLIENT", CLIENT),
        ("RECEIVER", RECEIVER),
    ])
}

/// A folder with this pipeline, whose sources end in a file.
fn folder(head: &str, sources: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "{head}state: {{ type: file, path: state }}\nsources:\n{sources}sinks:\n  out: {{ type: file, inputs: ['s*'], path: out.ndjson }}\n"
    );
    fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
    dir
}

fn files(dir: &Path) -> String {
    String::from_utf8_lossy(&super::all_bytes(dir)).into_owned()
}

#[test]
fn a_credential_that_a_server_repeats_comes_out_nowhere() {
    let dir = folder("", &sources(&parrot(), true));
    for format in ["text", "json"] {
        let mut command = support::command(dir.path(), &["run", "--once", "--log", "trace", "--log-format", format]);
        let done = environment(&mut command).output().unwrap();
        let said = stderr(&done);
        assert_eq!(done.status.code(), super::FAILED, "{}", &said[said.len().saturating_sub(2000)..]);
        assert!(said.contains("***") && said.contains("req ***"), "the answers are in the log");
        assert_hidden("stderr", &said);
        assert_hidden("stdout", &stdout(&done));
        if format == "json" {
            let broken = said.lines().take_while(|line| line.starts_with('{'));
            let broken = broken.filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err());
            assert_eq!(broken.collect::<Vec<_>>(), Vec::<&str>::new());
        }
    }
    assert_hidden("the state", &files(&dir.path().join("state")));
    let done = environment(&mut support::command(dir.path(), &["check"])).output().unwrap();
    assert_eq!(done.status.code(), super::FAILED, "{}", stderr(&done));
    assert!(stdout(&done).contains("***"), "{}", stdout(&done));
    assert_hidden("check", &(stdout(&done) + &stderr(&done)));
}

#[test]
fn the_api_shows_no_credential_that_a_server_repeats() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = folder(&format!("api: {{ address: '127.0.0.1:{port}' }}\n"), &sources(&parrot(), false));
    let mut command = support::command(dir.path(), &["run"]);
    let child = environment(&mut command).stderr(std::process::Stdio::null()).spawn().unwrap();
    let ready = loop {
        let ready = support::get(port, "/ready");
        if ready.matches("backing_off").count() >= 3 * KINDS.len() {
            break ready;
        }
        thread::yield_now();
    };
    let metrics = support::get(port, "/metrics");
    support::signal(&child, "KILL");
    let _ = { child }.wait();
    assert!(ready.contains("***") && metrics.contains("headwater_requests_total{"), "{ready}");
    assert_hidden("/ready", &ready);
    assert_hidden("/metrics", &metrics);
}

#[test]
fn a_dead_letter_says_why_without_the_credential_of_the_sink() {
    let simulator = super::simulator(Provider::PactFlow, Scenario::new().seed(3).history(1, 20));
    let dir = tempfile::tempdir().unwrap();
    let yaml = super::pipeline_to("type: blackhole", &simulator, Provider::PactFlow, simulator.credential());
    let parrot = parrot();
    let sinks: Vec<String> = (0..notations(RECEIVER).len())
        .map(|n| {
            format!(
                "  o{n}: {{ type: otlp, protocol: http, inputs: [drop_own_queries], endpoint: '{parrot}/400json/{n}', \
                 headers: {{ x-api-key: {{ env: RECEIVER }} }} }}\n"
            )
        })
        .collect();
    fs::write(dir.path().join("pipeline.yaml"), format!("{yaml}{}dead_letter: {{ path: letters }}\n", sinks.concat()))
        .unwrap();
    let mut command = support::command(dir.path(), &["run", "--once", "--log", "trace"]);
    let done = environment(&mut command).output().unwrap();
    let letters = fs::read_to_string(dir.path().join("letters/dead-letter.ndjson")).unwrap();
    assert!(letters.contains("***"), "{}", letters.lines().next().unwrap_or_default());
    assert_hidden("dead letters", &letters);
    assert_hidden("stderr", &stderr(&done));
}

#[test]
fn a_mistake_beside_a_credential_does_not_show_it() {
    let secret = "S3CRETtok-AbCdEf0123456789";
    let source = "sources: { s: { type: pactflow, endpoint: 'https://a.example', token: x } }\n";
    let of_sink = |rest: &str| format!("{source}sinks:\n  o: {{ inputs: [s], {rest} }}\n");
    let cases = [
        of_sink(&format!(
            "type: otlp, endpoint: 'https://c', headers: {{ Authorization: 'Bearer {secret}' }}, protcol: http"
        )),
        of_sink(&format!(
            "type: otlp, endpoint: 'https://c', headers: {{ x-honeycomb-team: {secret}, signature: [1] }}"
        )),
        of_sink(&format!("type: syslog, address: '127.0.0.1:1', structured_data: [{{ id: {secret}, prams: {{}} }}]")),
        of_sink(&format!(
            "type: kafka, bootstrap_servers: '127.0.0.1:1', librdkafka_options: {{ sasl.password: {secret}, no.such: 1 }}"
        )),
        format!("sources:\n  s:\n    type: pactflow\n    endpoint: https://a\n    token:\n      - {secret}\n"),
        format!("sources:\n  s:\n    type: pactflow\n    endpoint: https://a\n    token:\n      {secret}: 1\n"),
        format!("sources:\n  s:\n    type: pactflow\n    token: |\n      {secret}\n     bad\n"),
        format!("sources:\n  s:\n    type: pactflow\n    token: \"{secret}\n  x: 1\n"),
        format!("x: &t {secret}\nsources:\n  s: {{ type: pactflow, endpoint: 'https://a', token: *t, tokn: *t }}\n"),
        format!("sources:\n  s: {{ type: pactflow, endpoint: 'https://a.example/?token={secret}', token: x }}\n"),
        format!(
            "sources:\n  s: {{ type: pactflow, endpoint: 'https://u:{secret}@a.example', token: x, tmeout: 1s }}\n"
        ),
        format!(
            "{source}transforms:\n  t: {{ type: remap, inputs: [s], source: '.a = encrypt!(.b, \"AES-256-CFB\", key: \"{secret}\", iv: nosuch)' }}\n"
        ),
    ];
    for yaml in cases {
        let dir = super::folder(&yaml);
        for command in ["validate", "graph", "check", "test"] {
            let done = run(dir.path(), &[command]);
            let said = stderr(&done) + &stdout(&done);
            assert_eq!(done.status.code(), super::CONFIG, "{command} of {yaml}{said}");
            assert!(!said.contains(&secret[..8]) && !said.contains(&secret[18..]), "{command} of {yaml}{said}");
        }
    }
}

/// The keys of all credentials, as the schema has them; those of a mapping of credentials with `: {}` behind them.
fn keys_of_credentials(schema: &serde_json::Value, place: &mut Vec<String>, found: &mut BTreeSet<String>) {
    if schema["$ref"] == "#/$defs/Secret" {
        let is_of_mapping = place.last().is_some_and(|step| step == "additionalProperties");
        let named = place.iter().rposition(|step| step == "properties").map(|at| place[at + 1].clone());
        found.extend(named.map(|name| if is_of_mapping { format!("{name}: {{}}") } else { name }));
    }
    let mut below = |step: String, value: &serde_json::Value| {
        place.push(step);
        keys_of_credentials(value, place, found);
        place.pop();
    };
    match schema {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| below(key.clone(), value)),
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| below(at.to_string(), value));
        }
        _ => {}
    }
}

#[test]
fn every_key_of_the_schema_that_takes_a_credential_is_known_where_a_line_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let schema = serde_json::from_slice(&run(dir.path(), &["schema"]).stdout).unwrap();
    let mut keys = BTreeSet::new();
    keys_of_credentials(&schema, &mut Vec::new(), &mut keys);
    assert!(keys.contains("token") && keys.contains("headers: {}") && keys.contains("id"), "{keys:?}");
    // Names of users and clients may be references too, and are no secrets.
    for name in ["client_id", "username"] {
        assert!(keys.remove(name));
    }
    let mut yaml = "sources:\n".to_owned();
    for (n, key) in keys.iter().enumerate() {
        let pair = match (key.strip_suffix(": {}"), key.as_str()) {
            (Some(mapping), _) => format!("{mapping}: {{ x-team: S3CRETof{n} }}"),
            (None, "id") => format!("structured_data: [{{ id: S3CRETof{n} }}]"),
            (None, key) => format!("{key}: S3CRETof{n}"),
        };
        let _ = writeln!(yaml, "  s{n}: {{ type: pactflow, {pair}, nosuch: 1 }}");
    }
    fs::write(dir.path().join("pipeline.yaml"), &yaml).unwrap();
    let said = stderr(&run(dir.path(), &["validate"]));
    assert!(said.matches("nosuch: 1").count() >= keys.len(), "{said}");
    assert!(!said.contains("S3CRET"), "{said}");
}
