//! Webhooks as they are stored, changed and removed, on the writer.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    new_row::NewRow,
    rows::{self, Stored},
};
use crate::{
    error::Error,
    store::{
        WebhookChange, Which,
        rules::{self, OF_NO_TASK, events_code, state_code},
        sqlite::{
            Failure,
            outbox::{State, lanes, lanes::Receiver, origins, purge},
            read,
        },
    },
    task::{TaskId, Webhook, WebhookId, WebhookState},
};

const TASK: &str = "SELECT key FROM tasks WHERE id = ?1 AND owner = ?2";
const MARK: &str = "UPDATE tasks SET webhooks = EXISTS (SELECT 1 FROM webhooks
        WHERE owner = ?2 AND task = ?3 AND task <> '' AND task_key = ?1)
     WHERE key = ?1";

const NAMED: &str = "SELECT 1 FROM webhooks WHERE owner = ?1 AND task = ?2 AND name = ?3 AND task <> ''";

const COUNT_OF_AGENT: &str =
    "SELECT count(*) FROM webhooks INDEXED BY webhooks_of_agents WHERE owner = ?1 AND agent = ?2 AND task = ''";
const COUNT_OF_TASK: &str = "SELECT count(*) FROM webhooks WHERE owner = ?1 AND task = ?2 AND task <> ''";
const COUNT_OF_NO_TASK: &str = "SELECT count(*) FROM webhooks INDEXED BY webhooks_of_no_task
     WHERE owner = ?1 AND task <> '' AND task_key IS NULL";

/// See `Webhooks::put_webhook`.
pub fn put(state: &mut State, sql: &Connection, webhook: &Webhook) -> Result<Webhook, Failure> {
    check_named(webhook)?;
    let name = webhook.name.clone();
    let which = if webhook.task.is_empty() {
        Which::Agent { agent: webhook.agent.to_string(), name }
    } else {
        Which::Task { task: webhook.task.clone(), name }
    };
    match rows::find(sql, &state.keys, &webhook.owner, &which)? {
        Some(existing) => replace(state, sql, existing, webhook),
        None => insert(state, sql, webhook),
    }
}

/// The webhooks that a new task brings, as they are to be stored. The task is to be marked as having some.
pub fn bring(state: &mut State, sql: &Connection, webhooks: &[Webhook]) -> Result<Vec<NewRow>, Failure> {
    if webhooks.len() > state.per_task {
        return Err(rules::limit(state.per_task, "a task").into());
    }
    for (index, webhook) in webhooks.iter().enumerate() {
        check_named(webhook)?;
        // They are spread when nobody can be told any more.
        let same = |other: &Webhook| other.name == webhook.name || other.id == webhook.id;
        let values = params![&*webhook.owner, webhook.task, webhook.name];
        if webhooks[..index].iter().any(same) || sql.prepare_cached(NAMED)?.exists(values)? {
            return Err(Error::internal("storing a webhook", "there is one of its name already").into());
        }
    }
    webhooks.iter().map(|webhook| NewRow::new(state, webhook)).collect()
}

/// An empty name means another one when it is read; a row's is never empty.
fn check_named(webhook: &Webhook) -> Result<(), Failure> {
    if webhook.name.is_empty() {
        return Err(Error::internal("storing a webhook", "it has no name").into());
    }
    Ok(())
}

fn insert(state: &mut State, sql: &Connection, webhook: &Webhook) -> Result<Webhook, Failure> {
    let task_key = task_of(sql, webhook)?;
    check_limits(state, sql, webhook, task_key)?;
    NewRow::new(state, webhook)?.insert(sql, task_key)?;
    if let Some(task) = task_key {
        sql.prepare_cached("UPDATE tasks SET webhooks = 1 WHERE key = ?1 AND webhooks = 0")?.execute([task])?;
    }
    forget_ears(state, &webhook.task);
    Ok(webhook.clone())
}

/// After a change of a webhook: those of agents are kept in memory.
fn forget_ears(state: &mut State, task: &str) {
    if task.is_empty() {
        state.forget_ears();
    }
}

/// The task that a webhook is of, if it exists and is its owner's.
fn task_of(sql: &Connection, webhook: &Webhook) -> rusqlite::Result<Option<i64>> {
    let Some(id) = TaskId::known(&webhook.task) else { return Ok(None) };
    sql.prepare_cached(TASK)?.query_row(params![id.to_bytes(), &*webhook.owner], |row| row.get(0)).optional()
}

fn check_limits(state: &State, sql: &Connection, webhook: &Webhook, task_key: Option<i64>) -> Result<(), Failure> {
    let Webhook { owner, agent, task, .. } = webhook;
    let mut statement = sql.prepare_cached(if task.is_empty() { COUNT_OF_AGENT } else { COUNT_OF_TASK })?;
    let place: &str = if task.is_empty() { agent } else { task };
    let count: usize = statement.query_row([owner, place], |row| row.get(0))?;
    if count >= state.per_task {
        let of = if task.is_empty() { "an agent" } else { "a task" };
        return Err(rules::limit(state.per_task, of).into());
    }
    if task.is_empty() || task_key.is_some() {
        return Ok(());
    }
    let count: usize = sql.prepare_cached(COUNT_OF_NO_TASK)?.query_row([&**owner], |row| row.get(0))?;
    if count >= OF_NO_TASK {
        return Err(rules::limit(OF_NO_TASK, "tasks that do not exist").into());
    }
    Ok(())
}

