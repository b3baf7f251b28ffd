//! Running one turn of a task: the agent's updates become events, are committed, and only then are seen by anyone.
//!
//! A runner owns its turn from start to end. What is ready is committed together, so a talkative agent costs few
//! commits. It stops when the turn ends, when a cancel or the task's deadline comes, when the gateway stops (the task is
//! taken up again at the next start), or when an append is refused because the log moved on without it.

use std::{
    future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream::CatchUnwind};
use prost::Message as _;
use tokio::sync::Notify;

use super::{
    AgentEntry, Inner, now,
    reply::ReplyClaim,
    settle::{identified, overdue_text, status_update, words},
};
use crate::{
    agent::{AgentError, Recovery, Turn, Update, UpdateStream},
    error::ErrorKind,
    proto::{
        a2a::{Message, Role, TaskArtifactUpdateEvent, TaskState, stream_response::Payload},
        well_known::Struct,
    },
    store::{Append, Stored},
    task::{self, Event, state},
};

/// The most updates of one commit.
const BATCH: usize = 256;
/// How long an agent may take to answer a cancel.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// A snapshot is written in the middle of a turn only when the log since the last one is larger than this, and larger
/// than the task itself: the cost of snapshots stays in proportion to the log.
const SNAPSHOT_BYTES: usize = 256 << 10;

/// How others reach a runner.
#[derive(Debug, Default)]
pub(super) struct Control {
    word: AtomicU8,
    bell: Notify,
    metadata: Mutex<Option<Struct>>,
}

impl Control {
    const GO_ON: u8 = 0;
    const CANCEL: u8 = 1;
    const SUPERSEDED: u8 = 2;

    /// Asks the runner to cancel the task.
    pub fn cancel(&self, metadata: Option<Struct>) {
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = metadata;
        self.tell(Self::CANCEL);
    }

    /// Tells the runner that another turn of the task has begun.
    fn supersede(&self) {
        self.tell(Self::SUPERSEDED);
    }

    fn tell(&self, word: u8) {
        self.word.fetch_max(word, Ordering::AcqRel);
        self.bell.notify_one();
    }

    fn heard(&self) -> Option<Interruption> {
        match self.word.load(Ordering::Acquire) {
            Self::GO_ON => None,
            Self::CANCEL => Some(Interruption::Canceled),
            _ => Some(Interruption::Stopped),
        }
    }
}

/// A turn about to run.
pub(super) struct Start {
    pub entry: Arc<AgentEntry>,
    pub stored: Stored,
    /// The message to act on.
    pub message: Message,
    /// Whether it was under way before a restart.
    pub resumed: bool,
    /// Who gets a direct reply; none: the caller holds a task.
    pub claim: Option<Arc<ReplyClaim>>,
}

impl Start {
    /// Runs the turn in the background.
    pub fn spawn(self, inner: &Arc<Inner>) {
        let control = Arc::new(Control::default());
        let id = self.stored.identity.id;
        let runner = Runner {
            inner: inner.clone(),
            entry: self.entry,
            committed: (self.stored.sequence, self.stored.state),
            start: self.stored.sequence,
            log: self.stored,
            snapshot_size: 0,
            claim: self.claim,
            told: false,
            control: control.clone(),
        };
        let before = inner.runners().insert(id, control.clone());
        if let Some(before) = before {
            before.supersede();
        }
        let (message, resumed, inner) = (self.message, self.resumed, inner.clone());
        let tasks = inner.tasks.clone();
        tasks.spawn(async move {
            runner.run(message, resumed).await;
            let mut runners = inner.runners();
            if runners.get(&id).is_some_and(|known| Arc::ptr_eq(known, &control)) {
                runners.remove(&id);
            }
        });
    }
}

struct Runner {
    inner: Arc<Inner>,
    entry: Arc<AgentEntry>,
    /// The task, folded as far as this runner knows; ahead of the log while a batch is being committed.
    log: Stored,
    /// The end of the log, and the state there.
    committed: (u64, TaskState),
    /// The sequence at which the turn began.
    start: u64,
    /// Bytes of the last snapshot that this runner wrote.
    snapshot_size: usize,
    claim: Option<Arc<ReplyClaim>>,
    /// Whether the agent has heard of the turn.
    told: bool,
    control: Arc<Control>,
}

