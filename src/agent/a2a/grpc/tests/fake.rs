//! A gRPC agent in both versions, whose answers the test gives one by one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};
use tokio_stream::{
    StreamExt as _,
    wrappers::{TcpListenerStream, UnboundedReceiverStream},
};
use tonic::{
    Request, Response, Status,
    codegen::BoxStream,
    metadata::MetadataMap,
    transport::{Server, ServerTlsConfig},
};

use crate::{
    agent::a2a::{Answer, Event, Settings, grpc::GrpcLink},
    proto::{
        a2a::{
            self as v1, Task,
            a2a_service_server::{A2aService as ServiceV1, A2aServiceServer as ServerV1},
        },
        a2a_v03::{
            self as v03,
            a2a_service_server::{A2aService as ServiceV03, A2aServiceServer as ServerV03},
        },
    },
    task::Dialect,
    wire::v03::{FileBytes, encode},
};

/// A call as the agent saw it.
pub(super) struct Seen {
    /// The method's name in the contract.
    pub(super) method: &'static str,
    pub(super) metadata: MetadataMap,
    /// The request in ProtoJSON.
    pub(super) request: Value,
}

/// What the agent answers.
pub(super) enum Reply {
    Task(Task),
    Sent(Option<Answer>),
    Events(mpsc::UnboundedReceiver<Result<Option<Event>, Status>>),
    Fail(Status),
    /// Nothing, for as long as the caller waits.
    Silence,
}

/// The test's end of an agent.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    pub(super) seen: mpsc::UnboundedReceiver<Seen>,
    replies: mpsc::UnboundedSender<Reply>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Agent {
    seen: mpsc::UnboundedSender<Seen>,
    replies: Arc<Mutex<mpsc::UnboundedReceiver<Reply>>>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        Self::serve(Server::builder()).await
    }

    pub(super) async fn start_tls(tls: ServerTlsConfig) -> Self {
        Self::serve(Server::builder().tls_config(tls).unwrap()).await
    }

    pub(super) async fn serve(mut server: Server) -> Self {
        let (seen_in, seen) = mpsc::unbounded_channel();
        let (replies, replies_out) = mpsc::unbounded_channel();
        let agent = Agent { seen: seen_in, replies: Arc::new(Mutex::new(replies_out)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = server.add_service(ServerV1::new(agent.clone())).add_service(ServerV03::new(agent));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        Self { address, seen, replies, _tasks: tasks }
    }

    /// What the next call gets.
    pub(super) fn reply(&self, reply: Reply) {
        self.replies.send(reply).unwrap();
    }

    /// The next call gets a stream of what is sent into the channel.
    pub(super) fn reply_stream(&self) -> mpsc::UnboundedSender<Result<Option<Event>, Status>> {
        let (events, stream) = mpsc::unbounded_channel();
        self.reply(Reply::Events(stream));
        events
    }

    /// The next call that the agent saw.
    pub(super) async fn call(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    pub(super) fn link(&self, dialect: Dialect) -> GrpcLink {
        link(self.address, dialect, &settings())
    }
}

impl Agent {
    async fn next<Q: serde::Serialize>(&self, method: &'static str, request: Request<Q>) -> Result<Reply, Status> {
        let (metadata, _, request) = request.into_parts();
        let request = serde_json::to_value(&request).unwrap();
        self.seen.send(Seen { method, metadata, request }).unwrap();
        match self.replies.lock().await.recv().await {
            Some(Reply::Fail(status)) => Err(status),
            Some(Reply::Silence) => std::future::pending().await,
            Some(reply) => Ok(reply),
            None => Err(Status::internal("the test gave no answer")),
        }
    }

    async fn task<Q: serde::Serialize>(&self, method: &'static str, request: Request<Q>) -> Result<Task, Status> {
        let Reply::Task(task) = self.next(method, request).await? else { panic!("{method} answers with a task") };
        Ok(task)
    }

    async fn answer<Q: serde::Serialize>(
        &self,
        method: &'static str,
        request: Request<Q>,
    ) -> Result<Option<Answer>, Status> {
        let Reply::Sent(answer) = self.next(method, request).await? else { panic!("{method} answers with either") };
        Ok(answer)
    }

    async fn stream<Q: serde::Serialize, T: 'static>(
        &self,
        method: &'static str,
        request: Request<Q>,
        item: fn(Option<Event>) -> T,
    ) -> Result<Response<BoxStream<T>>, Status> {
        let Reply::Events(events) = self.next(method, request).await? else { panic!("{method} answers with a stream") };
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(events).map(move |event| event.map(item)))))
    }
}

