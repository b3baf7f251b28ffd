//! Submitting: a new task, or a waiting task's next message.
//!
//! The task is on disk before anyone is answered and before its agent hears of it. What the caller then waits for, if
//! it waits, is a watch of the log that began before the commit, so nothing can slip between.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::{
    Caller, Inner,
    hub::Subscription,
    millis, now,
    reply::{Claim, Told},
    roster::AgentEntry,
    run::{Start, Work},
    watch::{Until, Watch},
    webhooks::{self, NewWebhook, Place, StoredWebhook},
};
use crate::{
    error::{Error, ErrorKind, Result},
    proto::{
        a2a::{Message, Role, Task, TaskState, TaskStatus, TaskStatusUpdateEvent, stream_response::Payload},
        well_known::{Struct, Timestamp},
    },
    store::{Append, Identity, NewTask, Receipt, Request, Stored},
    task::{self, Dialect, Event, Record, TaskId, Upstream, cut_history, extensions, state, validate::Violations},
};

/// A message to act on.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The agent's name; empty: the default agent, or the continued task's.
    pub agent: String,
    /// The message. With a task id it continues that task.
    pub message: Message,
    /// Stored as the task's metadata, or merged into it; the agent gets it with the message.
    pub metadata: Option<Struct>,
    /// Media types the caller can take; empty: any.
    pub accepted_output_modes: Vec<String>,
    /// Extensions that the caller asks for, besides those that the message says it uses: their URIs.
    pub extensions: Vec<String>,
    /// How long the task may take; none: the setting.
    pub timeout: Option<Duration>,
    /// Webhooks to store with the task, of scope `Submitted` or `Inline`.
    pub webhooks: Vec<NewWebhook>,
    /// Makes the submit idempotent; empty: not.
    pub request_id: String,
    /// The dialect it came in.
    pub dialect: Dialect,
    /// Whether the caller can take the agent's direct reply instead of a task.
    pub reply: Reply,
}

/// Whether a caller can take the agent's direct reply instead of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is told of the task at once, and sees a direct reply as the completed task's status message.
    Task,
    /// It waits for the outcome and takes a bare message: no task stays behind.
    Message,
}

/// What became of a submit that was waited for.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The task, settled, interrupted, or as it stood when the wait was over.
    Task(Box<Record>),
    /// The agent's direct reply, its context id filled in.
    Message(Box<Message>),
}

/// A stored submit, and a watch of what comes of it.
pub struct Submitted {
    inner: Arc<Inner>,
    record: Record,
    webhooks: Vec<StoredWebhook>,
    replayed: bool,
    /// The direct reply that a replayed submit got the first time.
    replied: Option<Message>,
    subscription: Subscription<Arc<Event>>,
    claim: Option<Told>,
}

pub(super) async fn submit(inner: &Arc<Inner>, caller: &Caller, submit: Submit) -> Result<Submitted> {
    inner.check_open()?;
    validate(&submit)?;
    webhooks::check(inner, &submit.webhooks).await?;
    inner.stock_taken.wait().await;
    inner.check_open()?;
    if submit.message.task_id.is_empty() {
        create(inner, caller, submit).await
    } else {
        resume(inner, caller, submit).await
    }
}

fn validate(submit: &Submit) -> Result<()> {
    let mut violations = Violations::default();
    violations.id("agent", &submit.agent);
    violations.message(&submit.message);
    violations.metadata("metadata", submit.metadata.as_ref());
    violations.output_modes("accepted_output_modes", &submit.accepted_output_modes);
    violations.timeout("timeout", submit.timeout);
    violations.id("request_id", &submit.request_id);
    violations.check()
}

