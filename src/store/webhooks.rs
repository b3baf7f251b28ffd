//! What the store keeps for webhooks: the webhooks themselves, a delivery for each event that one of them is to hear of,
//! and the attempts that were made.
//!
//! Promises:
//! - **With the event.** A delivery is written in the transaction of its event (promise P5): there is never one without
//!   the other.
//! - **In order.** The deliveries of one webhook about one task are a lane: the one with the lowest sequence is claimed,
//!   and none behind it before it is delivered or given up.
//! - **Claims end.** A claim holds for a lease. What is recorded under a claim that was lost is refused.
//! - **Kept while wanted.** Nothing that a waiting delivery needs is removed: neither its event nor its task.
//! - **Secret.** What only receivers may know is encrypted where a key is configured.
//!
//! Limits are kept where claims are made, so that no number of dead receivers delays the live ones.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::Identity;
use crate::{
    error::Result,
    proto::a2a::{AuthenticationInfo, Task},
    task::{DeliveryId, Dialect, Event, Events, TaskId, Webhook, WebhookId, WebhookState},
};

/// Webhooks and their deliveries, as their owners see them. Every method that names an owner sees only that owner's.
pub trait Webhooks: Send + Sync + 'static {
    /// Stores a webhook; or changes the one of the same task (or agent) and name to what this one says, its id and its
    /// deliveries kept, enabled. One that comes without a signing secret keeps what is there.
    ///
    /// # Errors
    /// `WebhookLimit`, `StoreFull`, `Unavailable`, `Internal`.
    fn put_webhook(&self, webhook: Webhook) -> BoxFuture<'_, Result<Webhook>>;

    /// Reads a webhook.
    fn webhook(&self, owner: Arc<str>, which: Which) -> BoxFuture<'_, Result<Option<Webhook>>>;

    /// Lists webhooks, oldest first.
    fn webhooks(&self, query: WebhookQuery) -> BoxFuture<'_, Result<WebhookPage>>;

    /// Changes a webhook. None: there is no such one.
    ///
    /// # Errors
    /// `StoreFull`, `Unavailable`, `Internal`.
    fn update_webhook(&self, owner: Arc<str>, change: WebhookChange) -> BoxFuture<'_, Result<Option<Webhook>>>;

    /// Removes a webhook with its deliveries: nothing of it is claimed after this. False: there is no such one.
    fn delete_webhook(&self, owner: Arc<str>, id: WebhookId) -> BoxFuture<'_, Result<bool>>;

    /// Counts what waits and what was given up, of a webhook.
    fn standing(&self, id: WebhookId) -> BoxFuture<'_, Result<Standing>>;

    /// Lists deliveries with their attempts, newest first.
    fn deliveries(&self, query: DeliveryQuery) -> BoxFuture<'_, Result<DeliveryPage>>;

    /// Makes deliveries due again, a bounded number of them, oldest first.
    fn redeliver(&self, owner: Arc<str>, wanted: Redelivery) -> BoxFuture<'_, Result<Requeued>>;
}

/// Deliveries, as the dispatcher sees them.
pub trait Outbox: Send + Sync + 'static {
    /// One round: records what came of attempts, and claims what is due.
    ///
    /// # Errors
    /// `StoreFull`, `Unavailable`, `Internal`: nothing was recorded or claimed.
    fn dispatch(&self, round: Round) -> BoxFuture<'_, Result<Claims>>;

    /// What deliveries are about, in the order asked for. None: it is no longer there, or cannot be read.
    fn contents(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Option<Content>>>>;

    /// What waits, for metrics.
    fn backlog(&self) -> BoxFuture<'_, Result<Backlog>>;

    /// Removes up to `batch` deliveries that were delivered or given up before `cutoff`, with their attempts; waiting
    /// ones too if their webhook was disabled before it; without a cutoff only what removed webhooks left behind. Removes
    /// up to `batch` webhooks, last changed before the cutoff, of tasks that never were, too; without a cutoff those
    /// last changed 30 days before `now`. Returns how many rows went.
    fn purge_deliveries(&self, cutoff: Option<i64>, now: i64, batch: usize) -> BoxFuture<'_, Result<usize>>;
}

/// Which webhook is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this id.
    Id(WebhookId),
    /// The one of a task with this name; an empty name: the one named as the task, else the oldest.
    Task {
        /// The task.
        task: String,
        /// Its name.
        name: String,
    },
    /// The one of an agent as a whole with this name.
    Agent {
        /// The agent.
        agent: String,
        /// Its name.
        name: String,
    },
}

