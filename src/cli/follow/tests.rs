//! Follows a scripted gateway on the loopback interface: streams that are cut, and what is asked for after that.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{body::Body, middleware::map_response, response::Response as Answered};
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response};

use super::*;
use crate::{
    cli::client::Target,
    proto::{
        a2a::{AgentCard, Task, TaskStatus, TaskStatusUpdateEvent},
        gateway::{
            CancelTaskRequest, CreateWebhookRequest, DeleteWebhookRequest, GetAgentCardRequest, GetWebhookRequest,
            ListAgentsRequest, ListAgentsResponse, ListDeliveriesRequest, ListDeliveriesResponse, ListTasksRequest,
            ListTasksResponse, ListWebhooksRequest, ListWebhooksResponse, RedeliverRequest, RedeliverResponse,
            SubmitTaskRequest, TaskRecord, UpdateWebhookRequest, Webhook,
            gateway_server::{Gateway as Api, GatewayServer},
        },
    },
};

type Answer<T> = Result<Response<T>, Status>;
type Items<T> = Vec<Result<T, Status>>;

/// What the gateway answers, call by call, and what it was asked.
#[derive(Default)]
pub(in crate::cli) struct Script {
    pub(in crate::cli) watch_task: VecDeque<Result<Items<TaskEvent>, Status>>,
    pub(in crate::cli) watch_tasks: VecDeque<Items<WatchTasksResponse>>,
    pub(in crate::cli) get_task: VecDeque<Result<TaskRecord, Status>>,
    pub(in crate::cli) submit_task: VecDeque<TaskRecord>,
    pub(in crate::cli) list_tasks: VecDeque<ListTasksResponse>,
    pub(in crate::cli) asked_pages: Vec<(i32, String)>,
    pub(in crate::cli) asked_after: Vec<Option<i64>>,
    pub(in crate::cli) asked_cursors: Vec<String>,
    /// Answers to webhooks that are stored, read or changed.
    pub(in crate::cli) webhook: VecDeque<Webhook>,
    pub(in crate::cli) list_webhooks: VecDeque<ListWebhooksResponse>,
    pub(in crate::cli) list_deliveries: VecDeque<ListDeliveriesResponse>,
    pub(in crate::cli) redeliver: VecDeque<RedeliverResponse>,
    pub(in crate::cli) asked_webhooks: Vec<WebhookCall>,
    /// Whether streams of one task stay open after their last item.
    pub(in crate::cli) hold: bool,
}

/// A call about webhooks.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum WebhookCall {
    Create(CreateWebhookRequest),
    Get(String),
    List(ListWebhooksRequest),
    Update(UpdateWebhookRequest),
    Delete(String),
    Deliveries(ListDeliveriesRequest),
    Redeliver(RedeliverRequest),
}

#[derive(Clone, Default)]
pub(in crate::cli) struct Scripted(pub(in crate::cli) Arc<Mutex<Script>>);

fn unexpected<T>() -> Answer<T> {
    Err(Status::failed_precondition("the script has no such call"))
}

#[tonic::async_trait]
impl Api for Scripted {
    type WatchTaskStream = BoxStream<'static, Result<TaskEvent, Status>>;
    type WatchTasksStream = stream::Iter<std::vec::IntoIter<Result<WatchTasksResponse, Status>>>;

