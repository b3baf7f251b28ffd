//! What operators and curious visitors ask: health, metrics, what this is.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tonic::Code;

use super::{Shared, caller, card, observe::Observation, route::Named, status};
use crate::error::{Error, Result};

/// The content type of the metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The paths that exist, for those who ask for others.
pub const PATHS: [&str; 20] = [
    "POST /a2a",
    "POST /message:send",
    "GET /tasks",
    "POST /v1/message:send",
    "POST /praisonai/a2a",
    "GET /.well-known/agent-card.json",
    "GET /.well-known/agent.json",
    "GET /praisonai/.well-known/agent.json",
    "GET /.well-known/jwks.json",
    "GET /extendedAgentCard",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /status",
    "POST /agents/{name}/a2a",
    "GET /agents/{name}/.well-known/agent-card.json",
    "gRPC a2a.gateway.v1.Gateway",
    "gRPC lf.a2a.v1.A2AService",
    "gRPC a2a.v1.A2AService",
];

const WELCOME: &str = "\
a2a-gateway: durable tasks in front of A2A agents.

JSON-RPC (A2A 1.0, 0.3, PraisonAI)   POST /a2a
REST (A2A 1.0; 0.3 under /v1)        POST /message:send, GET /tasks, ...; GET /openapi.json describes it
gRPC on this port                    a2a.gateway.v1.Gateway, lf.a2a.v1.A2AService, a2a.v1.A2AService
Agent card                           GET /.well-known/agent-card.json
One of several agents                the same paths under /agents/{name}
Health, metrics                      GET /healthz, /readyz, /metrics
";

type Gateway = State<Arc<Shared>>;

/// `GET /`.
pub async fn welcome() -> &'static str {
    WELCOME
}

/// `GET /healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the store takes writes, and the gateway is not about to stop.
pub async fn ready(State(shared): Gateway) -> Response {
    if shared.leaving.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the gateway is about to stop\n").into_response();
    }
    match shared.engine.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// `GET /metrics`.
pub async fn metrics(State(shared): Gateway) -> Response {
    for agent in shared.engine.agents() {
        shared.metrics.agent(&agent.name, agent.ready, agent.queued);
    }
    if let Err(error) = shared.engine.measure().await {
        tracing::warn!(%error, "the tasks by state are not up to date in these metrics");
    }
    ([(header::CONTENT_TYPE, OPEN_METRICS)], shared.metrics.render()).into_response()
}

/// `GET /status`, which PraisonAI's tools ask.
pub async fn praison_status(State(shared): Gateway, Named(name): Named) -> Response {
    match shared.engine.agent(&name) {
        Ok(agent) => {
            let (name, version) = (&agent.card.name, &agent.card.version);
            answer(StatusCode::OK, &json!({"status": "ok", "name": name, "version": version}))
        }
        Err(error) => refuse(&error),
    }
}

/// An agent's card, by path.
pub async fn card(State(shared): Gateway, Named(name): Named, path: card::Path, request: Request) -> Response {
    let mut seen = Observation::start(&shared.metrics, "http", "GetAgentCard");
    let document = || -> Result<card::Document> {
        let version = caller::version(request.headers(), request.uri().query())?;
        let agent = shared.engine.agent(&name)?;
        let base = shared.cards.base(request.uri(), request.headers());
        Ok(shared.cards.document(&name, &agent, &base, path, version))
    };
    match document() {
        Ok(document) => {
            seen.answered();
            seen.succeed();
            card::answer(request.headers(), document).into_response()
        }
        Err(error) => {
            seen.fail(&error);
            refuse(&error)
        }
    }
}

/// The public keys of cards' signatures.
pub async fn jwks(State(shared): Gateway, request: Request) -> Response {
    match shared.cards.jwks() {
        Some(keys) => card::answer(request.headers(), keys).into_response(),
        None => {
            let message = "cards are not signed: the setting cards.signing_keys names no keys";
            answer(StatusCode::NOT_FOUND, &status::http_plain(StatusCode::NOT_FOUND, Code::NotFound, message))
        }
    }
}

/// The answer to a path that does not exist.
pub fn nothing_at(path: &str) -> Response {
    let path: String = path.chars().take(128).collect();
    let message = format!("there is nothing at {path}");
    let mut body = status::http_plain(StatusCode::NOT_FOUND, Code::NotFound, &message);
    body["error"]["paths"] = json!(PATHS);
    answer(StatusCode::NOT_FOUND, &body)
}

fn refuse(error: &Error) -> Response {
    let (code, body) = status::http(error);
    answer(code, &body)
}

fn answer(code: StatusCode, body: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
