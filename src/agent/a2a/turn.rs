//! Running a turn at an A2A agent, whatever it speaks and however little it can do.
//!
//! A turn has two halves. `begin` gets the message to the agent: it waits for an agent that cannot be reached, as long as
//! the settings say, and sends a message again only when the agent has certainly not seen it, or the operator allows it.
//! `follow` takes the agent's task from wherever it is to its end by reading it, when a subscription says that there is
//! something to read or from time to time. It is what remains after a lost stream, an agent's restart and the gateway's own, so that all of them
//! lead to the same log.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::{
    Answer, CallError, Events, Inner, Pauses,
    connection::Route,
    mirror::{Mirror, Snapshot},
    settings::{Mode, OnLost},
};
use crate::{
    agent::{AgentError, Emitter, Turn, Update},
    error::ErrorKind,
    proto::a2a::{Message, SendMessageConfiguration, SendMessageRequest, Task, TaskState, stream_response::Payload},
    task::{Dialect, Upstream, state},
};

/// Between two tries to reach an agent.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The first pause between two polls.
const POLL: Duration = Duration::from_millis(100);
/// How long an agent may still show the question of the turn before until it is believed to mean it.
const STALE: Duration = Duration::from_secs(10);
/// How long a message may take to show in the agent's task.
const ARRIVAL: Duration = Duration::from_secs(2);
/// How often a turn is begun anew at an agent that forgets its tasks.
const ANEW: u32 = 3;

/// Runs a turn.
pub async fn run(inner: Arc<Inner>, turn: Turn, emitter: Emitter) -> Result<(), AgentError> {
    let later = !turn.upstream.task_id.is_empty();
    let mirror = Mirror::new(&turn.task, turn.upstream.clone(), &turn.message.message_id, later);
    let follow = turn.resumed && later;
    // The mirror has what is needed of it, and it may be large.
    let turn = Turn { task: Task { id: turn.task.id, ..Task::default() }, ..turn };
    let mut running = Running { inner, turn, emitter, mirror, later, anew: 0 };
    if follow { running.follow(None).await } else { running.begin().await }
}

struct Running {
    inner: Arc<Inner>,
    turn: Turn,
    emitter: Emitter,
    mirror: Mirror,
    /// Whether the agent knew the task before the turn.
    later: bool,
    /// How often the agent has forgotten the task, and got the message again.
    anew: u32,
}

/// How a stream of events ended.
enum End {
    /// The turn is over.
    Over,
    /// The agent closed it before.
    Closed,
    /// It failed.
    Failed(CallError),
}

impl Running {
    /// Gets the message to the agent, and stays with what comes of it.
    async fn begin(&mut self) -> Result<(), AgentError> {
        let mut pauses = Pauses::new(RETRY.0, RETRY.1);
        loop {
            let patience = self.inner.connection.settings().unreachable_timeout;
            let until = (self.turn.queued + patience).max(Instant::now() + RETRY.0);
            let route = self.inner.connection.route(until).await.map_err(|problem| unreachable(patience, &problem))?;
            self.emitter.emit(Update::Sending).await;
            let (text, after) = match self.send(&route).await {
                Ok(()) => return Ok(()),
                Err(Unsent::Failed(error)) => return Err(error),
                Err(Unsent::Again) => {
                    self.emitter.emit(Update::NotSent).await;
                    continue;
                }
                Err(Unsent::Unreached(text, after)) => (text, after),
            };
            self.emitter.emit(Update::NotSent).await;
            let Some(left) = left(self.turn.queued, patience) else {
                return Err(unreachable(patience, &text));
            };
            pauses.pause_as_asked(after, left).await;
        }
    }

