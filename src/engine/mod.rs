//! The engine: submit, query, cancel, watch, run, recover; webhooks as callers manage them.
//!
//! One mechanism serves all callers. A submit commits a task and wakes its runner; the runner turns what the agent
//! says into events and commits them; the store tells the hub; the hub wakes watchers. Blocking calls, streams and
//! watches are all watchers of one log, and differ only in where they start and when they end. A caller that goes away
//! takes nothing with it (promise P6).
//!
//! What one process knows in memory (runners, rings, settled tasks) only makes things faster: the log decides. A
//! runner whose append is refused, because the log moved on without it or another process has taken its task over, stops.
//! Whoever is about to work on a task that it has no runner for acquires it first (`store::leases`).

mod absorb;
mod cancel;
mod commit;
mod feed;
mod housekeeping;
mod hub;
mod page;
mod query;
mod recover;
mod reply;
mod roster;
mod run;
mod runners;
mod settle;
mod submit;
mod translate;
mod watch;
mod webhooks;

pub use crate::store::Which;
pub use feed::{Feed, FeedItem, FeedQuery};
pub use hub::Hub;
pub use query::{ListQuery, Page};
pub use submit::{Outcome, Reply, Submit, Submitted};
pub use watch::{From, Until, Watch};
pub use webhooks::{
    Courier, DeliveryFilter, NewWebhook, Resend, Scope, Signing, StoredWebhook, WebhookFilter, WebhookUpdate,
};

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use quick_cache::{Weighter, sync::Cache};
use tokio::sync::SetOnce;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agent::Agent,
    error::{Error, ErrorKind, Result},
    metrics::Metrics,
    proto::{a2a::AgentCard, well_known::Struct},
    store::Store,
    task::{Record, TaskId, state},
};
use roster::Roster;
use runners::Runners;

/// How long a submit may take to be stored. Beyond it a database is away, and may have stored it or not.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(30);

/// Who asks. Tasks of one caller are invisible to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Empty: the anonymous caller, the only one until identities are configured.
    pub owner: Arc<str>,
}

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of tasks that name none; none: no timeout.
    pub default_timeout: Option<Duration>,
    /// Whether a repeated message id of a caller returns the first task.
    pub dedupe_message_ids: bool,
    /// How long request ids are remembered.
    pub request_id_ttl: Duration,
    /// Turns that run at the same time; others wait as SUBMITTED.
    pub max_running: usize,
    /// How long a stream waits for the agent's first word, which may be a direct reply, before it shows the task.
    pub direct_reply_wait: Duration,
    /// Bytes of settled tasks kept in memory.
    pub cache_size: u64,
    /// How long settled tasks are kept; none: for ever.
    pub retention: Option<Duration>,
    /// Tasks removed in one commit.
    pub retention_batch: usize,
    /// How long deliveries that are done with are kept; none: as long as their task.
    pub delivery_history: Option<Duration>,
    /// Between two rounds of removing.
    pub retention_interval: Duration,
    /// Events of one task that are kept; 0: all.
    pub events_per_task: u64,
    /// Bytes of a task with its log, as far as its agent adds to them in one turn: beyond it the task fails.
    pub max_task_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_timeout: None,
            dedupe_message_ids: false,
            request_id_ttl: Duration::from_secs(24 * 3600),
            max_running: 10_000,
            direct_reply_wait: Duration::from_secs(2),
            cache_size: 16 << 20,
            retention: Some(Duration::from_secs(30 * 24 * 3600)),
            retention_batch: 200,
            delivery_history: Some(Duration::from_secs(30 * 24 * 3600)),
            retention_interval: Duration::from_secs(60),
            events_per_task: 100_000,
            max_task_size: 256 << 20,
        }
    }
}

/// What an engine is made of.
pub struct Parts {
    /// Where tasks are kept. Its listener must be `hub`.
    pub store: Arc<dyn Store>,
    /// Hears of the store's commits.
    pub hub: Arc<Hub>,
    /// By name; the first is the default. At least one.
    pub agents: Vec<(String, Arc<dyn Agent>)>,
    /// What webhooks are sent by; none: they are turned off.
    pub courier: Option<Arc<dyn Courier>>,
    /// How it behaves.
    pub settings: Settings,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
}

