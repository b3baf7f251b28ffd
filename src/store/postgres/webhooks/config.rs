//! Webhooks as they are stored, changed and removed. Those that new tasks bring are inserted with them; all else has the
//! outbox lock.

use std::collections::BTreeSet;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rows::{self, Stored};
use crate::{
    error::Error,
    store::{
        WebhookChange, Which,
        codes::dialect_code,
        postgres::{
            Shared,
            outbox::{self, Turn, lanes, origins, purge, storable},
            session::{Failure, Session},
        },
        rules::{self, OF_NO_TASK, events_code, state_code},
    },
    task::{TaskId, Webhook, WebhookId, WebhookState},
};

const INSERT: &str = "INSERT INTO webhooks (id, owner, agent, task, task_key, name, url, origin, payload, events, secrets,
        state, created, updated, failing_since, last_success, last_failure, last_error)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
        $9::integer[], $10::bigint[], $11::bytea[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
        $16::bigint[], $17::bigint[], $18::text[])";

const TASK: &str = "SELECT key FROM tasks WHERE id = $1 AND owner = $2";
const MARK: &str = "UPDATE tasks SET webhooks = true WHERE key = $1 AND NOT webhooks";
const UNMARK: &str = "UPDATE tasks AS t SET webhooks = false FROM unnest($1::bigint[]) AS u (key)
     WHERE t.key = u.key AND t.webhooks AND NOT EXISTS (SELECT 1 FROM webhooks AS w
        WHERE w.owner = t.owner AND w.task = t.id::text AND w.task <> '' AND w.task_key = t.key)";

const COUNT_OF_AGENT: &str = "SELECT count(*) FROM webhooks WHERE owner = $1 AND agent = $2 AND task = ''";
const COUNT_OF_TASK: &str = "SELECT count(*) FROM webhooks WHERE owner = $1 AND task = $2 AND task <> ''";
const COUNT_OF_NO_TASK: &str = "SELECT count(*) FROM webhooks WHERE owner = $1 AND task <> '' AND task_key IS NULL";

const REMOVE: &str = "DELETE FROM webhooks AS w USING unnest($1::bigint[]) AS r (key) WHERE w.key = r.key
     RETURNING w.task_key, (SELECT o.key FROM origins AS o WHERE o.name = w.origin)";

/// The error of a task that would have more webhooks than it may.
pub fn limit_of_task(per_task: usize) -> Error {
    rules::limit(per_task, "a task")
}

/// See `Webhooks::put_webhook`. Part of a transaction.
pub async fn put(shared: &Shared, session: &Session, webhook: &Webhook) -> Result<Webhook, Failure> {
    put_and_tell(shared, session, webhook).await.map(|(webhook, _)| webhook)
}

/// As [`put`]; also tells whether something became due.
pub async fn put_and_tell(shared: &Shared, session: &Session, webhook: &Webhook) -> Result<(Webhook, bool), Failure> {
    check_named(webhook)?;
    let mut turn = outbox::enter(shared, session).await?;
    let name = webhook.name.clone();
    let which = if webhook.task.is_empty() {
        Which::Agent { agent: webhook.agent.to_string(), name }
    } else {
        Which::Task { task: webhook.task.clone(), name }
    };
    let stored = match rows::find(session, &shared.keys, &webhook.owner, &which).await? {
        Some(existing) => replace(shared, session, &mut turn, existing, webhook).await?,
        None => insert(shared, session, webhook).await?,
    };
    Ok((stored, turn.finish(session).await?))
}

/// Stores the webhooks that new tasks bring: there is none of them yet, so nothing is looked for. The tasks are to be
/// marked as having some. Part of their transaction.
pub async fn put_first(shared: &Shared, session: &Session, tasks: &[(i64, &[Webhook])]) -> Result<(), Failure> {
    let mut all = Vec::new();
    for (task, webhooks) in tasks {
        if webhooks.len() > shared.settings.webhooks_per_task {
            return Err(limit_of_task(shared.settings.webhooks_per_task).into());
        }
        for webhook in *webhooks {
            check_named(webhook)?;
            all.push((webhook, Some(*task)));
        }
    }
    write_new(shared, session, &all).await
}

