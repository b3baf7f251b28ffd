//! The gateway's own API: `a2a.gateway.v1.Gateway`. The contract's comments say what each method does.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};

use super::{
    call::{Answer, Batches, Calls},
    webhooks,
};
use crate::{
    engine::{
        AgentStatus, Caller, Engine, Feed, FeedItem, FeedQuery, From, ListQuery, Outcome, Reply, Submit, Until, Watch,
    },
    error::{Error, Result},
    proto::{
        a2a::{AgentCard, Role, TaskState},
        gateway::{
            AgentInfo, AgentState, CancelTaskRequest, GetAgentCardRequest, GetTaskRequest, ListAgentsRequest,
            ListAgentsResponse, ListTasksRequest, ListTasksResponse, SubmitTaskRequest, TaskEvent, TaskRecord,
            WatchTaskRequest, WatchTasksRequest, WatchTasksResponse,
        },
        well_known::Timestamp,
    },
    server::{
        a2a::{check_history_length, task_state, timestamp},
        caller,
        card::{Base, Cards},
        extensions::Extensions,
    },
    task::{Dialect, Event, Form, Record, TaskId, cut_history, mint, validate::duration},
};

/// The service's full name.
pub const NAME: &str = "a2a.gateway.v1.Gateway";

/// The service.
#[derive(Clone)]
pub struct Gateway {
    engine: Engine,
    cards: Arc<Cards>,
    calls: Calls,
}

impl Gateway {
    /// The service on an engine.
    pub fn new(engine: Engine, cards: Arc<Cards>, calls: Calls) -> Self {
        Self { engine, cards, calls }
    }

    /// Answers the call of a method; none when the service has no such method.
    pub async fn answer(&self, method: &str, request: http::Request<Body>) -> Option<Answer> {
        // Version 1.0 is what this API counts as.
        let extensions = match Extensions::read(request.headers(), Dialect::V1) {
            Ok(extensions) => extensions,
            Err(error) => {
                let refusing = Self { calls: self.calls.refusing(error), ..self.clone() };
                return refusing.answer_to(&Extensions::default(), method, request).await;
            }
        };
        let mut answer = self.answer_to(&extensions, method, request).await?;
        extensions.write(answer.headers_mut());
        Some(answer)
    }

    async fn answer_to(&self, extensions: &Extensions, method: &str, request: http::Request<Body>) -> Option<Answer> {
        let asker = caller::identify(request.headers());
        let (this, by, calls, engine) = (self, &asker, &self.calls, &self.engine);
        Some(match method {
            "SubmitTask" => calls.unary("SubmitTask", request, |q| this.submit_task(by, extensions, q)).await,
            "GetTask" => calls.unary("GetTask", request, |q| this.get_task(by, extensions, q)).await,
            "ListTasks" => calls.unary("ListTasks", request, |q| this.list_tasks(by, q)).await,
            "CancelTask" => calls.unary("CancelTask", request, |q| this.cancel_task(by, extensions, q)).await,
            "WatchTask" => calls.streaming("WatchTask", request, |q| this.watch_task(by, q)).await,
            "WatchTasks" => calls.streaming("WatchTasks", request, |q| this.watch_tasks(by, q)).await,
            "CreateWebhook" => calls.unary("CreateWebhook", request, |q| webhooks::create(engine, by, q)).await,
            "GetWebhook" => calls.unary("GetWebhook", request, |q| webhooks::get(engine, by, q)).await,
            "ListWebhooks" => calls.unary("ListWebhooks", request, |q| webhooks::list(engine, by, q)).await,
            "UpdateWebhook" => calls.unary("UpdateWebhook", request, |q| webhooks::update(engine, by, q)).await,
            "DeleteWebhook" => calls.unary("DeleteWebhook", request, |q| webhooks::delete(engine, by, q)).await,
            "ListDeliveries" => calls.unary("ListDeliveries", request, |q| webhooks::deliveries(engine, by, q)).await,
            "Redeliver" => calls.unary("Redeliver", request, |q| webhooks::redeliver(engine, by, q)).await,
            "ListAgents" => calls.unary("ListAgents", request, async |q| Ok(this.list_agents(&q))).await,
            "GetAgentCard" => {
                let base = self.cards.base(request.uri(), request.headers());
                calls.unary("GetAgentCard", request, async |q| this.get_agent_card(&base, &q)).await
            }
            _ => return None,
        })
    }

