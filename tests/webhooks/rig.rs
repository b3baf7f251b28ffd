//! A gateway that may send to the loopback, and what tests ask of it.

use std::{path::Path, time::Instant};

use a2a_gateway::proto::gateway::{
    CreateWebhookRequest, Delivery, DeliveryState, GetWebhookRequest, ListDeliveriesRequest, NewWebhook, TaskEvent,
    UpdateWebhookRequest, WatchTaskRequest, Webhook, WebhookEvent, gateway_client::GatewayClient,
};
use futures::TryStreamExt as _;
use tempfile::TempDir;
use tokio::task::block_in_place;
use tonic::transport::Channel;

use crate::process::{Gateway, LIMIT, submit};

/// Between two looks at what is awaited.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Lets the gateway send to the receivers of tests.
pub const ALLOWED: &[&str] = &["--webhook-allow", "127.0.0.0/8"];

/// A gateway, and a client of it.
pub struct Rig {
    pub gateway: Gateway,
    pub client: GatewayClient<Channel>,
    data: TempDir,
}

impl Rig {
    /// Starts one with these settings; each is `section.key=value`.
    pub async fn start(settings: &[&str]) -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), &[ALLOWED, &sets(settings)].concat()).await
    }

    /// Starts one with these arguments.
    pub async fn start_with(data: TempDir, arguments: &[&str]) -> Self {
        let gateway = launch(data.path(), arguments);
        let client = gateway.client().await;
        Self { gateway, client, data }
    }

    /// Kills it, and starts another on its data.
    pub async fn crash(self, settings: &[&str]) -> Self {
        let Self { mut gateway, data, .. } = self;
        block_in_place(|| gateway.kill9());
        Self::start_with(data, &[ALLOWED, &sets(settings)].concat()).await
    }

    /// Stops it, and gives its data.
    pub fn stop(self) -> TempDir {
        let Self { mut gateway, data, .. } = self;
        gateway.term();
        assert_eq!(block_in_place(|| gateway.wait(LIMIT)).code(), Some(0));
        data
    }

    /// Submits a text with webhooks; the task's id.
    pub async fn submit(&mut self, text: &str, webhooks: Vec<NewWebhook>) -> String {
        let mut request = submit(text, "");
        request.webhooks = webhooks;
        self.client.submit_task(request).await.unwrap().into_inner().task.unwrap().id
    }

    pub async fn create(&mut self, webhook: NewWebhook) -> Webhook {
        let request = CreateWebhookRequest { webhook: Some(webhook) };
        self.client.create_webhook(request).await.unwrap().into_inner()
    }

    pub async fn webhook(&mut self, id: &str) -> Webhook {
        self.client.get_webhook(GetWebhookRequest { id: id.to_owned() }).await.unwrap().into_inner()
    }

    /// Changes a webhook: all but its id.
    pub async fn update(&mut self, id: &str, change: UpdateWebhookRequest) -> Webhook {
        let request = UpdateWebhookRequest { id: id.to_owned(), ..change };
        self.client.update_webhook(request).await.unwrap().into_inner()
    }

    /// Resumes or pauses a webhook.
    pub async fn enable(&mut self, id: &str, enabled: bool) -> Webhook {
        self.update(id, UpdateWebhookRequest { enabled: Some(enabled), ..UpdateWebhookRequest::default() }).await
    }

    /// Every delivery of a task, oldest first.
    pub async fn deliveries(&mut self, task_id: &str) -> Vec<Delivery> {
        let task_id = task_id.to_owned();
        let mut request = ListDeliveriesRequest { page_size: 100, task_id, ..ListDeliveriesRequest::default() };
        let mut deliveries = Vec::new();
        loop {
            let page = self.client.list_deliveries(request.clone()).await.unwrap().into_inner();
            deliveries.extend(page.deliveries);
            if page.next_page_token.is_empty() {
                deliveries.reverse();
                return deliveries;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Waits until a task's deliveries pass.
    pub async fn until(&mut self, task_id: &str, what: &str, pass: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let deliveries = self.deliveries(task_id).await;
            if pass(&deliveries) {
                return deliveries;
            }
            assert!(Instant::now() < deadline, "no {what}: {deliveries:#?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until so many deliveries of a task are there, and all were taken.
    pub async fn delivered(&mut self, task_id: &str, count: usize) -> Vec<Delivery> {
        let taken = |all: &[Delivery]| all.iter().filter(|one| one.state() == DeliveryState::Delivered).count();
        self.until(task_id, "delivery", |all| all.len() == count && taken(all) == count).await
    }

    /// Waits until a task has settled; its log.
    pub async fn log(&mut self, task_id: &str) -> Vec<TaskEvent> {
        let request = WatchTaskRequest { task_id: task_id.to_owned(), after_sequence: Some(0) };
        let events = self.client.watch_task(request).await.unwrap().into_inner();
        tokio::time::timeout(LIMIT, events.try_collect()).await.expect("it does not settle").unwrap()
    }
}

fn launch(data: &Path, arguments: &[&str]) -> Gateway {
    block_in_place(|| Gateway::start_at("127.0.0.1:0", data, arguments))
}

/// Arguments for settings.
pub fn sets<'s>(settings: &[&'s str]) -> Vec<&'s str> {
    settings.iter().flat_map(|setting| ["--set", setting]).collect()
}

/// A webhook at a URL: of an agent's tasks, or, inline, of the task.
pub fn hook(url: String) -> NewWebhook {
    NewWebhook { url, ..NewWebhook::default() }
}

/// One that hears of artifacts only: of `hello`, that is one event.
pub fn one_event(url: String) -> NewWebhook {
    NewWebhook { events: vec![WebhookEvent::Artifact.into()], ..hook(url) }
}

/// The attempts' statuses.
pub fn statuses(delivery: &Delivery) -> Vec<i32> {
    delivery.attempts.iter().map(|attempt| attempt.status).collect()
}
