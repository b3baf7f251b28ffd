//! The store: each task's log of events, the snapshots folded from it, and the lists over them.
//!
//! Promises:
//! - **Durable before told.** A call returns, and the [`Listener`] hears of its events, only after they are on disk.
//! - **One order.** Events of a task have sequences 1, 2, 3, … without holes: an append names the sequence it saw last,
//!   and is refused as `Conflict` when the log has moved on. All commits have one order, the feed's.
//! - **All or nothing.** A call that fails changed nothing.
//! - **Cost per event does not grow with the task.** The log is the truth; snapshots are written when the engine says
//!   so, and a read folds what came after.
//!
//! Two databases keep them: `sqlite` is one file of one process, `postgres` is shared by any number of equal processes
//! (replicas). The traits are made for the latter: versions instead of locks, leases on tasks (`leases`), cursors that are
//! opaque to callers, a listener instead of in-process knowledge of who wrote.

mod as_of;
mod codes;
mod leases;
mod places;
mod postgres;
mod rules;
mod seal;
mod segment;
mod sqlite;
mod webhooks;

pub use leases::{Acquired, Asked, Leases, Stray};
pub use postgres::{
    Database, DatabaseError, OpenError as PostgresOpenError, Postgres, Settings as PostgresSettings, Timekeeper,
};
pub use seal::Keys;
pub use sqlite::{OpenError as SqliteOpenError, Settings as SqliteSettings, Sqlite};
pub use webhooks::{
    Attempt, Attempted, Backlog, Claim, Claims, Content, Delivery, DeliveryPage, DeliveryQuery, DeliveryState, Limits,
    Outbox, Redelivery, Requeued, Round, Standing, Ticket, Verdict, Wanted, WebhookChange, WebhookPage, WebhookQuery,
    Webhooks, Which,
};

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{
    error::{Error, ErrorKind, Result},
    proto::a2a::{Task, TaskState},
    task::{Dialect, Event, Record, TaskId, Upstream, Webhook, WebhookId},
};

/// A store of tasks. Every method that names an owner sees only that owner's tasks.
pub trait Store: Webhooks + Outbox + Leases {
    /// Stores a new task with its first events, or finds the task that its request id already made.
    ///
    /// # Errors
    /// `RequestIdReused`, `StoreFull`, `Unavailable`, `Internal`.
    fn create(&self, new: NewTask) -> BoxFuture<'_, Result<Receipt>>;

    /// Appends events to a task's log, or finds the task of its request id.
    ///
    /// # Errors
    /// `Conflict` when the log does not end where the append says, or another process has taken the task over;
    /// `RequestIdReused`, `StoreFull`, `Unavailable`, `Internal`.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Receipt>>;

    /// Finds what a request id was used for, unless it ended before `now`: the digest and the task.
    fn request(&self, owner: Arc<str>, agent: Arc<str>, id: String, now: i64) -> BoxFuture<'_, Result<Option<Used>>>;