    async fn watch_task(&self, request: Request<WatchTaskRequest>) -> Answer<Self::WatchTaskStream> {
        let mut script = self.0.lock().unwrap();
        assert_eq!(request.get_ref().task_id, "t1");
        script.asked_after.push(request.get_ref().after_sequence);
        match script.watch_task.pop_front() {
            Some(items) if script.hold => Ok(Response::new(stream::iter(items?).chain(stream::pending()).boxed())),
            Some(items) => Ok(Response::new(stream::iter(items?).boxed())),
            None => unexpected(),
        }
    }
    async fn watch_tasks(&self, request: Request<WatchTasksRequest>) -> Answer<Self::WatchTasksStream> {
        let mut script = self.0.lock().unwrap();
        script.asked_cursors.push(request.get_ref().cursor.clone());
        script.watch_tasks.pop_front().map_or_else(unexpected, |items| Ok(Response::new(stream::iter(items))))
    }
    async fn get_task(&self, _: Request<GetTaskRequest>) -> Answer<TaskRecord> {
        self.0.lock().unwrap().get_task.pop_front().map_or_else(unexpected, |record| record.map(Response::new))
    }
    async fn submit_task(&self, _: Request<SubmitTaskRequest>) -> Answer<TaskRecord> {
        self.0.lock().unwrap().submit_task.pop_front().map_or_else(unexpected, |record| Ok(Response::new(record)))
    }
    async fn list_tasks(&self, request: Request<ListTasksRequest>) -> Answer<ListTasksResponse> {
        let mut script = self.0.lock().unwrap();
        script.asked_pages.push((request.get_ref().page_size, request.get_ref().page_token.clone()));
        script.list_tasks.pop_front().map_or_else(unexpected, |page| Ok(Response::new(page)))
    }
    async fn cancel_task(&self, _: Request<CancelTaskRequest>) -> Answer<TaskRecord> {
        unexpected()
    }
    async fn list_agents(&self, _: Request<ListAgentsRequest>) -> Answer<ListAgentsResponse> {
        unexpected()
    }
    async fn get_agent_card(&self, _: Request<GetAgentCardRequest>) -> Answer<AgentCard> {
        unexpected()
    }
    async fn create_webhook(&self, request: Request<CreateWebhookRequest>) -> Answer<Webhook> {
        self.webhook(WebhookCall::Create(request.into_inner()), |script| script.webhook.pop_front())
    }
    async fn get_webhook(&self, request: Request<GetWebhookRequest>) -> Answer<Webhook> {
        let mut script = self.0.lock().unwrap();
        script.asked_webhooks.push(WebhookCall::Get(request.into_inner().id));
        script.webhook.pop_front().map(Response::new).ok_or_else(|| Status::not_found("there is no such webhook"))
    }
    async fn list_webhooks(&self, request: Request<ListWebhooksRequest>) -> Answer<ListWebhooksResponse> {
        self.webhook(WebhookCall::List(request.into_inner()), |script| script.list_webhooks.pop_front())
    }
    async fn update_webhook(&self, request: Request<UpdateWebhookRequest>) -> Answer<Webhook> {
        self.webhook(WebhookCall::Update(request.into_inner()), |script| script.webhook.pop_front())
    }
    async fn delete_webhook(&self, request: Request<DeleteWebhookRequest>) -> Answer<()> {
        self.webhook(WebhookCall::Delete(request.into_inner().id), |_| Some(()))
    }
    async fn list_deliveries(&self, request: Request<ListDeliveriesRequest>) -> Answer<ListDeliveriesResponse> {
        self.webhook(WebhookCall::Deliveries(request.into_inner()), |script| script.list_deliveries.pop_front())
    }
    async fn redeliver(&self, request: Request<RedeliverRequest>) -> Answer<RedeliverResponse> {
        self.webhook(WebhookCall::Redeliver(request.into_inner()), |script| script.redeliver.pop_front())
    }
}

impl Scripted {
    fn webhook<T>(&self, asked: WebhookCall, answer: impl FnOnce(&mut Script) -> Option<T>) -> Answer<T> {
        let mut script = self.0.lock().unwrap();
        script.asked_webhooks.push(asked);
        answer(&mut script).map_or_else(unexpected, |answer| Ok(Response::new(answer)))
    }

    /// Serves the script on a free port, and connects to it.
    pub(in crate::cli) async fn serve(script: Script) -> (Self, Gateway) {
        let (scripted, address) = Self::start(script).await;
        (scripted, connect(&address).await)
    }

    /// Serves the script on a free port; returns its address.
    pub(in crate::cli) async fn start(script: Script) -> (Self, String) {
        let scripted = Self(Arc::new(Mutex::new(script)));
        let address = scripted.clone().listen("127.0.0.1:0").await;
        (scripted, address)
    }

