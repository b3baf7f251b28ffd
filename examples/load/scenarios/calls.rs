//! Unary calls, each against the bare echo.

use std::sync::Arc;

use super::{
    fill::{fill, settled},
    gateway, rate_row,
};
use crate::{
    Options, Result,
    callers::{Get, GrpcSend, JsonRpcSend, Submit},
    client_grpc::Connection,
    process::BareEcho,
    report::{Row, Target},
    rounds::{Plan, compare},
};

/// The fastest in-memory peer (the official Rust SDK) by JSON-RPC, as a share of a bare axum echo measured with it:
/// 14,100 of 52,000 calls per second. Above the quarter that is asked for anyway.
const PEER_SHARE: f64 = 14_100.0 / 52_000.0;

/// Blocking `SendMessage` by JSON-RPC.
pub async fn jsonrpc_send(options: &Options) -> Result<Vec<Row>> {
    let (gateway, bare) = (gateway(options).await?, BareEcho::start()?);
    let mut ours = JsonRpcSend::callers(&gateway.address, options.connections).await?;
    let mut theirs = JsonRpcSend::callers(&bare.address, options.connections).await?;
    let (side, bare_side) = compare(Plan::new(options.seconds), &mut ours, &mut theirs, async || Ok(())).await?;
    let row = rate_row("jsonrpc-send", &side, &bare_side).target(Target::RatioAtLeast(PEER_SHARE));
    Ok(vec![row])
}

/// Blocking `SendMessage` by gRPC.
pub async fn grpc_send(options: &Options) -> Result<Vec<Row>> {
    let (gateway, bare) = (gateway(options).await?, BareEcho::start()?);
    let mut ours = GrpcSend::callers(&gateway.address, options.connections).await?;
    let mut theirs = GrpcSend::callers(&bare.address, options.connections).await?;
    let (side, bare_side) = compare(Plan::new(options.seconds), &mut ours, &mut theirs, async || Ok(())).await?;
    Ok(vec![rate_row("grpc-send", &side, &bare_side).target(Target::RatioAtLeast(0.25))])
}

/// `SubmitTask` without waiting. Each round's backlog is worked off before the other side's turn.
pub async fn submit(options: &Options) -> Result<Vec<Row>> {
    let (gateway, bare) = (gateway(options).await?, BareEcho::start()?);
    let mut ours = Submit::callers(&gateway.address, options.connections).await?;
    let mut theirs = GrpcSend::callers(&bare.address, options.connections).await?;
    let control = Connection::open(&gateway.address).await?;
    let (side, bare_side) =
        compare(Plan::new(options.seconds), &mut ours, &mut theirs, async || settled(&control).await).await?;
    Ok(vec![rate_row("submit", &side, &bare_side)])
}

/// `GetTask` of random ones of many stored tasks.
pub async fn get(options: &Options) -> Result<Vec<Row>> {
    let (gateway, bare) = (gateway(options).await?, BareEcho::start()?);
    let ids: Arc<[String]> = fill(&gateway.address, options.tasks, options.connections).await?.into();
    let mut ours = Get::callers(&gateway.address, options.connections, &ids).await?;
    let mut theirs = Get::callers(&bare.address, options.connections, &ids).await?;
    let (side, bare_side) = compare(Plan::new(options.seconds), &mut ours, &mut theirs, async || Ok(())).await?;
    Ok(vec![rate_row("get", &side, &bare_side).target(Target::RatioAtLeast(0.6))])
}