async fn create(inner: &Arc<Inner>, caller: &Caller, submit: Submit) -> Result<Submitted> {
    let entry = inner.roster.find(&submit.agent)?;
    let extensions = negotiate(&entry, &submit)?;
    let now = now();
    let request = request(inner, &submit, &entry.name, now);
    let Submit { mut message, metadata, accepted_output_modes, timeout, webhooks, dialect, reply, .. } = submit;
    let id = TaskId::mint();
    let new_context = message.context_id.is_empty();
    if new_context {
        message.context_id = task::mint();
    }
    message.task_id = id.to_string();
    let identity = Arc::new(Identity {
        id,
        owner: caller.owner.clone(),
        agent: entry.name.clone(),
        context_id: message.context_id.clone(),
        dialect,
        created: now,
        deadline: timeout.or(inner.settings.default_timeout).map(|timeout| now.saturating_add(millis(timeout))),
        output_modes: accepted_output_modes,
    });
    let task = Task {
        id: message.task_id.clone(),
        context_id: message.context_id.clone(),
        status: Some(TaskStatus {
            state: TaskState::Submitted.into(),
            message: None,
            timestamp: Some(Timestamp::from_millis(now)),
        }),
        artifacts: Vec::new(),
        history: vec![message.clone()],
        metadata: metadata.clone(),
    };
    let event = Arc::new(Event::new(id, 1, now, TaskState::Submitted, Payload::Task(task.clone())));
    let subscription = inner.hub.task(id);
    let place = Place::of(&identity);
    let made = webhooks.into_iter().map(|new| webhooks::make(caller, new, &place));
    let stored_webhooks = made.collect::<Result<Vec<_>>>()?;
    let webhooks = stored_webhooks.iter().map(|stored| stored.webhook.clone()).collect();
    let new = NewTask { identity: identity.clone(), extensions: extensions.clone(), event, webhooks, request };
    let receipt = inner.store.create(new).await?;
    if let Receipt::Replayed(first) = receipt {
        return replayed(inner, caller, first).await;
    }
    let stored = Stored {
        identity,
        task,
        sequence: 1,
        state: TaskState::Submitted,
        updated: now,
        floor: 0,
        unfolded: 0,
        dispatched: false,
        upstream: Upstream::default(),
        extensions,
        hidden: false,
        epoch: 1,
    };
    let claim = (reply == Reply::Message).then(|| Claim::new(true));
    let record = stored.clone().into_record();
    let work = Work::Turn { message, metadata, new_context, resumed: false, claim: claim.clone() };
    Start { entry, stored, work }.spawn(inner);
    Ok(Submitted {
        inner: inner.clone(),
        record,
        webhooks: stored_webhooks,
        replayed: false,
        replied: None,
        subscription,
        claim: claim.map(Told::new),
    })
}

/// Continues a task that waits for input.
async fn resume(inner: &Arc<Inner>, caller: &Caller, submit: Submit) -> Result<Submitted> {
    let not_found = || Error::task_not_found(&submit.message.task_id);
    let id = TaskId::parse("message.task_id", &submit.message.task_id)?;
    let subscription = inner.hub.task(id);
    loop {
        let stored = inner.store.task(id).await?;
        let visible = stored.filter(|stored| stored.identity.owner == caller.owner && !stored.hidden);
        let stored = visible.ok_or_else(not_found)?;
        let entry = inner.roster.find(&stored.identity.agent)?;
        let now = now().max(stored.updated);
        let request = request(inner, &submit, &entry.name, now);
        if let Some(request) = &request {
            let used = inner.store.request(caller.owner.clone(), entry.name.clone(), request.id.clone(), now).await?;
            if let Some(used) = used {
                return replayed(inner, caller, used.replay(&request.digest)?).await;
            }
        }
        check_takes_message(&stored, &submit)?;
        let extensions = negotiate(&entry, &submit)?;
        let (message, append) = next_turn(&stored, &submit, now);
        let events = append.events.clone();
        let place = Place::of(&stored.identity);
        let mut stored_webhooks = Vec::with_capacity(submit.webhooks.len());
        for new in submit.webhooks.clone() {
            stored_webhooks.push(webhooks::prepare(inner, caller, new, &place).await?);
        }
        let webhooks = stored_webhooks.iter().map(|stored| stored.webhook.clone()).collect();
        let changed = (extensions != stored.extensions).then(|| extensions.clone());
        let append = Append {
            // Whoever worked on it, this process does from here on.
            epoch: Some(stored.epoch),
            take: true,
            request,
            webhooks,
            dispatched: Some(false),
            extensions: changed,
            ..append
        };
        match inner.store.append(append).await {
            Ok(Receipt::Written) => {}
            Ok(Receipt::Replayed(first)) => return replayed(inner, caller, first).await,
            // Another message or a cancel came first: look again.
            Err(error) if error.kind() == ErrorKind::Conflict => continue,
            Err(error) => return Err(error),
        }
        let stored = Stored { extensions, epoch: stored.epoch + 1, ..with(stored, &events) };
        let record = stored.clone().into_record();
        let claim = (submit.reply == Reply::Message).then(|| Claim::new(false));
        let metadata = submit.metadata.clone();
        let work = Work::Turn { message, metadata, new_context: false, resumed: false, claim: claim.clone() };
        Start { entry, stored, work }.spawn(inner);
        return Ok(Submitted {
            inner: inner.clone(),
            record,
            webhooks: stored_webhooks,
            replayed: false,
            replied: None,
            subscription,
            claim: claim.map(Told::new),
        });
    }
}

