//! What a script says, in plain values that each face renders in its own form.

use a2a_gateway::proto::a2a::{Role, TaskState};

/// A task as the agent shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub id: String,
    /// Empty only where the face lets it be: PraisonAI's tasks have one only if the caller gave one.
    pub context: String,
    pub state: TaskState,
    /// The status message; empty: none.
    pub text: String,
    /// Id and the texts of the parts.
    pub artifacts: Vec<(String, Vec<String>)>,
    pub history: Vec<(Role, String)>,
}

impl Snapshot {
    pub fn new(id: &str, context: &str, state: TaskState) -> Self {
        Self { id: id.into(), context: context.into(), state, ..Self::default() }
    }

    pub fn state(mut self, state: TaskState) -> Self {
        self.state = state;
        self
    }

    pub fn text(mut self, text: &str) -> Self {
        self.text = text.into();
        self
    }

    pub fn artifact(mut self, id: &str, texts: &[&str]) -> Self {
        self.artifacts.push((id.into(), texts.iter().map(|text| (*text).into()).collect()));
        self
    }

    pub fn history(mut self, role: Role, text: &str) -> Self {
        self.history.push((role, text.into()));
        self
    }

    pub fn is_done(&self) -> bool {
        is_done(self.state)
    }

    /// The status message.
    pub fn said(&self) -> Option<Said> {
        said(&self.id, &self.context, self.state, &self.text)
    }

    /// The messages of the history.
    pub fn told(&self) -> Vec<Said> {
        let told = self.history.iter().enumerate();
        told.map(|(n, (role, text))| Said { id: format!("{}-h{n}", self.id), role: *role, ..self.words(text) })
            .collect()
    }

    fn words(&self, text: &str) -> Said {
        Said { task: self.id.clone(), context: self.context.clone(), text: text.into(), ..Said::default() }
    }
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub id: String,
    /// Empty: of no task.
    pub task: String,
    pub context: String,
    pub role: Role,
    pub text: String,
}

/// The message of a status. Its id is a function of what it says: a task that is read twice says the same.
pub fn said(task: &str, context: &str, state: TaskState, text: &str) -> Option<Said> {
    let id = format!("{task}-{}-{:08x}", state as i32, checksum(text));
    let (task, context, text) = (task.to_owned(), context.to_owned(), text.to_owned());
    (!text.is_empty()).then_some(Said { id, task, context, role: Role::Agent, text })
}

/// FNV-1a: the same on every run.
pub fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Task(Snapshot),
    Message(Said),
    Status { task: String, context: String, state: TaskState, said: Option<Said> },
    Artifact { task: String, context: String, id: String, text: String, append: bool, last: bool },
}

/// Whether a task in this state takes no more work.
pub fn is_done(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected)
}

/// Whether an agent has ended its turn in this state.
pub fn is_turn_over(state: TaskState) -> bool {
    is_done(state) || matches!(state, TaskState::InputRequired | TaskState::AuthRequired)
}

/// Why an agent refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    TaskNotFound,
    TaskNotCancelable,
    UnsupportedOperation,
    ContentTypeNotSupported,
    InvalidParams,
    Internal,
    /// HTTP 503 with `Retry-After: 1`, or UNAVAILABLE.
    Busy,
    /// HTTP 401, or UNAUTHENTICATED.
    Unauthenticated,
}

impl Kind {
    /// The errors that A2A or JSON-RPC names.
    pub const NAMED: [Self; 6] = [
        Self::TaskNotFound,
        Self::TaskNotCancelable,
        Self::UnsupportedOperation,
        Self::ContentTypeNotSupported,
        Self::InvalidParams,
        Self::Internal,
    ];
}
