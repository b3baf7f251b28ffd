//! The gRPC doors.

use a2a_gateway::proto::{
    a2a::{
        self, Message, Part, Role, SendMessageConfiguration, SendMessageRequest, StreamResponse, Task,
        a2a_service_client::A2aServiceClient, part::Content, send_message_response, stream_response::Payload,
    },
    gateway::{self, SubmitTaskRequest, TaskEvent, WatchTaskRequest, gateway_client::GatewayClient, task_event::Event},
    well_known,
};
use futures::StreamExt as _;
use tonic::{Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::{Answer, Client, Door, Events, Fault, Info, Item, ListQuery, Page, Seen, Send, What, grpc_v03};

pub type Result<T> = std::result::Result<T, Fault>;

impl Client {
    /// The gateway's own API.
    pub fn gateway(&self) -> GatewayClient<Channel> {
        GatewayClient::new(self.channel.clone())
    }

    /// A2A 1.0.
    pub fn a2a(&self) -> A2aServiceClient<Channel> {
        A2aServiceClient::new(self.channel.clone())
    }

    /// A call with what names the agent in its metadata.
    pub fn named<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.metadata.is_empty() {
            request.metadata_mut().insert("a2a-agent", self.metadata.parse().unwrap());
        }
        request
    }

    fn send_request(&self, send: &Send<'_>) -> Request<SendMessageRequest> {
        let mut message = request(send);
        if send.tenant.is_empty() {
            message.tenant = self.tenant.clone();
        }
        self.named(message)
    }
}

/// A message as callers send it.
pub fn message(text: &str) -> Message {
    Message {
        message_id: "m-1".into(),
        role: Role::User.into(),
        parts: vec![Part { content: Some(Content::Text(text.into())), ..Part::default() }],
        ..Message::default()
    }
}

fn said(send: &Send<'_>) -> Message {
    Message { task_id: send.task.into(), context_id: send.context.into(), ..message(send.text) }
}

pub fn submit(send: &Send<'_>) -> SubmitTaskRequest {
    SubmitTaskRequest {
        agent: send.tenant.into(),
        message: Some(said(send)),
        wait: (!send.at_once).then_some(well_known::Duration { seconds: 30, nanos: 0 }),
        history_length: send.history,
        request_id: send.key.into(),
        ..SubmitTaskRequest::default()
    }
}

pub fn request(send: &Send<'_>) -> SendMessageRequest {
    assert_eq!(send.key, "", "this door has no keys");
    SendMessageRequest {
        tenant: send.tenant.into(),
        message: Some(said(send)),
        configuration: Some(SendMessageConfiguration {
            return_immediately: send.at_once,
            history_length: send.history,
            ..SendMessageConfiguration::default()
        }),
        metadata: None,
    }
}

pub async fn send(client: &Client, send: &Send<'_>) -> Result<Answer> {
    if client.door == Door::Gateway {
        let record = client.gateway().submit_task(submit(send)).await.map_err(fault)?.into_inner();
        return Ok(Answer::Task(seen(record.task.unwrap())));
    }
    if client.door == Door::Grpc03 {
        return grpc_v03::send(client, send).await;
    }
    let answer = client.a2a().send_message(client.send_request(send)).await.map_err(fault)?.into_inner();
    Ok(match answer.payload.unwrap() {
        send_message_response::Payload::Task(task) => Answer::Task(seen(task)),
        send_message_response::Payload::Message(message) => {
            assert_eq!(message.role(), Role::Agent);
            assert_ne!(message.context_id, "");
            Answer::Message(text(&message.parts))
        }
    })
}

/// The task that a send is answered with.
pub fn task(answer: a2a::SendMessageResponse) -> Seen {
    match answer.payload.unwrap() {
        send_message_response::Payload::Task(task) => seen(task),
        send_message_response::Payload::Message(message) => panic!("a message instead of a task: {message:?}"),
    }
}

pub async fn stream(client: &Client, send: &Send<'_>) -> Result<Events> {
    if client.door == Door::Gateway {
        let at_once = Send { at_once: true, ..send.clone() };
        let record = client.gateway().submit_task(submit(&at_once)).await.map_err(fault)?.into_inner();
        return watch(client, &record.task.unwrap().id, Some(u64::try_from(record.sequence).unwrap() - 1)).await;
    }
    if client.door == Door::Grpc03 {
        return grpc_v03::stream(client, send).await;
    }
    client.a2a().send_streaming_message(client.send_request(send)).await.map(a2a_events).map_err(fault)
}

pub async fn get(client: &Client, id: &str, history_length: Option<i32>) -> Result<Seen> {
    if client.door == Door::Gateway {
        let request = gateway::GetTaskRequest { task_id: id.into(), history_length };
        let record = client.gateway().get_task(request).await.map_err(fault)?.into_inner();
        return Ok(seen(record.task.unwrap()));
    }
    if client.door == Door::Grpc03 {
        return grpc_v03::get(client, id, history_length).await;
    }
    let request = a2a::GetTaskRequest { tenant: client.tenant.clone(), id: id.into(), history_length };
    client.a2a().get_task(client.named(request)).await.map(|task| seen(task.into_inner())).map_err(fault)
}

pub async fn cancel(client: &Client, id: &str) -> Result<Seen> {
    if client.door == Door::Gateway {
        let request = gateway::CancelTaskRequest { task_id: id.into(), metadata: None };
        let record = client.gateway().cancel_task(request).await.map_err(fault)?.into_inner();
        return Ok(seen(record.task.unwrap()));
    }
    if client.door == Door::Grpc03 {
        return grpc_v03::cancel(client, id).await;
    }
    let request = a2a::CancelTaskRequest { tenant: client.tenant.clone(), id: id.into(), metadata: None };
    client.a2a().cancel_task(client.named(request)).await.map(|task| seen(task.into_inner())).map_err(fault)
}

