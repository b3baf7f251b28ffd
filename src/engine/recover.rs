//! Taking up unsettled tasks after a restart.
//!
//! A turn that its agent had not heard of is run. One that was under way is run again or failed, as the agent's
//! `Recovery` says. Interrupted tasks wait for their callers, as before. Tasks are taken up in the order of their
//! creation and no faster than the engine's limit of running turns lets them, so a long queue costs no memory.

use std::sync::Arc;

use super::{Inner, run::Start, settle::settle};
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
        let mut after = None;
        let mut count = 0_u64;
        loop {
            let ids = inner.store.open_tasks(after).await?;
            let Some(last) = ids.last() else { break };
            after = Some(*last);
            for id in ids {
                if let Err(error) = take_up(&inner, id, &mut count).await {
                    tracing::error!(task = %id, %error, "an unsettled task could not be taken up");
                }
            }
        }
        if count > 0 {
            tracing::info!(tasks = count, "unsettled tasks were taken up again");
        }
        Ok::<_, Error>(())
    };
    tokio::select! {
        result = work => if let Err(error) = result {
            tracing::error!(%error, "unsettled tasks could not be read");
        },
        () = inner.stopping.cancelled() => {}
    }
}

async fn take_up(inner: &Arc<Inner>, id: TaskId, count: &mut u64) -> Result<()> {
    // Room first, so that the queue stays in the store.
    let room = inner.permits.clone().acquire_owned().await;
    if inner.runners().contains_key(&id) {
        return Ok(());
    }
    let Some(stored) = inner.store.task(id).await? else { return Ok(()) };
    if state::is_settled(stored.state) || state::is_interrupted(stored.state) {
        return Ok(());
    }
    *count += 1;
    let entry = match inner.agent(&stored.identity.agent) {
        Ok(entry) => entry,
        Err(_) => {
            let text = format!("The agent {:?} is no longer configured.", &*stored.identity.agent);
            return fail(inner, stored, &text).await;
        }
    };
    let resumed = match entry.agent.recovery() {
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
    drop(room);
    Start { entry, stored, message, resumed, claim: None }.spawn(inner);
    Ok(())
}

async fn fail(inner: &Arc<Inner>, stored: Stored, text: &str) -> Result<()> {
    settle(inner, stored, TaskState::Failed, Some(text)).await.map(drop)
}
