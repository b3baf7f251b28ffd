//! What must be true when all is done.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::AddAssign,
};

use a2a_gateway::{
    proto::{
        a2a::{StreamResponse, TaskState, stream_response::Payload},
        gateway::{Delivery, DeliveryState, TaskEvent, task_event::Event},
    },
    task::{DeliveryId, Dialect},
};

use crate::{
    hooks::{Hook, RECEIVERS, SECRET},
    receiver::{Received, Receiver},
    work::{Client, Stories},
};

/// What there was, and in which phases kills hit it.
#[derive(Debug, Default)]
pub struct Tally {
    pub tasks: usize,
    pub webhooks: usize,
    /// Webhooks that were removed, so that nothing need have come, and nothing may come again.
    pub removed: usize,
    pub deliveries: usize,
    pub receptions: usize,
    /// Calls that a kill cut off.
    pub cut_off: usize,
    /// Deliveries whose event was stored before a kill, and that were sent for the first time after it.
    pub unsent: usize,
    /// Requests without an answer when a kill came.
    pub unanswered: usize,
    /// Deliveries that were taken before a kill, and sent again after it.
    pub unrecorded: usize,
    /// Deliveries that were refused before a kill, and sent again after it.
    pub between_retries: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.webhooks += other.webhooks;
        self.removed += other.removed;
        self.deliveries += other.deliveries;
        self.receptions += other.receptions;
        self.cut_off += other.cut_off;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        self.unrecorded += other.unrecorded;
        self.between_retries += other.between_retries;
    }
}

/// Holds what has arrived against the logs of all tasks and the gateway's own record.
pub async fn check(client: &mut Client, stories: &Stories, receivers: &[Receiver; RECEIVERS], kills: &[i64]) -> Tally {
    let hooks = stories.hooks();
    let mut logs = BTreeMap::new();
    for task in client.tasks(&[]).await {
        let log = client.log(&task).await;
        assert!(log.iter().map(|event| event.sequence).eq(1..=log.len() as i64), "task {task}: {log:?}");
        logs.insert(task, log);
    }
    for task in stories.tasks() {
        assert!(logs.contains_key(&task), "task {task} was acknowledged, and lost");
    }
    let mut arrived: BTreeMap<(String, String), Vec<Received>> = BTreeMap::new();
    for received in receivers.iter().flat_map(Receiver::received) {
        let task = received.delivery().task.to_string();
        arrived.entry((received.path.clone(), task)).or_default().push(received);
    }
    let listed = client.deliveries(DeliveryState::Unspecified, usize::MAX).await;
    let count = listed.len();
    let mut listed: HashMap<_, _> = listed.into_iter().map(|delivery| (delivery.id.clone(), delivery)).collect();
    assert_eq!(listed.len(), count, "each delivery is listed once");

    let mut tally = Tally {
        tasks: logs.len(),
        webhooks: hooks.len(),
        cut_off: stories.cut_off(),
        receptions: arrived.values().map(Vec::len).sum(),
        ..Tally::default()
    };
    for hook in &hooks {
        for (task, log) in logs.iter().filter(|(id, _)| hook.task.as_ref().is_none_or(|task| task == *id)) {
            let lane = arrived.remove(&(hook.path.clone(), task.clone())).unwrap_or_default();
            let sent = check_lane(hook, log, &lane);
            tally.deliveries += sent.len();
            for (sequence, attempts) in &sent {
                check_body(hook, &log[*sequence as usize - 1], attempts[0]);
                check_record(attempts, listed.remove(attempts[0].header("webhook-id")));
                tally.note(&log[*sequence as usize - 1], attempts, kills);
            }
        }
    }
    let removed: HashMap<_, _> = stories.removed().into_iter().collect();
    tally.removed = removed.len();
    arrived.retain(|(path, _), sent| {
        let Some(generation) = removed.get(path) else { return true };
        let late = sent.iter().find(|received| received.generation > *generation);
        assert!(late.is_none(), "sent after it was removed: {late:?}");
        false
    });
    // A submit that was cut off may have stored its task all the same; it was submitted again under its request id.
    assert!(arrived.is_empty(), "sent to nobody's webhook: {:#?}", arrived.into_values().next());
    assert!(listed.is_empty(), "kept for nobody: {:#?}", listed.into_values().next());
    tally
}

