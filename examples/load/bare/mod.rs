//! The bare echo: what axum and tonic do on this machine without tasks, store or watchers.
//!
//! One port, as the gateway: `POST /a2a` decodes a JSON-RPC `SendMessage` and answers a completed task of about the
//! size of the gateway's answer; the A2A gRPC service answers `SendMessage` and `GetTask` likewise. Both stream, and
//! there is a card, so that it also is the agent that a gateway stands in front of: as fast as an agent can be.

mod grpc;
mod json;

use std::{
    io::{Read as _, Write as _},
    sync::atomic::{AtomicU64, Ordering},
};

use a2a_gateway::proto::a2a::a2a_service_server::A2aServiceServer;
use axum::{
    Router,
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::Result;

/// Ids and a time of the gateway's form and length.
const CONTEXT: &str = "0198c0de-0000-7000-8000-000000000002";
const ARTIFACT: &str = "0198c0de-0000-7000-8000-000000000003";
const TIME: &str = "2026-01-01T00:00:00.000Z";
const TIME_MILLIS: i64 = 1_767_225_600_000;

/// A new task's id: an agent that named two tasks alike could not stand behind a gateway.
fn task_id() -> String {
    static TASKS: AtomicU64 = AtomicU64::new(0);
    format!("0198c0de-0000-7000-8001-{:012x}", TASKS.fetch_add(1, Ordering::Relaxed))
}

/// Serves until standard input closes, so that it never outlives the process that started it. Prints its address first.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("{address}");
    std::io::stdout().flush()?;
    let (gone, parent_gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = gone.send(());
    });
    let card = json::card(address);
    let app: Router = Routes::new(A2aServiceServer::new(grpc::Echo))
        .into_axum_router()
        .route("/a2a", post(json::answer))
        .route("/.well-known/agent-card.json", get(async move || json::typed("application/json", card.into())));
    tokio::select! {
        served = accept(listener, app) => served,
        _ = parent_gone => Ok(()),
    }
}

async fn accept(listener: TcpListener, app: Router) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let app = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            // A client that goes away ends its connection with an error; there is nobody to tell.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), app).await;
        });
    }
}
