//! What the tests of the doors share: a real gateway on a free port, and one client per door.
//!
//! Each client speaks its door's own form, decodes it strictly (no member that the dialect does not have, every word in
//! its spelling) and answers in common values, so that one scenario can be looped over all doors and compared.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../database/mod.rs"]
mod database;
pub mod grpc;
pub mod grpc_v03;
pub mod json;
pub mod kinds;
pub mod push;
pub mod rest;
pub mod sse;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use a2a_gateway::{
    StartError,
    agent::{Agent, Echo},
    config::{Agent as AgentConfig, Config, Flag, Problems, Sources},
    engine::{self, Courier, Engine, Hub, Parts},
    metrics::Metrics,
    proto::a2a::TaskState,
    run, run_with, server,
    store::{Sqlite, SqliteSettings},
};
use futures::{StreamExt as _, stream::BoxStream};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::transport::{Channel, Endpoint};

/// The longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway.
pub struct Gateway {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub channel: Channel,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), StartError>>,
    _dir: tempfile::TempDir,
}

impl Gateway {
    /// With the echo agent and the default settings.
    pub async fn start() -> Self {
        Self::start_with(vec![("echo".into(), Arc::new(Echo))], &[]).await
    }

    /// With these agents, the first being the default, and these settings.
    pub async fn start_with(agents: Vec<(String, Arc<dyn Agent>)>, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().to_str().unwrap();
        let always = [("server.listen", "127.0.0.1:0"), ("store.data_dir", data_dir)];
        // Where the data are elsewhere, so that they can be opened again, the database is that of the place.
        let place = settings.iter().find(|(key, _)| *key == "store.data_dir");
        let stored = database::settings(place.map_or(dir.path(), |(_, place)| Path::new(place)));
        let stored: Vec<_> = stored.iter().map(|(key, value)| (*key, &**value)).collect();
        let flags = always.iter().chain(&stored).chain(settings);
        let flags = flags.map(|(key, value)| Flag { name: "--set".into(), key: (*key).into(), value: (*value).into() });
        let config = Config::load(&Sources { flags: flags.collect(), ..Sources::default() }).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let ready = move |address| tell.send(address).unwrap();
        let shutdown = async move { drop(stopped.await) };
        let running = tokio::spawn(run_with(config, agents, ready, shutdown));
        let address: SocketAddr = told.await.expect("the gateway did not start");
        Self::at(address, stop, running, dir)
    }