/// What a webhook was sent about a task: in order, nothing left out, nothing again that was over and done with. The
/// attempts of each sequence.
fn check_lane<'r>(hook: &Hook, log: &[TaskEvent], lane: &'r [Received]) -> BTreeMap<u64, Vec<&'r Received>> {
    let told = |n: usize| format!("{} {:?}: reception {n} of {lane:#?}", hook.path, hook.payload);
    let mut sent: BTreeMap<u64, Vec<&Received>> = BTreeMap::new();
    for (n, received) in lane.iter().enumerate() {
        let sequence = received.sequence();
        assert_eq!(received.header("a2a-event-sequence"), sequence.to_string(), "{}", told(n));
        assert!(received.is_signed_with(SECRET), "not signed: {}", told(n));
        let before = n.checked_sub(1).map(|before| &lane[before]);
        if let Some(before) = before.filter(|before| before.sequence() == sequence) {
            // Again: since it was not taken, or since the gateway that sent it was killed.
            assert!(!before.is_taken() || before.generation < received.generation, "twice: {}", told(n));
            assert_eq!(before.header("webhook-id"), received.header("webhook-id"), "{}", told(n));
            assert_eq!(before.body, received.body, "other bytes: {}", told(n));
            assert_eq!(before.header("content-type"), received.header("content-type"), "{}", told(n));
        } else if let Some(before) = before {
            // The next one: the one before is over. A success whose body broke off may count as one.
            assert!(before.sequence() < sequence, "not in order: {}", told(n));
            assert!(before.is_taken() || before.is_part, "sent before its turn: {}", told(n));
        }
        sent.entry(sequence).or_default().push(received);
    }
    if let Some(last) = lane.last() {
        assert!(last.is_taken() || last.is_part, "never taken: {}", told(lane.len() - 1));
    }
    let wanted = log.iter().filter(|event| hook.events().include(&payload(event)));
    let wanted: BTreeSet<_> = wanted.map(|event| event.sequence as u64).collect();
    let heard: BTreeSet<_> = sent.keys().copied().collect();
    // Of what came before it was stored for sure, it has heard a tail, if anything.
    let first = if hook.after == 0 { 1 } else { heard.first().copied().unwrap_or(u64::MAX).min(hook.after as u64 + 1) };
    let wanted: BTreeSet<_> = wanted.range(first..).copied().collect();
    assert_eq!(heard, wanted, "{} {:?}, from {first}: {log:#?}", hook.path, hook.payload);
    sent
}

fn payload(event: &TaskEvent) -> Payload {
    match event.event.clone().unwrap() {
        Event::Snapshot(task) => Payload::Task(task),
        Event::Message(message) => Payload::Message(message),
        Event::StatusUpdate(update) => Payload::StatusUpdate(update),
        Event::ArtifactUpdate(update) => Payload::ArtifactUpdate(update),
    }
}

/// The body says what the event says.
fn check_body(hook: &Hook, event: &TaskEvent, received: &Received) {
    let body = received.json();
    let kind = received.header("content-type");
    match hook.payload {
        Dialect::V1 => {
            assert_eq!(kind, "application/a2a+json");
            let response: StreamResponse = serde_json::from_value(body).unwrap();
            assert_eq!(response.payload, Some(payload(event)), "{received:?}");
        }
        Dialect::V03 => {
            assert_eq!((kind, body["kind"].as_str()), ("application/json", Some("task")), "{received:?}");
            assert_eq!(body["id"], event.task_id, "{received:?}");
            assert_eq!(body["status"]["state"], state(event, "input-required", "canceled"), "{received:?}");
        }
        Dialect::Praison => {
            assert_eq!(kind, "application/json");
            let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["status", "taskId", "timestamp"], "{received:?}");
            assert_eq!(body["taskId"], event.task_id, "{received:?}");
            assert_eq!(body["status"]["state"], state(event, "input_required", "cancelled"), "{received:?}");
        }
    }
}

/// The state after an event that tells one, as a dialect calls it.
fn state(event: &TaskEvent, asks: &'static str, canceled: &'static str) -> &'static str {
    let state = match event.event.as_ref().unwrap() {
        Event::Snapshot(task) => task.status.as_ref().unwrap().state(),
        Event::StatusUpdate(update) => update.status.as_ref().unwrap().state(),
        other => panic!("tells no state: {other:?}"),
    };
    match state {
        TaskState::Submitted => "submitted",
        TaskState::Working => "working",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::InputRequired => asks,
        TaskState::Canceled => canceled,
        other => panic!("{other:?}"),
    }
}

/// The gateway's record of a delivery is what its receiver saw, but for attempts that a kill has hidden from it.
fn check_record(attempts: &[&Received], delivery: Option<Delivery>) {
    let id = attempts[0].header("webhook-id");
    let delivery = delivery.unwrap_or_else(|| panic!("{id} was sent, and is not listed"));
    let DeliveryId { webhook, task, sequence } = attempts[0].delivery();
    let said = (delivery.webhook_id.as_str(), delivery.task_id.as_str(), delivery.sequence as u64);
    assert_eq!(said, (&*webhook.to_string(), &*task.to_string(), sequence), "{delivery:?}");
    assert_eq!(delivery.state(), DeliveryState::Delivered, "{delivery:?}");
    let hidden = attempts.windows(2).filter(|pair| pair[0].generation < pair[1].generation).count();
    let count = delivery.attempt_count as usize;
    let range = attempts.len() - hidden..=attempts.len();
    assert!(range.contains(&count), "{range:?} attempts are known of: {delivery:#?}\n{attempts:#?}");
    assert_eq!(delivery.attempts.len(), count.min(20), "{delivery:#?}");
    let last = delivery.attempts.last().unwrap();
    assert_eq!((last.status, last.number), (200, delivery.attempt_count), "{delivery:#?}");
    let address = last.address.as_str();
    assert!(address.starts_with("127.0.0.1:"), "{delivery:#?}");
}

impl Tally {
    /// Counts what kills have done to a delivery.
    fn note(&mut self, event: &TaskEvent, attempts: &[&Received], kills: &[i64]) {
        let time = event.time.unwrap();
        let stored = time.seconds * 1000 + i64::from(time.nanos) / 1_000_000;
        let generation = kills.iter().filter(|kill| **kill <= stored).count() as u64;
        self.unsent += usize::from(attempts[0].generation > generation);
        for pair in attempts.windows(2).filter(|pair| pair[0].generation < pair[1].generation) {
            match pair[0].answered {
                None => self.unanswered += 1,
                Some(200) => self.unrecorded += 1,
                Some(_) => self.between_retries += 1,
            }
        }
    }
}
