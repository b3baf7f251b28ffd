//! What the load's webhooks are sent to: a receiver that takes everything and counts, until it falls silent. Then it takes
//! connections and requests, and answers none.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use a2a_gateway::task::{DeliveryId, TaskId, WebhookId};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{Result, client_http::HttpConnection, rounds::Caller, stats::Histogram};

/// The header that names a delivery.
pub const WEBHOOK_ID: &str = "webhook-id";

/// A receiver on loopback addresses of its own, gone when this is dropped.
pub struct Receiver {
    /// A URL for each of its addresses: origins that differ.
    pub urls: Arc<[String]>,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

/// What the connections of a receiver share.
#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    silent: AtomicBool,
    unanswered: AtomicUsize,
}

/// What a receiver got.
#[derive(Default)]
pub struct Received {
    /// Deliveries, each counted once.
    pub deliveries: u64,
    /// Deliveries that had come before: a second attempt of something taken already.
    pub repeated: u64,
    /// From the time that a status bears to its arrival. A status is made before it is committed and its time rounded
    /// down to milliseconds, so this is never less than the time from commit to arrival.
    pub latency: Histogram,
    /// Requests that were no deliveries, or came out of order.
    pub errors: u64,
    /// What was wrong with the first of them.
    pub first_error: Option<String>,
}

/// What a receiver got, and how far each lane is.
#[derive(Default)]
struct Log {
    received: Received,
    lanes: HashMap<(WebhookId, TaskId), u64>,
}

impl Receiver {
    /// Listens on so many addresses: 127.0.0.1, 127.0.0.2, … Each takes a file descriptor.
    pub async fn start(addresses: usize) -> Result<Self> {
        let (mut urls, mut accepting, shared) = (Vec::new(), JoinSet::new(), Arc::<Shared>::default());
        for number in 0..addresses {
            let listener = TcpListener::bind(own_address(number)?).await;
            let listener =
                listener.map_err(|error| format!("listener {number} of {addresses}: {error} (ulimit -n?)"))?;
            urls.push(format!("http://{}/", listener.local_addr()?));
            accepting.spawn(accept(listener, shared.clone()));
        }
        Ok(Self { urls: urls.into(), shared, _accepting: accepting })
    }

