//! What browsers need: gRPC-Web, cross-origin requests; and gzip for who asks for it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use std::{io::Read as _, sync::Arc};

use a2a_gateway::{
    agent::Echo,
    proto::a2a::{self, SendMessageResponse, StreamResponse, send_message_response, stream_response::Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use door::{kinds::*, sse::Parser, *};
use prost::Message as _;
use reqwest::{Method, Response};
use serde_json::json;
use tonic::codec::CompressionEncoding::Gzip;

const SERVICE: &str = "/lf.a2a.v1.A2AService";
const APP: &str = "https://app.example.com";

async fn start(settings: &[(&str, &str)]) -> Gateway {
    Gateway::start_with(vec![("echo".into(), Arc::new(Echo))], settings).await
}

/// A message's frame.
fn frame(message: &impl prost::Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &bytes].concat()
}

/// The messages of an answer, and its trailers, which must be its last frame.
fn unframe(mut bytes: &[u8]) -> (Vec<&[u8]>, String) {
    let mut messages = Vec::new();
    loop {
        let (head, rest) = bytes.split_at(5);
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let (content, rest) = rest.split_at(length);
        if head[0] == 0x80 {
            assert!(rest.is_empty(), "something follows the trailers");
            return (messages, String::from_utf8(content.to_vec()).unwrap());
        }
        assert_eq!(head[0], 0);
        messages.push(content);
        bytes = rest;
    }
}

/// The bytes of base64 in which each piece may be padded.
fn unpadded(text: &str) -> Vec<u8> {
    let groups = text.as_bytes().chunks(4);
    groups.flat_map(|group| STANDARD.decode(group).unwrap()).collect()
}

async fn web(gateway: &Gateway, method: &str, content_type: &str, body: Vec<u8>) -> Response {
    let body = if content_type.contains("text") { STANDARD.encode(body).into_bytes() } else { body };
    let call = gateway.http.post(gateway.url(&format!("{SERVICE}/{method}"))).header("content-type", content_type);
    let answer = call.header("x-grpc-web", "1").header("origin", APP).body(body).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_11));
    let form = if content_type.contains("text") { "application/grpc-web-text" } else { "application/grpc-web" };
    let told = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(told.strip_suffix("+proto").unwrap_or(told), form);
    answer
}

async fn bytes(answer: Response) -> Vec<u8> {
    let text = answer.headers()["content-type"].to_str().unwrap().contains("text");
    let body = answer.bytes().await.unwrap().to_vec();
    if text { unpadded(std::str::from_utf8(&body).unwrap()) } else { body }
}

const FORMS: [&str; 5] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
    "Application/gRPC-Web; charset=utf-8",
];

#[tokio::test]
async fn a_browser_calls_and_streams_over_grpc_web() {
    let gateway = start(&[]).await;
    for form in FORMS {
        let request = frame(&door::grpc::request(&say("hello")));
        let body = bytes(web(&gateway, "SendMessage", form, request).await).await;
        let (messages, trailers) = unframe(&body);
        assert_eq!(trailers, "grpc-status:0\r\n", "{form}");
        let [message] = messages.as_slice() else { panic!("{form}: {} messages", messages.len()) };
        let answer = SendMessageResponse::decode(*message).unwrap();
        let Some(send_message_response::Payload::Task(task)) = answer.payload else { panic!("{form}: no task") };

        let request = frame(&door::grpc::request(&say("burst: 3")));
        let body = bytes(web(&gateway, "SendStreamingMessage", form, request).await).await;
        let (messages, trailers) = unframe(&body);
        assert_eq!(trailers, "grpc-status:0\r\n", "{form}");
        let events: Vec<_> =
            messages.into_iter().map(|message| StreamResponse::decode(message).unwrap().payload.unwrap()).collect();
        assert!(matches!(events[0], Payload::Task(_)), "{form}");
        let artifacts = events.iter().filter(|event| matches!(event, Payload::ArtifactUpdate(_))).count();
        assert_eq!(artifacts, 3, "{form}");
        let read = gateway.client(Door::V1).get(&task.id, None).await.unwrap();
        assert_eq!(read.artifacts, ["Echo: hello"], "{form}");
    }
}

