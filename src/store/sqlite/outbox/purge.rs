//! Removes deliveries: those that are old, those that nobody will send, and what removed webhooks and tasks leave.

use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::{lanes, origins};
use crate::{
    store::{
        Identity,
        rules::{OF_NO_TASK_KEPT, REMOVED_AT_ONCE},
        sqlite::{read, webhooks::config},
    },
    task::TaskId,
};

/// The oldest that were delivered or given up before `?1`.
const SETTLED: &str = "SELECT key FROM deliveries WHERE settled < ?1 ORDER BY settled LIMIT ?2";

const OF_WEBHOOK: &str = "SELECT key FROM deliveries WHERE webhook = ?1 LIMIT ?2";

/// Lanes without a claim, of webhooks that were disabled before `?1`.
const ABANDONED: &str = "SELECT lanes.key, webhook, lanes.task, lanes.origin FROM webhooks
     CROSS JOIN lanes ON webhook = webhooks.key WHERE disabled < ?1 AND token IS NULL LIMIT ?2";

const PENDING_OF_LANE: &str =
    "SELECT key FROM deliveries WHERE webhook = ?1 AND task = ?2 AND state = 0 ORDER BY sequence LIMIT ?3";

/// The lowest sequence of a task that something pending needs.
const NEEDED: &str = "SELECT min((SELECT sequence FROM deliveries
        WHERE deliveries.webhook = lanes.webhook AND deliveries.task = lanes.task AND deliveries.state = 0
        ORDER BY sequence LIMIT 1))
     FROM lanes WHERE lanes.task = ?1";

/// The webhooks of task `?1`, of owner `?2` and called `?3`.
const OWN: &str = "SELECT key FROM webhooks WHERE owner = ?2 AND task = ?3 AND task <> '' AND task_key = ?1";

/// Those of them with payload `?4`; and those of agent `?2` of owner `?1` as a whole with payload `?3`.
const OWN_TOLD: &str = "SELECT key FROM webhooks
     WHERE owner = ?2 AND task = ?3 AND task <> '' AND task_key = ?1 AND payload = ?4";
const AGENT_TOLD: &str = "SELECT key FROM webhooks INDEXED BY webhooks_of_agents
     WHERE owner = ?1 AND agent = ?2 AND task = '' AND payload = ?3";

/// See `Outbox::purge_deliveries`.
pub fn purge(sql: &Connection, cutoff: Option<i64>, now: i64, batch: usize) -> rusqlite::Result<usize> {
    let mut removed = 0;
    if let Some(cutoff) = cutoff {
        removed += remove(sql, SETTLED, params![cutoff, batch])?;
        removed += abandoned(sql, cutoff, batch.saturating_sub(removed))?;
    }
    removed += leftovers(sql, batch.saturating_sub(removed))?;
    let idle = cutoff.unwrap_or(now.saturating_sub(OF_NO_TASK_KEPT));
    Ok(removed + of_no_task(sql, idle, batch)?)
}

/// Removes the deliveries that a query finds, with their attempts.
fn remove(sql: &Connection, query: &str, values: impl Params) -> rusqlite::Result<usize> {
    let mut found = sql.prepare_cached(query)?;
    let found = found.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut attempts = sql.prepare_cached("DELETE FROM attempts WHERE delivery = ?1")?;
    let mut delivery = sql.prepare_cached("DELETE FROM deliveries WHERE key = ?1")?;
    for key in &found {
        attempts.execute([key])?;
        delivery.execute([key])?;
    }
    Ok(found.len())
}

/// What waits for webhooks that were disabled long ago.
fn abandoned(sql: &Connection, cutoff: i64, batch: usize) -> rusqlite::Result<usize> {
    let mut removed = 0;
    let mut found = sql.prepare_cached(ABANDONED)?;
    let found = found
        .query_map(params![cutoff, batch], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64, i64, i64)>>>()?;
    for (lane, webhook, task, origin) in found {
        removed += remove(sql, PENDING_OF_LANE, params![webhook, task, batch.saturating_sub(removed)])?;
        if lanes::head(sql, webhook, task)?.is_none() {
            sql.prepare_cached("DELETE FROM lanes WHERE key = ?1")?.execute([lane])?;
            origins::refresh(sql, origin)?;
        }
        if removed >= batch {
            break;
        }
    }
    Ok(removed)
}

/// Notes that a webhook is gone, and removes what is done at once of its deliveries.
pub fn begin_removal(sql: &Connection, webhook: i64) -> rusqlite::Result<()> {
    if remove(sql, OF_WEBHOOK, params![webhook, REMOVED_AT_ONCE])? >= REMOVED_AT_ONCE {
        sql.prepare_cached("INSERT OR IGNORE INTO removed (webhook) VALUES (?1)")?.execute([webhook])?;
    }
    Ok(())
}

/// What removed webhooks have left.
fn leftovers(sql: &Connection, batch: usize) -> rusqlite::Result<usize> {
    let mut removed = 0;
    while removed < batch {
        let next: Option<i64> = sql
            .prepare_cached("SELECT webhook FROM removed ORDER BY webhook LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let Some(webhook) = next else { break };
        let wanted = batch - removed;
        let found = remove(sql, OF_WEBHOOK, params![webhook, wanted])?;
        removed += found;
        if found < wanted {
            sql.prepare_cached("DELETE FROM removed WHERE webhook = ?1")?.execute([webhook])?;
        }
    }
    Ok(removed)
}

/// Webhooks of tasks that never were.
fn of_no_task(sql: &Connection, cutoff: i64, batch: usize) -> rusqlite::Result<usize> {
    let mut found =
        sql.prepare_cached("SELECT key FROM webhooks WHERE task <> '' AND task_key IS NULL AND updated < ?1 LIMIT ?2")?;
    let found = found.query_map(params![cutoff, batch], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for key in &found {
        config::remove(sql, *key)?;
    }
    Ok(found.len())
}

/// Removes everything of a task that goes: its webhooks, and all deliveries about it. Returns how many deliveries went.
pub fn remove_task(sql: &Connection, task: i64, owner: &str, id: TaskId) -> rusqlite::Result<usize> {
    lanes::remove_of_task(sql, task)?;
    let removed = remove(sql, "SELECT key FROM deliveries WHERE task = ?1", [task])?;
    let mut own = sql.prepare_cached(OWN)?;
    let values = params![task, owner, id.to_string()];
    let own = own.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for key in own {
        config::remove(sql, key)?;
    }
    Ok(removed)
}

/// How far a log may be trimmed at most: not what is pending still needs, and not at all for a webhook that is told of
/// the whole task.
pub fn trim_limit(sql: &Connection, task: i64, identity: &Identity) -> rusqlite::Result<Option<u64>> {
    let whole = read::dialect_code(crate::task::Dialect::V03);
    let (owner, agent) = (&*identity.owner, &*identity.agent);
    if sql.prepare_cached(OWN_TOLD)?.exists(params![task, owner, identity.id.to_string(), whole])?
        || sql.prepare_cached(AGENT_TOLD)?.exists(params![owner, agent, whole])?
    {
        return Ok(None);
    }
    let needed: Option<u64> = sql.prepare_cached(NEEDED)?.query_row([task], |row| row.get(0))?;
    Ok(Some(needed.map_or(u64::MAX, |sequence| sequence.saturating_sub(1))))
}

#[cfg(test)]
pub const PLANNED: [&str; 8] = [SETTLED, OF_WEBHOOK, ABANDONED, PENDING_OF_LANE, NEEDED, OWN, OWN_TOLD, AGENT_TOLD];
