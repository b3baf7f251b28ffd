//! Retention: settled tasks, request ids and conversations whose time is over, and the ends of long logs.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{Failure, outbox::purge, read, writer::Group};
use crate::{proto::a2a::TaskState, store::Identity, task::TaskId};

/// Deliveries that removing tasks takes along at once; one task's are always removed together.
const DELIVERIES_AT_ONCE: usize = 5000;

/// See `Store::purge`. Tasks that deliveries wait for stay, as do those of which something is still to be spread.
pub fn purge_tasks(
    group: &mut Group,
    sql: &Connection,
    cutoff: Option<i64>,
    now: i64,
    batch: usize,
) -> Result<Vec<TaskId>, Failure> {
    sql.prepare_cached(
        "DELETE FROM requests WHERE (owner, agent, id) IN
         (SELECT owner, agent, id FROM requests WHERE expires < ?1 ORDER BY expires LIMIT ?2)",
    )?
    .execute(params![now, batch])?;
    let Some(cutoff) = cutoff else { return Ok(Vec::new()) };
    sql.prepare_cached(
        "DELETE FROM contexts WHERE (owner, agent, context) IN
         (SELECT owner, agent, context FROM contexts WHERE noted < ?1 ORDER BY noted LIMIT ?2)",
    )?
    .execute(params![cutoff, batch])?;
    let mut removed = Vec::new();
    let mut deliveries = 0;
    for task in settled_before(sql, cutoff, batch, group.outbox.enabled)? {
        if deliveries > DELIVERIES_AT_ONCE {
            break;
        }
        if group.outbox.waiting.has(task.key) {
            continue;
        }
        raise_feed_floor(sql, task.key, u64::MAX)?;
        deliveries += purge::remove_task(sql, task.key, &task.owner, task.id)?;
        for statement in [
            "DELETE FROM segments WHERE task = ?1",
            "DELETE FROM snapshots WHERE task = ?1",
            "DELETE FROM tasks WHERE key = ?1",
        ] {
            sql.prepare_cached(statement)?.execute([task.key])?;
        }
        if task.standing != read::HIDDEN {
            group.count(&task.owner, &task.agent, task.state, -1);
        }
        removed.push(task.id);
    }
    Ok(removed)
}

/// Removes the rows of a log that end at or before a sequence, as far as no webhook needs them that is sent to.
pub fn trim(sql: &Connection, task: i64, identity: &Identity, to: u64, webhooks: bool) -> Result<(), Failure> {
    let limit = if webhooks { purge::trim_limit(sql, task, identity)? } else { Some(u64::MAX) };
    let Some(limit) = limit else { return Ok(()) };
    let to = to.min(limit);
    raise_feed_floor(sql, task, to)?;
    sql.prepare_cached(
        "UPDATE tasks SET floor = max(floor, coalesce((SELECT max(last) FROM segments WHERE task = ?1 AND last <= ?2), 0))
         WHERE key = ?1",
    )?
    .execute(params![task, to])?;
    sql.prepare_cached("DELETE FROM segments WHERE task = ?1 AND last <= ?2")?.execute(params![task, to])?;
    Ok(())
}

/// Notes that cursors before the task's rows up to a sequence, which are about to go, can no longer be resumed.
fn raise_feed_floor(sql: &Connection, task: i64, to: u64) -> Result<(), Failure> {
    let to = i64::try_from(to).unwrap_or(i64::MAX);
    sql.prepare_cached(
        "UPDATE meta SET value = max(value, coalesce((SELECT max(position) FROM segments WHERE task = ?1 AND last <= ?2), 0))
         WHERE name = 'feed_floor'",
    )?
    .execute(params![task, to])?;
    Ok(())
}

struct Settled {
    key: i64,
    id: TaskId,
    owner: Arc<str>,
    agent: Arc<str>,
    state: TaskState,
    standing: i32,
}

/// Tasks that settled before a time and that no delivery to an enabled or paused webhook waits for, oldest first. If no
/// webhooks are sent to, nothing waits.
fn settled_before(sql: &Connection, cutoff: i64, limit: usize, webhooks: bool) -> Result<Vec<Settled>, Failure> {
    let mut owners = sql.prepare_cached("SELECT DISTINCT owner FROM counts")?;
    let owners = owners.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let mut found = Vec::new();
    let waiting = "AND NOT EXISTS (SELECT 1 FROM lanes WHERE lanes.task = tasks.key AND held <= 1)";
    let nothing_waits = if webhooks { waiting } else { "" };
    // A range of an index each.
    for (owner, standing) in owners.iter().flat_map(|owner| [(owner, read::SETTLED), (owner, read::HIDDEN)]) {
        let mut statement = sql.prepare_cached(&format!(
            "SELECT key, id, owner, agent, state, standing FROM tasks
             WHERE standing = {standing} AND owner = ?1 AND updated < ?2 {nothing_waits}
             ORDER BY updated, key LIMIT ?3"
        ))?;
        let rows = statement.query_map(params![owner, cutoff, limit - found.len()], |row| {
            Ok(Settled {
                key: row.get(0)?,
                id: TaskId::from_bytes(row.get(1)?),
                owner: row.get::<_, String>(2)?.into(),
                agent: row.get::<_, String>(3)?.into(),
                state: read::state_of(row.get(4)?),
                standing: row.get(5)?,
            })
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}