/// Methods that the gateway does not call, as `async_trait` would write them: it does not see into macros.
macro_rules! not_called {
    ($($name:ident: $request:ty => $answer:ty),* $(,)?) => {
        $(fn $name<'a, 'b>(&'a self, _: Request<$request>) -> BoxFuture<'b, Result<Response<$answer>, Status>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(ready(Err(Status::unimplemented(stringify!($name)))))
        })*
    };
}

#[tonic::async_trait]
impl ServiceV1 for Agent {
    type SendStreamingMessageStream = BoxStream<v1::StreamResponse>;
    type SubscribeToTaskStream = BoxStream<v1::StreamResponse>;

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let payload = self.answer("SendMessage", request).await?;
        Ok(Response::new(v1::SendMessageResponse { payload }))
    }

    async fn send_streaming_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<Self::SendStreamingMessageStream>, Status> {
        self.stream("SendStreamingMessage", request, |payload| v1::StreamResponse { payload }).await
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::Task>, Status> {
        self.task("GetTask", request).await.map(Response::new)
    }

    async fn cancel_task(&self, request: Request<v1::CancelTaskRequest>) -> Result<Response<v1::Task>, Status> {
        self.task("CancelTask", request).await.map(Response::new)
    }

    async fn subscribe_to_task(
        &self,
        request: Request<v1::SubscribeToTaskRequest>,
    ) -> Result<Response<Self::SubscribeToTaskStream>, Status> {
        self.stream("SubscribeToTask", request, |payload| v1::StreamResponse { payload }).await
    }

    not_called! {
        list_tasks: v1::ListTasksRequest => v1::ListTasksResponse,
        create_task_push_notification_config: v1::TaskPushNotificationConfig => v1::TaskPushNotificationConfig,
        get_task_push_notification_config:
            v1::GetTaskPushNotificationConfigRequest => v1::TaskPushNotificationConfig,
        list_task_push_notification_configs:
            v1::ListTaskPushNotificationConfigsRequest => v1::ListTaskPushNotificationConfigsResponse,
        get_extended_agent_card: v1::GetExtendedAgentCardRequest => v1::AgentCard,
        delete_task_push_notification_config: v1::DeleteTaskPushNotificationConfigRequest => (),
    }
}

#[tonic::async_trait]
impl ServiceV03 for Agent {
    type SendStreamingMessageStream = BoxStream<v03::StreamResponse>;
    type TaskSubscriptionStream = BoxStream<v03::StreamResponse>;

    async fn send_message(
        &self,
        request: Request<v03::SendMessageRequest>,
    ) -> Result<Response<v03::SendMessageResponse>, Status> {
        let answer = self.answer("SendMessage", request).await?;
        let encoded = answer.map(|answer| encode::sent(answer, FileBytes::Base64Text));
        Ok(Response::new(encoded.unwrap_or_default()))
    }

    async fn send_streaming_message(
        &self,
        request: Request<v03::SendMessageRequest>,
    ) -> Result<Response<Self::SendStreamingMessageStream>, Status> {
        self.stream("SendStreamingMessage", request, event_v03).await
    }

    async fn get_task(&self, request: Request<v03::GetTaskRequest>) -> Result<Response<v03::Task>, Status> {
        let task = self.task("GetTask", request).await?;
        Ok(Response::new(encode::task(task, FileBytes::Base64Text)))
    }

