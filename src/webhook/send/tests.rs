//! Requests to scripted receivers: sockets on the loopback that answer byte by byte as a test says.

mod guarded;
mod odd;
mod tls;

use std::{
    future::Future,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;
use crate::webhook::guard::{Lookup, Policy};

/// Longer than anything that a test waits for in vain.
const LONG: Duration = Duration::from_secs(30);

/// What a test that waits for the end of the time waits for: long enough for an answer to begin on a busy machine.
const SHORT: Duration = Duration::from_millis(400);

/// A receiver and what it has got: the number of its connection, and the request.
struct Receiver {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<(usize, String)>,
}

impl Receiver {
    /// Answers each request of each connection by `answer`: of the request, over the connection. False: it is over.
    async fn start<A>(answer: impl Fn(String, TcpStream) -> A + Clone + Send + 'static) -> Self
    where
        A: Future<Output = Option<TcpStream>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { break };
                let (sender, answer) = (sender.clone(), answer.clone());
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut stream).await {
                        let _ = sender.send((connection, request.clone()));
                        match answer(request, stream).await {
                            Some(same) => stream = same,
                            None => break,
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// Answers every request with these bytes, and keeps the connection.
    async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::start(move |_, mut stream| {
            let bytes = bytes.clone();
            async move { stream.write_all(&bytes).await.ok().map(|()| stream) }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/in?key=s3cret", self.address)
    }

    /// The requests so far.
    fn seen(&mut self) -> Vec<(usize, String)> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        text.extend_from_slice(&piece[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(whole);
            }
        }
    }
}

/// A lookup that knows `hooks.test` only.
struct Hooks(Vec<Vec<IpAddr>>, AtomicUsize);

impl Lookup for Hooks {
    fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let turn = self.1.fetch_add(1, Ordering::Relaxed).min(self.0.len().saturating_sub(1));
        let found = self.0.get(turn).filter(|_| name == "hooks.test").cloned();
        async move { found.ok_or_else(|| "no such name".to_owned()) }.boxed()
    }
}

fn guard(allow: &[&str], hooks: &[&[&str]]) -> Arc<Guard> {
    let allow: Vec<_> = allow.iter().map(|entry| (*entry).to_owned()).collect();
    let hooks = hooks.iter().map(|turn| turn.iter().map(|text| text.parse().unwrap()).collect()).collect();
    Arc::new(Guard::new(Policy::parse(&allow, false).unwrap(), Arc::new(Hooks(hooks, AtomicUsize::new(0)))))
}

fn settings(timeout: Duration) -> SendSettings {
    SendSettings { timeout, connect_timeout: LONG, ..SendSettings::default() }
}

/// A sender that may call the loopback.
fn sender(timeout: Duration) -> Sender {
    Sender::new(guard(&["127.0.0.0/8"], &[&["127.0.0.1"]]), settings(timeout)).unwrap()
}

fn request(url: &str) -> Request {
    let mut secret = HeaderValue::from_static("Bearer s3cret");
    secret.set_sensitive(true);
    let mut headers = HeaderMap::from_iter([(AUTHORIZATION, secret)]);
    headers.insert("webhook-id", HeaderValue::from_static("wh_1"));
    Request { url: url.to_owned(), headers, body: Bytes::from_static(b"{\"n\":1}"), limit: None }
}

/// The failure, which tells no secret.
fn failure(report: &Report) -> &Failure {
    assert_eq!(report.status, 0, "{report:?}");
    assert!(!format!("{report:?}").contains("s3cret"), "{report:?}");
    report.failure.as_ref().unwrap()
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_and_its_answer_reported() {
    let answer = "HTTP/1.1 202 Accepted\r\nContent-Length: 11\r\nSet-Cookie: a=b\r\n\r\nthank\r\nyou!";
    let mut receiver = Receiver::saying(answer).await;
    let sender = sender(LONG);
    for _ in 0..2 {
        let report = sender.send(&request(&receiver.url())).await;
        let Report { latency, ref address, .. } = report;
        assert!(latency > Duration::ZERO && latency < LONG);
        assert_eq!(*address, receiver.address.to_string());
        assert_eq!((report.status, report.failure, report.retry_after), (202, None, None));
        assert_eq!(report.excerpt, "thank you!");
    }
    let seen = receiver.seen();
    for (connection, request) in &seen {
        assert_eq!(*connection, 0, "the second request takes the connection of the first");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /in?key=s3cret HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: Bearer s3cret\r\n") && head.contains("\r\nwebhook-id: wh_1"));
        for header in ["cookie", "referer", "accept-encoding", "transfer-encoding"] {
            assert!(!head.contains(&format!("\r\n{header}:")), "{head}");
        }
        assert_eq!(body, "{\"n\":1}");
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn redirects_are_reported_and_not_followed() {
    let mut other = Receiver::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let metadata = "http://169.254.169.254/latest/meta-data".to_owned();
    for status in [301, 302, 303, 307, 308] {
        for location in [other.url(), metadata.clone(), "/elsewhere".to_owned()] {
            let answer = format!("HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let mut receiver = Receiver::saying(answer).await;
            let report = sender(LONG).send(&request(&receiver.url())).await;
            assert_eq!((report.status, report.failure), (status, None));
            assert_eq!(receiver.seen().len(), 1);
        }
    }
    assert_eq!(other.seen(), []);
}

#[tokio::test]
async fn the_pause_that_a_receiver_asks_for_is_reported() {
    let date = "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n";
    for (headers, expected) in [
        ("Retry-After: 120\r\n", Some(120)),
        ("Retry-After: Sun, 22 Nov 2026 12:00:30 GMT\r\n", Some(30)),
        ("Retry-After: Sun, 22 Nov 2026 11:00:00 GMT\r\n", Some(0)),
        ("Retry-After: soon\r\n", None),
        ("Retry-After: -1\r\n", None),
        ("Retry-After: \u{e4}\r\n", None),
        ("Retry-After:\r\n", None),
        ("", None),
    ] {
        let answer = format!("HTTP/1.1 429 Too Many Requests\r\n{date}{headers}Content-Length: 0\r\n\r\n");
        let receiver = Receiver::saying(answer).await;
        let report = sender(LONG).send(&request(&receiver.url())).await;
        assert_eq!((report.status, report.retry_after), (429, expected.map(Duration::from_secs)), "{headers:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_replaced_ends_with_its_requests() {
    let (release, held) = tokio::sync::watch::channel(true);
    let mut receiver = Receiver::start(move |_, mut stream| {
        let mut held = held.clone();
        async move {
            held.wait_for(|held| !held).await.ok()?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.ok()?;
            Some(stream)
        }
    })
    .await;
    let settings = SendSettings { client_age: Duration::ZERO, ..settings(LONG) };
    let sender = Sender::new(guard(&["127.0.0.1"], &[]), settings).unwrap();
    let request = request(&receiver.url());
    let receive = async {
        // Both are under way, the first with a client that the second one's has replaced.
        let connections = [receiver.requests.recv().await.unwrap().0, receiver.requests.recv().await.unwrap().0];
        release.send_replace(false);
        connections
    };
    let (one, two, connections) = tokio::join!(sender.send(&request), sender.send(&request), receive);
    assert_eq!([one.status, two.status], [200, 200]);
    assert_eq!([one.excerpt, two.excerpt], ["ok", "ok"]);
    assert_ne!(connections[0], connections[1]);
}

/// Runs itself once more, with proxies that do not work.
#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    const NAME: &str = "webhook::send::tests::proxies_of_the_environment_are_ignored";
    const VARIABLES: [&str; 5] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];
    if std::env::var_os("A2A_TEST_PROXIES").is_some() {
        let receiver = Receiver::saying("HTTP/1.1 204 No Content\r\n\r\n").await;
        let report = sender(LONG).send(&request(&receiver.url())).await;
        assert_eq!((report.status, report.failure), (204, None));
        return;
    }
    let mut proxy = Receiver::saying("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    let url = format!("http://{}", proxy.address);
    child.args(["--exact", NAME]).env("A2A_TEST_PROXIES", "1").env_remove("NO_PROXY").env_remove("no_proxy");
    child.envs(VARIABLES.map(|name| (name, url.as_str())));
    let output = child.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.seen(), []);
}
