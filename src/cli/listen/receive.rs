//! Takes requests off the network, within limits, and hands them over to be looked at.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::check::Findings;
use crate::task::signature;

/// The largest delivery.
const MAX_BODY: usize = 4 << 20;

/// How long the headers, and then the body, of a delivery may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections at the same time.
const CONNECTIONS: usize = 256;

/// A request that came, and the way to answer it.
pub(super) struct Arrival {
    /// What came.
    pub(super) delivery: Result<Delivery, Unread>,
    /// Takes what to answer.
    pub(super) answer: oneshot::Sender<Reply>,
}

/// A delivery as it came.
pub(super) struct Delivery {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why a delivery could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than [`MAX_BODY`].
    TooLarge,
    /// It did not come in time.
    Slow,
    /// Its connection broke.
    Broken,
}

/// What to answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    words: String,
}

impl Delivery {
    /// A header's text; none if it is not there or no text.
    pub(super) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its `webhook-id`; empty: none.
    pub(super) fn id(&self) -> &str {
        self.header(signature::ID).unwrap_or_default()
    }
}

impl Unread {
    /// What happened, for people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::TooLarge => "a delivery of more than 4 MiB was refused",
            Self::Slow => "a delivery did not come to its end within 20 s",
            Self::Broken => "a delivery broke off",
        }
    }
}

impl Reply {
    /// To a delivery that is taken.
    pub(super) fn taken(status: StatusCode) -> Self {
        Self { status, words: String::new() }
    }

    /// To a delivery that is not as it was demanded to be.
    pub(super) fn refused(findings: &Findings) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, words: format!("{}\n", findings.wrong().join("; ")) }
    }

    /// To a delivery that could not be read.
    pub(super) fn unread(problem: Unread) -> Self {
        let status = match problem {
            Unread::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Unread::Slow => StatusCode::REQUEST_TIMEOUT,
            Unread::Broken => StatusCode::BAD_REQUEST,
        };
        Self { status, words: format!("{}\n", problem.words()) }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.words)));
        *response.status_mut() = self.status;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
}

/// Serves connections until it is dropped, and ends them with it.
pub(super) async fn serve(listener: TcpListener, arrivals: mpsc::Sender<Arrival>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of files, say: connections that end make room.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let arrivals = arrivals.clone();
        connections.spawn(async move {
            connection(stream, arrivals).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, arrivals: mpsc::Sender<Arrival>) {
    // Only slower without.
    let _ = stream.set_nodelay(true);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(PATIENCE);
    let service = service_fn(|request| {
        let arrivals = arrivals.clone();
        async move { Ok::<_, Infallible>(answer(request, &arrivals).await) }
    });
    // A connection that fails tells its peer; deliveries that were read of it have been shown.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, arrivals: &mpsc::Sender<Arrival>) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        let words = "webhooks come here by POST\n".to_owned();
        let mut response = Reply { status: StatusCode::METHOD_NOT_ALLOWED, words }.into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let (answer, answered) = oneshot::channel();
    let delivery = read(request).await;
    let unavailable = || Reply { status: StatusCode::SERVICE_UNAVAILABLE, words: "about to stop\n".to_owned() };
    if arrivals.send(Arrival { delivery, answer }).await.is_err() {
        return unavailable().into_response();
    }
    answered.await.unwrap_or_else(|_| unavailable()).into_response()
}

async fn read(request: Request<Incoming>) -> Result<Delivery, Unread> {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Err(_) => Err(Unread::Slow),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
        Ok(Ok(body)) => Ok(Delivery { headers: head.headers, body: body.to_bytes() }),
    }
}