pub async fn watch(client: &Client, id: &str, after: Option<u64>) -> Result<Events> {
    if client.door == Door::Gateway {
        let after_sequence = after.map(|after| i64::try_from(after).unwrap());
        let request = WatchTaskRequest { task_id: id.into(), after_sequence };
        return client.gateway().watch_task(request).await.map(gateway_events).map_err(fault);
    }
    assert_eq!(after, None, "this door does not resume");
    if client.door == Door::Grpc03 {
        return grpc_v03::watch(client, id).await;
    }
    let request = a2a::SubscribeToTaskRequest { tenant: client.tenant.clone(), id: id.into() };
    client.a2a().subscribe_to_task(client.named(request)).await.map(a2a_events).map_err(fault)
}

pub async fn list(client: &Client, query: &ListQuery<'_>) -> Result<Page> {
    if client.door == Door::Gateway {
        let request = gateway::ListTasksRequest {
            agent: query.tenant.into(),
            context_id: query.context.into(),
            states: query.state.map(i32::from).into_iter().collect(),
            page_size: query.size.unwrap_or_default(),
            page_token: query.token.into(),
            history_length: query.history,
            include_artifacts: query.artifacts,
            ..Default::default()
        };
        let page = client.gateway().list_tasks(request).await.map_err(fault)?.into_inner();
        let tasks = page.tasks.into_iter().map(|record| seen(record.task.unwrap())).collect();
        return Ok(Page { tasks, next: page.next_page_token, total: Some(page.total_size) });
    }
    assert_ne!(client.door, Door::Grpc03, "this door has no lists");
    let request = a2a::ListTasksRequest {
        tenant: if query.tenant.is_empty() { client.tenant.clone() } else { query.tenant.into() },
        context_id: query.context.into(),
        status: query.state.unwrap_or_default().into(),
        page_size: query.size,
        page_token: query.token.into(),
        history_length: query.history,
        include_artifacts: query.artifacts.then_some(true),
        ..Default::default()
    };
    let page = client.a2a().list_tasks(client.named(request)).await.map_err(fault)?.into_inner();
    assert_eq!(page.page_size, query.size.unwrap_or(50));
    let tasks = page.tasks.into_iter().map(seen).collect();
    Ok(Page { tasks, next: page.next_page_token, total: Some(page.total_size) })
}

fn gateway_events(response: Response<tonic::Streaming<TaskEvent>>) -> Events {
    let items = response.into_inner().map(|event| {
        let event = event.map_err(fault)?;
        assert!(event.time.is_some());
        let what = match event.event.unwrap() {
            Event::Snapshot(task) => What::Task(seen(task)),
            Event::Message(message) => What::Message(text(&message.parts)),
            Event::StatusUpdate(update) => status(update),
            Event::ArtifactUpdate(update) => artifact(update),
        };
        Ok(Item { sequence: Some(u64::try_from(event.sequence).unwrap()), task: event.task_id, what })
    });
    Events(items.boxed())
}

pub fn a2a_events(response: Response<tonic::Streaming<StreamResponse>>) -> Events {
    let items = response.into_inner().map(|event| {
        let (task, what) = match event.map_err(fault)?.payload.unwrap() {
            Payload::Task(task) => (task.id.clone(), What::Task(seen(task))),
            Payload::Message(message) => (message.task_id, What::Message(text(&message.parts))),
            Payload::StatusUpdate(update) => (update.task_id.clone(), status(update)),
            Payload::ArtifactUpdate(update) => (update.task_id.clone(), artifact(update)),
        };
        Ok(Item { sequence: None, task, what })
    });
    Events(items.boxed())
}

fn status(update: a2a::TaskStatusUpdateEvent) -> What {
    assert_ne!(update.context_id, "");
    let status = update.status.unwrap();
    let said = status.message.as_ref().map(|message| text(&message.parts)).unwrap_or_default();
    What::Status { state: status.state(), said, last: None }
}

fn artifact(update: a2a::TaskArtifactUpdateEvent) -> What {
    assert_ne!(update.context_id, "");
    What::Artifact { text: text(&update.artifact.unwrap().parts), append: update.append, last: update.last_chunk }
}

/// A task in common values.
pub fn seen(task: Task) -> Seen {
    let status = task.status.unwrap();
    assert!(status.timestamp.is_some());
    let line = |message: &Message| {
        let who = if message.role() == Role::User { "user" } else { "agent" };
        format!("{who}: {}", text(&message.parts))
    };
    Seen {
        id: task.id,
        context: task.context_id,
        state: status.state(),
        said: status.message.as_ref().map(|message| text(&message.parts)).unwrap_or_default(),
        artifacts: task.artifacts.iter().map(|artifact| text(&artifact.parts)).collect(),
        history: task.history.iter().map(line).collect(),
    }
}

fn text(parts: &[Part]) -> String {
    let texts = parts.iter().map(|part| match &part.content {
        Some(Content::Text(text)) => text.as_str(),
        _ => "[not text]",
    });
    texts.collect()
}

/// A status in common values.
pub fn fault(status: Status) -> Fault {
    let details = status.get_error_details();
    let info = details.error_info().map(|info| {
        let metadata = info.metadata.clone().into_iter().collect();
        Box::new(Info { reason: info.reason.clone(), domain: info.domain.clone(), metadata })
    });
    let fields = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    Fault {
        form: None,
        status: None,
        code: status.code() as i32,
        message: status.message().to_owned(),
        info,
        fields: fields.iter().map(|wrong| (wrong.field.clone(), wrong.description.clone())).collect(),
    }
}
