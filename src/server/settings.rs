//! What an operator can set about the server.

use std::{sync::Arc, time::Duration};

use super::Extended;
use crate::jws::Key;

/// The server's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where clients reach the gateway, such as `https://agents.example.com`; what cards say. None: each request's own
    /// `Host`, by plain HTTP.
    pub public_url: Option<String>,
    /// Where gRPC clients reach the gateway, as cards have it. None: the host and port of its URL.
    pub grpc_url: Option<String>,
    /// Whether the well-known paths serve a card that 1.0, 0.3 and PraisonAI clients can all read. False: the pure 1.0
    /// card at `agent-card.json` and the 0.3 card at `agent.json`.
    pub merged_card: bool,
    /// The agents' extended cards, and who may read them.
    pub extended_cards: Extended,
    /// The keys of cards' signatures, the first of which signs; all are published. Without a public URL nothing is signed.
    pub signing_keys: Vec<Arc<Key>>,
    /// The origins whose pages may use the doors, such as `https://app.example.com`; `*`: all.
    pub cors_origins: Vec<String>,
    /// The largest request body, and gRPC message, in bytes.
    pub max_body: usize,
    /// The most requests in one JSON-RPC batch.
    pub max_batch: usize,
    /// The most connections at a time; more wait in the listener's backlog.
    pub max_connections: usize,
    /// The longest wait for a request's head; on HTTP/1 also the longest idle time between two requests.
    pub header_read_timeout: Duration,
    /// The longest time that reading a request's body may take; of gRPC, its message.
    pub body_read_timeout: Duration,
    /// How often an HTTP/2 connection is pinged; none: never.
    pub http2_keep_alive_interval: Option<Duration>,
    /// How long an HTTP/2 ping may stay unanswered before the connection is closed.
    pub http2_keep_alive_timeout: Duration,
    /// The most requests at a time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// How often an SSE stream with nothing to say sends a comment.
    pub sse_keep_alive: Duration,
    /// How long an A2A stream stays open, without an event, on a task that waits for its caller.
    pub auth_required_idle: Duration,
    /// How long the gateway goes on as before once it is to shut down, apart from saying that it is not ready.
    pub drain_delay: Duration,
    /// How long requests under way may take to finish once the gateway shuts down.
    pub drain_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            grpc_url: None,
            merged_card: true,
            extended_cards: Extended::default(),
            signing_keys: Vec::new(),
            cors_origins: Vec::new(),
            max_body: 4 * 1024 * 1024,
            max_batch: 50,
            max_connections: 20_000,
            header_read_timeout: Duration::from_secs(30),
            body_read_timeout: Duration::from_secs(30),
            http2_keep_alive_interval: Some(Duration::from_secs(20)),
            http2_keep_alive_timeout: Duration::from_secs(20),
            max_concurrent_streams: 2000,
            // HTTP clients of the official Python SDK give up after 5 s of silence.
            sse_keep_alive: Duration::from_secs(4),
            auth_required_idle: Duration::from_secs(600),
            drain_delay: Duration::ZERO,
            drain_deadline: Duration::from_secs(10),
        }
    }
}