/// The runner must not go on: the log moved on without it, or the gateway stops. Nothing needs doing: the log is whole.
struct Stop;

/// What ends a turn from outside.
enum Interruption {
    Canceled,
    Overdue,
    Stopped,
}

type Updates = CatchUnwind<AssertUnwindSafe<UpdateStream>>;

impl Runner {
    async fn run(mut self, message: Message, resumed: bool) {
        let permits = self.inner.permits.clone();
        let permit = match permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match self.wait(permits.acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return,
                Err(interruption) => return drop(self.interrupted(interruption).await),
            },
        };
        let running = Running::new(&self.inner, &self.entry);
        let _ = self.turn(message, resumed).await;
        drop((running, permit));
    }

    async fn turn(&mut self, message: Message, resumed: bool) -> Result<(), Stop> {
        if self.entry.agent.recovery() != Recovery::Continue && !self.log.dispatched {
            self.commit(Vec::new(), false).await?;
            self.log.dispatched = true;
        }
        let turn = Turn {
            task: self.log.task.clone(),
            message,
            accepted_output_modes: self.log.identity.output_modes.clone(),
            resumed,
            metadata: self.log.task.metadata.clone(),
            upstream: task::Upstream::default(),
            queued: tokio::time::Instant::now(),
        };
        self.told = true;
        let mut updates = AssertUnwindSafe(self.entry.agent.run(turn)).catch_unwind();
        loop {
            let first = match self.next(&mut updates).await {
                Ok(first) => first,
                Err(interruption) => {
                    drop(updates);
                    return self.interrupted(interruption).await;
                }
            };
            let mut batch = Vec::new();
            let ended = self.gather(first, &mut updates, &mut batch);
            let direct = matches!(batch.last().map(|event| event.payload()), Some(Payload::Message(_)));
            if !batch.is_empty() {
                self.commit(batch, direct).await?;
            }
            if ended {
                if !direct {
                    self.keep();
                }
                return Ok(());
            }
        }
    }

    /// The next update, or what ends the turn from outside.
    async fn next(&self, updates: &mut Updates) -> Result<Option<Result<Update, AgentError>>, Interruption> {
        // An update that is there needs no waiting, which costs more than most updates do.
        let interruption = self.interruption();
        match interruption.map_or_else(|| Ok(next(updates).now_or_never()), Err)? {
            Some(ready) => Ok(ready),
            None => self.wait(next(updates)).await,
        }
    }

    fn interruption(&self) -> Option<Interruption> {
        if self.inner.stopping.is_cancelled() {
            return Some(Interruption::Stopped);
        }
        let overdue = self.log.identity.deadline.is_some_and(|deadline| deadline <= now());
        self.control.heard().or_else(|| overdue.then_some(Interruption::Overdue))
    }

    /// Waits for something, or for what ends a turn from outside.
    async fn wait<T>(&self, awaited: impl Future<Output = T>) -> Result<T, Interruption> {
        let overdue = async {
            match self.log.identity.deadline {
                None => future::pending().await,
                Some(deadline) => {
                    let left = u64::try_from(deadline - now()).unwrap_or(0);
                    tokio::time::sleep(Duration::from_millis(left)).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.inner.stopping.cancelled() => Err(Interruption::Stopped),
            () = self.control.bell.notified() => Err(self.control.heard().unwrap_or(Interruption::Stopped)),
            value = awaited => Ok(value),
            () = overdue => Err(Interruption::Overdue),
        }
    }

    /// Turns an update, and all that are ready behind it, into events. True: the turn is over.
    fn gather(
        &mut self,
        first: Option<Result<Update, AgentError>>,
        updates: &mut Updates,
        batch: &mut Vec<Arc<Event>>,
    ) -> bool {
        let mut update = first;
        loop {
            match update {
                Some(Ok(update)) => self.absorb(update, batch),
                Some(Err(error)) => {
                    tracing::warn!(task = %self.log.identity.id, agent = %self.entry.name, %error, "the agent failed");
                    self.say(TaskState::Failed, Some(&error.to_string()), batch);
                }
                // AUTH_REQUIRED may be the agent's last word: the caller's next message continues the task.
                None if state::is_interrupted(self.log.state) => return true,
                None => {
                    let problem = "The agent ended its answer without finishing the task.";
                    self.say(TaskState::Failed, Some(problem), batch);
                }
            }
            if state::is_settled(self.log.state) || self.log.state == TaskState::InputRequired {
                return true;
            }
            if batch.len() >= BATCH {
                return false;
            }
            match next(updates).now_or_never() {
                Some(more) => update = more,
                None => return false,
            }
        }
    }

    /// Turns an update into an event, unless it may not follow what is there.
    fn absorb(&mut self, update: Update, batch: &mut Vec<Arc<Event>>) {
        match update {
            // Says nothing new: such heartbeats would only fill the log.
            Update::Status { state, message: None, metadata: None } if state == self.log.state => {}
            Update::Status { state, message, metadata } => {
                if !state::may_follow(self.log.state, state) {
                    let (id, from) = (self.log.identity.id, self.log.state);
                    tracing::warn!(task = %id, agent = %self.entry.name, ?from, to = ?state, "a status that cannot follow was dropped");
                    return;
                }
                self.status(state, message, metadata, batch);
            }
            Update::Artifact { mut artifact, append, last_chunk, metadata } => {
                if self.log.state == TaskState::Submitted {
                    self.say(TaskState::Working, None, batch);
                }
                if artifact.artifact_id.is_empty() {
                    artifact.artifact_id = task::mint();
                }
                let update = TaskArtifactUpdateEvent {
                    task_id: self.log.task.id.clone(),
                    context_id: self.log.task.context_id.clone(),
                    artifact: Some(artifact),
                    append,
                    last_chunk,
                    metadata,
                };
                self.push(self.log.state, Payload::ArtifactUpdate(update), batch);
            }
            Update::Reply(message) => self.reply(message, batch),
            Update::Sending | Update::NotSent | Update::Known(_) => {}
        }
    }

    /// A direct reply: a bare message for a caller who knows of no task yet, else the completed task's message.
    fn reply(&mut self, message: Message, batch: &mut Vec<Arc<Event>>) {
        let first = self.log.sequence == self.start && batch.is_empty();
        if first && self.claim.as_ref().is_some_and(|claim| claim.reply()) {
            let context_id = self.log.task.context_id.clone();
            let message =
                Message { role: Role::Agent.into(), context_id, task_id: String::new(), ..identified(message) };
            self.push(TaskState::Completed, Payload::Message(message), batch);
        } else {
            self.status(TaskState::Completed, Some(message), None, batch);
        }
    }

    /// A status with a text of the gateway's own.
    fn say(&mut self, state: TaskState, text: Option<&str>, batch: &mut Vec<Arc<Event>>) {
        self.status(state, text.map(words), None, batch);
    }

    fn status(
        &mut self,
        state: TaskState,
        message: Option<Message>,
        metadata: Option<Struct>,
        batch: &mut Vec<Arc<Event>>,
    ) {
        let payload = status_update(&self.log, state, message, metadata, self.time());
        self.push(state, payload, batch);
    }

    fn push(&mut self, state: TaskState, payload: Payload, batch: &mut Vec<Arc<Event>>) {
        let time = self.time();
        let artifact = matches!(payload, Payload::ArtifactUpdate(_));
        let event = Event::new(self.log.identity.id, self.log.sequence + 1, time, state, payload);
        task::apply(&mut self.log.task, &event);
        self.log.sequence = event.sequence;
        self.log.state = state;
        self.log.unfolded += event.bytes().len();
        if !artifact {
            self.log.updated = time;
        }
        batch.push(Arc::new(event));
    }

    /// Now; never before the task's last update, whatever the clock does.
    fn time(&self) -> i64 {
        now().max(self.log.updated)
    }

    /// Commits a batch that is already folded in (an empty one marks the turn as handed to its agent), with a snapshot
    /// and a trim when they are due. As long as the store has no room or cannot be reached, it waits and tries again, and
    /// says so to those who watch.
    async fn commit(&mut self, batch: Vec<Arc<Event>>, hide: bool) -> Result<(), Stop> {
        let (after, from) = self.committed;
        let id = self.log.identity.id;
        let (snapshot, trim_to) = self.snapshot(&batch);
        let dispatched = batch.is_empty().then_some(true);
        let mut pause = Duration::from_millis(250);
        loop {
            let append = Append::new(self.log.identity.clone(), after, from, batch.clone());
            let append = Append { snapshot: snapshot.clone(), trim_to, hide, dispatched, ..append };
            let error = match self.inner.store.append(append).await {
                Ok(_) => break,
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Conflict {
                tracing::debug!(task = %id, "the log moved on: the turn stops");
                return Err(Stop);
            }
            tracing::error!(task = %id, %error, "an update cannot be stored yet");
            self.inner.hub.stall(id, &error);
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(30)),
                () = self.inner.stopping.cancelled() => return Err(Stop),
            }
        }
        self.committed = (self.log.sequence, self.log.state);
        Ok(())
    }

    /// The snapshot to write with a batch, and the sequence up to which the log may then be trimmed.
    fn snapshot(&mut self, batch: &[Arc<Event>]) -> (Option<Bytes>, Option<u64>) {
        let Some(last) = batch.last() else { return (None, None) };
        let due = state::is_settled(last.state)
            || state::is_interrupted(last.state)
            || self.log.unfolded > SNAPSHOT_BYTES.max(self.snapshot_size);
        let keep = self.inner.settings.events_per_task;
        // A tenth beyond the limit, so that trims are rare.
        let trim = keep > 0 && self.log.sequence - self.log.floor > keep + keep / 10;
        if !due && !trim {
            return (None, None);
        }
        let snapshot = self.log.task.encode_to_vec();
        self.snapshot_size = snapshot.len();
        self.log.unfolded = 0;
        if trim {
            self.log.floor = self.log.sequence - keep;
        }
        (Some(snapshot.into()), trim.then_some(self.log.floor))
    }

    /// Ends the turn from outside.
    async fn interrupted(&mut self, interruption: Interruption) -> Result<(), Stop> {
        let (state, text) = match interruption {
            Interruption::Stopped => return Err(Stop),
            Interruption::Canceled => (TaskState::Canceled, None),
            Interruption::Overdue => (TaskState::Failed, Some(overdue_text(&self.log))),
        };
        if self.told {
            self.tell_agent().await;
        }
        let mut batch = Vec::new();
        self.say(state, text.as_deref(), &mut batch);
        self.commit(batch, false).await?;
        self.keep();
        Ok(())
    }

    /// Keeps the task in memory for readers, now that the turn is over, if nothing can follow.
    fn keep(&mut self) {
        if state::is_settled(self.log.state) {
            let task = std::mem::take(&mut self.log.task);
            let record = Stored { task, ..self.log.clone() }.into_record();
            self.inner.keep(self.log.identity.owner.clone(), record);
        }
    }

    /// Asks the agent to stop its work; the task settles whatever it answers.
    async fn tell_agent(&self) {
        let metadata = self.control.metadata.lock().unwrap_or_else(PoisonError::into_inner).take();
        let cancel =
            crate::agent::Cancel { task: self.log.task.clone(), upstream: task::Upstream::default(), metadata };
        let answer = self.entry.agent.cancel(cancel);
        let problem = match tokio::time::timeout(CANCEL_PATIENCE, answer).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(task = %self.log.identity.id, agent = %self.entry.name, problem, "the agent did not cancel");
    }
}

/// The next update; a panic of the agent's is an error of the agent's.
async fn next(updates: &mut Updates) -> Option<Result<Update, AgentError>> {
    match updates.next().await? {
        Ok(update) => Some(update),
        Err(_) => Some(Err(AgentError::failed("The agent stopped unexpectedly."))),
    }
}

/// Counts a running turn.
struct Running {
    inner: Arc<Inner>,
    entry: Arc<AgentEntry>,
}

impl Running {
    fn new(inner: &Arc<Inner>, entry: &Arc<AgentEntry>) -> Self {
        inner.metrics.running.inc();
        entry.running.fetch_add(1, Ordering::Relaxed);
        Self { inner: inner.clone(), entry: entry.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.metrics.running.dec();
        self.entry.running.fetch_sub(1, Ordering::Relaxed);
    }
}