/// The extensions that are active for a turn: those that the caller asks for and the agent's card declares. They are no
/// more than asked for as long as the agent has shown no card: it ignores what it does not know.
///
/// # Errors
/// `ExtensionSupportRequired`.
fn negotiate(entry: &AgentEntry, submit: &Submit) -> Result<Vec<String>> {
    let asked = extensions::union(&submit.extensions, &submit.message.extensions);
    if entry.agent.has_shown_card() { extensions::negotiate(&entry.agent.card(), asked) } else { Ok(asked) }
}

/// The task after the events of its next turn.
fn with(mut stored: Stored, events: &[Arc<Event>]) -> Stored {
    for event in events {
        task::apply(&mut stored.task, event);
        stored.sequence = event.sequence;
        stored.state = event.state;
        stored.updated = event.time;
        stored.unfolded += event.bytes().len();
    }
    Stored { dispatched: false, ..stored }
}

fn check_takes_message(stored: &Stored, submit: &Submit) -> Result<()> {
    let identity = &stored.identity;
    let context = &submit.message.context_id;
    if !context.is_empty() && *context != identity.context_id {
        let problem = format!("must be the task's ({}) or empty", identity.context_id);
        return Err(Error::invalid("message.context_id", problem));
    }
    if !submit.agent.is_empty() && *submit.agent != *identity.agent {
        return Err(Error::invalid("agent", format!("must be the task's ({}) or empty", identity.agent)));
    }
    if state::is_interrupted(stored.state) {
        return Ok(());
    }
    let (id, word) = (identity.id, state::word(stored.state));
    let message = if state::is_settled(stored.state) {
        format!("task {id} is {word} and takes no more messages: send one without taskId to start a new task")
    } else {
        format!("task {id} is {word} and takes no message now: wait until it asks for input, or cancel it")
    };
    Err(Error::new(ErrorKind::UnsupportedOperation, message).with("taskId", id).with("state", word))
}

/// The events of the next turn: the status first, so that the agent's question moves to the history before the answer.
fn next_turn(stored: &Stored, submit: &Submit, now: i64) -> (Message, Append) {
    let identity = &stored.identity;
    let message = Message {
        context_id: identity.context_id.clone(),
        task_id: identity.id.to_string(),
        role: Role::User.into(),
        ..submit.message.clone()
    };
    let update = TaskStatusUpdateEvent {
        task_id: message.task_id.clone(),
        context_id: message.context_id.clone(),
        status: Some(TaskStatus {
            state: TaskState::Working.into(),
            message: None,
            timestamp: Some(Timestamp::from_millis(now)),
        }),
        metadata: submit.metadata.clone(),
    };
    let event = |offset: u64, payload| {
        Arc::new(Event::new(identity.id, stored.sequence + offset, now, TaskState::Working, payload))
    };
    let events = vec![event(1, Payload::StatusUpdate(update)), event(2, Payload::Message(message.clone()))];
    (message, Append::new(identity.clone(), stored.sequence, stored.state, events))
}

/// The task of a submit that was made before.
async fn replayed(inner: &Arc<Inner>, caller: &Caller, id: TaskId) -> Result<Submitted> {
    let subscription = inner.hub.task(id);
    let stored = inner.store.task(id).await?.filter(|stored| stored.identity.owner == caller.owner);
    let stored = stored.ok_or_else(|| Error::task_not_found(&id.to_string()))?;
    let replied = stored.hidden.then(|| stored.task.status.as_ref()?.message.clone()).flatten();
    let record = stored.into_record();
    let webhooks = Vec::new();
    Ok(Submitted { inner: inner.clone(), record, webhooks, replayed: true, replied, subscription, claim: None })
}

