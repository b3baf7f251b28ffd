//! Canceling: through a runner, which tells the agent and heeds its answer; straight in the log only when the agent is no
//! longer configured. Where another process works on the task, its runner is asked.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Caller, Inner,
    run::{Ending, Start, Work},
    settle::settle,
    watch::{From, Until, Watch},
};
use crate::{
    error::{Error, ErrorKind, Result},
    proto::{a2a::TaskState, well_known::Struct},
    store::{Acquired, Asked, Stored},
    task::{Record, TaskId, state},
};

/// How long a runner may take to cancel: the agent's time and a commit.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a task that does not change: a runner may have ended just before it was asked.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn cancel(
    inner: &Arc<Inner>,
    caller: &Caller,
    id: TaskId,
    metadata: Option<Struct>,
) -> Result<Record> {
    let until = Instant::now() + PATIENCE;
    loop {
        // Before the task is read: a runner that has ended by now has left its mark there, and none begins a second time.
        let runner = inner.runners.get(id);
        let stored = inner.store.task(id).await?;
        let visible = stored.filter(|stored| stored.identity.owner == caller.owner && !stored.hidden);
        let stored = visible.ok_or_else(|| Error::task_not_found(&id.to_string()))?;
        if stored.state == TaskState::Canceled {
            return Ok(stored.into_record());
        }
        if state::is_settled(stored.state) {
            return Err(Error::task_not_cancelable(&id.to_string(), state::word(stored.state)));
        }
        if Instant::now() >= until {
            let message = format!("the agent is slow to cancel task {id}: look again later");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        match runner {
            Some(control) => {
                if control.cancel(metadata.clone()) {
                    changed(inner, caller, id, stored.sequence).await?;
                }
            }
            None => match inner.store.acquire(id).await? {
                // Settled or removed meanwhile: look again.
                Acquired::Task(acquired) if state::is_settled(acquired.state) => {}
                Acquired::Missing => {}
                Acquired::Task(acquired) => {
                    let after = acquired.sequence;
                    if !end(inner, *acquired, metadata.clone()).await? {
                        changed(inner, caller, id, after).await?;
                    }
                }
                Acquired::Elsewhere => {
                    inner.store.ask_to_cancel(id, metadata.clone()).await?;
                    changed(inner, caller, id, stored.sequence).await?;
                }
            },
        }
    }
}

/// Cancels a task as another process asked: whoever waits for it waits there.
pub(super) async fn carry_out(inner: &Arc<Inner>, asked: Asked) -> Result<()> {
    let Asked { id, metadata } = asked;
    if let Some(control) = inner.runners.get(id) {
        control.cancel(metadata);
        return Ok(());
    }
    match inner.store.acquire(id).await? {
        Acquired::Task(stored) if !state::is_settled(stored.state) => end(inner, *stored, metadata).await.map(drop),
        _ => Ok(()),
    }
}

/// Ends a task that this process has acquired and no runner works on. False: a runner has begun to.
async fn end(inner: &Arc<Inner>, stored: Stored, metadata: Option<Struct>) -> Result<bool> {
    match inner.roster.find(&stored.identity.agent) {
        Ok(entry) => {
            let work = Work::End(Ending::Canceled, metadata);
            Start { entry, stored, work }.spawn(inner);
            Ok(false)
        }
        Err(_) => match settle(inner, stored, TaskState::Canceled, None).await {
            // Something else happened to the task first.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(true),
            result => result.map(|_| true),
        },
    }
}

/// Waits until the task settles or is interrupted anew, for a while.
async fn changed(inner: &Arc<Inner>, caller: &Caller, id: TaskId, after: u64) -> Result<()> {
    // Not until it is interrupted: that it may be already.
    let mut watch = Watch::open(inner, caller, id, From::After(after), Until::Settled).await?.unary();
    let change = async {
        while let Some(batch) = watch.next_batch().await {
            if batch?.last().is_some_and(|event| state::is_interrupted(event.state)) {
                break;
            }
        }
        Ok(())
    };
    tokio::time::timeout(LOOK, change).await.unwrap_or(Ok(()))
}
