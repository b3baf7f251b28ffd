//! States and the moves between them (A2A 1.0, section 4.1.3).

use crate::proto::a2a::TaskState;

/// Nothing follows it: completed, failed, canceled, rejected.
pub fn is_settled(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected)
}

/// The agent waits for the caller: input required, auth required.
pub fn is_interrupted(state: TaskState) -> bool {
    matches!(state, TaskState::InputRequired | TaskState::AuthRequired)
}

/// Whether a task in state `from` may report `to`. A repeated state is allowed (progress messages); nothing leaves a
/// settled state, and nothing returns to SUBMITTED.
pub fn may_follow(from: TaskState, to: TaskState) -> bool {
    match to {
        TaskState::Unspecified => false,
        TaskState::Submitted => from == TaskState::Submitted,
        _ => !is_settled(from),
    }
}

/// The state's word in metrics, logs and the command line: `input-required`.
pub fn word(state: TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "unknown",
        TaskState::Submitted => "submitted",
        TaskState::Working => "working",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Canceled => "canceled",
        TaskState::InputRequired => "input-required",
        TaskState::Rejected => "rejected",
        TaskState::AuthRequired => "auth-required",
    }
}

/// Every state but UNSPECIFIED.
pub const ALL: [TaskState; 8] = [
    TaskState::Submitted,
    TaskState::Working,
    TaskState::Completed,
    TaskState::Failed,
    TaskState::Canceled,
    TaskState::InputRequired,
    TaskState::Rejected,
    TaskState::AuthRequired,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_moves() {
        for from in ALL {
            for to in ALL {
                let expected = if is_settled(from) { false } else { to != TaskState::Submitted || from == to };
                assert_eq!(may_follow(from, to), expected, "{from:?} -> {to:?}");
            }
            assert!(!may_follow(from, TaskState::Unspecified));
            assert!(!(is_settled(from) && is_interrupted(from)));
        }
    }
}
