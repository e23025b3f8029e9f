//! A process may end while others of its threads still make and drop clients: what hangs is not waited for.
#![allow(clippy::unwrap_used)] // this is a test

use headwater_contracts::{KafkaCluster, Tls};
use headwater_kafka::{Context, client, create};
use rdkafka::consumer::BaseConsumer;
use std::{collections::BTreeMap, env, process::Command, sync::mpsc, thread};

/// Says to the test's own program that it is the process that ends.
const ENDS: &str = "HEADWATER_TEST_ENDS";

#[test]
fn a_process_that_ends_among_clients_ends_well() {
    if env::var_os(ENDS).is_some() {
        return go_on_making_clients();
    }
    for _ in 0..20 {
        let mut child = Command::new(env::current_exe().unwrap());
        let child = child.args(["--exact", "a_process_that_ends_among_clients_ends_well"]).env(ENDS, "");
        let ended = child.output().unwrap();
        assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    }
}

/// Returns once each of some threads has made a client; none of them stops.
fn go_on_making_clients() {
    let (made, wait) = mpsc::channel();
    for _ in 0..4 {
        let made = made.clone();
        thread::spawn(move || {
            let cluster = KafkaCluster {
                bootstrap_servers: "127.0.0.1:1".to_owned(),
                tls: Some(Tls::default()),
                sasl: None,
                librdkafka_options: BTreeMap::new(),
            };
            loop {
                let config = client(&cluster).unwrap();
                drop(create::<_, BaseConsumer<Context>>(&cluster, &config, Context::new(&cluster)).unwrap());
                let _ = made.send(());
            }
        });
    }
    for _ in 0..4 {
        wait.recv().unwrap();
    }
}
