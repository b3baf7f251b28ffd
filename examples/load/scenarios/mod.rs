//! The scenarios, and what they share.

mod calls;
mod fill;
mod proxy;
mod replicas;
mod scale;
mod start;
mod watch;
mod webhooks;

use std::time::Duration;

use clap::ValueEnum;

use crate::{Options, Result, process::Gateway, report::Row, rounds::Side};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Blocking SendMessage by JSON-RPC, against the bare axum echo.
    JsonrpcSend,
    /// Blocking SendMessage by gRPC, against the bare tonic echo.
    GrpcSend,
    /// SubmitTask without waiting, against the bare tonic echo.
    Submit,
    /// GetTask of stored tasks, against the bare tonic echo.
    Get,
    /// One task, many watchers, many events.
    Watch,
    /// Memory of idle watchers.
    Idle,
    /// Blocking SendMessage through the gateway to an agent behind it, against the agent itself.
    Proxy,
    /// Time from start to ready, and memory then.
    Start,
    /// GetTask and ListTasks with few and with many stored tasks.
    Scale,
    /// Several gateways on one PostgreSQL database, beside one and beside SQLite; and watching at one what another does.
    Replicas,
    /// The three that follow.
    Webhooks,
    /// From a commit to its webhook's receiver, at a moderate rate.
    WebhookLatency,
    /// Deliveries per second: of a backlog, and beside tasks submitted at full speed.
    WebhookRate,
    /// Live webhooks, and tasks, beside thousands of webhooks whose receivers take connections and stay silent.
    WebhookDead,
}

impl Scenario {
    /// What is measured when no scenario is named: all that takes seconds, not minutes.
    pub const DEFAULT: [Self; 7] =
        [Self::JsonrpcSend, Self::GrpcSend, Self::Submit, Self::Get, Self::Watch, Self::Idle, Self::Start];

    /// Runs it.
    pub async fn run(self, options: &Options) -> Result<Vec<Row>> {
        match self {
            Self::JsonrpcSend => calls::jsonrpc_send(options).await,
            Self::GrpcSend => calls::grpc_send(options).await,
            Self::Submit => calls::submit(options).await,
            Self::Get => calls::get(options).await,
            Self::Watch => watch::fan_out(options).await,
            Self::Idle => watch::idle(options).await,
            Self::Proxy => proxy::proxy(options).await,
            Self::Start => start::start(options).await,
            Self::Scale => scale::scale(options).await,
            Self::Replicas => replicas::replicas(options).await,
            Self::Webhooks => webhooks::all(options).await,
            Self::WebhookLatency => webhooks::latency(options).await,
            Self::WebhookRate => webhooks::rate(options).await,
            Self::WebhookDead => webhooks::dead(options).await,
        }
    }

    /// Whether it needs a gateway of its own, so that `--gateway` cannot serve it.
    pub fn needs_own_gateway(self) -> bool {
        matches!(
            self,
            Self::Proxy
                | Self::Idle
                | Self::Start
                | Self::Scale
                | Self::Replicas
                | Self::Webhooks
                | Self::WebhookLatency
                | Self::WebhookRate
                | Self::WebhookDead
        )
    }
}

/// The gateway that the options name, or a new one.
async fn gateway(options: &Options) -> Result<Gateway> {
    match &options.gateway {
        Some(url) => Gateway::running(url),
        None => Gateway::start().await,
    }
}

/// A row of a comparison by rate.
fn rate_row(scenario: &'static str, gateway: &Side, bare: &Side) -> Row {
    Row::new(scenario, gateway.rate(), "calls/s")
        .against(bare.rate())
        .latency(gateway.latency.quantile(0.5), gateway.latency.quantile(0.99))
        .errors("gateway", gateway.errors, gateway.first_error.as_deref())
        .errors("bare echo", bare.errors, bare.first_error.as_deref())
}

/// Fails with what was being waited for once a time has passed.
async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(format!("{what}: not within {limit:?}").into()))
}
