//! SQLite: one file, one writer thread, readers beside it.
//!
//! Writes go through a bounded queue to the writer thread, which takes all that wait into one transaction (group
//! commit): one fsync serves many callers. Readers are a small pool of read-only connections; WAL lets them go on
//! while the writer commits. The data directory is locked, since a second gateway on the same file would break the
//! order of commits.

mod outbox;
mod read;
mod retention;
mod schema;
mod webhooks;
mod writer;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    thread::JoinHandle,
    time::Duration,
};

use futures::future::BoxFuture;
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Acquired, Append, Asked, FeedPage, Keys, Leases, Link, Listener, LogPage, NewTask, Receipt, Store, Stored, Stray,
    TaskPage, TaskQuery, Used, closed,
};
use crate::{
    error::{Error, ErrorKind, Result},
    metrics::Metrics,
    proto::{a2a::TaskState, well_known::Struct},
    task::TaskId,
};
use writer::{Done, Job, News, Work, Writer};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of the database; made when it does not exist.
    pub data_dir: PathBuf,
    /// Read connections.
    pub readers: usize,
    /// The most writes in one commit.
    pub batch_max: usize,
    /// The database's largest size in bytes; 0: as large as the disk allows.
    pub max_size: u64,
    /// The most webhooks of one task, or of one agent as a whole.
    pub webhooks_per_task: usize,
    /// Whether webhooks are sent to. If not, no deliveries are recorded, and those that wait hold nothing back from
    /// retention.
    pub webhooks_enabled: bool,
    /// What webhooks' secrets are encrypted with.
    pub keys: Keys,
}

impl Settings {
    /// A store in a directory, with what is usual.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            readers: 2,
            batch_max: 256,
            max_size: 0,
            webhooks_per_task: 32,
            webhooks_enabled: true,
            keys: Keys::default(),
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be used.
    #[error("cannot use the data directory {path}: {cause}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Another process holds it.
    #[error("the data directory {0} is in use by another gateway: stop it, or choose another with --data-dir")]
    InUse(PathBuf),
    /// A newer gateway wrote it.
    #[error(
        "the database has schema version {found}, newer than this gateway's {known}: start the newer gateway, or \
         choose another --data-dir; nothing was changed"
    )]
    Newer {
        /// The file's version.
        found: usize,
        /// The newest this gateway knows.
        known: usize,
    },
    /// It is not ours.
    #[error("the database belongs to another program: choose another --data-dir; nothing was changed")]
    Foreign,
    /// It is damaged.
    #[error(
        "the database {path} is damaged ({cause}): restore it from a backup, or move it away to start anew; nothing was changed"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        cause: String,
    },
    /// Webhooks' secrets cannot be read.
    #[error(
        "webhook secrets were encrypted with a key that is not configured: configure it, as the key or as one of the \
         older keys; they were not changed"
    )]
    Sealed,
    /// Nothing can be encrypted.
    #[error("webhook secrets cannot be encrypted: the system has no randomness to give")]
    Randomness,
    /// SQLite refused.
    #[error("cannot open the database: {0}")]
    Sql(#[from] rusqlite::Error),
}

/// A store in one SQLite file.
pub struct Sqlite {
    jobs: mpsc::Sender<Job>,
    readers: Readers,
    keys: Arc<Keys>,
    /// Whether something is to be spread: see `outbox::arrivals`.
    waits: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the store is open.
    lock: Mutex<Option<File>>,
}

