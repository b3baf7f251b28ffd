//! Agents that speak gRPC: A2A 1.0 (`lf.a2a.v1`) and 0.3 (`a2a.v1`).
//!
//! No deadline is sent to the agent: a call that the gateway gives up must not stop the agent's work. What ends a call
//! is measured here: no connection within the connect timeout, no answer within the request timeout, silence of a
//! stream or of a send that waits for longer than the idle timeout.

mod carrier;
mod fault;
mod target;
#[cfg(test)]
mod tests;

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{Future, future::BoxFuture, stream};
use http::{HeaderValue, uri::PathAndQuery};
use tokio::time::timeout;
use tonic::{Request, Status, Streaming, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use self::{
    carrier::{Carrier, Pool, Sent},
    fault::fault,
};
use super::{Answer, CallError, Event, Events, Link, Settings};
use crate::{
    proto::{
        a2a::{self as v1, SendMessageRequest, Task},
        a2a_v03 as v03,
        well_known::Struct,
    },
    task::{Dialect, extensions::is_uri},
    wire::v03::{FileBytes, decode, encode, name},
};

/// A link to an agent over gRPC.
pub struct GrpcLink {
    pool: Pool,
    version: Version,
    tenant: String,
    limits: Limits,
}

/// The versions that have a gRPC binding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V03,
}

/// How long to wait, and how much to take.
#[derive(Clone, Copy)]
struct Limits {
    connect: Duration,
    request: Duration,
    idle: Duration,
    message: usize,
}

/// A method of the contract.
struct Method {
    path: &'static str,
    cancels: bool,
}

const fn method(path: &'static str) -> Method {
    Method { path, cancels: false }
}

/// Methods of A2A 1.0.
mod methods_v1 {
    use super::{Method, method};

    pub(super) const SEND: Method = method("/lf.a2a.v1.A2AService/SendMessage");
    pub(super) const STREAM: Method = method("/lf.a2a.v1.A2AService/SendStreamingMessage");
    pub(super) const GET: Method = method("/lf.a2a.v1.A2AService/GetTask");
    pub(super) const SUBSCRIBE: Method = method("/lf.a2a.v1.A2AService/SubscribeToTask");
    pub(super) const CANCEL: Method = Method { path: "/lf.a2a.v1.A2AService/CancelTask", cancels: true };
}

/// Methods of A2A 0.3.
mod methods_v03 {
    use super::{Method, method};

    pub(super) const SEND: Method = method("/a2a.v1.A2AService/SendMessage");
    pub(super) const STREAM: Method = method("/a2a.v1.A2AService/SendStreamingMessage");
    pub(super) const GET: Method = method("/a2a.v1.A2AService/GetTask");
    pub(super) const SUBSCRIBE: Method = method("/a2a.v1.A2AService/TaskSubscription");
    pub(super) const CANCEL: Method = Method { path: "/a2a.v1.A2AService/CancelTask", cancels: true };
}

impl GrpcLink {
    /// A link to `target`: host:port, http://, https:// or dns:///; the scheme decides about TLS, and without one the
    /// port does (443, or none: TLS). `tenant` is put into each 1.0 request. Connects when the first call comes, and
    /// again after each loss.
    ///
    /// # Errors
    /// What is wrong with the target, the headers or the TLS settings; and `dialect`, if it has no gRPC binding.
    pub fn new(target: &str, dialect: Dialect, tenant: String, settings: &Settings) -> Result<Self, String> {
        let version = match dialect {
            Dialect::V1 => Version::V1,
            Dialect::V03 => Version::V03,
            Dialect::Praison => return Err("PraisonAI's dialect is not spoken over gRPC".to_owned()),
        };
        let mut headers = target::headers(settings)?;
        if version == Version::V1 {
            headers.insert("a2a-version", HeaderValue::from_static("1.0"));
        }
        let limits = Limits {
            connect: settings.connect_timeout,
            request: settings.request_timeout,
            idle: settings.idle_timeout,
            message: settings.max_message,
        };
        Ok(Self { pool: Pool::new(target::endpoint(target, settings)?, headers), version, tenant, limits })
    }

