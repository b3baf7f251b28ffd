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
    proto::a2a::{Message, SendMessageConfiguration, SendMessageRequest, Task, stream_response::Payload},
    task::{Dialect, Upstream},
};

/// Between two tries to reach an agent.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The first pause between two polls.
const POLL: Duration = Duration::from_millis(100);
/// Polls after which an agent that still shows the question of the turn before is believed to mean it.
const STALE_POLLS: u32 = 5;

/// Runs a turn.
pub async fn run(inner: Arc<Inner>, turn: Turn, emitter: Emitter) -> Result<(), AgentError> {
    let later = !turn.upstream.task_id.is_empty();
    let mirror = Mirror::new(&turn.task, turn.upstream.clone(), &turn.message.message_id, later);
    let follow = turn.resumed && later;
    let mut running = Running { inner, turn, emitter, mirror, later };
    if follow { running.follow(None).await } else { running.begin().await }
}

struct Running {
    inner: Arc<Inner>,
    turn: Turn,
    emitter: Emitter,
    mirror: Mirror,
    /// Whether the agent knew the task before the turn.
    later: bool,
}

/// How a stream of events ended.
enum End {
    /// The turn is over.
    Over,
    /// The agent closed it before.
    Closed,
    /// It was lost before it said anything.
    Mute(String),
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
                Err(Unsent::Again) => (String::new(), Some(Duration::ZERO)),
                Err(Unsent::Unreached(text, after)) => (text, after),
            };
            self.emitter.emit(Update::NotSent).await;
            if Instant::now() + after.unwrap_or_default() > self.turn.queued + patience {
                return Err(unreachable(patience, &text));
            }
            match after {
                Some(after) => tokio::time::sleep(after).await,
                None => pauses.pause().await,
            }
        }
    }

    /// Sends the message in the way of the route.
    async fn send(&mut self, route: &Route) -> Result<(), Unsent> {
        match route.mode {
            Mode::Auto | Mode::Stream => {
                let call = route.link.stream(self.request(false));
                match self.inner.call(route, "SendStreamingMessage", call).await {
                    Ok(events) => self.stream(route, events).await,
                    Err(error) => self.not_streamed(route, error).await,
                }
            }
            mode => {
                let call = route.link.send(self.request(mode == Mode::Poll));
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
                    Err(error) => self.not_sent(error).await,
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
        self.not_sent(error).await
    }

    /// What a failed send means for the turn.
    async fn not_sent(&mut self, error: CallError) -> Result<(), Unsent> {
        match error {
            CallError::Unreached(text) => Err(Unsent::Unreached(text, None)),
            CallError::Busy { text, after } => Err(Unsent::Unreached(text, after)),
            // The task is known: it will show whether the message has arrived.
            CallError::Lost(text) if self.later => self.follow(Some(text)).await.map_err(Unsent::Failed),
            CallError::Lost(text) => match self.inner.connection.settings().on_lost {
                OnLost::Resend => Err(Unsent::Unreached(text, None)),
                OnLost::Fail => Err(Unsent::Failed(unknown_fate(&text))),
            },
            CallError::Refused { kind: Some(ErrorKind::TaskNotFound), text } if self.later => {
                Err(Unsent::Failed(forgotten(&text)))
            }
            error => Err(Unsent::Failed(refused(error))),
        }
    }

    /// Stays with the stream that the message opened.
    async fn stream(&mut self, route: &Route, events: Events) -> Result<(), Unsent> {
        let end = self.consume(route, events).await;
        let known = !self.mirror.upstream.task_id.is_empty();
        let lost = match end {
            End::Over => return Ok(()),
            End::Closed => None,
            // As a send that was lost.
            End::Mute(text) => return self.not_sent(CallError::Lost(text)).await,
            End::Failed(CallError::Refused { kind, text }) if !known || self.mirror.is_waiting() => {
                return Err(Unsent::Failed(refused(CallError::Refused { kind, text })));
            }
            End::Failed(error @ CallError::Malformed(_)) => return Err(Unsent::Failed(refused(error))),
            End::Failed(error) => Some(error.to_string()),
        };
        let result = match lost {
            lost if known => self.follow(lost).await,
            Some(text) => Err(unknown_fate(&text)),
            None => Err(refused(CallError::Malformed("its stream ended without saying anything".to_owned()))),
        };
        result.map_err(Unsent::Failed)
    }

    /// Tells what a stream says until the turn is over or the stream is.
    async fn consume(&mut self, route: &Route, mut events: Events) -> End {
        let mut mute = true;
        loop {
            // A stream may be alive and yet have nothing more to say, since its agent has restarted behind it.
            let next = tokio::time::timeout(route.settings.idle_timeout, events.next()).await;
            let event = match next {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(CallError::Lost(text)))) if mute => return End::Mute(text),
                Ok(Some(Err(error))) => return End::Failed(error),
                Ok(None) => return End::Closed,
                Err(_) => {
                    let text = format!("the stream said nothing for {:?}", route.settings.idle_timeout);
                    return if mute { End::Mute(text) } else { End::Failed(CallError::Lost(text)) };
                }
            };
            mute = false;
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
            let until = (following.heard + patience).max(Instant::now() + RETRY.0);
            let route = self.inner.connection.route(until).await.map_err(|problem| unreachable(patience, &problem))?;
            let id = self.mirror.upstream.task_id.clone();
            let began = Instant::now();
            let task = match self.inner.call(&route, "GetTask", route.link.get(&id, true)).await {
                Ok(task) => task,
                Err(error) => match self.not_read(error, &mut following, patience).await? {
                    Retry::Read => continue,
                    Retry::Send => return Box::pin(self.begin()).await,
                },
            };
            following.read(began);
            let before = self.mirror.state();
            if self.show(task, Snapshot::Again).await {
                return Ok(());
            }
            if self.mirror.is_waiting() {
                following.stale += 1;
                if following.stale > STALE_POLLS {
                    self.mirror.stop_waiting();
                }
            }
            if before != self.mirror.state() {
                following.pauses.reset();
            }
            // An agent that may not have the message has nothing to say: it is read until that is clear.
            if route.dialect == Dialect::V1 && route.mode == Mode::Stream && !self.mirror.is_waiting() {
                following.subscribe(&self.inner, &route, &id).await;
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
                if !resend {
                    return Err(forgotten(&text));
                }
                // A task of its own, in the same conversation.
                self.mirror.upstream.task_id.clear();
                let context_id = self.mirror.upstream.context_id.clone();
                self.turn.upstream = Upstream { task_id: String::new(), context_id };
                self.turn.queued = Instant::now();
                Ok(Retry::Send)
            }
            CallError::Refused { kind: Some(ErrorKind::UnsupportedOperation), text } => {
                Err(AgentError::failed(format!(
                    "The agent lost its stream and does not let its tasks be read ({text}). With the setting mode = \
                 \"blocking\" it is asked in one call instead."
                )))
            }
            CallError::Malformed(text) => Err(AgentError::failed(format!("The agent's answer is not A2A: {text}"))),
            CallError::Busy { .. } | CallError::Unreached(_) | CallError::Lost(_) | CallError::Refused { .. } => {
                if following.heard.elapsed() > patience {
                    return Err(unreachable(patience, &error.to_string()));
                }
                match error {
                    CallError::Busy { after: Some(after), .. } => tokio::time::sleep(after).await,
                    _ => following.retries.pause().await,
                }
                Ok(Retry::Read)
            }
        }
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
    /// When the agent was last heard.
    heard: Instant,
    /// How long reading the task took.
    effort: Duration,
    /// A subscription. What it says only tells that the task is to be read again: agents are known to repeat in it what
    /// the task already had, and reading leaves no doubt.
    bell: Option<Events>,
    /// Whether the agent refuses subscriptions.
    silent: bool,
    /// Polls that showed the turn before.
    stale: u32,
}

