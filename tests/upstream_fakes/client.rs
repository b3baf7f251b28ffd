//! Clients that know nothing of the gateway.

use a2a_gateway::proto::{a2a, a2a_v03};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::json;
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use crate::upstream::{Face, Operation, Options, Sdk, Upstream};

/// The faces over HTTP.
pub const JSON: [Face; 5] = [Face::JsonRpc10, Face::JsonRpc03, Face::Praison, Face::Rest10, Face::Rest03];

pub fn options(sdk: Sdk) -> Options {
    Options { sdk, ..Options::default() }
}

pub fn client() -> Client {
    // Clients want a provider although nothing here is TLS; another test may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new()
}

/// A call as a client of the face makes it; `task`: the one that is meant or continued.
pub fn ask(http: &Client, agent: &Upstream, operation: Operation, task: &str) -> RequestBuilder {
    let (face, base) = (agent.face, agent.endpoint());
    let blocking = operation == Operation::SEND;
    let v1 = matches!(face, Face::JsonRpc10 | Face::Rest10);
    let mut message = match face {
        Face::JsonRpc10 => json!({"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}),
        Face::Rest10 => json!({"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}),
        Face::Rest03 => json!({"messageId": "m-1", "role": "ROLE_USER", "content": [{"text": "hello"}]}),
        Face::JsonRpc03 => {
            let part = json!({"kind": "text", "text": "hello"});
            json!({"kind": "message", "messageId": "m-1", "role": "user", "parts": [part]})
        }
        _ => json!({"messageId": "m-1", "role": "user", "parts": [{"text": "hello"}]}),
    };
    if !task.is_empty() {
        message["taskId"] = task.into();
    }
    let configuration = match face {
        Face::JsonRpc10 | Face::Rest10 | Face::Praison => json!({"returnImmediately": !blocking}),
        _ => json!({"blocking": blocking}),
    };
    let send = json!({"message": message, "configuration": configuration});
    let request = if matches!(face, Face::Rest10 | Face::Rest03) {
        let base = if v1 { base } else { format!("{base}/v1") };
        match operation {
            Operation::Send { .. } => http.post(format!("{base}/message:send")).json(&send),
            Operation::Stream => http.post(format!("{base}/message:stream")).json(&send),
            Operation::Get => http.get(format!("{base}/tasks/{task}?historyLength=2")),
            Operation::Cancel => http.post(format!("{base}/tasks/{task}:cancel")),
            Operation::Subscribe => http.get(format!("{base}/tasks/{task}:subscribe")),
        }
    } else {
        let (method, params) = match (operation, v1) {
            (Operation::Send { .. }, true) => ("SendMessage", send),
            (Operation::Send { .. }, false) => ("message/send", send),
            (Operation::Stream, true) => ("SendStreamingMessage", send),
            (Operation::Stream, false) => ("message/stream", send),
            (Operation::Get, true) => ("GetTask", json!({"id": task})),
            (Operation::Get, false) => ("tasks/get", json!({"id": task})),
            (Operation::Cancel, true) => ("CancelTask", json!({"id": task})),
            (Operation::Cancel, false) => ("tasks/cancel", json!({"id": task})),
            (Operation::Subscribe, true) => ("SubscribeToTask", json!({"id": task})),
            (Operation::Subscribe, false) => ("tasks/resubscribe", json!({"id": task})),
        };
        http.post(base).json(&json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params}))
    };
    if v1 { request.header("a2a-version", "1.0") } else { request }
}

/// Sends it while the test answers.
pub fn start(request: RequestBuilder) -> tokio::task::JoinHandle<reqwest::Result<Response>> {
    tokio::spawn(request.send())
}

pub async fn text(call: tokio::task::JoinHandle<reqwest::Result<Response>>) -> (u16, String, String) {
    let response = call.await.unwrap().unwrap();
    let media = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), media, response.text().await.unwrap())
}

pub async fn channel(agent: &Upstream) -> Channel {
    Channel::from_shared(format!("http://{}", agent.endpoint())).unwrap().connect().await.unwrap()
}

pub fn v1_request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("a2a-version", MetadataValue::from_static("1.0"));
    request
}

pub fn v1_send() -> Request<a2a::SendMessageRequest> {
    let content = Some(a2a::part::Content::Text("hello".into()));
    let parts = vec![a2a::Part { content, ..a2a::Part::default() }];
    let role = a2a::Role::User.into();
    let message = a2a::Message { message_id: "m-1".into(), role, parts, ..a2a::Message::default() };
    v1_request(a2a::SendMessageRequest { message: Some(message), ..a2a::SendMessageRequest::default() })
}

pub fn v03_send() -> a2a_v03::SendMessageRequest {
    let content =
        vec![a2a_v03::Part { part: Some(a2a_v03::part::Part::Text("hello".into())), ..a2a_v03::Part::default() }];
    let role = a2a_v03::Role::User.into();
    let request = a2a_v03::Message { message_id: "m-1".into(), role, content, ..a2a_v03::Message::default() };
    a2a_v03::SendMessageRequest { request: Some(request), ..a2a_v03::SendMessageRequest::default() }
}
