//! The A2A operations, without a transport: what gRPC and JSON-RPC share, so that both give the same answers.
//!
//! Requests are those of A2A 1.0; the older dialects have been translated before. Which agent a request is for is said by
//! its [`Origin`] (the path, or gRPC metadata) or by its `tenant`; tasks of other agents do not exist for it then.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    engine::{AgentStatus, Caller, Engine, From, ListQuery, Outcome, Reply, Submit, Submitted, Until, Watch},
    error::{Error, ErrorKind, Result},
    proto::{
        a2a::{
            CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, Message, Role,
            SendMessageConfiguration, SendMessageRequest, SubscribeToTaskRequest, Task, TaskState, TaskStatus,
            TaskStatusUpdateEvent, send_message_response::Payload as Answer, stream_response::Payload,
        },
        well_known::Timestamp,
    },
    server::extensions::Extensions,
    task::{Dialect, Event, Record, TaskId, completed_with, cut_history, state, validate::Violations},
};

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The caller.
    pub caller: Caller,
    /// The dialect of the request.
    pub dialect: Dialect,
    /// Makes a send idempotent; empty: not.
    pub request_id: String,
    /// The agent that the request's path or metadata names; empty: neither does.
    pub agent: String,
    /// The extensions that it asks for; what is active is noted there.
    pub extensions: Extensions,
}

impl Origin {
    /// Of a request whose metadata cannot be read: nobody's.
    pub fn unread(dialect: Dialect) -> Self {
        let (request_id, agent) = (String::new(), String::new());
        Self { caller: Caller::default(), dialect, request_id, agent, extensions: Extensions::default() }
    }
}

/// The A2A operations.
#[derive(Clone)]
pub struct A2a {
    pub(in crate::server) engine: Engine,
    auth_required_idle: Duration,
}

impl A2a {
    /// The operations on an engine. `auth_required_idle`: how long a stream stays open, without an event, on a task
    /// that waits for its caller.
    pub fn new(engine: Engine, auth_required_idle: Duration) -> Self {
        Self { engine, auth_required_idle }
    }

    /// Sends a message and answers with what came of it, or with the stored task when the caller does not wait.
    pub async fn send(&self, origin: &Origin, mut request: SendMessageRequest) -> Result<Answer> {
        let configuration = request.configuration.take().unwrap_or_default();
        let (wait, history_length) = (!configuration.return_immediately, configuration.history_length);
        // PraisonAI's dialect has no bare messages: its callers see a direct reply as a completed task.
        let direct = wait && origin.dialect != Dialect::Praison;
        let reply = if direct { Reply::Message } else { Reply::Task };
        let submitted = self.submit(origin, request, configuration, reply).await?;
        if !wait {
            let mut task = submitted.record().task.clone();
            cut_history(&mut task, history_length);
            return Ok(Answer::Task(task));
        }
        Ok(match submitted.outcome(None, history_length).await? {
            Outcome::Task(record) => Answer::Task(record.task),
            Outcome::Message(message) => Answer::Message(*message),
        })
    }

    /// Sends a message and streams what comes of it: the task and then its updates, or the agent's single message.
    pub async fn stream(&self, origin: &Origin, mut request: SendMessageRequest) -> Result<Updates> {
        let configuration = request.configuration.take().unwrap_or_default();
        let history_length = configuration.history_length;
        let reply = if origin.dialect == Dialect::Praison { Reply::Task } else { Reply::Message };
        let submitted = self.submit(origin, request, configuration, reply).await?;
        let watch = submitted.stream(until(origin.dialect)).await?;
        let may_open = if reply == Reply::Message { Opening::Answer } else { Opening::Task };
        Ok(self.updates(origin, watch, history_length, may_open))
    }

    /// Reads one task.
    pub async fn get(&self, origin: &Origin, request: GetTaskRequest) -> Result<Record> {
        let agent = self.agent(origin, request.tenant)?;
        let id = TaskId::parse("id", &request.id)?;
        let record = self.engine.get(&origin.caller, id, request.history_length).await?;
        self.check_agent(&agent, &record)?;
        origin.extensions.note_task(&self.engine, &record);
        Ok(record)
    }