impl Following {
    fn new(longest: Duration) -> Self {
        Self {
            pauses: Pauses::new(POLL, longest),
            retries: Pauses::new(RETRY.0, RETRY.1),
            heard: Instant::now(),
            effort: Duration::ZERO,
            bell: None,
            silent: false,
            stale: 0,
        }
    }

    /// The task was read.
    fn read(&mut self, began: Instant) {
        self.heard = Instant::now();
        self.effort = began.elapsed();
        self.retries.reset();
    }

    /// Subscribes to the task, unless that is so already or the agent refuses.
    async fn subscribe(&mut self, inner: &Inner, route: &Route, id: &str) {
        if self.bell.is_some() || self.silent {
            return;
        }
        match inner.call(route, "SubscribeToTask", route.link.subscribe(id)).await {
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
                    while let Some(Some(Ok(_))) = bell.next().now_or_never() {}
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

fn unreachable(patience: Duration, problem: &str) -> AgentError {
    AgentError::failed(format!("The agent could not be reached for {patience:?}: {problem}"))
}

fn unknown_fate(problem: &str) -> AgentError {
    AgentError::failed(format!(
        "The connection to the agent was lost before it named the task, so its outcome is unknown: {problem}"
    ))
}

fn forgotten(text: &str) -> AgentError {
    AgentError::failed(format!("The agent no longer knows the task; it may have restarted. It says: {text}"))
}

/// An agent's refusal of the message, as its caller is to get it.
fn refused(error: CallError) -> AgentError {
    match error {
        CallError::Refused { kind: Some(kind), text } => match kind {
            ErrorKind::InvalidArgument
            | ErrorKind::ContentTypeNotSupported
            | ErrorKind::UnsupportedOperation
            | ErrorKind::ExtensionSupportRequired => {
                AgentError::refused(kind, format!("The agent refused the message: {text}"))
            }
            ErrorKind::InvalidAgentResponse => AgentError::refused(kind, format!("The agent failed: {text}")),
            _ => AgentError::failed(format!("The agent refused the message: {text}")),
        },
        CallError::Malformed(text) => {
            AgentError::refused(ErrorKind::InvalidAgentResponse, format!("The agent's answer is not A2A: {text}"))
        }
        error => AgentError::failed(format!("The agent failed: {error}")),
    }
}