    /// Reads a task, folded up to its newest event.
    fn task(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Stored>>>;

    /// Reads the events after a sequence, oldest first, a bounded number of them. None: no such task.
    fn log(&self, id: TaskId, after: u64) -> BoxFuture<'_, Result<Option<LogPage>>>;

    /// Lists tasks, most recently updated first.
    fn list(&self, query: TaskQuery) -> BoxFuture<'_, Result<TaskPage>>;

    /// Reads the events of all tasks after a position of the feed, a bounded number of them.
    fn feed(&self, after: u64) -> BoxFuture<'_, Result<FeedPage>>;

    /// Ids of tasks that have not settled, whose deadline is at or before `now`, and that no other process works on.
    fn overdue(&self, now: i64) -> BoxFuture<'_, Result<Vec<TaskId>>>;

    /// How the agent knows a task.
    fn link(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Link>>>;

    /// The task that an agent knows by this id of its own.
    fn linked(&self, owner: Arc<str>, agent: Arc<str>, upstream_task: String) -> BoxFuture<'_, Result<Option<TaskId>>>;

    /// The agent's id of a conversation, if an append noted one.
    fn upstream_context(
        &self,
        owner: Arc<str>,
        agent: Arc<str>,
        context_id: String,
    ) -> BoxFuture<'_, Result<Option<String>>>;

    /// Removes up to `batch` tasks that settled before `cutoff`, what was noted of conversations before it, and request
    /// ids that ended before `now`. Returns the tasks removed: none, if none is left that may go; fewer than `batch` also
    /// if many rows went with them.
    fn purge(&self, cutoff: Option<i64>, now: i64, batch: usize) -> BoxFuture<'_, Result<Vec<TaskId>>>;

    /// How many tasks there are in each state.
    fn counts(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>>>;

    /// Writes and commits something, to prove that the store takes writes.
    fn probe(&self) -> BoxFuture<'_, Result<()>>;

    /// Commits what is under way and closes. Later calls are `Unavailable`.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Hears of what is committed, once it is on disk. Must not block.
pub trait Listener: Send + Sync + 'static {
    /// Commits of this process, before the writers' callers hear of them; those of one task in their order.
    fn stored(&self, commits: &[Commit]);

    /// Commits of all processes, in the order of the feed, without a hole since the call before.
    fn ordered(&self, commits: Vec<Commit>);

    /// The feed has come this far without [`Listener::ordered`], since nobody followed it.
    fn passed(&self, _position: u64) {}

    /// Whether anybody wants [`Listener::ordered`]. A store that would have to read for it asks first.
    fn follows(&self) -> bool {
        true
    }

    /// Another process may have appended to a task: its newest sequence, and the epoch of who works on it.
    fn moved(&self, _task: TaskId, _head: u64, _epoch: u64) {}

    /// The tasks whose watchers a store is to look after that hears of other processes' commits.
    fn watched(&self) -> Vec<TaskId> {
        Vec::new()
    }

    /// There may be something in [`Leases::asked`], or tasks that nobody works on.
    fn asked(&self) {}

    /// Other processes may have taken this one for dead: what it works on is theirs.
    fn lost(&self) {}

    /// Deliveries to webhooks became due.
    fn due(&self) {}

    /// Another process removed or paused a webhook: attempts of this process end, then the future does.
    fn stop(&self, _webhook: WebhookId) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What never changes about a task.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: TaskId,
    /// The caller it belongs to.
    pub owner: Arc<str>,
    /// The agent that runs it.
    pub agent: Arc<str>,
    /// Its conversation.
    pub context_id: String,
    /// The dialect that created it.
    pub dialect: Dialect,
    /// Milliseconds since 1970 UTC.
    pub created: i64,
    /// When it is failed unless settled: milliseconds since 1970 UTC.
    pub deadline: Option<i64>,
    /// Media types the caller can take.
    pub output_modes: Vec<String>,
}

/// A task to be stored.
#[derive(Debug)]
pub struct NewTask {
    /// What never changes about it.
    pub identity: Arc<Identity>,
    /// Extensions that are active for its first turn: their URIs.
    pub extensions: Vec<String>,
    /// Event 1.
    pub event: Arc<Event>,
    /// Webhooks to store with it, which hear of event 1 already.
    pub webhooks: Vec<Webhook>,
    /// Makes it idempotent.
    pub request: Option<Request>,
}

/// A request id, remembered for a time.
#[derive(Debug)]
pub struct Request {
    /// The caller's id.
    pub id: String,
    /// What the request said.
    pub digest: [u8; 32],
    /// Milliseconds since 1970 UTC.
    pub expires: i64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It was stored.
    Written,
    /// The request id had been used for the same, on this task; nothing was stored.
    Replayed(TaskId),
}

/// What a request id was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What the request said.
    pub digest: [u8; 32],
    /// The task it was about.
    pub task: TaskId,
}

impl Used {
    /// The task of a repeated request.
    ///
    /// # Errors
    /// `RequestIdReused` when the content differs.
    pub fn replay(self, digest: &[u8; 32]) -> Result<TaskId> {
        if self.digest == *digest {
            return Ok(self.task);
        }
        let message = format!(
            "this request id was used for a submit with other content (task {}): use a new one for a new submit",
            self.task
        );
        Err(Error::new(ErrorKind::RequestIdReused, message).with("taskId", self.task))
    }
}

/// How an agent knows a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The caller it belongs to.
    pub owner: Arc<str>,
    /// The agent.
    pub agent: Arc<str>,
    /// Its ids.
    pub upstream: Upstream,
}

/// Events to be appended to a task's log; or, without events, marks to be set.
#[derive(Debug)]
pub struct Append {
    /// The task.
    pub identity: Arc<Identity>,
    /// The newest sequence that the writer has seen.
    pub after: u64,
    /// The task's state at that sequence.
    pub from: TaskState,
    /// The epoch under which the writer works on the task. None: whatever it is.
    pub epoch: Option<u64>,
    /// Whether this process works on the task from here on, under the next epoch, whoever did until now.
    pub take: bool,
    /// The events `after + 1`, `after + 2`, …
    pub events: Vec<Arc<Event>>,
    /// The task folded up to the last of them, when it should be kept.
    pub snapshot: Option<Bytes>,
    /// Whether the turn has been handed to its agent. None: as before.
    pub dispatched: Option<bool>,
    /// How the agent knows the task. None: as before.
    pub upstream: Option<Upstream>,
    /// Extensions that are active from here on. None: as before.
    pub extensions: Option<Vec<String>>,
    /// Also note the agent's context id for later tasks of the same conversation. Only with `upstream`.
    pub note_context: bool,
    /// Hide the task from reads and lists: an agent's direct reply leaves no task behind.
    pub hide: bool,
    /// Remove the events up to this sequence from the log, as far as no webhook needs them. Only with a snapshot.
    pub trim_to: Option<u64>,
    /// Webhooks to store with it, or to replace by their names, which hear of its events already.
    pub webhooks: Vec<Webhook>,
    /// Makes it idempotent.
    pub request: Option<Request>,
}

impl Append {
    /// An append of events to a log that ends at `after`, in state `from`.
    pub fn new(identity: Arc<Identity>, after: u64, from: TaskState, events: Vec<Arc<Event>>) -> Self {
        Self {
            identity,
            after,
            from,
            epoch: None,
            take: false,
            events,
            snapshot: None,
            dispatched: None,
            upstream: None,
            extensions: None,
            note_context: false,
            hide: false,
            trim_to: None,
            webhooks: Vec::new(),
            request: None,
        }
    }
}

/// A committed group member.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its place in the order of all commits.
    pub position: u64,
    /// The task.
    pub identity: Arc<Identity>,
    /// Its events.
    pub events: Vec<Arc<Event>>,
}

