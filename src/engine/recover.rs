//! Taking up tasks that nobody works on: after a restart, and where several processes share the store, when one has died.
//!
//! A turn that its agent had not heard of is run. One that was under way is taken up again where the agent has named the
//! task, and else run again or failed, as the agent's `Recovery` says. Interrupted tasks wait for their callers, as before. Tasks are taken up in the order of their
//! creation; those that find no place wait for one without being held in memory.
//!
//! What other processes ask of the tasks of this one is taken here, too.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Inner, cancel,
    run::{Start, Work},
    settle::settle,
};
use crate::{
    agent::Recovery,
    error::{Error, Result},
    proto::a2a::{Role, TaskState},
    store::{Acquired, Stored, Stray},
    task::{TaskId, state},
};

/// Takes up what was left; then, as long as others may leave something, what they leave.
pub(super) async fn recover(inner: Arc<Inner>) {
    let work = async {
        let left = take_stock(&inner).await;
        let _ = inner.stock_taken.set(());
        match left {
            Ok(left) => {
                if !left.is_empty() {
                    tracing::info!(tasks = left.len(), "taking up unsettled tasks");
                }
                take_up_all(&inner, left).await;
            }
            Err(error) => tracing::error!(%error, "unsettled tasks could not be read: they wait for the next look"),
        }
        if let Some(pause) = inner.store.sweep() {
            sweep(&inner, pause).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = inner.stopping.cancelled() => {}
    }
    // Also when the gateway stops before it is known what was left: submits that wait for it end then.
    let _ = inner.stock_taken.set(());
}

/// What an earlier process left. Submits wait until this is known: a task of theirs must not be taken for a left one,
/// since its agent would then hear of it twice.
async fn take_stock(inner: &Inner) -> Result<Vec<TaskId>> {
    Ok(strays(inner).await?.into_iter().map(|stray| stray.id).collect())
}

async fn strays(inner: &Inner) -> Result<Vec<Stray>> {
    let mut strays: Vec<Stray> = Vec::new();
    loop {
        let page = inner.store.strays(strays.last().map(|stray| stray.id)).await?;
        if page.is_empty() {
            return Ok(strays);
        }
        strays.extend(page);
    }
}

async fn take_up_all(inner: &Arc<Inner>, ids: impl IntoIterator<Item = TaskId>) {
    for id in ids {
        if let Err(error) = take_up(inner, id).await {
            tracing::error!(task = %id, %error, "an unsettled task could not be taken up");
        }
    }
}

/// Looks again and again for what others left and asked, as long as it is polled.
async fn sweep(inner: &Arc<Inner>, pause: Duration) {
    let mut suspects = HashMap::new();
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = inner.runners.asked() => {}
        }
        let swept = async {
            for asked in inner.store.asked().await? {
                cancel::carry_out(inner, asked).await?;
            }
            let strays = strays(inner).await?;
            let left = left_behind(inner, &strays, &mut suspects, pause);
            if !left.is_empty() {
                tracing::info!(tasks = left.len(), "taking up tasks that nobody works on");
            }
            take_up_all(inner, left).await;
            Ok::<_, Error>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, "tasks that nobody works on are looked for again later");
        }
    }
}

/// Those of the strays that are really left. A task of this process without a runner may be one that is just being
/// submitted: it is left if it still is one after a while.
fn left_behind(
    inner: &Inner,
    strays: &[Stray],
    suspects: &mut HashMap<TaskId, (u64, Instant)>,
    patience: Duration,
) -> Vec<TaskId> {
    let now = Instant::now();
    let idle: Vec<_> = strays.iter().filter(|stray| !inner.runners.has(stray.id)).collect();
    let mut known = HashMap::new();
    let mut left = Vec::new();
    for stray in idle {
        let before = suspects.get(&stray.id).filter(|(epoch, _)| *epoch == stray.epoch);
        let since = before.map_or(now, |(_, since)| *since);
        if !stray.ours || now - since >= patience {
            left.push(stray.id);
        } else {
            known.insert(stray.id, (stray.epoch, since));
        }
    }
    *suspects = known;
    left
}

async fn take_up(inner: &Arc<Inner>, id: TaskId) -> Result<()> {
    if inner.runners.has(id) {
        return Ok(());
    }
    let Acquired::Task(stored) = inner.store.acquire(id).await? else { return Ok(()) };
    let stored = *stored;
    let known = !stored.upstream.task_id.is_empty();
    // An agent may go on by itself once it has been authorized.
    let waits = match stored.state {
        TaskState::AuthRequired => !(known && stored.dispatched),
        state => state::is_settled(state) || state::is_interrupted(state),
    };
    if waits || inner.runners.has(id) {
        return Ok(());
    }
    let entry = match inner.roster.find(&stored.identity.agent) {
        Ok(entry) => entry,
        Err(_) => {
            let text = format!("The agent {:?} is no longer configured.", &*stored.identity.agent);
            return fail(inner, stored, &text).await;
        }
    };
    let resumed = match entry.agent.recovery() {
        _ if known && stored.dispatched => true,
        Recovery::Continue => stored.sequence > 1,
        Recovery::Resend => stored.dispatched,
        Recovery::Fail if !stored.dispatched => false,
        Recovery::Fail => {
            let text = "The gateway restarted while the agent was working on this task: its outcome is unknown.";
            return fail(inner, stored, text).await;
        }
    };
    let message = stored.task.history.iter().rev().find(|message| message.role() == Role::User).cloned();
    let Some(message) = message else {
        return fail(inner, stored, "The task holds no message to act on.").await;
    };
    let metadata = stored.task.metadata.clone();
    let work = Work::Turn { message, metadata, new_context: false, resumed, claim: None };
    Start { entry, stored, work }.spawn(inner);
    Ok(())
}

async fn fail(inner: &Arc<Inner>, stored: Stored, text: &str) -> Result<()> {
    settle(inner, stored, TaskState::Failed, Some(text)).await.map(drop)
}
