//! The gateway's settings: defaults, then file, then environment, then flags.
//!
//! `config.default.toml`, compiled in, is the one list of settings; `build` is the one place that reads them. What it
//! reads and the list does not have, or the other way round, is an error that a test finds. Every layer is checked,
//! also where a later one overrides it, and everything that is wrong is reported at once: a person repairs a
//! configuration in one go, and a wrong setting never takes effect half.

mod agent;
mod agents;
mod cards;
mod database;
mod layers;
mod reader;
mod reload;
mod suggest;
mod value;
mod webhooks;

pub use agent::{
    A2aAgent, Agent, AgentKind, Binding, ExecAgent, ExecInput, ExecOutput, Interface, Mode, OnLost, Preference, Secret,
    Tls, Version,
};
pub use cards::{Cards, ExtendedAccess};
pub use reload::{Reloaded, Reloader};
pub use webhooks::{SecretKey, Webhooks};

use std::{ffi::OsString, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use crate::store::Database;
use agents::Environment;
use reader::{Reader, Values};
use value::Value;

/// Every setting with its meaning and default, as TOML.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The environment variable that names the gateway which client commands call; not a setting.
pub const URL_VARIABLE: &str = "A2A_GATEWAY_URL";

/// The environment variable that names the settings file; not a setting.
pub const FILE_VARIABLE: &str = "A2A_GATEWAY_CONFIG";

/// What a secret on the command line stands for: itself, or what the variable of `env:NAME` or the file of `file:PATH`
/// holds, as for the secrets of agents.
///
/// # Errors
/// Why it cannot be read. It names the place, never the value.
pub fn secret(text: &str) -> Result<String, String> {
    agents::resolve(text, &std::env::vars_os().collect::<Vec<_>>())
}

/// All settings, checked. `config.default.toml` documents each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The port and the connections on it.
    pub server: Server,
    /// The database.
    pub store: Store,
    /// What is removed, and when.
    pub retention: Retention,
    /// How tasks run.
    pub tasks: Tasks,
    /// How webhooks are kept and sent.
    pub webhooks: Webhooks,
    /// Who may read extended agent cards, and what signs all cards.
    pub cards: Cards,
    /// The log.
    pub log: Log,
    /// The agents; the first is the default. Never empty: where none is set, it is the built-in one, named `echo`.
    pub agents: Vec<Agent>,
}

/// The port and the connections on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The URL that clients reach the gateway at, without a slash at its end; none: derived from each request.
    pub public_url: Option<String>,
    /// The address of gRPC in agent cards, `HOST:PORT` or a URL; none: host and port of the gateway's URL.
    pub grpc_url: Option<String>,
    /// How long a shutdown only says that the gateway is not ready, before it begins.
    pub drain_delay: Duration,
    /// How long a shutdown waits for calls to finish.
    pub drain_deadline: Duration,
    /// The largest request body or gRPC message, in bytes.
    pub max_body: usize,
    /// How many requests one JSON-RPC batch may hold.
    pub max_batch: usize,
    /// How long a client may take to send a request's headers; on HTTP/1 also the idle time between two requests.
    pub header_timeout: Duration,
    /// How long a client may take to send the body of a JSON request.
    pub body_timeout: Duration,
    /// How often HTTP/2 connections are pinged; none: never.
    pub http2_keepalive: Option<Duration>,
    /// How long a ping may stay unanswered before the connection is closed.
    pub http2_keepalive_timeout: Duration,
    /// Connections open at once.
    pub max_connections: usize,
    /// HTTP/2 streams open at once on one connection.
    pub max_streams_per_connection: u32,
    /// The longest silence on a Server-Sent Events stream before a keep-alive.
    pub sse_keepalive: Duration,
    /// How long an A2A stream stays open without news while its task waits for its caller.
    pub auth_required_idle: Duration,
    /// Whether agent cards are readable by clients of all dialects, not only of A2A 1.0.
    pub merged_card: bool,
    /// The origins whose pages may use the doors; `*`: all.
    pub cors_origins: Vec<String>,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The PostgreSQL database; none: SQLite.
    pub database: Option<Database>,
    /// The directory of SQLite's.
    pub data_dir: PathBuf,
    /// Connections that read.
    pub readers: usize,
    /// Connections that write to PostgreSQL.
    pub writers: usize,
    /// How long another process on the database is believed to live that says nothing.
    pub lease: Duration,
    /// The largest size of SQLite's in bytes; none: no limit.
    pub max_size: Option<u64>,
    /// The most writes that share one commit.
    pub batch_max: usize,
    /// Memory for settled tasks that are read again, in bytes.
    pub cache_size: u64,
}