/// A task as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What never changes about it.
    pub identity: Arc<Identity>,
    /// The task, folded up to `sequence`.
    pub task: Task,
    /// Its newest event.
    pub sequence: u64,
    /// Its state.
    pub state: TaskState,
    /// When its status last changed: milliseconds since 1970 UTC.
    pub updated: i64,
    /// Events up to this one have been trimmed; 0: none.
    pub floor: u64,
    /// Bytes of log since the last snapshot.
    pub unfolded: usize,
    /// Whether the turn has been handed to its agent.
    pub dispatched: bool,
    /// How the agent knows it.
    pub upstream: Upstream,
    /// Extensions that are active for its turn: their URIs.
    pub extensions: Vec<String>,
    /// Whether it is hidden from reads and lists.
    pub hidden: bool,
    /// Grows whenever its being worked on passes from one process to another; 1 at first.
    pub epoch: u64,
}

impl Stored {
    /// What callers see of it.
    pub fn into_record(self) -> Record {
        let identity = &self.identity;
        Record {
            id: identity.id,
            agent: identity.agent.clone(),
            dialect: identity.dialect,
            created: identity.created,
            deadline: identity.deadline,
            task: self.task,
            sequence: self.sequence,
            updated: self.updated,
            extensions: self.extensions,
        }
    }
}

/// A piece of a task's log.
#[derive(Debug)]
pub struct LogPage {
    /// Whose it is.
    pub owner: Arc<str>,
    /// The events after the position asked for, oldest first. Empty at the end.
    pub events: Vec<Arc<Event>>,
    /// The newest event of the log.
    pub head: u64,
    /// Events up to this one have been trimmed; 0: none.
    pub floor: u64,
    /// The task's state at `head`.
    pub state: TaskState,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct TaskQuery {
    /// Whose.
    pub owner: Arc<str>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Of this conversation.
    pub context_id: Option<String>,
    /// In any of these states; empty: any.
    pub states: Vec<TaskState>,
    /// Status changed then or later: milliseconds since 1970 UTC.
    pub updated_from: Option<i64>,
    /// After this one.
    pub after: Option<Key>,
    /// At most this many.
    pub limit: usize,
    /// Whether `TaskPage::total` is wanted.
    pub count: bool,
}

/// A task's place in the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// When its status last changed.
    pub updated: i64,
    /// Breaks ties.
    pub row: i64,
}

/// How large the tasks of one page of a list become, in bytes, before the page ends early: a list must not fill the memory.
pub const LIST_BYTES: usize = 16 << 20;

/// One page of a list.
#[derive(Debug)]
pub struct TaskPage {
    /// Most recently updated first. Fewer than asked for when they reach [`LIST_BYTES`].
    pub tasks: Vec<Stored>,
    /// The last one's place, when there are more.
    pub next: Option<Key>,
    /// Matches on all pages, when asked for; 0 otherwise.
    pub total: u64,
}

/// A piece of the feed: commits in their order.
#[derive(Debug)]
pub struct FeedPage {
    /// The commits after the position asked for. Empty at the end.
    pub commits: Vec<Commit>,
    /// No commit has a position beyond it.
    pub head: u64,
    /// The order of commits is known up to here: none will come to be before this position. Later ones are not read yet.
    pub stable: u64,
    /// Commits up to this position may have been removed; 0: none.
    pub floor: u64,
}

/// The error of every call after `close`.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway is shutting down")
}
