//! PostgreSQL: one database, any number of equal processes (replicas).
//!
//! - Writes wait in a bounded queue for one of a few connections, each of which takes all that waits into one transaction
//!   (group commit). What a transaction does, it does for all of its writes at once: its length is a few round trips, however
//!   many there are (`writer`).
//! - Nothing that a task's commit writes is written by another task's: commits do not wait for each other.
//! - Whoever works on a task has its lease (`replicas`).
//! - After its commits a process tells the others which tasks moved (`bus`): a hint, sent beside the transactions, that
//!   may be lost. The log is the truth; a slow look finds what no hint told of.
//! - The feed is read in the order of transactions, up to the oldest that is still under way (`follow`).
//! - Rounds of dispatchers and changes of webhooks run one at a time over all processes (`outbox`, `webhooks`).
//! - What breaks with a connection is done again where that is safe (`slot`).

mod bus;
mod database;
mod follow;
mod outbox;
#[cfg(test)]
mod plans;
mod read;
mod replicas;
mod retention;
mod schema;
mod session;
mod slot;
mod webhooks;
mod writer;

pub use database::{Database, DatabaseError};

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    bus::Bus,
    session::{Failure, Session, words},
    slot::{Maker, Readers, Slot},
    writer::Writer,
};
use super::{
    Append, FeedPage, Keys, Link, Listener, LogPage, NewTask, Receipt, Store, Stored, TaskPage, TaskQuery, Used,
};
use crate::{error::Result, metrics::Metrics, proto::a2a::TaskState, task::TaskId};

/// How long a probe waits for a database that is away.
const PROBE: Duration = Duration::from_secs(1);

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database.
    pub database: Database,
    /// Connections that read.
    pub readers: usize,
    /// Connections that write.
    pub writers: usize,
    /// The most writes in one commit.
    pub batch_max: usize,
    /// How long a process that says nothing is believed to live. It says so four times as often.
    pub lease: Duration,
    /// How often what other processes did not tell of is looked for.
    pub look: Duration,
    /// Whose clock rounds go by.
    pub timekeeper: Timekeeper,
    /// The most webhooks of one task, or of one agent as a whole.
    pub webhooks_per_task: usize,
    /// Whether webhooks are sent to. If not, no deliveries are recorded, and those that wait hold nothing back from
    /// retention.
    pub webhooks_enabled: bool,
    /// What webhooks' secrets are encrypted with.
    pub keys: Keys,
}

/// Whose clock rounds of dispatchers go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timekeeper {
    /// The database's: that of several processes differ.
    Database,
    /// That of whoever asks for a round, of whom there is one. For tests, whose times are their own.
    Asker,
}

impl Settings {
    /// A store in a database, with what is usual.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            readers: 4,
            writers: 4,
            batch_max: 256,
            lease: Duration::from_secs(10),
            look: Duration::from_secs(3),
            timekeeper: Timekeeper::Database,
            webhooks_per_task: 32,
            webhooks_enabled: true,
            keys: Keys::default(),
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be reached, or does not let us in.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// A newer gateway wrote it.
    #[error(
        "the database has schema version {found}, newer than this gateway's {known}: start the newer gateway, or use \
         another database; nothing was changed"
    )]
    Newer {
        /// The database's version.
        found: usize,
        /// The newest this gateway knows.
        known: usize,
    },
    /// It is not ours.
    #[error("the database belongs to another program: use an empty one, or an empty schema of it; nothing was changed")]
    Foreign,
    /// Webhooks' secrets cannot be read.
    #[error(
        "webhook secrets were encrypted with a key that is not configured: configure it, as the key or as one of the \
         older keys; they were not changed"
    )]
    Sealed,
    /// Nothing can be encrypted.
    #[error("webhook secrets cannot be encrypted: the system has no randomness to give")]
    Randomness,
    /// PostgreSQL refused.
    #[error("cannot open the database: {0}")]
    Sql(String),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => Self::Sql(words(&error)),
            Failure::Lost(cause) => Self::Connect(cause),
            Failure::Error(error) => Self::Sql(error.to_string()),
        }
    }
}

/// Why a connection cannot be made, and what helps where that is known.
fn with_remedy(cause: String) -> String {
    if cause.contains("peer certificate") {
        return format!("{cause}; store.database_ca names a file with the certificate of who signed the server's");
    }
    if cause.contains("does not support TLS") {
        return format!("{cause}; sslmode=disable in the URL does without");
    }
    cause
}

