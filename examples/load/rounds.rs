//! Rounds of calls. In closed-loop rounds each caller makes its next call when the one before is answered; in paced
//! rounds calls are due at a fixed rate, and what a call waits for a free caller counts as its latency.
//!
//! A comparison alternates short rounds of the gateway and of what it is compared with, so that whatever else the
//! machine does meets both alike, and takes the median of the rounds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::{
    Result,
    stats::{Histogram, median},
};

/// One client that calls again and again over a connection of its own or a shared one.
pub trait Caller: Send + 'static {
    /// Makes one call and checks its answer.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Rounds on each side.
    pub rounds: u32,
    /// The length of one round.
    pub round: Duration,
}

/// Errors in a row after which a caller gives up, so that a broken server does not turn into a busy loop.
const GIVE_UP_AFTER: u32 = 20;

/// The longest that one call may take: beyond it something hangs.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Calls of this long come before those that count.
const WARM_UP: Duration = Duration::from_millis(300);

impl Plan {
    /// Splits the seconds of one side into rounds of about one second, at least three.
    pub fn new(seconds: f64) -> Self {
        let rounds = (seconds.round() as u32).max(3);
        Self { rounds, round: Duration::from_secs_f64(seconds / f64::from(rounds)) }
    }
}

/// What one side did in all its rounds.
#[derive(Default)]
pub struct Side {
    rates: Vec<f64>,
    /// The latencies of all calls.
    pub latency: Histogram,
    /// Calls that failed.
    pub errors: u64,
    /// The first failure.
    pub first_error: Option<String>,
}

impl Side {
    /// The median of the rounds, in calls per second.
    pub fn rate(&self) -> f64 {
        median(&self.rates).unwrap_or_default()
    }

    fn add(&mut self, round: Round) {
        self.rates.push(round.tally.latency.count() as f64 / round.elapsed.as_secs_f64());
        self.latency.merge(&round.tally.latency);
        self.errors += round.tally.errors;
        if self.first_error.is_none() {
            self.first_error = round.tally.first_error;
        }
    }
}

/// Measures two sides in turns. `settle` runs after each round of the first side, outside what is measured.
pub async fn compare<A: Caller, B: Caller>(
    plan: Plan,
    gateway: &mut Vec<A>,
    other: &mut Vec<B>,
    mut settle: impl AsyncFnMut() -> Result<()>,
) -> Result<(Side, Side)> {
    let (mut side, mut other_side) = (Side::default(), Side::default());
    let warm_up = plan.round.min(WARM_UP);
    run(gateway, warm_up).await?;
    settle().await?;
    run(other, warm_up).await?;
    for _ in 0..plan.rounds {
        side.add(run(gateway, plan.round).await?);
        settle().await?;
        other_side.add(run(other, plan.round).await?);
    }
    Ok((side, other_side))
}

/// Measures two sides in turns, both at so many calls per second.
pub async fn compare_paced<A: Caller, B: Caller>(
    plan: Plan,
    rate: f64,
    gateway: &mut Vec<A>,
    other: &mut Vec<B>,
) -> Result<(Side, Side)> {
    let (mut side, mut other_side) = (Side::default(), Side::default());
    let warm_up = plan.round.min(WARM_UP);
    run_paced(gateway, rate, warm_up).await?;
    run_paced(other, rate, warm_up).await?;
    for _ in 0..plan.rounds {
        side.add(run_paced(gateway, rate, plan.round).await?);
        other_side.add(run_paced(other, rate, plan.round).await?);
    }
    Ok((side, other_side))
}

/// Measures any number of sides in turns, each at so many calls per second.
pub async fn take_turns<C: Caller>(plan: Plan, rate: f64, sides: &mut [Vec<C>]) -> Result<Vec<Side>> {
    for callers in sides.iter_mut() {
        run_paced(callers, rate, plan.round.min(WARM_UP)).await?;
    }
    let mut measured: Vec<Side> = sides.iter().map(|_| Side::default()).collect();
    for _ in 0..plan.rounds {
        for (callers, side) in sides.iter_mut().zip(&mut measured) {
            side.add(run_paced(callers, rate, plan.round).await?);
        }
    }
    Ok(measured)
}

