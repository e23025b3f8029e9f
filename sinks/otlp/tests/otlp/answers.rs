//! What each answer does to the events, by both protocols.

use crate::receiver::{Receiver, Reply, fail, member, records};
use headwater_contracts::{Event, Sink, SinkError};
use headwater_sink_otlp::{OtlpSink, Protocol};
use headwater_testkit::sink_suite::event;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde_json::{Value as Json, json};
use std::time::Duration;
use tonic::Code;

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

fn events(count: usize) -> Vec<Event> {
    (0..count).map(|i| event(&format!("e-{i}"), "text", i % 2 == 0)).collect()
}

fn start(protocol: Protocol, options: Json) -> (Receiver, OtlpSink) {
    let receiver = Receiver::new(protocol);
    let sink = receiver.config(options).sink().unwrap();
    (receiver, sink)
}

/// Ids of the events taken, in order.
fn ids(receiver: &Receiver) -> Vec<String> {
    receiver.records().iter().map(|record| member(record, "id").unwrap().to_owned()).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("e-{i}")).collect()
}

fn rejected(delivery: &headwater_contracts::Delivery) -> Vec<usize> {
    delivery.rejected.iter().map(|rejected| rejected.index).collect()
}

#[tokio::test]
async fn compression_and_headers_are_what_was_configured() {
    for protocol in BOTH {
        for compression in ["none", "gzip", "zstd"] {
            let options =
                json!({"compression": compression, "headers": {"Authorization": "Bearer t", "x-scope": "audit"}});
            let (receiver, mut sink) = start(protocol, options);
            sink.deliver(&events(3)).await.unwrap();
            assert_eq!(ids(&receiver), numbers(0..3));
            let headers = &receiver.told().headers[0];
            assert_eq!(
                (&headers["authorization"], &headers["x-scope"]),
                (&"Bearer t".parse().unwrap(), &"audit".parse().unwrap())
            );
            assert!(headers["user-agent"].to_str().unwrap().starts_with("headwater/"));
            let encoding = headers.get(if protocol == Protocol::Grpc { "grpc-encoding" } else { "content-encoding" });
            let expected = Some(compression).filter(|name| *name != "none");
            assert_eq!(encoding.map(|name| name.to_str().unwrap()), expected, "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn a_wait_that_the_receiver_asks_for_is_passed_on() {
    for protocol in BOTH {
        for (code, status) in [(Code::Unavailable, 503), (Code::ResourceExhausted, 429)] {
            let (receiver, mut sink) = start(protocol, json!({}));
            receiver.reply([Reply::Fail { code, status, after: Some(7) }]);
            match sink.deliver(&events(2)).await {
                Err(SinkError::Retry { after: Some(after), reason }) => {
                    assert_eq!(after, Duration::from_secs(7));
                    assert!(reason.contains("as told"), "{reason}");
                }
                other => panic!("{protocol:?}: {other:?}"),
            }
            assert!(sink.deliver(&events(2)).await.unwrap().rejected.is_empty());
            assert_eq!(ids(&receiver), numbers(0..2));
        }
    }
}

#[tokio::test]
async fn a_batch_goes_in_requests_within_the_limit_and_a_retry_repeats_none_of_them() {
    for protocol in BOTH {
        let (receiver, mut sink) = start(protocol, json!({"max_request_bytes": 2000}));
        receiver.reply([Reply::Take, Reply::Take, fail(Code::Unavailable, 503)]);
        let sent = events(40);
        assert!(matches!(sink.deliver(&sent).await, Err(SinkError::Retry { .. })));
        let before = ids(&receiver).len();
        assert!(before > 1 && before < 40);
        assert!(sink.deliver(&sent).await.unwrap().rejected.is_empty());
        assert_eq!(ids(&receiver), numbers(0..40), "each once, in order");
        assert!(receiver.told().sizes.iter().all(|size| *size <= 2000), "{:?}", receiver.told().sizes);
        // The batch is done with: the same events once more are a new batch.
        sink.deliver(&sent).await.unwrap();
        assert_eq!(ids(&receiver).len(), 80);
    }
}

#[tokio::test]
async fn a_delivery_dropped_between_two_requests_repeats_at_most_the_one_in_flight() {
    for protocol in BOTH {
        let (receiver, mut sink) = start(protocol, json!({"max_request_bytes": 2000}));
        receiver.reply([Reply::Take, Reply::Silence]);
        let sent = events(20);
        let answered = async {
            while receiver.told().taken.len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            answer = sink.deliver(&sent) => panic!("{answer:?}"),
            () = answered => {}
        }
        sink.deliver(&sent).await.unwrap();
        let (first, second) = {
            let told = receiver.told();
            (records(&told.taken[0]).count(), records(&told.taken[1]).count())
        };
        let expected = [numbers(0..first + second), numbers(first..20)].concat();
        assert_eq!(ids(&receiver), expected, "{protocol:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_no_longer_than_asked() {
    for protocol in BOTH {
        let (receiver, mut sink) = start(protocol, json!({"timeout": "200ms"}));
        receiver.reply([Reply::Silence]);
        assert!(matches!(sink.deliver(&events(1)).await, Err(SinkError::Retry { .. })));
        // On a new connection; a slow machine may need some of them to answer in time.
        let mut left = 50;
        while sink.deliver(&events(1)).await.is_err() {
            left -= 1;
            assert!(left > 0, "{protocol:?}: no answer");
        }
    }
}

#[tokio::test]
async fn a_malformed_request_is_halved_until_the_guilty_event_is_found() {
    for protocol in BOTH {
        let (receiver, mut sink) = start(protocol, json!({}));
        receiver.told().refuse = Some("e-11".to_owned());
        let delivery = sink.deliver(&events(16)).await.unwrap();
        assert_eq!(rejected(&delivery), [11]);
        assert!(delivery.rejected[0].reason.contains("as told"), "{delivery:?}");
        assert_eq!(ids(&receiver), [numbers(0..11), numbers(12..16)].concat(), "the others once each, in order");
        assert!(receiver.told().sizes.len() <= 9, "two requests for each halving");
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_rejected_with_the_reason_and_not_sent_again() {
    for protocol in BOTH {
        let (receiver, mut sink) = start(protocol, json!({}));
        receiver.reply([fail(Code::Internal, 500)]);
        let delivery = sink.deliver(&events(3)).await.unwrap();
        assert_eq!(rejected(&delivery), [0, 1, 2]);
        assert!(delivery.rejected.iter().all(|rejected| rejected.reason.contains("as told")));
        assert_eq!(receiver.told().sizes.len(), 1);
    }
}

#[tokio::test]
async fn a_partly_refused_request_is_rejected_whole_and_the_next_ones_are_small() {
    for protocol in BOTH {
        let (receiver, mut sink) = start(protocol, json!({}));
        receiver.reply([Reply::Partly(1, "too old")]);
        let delivery = sink.deliver(&events(4)).await.unwrap();
        assert_eq!(rejected(&delivery), [0, 1, 2, 3], "none is lost, whichever it was");
        let reason = &delivery.rejected[0].reason;
        assert!(reason.contains("1 of the 4 records") && reason.contains("too old"), "{reason}");
        // One record, which is refused by itself; then one, two, four that are taken.
        receiver.reply([Reply::Partly(1, "too old")]);
        let delivery = sink.deliver(&events(8)).await.unwrap();
        assert_eq!((rejected(&delivery), &*delivery.rejected[0].reason), (vec![0], "too old"));
        let sizes: Vec<usize> = receiver.told().taken.iter().skip(1).map(|request| records(request).count()).collect();
        assert_eq!(sizes, [0, 1, 2, 4]);
    }
}

#[tokio::test]
async fn all_refused_is_told_as_it_is() {
    for protocol in BOTH {
        let (receiver, mut sink) = start(protocol, json!({}));
        receiver.reply([Reply::Partly(2, "quota")]);
        let delivery = sink.deliver(&events(2)).await.unwrap();
        assert!(delivery.rejected.iter().all(|rejected| rejected.reason == "quota") && delivery.rejected.len() == 2);
    }
}

#[tokio::test]
async fn a_wrong_credential_stops_a_new_run_and_is_waited_out_by_one_that_worked() {
    for protocol in BOTH {
        for (code, status) in [(Code::Unauthenticated, 401), (Code::PermissionDenied, 403), (Code::Unimplemented, 404)]
        {
            let (receiver, mut sink) = start(protocol, json!({}));
            receiver.reply([fail(code, status)]);
            match sink.deliver(&events(2)).await {
                Err(SinkError::Fatal(reason)) => assert!(reason.contains("as told") && reason.contains("headers")),
                other => panic!("{protocol:?}: {other:?}"),
            }
            sink.deliver(&events(2)).await.unwrap();
            receiver.reply([fail(code, status)]);
            let answer = sink.deliver(&events(3)).await;
            let expected = if status == 404 {
                matches!(answer, Err(SinkError::Retry { .. }))
            } else {
                matches!(answer, Err(SinkError::Denied(_)))
            };
            assert!(expected, "{protocol:?}, {status}: {answer:?}");
            sink.deliver(&events(3)).await.unwrap();
            assert_eq!(ids(&receiver), [numbers(0..2), numbers(0..3)].concat());
        }
    }
}

#[tokio::test]
async fn too_large_events_are_shortened_or_rejected_and_the_others_arrive() {
    let (receiver, mut sink) = start(Protocol::Grpc, json!({"max_request_bytes": 4000, "log_record_original": true}));
    let large = |id: &str, raw: usize, message: usize| {
        let body = json!({"class_uid": 0, "metadata": {"uid": id, "version": "1.6.0"}, "id": id,
            "raw_data": "r".repeat(raw), "message": "m".repeat(message)});
        Event { value: Some(body.into()), ..event(id, "", true) }
    };
    let foreign = event("foreign", &"t".repeat(9000), false);
    let batch = [
        large("fits", 10, 10),
        large("shortened", 9000, 10),
        large("hopeless", 10, 9000),
        foreign,
        event("last", "", false),
    ];
    let delivery = sink.deliver(&batch).await.unwrap();
    assert_eq!(rejected(&delivery), [2, 3]);
    assert!(delivery.rejected[0].reason.contains("max_request_bytes"), "{delivery:?}");
    assert_eq!(ids(&receiver), ["fits", "shortened", "last"]);
    assert!(receiver.told().sizes.iter().all(|size| *size <= 4000));
    let records = receiver.records();
    let original = |index: usize| records[index].attributes.iter().any(|pair| pair.key == "log.record.original");
    assert_eq!((original(0), original(1), original(2)), (true, false, true));
    assert!(member(&records[1], "raw_data").is_none() && member(&records[0], "raw_data").is_some());
    let Some(Value::KvlistValue(body)) = records[1].body.clone().unwrap().value else { panic!() };
    assert!(format!("{body:?}").contains("is_truncated"));
}

#[tokio::test]
async fn a_json_body_is_the_providers_bytes_and_what_is_no_json_is_text() {
    let (receiver, mut sink) = start(Protocol::Http, json!({"body": "json"}));
    let raw = r#"{ "id":"e-0",  "big":12345678901234567890, "x":1.50 }"#;
    let odd = Event { raw: raw.into(), ..event("e-0", "", false) };
    let text = Event { raw: "no JSON".into(), ..event("e-1", "", false) };
    sink.deliver(&[odd, text]).await.unwrap();
    let body = |index: usize| receiver.records()[index].body.clone().unwrap().value;
    assert_eq!(body(0), Some(Value::StringValue(raw.to_owned())));
    assert_eq!(body(1), Some(Value::StringValue("\"no JSON\"".to_owned())));
}

#[tokio::test]
async fn a_redirect_is_not_followed_stops_a_new_run_and_refuses_no_event() {
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let (receiver, mut sink) = start(Protocol::Http, json!({}));
        receiver.reply([fail(Code::Unknown, status)]);
        match sink.deliver(&events(2)).await {
            Err(SinkError::Fatal(reason)) => {
                assert!(reason.contains("redirect") && reason.contains("`endpoint`"), "{reason}");
            }
            other => panic!("{status}: {other:?}"),
        }
        sink.deliver(&events(2)).await.unwrap();
        receiver.reply([fail(Code::Unknown, status)]);
        assert!(matches!(sink.deliver(&events(3)).await, Err(SinkError::Retry { .. })), "{status}");
        sink.deliver(&events(3)).await.unwrap();
        assert_eq!(ids(&receiver), [numbers(0..2), numbers(0..3)].concat());
    }
}
