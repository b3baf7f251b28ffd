//! Every way a call can fail, and what is said of it.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, response::Response};
use futures::StreamExt as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::fake::{Cable, Fake, Reply, artifact, link, request, settings, task};
use crate::{
    agent::a2a::{CallError, Link as _, Settings},
    error::ErrorKind,
    task::Dialect,
};

const BOTH: [Dialect; 2] = [Dialect::V1, Dialect::V03];
const SHORT: Duration = Duration::from_millis(200);

/// A port on which nobody listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// What is said of a status that the agent sends.
async fn refusal(dialect: Dialect, status: Status, cancel: bool) -> CallError {
    let fake = Fake::start().await;
    fake.reply(Reply::Fail(status));
    let link = fake.link(dialect);
    if cancel {
        link.cancel("u-1", None, &[]).await.unwrap_err()
    } else {
        link.get("u-1", true, &[]).await.unwrap_err()
    }
}

fn with_reason(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "a2a-protocol.org", HashMap::new());
    Status::with_error_details(code, "said so", details)
}

#[tokio::test]
async fn a_refused_connection_is_unreached_for_each_call_and_later_calls_connect() {
    let address = closed_port().await;
    for dialect in BOTH {
        let link = link(address, dialect, &settings());
        let errors = [
            link.send(request(false), &[]).await.unwrap_err(),
            link.stream(request(false), &[]).await.err().unwrap(),
            link.get("u-1", true, &[]).await.unwrap_err(),
            link.subscribe("u-1", &[]).await.err().unwrap(),
            link.cancel("u-1", None, &[]).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, CallError::Unreached(text) if text.contains("refused")), "{error:?}");
        }
    }

    let cable_end = Fake::start().await;
    let cable = Cable::to(cable_end.address).await;
    let link = link(cable.address, Dialect::V1, &settings());
    for _ in 0..3 {
        cable_end.reply(Reply::Task(task(serde_json::json!({"id": "u-1"}))));
        // A call that meets the cut before the client has noticed it is lost; the next one connects again.
        while let Err(error) = link.get("u-1", true, &[]).await {
            assert!(matches!(error, CallError::Lost(_) | CallError::Unreached(_)), "{error:?}");
        }
        cable.cut();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_during_a_call_is_lost() {
    for dialect in BOTH {
        let mut fake = Fake::start().await;
        let cable = Cable::to(fake.address).await;
        let link = link(cable.address, dialect, &settings());
        fake.reply(Reply::Silence);
        let cut = async {
            fake.call().await;
            cable.cut();
        };
        let (answer, ()) = tokio::join!(link.send(request(false), &[]), cut);
        assert!(matches!(answer, Err(CallError::Lost(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_gives_what_came_and_then_the_loss() {
    for dialect in BOTH {
        let fake = Fake::start().await;
        let cable = Cable::to(fake.address).await;
        let link = link(cable.address, dialect, &settings());
        let events = fake.reply_stream();
        let mut stream = link.stream(request(false), &[]).await.unwrap();
        events.send(Ok(Some(artifact("1")))).unwrap();
        assert_eq!(stream.next().await, Some(Ok(artifact("1"))));
        cable.cut();
        let last = stream.next().await;
        assert!(matches!(last, Some(Err(CallError::Lost(_)))), "{last:?}");
        assert_eq!(stream.next().await, None, "an error is the last item");
    }
}

#[tokio::test]
async fn silence_is_lost_after_its_time() {
    let quick = Settings { request_timeout: SHORT, idle_timeout: SHORT, ..settings() };
    for dialect in BOTH {
        let fake = Fake::start().await;
        let link = link(fake.address, dialect, &quick);
        for _ in 0..3 {
            fake.reply(Reply::Silence);
        }
        let calls = tokio::join!(
            link.send(request(true), &[]),
            link.send(request(false), &[]),
            link.stream(request(false), &[])
        );
        for error in [calls.0.err(), calls.1.err(), calls.2.err()] {
            assert!(matches!(&error, Some(CallError::Lost(text)) if text.contains("within 200ms")), "{error:?}");
        }
    }
    let fake = Fake::start().await;
    let link = link(fake.address, Dialect::V1, &quick);
    let events = fake.reply_stream();
    let mut stream = link.stream(request(false), &[]).await.unwrap();
    events.send(Ok(Some(artifact("1")))).unwrap();
    assert_eq!(stream.next().await, Some(Ok(artifact("1"))));
    let last = stream.next().await;
    assert!(matches!(&last, Some(Err(CallError::Lost(text))) if text.contains("silent for 200ms")), "{last:?}");
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_call_that_never_left_is_unreached_although_the_connection_stands() {
    let fake = Fake::serve(tonic::transport::Server::builder().max_concurrent_streams(1)).await;
    let settings = Settings { connect_timeout: Duration::from_millis(200), ..settings() };
    let link = link(fake.address, Dialect::V1, &settings);
    let _events = fake.reply_stream();
    let _open = link.stream(request(false), &[]).await.unwrap();
    let error = link.get("u-1", true, &[]).await.unwrap_err();
    assert!(matches!(error, CallError::Unreached(_)), "{error:?}");
    // A fresh connection takes the next one.
    fake.reply(Reply::Task(task(serde_json::json!({"id": "u-1"}))));
    assert_eq!(link.get("u-1", true, &[]).await.unwrap().id, "u-1");
}

#[tokio::test]
async fn an_answer_or_event_above_the_limit_is_malformed() {
    let small = Settings { max_message: 1000, ..settings() };
    for dialect in BOTH {
        let fake = Fake::start().await;
        let link = link(fake.address, dialect, &small);
        fake.reply(Reply::Task(task(serde_json::json!({"id": "u".repeat(2000)}))));
        let error = link.get("u-1", true, &[]).await.unwrap_err();
        assert!(matches!(&error, CallError::Malformed(text) if text.contains("larger than allowed")), "{error:?}");

        let events = fake.reply_stream();
        let mut stream = link.stream(request(false), &[]).await.unwrap();
        events.send(Ok(Some(artifact("fits")))).unwrap();
        events.send(Ok(Some(artifact(&"x".repeat(2000))))).unwrap();
        assert_eq!(stream.next().await, Some(Ok(artifact("fits"))));
        let last = stream.next().await;
        assert!(matches!(last, Some(Err(CallError::Malformed(_)))), "{last:?}");
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn errors_mean_what_their_reason_says_whatever_the_code() {
    for (reason, kind) in [
        ("TASK_NOT_FOUND", ErrorKind::TaskNotFound),
        ("TASK_NOT_CANCELABLE", ErrorKind::TaskNotCancelable),
        ("PUSH_NOTIFICATION_NOT_SUPPORTED", ErrorKind::PushNotificationNotSupported),
        ("UNSUPPORTED_OPERATION", ErrorKind::UnsupportedOperation),
        ("CONTENT_TYPE_NOT_SUPPORTED", ErrorKind::ContentTypeNotSupported),
        ("UNSUPPORTED_CONTENT_TYPE", ErrorKind::ContentTypeNotSupported),
        ("INVALID_AGENT_RESPONSE", ErrorKind::InvalidAgentResponse),
        ("EXTENSION_SUPPORT_REQUIRED", ErrorKind::ExtensionSupportRequired),
        ("VERSION_NOT_SUPPORTED", ErrorKind::VersionNotSupported),
        ("INVALID_PARAMS", ErrorKind::InvalidArgument),
    ] {
        for code in [Code::FailedPrecondition, Code::Unimplemented, Code::Internal] {
            let error = refusal(Dialect::V1, with_reason(code, reason), false).await;
            assert_eq!(error, CallError::Refused { kind: Some(kind), text: "said so".into() }, "{reason} {code:?}");
        }
    }
}

#[tokio::test]
async fn errors_of_0_3_mean_what_their_message_begins_with() {
    for (message, kind) in [
        ("TaskNotFoundError: Task not found", ErrorKind::TaskNotFound),
        ("TaskNotCancelableError: done already", ErrorKind::TaskNotCancelable),
        ("PushNotificationNotSupportedError: no", ErrorKind::PushNotificationNotSupported),
        ("UnsupportedOperationError: no", ErrorKind::UnsupportedOperation),
        ("ContentTypeNotSupportedError: no", ErrorKind::ContentTypeNotSupported),
        ("InvalidAgentResponseError: no", ErrorKind::InvalidAgentResponse),
        ("AuthenticatedExtendedCardNotConfiguredError: no", ErrorKind::ExtendedAgentCardNotConfigured),
        ("InvalidParamsError: no", ErrorKind::InvalidArgument),
    ] {
        let error = refusal(Dialect::V03, Status::unimplemented(message), false).await;
        assert_eq!(error, CallError::Refused { kind: Some(kind), text: message.into() });
    }
}

#[tokio::test]
async fn errors_without_a_name_mean_what_their_code_says() {
    use ErrorKind as K;
    for (code, cancel, kind) in [
        (Code::NotFound, false, Some(K::TaskNotFound)),
        (Code::InvalidArgument, false, Some(K::InvalidArgument)),
        (Code::FailedPrecondition, false, Some(K::UnsupportedOperation)),
        (Code::FailedPrecondition, true, Some(K::TaskNotCancelable)),
        (Code::Unimplemented, false, Some(K::UnsupportedOperation)),
        (Code::Internal, false, None),
        (Code::Unknown, false, None),
        (Code::Aborted, false, None),
    ] {
        for dialect in BOTH {
            let error = refusal(dialect, Status::new(code, "said\n so"), cancel).await;
            assert_eq!(error, CallError::Refused { kind, text: "said so".into() }, "{code:?}");
        }
    }
    let error = refusal(Dialect::V1, Status::new(Code::Internal, ""), false).await;
    assert!(error.to_string().ends_with("without a message"), "{error}");
}

#[tokio::test]
async fn refused_credentials_are_said_to_be() {
    for code in [Code::Unauthenticated, Code::PermissionDenied] {
        let error = refusal(Dialect::V1, Status::new(code, "bad token"), false).await;
        let text = "the agent refused the gateway's credentials: bad token".to_owned();
        assert_eq!(error, CallError::Refused { kind: None, text });
    }
}

#[tokio::test]
async fn a_busy_agent_says_when_to_try_again() {
    let busy = |after| CallError::Busy { text: "later".into(), after };
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        assert_eq!(refusal(Dialect::V1, Status::new(code, "later"), false).await, busy(None));
    }
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
    let status = Status::with_error_details(Code::Unavailable, "later", details);
    assert_eq!(refusal(Dialect::V1, status, false).await, busy(Some(Duration::from_millis(1500))));
    let day = Duration::from_secs(24 * 3600);
    for (pushback, after) in
        [("250", Some(Duration::from_millis(250))), ("18446744073709551615", Some(day)), ("-1", None), ("soon", None)]
    {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
        let status = Status::with_metadata(Code::Unavailable, "later", metadata);
        assert_eq!(refusal(Dialect::V1, status, false).await, busy(after));
    }
    let status = Status::resource_exhausted("Received message larger than max (5 vs. 4)");
    assert!(matches!(refusal(Dialect::V1, status, false).await, CallError::Refused { kind: None, .. }));
}

#[tokio::test]
async fn an_agent_that_gives_a_call_up_has_lost_it() {
    for code in [Code::DeadlineExceeded, Code::Cancelled] {
        let error = refusal(Dialect::V1, Status::new(code, "took too long"), false).await;
        assert!(matches!(&error, CallError::Lost(text) if text.ends_with("took too long")), "{error:?}");
    }
    // Unavailable before anything came: nothing was done. After that, something was.
    for begun in [false, true] {
        let fake = Fake::start().await;
        let events = fake.reply_stream();
        let mut stream = fake.link(Dialect::V1).stream(request(false), &[]).await.unwrap();
        if begun {
            events.send(Ok(Some(artifact("1")))).unwrap();
            assert_eq!(stream.next().await, Some(Ok(artifact("1"))));
        }
        events.send(Err(Status::unavailable("shutting down"))).unwrap();
        let last = stream.next().await.unwrap().unwrap_err();
        assert_eq!(matches!(last, CallError::Lost(_)), begun, "{last:?}");
        assert_eq!(matches!(last, CallError::Busy { .. }), !begun, "{last:?}");
    }
}

/// Something that speaks HTTP/2 and gives the same answer to every request.
async fn http(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(move || std::future::ready(answer()));
    (address, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

async fn answer_of(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> CallError {
    let (address, _server) = http(answer).await;
    link(address, Dialect::V1, &settings()).get("u-1", true, &[]).await.unwrap_err()
}

fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

#[tokio::test]
async fn what_proxies_say_in_http_is_understood() {
    let after = [("retry-after", "7")];
    let error = answer_of(move || response(503, &after, "")).await;
    assert!(matches!(error, CallError::Busy { after, .. } if after == Some(Duration::from_secs(7))), "{error:?}");
    assert!(matches!(answer_of(|| response(429, &[], "")).await, CallError::Busy { after: None, .. }));
    for status in [401, 403] {
        let error = answer_of(move || response(status, &[], "")).await;
        assert!(error.to_string().contains("credentials"), "{error:?}");
        assert!(matches!(error, CallError::Refused { kind: None, .. }));
    }
    for status in [502, 504] {
        assert!(matches!(answer_of(move || response(status, &[], "")).await, CallError::Lost(_)), "{status}");
    }
    for status in [200, 302, 404, 500] {
        let error = answer_of(move || response(status, &[("content-type", "text/html")], "<html>")).await;
        assert!(matches!(&error, CallError::Malformed(text) if text.contains(&status.to_string())), "{error:?}");
    }
}

#[tokio::test]
async fn garbage_is_malformed_and_nothing_panics() {
    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    // No frame; a frame that is no message; a frame that says it is compressed.
    for body in [&b"<html>hello</html>"[..], b"\0\0\0\0\x02\xff\xff", b"\x01\0\0\0\x01x"] {
        let error = answer_of(move || response(200, &[GRPC], body)).await;
        assert!(matches!(error, CallError::Malformed(_)), "{body:?}: {error:?}");
    }
    // An answer that just ends.
    for body in [&b""[..], b"\0\0\0\0\x03\x0a\x01x"] {
        let error = answer_of(move || response(200, &[GRPC], body)).await;
        assert!(matches!(error, CallError::Lost(_)), "{body:?}: {error:?}");
    }
    // Details that are no base64, or none that are known; a status that is no number.
    for details in ["%%%", "AAAA", "/////w=="] {
        let headers = [GRPC, ("grpc-status", "5"), ("grpc-message", "gone"), ("grpc-status-details-bin", details)];
        let error = answer_of(move || response(200, &headers, "")).await;
        assert_eq!(error, CallError::Refused { kind: Some(ErrorKind::TaskNotFound), text: "gone".into() });
    }
    let headers = [GRPC, ("grpc-status", "much"), ("grpc-message", "%ff")];
    assert!(matches!(answer_of(move || response(200, &headers, "")).await, CallError::Refused { kind: None, .. }));
    // A status without the content type is still the agent's word.
    let headers = [("grpc-status", "5"), ("grpc-message", "gone")];
    let error = answer_of(move || response(200, &headers, "")).await;
    assert_eq!(error, CallError::Refused { kind: Some(ErrorKind::TaskNotFound), text: "gone".into() });
    let headers = [GRPC, ("grpc-status", "0")];
    assert!(matches!(answer_of(move || response(200, &headers, "")).await, CallError::Malformed(_)));
}

/// How a peer ends the call that it has taken.
enum End {
    Reset(h2::Reason),
    GoAway(h2::Reason),
}

/// What is said of a peer that takes the first call and ends it so.
async fn ended(end: End) -> CallError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (_request, mut answer) = connection.accept().await.unwrap().unwrap();
        match end {
            End::Reset(reason) => answer.send_reset(reason),
            End::GoAway(reason) => connection.abrupt_shutdown(reason),
        }
        std::future::poll_fn(|cx| connection.poll_closed(cx)).await.ok();
    });
    let error = link(address, Dialect::V1, &settings()).send(request(false), &[]).await.unwrap_err();
    server.abort();
    error
}

#[tokio::test]
async fn a_stream_that_the_agent_refuses_is_unreached_and_one_that_it_breaks_off_is_lost() {
    let error = ended(End::Reset(h2::Reason::REFUSED_STREAM)).await;
    assert!(matches!(error, CallError::Unreached(_)), "{error:?}");
    for end in [
        End::Reset(h2::Reason::CANCEL),
        End::Reset(h2::Reason::INTERNAL_ERROR),
        End::Reset(h2::Reason::ENHANCE_YOUR_CALM),
        End::GoAway(h2::Reason::NO_ERROR),
        End::GoAway(h2::Reason::ENHANCE_YOUR_CALM),
    ] {
        let error = ended(end).await;
        assert!(matches!(error, CallError::Lost(_)), "{error:?}");
    }
}

/// As a server that shuts down does to a call that crosses its farewell.
#[tokio::test]
async fn a_call_that_the_agents_farewell_leaves_out_is_unreached() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // The last stream that was looked at: none. The reason: no error.
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&SETTINGS).await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(5).any(|window| window == b"u-123") {
            assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0);
        }
        socket.write_all(&GOAWAY).await.unwrap();
        socket.read_to_end(&mut seen).await.ok();
    });
    let error = link(address, Dialect::V1, &settings()).get("u-123", true, &[]).await.unwrap_err();
    assert!(matches!(error, CallError::Unreached(_)), "{error:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_speak_http_2_is_malformed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // The socket stays open: it is what was said that tells.
        socket.read_to_end(&mut Vec::new()).await.ok();
    });
    let error = link(address, Dialect::V1, &settings()).get("u-1", true, &[]).await.unwrap_err();
    assert!(matches!(error, CallError::Malformed(_)), "{error:?}");
    server.await.unwrap();
}
