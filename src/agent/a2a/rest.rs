//! Calling an agent by HTTP+JSON: A2A 1.0 and 0.3.
//!
//! What is sent in 0.3 is the JSON of its contract and nothing else, since its SDKs refuse more.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{Method, StatusCode};
use reqwest::Url;
use serde_json::{Value, json};

use super::{
    http::{Call, Client, Envelope, Patience, Reply, Whole, fault_of, headers_for, is_stream, only, read_events},
    link::{Answer, CallError, Event, Events, Link},
};
use crate::{
    error::{Error, ErrorKind},
    proto::{
        a2a::{SendMessageRequest, Task},
        well_known::Struct,
    },
    task::Dialect,
    wire::{
        self,
        decode::answer,
        encode::request,
        v03::{FileBytes, json as v03, name},
    },
};

/// An agent's HTTP+JSON interface.
#[derive(Debug)]
pub struct RestLink {
    client: Arc<Client>,
    /// Its path ends without a slash, and with what comes before every operation's.
    base: Url,
    dialect: Dialect,
}

/// One call: what differs between them.
struct Request<'a> {
    method: Method,
    path: String,
    query: Option<(&'static str, &'static str)>,
    body: Option<Bytes>,
    extensions: &'a [String],
    patience: Patience,
}

impl<'a> Request<'a> {
    fn new(method: Method, path: String, extensions: &'a [String], patience: Patience) -> Self {
        Self { method, path, query: None, body: None, extensions, patience }
    }
}

impl RestLink {
    /// The interface at `url`. `tenant` is part of every path in 1.0, unless empty.
    pub fn new(client: Arc<Client>, url: Url, dialect: Dialect, tenant: &str) -> Self {
        let mut path = url.path().trim_end_matches('/').to_owned();
        if dialect == Dialect::V1 {
            if !tenant.is_empty() {
                path = format!("{path}/{}", encoded(tenant));
            }
        } else if !path.ends_with("/v1") {
            // Some cards name the URL with the version, though it belongs to the operations' paths.
            path.push_str("/v1");
        }
        let mut base = url;
        base.set_path(&path);
        Self { client, base, dialect }
    }

    /// Makes a call; gives the answer when it has begun.
    async fn open(&self, request: Request<'_>) -> Result<Reply, CallError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), request.path));
        if let Some((name, value)) = request.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let headers = headers_for(self.dialect, request.extensions);
        let Request { method, body, patience, .. } = request;
        self.client.call(Call { method, url: &url, headers, body, patience }).await
    }

    /// What an answer that is not a stream holds, read by `read`.
    async fn one<T>(
        &self,
        reply: Reply,
        read: impl FnOnce(Value, Dialect) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        let whole = Whole::read(reply).await?;
        read(self.content(&whole)?, self.dialect).map_err(|error| whole.not_a2a(&error))
    }

    /// The events of an answer, or the one thing that it holds instead of a stream.
    async fn events(&self, reply: Reply) -> Result<Events, CallError> {
        if is_stream(&reply) {
            return Ok(read_events(reply, self.dialect, read_event));
        }
        let whole = Whole::read(reply).await?;
        only(read_event(self.content(&whole)?, None, self.dialect), &whole)
    }

    /// What an answer that is no stream holds.
    fn content(&self, whole: &Whole) -> Result<Value, CallError> {
        if !whole.status.is_success() {
            return Err(self.refusal(whole));
        }
        match serde_json::from_slice(&whole.body).ok().map(Envelope::open) {
            Some(Envelope::Error(error)) => Err(fault_of(&error, self.dialect)),
            Some(Envelope::Result(value) | Envelope::Bare(value)) => Ok(value),
            None => Err(whole.malformed("is not JSON")),
        }
    }

    /// What an answer says that is an error by its status.
    fn refusal(&self, whole: &Whole) -> CallError {
        let json = serde_json::from_slice(&whole.body).ok();
        whole.refused(json.and_then(|error| self.said(&error, whole.status)))
    }

    /// The agent's error in an answer with such a status. None: it is not from the agent, by its form.
    fn said(&self, body: &Value, status: StatusCode) -> Option<(Option<ErrorKind>, String)> {
        let own = ["error", "message", "code"].into_iter().any(|name| body.get(name).is_some());
        let (kind, text) = own.then(|| wire::fault::read(body, self.dialect))?;
        Some((kind.or_else(|| wire::fault::by_status(status.as_u16())), text))
    }

