//! Two engines on one PostgreSQL database, in one process: what the one does the other sees, and takes over what it leaves.
//! Agents are the tests' own, steered by channels. `tests/replicas_crash` does the same with processes that are killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod outages;
mod owners;
mod watchers;

use std::{sync::Arc, time::Duration};

use a2a_gateway::{
    agent::Recovery,
    engine::{Caller, Engine, From, Hub, Parts, Settings, Submit, Until, Watch},
    metrics::Metrics,
    store::{Database, Postgres, PostgresSettings},
    task::{Event, TaskId},
};
use support::{Script, database, scripted};

/// What no step takes, on the busiest machine.
const LIMIT: Duration = Duration::from_secs(30);

/// One gateway without its doors.
struct Node {
    engine: Engine,
    hub: Arc<Hub>,
    script: Script,
}

impl Node {
    async fn start(url: &str, recovery: Recovery, lease: Duration) -> Self {
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::new(metrics.clone());
        let database = Database::parse(url, None).unwrap();
        let settings = PostgresSettings { lease, ..PostgresSettings::new(database) };
        let store = Postgres::open(settings, hub.clone(), metrics.clone()).await.unwrap();
        let (agent, script) = scripted(recovery);
        let engine = Engine::start(Parts {
            store: Arc::new(store),
            hub: hub.clone(),
            agents: vec![("scripted".into(), agent)],
            courier: None,
            settings: Settings::default(),
            metrics,
        });
        Self { engine, hub, script }
    }

    async fn submit(&self, submit: Submit) -> TaskId {
        self.engine.submit(&Caller::default(), submit).await.unwrap().record().id
    }

    async fn watch(&self, id: TaskId, from: From) -> Watch {
        self.engine.watch(&Caller::default(), id, from, Until::Settled).await.unwrap()
    }

    /// All of a task's events, once it has settled.
    async fn log(&self, id: TaskId) -> Vec<Arc<Event>> {
        let mut watch = self.watch(id, From::After(0)).await;
        let mut events = Vec::new();
        while let Some(event) = soon(watch.next()).await {
            events.push(event.unwrap());
        }
        events
    }
}

/// Two of them. The lease is so long that nothing happens by time alone.
struct Pair {
    a: Node,
    b: Node,
    url: String,
}

impl Pair {
    async fn start(recovery: Recovery) -> Option<Self> {
        let url = database::server()?.database().await;
        Some(Self::on(url, recovery, Duration::from_secs(300)).await)
    }

    async fn on(url: String, recovery: Recovery, lease: Duration) -> Self {
        let a = Node::start(&url, recovery, lease).await;
        let b = Node::start(&url, recovery, lease).await;
        let pair = Self { a, b, url };
        // The first one tells nobody anything before it knows of the second.
        pair.until(
            "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .await;
        pair
    }

    /// Waits until the database says so.
    async fn until(&self, condition: &str) {
        let client = database::connect(&self.url).await;
        let holds = async {
            while !client.query_one(condition, &[]).await.unwrap().get::<_, bool>(0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(holds).await;
    }

    /// Changes the database past the gateways.
    async fn meddle(&self, statements: &str) {
        database::connect(&self.url).await.batch_execute(statements).await.unwrap();
    }

    /// Has everybody believe that the first one is dead, as if it had stopped for longer than its lease.
    async fn bury_a(&self) {
        self.meddle("DELETE FROM replicas WHERE id = (SELECT min(id) FROM replicas)").await;
        // Not after half a lease, but now.
        a2a_gateway::store::Listener::asked(&*self.b.hub);
    }

    async fn stop(self) {
        self.a.engine.stop().await;
        self.b.engine.stop().await;
        let client = database::connect(&self.url).await;
        let left = client.query_one("SELECT count(*) FROM replicas", &[]).await.unwrap();
        assert_eq!(left.get::<_, i64>(0), 0, "who ends says so");
    }
}

async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, awaited).await.expect("it takes too long")
}

/// Sequences and what happened, to compare.
fn told(events: &[Arc<Event>]) -> Vec<(u64, &'static str)> {
    events.iter().map(|event| (event.sequence, support::kind(event))).collect()
}
