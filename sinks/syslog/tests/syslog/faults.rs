//! What receivers and networks do wrong.

use crate::{
    certificates::Certificates,
    events::{config, sink},
    parser::parse,
    receiver::{Kind, Receiver},
};
use headwater_contracts::{Event, Period, Sink, SinkConfig, SinkError};
use headwater_testkit::sink_suite::event;
use serde_json::{Value, json};
use std::{pin::pin, task::Poll, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixDatagram},
};
use tokio_rustls::TlsAcceptor;

fn batch(name: &str, count: usize, size: usize) -> Vec<Event> {
    (0..count).map(|i| event(&format!("{name}-{i}"), &"x".repeat(size), true)).collect()
}

fn ids(messages: &[Vec<u8>]) -> Vec<String> {
    let id = |message: &Vec<u8>| {
        let message = parse(message).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(message)));
        serde_json::from_str::<Value>(&message.msg).unwrap()["id"].as_str().unwrap().to_owned()
    };
    messages.iter().map(id).collect()
}

fn sent(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.id.clone()).collect()
}

async fn taken(sink: &mut dyn Sink, events: &[Event]) {
    let delivery = sink.deliver(events).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(delivery.rejected, []);
}

async fn retry(sink: &mut dyn Sink, events: &[Event]) -> String {
    match sink.deliver(events).await {
        Err(SinkError::Retry { reason, .. }) => reason,
        other => panic!("expected to be asked to try again: {other:?}"),
    }
}

/// A listener whose connections the test handles itself.
async fn listener(more: Value) -> (TcpListener, Box<dyn Sink>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options =
        json!({"mode": "tcp", "address": listener.local_addr().unwrap().to_string(), "max_length": 60_000});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (listener, sink(options))
}

async fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// Larger than the kernel holds for a connection, so that the sink has to wait for the reader.
const LARGE: (usize, usize) = (400, 40_000);

#[tokio::test]
async fn a_receiver_that_closed_is_noticed_before_the_next_batch_is_written() {
    for half in [false, true] {
        let (listener, mut sink) = listener(json!({})).await;
        let (first, second) = (batch("a", 3, 10), batch("b", 3, 10));
        taken(&mut *sink, &first).await;
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut space = vec![0; 1 << 16];
        let length = connection.read(&mut space).await.unwrap();
        assert_eq!(ids(&crate::parser::frames(false, &space[..length]).0), sent(&first));
        // Closed altogether, or only its sending half; and the sink is not given a moment to hear of it.
        let kept = if half {
            connection.shutdown().await.unwrap();
            Some(connection)
        } else {
            drop(connection);
            None
        };
        taken(&mut *sink, &second).await;
        let (again, _) = listener.accept().await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(ids(&crate::parser::frames(false, &read_to_end(again).await).0), sent(&second));
        if let Some(kept) = kept {
            assert_eq!(read_to_end(kept).await, b"", "nothing goes to a receiver that has said goodbye");
        }
    }
}

#[tokio::test]
async fn what_a_receiver_says_is_ignored() {
    let (listener, mut sink) = listener(json!({})).await;
    taken(&mut *sink, &batch("a", 1, 10)).await;
    let (mut connection, _) = listener.accept().await.unwrap();
    for round in 0..3 {
        connection.write_all(&b"220 welcome\r\n".repeat(1000)).await.unwrap();
        taken(&mut *sink, &batch(&format!("b{round}"), 1, 10)).await;
    }
    sink.close().await.unwrap();
    assert_eq!(crate::parser::frames(false, &read_to_end(connection).await).0.len(), 4);
}