impl Sqlite {
    /// Opens or makes the store, and starts its writer. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the directory cannot be used or is in use, or the file is damaged, foreign, or of a newer gateway.
    pub fn open(settings: &Settings, listener: Arc<dyn Listener>, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let lock = lock(&settings.data_dir)?;
        let path = settings.data_dir.join("gateway.db");
        let (news, told) = mpsc::unbounded_channel();
        let keys = Arc::new(settings.keys.clone());
        let waits = Arc::new(AtomicBool::new(false));
        let writer = Self::prepare(&path, settings, keys.clone(), waits.clone(), news, metrics)
            .map_err(|error| describe(error, &path))?;
        let readers = Readers::open(&path, settings.readers.max(1)).map_err(|error| describe(error, &path))?;
        let (jobs, queue) = mpsc::channel(4096);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(queue))
            .map_err(|cause| OpenError::Directory { path: settings.data_dir.clone(), cause })?;
        // Ends when the writer does.
        tokio::spawn(writer::tell(told, listener));
        Ok(Self { jobs, readers, keys, waits, writer: Mutex::new(Some(thread)), lock: Mutex::new(Some(lock)) })
    }

    fn prepare(
        path: &Path,
        settings: &Settings,
        keys: Arc<Keys>,
        waits: Arc<AtomicBool>,
        news: mpsc::UnboundedSender<News>,
        metrics: Arc<Metrics>,
    ) -> Result<Writer, OpenError> {
        let mut connection = Connection::open(path)?;
        settle_plans(&connection)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        schema::migrate(&mut connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        if settings.max_size > 0 {
            let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            connection.pragma_update(None, "max_page_count", (settings.max_size / page).max(1))?;
        }
        let transaction = connection.transaction()?;
        let Settings { webhooks_per_task, webhooks_enabled, .. } = *settings;
        let outbox = outbox::State::open(&transaction, keys.clone(), webhooks_per_task, webhooks_enabled)?;
        transaction.commit()?;
        let outbox = outbox::arrivals::spread_left(&mut connection, outbox)?;
        webhooks::reseal::reseal(&mut connection, &keys)?;
        // Only now: the file may just have been written anew, by way of a temporary one.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(Writer::new(connection, settings.batch_max.max(1), outbox, waits, news, metrics)?)
    }

    async fn write(&self, work: Work) -> Result<Done> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { work, reply }).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn stored(&self, work: Work) -> Result<Receipt> {
        match self.write(work).await? {
            Done::Stored(receipt) => Ok(receipt),
            other => Err(unexpected(&other)),
        }
    }
}

/// The writer did other work than it was asked for.
fn unexpected(done: &Done) -> Error {
    Error::internal("a store operation", format!("the writer answered {}", done.word()))
}

impl Store for Sqlite {
    fn create(&self, new: NewTask) -> BoxFuture<'_, Result<Receipt>> {
        Box::pin(async move { self.stored(Work::Create(new)).await })
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt>> {
        Box::pin(async move { self.stored(Work::Append(append)).await })
    }

    fn request(&self, owner: Arc<str>, agent: Arc<str>, id: String, now: i64) -> BoxFuture<'_, Result<Option<Used>>> {
        Box::pin(self.readers.read(move |connection| read::request(connection, &owner, &agent, &id, now)))
    }

    fn task(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Stored>>> {
        Box::pin(self.readers.read(move |connection| read::task(connection, id)))
    }

    fn log(&self, id: TaskId, after: u64) -> BoxFuture<'_, Result<Option<LogPage>>> {
        Box::pin(self.readers.read(move |connection| read::log(connection, id, after)))
    }

    fn list(&self, query: TaskQuery) -> BoxFuture<'_, Result<TaskPage>> {
        Box::pin(self.readers.read(move |connection| read::list(connection, &query)))
    }

    fn feed(&self, after: u64) -> BoxFuture<'_, Result<FeedPage>> {
        Box::pin(self.readers.read(move |connection| read::feed(connection, after)))
    }

    fn overdue(&self, now: i64) -> BoxFuture<'_, Result<Vec<TaskId>>> {
        Box::pin(self.readers.read(move |connection| read::overdue(connection, now)))
    }

    fn link(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Link>>> {
        Box::pin(self.readers.read(move |connection| read::link(connection, id)))
    }

    fn linked(&self, owner: Arc<str>, agent: Arc<str>, upstream_task: String) -> BoxFuture<'_, Result<Option<TaskId>>> {
        Box::pin(self.readers.read(move |connection| read::linked(connection, &owner, &agent, &upstream_task)))
    }

    fn upstream_context(
        &self,
        owner: Arc<str>,
        agent: Arc<str>,
        context_id: String,
    ) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(self.readers.read(move |connection| read::upstream_context(connection, &owner, &agent, &context_id)))
    }

    fn purge(&self, cutoff: Option<i64>, now: i64, batch: usize) -> BoxFuture<'_, Result<Vec<TaskId>>> {
        Box::pin(async move {
            // So that nothing is kept only for that. A full store has no room for it before something was removed.
            let _ = self.spread().await;
            match self.write(Work::Purge { cutoff, now, batch }).await? {
                Done::Removed(tasks) => Ok(tasks),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn counts(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>>> {
        Box::pin(self.readers.read(read::counts))
    }

    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.write(Work::Probe).await.map(drop) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Jobs queued before this one are committed first; the queue then closes.
            let _ = self.write(Work::Close).await;
            let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            self.readers.close();
            self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        })
    }
}

