//! Where stores are: a folder, or a database. A scenario that is about any store is gone through in each.

use std::sync::Arc;

use a2a_gateway::{
    agent::{Agent, Echo},
    engine::{Engine, Hub, Parts, Settings},
    metrics::Metrics,
    store::{Database, Postgres, PostgresSettings, Sqlite, SqliteSettings, Store},
};
use tempfile::TempDir;

use super::database;

/// A place for a store, which may be opened again and again.
pub enum Place {
    /// One file in a folder.
    Folder(TempDir),
    /// A PostgreSQL database: its URL.
    Database(String),
}

/// An empty place of each kind that there is.
pub async fn places() -> Vec<Place> {
    let mut places = vec![Place::Folder(tempfile::tempdir().unwrap())];
    if let Some(server) = database::server() {
        places.push(Place::Database(server.database().await));
    }
    places
}

impl Place {
    /// What kind it is.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Folder(_) => "sqlite",
            Self::Database(_) => "postgres",
        }
    }

    /// Opens the store for an engine.
    async fn open_for(&self, hub: Arc<Hub>, metrics: Arc<Metrics>) -> Arc<dyn Store> {
        match self {
            Self::Folder(dir) => Arc::new(Sqlite::open(&SqliteSettings::new(dir.path()), hub, metrics).unwrap()),
            Self::Database(url) => {
                let settings = PostgresSettings::new(Database::parse(url, None).unwrap());
                Arc::new(Postgres::open(settings, hub, metrics).await.unwrap())
            }
        }
    }

    /// Opens the store.
    pub async fn open(&self) -> Arc<dyn Store> {
        let metrics = Arc::new(Metrics::default());
        self.open_for(Hub::new(metrics.clone()), metrics).await
    }

    /// Starts an engine with the given agents.
    pub async fn start(&self, agents: Vec<(String, Arc<dyn Agent>)>, settings: Settings) -> Engine {
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::new(metrics.clone());
        let store = self.open_for(hub.clone(), metrics.clone()).await;
        Engine::start(Parts { store, hub, agents, courier: None, settings, metrics })
    }

    /// Starts an engine with the echo agent.
    pub async fn echo(&self) -> Engine {
        self.start(vec![("echo".into(), Arc::new(Echo))], Settings::default()).await
    }
}
