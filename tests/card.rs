//! What is asked with GET: agent cards, health, metrics; and gRPC's own health and reflection.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use std::{collections::HashMap, sync::Arc};

use a2a_gateway::{agent::Echo, proto::gateway};
use door::*;
use reqwest::{Method, Response, header::HeaderMap};
use serde_json::{Value, json};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const PATHS: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];

async fn ask(gateway: &Gateway, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = gateway.http.request(method, gateway.url(path));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    ask(gateway, Method::GET, path, headers).await
}

async fn card(gateway: &Gateway, path: &str, version: &str) -> Value {
    let headers = [("a2a-version", version)];
    let response = get(gateway, path, if version.is_empty() { &[] } else { &headers }).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["vary"], "A2A-Version");
    response.json().await.unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Checks what a 1.0 client reads.
fn check_v1(gateway: &Gateway, card: &Value, push: bool) {
    assert_eq!(card["name"], "echo");
    for name in ["description", "version"] {
        assert!(card[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {card}");
    }
    for name in ["defaultInputModes", "defaultOutputModes", "skills"] {
        assert!(card[name].as_array().is_some_and(|list| !list.is_empty()), "{name} in {card}");
    }
    for skill in card["skills"].as_array().unwrap() {
        assert!(["id", "name", "description"].iter().all(|name| skill[name].is_string()) && skill["tags"].is_array());
    }
    let authority = gateway.address.to_string();
    assert_eq!(
        card["supportedInterfaces"],
        json!([
            {"url": gateway.url("/a2a"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": authority, "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            {"url": gateway.url(""), "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            {"url": gateway.url("/a2a"), "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
            {"url": gateway.url(""), "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"},
            {"url": authority, "protocolBinding": "GRPC", "protocolVersion": "0.3"},
        ])
    );
    let capabilities = &card["capabilities"];
    assert_eq!(capabilities["streaming"], true);
    assert_eq!(capabilities["pushNotifications"], push);
}

/// Checks what a 0.3 client reads.
fn check_v03(gateway: &Gateway, card: &Value, push: bool) {
    assert_eq!((&card["name"], &card["protocolVersion"]), (&json!("echo"), &json!("0.3.0")));
    assert_eq!((&card["url"], &card["preferredTransport"]), (&json!(gateway.url("/a2a")), &json!("JSONRPC")));
    assert_eq!(
        card["additionalInterfaces"],
        json!([
            {"url": gateway.url("/a2a"), "transport": "JSONRPC"},
            {"url": gateway.url(""), "transport": "HTTP+JSON"},
            {"url": gateway.address.to_string(), "transport": "GRPC"},
        ])
    );
    let capabilities = &card["capabilities"];
    assert_eq!((&capabilities["streaming"], &capabilities["pushNotifications"]), (&json!(true), &json!(push)));
    assert_eq!(card["supportsAuthenticatedExtendedCard"], false);
    assert!(card["skills"].is_array() && card["defaultInputModes"].is_array() && card["version"].is_string());
}

/// Checks what a PraisonAI client reads, whose JSON-RPC is at a path.
fn check_praison(gateway: &Gateway, card: &Value, path: &str, push: bool) {
    assert_eq!((&card["name"], &card["url"]), (&json!("echo"), &json!(gateway.url(path))));
    assert!(card["version"].is_string() && card["description"].is_string());
    let capabilities = &card["capabilities"];
    assert_eq!((&capabilities["streaming"], &capabilities["pushNotifications"]), (&json!(true), &json!(push)));
}

#[tokio::test]
async fn without_a_version_both_paths_serve_a_card_that_all_dialects_read() {
    for (gateway, push) in
        [(Gateway::start_push(&["echo"]).await.0, true), (Gateway::start_without_push().await, false)]
    {
        for path in PATHS {
            let merged = card(&gateway, path, "").await;
            check_v1(&gateway, &merged, push);
            check_v03(&gateway, &merged, push);
            check_praison(&gateway, &merged, "/a2a", push);
        }
        let own = get(&gateway, "/praisonai/.well-known/agent.json", &[]).await.json().await.unwrap();
        check_praison(&gateway, &own, "/praisonai/a2a", push);
    }
}

#[tokio::test]
async fn a_version_asks_for_the_pure_card() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    for path in PATHS {
        let v1 = card(&gateway, path, "1.0").await;
        check_v1(&gateway, &v1, true);
        let pure = ["capabilities", "defaultInputModes", "defaultOutputModes", "description", "name", "skills"];
        assert_eq!(keys(&v1), [&pure[..], &["supportedInterfaces", "version"]].concat());
        assert_eq!(keys(&v1["capabilities"]), ["extendedAgentCard", "pushNotifications", "streaming"]);
        let v03 = card(&gateway, path, "0.3").await;
        check_v03(&gateway, &v03, true);
        assert!(v03.get("supportedInterfaces").is_none());
        let by_query = get(&gateway, &format!("{path}?A2A-Version=1.0"), &[]).await.json::<Value>().await.unwrap();
        assert_eq!(by_query, v1);
        let refused = get(&gateway, path, &[("a2a-version", "99.0")]).await;
        assert_eq!(refused.status(), 400);
        let error = refused.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!((&error["code"], &error["status"]), (&json!(400), &json!("FAILED_PRECONDITION")));
        assert_eq!(error["details"][0]["reason"], "VERSION_NOT_SUPPORTED");
    }
}

#[tokio::test]
async fn merging_can_be_turned_off_and_the_public_url_set() {
    let settings = [("server.merged_card", "false"), ("server.public_url", "https://agents.test/base")];
    let gateway = Gateway::start_with(vec![("echo".into(), Arc::new(Echo))], &settings).await;
    let v1 = card(&gateway, PATHS[0], "").await;
    assert!(v1.get("url").is_none());
    assert_eq!(v1["supportedInterfaces"][0]["url"], "https://agents.test/base/a2a");
    assert_eq!(v1["supportedInterfaces"][1]["url"], "agents.test:443");
    let v03 = card(&gateway, PATHS[1], "").await;
    assert!(v03.get("supportedInterfaces").is_none());
    assert_eq!(v03["url"], "https://agents.test/base/a2a");
}

#[tokio::test]
async fn grpc_can_have_an_address_of_its_own() {
    let settings = [("server.grpc_url", "grpc.agents.test:443")];
    let gateway = Gateway::start_with(vec![("echo".into(), Arc::new(Echo))], &settings).await;
    let merged = card(&gateway, PATHS[0], "").await;
    let urls = |list: &str, name: &str| {
        let interfaces = merged[list].as_array().unwrap().clone();
        let (grpc, others): (Vec<_>, Vec<_>) = interfaces.into_iter().partition(|interface| interface[name] == "GRPC");
        assert!(others.iter().all(|other| other["url"].as_str().unwrap().starts_with("http://127.0.0.1:")), "{list}");
        grpc.iter().map(|interface| interface["url"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(urls("supportedInterfaces", "protocolBinding"), ["grpc.agents.test:443"; 2]);
    assert_eq!(urls("additionalInterfaces", "transport"), ["grpc.agents.test:443"]);
}

#[tokio::test]
async fn a_client_that_has_the_card_is_not_sent_it_again() {
    let gateway = Gateway::start().await;
    for path in [PATHS[0], PATHS[1], "/praisonai/.well-known/agent.json"] {
        let first = get(&gateway, path, &[]).await;
        let headers: HeaderMap = first.headers().clone();
        let value = |name: &str| headers[name].to_str().unwrap().to_owned();
        let (tag, modified) = (value("etag"), value("last-modified"));
        assert!(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() > 2, "{tag}");
        assert!(value("cache-control").contains("max-age="));
        let body = first.text().await.unwrap();
        assert_eq!(get(&gateway, path, &[]).await.headers()["etag"], headers["etag"], "the tag changes by itself");
        let strong = format!("\"x\", {}", tag.strip_prefix("W/").unwrap());
        for (name, value, status) in [
            ("if-none-match", tag.as_str(), 304),
            ("if-none-match", strong.as_str(), 304),
            ("if-none-match", "*", 304),
            ("if-none-match", "\"x\"", 200),
            ("if-modified-since", modified.as_str(), 304),
            ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ] {
            let again = get(&gateway, path, &[(name, value)]).await;
            assert_eq!(again.status(), status, "{name}: {value}");
            assert_eq!(again.headers()["etag"], headers["etag"]);
            assert_eq!(again.headers()["cache-control"], headers["cache-control"]);
            assert_eq!(again.headers()["vary"], "A2A-Version");
            assert_eq!(again.text().await.unwrap(), if status == 304 { "" } else { body.as_str() });
        }
        let both = [("if-none-match", "\"x\""), ("if-modified-since", modified.as_str())];
        assert_eq!(get(&gateway, path, &both).await.status(), 200, "a tag counts before a date");
        let head = ask(&gateway, Method::HEAD, path, &[]).await;
        assert_eq!((head.status().as_u16(), &head.headers()["etag"]), (200, &headers["etag"]));
        assert_eq!(head.headers()["content-length"], body.len().to_string().as_str());
        assert_eq!(head.text().await.unwrap(), "");
        assert_eq!(ask(&gateway, Method::POST, path, &[]).await.status(), 405);
    }
    let tags: Vec<_> = [("", 0), ("1.0", 1), ("0.3", 2)].iter().map(|(version, _)| *version).collect();
    let mut seen = Vec::new();
    for version in tags {
        let headers = [("a2a-version", version)];
        seen.push(get(&gateway, PATHS[0], &headers).await.headers()["etag"].clone());
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2], "two cards with one tag");
}

#[tokio::test]
async fn grpc_serves_the_card_and_the_agents() {
    let gateway = Gateway::start().await;
    let mut own = gateway.client(Door::Gateway).gateway();
    let card = own.get_agent_card(gateway::GetAgentCardRequest::default()).await.unwrap().into_inner();
    assert_eq!((card.name.as_str(), card.supported_interfaces.len()), ("echo", 6));
    assert_eq!(card.supported_interfaces[1].url, gateway.address.to_string());
    let agents = own.list_agents(gateway::ListAgentsRequest {}).await.unwrap().into_inner().agents;
    assert_eq!((agents.len(), agents[0].state()), (1, gateway::AgentState::Ready));
}

#[tokio::test]
async fn the_gateway_says_that_it_is_alive_ready_and_what_it_is() {
    let gateway = Gateway::start().await;
    for (path, expected) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let response = get(&gateway, path, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.text().await.unwrap(), expected);
    }
    let status: Value = get(&gateway, "/status", &[]).await.json().await.unwrap();
    assert_eq!(status, json!({"status": "ok", "name": "echo", "version": env!("CARGO_PKG_VERSION")}));
}

#[tokio::test]
async fn metrics_count_requests_tasks_watchers_and_commits() {
    let gateway = Gateway::start().await;
    for door in
        [Door::Gateway, Door::A2aGrpc, Door::V1, Door::V03, Door::PraisonOwn, Door::Rest, Door::Rest03, Door::Grpc03]
    {
        let client = gateway.client(door);
        client.send(say("hello")).await.unwrap();
        client.get("unknown", None).await.unwrap_err();
    }
    let mut events = gateway.client(Door::V1).stream(say("slow: 100")).await.unwrap();
    let id = events.item().await.task;
    let running = metrics(&gateway).await;
    assert_eq!(running["a2a_gateway_running_tasks"], 1.0);
    assert_eq!(running["a2a_gateway_watchers"], 1.0);
    gateway.client(Door::V1).cancel(&id).await.unwrap();
    events.rest().await;

    // A runner and a stream are done a moment after the last event is seen.
    let idle = async {
        loop {
            let metrics = metrics(&gateway).await;
            if (metrics["a2a_gateway_running_tasks"], metrics["a2a_gateway_watchers"]) == (0.0, 0.0) {
                return metrics;
            }
        }
    };
    let metrics = tokio::time::timeout(PATIENCE, idle).await.expect("something is still running");
    for (door, send) in [
        ("grpc", "SubmitTask"),
        ("a2a-grpc", "SendMessage"),
        ("jsonrpc-1.0", "SendMessage"),
        ("jsonrpc-0.3", "SendMessage"),
        ("jsonrpc-praisonai", "SendMessage"),
        ("rest-1.0", "SendMessage"),
        ("rest-0.3", "SendMessage"),
        ("a2a-grpc-0.3", "SendMessage"),
    ] {
        for (method, outcome) in [(send, "ok"), ("GetTask", "task_not_found")] {
            let name = format!(r#"a2a_gateway_requests_total{{door="{door}",method="{method}",outcome="{outcome}"}}"#);
            assert_eq!(metrics.get(&name), Some(&1.0), "{name}");
            let name = format!(r#"a2a_gateway_request_duration_seconds_count{{door="{door}",method="{method}"}}"#);
            assert_eq!(metrics.get(&name), Some(&1.0), "{name}");
        }
    }
    let stream = r#"a2a_gateway_requests_total{door="jsonrpc-1.0",method="SendStreamingMessage",outcome="ok"}"#;
    assert_eq!(metrics[stream], 1.0);
    assert_eq!(metrics[r#"a2a_gateway_tasks{state="completed"}"#], 8.0);
    assert_eq!(metrics[r#"a2a_gateway_tasks{state="canceled"}"#], 1.0);
    assert!(metrics["a2a_gateway_events_total"] >= 7.0 * 4.0);
    let commits = metrics["a2a_gateway_commit_batch_size_count"];
    assert!(commits >= 8.0 && metrics["a2a_gateway_commit_batch_size_sum"] >= commits);
    assert!(metrics["a2a_gateway_commit_duration_seconds_count"] >= 8.0);
}

/// The series and their values.
async fn metrics(gateway: &Gateway) -> HashMap<String, f64> {
    let response = get(gateway, "/metrics", &[]).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn grpc_health_is_answered_for_the_whole_and_for_each_service() {
    let gateway = Gateway::start().await;
    let mut health = HealthClient::new(gateway.channel.clone());
    for service in ["", "a2a.gateway.v1.Gateway", "lf.a2a.v1.A2AService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "no.Such".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopping = tokio::spawn(gateway.stop());
    let mut last = ServingStatus::Serving;
    while let Ok(Some(answer)) = watch.message().await {
        last = answer.status();
    }
    assert_eq!(last, ServingStatus::NotServing);
    drop((watch, health));
    stopping.await.unwrap();
}

#[tokio::test]
async fn reflection_lists_the_services_and_their_contracts() {
    let gateway = Gateway::start().await;
    let mut reflection = ServerReflectionClient::new(gateway.channel.clone());
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let symbol = "lf.a2a.v1.A2AService".to_owned();
    let questions =
        [ask(MessageRequest::ListServices(String::new())), ask(MessageRequest::FileContainingSymbol(symbol))];
    let mut answers = reflection.server_reflection_info(tokio_stream::iter(questions)).await.unwrap().into_inner();
    let first = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = first else { panic!("{first:?}") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    let served = ["a2a.gateway.v1.Gateway", "lf.a2a.v1.A2AService", "a2a.v1.A2AService", "grpc.health.v1.Health"];
    for name in served {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert_eq!(names.len(), served.len() + 2, "only these and reflection itself: {names:?}");
    let second = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::FileDescriptorResponse(files) = second else { panic!("{second:?}") };
    assert!(!files.file_descriptor_proto.is_empty());
}

#[tokio::test]
async fn an_unknown_grpc_method_is_unimplemented() {
    let gateway = Gateway::start().await;
    // Built without a provider of its own, reqwest wants one even where it speaks no TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for path in
        ["/a2a.gateway.v1.Gateway/Nope", "/lf.a2a.v1.A2AService/Nope", "/a2a.v1.A2AService/Nope", "/no.Such/Nope"]
    {
        let call = h2.post(gateway.url(path)).header("content-type", "application/grpc").header("te", "trailers");
        let response = call.body(vec![0; 5]).send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"12".parse().unwrap()));
    }
    let plain = gateway.http.post(gateway.url("/a2a.gateway.v1.Gateway/GetTask")).body("{}").send().await.unwrap();
    assert_eq!(plain.status(), 415);
}