    /// Lists the caller's tasks; where an agent is named: those of that agent.
    pub async fn list(&self, origin: &Origin, request: ListTasksRequest) -> Result<ListTasksResponse> {
        let states = match task_state("status", request.status)? {
            TaskState::Unspecified => Vec::new(),
            state => vec![state],
        };
        let query = ListQuery {
            agent: self.agent(origin, request.tenant)?,
            context_id: request.context_id,
            states,
            updated_after: request
                .status_timestamp_after
                .map(|t| timestamp("status_timestamp_after", t))
                .transpose()?,
            page_size: request.page_size,
            page_token: request.page_token,
            history_length: request.history_length,
            include_artifacts: request.include_artifacts.unwrap_or(false),
        };
        let page = self.engine.list(&origin.caller, query).await.map_err(in_a2a_names)?;
        Ok(ListTasksResponse {
            tasks: page.records.into_iter().map(|record| record.task).collect(),
            next_page_token: page.next_page_token,
            page_size: page.page_size,
            total_size: i32::try_from(page.total).unwrap_or(i32::MAX),
        })
    }

    /// Cancels a task. One that is canceled already is returned as it is, as 1.0 has it (section 3.1.5); to 0.3 it is not
    /// cancelable (section 8.2).
    pub async fn cancel(&self, origin: &Origin, request: CancelTaskRequest) -> Result<Record> {
        let agent = self.agent(origin, request.tenant)?;
        let id = TaskId::parse("id", &request.id)?;
        let refuses_canceled = origin.dialect == Dialect::V03;
        if !agent.is_empty() || refuses_canceled {
            let record = self.engine.get(&origin.caller, id, Some(0)).await?;
            if !agent.is_empty() {
                self.check_agent(&agent, &record)?;
            }
            let state = record.task.status.as_ref().map(TaskStatus::state);
            // PraisonAI's clients, whose lookups look like those of 0.3, cancel as often as they like.
            let refuses_canceled = refuses_canceled && record.dialect != Dialect::Praison;
            if refuses_canceled && state == Some(TaskState::Canceled) {
                return Err(Error::task_not_cancelable(&request.id, state::word(TaskState::Canceled)));
            }
        }
        let record = self.engine.cancel(&origin.caller, id, request.metadata).await?;
        origin.extensions.note_task(&self.engine, &record);
        Ok(record)
    }

    /// Streams a task that has not settled. With `resume`, the sequence of the last event seen: what came after it,
    /// also of a settled task.
    pub async fn subscribe(
        &self,
        origin: &Origin,
        request: SubscribeToTaskRequest,
        resume: Option<u64>,
    ) -> Result<Updates> {
        let agent = self.agent(origin, request.tenant)?;
        let id = TaskId::parse("id", &request.id)?;
        let record = self.engine.get(&origin.caller, id, Some(0)).await?;
        self.check_agent(&agent, &record)?;
        origin.extensions.note_task(&self.engine, &record);
        let from = match resume {
            Some(sequence) => From::After(sequence),
            None if has_settled(&record.task) => {
                let message = "the task has settled: read it, or resume its stream with Last-Event-ID";
                return Err(Error::new(ErrorKind::UnsupportedOperation, message).with("taskId", id));
            }
            None => From::Snapshot,
        };
        let watch = self.engine.watch(&origin.caller, id, from, until(origin.dialect)).await?;
        Ok(self.updates(origin, watch, None, Opening::Task))
    }

    /// The agent whose extended card a request is for.
    ///
    /// # Errors
    /// `AgentNotFound`; `InvalidArgument` when the request names two.
    pub fn status(&self, origin: &Origin, tenant: String) -> Result<AgentStatus> {
        self.agent(origin, tenant).and_then(|agent| self.engine.agent(&agent))
    }

    async fn submit(
        &self,
        origin: &Origin,
        request: SendMessageRequest,
        configuration: SendMessageConfiguration,
        reply: Reply,
    ) -> Result<Submitted> {
        let agent = self.agent(origin, request.tenant)?;
        let push = configuration.task_push_notification_config;
        if push.is_some() {
            self.offers_push(origin)?;
        }
        check_history_length("configuration.history_length", configuration.history_length)?;
        let message = request.message.ok_or_else(|| Error::invalid("message", "is required"))?;
        if let (false, Some(id)) = (origin.agent.is_empty(), TaskId::known(&message.task_id)) {
            let record = self.engine.get(&origin.caller, id, Some(0)).await?;
            self.check_agent(&agent, &record)?;
        }
        let webhooks = push.map(|config| self.inline_push(origin, &message.task_id, config)).transpose()?;
        let submit = Submit {
            agent,
            message,
            metadata: request.metadata,
            accepted_output_modes: configuration.accepted_output_modes,
            extensions: origin.extensions.asked().to_vec(),
            timeout: None,
            webhooks: webhooks.into_iter().collect(),
            request_id: origin.request_id.clone(),
            dialect: origin.dialect,
            reply,
        };
        let submitted = self.engine.submit(&origin.caller, submit).await.map_err(in_a2a_names)?;
        origin.extensions.note_turn(&self.engine, submitted.record());
        Ok(submitted)
    }

