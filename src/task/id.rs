//! Ids, parsed once.

use std::fmt;

use uuid::Uuid;

use crate::error::{Error, Result};

/// The longest id, name or token that callers may send, in bytes.
pub const MAX_ID: usize = 256;

/// A task's id: a UUIDv7, minted by the gateway, so that ids sort by creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new id.
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads an id that a caller sent in `field`.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field when it is empty, over-long or has control characters; `TaskNotFound` when
    /// it is a plausible id but cannot be one of ours.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid(field, "is required: the id of a task"));
        }
        if let Some(problem) = id_problem(text) {
            return Err(Error::invalid(field, problem));
        }
        Self::known(text).ok_or_else(|| Error::task_not_found(text))
    }

    /// The id in its usual form (36 lower-case characters), or nothing.
    pub fn known(text: &str) -> Option<Self> {
        if text.len() != 36 { None } else { Uuid::try_parse(text).ok().map(Self) }
    }

    /// Its 16 bytes, for the store.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// From its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A new id for a context, message or artifact that came without one.
pub fn mint() -> String {
    Uuid::now_v7().to_string()
}

/// What is wrong with an id that a caller chose, if anything: over [`MAX_ID`] bytes, or control characters (NUL
/// among them), which no store or header carries safely.
pub fn id_problem(text: &str) -> Option<String> {
    if text.len() > MAX_ID {
        Some(format!("must be at most {MAX_ID} bytes long, not {}", text.len()))
    } else if text.chars().any(char::is_control) {
        Some("must not contain control characters".to_owned())
    } else {
        None
    }
}
