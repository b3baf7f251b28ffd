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
    /// `grpc`, `a2a-grpc`, `jsonrpc-1.0`, `jsonrpc-0.3`, `jsonrpc-praisonai`, `http`.
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
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("a2a_gateway"),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
            tasks: Family::default(),
            running: Gauge::default(),
            watchers: Gauge::default(),
            events: Counter::default(),
            commit_batch: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
        };
        let registry = &mut metrics.registry;
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
        metrics
    }
}

impl Metrics {
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
