//! What of an agent's task has been told to the engine, so that nothing is told twice and nothing is missed.
//!
//! Live events are told as they come. A snapshot (the agent's task, read or sent whole) is compared with what was told, and
//! only the difference is: so a stream that was lost, a poll, a repeated snapshot and a restart of the gateway all end
//! in the same log. Of an artifact only the number of its parts and a digest are kept, so that it costs no memory.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hasher as _},
};

use prost::Message as _;

use crate::{
    agent::Update,
    proto::{
        a2a::{
            Artifact, Message, Part, Role, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus, part::Content,
            stream_response::Payload,
        },
        well_known::Struct,
    },
    task::{Upstream, state},
};

/// What has been told.
#[derive(Debug)]
pub struct Mirror {
    pub upstream: Upstream,
    state: TaskState,
    artifacts: HashMap<String, Told>,
    /// Ids of the agent's messages.
    messages: HashSet<String>,
    metadata: Option<Struct>,
    /// The message that the turn acts on.
    sent: String,
    /// The caller's messages before it.
    earlier: HashSet<String>,
    /// What the agent had said last before the turn.
    prior: Option<Message>,
    /// In a later turn: until the agent says something else than `prior`, an interrupted state is still the one that the
    /// turn answers.
    waiting: bool,
    /// Whether the message's stream has shown the task: what it reports after that is news.
    shown: bool,
    /// Ids for artifacts that come without one, by their place in the agent's task.
    unnamed: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    parts: usize,
    digest: u64,
}

/// How a snapshot came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// As the answer to the message, or as an event of its stream.
    Fresh,
    /// Read again, perhaps after events were missed: the agent's messages in between are taken from its history.
    Again,
}

impl Mirror {
    /// Of a turn. `task` is the task so far, in the gateway's ids; `later`: the agent knew it before this turn.
    pub fn new(task: &Task, upstream: Upstream, sent: &str, later: bool) -> Self {
        let said = |message: &&Message| message.role() == Role::Agent;
        let status = task.status.clone().unwrap_or_default();
        let messages = task.history.iter().filter(said).chain(status.message.as_ref());
        Self {
            upstream,
            state: status.state(),
            artifacts: task.artifacts.iter().map(|known| (known.artifact_id.clone(), Told::of(&known.parts))).collect(),
            messages: messages.map(|message| message.message_id.clone()).collect(),
            metadata: task.metadata.clone(),
            earlier: task
                .history
                .iter()
                .filter(|message| message.role() == Role::User && message.message_id != sent)
                .map(|message| message.message_id.clone())
                .collect(),
            sent: sent.to_owned(),
            prior: task.history.iter().rev().find(said).cloned(),
            waiting: later,
            shown: false,
            unnamed: Vec::new(),
        }
    }

    /// The state that was told last.
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// Whether the turn is over: settled, or the caller must answer.
    pub fn is_over(&self) -> bool {
        !self.waiting && (state::is_settled(self.state) || self.state == TaskState::InputRequired)
    }

    /// Whether nothing has yet shown that the agent acts on this turn's message.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether an agent that keeps the caller's messages shows that it has not got this turn's.
    pub fn is_unsent(&self, history: &[Message]) -> bool {
        self.waiting
            && history.iter().any(|message| self.earlier.contains(&message.message_id))
            && history.iter().all(|message| message.message_id != self.sent)
    }

    /// Takes what the agent shows now as its answer to the turn, though it is what it showed before.
    pub fn stop_waiting(&mut self) {
        self.waiting = false;
    }