    /// Answers nothing from now on.
    pub fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::Relaxed);
    }

    /// Waits until requests wait for an answer in vain, and no more of them than a second ago. Returns how many.
    pub async fn unanswered(&self, limit: Duration) -> Result<usize> {
        let (start, mut before) = (Instant::now(), 0);
        while start.elapsed() < limit {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.shared.unanswered.load(Ordering::Relaxed);
            if now > 0 && now <= before {
                return Ok(now);
            }
            before = now;
        }
        Err(format!("the requests that wait for an answer still grow after {limit:?}: {before}").into())
    }

    /// How many deliveries have come.
    pub fn deliveries(&self) -> u64 {
        self.log().received.deliveries
    }

    /// Takes what was counted so far; each lane must go on where it is.
    pub fn take(&self) -> Received {
        std::mem::take(&mut self.log().received)
    }

    /// Waits until so many deliveries have come since the last [`Receiver::take`]. Returns when that was.
    pub async fn await_deliveries(&self, count: u64, limit: Duration) -> Result<Instant> {
        let start = Instant::now();
        loop {
            let (come, now) = (self.deliveries(), Instant::now());
            if come >= count {
                return Ok(now);
            }
            if now - start > limit {
                return Err(format!("{come} of {count} deliveries came within {limit:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log()
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn add(&mut self, id: Option<&[u8]>, body: &[u8], now: SystemTime) -> Result<()> {
        let id = id.and_then(|id| std::str::from_utf8(id).ok()).ok_or("a request without a webhook-id came")?;
        let id = DeliveryId::parse(id).ok_or_else(|| format!("{id:?} came as a webhook-id"))?;
        let last = self.lanes.entry((id.webhook, id.task)).or_default();
        if id.sequence <= *last {
            self.received.repeated += 1;
            return Ok(());
        }
        let expected = std::mem::replace(last, id.sequence) + 1;
        if id.sequence != expected {
            return Err(format!("sequence {} of {} came instead of {expected}", id.sequence, id.task).into());
        }
        self.received.deliveries += 1;
        if let Some(made) = timestamp(body) {
            self.received.latency.record(now.duration_since(made?).unwrap_or_default());
        }
        Ok(())
    }
}

/// The time of the status in a payload; none in one about an artifact.
fn timestamp(body: &[u8]) -> Option<Result<SystemTime>> {
    const KEY: &[u8] = br#""timestamp":""#;
    let at = body.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let text = body[at..].split(|byte| *byte == b'"').next().unwrap_or_default();
    let time = std::str::from_utf8(text).map_err(crate::Error::from);
    Some(time.and_then(|text| Ok(SystemTime::from(text.parse::<Timestamp>()?))))
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let answer = service_fn(async |request: Request<Incoming>| {
        let id = request.headers().get(WEBHOOK_ID).cloned();
        let body = request.into_body().collect().await;
        if shared.silent.load(Ordering::Relaxed) {
            let _waiting = Waiting::new(&shared.unanswered);
            std::future::pending::<()>().await;
        }
        let outcome = match body {
            Ok(body) => {
                let body = body.to_bytes();
                shared.log().add(id.as_ref().map(|id| id.as_bytes()), &body, SystemTime::now())
            }
            Err(error) => Err(error.into()),
        };
        let mut response = Response::new(Empty::<Bytes>::new());
        if let Err(error) = outcome {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            let received = &mut shared.log().received;
            received.errors += 1;
            received.first_error.get_or_insert_with(|| error.to_string());
        }
        Ok::<_, Infallible>(response)
    });
    // A sender that goes away ends its connection with an error; there is nobody to tell.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

/// Delivers to a receiver as fast as it answers: what the receiver can take, were there no gateway.
pub struct Deliver {
    connection: HttpConnection,
    next: DeliveryId,
    body: Bytes,
}

impl Deliver {
    /// Callers with a connection and a lane each.
    pub async fn callers(receiver: &Receiver, count: usize) -> Result<Vec<Self>> {
        let body = Bytes::from_static(
            br#"{"statusUpdate":{"taskId":"0198c0de-0000-7000-8001-000000000001","contextId":"0198c0de-0000-7000-8000-000000000002","status":{"state":"TASK_STATE_WORKING","timestamp":"2026-01-01T00:00:00.000Z"}}}"#,
        );
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let address = receiver.urls[0].trim_start_matches("http://").trim_end_matches('/');
            let connection = HttpConnection::open(address).await?;
            let next = DeliveryId { webhook: WebhookId::mint(), task: TaskId::mint(), sequence: 1 };
            callers.push(Self { connection, next, body: body.clone() });
        }
        Ok(callers)
    }
}

impl Caller for Deliver {
    async fn call(&mut self) -> Result<()> {
        self.connection.deliver(&self.next.to_string(), self.body.clone()).await?;
        self.next.sequence += 1;
        Ok(())
    }
}

/// Counts a request until it is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Handles connections until it is aborted.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if stream.set_nodelay(true).is_ok() => drop(tokio::spawn(serve(stream, shared.clone()))),
            Ok(_) => {}
            // Out of file descriptors: some will be free again.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The address with a number in 127.0.0.0/16, any port.
fn own_address(number: usize) -> Result<SocketAddr> {
    let host = u16::try_from(number + 1)?.to_be_bytes();
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, host[0], host[1])), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_those_of_the_status() {
        let body =
            br#"{"task":{"id":"a","status":{"state":"TASK_STATE_WORKING","timestamp":"1970-01-01T00:00:01.500Z"}}}"#;
        let time = timestamp(body).unwrap().unwrap();
        assert_eq!(time.duration_since(SystemTime::UNIX_EPOCH).unwrap(), Duration::from_millis(1500));
        assert!(timestamp(br#"{"artifactUpdate":{"taskId":"a"}}"#).is_none());
        assert!(timestamp(br#"{"timestamp":"soon"}"#).unwrap().is_err());
        assert!(timestamp(br#"{"timestamp":""#).unwrap().is_err());
    }

    #[test]
    fn lanes_must_be_in_order_and_whole() {
        let mut log = Log::default();
        let lane = DeliveryId { webhook: WebhookId::mint(), task: TaskId::mint(), sequence: 1 };
        let mut add = |id: &str| log.add(Some(id.as_bytes()), b"{}", SystemTime::UNIX_EPOCH).is_ok();
        let mut numbered = |sequence| add(&DeliveryId { sequence, ..lane }.to_string());
        assert_eq!([1, 2, 2, 1, 3].map(&mut numbered), [true; 5]);
        assert!(!numbered(5), "4 is missing");
        assert!(!add("5"));
        assert!(log.add(None, b"{}", SystemTime::UNIX_EPOCH).is_err());
        assert_eq!((log.received.deliveries, log.received.repeated), (3, 2));
    }

    #[test]
    fn addresses_differ_and_are_loopback() {
        let address = |number| own_address(number).unwrap().to_string();
        assert_eq!(address(0), "127.0.0.1:0");
        assert_eq!(address(255), "127.0.1.0:0");
        assert!(own_address(70_000).is_err());
    }

    #[tokio::test]
    async fn deliveries_are_received_and_counted() {
        let receiver = Receiver::start(1).await.unwrap();
        let mut callers = Deliver::callers(&receiver, 2).await.unwrap();
        for _ in 0..3 {
            for caller in &mut callers {
                caller.call().await.unwrap();
            }
        }
        receiver.await_deliveries(6, Duration::from_secs(10)).await.unwrap();
        let received = receiver.take();
        assert_eq!((received.deliveries, received.repeated, received.first_error), (6, 0, None));
        assert_eq!(received.latency.count(), 6);
    }

    #[tokio::test]
    async fn a_silent_receiver_takes_requests_and_answers_none() {
        let receiver = Receiver::start(1).await.unwrap();
        let mut callers = Deliver::callers(&receiver, 2).await.unwrap();
        receiver.fall_silent();
        let (one, two) = callers.split_at_mut(1);
        let limit = Duration::from_secs(30);
        tokio::select! {
            _ = async { tokio::join!(one[0].call(), two[0].call()) } => panic!("it answered"),
            waiting = receiver.unanswered(limit) => assert!((1..=2).contains(&waiting.unwrap())),
        }
        assert_eq!(receiver.deliveries(), 0);
    }
}