/// What is removed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long settled tasks are kept; none: for ever.
    pub settled: Option<Duration>,
    /// How often tasks that are past it are looked for.
    pub interval: Duration,
    /// Tasks removed in one commit.
    pub batch: usize,
    /// Events kept of one task's log; none: all.
    pub events_per_task: Option<u64>,
}

/// How tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// The timeout of tasks that are submitted without one; none: no timeout.
    pub default_timeout: Option<Duration>,
    /// Whether a repeated messageId returns the first task.
    pub dedupe_message_ids: bool,
    /// How long a request id is remembered.
    pub request_id_ttl: Duration,
    /// Tasks that agents work on at once.
    pub max_running: usize,
    /// Bytes that an agent may add to a task in one turn, the task itself counted in.
    pub max_size: usize,
    /// How long an A2A stream waits for the agent's first word before it shows the task.
    pub direct_reply_wait: Duration,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A filter in `tracing_subscriber::EnvFilter`'s form.
    pub level: String,
    /// How entries look.
    pub format: LogFormat,
}

/// How log entries look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Lines to read.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where settings come from besides the defaults.
#[derive(Clone, Default)]
pub struct Sources {
    /// The settings file.
    pub file: Option<PathBuf>,
    /// The environment. What starts with `A2A_GATEWAY_` is a setting; the rest is for what settings name.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags that were given.
    pub flags: Vec<Flag>,
}

/// A flag that was given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// As the person wrote it, with the key where it is free: `--listen`, `--set server.listen`.
    pub name: String,
    /// The setting it stands for: `server.listen`.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// One thing that is wrong with the settings. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, line and key, the variable, or the flag.
    pub origin: String,
    /// What was got and what would be right.
    pub text: String,
}

/// Everything that is wrong with the settings: at least one problem, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Config {
    /// Reads and checks the settings of all sources.
    ///
    /// # Errors
    /// Everything that is wrong in any of them.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        Self::read(sources).map(|(config, _)| config)
    }

    /// The settings, and all but the agents once more in a form to compare.
    fn read(sources: &Sources) -> Result<(Self, Values), Problems> {
        let mut reader = Reader::new(layers::gather(sources));
        let agents = agents::read(&mut reader, &sources.environment);
        let config = build(&mut reader, agents, &sources.environment);
        if let Some(config) = &config {
            config.find_conflicts(&mut reader);
        }
        match (config, reader.finish()) {
            (Some(config), (problems, values)) if problems.is_empty() => Ok((config, values)),
            (_, (problems, _)) => Err(Problems(problems)),
        }
    }

    /// Settings that are right alone and wrong together.
    fn find_conflicts(&self, reader: &mut Reader) {
        if self.retention.settled.is_some_and(|kept| kept < self.tasks.request_id_ttl) {
            let why = "tasks would be removed while their request ids are still promised to return them";
            reader.conflict("tasks.request_id_ttl", "must not be longer than", "retention.settled", why);
        }
        if self.store.max_size.is_some_and(|size| size < self.server.max_body as u64) {
            reader.conflict("server.max_body", "must not be larger than", "store.max_size", "it could not be stored");
        }
        database::find_conflicts(&self.store, reader);
        cards::find_conflicts(self, reader);
    }
}

