//! What is sent, and what comes back.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use tonic::Status;

use super::fake::{Fake, Reply, Seen, artifact, link, request, settings, status, task};
use crate::{
    agent::a2a::{Answer, CallError, Event, Link as _, Secret, grpc::GrpcLink},
    proto::{
        a2a::{Message, Part, TaskState, part::Content},
        well_known::Struct,
    },
    task::Dialect,
};

const BOTH: [Dialect; 2] = [Dialect::V1, Dialect::V03];

/// What calls ask for.
fn extensions() -> Vec<String> {
    ["https://one", "not\nsendable", "two, too", "https://two"].map(Into::into).into()
}

/// Whether a call asked for the extensions in the words of its version.
fn check_extensions(dialect: Dialect, seen: &Seen) {
    let header = |name: &str| seen.metadata.get(name).map(|value| value.to_str().unwrap());
    let asked = (header("a2a-extensions"), header("x-a2a-extensions"));
    let uris = Some("https://one, https://two");
    assert_eq!(asked, if dialect == Dialect::V1 { (uris, None) } else { (None, uris) });
}

#[tokio::test]
async fn a_send_carries_the_message_its_extensions_and_the_headers() {
    for dialect in BOTH {
        let mut fake = Fake::start().await;
        let mut settings = settings();
        settings.headers =
            vec![("X-API-Key".into(), Secret("k-1".into())), ("authorization".into(), Secret("B".into()))];
        let link = link(fake.address, dialect, &settings);
        for at_once in [true, false] {
            let answer = Answer::Task(task(json!({"id": "u-1", "status": {"state": "TASK_STATE_WORKING"}})));
            fake.reply(Reply::Sent(Some(answer.clone())));
            assert_eq!(link.send(request(at_once), &extensions()).await, Ok(answer), "{dialect:?}");

            let seen = fake.call().await;
            assert_eq!(seen.method, "SendMessage");
            let header = |name: &str| seen.metadata.get(name).map(|value| value.to_str().unwrap());
            assert_eq!((header("x-api-key"), header("authorization")), (Some("k-1"), Some("B")));
            assert!(header("user-agent").unwrap().starts_with("a2a-gateway/"));
            check_extensions(dialect, &seen);
            match dialect {
                Dialect::V1 => {
                    assert_eq!(header("a2a-version"), Some("1.0"));
                    assert_eq!(seen.request["tenant"], "t-enant");
                    assert_eq!(seen.request["message"]["parts"], json!([{"text": "hi"}]));
                    assert_eq!(seen.request["configuration"]["returnImmediately"].as_bool().unwrap_or(false), at_once);
                }
                _ => {
                    assert_eq!(header("a2a-version"), None);
                    assert_eq!(seen.request["message"]["content"], json!([{"text": "hi"}]));
                    assert_eq!(seen.request["configuration"]["blocking"].as_bool().unwrap_or(false), !at_once);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_direct_reply_comes_back_with_its_file() {
    for dialect in BOTH {
        let fake = Fake::start().await;
        let file = Part {
            content: Some(Content::Raw((&[0, 159, 146, 150][..]).into())),
            filename: "f.bin".into(),
            media_type: "application/octet-stream".into(),
            ..Part::default()
        };
        let answer = Answer::Message(Message { message_id: "r".into(), parts: vec![file], ..Message::default() });
        fake.reply(Reply::Sent(Some(answer.clone())));
        assert_eq!(fake.link(dialect).send(request(false), &[]).await, Ok(answer), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_task_is_read_with_or_without_its_history() {
    for dialect in BOTH {
        let mut fake = Fake::start().await;
        let link = fake.link(dialect);
        for history in [true, false] {
            let answer = task(json!({"id": "u-1", "status": {"state": "TASK_STATE_CANCELED"}}));
            fake.reply(Reply::Task(answer.clone()));
            assert_eq!(link.get("u-1", history, &extensions()).await, Ok(answer));
            let seen = fake.call().await;
            check_extensions(dialect, &seen);
            let expected = match (dialect, history) {
                (Dialect::V1, true) => json!({"tenant": "t-enant", "id": "u-1"}),
                (Dialect::V1, false) => json!({"tenant": "t-enant", "id": "u-1", "historyLength": 0}),
                _ => json!({"name": "tasks/u-1"}),
            };
            assert_eq!((seen.method, seen.request), ("GetTask", expected));
        }
    }
}

#[tokio::test]
async fn a_cancel_names_the_task() {
    for dialect in BOTH {
        let mut fake = Fake::start().await;
        let answer = task(json!({"id": "u-1", "status": {"state": "TASK_STATE_CANCELED"}}));
        fake.reply(Reply::Task(answer.clone()));
        let metadata: Struct = serde_json::from_value(json!({"why": "enough"})).unwrap();
        assert_eq!(fake.link(dialect).cancel("u-1", Some(metadata), &extensions()).await, Ok(answer));
        let seen = fake.call().await;
        check_extensions(dialect, &seen);
        let expected = match dialect {
            Dialect::V1 => json!({"tenant": "t-enant", "id": "u-1", "metadata": {"why": "enough"}}),
            _ => json!({"name": "tasks/u-1"}),
        };
        assert_eq!((seen.method, seen.request), ("CancelTask", expected));
    }
}

#[tokio::test]
async fn streams_give_each_event_as_it_comes_and_in_order() {
    for dialect in BOTH {
        for subscribe in [false, true] {
            let mut fake = Fake::start().await;
            let link = fake.link(dialect);
            let events = fake.reply_stream();
            let mut stream = if subscribe {
                link.subscribe("u-1", &extensions()).await
            } else {
                link.stream(request(false), &extensions()).await
            }
            .unwrap();
            let seen = fake.call().await;
            check_extensions(dialect, &seen);
            match (dialect, subscribe) {
                (Dialect::V1, true) => {
                    assert_eq!(seen.method, "SubscribeToTask");
                    assert_eq!(seen.request, json!({"tenant": "t-enant", "id": "u-1"}));
                }
                (_, true) => {
                    assert_eq!(seen.method, "TaskSubscription");
                    assert_eq!(seen.request, json!({"name": "tasks/u-1"}));
                }
                _ => assert_eq!(seen.method, "SendStreamingMessage"),
            }
            let first = Event::Task(task(json!({"id": "u-1", "status": {"state": "TASK_STATE_SUBMITTED"}})));
            events.send(Ok(Some(first.clone()))).unwrap();
            assert_eq!(stream.next().await, Some(Ok(first)));
            // An event of a kind that this version does not know is passed over.
            events.send(Ok(None)).unwrap();
            for number in 0..100 {
                events.send(Ok(Some(artifact(&number.to_string())))).unwrap();
            }
            events.send(Ok(Some(status(TaskState::Completed)))).unwrap();
            drop(events);
            for number in 0..100 {
                assert_eq!(stream.next().await, Some(Ok(artifact(&number.to_string()))), "{dialect:?}");
            }
            assert_eq!(stream.next().await, Some(Ok(status(TaskState::Completed))));
            assert_eq!(stream.next().await, None);
        }
    }
}

#[tokio::test]
async fn dropping_a_stream_tells_the_agent() {
    let fake = Fake::start().await;
    let events = fake.reply_stream();
    let stream = fake.link(Dialect::V1).stream(request(false), &[]).await.unwrap();
    drop(stream);
    events.closed().await;
}

#[tokio::test]
async fn many_streams_at_once_use_more_than_one_connection_and_other_calls_get_through() {
    // As strict as HTTP/2 advises servers to be.
    let fake = Fake::serve(tonic::transport::Server::builder().max_concurrent_streams(100)).await;
    let link = fake.link(Dialect::V1);
    let mut open = Vec::new();
    for _ in 0..150 {
        open.push((fake.reply_stream(), link.stream(request(false), &[]).await.unwrap()));
    }
    fake.reply(Reply::Task(task(json!({"id": "u-1"}))));
    assert_eq!(link.get("u-1", true, &[]).await.unwrap().id, "u-1");
    for (events, stream) in &mut open {
        events.send(Ok(Some(artifact("x")))).unwrap();
        assert_eq!(stream.next().await, Some(Ok(artifact("x"))));
    }
}

#[tokio::test]
async fn an_answer_without_content_is_malformed() {
    for dialect in BOTH {
        let fake = Fake::start().await;
        fake.reply(Reply::Sent(None));
        let error = fake.link(dialect).send(request(false), &[]).await.unwrap_err();
        assert!(
            matches!(&error, CallError::Malformed(text) if text.contains("neither a task nor a message")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn no_deadline_is_sent_and_a_blocking_send_may_take_longer_than_the_request_timeout() {
    let mut fake = Fake::start().await;
    let mut settings = settings();
    settings.request_timeout = Duration::from_millis(20);
    let link = link(fake.address, Dialect::V1, &settings);
    let slow = async {
        let seen = fake.call().await;
        assert!(!seen.metadata.contains_key("grpc-timeout"));
        // Only so long that the shorter timeout would have ended the call.
        tokio::time::sleep(settings.request_timeout * 3).await;
        fake.reply(Reply::Fail(Status::not_found("late")));
    };
    let (answer, ()) = tokio::join!(link.send(request(false), &[]), slow);
    assert!(matches!(answer, Err(CallError::Refused { .. })), "{answer:?}");
}

#[test]
fn praisonai_has_no_grpc() {
    assert!(GrpcLink::new("h:1", Dialect::Praison, String::new(), &settings()).is_err());
}
