//! A link whose answers the test gives, and a turn over it.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::super::{
    A2aAgent, Answer, CallError, Event, Events, Inner, Link, Mode, OnLost, Settings, connection::Connection,
};
use crate::{
    agent::{Agent as _, AgentError, Cancel, Turn, Update},
    error::ErrorKind,
    metrics::Metrics,
    proto::{
        a2a::{
            Message, Part, Role, SendMessageRequest, Task, TaskState, TaskStatus, TaskStatusUpdateEvent, part::Content,
        },
        well_known::Struct,
    },
    task::{Dialect, Upstream},
};

/// The extension that turns and cancels ask for: every call is to do so.
const EXTENSION: &str = "http://e/1";

pub const PATIENCE: Duration = Duration::from_secs(60);
pub const IDLE: Duration = Duration::from_secs(600);
pub const POLL: Duration = Duration::from_secs(5);

/// A call that waits for the test's answer.
pub enum Call {
    Send(SendMessageRequest, oneshot::Sender<Result<Answer, CallError>>),
    Stream(SendMessageRequest, oneshot::Sender<Result<Events, CallError>>),
    Get(String, oneshot::Sender<Result<Task, CallError>>),
    Subscribe(String, oneshot::Sender<Result<Events, CallError>>),
    Cancel(String, oneshot::Sender<Result<Task, CallError>>),
}

struct Played(mpsc::UnboundedSender<Call>);

impl Played {
    fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, CallError>>) -> Call,
    ) -> BoxFuture<'static, Result<T, CallError>> {
        let (reply, answer) = oneshot::channel();
        let calls = self.0.clone();
        let call = call(reply);
        // A call begins when it is polled.
        async move {
            let _ = calls.send(call);
            answer.await.unwrap_or_else(|_| std::panic::panic_any("the test left a call unanswered"))
        }
        .boxed()
    }
}

impl Link for Played {
    fn send<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        assert_eq!(extensions, [EXTENSION]);
        self.ask(|reply| Call::Send(request, reply))
    }

    fn stream<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Events, CallError>> {
        assert_eq!(extensions, [EXTENSION]);
        self.ask(|reply| Call::Stream(request, reply))
    }

    fn get<'a>(
        &'a self,
        id: &'a str,
        _history: bool,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        assert_eq!(extensions, [EXTENSION]);
        self.ask(|reply| Call::Get(id.to_owned(), reply))
    }

    fn subscribe<'a>(&'a self, id: &'a str, extensions: &'a [String]) -> BoxFuture<'a, Result<Events, CallError>> {
        assert_eq!(extensions, [EXTENSION]);
        self.ask(|reply| Call::Subscribe(id.to_owned(), reply))
    }

    fn cancel<'a>(
        &'a self,
        id: &'a str,
        _metadata: Option<Struct>,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>> {
        assert_eq!(extensions, [EXTENSION]);
        self.ask(|reply| Call::Cancel(id.to_owned(), reply))
    }
}

pub fn settings(mode: Mode, on_lost: OnLost) -> Settings {
    Settings {
        name: "agent".into(),
        url: "http://agent.test".into(),
        interface: None,
        prefer: Vec::new(),
        headers: Vec::new(),
        tls: Default::default(),
        mode,
        on_lost,
        max_concurrency: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(30),
        idle_timeout: IDLE,
        unreachable_timeout: PATIENCE,
        poll_interval: POLL,
        card_refresh: Duration::from_secs(300),
        max_message: 1 << 20,
    }
}

/// The test's side of an agent.
pub struct Play {
    pub agent: A2aAgent,
    calls: mpsc::UnboundedReceiver<Call>,
    /// What the running turn has told.
    told: mpsc::UnboundedReceiver<Result<Update, AgentError>>,
    begun: Instant,
}

/// An agent that is called as `now` says.
pub fn play(settings: Settings, dialect: Dialect, now: Mode) -> Play {
    let (asked, calls) = mpsc::unbounded_channel();
    over(settings, Ok((Arc::new(Played(asked)), dialect, now)), calls)
}

/// One whose card has not been found.
pub fn unfound(settings: Settings, problem: &str) -> Play {
    over(settings, Err(problem.to_owned()), mpsc::unbounded_channel().1)
}

fn over(
    settings: Settings,
    route: Result<(Arc<dyn Link>, Dialect, Mode), String>,
    calls: mpsc::UnboundedReceiver<Call>,
) -> Play {
    let connection = Connection::given(settings, route);
    let agent = A2aAgent { inner: Arc::new(Inner { connection, metrics: Arc::new(Metrics::default()) }) };
    Play { agent, calls, told: mpsc::unbounded_channel().1, begun: Instant::now() }
}

impl Play {
    /// Runs a turn; its updates are what `told` and `end` give.
    pub fn run(&mut self, turn: Turn) {
        self.begun = Instant::now();
        let mut updates = self.agent.run(turn);
        let (tell, told) = mpsc::unbounded_channel();
        self.told = told;
        tokio::spawn(async move {
            while let Some(update) = updates.next().await {
                let _ = tell.send(update);
            }
        });
    }

    pub async fn call(&mut self) -> Call {
        let wait = tokio::time::timeout(Duration::from_secs(100_000), self.calls.recv());
        wait.await.expect("no call came").expect("the link is gone")
    }

    pub async fn sent(&mut self) -> (SendMessageRequest, oneshot::Sender<Result<Answer, CallError>>) {
        match self.call().await {
            Call::Send(request, reply) => (request, reply),
            other => panic!("not a send: {}", other.word()),
        }
    }

    pub async fn streamed(&mut self) -> (SendMessageRequest, oneshot::Sender<Result<Events, CallError>>) {
        match self.call().await {
            Call::Stream(request, reply) => (request, reply),
            other => panic!("not a streaming send: {}", other.word()),
        }
    }

