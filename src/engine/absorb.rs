//! Turning an agent's updates into a task's events.
//!
//! Agents are not trusted to keep the rules: what may not follow is dropped, what is said twice is said once, what
//! cannot be stored fails the task with a message that helps.

use std::sync::Arc;

use futures::FutureExt as _;

use super::{
    commit::Batch,
    now,
    run::{Next, Runner, Updates, next},
    settle::{identified, status_update, words},
    translate::context_for,
};
use crate::{
    agent::{AgentError, Update},
    error::{Error, ErrorKind},
    proto::{
        a2a::{Artifact, Message, Role, TaskArtifactUpdateEvent, TaskState, stream_response::Payload},
        well_known::Struct,
    },
    task::{self, Event, Upstream, state, validate},
};

/// The most updates of one commit, and the most bytes, give or take the last one.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

impl Runner {
    /// Turns an update, and all that are ready behind it, into events. An update that needs something looked up first
    /// is put into `held`.
    pub(super) fn gather(
        &mut self,
        first: Option<Result<Update, AgentError>>,
        updates: &mut Updates,
        batch: &mut Batch,
        held: &mut Option<Update>,
    ) -> Next {
        let mut update = first;
        loop {
            match update {
                Some(Ok(Update::Sending)) => {
                    batch.mark_dispatched(&mut self.log, true);
                    return Next::More;
                }
                Some(Ok(update)) if self.names.lacks(&update) => {
                    *held = Some(update);
                    return Next::More;
                }
                Some(Ok(update)) => self.absorb(update, batch),
                Some(Err(error)) => self.fail(error, batch),
                // AUTH_REQUIRED may be the agent's last word: the caller's next message continues the task.
                None if state::is_interrupted(self.log.state) => return Next::Ended,
                None => {
                    let problem = "The agent ended its answer without finishing the task.";
                    self.say(TaskState::Failed, Some(problem), batch);
                }
            }
            if batch.broken {
                return Next::Broken;
            }
            if state::is_settled(self.log.state) || self.log.state == TaskState::InputRequired {
                return Next::Ended;
            }
            if batch.events.len() >= BATCH || batch.bytes >= BATCH_BYTES {
                return Next::More;
            }
            match next(updates).now_or_never() {
                Some(more) => update = more,
                None => return Next::Dry,
            }
        }
    }

    /// Turns an update into an event, unless it may not follow what is there.
    pub(super) fn absorb(&mut self, update: Update, batch: &mut Batch) {
        if let Err(problem) = check(&update) {
            let text = format!("The agent's answer cannot be used: {problem}.");
            tracing::warn!(task = %self.log.identity.id, agent = %self.entry.name, %problem, "the agent's answer cannot be used");
            self.say(TaskState::Failed, Some(&text), batch);
            batch.broken = true;
            return;
        }
        match update {
            Update::Sending => batch.mark_dispatched(&mut self.log, true),
            Update::NotSent => batch.mark_dispatched(&mut self.log, false),
            Update::Known(upstream) => self.know(upstream, batch),
            Update::Status { state, message, metadata } => self.report(state, message, metadata, batch),
            Update::Artifact { artifact, append, last_chunk, metadata } => {
                self.artifact(artifact, append, last_chunk, metadata, batch);
            }
            Update::Reply(message) => self.reply(message, batch),
        }
    }

    fn know(&mut self, upstream: Upstream, batch: &mut Batch) {
        if upstream != self.log.upstream {
            self.names.know(&upstream.task_id, self.log.identity.id);
            // Noted again for each task of the conversation, so that it is remembered as long as the newest of them.
            let unlike = |known: &str| upstream.context_id != known;
            batch.note_context =
                !upstream.context_id.is_empty() && (unlike(&self.context) || unlike(&context_for(&self.log.identity)));
            batch.upstream = Some(upstream.clone());
            self.log.upstream = upstream;
        }
    }

    fn report(&mut self, state: TaskState, message: Option<Message>, metadata: Option<Struct>, batch: &mut Batch) {
        let from = self.log.state;
        // Says nothing new: such heartbeats would only fill the log.
        if state == from && metadata.is_none() && message.as_ref().is_none_or(|message| self.was_last_said(message)) {
            return;
        }
        if !state::may_follow(from, state) {
            let (task, agent) = (self.log.identity.id, &self.entry.name);
            tracing::warn!(%task, %agent, ?from, to = ?state, "a status that cannot follow was dropped");
            return;
        }
        self.status(state, message, metadata, batch);
    }