/// An empty name means another one when it is read; a row's is never empty. Nor is there a row for what holds a NUL.
fn check_named(webhook: &Webhook) -> Result<(), Failure> {
    if webhook.name.is_empty() {
        return Err(Error::internal("storing a webhook", "it has no name").into());
    }
    if webhook.name.contains('\0') || webhook.task.contains('\0') {
        return Err(Error::internal("storing a webhook", "its name or task holds a NUL").into());
    }
    Ok(())
}

async fn insert(shared: &Shared, session: &Session, webhook: &Webhook) -> Result<Webhook, Failure> {
    let task_key = task_of(session, webhook).await?;
    check_limits(shared, session, webhook, task_key).await?;
    write_new(shared, session, &[(webhook, task_key)]).await?;
    if let Some(task) = task_key {
        session.execute(MARK, &[&task]).await?;
    }
    Ok(webhook.clone())
}

async fn write_new(shared: &Shared, session: &Session, all: &[(&Webhook, Option<i64>)]) -> Result<(), Failure> {
    if all.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(all: &[(&'a Webhook, Option<i64>)], of: impl Fn(&'a Webhook) -> T) -> Vec<T> {
        all.iter().map(|(webhook, _)| of(webhook)).collect()
    }
    let ids = column(all, |it| uuid(it.id));
    let owners = column(all, |it| &*it.owner);
    let agents = column(all, |it| &*it.agent);
    let tasks = column(all, |it| it.task.as_str());
    let task_keys: Vec<Option<i64>> = all.iter().map(|(_, task)| *task).collect();
    let names = column(all, |it| it.name.as_str());
    let urls = column(all, |it| it.url.as_str());
    let origins = column(all, |it| it.origin.as_str());
    let payloads = column(all, |it| dialect_code(it.payload));
    let events = column(all, |it| events_code(it.events));
    let sealed = all.iter().map(|(webhook, _)| shared.keys.seal(webhook.id, &webhook.secrets));
    let secrets = sealed.collect::<Result<Vec<_>, _>>()?;
    let states = column(all, |it| state_code(it.state));
    let created = column(all, |it| it.created);
    let updated = column(all, |it| it.updated);
    let failing = column(all, |it| it.health.failing_since);
    let successes = column(all, |it| it.health.last_success);
    let failures = column(all, |it| it.health.last_failure);
    let errors = column(all, |it| storable(&it.health.last_error));
    let values: [&(dyn ToSql + Sync); 18] = [
        &ids, &owners, &agents, &tasks, &task_keys, &names, &urls, &origins, &payloads, &events, &secrets, &states,
        &created, &updated, &failing, &successes, &failures, &errors,
    ];
    session.execute(INSERT, &values).await.map(drop)
}

/// The task that a webhook is of, if it exists and is its owner's.
async fn task_of(session: &Session, webhook: &Webhook) -> Result<Option<i64>, Failure> {
    let Some(id) = TaskId::known(&webhook.task) else { return Ok(None) };
    let found = session.query_opt(TASK, &[&Uuid::from_bytes(id.to_bytes()), &&*webhook.owner]).await?;
    Ok(found.map(|row| row.get(0)))
}

async fn check_limits(
    shared: &Shared,
    session: &Session,
    webhook: &Webhook,
    task_key: Option<i64>,
) -> Result<(), Failure> {
    let Webhook { owner, agent, task, .. } = webhook;
    let owner: &str = owner;
    let (statement, place, of): (_, &str, _) =
        if task.is_empty() { (COUNT_OF_AGENT, agent, "an agent") } else { (COUNT_OF_TASK, task, "a task") };
    let per_task = shared.settings.webhooks_per_task;
    if count(session, statement, &[&owner, &place]).await? >= per_task {
        return Err(rules::limit(per_task, of).into());
    }
    if task.is_empty() || task_key.is_some() {
        return Ok(());
    }
    if count(session, COUNT_OF_NO_TASK, &[&owner]).await? >= OF_NO_TASK {
        return Err(rules::limit(OF_NO_TASK, "tasks that do not exist").into());
    }
    Ok(())
}

async fn count(session: &Session, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<usize, Failure> {
    let row = session.query_one(statement, values).await?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX))
}

async fn replace(
    shared: &Shared,
    session: &Session,
    turn: &mut Turn,
    existing: Stored,
    webhook: &Webhook,
) -> Result<Webhook, Failure> {
    let changed = rules::replaced(&existing.webhook, webhook);
    write(shared, session, turn, existing, changed).await
}

