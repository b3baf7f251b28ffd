//! Calling an agent by JSON-RPC: A2A 1.0, A2A 0.3 and PraisonAI's dialect.
//!
//! What is sent is strict; what is accepted is not: ids of answers are not compared, since an answer belongs to its
//! request by HTTP, and the HTTP status is looked at only when the body is no JSON-RPC answer.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::Method;
use reqwest::Url;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    http::{Call, Client, Envelope, Patience, Reply, Whole, fault_of, headers_for, is_stream, only, read_events},
    link::{Answer, CallError, Events, Link},
};
use crate::{
    error::ErrorKind,
    proto::{
        a2a::{SendMessageRequest, Task},
        well_known::Struct,
    },
    task::Dialect,
    wire::{self, decode::answer, encode::request, method::Operation},
};

/// An agent's JSON-RPC interface.
#[derive(Debug)]
pub struct JsonRpcLink {
    client: Arc<Client>,
    url: Url,
    dialect: Dialect,
    tenant: String,
}

impl JsonRpcLink {
    /// The interface at `url`. `tenant` is sent with every 1.0 request, unless empty.
    pub fn new(client: Arc<Client>, url: Url, dialect: Dialect, tenant: String) -> Self {
        Self { client, url, dialect, tenant }
    }

    /// A call of a method.
    fn request(&self, operation: Operation, params: &impl Serialize) -> Result<Bytes, CallError> {
        let method = operation.name_in(self.dialect).ok_or_else(|| {
            let text = format!("the agent's dialect has no {}", operation.name());
            CallError::Refused { kind: Some(ErrorKind::UnsupportedOperation), text }
        })?;
        Ok(request::rpc(&Uuid::now_v7().to_string(), method, params))
    }

    /// Makes a call; gives the answer when it has begun.
    async fn open(&self, body: Bytes, extensions: &[String], patience: Patience) -> Result<Reply, CallError> {
        let headers = headers_for(self.dialect, extensions);
        self.client.call(Call { method: Method::POST, url: &self.url, headers, body: Some(body), patience }).await
    }

    /// What a call that answers with one thing is answered with.
    async fn whole(&self, body: Bytes, extensions: &[String], patience: Patience) -> Result<(Whole, Value), CallError> {
        let whole = Whole::read(self.open(body, extensions, patience).await?).await?;
        let result = self.result(&whole)?;
        Ok((whole, result))
    }

    /// The answer to a call for a task.
    async fn task(&self, body: Result<Bytes, CallError>, extensions: &[String]) -> Result<Task, CallError> {
        let (whole, result) = self.whole(body?, extensions, Patience::Answer).await?;
        answer::task(result, self.dialect).map_err(|error| whole.not_a2a(&error))
    }

    /// The answer to a call for a stream: its events, or the one thing of an agent that does not stream.
    async fn events(&self, body: Result<Bytes, CallError>, extensions: &[String]) -> Result<Events, CallError> {
        let reply = self.open(body?, extensions, Patience::Stream).await?;
        if is_stream(&reply) {
            return Ok(read_events(reply, self.dialect, answer::event));
        }
        let whole = Whole::read(reply).await?;
        only(answer::event(self.result(&whole)?, None, self.dialect), &whole)
    }

    /// What a JSON-RPC answer holds.
    fn result(&self, whole: &Whole) -> Result<Value, CallError> {
        let envelope = serde_json::from_slice(&whole.body).ok().map(Envelope::open);
        match envelope {
            Some(Envelope::Error(error)) if whole.is_from_before_the_agent() => {
                Err(whole.refused(Some(wire::fault::read(&error, self.dialect))))
            }
            Some(Envelope::Error(error)) => Err(fault_of(&error, self.dialect)),
            Some(Envelope::Result(result)) => Ok(result),
            _ if !whole.status.is_success() => Err(whole.refused(None)),
            Some(Envelope::Bare(_)) => Err(whole.malformed("has neither result nor error")),
            None => Err(whole.malformed("is not JSON")),
        }
    }
}

impl Link for JsonRpcLink {
    fn send<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        let params = request::send(&request, self.dialect, &self.tenant);
        let body = self.request(Operation::SendMessage, &params);
        let patience = Patience::of(&request);
        async move {
            let (whole, result) = self.whole(body?, extensions, patience).await?;
            answer::sent(result, self.dialect).map_err(|error| whole.not_a2a(&error))
        }
        .boxed()
    }

    fn stream<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Events, CallError>> {
        let params = request::send(&request, self.dialect, &self.tenant);
        let body = self.request(Operation::SendStreamingMessage, &params);
        self.events(body, extensions).boxed()
    }

    fn get<'a>(
        &'a self,
        id: &'a str,
        history: bool,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        let length = if history { None } else { Some(0) };
        let params = request::get(id, length, self.dialect, &self.tenant);
        self.task(self.request(Operation::GetTask, &params), extensions).boxed()
    }

    fn subscribe<'a>(&'a self, id: &'a str, extensions: &'a [String]) -> BoxFuture<'a, Result<Events, CallError>> {
        let params = request::subscribe(id, self.dialect, &self.tenant);
        self.events(self.request(Operation::SubscribeToTask, &params), extensions).boxed()
    }

    fn cancel<'a>(
        &'a self,
        id: &'a str,
        metadata: Option<Struct>,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        let params = request::cancel(id, metadata.as_ref(), self.dialect, &self.tenant);
        self.task(self.request(Operation::CancelTask, &params), extensions).boxed()
    }
}
