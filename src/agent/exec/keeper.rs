//! The keeper of one command: a task of its own that sees to it that the command ends.
//!
//! It feeds standard input, reads standard error, waits for the program, and ends the process group when the time is up or
//! when the turn is over. It does not depend on the turn being polled: a consumer that is slow or gone stops none of
//! this. While a group is being ended, what it still writes is read and thrown away: a program that tidies up on SIGTERM,
//! and says so, must not be killed by a closed pipe.

use std::{future, io, process::ExitStatus, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{group::Group, output::QUIET, tail::Tail};

/// Between two looks at a group whose program has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Each of so many looks at a group that was asked to end is a closer one.
const CLOSE_LOOK: u32 = 5;
/// How long killed processes are looked after.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// How a command's program ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// None: the system did not say.
    pub status: Option<ExitStatus>,
    /// True: it was ended because its time was up.
    pub overdue: bool,
}

/// What a keeper needs besides the group.
pub(super) struct Keeper {
    pub group: Group,
    pub timeout: Option<Duration>,
    pub grace: Duration,
    /// Set when the turn is over.
    pub end: CancellationToken,
    /// Told when the program has ended.
    pub exit: watch::Sender<Option<Exit>>,
    /// Set when nothing is left of the group.
    pub gone: CancellationToken,
}

/// The pipes that a keeper serves.
pub(super) struct Pipes {
    pub stdin: Option<ChildStdin>,
    pub input: Vec<u8>,
    pub stderr: Option<ChildStderr>,
    pub tail: Arc<Tail>,
    /// Gets standard output when the turn ends before it does.
    pub rest: oneshot::Receiver<ChildStdout>,
}

/// Keeps a command until nothing is left of it.
pub(super) async fn keep(keeper: Keeper, pipes: Pipes) {
    // However it ends, those who wait for the group must not wait for ever.
    let _gone = keeper.gone.clone().drop_guard();
    let mut pipes = Box::pin(pipes.serve());
    let kept = keeper.keep();
    tokio::pin!(kept);
    tokio::select! {
        () = &mut kept => {
            // What was written before the end is still to be read; a process that left the group may hold the pipes open.
            let _ = timeout(QUIET, pipes).await;
        }
        () = &mut pipes => kept.await,
    }
}

impl Keeper {
    async fn keep(mut self) {
        let limit = self.timeout;
        let time_is_up = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            status = self.group.wait() => {
                self.tell(status, false);
                self.linger().await;
            }
            () = self.end.cancelled() => self.finish(false).await,
            () = time_is_up => self.finish(true).await,
        }
        self.gone.cancel();
    }

    /// Tells the turn that the program has ended.
    fn tell(&self, status: io::Result<ExitStatus>, overdue: bool) {
        let status = status.inspect_err(|error| tracing::warn!(%error, "a command's exit status is unknown")).ok();
        self.exit.send_replace(Some(Exit { status, overdue }));
    }

    /// What the program has left running may live as long as the turn.
    async fn linger(&mut self) {
        while !self.group.is_gone() {
            tokio::select! {
                () = self.end.cancelled() => {
                    self.group.terminate();
                    return self.clear(Instant::now() + self.grace).await;
                }
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Ends the program and the rest of its group.
    async fn finish(&mut self, overdue: bool) {
        self.group.terminate();
        let until = Instant::now() + self.grace;
        let ended = timeout_at(until, self.group.wait()).await;
        let status = match ended {
            Ok(status) => status,
            Err(_) => {
                self.group.kill();
                self.group.wait().await
            }
        };
        self.tell(status, overdue);
        self.clear(until).await;
    }

    /// Waits until nothing is left of a group that was asked to end; kills what still is when the grace is over.
    async fn clear(&mut self, grace: Instant) {
        for look in 1_u32.. {
            let gone = if look % CLOSE_LOOK == 0 { self.group.has_ended() } else { self.group.is_gone() };
            let now = Instant::now();
            if gone {
                return;
            }
            if now >= grace + AFTER_KILL {
                return tracing::warn!("a command's processes did not end, although they were killed");
            }
            if now >= grace {
                self.group.kill();
            }
            sleep(LOOK).await;
        }
    }
}

impl Pipes {
    async fn serve(self) {
        let feed = async {
            if let Some(mut stdin) = self.stdin
                && let Err(error) = stdin.write_all(&self.input).await
            {
                tracing::debug!(%error, "a command did not read all of its input");
            }
        };
        let listen = async {
            match self.stderr {
                Some(stderr) => self.tail.follow(stderr).await,
                None => self.tail.end(),
            }
        };
        let discard = async {
            if let Ok(mut stdout) = self.rest.await {
                // A pipe that cannot be read is as good as one that was.
                let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
            }
        };
        tokio::join!(feed, listen, discard);
    }
}
