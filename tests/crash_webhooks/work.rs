//! Callers: they submit tasks with webhooks and add webhooks to tasks, again after each kill until they are answered.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use a2a_gateway::{
    proto::{
        a2a::TaskState,
        gateway::{
            CancelTaskRequest, CreateWebhookRequest, DeleteWebhookRequest, Delivery, DeliveryState, GetTaskRequest,
            ListDeliveriesRequest, ListTasksRequest, ListWebhooksRequest, SubmitTaskRequest, TaskEvent, TaskRecord,
            WatchTaskRequest, gateway_client::GatewayClient,
        },
    },
    task::Dialect,
};
use futures::TryStreamExt as _;
use tokio::sync::watch;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::{
    hooks::{Hook, RECEIVERS},
    place::{Moment, Trap},
    process::{LIMIT, Random, submit},
};

/// Between two looks at what is awaited.
const PAUSE: Duration = Duration::from_millis(10);

/// What callers did.
#[derive(Clone, Default)]
pub struct Stories {
    hooks: Arc<Mutex<Vec<Hook>>>,
    removed: Arc<Mutex<Vec<(String, u64)>>>,
    tasks: Arc<Mutex<Vec<String>>>,
    cut_off: Arc<AtomicUsize>,
}

impl Stories {
    pub fn add_hook(&self, hook: Hook) {
        self.hooks.lock().unwrap().push(hook);
    }

    /// Every webhook that was acknowledged.
    pub fn hooks(&self) -> Vec<Hook> {
        self.hooks.lock().unwrap().clone()
    }

    /// The paths of webhooks that were removed, and in which generation at most.
    pub fn removed(&self) -> Vec<(String, u64)> {
        self.removed.lock().unwrap().clone()
    }

    /// Every task that was acknowledged.
    pub fn tasks(&self) -> Vec<String> {
        self.tasks.lock().unwrap().clone()
    }

    /// Calls that a kill cut off.
    pub fn cut_off(&self) -> usize {
        self.cut_off.load(Ordering::Relaxed)
    }
}

/// A caller that outlives gateways.
#[derive(Clone)]
pub struct Client {
    grpc: GatewayClient<Channel>,
    trap: Arc<Trap>,
    /// Calls that were cut off.
    losses: usize,
}

/// Makes a call until it is answered. An expression, since calls borrow the client.
macro_rules! insist {
    ($client:expr, $call:expr) => {{
        let deadline = Instant::now() + LIMIT;
        loop {
            match $call.await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => $client.lost(&status, deadline).await,
            }
        }
    }};
}

impl Client {
    pub fn new(address: &str, trap: Arc<Trap>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
        Self { grpc: GatewayClient::new(endpoint.connect_lazy()), trap, losses: 0 }
    }

    /// After a call that failed: what a gateway says while it runs is no reason.
    async fn lost(&mut self, status: &Status, deadline: Instant) {
        assert!(status.get_details_error_info().is_none(), "the gateway refused: {status:?}");
        assert!(Instant::now() < deadline, "no gateway answers: {status:?}");
        self.losses += 1;
        tokio::time::sleep(PAUSE).await;
    }

    async fn submit(&mut self, request: SubmitTaskRequest) -> String {
        let record = insist!(self, self.grpc.submit_task(request.clone()));
        self.trap.at(Moment::Submitted);
        record.task.unwrap().id
    }

    /// Creates a webhook, or changes it where the answer to creating it was lost.
    pub async fn create(&mut self, hook: Hook) -> Hook {
        let request = CreateWebhookRequest { webhook: Some(hook.new.clone()) };
        insist!(self, self.grpc.create_webhook(request.clone()));
        hook
    }

    /// Removes the webhook of a task that has this name.
    async fn remove(&mut self, task_id: &str, name: &str) {
        let request = ListWebhooksRequest { task_id: task_id.to_owned(), ..ListWebhooksRequest::default() };
        let found = insist!(self, self.grpc.list_webhooks(request.clone())).webhooks;
        let id = found.into_iter().find(|webhook| webhook.name == name).unwrap().id;
        insist!(self, self.grpc.delete_webhook(DeleteWebhookRequest { id: id.clone() }));
    }

    async fn get(&mut self, task_id: &str) -> TaskRecord {
        let request = GetTaskRequest { task_id: task_id.to_owned(), history_length: Some(0) };
        insist!(self, self.grpc.get_task(request.clone()))
    }

