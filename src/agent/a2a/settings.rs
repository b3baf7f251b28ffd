//! How to reach an A2A agent.

use std::{fmt, time::Duration};

use crate::task::Dialect;

/// How to reach an A2A agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The agent's name in the gateway.
    pub name: String,
    /// Where its card is, where to look for one, or, with `interface`, where it is called.
    pub url: String,
    /// Calls go to `url` in this way, whatever the card says. None: the card says where and how.
    pub interface: Option<Interface>,
    /// Interfaces of the card to take first, the best one first; others follow in the card's order.
    pub prefer: Vec<Preference>,
    /// Sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// Of `https` and of gRPC over TLS.
    pub tls: Tls,
    /// How turns are run.
    pub mode: Mode,
    /// What becomes of a turn whose fate is unknown.
    pub on_lost: OnLost,
    /// Turns at the same time; none: no limit.
    pub max_concurrency: Option<usize>,
    /// For a connection.
    pub connect_timeout: Duration,
    /// For an answer that needs no work: get, cancel, the card, a non-blocking send, a stream's start.
    pub request_timeout: Duration,
    /// The longest silence of a stream or a blocking send.
    pub idle_timeout: Duration,
    /// How long a turn waits for an agent that cannot be reached.
    pub unreachable_timeout: Duration,
    /// The longest pause between two polls.
    pub poll_interval: Duration,
    /// How often the card is read again when the agent says nothing about it.
    pub card_refresh: Duration,
    /// The largest single answer or event, in bytes.
    pub max_message: usize,
}

/// A binding in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// How calls are carried.
    pub binding: Binding,
    /// What is said. PraisonAI's is spoken over JSON-RPC only.
    pub dialect: Dialect,
}

/// How calls are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// JSON-RPC 2.0 over HTTP.
    JsonRpc,
    /// gRPC.
    Grpc,
    /// HTTP+JSON.
    Rest,
}

/// Which interfaces of a card are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    /// None: any binding.
    pub binding: Option<Binding>,
    /// None: any version.
    pub dialect: Option<Dialect>,
}

/// How turns are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By stream if the card says that the agent streams, else by poll. PraisonAI's agents: by poll.
    Auto,
    /// A streaming send.
    Stream,
    /// A send that returns at once, and then reading the task until it is done.
    Poll,
    /// One send that is held open until the work is done: for agents that keep no tasks.
    Blocking,
}

/// What becomes of a turn whose fate is unknown: the connection broke, or the gateway or the agent restarted, between
/// sending the message and learning the task's id; or the agent forgot the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// The task fails: work that may have been done is not done twice.
    Fail,
    /// The message is sent again.
    Resend,
}

/// TLS beyond the system's trusted certificates: PEM texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// The certificate chain and the key to show.
    pub identity: Option<(Vec<u8>, Secret)>,
}

/// Text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
