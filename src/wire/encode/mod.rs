//! Answers and events to JSON.
use bytes::Bytes;

use crate::{
    proto::a2a::{ListTasksResponse, Task, send_message_response},
    task::{Dialect, Event},
};

/// A task.
pub fn task(dialect: Dialect, task: &Task) -> Bytes {
    let _ = (dialect, task);
    todo!()
}

/// The answer to a sent message.
pub fn send_response(dialect: Dialect, response: &send_message_response::Payload) -> Bytes {
    let _ = (dialect, response);
    todo!()
}

/// The answer to a list of tasks.
pub fn task_list(dialect: Dialect, list: &ListTasksResponse) -> Bytes {
    let _ = (dialect, list);
    todo!()
}

/// One event of a stream, encoded once per dialect and shared; none where the dialect has no form for it.
pub fn event(dialect: Dialect, event: &Event) -> Option<Bytes> {
    let _ = (dialect, event);
    todo!()
}
