//! The REST doors: A2A 1.0 and 0.3. What callers of JSON-RPC would send is put into paths, queries and bodies; what comes
//! back is checked to be the version's own, and shown as JSON-RPC has it, so that one reader does for all JSON.

use a2a_gateway::proto::a2a::TaskState;
use futures::{StreamExt as _, stream};
use reqwest::{Method, Response};
use serde_json::{Map, Value, json};

use super::{
    Client, Dialect, Door, Events, Fault,
    json::{self, Result, members},
    sse::Parser,
};

/// One request: verb, path below the base, query, body.
struct Call {
    verb: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

/// Text as one segment of a path.
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Client {
    /// Sends a request to a path below the client's base, with the headers that clients of the version send, and these.
    pub async fn ask(&self, verb: Method, path: &str, body: Option<String>, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.request(verb, format!("{}{path}", self.url));
        if self.door == Door::Rest && headers.iter().all(|(name, _)| *name != "a2a-version") {
            request = request.header("a2a-version", "1.0");
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    async fn perform(&self, method: &str, mut params: Value, headers: &[(&str, &str)]) -> Response {
        let tenant = params.as_object_mut().and_then(|params| params.remove("tenant"));
        let tenant = tenant.as_ref().and_then(Value::as_str).unwrap_or(&self.tenant);
        let prefix = if tenant.is_empty() { String::new() } else { format!("/{}", segment(tenant)) };
        let version = if self.door == Door::Rest03 { "/v1" } else { "" };
        let Call { verb, path, query, body } = call_of(self.door, method, params);
        let url = reqwest::Url::parse_with_params("http://a/", &query).unwrap();
        let query = url.query().filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
        let body = body.map(|body| body.to_string());
        self.ask(verb, &format!("{version}{prefix}{path}{query}"), body, headers).await
    }
}

/// The request that a method and its parameters are.
fn call_of(door: Door, method: &str, params: Value) -> Call {
    let own = |name: &str| params.get(name).cloned().unwrap_or_default();
    let text = |name: &str| own(name).as_str().map(segment).unwrap_or_else(|| own(name).to_string());
    let v03_ids = door == Door::Rest03 && params.get("id").is_some() && method.contains("pushNotificationConfig/");
    let (task, config) =
        if v03_ids { (text("id"), text("pushNotificationConfigId")) } else { (text("taskId"), text("id")) };
    let config = if config == "null" { String::new() } else { config };
    let configs = format!("/tasks/{task}/pushNotificationConfigs");
    let call = |verb, path: String| Call { verb, path, query: Vec::new(), body: None };
    let post = |path: String, body: Value| Call { body: Some(body), ..call(Method::POST, path) };
    let get = |path: String, less: &[&str]| Call { query: query_of(door, &params, less), ..call(Method::GET, path) };
    let message = |params: &Value| if door == Door::Rest03 { to_contract(params.clone()) } else { params.clone() };
    match method {
        "SendMessage" | "message/send" => post("/message:send".into(), message(&params)),
        "SendStreamingMessage" | "message/stream" => post("/message:stream".into(), message(&params)),
        "GetTask" | "tasks/get" => get(format!("/tasks/{}", text("id")), &["id"]),
        "CancelTask" | "tasks/cancel" => call(Method::POST, format!("/tasks/{}:cancel", text("id"))),
        "SubscribeToTask" => call(Method::POST, format!("/tasks/{}:subscribe", text("id"))),
        "tasks/resubscribe" => call(Method::GET, format!("/tasks/{}:subscribe", text("id"))),
        "ListTasks" => get("/tasks".into(), &[]),
        "CreateTaskPushNotificationConfig" => post(configs, params.clone()),
        "tasks/pushNotificationConfig/set" => {
            let inner = own("pushNotificationConfig");
            let id = inner["id"].as_str().unwrap_or_default().to_owned();
            let name = format!("tasks/{task}/pushNotificationConfigs/{id}");
            let config = json!({"name": name, "pushNotificationConfig": inner});
            post(configs, json!({"parent": format!("tasks/{task}"), "configId": id, "config": config}))
        }
        "GetTaskPushNotificationConfig" | "tasks/pushNotificationConfig/get" => {
            call(Method::GET, format!("{configs}/{config}"))
        }
        "ListTaskPushNotificationConfigs" => get(configs, &["taskId"]),
        "tasks/pushNotificationConfig/list" => call(Method::GET, configs),
        "DeleteTaskPushNotificationConfig" | "tasks/pushNotificationConfig/delete" => {
            call(Method::DELETE, format!("{configs}/{config}"))
        }
        "GetExtendedAgentCard" => call(Method::GET, "/extendedAgentCard".into()),
        "agent/getAuthenticatedExtendedCard" => call(Method::GET, "/card".into()),
        other => panic!("no path for {other}"),
    }
}

fn query_of(door: Door, params: &Value, less: &[&str]) -> Vec<(String, String)> {
    let params = params.as_object().into_iter().flatten().filter(|(name, _)| !less.contains(&name.as_str()));
    let text = |name: &str, value: &Value| match value {
        Value::String(word) if name == "status" && door == Door::Rest03 => {
            state_names().find(|(_, rpc)| rpc == word).unwrap().0
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    params.map(|(name, value)| (name.clone(), text(name, value))).collect()
}

/// Calls a method.
pub async fn call(client: &Client, method: &str, params: Value, headers: &[(&str, &str)]) -> Result<Value> {
    let response = client.perform(method, params, headers).await;
    let value = answer(client.door, response).await?;
    Ok(match method {
        "DeleteTaskPushNotificationConfig" | "tasks/pushNotificationConfig/delete" => {
            assert_eq!(value, json!({}));
            Value::Null
        }
        _ if client.door == Door::Rest => value,
        "message/send" => one_of(&value, &["task", "message"], |name, value| match name {
            "task" => task(value),
            _ => message(value),
        }),
        "tasks/get" | "tasks/cancel" => task(&value),
        "ListTasks" => {
            members(&value, &["tasks", "nextPageToken", "totalSize"], &[]);
            let tasks: Vec<_> = value["tasks"].as_array().unwrap().iter().map(task).collect();
            json!({"tasks": tasks, "nextPageToken": value["nextPageToken"], "totalSize": value["totalSize"]})
        }
        "tasks/pushNotificationConfig/list" => {
            members(&value, &["configs"], &[]);
            value["configs"].as_array().unwrap().iter().map(push_config).collect()
        }
        _ => push_config(&value),
    })
}

/// The result, or the error in the form of the version.
pub async fn answer(door: Door, response: Response) -> Result<Value> {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let value: Value = response.json().await.unwrap();
    if status == 200 { Ok(value) } else { Err(fault(door, status, &value)) }
}

/// Opens a stream.
pub async fn open(client: &Client, method: &str, params: Value, headers: &[(&str, &str)]) -> Result<Events> {
    let door = client.door;
    let mut headers = headers.to_vec();
    headers.push(("accept", "text/event-stream"));
    let response = client.perform(method, params, &headers).await;
    if response.status() != 200 {
        return Err(answer(door, response).await.unwrap_err());
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let frames =
        stream::unfold((response.bytes_stream().boxed(), Parser::default()), |(mut bytes, mut parser)| async move {
            let Some(chunk) = bytes.next().await else {
                parser.finish();
                return None;
            };
            Some((parser.push(&chunk.unwrap()), (bytes, parser)))
        });
    let item = move |frame: super::sse::Frame| {
        let data: Value = serde_json::from_str(&frame.data.unwrap()).unwrap();
        if frame.event.as_deref() == Some("error") {
            assert_eq!(frame.id, None);
            let status = if door == Door::Rest { data["error"]["code"].as_u64().unwrap() } else { 0 };
            return Err(fault(door, u16::try_from(status).unwrap(), &data));
        }
        assert_eq!(frame.event, None);
        let data = if door == Door::Rest { data } else { event(&data) };
        Ok(json::event(door.dialect().unwrap(), &frame.id.unwrap(), &data))
    };
    Ok(Events(frames.map(stream::iter).flatten().map(item).boxed()))
}

/// An error's body. A `status` of 0: it came within a stream.
pub fn fault(door: Door, status: u16, body: &Value) -> Fault {
    let fault = match door {
        Door::Rest => {
            members(body, &["error"], &[]);
            let error = &body["error"];
            members(error, &["code", "status", "message"], &["details"]);
            assert_eq!(error["code"], status);
            let mut rpc = json!({"code": status, "message": error["message"]});
            if let Some(details) = error.get("details") {
                rpc["data"] = details.clone();
            }
            json::fault(Dialect::V1, &rpc)
        }
        _ => json::fault(Dialect::V03, body),
    };
    Fault { status: Some(status), ..fault }
}

/// The states as 0.3's contract names them, and as its JSON-RPC does.
fn state_names() -> impl Iterator<Item = (String, String)> {
    let states = (0..=8).map(|number| TaskState::try_from(number).unwrap());
    states.map(|state| (state.as_str_name().replace("CANCELED", "CANCELLED"), json::word(Dialect::V03, state)))
}

/// A message to send as 0.3's contract has it.
fn to_contract(mut params: Value) -> Value {
    if let Some(message) = params.get_mut("message").and_then(Value::as_object_mut) {
        message.remove("kind");
        if message.get("role").is_some_and(|role| role == "user") {
            message.insert("role".into(), "ROLE_USER".into());
        }
        if let Some(mut parts) = message.remove("parts") {
            for part in parts.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                part.remove("kind");
                if let Some(data) = part.get_mut("data").filter(|data| data.is_object()) {
                    *data = json!({"data": data});
                }
            }
            message.insert("content".into(), parts);
        }
    }
    if let Some(configuration) = params.get_mut("configuration").and_then(Value::as_object_mut)
        && let Some(push) = configuration.remove("pushNotificationConfig")
    {
        configuration.insert("pushNotification".into(), push);
    }
    params
}

/// The one member of an object, read by its name.
fn one_of(value: &Value, names: &[&str], read: impl Fn(&str, &Value) -> Value) -> Value {
    members(value, &[], names);
    let object = value.as_object().unwrap();
    assert_eq!(object.len(), 1, "{value}");
    object.iter().map(|(name, value)| read(name, value)).next().unwrap()
}

/// An object of the contract with these members and perhaps those, some of them shown in another way, and a `kind`.
fn object(kind: &str, value: &Value, required: &[&str], optional: &[&str], show: fn(&str, &Value) -> Value) -> Value {
    members(value, required, optional);
    let members = value.as_object().unwrap().iter().map(|(name, value)| {
        let shown = if name == "content" { "parts" } else { name };
        (shown.to_owned(), show(name, value))
    });
    let mut members: Map<_, _> = members.collect();
    if !kind.is_empty() {
        members.insert("kind".into(), kind.into());
    }
    Value::Object(members)
}

fn all(list: &Value, show: fn(&Value) -> Value) -> Value {
    list.as_array().unwrap().iter().map(show).collect()
}

fn task(value: &Value) -> Value {
    object("task", value, &["id", "contextId", "status"], &["artifacts", "history", "metadata"], |name, value| {
        match name {
            "status" => status(value),
            "artifacts" => all(value, artifact),
            "history" => all(value, message),
            _ => value.clone(),
        }
    })
}

fn status(value: &Value) -> Value {
    object("", value, &["state"], &["message", "timestamp"], |name, value| match name {
        "state" => state_names().find(|(contract, _)| value == contract).expect("a state's name").1.into(),
        "message" => message(value),
        _ => value.clone(),
    })
}

fn message(value: &Value) -> Value {
    let optional = ["contextId", "taskId", "metadata", "referenceTaskIds"];
    object("message", value, &["messageId", "role", "content"], &optional, |name, value| match name {
        "role" if value == "ROLE_USER" => "user".into(),
        "role" if value == "ROLE_AGENT" => "agent".into(),
        "role" => panic!("not a role: {value}"),
        "content" => all(value, part),
        _ => value.clone(),
    })
}

fn artifact(value: &Value) -> Value {
    object("", value, &["artifactId", "parts"], &["name", "description", "metadata"], |name, value| match name {
        "parts" => all(value, part),
        _ => value.clone(),
    })
}

fn part(value: &Value) -> Value {
    if value.get("data").is_none() {
        return object("text", value, &["text"], &[], |_, value| value.clone());
    }
    object("data", value, &["data"], &[], |_, value| {
        members(value, &["data"], &[]);
        value["data"].clone()
    })
}

fn event(value: &Value) -> Value {
    one_of(value, &["task", "message", "statusUpdate", "artifactUpdate"], |name, value| match name {
        "task" => task(value),
        "message" => message(value),
        "statusUpdate" => {
            let required = ["taskId", "contextId", "status", "final"];
            object("status-update", value, &required, &["metadata"], |name, value| {
                if name == "status" { status(value) } else { value.clone() }
            })
        }
        _ => {
            let optional = ["append", "lastChunk", "metadata"];
            let required = ["taskId", "contextId", "artifact"];
            let mut shown = object("artifact-update", value, &required, &optional, |name, value| {
                if name == "artifact" { artifact(value) } else { value.clone() }
            });
            for flag in ["append", "lastChunk"] {
                // ProtoJSON leaves out what is false.
                assert_ne!(shown[flag], false);
                shown[flag] = (shown[flag] == true).into();
            }
            shown
        }
    })
}

fn push_config(value: &Value) -> Value {
    members(value, &["name", "pushNotificationConfig"], &[]);
    let config = &value["pushNotificationConfig"];
    let name = value["name"].as_str().unwrap();
    let (task, id) = name.strip_prefix("tasks/").unwrap().split_once("/pushNotificationConfigs/").unwrap();
    assert_eq!(config["id"], id);
    json!({"taskId": task, "pushNotificationConfig": config})
}
