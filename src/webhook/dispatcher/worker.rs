//! The dispatcher's loop: one task that owns all attempts, and the only one that talks to the store about them.

use std::{collections::HashMap, mem, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Bell,
    attempt::{Shared, wanted},
};
use crate::{
    error::Result,
    store::{Attempted, Claim, Claims, Limits, Round, Verdict},
    task::WebhookId,
    webhook::verdict::{Tried, released},
};

/// Between two looks at the clock at most: that it was set is noticed after this. A look costs nothing; a round, which
/// is a write, is begun where there is reason to.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The clock was set where it went otherwise than time did by more than this many milliseconds.
const CLOCK_TOLERANCE: i64 = 1000;

/// Between two rounds at least, where only time is waited for.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// Between two rounds at least, unless so many results wait: each round is a commit that others wait behind, and what ends
/// or comes meanwhile goes with the next.
pub(super) const GATHER: Duration = Duration::from_millis(2);
pub(super) const GATHERED: usize = 64;

/// Until a failed round is tried again: at first, at most, and at most while shutting down.
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const BACKOFF_CLOSING: Duration = Duration::from_secs(1);

/// How long before its lease ends an attempt is broken off.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// How long a shutdown waits, after its grace, for the store to record what came of attempts.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

/// What is asked of the worker.
#[derive(Debug)]
pub(super) enum Command {
    /// Break off a webhook's attempts.
    Stop { webhook: WebhookId, done: oneshot::Sender<()> },
    /// End, after this time at the latest.
    Shutdown(Duration),
}

/// An attempt under way.
struct Flight {
    claim: Claim,
    began: i64,
    handle: AbortHandle,
}

/// A round that the store is working on.
struct Call {
    answer: BoxFuture<'static, Result<Claims>>,
    /// When it was begun, and the claims' leases with it.
    begun: Moment,
    /// What it records, should it fail.
    results: Vec<Attempted>,
    /// The webhooks that were stopped since it began: it may still hand over claims of theirs.
    stopped: Vec<WebhookId>,
}

/// A point in time, by a clock that only goes on and by the system's, in milliseconds since 1970 UTC.
#[derive(Clone, Copy)]
struct Moment {
    time: Instant,
    wall: i64,
}

/// A webhook's attempts are being broken off.
struct Stop {
    webhook: WebhookId,
    /// Whether the round under way when it was asked has been answered.
    answered: bool,
    done: oneshot::Sender<()>,
}

/// The end of the work.
struct Closing {
    /// When attempts under way are broken off.
    abort_at: Instant,
    /// Whether they have been.
    aborted: bool,
    /// When it ends, whatever is not recorded.
    end_at: Instant,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    limits: Limits,
    lease: Duration,
    bell: Arc<Bell>,
    commands: mpsc::Receiver<Command>,
    attempts: JoinSet<Attempted>,
    flights: HashMap<Id, Flight>,
    readers: JoinSet<()>,
    results: Vec<Attempted>,
    call: Option<Call>,
    stops: Vec<Stop>,
    closing: Option<Closing>,
    /// Whether the bell has rung since the last round began.
    rung: bool,
    /// When the last round began that the store took.
    last: Moment,
    /// When something is due, by the system's clock.
    next: Option<i64>,
    /// When to look whether it is although nothing has happened.
    look_at: Instant,
    /// Not before this: the store has just failed.
    not_before: Instant,
    /// Not before this, unless much has gathered: a round has just ended.
    gather_until: Instant,
    backoff: Duration,
}

/// What woke the worker.
enum Woken {
    Asked(Command),
    Rung,
    Ended(Result<(Id, Attempted), JoinError>),
    Answered(Result<Claims>),
    Read(Result<(), JoinError>),
    Time,
}

