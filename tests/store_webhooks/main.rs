//! Webhooks and their deliveries in the store, as the engine and dispatchers use it. Times are the tests' own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod arrivals;
mod circuits;
mod clock;
mod configs;
mod contents;
mod events;
mod random;
mod redelivery;
mod retention;
mod rounds;
mod secrets;
mod silent;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use a2a_gateway::{
    error::Error,
    metrics::Metrics,
    proto::a2a::{
        Artifact, Message, Part, Role, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus, TaskStatusUpdateEvent,
        part::Content as PartContent, stream_response::Payload,
    },
    store::{
        Append, Attempt, Attempted, Claim, Claims, Commit, Delivery, DeliveryQuery, DeliveryState, Identity, Limits,
        Listener, NewTask, Outbox as _, Receipt, Request, Round, Sqlite, SqliteSettings, Store as _, Verdict,
        WebhookChange, Webhooks as _,
    },
    task::{Dialect, Event, Events, Health, Secrets, TaskId, Webhook, WebhookId, WebhookState},
};

/// Counts how often the store said that something became due.
#[derive(Default)]
struct Ear(AtomicUsize);

impl Listener for Ear {
    fn committed(&self, _: Vec<Commit>) {}

    fn due(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A store in a folder of its own.
struct Rig {
    dir: tempfile::TempDir,
    store: Sqlite,
    ear: Arc<Ear>,
}

impl Rig {
    fn new() -> Self {
        Self::with(|settings| settings)
    }

    fn with(change: impl FnOnce(SqliteSettings) -> SqliteSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, ear) = open(&change(SqliteSettings::new(dir.path()))).unwrap();
        Self { dir, store, ear }
    }

    /// The same file, opened again.
    async fn again(self) -> Self {
        self.again_with(|settings| settings).await
    }

    /// The same file, opened again with other settings.
    async fn again_with(self, change: impl FnOnce(SqliteSettings) -> SqliteSettings) -> Self {
        self.store.close().await;
        let (store, ear) = open(&change(SqliteSettings::new(self.dir.path()))).unwrap();
        Self { dir: self.dir, store, ear }
    }

    /// How often something became due since this was asked last.
    fn heard(&self) -> usize {
        self.ear.0.swap(0, Ordering::SeqCst)
    }

    /// A task of the owner `me` with the agent `a`.
    async fn task(&self) -> Arc<Identity> {
        self.task_of("me", "a", Vec::new()).await
    }

    async fn task_of(&self, owner: &str, agent: &str, webhooks: Vec<Webhook>) -> Arc<Identity> {
        let identity = identity(owner, agent);
        self.create(&identity, webhooks).await.unwrap();
        identity
    }

    async fn create(&self, identity: &Arc<Identity>, webhooks: Vec<Webhook>) -> Result<Receipt, Error> {
        let new = NewTask {
            identity: identity.clone(),
            extensions: Vec::new(),
            event: submitted(identity),
            webhooks,
            request: None,
        };
        self.store.create(new).await
    }

    /// Appends an event of each kind in turn: `status`, `artifact`, `message`, `done`.
    async fn say(&self, task: &Arc<Identity>, after: u64, kinds: &[&str]) {
        self.store.append(append(task, after, kinds)).await.unwrap();
    }

    async fn webhook(&self, task: &Identity, host: &str) -> Webhook {
        self.store.put_webhook(webhook(task, host)).await.unwrap()
    }

    async fn dispatch(&self, round: Round) -> Claims {
        self.store.dispatch(round).await.unwrap()
    }

    /// Claims as much as there is.
    async fn claim(&self, now: i64) -> Vec<Claim> {
        self.dispatch(round(now)).await.claims
    }

    /// Records results and claims nothing.
    async fn record(&self, now: i64, results: Vec<Attempted>) -> Claims {
        self.dispatch(Round { results, take: 0, ..round(now) }).await
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let query = DeliveryQuery { owner: "me".into(), limit: 1000, ..DeliveryQuery::default() };
        self.store.deliveries(query).await.unwrap().deliveries
    }

    /// Sequences and states, oldest first.
    async fn states(&self) -> Vec<(u64, DeliveryState)> {
        let mut all: Vec<_> = self.deliveries().await.iter().map(|found| (found.id.sequence, found.state)).collect();
        all.reverse();
        all
    }

    async fn reload(&self, webhook: &Webhook) -> Webhook {
        let which = a2a_gateway::store::Which::Id(webhook.id);
        self.store.webhook(webhook.owner.clone(), which).await.unwrap().unwrap()
    }
}

/// Changes a store's file past it.
fn meddle(dir: &Path, statement: &str) {
    let file = rusqlite::Connection::open(dir.join("gateway.db")).unwrap();
    assert!(file.execute(statement, []).unwrap() > 0, "{statement}");
}

fn open(settings: &SqliteSettings) -> Result<(Sqlite, Arc<Ear>), String> {
    let ear = Arc::new(Ear::default());
    let store = Sqlite::open(settings, ear.clone(), Arc::new(Metrics::default()));
    store.map(|store| (store, ear)).map_err(|error| error.to_string())
}

/// Rows of a table, read past the store.
fn rows(dir: &Path, table: &str) -> i64 {
    let file = rusqlite::Connection::open(dir.join("gateway.db")).unwrap();
    file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

const CREATED: i64 = 1000;

fn identity(owner: &str, agent: &str) -> Arc<Identity> {
    Arc::new(Identity {
        id: TaskId::mint(),
        owner: owner.into(),
        agent: agent.into(),
        context_id: "c".into(),
        dialect: Dialect::V1,
        created: CREATED,
        deadline: None,
        output_modes: Vec::new(),
    })
}

fn submitted(identity: &Identity) -> Arc<Event> {
    let status = TaskStatus { state: TaskState::Submitted.into(), ..TaskStatus::default() };
    let task = Task { id: identity.id.to_string(), status: Some(status), ..Task::default() };
    Arc::new(Event::new(identity.id, 1, CREATED, TaskState::Submitted, Payload::Task(task)))
}

/// What is said in an event of this sequence.
fn text(sequence: u64) -> Part {
    Part { content: Some(PartContent::Text(format!("said {sequence}"))), ..Part::default() }
}

fn event(task: &Identity, sequence: u64, kind: &str) -> Arc<Event> {
    let parts = vec![text(sequence)];
    let message = Message { message_id: format!("m-{sequence}"), parts, ..Message::default() };
    let status = |state: TaskState| {
        let message = Some(Message { role: Role::Agent.into(), ..message.clone() });
        let status = TaskStatus { state: state.into(), message, timestamp: None };
        Payload::StatusUpdate(TaskStatusUpdateEvent { status: Some(status), ..TaskStatusUpdateEvent::default() })
    };
    let (state, payload) = match kind {
        "status" => (TaskState::Working, status(TaskState::Working)),
        "done" => (TaskState::Completed, status(TaskState::Completed)),
        "message" => (TaskState::Working, Payload::Message(Message { role: Role::User.into(), ..message })),
        "artifact" => {
            let artifact = Artifact { artifact_id: "a".into(), parts: message.parts, ..Artifact::default() };
            let update = TaskArtifactUpdateEvent { artifact: Some(artifact), append: true, ..Default::default() };
            (TaskState::Working, Payload::ArtifactUpdate(update))
        }
        other => panic!("no such kind: {other}"),
    };
    Arc::new(Event::new(task.id, sequence, CREATED + sequence.cast_signed() - 1, state, payload))
}

fn append(task: &Arc<Identity>, after: u64, kinds: &[&str]) -> Append {
    let events = (after + 1..).zip(kinds).map(|(sequence, kind)| event(task, sequence, kind)).collect();
    let from = if after == 1 { TaskState::Submitted } else { TaskState::Working };
    Append::new(task.clone(), after, from, events)
}

fn request(id: &str) -> Option<Request> {
    Some(Request { id: id.into(), digest: [7; 32], expires: i64::MAX })
}

/// A webhook of a task that hears of everything.
fn webhook(task: &Identity, host: &str) -> Webhook {
    Webhook { task: task.id.to_string(), ..of_agent(&task.owner, &task.agent, host) }
}

/// A webhook of an agent as a whole.
fn of_agent(owner: &str, agent: &str, host: &str) -> Webhook {
    let id = WebhookId::mint();
    Webhook {
        id,
        owner: owner.into(),
        agent: agent.into(),
        task: String::new(),
        name: id.to_string(),
        url: format!("https://{host}/in"),
        origin: format!("https://{host}:443"),
        payload: Dialect::V1,
        events: Events { status: true, artifacts: true, messages: true },
        secrets: Secrets::default(),
        state: WebhookState::Enabled,
        created: CREATED,
        updated: CREATED,
        health: Health::default(),
    }
}

fn limits() -> Limits {
    Limits {
        total: 64,
        slow: 0,
        retries: 32,
        unproven: 32,
        per_origin: 8,
        circuit_failures: 3,
        circuit_open: Duration::from_secs(1),
        circuit_open_max: Duration::from_secs(4),
    }
}

const LEASE: i64 = 30_000;

fn round(now: i64) -> Round {
    let lease = Duration::from_millis(LEASE.unsigned_abs());
    Round { now, jumped: 0, results: Vec::new(), take: 1000, lease, limits: limits() }
}

fn result(claim: &Claim, verdict: Verdict) -> Attempted {
    let status = if verdict == Verdict::Delivered { 200 } else { 500 };
    let error = if status == 200 { String::new() } else { "answered 500".to_owned() };
    let attempt = Attempt { number: claim.number, time: 5, latency: 3, status, error, ..Attempt::default() };
    let attempt = Some(attempt).filter(|_| verdict != Verdict::Released);
    let reached = (verdict != Verdict::Released).then_some(true);
    Attempted { ticket: claim.ticket, verdict, attempt, reached, blame: true }
}

fn all(claims: &[Claim], verdict: &Verdict) -> Vec<Attempted> {
    claims.iter().map(|claim| result(claim, verdict.clone())).collect()
}

fn sequences(claims: &[Claim]) -> Vec<u64> {
    claims.iter().map(|claim| claim.delivery.sequence).collect()
}

fn change(webhook: &Webhook) -> WebhookChange {
    let id = webhook.id;
    WebhookChange {
        id,
        now: 2000,
        target: None,
        events: None,
        payload: None,
        state: None,
        token: None,
        authentication: None,
        signing: None,
    }
}
