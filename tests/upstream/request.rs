//! What the gateway asks of an agent, read strictly: a member that the official servers of the dialect do not know, or a
//! word in another dialect's spelling, is a violation, which fails the test that takes the call.

use a2a_gateway::proto::a2a::Role;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::{Face, render::Json, server::Received};

/// Where each HTTP face is called, below its base URL.
pub const RPC_PATH: &str = "/rpc";
pub const PRAISON_PATH: &str = "/a2a";
pub const REST_PATH: &str = "/rest";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `blocking`: as the official servers of the face understand the request.
    Send {
        blocking: bool,
    },
    Stream,
    Get,
    Subscribe,
    Cancel,
}

impl Operation {
    pub const SEND: Self = Self::Send { blocking: true };
    pub const SEND_AT_ONCE: Self = Self::Send { blocking: false };

    /// Whether it brings a message.
    pub fn is_send(self) -> bool {
        matches!(self, Self::Send { .. } | Self::Stream)
    }

    pub fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Subscribe)
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub operation: Operation,
    /// Of the message, or the task that is asked for.
    pub task_id: String,
    pub context_id: String,
    pub message_id: String,
    /// The message's text parts, one after the other.
    pub text: String,
    /// How many parts the message has.
    pub parts: usize,
    pub references: Vec<String>,
    pub output_modes: Vec<String>,
    pub history_length: Option<i32>,
    pub tenant: String,
    /// Beside the message, or of the request. Null: none.
    pub metadata: Value,
    /// Of the message. Null: none.
    pub message_metadata: Value,
    /// HTTP headers or gRPC metadata.
    pub headers: HeaderMap,
    /// The parameters as they came. Null on gRPC.
    pub body: Value,
}

impl Request {
    pub fn new(operation: Operation, received: &Received) -> Self {
        Self {
            operation,
            task_id: String::new(),
            context_id: String::new(),
            message_id: String::new(),
            text: String::new(),
            parts: 0,
            references: Vec::new(),
            output_modes: Vec::new(),
            history_length: None,
            tenant: String::new(),
            metadata: Value::Null,
            message_metadata: Value::Null,
            headers: received.headers.clone(),
            body: Value::Null,
        }
    }

