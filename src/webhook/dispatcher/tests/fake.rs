//! An outbox in memory with lanes as the store has them, receivers whose answers a test gives, and a clock to set.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{sync::Notify, time::Instant};

use super::super::{Bell, Chance, Clock, Dispatcher, Exchange, Parts, Settings};
use crate::{
    error::{Error, ErrorKind, Result},
    metrics::Metrics,
    proto::a2a::{Message, Role, Task, TaskState, stream_response::Payload},
    store::{
        Attempt, Attempted, Backlog, Claim, Claims, Content, Identity, Limits, Outbox, Round, Ticket, Verdict, Wanted,
    },
    task::{DeliveryId, Dialect, Event, Events, Health, Secrets, TaskId, Webhook, WebhookId, WebhookState},
    webhook::{Report, Request, Schedule},
};

pub const START: i64 = 1_767_323_045_000;

/// A wall clock that runs with tokio's, and that may be set.
#[derive(Clone)]
pub struct Wall(Instant, Arc<AtomicI64>);

impl Wall {
    pub fn new() -> Self {
        Self(Instant::now(), Arc::new(AtomicI64::new(START)))
    }

    pub fn now(&self) -> i64 {
        self.1.load(Ordering::SeqCst) + i64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    pub fn set_forth(&self, millis: i64) {
        self.1.fetch_add(millis, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let wall = self.clone();
        Arc::new(move || wall.now())
    }
}

/// The deliveries of one webhook about one task.
pub struct Lane {
    webhook: Arc<Webhook>,
    task: TaskId,
    /// Sequences that wait.
    waiting: Vec<u64>,
    due: i64,
    tries: u32,
    number: u32,
    /// The token of the claim, and when its lease ends.
    claimed: Option<(i64, i64)>,
}

#[derive(Default)]
pub struct State {
    lanes: BTreeMap<i64, Lane>,
    tokens: i64,
    last_now: Option<i64>,
    /// Sequences that are no longer in the log.
    trimmed: Vec<u64>,
    /// What was recorded, in order.
    pub recorded: Vec<(DeliveryId, Verdict, Option<Attempt>)>,
    pub refused: usize,
    pub rounds: usize,
    /// How far the clock was set forward before each round.
    pub jumps: Vec<i64>,
    /// Origins of these webhooks are not proven.
    pub unproven: Vec<WebhookId>,
}

/// An outbox in memory.
pub struct Fake {
    state: Mutex<State>,
    /// So many calls fail next.
    pub broken_rounds: AtomicUsize,
    pub broken_reads: AtomicUsize,
    /// While set, rounds wait before they begin, or once they have ended.
    pub gates: Mutex<[Option<Arc<Notify>>; 2]>,
    pub entered: Notify,
    pub recorded: Notify,
}

impl Fake {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            broken_rounds: AtomicUsize::new(0),
            broken_reads: AtomicUsize::new(0),
            gates: Mutex::default(),
            entered: Notify::new(),
            recorded: Notify::new(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds a lane with these sequences.
    pub fn lane(&self, webhook: &Arc<Webhook>, sequences: impl IntoIterator<Item = u64>) -> TaskId {
        let (task, mut state) = (TaskId::mint(), self.state());
        let id = i64::try_from(state.lanes.len()).unwrap() + 1;
        let waiting = sequences.into_iter().collect();
        let lane = Lane { webhook: webhook.clone(), task, waiting, due: 0, tries: 0, number: 0, claimed: None };
        state.lanes.insert(id, lane);
        task
    }

    pub fn trim(&self, sequence: u64) {
        self.state().trimmed.push(sequence);
    }

    pub fn delete(&self, webhook: WebhookId) {
        self.state().lanes.retain(|_, lane| lane.webhook.id != webhook);
    }

    /// How many deliveries wait.
    pub fn waiting(&self) -> usize {
        self.state().lanes.values().map(|lane| lane.waiting.len()).sum()
    }

    /// Waits until something is as it should be; some days of the paused clock at most.
    pub async fn until(&self, mut reached: impl FnMut(&State) -> bool) {
        let end = Instant::now() + Duration::from_secs(7 * 86_400);
        while Instant::now() < end {
            let recorded = self.recorded.notified();
            if reached(&self.state()) {
                return;
            }
            recorded.await;
        }
        panic!("it did not come to that: {:?}", self.state().recorded);
    }

    fn gate(&self, at: usize) -> Option<Arc<Notify>> {
        self.gates.lock().unwrap()[at].clone()
    }
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn down() -> Error {
    Error::new(ErrorKind::StoreFull, "the store is full")
}

impl State {
    fn record(&mut self, result: Attempted, now: i64) {
        let Attempted { ticket, verdict, attempt, .. } = result;
        let lane = self.lanes.get_mut(&ticket.lane);
        let Some(lane) = lane.filter(|lane| lane.claimed.is_some_and(|(token, _)| token == ticket.token)) else {
            self.refused += 1;
            return;
        };
        lane.claimed = None;
        let id = DeliveryId { webhook: lane.webhook.id, task: lane.task, sequence: lane.waiting[0] };
        lane.number += u32::from(attempt.is_some());
        match verdict {
            Verdict::Retry(due) => {
                lane.due = due;
                lane.tries += 1;
            }
            Verdict::Released => lane.due = now,
            Verdict::Delivered | Verdict::Failed | Verdict::Disable(_) => {
                lane.waiting.remove(0);
                (lane.due, lane.tries, lane.number) = (now, 0, 0);
            }
        }
        self.recorded.push((id, verdict, attempt));
    }

    fn claim(&mut self, round: &Round) -> Vec<Claim> {
        let Round { now, take, lease, ref limits, .. } = *round;
        let lease = i64::try_from(lease.as_millis()).unwrap();
        let held = |lane: &Lane| lane.claimed.is_some_and(|(_, until)| until > now);
        let quick = |lane: &Lane| lane.claimed.is_some_and(|(_, until)| until > now + lease - 500);
        let count = |which: &dyn Fn(&Lane) -> bool| self.lanes.values().filter(|lane| which(lane)).count();
        let (held_now, quick_now) = (count(&held), count(&quick));
        let used = quick_now + (held_now - quick_now).saturating_sub(limits.slow);
        let take = take.min(limits.total - used);
        let mut due: Vec<_> = self.lanes.iter_mut().filter(|(_, lane)| !held(lane) && lane.due <= now).collect();
        due.retain(|(_, lane)| !lane.waiting.is_empty());
        due.sort_by_key(|(_, lane)| lane.due);
        let mut claims = Vec::new();
        for (&id, lane) in due.into_iter().take(take) {
            self.tokens += 1;
            lane.claimed = Some((self.tokens, now + lease));
            claims.push(Claim {
                proven: !self.unproven.contains(&lane.webhook.id),
                hot: !self.unproven.contains(&lane.webhook.id),
                ticket: Ticket { lane: id, token: self.tokens },
                delivery: DeliveryId { webhook: lane.webhook.id, task: lane.task, sequence: lane.waiting[0] },
                webhook: lane.webhook.clone(),
                number: lane.number + 1,
                tries: lane.tries,
                created: START,
            });
        }
        claims
    }

    fn round(&mut self, mut round: Round) -> Claims {
        let now = round.now;
        let back = self.last_now.replace(now).map_or(0, |last| (last - now).max(0));
        for lane in self.lanes.values_mut() {
            lane.due -= if lane.due > now { back } else { 0 };
        }
        let refused = self.refused;
        for result in std::mem::take(&mut round.results) {
            self.record(result, now);
        }
        let claims = self.claim(&round);
        let full = claims.len() >= round.take;
        let wait = self.lanes.values().filter(|lane| !lane.waiting.is_empty());
        // What the limits kept back is looked at again.
        let next = wait
            .map(|lane| lane.claimed.map_or(if full { lane.due } else { lane.due.max(now + 100) }, |(_, until)| until))
            .min();
        self.rounds += 1;
        self.jumps.push(round.jumped);
        Claims { claims, next, refused: self.refused - refused }
    }
}

impl Outbox for Fake {
    fn dispatch(&self, round: Round) -> BoxFuture<'_, Result<Claims>> {
        async move {
            self.entered.notify_one();
            if let Some(gate) = self.gate(0) {
                gate.notified().await;
            }
            if take_one(&self.broken_rounds) {
                return Err(down());
            }
            let claims = self.state().round(round);
            self.recorded.notify_waiters();
            if let Some(gate) = self.gate(1) {
                gate.notified().await;
            }
            Ok(claims)
        }
        .boxed()
    }

    fn contents(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Option<Content>>>> {
        async move {
            if take_one(&self.broken_reads) {
                return Err(down());
            }
            let trimmed = self.state().trimmed.clone();
            let read = |it: Wanted| (!trimmed.contains(&it.sequence)).then(|| content(it.task, it.sequence, it.fold));
            Ok(wanted.into_iter().map(read).collect())
        }
        .boxed()
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog>> {
        async { Ok(Backlog::default()) }.boxed()
    }

    fn purge_deliveries(&self, _cutoff: Option<i64>, _now: i64, _batch: usize) -> BoxFuture<'_, Result<usize>> {
        async { Ok(0) }.boxed()
    }
}

/// An event whose message id is its sequence; one of a thousand or more is that many bytes large.
pub fn content(task: TaskId, sequence: u64, fold: bool) -> Content {
    let pad = if sequence >= 1000 { "x".repeat(usize::try_from(sequence).unwrap()) } else { String::new() };
    let message =
        Message { message_id: sequence.to_string(), role: Role::Agent.into(), context_id: pad, ..Message::default() };
    let event = Event::new(task, sequence, START, TaskState::Working, Payload::Message(message));
    let identity = Identity {
        id: task,
        owner: "".into(),
        agent: "echo".into(),
        context_id: "c".into(),
        dialect: Dialect::V1,
        created: START,
        deadline: None,
        output_modes: Vec::new(),
    };
    let task = fold.then(|| Task { id: task.to_string(), ..Task::default() });
    Content { identity: Arc::new(identity), event: Arc::new(event), task }
}

pub fn webhook() -> Webhook {
    Webhook {
        id: WebhookId::mint(),
        owner: "".into(),
        agent: "echo".into(),
        task: String::new(),
        name: "w".into(),
        url: "http://h.test/in".into(),
        origin: "http://h.test:80".into(),
        payload: Dialect::V1,
        events: Events::of(Dialect::V1),
        secrets: Secrets::default(),
        state: WebhookState::Enabled,
        created: START,
        updated: START,
        health: Health::default(),
    }
}

/// One request that a receiver saw.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: DeliveryId,
    pub wall: i64,
    pub request: Request,
}

type Answer = Box<dyn Fn(&Seen, usize) -> BoxFuture<'static, Report> + Send + Sync>;

/// Receivers that answer as a test says: by the request, and by how many came before it.
pub struct Receivers {
    answer: Answer,
    wall: Wall,
    pub seen: Mutex<Vec<Seen>>,
    /// Under way now, and at most so far.
    under_way: Arc<AtomicUsize>,
    pub most: AtomicUsize,
    pub arrived: Notify,
}

impl Receivers {
    pub fn new<F>(wall: &Wall, answer: impl Fn(&Seen, usize) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Report> + Send + 'static,
    {
        Arc::new(Self {
            answer: Box::new(move |seen, before| answer(seen, before).boxed()),
            wall: wall.clone(),
            seen: Mutex::default(),
            under_way: Arc::default(),
            most: AtomicUsize::new(0),
            arrived: Notify::new(),
        })
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Exchange for Receivers {
    fn send(&self, request: Request) -> BoxFuture<'_, Report> {
        async move {
            self.most.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _counted = Counted(self.under_way.clone());
            let id = DeliveryId::parse(request.headers["webhook-id"].to_str().unwrap()).unwrap();
            let seen = Seen { id, wall: self.wall.now(), request };
            let before = {
                let mut all = self.seen.lock().unwrap();
                all.push(seen.clone());
                all.len() - 1
            };
            self.arrived.notify_one();
            (self.answer)(&seen, before).await
        }
        .boxed()
    }
}

pub fn answered(status: u16) -> Report {
    Report { status, address: "192.0.2.1:80".into(), ..Report::default() }
}

pub fn limits(total: usize) -> Limits {
    Limits {
        total,
        slow: 0,
        retries: total,
        unproven: total,
        per_origin: total,
        circuit_failures: 5,
        circuit_open: Duration::from_secs(5),
        circuit_open_max: Duration::from_secs(60),
    }
}

/// What a test plays with.
pub struct Stage {
    pub wall: Wall,
    pub fake: Arc<Fake>,
    pub receivers: Arc<Receivers>,
    pub metrics: Arc<Metrics>,
    pub bell: Arc<Bell>,
}

impl Stage {
    pub fn new<F>(answer: impl Fn(&Seen, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Report> + Send + 'static,
    {
        let wall = Wall::new();
        let receivers = Receivers::new(&wall, answer);
        Self { wall, fake: Fake::new(), receivers, metrics: Arc::default(), bell: Arc::default() }
    }

    pub fn start(&self, total: usize) -> Dispatcher {
        self.start_with(total, |_| {})
    }

    pub fn start_with(&self, total: usize, change: impl FnOnce(&mut Settings)) -> Dispatcher {
        let mut settings = Settings {
            schedule: Schedule::default(),
            disable_after: None,
            limits: limits(total),
            lease: Duration::from_secs(60),
            max_body_bytes: 64 << 20,
        };
        change(&mut settings);
        let parts = Parts {
            outbox: self.fake.clone(),
            exchange: self.receivers.clone(),
            settings,
            clock: self.wall.clock(),
            bell: self.bell.clone(),
            metrics: self.metrics.clone(),
        };
        Dispatcher::start_with(parts, Chance::seeded(11))
    }

    /// The sequences that receivers took, by task.
    pub fn taken(&self) -> HashMap<TaskId, Vec<u64>> {
        let mut taken: HashMap<_, Vec<_>> = HashMap::new();
        for (id, verdict, _) in &self.fake.state().recorded {
            if *verdict == Verdict::Delivered {
                taken.entry(id.task).or_default().push(id.sequence);
            }
        }
        taken
    }
}