/// Measures any number of sides in turns, each as fast as it answers. `settle` runs after each round.
pub async fn full_turns<C: Caller>(
    plan: Plan,
    sides: &mut [Vec<C>],
    mut settle: impl AsyncFnMut() -> Result<()>,
) -> Result<Vec<Side>> {
    let mut measured: Vec<Side> = sides.iter().map(|_| Side::default()).collect();
    for callers in sides.iter_mut() {
        run(callers, plan.round.min(WARM_UP)).await?;
    }
    for _ in 0..plan.rounds {
        for (callers, side) in sides.iter_mut().zip(&mut measured) {
            side.add(run(callers, plan.round).await?);
            settle().await?;
        }
    }
    Ok(measured)
}

/// Measures one side for a time without pause, as fast as it answers.
pub async fn full_speed<C: Caller>(callers: &mut Vec<C>, time: Duration) -> Result<Side> {
    let mut side = Side::default();
    side.add(run(callers, time).await?);
    Ok(side)
}

struct Round {
    elapsed: Duration,
    tally: Tally,
}

/// What one caller did in one round.
#[derive(Default)]
struct Tally {
    latency: Histogram,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    /// Counts a call; whether it was answered as it should be.
    fn add(&mut self, outcome: Result<()>, latency: Duration) -> bool {
        match outcome {
            Ok(()) => self.latency.record(latency),
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
                return false;
            }
        }
        true
    }
}

/// Makes one call, which must not hang.
async fn call<C: Caller>(caller: &mut C) -> Result<()> {
    let outcome = tokio::time::timeout(CALL_LIMIT, caller.call()).await;
    outcome.unwrap_or_else(|_| Err(format!("no answer within {CALL_LIMIT:?}").into()))
}

/// Lets all callers call for a time, and waits for their last answers.
async fn run<C: Caller>(callers: &mut Vec<C>, time: Duration) -> Result<Round> {
    let start = Instant::now();
    let end = start + time;
    let mut tasks = JoinSet::new();
    for caller in callers.drain(..) {
        tasks.spawn(call_until(caller, end));
    }
    gather(callers, tasks, start).await
}

/// Lets the callers make the calls that come due in a time, and waits for the last answers.
async fn run_paced<C: Caller>(callers: &mut Vec<C>, rate: f64, time: Duration) -> Result<Round> {
    let (send, receive) = mpsc::unbounded_channel();
    let due = Arc::new(Mutex::new(receive));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in callers.drain(..) {
        tasks.spawn(call_when_due(caller, due.clone()));
    }
    // The runtime's timers count in milliseconds, which is too coarse here.
    std::thread::spawn(move || pace(&send, start, rate, time));
    gather(callers, tasks, start).await
}

/// Says of each call when it is due, at that time.
fn pace(calls: &mpsc::UnboundedSender<Instant>, start: Instant, rate: f64, time: Duration) {
    for number in 0..(rate * time.as_secs_f64()) as u64 {
        let due = start + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if calls.send(due).is_err() {
            return;
        }
    }
}

async fn gather<C: Caller>(callers: &mut Vec<C>, mut tasks: JoinSet<(C, Tally)>, start: Instant) -> Result<Round> {
    let mut all = Tally::default();
    while let Some(finished) = tasks.join_next().await {
        let (caller, tally) = finished?;
        callers.push(caller);
        all.latency.merge(&tally.latency);
        all.errors += tally.errors;
        all.first_error = all.first_error.or(tally.first_error);
    }
    Ok(Round { elapsed: start.elapsed(), tally: all })
}

async fn call_until<C: Caller>(mut caller: C, end: Instant) -> (C, Tally) {
    let mut tally = Tally::default();
    let mut in_a_row = 0;
    let mut start = Instant::now();
    while start < end && in_a_row < GIVE_UP_AFTER {
        let outcome = call(&mut caller).await;
        let done = Instant::now();
        in_a_row = if tally.add(outcome, done - start) { 0 } else { in_a_row + 1 };
        start = done;
    }
    (caller, tally)
}

async fn call_when_due<C: Caller>(mut caller: C, due: Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>) -> (C, Tally) {
    let mut tally = Tally::default();
    let mut in_a_row = 0;
    while in_a_row < GIVE_UP_AFTER {
        let next = due.lock().await.recv().await;
        let Some(start) = next else { break };
        let outcome = call(&mut caller).await;
        in_a_row = if tally.add(outcome, start.elapsed()) { 0 } else { in_a_row + 1 };
    }
    (caller, tally)
}
