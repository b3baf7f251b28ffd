//! What runs beside the tasks: removing what has been kept long enough, and failing waiting tasks whose time is up.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{
    Inner, millis, now,
    run::{Ending, Start, Work},
    settle::{overdue_text, settle},
};
use crate::{
    error::{ErrorKind, Result},
    proto::a2a::TaskState,
    store::Acquired,
    task::state,
};

/// Between two looks for tasks whose time is up. Running tasks watch their own deadline; this is for waiting ones.
const DEADLINE_TICK: Duration = Duration::from_secs(1);

/// Works until the engine stops.
pub(super) async fn run(inner: Arc<Inner>) {
    let every = |period: Duration| {
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let mut deadlines = every(DEADLINE_TICK);
    let mut retention = every(inner.settings.retention_interval.max(Duration::from_millis(10)));
    loop {
        let result = tokio::select! {
            () = inner.stopping.cancelled() => return,
            _ = deadlines.tick() => fail_overdue(&inner).await,
            _ = retention.tick() => match purge(&inner).await {
                Ok(()) => purge_deliveries(&inner).await,
                failed => failed,
            },
        };
        if let Err(error) = result {
            tracing::warn!(%error, "housekeeping will try again");
        }
    }
}

async fn fail_overdue(inner: &Arc<Inner>) -> Result<()> {
    for id in inner.store.overdue(now()).await? {
        if inner.runners.has(id) {
            continue;
        }
        let Acquired::Task(stored) = inner.store.acquire(id).await? else { continue };
        if state::is_settled(stored.state) {
            continue;
        }
        let stored = *stored;
        if let Ok(entry) = inner.roster.find(&stored.identity.agent) {
            let work = Work::End(Ending::Overdue, None);
            Start { entry, stored, work }.spawn(inner);
            continue;
        }
        let text = overdue_text(&stored);
        match settle(inner, stored, TaskState::Failed, Some(&text)).await {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes in small batches, so that nobody waits long for the writer.
async fn purge(inner: &Arc<Inner>) -> Result<()> {
    let batch = inner.settings.retention_batch.max(1);
    loop {
        let now = now();
        let cutoff = inner.settings.retention.map(|keep| now - millis(keep));
        let removed = inner.store.purge(cutoff, now, batch).await?;
        for id in &removed {
            inner.settled.remove(id);
        }
        // Fewer than a batch may have been all that could go at once.
        if removed.is_empty() || inner.stopping.is_cancelled() {
            return Ok(());
        }
    }
}

/// Removes what is known of deliveries that were done with long ago.
async fn purge_deliveries(inner: &Arc<Inner>) -> Result<()> {
    let batch = inner.settings.retention_batch.max(1);
    loop {
        let now = now();
        let cutoff = inner.settings.delivery_history.map(|keep| now - millis(keep));
        let removed = inner.store.purge_deliveries(cutoff, now, batch).await?;
        if removed < batch || inner.stopping.is_cancelled() {
            return Ok(());
        }
    }
}
