//! What only REST has: paths, verbs, queries, media types, statuses and the bodies of its errors, in both versions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;
mod support;

use a2a_gateway::{
    agent::Recovery,
    engine::{Caller, WebhookFilter},
    proto::a2a::TaskState::{Completed, Working},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use door::{json::members, push::hook, sse::Parser, *};
use futures::StreamExt as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use support::{chunk, scripted, status};

const NOBODYS: &str = "01234567-89ab-7cde-8f01-23456789abcd";

async fn ask(gateway: &Gateway, verb: &Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let request = gateway.http.request(verb.clone(), gateway.url(path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = if body.is_empty() { request } else { request.body(body.to_owned()) };
    request.send().await.unwrap()
}

async fn get(gateway: &Gateway, path: &str) -> (u16, Value) {
    json_of(ask(gateway, &Method::GET, path, &[], "").await).await
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    json_of(ask(gateway, &Method::POST, path, &[("content-type", "application/json")], &body.to_string()).await).await
}

async fn json_of(response: Response) -> (u16, Value) {
    assert_eq!(response.headers()["content-type"], "application/json");
    (response.status().as_u16(), response.json().await.unwrap())
}

fn v1(text: &str) -> Value {
    json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}})
}

fn v03(text: &str) -> Value {
    json!({"message": {"messageId": "m", "role": "ROLE_USER", "content": [{"text": text}]}})
}

/// The fields that an error of 1.0 names.
fn fields(body: &Value) -> Vec<&str> {
    let violations = body["error"]["details"][1]["fieldViolations"].as_array().unwrap().iter();
    violations.map(|violation| violation["field"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn errors_have_the_body_of_their_version() {
    let gateway = Gateway::start().await;
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND",
        "domain": "a2a-protocol.org", "metadata": {"taskId": "t-9"}});
    let message = "Task not found: t-9";
    let expected = json!({"error": {"code": 404, "status": "NOT_FOUND", "message": message, "details": [info]}});
    assert_eq!(get(&gateway, "/tasks/t-9").await, (404, expected));
    let expected = json!({"code": -32001, "message": message, "data": {"details": [info]}});
    assert_eq!(get(&gateway, "/v1/tasks/t-9").await, (404, expected));

    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_PARAMS",
        "domain": "a2a-protocol.org"});
    let bad = json!({"@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "message", "description": "is required"}]});
    let message = "message is required";
    let status = "INVALID_ARGUMENT";
    let expected = json!({"error": {"code": 400, "status": status, "message": message, "details": [info, bad]}});
    assert_eq!(post(&gateway, "/message:send", &json!({})).await, (400, expected));
    let expected = json!({"code": -32602, "message": message, "data": {"details": [info, bad]}});
    assert_eq!(post(&gateway, "/v1/message:send", &json!({})).await, (422, expected));
}

#[tokio::test]
async fn no_cache_keeps_what_tasks_are() {
    let gateway = Gateway::start().await;
    let id = gateway.client(Door::V1).send(say("hello")).await.unwrap().task().id;
    for path in [format!("/tasks/{id}"), format!("/v1/tasks/{id}"), "/tasks".into(), "/tasks/t-9".into()] {
        let response = ask(&gateway, &Method::GET, &path, &[], "").await;
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    }
    let response = ask(&gateway, &Method::PUT, "/tasks", &[], "").await;
    assert_eq!((response.status().as_u16(), &response.headers()["cache-control"]), (405, &"no-store".parse().unwrap()));
}

#[tokio::test]
async fn other_verbs_are_told_those_that_there_are() {
    let gateway = Gateway::start().await;
    let verbs = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for (path, allowed) in [
        ("/message:send", "POST"),
        ("/message:stream", "POST"),
        ("/tasks", "GET, HEAD"),
        ("/tasks/t", "GET, HEAD"),
        ("/tasks/t:cancel", "POST"),
        ("/tasks/t:subscribe", "GET, POST"),
        ("/tasks/t/pushNotificationConfigs", "GET, HEAD, POST"),
        ("/tasks/t/pushNotificationConfigs/c", "GET, HEAD, DELETE"),
    ] {
        for prefix in ["", "/acme", "/agents/echo", "/v1", "/agents/echo/v1"] {
            let path = format!("{prefix}{path}");
            for verb in verbs.iter().filter(|verb| !allowed.split(", ").any(|allowed| allowed == verb.as_str())) {
                let response = ask(&gateway, verb, &path, &[], "").await;
                assert_eq!(response.status(), 405, "{verb} {path}");
                assert_eq!(response.headers()["allow"], allowed, "{verb} {path}");
                if verb == Method::HEAD {
                    continue;
                }
                let (_, body) = json_of(response).await;
                let message = format!("this path takes {allowed}");
                let expected = if prefix.ends_with("/v1") {
                    json!({"code": -32601, "message": message})
                } else {
                    json!({"error": {"code": 405, "status": "UNIMPLEMENTED", "message": message}})
                };
                assert_eq!(body, expected, "{verb} {path}");
            }
            for verb in allowed.split(", ") {
                let response = ask(&gateway, &verb.parse().unwrap(), &path, &[], "").await;
                assert_ne!(response.status(), 405, "{verb} {path}");
            }
        }
    }
    let whole = ask(&gateway, &Method::GET, "/tasks", &[], "").await;
    let length = whole.headers()["content-length"].clone();
    let head = ask(&gateway, &Method::HEAD, "/tasks", &[], "").await;
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &length));
    assert_eq!(head.text().await.unwrap(), "");
}

