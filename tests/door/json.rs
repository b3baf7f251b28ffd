//! The JSON-RPC doors: A2A 1.0, 0.3 and PraisonAI's dialect.

use std::collections::BTreeMap;

use a2a_gateway::proto::a2a::TaskState;
use futures::{StreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::{
    Answer, Client, Dialect, Door, Events, Fault, Info, Item, ListQuery, Page, Seen, Send, What,
    sse::{Frame, Parser},
};

pub type Result<T> = std::result::Result<T, Fault>;

/// The id of every request.
const ID: &str = "q-1";

impl Client {
    fn own(&self) -> Dialect {
        self.door.dialect().expect("a JSON door")
    }

    /// Posts a request with the headers that clients of the dialect send, and these.
    pub async fn post(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut post = self.http.post(&self.url).header("content-type", "application/json").body(body);
        if self.own() == Dialect::V1 && headers.iter().all(|(name, _)| *name != "a2a-version") {
            post = post.header("a2a-version", "1.0");
        }
        post = headers.iter().fold(post, |post, (name, value)| post.header(*name, *value));
        post.send().await.unwrap()
    }

    /// Calls a method with parameters; an error is to come in the given dialect's form.
    pub async fn call(
        &self,
        method: &str,
        mut params: Value,
        form: Dialect,
        headers: &[(&str, &str)],
    ) -> Result<Value> {
        if self.door.is_rest() {
            return super::rest::call(self, method, params, headers).await;
        }
        set(&mut params, "tenant", &self.tenant);
        let body = json!({"jsonrpc": "2.0", "id": ID, "method": method, "params": params});
        let response = self.post(body.to_string(), headers).await;
        assert_eq!(response.status(), 200, "{method}");
        if response.headers()["content-type"] == "text/event-stream" {
            return result(form, &only_event(response).await);
        }
        assert_eq!(response.headers()["content-type"], "application/json");
        result(form, &response.json().await.unwrap())
    }

    /// The name of the method that sends messages.
    pub fn send_method(&self) -> &'static str {
        if self.own() == Dialect::V1 { "SendMessage" } else { "message/send" }
    }

    /// A message as callers send it.
    pub fn message(&self, text: &str) -> Value {
        match self.own() {
            Dialect::V1 => json!({"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": text}]}),
            Dialect::V03 => json!({
                "kind": "message", "messageId": "m-1", "role": "user", "parts": [{"kind": "text", "text": text}],
            }),
            Dialect::Praison => json!({"messageId": "m-1", "role": "user", "parts": [{"text": text}]}),
        }
    }
}

/// The result, or the error in the dialect's form, of a response to [`Client::call`].
pub fn result(form: Dialect, envelope: &Value) -> Result<Value> {
    assert_eq!((&envelope["jsonrpc"], &envelope["id"]), (&json!("2.0"), &json!(ID)), "{envelope}");
    if envelope.get("error").is_some() {
        members(envelope, &["jsonrpc", "id", "error"], &[]);
        return Err(fault(form, &envelope["error"]));
    }
    members(envelope, &["jsonrpc", "id", "result"], &[]);
    Ok(envelope["result"].clone())
}

/// An `error` member.
pub fn fault(form: Dialect, error: &Value) -> Fault {
    let code = i32::try_from(error["code"].as_i64().unwrap()).unwrap();
    let message = error["message"].as_str().unwrap().to_owned();
    let mut fault = Fault { form: Some(form), code, status: None, message, info: None, fields: Vec::new() };
    // Before any method is known there are no details.
    if form == Dialect::Praison || error.get("data").is_none() {
        members(error, &["code", "message"], &[]);
        return fault;
    }
    members(error, &["code", "message", "data"], &[]);
    let details = if form == Dialect::V03 {
        members(&error["data"], &["details"], &[]);
        &error["data"]["details"]
    } else {
        &error["data"]
    };
    let details = details.as_array().unwrap();
    let info = &details[0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
    members(info, &["@type", "reason", "domain"], &["metadata"]);
    let metadata = info["metadata"].as_object().into_iter().flatten();
    let metadata: BTreeMap<_, _> = metadata.map(|(name, value)| (name.clone(), string(value))).collect();
    fault.info = Some(Box::new(Info { reason: string(&info["reason"]), domain: string(&info["domain"]), metadata }));
    if let Some(bad) = details.get(1) {
        assert_eq!(bad["@type"], "type.googleapis.com/google.rpc.BadRequest");
        members(bad, &["@type", "fieldViolations"], &[]);
        let fields = bad["fieldViolations"].as_array().unwrap().iter();
        fault.fields = fields.map(|wrong| (string(&wrong["field"]), string(&wrong["description"]))).collect();
    }
    assert!(details.len() <= 2);
    fault
}

pub fn params(client: &Client, dialect: Dialect, send: &Send<'_>) -> Value {
    let mut message = client.message(send.text);
    set(&mut message, "taskId", send.task);
    set(&mut message, "contextId", send.context);
    let mut configuration = match dialect {
        Dialect::V1 | Dialect::Praison => json!({"returnImmediately": send.at_once}),
        Dialect::V03 => json!({"blocking": !send.at_once}),
    };
    if let Some(length) = send.history {
        configuration["historyLength"] = length.into();
    }
    let mut params = json!({"message": message, "configuration": configuration});
    set(&mut params, "tenant", send.tenant);
    params
}

fn set(object: &mut Value, name: &str, text: &str) {
    if !text.is_empty() {
        object[name] = text.into();
    }
}

pub fn key<'a>(send: &Send<'a>) -> Vec<(&'static str, &'a str)> {
    if send.key.is_empty() { Vec::new() } else { vec![("idempotency-key", send.key)] }
}

