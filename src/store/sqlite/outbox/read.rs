//! Deliveries as their owners read them, and what waits, for metrics.

use rusqlite::{Connection, OptionalExtension as _, Row, types::Value as Sql};

use super::{DELIVERED, FAILED, PENDING, lanes};
use crate::{
    store::{
        Attempt, Backlog, Delivery, DeliveryPage, DeliveryQuery, DeliveryState,
        rules::{BACKLOG_COUNTED, KEPT_ATTEMPTS, LIST_LOOKED_AT},
        sqlite::Failure,
    },
    task::{DeliveryId, TaskId, WebhookId},
};

const BACKLOG_PENDING: &str = "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 0 LIMIT ?1)";
const BACKLOG_FAILED: &str = "SELECT count(*) FROM deliveries WHERE state = 2";
const BACKLOG_OPEN: &str = "SELECT count(*) FROM origins WHERE open_for > 0";
const BACKLOG_OLDEST: &str = "SELECT min(created) FROM lanes WHERE held = 0";

const ATTEMPTS: &str = "SELECT number, time, latency, status, address, error, excerpt FROM attempts
     WHERE delivery = ?1 ORDER BY number DESC LIMIT ?2";

/// Whose a delivery is.
struct Receiver {
    id: WebhookId,
    owner: String,
}

/// A row of `deliveries` with what its conditions are about.
struct Found {
    key: i64,
    webhook: i64,
    task: i64,
    /// None: it was removed.
    receiver: Option<Receiver>,
    task_id: Option<[u8; 16]>,
    sequence: u64,
    state: i64,
    created: i64,
    attempts: u32,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id: Option<[u8; 16]> = row.get(7)?;
        let owner: Option<String> = row.get(8)?;
        let receiver = id.zip(owner).map(|(id, owner)| Receiver { id: WebhookId::from_bytes(id), owner });
        Ok(Self {
            key: row.get(0)?,
            webhook: row.get(1)?,
            task: row.get(2)?,
            sequence: row.get(3)?,
            state: row.get(4)?,
            created: row.get(5)?,
            attempts: row.get(6)?,
            receiver,
            task_id: row.get(9)?,
        })
    }

    /// Which one it is, if it is wanted.
    fn id(&self, query: &DeliveryQuery) -> Option<DeliveryId> {
        let (Some(receiver), Some(task)) = (&self.receiver, self.task_id) else { return None };
        let wanted = receiver.owner == *query.owner
            && query.webhook.is_none_or(|webhook| webhook == receiver.id)
            && query.state.is_none_or(|state| state_code(state) == self.state)
            && query.from.is_none_or(|from| self.created >= from)
            && query.to.is_none_or(|to| self.created < to);
        let id = DeliveryId { webhook: receiver.id, task: TaskId::from_bytes(task), sequence: self.sequence };
        wanted.then_some(id)
    }
}

fn state_code(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Pending => PENDING,
        DeliveryState::Delivered => DELIVERED,
        DeliveryState::Failed => FAILED,
    }
}

fn state_of(code: i64) -> DeliveryState {
    match code {
        DELIVERED => DeliveryState::Delivered,
        FAILED => DeliveryState::Failed,
        _ => DeliveryState::Pending,
    }
}

/// The rows that a page may hold, newest first, by the narrowest index there is. Whatever the index does not know is
/// checked on each, so that a page's bound holds for all that is looked at: also what was removed is a row here.
fn statement(query: &DeliveryQuery) -> (String, Vec<Sql>) {
    let mut wheres = "d.key < ?1".to_owned();
    let mut values = vec![Sql::from(query.before.unwrap_or(i64::MAX))];
    if let Some(task) = query.task {
        values.push(task.to_bytes().to_vec().into());
        wheres.push_str(" AND d.task = (SELECT key FROM tasks WHERE id = ?2)");
    } else if let Some(webhook) = query.webhook {
        values.push(webhook.to_bytes().to_vec().into());
        wheres.push_str(" AND d.webhook = (SELECT key FROM webhooks WHERE id = ?2)");
        if query.state == Some(DeliveryState::Failed) {
            wheres.push_str(" AND d.state = 2");
        }
    }
    let statement = format!(
        "SELECT d.key, d.webhook, d.task, d.sequence, d.state, d.created, d.attempts, w.id, w.owner, t.id
         FROM deliveries AS d LEFT JOIN webhooks AS w ON w.key = d.webhook LEFT JOIN tasks AS t ON t.key = d.task
         WHERE {wheres} ORDER BY d.key DESC"
    );
    (statement, values)
}

