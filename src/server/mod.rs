//! The doors: gRPC, JSON-RPC and REST on one port, agent cards, health and metrics.
//!
//! A door decodes, calls the engine and encodes; nothing else. What the A2A bindings share is in [`a2a`], the one error
//! table in [`status`].

mod a2a;
mod caller;
mod card;
mod cors;
mod extended;
mod extensions;
#[cfg(test)]
mod fuzz;
mod grpc;
mod jsonrpc;
mod listen;
mod observe;
mod ops;
mod push;
mod request;
mod rest;
mod route;
mod settings;
mod sse;
mod status;

pub use card::Base;
pub use extended::Extended;
pub use settings::Settings;

use std::{future::Future, io, sync::Arc};

use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{
    a2a::A2a,
    card::{Cards, Offers},
};
use crate::{engine::Engine, metrics::Metrics};

/// What all doors share.
struct Shared {
    engine: Engine,
    a2a: A2a,
    cards: Arc<Cards>,
    metrics: Arc<Metrics>,
    settings: Settings,
    /// Cancelled once the gateway is to shut down, also while it still serves.
    leaving: CancellationToken,
}

/// Serves all doors on a listener until `shutdown`, and on for the drain delay, which only those notice who ask whether it is
/// ready; then lets requests finish for at most the drain deadline.
///
/// The engine is told to drain when the door closes, so that streams end; stopping it is left to the caller.
///
/// # Errors
/// `InvalidInput` when the public URL is not an http or https URL; otherwise when the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    metrics: Arc<Metrics>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let public = settings.public_url.as_deref().map(|url| {
        Base::parse(url).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("not an http URL: {url}")))
    });
    let offers = Offers { push: engine.offers_webhooks(), merged: settings.merged_card };
    let cards =
        Cards::new(public.transpose()?, listener.local_addr()?, offers).with_grpc_url(settings.grpc_url.clone());
    let cards = Arc::new(cards.with(settings.extended_cards.clone(), settings.signing_keys.clone()));
    let a2a = A2a::new(engine.clone(), settings.auth_required_idle);
    let leaving = CancellationToken::new();
    let shared =
        Shared { engine: engine.clone(), a2a, cards, metrics, settings: settings.clone(), leaving: leaving.clone() };
    let shared = Arc::new(shared);
    let (grpc, health) = grpc::router(&shared).await.map_err(io::Error::other)?;
    let (delay, leaver) = (settings.drain_delay, health.clone());
    let shutdown = async {
        shutdown.await;
        if !delay.is_zero() {
            leaving.cancel();
            leaver.leave().await;
            sleep(delay).await;
        }
    };
    let drain = async || {
        engine.drain();
        health.stop().await;
    };
    let mut router = grpc.merge(route::router(shared));
    if let Some(cors) = cors::layer(&settings.cors_origins) {
        router = router.layer(cors);
    }
    listen::serve(listener, router, &settings, shutdown, drain).await
}
