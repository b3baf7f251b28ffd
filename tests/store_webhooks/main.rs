//! Webhooks and their deliveries in the store, as the engine and dispatchers use it. Times are the tests' own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../database/mod.rs"]
mod database;

mod arrivals;
mod circuits;
mod clock;
mod configs;
mod contents;
mod events;
mod random;
mod redelivery;
mod retention;
mod rig;
mod rounds;
mod secrets;
mod shared;
mod silent;

use std::{
    sync::{
        Arc, Mutex,
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
        Listener, NewTask, Receipt, Request, Round, Verdict, WebhookChange,
    },
    task::{Dialect, Event, Events, Health, Secrets, TaskId, Webhook, WebhookId, WebhookState},
};

use futures::future::BoxFuture;
use tokio::sync::Notify;

use rig::{Kind, Options, Rig, contract};

/// Counts how often the store said that something became due.
#[derive(Default)]
struct Ear {
    count: AtomicUsize,
    bell: Notify,
    /// Webhooks whose attempts were to end.
    stopped: Mutex<Vec<WebhookId>>,
}

impl Ear {
    /// How often since this was asked last.
    fn heard(&self) -> usize {
        self.count.swap(0, Ordering::SeqCst)
    }

    /// Resolves once it did since that was asked last.
    async fn told(&self) {
        while self.heard() == 0 {
            self.bell.notified().await;
        }
    }
}

impl Listener for Ear {
    fn stored(&self, _: &[Commit]) {}

    fn ordered(&self, _: Vec<Commit>) {}

    fn due(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.bell.notify_one();
    }

    fn stop(&self, webhook: WebhookId) -> BoxFuture<'static, ()> {
        self.stopped.lock().unwrap().push(webhook);
        Box::pin(std::future::ready(()))
    }
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