    /// Sends the message in the way of the route.
    async fn send(&mut self, route: &Route) -> Result<(), Unsent> {
        match route.mode {
            Mode::Auto | Mode::Stream => {
                let call = route.link.stream(self.request(false), &self.turn.extensions);
                match self.inner.call(route, "SendStreamingMessage", call).await {
                    Ok(events) => self.stream(route, events).await,
                    Err(error) => self.not_streamed(route, error).await,
                }
            }
            mode => {
                let call = route.link.send(self.request(mode == Mode::Poll), &self.turn.extensions);
                match self.inner.call(route, "SendMessage", call).await {
                    Ok(Answer::Message(reply)) => {
                        self.emitter.emit(Update::Reply(reply)).await;
                        Ok(())
                    }
                    Ok(Answer::Task(task)) => {
                        if self.show(task, Snapshot::Fresh).await {
                            return Ok(());
                        }
                        self.follow(None).await.map_err(Unsent::Failed)
                    }
                    Err(error) => self.not_sent(route, error).await,
                }
            }
        }
    }

    /// The refusal of a stream: an agent that turns out not to stream is asked in another way.
    async fn not_streamed(&mut self, route: &Route, error: CallError) -> Result<(), Unsent> {
        let unsupported = matches!(&error, CallError::Refused { kind: Some(ErrorKind::UnsupportedOperation), .. });
        if unsupported && route.settings.mode == Mode::Auto && !self.later {
            tracing::info!(agent = route.settings.name, %error, "the agent does not stream: its tasks are polled");
            self.inner.connection.fall_back(route, Mode::Poll);
            return Err(Unsent::Again);
        }
        self.not_sent(route, error).await
    }

    /// What a failed send means for the turn.
    async fn not_sent(&mut self, route: &Route, error: CallError) -> Result<(), Unsent> {
        if self.has_settled_meanwhile(route, &error).await {
            return Ok(());
        }
        match error {
            CallError::Unreached(text) => Err(Unsent::Unreached(text, None)),
            CallError::Busy { text, after } => Err(Unsent::Unreached(text, after)),
            // The task is known: it will show whether the message has arrived.
            CallError::Lost(text) if self.later => self.follow(Some(text)).await.map_err(Unsent::Failed),
            CallError::Lost(text) => Err(self.lost(text)),
            CallError::Refused { kind: Some(ErrorKind::TaskNotFound), text } if self.later => {
                Err(Unsent::Failed(forgotten(&text)))
            }
            error => Err(Unsent::Failed(refused(error))),
        }
    }

    /// Whether an agent refuses a later message because it has settled the task by itself: then that is told.
    async fn has_settled_meanwhile(&mut self, route: &Route, error: &CallError) -> bool {
        let about_state = matches!(
            error,
            CallError::Refused { kind: Some(ErrorKind::UnsupportedOperation | ErrorKind::InvalidArgument), .. }
        );
        if !self.later || !about_state {
            return false;
        }
        let id = self.mirror.upstream.task_id.clone();
        let call = route.link.get(&id, true, &self.turn.extensions);
        let Ok(task) = self.inner.call(route, "GetTask", call).await else { return false };
        let settled = task.status.as_ref().is_some_and(|status| state::is_settled(status.state()));
        settled && self.show(task, Snapshot::Again).await
    }

    /// The connection was lost before the agent named the task.
    fn lost(&self, text: String) -> Unsent {
        match self.inner.connection.settings().on_lost {
            OnLost::Resend => Unsent::Unreached(text, None),
            OnLost::Fail => Unsent::Failed(unknown_fate(&text)),
        }
    }

    /// Stays with the stream that the message opened.
    async fn stream(&mut self, route: &Route, events: Events) -> Result<(), Unsent> {
        let end = self.consume(route, events).await;
        let known = !self.mirror.upstream.task_id.is_empty();
        let lost = match end {
            End::Over => return Ok(()),
            End::Closed => None,
            End::Failed(error @ CallError::Refused { .. }) if !known || self.mirror.is_waiting() => {
                return self.not_sent(route, error).await;
            }
            End::Failed(CallError::Busy { text, after }) if !known => return Err(Unsent::Unreached(text, after)),
            End::Failed(error @ CallError::Malformed(_)) => return Err(Unsent::Failed(refused(error))),
            End::Failed(error) => Some(error.to_string()),
        };
        if known {
            return self.follow(lost).await.map_err(Unsent::Failed);
        }
        Err(match lost {
            Some(text) => self.lost(text),
            None => {
                let problem = CallError::Malformed("its stream ended without naming or ending a task".to_owned());
                Unsent::Failed(refused(problem))
            }
        })
    }