/// An agent as callers see it.
#[derive(Clone, Debug)]
pub struct AgentStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it serves requests that name none.
    pub default: bool,
    /// Whether it takes tasks.
    pub ready: bool,
    /// Why it takes none, in words for an operator.
    pub problem: Option<String>,
    /// Its own card.
    pub card: Arc<AgentCard>,
    /// Turns running now.
    pub running: u64,
    /// Turns that wait for a place.
    pub queued: u64,
    /// Turns that it may run at the same time; none: no limit of its own.
    pub max_concurrency: Option<usize>,
}

/// The engine. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    roster: Roster,
    courier: Option<Arc<dyn Courier>>,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// The runners of this process, by task.
    runners: Arc<Runners>,
    /// Settled tasks: they never change, so this is never stale.
    settled: Cache<TaskId, Arc<Settled>, BySize>,
    tasks: TaskTracker,
    /// Set once it is known which tasks an earlier process left.
    stock_taken: SetOnce<()>,
    /// Streams end and nothing new is taken on.
    draining: CancellationToken,
    /// Everything ends.
    stopping: CancellationToken,
}

struct Settled {
    owner: Arc<str>,
    size: u64,
    record: Record,
}

#[derive(Clone)]
struct BySize;

impl Weighter<TaskId, Arc<Settled>> for BySize {
    fn weight(&self, _id: &TaskId, settled: &Arc<Settled>) -> u64 {
        settled.size
    }
}

impl Engine {
    /// Starts an engine: takes up unsettled tasks and begins housekeeping in the background.
    pub fn start(parts: Parts) -> Self {
        let Parts { store, hub, agents, courier, settings, metrics } = parts;
        let inner = Arc::new(Inner {
            roster: Roster::new(agents, settings.max_running, metrics.clone()),
            settled: Cache::with_weighter(1024, settings.cache_size, BySize),
            runners: hub.runners().clone(),
            tasks: TaskTracker::new(),
            stock_taken: SetOnce::new(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            store,
            hub,
            courier,
            settings,
            metrics,
        });
        inner.tasks.spawn(recover::recover(inner.clone()));
        inner.tasks.spawn(housekeeping::run(inner.clone()));
        Self { inner }
    }

    /// Stores a task (or a task's next message) and lets its agent run it.
    ///
    /// # Errors
    /// `InvalidArgument`, `AgentNotFound`, `TaskNotFound`, `UnsupportedOperation` when the task takes no message now,
    /// `RequestIdReused`, `StoreFull`, `Unavailable`.
    pub async fn submit(&self, caller: &Caller, submit: Submit) -> Result<Submitted> {
        let (inner, caller) = (self.inner.clone(), caller.clone());
        // A task of its own: a caller that goes away between the commit and the start of the turn must not leave a
        // stored task that nobody runs.
        let submitting = self.inner.tasks.spawn(async move { submit::submit(&inner, &caller, submit).await });
        match tokio::time::timeout(SUBMIT_PATIENCE, submitting).await {
            Ok(Ok(submitted)) => submitted,
            Ok(Err(cause)) => Err(Error::internal("a submit", cause)),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the store has not answered: the task may yet be stored")),
        }
    }

    /// Reads one task. `history_length`: messages of history to return, newest kept; none: all, 0: none.
    ///
    /// # Errors
    /// `InvalidArgument` (`history_length`), `TaskNotFound`, `Unavailable`.
    pub async fn get(&self, caller: &Caller, id: TaskId, history_length: Option<i32>) -> Result<Record> {
        query::get(&self.inner, caller, id, history_length).await
    }

    /// Lists tasks, most recently updated first.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field, `AgentNotFound`, `Unavailable`.
    pub async fn list(&self, caller: &Caller, query: ListQuery) -> Result<Page> {
        query::list(&self.inner, caller, query).await
    }

    /// Cancels a task and tells its agent. A canceled task is returned as it is.
    ///
    /// # Errors
    /// `TaskNotFound`, `TaskNotCancelable`, `StoreFull`, `Unavailable`.
    pub async fn cancel(&self, caller: &Caller, id: TaskId, metadata: Option<Struct>) -> Result<Record> {
        cancel::cancel(&self.inner, caller, id, metadata).await
    }

    /// Watches one task.
    ///
    /// # Errors
    /// `TaskNotFound`, `SequenceTrimmed`, `SequenceAhead`, `Unavailable`.
    pub async fn watch(&self, caller: &Caller, id: TaskId, from: From, until: Until) -> Result<Watch> {
        self.inner.check_open()?;
        Watch::open(&self.inner, caller, id, from, until).await
    }

    /// Watches many tasks.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field, `AgentNotFound`, `CursorTrimmed`, `Unavailable`.
    pub async fn feed(&self, caller: &Caller, query: FeedQuery) -> Result<Feed> {
        self.inner.check_open()?;
        Feed::open(&self.inner, caller, query).await
    }

    /// The agents, the default one first.
    pub fn agents(&self) -> Vec<AgentStatus> {
        let entries = self.inner.roster.all();
        entries.iter().enumerate().map(|(index, entry)| entry.status(index == 0)).collect()
    }

    /// Replaces the agents; at least one. Turns under way go on with the agents they began with.
    pub fn replace_agents(&self, agents: Vec<(String, Arc<dyn Agent>)>) {
        self.inner.roster.replace(agents);
    }

    /// One agent; empty: the default one.
    ///
    /// # Errors
    /// `AgentNotFound`.
    pub fn agent(&self, name: &str) -> Result<AgentStatus> {
        let entry = self.inner.roster.find(name)?;
        Ok(entry.status(self.inner.roster.is_default(&entry)))
    }

    /// Whether the store takes writes now.
    ///
    /// # Errors
    /// `StoreFull`, `Unavailable`.
    pub async fn ready(&self) -> Result<()> {
        self.inner.check_open()?;
        self.inner.store.probe().await
    }

    /// Sets the gauges that are read from the store: tasks by state, and what waits for webhooks.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn measure(&self) -> Result<()> {
        let counts: HashMap<_, _> = self.inner.store.counts().await?.into_iter().collect();
        for state in state::ALL {
            let tasks = counts.get(&state).copied().unwrap_or(0);
            let labels = crate::metrics::StateLabels { state: state::word(state) };
            self.inner.metrics.tasks.get_or_create(&labels).set(i64::try_from(tasks).unwrap_or(i64::MAX));
        }
        let backlog = self.inner.store.backlog().await?;
        let age = backlog.oldest.map_or(0, |oldest| u64::try_from(now() - oldest).unwrap_or(0));
        let age = Duration::from_millis(age);
        self.inner.metrics.webhooks.backlog(backlog.pending, age, backlog.failed, backlog.open_circuits);
        Ok(())
    }

