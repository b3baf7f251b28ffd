//! SIGHUP: the settings are read again, and the gateway goes on with the agents they name now.
//!
//! Settings that are wrong change nothing: each problem is logged, and what runs goes on.

use std::io;

use tokio::sync::mpsc;

use crate::config::{Agent, Problems, Reloaded, Reloader};

/// Wishes to reload. Taken from the system as soon as it exists; those that come before anybody asks are kept as one.
#[cfg(unix)]
pub(super) struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// Takes them; within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self)
    }

    /// None: there will be no more.
    async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

/// There is no such signal here.
#[cfg(windows)]
pub(super) struct Hangups;

#[cfg(windows)]
impl Hangups {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Option<()> {
        None
    }
}

/// Reloads at each wish, for as long as somebody takes the agents.
pub(super) fn start(mut hangups: Hangups, mut reloader: Reloader) -> mpsc::Receiver<Vec<Agent>> {
    let (agents, reloads) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangups.next().await.is_some() {
            // Files may be slow to read.
            let read = tokio::task::spawn_blocking(move || (reloader.reload(), reloader)).await;
            let Ok((result, again)) = read else { return };
            reloader = again;
            if let Some(new) = tell(result)
                && agents.send(new).await.is_err()
            {
                return;
            }
        }
    });
    reloads
}

/// Logs what came of a reload; the agents to go on with.
fn tell(result: Result<Reloaded, Problems>) -> Option<Vec<Agent>> {
    match result {
        Ok(Reloaded { agents, needs_restart }) => {
            if !needs_restart.is_empty() {
                tracing::warn!(
                    "SIGHUP: only agents are reloaded; a restart is needed for {}",
                    needs_restart.join(", ")
                );
            }
            let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
            tracing::info!(agents = names.join(", "), "SIGHUP: the settings have been read again");
            Some(agents)
        }
        Err(problems) => {
            for problem in &problems.0 {
                tracing::error!("SIGHUP: {problem}");
            }
            tracing::error!("SIGHUP: the settings are wrong; those that are in effect stay");
            None
        }
    }
}
