//! Running one turn of a task: the agent's updates become events, are committed, and only then are seen by anyone.
//!
//! A runner owns its turn from start to end. What is ready is committed together, so a talkative agent costs few
//! commits. It stops when the turn ends, when a cancel or the task's deadline comes, when the gateway stops (the task is
//! taken up again at the next start), or when an append is refused because the log moved on without it.
//!
//! `absorb` turns updates into events, `commit` writes them. A runner that has to wait for a place keeps nothing of its task
//! in memory, so that a long queue costs little.

use std::{future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::CatchUnwind};
use prost::Message as _;
use tokio::time::Instant;

use super::{
    Inner,
    commit::{Batch, Stop},
    now,
    reply::Claim,
    roster::{AgentEntry, Place},
    runners::Control,
    settle::overdue_text,
    translate::{self, Names},
};
use crate::{
    agent::{AgentError, Cancel, Turn, Update, UpdateStream},
    error::Result,
    proto::{
        a2a::{Message, Role, Task, TaskState},
        well_known::Struct,
    },
    store::Stored,
    task::state,
};

/// How long an agent may take to answer a cancel.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);

/// Work on a task, about to begin.
pub(super) struct Start {
    pub entry: Arc<AgentEntry>,
    pub stored: Stored,
    pub work: Work,
}

/// What is to be done on a task.
pub(super) enum Work {
    /// Let its agent act on a message.
    Turn {
        message: Message,
        /// What the caller sent beside it.
        metadata: Option<Struct>,
        /// Whether no earlier task can have been of its conversation.
        new_context: bool,
        /// Whether it was under way before a restart.
        resumed: bool,
        /// Of a caller that waits.
        claim: Option<Arc<Claim>>,
    },
    /// End it, and tell its agent.
    End(Ending, Option<Struct>),
}

/// Why a task ends without its agent's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Canceled,
    Overdue,
}

impl Start {
    /// Does the work in the background. A turn takes over from one before; an end is left to the runner that there is.
    pub fn spawn(self, inner: &Arc<Inner>) {
        let control = Arc::new(Control::new(self.stored.epoch));
        let id = self.stored.identity.id;
        let mut runners = inner.runners.lock();
        if let Work::End(ending, metadata) = &self.work {
            if let Some(running) = runners.get(&id) {
                // Its deadline it knows itself.
                if *ending == Ending::Canceled {
                    running.cancel(metadata.clone());
                }
                return;
            }
            if *ending == Ending::Canceled {
                // So that a turn which takes over hears of it.
                control.cancel(metadata.clone());
            }
        }
        let before = runners.insert(id, control.clone());
        drop(runners);
        if let Some(before) = before {
            before.supersede(&control);
        }
        let runner = Runner {
            inner: inner.clone(),
            entry: self.entry,
            committed: (self.stored.sequence, self.stored.state),
            start: self.stored.sequence,
            known: !self.stored.upstream.task_id.is_empty(),
            size: 0,
            snapshot_size: 0,
            told: false,
            claim: None,
            names: Names::default(),
            context: String::new(),
            place: None,
            log: self.stored,
            control: control.clone(),
        };
        let running = runner.begin(self.work);
        let inner = inner.clone();
        let tasks = inner.tasks.clone();
        tasks.spawn(async move {
            running.await;
            let mut runners = inner.runners.lock();
            if runners.get(&id).is_some_and(|known| Arc::ptr_eq(known, &control)) {
                runners.remove(&id);
            }
        });
    }
}

pub(super) struct Runner {
    pub inner: Arc<Inner>,
    pub entry: Arc<AgentEntry>,
    /// The task, folded as far as this runner knows; ahead of the log while a batch is being committed.
    pub log: Stored,
    /// The end of the log, and the state there.
    pub committed: (u64, TaskState),
    /// The sequence at which the turn began.
    pub start: u64,
    /// Whether the agent knew the task before the turn.
    pub known: bool,
    /// Bytes of events since the turn began, and of the task before.
    pub size: usize,
    /// Bytes of the last snapshot that this runner wrote.
    pub snapshot_size: usize,
    pub claim: Option<Arc<Claim>>,
    pub names: Names,
    /// The context id that the agent was told.
    pub context: String,
    /// The right to run. Given back while the task waits for an authorization, which may take for ever.
    place: Option<Place>,
    /// Whether the agent has heard of the turn.
    told: bool,
    control: Arc<Control>,
}

/// What ends a turn from outside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interruption {
    Ended(Ending),
    /// The gateway stops, or another runner has taken over, here or in another process.
    Stopped,
}

/// What follows a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The turn goes on.
    More,
    /// The turn goes on, and nothing more is ready.
    Dry,
    /// The turn is over.
    Ended,
    /// The turn is over here, but the agent does not know.
    Broken,
}

