//! Canceling: through a runner, which tells the agent and heeds its answer; straight in the log only when the agent is no
//! longer configured.

use std::{sync::Arc, time::Duration};

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

pub(super) async fn cancel(
    inner: &Arc<Inner>,
    caller: &Caller,
    id: TaskId,
    metadata: Option<Struct>,
) -> Result<Record> {
    loop {
        let stored = inner.store.task(id).await?;
        let visible = stored.filter(|stored| stored.identity.owner == caller.owner && !stored.hidden);
        let stored = visible.ok_or_else(|| Error::task_not_found(&id.to_string()))?;
        if stored.state == TaskState::Canceled {
            return Ok(stored.into_record());
        }
        if state::is_settled(stored.state) {
            let message = format!("Task not cancelable: already {}", state::word(stored.state));
            return Err(Error::new(ErrorKind::TaskNotCancelable, message)
                .with("taskId", id)
                .with("state", state::word(stored.state)));
        }
        let runner = inner.runners().get(&id).cloned();
        match runner {
            Some(control) => {
                if control.cancel(metadata.clone()) {
                    settled(inner, caller, id, stored.sequence).await?;
                }
            }
            None => match inner.roster.find(&stored.identity.agent) {
                Ok(entry) => {
                    let after = stored.sequence;
                    let work = Work::End(Ending::Canceled, metadata.clone());
                    Start { entry, stored, work }.spawn(inner);
                    settled(inner, caller, id, after).await?;
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

/// Waits for the runner to settle the task.
async fn settled(inner: &Arc<Inner>, caller: &Caller, id: TaskId, after: u64) -> Result<()> {
    let mut watch = Watch::open(inner, caller, id, From::After(after), Until::Interrupted).await?.unary();
    let end = async {
        while let Some(batch) = watch.next_batch().await {
            batch?;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, end).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unavailable, format!("the agent is slow to cancel task {id}: look again later")))
    })
}