    /// The whole log of a task that settles.
    pub async fn log(&mut self, task_id: &str) -> Vec<TaskEvent> {
        let request = WatchTaskRequest { task_id: task_id.to_owned(), after_sequence: Some(0) };
        let stream = self.grpc.watch_task(request).await.unwrap().into_inner();
        tokio::time::timeout(LIMIT, stream.try_collect()).await.expect("it does not settle").unwrap()
    }

    /// Every task there is, in one of these states if any are given.
    pub async fn tasks(&mut self, states: &[TaskState]) -> Vec<String> {
        let states = states.iter().map(|state| i32::from(*state)).collect();
        let mut request = ListTasksRequest { page_size: 100, states, ..ListTasksRequest::default() };
        let mut tasks = Vec::new();
        loop {
            let page = self.grpc.list_tasks(request.clone()).await.unwrap().into_inner();
            tasks.extend(page.tasks.into_iter().map(|record| record.task.unwrap().id));
            if page.next_page_token.is_empty() {
                return tasks;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Deliveries in a state, or all; at most `pages` hundreds.
    pub async fn deliveries(&mut self, state: DeliveryState, pages: usize) -> Vec<Delivery> {
        let mut request =
            ListDeliveriesRequest { page_size: 100, state: state.into(), ..ListDeliveriesRequest::default() };
        let mut deliveries = Vec::new();
        for _ in 0..pages {
            let page = self.grpc.list_deliveries(request.clone()).await.unwrap().into_inner();
            deliveries.extend(page.deliveries);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        deliveries
    }
}

/// Submits tasks with webhooks until there are no more kills.
pub async fn work(
    mut client: Client,
    over: watch::Receiver<bool>,
    mut random: Random,
    number: u64,
    urls: [String; RECEIVERS],
    stories: Stories,
) {
    for n in 0.. {
        if *over.borrow() {
            break;
        }
        let text = match random.below(8) {
            0 => format!("slow: {}", 1 + random.below(3)),
            1 | 2 => format!("burst: {}", 2 + random.below(12)),
            3 => "fail: as it was told".to_owned(),
            4 => "ask: What else?".to_owned(),
            _ => "hello".to_owned(),
        };
        let mut hook = |kind: &str| {
            let receiver = random.below(RECEIVERS as u64) as usize;
            let payload = [Dialect::V1, Dialect::V1, Dialect::V03, Dialect::Praison][random.below(4) as usize];
            Hook::new(format!("/{kind}/{number}.{n}"), &urls[receiver], payload)
        };
        let [first, second, late, short] = ["first", "second", "late", "short"].map(&mut hook);
        let mut hooks = vec![first, second];
        hooks.truncate(random.below(3) as usize);
        let short = (random.below(4) == 0).then_some(short);
        let mut request = submit(&text, &format!("{number}.{n}"));
        request.webhooks = hooks.iter().chain(&short).map(|hook| hook.new.clone()).collect();
        let task = client.submit(request).await;
        if let Some(short) = short {
            client.remove(&task, &short.new.name).await;
            stories.removed.lock().unwrap().push((short.path, client.trap.generation()));
        }
        for mut hook in hooks {
            hook.task = Some(task.clone());
            stories.add_hook(hook);
        }
        if random.below(4) == 0 {
            let mut late = late;
            late.new.task_id = task.clone();
            let mut late = client.create(late).await;
            late.task = Some(task.clone());
            late.after = client.get(&task).await.sequence;
            stories.add_hook(late);
        }
        stories.tasks.lock().unwrap().push(task);
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
    }
    stories.cut_off.fetch_add(client.losses, Ordering::Relaxed);
}

/// Brings all tasks to their end, and waits until no delivery waits any more.
pub async fn settle(client: &mut Client) {
    for task_id in client.tasks(&[TaskState::InputRequired]).await {
        client.grpc.cancel_task(CancelTaskRequest { task_id, metadata: None }).await.unwrap();
    }
    for task in client.tasks(&[TaskState::Submitted, TaskState::Working, TaskState::InputRequired]).await {
        let log = client.log(&task).await;
        assert!(!log.is_empty());
    }
    let mut patience = Instant::now() + LIMIT;
    let mut before = usize::MAX;
    loop {
        let waiting = client.deliveries(DeliveryState::Pending, 100).await;
        if waiting.is_empty() {
            return;
        }
        if waiting.len() < before {
            (before, patience) = (waiting.len(), Instant::now() + LIMIT);
        }
        assert!(Instant::now() < patience, "{} wait for ever: {:#?}", waiting.len(), waiting.last());
        tokio::time::sleep(PAUSE * 10).await;
    }
}
