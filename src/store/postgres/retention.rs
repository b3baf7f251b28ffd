//! Retention: settled tasks, request ids and conversations whose time is over, and the ends of long logs.
//!
//! One process at a time removes what is old.

use tokio_postgres::Row;

use super::{
    Shared,
    outbox::purge,
    read::task_id,
    schema::{OUTBOX_LOCK, RETENTION_LOCK},
    session::{Failure, Session},
    writer::Counts,
};
use crate::{
    proto::a2a::TaskState,
    store::{
        Identity,
        codes::{HIDDEN, state_of},
    },
    task::TaskId,
};

/// Deliveries that removing tasks takes along at once; one task's are always removed together.
const DELIVERIES_AT_ONCE: usize = 5000;

/// The rows of counts that retention adds to; no writer does.
const SHARD: i32 = -1;

/// What is just being used is left to the next time.
const REQUESTS: &str = "DELETE FROM requests WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM requests WHERE expires < $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED))";
const CONTEXTS: &str = "DELETE FROM contexts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM contexts WHERE noted < $1 ORDER BY noted LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Slots of processes that are long gone. Of those that live each is marked again when it is used.
const SLOTS: &str = "DELETE FROM slots WHERE used < now() - interval '1 day'";

/// See `Store::purge`. Tasks that deliveries wait for stay.
pub async fn purge(
    shared: &Shared,
    session: &Session,
    cutoff: Option<i64>,
    now: i64,
    batch: usize,
) -> Result<Vec<TaskId>, Failure> {
    if !session.query_one(RETENTION_LOCK, &[]).await?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    session.execute(SLOTS, &[]).await?;
    let limit = i64::try_from(batch).unwrap_or(i64::MAX);
    session.execute(REQUESTS, &[&now, &limit]).await?;
    let Some(cutoff) = cutoff else { return Ok(Vec::new()) };
    session.execute(CONTEXTS, &[&cutoff, &limit]).await?;
    session.query(OUTBOX_LOCK, &[]).await?;
    let found = session.query(&settled_before(shared.settings.webhooks_enabled), &[&cutoff, &limit]).await?;
    let mut settled: Vec<_> = found.iter().map(Settled::read).collect();
    let mut deliveries = 0;
    for (number, task) in settled.iter().enumerate() {
        if deliveries > DELIVERIES_AT_ONCE {
            settled.truncate(number);
            break;
        }
        if task.told {
            deliveries += purge::remove_task(shared, session, task.key, &task.owner, task.id).await?;
        }
    }
    remove(session, &settled).await?;
    Ok(settled.into_iter().map(|task| task.id).collect())
}

/// Removes tasks. Their rows go first: whoever is about to append to one has done so before, or is refused.
async fn remove(session: &Session, settled: &[Settled]) -> Result<(), Failure> {
    if settled.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = settled.iter().map(|task| task.key).collect();
    session.execute("DELETE FROM tasks WHERE key = ANY ($1)", &[&keys]).await?;
    session.execute(RAISE_FLOOR, &[&keys]).await?;
    session.execute("DELETE FROM segments WHERE task = ANY ($1)", &[&keys]).await?;
    session.execute("DELETE FROM snapshots WHERE task = ANY ($1)", &[&keys]).await?;
    let mut counts = Counts::default();
    for task in settled.iter().filter(|task| task.standing != HIDDEN) {
        counts.add(&task.owner, &task.agent, task.state, -1);
    }
    counts.write(session, SHARD).await
}

/// Cursors before the rows of tasks that are about to go can no longer be resumed.
const RAISE_FLOOR: &str = "UPDATE meta SET value = greatest(value, (
        SELECT max(position) FROM unnest($1::bigint[]) AS going (task)
        CROSS JOIN LATERAL (SELECT max(position) AS position FROM segments WHERE segments.task = going.task) AS newest))
     WHERE name = 'feed_floor'";

/// The end of a log, and what it takes along: cursors before it can no longer be resumed.
const TRIM: &str = "WITH gone AS (DELETE FROM segments WHERE task = $1 AND last <= $2 RETURNING last, position),
     raised AS (UPDATE meta SET value = greatest(value, (SELECT max(position) FROM gone))
                WHERE name = 'feed_floor' AND EXISTS (SELECT 1 FROM gone))
     UPDATE tasks SET floor = greatest(floor, (SELECT max(last) FROM gone)) WHERE key = $1";

/// Removes the rows of a log that end at or before a sequence, as far as no webhook needs them that is sent to.
pub async fn trim(shared: &Shared, session: &Session, task: i64, identity: &Identity, to: u64) -> Result<(), Failure> {
    let limit = match shared.settings.webhooks_enabled {
        true => purge::trim_limit(session, task, identity).await?,
        false => Some(u64::MAX),
    };
    let Some(limit) = limit else { return Ok(()) };
    let to = i64::try_from(to.min(limit)).unwrap_or(i64::MAX);
    session.execute(TRIM, &[&task, &to]).await.map(drop)
}

struct Settled {
    key: i64,
    id: TaskId,
    owner: String,
    agent: String,
    state: TaskState,
    standing: i32,
    /// Whether there may be webhooks or deliveries of it.
    told: bool,
}

impl Settled {
    fn read(row: &Row) -> Self {
        Self {
            key: row.get(0),
            id: task_id(row.get(1)),
            owner: row.get(2),
            agent: row.get(3),
            state: state_of(row.get(4)),
            standing: row.get(5),
            told: row.get(6),
        }
    }
}

/// Tasks that settled before a time and that no delivery to an enabled or paused webhook waits for, oldest first. If no
/// webhooks are sent to, nothing waits. Owners are found one by one, and a range of an index each is read for them.
fn settled_before(webhooks: bool) -> String {
    let waiting = "AND NOT EXISTS (SELECT 1 FROM deliveries JOIN webhooks ON webhooks.key = deliveries.webhook
             WHERE deliveries.task = tasks.key AND deliveries.state = 0 AND webhooks.state <= 1)";
    let nothing_waits = if webhooks { waiting } else { "" };
    let range = |standing: i32| {
        format!(
            "(SELECT key, id, owner, agent, state, standing,
                     webhooks OR EXISTS (SELECT 1 FROM deliveries WHERE deliveries.task = tasks.key) AS told
              FROM tasks WHERE standing = {standing} AND owner = owners.owner AND updated < $1 {nothing_waits}
              ORDER BY updated, key LIMIT $2)"
        )
    };
    format!(
        "WITH RECURSIVE owners (owner) AS (
            (SELECT owner FROM counts ORDER BY owner LIMIT 1)
            UNION ALL
            SELECT (SELECT owner FROM counts WHERE owner > owners.owner ORDER BY owner LIMIT 1)
            FROM owners WHERE owners.owner IS NOT NULL)
         SELECT found.* FROM owners CROSS JOIN LATERAL ({} UNION ALL {}) AS found LIMIT $2",
        range(1),
        range(2)
    )
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    let constant = [REQUESTS, CONTEXTS, RAISE_FLOOR, TRIM].map(str::to_owned);
    constant.into_iter().chain([settled_before(true), settled_before(false)]).collect()
}