    /// Tells what a stream says until the turn is over or the stream is.
    async fn consume(&mut self, route: &Route, mut events: Events) -> End {
        loop {
            // A stream may be alive and yet have nothing more to say, since its agent has restarted behind it.
            let next = tokio::time::timeout(route.settings.idle_timeout, events.next()).await;
            let event = match next {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return End::Failed(error),
                Ok(None) => return End::Closed,
                Err(_) => {
                    let text = format!("the stream said nothing for {:?}", route.settings.idle_timeout);
                    return End::Failed(CallError::Lost(text));
                }
            };
            let replied = matches!(event, Payload::Message(_));
            let updates = self.mirror.event(event);
            self.tell(updates).await;
            if replied || self.mirror.is_over() {
                return End::Over;
            }
        }
    }

    /// Takes the agent's task to its end. `lost`: why it has to be taken up again.
    async fn follow(&mut self, lost: Option<String>) -> Result<(), AgentError> {
        let mut following = Following::new(self.inner.connection.settings().poll_interval);
        if let Some(problem) = lost {
            let (agent, task) = (&self.inner.connection.settings().name, &self.turn.task.id);
            tracing::info!(agent, task, problem, "a stream was lost: the task is taken up again");
        }
        loop {
            let patience = self.inner.connection.settings().unreachable_timeout;
            let failing = following.failing.unwrap_or_else(Instant::now);
            let until = (failing + patience).max(Instant::now() + RETRY.0);
            let route = self.inner.connection.route(until).await.map_err(|problem| unreachable(patience, &problem))?;
            let id = self.mirror.upstream.task_id.clone();
            let began = Instant::now();
            let call = route.link.get(&id, true, &self.turn.extensions);
            let task = match self.inner.call(&route, "GetTask", call).await {
                Ok(task) => task,
                Err(error) => match self.not_read(error, &mut following, patience).await? {
                    Retry::Read => continue,
                    Retry::Send => return Box::pin(self.begin()).await,
                },
            };
            following.read(began);
            if self.lacks_message(&task, &following) {
                self.anew += 1;
                self.turn.queued = Instant::now();
                return Box::pin(self.begin()).await;
            }
            let before = self.mirror.state();
            let waits = task.status.as_ref().is_some_and(|status| status.state() == TaskState::Submitted);
            if self.show(task, Snapshot::Again).await {
                return Ok(());
            }
            if waits && route.dialect == Dialect::Praison && route.mode == Mode::Stream {
                return Err(untold());
            }
            if self.mirror.is_waiting() && following.begun.elapsed() > STALE {
                self.mirror.stop_waiting();
            }
            if before != self.mirror.state() {
                following.pauses.reset();
            }
            // An agent that may not have the message has nothing to say: it is read until that is clear.
            if route.dialect == Dialect::V1 && route.mode == Mode::Stream && !self.mirror.is_waiting() {
                following.subscribe(&self.inner, &route, &id, &self.turn.extensions).await;
            }
            following.wait(&route).await;
        }
    }