    /// Calls a method that has one answer.
    async fn unary<Q, A>(&self, method: Method, request: Request<Q>, limit: Duration) -> Result<A, CallError>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let call = async |mut grpc: Grpc<Carrier>, request| {
            grpc.ready().await.map_err(Status::from_error)?;
            let path = PathAndQuery::from_static(method.path);
            grpc.unary(request, path, ProstCodec::<Q, A>::default()).await
        };
        let (answer, _lane) = self.call(request, limit, method.cancels, call).await?;
        Ok(answer.into_inner())
    }

    /// Calls a method that has a stream of answers.
    async fn events<Q, A>(
        &self,
        method: Method,
        request: Request<Q>,
        event: fn(A) -> Option<Event>,
    ) -> Result<Events, CallError>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let idle = self.limits.idle;
        // Servers that begin to answer with the first event, as Python's do, are silent until there is one.
        let call = async |mut grpc: Grpc<Carrier>, request| {
            grpc.ready().await.map_err(Status::from_error)?;
            let path = PathAndQuery::from_static(method.path);
            grpc.server_streaming(request, path, ProstCodec::<Q, A>::default()).await
        };
        let (answer, lane) = self.call(request, idle, method.cancels, call).await?;
        let stream = Open { items: answer.into_inner(), event, idle, begun: false, _lane: lane };
        Ok(Box::pin(stream::unfold(Some(stream), async |stream| {
            let mut stream = stream?;
            match stream.next().await {
                Ok(event) => event.map(|event| (Ok(event), Some(stream))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    /// Makes a call on a connection with room for it, within its time.
    async fn call<Q, A, F>(
        &self,
        mut request: Request<Q>,
        limit: Duration,
        cancels: bool,
        call: impl FnOnce(Grpc<Carrier>, Request<Q>) -> F,
    ) -> Result<(A, Arc<Carrier>), CallError>
    where
        F: Future<Output = Result<A, Status>>,
    {
        let lane = self.pool.lane();
        let sent = Sent::default();
        request.extensions_mut().insert(sent.clone());
        let grpc = Grpc::new(Carrier::clone(&lane)).max_decoding_message_size(self.limits.message);
        let mut answer = pin!(call(grpc, request));

        let connect = self.limits.connect.min(limit);
        let mut outcome = timeout(connect, &mut answer).await;
        if outcome.is_err() && sent.get() {
            outcome = timeout(limit - connect, &mut answer).await;
        }
        match outcome {
            Ok(Ok(answer)) => Ok((answer, lane)),
            Ok(Err(status)) => Err(fault(&status, &sent, cancels)),
            Err(_) => {
                self.pool.retire(&lane);
                Err(if sent.get() {
                    CallError::Lost(format!("the agent did not answer within {}", humantime::format_duration(limit)))
                } else {
                    let waited = humantime::format_duration(connect);
                    CallError::Unreached(format!("cannot connect to the agent within {waited}"))
                })
            }
        }
    }

    /// A request that asks for extensions.
    fn request<Q>(&self, request: Q, extensions: &[String]) -> Request<Q> {
        let mut request = Request::new(request);
        let uris: Vec<&str> = extensions.iter().map(String::as_str).filter(|uri| is_uri(uri)).collect();
        if let Ok(value) = MetadataValue::try_from(uris.join(", "))
            && !uris.is_empty()
        {
            let key = if self.version == Version::V1 { "a2a-extensions" } else { "x-a2a-extensions" };
            request.metadata_mut().insert(key, value);
        }
        request
    }

    /// A message to send, as 1.0 has it.
    fn message_v1(&self, mut request: SendMessageRequest, extensions: &[String]) -> Request<SendMessageRequest> {
        request.tenant.clone_from(&self.tenant);
        self.request(request, extensions)
    }

    /// A message to send, as 0.3 has it.
    fn message_v03(&self, request: SendMessageRequest, extensions: &[String]) -> Request<v03::SendMessageRequest> {
        self.request(encode::send(request, FileBytes::default()), extensions)
    }

    async fn send_message(&self, request: SendMessageRequest, extensions: &[String]) -> Result<Answer, CallError> {
        let at_once = request.configuration.as_ref().is_some_and(|it| it.return_immediately);
        let limit = if at_once { self.limits.request } else { self.limits.idle };
        let answer = match self.version {
            Version::V1 => {
                let request = self.message_v1(request, extensions);
                self.unary::<_, v1::SendMessageResponse>(methods_v1::SEND, request, limit).await?.payload
            }
            Version::V03 => {
                let request = self.message_v03(request, extensions);
                decode::sent(self.unary(methods_v03::SEND, request, limit).await?)
            }
        };
        answer.ok_or_else(|| CallError::Malformed("the agent answered with neither a task nor a message".to_owned()))
    }

    async fn stream_message(&self, request: SendMessageRequest, extensions: &[String]) -> Result<Events, CallError> {
        match self.version {
            Version::V1 => self.events(methods_v1::STREAM, self.message_v1(request, extensions), event_v1).await,
            Version::V03 => {
                self.events(methods_v03::STREAM, self.message_v03(request, extensions), decode::event).await
            }
        }
    }

    async fn get_task(&self, id: &str, history: bool, extensions: &[String]) -> Result<Task, CallError> {
        let limit = self.limits.request;
        match self.version {
            Version::V1 => {
                let history_length = if history { None } else { Some(0) };
                let request = v1::GetTaskRequest { tenant: self.tenant.clone(), id: id.to_owned(), history_length };
                self.unary(methods_v1::GET, self.request(request, extensions), limit).await
            }
            Version::V03 => {
                // 0.3 cannot ask for a task without its history: 0 means all of it.
                let request = v03::GetTaskRequest { name: name::task(id), history_length: 0 };
                self.unary(methods_v03::GET, self.request(request, extensions), limit).await.map(decode::task)
            }
        }
    }

    async fn subscribe_to_task(&self, id: &str, extensions: &[String]) -> Result<Events, CallError> {
        match self.version {
            Version::V1 => {
                let request = v1::SubscribeToTaskRequest { tenant: self.tenant.clone(), id: id.to_owned() };
                self.events(methods_v1::SUBSCRIBE, self.request(request, extensions), event_v1).await
            }
            Version::V03 => {
                let request = v03::TaskSubscriptionRequest { name: name::task(id) };
                self.events(methods_v03::SUBSCRIBE, self.request(request, extensions), decode::event).await
            }
        }
    }

    async fn cancel_task(&self, id: &str, metadata: Option<Struct>, extensions: &[String]) -> Result<Task, CallError> {
        let limit = self.limits.request;
        match self.version {
            Version::V1 => {
                let request = v1::CancelTaskRequest { tenant: self.tenant.clone(), id: id.to_owned(), metadata };
                self.unary(methods_v1::CANCEL, self.request(request, extensions), limit).await
            }
            Version::V03 => {
                let request = v03::CancelTaskRequest { name: name::task(id) };
                self.unary(methods_v03::CANCEL, self.request(request, extensions), limit).await.map(decode::task)
            }
        }
    }
}

impl Link for GrpcLink {
    fn send<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(self.send_message(request, extensions))
    }

    fn stream<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Events, CallError>> {
        Box::pin(self.stream_message(request, extensions))
    }

    fn get<'a>(
        &'a self,
        id: &'a str,
        history: bool,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        Box::pin(self.get_task(id, history, extensions))
    }

    fn subscribe<'a>(&'a self, id: &'a str, extensions: &'a [String]) -> BoxFuture<'a, Result<Events, CallError>> {
        Box::pin(self.subscribe_to_task(id, extensions))
    }

    fn cancel<'a>(
        &'a self,
        id: &'a str,
        metadata: Option<Struct>,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        Box::pin(self.cancel_task(id, metadata, extensions))
    }
}