    /// A header; empty: it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Why a request is no call.
#[derive(Debug)]
pub enum Reject {
    /// Answered with this HTTP status and otherwise unnoticed: clients try what the agent may not have.
    Status(u16),
    /// The request is not what a client of the face may send.
    Violation(String),
}

type Read<T> = Result<T, Reject>;

pub fn violation<T>(text: impl Into<String>) -> Read<T> {
    Err(Reject::Violation(text.into()))
}

/// Reads a JSON-RPC request; gives its id, too.
pub fn rpc(face: Face, json: Json, received: &Received) -> Read<(Request, Value)> {
    let path = if face == Face::Praison { PRAISON_PATH } else { RPC_PATH };
    match (&received.method, received.uri.path()) {
        (&Method::POST, at) if at == path => {}
        (&Method::POST, at) => return violation(format!("a POST to {at}")),
        _ => return Err(Reject::Status(404)),
    }
    version(json, &received.headers)?;
    let body = body(received, &["application/json"])?;
    let envelope = object("the request", &body, &["jsonrpc", "id", "method", "params"])?;
    if envelope.get("jsonrpc") != Some(&Value::from("2.0")) {
        return violation("jsonrpc is not \"2.0\"");
    }
    // Go's servers and clients know only text.
    let Some(id @ Value::String(_)) = envelope.get("id") else { return violation("the id is not text") };
    let params = envelope.get("params").unwrap_or(&Value::Null);
    let method = string(envelope, "method")?;
    let operation = match (json, method.as_str()) {
        (Json::V1, "SendMessage") | (Json::V03 | Json::Praison, "message/send") => Operation::SEND,
        (Json::V1, "SendStreamingMessage") | (Json::V03 | Json::Praison, "message/stream") => Operation::Stream,
        (Json::V1, "GetTask") | (Json::V03 | Json::Praison, "tasks/get") => Operation::Get,
        (Json::V1, "CancelTask") | (Json::V03 | Json::Praison, "tasks/cancel") => Operation::Cancel,
        (Json::V1, "SubscribeToTask") | (Json::V03, "tasks/resubscribe") => Operation::Subscribe,
        _ => return violation(format!("an unknown method: {method}")),
    };
    let mut request = Request::new(operation, received);
    request.body = params.clone();
    match operation {
        Operation::Send { .. } | Operation::Stream => read_send(json, &mut request)?,
        _ => read_lookup(json, &mut request)?,
    }
    Ok((request, id.clone()))
}

/// Reads a request of the HTTP+JSON binding. `get_only`: the agent subscribes by GET only.
pub fn rest(json: Json, get_only: bool, received: &Received) -> Read<Request> {
    let Some(path) = received.uri.path().strip_prefix(REST_PATH) else {
        return if received.method == Method::GET {
            Err(Reject::Status(404))
        } else {
            violation("outside of the base")
        };
    };
    let segments: Vec<_> = path.split('/').skip(1).collect();
    let (segments, tenant) = match (json, segments.as_slice()) {
        (Json::V1, rest @ (["message:send" | "message:stream"] | ["tasks", _])) => (rest, ""),
        (Json::V1, [tenant, rest @ ..]) => (rest, *tenant),
        (_, ["v1", rest @ ..]) => (rest, ""),
        _ => return violation(format!("no such path: {path}")),
    };
    let (method, post) = (&received.method, received.method == Method::POST);
    let (operation, id) = match segments {
        ["message:send"] if post => (Operation::SEND, ""),
        ["message:stream"] if post => (Operation::Stream, ""),
        ["tasks", name] => match name.rsplit_once(':') {
            Some((id, "cancel")) if post => (Operation::Cancel, id),
            Some((_, "subscribe")) if post && get_only => return Err(Reject::Status(405)),
            Some((id, "subscribe")) => (Operation::Subscribe, id),
            None if method == Method::GET => (Operation::Get, *name),
            _ => return violation(format!("{method} {path}")),
        },
        _ => return violation(format!("{method} {path}")),
    };
    version(json, &received.headers)?;
    let mut request = Request::new(operation, received);
    request.task_id = unescape(id)?;
    let types =
        if json == Json::V1 { &["application/json", "application/a2a+json"][..] } else { &["application/json"] };
    if post && !received.body.is_empty() {
        request.body = body(received, types)?;
    }
    match operation {
        Operation::Send { .. } | Operation::Stream => read_send(json, &mut request)?,
        Operation::Cancel if !request.body.is_null() => read_cancel(json, &mut request)?,
        _ if !received.body.is_empty() => return violation("a body where none belongs"),
        _ => read_query(received, &mut request)?,
    }
    if !tenant.is_empty() {
        request.tenant = unescape(tenant)?;
    }
    Ok(request)
}

fn read_query(received: &Received, request: &mut Request) -> Read<()> {
    for pair in received.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("historyLength", number)) if request.operation == Operation::Get => {
                request.history_length = number.parse().ok();
            }
            _ => return violation(format!("in the query: {pair}")),
        }
    }
    Ok(())
}

fn read_cancel(json: Json, request: &mut Request) -> Read<()> {
    let known: &[&str] = if json == Json::V1 { &["id", "tenant", "metadata"] } else { &["name"] };
    let body = request.body.clone();
    let members = object("the body", &body, known)?;
    if members.get("name").is_some_and(|name| *name != format!("tasks/{}", request.task_id)) {
        return violation("name and path differ");
    }
    request.metadata = members.get("metadata").cloned().unwrap_or_default();
    request.tenant = optional(members, "tenant")?;
    Ok(())
}

