//! A task as its agent knows it.

/// The agent's own ids of a task and its conversation. They are never shown to callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// The agent's task id; empty: it has not named one.
    pub task_id: String,
    /// The agent's context id; empty: none is known.
    pub context_id: String,
}
