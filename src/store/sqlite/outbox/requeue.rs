//! Makes deliveries due again, in their place: a lane's order stays that of its events.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{PENDING, State, lanes, lanes::Receiver, origins};
use crate::{
    store::{
        Redelivery, Requeued,
        rules::{REQUEUE_LOOKED_AT, REQUEUED_AT_ONCE},
        sqlite::Failure,
    },
    task::{DeliveryId, WebhookId},
};

const OF_WEBHOOK: &str = "SELECT key, task, sequence, state, created FROM deliveries
     WHERE webhook = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
const FAILED_OF_WEBHOOK: &str = "SELECT key, task, sequence, state, created FROM deliveries
     WHERE webhook = ?1 AND state = 2 AND key > ?2 ORDER BY key LIMIT ?3";

/// See `Webhooks::redeliver`.
pub fn redeliver(state: &mut State, sql: &Connection, owner: &str, wanted: &Redelivery) -> Result<Requeued, Failure> {
    match wanted {
        Redelivery::One(id) => one(state, sql, owner, *id),
        Redelivery::Many { webhook, from, to, failed_only, after } => {
            let Some(receiver) = receiver(sql, owner, *webhook)? else { return Ok(Requeued::default()) };
            let query = if *failed_only { FAILED_OF_WEBHOOK } else { OF_WEBHOOK };
            let mut found = sql.prepare_cached(query)?;
            let found = found
                .query_map(params![receiver.webhook, after, REQUEUE_LOOKED_AT], Found::read)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut requeued = Requeued::default();
            for (index, delivery) in found.iter().enumerate() {
                if delivery.state != PENDING && (*from..*to).contains(&delivery.created) {
                    requeue(state, sql, receiver, delivery)?;
                    requeued.count += 1;
                }
                let last = index + 1 == found.len();
                if requeued.count >= REQUEUED_AT_ONCE && !last || last && found.len() == REQUEUE_LOOKED_AT {
                    requeued.next = Some(delivery.key);
                    break;
                }
            }
            Ok(requeued)
        }
    }
}

struct Found {
    key: i64,
    task: i64,
    sequence: u64,
    state: i64,
    created: i64,
}

impl Found {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: row.get(0)?,
            task: row.get(1)?,
            sequence: row.get(2)?,
            state: row.get(3)?,
            created: row.get(4)?,
        })
    }
}

fn receiver(sql: &Connection, owner: &str, id: WebhookId) -> rusqlite::Result<Option<Receiver>> {
    sql.prepare_cached("SELECT key, origin, state FROM webhooks WHERE id = ?1 AND owner = ?2")?
        .query_row(params![id.to_bytes(), owner], |row| {
            Ok(Receiver { webhook: row.get(0)?, origin: row.get(1)?, state: row.get(2)? })
        })
        .optional()
}

fn one(state: &mut State, sql: &Connection, owner: &str, id: DeliveryId) -> Result<Requeued, Failure> {
    let Some(receiver) = receiver(sql, owner, id.webhook)? else { return Ok(Requeued::default()) };
    let found = sql
        .prepare_cached(
            "SELECT deliveries.key, task, sequence, deliveries.state, deliveries.created
             FROM tasks CROSS JOIN deliveries ON deliveries.task = tasks.key AND webhook = ?1 AND sequence = ?3
             WHERE tasks.id = ?2",
        )?
        .query_row(params![receiver.webhook, id.task.to_bytes(), id.sequence], Found::read)
        .optional()?;
    let Some(found) = found else { return Ok(Requeued::default()) };
    if found.state != PENDING {
        requeue(state, sql, receiver, &found)?;
    }
    Ok(Requeued { count: 1, next: None })
}

fn requeue(state: &mut State, sql: &Connection, receiver: Receiver, delivery: &Found) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE deliveries SET state = 0, settled = NULL, tries = 0 WHERE key = ?1")?
        .execute([delivery.key])?;
    if lanes::wait(state, sql, receiver, delivery.task, delivery.created)? {
        return Ok(());
    }
    // Before what waited already: it need not wait as long.
    let head = lanes::head(sql, receiver.webhook, delivery.task)?;
    if head.is_some_and(|head| head.sequence == delivery.sequence) {
        let origin: Option<i64> = sql
            .prepare_cached(
                "UPDATE lanes SET due = min(due, ?3), retry = 0, created = ?4
                 WHERE task = ?1 AND webhook = ?2 AND token IS NULL RETURNING origin",
            )?
            .query_row([delivery.task, receiver.webhook, state.clock, delivery.created], |row| row.get(0))
            .optional()?;
        if let Some(origin) = origin {
            origins::refresh(sql, origin)?;
            state.due |= receiver.state == 0;
        }
    }
    Ok(())
}

#[cfg(test)]
pub const PLANNED: [&str; 2] = [OF_WEBHOOK, FAILED_OF_WEBHOOK];