    /// Serves on an address, on the present runtime; returns the address with its port.
    async fn listen(self, address: &str) -> String {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder().add_service(GatewayServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    fn asked_after(&self) -> Vec<Option<i64>> {
        self.0.lock().unwrap().asked_after.clone()
    }
}

async fn connect(address: &str) -> Gateway {
    Gateway::connect(&Target { gateway: address.to_owned(), json: false }).await.unwrap()
}

pub(in crate::cli) fn at_once(_: u32) -> Duration {
    Duration::ZERO
}

pub(in crate::cli) fn status(sequence: i64, state: TaskState) -> TaskEvent {
    let status = Some(TaskStatus { state: state.into(), ..TaskStatus::default() });
    let update = TaskStatusUpdateEvent { status, ..TaskStatusUpdateEvent::default() };
    TaskEvent { event: Some(Event::StatusUpdate(update)), task_id: "t1".to_owned(), sequence, time: None }
}

pub(in crate::cli) fn working(sequence: i64) -> Result<TaskEvent, Status> {
    Ok(status(sequence, TaskState::Working))
}

pub(in crate::cli) fn completed(sequence: i64) -> Result<TaskEvent, Status> {
    Ok(status(sequence, TaskState::Completed))
}

pub(in crate::cli) fn record(sequence: i64, state: TaskState) -> TaskRecord {
    let status = Some(TaskStatus { state: state.into(), ..TaskStatus::default() });
    TaskRecord {
        task: Some(Task { id: "t1".to_owned(), status, ..Task::default() }),
        sequence,
        ..TaskRecord::default()
    }
}

/// The sequences handed out, and how often the stream was lost, until the end or an error.
async fn drain(follow: &mut Follow<TaskEvents>) -> (Vec<i64>, usize, Result<(), Status>) {
    let (mut seen, mut lost) = (Vec::new(), 0);
    loop {
        match follow.next().await {
            Ok(Update::Item(event)) => seen.push(event.sequence),
            Ok(Update::Lost { .. }) => lost += 1,
            Ok(Update::End) => return (seen, lost, Ok(())),
            Err(status) => return (seen, lost, Err(status)),
        }
    }
}

fn follow(gateway: Gateway, after: Option<i64>) -> Follow<TaskEvents> {
    Follow::new(TaskEvents::new(gateway, "t1".to_owned(), after), at_once)
}

#[tokio::test]
async fn a_stream_cut_after_each_event_in_turn_goes_on_without_gap_or_duplicate() {
    for cut in 0..=4 {
        let all: Items<TaskEvent> = vec![working(1), working(2), working(3), completed(4)];
        let mut first = all[..cut].to_vec();
        first.push(Err(Status::unavailable("going down")));
        let script = Script { watch_task: [Ok(first), Ok(all[cut..].to_vec())].into(), ..Script::default() };
        let (scripted, gateway) = Scripted::serve(script).await;
        let mut follow = follow(gateway, Some(0));
        let (seen, lost, end) = drain(&mut follow).await;
        assert_eq!((seen, lost), (vec![1, 2, 3, 4], 1), "cut after {cut}");
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(scripted.asked_after(), [Some(0), Some(cut as i64)]);
        assert_eq!(follow.source.state, Some(TaskState::Completed));
    }
}

#[tokio::test]
async fn a_watch_that_starts_with_a_snapshot_resumes_after_it() {
    let snapshot = TaskEvent {
        event: Some(Event::Snapshot(record(7, TaskState::Working).task.unwrap())),
        sequence: 7,
        ..TaskEvent::default()
    };
    let cut = vec![Ok(snapshot), Err(Status::unavailable(""))];
    let script = Script { watch_task: [Ok(cut), Ok(vec![working(7), completed(8)])].into(), ..Script::default() };
    let (scripted, gateway) = Scripted::serve(script).await;
    let (seen, lost, end) = drain(&mut follow(gateway, None)).await;
    // The second stream repeats 7, which a gateway must not do: it is not handed out twice even so.
    assert_eq!((seen, lost, end.is_ok()), (vec![7, 8], 1, true));
    assert_eq!(scripted.asked_after(), [None, Some(7)]);
}

#[tokio::test]
async fn failures_to_open_again_are_outlasted() {
    let down = || Err(Status::unavailable("restarting"));
    let first = Ok(vec![working(1), Err(Status::unavailable("going down"))]);
    let script = Script { watch_task: [first, down(), down(), Ok(vec![completed(2)])].into(), ..Script::default() };
    let (scripted, gateway) = Scripted::serve(script).await;
    let (seen, lost, end) = drain(&mut follow(gateway, Some(0))).await;
    assert_eq!((seen, lost, end.is_ok()), (vec![1, 2], 3, true));
    assert_eq!(scripted.asked_after(), [Some(0), Some(1), Some(1), Some(1)]);
}

#[tokio::test]
async fn an_end_that_comes_too_early_is_a_loss() {
    let script = Script {
        watch_task: [Ok(vec![working(1)]), Ok(vec![working(2)]), Ok(vec![completed(3)])].into(),
        get_task: [Ok(record(2, TaskState::Working)), Err(Status::unavailable("restarting"))].into(),
        ..Script::default()
    };
    let (scripted, gateway) = Scripted::serve(script).await;
    let (seen, lost, end) = drain(&mut follow(gateway, Some(0))).await;
    assert_eq!((seen, lost, end.is_ok()), (vec![1, 2, 3], 2, true));
    assert_eq!(scripted.asked_after(), [Some(0), Some(1), Some(2)]);
}

/// What a proxy makes of a gateway that has died: headers, events, and an end without trailers.
#[tokio::test]
async fn an_end_without_a_status_is_a_loss() {
    let script = Script { watch_task: [Ok(vec![working(1)]), Ok(vec![completed(2)])].into(), ..Script::default() };
    let scripted = Scripted(Arc::new(Mutex::new(script)));
    async fn cut(answer: Answered) -> Answered {
        let cut = |frame: Frame<Bytes>| if frame.is_trailers() { Frame::data(Bytes::new()) } else { frame };
        answer.map(|body| Body::new(body.map_frame(cut)))
    }
    let routes = tonic::service::Routes::new(GatewayServer::new(scripted.clone())).into_axum_router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, routes.layer(map_response(cut))).into_future());