#[tokio::test]
async fn a_grpc_web_stream_comes_event_by_event() {
    let gateway = start(&[]).await;
    let request = frame(&door::grpc::request(&say("ask: Who?")));
    let task = bytes(web(&gateway, "SendMessage", FORMS[0], request).await).await;
    let task = SendMessageResponse::decode(unframe(&task).0[0]).unwrap().payload.unwrap();
    let send_message_response::Payload::Task(task) = task else { panic!("no task") };
    let slow = gateway.client(Door::V1).send(say_at_once("slow: 100")).await.unwrap().task();
    let request = a2a::SubscribeToTaskRequest { tenant: String::new(), id: slow.id.clone() };
    let mut answer = web(&gateway, "SubscribeToTask", FORMS[0], frame(&request)).await;
    // The task comes while it is being worked on.
    let first = tokio::time::timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
    assert_eq!(first[0], 0);
    gateway.client(Door::V1).cancel(&slow.id).await.unwrap();
    let mut rest = first.to_vec();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        rest.extend(chunk);
    }
    assert_eq!(unframe(&rest).1, "grpc-status:0\r\n");
    gateway.client(Door::V1).cancel(&task.id).await.unwrap();
}

#[tokio::test]
async fn errors_over_grpc_web_are_statuses() {
    let gateway = start(&[]).await;
    for (method, body, code) in [
        ("GetTask", frame(&a2a::GetTaskRequest { id: "t-1".into(), ..Default::default() }), "5"),
        ("GetTask", frame(&a2a::GetTaskRequest::default()), "3"),
        ("Nope", frame(&a2a::GetTaskRequest::default()), "12"),
        ("GetTask", vec![0, 0, 0, 0, 1, 0xff], "3"),
        // A compressed frame of which nobody said how.
        ("GetTask", vec![1, 0, 0, 0, 1, 0xff], "3"),
    ] {
        for form in [FORMS[0], FORMS[2]] {
            let answer = web(&gateway, method, form, body.clone()).await;
            assert_eq!(answer.headers()["grpc-status"], code, "{method} {form}");
        }
    }
    let broken = gateway.http.post(gateway.url(&format!("{SERVICE}/GetTask"))).header("content-type", FORMS[2]);
    let answer = broken.body("not base64!!").send().await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "3");
    let unknown = gateway.http.post(gateway.url("/no.Such/Nope")).header("content-type", FORMS[0]);
    let answer = unknown.body(vec![0; 5]).send().await.unwrap();
    assert_eq!(
        (&answer.headers()["grpc-status"], &answer.headers()["content-type"]),
        (&"12".parse().unwrap(), &FORMS[0].parse().unwrap())
    );
    let json = gateway
        .http
        .post(gateway.url(&format!("{SERVICE}/GetTask")))
        .header("content-type", "application/grpc-web+json");
    assert_eq!(json.body("{}").send().await.unwrap().status(), 415);
}

async fn ask(gateway: &Gateway, verb: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let request = gateway.http.request(verb, gateway.url(path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body.to_owned()).send().await.unwrap()
}

fn preflight(origin: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,a2a-version,a2a-extensions,x-a2a-extensions,x-grpc-web,authorization",
        ),
    ]
}

const PATHS: [&str; 8] = [
    "/",
    "/a2a",
    "/agents/echo/a2a",
    "/message:send",
    "/v1/message:stream",
    "/tasks/t-1/pushNotificationConfigs/c",
    "/lf.a2a.v1.A2AService/SendMessage",
    "/a2a.v1.A2AService/GetTask",
];

