//! The courier: what sends webhooks, built from the settings, and as the engine and the store know it.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;

use crate::{
    config, descriptors,
    engine::{self, Hub},
    metrics::Metrics,
    store::{Commit, Limits, Listener, Outbox},
    task::{TaskId, WebhookId},
    webhook::{
        Bell, Dispatcher, Exchange, Guard, Parts, Policy, Report, Request, Schedule, SendSettings, Sender, Settings,
        System,
    },
};

/// How long a claim holds if its process dies: longer than any attempt.
const LEASE: Duration = Duration::from_secs(60);

/// Bytes of bodies that may be under way at once.
const MAX_BODY_BYTES: usize = 64 << 20;

/// How long a shutdown waits for attempts under way.
const GRACE: Duration = Duration::from_secs(5);

/// Failures in a row to reach an origin after which there is one probe at a time, and the pauses between probes.
const CIRCUIT_FAILURES: u32 = 5;
const CIRCUIT_OPEN: Duration = Duration::from_secs(10);
const CIRCUIT_OPEN_MAX: Duration = Duration::from_secs(300);

/// Sends webhooks.
pub struct Courier {
    guard: Arc<Guard>,
    dispatcher: Dispatcher,
}

impl Courier {
    /// Starts to send what the outbox holds; none: webhooks are turned off.
    ///
    /// # Errors
    /// What is wrong with the settings or the system.
    pub fn start(
        config: &config::Webhooks,
        outbox: Arc<dyn Outbox>,
        bell: Arc<Bell>,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Arc<Self>>, String> {
        if !config.enabled {
            return Ok(None);
        }
        let guard = Arc::new(Guard::new(Policy::parse(&config.allow, config.https_only)?, Arc::new(System)));
        let send = SendSettings { timeout: config.timeout, ..SendSettings::default() };
        let sender = Sender::new(guard.clone(), send)?;
        let total = config.max_in_flight;
        let slow = slow_places(config.max_slow, total, descriptors::raise_limit());
        let limits = Limits {
            total,
            slow,
            retries: total / 2,
            unproven: (total / 4).max(1),
            per_origin: config.max_in_flight_per_origin,
            circuit_failures: CIRCUIT_FAILURES,
            circuit_open: CIRCUIT_OPEN,
            circuit_open_max: CIRCUIT_OPEN_MAX,
        };
        let settings = Settings {
            schedule: Schedule::new(config.schedule.iter().copied()),
            disable_after: config.disable_after,
            limits,
            lease: LEASE,
            max_body_bytes: MAX_BODY_BYTES,
        };
        let exchange = Arc::new(Post(sender));
        let parts = Parts { outbox, exchange, settings, clock: Arc::new(clock), bell, metrics };
        Ok(Some(Arc::new(Self { guard, dispatcher: Dispatcher::start(parts) })))
    }

    /// Ends: what is under way has a few seconds, what is not done then is sent again after the next start.
    pub async fn shutdown(&self) {
        self.dispatcher.shutdown(GRACE).await;
    }
}

impl engine::Courier for Courier {
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.guard.check(url))
    }

    fn stop(&self, webhook: WebhookId) -> BoxFuture<'_, ()> {
        Box::pin(self.dispatcher.stop_webhook(webhook))
    }
}

/// How many attempts may be under way that take long: each holds a file descriptor, and half of those are for others.
fn slow_places(max_slow: usize, max_in_flight: usize, descriptors: Option<u64>) -> usize {
    let Some(limit) = descriptors else { return max_slow };
    let most = usize::try_from(limit / 2).unwrap_or(usize::MAX).saturating_sub(max_in_flight);
    if most < max_slow {
        tracing::warn!(
            limit,
            max_slow,
            used = most,
            "the limit of open files is too low for webhooks.max_slow: many silent receivers may delay others; raise the \
             hard limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=) or lower the setting"
        );
    }
    max_slow.min(most)
}

struct Post(Sender);

impl Exchange for Post {
    fn send(&self, request: Request) -> BoxFuture<'_, Report> {
        Box::pin(async move { self.0.send(&request).await })
    }
}

/// Who hears of the store's commits: those who watch, and the dispatcher.
pub struct Ears {
    /// Tells those who watch.
    pub hub: Arc<Hub>,
    /// Wakes the dispatcher.
    pub bell: Arc<Bell>,
    /// Ends attempts, once there are any.
    pub courier: OnceLock<Weak<Courier>>,
}

impl Listener for Ears {
    fn stored(&self, commits: &[Commit]) {
        self.hub.stored(commits);
    }

    fn ordered(&self, commits: Vec<Commit>) {
        self.hub.ordered(commits);
    }

    fn passed(&self, position: u64) {
        self.hub.passed(position);
    }

    fn follows(&self) -> bool {
        self.hub.follows()
    }

    fn moved(&self, task: TaskId, head: u64, epoch: u64) {
        self.hub.moved(task, head, epoch);
    }

    fn watched(&self) -> Vec<TaskId> {
        self.hub.watched()
    }

    fn asked(&self) {
        self.hub.asked();
    }

    fn lost(&self) {
        self.hub.lost();
    }

    fn due(&self) {
        self.bell.ring();
    }

    fn stop(&self, webhook: WebhookId) -> BoxFuture<'static, ()> {
        let courier = self.courier.get().and_then(Weak::upgrade);
        Box::pin(async move {
            if let Some(courier) = courier {
                courier.dispatcher.stop_webhook(webhook).await;
            }
        })
    }
}

/// Milliseconds since 1970 UTC.
fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_file_descriptors_are_left_to_others() {
        let cases = [(None, 8192), (Some(1 << 20), 8192), (Some(20_000), 8192), (Some(4096), 1536), (Some(64), 0)];
        for (limit, expected) in cases {
            assert_eq!(slow_places(8192, 512, limit), expected, "{limit:?}");
        }
    }
}
