//! A durable gateway in front of A2A agents.

pub mod agent;
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod metrics;
pub mod proto;
pub mod task;

use std::{future::Future, io, net::SocketAddr, path::PathBuf};

use config::{Config, Problems};

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error("the settings are wrong:\n{0}")]
    Config(Problems),
    /// The database cannot be opened.
    #[error("the store in {} cannot be opened: {reason}", data_dir.display())]
    Store {
        /// The directory of the database.
        data_dir: PathBuf,
        /// What is wrong with it, for the operator.
        reason: String,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The setting `server.listen`.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
}

/// Runs a gateway until `shutdown` resolves and its calls have been drained.
///
/// `ready` is called once, with the address that is listened on, when requests are served.
///
/// # Errors
/// When the gateway cannot start.
pub async fn run(
    config: Config,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let address = config.server.listen;
    let bind = |cause| StartError::Bind { address, cause };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(bind)?;
    ready(listener.local_addr().map_err(bind)?);
    shutdown.await;
    Ok(())
}