    /// With the settings of a file, which name the agents; and what replaces these while it runs.
    pub async fn start_file(settings: &str) -> (Self, mpsc::Sender<Vec<AgentConfig>>) {
        let dir = tempfile::tempdir().unwrap();
        let config = read_settings(settings, dir.path()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let (reload, reloads) = mpsc::channel(1);
        let ready = move |address| tell.send(address).unwrap();
        let running = tokio::spawn(run(config, reloads, ready, async move { drop(stopped.await) }));
        let address: SocketAddr = told.await.expect("the gateway did not start");
        (Self::at(address, stop, running, dir), reload)
    }

    /// With these agents, webhooks as this courier has them (none: off), and all else by default; and its engine.
    pub async fn start_courier(
        agents: Vec<(String, Arc<dyn Agent>)>,
        courier: Option<Arc<dyn Courier>>,
    ) -> (Self, Engine) {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::new(metrics.clone());
        let files = SqliteSettings::new(dir.path());
        let store = Arc::new(Sqlite::open(&files, hub.clone(), metrics.clone()).unwrap());
        let settings = engine::Settings::default();
        let engine = Engine::start(Parts { store, hub, agents, courier, settings, metrics: metrics.clone() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = engine.clone();
        let running = tokio::spawn(async move {
            let shutdown = async move { drop(stopped.await) };
            let settings = server::Settings::default();
            let result = server::serve(listener, served.clone(), metrics, settings, shutdown).await;
            served.stop().await;
            result.map_err(StartError::Serve)
        });
        (Self::at(address, stop, running, dir), engine)
    }

    fn at(
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        running: JoinHandle<Result<(), StartError>>,
        dir: tempfile::TempDir,
    ) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true).connect_lazy();
        // Built without a provider of its own, reqwest wants one even where it speaks no TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
        Self { address, http, channel, stop, running, _dir: dir }
    }

    /// Stops it and waits until it has.
    pub async fn stop(self) {
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.running).await.expect("it did not stop").unwrap().unwrap();
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A client of a door.
    pub fn client(&self, door: Door) -> Client {
        let lookups = match door {
            // A lookup bears no marks: what is not known to be PraisonAI's is 0.3's.
            Door::Praison => Some(Dialect::V03),
            door => door.dialect(),
        };
        Client {
            door,
            lookups,
            url: self.url(door.path()),
            tenant: String::new(),
            metadata: String::new(),
            http: self.http.clone(),
            channel: self.channel.clone(),
        }
    }

    /// How many requests with these labels its metrics count; none: they have no such line.
    pub async fn counted(&self, labels: &str) -> Option<u64> {
        let text = self.http.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let start = format!("a2a_gateway_requests_total{{{labels}}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).map(|count| count.parse().unwrap())
    }

    /// How many tasks it holds.
    pub async fn count(&self) -> i32 {
        self.client(Door::Gateway).list(&ListQuery::default()).await.unwrap().total.unwrap()
    }
}

/// Reads the settings of a file, for a gateway on a free port whose data are in a directory.
pub fn read_settings(settings: &str, dir: &Path) -> Result<Config, Problems> {
    let file = dir.join("gateway.toml");
    std::fs::write(&file, settings).unwrap();
    let flag = |key: &str, value: &str| Flag { name: "--set".into(), key: key.into(), value: value.into() };
    let mut flags = vec![flag("server.listen", "127.0.0.1:0"), flag("store.data_dir", dir.to_str().unwrap())];
    flags.extend(database::settings(dir).iter().map(|(key, value)| flag(key, value)));
    Config::load(&Sources { file: Some(file), flags, ..Sources::default() })
}

/// How a client reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `a2a.gateway.v1` over gRPC.
    Gateway,
    /// `lf.a2a.v1` over gRPC.
    A2aGrpc,
    /// A2A 1.0 over JSON-RPC.
    V1,
    /// A2A 0.3 over JSON-RPC.
    V03,
    /// PraisonAI's dialect on the common path.
    Praison,
    /// PraisonAI's dialect on its own path.
    PraisonOwn,
    /// A2A 1.0 over HTTP+JSON.
    Rest,
    /// A2A 0.3 over HTTP+JSON.
    Rest03,
    /// `a2a.v1` over gRPC: A2A 0.3.
    Grpc03,
}

/// A dialect of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V1,
    V03,
    Praison,
}

impl Door {
    pub const ALL: [Self; 9] = [
        Self::Gateway,
        Self::A2aGrpc,
        Self::V1,
        Self::V03,
        Self::Praison,
        Self::PraisonOwn,
        Self::Rest,
        Self::Rest03,
        Self::Grpc03,
    ];
    /// The gRPC doors.
    pub const GRPC: [Self; 3] = [Self::Gateway, Self::A2aGrpc, Self::Grpc03];
    /// The JSON-RPC doors.
    pub const JSON: [Self; 4] = [Self::V1, Self::V03, Self::Praison, Self::PraisonOwn];
    /// The doors that know A2A's bare messages.
    pub const A2A: [Self; 6] = [Self::A2aGrpc, Self::V1, Self::V03, Self::Rest, Self::Rest03, Self::Grpc03];
    /// The doors that take idempotency keys.
    pub const KEYED: [Self; 7] =
        [Self::Gateway, Self::V1, Self::V03, Self::Praison, Self::PraisonOwn, Self::Rest, Self::Rest03];
    /// The doors whose streams have positions.
    pub const RESUMABLE: [Self; 5] = [Self::Gateway, Self::V1, Self::V03, Self::Rest, Self::Rest03];
    /// The REST doors.
    pub const REST: [Self; 2] = [Self::Rest, Self::Rest03];
    /// The doors with an operation that streams a task which is there already.
    pub const WATCH: [Self; 7] =
        [Self::Gateway, Self::A2aGrpc, Self::V1, Self::V03, Self::Rest, Self::Rest03, Self::Grpc03];

