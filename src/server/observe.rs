//! Counts each request once, however it ends.

use std::{sync::Arc, time::Instant};

use std::time::Duration;

use super::status;
use crate::{error::Error, metrics::Metrics};

/// A request under way. Counted when dropped: as `canceled`, unless it was said how it ended.
pub struct Observation {
    metrics: Arc<Metrics>,
    door: &'static str,
    method: &'static str,
    outcome: &'static str,
    started: Instant,
    answered: Option<Duration>,
}

impl Observation {
    /// Starts the clock. `door` and `method` as in [`crate::metrics::RequestLabels`].
    pub fn start(metrics: &Arc<Metrics>, door: &'static str, method: &'static str) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            door,
            method,
            outcome: "canceled",
            started: Instant::now(),
            answered: None,
        }
    }

    /// Names the door, once it is known.
    pub fn at(&mut self, door: &'static str) {
        self.door = door;
    }

    /// Names the method, once it is known.
    pub fn calls(&mut self, method: &'static str) {
        self.method = method;
    }

    /// The answer, or a stream's first event, goes out: the latency is taken here. Later calls change nothing.
    pub fn answered(&mut self) {
        if self.answered.is_none() {
            self.answered = Some(self.started.elapsed());
        }
    }

    /// It ended with the outcome.
    pub fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// It ended well.
    pub fn succeed(self) {
        self.end("ok");
    }

    /// It ended with the error.
    pub fn fail(self, error: &Error) {
        self.end(status::row(error.kind()).outcome);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let latency = self.answered.unwrap_or_else(|| self.started.elapsed());
        self.metrics.request(self.door, self.method, self.outcome, latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn each_request_is_counted_once_with_how_it_ended() {
        let metrics = Arc::new(Metrics::default());
        Observation::start(&metrics, "grpc", "GetTask").succeed();
        Observation::start(&metrics, "grpc", "GetTask").fail(&Error::new(ErrorKind::TaskNotFound, "no"));
        drop(Observation::start(&metrics, "grpc", "GetTask"));
        let text = metrics.render();
        for outcome in ["ok", "task_not_found", "canceled"] {
            let line = format!(r#"requests_total{{door="grpc",method="GetTask",outcome="{outcome}"}} 1"#);
            assert!(text.contains(&line), "{line} not in {text}");
        }
    }
}