#[tokio::test]
async fn named_origins_may_come_from_public_networks_into_private_ones() {
    for (origins, expected) in [(APP, true), ("*", false)] {
        let gateway = start(&[("server.cors_origins", origins)]).await;
        let asked = [&preflight(APP)[..], &[("access-control-request-private-network", "true")]].concat();
        for (headers, expected) in [(&asked[..], expected), (&preflight(APP)[..], false)] {
            let answer = ask(&gateway, Method::OPTIONS, "/a2a", headers, "").await;
            let told = answer.headers().get("access-control-allow-private-network");
            assert_eq!(told.is_some_and(|value| value == "true"), expected, "{origins}");
        }
    }
}

fn allowed(answer: &Response) -> Option<&str> {
    answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn pages_of_the_named_origins_may_use_every_door_and_others_none() {
    let gateway = start(&[("server.cors_origins", "https://APP.example.com:443/, http://localhost:5173")]).await;
    for path in PATHS {
        for origin in [APP, "http://localhost:5173"] {
            let answer = ask(&gateway, Method::OPTIONS, path, &preflight(origin), "").await;
            assert_eq!((answer.status().as_u16(), allowed(&answer)), (200, Some(origin)), "{path}");
            let value = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            for header in
                ["content-type", "a2a-version", "a2a-extensions", "x-a2a-extensions", "x-grpc-web", "authorization"]
            {
                assert!(value("access-control-allow-headers").contains(header), "{path}");
            }
            for verb in ["GET", "POST", "DELETE"] {
                assert!(value("access-control-allow-methods").contains(verb), "{path}");
            }
            assert_eq!(value("access-control-max-age"), "3600");
            assert!(value("vary").contains("origin"), "{path}");
            assert!(answer.headers().get("access-control-allow-credentials").is_none());
        }
        for origin in ["https://evil.example.com", "http://app.example.com", "null"] {
            let answer = ask(&gateway, Method::OPTIONS, path, &preflight(origin), "").await;
            assert_eq!(allowed(&answer), None, "{path} {origin}");
        }
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage",
        "params": {"message": gateway.client(Door::V1).message("hello")}})
    .to_string();
    let headers = [("origin", APP), ("content-type", "application/json")];
    let answer = ask(&gateway, Method::POST, "/a2a", &headers, &body).await;
    assert_eq!(
        (allowed(&answer), &answer.headers()["content-type"]),
        (Some(APP), &"text/event-stream".parse().unwrap())
    );
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
    for header in ["grpc-status", "grpc-message", "grpc-status-details-bin", "a2a-version"] {
        assert!(exposed.contains(header), "{exposed}");
    }
    let frames = Parser::default().push(&answer.bytes().await.unwrap());
    assert!(frames.last().unwrap().data.as_ref().unwrap().contains("TASK_STATE_COMPLETED"));

    let request = frame(&door::grpc::request(&say("hello")));
    let answer = web(&gateway, "SendMessage", FORMS[0], request).await;
    assert_eq!(allowed(&answer), Some(APP));
    // The card varies by more than the origin.
    let card = ask(&gateway, Method::GET, "/.well-known/agent-card.json", &[("origin", APP)], "").await;
    let vary: Vec<_> = card.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.contains(&"A2A-Version") && vary.join(",").contains("origin"), "{vary:?}");
    // An error is the page's to read too.
    let missing = ask(&gateway, Method::GET, "/tasks/t-1", &[("origin", APP)], "").await;
    assert_eq!((missing.status().as_u16(), allowed(&missing)), (404, Some(APP)));
}

#[tokio::test]
async fn without_origins_nothing_is_said_of_them_and_a_star_is_for_all() {
    let gateway = start(&[]).await;
    for path in PATHS {
        let answer = ask(&gateway, Method::OPTIONS, path, &preflight(APP), "").await;
        assert!(!answer.status().is_success(), "{path}");
        assert_eq!(allowed(&answer), None, "{path}");
    }
    let answer = ask(&gateway, Method::GET, "/.well-known/agent-card.json", &[("origin", APP)], "").await;
    assert_eq!((allowed(&answer), answer.headers().get("access-control-expose-headers")), (None, None));

    let open = start(&[("server.cors_origins", "*")]).await;
    for origin in [APP, "https://anyone.test"] {
        let answer = ask(&open, Method::OPTIONS, "/a2a", &preflight(origin), "").await;
        assert_eq!((answer.status().as_u16(), allowed(&answer)), (200, Some("*")));
    }
}

