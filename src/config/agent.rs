//! What the settings say about agents.
//!
//! Secrets (values of headers, tokens, keys and environments) are never shown: `Debug` hides them, and nothing here
//! displays them.

use std::{fmt, path::PathBuf, time::Duration};

use crate::wire::card::Overlay;

/// An agent behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What clients call it by: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit.
    pub name: String,
    /// What it is.
    pub kind: AgentKind,
    /// Turns at the same time; none: no limit.
    pub max_concurrency: Option<usize>,
    /// What becomes of a turn whose fate is unknown.
    pub on_lost: OnLost,
    /// What its extended card says beyond the public one; none: it has no extended card.
    pub extended_card: Option<Overlay>,
}

/// What an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentKind {
    /// The built-in echo agent.
    Echo,
    /// An agent that speaks A2A.
    A2a(A2aAgent),
    /// A command that is run for each turn.
    Exec(ExecAgent),
}

/// What becomes of a turn whose fate is unknown, because a connection broke or a process restarted at the wrong moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// The task fails: work that may have been done is not done twice.
    Fail,
    /// The message is sent again.
    Resend,
}

/// How to reach an agent that speaks A2A.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct A2aAgent {
    /// Where its card is, where to look for one, or, with `interface`, where it is called: an http or https URL.
    pub url: String,
    /// Calls go to `url` in this way, whatever the card says. None: the card says where and how.
    pub interface: Option<Interface>,
    /// Interfaces of the card to take first, the best one first.
    pub prefer: Vec<Preference>,
    /// Sent with every request, names in lower case; a token is among them, as `authorization`.
    pub headers: Vec<(String, Secret)>,
    /// TLS beyond the system's trusted certificates.
    pub tls: Tls,
    /// How turns are run.
    pub mode: Mode,
    /// For a connection.
    pub connect_timeout: Duration,
    /// For an answer that needs no work.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// How calls are carried.
    pub binding: Binding,
    /// What is said; PraisonAI's over JSON-RPC only.
    pub version: Version,
}

/// How calls are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// JSON-RPC 2.0 over HTTP.
    JsonRpc,
    /// gRPC.
    Grpc,
    /// HTTP+JSON.
    Rest,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A2A 1.0.
    V1,
    /// A2A 0.3.
    V03,
    /// PraisonAI's dialect.
    PraisonAi,
}

/// Which interfaces of a card are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    /// None: any binding.
    pub binding: Option<Binding>,
    /// None: any version.
    pub version: Option<Version>,
}

/// How turns are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By stream if the card says that the agent streams, else by poll.
    Auto,
    /// A streaming send.
    Stream,
    /// A send that returns at once, and then reading the task until it is done.
    Poll,
    /// One send that is held open until the work is done.
    Blocking,
}

/// TLS beyond the system's trusted certificates: checked PEM texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// The certificate chain and the key to show.
    pub identity: Option<(Vec<u8>, Secret)>,
}

/// A command that is run for each turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecAgent {
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// Its working directory; none: the gateway's.
    pub directory: Option<PathBuf>,
    /// Variables that it gets besides the gateway's own.
    pub environment: Vec<(String, Secret)>,
    /// What it reads on its standard input.
    pub input: ExecInput,
    /// What its standard output is.
    pub output: ExecOutput,
    /// How long it may run; none: as long as it likes.
    pub timeout: Option<Duration>,
    /// How long it has to end after SIGTERM.
    pub grace: Duration,
    /// The most that it may write to its standard output, in bytes.
    pub max_output: usize,
    /// What its card says about it; none: a text made from the command's name.
    pub description: Option<String>,
}

/// What a command reads on its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecInput {
    /// The message's text.
    Text,
    /// The turn as one JSON object.
    Json,
}

/// What a command's standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Raw,
}

/// Text that must not be shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(pub String);

impl Agent {
    /// An agent with the default settings.
    pub(super) fn new(name: String, kind: AgentKind) -> Self {
        Self { name, kind, max_concurrency: None, on_lost: OnLost::Fail, extended_card: None }
    }

    /// What it is, for people: a URL without its query, a program, or `built in`.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.kind {
            AgentKind::Echo => "built in".to_owned(),
            AgentKind::A2a(agent) => agent.url.split('?').next().unwrap_or_default().to_owned(),
            AgentKind::Exec(agent) => format!("runs {}", agent.command.first().map_or("", String::as_str)),
        }
    }
}

impl A2aAgent {
    /// An agent at a URL, with the default settings.
    pub(super) fn new(url: String, interface: Option<Interface>) -> Self {
        Self {
            url,
            interface,
            prefer: Vec::new(),
            headers: Vec::new(),
            tls: Tls::default(),
            mode: Mode::Auto,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(5 * 60),
            unreachable_timeout: Duration::from_secs(60),
            poll_interval: Duration::from_secs(5),
            card_refresh: Duration::from_secs(5 * 60),
            max_message: 64 << 20,
        }
    }
}

impl ExecAgent {
    /// A command with the default settings.
    pub(super) fn new(command: Vec<String>) -> Self {
        Self {
            command,
            directory: None,
            environment: Vec::new(),
            input: ExecInput::Text,
            output: ExecOutput::Text,
            timeout: None,
            grace: Duration::from_secs(5),
            max_output: 64 << 20,
            description: None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