    /// Whether the task's status has this very message.
    fn was_last_said(&self, message: &Message) -> bool {
        let said = self.log.task.status.as_ref().and_then(|status| status.message.as_ref());
        said.is_some_and(|said| {
            !message.message_id.is_empty() && said.message_id == message.message_id && said.parts == message.parts
        })
    }

    fn artifact(
        &mut self,
        mut artifact: Artifact,
        append: bool,
        last_chunk: bool,
        metadata: Option<Struct>,
        batch: &mut Batch,
    ) {
        if self.log.state == TaskState::Submitted {
            self.say(TaskState::Working, None, batch);
        }
        if artifact.artifact_id.is_empty() {
            artifact.artifact_id = task::mint();
        }
        artifact.parts.retain(|part| part.content.is_some());
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

    /// A direct reply: a bare message for a caller who knows of no task yet, else the completed task's message.
    fn reply(&mut self, message: Message, batch: &mut Batch) {
        if self.is_first_word(batch) && self.claim.as_ref().is_some_and(|claim| claim.reply()) {
            let message = self.names.inbound(identified(message));
            let context_id = self.log.task.context_id.clone();
            let message = Message { role: Role::Agent.into(), context_id, task_id: String::new(), ..message };
            self.push(TaskState::Completed, Payload::Message(message), batch);
        } else {
            self.status(TaskState::Completed, Some(message), None, batch);
        }
    }

    /// The agent failed, or refused the message. A caller that still waits gets the refusal; a task that had been waiting
    /// for input waits again, since another message may do.
    fn fail(&mut self, error: AgentError, batch: &mut Batch) {
        let id = self.log.identity.id;
        tracing::warn!(task = %id, agent = %self.entry.name, %error, "the agent failed");
        let refusal = error.refusal.filter(|_| self.is_first_word(batch));
        if let (Some(kind), Some(claim)) = (refusal, &self.claim) {
            claim.refuse(Error::new(kind, &error.text).with("taskId", id));
        }
        let mendable = matches!(
            refusal,
            Some(ErrorKind::InvalidArgument | ErrorKind::ContentTypeNotSupported | ErrorKind::UnsupportedOperation)
        );
        let state = if mendable && self.known { TaskState::InputRequired } else { TaskState::Failed };
        // The task ends here, but the agent may not know.
        batch.broken = state == TaskState::Failed && !self.log.upstream.task_id.is_empty();
        self.say(state, Some(&error.text), batch);
    }

    /// Whether nothing has come of the turn yet.
    fn is_first_word(&self, batch: &Batch) -> bool {
        self.log.sequence == self.start && batch.events.is_empty()
    }

    /// A status with a text of the gateway's own.
    pub(super) fn say(&mut self, state: TaskState, text: Option<&str>, batch: &mut Batch) {
        self.status(state, text.map(words), None, batch);
    }

    fn status(&mut self, state: TaskState, message: Option<Message>, metadata: Option<Struct>, batch: &mut Batch) {
        let message = message.map(|mut message| {
            message.parts.retain(|part| part.content.is_some());
            self.names.inbound(message)
        });
        let payload = status_update(&self.log, state, message, metadata, self.time());
        self.push(state, payload, batch);
    }

    fn push(&mut self, state: TaskState, payload: Payload, batch: &mut Batch) {
        let limit = self.inner.settings.max_task_size;
        let time = self.time();
        let artifact = matches!(payload, Payload::ArtifactUpdate(_));
        let event = Event::new(self.log.identity.id, self.log.sequence + 1, time, state, payload);
        let size = event.bytes().len();
        if !state::is_settled(state) && self.size + size > limit {
            let text = format!("The agent sent more than the {} MiB that a task may hold.", limit >> 20);
            batch.broken = true;
            return self.say(TaskState::Failed, Some(&text), batch);
        }
        task::apply(&mut self.log.task, &event);
        self.log.sequence = event.sequence;
        self.log.state = state;
        self.log.unfolded += size;
        self.size += size;
        if !artifact {
            self.log.updated = time;
        }
        batch.bytes += size;
        batch.events.push(Arc::new(event));
    }

    /// Now; never before the task's last update, whatever the clock does.
    fn time(&self) -> i64 {
        now().max(self.log.updated)
    }
}

/// Whether an update can be stored and shown: only so deep, as any protobuf implementation can read.
fn check(update: &Update) -> Result<(), Error> {
    match update {
        Update::Status { message, metadata, .. } => validate::answer(message.as_ref(), metadata.as_ref()),
        Update::Reply(message) => validate::answer(Some(message), None),
        Update::Artifact { artifact, metadata, .. } => validate::artifact(artifact, metadata.as_ref()),
        Update::Sending | Update::NotSent | Update::Known(_) => Ok(()),
    }
}
