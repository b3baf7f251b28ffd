//! The one error that callers can see.
//!
//! It knows no transport: `server::status` decides how each kind looks on each binding. `message` is written for the
//! caller; causes inside the gateway (SQL, I/O) are logged where they arise and never put into it.

use std::{borrow::Cow, fmt};

/// What went wrong, as a closed set. The A2A kinds are those of the A2A 1.0 error table (section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A field is not as its contract says; `violations` names it.
    InvalidArgument,
    /// A2A: no such task, or not this caller's.
    TaskNotFound,
    /// A2A: the task has settled and can no longer be canceled.
    TaskNotCancelable,
    /// A2A: push notifications are not offered.
    PushNotificationNotSupported,
    /// A2A: this task or agent does not take this operation now.
    UnsupportedOperation,
    /// A2A: the media type is not taken.
    ContentTypeNotSupported,
    /// A2A: the agent answered something that is not A2A.
    InvalidAgentResponse,
    /// A2A: there is no extended card.
    ExtendedAgentCardNotConfigured,
    /// A2A: the client must declare an extension that the agent requires.
    ExtensionSupportRequired,
    /// A2A: the protocol version asked for is not spoken here.
    VersionNotSupported,
    /// The request bears no credentials, or wrong ones.
    Unauthenticated,
    /// No agent of this name is configured.
    AgentNotFound,
    /// No such webhook, or not this caller's.
    WebhookNotFound,
    /// No such delivery, or not this caller's.
    DeliveryNotFound,
    /// The task, agent or caller has as many webhooks as it may.
    WebhookLimit,
    /// The request id was used with other content.
    RequestIdReused,
    /// The position to resume from has been removed from the log.
    SequenceTrimmed,
    /// The position to resume from does not exist yet.
    SequenceAhead,
    /// The cursor is older than what the store keeps.
    CursorTrimmed,
    /// The task changed between reading and writing; trying again helps.
    Conflict,
    /// The request is larger than the gateway takes.
    RequestTooLarge,
    /// The store has no room.
    StoreFull,
    /// Shutting down, or the store or agent cannot be reached; trying again later helps.
    Unavailable,
    /// A fault of the gateway.
    Internal,
}

/// One field that is not as its contract says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in proto names: `message.parts[0].text`.
    pub field: String,
    /// What is wrong and what would be right, without the field's name: `must not be empty`.
    pub description: String,
}

/// An error that a caller can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    violations: Vec<Violation>,
    metadata: Vec<(&'static str, String)>,
}

/// Shorthand of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the given kind, with a message for the caller.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), violations: Vec::new(), metadata: Vec::new() }
    }

    /// One field that is wrong.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::violations(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// Several fields that are wrong; at least one.
    pub fn violations(violations: Vec<Violation>) -> Self {
        let message = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { violations, ..Self::new(ErrorKind::InvalidArgument, message) }
    }

    /// No such task, or not this caller's. Long ids are shortened in the message.
    pub fn task_not_found(id: &str) -> Self {
        Self::new(ErrorKind::TaskNotFound, format!("Task not found: {}", shorten(id))).with("taskId", shorten(id))
    }

    /// The task cannot be canceled, being in this state.
    pub fn task_not_cancelable(id: &str, state: &str) -> Self {
        let message = format!("Task not cancelable: already {state}");
        Self::new(ErrorKind::TaskNotCancelable, message).with("taskId", id).with("state", state)
    }

    /// A fault of the gateway. The cause goes to the log, with what was being done; the caller sees neither.
    pub fn internal(doing: &str, cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "{doing} failed");
        Self::new(ErrorKind::Internal, "internal error; the gateway's log has the cause")
    }

    /// Adds a detail for programs: a camelCase name and a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.metadata.push((name, value.to_string()));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fields that are wrong; empty unless the kind is `InvalidArgument`.
    pub fn field_violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Details for programs.
    pub fn metadata(&self) -> &[(&'static str, String)] {
        &self.metadata
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.description)
    }
}

/// The text itself, or its first 64 characters, so that a message never carries a caller's megabyte back.
pub fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