    async fn submit_task(
        &self,
        caller: &Caller,
        extensions: &Extensions,
        request: SubmitTaskRequest,
    ) -> Result<TaskRecord> {
        let wait = duration("wait", request.wait)?.filter(|wait| !wait.is_zero());
        let timeout = duration("timeout", request.timeout)?;
        check_history_length("history_length", request.history_length)?;
        let mut message = request.message.ok_or_else(|| Error::invalid("message", "is required"))?;
        if message.role == i32::from(Role::Unspecified) {
            message.role = Role::User.into();
        }
        if message.message_id.is_empty() {
            message.message_id = mint();
        }
        let submit = Submit {
            agent: request.agent,
            message,
            metadata: request.metadata,
            accepted_output_modes: request.accepted_output_modes,
            extensions: extensions.asked().to_vec(),
            timeout,
            webhooks: webhooks::submitted(request.webhooks)?,
            request_id: request.request_id,
            dialect: Dialect::V1,
            reply: Reply::Task,
        };
        let submitted = self.engine.submit(caller, submit).await?;
        extensions.note_turn(&self.engine, submitted.record());
        let replayed = submitted.replayed();
        let webhooks = submitted.webhooks().iter().map(webhooks::stored).collect();
        let record = if wait.is_none() {
            let mut record = submitted.record().clone();
            cut_history(&mut record.task, request.history_length);
            record
        } else {
            match submitted.outcome(wait, request.history_length).await? {
                Outcome::Task(record) => *record,
                Outcome::Message(_) => {
                    return Err(Error::internal("submitting a task", "it was answered by a message"));
                }
            }
        };
        Ok(TaskRecord { replayed, webhooks, ..task_record(record) })
    }

    async fn get_task(&self, caller: &Caller, extensions: &Extensions, request: GetTaskRequest) -> Result<TaskRecord> {
        let id = TaskId::parse("task_id", &request.task_id)?;
        let record = self.engine.get(caller, id, request.history_length).await?;
        extensions.note_task(&self.engine, &record);
        Ok(task_record(record))
    }

    async fn list_tasks(&self, caller: &Caller, request: ListTasksRequest) -> Result<ListTasksResponse> {
        let query = ListQuery {
            agent: request.agent,
            context_id: request.context_id,
            states: states(&request.states)?,
            updated_after: request.updated_after.map(|time| timestamp("updated_after", time)).transpose()?,
            page_size: Some(request.page_size).filter(|size| *size != 0),
            page_token: request.page_token,
            history_length: request.history_length,
            include_artifacts: request.include_artifacts,
        };
        let page = self.engine.list(caller, query).await?;
        Ok(ListTasksResponse {
            tasks: page.records.into_iter().map(task_record).collect(),
            next_page_token: page.next_page_token,
            total_size: i32::try_from(page.total).unwrap_or(i32::MAX),
        })
    }

    async fn cancel_task(
        &self,
        caller: &Caller,
        extensions: &Extensions,
        request: CancelTaskRequest,
    ) -> Result<TaskRecord> {
        let id = TaskId::parse("task_id", &request.task_id)?;
        let record = self.engine.cancel(caller, id, request.metadata).await?;
        extensions.note_task(&self.engine, &record);
        Ok(task_record(record))
    }

    async fn watch_task(&self, caller: &Caller, request: WatchTaskRequest) -> Result<TaskEvents> {
        let id = TaskId::parse("task_id", &request.task_id)?;
        let from = match request.after_sequence {
            None => From::Snapshot,
            Some(after) => From::After(
                u64::try_from(after)
                    .map_err(|_| Error::invalid("after_sequence", format!("must not be negative, as {after} is")))?,
            ),
        };
        Ok(TaskEvents(self.engine.watch(caller, id, from, Until::Settled).await?))
    }

    async fn watch_tasks(&self, caller: &Caller, request: WatchTasksRequest) -> Result<FeedItems> {
        let query = FeedQuery {
            agent: request.agent,
            context_id: request.context_id,
            states: states(&request.states)?,
            cursor: request.cursor,
        };
        Ok(FeedItems(self.engine.feed(caller, query).await?))
    }

    fn list_agents(&self, _request: &ListAgentsRequest) -> ListAgentsResponse {
        ListAgentsResponse { agents: self.engine.agents().iter().map(agent_info).collect() }
    }

    fn get_agent_card(&self, base: &Base, request: &GetAgentCardRequest) -> Result<AgentCard> {
        Ok(self.cards.adapt(&self.engine.agent(&request.agent)?, base))
    }
}

/// The events of one task.
struct TaskEvents(Watch);

impl Batches for TaskEvents {
    async fn next(&mut self) -> Option<Result<Vec<Bytes>>> {
        let batch = self.0.next_batch().await?;
        Some(batch.map(|events| events.iter().map(|event| event.form(Form::Gateway, task_event)).collect()))
    }
}

/// The events of many tasks.
struct FeedItems(Feed);

impl Batches for FeedItems {
    async fn next(&mut self) -> Option<Result<Vec<Bytes>>> {
        let item = self.0.next().await?;
        Some(item.map(|item| vec![feed_item(&item)]))
    }
}

