//! Connections: accept, serve HTTP/1 or HTTP/2 (cleartext), drain.
//!
//! Every connection has limits that a public port needs: a deadline for the first bytes and for each request's head,
//! HTTP/2 pings, a stream limit. TCP_NODELAY is always set: without it each HTTP/2 exchange waits for a delayed ACK.
//! Every task is owned here: when [`serve`] returns, no connection is left.

use std::{future::Future, io, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Settings;

/// How every HTTP/2 connection begins (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The pause after an accept that failed for want of resources.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);
/// The first pause between two looks at a connection that began with a part of the preface. Each is twice as long as the
/// one before, so that many connections which never say the rest cost next to nothing.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// The longest such pause.
const LONGEST_PREFACE_PAUSE: Duration = Duration::from_millis(640);
/// How long aborted requests may take to drop what they hold.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then lets requests finish for at most `drain_deadline`. `draining` runs when the shutdown
/// begins.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve<D: Future<Output = ()>>(
    listener: TcpListener,
    router: Router,
    settings: &Settings,
    shutdown: impl Future<Output = ()>,
    draining: impl FnOnce() -> D,
) -> io::Result<()> {
    listener.local_addr()?;
    let mut connections = Connections::new(router, settings);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = connections.accept(&listener) => accepted,
        };
        match accepted {
            Ok(stream) => connections.spawn(stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::select! {
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(ACCEPT_BACKOFF) => {}
                }
            }
        }
    }
    drop(listener);
    draining().await;
    connections.drain(settings.drain_deadline).await;
    Ok(())
}

/// Whether the error is about one connection only, and the next accept may well succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// The open connections and what serves them.
struct Connections {
    protocol: Arc<Protocol>,
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
    requests: TaskTracker,
    closing: CancellationToken,
}

impl Connections {
    fn new(router: Router, settings: &Settings) -> Self {
        let requests = TaskTracker::new();
        Self {
            protocol: Arc::new(Protocol::new(router, settings, requests.clone())),
            permits: Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS))),
            tasks: JoinSet::new(),
            requests,
            closing: CancellationToken::new(),
        }
    }

    /// The next connection, once there is room for one. Cancel safe.
    async fn accept(&mut self, listener: &TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let permits = Arc::clone(&self.permits);
        let accept = async {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            Ok((stream, permit))
        };
        let mut accept = std::pin::pin!(accept);
        loop {
            tokio::select! {
                accepted = &mut accept => return accepted,
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    fn spawn(&mut self, (stream, permit): (TcpStream, OwnedSemaphorePermit)) {
        let protocol = Arc::clone(&self.protocol);
        let closing = self.closing.child_token();
        self.tasks.spawn(async move {
            if let Err(error) = protocol.serve(stream, &closing).await {
                tracing::debug!(error = &*error, "connection ended");
            }
            drop(permit);
        });
    }

    /// Asks every connection to finish, and aborts those that have not by the deadline.
    async fn drain(mut self, deadline: Duration) {
        self.closing.cancel();
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, finished).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "closing connections that did not finish in time");
            self.tasks.shutdown().await;
        }
        self.requests.close();
        if tokio::time::timeout(ABORT_GRACE, self.requests.wait()).await.is_err() {
            tracing::warn!(requests = self.requests.len(), "requests did not stop in time");
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How a connection is served.
struct Protocol {
    http1: auto::Builder<Tracked>,
    http2: auto::Builder<Tracked>,
    service: TowerToHyperService<Router>,
    first_bytes: Duration,
}

impl Protocol {
    fn new(router: Router, settings: &Settings, requests: TaskTracker) -> Self {
        let mut builder = auto::Builder::new(Tracked(requests));
        builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.header_read_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(settings.http2_keep_alive_interval)
            .keep_alive_timeout(settings.http2_keep_alive_timeout)
            .max_concurrent_streams(settings.max_concurrent_streams)
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024);
        Self {
            http1: builder.clone().http1_only(),
            http2: builder.http2_only(),
            service: TowerToHyperService::new(router),
            first_bytes: settings.header_read_timeout,
        }
    }

    async fn serve(&self, stream: TcpStream, closing: &CancellationToken) -> Result<(), Error> {
        stream.set_nodelay(true)?;
        // The protocol is told apart here, not by the builder, which would wait for the first bytes for ever.
        let builder = tokio::select! {
            () = closing.cancelled() => return Ok(()),
            http2 = tokio::time::timeout(self.first_bytes, is_http2(&stream)) => match http2?? {
                true => &self.http2,
                false => &self.http1,
            },
        };
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), self.service.clone()));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

