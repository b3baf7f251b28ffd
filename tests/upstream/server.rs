//! A server for scripted agents: HTTP/1.1 and HTTP/2 on a port that stays its own while it is stopped, with answers whose
//! every piece the script decides, and connections that it can break at any point.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pieces of an answer that may wait for a slow client.
const PIECES: usize = 16;

/// A request, read whole.
#[derive(Debug)]
pub struct Received {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Cancelled: its connection is reset.
    pub reset: CancellationToken,
}

/// Answers requests; none: the connection is reset instead.
pub type Handler = Arc<dyn Fn(Received) -> BoxFuture<'static, Option<Response<Body>>> + Send + Sync>;

/// A server that can be stopped and started again on its port.
pub struct Server {
    address: SocketAddr,
    /// Bound and never listening: connections are refused while the server is stopped, and nobody else gets the port.
    _port: TcpSocket,
    handler: Handler,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// On a free port.
    pub fn start(handler: Handler) -> Self {
        let port = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = port.local_addr().unwrap();
        let mut server = Self { address, _port: port, handler, running: None };
        server.resume();
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection, and waits until all is closed.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
            running.tasks.close();
            running.tasks.wait().await;
        }
    }

    /// Listens again, unless it does.
    pub fn resume(&mut self) {
        if self.running.is_some() {
            return;
        }
        let listener = bind(self.address).listen(1024).unwrap();
        let running = Running { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let accept = accept(listener, self.handler.clone(), running.stop.clone(), running.tasks.clone());
        running.tasks.spawn(accept);
        self.running = Some(running);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop.cancel();
        }
    }
}

/// Two sockets may be bound to one port as long as at most one of them listens.
fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn accept(listener: TcpListener, handler: Handler, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            tasks.spawn(serve(stream, handler.clone(), stop.clone()));
        }
    }
}

/// Serves a connection until its end, until it is to be reset, or until the server stops.
async fn serve(stream: TcpStream, handler: Handler, stop: CancellationToken) {
    stream.set_nodelay(true).unwrap();
    let Ok(twin) = twin(&stream) else { return };
    let reset = CancellationToken::new();
    let service = service_fn(|request| answer(request, handler.clone(), reset.clone()));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    // The connection comes first: what the script said before a reset is written before it.
    tokio::select! {
        biased;
        _ = &mut connection => {}
        () = reset.cancelled() => drop(twin.set_zero_linger()),
        () = stop.cancelled() => {}
    }
}

/// A second handle on the connection, for what the first does not let through once it is served.
fn twin(stream: &TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.as_fd().try_clone_to_owned()?.into())
}

async fn answer(
    request: Request<Incoming>,
    handler: Handler,
    reset: CancellationToken,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    if let Ok(body) = body.collect().await {
        let (method, uri, headers) = (head.method, head.uri, head.headers);
        let received = Received { method, uri, headers, body: body.to_bytes(), reset: reset.clone() };
        if let Some(response) = handler(received).await {
            return Ok(response);
        }
    }
    reset.cancel();
    std::future::pending().await
}

/// What an answer is made of.
#[derive(Debug)]
pub enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The connection is reset, after what came before has been written.
    Reset,
}

/// The body of an answer.
pub enum Body {
    Whole(Option<Bytes>),
    Pieces { pieces: mpsc::Receiver<Piece>, reset: CancellationToken },
}

impl Body {
    /// With a known length.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }

    /// What is sent through the channel, until it is closed.
    pub fn pieces(reset: CancellationToken) -> (mpsc::Sender<Piece>, Self) {
        let (sender, pieces) = mpsc::channel(PIECES);
        (sender, Self::Pieces { pieces, reset })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.get_mut() {
            Self::Whole(bytes) => bytes.take().map(Frame::data),
            Self::Pieces { pieces, reset } => match ready!(pieces.poll_recv(cx)) {
                Some(Piece::Data(bytes)) => Some(Frame::data(bytes)),
                Some(Piece::Trailers(trailers)) => Some(Frame::trailers(trailers)),
                Some(Piece::Reset) => {
                    reset.cancel();
                    return Poll::Pending;
                }
                None => None,
            },
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces { .. } => SizeHint::default(),
        }
    }
}