fn replace(state: &mut State, sql: &Connection, existing: Stored, webhook: &Webhook) -> Result<Webhook, Failure> {
    let changed = rules::replaced(&existing.webhook, webhook);
    write(state, sql, existing, changed)
}

/// See `Webhooks::update_webhook`.
pub fn update(
    state: &mut State,
    sql: &Connection,
    owner: &str,
    change: &WebhookChange,
) -> Result<Option<Webhook>, Failure> {
    let Some(existing) = rows::find(sql, &state.keys, owner, &Which::Id(change.id))? else { return Ok(None) };
    let changed = rules::changed(&existing.webhook, change);
    write(state, sql, existing, changed).map(Some)
}

/// Writes a changed webhook, and what that means for its lanes.
fn write(state: &mut State, sql: &Connection, existing: Stored, mut changed: Webhook) -> Result<Webhook, Failure> {
    let Stored { key, origin: origin_before, webhook: before, .. } = existing;
    let target_changed = changed.url != before.url;
    if target_changed || changed.state == WebhookState::Enabled && before.state != WebhookState::Enabled {
        changed.health.failing_since = None;
    }
    // A reference to the new one first: where both are the same, it is never without.
    let origin = origins::refer(sql, &changed.origin)?;
    origins::unrefer(sql, origin_before)?;
    let keeps_disabled = state_code(changed.state) > 1;
    sql.prepare_cached(
        "UPDATE webhooks SET agent = ?2, url = ?3, origin = ?4, payload = ?5, events = ?6, secrets = ?7, state = ?8,
                updated = ?9, disabled = CASE WHEN ?10 THEN disabled END, failing_since = ?11
         WHERE key = ?1",
    )?
    .execute(params![
        key,
        &*changed.agent,
        changed.url,
        origin,
        read::dialect_code(changed.payload),
        events_code(changed.events),
        state.keys.seal(changed.id, &changed.secrets)?,
        state_code(changed.state),
        changed.updated,
        keeps_disabled,
        changed.health.failing_since,
    ])?;
    if target_changed {
        lanes::moved(sql, key)?;
    }
    if changed.state != before.state {
        lanes::hold(sql, key, state_code(changed.state))?;
    }
    if target_changed || changed.state != before.state {
        let receiver = Receiver { webhook: key, origin, state: state_code(changed.state) };
        lanes::restart(state, sql, receiver)?;
    }
    if origin != origin_before {
        origins::refresh(sql, origin_before)?;
        origins::tidy(sql, origin_before)?;
    }
    forget_ears(state, &changed.task);
    Ok(changed)
}

/// Stops sending to a webhook because of what its receiver answered.
pub fn disable(state: &mut State, sql: &Connection, webhook: i64, to: WebhookState) -> rusqlite::Result<()> {
    let disabled: Option<(i64, String)> = sql
        .prepare_cached(
            "UPDATE webhooks SET state = ?2, disabled = ?3 WHERE key = ?1 AND state <= 1 RETURNING origin, task",
        )?
        .query_row(params![webhook, state_code(to), state.clock()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((origin, task)) = disabled {
        lanes::hold(sql, webhook, state_code(to))?;
        origins::refresh(sql, origin)?;
        forget_ears(state, &task);
    }
    Ok(())
}

/// See `Webhooks::delete_webhook`.
pub fn delete(state: &mut State, sql: &Connection, owner: &str, id: WebhookId) -> Result<bool, Failure> {
    let found: Option<(i64, String)> = sql
        .prepare_cached("SELECT key, task FROM webhooks WHERE id = ?1 AND owner = ?2")?
        .query_row(params![id.to_bytes(), owner], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((key, task)) = found else { return Ok(false) };
    remove(sql, key)?;
    forget_ears(state, &task);
    Ok(true)
}

/// Removes a webhook and its lanes, and what it takes of its deliveries at a time; the rest is left to
/// `Outbox::purge_deliveries`.
pub fn remove(sql: &Connection, key: i64) -> rusqlite::Result<()> {
    let removed: Option<(i64, Option<i64>, String, String)> = sql
        .prepare_cached("DELETE FROM webhooks WHERE key = ?1 RETURNING origin, task_key, owner, task")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((origin, task_key, owner, task)) = removed else { return Ok(()) };
    lanes::remove_of_webhook(sql, key)?;
    if let Some(key) = task_key {
        sql.prepare_cached(MARK)?.execute(params![key, owner, task])?;
    }
    origins::unrefer(sql, origin)?;
    origins::tidy(sql, origin)?;
    purge::begin_removal(sql, key)
}

#[cfg(test)]
pub const PLANNED: [&str; 6] = [TASK, MARK, NAMED, COUNT_OF_AGENT, COUNT_OF_TASK, COUNT_OF_NO_TASK];
