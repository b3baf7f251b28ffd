//! A durable gateway in front of A2A agents: one process, every client, every agent.
//!
//! This file assembles the parts, and is the only one that names them all. Data goes one way: `server` decodes and calls
//! `engine`, which writes to `store` and lets an `agent` work; what the store committed comes back through the engine's
//! hub to whoever watches, and goes out to receivers by `webhook`.

pub mod agent;
pub mod cli;
pub mod config;
mod courier;
mod descriptors;
pub mod engine;
pub mod error;
mod fleet;
pub mod jws;
pub mod metrics;
pub mod network;
pub mod proto;
pub mod server;
pub mod store;
pub mod task;
pub mod tls;
pub mod webhook;
pub mod wire;

use std::{
    future::{self, Future},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use agent::Agent;
use config::{Config, ExtendedAccess, Problems};
use courier::{Courier, Ears};
use engine::{Engine, Hub, Parts};
use fleet::Fleet;
use metrics::Metrics;
use server::Extended;
use store::{
    Database, Keys, Listener, Postgres, PostgresOpenError, PostgresSettings, Sqlite, SqliteOpenError, SqliteSettings,
    Store,
};
use tokio::{net::TcpListener, sync::mpsc};
use webhook::Bell;
use wire::card::Overlay;

/// Why the gateway did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error("the settings are wrong:\n{0}")]
    Config(Problems),
    /// The database cannot be opened.
    #[error("the store in {} cannot be opened: {cause}", data_dir.display())]
    Store {
        /// The directory of the database.
        data_dir: PathBuf,
        /// What is wrong with it.
        cause: SqliteOpenError,
    },
    /// The PostgreSQL database cannot be opened.
    #[error("the store in {database} cannot be opened: {cause}")]
    Database {
        /// The database.
        database: Box<Database>,
        /// What is wrong with it.
        cause: PostgresOpenError,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The setting `server.listen`.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// An agent cannot be built from its settings.
    #[error("{0}")]
    Agent(String),
    /// Webhooks cannot be sent with these settings.
    #[error("webhooks cannot be sent: {0}")]
    Webhooks(String),
    /// Agent cards cannot be served with these settings.
    #[error("agent cards cannot be served: {0}")]
    Cards(String),
    /// The listener failed while serving.
    #[error("cannot go on serving: {0}")]
    Serve(io::Error),
}

/// Runs a gateway until `shutdown` resolves and its calls have been drained.
///
/// `ready` is called once, with the address that is listened on, when requests are served. `reloads`: the agents to go
/// on with, whenever they have changed.
///
/// # Errors
/// When the gateway cannot start.
pub async fn run(
    config: Config,
    mut reloads: mpsc::Receiver<Vec<config::Agent>>,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let metrics = Arc::new(Metrics::default());
    let mut fleet = Fleet::new(config.agents.clone(), metrics.clone()).map_err(StartError::Agent)?;
    let gateway = Gateway::start(config, fleet.agents(), metrics).await?;
    let (engine, extended) = (gateway.engine.clone(), gateway.extended.clone());
    let reloading = async {
        while let Some(agents) = reloads.recv().await {
            extended.replace(overlays(&agents));
            match fleet.replace(agents) {
                Ok(()) => tracing::info!("the agents are as the settings say now"),
                Err(problem) => tracing::error!(problem, "not all agents are as the settings say"),
            }
            engine.replace_agents(fleet.agents());
        }
        future::pending::<()>().await;
    };
    let served = tokio::select! {
        served = gateway.serve(ready, shutdown) => served,
        () = reloading => Ok(()),
    };
    fleet.stopped().await;
    served
}

/// As [`run`], with the given agents; the first is the default.
///
/// # Errors
/// When the gateway cannot start.
pub async fn run_with(
    config: Config,
    agents: Vec<(String, Arc<dyn Agent>)>,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    Gateway::start(config, agents, Arc::default()).await?.serve(ready, shutdown).await
}

/// A gateway that can serve.
struct Gateway {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    engine: Engine,
    courier: Option<Arc<Courier>>,
    extended: Extended,
    metrics: Arc<Metrics>,
}

impl Gateway {
    async fn start(
        config: Config,
        agents: Vec<(String, Arc<dyn Agent>)>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let extended = extended_cards(&config).map_err(StartError::Cards)?;
        let address = config.server.listen;
        let bind = |cause| StartError::Bind { address, cause };
        // The port first: a gateway that is already running is then not disturbed.
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let hub = Hub::new(metrics.clone());
        let bell = Arc::new(Bell::default());
        let ears = Arc::new(Ears { hub: hub.clone(), bell: bell.clone(), courier: OnceLock::new() });
        let store = open_store(&config, ears.clone(), metrics.clone()).await?;
        let courier = Courier::start(&config.webhooks, store.clone(), bell, metrics.clone());
        let courier = courier.map_err(StartError::Webhooks)?;
        if let Some(courier) = &courier {
            // Set once: there is one courier.
            let _ = ears.courier.set(Arc::downgrade(courier));
        }
        let settings = engine_settings(&config);
        let sends = courier.clone().map(|courier| courier as Arc<dyn engine::Courier>);
        let engine = Engine::start(Parts { store, hub, agents, courier: sends, settings, metrics: metrics.clone() });
        Ok(Self { config, listener, address, engine, courier, extended, metrics })
    }

    async fn serve(
        self,
        ready: impl FnOnce(SocketAddr),
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError> {
        let Self { config, listener, address, engine, courier, extended, metrics } = self;
        ready(address);
        let settings = server_settings(&config, extended);
        let served = server::serve(listener, engine.clone(), metrics, settings, shutdown).await;
        if let Some(courier) = courier {
            courier.shutdown().await;
        }
        engine.stop().await;
        served.map_err(StartError::Serve)
    }
}

/// Opens the database that the settings name: PostgreSQL where they do, else SQLite.
async fn open_store(
    config: &Config,
    listener: Arc<dyn Listener>,
    metrics: Arc<Metrics>,
) -> Result<Arc<dyn Store>, StartError> {
    let (store, webhooks) = (&config.store, &config.webhooks);
    let previous: Vec<_> = webhooks.previous_secret_keys.iter().map(|key| key.0).collect();
    let keys = Keys::new(webhooks.secret_key.as_ref().map(|key| key.0), &previous);
    let Some(database) = &store.database else {
        let settings = SqliteSettings {
            data_dir: store.data_dir.clone(),
            readers: store.readers,
            batch_max: store.batch_max,
            max_size: store.max_size.unwrap_or(0),
            webhooks_per_task: webhooks.per_task,
            webhooks_enabled: webhooks.enabled,
            keys,
        };
        let opened = Sqlite::open(&settings, listener, metrics);
        let cannot = |cause| StartError::Store { data_dir: store.data_dir.clone(), cause };
        return Ok(Arc::new(opened.map_err(cannot)?));
    };
    let settings = PostgresSettings {
        readers: store.readers,
        writers: store.writers,
        batch_max: store.batch_max,
        lease: store.lease,
        webhooks_per_task: webhooks.per_task,
        webhooks_enabled: webhooks.enabled,
        keys,
        ..PostgresSettings::new(database.clone())
    };
    let opened = Postgres::open(settings, listener, metrics).await;
    let cannot = |cause| StartError::Database { database: Box::new(database.clone()), cause };
    Ok(Arc::new(opened.map_err(cannot)?))
}

fn engine_settings(config: &Config) -> engine::Settings {
    let (tasks, retention) = (&config.tasks, &config.retention);
    engine::Settings {
        default_timeout: tasks.default_timeout,
        dedupe_message_ids: tasks.dedupe_message_ids,
        request_id_ttl: tasks.request_id_ttl,
        max_running: tasks.max_running,
        direct_reply_wait: tasks.direct_reply_wait,
        cache_size: config.store.cache_size,
        retention: retention.settled,
        retention_batch: retention.batch,
        delivery_history: config.webhooks.history,
        retention_interval: retention.interval,
        events_per_task: retention.events_per_task.unwrap_or(0),
        max_task_size: tasks.max_size,
    }
}

fn extended_cards(config: &Config) -> Result<Extended, String> {
    let extended = match &config.cards.access {
        ExtendedAccess::Proxy => Extended::behind_proxy(),
        ExtendedAccess::Tokens(tokens) => Extended::for_tokens(tokens.iter().map(|token| token.0.as_str()))?,
    };
    extended.replace(overlays(&config.agents));
    Ok(extended)
}

/// What the agents' extended cards say.
fn overlays(agents: &[config::Agent]) -> impl Iterator<Item = (String, Overlay)> {
    agents.iter().filter_map(|agent| Some((agent.name.clone(), agent.extended_card.clone()?)))
}

fn server_settings(config: &Config, extended_cards: Extended) -> server::Settings {
    let server = &config.server;
    server::Settings {
        public_url: server.public_url.clone(),
        grpc_url: server.grpc_url.clone(),
        merged_card: server.merged_card,
        extended_cards,
        signing_keys: config.cards.signing_keys.clone(),
        cors_origins: server.cors_origins.clone(),
        max_body: server.max_body,
        max_batch: server.max_batch,
        max_connections: server.max_connections,
        header_read_timeout: server.header_timeout,
        body_read_timeout: server.body_timeout,
        http2_keep_alive_interval: server.http2_keepalive,
        http2_keep_alive_timeout: server.http2_keepalive_timeout,
        max_concurrent_streams: server.max_streams_per_connection,
        sse_keep_alive: server.sse_keepalive,
        auth_required_idle: server.auth_required_idle,
        drain_delay: server.drain_delay,
        drain_deadline: server.drain_deadline,
    }
}