/// A `TaskEvent`, encoded: the stored bytes, which are its first four fields, and the other three.
fn task_event(event: &Event) -> Bytes {
    let rest = TaskEvent {
        event: None,
        task_id: event.task_id.to_string(),
        sequence: number(event.sequence),
        time: Some(event.timestamp()),
    };
    let mut bytes = BytesMut::with_capacity(event.bytes().len() + rest.encoded_len());
    bytes.extend_from_slice(event.bytes());
    rest.encode_raw(&mut bytes);
    bytes.freeze()
}

/// A `WatchTasksResponse`, encoded around the shared encoding of its event.
fn feed_item(item: &FeedItem) -> Bytes {
    let rest = WatchTasksResponse { event: None, cursor: item.cursor.clone(), agent: item.agent.to_string() };
    let mut bytes = BytesMut::new();
    if let Some(event) = &item.event {
        let event = event.form(Form::Gateway, task_event);
        bytes.reserve(event.len() + 16 + rest.encoded_len());
        encode_key(1, WireType::LengthDelimited, &mut bytes);
        encode_varint(event.len() as u64, &mut bytes);
        bytes.extend_from_slice(&event);
    }
    rest.encode_raw(&mut bytes);
    bytes.freeze()
}

fn task_record(record: Record) -> TaskRecord {
    TaskRecord {
        task: Some(record.task),
        sequence: number(record.sequence),
        agent: record.agent.to_string(),
        create_time: Some(Timestamp::from_millis(record.created)),
        update_time: Some(Timestamp::from_millis(record.updated)),
        deadline: record.deadline.map(Timestamp::from_millis),
        replayed: false,
        webhooks: Vec::new(),
    }
}

fn agent_info(agent: &AgentStatus) -> AgentInfo {
    let state = if agent.ready { AgentState::Ready } else { AgentState::Unreachable };
    AgentInfo {
        name: agent.name.to_string(),
        default: agent.default,
        state: state.into(),
        description: agent.card.description.clone(),
        running_tasks: number(agent.running),
        problem: agent.problem.clone().unwrap_or_default(),
        queued_tasks: number(agent.queued),
        max_concurrency: agent.max_concurrency.map(|max| i64::try_from(max).unwrap_or(i64::MAX)),
    }
}

fn states(values: &[i32]) -> Result<Vec<TaskState>> {
    values.iter().enumerate().map(|(i, value)| task_state(&format!("states[{i}]"), *value)).collect()
}

/// Sequences and counts never come near the bound.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        a2a::{TaskStatus, TaskStatusUpdateEvent, stream_response::Payload},
        gateway::task_event,
    };

    fn event() -> Event {
        let update = TaskStatusUpdateEvent {
            task_id: "t".into(),
            context_id: "c".into(),
            status: Some(TaskStatus { state: TaskState::Working.into(), ..TaskStatus::default() }),
            metadata: None,
        };
        Event::new(TaskId::mint(), 7, 1_700_000_000_123, TaskState::Working, Payload::StatusUpdate(update))
    }

    #[test]
    fn the_bytes_put_together_are_the_message() {
        let event = event();
        let decoded = TaskEvent::decode(task_event(&event)).unwrap();
        assert_eq!((decoded.task_id, decoded.sequence), (event.task_id.to_string(), 7));
        assert_eq!(decoded.time, Some(event.timestamp()));
        let (Some(task_event::Event::StatusUpdate(sent)), Payload::StatusUpdate(stored)) =
            (decoded.event, event.payload())
        else {
            panic!("not a status update")
        };
        assert_eq!(&sent, stored);
    }

    #[test]
    fn feed_items_carry_event_cursor_and_agent_and_marks_no_event() {
        let event = Arc::new(event());
        let item = FeedItem { event: Some(Arc::clone(&event)), cursor: "c1".into(), agent: "echo".into() };
        let decoded = WatchTasksResponse::decode(feed_item(&item)).unwrap();
        assert_eq!((decoded.cursor.as_str(), decoded.agent.as_str()), ("c1", "echo"));
        assert_eq!(decoded.event, Some(TaskEvent::decode(super::task_event(&event)).unwrap()));
        let mark = FeedItem { event: None, cursor: "c2".into(), agent: "".into() };
        let decoded = WatchTasksResponse::decode(feed_item(&mark)).unwrap();
        assert_eq!(decoded, WatchTasksResponse { event: None, cursor: "c2".into(), agent: String::new() });
    }

    #[test]
    fn unknown_states_are_refused_by_field() {
        let error = states(&[1, 99]).unwrap_err();
        assert_eq!(error.field_violations()[0].field, "states[1]");
    }
}