/// One process: whatever it asks for is its own, and nobody else asks.
impl Leases for Sqlite {
    fn acquire(&self, id: TaskId) -> BoxFuture<'_, Result<Acquired>> {
        Box::pin(async move {
            let task = self.task(id).await?;
            Ok(task.map_or(Acquired::Missing, |stored| Acquired::Task(Box::new(stored))))
        })
    }

    fn strays(&self, after: Option<TaskId>) -> BoxFuture<'_, Result<Vec<Stray>>> {
        Box::pin(self.readers.read(move |connection| {
            let open = read::open_tasks(connection, after)?;
            Ok(open.into_iter().map(|id| Stray { id, ours: false, epoch: 1 }).collect())
        }))
    }

    fn ask_to_cancel(&self, _id: TaskId, _metadata: Option<Struct>) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn asked(&self) -> BoxFuture<'_, Result<Vec<Asked>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn sweep(&self) -> Option<Duration> {
        None
    }
}

/// Has statements planned by their text alone. Otherwise those whose plan might depend on a bound value, as that of a
/// LIMIT, are planned anew each time that they are run, which takes longer than running them.
fn settle_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// A pool of read-only connections.
struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    fn open(path: &Path, count: usize) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = |_| {
            let connection = Connection::open_with_flags(path, flags)?;
            settle_plans(&connection)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "cache_size", -8_192)?;
            connection.pragma_update(None, "mmap_size", 256 << 20)?;
            Ok(connection)
        };
        let idle = (0..count).map(connect).collect::<Result<Vec<_>, rusqlite::Error>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(count)) })
    }

    /// Lets reads under way end and refuses later ones.
    fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs a read in one transaction on a connection of its own, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| closed())?;
        let idle = self.idle.clone();
        let run = move || {
            // Held until the connection is back, also when the reader has gone away meanwhile.
            let _permit = permit;
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = taken.ok_or(Failure::Error(closed()))?;
            let result = (|| {
                let transaction = connection.transaction()?;
                let value = query(&transaction)?;
                transaction.commit()?;
                Ok(value)
            })();
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(result) => result.map_err(Failure::into_error),
            Err(cause) => Err(Error::internal("reading the store", cause)),
        }
    }
}

/// Why a read or write failed.
#[derive(Debug)]
enum Failure {
    Sql(rusqlite::Error),
    Error(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// What callers see; SQLite's own words go to the log.
    fn into_error(self) -> Error {
        let cause = match self {
            Self::Error(error) => return error,
            Self::Sql(cause) => cause,
        };
        match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                tracing::error!(%cause, "the store is full");
                Error::new(ErrorKind::StoreFull, "the store is full: nothing was stored")
            }
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly,
            ) => {
                tracing::error!(%cause, "the store cannot be used");
                Error::new(ErrorKind::Unavailable, "the store cannot be used now: nothing was stored")
            }
            _ => Error::internal("a store operation", cause),
        }
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let unusable = |cause| OpenError::Directory { path: dir.to_owned(), cause };
    fs::create_dir_all(dir).map_err(unusable)?;
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(cause)) => Err(unusable(cause)),
    }
}

fn describe(error: OpenError, path: &Path) -> OpenError {
    match error {
        OpenError::Sql(cause)
            if matches!(cause.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) =>
        {
            OpenError::Corrupt { path: path.to_owned(), cause: cause.to_string() }
        }
        other => other,
    }
}
