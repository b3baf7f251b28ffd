//! One delivery's way from the log to its receiver.
//!
//! Memory is bounded whatever events hold: contents are read a few at a time and let go once the body is written, and
//! large bodies share a fixed room. Who finds it full lets go of everything, waits, and reads again: the log gives the
//! same bytes each time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, timeout_at},
};

use super::{
    super::request,
    Clock, Exchange,
    room::{Place, Room, Trust},
};
use crate::{
    metrics::Metrics,
    store::{Attempted, Claim, Content, Outbox, Wanted},
    task::Dialect,
    webhook::{
        schedule::Chance,
        verdict::{Policy, Tried, released, unsendable},
    },
};

/// Reads of contents under way at once: one, for the store has few connections to read with, and callers wait for them.
pub(super) const READS: usize = 1;

/// The most events that one read asks for. Whole tasks are read one by one.
const READ_BATCH: usize = 32;

/// Until a failed read is tried again, at first and at most.
const READ_AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// What all attempts share.
pub(super) struct Shared {
    pub outbox: Arc<dyn Outbox>,
    pub exchange: Arc<dyn Exchange>,
    pub policy: Policy,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub chance: Chance,
    pub reads: Semaphore,
    pub room: Room,
}

/// Where an attempt gets its content.
pub(super) type Source = oneshot::Receiver<Option<Content>>;

/// What is to be read, and for whom.
pub(super) type Order = (Wanted, oneshot::Sender<Option<Content>>);

/// What a claim needs from the log.
pub(super) fn wanted(claim: &Claim) -> Wanted {
    let fold = claim.webhook.payload == Dialect::V03;
    Wanted { task: claim.delivery.task, sequence: claim.delivery.sequence, fold }
}

impl Shared {
    /// Makes one attempt. `deadline`: when it is broken off, for its claim is about to end.
    pub(super) async fn attempt(self: Arc<Self>, claim: Claim, source: Source, deadline: Instant) -> Attempted {
        let ended = timeout_at(deadline, self.make(&claim, source)).await;
        ended.unwrap_or_else(|_| {
            tracing::warn!(delivery = %claim.delivery, "a delivery was not attempted while its claim held");
            released(claim.ticket)
        })
    }

    async fn make(&self, claim: &Claim, source: Source) -> Attempted {
        let (began, trust) = ((self.clock)(), Trust::of(claim));
        let tried = |began| Tried { claim, began, now: (self.clock)() };
        let Ok(mut content) = source.await else {
            // Whoever reads for us has failed.
            return self.policy.faulted(tried(began), &self.chance);
        };
        let mut place: Option<Place<'_>> = None;
        let body = loop {
            let written = match content.take() {
                Some(content) => request::body(claim, &content),
                None => Err("the event is no longer in the log"),
            };
            let body = match written {
                Ok(body) => body,
                Err(why) => return unsendable(tried(began), why),
            };
            let needed = self.room.needed(body.len(), trust);
            if place.as_ref().map_or(0, Place::units) >= needed {
                break body;
            }
            if let Some(free) = self.room.try_take(needed, trust) {
                place = Some(free);
                break body;
            }
            drop((body, place.take()));
            place = Some(self.room.take(needed, trust).await);
            content = self.read(vec![wanted(claim)], || true).await.pop().flatten();
        };
        let began = (self.clock)();
        match request::request(claim, body, began, &self.chance) {
            Ok(request) => {
                let report = self.exchange.send(request).await;
                drop(place);
                self.metrics.webhooks.attempt_seconds.observe(report.latency.as_secs_f64());
                self.policy.judge(tried(began), report, &self.chance)
            }
            Err(why) => unsendable(tried(began), why),
        }
    }

    /// Reads what claims of one round need, and hands it out.
    pub(super) async fn feed(self: Arc<Self>, orders: Vec<Order>) {
        let (tasks, events): (Vec<_>, Vec<_>) = orders.into_iter().partition(|(wanted, _)| wanted.fold);
        let (mut tasks, mut events) = (tasks.into_iter(), events.into_iter());
        loop {
            let mut batch: Vec<Order> = events.by_ref().take(READ_BATCH).collect();
            if batch.is_empty() {
                batch.extend(tasks.next());
            }
            if batch.is_empty() {
                return;
            }
            let (wanted, askers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let waited_for = || askers.iter().any(|asker| !asker.is_closed());
            let contents = self.read(wanted, waited_for).await;
            for (asker, content) in askers.into_iter().zip(contents) {
                // An error: the attempt was broken off.
                let _ = asker.send(content);
            }
        }
    }

    /// Reads contents, however often it takes while they are `waited_for`; empty once they are not.
    async fn read(&self, wanted: Vec<Wanted>, waited_for: impl Fn() -> bool) -> Vec<Option<Content>> {
        let [mut pause, longest] = READ_AGAIN;
        while waited_for() {
            let turn = self.reads.acquire().await;
            match self.outbox.contents(wanted.clone()).await {
                Ok(contents) => return contents,
                Err(error) => tracing::warn!(%error, "the events of deliveries cannot be read; trying again"),
            }
            drop(turn);
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
        Vec::new()
    }
}