/// The request id of a submit, with a digest of what it says. Message ids do not count as content: clients mint a new
/// one for each try.
fn request(inner: &Inner, submit: &Submit, agent: &Arc<str>, now: i64) -> Option<Request> {
    let id = if !submit.request_id.is_empty() {
        format!("r:{}", submit.request_id)
    } else if inner.settings.dedupe_message_ids {
        format!("m:{}", submit.message.message_id)
    } else {
        return None;
    };
    let content = Message { message_id: String::new(), ..submit.message.clone() };
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(agent.as_bytes());
    add(&content.encode_to_vec());
    add(&submit.metadata.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default());
    add(submit.accepted_output_modes.join("\n").as_bytes());
    add(&submit.timeout.map_or(-1, millis).to_be_bytes());
    // Only where there are any: digests of earlier releases stay good.
    if !submit.extensions.is_empty() {
        add(submit.extensions.join("\n").as_bytes());
    }
    for field in submit.webhooks.iter().flat_map(NewWebhook::content) {
        add(field.as_bytes());
    }
    Some(Request {
        id,
        digest: digest.finalize().into(),
        expires: now.saturating_add(millis(inner.settings.request_id_ttl)),
    })
}

impl Submitted {
    /// The task as it was stored.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The webhooks that were stored with it, in the order of the request.
    pub fn webhooks(&self) -> &[StoredWebhook] {
        &self.webhooks
    }

    /// Whether the request id had been used and this is the first submit's task.
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    /// Waits until the task settles or is interrupted, at most `wait`; none: without a limit.
    /// `history_length` as in [`super::Engine::get`].
    ///
    /// # Errors
    /// What the agent refused the message with, its task being failed then; `StoreFull` or `Unavailable` when the task's
    /// updates cannot be stored, or the gateway stops.
    pub async fn outcome(self, wait: Option<Duration>, history_length: Option<i32>) -> Result<Outcome> {
        if let Some(message) = self.replied {
            return Ok(Outcome::Message(Box::new(message)));
        }
        let mut watch = Watch::after_record(&self.inner, self.subscription, &self.record, Until::Interrupted).unary();
        let mut record = self.record;
        let deadline = wait.map(|wait| tokio::time::Instant::now() + wait);
        loop {
            let batch = match deadline {
                None => watch.next_batch().await,
                Some(deadline) => match tokio::time::timeout_at(deadline, watch.next_batch()).await {
                    Ok(batch) => batch,
                    Err(_) if self.claim.as_ref().is_none_or(|claim| claim.tell()) => break,
                    // The agent has just said its first word: it is about to come.
                    Err(_) => watch.next_batch().await,
                },
            };
            let Some(events) = batch.transpose()? else { break };
            for event in &events {
                if let (Payload::Message(message), true) = (event.payload(), self.claim.is_some())
                    && message.role() == Role::Agent
                {
                    return Ok(Outcome::Message(Box::new(message.clone())));
                }
                fold(&mut record, event);
            }
        }
        if let Some(refusal) = self.claim.as_ref().and_then(Told::refusal) {
            return Err(refusal.clone());
        }
        cut_history(&mut record.task, history_length);
        Ok(Outcome::Task(Box::new(record)))
    }

    /// Streams what comes of it: a snapshot of the task first and then its events until `until`, or the single
    /// `message` event of a direct reply. Sequences are the log's.
    ///
    /// # Errors
    /// What the agent refused the message with; and as [`Watch::next_batch`].
    pub async fn stream(self, until: Until) -> Result<Watch> {
        let Self { inner, record, replied, subscription, claim, .. } = self;
        if let Some(message) = replied {
            let event =
                Event::new(record.id, record.sequence, record.updated, TaskState::Completed, Payload::Message(message));
            return Ok(Watch::after_record(&inner, subscription, &record, until).with_first(vec![Arc::new(event)]));
        }
        let mut watch = Watch::after_record(&inner, subscription, &record, until);
        let Some(claim) = claim else { return Ok(watch.with_opening(&record)) };
        // Whether a task or a message comes first can only be told once the agent has said something.
        let first = match tokio::time::timeout(inner.settings.direct_reply_wait, watch.next_batch()).await {
            Ok(first) => first,
            Err(_) if claim.tell() => return Ok(watch.with_opening(&record)),
            Err(_) => watch.next_batch().await,
        };
        let events = first.transpose()?.unwrap_or_default();
        if let Some(refusal) = claim.refusal() {
            return Err(refusal.clone());
        }
        let direct = matches!(events.first().map(|event| event.payload()), Some(Payload::Message(message)) if message.role() == Role::Agent);
        Ok(if direct { watch.with_first(events) } else { watch.with_first(events).with_opening(&record) })
    }
}

/// Applies an event to a record.
fn fold(record: &mut Record, event: &Event) {
    task::apply(&mut record.task, event);
    record.sequence = event.sequence;
    record.updated = event.time;
}