/// Which webhooks to list.
#[derive(Clone, Debug, Default)]
pub struct WebhookQuery {
    /// Whose.
    pub owner: Arc<str>,
    /// Of this agent's tasks, or of the agent as a whole.
    pub agent: Option<String>,
    /// Of this task; `Some("")`: of none, but of an agent as a whole.
    pub task: Option<String>,
    /// With this payload.
    pub payload: Option<Dialect>,
    /// After this one; 0: from the first.
    pub after: i64,
    /// At most this many.
    pub limit: usize,
}

/// One page of webhooks.
#[derive(Debug)]
pub struct WebhookPage {
    /// Oldest first.
    pub webhooks: Vec<Webhook>,
    /// The place of the last one, when there are more.
    pub next: Option<i64>,
}

/// What to change of a webhook. None: stays as it is.
#[derive(Clone, Debug)]
pub struct WebhookChange {
    /// Which one.
    pub id: WebhookId,
    /// When: milliseconds since 1970 UTC.
    pub now: i64,
    /// Its URL and the origin of that.
    pub target: Option<(String, String)>,
    /// What it hears of.
    pub events: Option<Events>,
    /// The form of what is sent.
    pub payload: Option<Dialect>,
    /// `Enabled` (which forgets that it was failing) or `Paused`.
    pub state: Option<WebhookState>,
    /// Its token; empty: none.
    pub token: Option<String>,
    /// How it authenticates; `Some(None)`: not.
    pub authentication: Option<Option<AuthenticationInfo>>,
    /// A new signing secret, and until when the one before is signed with, too: milliseconds since 1970 UTC.
    pub signing: Option<(String, i64)>,
}

/// How much of a webhook waits, and how much was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Deliveries that wait or are under way. Counted up to 10,000.
    pub pending: u64,
    /// Deliveries that were given up. Counted up to 10,000.
    pub failed: u64,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its turn or its next attempt, or is under way.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

/// Which deliveries to list.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    /// Whose.
    pub owner: Arc<str>,
    /// Of this webhook.
    pub webhook: Option<WebhookId>,
    /// Of this task.
    pub task: Option<TaskId>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Of events at this time or later: milliseconds since 1970 UTC.
    pub from: Option<i64>,
    /// Of events before this time: milliseconds since 1970 UTC.
    pub to: Option<i64>,
    /// Before this place, newest first; none: from the newest.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// One page of deliveries.
#[derive(Debug)]
pub struct DeliveryPage {
    /// Newest first. Fewer than asked for, even none, where few of very many match.
    pub deliveries: Vec<Delivery>,
    /// The place to go on before, when there are more.
    pub next: Option<i64>,
}

/// A delivery and what was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which one.
    pub id: DeliveryId,
    /// Where it stands.
    pub state: DeliveryState,
    /// When its event was committed: milliseconds since 1970 UTC.
    pub created: i64,
    /// When the next attempt is due, or the one under way began to be: milliseconds since 1970 UTC. Only of the first
    /// waiting one of its lane, and not while its webhook is not sent to.
    pub due: Option<i64>,
    /// The newest attempts, oldest first, at most 20.
    pub attempts: Vec<Attempt>,
    /// How many attempts there were in all.
    pub attempt_count: u32,
}

/// One HTTP request of a delivery, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// 1, 2, 3, … within the delivery.
    pub number: u32,
    /// When it began: milliseconds since 1970 UTC.
    pub time: i64,
    /// Milliseconds that it took.
    pub latency: u32,
    /// The HTTP status of the answer; 0: none came.
    pub status: u16,
    /// The address that was called; empty: none was.
    pub address: String,
    /// What went wrong; empty: nothing.
    pub error: String,
    /// The beginning of the answer's body, for people.
    pub excerpt: String,
}

/// What to make due again: one delivery, or those of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// This one, whatever became of it. Nothing is changed if it waits already.
    One(DeliveryId),
    /// Those of a webhook that do not wait.
    Many {
        /// The webhook.
        webhook: WebhookId,
        /// Of events at this time or later: milliseconds since 1970 UTC.
        from: i64,
        /// Of events before this time: milliseconds since 1970 UTC.
        to: i64,
        /// Only those that were given up.
        failed_only: bool,
        /// After this place; 0: from the oldest.
        after: i64,
    },
}

/// What was made due again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requeued {
    /// How many; of `One`: 1 also if it waited already, 0 if there is no such delivery.
    pub count: u64,
    /// The place to go on after, when there are more.
    pub next: Option<i64>,
}

