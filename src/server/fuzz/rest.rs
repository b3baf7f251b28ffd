//! The REST doors: 1.0 and 0.3.

use axum::body::Body;
use http::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, Rig, are_details, headers, is_message, jsonrpc};
use crate::wire::fuzz::{changed, changes, noise, run, slipped, slips};

/// A request as text: verb, path with query, body.
type Asked = (Method, String, Vec<u8>);

fn v1() -> Vec<(Method, &'static str, Value)> {
    let message = json!({"messageId": "m", "role": "ROLE_USER", "metadata": {"a": 1}, "parts": [{"text": "hello"},
        {"data": {"a": [1]}}, {"raw": "AAEC", "mediaType": "a/b", "filename": "f"}, {"url": "http://a"}]});
    let configuration = json!({"acceptedOutputModes": ["text/plain"], "historyLength": 1, "returnImmediately": true});
    let send = json!({"message": message, "configuration": configuration, "metadata": {}});
    let config = json!({"id": "c", "url": "http://h", "authentication": {"scheme": "Bearer", "credentials": "x"}});
    vec![
        (Method::POST, "/message:send", send.clone()),
        (Method::POST, "/message:stream", send.clone()),
        (Method::POST, "/agents/echo/message:send", send),
        (Method::POST, "/tasks/t:cancel", json!({"metadata": {}})),
        (Method::POST, "/tasks/t:subscribe", json!({})),
        (Method::POST, "/tasks/t/pushNotificationConfigs", config),
        (Method::GET, "/tasks/t?historyLength=2", Value::Null),
        (
            Method::GET,
            "/tasks?contextId=c&status=TASK_STATE_WORKING&pageSize=5&pageToken=&historyLength=1&includeArtifacts=true\
             &statusTimestampAfter=2026-01-02T03:04:05%2B01:00&A2A-Version=1.0",
            Value::Null,
        ),
        (Method::DELETE, "/tasks/t/pushNotificationConfigs/c", Value::Null),
        (Method::GET, "/acme/extendedAgentCard", Value::Null),
    ]
}

fn v03() -> Vec<(Method, &'static str, Value)> {
    let message = json!({"messageId": "m", "role": "ROLE_USER", "content": [{"text": "hello"},
        {"data": {"data": {"a": 1}}}, {"file": {"fileWithBytes": "QUFFQw==", "mimeType": "a/b", "name": "f"}}]});
    let send = json!({"message": message, "configuration": {"historyLength": 1}, "metadata": {}});
    let config = json!({"parent": "tasks/t", "configId": "c", "config": {"name": "tasks/t/pushNotificationConfigs/c",
        "pushNotificationConfig": {"id": "c", "url": "http://h", "authentication": {"schemes": ["Bearer"]}}}});
    vec![
        (Method::POST, "/v1/message:send", send.clone()),
        (Method::POST, "/v1/message:stream", send.clone()),
        (Method::POST, "/agents/echo/v1/message:send", send),
        (Method::POST, "/v1/tasks/t:cancel", json!({"name": "tasks/t"})),
        (Method::GET, "/v1/tasks/t:subscribe", Value::Null),
        (Method::POST, "/v1/tasks/t/pushNotificationConfigs", config),
        (Method::GET, "/v1/tasks/t?history_length=2", Value::Null),
        (Method::GET, "/v1/tasks?contextId=c&pageSize=5&lastUpdatedTime=2026-01-02T03:04:05Z", Value::Null),
        (Method::GET, "/v1/card", Value::Null),
    ]
}

/// Pieces of odd paths and queries.
const ODD: [&str; 26] = [
    "%",
    "%zz",
    "%00",
    "%FF",
    "%ed%a0%80",
    "%2F",
    "%3Acancel",
    ":cancel",
    ":subscribe",
    "/",
    "//",
    "..",
    "&",
    "=",
    "?",
    "+",
    "%2B",
    "~",
    ":",
    "tasks",
    "v1",
    "agents",
    "pushNotificationConfigs",
    "-1",
    "1e9",
    "{}",
];

/// Characters that a path or query may hold without more ado.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '#' | '"' | '<' | '>' | '\\' | '^' | '`' | '|')
}