    async fn cancel_task(&self, request: Request<v03::CancelTaskRequest>) -> Result<Response<v03::Task>, Status> {
        let task = self.task("CancelTask", request).await?;
        Ok(Response::new(encode::task(task, FileBytes::Base64Text)))
    }

    async fn task_subscription(
        &self,
        request: Request<v03::TaskSubscriptionRequest>,
    ) -> Result<Response<Self::TaskSubscriptionStream>, Status> {
        self.stream("TaskSubscription", request, event_v03).await
    }

    not_called! {
        create_task_push_notification_config:
            v03::CreateTaskPushNotificationConfigRequest => v03::TaskPushNotificationConfig,
        get_task_push_notification_config:
            v03::GetTaskPushNotificationConfigRequest => v03::TaskPushNotificationConfig,
        list_task_push_notification_config:
            v03::ListTaskPushNotificationConfigRequest => v03::ListTaskPushNotificationConfigResponse,
        get_agent_card: v03::GetAgentCardRequest => v03::AgentCard,
        delete_task_push_notification_config: v03::DeleteTaskPushNotificationConfigRequest => (),
    }
}

fn event_v03(event: Option<Event>) -> v03::StreamResponse {
    event.map(|event| encode::event(event, false, FileBytes::Base64Text)).unwrap_or_default()
}

/// A wire that the test can cut: it forwards connections to `to`, and breaks them all on `cut`.
pub(super) struct Cable {
    pub(super) address: SocketAddr,
    cut: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Cable {
    pub(super) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                wires.spawn(async move {
                    let mut far = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address, cut, _tasks: tasks }
    }

    pub(super) fn cut(&self) {
        self.cut.send(()).unwrap();
    }
}

pub(super) fn link(address: SocketAddr, dialect: Dialect, settings: &Settings) -> GrpcLink {
    GrpcLink::new(&address.to_string(), dialect, "t-enant".into(), settings).unwrap()
}

/// Long times, so that a test that meets one by mistake is seen to hang.
pub(in crate::agent::a2a::grpc) fn settings() -> Settings {
    use crate::agent::a2a::{Mode, OnLost};

    Settings {
        name: "agent".into(),
        url: String::new(),
        interface: None,
        prefer: Vec::new(),
        headers: Vec::new(),
        tls: Default::default(),
        mode: Mode::Auto,
        on_lost: OnLost::Fail,
        max_concurrency: None,
        connect_timeout: Duration::from_secs(30),
        request_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        unreachable_timeout: Duration::from_secs(60),
        poll_interval: Duration::from_secs(60),
        card_refresh: Duration::from_secs(60),
        max_message: 1 << 20,
    }
}

/// A message of the gateway's.
pub(super) fn request(at_once: bool) -> v1::SendMessageRequest {
    serde_json::from_value(json!({
        "message": {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "hi"}],
            "extensions": ["https://of-the-message"]},
        "configuration": {"returnImmediately": at_once},
    }))
    .unwrap()
}

/// A task, from what ProtoJSON says of it.
pub(super) fn task(json: Value) -> Task {
    serde_json::from_value(json).unwrap()
}

/// An event of a status.
pub(super) fn status(state: v1::TaskState) -> Event {
    let status = Some(v1::TaskStatus { state: state.into(), ..v1::TaskStatus::default() });
    Event::StatusUpdate(v1::TaskStatusUpdateEvent { task_id: "u-1".into(), status, ..Default::default() })
}

/// An event of an artifact with this text.
pub(super) fn artifact(text: &str) -> Event {
    let part = v1::Part { content: Some(v1::part::Content::Text(text.into())), ..v1::Part::default() };
    let artifact = Some(v1::Artifact { artifact_id: "a".into(), parts: vec![part], ..v1::Artifact::default() });
    Event::ArtifactUpdate(v1::TaskArtifactUpdateEvent { task_id: "u-1".into(), artifact, ..Default::default() })
}