    /// None: gRPC.
    pub fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Gateway | Self::A2aGrpc | Self::Grpc03 => None,
            Self::V1 | Self::Rest => Some(Dialect::V1),
            Self::V03 | Self::Rest03 => Some(Dialect::V03),
            Self::Praison | Self::PraisonOwn => Some(Dialect::Praison),
        }
    }

    pub fn is_praison(self) -> bool {
        self.dialect() == Some(Dialect::Praison)
    }

    pub fn is_rest(self) -> bool {
        Self::REST.contains(&self)
    }

    /// Whether it speaks the dialect, in JSON.
    pub fn is(self, dialect: Dialect) -> bool {
        self.dialect() == Some(dialect)
    }

    /// Whether it speaks A2A 0.3, on any binding.
    pub fn is_v03(self) -> bool {
        self == Self::Grpc03 || self.is(Dialect::V03)
    }

    fn path(self) -> &'static str {
        match self {
            Self::PraisonOwn => "/praisonai/a2a",
            Self::Rest | Self::Rest03 => "",
            _ => "/a2a",
        }
    }
}

/// A client of one door.
#[derive(Clone)]
pub struct Client {
    pub door: Door,
    /// The dialect in which answers to lookups are to come.
    pub lookups: Option<Dialect>,
    pub url: String,
    /// The agent that each request names by tenant; empty: none.
    pub tenant: String,
    /// The agent that the metadata of each call names; empty: none.
    pub metadata: String,
    pub http: reqwest::Client,
    pub channel: Channel,
}

/// A message to send.
#[derive(Clone, Debug, Default)]
pub struct Send<'a> {
    pub text: &'a str,
    /// The task to continue.
    pub task: &'a str,
    pub context: &'a str,
    /// Not to wait for the outcome.
    pub at_once: bool,
    pub history: Option<i32>,
    pub tenant: &'a str,
    /// Makes it idempotent.
    pub key: &'a str,
}

pub fn say(text: &str) -> Send<'_> {
    Send { text, ..Send::default() }
}

pub fn say_at_once(text: &str) -> Send<'_> {
    Send { text, at_once: true, ..Send::default() }
}

/// What a send gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Task(Seen),
    Message(String),
}

impl Answer {
    pub fn task(self) -> Seen {
        match self {
            Self::Task(task) => task,
            Self::Message(text) => panic!("the message {text:?} instead of a task"),
        }
    }
}

/// A task as a door shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub id: String,
    pub context: String,
    pub state: TaskState,
    /// The text of the status message.
    pub said: String,
    /// The text of each artifact.
    pub artifacts: Vec<String>,
    /// `user: text` or `agent: text`, oldest first.
    pub history: Vec<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Task(Seen),
    Message(String),
    /// `last`: what the older dialects call `final`.
    Status {
        state: TaskState,
        said: String,
        last: Option<bool>,
    },
    Artifact {
        text: String,
        append: bool,
        last: bool,
    },
    /// PraisonAI's end of a stream.
    Done,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// None where the door has none.
    pub sequence: Option<u64>,
    /// Empty where the door names none.
    pub task: String,
    pub what: What,
}

impl Item {
    /// The state that it tells.
    pub fn state(&self) -> Option<TaskState> {
        match &self.what {
            What::Task(task) => Some(task.state),
            What::Status { state, .. } => Some(*state),
            _ => None,
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    pub tasks: Vec<Seen>,
    pub next: String,
    /// None where the door does not tell.
    pub total: Option<i32>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery<'a> {
    pub context: &'a str,
    pub tenant: &'a str,
    pub state: Option<TaskState>,
    pub size: Option<i32>,
    pub token: &'a str,
    pub history: Option<i32>,
    pub artifacts: bool,
}

/// An error as a door shows it.
#[derive(Clone, Debug)]
pub struct Fault {
    /// None: a gRPC status.
    pub form: Option<Dialect>,
    /// The gRPC or JSON-RPC code; REST 1.0's own, which is the HTTP status.
    pub code: i32,
    /// The HTTP status of REST's; 0: an event of a 0.3 stream.
    pub status: Option<u16>,
    pub message: String,
    /// Where the form has one.
    pub info: Option<Box<Info>>,
    /// Of `google.rpc.BadRequest`: field and description.
    pub fields: Vec<(String, String)>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, Debug)]
pub struct Info {
    pub reason: String,
    pub domain: String,
    pub metadata: BTreeMap<String, String>,
}

impl Fault {
    /// Whether it names a field, given in proto names, in the spelling of its form.
    pub fn names(&self, field: &str) -> bool {
        let field = if self.form.is_none() { field.to_owned() } else { camel(field) };
        match self.form {
            Some(Dialect::Praison) => self.message.contains(&field),
            _ => self.fields.iter().any(|(name, why)| *name == field && !why.is_empty()),
        }
    }
}

/// `message.message_id` becomes `message.messageId`.
pub fn camel(path: &str) -> String {
    let mut words = path.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        let head = letters.next().map(|c| c.to_ascii_uppercase());
        text + &head.into_iter().chain(letters).collect::<String>()
    })
}