/// Whether the connection begins as HTTP/2 does. Takes nothing off it.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; PREFACE.len()];
    let mut pause = PREFACE_PAUSE;
    loop {
        let read = stream.peek(&mut start).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if start[..read] != PREFACE[..read] {
            return Ok(false);
        }
        if read == PREFACE.len() {
            return Ok(true);
        }
        // A part of the preface: readable already, so the rest can only be waited for by looking again.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PREFACE_PAUSE);
    }
}

/// Runs the requests of HTTP/2 connections, and can be waited for. They end by themselves when their connection does.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, request: F) {
        self.0.spawn(request);
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::{Notify, oneshot},
        task::JoinHandle,
    };

    use super::*;

    /// A server with `/now`, which answers at once, and `/later`, which answers when told to.
    struct Running {
        address: std::net::SocketAddr,
        entered: Arc<Notify>,
        answer: Arc<Notify>,
        stop: oneshot::Sender<()>,
        server: JoinHandle<io::Result<()>>,
    }

    async fn start(settings: Settings) -> Running {
        let (entered, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, wait) = (Arc::clone(&entered), Arc::clone(&answer));
        let later = get(async move || {
            told.notify_one();
            wait.notified().await;
            "later"
        });
        let router = Router::new().route("/now", get(async || "now")).route("/later", later);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let shutdown = async { stopped.await.unwrap_or_default() };
            serve(listener, router, &settings, shutdown, async || {}).await
        });
        Running { address, entered, answer, stop, server }
    }

    async fn request(address: std::net::SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_request_under_way_finishes_and_idle_connections_close() {
        let running = start(Settings::default()).await;
        let silent = TcpStream::connect(running.address).await.unwrap();
        let stream = request(running.address, "/later").await;
        running.entered.notified().await;
        running.stop.send(()).unwrap();
        assert_eq!(rest(silent).await, "");
        running.answer.notify_one();
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("later"), "{answer}");
        running.server.await.unwrap().unwrap();
        assert!(TcpStream::connect(running.address).await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_does_not_finish_is_aborted_at_the_deadline() {
        let running = start(Settings { drain_deadline: Duration::from_millis(50), ..Settings::default() }).await;
        let mut stream = request(running.address, "/later").await;
        running.entered.notified().await;
        running.stop.send(()).unwrap();
        running.server.await.unwrap().unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_or_little_is_cut_off() {
        let running = start(Settings { header_read_timeout: Duration::from_millis(100), ..Settings::default() }).await;
        for said in ["", "PRI * HTTP/2", "GET /now HTTP/1.1\r\nhost:"] {
            let mut stream = TcpStream::connect(running.address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The end may come as a reset when bytes were left unread.
            let _ = stream.read_to_end(&mut answer).await;
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{said:?}");
        }
        running.stop.send(()).unwrap();
        running.server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn both_protocols_are_served_and_the_connection_limit_holds() {
        let running = start(Settings { max_connections: 1, ..Settings::default() }).await;
        let first = request(running.address, "/later").await;
        running.entered.notified().await;
        let second = request(running.address, "/now").await;
        let mut byte = [0];
        assert_eq!(second.try_read(&mut byte).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        second.readable().await.unwrap();
        drop(second);

        // Built without a provider of its own, reqwest wants one even where it speaks no TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{}/now", running.address)).send().await.unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        assert_eq!(answer.text().await.unwrap(), "now");
        drop(client);
        running.stop.send(()).unwrap();
        running.server.await.unwrap().unwrap();
    }

    /// The next frame of an HTTP/2 connection: its type and flags; none at the end.
    async fn frame(stream: &mut TcpStream) -> Option<(u8, u8)> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        Some((head[3], head[4]))
    }

    #[tokio::test]
    async fn an_idle_http2_connection_is_pinged_and_closed_when_nobody_answers() {
        const PING: (u8, u8) = (6, 0);
        let interval = Some(Duration::from_millis(50));
        let timeout = Duration::from_millis(50);
        let running = start(Settings {
            http2_keep_alive_interval: interval,
            http2_keep_alive_timeout: timeout,
            ..Settings::default()
        })
        .await;
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        // Empty SETTINGS, their acknowledgement, and a GET of /later, so that there is a stream to keep alive.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap();
        stream.write_all(&[0, 0, 10, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x04, 6]).await.unwrap();
        stream.write_all(b"/later").await.unwrap();
        running.entered.notified().await;
        let mut seen = Vec::new();
        let reading = async {
            while let Some(frame) = frame(&mut stream).await {
                seen.push(frame);
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the connection stayed open");
        assert!(seen.contains(&PING), "{seen:?}");
        running.stop.send(()).unwrap();
        running.server.await.unwrap().unwrap();
    }
}
