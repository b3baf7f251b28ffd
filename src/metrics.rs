//! Metrics: what the gateway counts, in Prometheus form. A leaf that any part may use.

use std::{fmt::Write as _, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `grpc`, `a2a-grpc`, `jsonrpc-1.0`, `jsonrpc-0.3`, `jsonrpc-praisonai`, `rest-1.0`, `rest-0.3`, `http`.
    pub door: &'static str,
    /// The operation, from a closed set; `unknown` otherwise.
    pub method: &'static str,
    /// `ok`, or the error's reason in lower case.
    pub outcome: &'static str,
}

/// Labels of a latency: without the outcome, to keep the number of series small.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LatencyLabels {
    /// As in [`RequestLabels`].
    pub door: &'static str,
    /// As in [`RequestLabels`].
    pub method: &'static str,
}

/// Labels of a task count.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// `submitted`, `working`, …
    pub state: &'static str,
}

/// Labels of what is known of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AgentLabels {
    /// Its name.
    pub agent: String,
}

/// Labels of calls to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AgentRequestLabels {
    /// The agent's name.
    pub agent: String,
    /// The operation, from a closed set: `SendMessage`, …
    pub operation: &'static str,
    /// `ok`, or what went wrong, from a closed set.
    pub outcome: &'static str,
}

/// Labels of the time that calls to an agent take.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AgentLatencyLabels {
    /// As in [`AgentRequestLabels`].
    pub agent: String,
    /// As in [`AgentRequestLabels`].
    pub operation: &'static str,
}

/// Labels of attempts to deliver to webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WebhookLabels {
    /// `delivered`, `retried`, `failed`, `disabled` or `released`.
    pub outcome: &'static str,
}

/// What is counted of webhooks.
pub struct WebhookMetrics {
    /// Attempts that ended, by what came of them.
    pub attempts: Family<WebhookLabels, Counter>,
    /// Seconds of an HTTP exchange with a receiver.
    pub attempt_seconds: Histogram,
    /// Seconds from the commit of an event until its receiver has taken it.
    pub delivery_seconds: Histogram,
    /// Deliveries claimed and being attempted by this process.
    pub in_flight: Gauge,
    /// Deliveries that wait or are under way. This and what follows is set from the store when `/metrics` is read.
    pub pending: Gauge,
    /// Age of the oldest event that waits, in seconds; 0: none waits.
    pub oldest_seconds: Gauge,
    /// Deliveries that were given up and are still kept.
    pub dead_letters: Gauge,
    /// Origins whose circuit is open.
    pub open_circuits: Gauge,
}

impl Default for WebhookMetrics {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            attempt_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            delivery_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 30)),
            in_flight: Gauge::default(),
            pending: Gauge::default(),
            oldest_seconds: Gauge::default(),
            dead_letters: Gauge::default(),
            open_circuits: Gauge::default(),
        }
    }
}

impl WebhookMetrics {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("webhook");
        registry.register("attempts", "Attempts to deliver, by what came of them", self.attempts.clone());
        let exchange = "Time of an HTTP exchange with a receiver";
        registry.register_with_unit("attempt", exchange, Unit::Seconds, self.attempt_seconds.clone());
        let delivery = "Time from the commit of an event until its receiver has taken it";
        registry.register_with_unit("delivery", delivery, Unit::Seconds, self.delivery_seconds.clone());
        registry.register("in_flight", "Deliveries being attempted by this process", self.in_flight.clone());
        registry.register("pending", "Deliveries that wait or are under way", self.pending.clone());
        let oldest = "Age of the oldest event that waits";
        registry.register_with_unit("oldest", oldest, Unit::Seconds, self.oldest_seconds.clone());
        registry.register("dead_letters", "Deliveries that were given up and are kept", self.dead_letters.clone());
        registry.register("open_circuits", "Receivers' origins whose circuit is open", self.open_circuits.clone());
    }

    /// Counts an attempt that ended.
    pub fn attempted(&self, outcome: &'static str) {
        self.attempts.get_or_create(&WebhookLabels { outcome }).inc();
    }

    /// Says what waits. `oldest`: how long the oldest event has waited.
    pub fn backlog(&self, pending: u64, oldest: Duration, dead_letters: u64, open_circuits: u64) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.pending.set(whole(pending));
        self.oldest_seconds.set(whole(oldest.as_secs()));
        self.dead_letters.set(whole(dead_letters));
        self.open_circuits.set(whole(open_circuits));
    }
}

/// Everything the gateway counts. Each field is cheap to clone and safe to use from any thread.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<LatencyLabels, Histogram, fn() -> Histogram>,
    /// Tasks in the store, by state. Set from the store when `/metrics` is read.
    pub tasks: Family<StateLabels, Gauge>,
    /// Turns that agents are running.
    pub running: Gauge,
    /// Open watches: of one task, of many, and blocking calls.
    pub watchers: Gauge,
    /// Events committed.
    pub events: Counter,
    /// Writes in one commit.
    pub commit_batch: Histogram,
    /// Seconds that a commit takes, the disk included.
    pub commit_seconds: Histogram,
    /// 1: the agent takes tasks; 0: it does not. Set when `/metrics` is read.
    pub agent_up: Family<AgentLabels, Gauge>,
    /// Turns that wait for a place on the agent. Set when `/metrics` is read.
    pub agent_queued: Family<AgentLabels, Gauge>,
    /// Calls to agents, streams when they end.
    pub agent_requests: Family<AgentRequestLabels, Counter>,
    /// Seconds until an agent answers; of streams, until they begin.
    pub agent_request_seconds: Family<AgentLatencyLabels, Histogram, fn() -> Histogram>,
    /// Webhooks.
    pub webhooks: WebhookMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("a2a"),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
            tasks: Family::default(),
            running: Gauge::default(),
            watchers: Gauge::default(),
            events: Counter::default(),
            commit_batch: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            agent_up: Family::default(),
            agent_queued: Family::default(),
            agent_requests: Family::default(),
            agent_request_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 20))),
            webhooks: WebhookMetrics::default(),
        };
        metrics.register_own();
        metrics.register_agents();
        metrics.webhooks.register(&mut metrics.registry);
        metrics
    }
}