#[tokio::test]
async fn a_reset_in_mid_batch_repeats_the_batch_and_loses_nothing() {
    let (listener, mut sink) = listener(json!({})).await;
    let events = batch("a", LARGE.0, LARGE.1);
    let breaking = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_exact(&mut vec![0; 100_000]).await.unwrap();
        connection.set_zero_linger().unwrap();
    };
    let (reason, ()) = tokio::join!(retry(&mut *sink, &events), breaking);
    assert!(reason.contains("cannot write to `127.0.0.1:"), "{reason}");
    let reading = async { read_to_end(listener.accept().await.unwrap().0).await };
    let writing = async {
        taken(&mut *sink, &events).await;
        sink.close().await.unwrap();
    };
    let (bytes, ()) = tokio::join!(reading, writing);
    assert_eq!(ids(&crate::parser::frames(false, &bytes).0), sent(&events));
}

#[tokio::test]
async fn a_slow_receiver_is_waited_for() {
    let (listener, mut sink) = listener(json!({"write_timeout": "60s"})).await;
    let events = batch("a", LARGE.0, LARGE.1);
    let reading = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let mut space = vec![0; 1 << 20];
        while let Ok(length @ 1..) = connection.read(&mut space).await {
            bytes.extend_from_slice(&space[..length]);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bytes
    };
    let writing = async {
        taken(&mut *sink, &events).await;
        sink.close().await.unwrap();
    };
    let (bytes, ()) = tokio::join!(reading, writing);
    assert_eq!(ids(&crate::parser::frames(false, &bytes).0), sent(&events), "once each");
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_given_up() {
    let (listener, mut sink) = listener(json!({"write_timeout": "2s"})).await;
    let events = batch("a", LARGE.0, LARGE.1);
    let reason = retry(&mut *sink, &events).await;
    assert!(reason.contains("taken nothing for 2s"), "{reason}");
    let _stuck = listener.accept().await.unwrap();
    let reading = async { read_to_end(listener.accept().await.unwrap().0).await };
    let writing = async {
        taken(&mut *sink, &events).await;
        sink.close().await.unwrap();
    };
    let (bytes, ()) = tokio::join!(reading, writing);
    assert_eq!(ids(&crate::parser::frames(false, &bytes).0), sent(&events));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    // Accepted by the kernel, and never greeted.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink(json!({"mode": "tls", "address": silent.local_addr().unwrap().to_string(),
        "tls": {"verify": false}, "connect_timeout": "200ms"}));
    let reason = retry(&mut *sink, &batch("a", 1, 1)).await;
    assert!(reason.contains("no answer within 200ms"), "{reason}");
}

/// Dropped while the kernel takes no more, then given the same batch or another.
#[tokio::test]
async fn a_dropped_delivery_tears_no_frame_and_repeats_none() {
    for same in [true, false] {
        let (listener, mut sink) = listener(json!({})).await;
        let (first, second) = (batch("a", LARGE.0, LARGE.1), batch("b", 3, 10));
        {
            let mut delivery = pin!(sink.deliver(&first));
            for _ in 0..200 {
                let now = std::future::poll_fn(|context| Poll::Ready(delivery.as_mut().poll(context))).await;
                assert!(now.is_pending(), "more than the kernel takes");
                tokio::task::yield_now().await;
            }
        }
        let reading = async { read_to_end(listener.accept().await.unwrap().0).await };
        let writing = async {
            taken(&mut *sink, if same { &first } else { &second }).await;
            sink.close().await.unwrap();
        };
        let (bytes, ()) = tokio::join!(reading, writing);
        let (frames, rest) = crate::parser::frames(false, &bytes);
        assert!(rest.is_empty(), "a torn frame");
        let arrived = ids(&frames);
        if same {
            assert_eq!(arrived, sent(&first), "once each");
        } else {
            let begun = arrived.len() - second.len();
            assert!(begun > 0 && begun < first.len(), "{begun} of the first batch");
            assert_eq!(arrived[..begun], sent(&first)[..begun]);
            assert_eq!(arrived[begun..], sent(&second));
        }
    }
}