    let mut follow = follow(connect(&address).await, Some(0));
    assert!(matches!(follow.next().await, Ok(Update::Item(event)) if event.sequence == 1));
    let lost = follow.next().await;
    assert!(matches!(&lost, Ok(Update::Lost { status, .. }) if status.code() == Code::Unknown), "{lost:?}");
    assert!(matches!(follow.next().await, Ok(Update::Item(event)) if event.sequence == 2));
    assert_eq!(scripted.asked_after(), [Some(0), Some(1)]);
}

#[tokio::test]
async fn a_watch_after_the_last_event_ends_with_the_task_s_state() {
    let script = Script {
        watch_task: [Ok(Vec::new())].into(),
        get_task: [Ok(record(5, TaskState::Failed))].into(),
        ..Script::default()
    };
    let (_, gateway) = Scripted::serve(script).await;
    let mut follow = follow(gateway, Some(5));
    let (seen, lost, end) = drain(&mut follow).await;
    assert_eq!((seen.len(), lost, end.is_ok()), (0, 0, true));
    assert_eq!(follow.source.state, Some(TaskState::Failed));
}

#[tokio::test]
async fn what_trying_again_cannot_mend_is_an_error() {
    let lost = Ok(vec![working(1), Err(Status::unavailable(""))]);
    let script = Script { watch_task: [lost, Err(Status::out_of_range("trimmed"))].into(), ..Script::default() };
    let (_, gateway) = Scripted::serve(script).await;
    let (seen, _, end) = drain(&mut follow(gateway, Some(0))).await;
    assert_eq!((seen, end.unwrap_err().code()), (vec![1], Code::OutOfRange));

    // Also the very first failure, whatever it is: nothing has been promised yet.
    let script = Script { watch_task: [Err(Status::unavailable("draining"))].into(), ..Script::default() };
    let (_, gateway) = Scripted::serve(script).await;
    let (_, lost, end) = drain(&mut follow(gateway, None)).await;
    assert_eq!((lost, end.unwrap_err().code()), (0, Code::Unavailable));
}