#[tokio::test]
async fn long_json_is_compressed_for_who_takes_it_and_streams_never() {
    let gateway = start(&[]).await;
    let task = gateway.client(Door::V1).send(say(&"long ".repeat(1000))).await.unwrap().task();
    let short = gateway.client(Door::V1).send(say("hello")).await.unwrap().task();
    let path = format!("/tasks/{}", task.id);
    let plain = ask(&gateway, Method::GET, &path, &[], "").await;
    assert!(plain.headers().get("content-encoding").is_none());
    assert!(plain.headers().contains_key("content-length"));
    let expected = plain.text().await.unwrap();
    let gzip = [("accept-encoding", "gzip, deflate")];
    let answer = ask(&gateway, Method::GET, &path, &gzip, "").await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(answer.headers()["vary"].to_str().unwrap().contains("accept-encoding"));
    let packed = answer.bytes().await.unwrap();
    assert!(packed.len() < expected.len() / 10);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, expected);

    let answer = ask(&gateway, Method::GET, &format!("/tasks/{}", short.id), &gzip, "").await;
    assert!(answer.headers().get("content-encoding").is_none(), "a short answer");
    let client = gateway.client(Door::V1);
    let call = |method: &str, text: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": client.message(text)}}).to_string()
    };
    let long = "long ".repeat(1000);
    let answer = ask(&gateway, Method::POST, "/a2a", &gzip, &call("SendMessage", &long)).await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let answer = ask(&gateway, Method::POST, "/a2a", &gzip, &call("SendStreamingMessage", &long)).await;
    assert!(answer.headers().get("content-encoding").is_none(), "a stream");
    assert!(answer.text().await.unwrap().starts_with("id: 1\n"));
}

#[tokio::test]
async fn grpc_takes_and_gives_gzip_and_the_limit_is_that_of_what_is_unpacked() {
    let gateway = start(&[("server.max_body", "64KiB")]).await;
    let mut packing = gateway.client(Door::A2aGrpc).a2a().send_compressed(Gzip).accept_compressed(Gzip);
    let long = "long ".repeat(1000);
    let answer = packing.send_message(door::grpc::request(&say(&long))).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    let task = door::grpc::task(answer.into_inner());
    assert_eq!(task.artifacts, [format!("Echo: {long}")]);
    let mut stream = packing.send_streaming_message(door::grpc::request(&say("burst: 3"))).await.unwrap();
    assert_eq!(stream.metadata().get("grpc-encoding").unwrap(), "gzip");
    let mut events = 0;
    while stream.get_mut().message().await.unwrap().is_some() {
        events += 1;
    }
    assert_eq!(events, 6);
    // Who does not ask gets none.
    let mut plain = gateway.client(Door::A2aGrpc).a2a();
    let answer = plain.send_message(door::grpc::request(&say(&long))).await.unwrap();
    assert!(answer.metadata().get("grpc-encoding").is_none());

    let bomb = "x".repeat(1024 * 1024);
    let refused = packing.send_message(door::grpc::request(&say(&bomb))).await.unwrap_err();
    assert!(door::grpc::fault(refused).is(&REQUEST_TOO_LARGE).message.contains("65536"));
    let mut v03 = gateway.client(Door::Grpc03).a2a_v03().send_compressed(Gzip);
    let refused = v03.send_message(door::grpc_v03::request(&say(&bomb))).await.unwrap_err();
    door::grpc_v03::fault(refused).is(&REQUEST_TOO_LARGE);
    v03.send_message(door::grpc_v03::request(&say(&long))).await.unwrap();
}