#[tokio::test]
async fn other_paths_are_nothing_and_the_gateways_own_are_not_shadowed() {
    let gateway = Gateway::start().await;
    for path in ["/message:other", "/tasks/t/other", "/a/b/tasks", "/a2a/tasks", "/metrics/tasks", "/agents//tasks"] {
        let (status, body) = get(&gateway, path).await;
        assert_eq!((status, &body["error"]["code"], &body["error"]["status"]), (404, &json!(404), &json!("NOT_FOUND")));
        assert!(body["error"]["paths"].as_array().unwrap().contains(&json!("POST /message:send")), "{path}");
    }
    for path in ["/v1", "/v1/other", "/v1/acme/tasks", "/agents/echo/v1/nothing"] {
        let expected = json!({"code": -32601, "message": "there is nothing at this path"});
        assert_eq!(get(&gateway, path).await, (404, expected), "{path}");
    }
    for path in ["/", "/healthz", "/readyz", "/metrics", "/status", "/.well-known/agent-card.json"] {
        assert_eq!(ask(&gateway, &Method::GET, path, &[], "").await.status(), 200, "{path}");
    }
    let grpc = [("content-type", "application/grpc")];
    for path in ["/tasks", "/message:send", "/v1/message:send"] {
        let response = ask(&gateway, &Method::POST, path, &grpc, "").await;
        assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"12".parse().unwrap()));
    }
}

