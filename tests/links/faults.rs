//! What becomes of calls when the agent, or what stands before it, fails.

use std::{io, time::Duration};

use a2a_gateway::{
    agent::a2a::{CallError, Client, Event, Link, Secret, Settings},
    proto::a2a::{SendMessageConfiguration, SendMessageRequest, Task},
    task::Dialect,
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::header::{LOCATION, RETRY_AFTER};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::fake::{
    Fake, INTERFACES, Interface, answer, json_answer, link_to, link_with, raw, refused, settings, sse, sse_of,
};

const V1: Interface = ("JSONRPC", Dialect::V1);

fn at_once() -> SendMessageRequest {
    let configuration = SendMessageConfiguration { return_immediately: true, ..SendMessageConfiguration::default() };
    SendMessageRequest { configuration: Some(configuration), ..SendMessageRequest::default() }
}

/// The errors of every call that the interface has.
async fn errors(link: &dyn Link, interface: Interface) -> Vec<CallError> {
    let mut errors = vec![
        link.send(at_once(), &[]).await.unwrap_err(),
        link.send(SendMessageRequest::default(), &[]).await.unwrap_err(),
        link.stream(at_once(), &[]).await.err().unwrap(),
        link.get("t", true, &[]).await.unwrap_err(),
        link.cancel("t", None, &[]).await.unwrap_err(),
    ];
    if interface.1 != Dialect::Praison {
        errors.push(link.subscribe("t", &[]).await.err().unwrap());
    }
    errors
}

/// Checks the errors of every call on every interface to the agent at `url`.
async fn every_call(url: &str, expected: impl Fn(&CallError) -> bool) {
    for interface in INTERFACES {
        for error in errors(&*link_to(url, interface), interface).await {
            assert!(expected(&error), "{interface:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_means_that_the_agent_has_seen_nothing() {
    let url = refused().await;
    let text = format!("cannot connect to {url}/");
    every_call(&url, |error| matches!(error, CallError::Unreached(said) if said.starts_with(&text))).await;
}

#[tokio::test]
async fn a_connection_that_closes_before_the_answer_is_lost() {
    let url = raw(async |stream| drop(stream)).await;
    every_call(&url, |error| matches!(error, CallError::Lost(said) if said.contains(" was lost: "))).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_lost() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    let url = raw(async move |mut stream: TcpStream| stream.write_all(head.as_bytes()).await.unwrap()).await;
    every_call(&url, |error| matches!(error, CallError::Lost(_))).await;
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    let url = raw(async |mut stream: TcpStream| stream.write_all(b"\x00\x01 hello\r\n\r\n").await.unwrap()).await;
    every_call(&url, |error| matches!(error, CallError::Malformed(said) if said.contains("does not answer in HTTP")))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_is_given_up() {
    let url = raw(async |_stream| std::future::pending().await).await;
    for interface in INTERFACES {
        let link = link_to(&url, interface);
        let start = Instant::now();
        let error = link.get("t", true, &[]).await.unwrap_err();
        assert!(matches!(&error, CallError::Lost(said) if said.ends_with(" within 10s")), "{error:?}");
        assert!((10..=16).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let error = link.send(SendMessageRequest::default(), &[]).await.unwrap_err();
        assert!(matches!(&error, CallError::Lost(said) if said.ends_with(" within 20s")), "{error:?}");
        for error in errors(&*link, interface).await {
            assert!(matches!(error, CallError::Lost(_)), "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_send_that_waits_for_the_work_may_take_long() {
    let task = json!({"result": {"id": "t", "status": {"state": "TASK_STATE_COMPLETED"}}}).to_string();
    let url = raw(move |mut stream: TcpStream| {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{task}", task.len());
        async move {
            sleep(Duration::from_secs(19)).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let link = link_to(&url, V1);
    assert!(link.send(SendMessageRequest::default(), &[]).await.is_ok());
    assert!(matches!(link.send(at_once(), &[]).await, Err(CallError::Lost(_))));
    assert!(matches!(link.get("t", true, &[]).await, Err(CallError::Lost(_))));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_drips_is_given_up() {
    let url = raw(async |mut stream: TcpStream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
        let _ = stream.write_all(head).await;
        while stream.write_all(b" ").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let error = link_to(&url, V1).get("t", true, &[]).await.unwrap_err();
    assert!(matches!(&error, CallError::Lost(said) if said.ends_with("was not complete within 10s")), "{error:?}");
}

const WORKING: &str =
    "data: {\"result\":{\"statusUpdate\":{\"taskId\":\"t\",\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}}\n\n";

#[tokio::test]
async fn a_stream_that_breaks_off_gives_what_came_before() {
    for subscribes in [false, true] {
        let fake = Fake::start(|_| {
            let pieces = [Ok(Bytes::from(WORKING)), Err(io::Error::other("cut"))];
            // The cut is a piece of its own: hyper drops what it has not written yet.
            sse_of(stream::iter(pieces).then(async |piece| {
                tokio::task::yield_now().await;
                piece
            }))
        })
        .await;
        let link = link_to(&fake.url, V1);
        let events = if subscribes { link.subscribe("t", &[]).await } else { link.stream(at_once(), &[]).await };
        let events: Vec<_> = events.unwrap().collect().await;
        assert!(matches!(&events[..], [Ok(Event::StatusUpdate(_)), Err(CallError::Lost(_))]), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keep_alives_count_as_sound_and_silence_ends_a_stream() {
    let fake = Fake::start(|_| {
        sse_of(stream::unfold(0, async |sent| {
            sleep(Duration::from_secs(15)).await;
            match sent {
                0..3 => Some((Ok(Bytes::from(": ping\n")), sent + 1)),
                3 => Some((Ok(Bytes::from(WORKING)), 4)),
                _ => std::future::pending().await,
            }
        }))
    })
    .await;
    let mut events = link_to(&fake.url, V1).stream(at_once(), &[]).await.unwrap();
    let start = Instant::now();
    assert!(matches!(events.next().await, Some(Ok(Event::StatusUpdate(_)))));
    assert!(start.elapsed() >= Duration::from_secs(60));
    let error = events.next().await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::Lost(said) if said.ends_with(" for 20s")), "{error:?}");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn what_is_not_a2a_is_malformed() {
    for (status, media_type, body) in [
        (200, "text/html", "<h1>Welcome</h1>"),
        (200, "application/json", "{\"jsonrpc\": \"2.0\", \"id\": 1}"),
        (200, "application/json", "[]"),
        (200, "application/json", "{\"result\": {\"status\": 7}}"),
        (200, "application/json", "\u{fffd}"),
        (204, "application/json", ""),
    ] {
        let fake = Fake::start(move |_| answer(status, media_type, body)).await;
        every_call(&fake.url, |error| matches!(error, CallError::Malformed(said) if said.contains("http://"))).await;
    }
    for interface in INTERFACES {
        for data in ["garbage", "[1]", "{\"result\": {\"task\": 7}}"] {
            let fake = Fake::start(move |_| sse(format!("data: {data}\n\ndata: {data}\n\n"))).await;
            let events: Vec<_> = link_to(&fake.url, interface).stream(at_once(), &[]).await.unwrap().collect().await;
            assert!(matches!(&events[..], [Err(CallError::Malformed(_))]), "{interface:?} {data}: {events:?}");
        }
    }
}

#[tokio::test]
async fn an_error_page_is_told_in_one_line() {
    for status in [400, 404, 418, 500] {
        let page = "<html>\n<h1>Oh\tno\x1b</h1>\r\n</html>";
        let fake = Fake::start(move |_| answer(status, "text/html", page)).await;
        let told = format!(" answers with HTTP {status}: <html> <h1>Oh no </h1> </html>");
        every_call(&fake.url, |error| match error {
            CallError::Refused { kind: None, text } => text.ends_with(&told),
            _ => false,
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    let large = json!({"result": {"id": "t", "contextId": "c".repeat(20_000)}}).to_string();
    let whole = large.clone();
    let fake = Fake::start(move |_| json_answer(200, &whole)).await;
    every_call(
        &fake.url,
        |error| matches!(error, CallError::Malformed(said) if said.ends_with("larger than 10000 bytes")),
    )
    .await;
    let fake = Fake::start(move |_| {
        let pieces: Vec<_> = large.as_bytes().chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut answer = sse_of(stream::iter(pieces));
        answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
        answer
    })
    .await;
    every_call(
        &fake.url,
        |error| matches!(error, CallError::Malformed(said) if said.ends_with("larger than 10000 bytes")),
    )
    .await;

    let fake = Fake::start(|_| sse(format!("{WORKING}data: {}\n\n{WORKING}", "x".repeat(20_000)))).await;
    let events: Vec<_> = link_to(&fake.url, V1).stream(at_once(), &[]).await.unwrap().collect().await;
    let [Ok(Event::StatusUpdate(_)), Err(CallError::Malformed(said))] = &events[..] else { panic!("{events:?}") };
    assert!(said.ends_with("larger than 10000 bytes"), "{said}");
}

#[tokio::test]
async fn statuses_say_when_to_come_again_and_what_was_refused() {
    for (status, expected) in [
        (429, CallError::Busy { text: "slow".into(), after: Some(Duration::from_secs(7)) }),
        (503, CallError::Busy { text: "slow".into(), after: Some(Duration::from_secs(7)) }),
        (502, CallError::Lost("slow".into())),
        (504, CallError::Lost("slow".into())),
        (401, CallError::Refused { kind: None, text: "the agent refused the gateway's credentials (HTTP 401)".into() }),
        (403, CallError::Refused { kind: None, text: "the agent refused the gateway's credentials (HTTP 403)".into() }),
    ] {
        for body in ["slow", "{\"detail\": \"slow\"}", "{\"error\": {\"code\": -32000, \"message\": \"slow\"}}"] {
            if body.contains("error") && matches!(status, 502 | 504) {
                continue;
            }
            let fake = Fake::start(move |_| {
                let mut answer = answer(status, "application/json", body);
                answer.headers_mut().insert(RETRY_AFTER, "7".parse().unwrap());
                answer
            })
            .await;
            every_call(&fake.url, |error| match (error, &expected) {
                (CallError::Busy { text, after }, CallError::Busy { text: said, after: wanted }) => {
                    text.contains(&format!("HTTP {status}")) && text.contains(said) && after == wanted
                }
                (CallError::Lost(text), CallError::Lost(said)) => {
                    text.contains(&format!("HTTP {status}")) && text.contains(said)
                }
                (error, expected) => error == expected,
            })
            .await;
        }
    }
}

/// Settings with a header that is a secret.
fn with_secret(url: &str) -> Settings {
    Settings { headers: vec![("authorization".into(), Secret("Bearer s3cret".into()))], ..settings(url) }
}

fn redirect(status: u16, to: &str) -> axum::response::Response {
    let mut answer = answer(status, "text/plain", "");
    answer.headers_mut().insert(LOCATION, to.parse().unwrap());
    answer
}

#[tokio::test]
async fn redirects_stay_within_the_origin() {
    let other = Fake::start(|_| json_answer(200, "{}")).await;
    for status in [307, 308] {
        let to = format!("{}/elsewhere", other.url);
        let fake = Fake::start(move |_| redirect(status, &to)).await;
        for interface in INTERFACES {
            for error in errors(&*link_with(&with_secret(&fake.url), interface), interface).await {
                let CallError::Refused { kind: None, text } = &error else { panic!("{error:?}") };
                assert!(text.ends_with(&format!("(HTTP {status}) to another origin, {}", other.url)), "{text}");
            }
        }
    }
    assert!(other.seen().is_empty(), "the secret went elsewhere");

    let fake = Fake::start(|seen| {
        if seen.path.ends_with('/') {
            redirect(307, "there?x=1")
        } else {
            assert_eq!(
                (seen.header("authorization"), seen.body["method"].as_str()),
                ("Bearer s3cret", Some("GetTask"))
            );
            json_answer(200, json!({"result": {"id": "t", "status": {"state": "TASK_STATE_WORKING"}}}))
        }
    })
    .await;
    let task: Task = link_with(&with_secret(&fake.url), V1).get("t", true, &[]).await.unwrap();
    assert_eq!(task.id, "t");
    let paths: Vec<_> = fake.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/", "/there?x=1"]);
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_refused() {
    for (status, to, why) in [
        (307, "/again", "redirects too often"),
        (302, "/login", "(HTTP 302) to {}/login that loses the request's body"),
        (307, "http://[", "(HTTP 307) to what is no URL"),
    ] {
        let fake = Fake::start(move |_| redirect(status, to)).await;
        let error = link_to(&fake.url, V1).get("t", true, &[]).await.unwrap_err();
        let CallError::Refused { kind: None, text } = &error else { panic!("{error:?}") };
        assert!(text.ends_with(&why.replace("{}", &fake.url)), "{text}");
        assert_eq!(fake.seen().len(), if to == "/again" { 6 } else { 1 });
    }
}

#[tokio::test]
async fn texts_name_no_secrets() {
    let fake = Fake::start(|_| answer(500, "text/plain", "broken")).await;
    let closed = refused().await;
    for url in [fake.url, closed] {
        let url = format!("{}/a?key=s3cret", url.replace("http://", "http://user:s3cret@"));
        for interface in INTERFACES {
            for error in errors(&*link_with(&with_secret(&url), interface), interface).await {
                let told = format!("{error} {error:?}");
                assert!(told.contains("/a") && !told.contains("s3cret"), "{told}");
            }
        }
    }
}

#[test]
fn headers_that_cannot_be_sent_are_named() {
    for (name, value) in
        [("bad name", "s3cret"), ("", "s3cret"), ("x-key", "s3cret\n"), ("Content-Length", "s3cret"), ("te", "s3cret")]
    {
        let settings = Settings { headers: vec![(name.into(), Secret(value.into()))], ..settings("http://127.0.0.1") };
        let error = Client::new(&settings).unwrap_err();
        assert!(error.contains(&format!("{name:?}")) && !error.contains("s3cret"), "{error}");
    }
}
