//! Ids: the gateway's towards callers, the agent's towards the agent.
//!
//! An agent that names tasks and conversations itself is told of a conversation by an id that only it and this gateway
//! know: made from the caller, the agent and the caller's context id, so that no caller can reach another's conversation by
//! naming it, and every turn of a conversation names the same without having to remember it. What the agent then calls it
//! counts from there on.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use uuid::Builder;

use super::Inner;
use crate::{
    agent::Update,
    error::Result,
    proto::a2a::Message,
    store::{Identity, Stored},
    task::{TaskId, Upstream},
};

/// The agent's ids of tasks that a turn is about, with the gateway's.
#[derive(Debug, Default)]
pub struct Names(HashMap<String, Option<TaskId>>);

/// How the agent knows a task and its conversation. `new_context`: no earlier task can have been of the conversation.
pub async fn upstream(inner: &Inner, log: &Stored, new_context: bool) -> Result<Upstream> {
    let mut upstream = log.upstream.clone();
    if upstream.context_id.is_empty() {
        let identity = &log.identity;
        let noted = if new_context {
            None
        } else {
            let (owner, agent, context) = (identity.owner.clone(), identity.agent.clone(), identity.context_id.clone());
            inner.store.upstream_context(owner, agent, context).await?
        };
        upstream.context_id = noted.unwrap_or_else(|| context_for(identity));
    }
    Ok(upstream)
}

/// The id of a task's conversation for an agent that has not named it.
pub fn context_for(identity: &Identity) -> String {
    let mut digest = Sha256::new();
    for text in ["a2a-gateway context", &identity.owner, &identity.agent, &identity.context_id] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// How the agent knows the tasks that a message refers to: those of the same caller and agent.
pub async fn references(inner: &Inner, log: &Stored, message: &Message) -> Result<Vec<(TaskId, String)>> {
    let mut known = Vec::new();
    for reference in &message.reference_task_ids {
        let Ok(id) = TaskId::parse("reference_task_ids", reference) else { continue };
        let Some(link) = inner.store.link(id).await? else { continue };
        let same = link.owner == log.identity.owner && link.agent == log.identity.agent;
        if same && !link.upstream.task_id.is_empty() {
            known.push((id, link.upstream.task_id));
        }
    }
    Ok(known)
}

/// The caller's task that the agent knows by an id of its own.
pub async fn linked(inner: &Inner, log: &Stored, upstream_task: &str) -> Result<Option<TaskId>> {
    let (owner, agent) = (log.identity.owner.clone(), log.identity.agent.clone());
    inner.store.linked(owner, agent, upstream_task.to_owned()).await
}

impl Names {
    /// Notes what the agent's id of a task means; none: nothing to this caller.
    pub fn note(&mut self, upstream_task: String, id: Option<TaskId>) {
        self.0.insert(upstream_task, id);
    }

    /// Notes how the agent knows a task, if it does.
    pub fn know(&mut self, upstream_task: &str, id: TaskId) {
        if !upstream_task.is_empty() {
            self.note(upstream_task.to_owned(), Some(id));
        }
    }

    /// Whether the update refers to tasks that have not been looked up yet.
    pub fn lacks(&self, update: &Update) -> bool {
        mentioned(update).iter().any(|id| !self.0.contains_key(id))
    }

    /// The agent's ids that an update mentions and that have not been looked up yet.
    pub fn lacking(&self, update: &Update) -> Vec<String> {
        mentioned(update).iter().filter(|id| !self.0.contains_key(*id)).cloned().collect()
    }

    /// The message for the agent, in its ids for the tasks that it knows. Others stay as they are: they may mean
    /// something to it.
    pub fn outbound(&mut self, mut message: Message, references: Vec<(TaskId, String)>) -> Message {
        for (id, upstream_task) in references {
            let text = id.to_string();
            for reference in message.reference_task_ids.iter_mut().filter(|reference| **reference == text) {
                reference.clone_from(&upstream_task);
            }
            self.note(upstream_task, Some(id));
        }
        message
    }

    /// The agent's message in the gateway's ids: tasks that are not the caller's are left out.
    pub fn inbound(&self, mut message: Message) -> Message {
        message.reference_task_ids =
            message.reference_task_ids.iter().filter_map(|id| Some((*self.0.get(id)?)?.to_string())).collect();
        message
    }
}

fn mentioned(update: &Update) -> &[String] {
    match update {
        Update::Status { message: Some(message), .. } | Update::Reply(message) => &message.reference_task_ids,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Dialect;

    fn identity(owner: &str, agent: &str, context: &str) -> Identity {
        Identity {
            id: TaskId::mint(),
            owner: owner.into(),
            agent: agent.into(),
            context_id: context.into(),
            dialect: Dialect::V1,
            created: 0,
            deadline: None,
            output_modes: Vec::new(),
        }
    }

    #[test]
    fn a_conversation_has_one_id_for_each_caller_and_agent() {
        let id = |owner, agent, context| context_for(&identity(owner, agent, context));
        assert_eq!(id("a", "b", "c"), id("a", "b", "c"));
        let all = [id("a", "b", "c"), id("x", "b", "c"), id("a", "x", "c"), id("a", "b", "x"), id("ab", "", "c")];
        for (n, one) in all.iter().enumerate() {
            assert!(uuid::Uuid::parse_str(one).is_ok());
            assert!(all[n + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn tasks_that_are_not_the_callers_are_left_out() {
        let known = TaskId::mint();
        let mut names = Names::default();
        names.know("u1", known);
        names.note("u2".into(), None);
        let message = Message { reference_task_ids: vec!["u1".into(), "u2".into()], ..Message::default() };
        let update = Update::Reply(message.clone());
        assert!(!names.lacks(&update));
        assert_eq!(names.inbound(message).reference_task_ids, [known.to_string()]);
        let other = Message { reference_task_ids: vec!["u3".into()], ..Message::default() };
        assert!(names.lacks(&Update::Reply(other)));
    }
}
