//! Commands as agents: each turn runs a program, its standard output is the task's artifact.
//!
//! What is promised:
//! - The program is started as it is configured, without a shell; nothing of a message ever becomes an argument.
//! - What it writes is handed on as it comes. A consumer that is slow slows the program, by the pipe between them, and
//!   never fills memory: at most one chunk is held.
//! - Exit status 0 completes the task, any other outcome fails it and says why, with the end of standard error.
//! - No turn leaves processes behind. The program runs in a process group of its own; whenever the turn ends, for
//!   whatever reason, what is left of the group gets SIGTERM and, after a grace period, SIGKILL. A program that must
//!   outlive its turn has to leave the group (`setsid`).
//!
//! A command cannot ask back: each message to a task is a new turn of its own, and the program gets the task so far when
//! its input is JSON.

mod card;
mod command;
mod group;
mod keeper;
mod output;
mod tail;
mod turn;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Agent, AgentError, Cancel, Recovery, Turn, Update, UpdateStream, a2a::OnLost, generate};
use crate::proto::a2a::AgentCard;

/// How long a cancel waits beyond the grace period: for the kill to take effect.
const CANCEL_MARGIN: Duration = Duration::from_secs(1);

/// Which program an agent is, and how it is run.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// The agent's name in the gateway.
    pub name: String,
    /// What the agent's card says it does; empty: which program it runs.
    pub description: String,
    /// The program and its arguments. A program without a slash is looked for in `PATH`.
    pub command: Vec<String>,
    /// Where it runs; none: where the gateway does.
    pub directory: Option<PathBuf>,
    /// Set for it besides the gateway's own environment.
    pub environment: Vec<(String, String)>,
    /// What it gets on standard input.
    pub input: Input,
    /// What its standard output is.
    pub output: Output,
    /// How long it may run; none: for ever.
    pub timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Turns at the same time; none: no limit.
    pub max_concurrency: Option<usize>,
    /// What becomes of a turn that was under way when the gateway stopped.
    pub on_lost: OnLost,
    /// The most a turn may write to standard output, in bytes.
    pub max_output: usize,
}

/// What a command gets on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The message's text parts, joined by newlines.
    Text,
    /// One JSON object, `{"task": …, "message": …, "metadata": …}`, in A2A 1.0's JSON. The metadata is what the caller
    /// sent beside the message; it is left out when there is none.
    Json,
}

/// What a command's standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// UTF-8 text, cut between characters only; what is not UTF-8 is replaced by U+FFFD.
    Text,
    /// Bytes, handed on as they are.
    Raw,
}

impl ExecSettings {
    /// An agent of this name that runs this command: text in, text of up to 64 MiB out, no timeout, five seconds of grace.
    pub fn new(name: impl Into<String>, command: Vec<String>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            command,
            directory: None,
            environment: Vec::new(),
            input: Input::Text,
            output: Output::Text,
            timeout: None,
            grace: Duration::from_secs(5),
            max_concurrency: None,
            on_lost: OnLost::Fail,
            max_output: 64 << 20,
        }
    }

    /// The program as callers may see it: without its folder.
    fn program(&self) -> String {
        let program = self.command.first().map(String::as_str).unwrap_or_default();
        program.rsplit('/').next().unwrap_or(program).to_owned()
    }
}

/// Arguments and environment may hold secrets.
impl fmt::Debug for ExecSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSettings").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An agent that runs a command for each turn.
#[derive(Debug)]
pub struct Exec {
    card: Arc<AgentCard>,
    shared: Arc<Shared>,
}

/// What the agent's turns share.
#[derive(Debug)]
struct Shared {
    settings: ExecSettings,
    /// One task for each command whose process group may still be there.
    keepers: TaskTracker,
    /// Which task's each group is, and a token that is set once it is gone.
    groups: Mutex<Vec<(String, CancellationToken)>>,
}

impl Exec {
    /// The agent. Nothing is started before a turn is.
    pub fn new(settings: ExecSettings) -> Self {
        let card = Arc::new(card::card(&settings));
        let shared = Shared { settings, keepers: TaskTracker::new(), groups: Mutex::default() };
        Self { card, shared: Arc::new(shared) }
    }

    /// Waits until nothing is left of any command: for the gateway's stop, after the turns were dropped. It takes little
    /// longer than the grace period.
    pub async fn stopped(&self) {
        self.shared.keepers.close();
        self.shared.keepers.wait().await;
    }
}

impl Agent for Exec {
    fn card(&self) -> Arc<AgentCard> {
        self.card.clone()
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.shared.settings.max_concurrency
    }

    fn recovery(&self) -> Recovery {
        match self.shared.settings.on_lost {
            OnLost::Fail => Recovery::Fail,
            OnLost::Resend => Recovery::Resend,
        }
    }

    fn run(&self, turn: Turn) -> UpdateStream {
        let shared = self.shared.clone();
        generate(move |emitter| turn::run(emitter, shared, turn))
    }

    fn cancel(&self, cancel: Cancel) -> BoxFuture<'static, Result<Vec<Update>, AgentError>> {
        let groups = self.shared.groups_of(&cancel.task.id);
        let patience = self.shared.settings.grace + CANCEL_MARGIN;
        async move {
            let gone = async {
                for group in groups {
                    group.cancelled().await;
                }
            };
            match tokio::time::timeout(patience, gone).await {
                Ok(()) => Ok(Vec::new()),
                Err(_) => Err(AgentError::failed("The command did not end, although it was killed.")),
            }
        }
        .boxed()
    }
}

impl Shared {
    /// Notes a group of a task's; the token is set once the group is gone.
    fn note(&self, task_id: &str, gone: CancellationToken) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|(_, gone)| !gone.is_cancelled());
        groups.push((task_id.to_owned(), gone));
    }

    fn groups_of(&self, task_id: &str) -> Vec<CancellationToken> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().filter(|(id, _)| id == task_id).map(|(_, gone)| gone.clone()).collect()
    }
}
