//! Filling a gateway with tasks, and waiting until it has worked them off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use a2a_gateway::proto::{a2a::TaskState, gateway::ListTasksRequest};
use tokio::task::JoinSet;

use crate::{Result, callers::Submit, client_grpc::Connection};

/// Ids kept of a fill; of more tasks than these, evenly chosen ones.
const IDS_KEPT: usize = 100_000;

/// How long submitted tasks may take to settle. They are worked off at thousands per second while they come in.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// Submits so many tasks, as many at a time as there are callers, and waits until all have settled. Returns ids that
/// are spread evenly over them.
pub async fn fill(address: &str, tasks: usize, callers: usize) -> Result<Vec<String>> {
    let ids = submit_all(Submit::callers(address, callers).await?, tasks).await?;
    settled(&Connection::open(address).await?).await?;
    Ok(ids)
}

/// Submits so many tasks, and returns ids that are spread evenly over them.
pub async fn submit_all(callers: Vec<Submit>, tasks: usize) -> Result<Vec<String>> {
    let started = Arc::new(AtomicUsize::new(0));
    let keep_every = tasks.div_ceil(IDS_KEPT).max(1);
    let mut workers = JoinSet::new();
    for mut caller in callers {
        let started = started.clone();
        workers.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let number = started.fetch_add(1, Ordering::Relaxed);
                if number >= tasks {
                    return Ok::<_, crate::Error>(ids);
                }
                let id = caller.submit().await?.task.unwrap_or_default().id;
                if number.is_multiple_of(keep_every) {
                    ids.push(id);
                }
            }
        });
    }
    let mut ids = Vec::with_capacity(tasks.min(IDS_KEPT));
    while let Some(worker) = workers.join_next().await {
        ids.extend(worker??);
    }
    Ok(ids)
}

/// Waits until no task is submitted or working.
pub async fn settled(connection: &Connection) -> Result<()> {
    let states = vec![TaskState::Submitted.into(), TaskState::Working.into()];
    let unsettled = ListTasksRequest { states, page_size: 1, ..ListTasksRequest::default() };
    let start = Instant::now();
    loop {
        let left = connection.gateway().list_tasks(unsettled.clone()).await?.into_inner().total_size;
        if left == 0 {
            return Ok(());
        }
        if start.elapsed() > SETTLE_LIMIT {
            return Err(format!("{left} tasks have not settled within {SETTLE_LIMIT:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
