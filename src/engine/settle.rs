//! Settling a task in its log, and what the gateway says when it does.

use std::{sync::Arc, time::Duration};

use prost::Message as _;

use super::{Inner, now};
use crate::{
    error::Result,
    proto::{
        a2a::{
            Message, Part, Role, TaskState, TaskStatus, TaskStatusUpdateEvent, part::Content, stream_response::Payload,
        },
        well_known::{Struct, Timestamp},
    },
    store::{Append, Stored},
    task::{self, Event, Record},
};

/// Settles a task that no runner of this process works on.
pub async fn settle(inner: &Arc<Inner>, stored: Stored, state: TaskState, text: Option<&str>) -> Result<Record> {
    let (append, record) = settling(stored, state, text, now());
    let owner = append.identity.owner.clone();
    inner.store.append(append).await?;
    inner.keep(owner, record.clone());
    Ok(record)
}

/// What the log says of a task that ran out of time.
pub fn overdue_text(stored: &Stored) -> String {
    let identity = &stored.identity;
    let limit = identity.deadline.map_or(0, |deadline| deadline - identity.created);
    let limit = Duration::from_millis(u64::try_from(limit).unwrap_or(0));
    format!("The task took longer than its timeout of {limit:?} and was stopped by the gateway.")
}

/// The append that settles a task from outside a runner, and the task after it.
fn settling(mut stored: Stored, state: TaskState, text: Option<&str>, now: i64) -> (Append, Record) {
    let time = now.max(stored.updated);
    let payload = status_update(&stored, state, text.map(words), None, time);
    let event = Event::new(stored.identity.id, stored.sequence + 1, time, state, payload);
    task::apply(&mut stored.task, &event);
    let mut append = Append::new(stored.identity.clone(), stored.sequence, stored.state, vec![Arc::new(event)]);
    append.epoch = Some(stored.epoch);
    append.snapshot = Some(stored.task.encode_to_vec().into());
    stored.sequence += 1;
    stored.updated = time;
    (append, stored.into_record())
}

/// A status update of a task, its message made to belong to it.
pub fn status_update(
    log: &Stored,
    state: TaskState,
    message: Option<Message>,
    metadata: Option<Struct>,
    time: i64,
) -> Payload {
    let (task_id, context_id) = (log.task.id.clone(), log.task.context_id.clone());
    let message = message.map(|message| Message {
        task_id: task_id.clone(),
        context_id: context_id.clone(),
        role: Role::Agent.into(),
        ..identified(message)
    });
    let status = TaskStatus { state: state.into(), message, timestamp: Some(Timestamp::from_millis(time)) };
    Payload::StatusUpdate(TaskStatusUpdateEvent { task_id, context_id, status: Some(status), metadata })
}

/// The message with an id, minted when it came without one.
pub fn identified(mut message: Message) -> Message {
    if message.message_id.is_empty() {
        message.message_id = task::mint();
    }
    message
}

/// A message of the gateway's own.
pub fn words(text: &str) -> Message {
    let part = Part { content: Some(Content::Text(text.to_owned())), ..Part::default() };
    Message { parts: vec![part], ..Message::default() }
}
