//! The webhooks, the receivers behind them, and what must have arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use a2a_gateway::{
    proto::{
        a2a::{StreamResponse, stream_response::Payload},
        gateway::{
            CreateWebhookRequest, Delivery, DeliveryState, ListDeliveriesRequest, NewWebhook, TaskEvent,
            gateway_client::GatewayClient, task_event::Event,
        },
    },
    task::{Dialect, Events},
};

use crate::{
    AGENTS,
    caller::{Client, Story},
    check::Logs,
    place::Fault,
    process::{LIMIT, Random},
    receiver::{Answer, Received, Receiver},
};

/// After so many attempts a delivery is taken.
const PATIENT: usize = 3;
/// A claim, a request and its record take no longer than this where nothing is wrong: what was under way at most so long
/// before a fault may be sent again after it.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// The receivers: one that takes all, and one that refuses at random.
#[derive(Clone)]
pub struct Hooks(Arc<[Receiver; 2]>);

/// What was sent.
#[derive(Debug, Default)]
pub struct Tally {
    pub deliveries: usize,
    /// Deliveries that were taken more than once.
    pub again: usize,
}

impl Hooks {
    /// Starts the receivers, and creates a webhook for all tasks of each agent.
    pub async fn start(client: &mut Client, random: Random) -> Self {
        let random = Mutex::new(random);
        let moody = Receiver::start(move |received| {
            let refused = received.attempt <= PATIENT && random.lock().unwrap().below(5) == 0;
            Answer::status(if refused { 500 } else { 200 })
        });
        let hooks = Self(Arc::new([Receiver::willing().await, moody.await]));
        for (agent, _) in AGENTS {
            let webhook = NewWebhook { agent: agent.to_owned(), ..hooks.hook(&format!("/all/{agent}")) };
            let request = CreateWebhookRequest { webhook: Some(webhook) };
            let call = |mut gateway: GatewayClient<_>, request| async move { gateway.create_webhook(request).await };
            client.insist(&request, call).await.unwrap();
        }
        hooks
    }

    /// One of a path.
    pub fn hook(&self, path: &str) -> NewWebhook {
        let receiver = &self.0[path.len() % 2];
        let name = path.trim_start_matches('/').replace('/', "-");
        NewWebhook { name, url: receiver.url(path), ..NewWebhook::default() }
    }

    /// Waits until nothing is left to be sent, and holds what has arrived against the logs.
    pub async fn check(
        &self,
        client: &mut Client,
        stories: &[Story],
        logs: &Logs,
        faults: &[(Fault, Instant, Instant)],
    ) -> Tally {
        sent(client).await;
        let mut lanes: BTreeMap<(String, String), Vec<Received>> = BTreeMap::new();
        for received in self.0.iter().flat_map(Receiver::received) {
            let task = received.delivery().task.to_string();
            lanes.entry((received.path.clone(), task)).or_default().push(received);
        }
        let own = stories.iter().filter_map(|story| Some((story.plan.hook.clone()?, story.id.clone())));
        let all = logs.iter().map(|(task, (agent, _))| (format!("/all/{agent}"), task.clone()));
        let mut tally = Tally::default();
        for (path, task) in own.chain(all) {
            let lane = lanes.remove(&(path.clone(), task.clone())).unwrap_or_default();
            check_lane(&path, &logs[&task].1, &lane, faults, &mut tally);
        }
        assert!(lanes.is_empty(), "sent to nobody's webhook: {:#?}", lanes.into_values().next());
        tally
    }
}

/// What a webhook was sent about a task: everything, in order, and again only what a fault has hidden.
fn check_lane(
    path: &str,
    log: &[TaskEvent],
    lane: &[Received],
    faults: &[(Fault, Instant, Instant)],
    tally: &mut Tally,
) {
    let mut taken: BTreeMap<u64, Instant> = BTreeMap::new();
    for received in lane {
        let sequence = received.sequence();
        let told = || format!("{path}: {received:#?}");
        match taken.get(&sequence) {
            None => {
                let before = taken.last_key_value().map_or(0, |(sequence, _)| *sequence);
                assert!(before < sequence, "not in order, {before} came before: {}", told());
                let response: StreamResponse = serde_json::from_slice(&received.body).unwrap();
                assert_eq!(response.payload, Some(payload(&log[sequence as usize - 1])), "{}", told());
            }
            Some(at) => {
                let hidden = |(_, from, to): &(Fault, Instant, Instant)| {
                    *from <= received.at && *at <= *to + UNDER_WAY && *from <= *at + UNDER_WAY + (*to - *from)
                };
                assert!(faults.iter().any(hidden), "twice, without need: {}", told());
                tally.again += 1;
            }
        }
        if received.is_taken() {
            taken.entry(sequence).or_insert(received.at);
        }
    }
    let wanted = log.iter().filter(|event| Events::of(Dialect::V1).include(&payload(event)));
    let wanted: BTreeSet<_> = wanted.map(|event| event.sequence as u64).collect();
    let heard: BTreeSet<_> = taken.into_keys().collect();
    assert_eq!(heard, wanted, "{path}: {log:#?}");
    tally.deliveries += heard.len();
}

fn payload(event: &TaskEvent) -> Payload {
    match event.event.clone().unwrap() {
        Event::Snapshot(task) => Payload::Task(task),
        Event::Message(message) => Payload::Message(message),
        Event::StatusUpdate(update) => Payload::StatusUpdate(update),
        Event::ArtifactUpdate(update) => Payload::ArtifactUpdate(update),
    }
}

/// Waits until no delivery waits any more.
async fn sent(client: &mut Client) {
    let (mut patience, mut before) = (Instant::now() + LIMIT, usize::MAX);
    loop {
        let waiting = pending(client).await;
        if waiting.is_empty() {
            return;
        }
        if waiting.len() < before {
            (before, patience) = (waiting.len(), Instant::now() + LIMIT);
        }
        assert!(Instant::now() < patience, "{} wait for ever: {:#?}", waiting.len(), waiting.last());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn pending(client: &mut Client) -> Vec<Delivery> {
    let state = DeliveryState::Pending.into();
    let mut request = ListDeliveriesRequest { page_size: 100, state, ..ListDeliveriesRequest::default() };
    let mut deliveries = Vec::new();
    loop {
        let call = |mut gateway: GatewayClient<_>, request| async move { gateway.list_deliveries(request).await };
        let page = client.insist(&request, call).await.unwrap();
        deliveries.extend(page.deliveries);
        if page.next_page_token.is_empty() {
            return deliveries;
        }
        request.page_token = page.next_page_token;
    }
}