    /// The updates that a live event means.
    pub fn event(&mut self, event: Payload) -> Vec<Update> {
        match event {
            Payload::Task(task) => {
                let updates = self.snapshot(task, Snapshot::Fresh);
                self.shown = true;
                updates
            }
            Payload::Message(message) => vec![Update::Reply(message)],
            Payload::StatusUpdate(update) => {
                if !self.is_ours(&update.task_id) {
                    return Vec::new();
                }
                let mut updates = Vec::from_iter(self.know(&update.task_id, &update.context_id));
                if let Some(more) = &update.metadata {
                    let known = &mut self.metadata.get_or_insert_default().fields;
                    known.extend(more.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
                }
                let status = update.status.unwrap_or_default();
                if self.shown && state::is_interrupted(status.state()) {
                    self.waiting = false;
                }
                updates.extend(self.status(status, update.metadata));
                updates
            }
            Payload::ArtifactUpdate(update) => {
                if !self.is_ours(&update.task_id) {
                    return Vec::new();
                }
                let mut updates = Vec::from_iter(self.know(&update.task_id, &update.context_id));
                updates.extend(self.artifact(update));
                updates
            }
        }
    }

    /// The updates that bring what was told up to the agent's task.
    pub fn snapshot(&mut self, task: Task, how: Snapshot) -> Vec<Update> {
        if !self.is_ours(&task.id) {
            return Vec::new();
        }
        let mut updates = Vec::from_iter(self.know(&task.id, &task.context_id));
        let status = task.status.unwrap_or_default();
        let last = state::is_settled(status.state());
        for (place, mut artifact) in task.artifacts.into_iter().enumerate() {
            self.name(&mut artifact, place);
            updates.extend(self.difference(artifact, last));
        }
        if how == Snapshot::Again {
            self.missed(&task.history, status.message.as_ref(), &mut updates);
        }
        let metadata = task.metadata.filter(|metadata| self.metadata.as_ref() != Some(metadata));
        if metadata.is_some() {
            self.metadata.clone_from(&metadata);
        }
        updates.extend(self.status(status, metadata));
        updates
    }

    /// An event that names another task is none of this turn's; but what an agent first says to a later message may be
    /// that it has made a task of its own of it, as PraisonAI's always do.
    fn is_ours(&mut self, task_id: &str) -> bool {
        let ours = task_id.is_empty() || self.upstream.task_id.is_empty() || self.upstream.task_id == task_id;
        if !ours && self.waiting {
            tracing::info!(task = self.upstream.task_id, other = task_id, "the agent goes on in another task");
            self.upstream.task_id.clear();
            return true;
        }
        if !ours {
            tracing::warn!(task = self.upstream.task_id, other = task_id, "an event of another task was dropped");
        }
        ours
    }

    fn know(&mut self, task_id: &str, context_id: &str) -> Option<Update> {
        let known = self.upstream.clone();
        if !task_id.is_empty() {
            task_id.clone_into(&mut self.upstream.task_id);
        }
        // An agent that makes up a context id later does not mean another conversation.
        if !context_id.is_empty() && known.task_id.is_empty() {
            context_id.clone_into(&mut self.upstream.context_id);
        }
        (self.upstream.task_id != known.task_id).then(|| Update::Known(self.upstream.clone()))
    }

    fn status(&mut self, status: TaskStatus, metadata: Option<Struct>) -> Option<Update> {
        let state = status.state();
        let TaskStatus { message, .. } = status;
        if self.is_stale(state, message.as_ref()) {
            return None;
        }
        // UNSPECIFIED is how a word that A2A does not have is read.
        let early = matches!(state, TaskState::Unspecified | TaskState::Submitted);
        if state == TaskState::Working || state::is_settled(state) || state::is_interrupted(state) {
            self.waiting = false;
        }
        let message = message.filter(|message| !message.parts.is_empty() || message.metadata.is_some());
        let told = message
            .as_ref()
            .is_some_and(|message| !message.message_id.is_empty() && !self.messages.insert(message.message_id.clone()));
        if (state == self.state || early) && metadata.is_none() && (message.is_none() || told) {
            return None;
        }
        let state = if early { self.state } else { state };
        self.state = state;
        let message = message.or_else(|| silent_failure(state));
        Some(Update::Status { state, message, metadata })
    }

    /// Whether an interrupted state is the one from before this turn: agents show it until they begin.
    fn is_stale(&self, state: TaskState, message: Option<&Message>) -> bool {
        self.waiting
            && state::is_interrupted(state)
            && match (message, &self.prior) {
                // What the gateway itself said last may stand between.
                (Some(now), _) if self.messages.contains(&now.message_id) => true,
                (Some(now), Some(prior)) => now.message_id == prior.message_id || now.parts == prior.parts,
                (None, _) => true,
                (Some(_), None) => false,
            }
    }

    fn artifact(&mut self, update: TaskArtifactUpdateEvent) -> Option<Update> {
        let TaskArtifactUpdateEvent { artifact, append, last_chunk, metadata, .. } = update;
        let mut artifact = artifact?;
        self.name(&mut artifact, 0);
        self.waiting = false;
        let told = self.artifacts.entry(artifact.artifact_id.clone()).or_default();
        if !append {
            *told = Told::default();
        }
        told.extend(&artifact.parts);
        Some(Update::Artifact { artifact, append, last_chunk, metadata })
    }

    /// Gives an artifact without an id one, the same each time.
    fn name(&mut self, artifact: &mut Artifact, place: usize) {
        if artifact.artifact_id.is_empty() {
            while self.unnamed.len() <= place {
                self.unnamed.push(format!("artifact-{}", self.unnamed.len() + 1));
            }
            artifact.artifact_id.clone_from(&self.unnamed[place]);
        }
    }

    /// What of the agent's artifact has not been told. A shorter one than was told is an old one, unless the task has
    /// settled and it is the `last`.
    fn difference(&mut self, mut artifact: Artifact, last: bool) -> Option<Update> {
        artifact.parts.retain(|part| part.content.is_some());
        let now = Told::of(&artifact.parts);
        let append = match self.artifacts.get(&artifact.artifact_id) {
            None => false,
            Some(told) if told.parts == now.parts && told.digest == now.digest => return None,
            Some(told) if now.parts < told.parts && !last => return None,
            Some(told) => {
                let begins_alike = told.parts > 0
                    && artifact.parts.get(..told.parts).is_some_and(|known| Told::of(known).digest == told.digest);
                if begins_alike {
                    artifact.parts.drain(..told.parts);
                }
                begins_alike
            }
        };
        self.artifacts.insert(artifact.artifact_id.clone(), now);
        Some(Update::Artifact { artifact, append, last_chunk: false, metadata: None })
    }

    /// The agent's messages since this turn's that have not been told, but for the status' own.
    fn missed(&mut self, history: &[Message], current: Option<&Message>, updates: &mut Vec<Update>) {
        let Some(sent) = history.iter().rposition(|message| message.message_id == self.sent) else { return };
        for message in &history[sent + 1..] {
            let id = &message.message_id;
            // PraisonAI's agents repeat the artifact as a message.
            let repeats = self.artifacts.values().any(|told| *told == Told::of(&message.parts));
            let counts = message.role() == Role::Agent && !id.is_empty() && !message.parts.is_empty() && !repeats;
            if counts && current.is_none_or(|current| current.message_id != *id) && self.messages.insert(id.clone()) {
                self.waiting = false;
                self.state = TaskState::Working;
                updates.push(Update::Status {
                    state: TaskState::Working,
                    message: Some(message.clone()),
                    metadata: None,
                });
            }
        }
    }
}

/// What to say of a task that failed without a word.
fn silent_failure(state: TaskState) -> Option<Message> {
    let text = match state {
        TaskState::Failed => "The agent reported that the task failed, without saying why.",
        TaskState::Rejected => "The agent rejected the task without saying why.",
        _ => return None,
    };
    let part = Part { content: Some(Content::Text(text.to_owned())), ..Part::default() };
    Some(Message { role: Role::Agent.into(), parts: vec![part], ..Message::default() })
}

impl Told {
    fn of(parts: &[Part]) -> Self {
        let mut told = Self::default();
        told.extend(parts);
        told
    }

    fn extend(&mut self, parts: &[Part]) {
        // As the engine keeps them: a part without content is none.
        for part in parts.iter().filter(|part| part.content.is_some()) {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(self.digest);
            hasher.write(&part.encode_to_vec());
            self.digest = hasher.finish();
            self.parts += 1;
        }
    }
}

#[cfg(test)]
mod tests;