#[tokio::test]
async fn json_is_taken_under_its_names_and_nothing_else_is() {
    let gateway = Gateway::start().await;
    for (path, body) in [("/message:send", v1("hello")), ("/v1/message:send", v03("hello"))] {
        let send = async |content_type: Option<&str>| {
            let headers: Vec<_> = content_type.iter().map(|value| ("content-type", *value)).collect();
            ask(&gateway, &Method::POST, path, &headers, &body.to_string()).await
        };
        let types = ["application/json", "application/json; charset=utf-8", "application/a2a+json", "APPLICATION/JSON"];
        for content_type in types.map(Some).into_iter().chain([None]) {
            let (status, answer) = json_of(send(content_type).await).await;
            assert_eq!((status, answer["task"].is_object()), (200, true), "{content_type:?} {path}");
        }
        let tasks = gateway.count().await;
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let (status, answer) = json_of(send(Some(content_type)).await).await;
            assert_eq!(status, 415, "{content_type}");
            if path == "/message:send" {
                assert_eq!(
                    (&answer["error"]["code"], &answer["error"]["status"]),
                    (&json!(415), &json!("INVALID_ARGUMENT"))
                );
                assert_eq!(answer["error"]["details"][0]["reason"], "CONTENT_TYPE_NOT_SUPPORTED");
            } else {
                assert_eq!(answer["code"], -32005);
            }
        }
        // What a page of any origin can send without having asked: a body without a type.
        let page = ask(&gateway, &Method::POST, path, &[("origin", "http://evil.test")], &body.to_string()).await;
        assert_eq!(page.status(), 415, "{path}");
        let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
        let response = ask(&gateway, &Method::POST, path, &gzip, &body.to_string()).await;
        assert_eq!(response.headers()["accept-encoding"], "identity");
        let (status, answer) = json_of(response).await;
        assert_eq!(status, 415);
        assert!(answer.to_string().contains("Content-Encoding"), "{answer}");
        assert_eq!(gateway.count().await, tasks);
    }
    // Without a body there is nothing to be of a type.
    let id = gateway.client(Door::V1).send(say("ask: Who?")).await.unwrap().task().id;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let response = ask(&gateway, &Method::POST, &format!("/tasks/{id}:cancel"), &form, "").await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn answers_are_json_unless_a2as_own_type_is_preferred() {
    let gateway = Gateway::start().await;
    let media = async |path: &str, accept: &str| {
        let response = ask(&gateway, &Method::GET, path, &[("accept", accept)], "").await;
        response.headers()["content-type"].to_str().unwrap().to_owned()
    };
    for (accept, expected) in [
        ("*/*", "application/json"),
        ("application/json, application/a2a+json", "application/json"),
        ("application/a2a+json", "application/a2a+json"),
        ("application/a2a+json, application/json;q=0.5", "application/a2a+json"),
    ] {
        for path in ["/tasks", "/tasks/t-9"] {
            assert_eq!(media(path, accept).await, expected, "{path} {accept}");
            assert_eq!(media(&format!("/v1{path}"), accept).await, "application/json", "0.3 has no other: {accept}");
        }
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_by_either_version() {
    let gateway = Gateway::start().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let json = [("content-type", "application/json")];
    for body in ["not json", "{", "{} trailing", &deep, r#"{"message":1e999}"#] {
        let (status, answer) = json_of(ask(&gateway, &Method::POST, "/message:send", &json, body).await).await;
        assert_eq!((status, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{body}");
        assert_eq!(answer["error"]["details"][0]["reason"], "INVALID_PARAMS");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with("the body must be JSON"));
        let (status, answer) = json_of(ask(&gateway, &Method::POST, "/v1/message:send", &json, body).await).await;
        assert_eq!((status, &answer["code"]), (400, &json!(-32700)), "{body}");
        members(&answer, &["code", "message"], &[]);
    }
    for body in ["[]", "7", "\"text\"", "true"] {
        let (status, answer) = json_of(ask(&gateway, &Method::POST, "/message:send", &json, body).await).await;
        assert_eq!((status, fields(&answer)), (400, vec!["body"]), "{body}");
        let (status, answer) = json_of(ask(&gateway, &Method::POST, "/v1/message:send", &json, body).await).await;
        assert_eq!((status, &answer["code"]), (422, &json!(-32602)), "{body}");
    }
    let mut bytes = v1("ABC").to_string().into_bytes();
    let at = bytes.windows(3).position(|text| text == b"ABC").unwrap();
    bytes[at] = 0xff;
    let response = gateway.http.post(gateway.url("/message:send")).body(bytes).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(gateway.count().await, 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let echo = std::sync::Arc::new(a2a_gateway::agent::Echo);
    let gateway = Gateway::start_with(vec![("echo".into(), echo)], &[("server.max_body", "64KiB")]).await;
    let big = "x".repeat(65 * 1024);
    let (status, answer) = post(&gateway, "/message:send", &v1(&big)).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &json!(413)));
    assert_eq!(answer["error"]["details"][0]["reason"], "REQUEST_TOO_LARGE");
    assert!(answer["error"]["message"].as_str().unwrap().contains("65536"));
    let (status, answer) = post(&gateway, "/v1/message:stream", &v03(&big)).await;
    assert_eq!((status, &answer["code"]), (413, &json!(-32600)));
    assert_eq!(gateway.count().await, 0);
}

#[tokio::test]
async fn the_version_counts_by_header_and_by_query() {
    let gateway = Gateway::start().await;
    for (path, reason) in [("/tasks", "/error/details/0/reason"), ("/v1/tasks", "/data/details/0/reason")] {
        for version in ["1.0", "0.3", "0.3.0", ""] {
            let headers = [("a2a-version", version)];
            assert_eq!(ask(&gateway, &Method::GET, path, &headers, "").await.status(), 200, "{path} {version}");
            assert_eq!(get(&gateway, &format!("{path}?A2A-Version={version}")).await.0, 200, "{path} {version}");
        }
        for query in ["?A2A-Version=99.0", "?pageSize=1&a2a-version=2"] {
            let (status, answer) = get(&gateway, &format!("{path}{query}")).await;
            assert_eq!((status, answer.pointer(reason)), (400, Some(&json!("VERSION_NOT_SUPPORTED"))), "{path}{query}");
        }
    }
}

#[tokio::test]
async fn a_query_is_read_in_both_spellings_and_refused_by_field() {
    let gateway = Gateway::start().await;
    let client = gateway.client(Door::V1);
    for context in ["a b&c", "other"] {
        client.send(Send { context, ..say("hello") }).await.unwrap();
    }
    let asked = client.send(Send { context: "a b&c", ..say("ask: Who?") }).await.unwrap().task();
    let listed = async |query: &str| {
        let (status, page) = get(&gateway, &format!("/tasks?{query}")).await;
        assert_eq!(status, 200, "{query}: {page}");
        page
    };
    for query in ["contextId=a+b%26c", "context_id=a%20b%26c", "contextId=a+b%26c&unknown=1&status="] {
        assert_eq!(listed(query).await["totalSize"], 2, "{query}");
    }
    for query in ["status=TASK_STATE_INPUT_REQUIRED", "status=6", "status=input-required"] {
        let page = listed(query).await;
        assert_eq!((&page["totalSize"], &page["tasks"][0]["id"]), (&json!(1), &json!(asked.id)), "{query}");
    }
    let page = listed("pageSize=1&historyLength=0&includeArtifacts=true&status=TASK_STATE_COMPLETED").await;
    assert_eq!((&page["pageSize"], &page["totalSize"]), (&json!(1), &json!(2)));
    let task = &page["tasks"][0];
    assert!(task.get("history").is_none() && task["artifacts"][0].is_object(), "{task}");
    let next = page["nextPageToken"].as_str().unwrap();
    let query = format!("page_size=1&page_token={}&status=TASK_STATE_COMPLETED", door::rest::segment(next));
    let last = listed(&query).await;
    assert_eq!((&last["nextPageToken"], last["tasks"].as_array().unwrap().len()), (&json!(""), 1));
    assert!(last["tasks"][0].get("artifacts").is_none());
    // The plus of an offset that is not encoded is lost in a query, and found again.
    for (time, total) in
        [("2000-01-01T00:00:00+02:00", 3), ("2000-01-01T00:00:00Z", 3), ("2999-01-01T00:00:00%2B01:00", 0)]
    {
        assert_eq!(listed(&format!("statusTimestampAfter={time}")).await["totalSize"], total, "{time}");
    }

    for (query, expected) in [
        ("pageSize=many", vec!["pageSize"]),
        ("pageSize=0", vec!["pageSize"]),
        ("pageSize=101&historyLength=-1", vec!["pageSize", "historyLength"]),
        ("page_size=4294967296", vec!["pageSize"]),
        (
            "status=done&includeArtifacts=1&statusTimestampAfter=yesterday",
            vec!["status", "statusTimestampAfter", "includeArtifacts"],
        ),
        ("status=99", vec!["status"]),
        ("pageToken=next", vec!["pageToken"]),
        ("contextId=a%00", vec!["contextId"]),
        ("pageSize=1&page_size=2&status=2&status=2", vec!["pageSize", "status"]),
    ] {
        let (status, answer) = get(&gateway, &format!("/tasks?{query}")).await;
        let mut named = fields(&answer);
        let mut expected = expected;
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!((status, named), (400, expected), "{query}: {answer}");
        assert_eq!(get(&gateway, &format!("/v1/tasks?{query}")).await.0, 422, "{query}");
    }
    let (status, answer) = get(&gateway, &format!("/tasks/{}?historyLength=x", asked.id)).await;
    assert_eq!((status, fields(&answer)), (400, vec!["historyLength"]));
    let (_, task) = get(&gateway, &format!("/tasks/{}?history_length=1", asked.id)).await;
    assert_eq!(task["history"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn ids_in_paths_are_what_they_decode_to() {
    let gateway = Gateway::start().await;
    for (segment, id) in
        [("a%2Fb", "a/b"), ("a%3Acancel", "a:cancel"), ("a:b", "a:b"), ("%C3%A9+%20", "é+ "), ("%FF", "%FF")]
    {
        let (status, answer) = get(&gateway, &format!("/tasks/{segment}")).await;
        assert_eq!((status, &answer["error"]["message"]), (404, &json!(format!("Task not found: {id}"))), "{segment}");
    }
    for path in ["/tasks/", "/tasks/a%00b", &format!("/tasks/{}", "x".repeat(257))] {
        let (status, answer) = get(&gateway, path).await;
        assert_eq!((status, fields(&answer)), (400, vec!["id"]), "{path}");
    }
    let id = gateway.client(Door::V1).send(say("hello")).await.unwrap().task().id;
    let encoded = format!("%{:02X}{}", id.as_bytes()[0], &id[1..]);
    for path in [format!("/tasks/{id}/"), format!("/tasks/{encoded}"), format!("/v1/tasks/{id}/")] {
        assert_eq!(get(&gateway, &path).await.1["id"], id, "{path}");
    }
    for path in ["/message:send/", "/message%3Asend", "/v1/message:send/"] {
        assert_eq!(post(&gateway, path, &v1("hello")).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn a_path_counts_before_the_body_and_the_query() {
    let echo = || std::sync::Arc::new(a2a_gateway::agent::Echo) as std::sync::Arc<dyn a2a_gateway::agent::Agent>;
    let names = ["first", "other", "tasks", "a/b", "a2a"];
    let gateway = Gateway::start_with(names.map(|name| (name.to_owned(), echo())).into(), &[]).await;
    let with = |tenant: &str| {
        let mut body = v1("hello");
        body["tenant"] = tenant.into();
        body
    };
    let of = async |agent: &str| {
        let list = gateway.client(Door::V1).list(&ListQuery { tenant: agent, ..ListQuery::default() }).await.unwrap();
        list.total.unwrap()
    };
    for (path, tenant, agent) in [
        ("/other/message:send", "first", "other"),
        ("/other/message:send", "nobody", "other"),
        ("/message:send", "other", "other"),
        ("/a%2Fb/message:send", "", "a/b"),
        ("/agents/tasks/message:send", "", "tasks"),
        ("/agents/a2a/message:send", "", "a2a"),
        ("/agents/other/other/message:send", "first", "other"),
        ("/agents/a%2Fb/v1/message:send", "first", "a/b"),
    ] {
        let before = of(agent).await;
        let (status, answer) = post(&gateway, path, &with(tenant)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        assert_eq!(of(agent).await, before + 1, "{path}");
    }
    let total = gateway.count().await;
    for (path, field) in [("/agents/other/message:send", "tenant"), ("/agents/other/first/message:send", "tenant")] {
        let (status, answer) = post(&gateway, path, &with("first")).await;
        assert_eq!((status, fields(&answer)), (400, vec![field]), "{path}");
    }
    for path in ["/nobody/message:send", "/agents/nobody/message:send", "/agents/nobody/v1/message:send"] {
        let (status, answer) = post(&gateway, path, &v1("hello")).await;
        assert_eq!(status, 404, "{path}");
        let reason = answer.pointer("/error/details/0/reason").or(answer.pointer("/data/details/0/reason"));
        assert_eq!(reason, Some(&json!("AGENT_NOT_FOUND")), "{path}");
    }
    assert_eq!(gateway.count().await, total);
    // A query may name the tenant where a path does not.
    assert_eq!(get(&gateway, "/tasks?tenant=other").await.1["totalSize"], of("other").await);
    assert_eq!(get(&gateway, "/other/tasks?tenant=first").await.1["totalSize"], of("other").await);
    let id = gateway.client(Door::V1).send(Send { tenant: "other", ..say("ask: Who?") }).await.unwrap().task().id;
    assert_eq!(get(&gateway, &format!("/first/tasks/{id}")).await.0, 404);
    assert_eq!(get(&gateway, &format!("/tasks/{id}?tenant=first")).await.0, 404);
    let body = json!({"id": "another", "metadata": {"why": "enough"}});
    let (status, task) = post(&gateway, &format!("/other/tasks/{id}:cancel"), &body).await;
    assert_eq!((status, &task["id"], &task["status"]["state"]), (200, &json!(id), &json!("TASK_STATE_CANCELED")));
}

#[tokio::test]
async fn a_stream_is_subscribed_to_with_either_verb_and_resumed_after_an_event() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[("server.sse_keepalive", "100ms")]).await;
    for prefix in ["", "/a", "/agents/a", "/v1", "/agents/a/v1"] {
        for verb in [Method::GET, Method::POST] {
            let id = gateway.client(Door::V1).send(say_at_once("go")).await.unwrap().task().id;
            let turn = script.turn().await;
            let path = format!("{prefix}/tasks/{id}:subscribe");
            let response = ask(&gateway, &verb, &path, &[], "").await;
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let mut bytes = response.bytes_stream();
            let (mut parser, mut frames, mut said) = (Parser::default(), Vec::new(), false);
            while let Some(chunk) = tokio::time::timeout(PATIENCE, bytes.next()).await.unwrap() {
                frames.extend(parser.push(&chunk.unwrap()));
                if parser.pings > 0 && !said {
                    said = true;
                    for update in [status(Working), self::chunk("a", "text", false), status(Completed)] {
                        turn.say(update).await;
                    }
                }
            }
            parser.finish();
            let ids: Vec<_> = frames.iter().map(|frame| frame.id.as_deref().unwrap()).collect();
            assert_eq!(ids, ["1", "2", "3", "4"], "{verb} {path}");
            for after in 0..=4 {
                let position = after.to_string();
                let resumed = ask(&gateway, &verb, &path, &[("last-event-id", &position)], "").await;
                let rest = Parser::default().push(&resumed.bytes().await.unwrap());
                assert_eq!(rest, frames[after..], "{verb} {path} after {after}");
            }
            // Refused streams are plain errors.
            for (headers, expected) in [(&[][..], [400, 501]), (&[("last-event-id", "9")], [400, 400])] {
                let [status_v1, status_v03] = expected;
                let (status, _) = json_of(ask(&gateway, &verb, &path, headers, "").await).await;
                assert_eq!(status, if prefix.ends_with("v1") { status_v03 } else { status_v1 }, "{path} {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn in_0_3_a_configuration_that_does_not_say_blocking_does_not_wait() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[]).await;
    for configuration in [json!({}), json!({"acceptedOutputModes": []}), json!({"blocking": false})] {
        let mut body = v03("go");
        body["configuration"] = configuration.clone();
        let (status, answer) = post(&gateway, "/v1/message:send", &body).await;
        let state = &answer["task"]["status"]["state"];
        assert_eq!((status, state), (200, &json!("TASK_STATE_SUBMITTED")), "{configuration}");
        script.turn().await.say(support::status(Completed)).await;
    }
    for configuration in [json!(null), json!({"blocking": true})] {
        let mut body = v03("go");
        body["configuration"] = configuration.clone();
        let (answer, turn) = tokio::join!(post(&gateway, "/v1/message:send", &body), async {
            let turn = script.turn().await;
            turn.say(support::status(Completed)).await;
            turn
        });
        assert_eq!(answer.1["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{configuration}");
        turn.dropped().await;
    }
}

#[tokio::test]
async fn every_kind_of_part_comes_back_in_the_form_of_its_version() {
    let gateway = Gateway::start().await;
    let once = STANDARD.encode(b"\x00file\xff");
    let twice = STANDARD.encode(&once);
    let marked = json!({"data_part_compat": true});
    let v1_parts = json!([
        {"text": "hello"},
        {"raw": once, "mediaType": "a/b", "filename": "f"},
        {"url": "https://h.test/f", "mediaType": "a/b"},
        {"data": {"a": [1, null]}},
        {"data": [1]},
    ]);
    let v03_parts = json!([
        {"text": "hello"},
        {"file": {"fileWithBytes": twice, "mimeType": "a/b", "name": "f"}},
        {"file": {"fileWithUri": "https://h.test/f", "mimeType": "a/b"}},
        {"data": {"data": {"a": [1, null]}}},
        {"data": {"data": {"value": [1]}}, "metadata": marked},
    ]);
    let mut in_v03 = v03("");
    in_v03["message"]["content"] = v03_parts.clone();
    let mut once_encoded = in_v03.clone();
    once_encoded["message"]["content"][1]["file"]["fileWithBytes"] = once.into();
    let mut in_v1 = v1("");
    in_v1["message"]["parts"] = v1_parts.clone();
    for (path, body) in [("/message:send", in_v1), ("/v1/message:send", in_v03), ("/v1/message:send", once_encoded)] {
        let (status, answer) = post(&gateway, path, &body).await;
        assert_eq!(status, 200, "{answer}");
        let id = answer["task"]["id"].as_str().unwrap();
        assert_eq!(get(&gateway, &format!("/tasks/{id}")).await.1["history"][0]["parts"], v1_parts, "{path}");
        let (_, task) = get(&gateway, &format!("/v1/tasks/{id}")).await;
        assert_eq!(task["history"][0]["content"], v03_parts, "{path}");
        assert!(task.get("kind").is_none());
    }
}

#[tokio::test]
async fn every_known_shape_of_a_config_makes_the_same_one_and_its_answers_are_200() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    let task = gateway.client(Door::V1).send(say("hello")).await.unwrap().task().id;
    let flat = json!({"id": "c", "url": "https://hook.test/c", "token": "token-c",
        "authentication": {"scheme": "Bearer", "credentials": "secret-c"}});
    let mut inner = flat.clone();
    inner["authentication"] = json!({"schemes": ["Bearer"], "credentials": "secret-c"});
    let mut unnamed = inner.clone();
    unnamed.as_object_mut().unwrap().remove("id");
    let name = format!("tasks/{task}/pushNotificationConfigs/c");
    let parent = format!("tasks/{task}");
    let nested = json!({"name": name, "pushNotificationConfig": unnamed});
    let mut other = flat.clone();
    other["taskId"] = NOBODYS.into();
    for (prefix, body) in [
        ("", flat.clone()),
        ("", other),
        ("", json!({"config": flat})),
        ("/v1", json!({"parent": parent, "configId": "c", "config": nested})),
        ("/v1", json!({"parent": parent, "config_id": "c", "config": {"push_notification_config": inner}})),
        ("/v1", nested.clone()),
        ("/v1", json!({"pushNotificationConfig": inner})),
        ("/v1", inner.clone()),
    ] {
        let configs = format!("{prefix}/tasks/{task}/pushNotificationConfigs");
        let shown = match prefix {
            "" => {
                let mut shown = flat.clone();
                shown["taskId"] = task.as_str().into();
                shown
            }
            _ => json!({"name": name, "pushNotificationConfig": inner}),
        };
        let mut list = json!({"configs": [shown]});
        if prefix.is_empty() {
            list["nextPageToken"] = "".into();
        }
        assert_eq!(post(&gateway, &configs, &body).await, (200, shown.clone()), "{configs} {body}");
        assert_eq!(get(&gateway, &format!("{configs}/c")).await, (200, shown));
        assert_eq!(get(&gateway, &configs).await, (200, list));
        assert_eq!(gateway.client(Door::V1).hooks(&task).await.unwrap(), [hook(&task, "c")], "{body}");
        for _ in 0..2 {
            let response = ask(&gateway, &Method::DELETE, &format!("{configs}/c"), &[], "").await;
            assert_eq!(json_of(response).await, (200, json!({})));
        }
        let (status, _) = get(&gateway, &format!("{configs}/c")).await;
        assert_eq!(status, 404);
    }
    // A path without a config's id: 1.0 asks for it, 0.3 leaves it open.
    let (status, answer) = get(&gateway, &format!("/tasks/{task}/pushNotificationConfigs/")).await;
    assert_eq!((status, fields(&answer)), (400, vec!["id"]));
    assert_eq!(get(&gateway, &format!("/v1/tasks/{task}/pushNotificationConfigs/")).await.0, 404);
    // A tenant of the path is a config's.
    let configs = format!("/echo/tasks/{task}/pushNotificationConfigs");
    assert_eq!(post(&gateway, &configs, &flat).await.1["tenant"], "echo");
    let paged = get(&gateway, &format!("{configs}?pageSize=101")).await;
    assert_eq!((paged.0, fields(&paged.1)), (400, vec!["pageSize"]));
    assert_eq!(engine.webhooks(&Caller::default(), WebhookFilter::default()).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn requests_are_counted_by_their_version() {
    let gateway = Gateway::start().await;
    post(&gateway, "/message:send", &v1("hello")).await;
    get(&gateway, "/tasks/t").await;
    ask(&gateway, &Method::PUT, "/tasks", &[], "").await;
    ask(&gateway, &Method::POST, "/message:send", &[("content-type", "text/plain")], "x").await;
    ask(&gateway, &Method::POST, "/v1/message:send", &[], "{").await;
    ask(&gateway, &Method::POST, "/v1/message:stream", &[], &v03("hello").to_string()).await.text().await.unwrap();
    let metrics = ask(&gateway, &Method::GET, "/metrics", &[], "").await.text().await.unwrap();
    for (door, method, outcome) in [
        ("rest-1.0", "SendMessage", "ok"),
        ("rest-1.0", "GetTask", "task_not_found"),
        ("rest-1.0", "unknown", "method_not_found"),
        ("rest-1.0", "SendMessage", "content_type_not_supported"),
        ("rest-0.3", "SendMessage", "parse_error"),
        ("rest-0.3", "SendStreamingMessage", "ok"),
    ] {
        let line = format!(r#"a2a_gateway_requests_total{{door="{door}",method="{method}",outcome="{outcome}"}} 1"#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}
