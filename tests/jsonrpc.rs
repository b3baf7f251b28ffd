//! The JSON-RPC envelope and its HTTP: errors of the envelope, ids, batches, content types, and the bytes of streams.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;
mod support;

use std::sync::Arc;

use a2a_gateway::agent::Recovery;
use door::{json::members, sse::Parser, *};
use futures::StreamExt as _;
use serde_json::{Value, json};
use support::{scripted, status};

/// Posts text to the common path; the answer must be JSON with HTTP 200.
async fn post(gateway: &Gateway, body: impl Into<String>) -> Value {
    let response = gateway.client(Door::V03).post(body.into(), &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

/// Checks an answer that is an error without details.
#[track_caller]
fn refused(answer: &Value, id: &Value, code: i32) {
    members(answer, &["jsonrpc", "id", "error"], &[]);
    members(&answer["error"], &["code", "message"], &[]);
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), id), "{answer}");
    assert_eq!(answer["error"]["code"], code, "{answer}");
    assert_ne!(answer["error"]["message"], "");
}

fn echo(id: &Value, text: &str) -> Value {
    let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]});
    json!({"jsonrpc": "2.0", "id": id, "method": "SendMessage", "params": {"message": message}})
}

#[tokio::test]
async fn what_is_not_a_request_gets_the_errors_of_json_rpc() {
    let gateway = Gateway::start().await;
    for (body, id, code) in [
        ("not json", json!(null), -32700),
        ("", json!(null), -32700),
        ("{\"jsonrpc\":\"2.0\",", json!(null), -32700),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"GetTask\"} trailing", json!(null), -32700),
        ("7", json!(null), -32600),
        ("{}", json!(null), -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"GetTask"}"#, json!(1), -32600),
        (r#"{"id":"a","method":"GetTask"}"#, json!("a"), -32600),
        (r#"{"jsonrpc":"2.0","id":"a"}"#, json!("a"), -32600),
        (r#"{"jsonrpc":"2.0","id":"a","method":5}"#, json!("a"), -32600),
        (r#"{"jsonrpc":"2.0","id":"a","method":"nope"}"#, json!("a"), -32601),
        (r#"{"jsonrpc":"2.0","id":"a","method":"gettask","params":{"id":"t"}}"#, json!("a"), -32601),
    ] {
        for path in ["/a2a", "/praisonai/a2a"] {
            let response = gateway.http.post(gateway.url(path)).body(body).send().await.unwrap();
            assert_eq!(response.status(), 200, "{body}");
            refused(&response.json().await.unwrap(), &id, code);
        }
    }
    let nope = post(&gateway, r#"{"jsonrpc":"2.0","id":"a","method":"nope"}"#).await;
    assert_eq!(nope["error"]["message"], "Method not found: nope");
    let old = post(&gateway, r#"{"jsonrpc":"1.0","id":"a","method":"tasks/get"}"#).await;
    assert_eq!(old["error"]["message"], "Invalid Request: jsonrpc must be '2.0'");
}

#[tokio::test]
async fn ids_come_back_as_they_were_sent() {
    let gateway = Gateway::start().await;
    for id in [
        json!("a"),
        json!("1"),
        json!(""),
        json!(1),
        json!(0),
        json!(-7),
        json!(9_007_199_254_740_993_i64),
        json!(null),
    ] {
        let answer = post(&gateway, echo(&id, "hello").to_string()).await;
        members(&answer, &["jsonrpc", "id", "result"], &[]);
        assert_eq!(answer["id"], id);
        let failed = json!({"jsonrpc": "2.0", "id": id, "method": "GetTask", "params": {"id": "t"}});
        let answer = post(&gateway, failed.to_string()).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(-32001)));
    }
    let mut absent = echo(&json!(1), "hello");
    absent.as_object_mut().unwrap().remove("id");
    let answer = post(&gateway, absent.to_string()).await;
    members(&answer, &["jsonrpc", "id", "result"], &[]);
    assert_eq!(answer["id"], json!(null));
    let tasks = gateway.count().await;
    for id in [json!(1.5), json!(true), json!({}), json!([1]), json!("x".repeat(2000))] {
        refused(&post(&gateway, echo(&id, "hello").to_string()).await, &json!(null), -32600);
    }
    assert_eq!(gateway.count().await, tasks);
    // Every event of a stream repeats the id with its type.
    let mut stream = echo(&json!(7), "hello");
    stream["method"] = "SendStreamingMessage".into();
    let text = gateway.client(Door::V1).post(stream.to_string(), &[]).await.text().await.unwrap();
    let frames = Parser::default().push(text.as_bytes());
    assert_eq!(frames.len(), 4);
    for frame in frames {
        let data: Value = serde_json::from_str(&frame.data.unwrap()).unwrap();
        assert_eq!(data["id"], json!(7));
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_each_request_by_itself() {
    let gateway = Gateway::start().await;
    let stream = json!({"jsonrpc": "2.0", "id": "s", "method": "message/stream", "params": {}});
    let subscribe = json!({"jsonrpc": "2.0", "id": "w", "method": "SubscribeToTask", "params": {"id": "t"}});
    let get = json!({"jsonrpc": "2.0", "id": "g", "method": "tasks/get", "params": {"id": "t"}});
    let batch = json!([echo(&json!(1), "burst: 2000"), stream, 5, get, subscribe, echo(&json!("z"), "second")]);
    let answers = post(&gateway, batch.to_string()).await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 6);
    let state = &answers[0]["result"]["task"]["status"]["state"];
    assert_eq!((&answers[0]["id"], state), (&json!(1), &json!("TASK_STATE_COMPLETED")));
    refused(&answers[1], &json!("s"), -32600);
    refused(&answers[2], &json!(null), -32600);
    assert_eq!((&answers[3]["id"], &answers[3]["error"]["code"]), (&json!("g"), &json!(-32001)));
    refused(&answers[4], &json!("w"), -32600);
    let text = &answers[5]["result"]["task"]["artifacts"][0]["parts"][0]["text"];
    assert_eq!((&answers[5]["id"], text), (&json!("z"), &json!("Echo: second")));
    assert_eq!(gateway.count().await, 2);

    refused(&post(&gateway, "[]").await, &json!(null), -32600);
    refused(&post(&gateway, "[1,").await, &json!(null), -32700);
    let one = post(&gateway, json!([get]).to_string()).await;
    assert_eq!(one.as_array().unwrap().len(), 1);
    let many: Vec<_> = (0..51).map(|i| echo(&json!(i), "hello")).collect();
    refused(&post(&gateway, json!(many).to_string()).await, &json!(null), -32600);
    assert_eq!(gateway.count().await, 2, "a batch that is too large was carried out");
    assert_eq!(post(&gateway, json!(many[..50]).to_string()).await.as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn json_is_taken_under_its_names_and_nothing_else_is() {
    let gateway = Gateway::start().await;
    let send = async |content_type: Option<&str>, path: &str| {
        let post = gateway.http.post(gateway.url(path)).body(echo(&json!(1), "hello").to_string());
        let post = content_type.into_iter().fold(post, |post, value| post.header("content-type", value));
        post.send().await.unwrap()
    };
    for path in ["/a2a", "/a2a/", "/"] {
        let types = ["application/json", "application/json; charset=utf-8", "application/a2a+json", "APPLICATION/JSON"];
        for content_type in types.map(Some).into_iter().chain([None]) {
            let response = send(content_type, path).await;
            assert_eq!(response.status(), 200, "{content_type:?} {path}");
            assert_eq!(response.headers()["content-type"], "application/json");
            let answer: Value = response.json().await.unwrap();
            assert_eq!(answer["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
        }
    }
    let tasks = gateway.count().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let response = send(Some(content_type), "/a2a").await;
        assert_eq!(response.status(), 415, "{content_type}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(null), &json!(-32005)));
    }
    assert_eq!(gateway.count().await, tasks);
    // What a page of any origin can send without having asked: a body without a type.
    for origin in ["http://evil.test", "null"] {
        let post = gateway.http.post(gateway.url("/a2a")).body(echo(&json!(1), "hello").to_string());
        assert_eq!(post.header("origin", origin).send().await.unwrap().status(), 415, "{origin}");
    }
    assert_eq!(gateway.count().await, tasks);
    for path in ["/praisonai/a2a", "/praisonai/a2a/"] {
        let praison = json!({"jsonrpc": "2.0", "id": 1, "method": "tasks/list"});
        let response = gateway.http.post(gateway.url(path)).body(praison.to_string()).send().await.unwrap();
        assert!(response.json::<Value>().await.unwrap()["result"].is_array(), "{path}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_as_such() {
    let gateway = Gateway::start().await;
    let post = gateway.http.post(gateway.url("/a2a")).header("content-type", "application/json");
    let response = post.header("content-encoding", "gzip").body("\u{1f}").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["accept-encoding"]),
        (415, &"identity".parse().unwrap())
    );
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"]["code"], -32005);
    assert!(answer["error"]["message"].as_str().unwrap().contains("Content-Encoding"), "{answer}");
}

#[tokio::test]
async fn other_verbs_and_paths_are_told_what_there_is() {
    let gateway = Gateway::start().await;
    for path in ["/a2a", "/a2a/", "/praisonai/a2a"] {
        let response = gateway.http.get(gateway.url(path)).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"POST".parse().unwrap()),
            "{path}"
        );
        assert_eq!(gateway.http.delete(gateway.url(path)).send().await.unwrap().status(), 405);
    }
    let response = gateway.http.get(gateway.url("/nothing/here")).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let body: Value = response.json().await.unwrap();
    assert!(body["error"]["paths"].as_array().unwrap().contains(&json!("POST /a2a")));
    let welcome = gateway.http.get(gateway.url("/")).send().await.unwrap();
    assert_eq!(welcome.status(), 200);
    assert!(welcome.text().await.unwrap().contains("POST /a2a"));
}

#[tokio::test]
async fn a_silent_stream_keeps_alive_with_a_comment_and_no_empty_line() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[("server.sse_keepalive", "100ms")]).await;
    for door in Door::JSON {
        let client = gateway.client(door);
        let id = client.send(say_at_once("go")).await.unwrap().task().id;
        let turn = script.turn().await;
        let method = if door == Door::V1 { "SubscribeToTask" } else { "tasks/resubscribe" };
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"id": id}});
        let response = client.post(body.to_string(), &[("accept", "text/event-stream")]).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut bytes = response.bytes_stream();
        let (mut parser, mut text, mut frames) = (Parser::default(), Vec::new(), Vec::new());
        let mut said = false;
        while let Some(chunk) = tokio::time::timeout(PATIENCE, bytes.next()).await.unwrap() {
            let chunk = chunk.unwrap();
            frames.extend(parser.push(&chunk));
            text.extend_from_slice(&chunk);
            if parser.pings >= 2 && !said {
                turn.say(status(a2a_gateway::proto::a2a::TaskState::Completed)).await;
                said = true;
            }
        }
        // The parser has checked that no keep-alive is followed by an empty line.
        parser.finish();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(": ping\n: ping\n"), "{door:?}: {text}");
        assert!(!text.contains(": ping\n\n") && !text.contains('\r'), "{door:?}: {text}");
        // The task, or nothing for PraisonAI; the status; and PraisonAI's last event.
        assert_eq!(frames.len(), 2, "{door:?}: {text}");
    }
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_an_error_that_says_to_come_again() {
    for door in Door::WATCH {
        let (agent, mut script) = scripted(Recovery::Continue);
        let gateway = Gateway::start_with(vec![("a".into(), Arc::clone(&agent))], &[]).await;
        let client = gateway.client(door);
        let id = client.send(say_at_once("go")).await.unwrap().task().id;
        let turn = script.turn().await;
        let mut watch = client.watch(&id, None).await.unwrap();
        watch.item().await;
        let stopping = tokio::spawn(gateway.stop());
        let fault = watch.next().await.expect("an error before the end").unwrap_err();
        let unavailable = match door {
            Door::Gateway | Door::A2aGrpc | Door::Grpc03 => tonic::Code::Unavailable as i32,
            Door::Rest => 503,
            _ => -32603,
        };
        assert_eq!(fault.code, unavailable, "{door:?}: {fault:?}");
        assert_eq!(fault.info.unwrap().reason, "UNAVAILABLE", "{door:?}");
        assert!(watch.next().await.is_none(), "{door:?}");
        drop((watch, client));
        stopping.await.unwrap();
        turn.dropped().await;
    }
}

#[tokio::test]
async fn a_refused_stream_is_an_event_for_old_clients_and_gos_and_plain_json_for_those_who_name_their_version() {
    let gateway = Gateway::start().await;
    let call =
        |method: &str| json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": {"id": "nope"}}).to_string();
    let events = "text/event-stream";
    let go = Some(("Go-http-client/1.1", events));
    for (path, method, version, client, event) in [
        ("/a2a", "tasks/resubscribe", None, None, true),
        ("/a2a", "tasks/resubscribe", Some("0.3"), None, false),
        ("/a2a", "tasks/resubscribe", Some("0.3"), go, true),
        ("/a2a", "SubscribeToTask", None, None, false),
        ("/a2a", "SubscribeToTask", Some("1.0"), Some(("node", events)), false),
        ("/a2a", "SubscribeToTask", Some("1.0"), go, true),
        // Made with Go, but by somebody who reads JSON too.
        (
            "/a2a",
            "SubscribeToTask",
            Some("1.0"),
            Some(("Go-http-client/2.0", "application/json, text/event-stream")),
            false,
        ),
        ("/a2a", "SubscribeToTask", Some("1.0"), Some(("Go-http-client/2.0", "*/*")), false),
        ("/praisonai/a2a", "SubscribeToTask", None, go, false),
    ] {
        let mut request = gateway.http.post(gateway.url(path)).body(call(method));
        if let Some(version) = version {
            request = request.header("A2A-Version", version);
        }
        if let Some((agent, accept)) = client {
            request = request.header("User-Agent", agent).header("Accept", accept);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let expected = if event { "text/event-stream" } else { "application/json" };
        assert_eq!(response.headers()["content-type"], expected, "{method} {version:?}");
        let text = response.text().await.unwrap();
        let text = if event { text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap() } else { &text };
        let answer: Value = serde_json::from_str(text).unwrap();
        let code = if path == "/a2a" { -32001 } else { -32000 };
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(code)), "{method} {version:?}");
        assert!(answer.get("result").is_none());
    }
}
