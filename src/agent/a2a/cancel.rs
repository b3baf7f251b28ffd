//! Canceling a task at its agent, and heeding what the agent says to it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    CallError, Inner, Pauses,
    connection::Route,
    mirror::{Mirror, Snapshot},
};
use crate::{
    agent::{AgentError, Cancel, Update},
    error::ErrorKind,
    proto::a2a::Task,
    task::state,
};

/// How long an agent that took the request may go on before it is said that it does. The engine waits a little longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks the agent to cancel. The updates are what it has come to: canceled, or what it had settled before.
pub async fn cancel(inner: Arc<Inner>, cancel: Cancel) -> Result<Vec<Update>, AgentError> {
    let Cancel { task, upstream, sent, metadata, extensions } = cancel;
    if upstream.task_id.is_empty() {
        // Dropping the call was all that can be done.
        let unnamed = "it had not named the task yet, so that it could not be told";
        return if sent { Err(AgentError::failed(unnamed)) } else { Ok(Vec::new()) };
    }
    let until = Instant::now() + PATIENCE;
    let work = async {
        let route = inner.connection.route(until).await.map_err(AgentError::failed)?;
        let id = upstream.task_id.clone();
        let mut mirror = Mirror::new(&task, upstream, "", false);
        let answer = inner.call(&route, "CancelTask", route.link.cancel(&id, metadata, &extensions)).await;
        match answer {
            Ok(answer) => settled(&inner, &route, &mut mirror, answer, (&id, &extensions)).await,
            // It may have settled meanwhile.
            Err(CallError::Refused { kind: Some(ErrorKind::TaskNotCancelable), text }) => {
                match inner.call(&route, "GetTask", route.link.get(&id, true, &extensions)).await {
                    Ok(now) if has_settled(&now) => Ok(mirror.snapshot(now, Snapshot::Again)),
                    _ => Err(AgentError::failed(text)),
                }
            }
            // Nothing is left to cancel.
            Err(CallError::Refused { kind: Some(ErrorKind::TaskNotFound), .. }) => Ok(Vec::new()),
            Err(error) => Err(AgentError::failed(error.to_string())),
        }
    };
    let late = || Err(AgentError::failed(format!("it did not cancel within {PATIENCE:?}")));
    tokio::time::timeout_at(until, work).await.unwrap_or_else(|_| late())
}

/// Reads the task until it has settled.
async fn settled(
    inner: &Inner,
    route: &Route,
    mirror: &mut Mirror,
    mut task: Task,
    (id, extensions): (&str, &[String]),
) -> Result<Vec<Update>, AgentError> {
    let mut updates = Vec::new();
    let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(1));
    loop {
        let done = has_settled(&task);
        updates.extend(mirror.snapshot(task, Snapshot::Again));
        if done {
            return Ok(updates);
        }
        pauses.pause().await;
        task = inner
            .call(route, "GetTask", route.link.get(id, true, extensions))
            .await
            .map_err(|error| AgentError::failed(error.to_string()))?;
    }
}

fn has_settled(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| state::is_settled(status.state()))
}
