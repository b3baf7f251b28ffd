//! The bare echo by gRPC.

use a2a_gateway::proto::{
    a2a::{
        AgentCard, Artifact, CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
        GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest,
        ListTaskPushNotificationConfigsResponse, ListTasksRequest, ListTasksResponse, Message, Part, Role,
        SendMessageRequest, SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task, TaskArtifactUpdateEvent,
        TaskPushNotificationConfig, TaskState, TaskStatus, TaskStatusUpdateEvent, a2a_service_server::A2aService,
        part::Content, send_message_response::Payload as Answer, stream_response::Payload as Event,
    },
    well_known::Timestamp,
};
use tonic::{Request, Response, Status};

use super::{ARTIFACT, CONTEXT, TIME_MILLIS, task_id};
use crate::Result;

/// The A2A gRPC service without anything behind it.
pub struct Echo;

/// A task, its artifact and its end.
type Events = tokio_stream::Iter<std::array::IntoIter<Result<StreamResponse, Status>, 3>>;

fn text_part(text: String) -> Part {
    Part { content: Some(Content::Text(text)), ..Part::default() }
}

/// A completed task with one artifact that echoes the message.
fn completed(message: Message) -> Task {
    let text = match message.parts.first().and_then(|part| part.content.as_ref()) {
        Some(Content::Text(text)) => text.as_str(),
        _ => "",
    };
    let artifact = Artifact {
        artifact_id: ARTIFACT.to_owned(),
        parts: vec![text_part(format!("Echo: {text}"))],
        ..Artifact::default()
    };
    let id = task_id();
    Task {
        id: id.clone(),
        context_id: CONTEXT.to_owned(),
        status: Some(status(TaskState::Completed)),
        artifacts: vec![artifact],
        history: vec![Message { context_id: CONTEXT.to_owned(), task_id: id, ..message }],
        metadata: None,
    }
}

fn status(state: TaskState) -> TaskStatus {
    TaskStatus { state: state.into(), message: None, timestamp: Some(Timestamp::from_millis(TIME_MILLIS)) }
}

/// The same task as it comes about.
fn events(message: Message) -> [Event; 3] {
    let mut task = completed(message);
    let (task_id, context_id) = (task.id.clone(), task.context_id.clone());
    let artifact = TaskArtifactUpdateEvent {
        task_id: task_id.clone(),
        context_id: context_id.clone(),
        artifact: task.artifacts.pop(),
        ..TaskArtifactUpdateEvent::default()
    };
    let end = TaskStatusUpdateEvent { task_id, context_id, status: task.status.take(), metadata: None };
    let working = Task { status: Some(status(TaskState::Working)), ..task };
    [Event::Task(working), Event::ArtifactUpdate(artifact), Event::StatusUpdate(end)]
}

fn message_of(call: Request<SendMessageRequest>) -> Result<Message, Status> {
    call.into_inner().message.ok_or_else(|| Status::invalid_argument("message is required"))
}

fn unimplemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("the bare echo only answers sends and GetTask"))
}

#[tonic::async_trait]
impl A2aService for Echo {
    type SendStreamingMessageStream = Events;
    type SubscribeToTaskStream = Events;

    async fn send_message(&self, call: Request<SendMessageRequest>) -> Result<Response<SendMessageResponse>, Status> {
        Ok(Response::new(SendMessageResponse { payload: Some(Answer::Task(completed(message_of(call)?))) }))
    }

    async fn get_task(&self, call: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        let message = Message {
            message_id: ARTIFACT.to_owned(),
            role: Role::User.into(),
            parts: vec![text_part("hello".to_owned())],
            ..Message::default()
        };
        Ok(Response::new(Task { id: call.into_inner().id, ..completed(message) }))
    }

    async fn send_streaming_message(
        &self,
        call: Request<SendMessageRequest>,
    ) -> Result<Response<Self::SendStreamingMessageStream>, Status> {
        let events = events(message_of(call)?).map(|event| Ok(StreamResponse { payload: Some(event) }));
        Ok(Response::new(tokio_stream::iter(events)))
    }

    async fn list_tasks(&self, _: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        unimplemented()
    }

    async fn cancel_task(&self, _: Request<CancelTaskRequest>) -> Result<Response<Task>, Status> {
        unimplemented()
    }

    async fn subscribe_to_task(
        &self,
        _: Request<SubscribeToTaskRequest>,
    ) -> Result<Response<Self::SubscribeToTaskStream>, Status> {
        unimplemented()
    }

    async fn create_task_push_notification_config(
        &self,
        _: Request<TaskPushNotificationConfig>,
    ) -> Result<Response<TaskPushNotificationConfig>, Status> {
        unimplemented()
    }

    async fn get_task_push_notification_config(
        &self,
        _: Request<GetTaskPushNotificationConfigRequest>,
    ) -> Result<Response<TaskPushNotificationConfig>, Status> {
        unimplemented()
    }

    async fn list_task_push_notification_configs(
        &self,
        _: Request<ListTaskPushNotificationConfigsRequest>,
    ) -> Result<Response<ListTaskPushNotificationConfigsResponse>, Status> {
        unimplemented()
    }

    async fn get_extended_agent_card(
        &self,
        _: Request<GetExtendedAgentCardRequest>,
    ) -> Result<Response<AgentCard>, Status> {
        unimplemented()
    }

    async fn delete_task_push_notification_config(
        &self,
        _: Request<DeleteTaskPushNotificationConfigRequest>,
    ) -> Result<Response<()>, Status> {
        unimplemented()
    }
}