/// What a dispatcher tells the store, and what it asks for.
#[derive(Debug)]
pub struct Round {
    /// Now: milliseconds since 1970 UTC, as the system's clock has it. Where that is before the last round, the clock has
    /// been set back: what is due later is brought forward by as much.
    pub now: i64,
    /// By how many milliseconds the system's clock has been set since this dispatcher's last round. Forward: its claims
    /// hold as much longer. Back (negative): what is due later is brought forward by as much. 0: it went as time went.
    pub jumped: i64,
    /// What came of attempts.
    pub results: Vec<Attempted>,
    /// The most deliveries to claim.
    pub take: usize,
    /// How long claims hold.
    pub lease: Duration,
    /// Limits over all dispatchers.
    pub limits: Limits,
}

/// Limits over all dispatchers on the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attempts under way at once, those not counted that take longer than half a second: a quarter of it is kept for
    /// origins that were reached within the last five seconds.
    pub total: usize,
    /// Attempts under way at once that take longer. They are shared out as the others are; what goes beyond a share counts
    /// in `total`.
    pub slow: usize,
    /// Of `total`, attempts that are not a delivery's first.
    pub retries: usize,
    /// Of them, attempts to origins that were not reached of late: half of them for those that were never tried, half for
    /// the others; at least one each.
    pub unproven: usize,
    /// Attempts under way at once to one origin, each that takes longer than a second counted as four.
    pub per_origin: usize,
    /// Failures in a row to reach an origin after which its circuit opens: then there is one probe at a time.
    pub circuit_failures: u32,
    /// How long a circuit stays open before the first probe; each failed probe doubles it.
    pub circuit_open: Duration,
    /// The longest that it stays open before the next probe.
    pub circuit_open_max: Duration,
}

/// The right to attempt a delivery, while the lease holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The lane.
    pub lane: i64,
    /// The claim.
    pub token: i64,
}

/// A delivery that was claimed.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The right to attempt it.
    pub ticket: Ticket,
    /// Which one.
    pub delivery: DeliveryId,
    /// Where it goes, as of now.
    pub webhook: Arc<Webhook>,
    /// Whether its origin was reached of late, or when it was tried last, and its circuit is closed.
    pub proven: bool,
    /// Whether it was reached within the last seconds, besides.
    pub hot: bool,
    /// The number of the attempt, over all there were.
    pub number: u32,
    /// Attempts made since it was last made due by an event or a person: 0 for the first.
    pub tries: u32,
    /// When its event was committed: milliseconds since 1970 UTC.
    pub created: i64,
}

/// What a round claimed.
#[derive(Debug, Default)]
pub struct Claims {
    /// The claims, those that were due first first.
    pub claims: Vec<Claim>,
    /// When the next delivery is due, or a lease or an open circuit ends: milliseconds since 1970 UTC. Not later than
    /// the round: more was due than was taken. None: nothing waits for a time.
    pub next: Option<i64>,
    /// Results that were refused: their claims had been lost.
    pub refused: usize,
}

/// What came of an attempt.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The claim it was made under.
    pub ticket: Ticket,
    /// What is to become of the delivery. Of an attempt at a URL that the webhook no longer has only a success counts;
    /// else it is due at once.
    pub verdict: Verdict,
    /// What to keep of it; none: there was no request.
    pub attempt: Option<Attempt>,
    /// Whether its origin was reached: by any answer but those that speak of an overload. None: that is not known.
    pub reached: Option<bool>,
    /// Whether a failure is the receiver's, and not the gateway's own: only then its webhook is failing from now on.
    pub blame: bool,
}

/// What is to become of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It is due again at a time: milliseconds since 1970 UTC.
    Retry(i64),
    /// It is given up; the next one of its lane is due.
    Failed,
    /// It is given up, and its webhook is disabled (`Gone` or `Failing`). `Failing`: only if the webhook has been failing
    /// all the time since the claim; else it is due again a little later.
    Disable(WebhookState),
    /// It was not attempted, or no one knows what came of it: it is due at once.
    Released,
}

/// What to read for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The task.
    pub task: TaskId,
    /// The event.
    pub sequence: u64,
    /// Whether the task as of the event is wanted, too.
    pub fold: bool,
}

/// What a delivery is about.
#[derive(Clone, Debug)]
pub struct Content {
    /// The task's identity.
    pub identity: Arc<Identity>,
    /// The event.
    pub event: Arc<Event>,
    /// The task as of the event, if that was wanted. Where the log was trimmed it may hold later content, never
    /// another status.
    pub task: Option<Task>,
}

/// What waits, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that wait or are under way. Counted up to 1,000,000.
    pub pending: u64,
    /// When the oldest event was committed that the first delivery of a lane is about, of webhooks that are sent to:
    /// milliseconds since 1970 UTC. None: nothing waits.
    pub oldest: Option<i64>,
    /// Deliveries that were given up and are still kept.
    pub failed: u64,
    /// Origins whose circuit is open.
    pub open_circuits: u64,
}