/// A stream of events.
pub struct Events(BoxStream<'static, Result<Item, Fault>>);

impl Events {
    /// The next event; none at the end.
    pub async fn next(&mut self) -> Option<Result<Item, Fault>> {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("no event came")
    }

    /// The next event, which must come.
    pub async fn item(&mut self) -> Item {
        self.next().await.expect("the stream ended").unwrap()
    }

    /// All events to the end.
    pub async fn rest(mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            items.push(item.unwrap());
        }
        items
    }
}

impl Client {
    /// On the path of an agent.
    pub fn on_path(&self, agent: &str) -> Self {
        let path = self.door.path();
        let root = self.url.strip_suffix(path).unwrap();
        Self { url: format!("{root}/agents/{agent}{path}"), ..self.clone() }
    }

    /// With answers to lookups in the dialect in which this door sees a task that was made on the other.
    pub fn seeing(&self, maker: Door) -> Self {
        let lookups = match self.door {
            Door::V03 | Door::Praison if maker.is_praison() => Some(Dialect::Praison),
            Door::V03 | Door::Praison => Some(Dialect::V03),
            door => door.dialect(),
        };
        Self { lookups, ..self.clone() }
    }

    pub async fn send(&self, send: Send<'_>) -> Result<Answer, Fault> {
        let call = async {
            match self.door.dialect() {
                None => grpc::send(self, &send).await,
                Some(dialect) => json::send(self, dialect, &send).await,
            }
        };
        tokio::time::timeout(PATIENCE, call).await.expect("no answer came")
    }

    pub async fn stream(&self, send: Send<'_>) -> Result<Events, Fault> {
        match self.door.dialect() {
            None => grpc::stream(self, &send).await,
            Some(dialect) => json::stream(self, dialect, &send).await,
        }
    }

    pub async fn get(&self, id: &str, history: Option<i32>) -> Result<Seen, Fault> {
        match self.door.dialect() {
            None => grpc::get(self, id, history).await,
            Some(_) => json::get(self, id, history).await,
        }
    }

    pub async fn cancel(&self, id: &str) -> Result<Seen, Fault> {
        match self.door.dialect() {
            None => grpc::cancel(self, id).await,
            Some(_) => json::cancel(self, id).await,
        }
    }

    /// Streams a task that is there: after an event, or as the door does without a position.
    pub async fn watch(&self, id: &str, after: Option<u64>) -> Result<Events, Fault> {
        match self.door.dialect() {
            None => grpc::watch(self, id, after).await,
            Some(dialect) => json::watch(self, dialect, id, after).await,
        }
    }

    pub async fn list(&self, query: &ListQuery<'_>) -> Result<Page, Fault> {
        match self.door.dialect() {
            None => grpc::list(self, query).await,
            Some(dialect) => json::list(self, dialect, query).await,
        }
    }

    /// Reads the task until it is in the state: what a client does that polls.
    pub async fn until(&self, id: &str, state: TaskState) -> Seen {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let task = self.get(id, None).await.unwrap();
            if task.state == state {
                return task;
            }
            assert!(tokio::time::Instant::now() < deadline, "{:?}: still {:?}", self.door, task.state);
            tokio::task::yield_now().await;
        }
    }
}
