//! Closed-loop rounds: each caller makes its next call when the one before is answered.
//!
//! A comparison alternates short rounds of the gateway and of what it is compared with, so that whatever else the
//! machine does meets both alike, and takes the median of the rounds.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

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
    mut gateway: Vec<A>,
    mut other: Vec<B>,
    mut settle: impl AsyncFnMut() -> Result<()>,
) -> Result<(Side, Side)> {
    let (mut side, mut other_side) = (Side::default(), Side::default());
    let warm_up = plan.round.min(Duration::from_millis(300));
    run(&mut gateway, warm_up).await?;
    settle().await?;
    run(&mut other, warm_up).await?;
    for _ in 0..plan.rounds {
        side.add(run(&mut gateway, plan.round).await?);
        settle().await?;
        other_side.add(run(&mut other, plan.round).await?);
    }
    Ok((side, other_side))
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

/// Lets all callers call for a time, and waits for their last answers.
async fn run<C: Caller>(callers: &mut Vec<C>, time: Duration) -> Result<Round> {
    let start = Instant::now();
    let end = start + time;
    let mut tasks = JoinSet::new();
    for caller in callers.drain(..) {
        tasks.spawn(call_until(caller, end));
    }
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
        let outcome = tokio::time::timeout(CALL_LIMIT, caller.call()).await;
        let done = Instant::now();
        match outcome.unwrap_or_else(|_| Err("no answer within 30 s".into())) {
            Ok(()) => {
                tally.latency.record(done - start);
                in_a_row = 0;
            }
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert_with(|| error.to_string());
                in_a_row += 1;
            }
        }
        start = done;
    }
    (caller, tally)
}