/// Reads each setting. None when a default is missing or wrong, which the tests exclude.
fn build(r: &mut Reader, agents: Vec<Agent>, environment: &Environment) -> Option<Config> {
    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const CENTURY: Duration = Duration::from_secs(36_500 * 24 * 3600);
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    const GIB: u64 = 1024 * MIB;

    let server = Server {
        listen: r.read("server.listen", Value::address)?,
        public_url: r.read("server.public_url", Value::base_url)?,
        grpc_url: r.read("server.grpc_url", Value::grpc_url)?,
        drain_delay: r.read("server.drain_delay", |v| v.duration(Duration::ZERO..=HOUR))?,
        drain_deadline: r.read("server.drain_deadline", |v| v.duration(Duration::ZERO..=HOUR))?,
        max_body: r.read("server.max_body", |v| v.size(KIB..=256 * MIB))?,
        max_batch: r.read("server.max_batch", |v| v.integer(1..=10_000))?,
        header_timeout: r.read("server.header_timeout", |v| v.duration(100 * MS..=600 * SECOND))?,
        body_timeout: r.read("server.body_timeout", |v| v.duration(100 * MS..=600 * SECOND))?,
        http2_keepalive: r.read("server.http2_keepalive", |v| v.duration_or_zero(SECOND..=HOUR))?,
        http2_keepalive_timeout: r.read("server.http2_keepalive_timeout", |v| v.duration(100 * MS..=600 * SECOND))?,
        max_connections: r.read("server.max_connections", |v| v.integer(1..=1_000_000))?,
        max_streams_per_connection: r.read("server.max_streams_per_connection", |v| v.integer(1..=1_000_000))?,
        sse_keepalive: r.read("server.sse_keepalive", |v| v.duration(100 * MS..=4 * SECOND))?,
        auth_required_idle: r.read("server.auth_required_idle", |v| v.duration(100 * MS..=DAY))?,
        merged_card: r.read("server.merged_card", Value::boolean)?,
        cors_origins: r.read("server.cors_origins", Value::origins)?,
    };
    let store = Store {
        database: database::read(r, environment)?,
        data_dir: r.read("store.data_dir", Value::path)?,
        readers: r.read("store.readers", |v| v.integer(1..=64))?,
        writers: r.read("store.writers", |v| v.integer(1..=64))?,
        lease: r.read("store.lease", |v| v.duration(SECOND..=600 * SECOND))?,
        max_size: r.read("store.max_size", |v| v.size_or_zero(16 * MIB..=i64::MAX as u64))?,
        batch_max: r.read("store.batch_max", |v| v.integer(1..=10_000))?,
        cache_size: r.read("store.cache_size", |v| v.size(0..=64 * GIB))?,
    };
    let retention = Retention {
        settled: r.read("retention.settled", |v| v.duration_or_zero(SECOND..=CENTURY))?,
        interval: r.read("retention.interval", |v| v.duration(100 * MS..=DAY))?,
        batch: r.read("retention.batch", |v| v.integer(1..=10_000))?,
        events_per_task: r.read("retention.events_per_task", |v| v.integer_or_zero(100..=i64::MAX as u64))?,
    };
    let tasks = Tasks {
        default_timeout: r.read("tasks.default_timeout", |v| v.duration_or_zero(MS..=CENTURY))?,
        dedupe_message_ids: r.read("tasks.dedupe_message_ids", Value::boolean)?,
        request_id_ttl: r.read("tasks.request_id_ttl", |v| v.duration(SECOND..=365 * DAY))?,
        max_running: r.read("tasks.max_running", |v| v.integer(1..=1_000_000))?,
        max_size: r.read("tasks.max_size", |v| v.size(MIB..=64 * GIB))?,
        direct_reply_wait: r.read("tasks.direct_reply_wait", |v| v.duration(Duration::ZERO..=60 * SECOND))?,
    };
    let webhooks = webhooks::read(r, environment)?;
    let cards = cards::read(r, environment)?;
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log =
        Log { level: r.read("log.level", Value::log_filter)?, format: r.read("log.format", |v| v.choice(&formats))? };
    Some(Config { server, store, retention, tasks, webhooks, cards, log, agents })
}

/// Names only: values, of variables above all, may be secret.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.flags.iter().map(|flag| &flag.name).collect();
        f.debug_struct("Sources").field("file", &self.file).field("flags", &flags).finish_non_exhaustive()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests;