/// See `Webhooks::deliveries`.
pub fn list(sql: &Connection, query: &DeliveryQuery) -> Result<DeliveryPage, Failure> {
    let (statement, values) = statement(query);
    let mut statement = sql.prepare_cached(&statement)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let (mut found, mut next, mut looked_at) = (Vec::new(), None, 0);
    let mut last = None;
    while let Some(row) = rows.next()? {
        let delivery = Found::read(row)?;
        // There is something behind a full page or a long look.
        if found.len() >= query.limit || looked_at >= LIST_LOOKED_AT {
            next = last;
            break;
        }
        looked_at += 1;
        last = Some(delivery.key);
        if let Some(id) = delivery.id(query) {
            found.push((id, delivery));
        }
    }
    let deliveries = found.into_iter().map(|(id, found)| complete(sql, id, found)).collect::<Result<_, _>>()?;
    Ok(DeliveryPage { deliveries, next })
}

fn complete(sql: &Connection, id: DeliveryId, found: Found) -> Result<Delivery, Failure> {
    let due = if found.state == PENDING { due(sql, &found)? } else { None };
    let mut statement = sql.prepare_cached(ATTEMPTS)?;
    let attempts = statement.query_map((found.key, KEPT_ATTEMPTS), |row| {
        Ok(Attempt {
            number: row.get(0)?,
            time: row.get(1)?,
            latency: row.get(2)?,
            status: row.get(3)?,
            address: row.get(4)?,
            error: row.get(5)?,
            excerpt: row.get(6)?,
        })
    })?;
    let mut attempts = attempts.collect::<rusqlite::Result<Vec<_>>>()?;
    attempts.reverse();
    let attempt_count = found.attempts;
    Ok(Delivery { id, state: state_of(found.state), created: found.created, due, attempts, attempt_count })
}

/// When a pending delivery is due, if its turn has come.
fn due(sql: &Connection, found: &Found) -> Result<Option<i64>, Failure> {
    let lane: Option<(i64, Option<i64>, i64)> = sql
        .prepare_cached("SELECT due, delivery, held FROM lanes WHERE task = ?1 AND webhook = ?2")?
        .query_row([found.task, found.webhook], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((due, claimed, held)) = lane else { return Ok(None) };
    let turn = match claimed {
        Some(claimed) => Some(claimed),
        None if held > 0 => None,
        None => lanes::head(sql, found.webhook, found.task)?.map(|head| head.key),
    };
    // What is due at once is so since the last round, which may have been before the event.
    Ok(turn.filter(|key| *key == found.key).map(|_| due.max(found.created)))
}

/// See `Outbox::backlog`.
pub fn backlog(sql: &Connection) -> Result<Backlog, Failure> {
    let one = |statement: &str, values: &[i64]| -> rusqlite::Result<u64> {
        sql.prepare_cached(statement)?.query_row(rusqlite::params_from_iter(values), |row| row.get(0))
    };
    let left = |state: i64| {
        let statement = format!(
            "SELECT count(*) FROM removed CROSS JOIN deliveries ON deliveries.webhook = removed.webhook AND state = {state}"
        );
        one(&statement, &[])
    };
    Ok(Backlog {
        pending: one(BACKLOG_PENDING, &[BACKLOG_COUNTED])?.saturating_sub(left(PENDING)?),
        oldest: sql.prepare_cached(BACKLOG_OLDEST)?.query_row([], |row| row.get(0))?,
        failed: one(BACKLOG_FAILED, &[])?.saturating_sub(left(FAILED)?),
        open_circuits: one(BACKLOG_OPEN, &[])?,
    })
}

#[cfg(test)]
pub const PLANNED: [&str; 5] = [BACKLOG_OLDEST, BACKLOG_PENDING, BACKLOG_FAILED, BACKLOG_OPEN, ATTEMPTS];

#[cfg(test)]
pub fn planned_lists() -> Vec<String> {
    let webhook = Some(WebhookId::mint());
    let task = Some(TaskId::mint());
    let failed = Some(DeliveryState::Failed);
    let queries = [
        DeliveryQuery::default(),
        DeliveryQuery { webhook, ..DeliveryQuery::default() },
        DeliveryQuery { task, ..DeliveryQuery::default() },
        DeliveryQuery { webhook, task, ..DeliveryQuery::default() },
        DeliveryQuery { webhook, state: failed, ..DeliveryQuery::default() },
    ];
    queries.iter().map(|query| statement(query).0).collect()
}
