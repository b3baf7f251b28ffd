//! Canceling: through a runner, which tells the agent and heeds its answer; straight in the log only when the agent is no
//! longer configured.

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
        let runner = inner.runners().get(&id).cloned();
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
            None => match inner.roster.find(&stored.identity.agent) {
                Ok(entry) => {
                    let after = stored.sequence;
                    let work = Work::End(Ending::Canceled, metadata.clone());
                    Start { entry, stored, work }.spawn(inner);
                    changed(inner, caller, id, after).await?;
                }
                Err(_) => match settle(inner, stored, TaskState::Canceled, None).await {
                    // Something else happened to the task first: look again.
                    Err(error) if error.kind() == ErrorKind::Conflict => {}
                    result => return result,
                },
            },
        }
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