    /// Resolves when the gateway starts to shut down; streams end then.
    pub async fn draining(&self) {
        self.inner.draining.cancelled().await;
    }

    /// Begins to shut down: streams end, new submits and watches are refused, waiting calls go on.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    /// Ends everything: waiting calls, runners (their tasks are taken up again at the next start), and the store.
    pub async fn stop(&self) {
        self.inner.draining.cancel();
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.store.close().await;
    }
}

impl Inner {
    fn check_open(&self) -> Result<()> {
        if self.draining.is_cancelled() { Err(shutting_down()) } else { Ok(()) }
    }

    /// Reads a caller's task.
    async fn record(&self, caller: &Caller, id: TaskId) -> Result<Record> {
        let not_found = || Error::task_not_found(&id.to_string());
        if let Some(settled) = self.settled.get(&id) {
            return if settled.owner == caller.owner { Ok(settled.record.clone()) } else { Err(not_found()) };
        }
        let stored = self.store.task(id).await?;
        let visible = stored.filter(|stored| stored.identity.owner == caller.owner && !stored.hidden);
        let stored = visible.ok_or_else(not_found)?;
        let (owner, settled) = (stored.identity.owner.clone(), state::is_settled(stored.state));
        let record = stored.into_record();
        if settled {
            self.keep(owner, record.clone());
        }
        Ok(record)
    }

    /// Keeps a settled task in memory.
    fn keep(&self, owner: Arc<str>, record: Record) {
        // Decoded messages take a few times their encoded size.
        let size = 512 + 3 * prost::Message::encoded_len(&record.task) as u64;
        self.settled.insert(record.id, Arc::new(Settled { owner, size, record }));
    }
}

fn shutting_down() -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway is shutting down: try again, and resume where you were")
}

/// Milliseconds since 1970 UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
