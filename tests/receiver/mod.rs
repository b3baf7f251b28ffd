//! A receiver of webhooks whose every answer is scripted, down to the bytes and the way a connection ends. It keeps all
//! that it was sent, and notes a request before it answers: who ends the sender in between knows that it was noted.

#![allow(dead_code, unused_imports, reason = "each test uses its part")]

mod answer;
mod serve;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use a2a_gateway::task::DeliveryId;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use ring::hmac;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use answer::{Answer, Gate};

/// What no step of a test takes, on the busiest machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Decides what a request is answered. It is called once the request has been noted.
pub type Script = Box<dyn FnMut(&Received) -> Answer + Send>;

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When it was whole.
    pub at: Instant,
    /// 1, 2, … of its path and `webhook-id`.
    pub attempt: usize,
    /// How often the sender had been replaced, as the test tells it.
    pub generation: u64,
    /// The status, once it was handed to the connection.
    pub answered: Option<u16>,
    /// Its answer broke off after the status.
    pub is_part: bool,
}

impl Received {
    /// A header's value, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What it is about.
    pub fn delivery(&self) -> DeliveryId {
        let id = self.header("webhook-id");
        DeliveryId::parse(id).unwrap_or_else(|| panic!("no webhook-id: {self:?}"))
    }

    pub fn sequence(&self) -> u64 {
        self.delivery().sequence
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether it was taken, by a whole answer.
    pub fn is_taken(&self) -> bool {
        !self.is_part && self.answered.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether one of its signatures was made with this secret (Standard Webhooks).
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let mut signed = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).into_bytes();
        signed.extend_from_slice(&self.body);
        self.header("webhook-signature").split(' ').any(|signature| {
            let tag = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            tag.is_some_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
        })
    }
}

/// A receiver on the loopback.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Told at each change of the state.
    changed: watch::Sender<()>,
}

struct State {
    received: Vec<Received>,
    attempts: HashMap<(String, String), usize>,
    script: Script,
    generation: u64,
    /// Connections that are open.
    open: usize,
    /// Connections that there were.
    opened: usize,
}

impl Receiver {
    /// On a free port.
    pub async fn start(script: impl FnMut(&Received) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            received: Vec::new(),
            attempts: HashMap::new(),
            script: Box::new(script),
            generation: 0,
            open: 0,
            opened: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(()) });
        let accepting = tokio::spawn(serve::accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// One that takes all it is sent.
    pub async fn willing() -> Self {
        Self::start(|_| Answer::status(204)).await
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Goes on by another script.
    pub fn script(&self, script: impl FnMut(&Received) -> Answer + Send + 'static) {
        self.shared.lock().script = Box::new(script);
    }

    /// All that came, in its order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// What came to a path, in its order.
    pub fn at(&self, path: &str) -> Vec<Received> {
        self.shared.lock().received.iter().filter(|received| received.path == path).cloned().collect()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.shared.lock().received.len()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.lock().opened
    }

    /// Waits until what came passes.
    pub async fn until<T>(&self, what: &str, mut pass: impl FnMut(&[Received]) -> Option<T>) -> T {
        self.wait(what, |state| pass(&state.received)).await
    }

    /// Waits until so many requests have been answered.
    pub async fn answered(&self, count: usize) -> Vec<Received> {
        let answered = |all: &[Received]| all.iter().filter(|received| received.answered.is_some()).count() >= count;
        self.until(&format!("{count} answered requests"), |all| answered(all).then(|| all.to_vec())).await
    }

    /// Waits until so many requests have come.
    pub async fn came(&self, count: usize) -> Vec<Received> {
        self.until(&format!("{count} requests"), |all| (all.len() >= count).then(|| all.to_vec())).await
    }

    /// Waits until no connection is open.
    pub async fn closed(&self) {
        self.wait("the end of all connections", |state| (state.open == 0).then_some(())).await;
    }

    /// After the sender has ended: waits until all that it sent has been read. What comes from now on is of the next
    /// generation.
    pub async fn next_generation(&self) {
        // Connections are accepted in their order: when this one has been, so have all before it.
        let opened = self.shared.lock().opened;
        let probe = tokio::net::TcpStream::connect(self.address).await.unwrap();
        self.wait("the probe", |state| (state.opened > opened).then_some(())).await;
        drop(probe);
        self.closed().await;
        self.shared.lock().generation += 1;
    }

    async fn wait<T>(&self, what: &str, mut pass: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let passed = async {
            loop {
                if let Some(found) = pass(&self.shared.lock()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(LIMIT, passed).await {
            Ok(found) => found,
            Err(_) => {
                let state = self.shared.lock();
                let tail = state.received.len().saturating_sub(5);
                panic!("no {what}; of {} requests the last: {:#?}", state.received.len(), &state.received[tail..]);
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.send_replace(());
        changed
    }

    /// Notes a request; its place among all, and what to answer.
    fn note(&self, path: String, headers: HeaderMap, body: Bytes) -> (usize, Answer) {
        self.change(|state| {
            let id = headers.get("webhook-id").map_or("", |id| id.to_str().unwrap()).to_owned();
            let attempt = state.attempts.entry((path.clone(), id)).or_default();
            *attempt += 1;
            let (attempt, generation) = (*attempt, state.generation);
            let at = Instant::now();
            let received = Received { path, headers, body, at, attempt, generation, answered: None, is_part: false };
            let answer = (state.script)(&received);
            state.received.push(received);
            (state.received.len() - 1, answer)
        })
    }
}