    /// The agent that a request is for; empty: it names none.
    ///
    /// # Errors
    /// `AgentNotFound` when its path or metadata names an unknown one, `InvalidArgument` naming `tenant` when that says
    /// otherwise.
    pub fn agent(&self, origin: &Origin, tenant: String) -> Result<String> {
        let named = &origin.agent;
        if named.is_empty() {
            return Ok(tenant);
        }
        self.engine.agent(named)?;
        if tenant.is_empty() || tenant == *named {
            return Ok(named.clone());
        }
        Err(Error::invalid("tenant", format!("must be empty or {named}, the agent that the request is sent to")))
    }

    /// A task of another agent than the named one does not exist for the request.
    pub(super) fn check_agent(&self, named: &str, record: &Record) -> Result<()> {
        if named.is_empty() || *record.agent == *named {
            return Ok(());
        }
        self.engine.agent(named)?;
        Err(Error::task_not_found(&record.task.id))
    }

    fn updates(&self, origin: &Origin, watch: Watch, history_length: Option<i32>, opening: Opening) -> Updates {
        let dialect = origin.dialect;
        let idle = self.auth_required_idle;
        Updates { watch, dialect, history_length, opening, has_artifacts: false, idle, idle_until: None }
    }
}

/// What a stream may open with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// The task, or the agent's message instead of one.
    Answer,
    /// The task, or what follows the position to resume from.
    Task,
    /// It has opened: only updates follow.
    Done,
}

/// A task's events in the order and form that A2A gives its streams: exactly one message; or the task, then status and
/// artifact updates. The caller's own messages are left out, and a direct reply to a task is the status that it means.
pub struct Updates {
    watch: Watch,
    dialect: Dialect,
    history_length: Option<i32>,
    opening: Opening,
    has_artifacts: bool,
    idle: Duration,
    /// Set while the task waits for its caller.
    idle_until: Option<Instant>,
}

impl Updates {
    /// The next events: at least one, in order; none at the end. Cancel safe.
    pub async fn next_batch(&mut self) -> Option<Result<Vec<Arc<Event>>>> {
        loop {
            let next = self.watch.next_batch();
            let batch = match self.idle_until {
                Some(deadline) => tokio::time::timeout_at(deadline, next).await.ok()?,
                None => next.await,
            }?;
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            };
            if let Some(last) = batch.last() {
                self.idle_until = state::is_interrupted(last.state).then(|| Instant::now() + self.idle);
            }
            let batch = self.adapt(batch);
            if !batch.is_empty() {
                return Some(Ok(batch));
            }
        }
    }

    fn adapt(&mut self, batch: Vec<Arc<Event>>) -> Vec<Arc<Event>> {
        let update =
            |event: &Arc<Event>| matches!(event.payload(), Payload::StatusUpdate(_) | Payload::ArtifactUpdate(_));
        if self.dialect != Dialect::Praison && batch.iter().all(update) {
            self.opening = Opening::Done;
            return batch;
        }
        let mut adapted = Vec::with_capacity(batch.len() + 1);
        for event in &batch {
            self.adapt_one(event, &mut adapted);
        }
        adapted
    }

    fn adapt_one(&mut self, event: &Arc<Event>, out: &mut Vec<Arc<Event>>) {
        let with = |payload| Arc::new(Event::new(event.task_id, event.sequence, event.time, event.state, payload));
        if let Payload::Task(task) = event.payload() {
            self.has_artifacts |= !task.artifacts.is_empty();
        }
        match event.payload() {
            Payload::Message(message) if message.role != i32::from(Role::Agent) => return,
            Payload::Message(_) if self.opening == Opening::Answer => out.push(Arc::clone(event)),
            Payload::Message(reply) => {
                self.show_as_artifact(reply, with, out);
                out.push(with(completed(event, reply)));
            }
            // A second task would break the order, and raises in clients of 0.3.
            Payload::Task(_) if self.opening == Opening::Done => return,
            Payload::Task(task) if self.history_length.is_some() => {
                let mut task = task.clone();
                cut_history(&mut task, self.history_length);
                out.push(with(Payload::Task(task)));
            }
            Payload::Task(_) => out.push(Arc::clone(event)),
            Payload::StatusUpdate(update) => {
                if let Some(reply) = update.status.as_ref().and_then(completing) {
                    self.show_as_artifact(reply, with, out);
                }
                out.push(Arc::clone(event));
            }
            Payload::ArtifactUpdate(_) => {
                self.has_artifacts = true;
                out.push(Arc::clone(event));
            }
        }
        self.opening = Opening::Done;
    }

    /// PraisonAI's clients look for results in artifacts: there, the reply that completes a task without any is shown as
    /// one first. A message is written so in their dialect.
    fn show_as_artifact(&self, reply: &Message, with: impl Fn(Payload) -> Arc<Event>, out: &mut Vec<Arc<Event>>) {
        if self.dialect == Dialect::Praison && !self.has_artifacts && !reply.parts.is_empty() {
            out.push(with(Payload::Message(reply.clone())));
        }
    }
}