    /// What a failed read means for the turn.
    async fn not_read(
        &mut self,
        error: CallError,
        following: &mut Following,
        patience: Duration,
    ) -> Result<Retry, AgentError> {
        match error {
            CallError::Refused { kind: Some(ErrorKind::TaskNotFound), text } => {
                let resend = self.inner.connection.settings().on_lost == OnLost::Resend && !self.later;
                if !resend || self.anew == ANEW {
                    return Err(forgotten(&text));
                }
                self.anew += 1;
                // A task of its own, in the same conversation.
                self.mirror.upstream.task_id.clear();
                let context_id = self.mirror.upstream.context_id.clone();
                self.turn.upstream = Upstream { task_id: String::new(), context_id };
                self.turn.queued = Instant::now();
                Ok(Retry::Send)
            }
            CallError::Refused { kind: Some(ErrorKind::UnsupportedOperation), text } => {
                tracing::warn!(text, "an agent's tasks cannot be read: its setting may have to be mode = \"blocking\"");
                Err(AgentError::failed(format!(
                    "The agent does not let its tasks be read, so that this one cannot be followed: {}",
                    plain(&text)
                )))
            }
            CallError::Malformed(text) => {
                Err(AgentError::failed(format!("The agent's answer is not A2A: {}", plain(&text))))
            }
            CallError::Busy { .. } | CallError::Unreached(_) | CallError::Lost(_) | CallError::Refused { .. } => {
                let failing = *following.failing.get_or_insert_with(Instant::now);
                let Some(left) = left(failing, patience) else {
                    return Err(unreachable(patience, &error.to_string()));
                };
                let after = if let CallError::Busy { after, .. } = error { after } else { None };
                following.retries.pause_as_asked(after, left).await;
                Ok(Retry::Read)
            }
        }
    }

    /// Whether the agent's task still waits for an answer and shows that it never got this one, which may then be sent
    /// again.
    fn lacks_message(&self, task: &Task, following: &Following) -> bool {
        let waits = task.status.as_ref().is_some_and(|status| state::is_interrupted(status.state()));
        waits && self.anew < ANEW && following.begun.elapsed() > ARRIVAL && self.mirror.is_unsent(&task.history)
    }

    /// Tells what the agent's task has that has not been told; whether the turn is over.
    async fn show(&mut self, task: Task, how: Snapshot) -> bool {
        let updates = self.mirror.snapshot(task, how);
        self.tell(updates).await;
        self.mirror.is_over()
    }

    async fn tell(&self, updates: Vec<Update>) {
        for update in updates {
            self.emitter.emit(update).await;
        }
    }

    /// The message as the agent is to get it.
    fn request(&self, return_immediately: bool) -> SendMessageRequest {
        let Upstream { task_id, context_id } = self.turn.upstream.clone();
        SendMessageRequest {
            tenant: String::new(),
            message: Some(Message { task_id, context_id, ..self.turn.message.clone() }),
            configuration: Some(SendMessageConfiguration {
                accepted_output_modes: self.turn.accepted_output_modes.clone(),
                task_push_notification_config: None,
                history_length: None,
                return_immediately,
            }),
            metadata: self.turn.metadata.clone(),
        }
    }
}

/// Why a message has not led to anything.
enum Unsent {
    /// The agent has not seen it, or may get it again. When to try again, where it said so.
    Unreached(String, Option<Duration>),
    /// It is to be sent in another way.
    Again,
    /// The turn has failed.
    Failed(AgentError),
}

/// What to do after a read that failed.
enum Retry {
    Read,
    Send,
}

/// How far following a task has come.
struct Following {
    pauses: Pauses,
    retries: Pauses,
    begun: Instant,
    /// Since when the agent cannot be read.
    failing: Option<Instant>,
    /// How long reading the task took.
    effort: Duration,
    /// A subscription. What it says only tells that the task is to be read again: agents are known to repeat in it what
    /// the task already had, and reading leaves no doubt.
    bell: Option<Events>,
    /// Whether the agent refuses subscriptions.
    silent: bool,
    /// Whether a subscription has just ended: the next one waits until the task was read after a pause, since there are
    /// agents that end each at once.
    ended: bool,
}

impl Following {
    fn new(longest: Duration) -> Self {
        Self {
            pauses: Pauses::new(POLL, longest),
            retries: Pauses::new(RETRY.0, RETRY.1),
            begun: Instant::now(),
            failing: None,
            effort: Duration::ZERO,
            bell: None,
            silent: false,
            ended: false,
        }
    }

    /// The task was read.
    fn read(&mut self, began: Instant) {
        self.failing = None;
        self.effort = began.elapsed();
        self.retries.reset();
    }