impl Metrics {
    fn register_own(&mut self) {
        let metrics = self;
        let registry = metrics.registry.sub_registry_with_prefix("gateway");
        registry.register("requests", "Requests answered, streams when they end", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time to answer a request; of streams, to their first event",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register("tasks", "Tasks in the store", metrics.tasks.clone());
        registry.register("running_tasks", "Tasks that agents are working on", metrics.running.clone());
        registry.register("watchers", "Open watches: streams and blocking calls", metrics.watchers.clone());
        registry.register("events", "Events committed", metrics.events.clone());
        registry.register("commit_batch_size", "Writes in one commit", metrics.commit_batch.clone());
        registry.register_with_unit(
            "commit_duration",
            "Time of a commit, the disk included",
            Unit::Seconds,
            metrics.commit_seconds.clone(),
        );
    }

    fn register_agents(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("agent");
        registry.register("up", "Whether the agent takes tasks", self.agent_up.clone());
        registry.register("queued_tasks", "Tasks that wait for a place on the agent", self.agent_queued.clone());
        registry.register("requests", "Calls to the agent, streams when they end", self.agent_requests.clone());
        registry.register_with_unit(
            "request",
            "Time until the agent answers; of streams, until they begin",
            Unit::Seconds,
            self.agent_request_seconds.clone(),
        );
    }

    /// Says how an agent does: whether it takes tasks, and how many turns wait for a place on it.
    pub fn agent(&self, name: &str, up: bool, queued: u64) {
        let labels = AgentLabels { agent: name.to_owned() };
        self.agent_up.get_or_create(&labels).set(up.into());
        self.agent_queued.get_or_create(&labels).set(i64::try_from(queued).unwrap_or(i64::MAX));
    }

    /// Forgets an agent that is gone.
    pub fn forget_agent(&self, name: &str) {
        let labels = AgentLabels { agent: name.to_owned() };
        self.agent_up.remove(&labels);
        self.agent_queued.remove(&labels);
    }

    /// Counts one call to an agent. `latency`: time to its answer, or until a stream begins.
    pub fn agent_request(&self, agent: &str, operation: &'static str, outcome: &'static str, latency: Duration) {
        let agent = agent.to_owned();
        self.agent_request_seconds
            .get_or_create(&AgentLatencyLabels { agent: agent.clone(), operation })
            .observe(latency.as_secs_f64());
        self.agent_requests.get_or_create(&AgentRequestLabels { agent, operation, outcome }).inc();
    }

    /// Counts one answered request. `latency`: time to the answer, or to a stream's first event.
    pub fn request(&self, door: &'static str, method: &'static str, outcome: &'static str, latency: Duration) {
        self.requests.get_or_create(&RequestLabels { door, method, outcome }).inc();
        self.latency.get_or_create(&LatencyLabels { door, method }).observe(latency.as_secs_f64());
    }

    /// The Prometheus text form (OpenMetrics).
    pub fn render(&self) -> String {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            let _ = write!(text, "# EOF");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_agents_has_a_prefix_of_its_own() {
        let metrics = Metrics::default();
        metrics.agent("far", true, 0);
        metrics.agent("far", false, 3);
        metrics.agent_request("far", "SendMessage", "ok", Duration::from_millis(3));
        metrics.request("grpc", "GetTask", "ok", Duration::from_millis(3));
        let text = metrics.render();
        for line in [
            r#"a2a_agent_up{agent="far"} 0"#,
            r#"a2a_agent_queued_tasks{agent="far"} 3"#,
            r#"a2a_agent_requests_total{agent="far",operation="SendMessage",outcome="ok"} 1"#,
            r#"a2a_agent_request_seconds_count{agent="far",operation="SendMessage"} 1"#,
            r#"a2a_gateway_requests_total{door="grpc",method="GetTask",outcome="ok"} 1"#,
        ] {
            assert!(text.lines().any(|each| each == line), "{line} not in {text}");
        }
    }

    #[test]
    fn webhooks_have_a_prefix_of_their_own() {
        let metrics = Metrics::default();
        metrics.webhooks.attempted("delivered");
        metrics.webhooks.attempt_seconds.observe(0.003);
        metrics.webhooks.delivery_seconds.observe(0.004);
        metrics.webhooks.in_flight.set(2);
        metrics.webhooks.backlog(7, Duration::from_millis(9_900), 3, 1);
        let text = metrics.render();
        for line in [
            r#"a2a_webhook_attempts_total{outcome="delivered"} 1"#,
            "a2a_webhook_attempt_seconds_count 1",
            "a2a_webhook_delivery_seconds_count 1",
            "a2a_webhook_in_flight 2",
            "a2a_webhook_pending 7",
            "a2a_webhook_oldest_seconds 9",
            "a2a_webhook_dead_letters 3",
            "a2a_webhook_open_circuits 1",
        ] {
            assert!(text.lines().any(|each| each == line), "{line} not in {text}");
        }
    }
}
