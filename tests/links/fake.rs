//! A scripted agent over HTTP, and one over bare TCP for what HTTP servers do not do.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use a2a_gateway::{
    agent::a2a::{Client, Link, Mode, OnLost, Settings, Tls, link},
    task::Dialect,
    wire::card::Offer,
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};

/// A request that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    /// Null: none, or not JSON.
    pub body: Value,
}

impl Seen {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An agent that answers as it is told, and remembers what it was asked.
pub struct Fake {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    pub async fn start(answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let app = Router::new().fallback(async move |request: Request| {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let seen = Seen {
                method: head.method.to_string(),
                path: head.uri.path_and_query().unwrap().to_string(),
                headers: head.headers,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            log.lock().unwrap().push(seen.clone());
            answer(&seen)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { url, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that was seen.
    pub fn only(&self) -> Seen {
        let [seen] = self.seen().try_into().unwrap();
        seen
    }
}

/// A server that reads a request's head and does with the connection what it is told; its URL.
pub async fn raw<F: Future<Output = ()> + Send + 'static>(script: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 64];
            let _ = stream.read(&mut head).await;
            tokio::spawn(script(stream));
        }
    });
    url
}

/// A URL that nobody listens at.
pub async fn refused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub fn settings(url: &str) -> Settings {
    Settings {
        name: "fake".into(),
        url: url.into(),
        interface: None,
        prefer: Vec::new(),
        headers: Vec::new(),
        tls: Tls::default(),
        mode: Mode::Auto,
        on_lost: OnLost::Fail,
        max_concurrency: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(20),
        unreachable_timeout: Duration::from_secs(10),
        poll_interval: Duration::from_secs(1),
        card_refresh: Duration::from_secs(300),
        max_message: 10_000,
    }
}

/// A binding in a dialect, as cards name it.
pub type Interface = (&'static str, Dialect);

pub const INTERFACES: [Interface; 5] = [
    ("JSONRPC", Dialect::V1),
    ("JSONRPC", Dialect::V03),
    ("JSONRPC", Dialect::Praison),
    ("HTTP+JSON", Dialect::V1),
    ("HTTP+JSON", Dialect::V03),
];

pub fn offer(url: &str, (binding, dialect): Interface) -> Offer {
    Offer { url: url.into(), binding: binding.into(), dialect, tenant: String::new() }
}

/// A link to the agent at `url`.
pub fn link_to(url: &str, interface: Interface) -> Arc<dyn Link> {
    link_with(&settings(url), interface)
}

pub fn link_with(settings: &Settings, interface: Interface) -> Arc<dyn Link> {
    let client = Arc::new(Client::new(settings).unwrap());
    link(&offer(&settings.url, interface), settings, client).unwrap()
}

pub fn json_answer(status: u16, body: impl ToString) -> Response {
    answer(status, "application/json", body.to_string())
}

pub fn answer(status: u16, media_type: &'static str, body: impl Into<Body>) -> Response {
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, media_type)], body.into()).into_response()
}

/// A JSON-RPC answer.
pub fn rpc(result: &Value) -> Response {
    json_answer(200, json!({"jsonrpc": "2.0", "id": 1, "result": result}))
}

pub fn sse(text: impl Into<String>) -> Response {
    answer(200, "text/event-stream; charset=utf-8", text.into())
}

/// A stream of events that is written piece by piece.
pub fn sse_of(pieces: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static) -> Response {
    answer(200, "text/event-stream", Body::from_stream(pieces))
}

/// A link to an offer of an agent.
pub fn link_of(offer: &Offer) -> Arc<dyn Link> {
    let settings = settings(&offer.url);
    link(offer, &settings, Arc::new(Client::new(&settings).unwrap())).unwrap()
}