impl Moment {
    /// By how many milliseconds the system's clock was set since then; 0: it went as time went, or nearly.
    fn clock_set_since(self, then: Self) -> i64 {
        let took = i64::try_from((self.time - then.time).as_millis()).unwrap_or(i64::MAX);
        let set = self.wall.saturating_sub(then.wall).saturating_sub(took);
        if set.saturating_abs() > CLOCK_TOLERANCE { set } else { 0 }
    }
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        limits: Limits,
        lease: Duration,
        bell: Arc<Bell>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let now = Instant::now();
        let last = Moment { time: now, wall: (shared.clock)() };
        Self {
            shared,
            limits,
            lease,
            bell,
            commands,
            attempts: JoinSet::new(),
            flights: HashMap::new(),
            readers: JoinSet::new(),
            results: Vec::new(),
            call: None,
            stops: Vec::new(),
            closing: None,
            rung: true,
            last,
            next: None,
            look_at: now,
            not_before: now,
            gather_until: now,
            backoff: BACKOFF,
        }
    }

    /// Works until it is told to shut down.
    pub(super) async fn run(mut self) {
        while !self.finished() {
            self.begin_round();
            match self.wait().await {
                Woken::Asked(Command::Stop { webhook, done }) => self.stop(webhook, done),
                Woken::Asked(Command::Shutdown(grace)) => self.close(grace),
                Woken::Rung => self.rung = true,
                Woken::Ended(ended) => {
                    self.land(ended);
                    // What ended meanwhile is recorded in the same round.
                    while let Some(ended) = self.attempts.try_join_next_with_id() {
                        self.land(ended);
                    }
                }
                Woken::Answered(answer) => self.answered(answer),
                // Those it read for are tried again.
                Woken::Read(Err(fault)) => tracing::error!(%fault, "reading for deliveries failed"),
                Woken::Read(Ok(())) => {}
                Woken::Time => self.abort_overdue(),
            }
            self.tell_stopped();
            self.shared.metrics.webhooks.in_flight.set(i64::try_from(self.flights.len()).unwrap_or(i64::MAX));
        }
        if !self.results.is_empty() {
            let lost = self.results.len();
            tracing::error!(lost, "the store did not record what came of deliveries; they will be sent again");
        }
        self.shared.metrics.webhooks.in_flight.set(0);
    }

    async fn wait(&mut self) -> Woken {
        let until = self.wake_at();
        let answer = async {
            match &mut self.call {
                Some(call) => Pin::new(&mut call.answer).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(command) = self.commands.recv() => Woken::Asked(command),
            Some(ended) = self.attempts.join_next_with_id() => Woken::Ended(ended),
            Some(read) = self.readers.join_next() => Woken::Read(read),
            answer = answer => Woken::Answered(answer),
            () = self.bell.0.notified(), if !self.rung => Woken::Rung,
            () = sleep_until(until) => Woken::Time,
        }
    }

    /// When to go on although nothing happens.
    fn wake_at(&self) -> Instant {
        let round = match (&self.call, self.wants_round()) {
            (Some(_), _) => None,
            (None, true) => Some(self.not_before.max(self.gather_until)),
            (None, false) => (self.free() > 0).then(|| self.look_at.max(self.not_before)),
        };
        let closing = self.closing.as_ref().map(|it| if it.aborted { it.end_at } else { it.abort_at });
        let never = Instant::now() + LONGEST_WAIT;
        round.into_iter().chain(closing).min().unwrap_or(never)
    }

    /// Whether something has happened that asks for a round.
    fn wants_round(&self) -> bool {
        !self.results.is_empty() || (self.rung && self.free() > 0)
    }

    /// How many more may be claimed.
    fn free(&self) -> usize {
        // Which of them count as slow, the store knows.
        let most = self.limits.total.saturating_add(self.limits.slow);
        if self.closing.is_some() { 0 } else { most.saturating_sub(self.flights.len()) }
    }

    /// Begins a round if there is reason to, and none is under way.
    fn begin_round(&mut self) {
        let now = Instant::now();
        let looks = self.free() > 0 && now >= self.look_at;
        let waits = now < self.not_before || now < self.gather_until && self.results.len() < GATHERED;
        if self.call.is_some() || waits || !(looks || self.wants_round()) {
            return;
        }
        let begun = Moment { time: now, wall: (self.shared.clock)() };
        let set = begun.clock_set_since(self.last);
        let due = self.next.is_some_and(|next| next <= begun.wall);
        if !self.wants_round() && !due && set >= 0 {
            self.look_at = now + self.until_next(begun.wall);
            return;
        }
        let take = self.free();
        if take > 0 {
            self.rung = false;
        }
        let results = mem::take(&mut self.results);
        let round = Round {
            now: begun.wall,
            jumped: set,
            results: results.clone(),
            take,
            lease: self.lease,
            limits: self.limits.clone(),
        };
        let outbox = self.shared.outbox.clone();
        let answer = async move { outbox.dispatch(round).await }.boxed();
        self.call = Some(Call { answer, begun, results, stopped: Vec::new() });
    }

    fn answered(&mut self, answer: Result<Claims>) {
        let Some(call) = self.call.take() else { return };
        for stop in &mut self.stops {
            stop.answered = true;
        }
        match answer {
            Ok(claims) => {
                self.backoff = BACKOFF;
                self.gather_until = Instant::now() + GATHER;
                if claims.refused > 0 {
                    tracing::debug!(refused = claims.refused, "claims were lost before what came of them was recorded");
                }
                self.last = call.begun;
                self.next = claims.next;
                self.look_at = Instant::now() + self.until_next((self.shared.clock)());
                self.launch(claims.claims, &call);
            }
            Err(error) => {
                tracing::warn!(%error, results = call.results.len(), "the store took no round; trying again");
                let mut results = call.results;
                results.append(&mut self.results);
                self.results = results;
                // What it would have claimed is still due.
                self.rung = true;
                let backoff = if self.closing.is_some() { self.backoff.min(BACKOFF_CLOSING) } else { self.backoff };
                self.not_before = Instant::now() + backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
            }
        }
    }

    /// How long to wait until the next look.
    fn until_next(&self, wall: i64) -> Duration {
        self.next.map_or(LONGEST_WAIT, |next| {
            let millis = next.saturating_sub(wall);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0)).clamp(SHORTEST_WAIT, LONGEST_WAIT)
        })
    }

    /// Begins an attempt for each claim, save those that came too late.
    fn launch(&mut self, claims: Vec<Claim>, call: &Call) {
        let began = (self.shared.clock)();
        let deadline = call.begun.time + self.lease.saturating_sub(LEASE_MARGIN.min(self.lease / 4));
        let mut orders = Vec::with_capacity(claims.len());
        for claim in claims {
            if self.closing.is_some() || call.stopped.contains(&claim.webhook.id) {
                self.note(released(claim.ticket));
                continue;
            }
            let (asker, source) = oneshot::channel();
            orders.push((wanted(&claim), asker));
            let handle = self.attempts.spawn(self.shared.clone().attempt(claim.clone(), source, deadline));
            self.flights.insert(handle.id(), Flight { claim, began, handle });
        }
        if !orders.is_empty() {
            self.readers.spawn(self.shared.clone().feed(orders));
        }
    }

    /// Takes in an attempt that has ended, one way or another.
    fn land(&mut self, ended: Result<(Id, Attempted), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(broken) => broken.id(),
        };
        let Some(Flight { claim, began, .. }) = self.flights.remove(&id) else { return };
        let now = (self.shared.clock)();
        let result = match ended {
            Ok((_, result)) => result,
            Err(broken) if broken.is_cancelled() => released(claim.ticket),
            Err(panic) => {
                tracing::error!(delivery = %claim.delivery, %panic, "an attempt failed by a fault of the gateway");
                self.shared.policy.faulted(Tried { claim: &claim, began, now }, &self.shared.chance)
            }
        };
        if result.verdict == Verdict::Delivered {
            let millis = u64::try_from(now.saturating_sub(claim.created)).unwrap_or(0);
            self.shared.metrics.webhooks.delivery_seconds.observe(Duration::from_millis(millis).as_secs_f64());
        }
        self.note(result);
    }

    fn note(&mut self, result: Attempted) {
        self.shared.metrics.webhooks.attempted(match result.verdict {
            Verdict::Delivered => "delivered",
            Verdict::Retry(_) => "retried",
            Verdict::Failed => "failed",
            Verdict::Disable(_) => "disabled",
            Verdict::Released => "released",
        });
        self.results.push(result);
    }

    fn stop(&mut self, webhook: WebhookId, done: oneshot::Sender<()>) {
        for flight in self.flights.values().filter(|flight| flight.claim.webhook.id == webhook) {
            flight.handle.abort();
        }
        // A round that began before the store heard of it may still hand over claims. One that begins from now on cannot.
        if let Some(call) = &mut self.call {
            call.stopped.push(webhook);
        }
        self.stops.push(Stop { webhook, answered: self.call.is_none(), done });
    }

    fn tell_stopped(&mut self) {
        if self.stops.is_empty() {
            return;
        }
        for stop in mem::take(&mut self.stops) {
            let under_way = self.flights.values().any(|flight| flight.claim.webhook.id == stop.webhook);
            if under_way || !stop.answered {
                self.stops.push(stop);
            } else {
                // An error: nobody waits for it any more.
                let _ = stop.done.send(());
            }
        }
    }

    fn close(&mut self, grace: Duration) {
        let now = Instant::now();
        let abort_at = now + grace;
        self.closing = Some(Closing { abort_at, aborted: false, end_at: abort_at + RECORD_PATIENCE });
        self.not_before = now;
        self.abort_overdue();
    }

    fn abort_overdue(&mut self) {
        if let Some(closing) = self.closing.as_mut().filter(|closing| Instant::now() >= closing.abort_at) {
            closing.aborted = true;
            self.attempts.abort_all();
        }
    }

    /// Whether it was told to end and has nothing left to record, or no time.
    fn finished(&self) -> bool {
        let idle = self.flights.is_empty() && self.call.is_none() && self.results.is_empty();
        self.closing.as_ref().is_some_and(|closing| idle || Instant::now() >= closing.end_at)
    }
}