/// See `Webhooks::update_webhook`. Also tells whether something became due.
pub async fn update(
    shared: &Shared,
    session: &Session,
    owner: &str,
    change: &WebhookChange,
) -> Result<Option<(Webhook, bool)>, Failure> {
    let mut turn = outbox::enter(shared, session).await?;
    let found = rows::find(session, &shared.keys, owner, &Which::Id(change.id)).await?;
    let Some(existing) = found else {
        turn.finish(session).await?;
        return Ok(None);
    };
    let changed = rules::changed(&existing.webhook, change);
    let changed = write(shared, session, &mut turn, existing, changed).await?;
    Ok(Some((changed, turn.finish(session).await?)))
}

const UPDATE: &str = "UPDATE webhooks SET agent = $2, url = $3, origin = $4, payload = $5, events = $6, secrets = $7,
        state = $8, updated = $9, disabled = CASE WHEN $8::bigint > 1 THEN disabled END, failing_since = $10
     WHERE key = $1";

/// Writes a changed webhook, and what that means for its lanes.
async fn write(
    shared: &Shared,
    session: &Session,
    turn: &mut Turn,
    existing: Stored,
    mut changed: Webhook,
) -> Result<Webhook, Failure> {
    let Stored { key, webhook: before } = existing;
    let target_changed = changed.url != before.url;
    let state_changed = changed.state != before.state;
    if target_changed || state_changed && changed.state == WebhookState::Enabled {
        changed.health.failing_since = None;
    }
    let (agent, payload, events) = (&*changed.agent, dialect_code(changed.payload), events_code(changed.events));
    let (secrets, state) = (shared.keys.seal(changed.id, &changed.secrets)?, state_code(changed.state));
    let Webhook { url, origin, updated, health, .. } = &changed;
    let values: [&(dyn ToSql + Sync); 10] =
        [&key, &agent, url, origin, &payload, &events, &secrets, &state, updated, &health.failing_since];
    session.execute(UPDATE, &values).await?;
    if target_changed {
        lanes::moved(session, key).await?;
    }
    if state_changed {
        lanes::hold(session, turn, &[(key, state)]).await?;
    }
    if target_changed || state_changed {
        let origin = origins::refer(session, origin).await?;
        let waiting = lanes::restart(session, turn, key, origin).await?;
        turn.due |= waiting && changed.state == WebhookState::Enabled;
    }
    if changed.origin != before.origin {
        let left = origins::refer(session, &before.origin).await?;
        turn.changed.insert(left);
        origins::tidy(session, &BTreeSet::from([left])).await?;
    }
    Ok(changed)
}

/// See `Webhooks::delete_webhook`.
pub async fn delete(shared: &Shared, session: &Session, owner: &str, id: WebhookId) -> Result<bool, Failure> {
    let mut turn = outbox::enter(shared, session).await?;
    let of = "SELECT key FROM webhooks WHERE id = $1 AND owner = $2";
    let found = session.query_opt(of, &[&uuid(id), &owner]).await?;
    if let Some(row) = &found {
        remove(session, &mut turn, &[row.get(0)]).await?;
    }
    turn.finish(session).await?;
    Ok(found.is_some())
}

/// Removes webhooks and their lanes, and what it takes of their deliveries at a time; the rest is left to
/// `Outbox::purge_deliveries`.
pub async fn remove(session: &Session, turn: &mut Turn, keys: &[i64]) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let removed = session.query(REMOVE, &[&keys]).await?;
    lanes::remove_of_webhooks(session, turn, keys).await?;
    let tasks: Vec<i64> = removed.iter().filter_map(|row| row.get(0)).collect();
    if !tasks.is_empty() {
        session.execute(UNMARK, &[&tasks]).await?;
    }
    let origins: BTreeSet<i64> = removed.iter().filter_map(|row| row.get(1)).collect();
    origins::tidy(session, &origins).await?;
    purge::begin_removal(session, keys).await
}

fn uuid(id: WebhookId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

#[cfg(test)]
pub const PLANNED: [&str; 7] = [TASK, MARK, UNMARK, COUNT_OF_AGENT, COUNT_OF_TASK, COUNT_OF_NO_TASK, REMOVE];