/// The message with which a status completes a task.
fn completing(status: &TaskStatus) -> Option<&Message> {
    status.message.as_ref().filter(|_| status.state() == TaskState::Completed)
}

/// The status that a direct reply to a task means.
fn completed(event: &Event, reply: &Message) -> Payload {
    Payload::StatusUpdate(TaskStatusUpdateEvent {
        task_id: event.task_id.to_string(),
        context_id: reply.context_id.clone(),
        status: Some(completed_with(reply.clone(), event.timestamp())),
        metadata: None,
    })
}

/// When a dialect's streams end by themselves.
fn until(dialect: Dialect) -> Until {
    match dialect {
        Dialect::V1 => Until::InputRequired,
        Dialect::V03 | Dialect::Praison => Until::Interrupted,
    }
}

/// Reads a task state that a caller sent in `field`.
///
/// # Errors
/// `InvalidArgument` naming the field.
pub fn task_state(field: &str, value: i32) -> Result<TaskState> {
    TaskState::try_from(value).map_err(|_| Error::invalid(field, format!("has the unknown value {value}")))
}

/// Checks a timestamp that a caller sent in `field`.
///
/// # Errors
/// `InvalidArgument` naming the field when it lies outside the years 1 to 9999.
pub fn timestamp(field: &str, value: Timestamp) -> Result<Timestamp> {
    const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    if YEARS.contains(&value.seconds) && (0..1_000_000_000).contains(&value.nanos) {
        Ok(value)
    } else {
        Err(Error::invalid(field, "must be a time in the years 1 to 9999"))
    }
}

/// Checks a history length that a caller sent in `field`.
///
/// # Errors
/// `InvalidArgument` naming the field when it is negative.
pub fn check_history_length(field: &str, length: Option<i32>) -> Result<()> {
    let mut violations = Violations::default();
    violations.history_length(field, length);
    violations.check()
}

fn has_settled(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| state::is_settled(status.state()))
}

/// The error with its fields named as A2A names them.
pub(super) fn in_a2a_names(error: Error) -> Error {
    if error.field_violations().is_empty() {
        return error;
    }
    let named = error.field_violations().iter().cloned().map(|mut violation| {
        let (own, rest) = violation.field.split_at(violation.field.find('[').unwrap_or(violation.field.len()));
        let name = match own {
            "agent" => "tenant",
            "accepted_output_modes" => "configuration.accepted_output_modes",
            "updated_after" => "status_timestamp_after",
            "request_id" => "Idempotency-Key",
            "name" => "id",
            "configuration.task_push_notification_config.name" => "configuration.task_push_notification_config.id",
            own => own,
        };
        violation.field = format!("{name}{rest}");
        violation
    });
    Error::violations(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Violation;

    #[test]
    fn fields_bear_their_names_in_a2a() {
        let wrong = |field: &str| Violation { field: field.into(), description: "is wrong".into() };
        let fields = ["agent", "accepted_output_modes[2]", "message.parts[0].text", "request_id"];
        let error = in_a2a_names(Error::violations(fields.map(wrong).into()));
        let named: Vec<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            named,
            ["tenant", "configuration.accepted_output_modes[2]", "message.parts[0].text", "Idempotency-Key"]
        );
        let other = Error::task_not_found("t");
        assert_eq!(in_a2a_names(other.clone()), other);
    }

    #[test]
    fn times_and_states_out_of_range_are_refused_by_field() {
        assert!(timestamp("t", Timestamp { seconds: 0, nanos: 0 }).is_ok());
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            let error = timestamp("t", Timestamp { seconds, nanos }).unwrap_err();
            assert_eq!(error.field_violations()[0].field, "t");
        }
        assert_eq!(task_state("status", 2), Ok(TaskState::Working));
        assert_eq!(task_state("status", 99).unwrap_err().field_violations()[0].field, "status");
    }
}