/// The path and query with pieces put in and taken out.
fn paths(path: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(&ODD[..]).prop_map(str::to_owned),
        1 => "[!-~]{0,5}".prop_map(|text| text.chars().filter(|c| is_plain(*c)).collect()),
        1 => Just("x".repeat(400)),
    ];
    let change = (any::<prop::sample::Index>(), 0..4_usize, piece);
    let spoiled = prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut text = path.to_owned();
        for (at, out, piece) in changes {
            let at = 1 + at.index(text.len());
            let at = at.min(text.len());
            let end = (at + out).min(text.len());
            text.replace_range(at..end, &piece);
        }
        text
    });
    prop_oneof![1 => Just(path.to_owned()), 1 => spoiled]
}

fn requests(valid: Vec<(Method, &'static str, Value)>) -> impl Strategy<Value = Asked> {
    let verbs = vec![Method::GET, Method::POST, Method::DELETE, Method::PUT, Method::HEAD, Method::OPTIONS];
    let verb = prop_oneof![6 => Just(None), 1 => prop::sample::select(verbs).prop_map(Some)].boxed();
    prop::sample::select(valid).prop_flat_map(move |(own, path, value)| {
        let spoiled = (changes(), slips()).prop_map(move |(changes, slips)| match &value {
            Value::Null if changes.is_empty() => Vec::new(),
            value => slipped(&changed(value.clone(), &changes).to_string(), &slips),
        });
        let body = prop_oneof![6 => spoiled, 1 => noise()];
        (verb.clone().prop_map(move |verb| verb.unwrap_or_else(|| own.clone())), paths(path), body)
    })
}

/// Checks an error's body: 1.0's or 0.3's.
fn is_error(status: u16, body: &Value) {
    let (details, unnamed) = if let Some(error) = body.get("error") {
        assert_eq!((body.as_object().unwrap().len(), &error["code"]), (1, &json!(status)), "{body}");
        assert!(error["status"].as_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
        is_message(&error["message"]);
        (error.get("details"), false)
    } else {
        assert!(
            body["code"].as_i64().is_some_and(|code| (-32700..=-32000).contains(&code) && code != -32603),
            "{body}"
        );
        is_message(&body["message"]);
        (body.get("data").map(|data| &data["details"]), body["code"] == -32700)
    };
    match details {
        Some(details) => are_details(details),
        // Where there is nothing, another verb, or no JSON at all in 0.3: A2A has no name for it.
        None => assert!([404, 405].contains(&status) || unnamed, "{status} {body}"),
    }
}

fn check(head: bool, answer: &Answer) {
    let status = answer.status.as_u16();
    if head {
        assert!(status < 500 || status == 501, "{status}");
        return;
    }
    if answer.media.ends_with("json") && answer.json().get("jsonrpc").is_some() {
        // A path has become one of JSON-RPC's.
        assert!([200, 415].contains(&status), "{status}");
        return jsonrpc::is_answer(&answer.json(), false);
    }
    match (status, answer.media.as_str()) {
        (200, "text/event-stream") => assert!(!answer.events().is_empty()),
        (200, "application/json" | "application/a2a+json") => drop(answer.json()),
        // The gateway's own pages, where a path has become one of theirs.
        (200 | 404 | 405, media) if !media.ends_with("json") => assert!(!answer.text().contains("panicked")),
        (400..=499 | 501, "application/json" | "application/a2a+json") => is_error(status, &answer.json()),
        other => panic!("{other:?}: {}", answer.text()),
    }
}

fn door(valid: Vec<(Method, &'static str, Value)>) {
    let rig = Rig::start();
    run(200, &(requests(valid), headers()), |((verb, path, body), headers)| {
        let head = verb == Method::HEAD;
        let mut request = Request::builder().method(verb).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        // Not every text is a URI: then there is no request.
        let Ok(request) = request.body(Body::from(body)) else { return };
        let is_grpc = |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        let grpc = request.headers().get("content-type").is_some_and(is_grpc);
        let answer = rig.ask(request);
        if grpc && answer.media.starts_with("application/grpc") {
            assert_eq!(answer.status, 200);
        } else {
            check(head, &answer);
        }
    });
    rig.end();
}

#[test]
fn requests_of_1_0_are_answered_whatever_they_hold() {
    door(v1());
}

#[test]
fn requests_of_0_3_are_answered_whatever_they_hold() {
    door(v03());
}