/// An item of a 1.0 stream; none of a kind that is not known here.
fn event_v1(item: v1::StreamResponse) -> Option<Event> {
    item.payload
}

/// A stream that is being read. It holds its connection, which so counts it.
struct Open<A> {
    items: Streaming<A>,
    event: fn(A) -> Option<Event>,
    idle: Duration,
    begun: bool,
    _lane: Arc<Carrier>,
}

impl<A> Open<A> {
    /// The next event; none at the stream's end. Items of kinds that are not known here are passed over.
    async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            let Ok(item) = timeout(self.idle, self.items.message()).await else {
                let idle = humantime::format_duration(self.idle);
                return Err(CallError::Lost(format!("the agent's stream was silent for {idle}")));
            };
            match item {
                Ok(None) => return Ok(None),
                Ok(Some(item)) => {
                    self.begun = true;
                    if let Some(event) = (self.event)(item) {
                        return Ok(Some(event));
                    }
                }
                Err(status) => return Err(self.broken(&status)),
            }
        }
    }

    /// Why the stream broke. The request was sent, or there would be no stream.
    fn broken(&self, status: &Status) -> CallError {
        match fault(status, &Sent::yes(), false) {
            CallError::Busy { text, .. } if self.begun => CallError::Lost(format!("the agent broke off: {text}")),
            CallError::Unreached(text) => CallError::Lost(text),
            error => error,
        }
    }
}
