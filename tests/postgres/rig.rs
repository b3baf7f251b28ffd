//! What these tests share: stores on a database of their own, what they tell, and tasks to store.

use std::sync::{Arc, Mutex};

use a2a_gateway::{
    error::{Error, ErrorKind},
    metrics::Metrics,
    proto::a2a::{Message, Part, Task, TaskState, TaskStatus, TaskStatusUpdateEvent, part, stream_response::Payload},
    store::{
        Append, Commit, Database, Identity, Listener, NewTask, Postgres, PostgresSettings, Receipt, Request, Store,
    },
    task::{Dialect, Event, Events, Health, Secrets, TaskId, Webhook, WebhookId, WebhookState},
};

/// What a store told.
#[derive(Default)]
pub struct Ear {
    stored: Mutex<Vec<Commit>>,
    ordered: Mutex<Vec<Commit>>,
    lost: Mutex<usize>,
}

impl Listener for Ear {
    fn stored(&self, commits: &[Commit]) {
        self.stored.lock().unwrap().extend_from_slice(commits);
    }

    fn ordered(&self, commits: Vec<Commit>) {
        self.ordered.lock().unwrap().extend(commits);
    }

    fn lost(&self) {
        *self.lost.lock().unwrap() += 1;
    }
}

impl Ear {
    /// The process's own commits, as they were told.
    pub fn stored(&self) -> Vec<Commit> {
        self.stored.lock().unwrap().clone()
    }

    /// The commits of all, as they were told.
    pub fn ordered(&self) -> Vec<Commit> {
        self.ordered.lock().unwrap().clone()
    }

    /// How often it was told that others took it for dead.
    pub fn lost(&self) -> usize {
        *self.lost.lock().unwrap()
    }
}

/// Settings of a store in a database.
pub fn settings(url: &str) -> PostgresSettings {
    PostgresSettings::new(Database::parse(url, None).unwrap())
}

/// Opens a store.
pub async fn open(settings: PostgresSettings) -> (Arc<Postgres>, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    let store = Postgres::open(settings, ear.clone(), Arc::new(Metrics::default())).await.unwrap();
    (Arc::new(store), ear)
}

/// What never changes about a task of a caller.
pub fn identity(owner: &str, context: &str) -> Arc<Identity> {
    Arc::new(Identity {
        id: TaskId::mint(),
        owner: owner.into(),
        agent: "a".into(),
        context_id: context.into(),
        dialect: Dialect::V1,
        created: 1000,
        deadline: None,
        output_modes: Vec::new(),
    })
}

/// A new task.
pub fn new_task(identity: &Arc<Identity>) -> NewTask {
    let status = TaskStatus { state: TaskState::Submitted.into(), ..TaskStatus::default() };
    let task = Task { id: identity.id.to_string(), status: Some(status), ..Task::default() };
    let event = Event::new(identity.id, 1, identity.created, TaskState::Submitted, Payload::Task(task));
    NewTask {
        identity: identity.clone(),
        extensions: Vec::new(),
        event: Arc::new(event),
        webhooks: Vec::new(),
        request: None,
    }
}

/// Stores a new task.
pub async fn create(store: &Postgres, owner: &str) -> Arc<Identity> {
    let identity = identity(owner, "c");
    store.create(new_task(&identity)).await.unwrap();
    identity
}

/// An event that says something.
pub fn says(identity: &Identity, sequence: u64, state: TaskState, text: &str) -> Arc<Event> {
    let part = Part { content: Some(part::Content::Text(text.into())), ..Part::default() };
    let message = Message { parts: vec![part], ..Message::default() };
    let status = TaskStatus { state: state.into(), message: Some(message), ..TaskStatus::default() };
    let update = TaskStatusUpdateEvent { status: Some(status), ..TaskStatusUpdateEvent::default() };
    let time = identity.created + i64::try_from(sequence).unwrap();
    Arc::new(Event::new(identity.id, sequence, time, state, Payload::StatusUpdate(update)))
}

/// What an event says.
pub fn said(event: &Event) -> String {
    let Payload::StatusUpdate(update) = event.payload() else { return String::new() };
    let message = update.status.as_ref().and_then(|status| status.message.as_ref());
    message.map(super::support::text).unwrap_or_default()
}

/// An append of one event after a sequence, which leaves the task in a state.
pub fn append(identity: &Arc<Identity>, after: u64, from: TaskState, to: TaskState, text: &str) -> Append {
    Append::new(identity.clone(), after, from, vec![says(identity, after + 1, to, text)])
}

/// One of a task that is worked on.
pub fn more(identity: &Arc<Identity>, after: u64, text: &str) -> Append {
    let from = if after == 1 { TaskState::Submitted } else { TaskState::Working };
    append(identity, after, from, TaskState::Working, text)
}

/// A request id.
pub fn request(id: &str, digest: u8, expires: i64) -> Request {
    Request { id: id.into(), digest: [digest; 32], expires }
}

/// The whole log of a task.
pub async fn log(store: &Postgres, id: TaskId) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    loop {
        let page = store.log(id, events.len() as u64).await.unwrap().unwrap();
        if page.events.is_empty() {
            assert_eq!(page.head, events.len() as u64);
            return events;
        }
        events.extend(page.events);
    }
}

/// The whole feed after a position, read piece by piece, and how far its order is known.
pub async fn feed(store: &Postgres, mut after: u64) -> (Vec<Commit>, u64) {
    let mut commits: Vec<Commit> = Vec::new();
    loop {
        let page = store.feed(after).await.unwrap();
        let Some(last) = page.commits.last() else { return (commits, page.stable) };
        assert!(last.position <= page.stable && page.stable <= page.head);
        after = last.position;
        commits.extend(page.commits);
    }
}

/// How many tasks are in which state, without states that none is in.
pub async fn counted(store: &Postgres) -> Vec<(TaskState, u64)> {
    let counts = store.counts().await.unwrap();
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// A webhook of a task.
pub fn webhook(task: &Identity) -> Webhook {
    let id = WebhookId::mint();
    Webhook {
        id,
        owner: task.owner.clone(),
        agent: task.agent.clone(),
        task: task.id.to_string(),
        name: id.to_string(),
        url: "https://receiver.test/in".into(),
        origin: "https://receiver.test:443".into(),
        payload: Dialect::V1,
        events: Events { status: true, artifacts: true, messages: true },
        secrets: Secrets::default(),
        state: WebhookState::Enabled,
        created: 1000,
        updated: 1000,
        health: Health::default(),
    }
}

/// Waits until something is so.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| panic!("it never was so: {what}"));
}

/// The kind of a refusal.
pub fn kind(result: Result<Receipt, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}