    /// A message to send. The tenant is in the path.
    fn message(&self, message: SendMessageRequest) -> Bytes {
        match self.dialect {
            Dialect::V1 => request::json(&request::send(&message, self.dialect, "")),
            Dialect::V03 | Dialect::Praison => v03::write_send(message, FileBytes::default()).to_string().into(),
        }
    }

    async fn subscribed(&self, method: Method, id: &str, extensions: &[String]) -> Result<Reply, CallError> {
        self.open(Request::new(method, task(id, ":subscribe"), extensions, Patience::Stream)).await
    }
}

impl Link for RestLink {
    fn send<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        async move {
            let patience = Patience::of(&request);
            let mut call = Request::new(Method::POST, "/message:send".to_owned(), extensions, patience);
            call.body = Some(self.message(request));
            self.one(self.open(call).await?, read_sent).await
        }
        .boxed()
    }

    fn stream<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Events, CallError>> {
        async move {
            let mut call = Request::new(Method::POST, "/message:stream".to_owned(), extensions, Patience::Stream);
            call.body = Some(self.message(request));
            self.events(self.open(call).await?).await
        }
        .boxed()
    }

    fn get<'a>(
        &'a self,
        id: &'a str,
        history: bool,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        async move {
            let mut call = Request::new(Method::GET, task(id, ""), extensions, Patience::Answer);
            // In 0.3's contract 0 means all of it.
            call.query = (!history && self.dialect == Dialect::V1).then_some(("historyLength", "0"));
            self.one(self.open(call).await?, read_task).await
        }
        .boxed()
    }

    fn subscribe<'a>(&'a self, id: &'a str, extensions: &'a [String]) -> BoxFuture<'a, Result<Events, CallError>> {
        // The texts and the contracts disagree about the method.
        let [first, second] = match self.dialect {
            Dialect::V1 => [Method::POST, Method::GET],
            Dialect::V03 | Dialect::Praison => [Method::GET, Method::POST],
        };
        let unserved = |reply: &Reply| matches!(reply.status().as_u16(), 404 | 405 | 501);
        async move {
            let reply = self.subscribed(first, id, extensions).await?;
            if !unserved(&reply) {
                return self.events(reply).await;
            }
            let whole = Whole::read(reply).await?;
            let named = serde_json::from_slice(&whole.body).is_ok_and(|error| {
                let (kind, _) = wire::fault::read(&error, self.dialect);
                kind.is_some_and(|kind| kind != ErrorKind::UnsupportedOperation)
            });
            if !named {
                let reply = self.subscribed(second, id, extensions).await?;
                if !unserved(&reply) {
                    return self.events(reply).await;
                }
            }
            Err(self.refusal(&whole))
        }
        .boxed()
    }

    fn cancel<'a>(
        &'a self,
        id: &'a str,
        metadata: Option<Struct>,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        async move {
            let mut call = Request::new(Method::POST, task(id, ":cancel"), extensions, Patience::Answer);
            call.body = Some(match self.dialect {
                Dialect::V1 => request::json(&request::cancel("", metadata.as_ref(), self.dialect, "")),
                Dialect::V03 | Dialect::Praison => json!({"name": name::task(id)}).to_string().into(),
            });
            self.one(self.open(call).await?, read_task).await
        }
        .boxed()
    }
}

/// The path of a task, or of an operation on it.
fn task(id: &str, operation: &str) -> String {
    format!("/tasks/{}{operation}", encoded(id))
}

/// Text as one segment of a path. A colon would begin an operation's name.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether 0.3's JSON is that of its contract. The text of 0.3 can be read as asking for JSON-RPC's.
fn is_contract(value: &Value, dialect: Dialect) -> bool {
    dialect == Dialect::V03 && value.get("kind").is_none()
}

fn read_sent(value: Value, dialect: Dialect) -> Result<Answer, Error> {
    if is_contract(&value, dialect) { v03::read_sent(value).map_err(invalid) } else { answer::sent(value, dialect) }
}

fn read_task(value: Value, dialect: Dialect) -> Result<Task, Error> {
    if is_contract(&value, dialect) { v03::read_task(value).map_err(invalid) } else { answer::task(value, dialect) }
}

fn read_event(value: Value, _: Option<&str>, dialect: Dialect) -> Result<Option<Event>, Error> {
    if is_contract(&value, dialect) {
        v03::read_event(value).map_err(invalid)
    } else {
        answer::event(value, None, dialect)
    }
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidAgentResponse, why)
}
