//! The dispatcher: takes what is due from the store, has it sent, and tells the store what came of it.
//!
//! Promises:
//! - **The store is the truth.** Nothing waits here: retries, order, limits and circuits are the store's. What is kept
//!   in memory is what is under way, at most as many as there are slots, and what came of it until it is recorded.
//! - **Nothing that came of an attempt is lost** while the process lives: results are kept until the store has taken them.
//! - **Idle is idle.** The store is asked when something ended, was written or is due, or when the system's clock was set
//!   back; not to see whether there is something.
//! - **One call at a time.** While the store works on one round, what happens meanwhile gathers for the next: the busier
//!   it is, the larger the rounds.
//! - **Claims are not outlived.** An attempt is broken off before its lease ends, so that no other dispatcher sends the
//!   same delivery beside it.
//! - **Stopped is stopped.** Once [`Dispatcher::stop_webhook`] returns, no attempt of the webhook is under way.
//!
//! `worker` is the loop, `attempt` one delivery's way from the log to its receiver, `room` the memory for large bodies.

mod attempt;
mod room;
#[cfg(test)]
mod tests;
mod worker;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use self::{
    attempt::{READS, Shared},
    room::Room,
    worker::{Command, Worker},
};
use super::{
    Report, Request,
    schedule::{Chance, Schedule},
    verdict::Policy,
};
use crate::{
    metrics::Metrics,
    store::{Limits, Outbox},
    task::WebhookId,
};

/// Sends requests to receivers.
pub trait Exchange: Send + Sync + 'static {
    /// Sends one request and reads the answer, in bounded time. Dropping the future breaks it off.
    fn send(&self, request: Request) -> BoxFuture<'_, Report>;
}

/// Wakes the dispatcher: something became due. Made before the store, whose listener rings it.
#[derive(Debug, Default)]
pub struct Bell(Notify);

impl Bell {
    /// Something became due. Cheap, from any thread; never lost, and many at once are as good as one.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// The system's clock: milliseconds since 1970 UTC. It may be set at any time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How deliveries are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The pauses between attempts.
    pub schedule: Schedule,
    /// How long every attempt has to have failed until a webhook is disabled. None: it never is.
    pub disable_after: Option<Duration>,
    /// Limits, kept by the store over all dispatchers.
    pub limits: Limits,
    /// How long claims hold: longer than an attempt takes.
    pub lease: Duration,
    /// The most bytes of large bodies in memory at once, a quarter of it at most for origins that were not reached of
    /// late, a quarter at least for those reached within the last seconds. Bodies up to 16 KiB do not count: slots limit
    /// them.
    pub max_body_bytes: usize,
}

/// What a dispatcher works with.
pub struct Parts {
    /// The store.
    pub outbox: Arc<dyn Outbox>,
    /// What sends requests.
    pub exchange: Arc<dyn Exchange>,
    /// How.
    pub settings: Settings,
    /// The system's clock.
    pub clock: Clock,
    /// What the store's listener rings.
    pub bell: Arc<Bell>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

/// A dispatcher at work. Dropped without [`Dispatcher::shutdown`], it breaks off what is under way.
#[derive(Debug)]
pub struct Dispatcher {
    commands: mpsc::Sender<Command>,
    _worker: AbortOnDropHandle<()>,
}

impl Dispatcher {
    /// Starts one.
    pub fn start(parts: Parts) -> Self {
        Self::start_with(parts, Chance::default())
    }

    fn start_with(parts: Parts, chance: Chance) -> Self {
        let Parts { outbox, exchange, settings, clock, bell, metrics } = parts;
        let Settings { schedule, disable_after, limits, lease, max_body_bytes } = settings;
        let shared = Arc::new(Shared {
            outbox,
            exchange,
            policy: Policy { schedule, disable_after },
            clock,
            metrics,
            chance,
            reads: Semaphore::new(READS),
            room: Room::new(max_body_bytes),
        });
        let (commands, received) = mpsc::channel(64);
        let worker = Worker::new(shared, limits, lease, bell, received);
        Self { commands, _worker: AbortOnDropHandle::new(tokio::spawn(worker.run())) }
    }

    /// Breaks off the attempts of a webhook. Resolves when none is under way, those included that the store was just
    /// handing over. Call it after the store has been told that the webhook is gone or paused: then none begins, either.
    pub async fn stop_webhook(&self, webhook: WebhookId) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop { webhook, done }).await.is_ok() {
            // An error: the dispatcher has ended, and with it all attempts.
            let _ = stopped.await;
        }
    }

    /// Ends: nothing more is claimed, attempts have `grace` to end by themselves, and what came of them is recorded.
    pub async fn shutdown(&self, grace: Duration) {
        // An error: it has ended.
        let _ = self.commands.send(Command::Shutdown(grace)).await;
        self.commands.closed().await;
    }
}