#[tokio::test]
async fn closing_after_a_dropped_delivery_completes_its_frame() {
    let (listener, mut sink) = listener(json!({"framing": "newline"})).await;
    let events = batch("a", LARGE.0, LARGE.1);
    {
        let mut delivery = pin!(sink.deliver(&events));
        for _ in 0..200 {
            let now = std::future::poll_fn(|context| Poll::Ready(delivery.as_mut().poll(context))).await;
            assert!(now.is_pending());
            tokio::task::yield_now().await;
        }
    }
    let reading = async { read_to_end(listener.accept().await.unwrap().0).await };
    let (bytes, closed) = tokio::join!(reading, sink.close());
    closed.unwrap();
    let (frames, rest) = crate::parser::frames(true, &bytes);
    assert!(rest.is_empty() && !frames.is_empty() && frames.len() < events.len());
    assert_eq!(ids(&frames), sent(&events)[..frames.len()]);
}

#[tokio::test]
async fn nothing_is_acknowledged_where_a_certificate_is_refused() {
    let receiver = Receiver::new(Kind::Tls);
    receiver.up().await;
    let with = |tls: Value| {
        let mut options = receiver.options();
        options["tls"] = tls;
        sink(options)
    };
    let mutual = receiver.options()["tls"].clone();
    let events = batch("a", 3, 10);
    // In TLS 1.3 the refusal comes when our side of the handshake is over.
    for _ in 0..20 {
        let reason = retry(&mut *with(json!({"ca_file": mutual["ca_file"]})), &events).await;
        assert!(reason.contains("CertificateRequired"), "{reason}");
    }
    let stranger = Receiver::new(Kind::Tls);
    let reason = retry(&mut *with(stranger.options()["tls"].clone()), &events).await;
    assert!(reason.contains("invalid peer certificate"), "{reason}");
    assert_eq!(receiver.messages().await, Vec::<Vec<u8>>::new());

    let mut unverified = mutual.clone();
    unverified["ca_file"] = Value::Null;
    unverified["verify"] = json!(false);
    for tls in [mutual, unverified] {
        let mut sink = with(tls);
        taken(&mut *sink, &events).await;
        sink.close().await.unwrap();
    }
    assert_eq!(ids(&receiver.messages().await), [sent(&events), sent(&events)].concat());
}

