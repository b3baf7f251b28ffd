//! The enum words of each dialect (WIRE 3.2).
//!
//! Written exactly as each dialect spells them; read in any spelling of any dialect, whatever the request's own.

use crate::{
    proto::a2a::{Role, TaskState},
    task::Dialect,
};

/// A state in the dialect's spelling. PraisonAI's clients wait for exactly `completed`, `failed` or `cancelled`, so
/// that a rejected task has to read as failed there.
pub fn state(dialect: Dialect, state: TaskState) -> &'static str {
    match (dialect, state) {
        (Dialect::V1, state) => state.as_str_name(),
        (_, TaskState::Unspecified) => "unknown",
        (_, TaskState::Submitted) => "submitted",
        (_, TaskState::Working) => "working",
        (_, TaskState::Completed) => "completed",
        (_, TaskState::Failed) => "failed",
        (Dialect::V03, TaskState::Canceled) => "canceled",
        (Dialect::V03, TaskState::InputRequired) => "input-required",
        (Dialect::V03, TaskState::Rejected) => "rejected",
        (Dialect::V03, TaskState::AuthRequired) => "auth-required",
        (Dialect::Praison, TaskState::Canceled) => "cancelled",
        (Dialect::Praison, TaskState::InputRequired) => "input_required",
        (Dialect::Praison, TaskState::Rejected) => "failed",
        (Dialect::Praison, TaskState::AuthRequired) => "auth_required",
    }
}

/// A role in the dialect's spelling. The older dialects have only two: who says not that it is the user is the agent.
pub fn role(dialect: Dialect, role: Role) -> &'static str {
    match (dialect, role) {
        (Dialect::V1, role) => role.as_str_name(),
        (_, Role::User) => "user",
        (_, Role::Agent | Role::Unspecified) => "agent",
    }
}

/// Reads a state.
pub fn read_state(word: &str) -> Option<TaskState> {
    match normal("TASK_STATE_", word)?.as_str() {
        "TASK_STATE_CANCELLED" => Some(TaskState::Canceled),
        "TASK_STATE_UNKNOWN" => Some(TaskState::Unspecified),
        name => TaskState::from_str_name(name),
    }
}

/// Reads a role.
pub fn read_role(word: &str) -> Option<Role> {
    Role::from_str_name(&normal("ROLE_", word)?)
}

/// The word as proto spells it; none for words longer than any of them.
fn normal(prefix: &str, word: &str) -> Option<String> {
    const LONGEST: usize = "TASK_STATE_INPUT_REQUIRED".len();
    if word.len() > LONGEST {
        return None;
    }
    let name = word.to_ascii_uppercase().replace('-', "_");
    Some(if name.starts_with(prefix) { name } else { format!("{prefix}{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECTS: [Dialect; 3] = [Dialect::V1, Dialect::V03, Dialect::Praison];

    #[test]
    fn every_written_word_reads_back() {
        for number in 0..=8 {
            let value = TaskState::try_from(number).unwrap();
            for dialect in DIALECTS {
                let lossy = dialect == Dialect::Praison && value == TaskState::Rejected;
                let expected = if lossy { TaskState::Failed } else { value };
                assert_eq!(read_state(state(dialect, value)), Some(expected), "{dialect:?} {value:?}");
            }
        }
        for value in [Role::User, Role::Agent] {
            for dialect in DIALECTS {
                assert_eq!(read_role(role(dialect, value)), Some(value));
            }
        }
    }

    #[test]
    fn any_spelling_is_read_and_other_words_are_not() {
        for word in ["TASK_STATE_INPUT_REQUIRED", "task_state_input_required", "input-required", "Input_Required"] {
            assert_eq!(read_state(word), Some(TaskState::InputRequired), "{word}");
        }
        for word in ["cancelled", "canceled", "TASK_STATE_CANCELLED", "CANCELED"] {
            assert_eq!(read_state(word), Some(TaskState::Canceled), "{word}");
        }
        for word in ["", "done", "ROLE_USER", "TASK_STATE_", "input required", "é"] {
            assert_eq!(read_state(word), None, "{word}");
        }
        assert_eq!(read_role("USER"), Some(Role::User));
        assert_eq!(read_role("assistant"), None);
    }
}
