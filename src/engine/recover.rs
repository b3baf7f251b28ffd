//! Taking up unsettled tasks after a restart.
//!
//! A turn that its agent had not heard of is run. One that was under way is taken up again where the agent has named the
//! task, and else run again or failed, as the agent's `Recovery` says. Interrupted tasks wait for their callers, as before. Tasks are taken up in the order of their
//! creation; those that find no place wait for one without being held in memory.

use std::sync::Arc;

use super::{
    Inner,
    run::{Start, Work},
    settle::settle,
};
use crate::{
    agent::Recovery,
    error::{Error, Result},
    proto::a2a::{Role, TaskState},
    store::Stored,
    task::{TaskId, state},
};

/// Takes up what was left, then ends.
pub(super) async fn recover(inner: Arc<Inner>) {
    let work = async {
        let left = take_stock(&inner).await;
        let _ = inner.stock_taken.set(());
        let left = left?;
        if !left.is_empty() {
            tracing::info!(tasks = left.len(), "taking up unsettled tasks");
        }
        for id in left {
            if let Err(error) = take_up(&inner, id).await {
                tracing::error!(task = %id, %error, "an unsettled task could not be taken up");
            }
        }
        Ok::<_, Error>(())
    };
    tokio::select! {
        result = work => if let Err(error) = result {
            tracing::error!(%error, "unsettled tasks could not be read: they wait for the next start");
        },
        () = inner.stopping.cancelled() => {}
    }
    // Also when the gateway stops before it is known what was left: submits that wait for it end then.
    let _ = inner.stock_taken.set(());
}

/// What an earlier process left. Submits wait until this is known: a task of theirs must not be taken for a left one,
/// since its agent would then hear of it twice.
async fn take_stock(inner: &Inner) -> Result<Vec<TaskId>> {
    let mut left = Vec::new();
    loop {
        let page = inner.store.strays(left.last().copied()).await?;
        if page.is_empty() {
            return Ok(left);
        }
        left.extend(page.into_iter().map(|stray| stray.id));
    }
}

async fn take_up(inner: &Arc<Inner>, id: TaskId) -> Result<()> {
    let Some(stored) = inner.store.task(id).await? else { return Ok(()) };
    let known = !stored.upstream.task_id.is_empty();
    // An agent may go on by itself once it has been authorized.
    let waits = match stored.state {
        TaskState::AuthRequired => !(known && stored.dispatched),
        state => state::is_settled(state) || state::is_interrupted(state),
    };
    if waits || inner.runners().contains_key(&id) {
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