/// The gateway's process goes away with all its connections, and comes back.
#[tokio::test]
async fn a_gateway_that_vanishes_is_waited_for() {
    let script = Script { watch_task: [Ok(vec![working(1)])].into(), hold: true, ..Script::default() };
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let scripted = Scripted(Arc::new(Mutex::new(script)));
    let address = first.spawn(scripted.listen("127.0.0.1:0")).await.unwrap();
    let mut follow = follow(connect(&address).await, Some(0));
    assert!(matches!(follow.next().await, Ok(Update::Item(event)) if event.sequence == 1));

    first.shutdown_background();
    for _ in 0..2 {
        assert!(matches!(follow.next().await, Ok(Update::Lost { .. })));
    }
    let script = Script { watch_task: [Ok(vec![completed(2)])].into(), ..Script::default() };
    let scripted = Scripted(Arc::new(Mutex::new(script)));
    scripted.clone().listen(&address).await;
    let (seen, _, end) = drain(&mut follow).await;
    assert_eq!((seen, end.is_ok()), (vec![2], true));
    assert_eq!(scripted.asked_after(), [Some(1)]);
}

#[tokio::test]
async fn many_tasks_are_resumed_by_cursor_and_opening_snapshots_are_not_repeated() {
    let item = |task: &str, sequence, cursor: &str| {
        let event = TaskEvent { task_id: task.to_owned(), sequence, ..TaskEvent::default() };
        Ok(WatchTasksResponse { event: Some(event), cursor: cursor.to_owned(), ..WatchTasksResponse::default() })
    };
    let cut = || Err(Status::unavailable(""));
    let mark = || Ok(WatchTasksResponse { cursor: "c1".to_owned(), ..WatchTasksResponse::default() });
    let script = Script {
        watch_tasks: [
            vec![item("a", 3, ""), cut()],
            vec![item("a", 3, ""), item("b", 1, ""), mark(), item("a", 4, "c2"), cut()],
            // Ends without an error, which these streams never do by themselves: a loss as well.
            vec![item("b", 2, "c3")],
            vec![Err(Status::out_of_range("trimmed"))],
        ]
        .into(),
        ..Script::default()
    };
    let (scripted, gateway) = Scripted::serve(script).await;
    let request = WatchTasksRequest { agent: "echo".to_owned(), ..WatchTasksRequest::default() };
    let mut follow = Follow::new(AllEvents::new(gateway, request), at_once);
    let (mut seen, mut lost) = (Vec::new(), 0);
    let error = loop {
        match follow.next().await {
            Ok(Update::Item(item)) => seen.push(item.event.map(|event| (event.task_id, event.sequence))),
            Ok(Update::Lost { .. }) => lost += 1,
            Ok(Update::End) => panic!("it never ends by itself"),
            Err(status) => break status,
        }
    };
    let event = |task: &str, sequence| Some((task.to_owned(), sequence));
    assert_eq!(seen, [event("a", 3), event("b", 1), None, event("a", 4), event("b", 2)]);
    assert_eq!((lost, error.code()), (3, Code::OutOfRange));
    assert_eq!(scripted.0.lock().unwrap().asked_cursors, ["", "", "c2", "c3"]);
}

#[test]
fn the_wait_between_tries_doubles_up_to_eight_seconds() {
    let waits: Vec<_> = [1, 2, 3, 6, 7, u32::MAX].map(|tries| backoff(tries).as_millis()).into();
    assert_eq!(waits, [250, 500, 1000, 8000, 8000, 8000]);
}
