//! Removes deliveries: those that are old, those that nobody will send, and what removed webhooks and tasks leave.

use super::{Turn, enter, lanes};
use crate::{
    store::{
        Identity,
        codes::dialect_code,
        postgres::{
            Shared,
            session::{Failure, Params, Session},
            webhooks::config,
        },
        rules::{OF_NO_TASK_KEPT, REMOVED_AT_ONCE},
    },
    task::{Dialect, TaskId},
};

/// The oldest that were delivered or given up before `$1`.
const SETTLED: &str = "SELECT key FROM deliveries WHERE settled < $1 ORDER BY settled LIMIT $2";

const OF_WEBHOOKS: &str = "SELECT d.key FROM unnest($1::bigint[]) AS r (webhook)
     CROSS JOIN LATERAL (SELECT key FROM deliveries WHERE deliveries.webhook = r.webhook LIMIT $2) AS d LIMIT $2";

/// Lanes without a claim, of webhooks that were disabled before `$1`. The offsets keep them looked for in this order.
macro_rules! abandoned {
    () => {
        "(SELECT key FROM webhooks WHERE disabled < $1 OFFSET 0) AS w
         CROSS JOIN LATERAL (SELECT key, webhook, task FROM lanes
            WHERE lanes.webhook = w.key AND token IS NULL OFFSET 0) AS l"
    };
}

/// What waits in them.
const ABANDONED: &str = concat!(
    "SELECT d.key FROM ",
    abandoned!(),
    " CROSS JOIN LATERAL (SELECT p.key FROM deliveries AS p
        WHERE p.webhook = l.webhook AND p.task = l.task AND p.state = 0 ORDER BY p.sequence LIMIT $2) AS d LIMIT $2"
);

/// Those that have nothing left.
const EMPTY: &str = concat!(
    "DELETE FROM lanes USING (SELECT l.* FROM ",
    abandoned!(),
    " WHERE NOT EXISTS (SELECT 1 FROM deliveries AS d
        WHERE d.webhook = l.webhook AND d.task = l.task AND d.state = 0)) AS e
     WHERE lanes.key = e.key RETURNING lanes.origin"
);

const NEXT_REMOVED: &str = "SELECT webhook FROM removed ORDER BY webhook LIMIT 1";

/// Those of webhooks `$1` that have left something.
const NOTE_REMOVED: &str = "INSERT INTO removed (webhook)
     SELECT r.webhook FROM unnest($1::bigint[]) AS r (webhook)
     WHERE EXISTS (SELECT 1 FROM deliveries AS d WHERE d.webhook = r.webhook)
     ON CONFLICT (webhook) DO NOTHING";

const IDLE: &str = "SELECT key FROM webhooks WHERE task <> '' AND task_key IS NULL AND updated < $1
     ORDER BY updated LIMIT $2";

const OF_TASK: &str = "SELECT key FROM deliveries WHERE task = $1";

/// The webhooks of task `$1`, of owner `$2` and called `$3`.
const OWN: &str = "SELECT key FROM webhooks WHERE owner = $2 AND task = $3 AND task <> '' AND task_key = $1";

/// Of those that hear of task `$1`, its own and those of its agent `$4` as a whole: whether one is told of the whole task,
/// with payload `$5`, and the lowest sequence that something pending needs.
const NEEDED: &str = "SELECT coalesce(bool_or(e.payload = $5), false), min(d.sequence)
     FROM (
        SELECT w.key, w.payload FROM webhooks AS w
        WHERE w.owner = $2 AND w.task = $3 AND w.task <> '' AND w.task_key = $1
        UNION ALL
        SELECT w.key, w.payload FROM webhooks AS w WHERE w.owner = $2 AND w.agent = $4 AND w.task = ''
     ) AS e
     LEFT JOIN LATERAL (SELECT p.sequence FROM deliveries AS p
        WHERE p.webhook = e.key AND p.task = $1 AND p.state = 0 ORDER BY p.sequence LIMIT 1) AS d ON true";