    pub async fn got(&mut self) -> (String, oneshot::Sender<Result<Task, CallError>>) {
        match self.call().await {
            Call::Get(id, reply) => (id, reply),
            other => panic!("not a read: {}", other.word()),
        }
    }

    pub async fn subscribed(&mut self) -> (String, oneshot::Sender<Result<Events, CallError>>) {
        match self.call().await {
            Call::Subscribe(id, reply) => (id, reply),
            other => panic!("not a subscription: {}", other.word()),
        }
    }

    pub async fn canceled(&mut self) -> (String, oneshot::Sender<Result<Task, CallError>>) {
        match self.call().await {
            Call::Cancel(id, reply) => (id, reply),
            other => panic!("not a cancel: {}", other.word()),
        }
    }

    /// The next update, in words.
    pub async fn told(&mut self) -> String {
        let wait = tokio::time::timeout(Duration::from_secs(100_000), self.told.recv());
        match wait.await.expect("nothing was told").expect("the turn has ended") {
            Ok(update) => word(&update),
            Err(error) => format!("error: {error}"),
        }
    }

    /// What else the turn told until its end, and the error that it ended with.
    pub async fn end(&mut self) -> (Vec<String>, Option<AgentError>) {
        let mut words = Vec::new();
        while let Some(update) = self.told.recv().await {
            match update {
                Ok(update) => words.push(word(&update)),
                Err(error) => return (words, Some(error)),
            }
        }
        (words, None)
    }

    /// Since the turn began.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Call {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Send(..) => "send",
            Self::Stream(..) => "stream",
            Self::Get(..) => "get",
            Self::Subscribe(..) => "subscribe",
            Self::Cancel(..) => "cancel",
        }
    }
}

/// An update in a word or two.
pub fn word(update: &Update) -> String {
    let text = |parts: &[Part]| match parts.first().and_then(|part| part.content.as_ref()) {
        Some(Content::Text(text)) => text.clone(),
        _ => String::new(),
    };
    match update {
        Update::Sending => "sending".into(),
        Update::NotSent => "not sent".into(),
        Update::Known(upstream) => format!("known {}/{}", upstream.task_id, upstream.context_id),
        Update::Status { state, message, .. } => {
            let text = message.as_ref().map(|message| text(&message.parts)).unwrap_or_default();
            format!("{} {text}", crate::task::state::word(*state)).trim().to_owned()
        }
        Update::Artifact { artifact, append, .. } => {
            format!("{}{} {}", artifact.artifact_id, if *append { " +=" } else { " =" }, text(&artifact.parts))
        }
        Update::Reply(message) => format!("reply {}", text(&message.parts)),
    }
}

pub fn message(id: &str, text: &str) -> Message {
    let part = Part { content: Some(Content::Text(text.into())), ..Part::default() };
    Message { message_id: id.into(), role: Role::Agent.into(), parts: vec![part], ..Message::default() }
}

fn user(id: &str, text: &str) -> Message {
    Message { role: Role::User.into(), ..message(id, text) }
}

/// The first turn of a task.
pub fn turn() -> Turn {
    let status = TaskStatus { state: TaskState::Submitted.into(), ..TaskStatus::default() };
    let message = user("m-1", "go");
    Turn {
        task: Task { id: "gateway's".into(), status: Some(status), history: vec![message.clone()], ..Task::default() },
        message,
        metadata: None,
        accepted_output_modes: vec!["text/plain".into()],
        extensions: vec![EXTENSION.into()],
        upstream: Upstream { task_id: String::new(), context_id: "told".into() },
        resumed: false,
        queued: Instant::now(),
    }
}

/// The second turn of a task in which the agent asked for a name.
pub fn second_turn() -> Turn {
    let mut turn = turn();
    turn.task.status.as_mut().unwrap().set_state(TaskState::Working);
    turn.message = user("m-2", "Ada");
    turn.task.history.extend([question(), turn.message.clone()]);
    turn.upstream = Upstream { task_id: "t".into(), context_id: "c".into() };
    turn
}

pub fn question() -> Message {
    message("q-1", "your name?")
}

/// The agent's task.
pub fn task(state: TaskState) -> Task {
    let status = TaskStatus { state: state.into(), ..TaskStatus::default() };
    Task { id: "t".into(), context_id: "c".into(), status: Some(status), ..Task::default() }
}

pub fn event(state: TaskState) -> Event {
    Event::StatusUpdate(TaskStatusUpdateEvent {
        task_id: "t".into(),
        context_id: "c".into(),
        status: task(state).status,
        metadata: None,
    })
}

/// A stream of events; it panics when it is read beyond its end.
pub fn events() -> (mpsc::UnboundedSender<Result<Event, CallError>>, Events) {
    let (say, heard) = mpsc::unbounded_channel();
    let events = futures::stream::unfold(heard, |mut heard| async move { Some((heard.recv().await?, heard)) });
    (say, events.boxed())
}

pub fn unreached() -> CallError {
    CallError::Unreached("connection refused".into())
}

pub fn lost() -> CallError {
    CallError::Lost("connection reset".into())
}

pub fn busy(after: Option<Duration>) -> CallError {
    CallError::Busy { text: "too many".into(), after }
}

pub fn refusal(kind: ErrorKind) -> CallError {
    CallError::Refused { kind: Some(kind), text: "no".into() }
}

/// A task to cancel.
pub fn cancel(task_id: &str) -> Cancel {
    let upstream = Upstream { task_id: task_id.into(), context_id: "c".into() };
    Cancel { task: turn().task, upstream, sent: true, metadata: None, extensions: vec![EXTENSION.into()] }
}