pub(super) type Updates = CatchUnwind<AssertUnwindSafe<UpdateStream>>;

/// What an agent is given for a turn.
struct Given {
    message: Message,
    metadata: Option<Struct>,
    new_context: bool,
    resumed: bool,
    queued: Instant,
}

impl Runner {
    /// What a runner does. A turn is in line for a place from here on, whenever the future is first polled.
    fn begin(self, work: Work) -> BoxFuture<'static, ()> {
        let (given, claim) = match work {
            Work::End(ending, metadata) => return self.end_idle(ending, metadata).boxed(),
            Work::Turn { message, metadata, new_context, resumed, claim } => {
                (Given { message, metadata, new_context, resumed, queued: Instant::now() }, claim)
            }
        };
        let runner = Self { claim, ..self };
        match runner.entry.try_place() {
            Some(place) => runner.run(given, place).boxed(),
            None => {
                let place = runner.entry.place();
                runner.queue(given, place).boxed()
            }
        }
    }

    async fn run(mut self, given: Given, place: Place) {
        self.place = Some(place);
        let _ = self.turn(given).await;
    }

    /// Waits for a place without the task, and then runs the turn.
    async fn queue(mut self, given: Given, place: BoxFuture<'static, Option<Place>>) {
        let Given { message, metadata, new_context, resumed, .. } = given;
        drop(message);
        self.log.task = Task::default();
        let place = match self.wait(place).await {
            Ok(Some(place)) => place,
            Ok(None) | Err(Interruption::Stopped) => return,
            Err(interruption) => {
                if self.reload().await.is_ok() {
                    self.told = self.log.dispatched || self.known;
                    let _ = self.interrupted(interruption).await;
                }
                return;
            }
        };
        if self.reload().await.is_err() {
            return;
        }
        let message = self.log.task.history.iter().rev().find(|message| message.role() == Role::User);
        let Some(message) = message.cloned() else { return };
        let queued = Instant::now();
        Box::pin(self.run(Given { message, metadata, new_context, resumed, queued }, place)).await;
    }

    /// Reads the task again. An error: the log has moved on.
    async fn reload(&mut self) -> Result<(), Stop> {
        let id = self.log.identity.id;
        let inner = self.inner.clone();
        let stored = self.patiently(|| inner.store.task(id)).await?;
        let same = stored.filter(|stored| stored.sequence == self.log.sequence);
        // Its own epoch stays: under another's it must not write.
        self.log = Stored { epoch: self.log.epoch, ..same.ok_or(Stop)? };
        Ok(())
    }

    /// Asks the store until it answers.
    async fn patiently<'a, T>(&self, ask: impl Fn() -> BoxFuture<'a, Result<T>> + Send) -> Result<T, Stop> {
        let mut pause = Duration::from_millis(250);
        loop {
            let error = match ask().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            tracing::error!(task = %self.log.identity.id, %error, "the store cannot be read yet");
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(30)),
                () = self.inner.stopping.cancelled() => return Err(Stop),
            }
        }
    }

    async fn turn(&mut self, given: Given) -> Result<(), Stop> {
        self.size = self.log.task.encoded_len();
        self.give_place_back();
        let turn = self.prepare(given).await?;
        self.told = true;
        let mut updates = AssertUnwindSafe(self.entry.agent.run(turn)).catch_unwind();
        let mut held = None;
        loop {
            let first = match held.take() {
                Some(update) => Some(Ok(update)),
                None => match self.next(&mut updates).await {
                    Ok(first) => first,
                    Err(interruption) => {
                        drop(updates);
                        return self.interrupted(interruption).await;
                    }
                },
            };
            if let Some(Ok(update)) = &first
                && self.names.lacks(update)
            {
                self.look_up(update).await?;
            }
            let mut batch = Batch::default();
            let mut next = self.gather(first, &mut updates, &mut batch, &mut held);
            while next == Next::Dry && !batch.is_empty() {
                // What came over the network together is handed over by another task piece by piece: it gets its turn,
                // which costs far less than a commit for each piece.
                tokio::task::yield_now().await;
                match self::next(&mut updates).now_or_never() {
                    Some(more) => next = self.gather(more, &mut updates, &mut batch, &mut held),
                    None => break,
                }
            }
            let direct = batch.is_direct_reply();
            self.commit(batch).await?;
            self.give_place_back();
            match next {
                Next::More | Next::Dry => {}
                Next::Ended => {
                    if !direct {
                        self.keep();
                    }
                    return Ok(());
                }
                Next::Broken => {
                    drop(updates);
                    let _ = self.tell_agent(None).await;
                    self.keep();
                    return Ok(());
                }
            }
        }
    }

    fn give_place_back(&mut self) {
        if self.log.state == TaskState::AuthRequired {
            self.place = None;
        }
    }

    async fn prepare(&mut self, given: Given) -> Result<Turn, Stop> {
        let Given { message, metadata, new_context, resumed, queued } = given;
        let (inner, log) = (&self.inner, &self.log);
        let upstream = self.patiently(|| translate::upstream(inner, log, new_context).boxed()).await?;
        let references = self.patiently(|| translate::references(inner, log, &message).boxed()).await?;
        let message = self.names.outbound(message, references);
        self.names.know(&upstream.task_id, self.log.identity.id);
        self.context.clone_from(&upstream.context_id);
        Ok(Turn {
            task: self.log.task.clone(),
            message,
            metadata,
            accepted_output_modes: self.log.identity.output_modes.clone(),
            extensions: self.log.extensions.clone(),
            upstream,
            resumed,
            queued,
        })
    }

    /// Looks up the tasks that an update refers to.
    async fn look_up(&mut self, update: &Update) -> Result<(), Stop> {
        let (inner, log) = (&self.inner, &self.log);
        for id in self.names.lacking(update) {
            let task = self.patiently(|| translate::linked(inner, log, &id).boxed()).await?;
            self.names.note(id, task);
        }
        Ok(())
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
        self.control.heard().or_else(|| overdue.then_some(Interruption::Ended(Ending::Overdue)))
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
            () = overdue => Err(Interruption::Ended(Ending::Overdue)),
        }
    }

    /// Ends a task that no turn of this process works on.
    async fn end_idle(mut self, ending: Ending, metadata: Option<Struct>) {
        self.told = self.log.dispatched || self.known;
        self.context = translate::context_for(&self.log.identity);
        // Somebody else may have ended it before this runner was known.
        if self.reload().await.is_err() {
            return;
        }
        let _ = self.end(ending, metadata).await;
    }

    /// Ends the turn from outside.
    async fn interrupted(&mut self, interruption: Interruption) -> Result<(), Stop> {
        match interruption {
            Interruption::Stopped => Err(Stop),
            Interruption::Ended(ending) => {
                let metadata = self.control.metadata();
                self.end(ending, metadata).await
            }
        }
    }

    /// Tells the agent and ends the task: as the agent says if it has settled it, else as it must end.
    async fn end(&mut self, ending: Ending, metadata: Option<Struct>) -> Result<(), Stop> {
        let answer = if self.told { self.tell_agent(metadata).await } else { Ok(Vec::new()) };
        let mut batch = Batch::default();
        match (ending, answer) {
            (Ending::Overdue, _) => {
                let text = overdue_text(&self.log);
                self.say(TaskState::Failed, Some(&text), &mut batch);
            }
            (Ending::Canceled, Ok(updates)) => {
                for update in updates {
                    if state::is_settled(self.log.state) {
                        break;
                    }
                    self.absorb(update, &mut batch);
                }
                if !state::is_settled(self.log.state) {
                    self.say(TaskState::Canceled, None, &mut batch);
                }
            }
            (Ending::Canceled, Err(problem)) => {
                let text = format!("Canceled here, but the agent may still be working on it: {problem}");
                self.say(TaskState::Canceled, Some(&text), &mut batch);
            }
        }
        self.commit(batch).await?;
        self.keep();
        Ok(())
    }

    /// Asks the agent to stop its work; what it answered, or why it did not.
    async fn tell_agent(&self, metadata: Option<Struct>) -> Result<Vec<Update>, String> {
        let mut upstream = self.log.upstream.clone();
        if upstream.context_id.is_empty() {
            upstream.context_id.clone_from(&self.context);
        }
        let extensions = self.log.extensions.clone();
        let cancel = Cancel { task: self.log.task.clone(), upstream, sent: self.log.dispatched, metadata, extensions };
        let problem = match tokio::time::timeout(CANCEL_PATIENCE, self.entry.agent.cancel(cancel)).await {
            Ok(Ok(updates)) => return Ok(updates),
            Ok(Err(error)) => error.text,
            Err(_) => format!("it did not answer within {CANCEL_PATIENCE:?}"),
        };
        tracing::warn!(task = %self.log.identity.id, agent = %self.entry.name, problem, "the agent did not cancel");
        Err(problem)
    }
}

/// The next update; a panic of the agent's is an error of the agent's.
pub(super) async fn next(updates: &mut Updates) -> Option<Result<Update, AgentError>> {
    match updates.next().await? {
        Ok(update) => Some(update),
        Err(_) => Some(Err(AgentError::failed("The agent stopped unexpectedly."))),
    }
}
