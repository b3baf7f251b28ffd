//! One gRPC call: decode, work, encode, count.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use prost::Message;
use tonic::{Code, Response, Status, codec::CompressionEncoding, server::Grpc};
use tower::service_fn;

use super::{codec::Encoded, timed::Timed};
use crate::{
    error::{Error, ErrorKind, Result},
    metrics::Metrics,
    server::{a2a::Origin, caller, extensions::Extensions, observe::Observation, route::COMPRESSED_FROM, status},
    task::Dialect,
};

/// An answer on its way out.
pub type Answer = http::Response<tonic::body::Body>;

/// What calls of one service have in common.
#[derive(Clone)]
pub struct Calls {
    /// The door's name in metrics.
    pub door: &'static str,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
    /// The largest request, in bytes.
    pub max_request: usize,
    /// The longest time that a request may take to come.
    pub request_time: Duration,
    /// How the service's version of the protocol says errors.
    pub status: fn(&Error) -> Status,
    /// What every call is refused with; none: calls are answered.
    pub refusal: Option<Error>,
}

impl Calls {
    /// The same service's calls of who sent metadata with this error: refused, and counted by their methods.
    pub fn refusing(&self, error: Error) -> Self {
        Self { refusal: Some(error), ..self.clone() }
    }

    /// A call with one answer.
    pub async fn unary<Q, R, F>(
        &self,
        method: &'static str,
        request: http::Request<Body>,
        mut work: impl FnMut(Q) -> F,
    ) -> Answer
    where
        Q: Message + Default + 'static,
        R: Message,
        F: Future<Output = Result<R>>,
    {
        if let Some(error) = &self.refusal {
            return refuse(self.observe(method), error, self.status).into_http();
        }
        let (read, status) = (AtomicBool::new(false), self.status);
        let service = service_fn(|request: tonic::Request<Q>| {
            read.store(true, Relaxed);
            let seen = self.observe(method);
            let answer = Box::pin(work(request.into_inner()));
            async move {
                match answer.await {
                    Ok(answer) => {
                        seen.succeed();
                        let answer = Bytes::from(answer.encode_to_vec());
                        let short = answer.len() < usize::from(COMPRESSED_FROM);
                        let mut answer = Response::new(answer);
                        if short {
                            answer.disable_compression();
                        }
                        Ok(answer)
                    }
                    Err(error) => Err(refuse(seen, &error, status)),
                }
            }
        });
        let answer = self.grpc().unary(service, self.timed(request)).await;
        if read.into_inner() { answer } else { self.unread(method, answer) }
    }

    /// A call with a stream of answers, encoded already.
    pub async fn streaming<Q, S, F>(
        &self,
        method: &'static str,
        request: http::Request<Body>,
        mut work: impl FnMut(Q) -> F,
    ) -> Answer
    where
        Q: Message + Default + 'static,
        S: Batches,
        F: Future<Output = Result<S>>,
    {
        if let Some(error) = &self.refusal {
            return refuse(self.observe(method), error, self.status).into_http();
        }
        let (read, status) = (AtomicBool::new(false), self.status);
        let service = service_fn(|request: tonic::Request<Q>| {
            read.store(true, Relaxed);
            let seen = self.observe(method);
            let answer = Box::pin(work(request.into_inner()));
            async move {
                match answer.await {
                    Ok(batches) => Ok(Response::new(Box::pin(messages(batches, seen, status)))),
                    Err(error) => Err(refuse(seen, &error, status)),
                }
            }
        });
        let answer = self.grpc().server_streaming(service, self.timed(request)).await;
        if read.into_inner() { answer } else { self.unread(method, answer) }
    }

    fn observe(&self, method: &'static str) -> Observation {
        Observation::start(&self.metrics, self.door, method)
    }

    /// Counts the answer to a request that cannot be read. The codec's own is given on. Tonic's are a bare OUT_OF_RANGE
    /// (too large) or RESOURCE_EXHAUSTED (too large once it is no longer compressed), which in the contract say something
    /// else, and INTERNAL (broken frames, compression or base64), which is not the gateway's fault.
    fn unread(&self, method: &'static str, answer: Answer) -> Answer {
        let seen = self.observe(method);
        let headers = answer.headers();
        let Some(code) = headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes())) else {
            seen.end("body_refused");
            return answer;
        };
        if headers.contains_key("grpc-status-details-bin") {
            seen.end(status::row(ErrorKind::InvalidArgument).outcome);
            return answer;
        }
        let error = match code {
            Code::OutOfRange | Code::ResourceExhausted => {
                let message = format!("the request is larger than {} bytes", self.max_request);
                Error::new(ErrorKind::RequestTooLarge, message)
            }
            Code::Internal => Error::new(ErrorKind::InvalidArgument, "the request's frame or encoding is broken"),
            _ => {
                seen.end("body_refused");
                return answer;
            }
        };
        refuse(seen, &error, self.status).into_http()
    }

    fn timed(&self, request: http::Request<Body>) -> http::Request<Timed> {
        request.map(|body| Timed::new(body, self.request_time))
    }

    fn grpc<Q: Message + Default + 'static>(&self) -> Grpc<Encoded<Q>> {
        Grpc::new(Encoded::default())
            // The limit is that of a request as it is read, also when it came compressed.
            .max_decoding_message_size(self.max_request)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    }
}

/// Who makes an A2A call, and how, by its metadata. The version may be in a query, too.
///
/// # Errors
/// `VersionNotSupported`, and `InvalidArgument` naming the key.
pub fn origin(request: &http::Request<Body>, dialect: Dialect) -> Result<Origin> {
    let metadata = request.headers();
    caller::version(metadata, request.uri().query())?;
    let agent = caller::agent(metadata)?;
    let extensions = Extensions::read(metadata, dialect)?;
    Ok(Origin { caller: caller::identify(metadata), dialect, request_id: String::new(), agent, extensions })
}

/// A source of encoded answers, by the batch.
pub trait Batches: Send + 'static {
    /// The next answers, in order; none at the end.
    fn next(&mut self) -> impl Future<Output = Option<Result<Vec<Bytes>>>> + Send;
}

fn refuse(seen: Observation, error: &Error, status: fn(&Error) -> Status) -> Status {
    seen.fail(error);
    status(error)
}

/// One message at a time, so that the encoder can send together what is ready. An error ends the stream.
fn messages<S: Batches>(
    batches: S,
    seen: Observation,
    status: fn(&Error) -> Status,
) -> impl Stream<Item = Result<Bytes, Status>> + Send {
    stream::unfold(Some((batches, seen, status)), async |open| {
        let (mut batches, mut seen, status) = open?;
        match batches.next().await {
            Some(Ok(batch)) => {
                seen.answered();
                let batch = Batch::Messages(batch.into_iter());
                Some((batch, Some((batches, seen, status))))
            }
            Some(Err(error)) => Some((Batch::Error(Some(refuse(seen, &error, status))), None)),
            None => {
                seen.succeed();
                None
            }
        }
    })
    .map(stream::iter)
    .flatten()
}

/// What a batch turns into.
enum Batch {
    Messages(std::vec::IntoIter<Bytes>),
    Error(Option<Status>),
}

impl Iterator for Batch {
    type Item = Result<Bytes, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Messages(messages) => messages.next().map(Ok),
            Self::Error(error) => error.take().map(Err),
        }
    }
}
