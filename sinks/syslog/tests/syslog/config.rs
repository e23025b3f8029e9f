//! Wrong options are named.

use crate::{certificates::Certificates, events::config};
use headwater_contracts::SinkConfig;
use headwater_sink_syslog::SyslogConfig;
use serde_json::{Value, json};

fn refused(options: Value) -> (String, String) {
    match config(options.clone()).build() {
        Ok(_) => panic!("accepted: {options}"),
        Err(error) => (error.field, error.problem),
    }
}

#[test]
fn what_is_wrong_is_said_with_its_field() {
    let tcp = |more: Value| {
        let mut options = json!({"mode": "tcp", "address": "localhost:514"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    let missing = json!({"ca_file": "/nowhere/ca.pem"});
    for (options, field, says) in [
        (json!({"mode": "tcp"}), "address", "missing"),
        (json!({"mode": "tcp", "address": "localhost"}), "address", "host:port"),
        (json!({"mode": "unix"}), "path", "/dev/log"),
        (json!({"mode": "unix", "path": "/dev/log", "address": "a:1"}), "address", "only"),
        (tcp(json!({"path": "/dev/log"})), "path", "only"),
        (tcp(json!({"unix_mode": "stream"})), "unix_mode", "only"),
        (tcp(json!({"tls": {}})), "tls", "`mode: tls`"),
        (json!({"mode": "udp", "address": "localhost", "framing": "newline"}), "framing", "datagram"),
        (json!({"mode": "udp", "address": "localhost", "max_length": 65_508}), "max_length", "65507"),
        (json!({"mode": "tls", "address": "localhost", "tls": missing}), "tls.ca_file", "/nowhere/ca.pem"),
        (json!({"mode": "tls", "address": "localhost", "tls": {"cert_file": "/a"}}), "tls.cert_file", "key_file"),
        (json!({"mode": "tls", "address": "a_b..c"}), "address", "certificate"),
        (tcp(json!({"max_length": 479})), "max_length", "480"),
        (tcp(json!({"facility": 24})), "facility", "0 to 23"),
        (tcp(json!({"severity": "loud"})), "severity", "emerg"),
        (tcp(json!({"hostname": "my host"})), "hostname", "my host"),
        (tcp(json!({"hostname": ""})), "hostname", "printable"),
        (tcp(json!({"app_name": "{{ a"})), "app_name", "does not close"),
        (tcp(json!({"msgid": "{{ %x }}"})), "msgid", "unknown"),
        (tcp(json!({"structured_data": ["ocsf", "ocsf"]})), "structured_data.1", "once"),
        (tcp(json!({"structured_data": [{"id": "a b@1"}]})), "structured_data.0.id", "printable"),
        (tcp(json!({"structured_data": [{"id": "a@1", "params": {"x=": "y"}}]})), "structured_data.0.params", "x="),
        (tcp(json!({"structured_data": [{"id": "a@1", "params": {"x": "{{"}}]})), "structured_data.0.params", "close"),
        (tcp(json!({"write_timeout": "0s"})), "write_timeout", "0s"),
    ] {
        let (at, problem) = refused(options.clone());
        assert_eq!(at, field, "{options}: {problem}");
        assert!(problem.contains(says), "{options}: {problem}");
    }
}

#[test]
fn a_file_without_certificates_and_a_key_of_another_are_refused() {
    let certificates = Certificates::new();
    let tls = |tls: Value| refused(json!({"mode": "tls", "address": "localhost", "tls": tls}));
    let key = certificates.path("client.key");
    let (field, problem) = tls(json!({"ca_file": key}));
    assert_eq!(field, "tls.ca_file");
    assert!(problem.contains("no PEM certificate"), "{problem}");
    let other =
        json!({"ca_file": certificates.path("ca.pem"), "cert_file": certificates.path("server.pem"), "key_file": key});
    assert_eq!(tls(other).0, "tls.cert_file");
}

#[test]
fn a_token_in_the_structured_data_does_not_print() {
    let token = json!([{"id": "s3cr3t-t0ken@41123", "params": {}}]);
    let config = config(json!({"mode": "tcp", "address": "localhost:1", "structured_data": token}));
    assert!(!format!("{config:?}").contains("s3cr3t"));
    let twice = json!([{"id": "s3cr3t@1"}, {"id": "s3cr3t@1"}]);
    let (_, problem) = refused(json!({"mode": "tcp", "address": "localhost:1", "structured_data": twice}));
    assert!(!problem.contains("s3cr3t"), "{problem}");
    assert!(serde_json::from_value::<SyslogConfig>(json!({"mode": "tcp", "surprise": 1})).is_err());
}
