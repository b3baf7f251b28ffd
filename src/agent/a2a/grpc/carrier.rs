//! The connections to one agent, and what has to be known of a call that failed on them.
//!
//! Two facts decide what may be repeated, and the gRPC library tells neither: whether any of the request was sent, and
//! whether an error is the agent's word or the library's. Both are noted here, where requests and answers pass.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tonic::{
    Status,
    body::Body,
    codegen::StdError,
    transport::{Channel, Endpoint},
};
use tower::Service;

/// Calls on one connection. HTTP/2 advises servers to allow a hundred at least, and many allow no more: further calls
/// would wait on the connection, and those that stop a task behind those that run it.
const MOST_CALLS: usize = 64;

/// In the metadata of a status: the agent, or a proxy before it, sent it.
const ANSWERED: &str = "x-a2a-gateway-answered";

const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";

/// The connections to one agent: as many as its calls need.
pub(super) struct Pool {
    endpoint: Endpoint,
    headers: Arc<HeaderMap>,
    lanes: Mutex<Vec<Arc<Carrier>>>,
}

/// One connection, which comes back by itself. Each call holds it for as long as it lasts, and is so counted.
#[derive(Clone)]
pub(super) struct Carrier {
    channel: Channel,
    headers: Arc<HeaderMap>,
}

/// Whether anything of a request's message has been sent. Travels with the request as an extension.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<AtomicBool>);

/// An HTTP answer where a gRPC one was due.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status} instead of a gRPC answer")]
pub(super) struct NotGrpc {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
}

impl Pool {
    /// Connects when the first call comes. `headers` are sent with every call.
    pub(super) fn new(endpoint: Endpoint, headers: HeaderMap) -> Self {
        Self { endpoint, headers: Arc::new(headers), lanes: Mutex::default() }
    }

    /// A connection with room for a call. Connections that nothing uses any more are closed, save one.
    pub(super) fn lane(&self) -> Arc<Carrier> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = |lane: &Arc<Carrier>| Arc::strong_count(lane) - 1;
        if let Some(position) = lanes.iter().position(|lane| calls(lane) < MOST_CALLS) {
            let lane = Arc::clone(&lanes[position]);
            let mut rest = position + 1;
            while rest < lanes.len() {
                if calls(&lanes[rest]) == 0 {
                    lanes.remove(rest);
                } else {
                    rest += 1;
                }
            }
            return lane;
        }
        let lane = Arc::new(Carrier { channel: self.endpoint.connect_lazy(), headers: Arc::clone(&self.headers) });
        lanes.push(Arc::clone(&lane));
        lane
    }

    /// Gives a connection no more calls: it did not answer in time. Those that use it go on.
    pub(super) fn retire(&self, lane: &Arc<Carrier>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, lane));
    }
}

impl Sent {
    /// Of a request that was sent.
    pub(super) fn yes() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// False: the agent has certainly not seen the message.
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Service<Request<Body>> for Carrier {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<'static, Result<Response<Body>, StdError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        for (name, value) in self.headers.iter() {
            request.headers_mut().append(name, value.clone());
        }
        let sent = request.extensions_mut().remove::<Sent>().unwrap_or_default();
        let answer = self.channel.call(request.map(|body| Body::new(Watched { body, sent })));
        Box::pin(async move {
            let (mut head, body) = answer.await?.into_parts();
            if !head.headers.contains_key(STATUS) && (head.status != StatusCode::OK || !is_grpc(&head.headers)) {
                return Err(NotGrpc { status: head.status, retry_after: retry_after(&head.headers) }.into());
            }
            note(&mut head.headers);
            let body = body.map_frame(|frame| match frame.into_trailers() {
                Ok(mut trailers) => {
                    note(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            });
            Ok(Response::from_parts(head, Body::new(body)))
        })
    }
}

/// Whether the agent, or a proxy before it, sent the status.
pub(super) fn answered(status: &Status) -> bool {
    status.metadata().contains_key(ANSWERED)
}

/// Notes that a failure is the agent's word, and takes out details that tonic would panic on.
fn note(headers: &mut HeaderMap) {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );

    if headers.get(DETAILS).is_some_and(|details| LENIENT.decode(details).is_err()) {
        headers.remove(DETAILS);
    }
    headers.remove(ANSWERED);
    if headers.get(STATUS).is_some_and(|status| status != "0") {
        headers.insert(ANSWERED, HeaderValue::from_static("1"));
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// A request's body that notes when it is first asked for: before that, nothing of the message can have been sent.
struct Watched {
    body: Body,
    sent: Sent,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.sent.0.store(true, Ordering::Release);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