/// The parameters of a JSON-RPC call about a task.
fn read_lookup(json: Json, request: &mut Request) -> Read<()> {
    let known: &[&str] = match (json, request.operation) {
        (Json::V1, Operation::Get) => &["tenant", "id", "historyLength"],
        (Json::V1, Operation::Cancel) => &["tenant", "id", "metadata"],
        (Json::V1, _) => &["tenant", "id"],
        (Json::Praison, _) => &["id"],
        (_, Operation::Get) => &["id", "historyLength", "metadata"],
        _ => &["id", "metadata"],
    };
    let body = request.body.clone();
    let params = object("params", &body, known)?;
    request.task_id = string(params, "id")?;
    request.tenant = optional(params, "tenant")?;
    request.history_length = integer(params, "historyLength")?;
    request.metadata = params.get("metadata").cloned().unwrap_or_default();
    Ok(())
}

fn read_send(json: Json, request: &mut Request) -> Read<()> {
    let body = request.body.clone();
    let known: &[&str] = match json {
        Json::V1 => &["tenant", "message", "configuration", "metadata"],
        Json::V03 | Json::V03Proto => &["message", "configuration", "metadata"],
        Json::Praison => &["message", "configuration"],
    };
    let params = object("params", &body, known)?;
    request.tenant = optional(params, "tenant")?;
    request.metadata = params.get("metadata").cloned().unwrap_or_default();
    read_message(json, request, params.get("message").unwrap_or(&Value::Null))?;
    let nothing = Value::Object(Map::new());
    let given = params.get("configuration");
    // The push configurations of A2A are no business of the agent's: the gateway keeps its own.
    let known: &[&str] = match json {
        Json::V1 => &["acceptedOutputModes", "historyLength", "returnImmediately"],
        Json::V03 | Json::V03Proto => &["acceptedOutputModes", "historyLength", "blocking"],
        Json::Praison => &["returnImmediately"],
    };
    let configuration = object("configuration", given.unwrap_or(&nothing), known)?;
    request.history_length = integer(configuration, "historyLength")?;
    request.output_modes = strings(configuration, "acceptedOutputModes")?;
    if let Operation::Send { blocking } = &mut request.operation {
        *blocking = match json {
            Json::V1 | Json::Praison => !flag(configuration, "returnImmediately")?.unwrap_or(false),
            Json::V03 => flag(configuration, "blocking")?.unwrap_or(true),
            // A bool of proto3 that is not there is false, also to a server without the whole configuration.
            Json::V03Proto => flag(configuration, "blocking")?.unwrap_or(false),
        };
    }
    Ok(())
}

fn read_message(json: Json, request: &mut Request, message: &Value) -> Read<()> {
    let mut known = vec!["messageId", "contextId", "taskId", "role", "metadata"];
    known.extend(match json {
        Json::V1 => &["parts", "extensions", "referenceTaskIds"][..],
        Json::V03 => &["kind", "parts", "extensions", "referenceTaskIds"],
        Json::V03Proto => &["content", "extensions"],
        Json::Praison => &["parts", "referenceTaskIds"],
    });
    let message = object("message", message, &known)?;
    let role = if matches!(json, Json::V1 | Json::V03Proto) { Role::User.as_str_name() } else { "user" };
    if string(message, "role")? != role {
        return violation(format!("the role is not {role}"));
    }
    if json == Json::V03 && string(message, "kind")? != "message" {
        return violation("a message of another kind");
    }
    request.message_id = string(message, "messageId")?;
    request.context_id = optional(message, "contextId")?;
    request.task_id = optional(message, "taskId")?;
    request.references = strings(message, "referenceTaskIds")?;
    request.message_metadata = message.get("metadata").cloned().unwrap_or_default();
    let key = if json == Json::V03Proto { "content" } else { "parts" };
    let Some(parts) = message.get(key).and_then(Value::as_array).filter(|parts| !parts.is_empty()) else {
        return violation("a message without parts");
    };
    request.parts = parts.len();
    for part in parts {
        request.text += &read_part(json, part)?;
    }
    Ok(())
}