pub async fn send(client: &Client, dialect: Dialect, send: &Send<'_>) -> Result<Answer> {
    let params = params(client, dialect, send);
    let result = client.call(client.send_method(), params, dialect, &key(send)).await?;
    Ok(match dialect {
        Dialect::V1 if result.get("message").is_some() => {
            members(&result, &["message"], &[]);
            Answer::Message(message(dialect, &result["message"]).1)
        }
        Dialect::V1 => {
            members(&result, &["task"], &[]);
            Answer::Task(task(dialect, &result["task"]))
        }
        Dialect::V03 if result["kind"] == "message" => Answer::Message(message(dialect, &result).1),
        Dialect::V03 | Dialect::Praison => Answer::Task(task(dialect, &result)),
    })
}

pub async fn stream(client: &Client, dialect: Dialect, send: &Send<'_>) -> Result<Events> {
    let method = if dialect == Dialect::V1 { "SendStreamingMessage" } else { "message/stream" };
    let mut params = params(client, dialect, send);
    if dialect == Dialect::V03 {
        params["configuration"].as_object_mut().unwrap().remove("blocking");
    }
    open(client, method, params, dialect, &key(send)).await
}

pub async fn get(client: &Client, id: &str, history: Option<i32>) -> Result<Seen> {
    let method = if client.own() == Dialect::V1 { "GetTask" } else { "tasks/get" };
    let mut params = json!({"id": id});
    if let Some(length) = history {
        params["historyLength"] = length.into();
    }
    let form = client.lookups.unwrap();
    Ok(task(form, &client.call(method, params, form, &[]).await?))
}

pub async fn cancel(client: &Client, id: &str) -> Result<Seen> {
    let method = if client.own() == Dialect::V1 { "CancelTask" } else { "tasks/cancel" };
    let form = client.lookups.unwrap();
    Ok(task(form, &client.call(method, json!({"id": id}), form, &[]).await?))
}

pub async fn watch(client: &Client, dialect: Dialect, id: &str, after: Option<u64>) -> Result<Events> {
    let method = if dialect == Dialect::V1 { "SubscribeToTask" } else { "tasks/resubscribe" };
    let after = after.map(|after| after.to_string());
    let headers: Vec<_> = after.iter().map(|after| ("last-event-id", after.as_str())).collect();
    open(client, method, json!({"id": id}), dialect, &headers).await
}

pub async fn list(client: &Client, dialect: Dialect, query: &ListQuery<'_>) -> Result<Page> {
    assert_ne!(client.door, Door::V03, "0.3 has no list over JSON-RPC");
    let mut params = json!({});
    set(&mut params, "contextId", query.context);
    set(&mut params, "tenant", query.tenant);
    set(&mut params, "pageToken", query.token);
    if let Some(state) = query.state {
        params["status"] = word(dialect, state).into();
    }
    if let Some(size) = query.size {
        params["pageSize"] = size.into();
    }
    if let Some(length) = query.history {
        params["historyLength"] = length.into();
    }
    if dialect == Dialect::Praison {
        let tasks = client.call("tasks/list", params, dialect, &[]).await?;
        let tasks = tasks.as_array().unwrap().iter().map(|value| task(dialect, value)).collect();
        return Ok(Page { tasks, next: String::new(), total: None });
    }
    if query.artifacts {
        params["includeArtifacts"] = true.into();
    }
    let page = client.call("ListTasks", params, dialect, &[]).await?;
    if client.door == Door::Rest03 {
        members(&page, &["tasks", "nextPageToken", "totalSize"], &[]);
    } else {
        members(&page, &["tasks", "nextPageToken", "pageSize", "totalSize"], &[]);
        assert_eq!(page["pageSize"], query.size.unwrap_or(50));
    }
    Ok(Page {
        tasks: page["tasks"].as_array().unwrap().iter().map(|value| task(dialect, value)).collect(),
        next: string(&page["nextPageToken"]),
        total: Some(i32::try_from(page["totalSize"].as_i64().unwrap()).unwrap()),
    })
}