    /// Subscribes to the task, unless that is so already or the agent refuses.
    async fn subscribe(&mut self, inner: &Inner, route: &Route, id: &str, extensions: &[String]) {
        if self.bell.is_some() || self.silent || std::mem::take(&mut self.ended) {
            return;
        }
        match inner.call(route, "SubscribeToTask", route.link.subscribe(id, extensions)).await {
            Ok(events) => self.bell = Some(events),
            // Whether the task is there is for reading it to say.
            Err(error) => {
                tracing::debug!(%error, "no subscription");
                self.silent = matches!(error, CallError::Refused { .. } | CallError::Malformed(_));
            }
        }
    }

    /// Waits until the task is to be read again. One that takes long to read is read less often.
    async fn wait(&mut self, route: &Route) {
        let pace = POLL.max(self.effort * 4);
        if let Some(bell) = &mut self.bell {
            // A subscription may be alive and yet say nothing, since the agent has restarted behind it.
            match tokio::time::timeout(route.settings.idle_timeout, bell.next()).await {
                Ok(Some(Ok(_))) => {
                    tokio::time::sleep(pace).await;
                    let rest = loop {
                        match bell.next().now_or_never() {
                            Some(Some(Ok(_))) => {}
                            rest => break rest,
                        }
                    };
                    if rest.is_some() {
                        self.bell = None;
                        self.ended = true;
                    }
                    return;
                }
                Err(_) => return,
                Ok(Some(Err(_)) | None) => self.bell = None,
            }
        }
        tokio::time::sleep(pace.saturating_sub(self.pauses.next)).await;
        self.pauses.pause().await;
    }
}

/// What is left of a patience that began then; none: nothing.
fn left(begun: Instant, patience: Duration) -> Option<Duration> {
    Some((begun + patience).saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

fn unreachable(patience: Duration, problem: &str) -> AgentError {
    AgentError::failed(format!("The agent could not be reached for {patience:?}: {}", plain(problem)))
}

fn unknown_fate(problem: &str) -> AgentError {
    AgentError::failed(format!(
        "The connection to the agent was lost before it named the task, so its outcome is unknown: {}",
        plain(problem)
    ))
}

/// PraisonAI's agents note nothing of a task that they stream: it stays as it was before the stream.
fn untold() -> AgentError {
    AgentError::failed(
        "The agent's stream was lost, and it does not say what became of the task. With the setting mode = \"poll\" \
         its tasks can be read.",
    )
}

fn forgotten(text: &str) -> AgentError {
    AgentError::failed(format!("The agent no longer knows the task; it may have restarted. It says: {}", plain(text)))
}

/// The text without the agent's address, which is no business of callers. The log has it.
fn plain(text: &str) -> String {
    let word = |word: &str| match word.find("http://").or_else(|| word.find("https://")) {
        Some(at) => format!("{}the agent{}", &word[..at], if word.ends_with(':') { ":" } else { "" }),
        None => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// An agent's refusal of the message, as its caller is to get it.
fn refused(error: CallError) -> AgentError {
    tracing::debug!(%error, "refused");
    match error {
        CallError::Refused { kind: Some(kind), text } => match kind {
            ErrorKind::InvalidArgument
            | ErrorKind::ContentTypeNotSupported
            | ErrorKind::UnsupportedOperation
            | ErrorKind::ExtensionSupportRequired => {
                AgentError::refused(kind, format!("The agent refused the message: {}", plain(&text)))
            }
            ErrorKind::InvalidAgentResponse => AgentError::refused(kind, format!("The agent failed: {}", plain(&text))),
            _ => AgentError::failed(format!("The agent refused the message: {}", plain(&text))),
        },
        CallError::Malformed(text) => {
            let text = format!("The agent's answer is not A2A: {}", plain(&text));
            AgentError::refused(ErrorKind::InvalidAgentResponse, text)
        }
        error => AgentError::failed(format!("The agent failed: {}", plain(&error.to_string()))),
    }
}