/// The part's text; empty: it is of another form.
fn read_part(json: Json, part: &Value) -> Read<String> {
    let known: &[&str] = match json {
        Json::V1 => &["text", "raw", "url", "data", "metadata", "filename", "mediaType"],
        Json::V03 => &["kind", "text", "file", "data", "metadata"],
        Json::V03Proto => &["text", "file", "data", "metadata"],
        Json::Praison => &["text", "url", "data", "metadata", "filename", "mediaType"],
    };
    let members = object("a part", part, known)?;
    let forms: Vec<_> =
        ["text", "raw", "url", "data", "file"].into_iter().filter(|k| members.contains_key(*k)).collect();
    let [form] = forms.as_slice() else { return violation(format!("not one form of part: {part}")) };
    if json == Json::V03 && string(members, "kind")? != *form {
        return violation(format!("a part of another kind: {part}"));
    }
    if *form == "file" {
        let known: &[&str] = match json {
            Json::V03 => &["bytes", "uri", "name", "mimeType"],
            _ => &["fileWithBytes", "fileWithUri", "name", "mimeType"],
        };
        object("a file", &members["file"], known)?;
    }
    optional(members, "text")
}

/// 1.0 is named on every request, 0.3 may be, and PraisonAI knows no versions.
fn version(json: Json, headers: &HeaderMap) -> Read<()> {
    let version = headers.get("a2a-version").map(|value| value.to_str().unwrap());
    let fits = match json {
        Json::V1 => version == Some("1.0"),
        Json::V03 | Json::V03Proto => matches!(version, None | Some("0.3")),
        Json::Praison => true,
    };
    if fits { Ok(()) } else { violation(format!("A2A-Version: {version:?}")) }
}

fn body(received: &Received, types: &[&str]) -> Read<Value> {
    let kind = received.headers.get("content-type").map(|value| value.to_str().unwrap()).unwrap_or_default();
    if !types.contains(&kind) {
        return violation(format!("Content-Type: {kind}"));
    }
    serde_json::from_slice(&received.body).or_else(|error| violation(format!("not JSON: {error}")))
}

fn object<'a>(what: &str, value: &'a Value, known: &[&str]) -> Read<&'a Map<String, Value>> {
    let Some(members) = value.as_object() else { return violation(format!("{what} is no object: {value}")) };
    match members.iter().find(|(name, value)| !known.contains(&name.as_str()) || (value.is_null() && *name != "data")) {
        None => Ok(members),
        Some((name, value)) => violation(format!("{what} may not have {name}: {value}")),
    }
}

/// Text that must be there.
fn string(members: &Map<String, Value>, name: &str) -> Read<String> {
    match optional(members, name)? {
        text if text.is_empty() => violation(format!("{name} is missing")),
        text => Ok(text),
    }
}

fn optional(members: &Map<String, Value>, name: &str) -> Read<String> {
    match members.get(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => violation(format!("{name} is no text: {value}")),
    }
}

fn strings(members: &Map<String, Value>, name: &str) -> Read<Vec<String>> {
    match members.get(name) {
        None => Ok(Vec::new()),
        Some(value) => serde_json::from_value(value.clone()).or_else(|_| violation(format!("{name}: {value}"))),
    }
}

fn integer(members: &Map<String, Value>, name: &str) -> Read<Option<i32>> {
    let value = members.get(name);
    let number = value.and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
    if value.is_some() == number.is_some() { Ok(number) } else { violation(format!("{name}: {value:?}")) }
}

fn flag(members: &Map<String, Value>, name: &str) -> Read<Option<bool>> {
    let value = members.get(name);
    let set = value.and_then(Value::as_bool);
    if value.is_some() == set.is_some() { Ok(set) } else { violation(format!("{name}: {value:?}")) }
}

/// Undoes the escapes of a path segment.
fn unescape(segment: &str) -> Read<String> {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
            let digits = std::str::from_utf8(&digits).unwrap_or_default();
            match u8::from_str_radix(digits, 16) {
                Ok(byte) => bytes.push(byte),
                Err(_) => return violation(format!("not an escape in {segment}")),
            }
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).or_else(|_| violation(format!("not UTF-8: {segment}")))
}