/// See `Outbox::purge_deliveries`.
pub async fn purge(
    shared: &Shared,
    session: &Session,
    cutoff: Option<i64>,
    now: i64,
    batch: usize,
) -> Result<usize, Failure> {
    let mut turn = enter(shared, session).await?;
    let mut removed = 0;
    if let Some(cutoff) = cutoff {
        removed += remove(session, SETTLED, &[&cutoff, &limit(batch)]).await?;
        removed += abandoned(session, &mut turn, cutoff, batch.saturating_sub(removed)).await?;
    }
    removed += leftovers(session, batch.saturating_sub(removed)).await?;
    let idle = cutoff.unwrap_or(now.saturating_sub(OF_NO_TASK_KEPT));
    let idle = session.query(IDLE, &[&idle, &limit(batch)]).await?;
    let idle: Vec<i64> = idle.iter().map(|row| row.get(0)).collect();
    config::remove(session, &mut turn, &idle).await?;
    turn.finish(session).await?;
    Ok(removed + idle.len())
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Removes the deliveries that a query finds, with their attempts. Returns how many.
async fn remove(session: &Session, query: &str, values: Params<'_>) -> Result<usize, Failure> {
    let removed = removal(query);
    let row = session.query_one(&removed, values).await?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX))
}

fn removal(query: &str) -> String {
    format!(
        "WITH found AS MATERIALIZED ({query}), told AS (
            DELETE FROM attempts AS a USING found WHERE a.delivery = found.key
         ), gone AS (
            DELETE FROM deliveries AS d USING found WHERE d.key = found.key RETURNING 1
         )
         SELECT count(*) FROM gone"
    )
}

/// What waits for webhooks that were disabled long ago.
async fn abandoned(session: &Session, turn: &mut Turn, cutoff: i64, batch: usize) -> Result<usize, Failure> {
    let removed = remove(session, ABANDONED, &[&cutoff, &limit(batch)]).await?;
    if removed > 0 {
        let empty = session.query(EMPTY, &[&cutoff]).await?;
        turn.changed.extend(empty.iter().map(|row| row.get::<_, i64>(0)));
    }
    Ok(removed)
}

/// Notes that webhooks are gone, and removes what is done at once of their deliveries.
pub async fn begin_removal(session: &Session, webhooks: &[i64]) -> Result<(), Failure> {
    if remove(session, OF_WEBHOOKS, &[&webhooks, &limit(REMOVED_AT_ONCE)]).await? >= REMOVED_AT_ONCE {
        session.execute(NOTE_REMOVED, &[&webhooks]).await?;
    }
    Ok(())
}

/// What removed webhooks have left.
async fn leftovers(session: &Session, batch: usize) -> Result<usize, Failure> {
    let mut removed = 0;
    while removed < batch {
        let Some(next) = session.query_opt(NEXT_REMOVED, &[]).await? else { break };
        let webhook: i64 = next.get(0);
        let wanted = batch - removed;
        let found = remove(session, OF_WEBHOOKS, &[&[webhook].as_slice(), &limit(wanted)]).await?;
        removed += found;
        if found < wanted {
            session.execute("DELETE FROM removed WHERE webhook = $1", &[&webhook]).await?;
        }
    }
    Ok(removed)
}

/// Removes everything of a task that goes: its webhooks, and all deliveries about it. Returns how many deliveries went. The
/// caller has the outbox lock, and removes the task in the same transaction.
pub async fn remove_task(
    shared: &Shared,
    session: &Session,
    task: i64,
    owner: &str,
    id: TaskId,
) -> Result<usize, Failure> {
    // Has the lock already; what commits have left of the task is taken in.
    let mut turn = enter(shared, session).await?;
    lanes::remove_of_task(session, &mut turn, task).await?;
    let removed = remove(session, OF_TASK, &[&task]).await?;
    let own = session.query(OWN, &[&task, &owner, &id.to_string()]).await?;
    let own: Vec<i64> = own.iter().map(|row| row.get(0)).collect();
    config::remove(session, &mut turn, &own).await?;
    turn.finish(session).await?;
    Ok(removed)
}

/// How far a log may be trimmed at most: not what is pending still needs, and not at all for a webhook that is told of
/// the whole task.
pub async fn trim_limit(session: &Session, task: i64, identity: &Identity) -> Result<Option<u64>, Failure> {
    let (owner, agent, id) = (&*identity.owner, &*identity.agent, identity.id.to_string());
    let row = session.query_one(NEEDED, &[&task, &owner, &id, &agent, &dialect_code(Dialect::V03)]).await?;
    let (whole, needed): (bool, Option<i64>) = (row.get(0), row.get(1));
    let limit = needed.map_or(u64::MAX, |sequence| sequence.cast_unsigned().saturating_sub(1));
    Ok((!whole).then_some(limit))
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    let removals = [SETTLED, OF_WEBHOOKS, ABANDONED, OF_TASK].map(removal);
    removals.into_iter().chain([EMPTY, NEXT_REMOVED, NOTE_REMOVED, IDLE, OWN, NEEDED].map(str::to_owned)).collect()
}