/// A store in a PostgreSQL database.
pub struct Postgres {
    shared: Arc<Shared>,
    writer: Writer,
    /// What works beside the calls.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// What all parts of a store use.
struct Shared {
    maker: Arc<Maker>,
    readers: Readers,
    /// For rounds of the dispatcher and changes of webhooks, which exclude each other anyway.
    outbox: Slot,
    /// For leases, retention and other seldom writes.
    seldom: Slot,
    bus: Bus,
    settings: Settings,
    keys: Arc<Keys>,
    listener: Arc<dyn Listener>,
    metrics: Arc<Metrics>,
    /// This process among those that live. Another one after it was taken for dead.
    replica: AtomicI64,
    /// What is added to transactions' ids in positions.
    xid_base: i64,
    /// The newest time that a round told, where the asker's clock counts.
    told: AtomicI64,
}

impl Shared {
    /// This process among those that live.
    fn replica(&self) -> i64 {
        self.replica.load(Ordering::Acquire)
    }
}

impl Postgres {
    /// Connects, brings the schema up to date, and begins to live among the other processes.
    ///
    /// # Errors
    /// When the database cannot be reached or used, or is of a newer gateway or another program.
    pub async fn open(
        settings: Settings,
        listener: Arc<dyn Listener>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let maker = Maker::new(settings.database.clone(), settings.lease);
        let connected = maker.connect_first().await;
        let session = connected.map_err(|failure| match failure {
            Failure::Sql(error) => OpenError::Connect(with_remedy(words(&error))),
            other => other.into(),
        })?;
        schema::migrate(&session).await?;
        let keys = Arc::new(settings.keys.clone());
        webhooks::reseal::reseal(&session, &keys).await?;
        let base = session.query_one("SELECT value FROM meta WHERE name = 'xid_base'", &[]).await?;
        let round = session.query_one("SELECT value FROM meta WHERE name = 'round'", &[]).await?;
        let replica = replicas::join(&session, settings.lease).await?;
        drop(session);
        let shared = Arc::new(Shared {
            readers: Readers::new(maker.clone(), settings.readers),
            outbox: Slot::new(maker.clone()),
            seldom: Slot::new(maker.clone()),
            bus: Bus::default(),
            keys,
            listener,
            metrics,
            replica: AtomicI64::new(replica),
            xid_base: base.get(0),
            told: AtomicI64::new(round.get(0)),
            maker,
            settings,
        });
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let beside = |task: BoxFuture<'static, ()>| {
            let stopping = stopping.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = task => {}
                    () = stopping.cancelled() => {}
                }
            });
        };
        beside(Box::pin(replicas::live(shared.clone())));
        beside(Box::pin(bus::listen(shared.clone())));
        beside(Box::pin(bus::send(shared.clone())));
        beside(Box::pin(follow::follow(shared.clone())));
        let writer = Writer::start(&shared);
        Ok(Self { shared, writer, tasks, stopping })
    }
}

/// A store that is dropped without having been closed is as dead to others.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Store for Postgres {
    fn create(&self, new: NewTask) -> BoxFuture<'_, Result<Receipt>> {
        Box::pin(self.writer.create(new))
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt>> {
        Box::pin(self.writer.append(append))
    }

    fn request(&self, owner: Arc<str>, agent: Arc<str>, id: String, now: i64) -> BoxFuture<'_, Result<Option<Used>>> {
        Box::pin(async move {
            let (owner, agent, id) = (&*owner, &*agent, &*id);
            let readers = &self.shared.readers;
            readers.read(|session| async move { read::request(&session, owner, agent, id, now).await }).await
        })
    }

    fn task(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Stored>>> {
        Box::pin(self.shared.readers.read(move |session| async move { read::task(&session, id).await }))
    }

    fn log(&self, id: TaskId, after: u64) -> BoxFuture<'_, Result<Option<LogPage>>> {
        Box::pin(self.shared.readers.read(move |session| async move { read::log(&session, id, after).await }))
    }

    fn list(&self, query: TaskQuery) -> BoxFuture<'_, Result<TaskPage>> {
        Box::pin(async move {
            let query = &query;
            self.shared.readers.read(|session| async move { read::list(&session, query).await }).await
        })
    }

    fn feed(&self, after: u64) -> BoxFuture<'_, Result<FeedPage>> {
        let base = self.shared.xid_base;
        let readers = &self.shared.readers;
        Box::pin(readers.read(move |session| async move { Ok(read::feed(&session, base, after).await?.page) }))
    }

    fn overdue(&self, now: i64) -> BoxFuture<'_, Result<Vec<TaskId>>> {
        let me = self.shared.replica();
        Box::pin(self.shared.readers.read(move |session| async move { read::overdue(&session, me, now).await }))
    }

    fn link(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Link>>> {
        Box::pin(self.shared.readers.read(move |session| async move { read::link(&session, id).await }))
    }

    fn linked(&self, owner: Arc<str>, agent: Arc<str>, upstream_task: String) -> BoxFuture<'_, Result<Option<TaskId>>> {
        Box::pin(async move {
            let (owner, agent, upstream) = (&*owner, &*agent, &*upstream_task);
            let readers = &self.shared.readers;
            readers.read(|session| async move { read::linked(&session, owner, agent, upstream).await }).await
        })
    }

    fn upstream_context(
        &self,
        owner: Arc<str>,
        agent: Arc<str>,
        context_id: String,
    ) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async move {
            let (owner, agent, context) = (&*owner, &*agent, &*context_id);
            let readers = &self.shared.readers;
            readers.read(|session| async move { read::upstream_context(&session, owner, agent, context).await }).await
        })
    }

    fn purge(&self, cutoff: Option<i64>, now: i64, batch: usize) -> BoxFuture<'_, Result<Vec<TaskId>>> {
        Box::pin(async move {
            let shared = &*self.shared;
            let work =
                |session: Arc<Session>| async move { retention::purge(shared, &session, cutoff, now, batch).await };
            shared.seldom.run(work).await
        })
    }

    fn counts(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>>> {
        Box::pin(self.shared.readers.read(|session| async move { read::counts(&session).await }))
    }

    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        let probe = "UPDATE meta SET value = value + 1 WHERE name = 'probe'";
        let work = move |session: Arc<Session>| async move { session.execute(probe, &[]).await.map(drop) };
        Box::pin(async move {
            // Who asks wants to know of now.
            let probed = tokio::time::timeout(PROBE, self.shared.seldom.run(work)).await;
            probed.unwrap_or_else(|_| Err(session::unavailable()))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.writer.close().await;
            self.stopping.cancel();
            self.tasks.close();
            self.tasks.wait().await;
            replicas::leave(&self.shared).await;
            self.shared.maker.close();
            self.shared.readers.close();
            self.shared.outbox.close().await;
            self.shared.seldom.close().await;
        })
    }
}