/// As rsyslog does where it does not like a certificate.
#[tokio::test]
async fn a_receiver_that_just_closes_hints_at_our_certificate() {
    let certificates = Certificates::new();
    let acceptor = TlsAcceptor::from(certificates.server());
    let tls = json!({"mode": "tls", "tls": certificates.mutual()});
    let (listener, mut sink) = listener(tls).await;
    let closing = async {
        let stream = listener.accept().await.unwrap().0;
        drop(acceptor.accept(stream).await.unwrap());
    };
    let events = batch("a", 1, 10);
    let (reason, ()) = tokio::join!(retry(&mut *sink, &events), closing);
    assert!(reason.contains("tls.cert_file") && !reason.contains("docs.rs"), "{reason}");
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_used_at_the_next_connection() {
    let (receiver, stranger) = (Receiver::new(Kind::Tls), Receiver::new(Kind::Tls));
    receiver.up().await;
    let dir = tempfile::tempdir().unwrap();
    let ours = dir.path().to_owned();
    let take = |options: &Value, keys: &[&str]| {
        for key in keys {
            std::fs::copy(options["tls"][key].as_str().unwrap(), ours.join(key)).unwrap();
        }
    };
    take(&receiver.options(), &["ca_file"]);
    take(&stranger.options(), &["cert_file", "key_file"]);
    let mut options = receiver.options();
    for key in ["ca_file", "cert_file", "key_file"] {
        options["tls"][key] = json!(ours.join(key));
    }
    let mut sink = sink(options);
    let events = batch("a", 3, 10);
    retry(&mut *sink, &events).await;
    assert!(sink.probe(Period::days(7)).await.is_err());
    // Half of a pair is as good as none: what was there stays in use.
    take(&receiver.options(), &["cert_file"]);
    retry(&mut *sink, &events).await;
    take(&receiver.options(), &["key_file"]);
    taken(&mut *sink, &events).await;
    assert!(sink.probe(Period::days(7)).await.unwrap().contains("over TLS"));
    sink.close().await.unwrap();
    assert_eq!(ids(&receiver.messages().await), sent(&events));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let receiver = Receiver::new(Kind::Tls);
    receiver.up().await;
    let mut options = receiver.options();
    // 127.0.0.2 reaches nothing but what listens on it.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = options["address"].as_str().unwrap().to_owned();
    let forward = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    options["address"] = json!(format!("127.0.0.2:{port}"));
    let reason = retry(&mut *sink(options), &batch("a", 1, 1)).await;
    assert!(reason.contains("not valid for name"), "{reason}");
    forward.await.unwrap();
    assert_eq!(receiver.messages().await, Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn a_message_too_long_for_a_datagram_is_rejected_alone() {
    let receiver = Receiver::new(Kind::UnixDatagram);
    receiver.up().await;
    let mut options = receiver.options();
    options["max_length"] = json!("10MiB");
    let mut sink = sink(options);
    let events = [event("a", "x", true), event("b", &"x".repeat(5 << 20), true), event("c", "x", true)];
    let delivery = sink.deliver(&events).await.unwrap();
    assert_eq!(delivery.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [1]);
    assert!(delivery.rejected[0].reason.contains("max_length"), "{:?}", delivery.rejected);
    assert_eq!(ids(&receiver.messages().await), ["a", "c"]);
}

#[tokio::test]
async fn events_that_cannot_be_messages_are_rejected_with_those_that_are_too_long() {
    let receiver = Receiver::new(Kind::UnixDatagram);
    receiver.up().await;
    let mut options = receiver.options();
    options["max_length"] = json!("2MiB");
    let mut sink = sink(options);
    let sizes = [3 << 20, 1, 1 << 20, 1];
    let events: Vec<Event> =
        sizes.iter().enumerate().map(|(i, size)| event(&format!("{i}"), &"x".repeat(*size), true)).collect();
    let delivery = sink.deliver(&events).await.unwrap();
    assert_eq!(delivery.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(ids(&receiver.messages().await), ["1", "3"]);
}

#[tokio::test]
async fn a_slow_reader_of_a_unix_socket_gets_each_datagram_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let reader = UnixDatagram::bind(&path).unwrap();
    let mut sink = sink(json!({"mode": "unix", "path": path, "write_timeout": "2s"}));
    let events = batch("a", 2000, 1000);
    let mut space = vec![0; 1 << 16];
    let mut messages = Vec::new();
    let reason = retry(&mut *sink, &events).await;
    assert!(reason.contains("no room for 2s"), "{reason}");
    let reading = async {
        while messages.len() < events.len() {
            let length = reader.recv(&mut space).await.unwrap();
            messages.push(space[..length].to_vec());
        }
    };
    let writing = taken(&mut *sink, &events);
    tokio::join!(reading, writing);
    assert_eq!(ids(&messages), sent(&events));
}

#[tokio::test]
async fn a_closed_udp_port_is_heard_of() {
    let receiver = Receiver::new(Kind::Udp);
    let mut sink = sink(receiver.options());
    let reason = retry(&mut *sink, &batch("a", 1, 1)).await;
    assert!(reason.contains("refused"), "{reason}");
    receiver.up().await;
    let events = batch("b", 20, 100);
    taken(&mut *sink, &events).await;
    assert_eq!(ids(&receiver.messages().await), sent(&events));
}

#[tokio::test]
async fn building_a_sink_touches_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = json!({"mode": "tcp", "address": listener.local_addr().unwrap().to_string()});
    drop(config(options).build().unwrap());
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err());
}
