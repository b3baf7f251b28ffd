//! A task as of one of its events: from the snapshot where that is not newer, else from the log.

use std::sync::Arc;

use crate::{
    proto::a2a::{Task, TaskStatus, stream_response::Payload},
    task::{self, Event},
};

/// After which sequence the log is needed, up to the event. `snapshot`: up to where the snapshot holds the log.
pub fn needed_after(snapshot: Option<u64>, event: &Event) -> u64 {
    snapshot.filter(|sequence| *sequence <= event.sequence).unwrap_or(0)
}

/// The task as of an event. `floor`: events up to it have been trimmed. `between`: the log after [`needed_after`], up to
/// the event.
pub fn fold(snapshot: Option<(Task, u64)>, floor: u64, event: &Event, between: &[Arc<Event>]) -> Task {
    match snapshot {
        Some((task, sequence)) if sequence > event.sequence && floor > 0 => {
            Task { status: Some(status(event, between)), ..task }
        }
        snapshot => {
            let older = snapshot.filter(|(_, sequence)| *sequence <= event.sequence);
            let mut task = older.map_or_else(Task::default, |(task, _)| task);
            for event in between {
                task::apply(&mut task, event);
            }
            task
        }
    }
}

/// The task's status as of an event, from what is left of the log.
fn status(event: &Event, left: &[Arc<Event>]) -> TaskStatus {
    let mut task = Task::default();
    for event in left.iter().filter(|event| !matches!(event.payload(), Payload::ArtifactUpdate(_))) {
        task::apply(&mut task, event);
    }
    let bare = || TaskStatus { state: event.state.into(), message: None, timestamp: Some(event.timestamp()) };
    task.status.unwrap_or_else(bare)
}
