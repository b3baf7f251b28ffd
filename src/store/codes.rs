//! How what a task is made of is written in rows, whatever the database.

use crate::{
    proto::a2a::{Role, TaskState, stream_response::Payload},
    task::{self, Dialect, Event},
};

use super::Append;

/// Bounds of one piece of a log or of the feed.
pub const PAGE_EVENTS: usize = 512;
pub const PAGE_BYTES: usize = 1 << 20;

/// The column `standing`, which the indexes of `tasks` are divided by.
pub const OPEN: i32 = 0;
pub const SETTLED: i32 = 1;
pub const HIDDEN: i32 = 2;

/// The standing of a task in a state.
pub fn standing_of(state: TaskState) -> i32 {
    if task::state::is_settled(state) { SETTLED } else { OPEN }
}

/// How a dialect is stored.
pub fn dialect_code(dialect: Dialect) -> i32 {
    match dialect {
        Dialect::V1 => 0,
        Dialect::V03 => 1,
        Dialect::Praison => 2,
    }
}

/// See [`dialect_code`].
pub fn dialect_of(code: i32) -> Dialect {
    match code {
        1 => Dialect::V03,
        2 => Dialect::Praison,
        _ => Dialect::V1,
    }
}

/// How a state is stored: by its number.
pub fn state_of(code: i32) -> TaskState {
    TaskState::try_from(code).unwrap_or(TaskState::Unspecified)
}

/// What an append makes of its task's row.
pub struct Outcome {
    /// The newest sequence.
    pub head: u64,
    /// The state.
    pub state: TaskState,
    /// Where the indexes have it.
    pub standing: i32,
    /// When its status changed, if the append changes it: milliseconds since 1970 UTC.
    pub updated: Option<i64>,
    /// The time of its newest event; 0 without any.
    pub now: i64,
}

impl Outcome {
    pub fn of(append: &Append) -> Self {
        let last = append.events.last();
        let state = last.map_or(append.from, |event| event.state);
        Self {
            head: last.map_or(append.after, |event| event.sequence),
            state,
            standing: if append.hide { HIDDEN } else { standing_of(state) },
            updated: append.events.iter().rev().find(|event| sets_status(event)).map(|event| event.time),
            now: last.map_or(0, |event| event.time),
        }
    }
}

/// Whether the event carries a status, and with it the task's update time.
fn sets_status(event: &Event) -> bool {
    match event.payload() {
        Payload::Task(_) | Payload::StatusUpdate(_) => true,
        Payload::Message(message) => message.role() == Role::Agent,
        Payload::ArtifactUpdate(_) => false,
    }
}