/// A refusal as clients made for 0.3 take it: a stream whose only event is the error.
async fn only_event(response: reqwest::Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
}

pub async fn open(
    client: &Client,
    method: &str,
    mut params: Value,
    dialect: Dialect,
    headers: &[(&str, &str)],
) -> Result<Events> {
    if client.door.is_rest() {
        return super::rest::open(client, method, params, headers).await;
    }
    set(&mut params, "tenant", &client.tenant);
    let body = json!({"jsonrpc": "2.0", "id": ID, "method": method, "params": params});
    let mut headers = headers.to_vec();
    headers.push(("accept", "text/event-stream"));
    let response = client.post(body.to_string(), &headers).await;
    assert_eq!(response.status(), 200, "{method}");
    if response.headers()["content-type"] == "application/json" {
        return Err(result(dialect, &response.json().await.unwrap()).unwrap_err());
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    if response.content_length().is_some() {
        assert_eq!(dialect, Dialect::V03);
        return Err(result(dialect, &only_event(response).await).unwrap_err());
    }
    let frames =
        stream::unfold((response.bytes_stream().boxed(), Parser::default()), |(mut bytes, mut parser)| async move {
            let Some(chunk) = bytes.next().await else {
                parser.finish();
                return None;
            };
            Some((parser.push(&chunk.unwrap()), (bytes, parser)))
        });
    Ok(Events(frames.map(stream::iter).flatten().map(move |frame| item(dialect, &frame)).boxed()))
}

/// One event of a stream.
fn item(dialect: Dialect, frame: &Frame) -> Result<Item> {
    let data: Value = serde_json::from_str(frame.data.as_ref().unwrap()).unwrap();
    if dialect == Dialect::Praison {
        assert_eq!(frame.id, None);
        let (task, what) = match frame.event.as_deref() {
            Some("task.status") => status_update(dialect, &data),
            Some("task.artifact") => artifact_update(dialect, &data),
            Some("done") => {
                assert_eq!(data, json!({}));
                (String::new(), What::Done)
            }
            other => panic!("the event {other:?}"),
        };
        return Ok(Item { sequence: None, task, what });
    }
    assert_eq!(frame.event, None);
    let result = result(dialect, &data)?;
    Ok(event(dialect, frame.id.as_ref().unwrap(), &result))
}

/// One of A2A's events, with its id.
pub fn event(dialect: Dialect, id: &str, result: &Value) -> Item {
    let sequence = Some(id.parse().unwrap());
    let (kind, value) = match dialect {
        Dialect::V1 => {
            let members = result.as_object().unwrap();
            assert_eq!(members.len(), 1, "{result}");
            members.iter().next().map(|(kind, value)| (kind.clone(), value)).unwrap()
        }
        _ => (string(&result["kind"]), result),
    };
    let (task, what) = match kind.as_str() {
        "task" => {
            let task = task(dialect, value);
            (task.id.clone(), What::Task(task))
        }
        "message" => {
            (value["taskId"].as_str().unwrap_or_default().to_owned(), What::Message(message(dialect, value).1))
        }
        "statusUpdate" | "status-update" => status_update(dialect, value),
        "artifactUpdate" | "artifact-update" => artifact_update(dialect, value),
        other => panic!("the event {other}"),
    };
    Item { sequence, task, what }
}

fn status_update(dialect: Dialect, value: &Value) -> (String, What) {
    match dialect {
        Dialect::V1 => members(value, &["taskId", "contextId", "status"], &["metadata"]),
        Dialect::V03 => members(value, &["kind", "taskId", "contextId", "status", "final"], &["metadata"]),
        Dialect::Praison => members(value, &["taskId", "status", "final"], &["contextId", "metadata"]),
    }
    let status = &value["status"];
    let timed = dialect != Dialect::Praison;
    assert_eq!(status.get("timestamp").is_some(), timed, "{value}");
    let (state, said) = status_of(dialect, status);
    let last = (dialect != Dialect::V1).then(|| value["final"].as_bool().unwrap());
    (string(&value["taskId"]), What::Status { state, said, last })
}

fn artifact_update(dialect: Dialect, value: &Value) -> (String, What) {
    let flags = ["append", "lastChunk"];
    match dialect {
        Dialect::V1 => {
            members(value, &["taskId", "contextId", "artifact"], &["append", "lastChunk", "metadata"]);
            assert!(flags.iter().all(|flag| value[*flag] != false), "a default is written: {value}");
        }
        Dialect::V03 => {
            members(value, &["kind", "taskId", "contextId", "artifact", "append", "lastChunk"], &["metadata"]);
        }
        Dialect::Praison => {
            members(value, &["taskId", "artifact", "append", "lastChunk"], &["contextId", "metadata"]);
        }
    }
    let [append, last] = flags.map(|flag| value.get(flag).is_some_and(|set| set.as_bool().unwrap()));
    (string(&value["taskId"]), What::Artifact { text: artifact(dialect, &value["artifact"]), append, last })
}

/// A task in the dialect.
pub fn task(dialect: Dialect, value: &Value) -> Seen {
    let lists = &["artifacts", "history", "metadata"];
    match dialect {
        Dialect::V1 => members(value, &["id", "contextId", "status"], lists),
        Dialect::V03 => {
            members(value, &["kind", "id", "contextId", "status"], lists);
            assert_eq!(value["kind"], "task");
        }
        Dialect::Praison => members(value, &["id", "status"], &["contextId", "artifacts", "history", "metadata"]),
    }
    let (state, said) = status_of(dialect, &value["status"]);
    let each = |name: &str| value.get(name).map(|list| list.as_array().unwrap().as_slice()).unwrap_or_default();
    Seen {
        id: string(&value["id"]),
        context: value.get("contextId").map(string).unwrap_or_default(),
        state,
        said,
        artifacts: each("artifacts").iter().map(|value| artifact(dialect, value)).collect(),
        history: each("history")
            .iter()
            .map(|value| message(dialect, value))
            .map(|(who, text)| who + ": " + &text)
            .collect(),
    }
}

fn status_of(dialect: Dialect, status: &Value) -> (TaskState, String) {
    members(status, &["state"], &["message", "timestamp"]);
    if let Some(time) = status.get("timestamp") {
        let time = time.as_str().unwrap();
        assert!(time.len() == "2026-01-02T03:04:05.678Z".len() && time.ends_with('Z'), "{time}");
    }
    let text = status["state"].as_str().unwrap();
    let states = (0..=8).map(|number| TaskState::try_from(number).unwrap());
    // PraisonAI has no word for a rejected task: it reads as failed there.
    let mut states = states.filter(|state| dialect != Dialect::Praison || *state != TaskState::Rejected);
    let state = states.find(|state| word(dialect, *state) == text);
    let state = state.unwrap_or_else(|| panic!("{dialect:?} has no state {text}"));
    (state, status.get("message").map(|said| message(dialect, said).1).unwrap_or_default())
}

/// A state's only spelling in the dialect.
pub fn word(dialect: Dialect, state: TaskState) -> String {
    let name = state.as_str_name();
    let short = name.trim_start_matches("TASK_STATE_").to_ascii_lowercase();
    match dialect {
        Dialect::V1 => name.to_owned(),
        Dialect::V03 => short.replace('_', "-"),
        Dialect::Praison => short.replace("canceled", "cancelled"),
    }
}

/// Who wrote a message, and its text.
fn message(dialect: Dialect, value: &Value) -> (String, String) {
    let more = ["contextId", "taskId", "metadata", "referenceTaskIds"];
    match dialect {
        Dialect::V1 => members(value, &["messageId", "role", "parts"], &more),
        Dialect::V03 => {
            members(value, &["kind", "messageId", "role", "parts"], &more);
            assert_eq!(value["kind"], "message");
        }
        Dialect::Praison => members(value, &["messageId", "role", "parts"], &more),
    }
    let who = match (dialect, value["role"].as_str().unwrap()) {
        (Dialect::V1, "ROLE_USER") | (Dialect::V03 | Dialect::Praison, "user") => "user",
        (Dialect::V1, "ROLE_AGENT") | (Dialect::V03 | Dialect::Praison, "agent") => "agent",
        (_, other) => panic!("{dialect:?} has no role {other}"),
    };
    (who.to_owned(), texts(dialect, &value["parts"]))
}

fn artifact(dialect: Dialect, value: &Value) -> String {
    members(value, &["artifactId", "parts"], &["name", "description", "metadata"]);
    texts(dialect, &value["parts"])
}

fn texts(dialect: Dialect, parts: &Value) -> String {
    let text = |part: &Value| {
        if dialect == Dialect::V03 {
            members(part, &["kind", "text"], &[]);
            assert_eq!(part["kind"], "text");
        } else {
            members(part, &["text"], &[]);
        }
        string(&part["text"])
    };
    parts.as_array().unwrap().iter().map(text).collect()
}

/// Checks that an object has all these members, perhaps those, and no others; none of them null but a result.
#[track_caller]
pub fn members(value: &Value, required: &[&str], optional: &[&str]) {
    let object: &Map<String, Value> = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    for name in required {
        assert!(object.contains_key(*name), "{name} is missing in {value}");
    }
    for (name, member) in object {
        assert!(required.contains(&name.as_str()) || optional.contains(&name.as_str()), "{name} in {value}");
        assert!(!member.is_null() || ["id", "result"].contains(&name.as_str()), "{name} is null in {value}");
    }
}

#[track_caller]
fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
