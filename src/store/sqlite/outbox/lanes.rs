//! Lanes: the pending deliveries of one webhook about one task, in their order.
//!
//! A lane has a row only while something of it is pending. The row knows when the first of that, the head, is due, and
//! the claim on it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{State, origins};

/// The head of a lane.
const HEAD: &str = "SELECT key, sequence, created, tries, attempts FROM deliveries
     WHERE webhook = ?1 AND task = ?2 AND state = 0 ORDER BY sequence LIMIT 1";

const LANE: &str = "SELECT 1 FROM lanes WHERE task = ?1 AND webhook = ?2";

/// The first pending delivery of a lane.
pub struct Head {
    pub key: i64,
    pub sequence: u64,
    pub created: i64,
    pub tries: u32,
    pub attempts: u32,
}

pub fn head(sql: &Connection, webhook: i64, task: i64) -> rusqlite::Result<Option<Head>> {
    sql.prepare_cached(HEAD)?
        .query_row([webhook, task], |row| {
            Ok(Head {
                key: row.get(0)?,
                sequence: row.get(1)?,
                created: row.get(2)?,
                tries: row.get(3)?,
                attempts: row.get(4)?,
            })
        })
        .optional()
}

/// Whether something of a lane is pending.
pub fn exists(sql: &Connection, webhook: i64, task: i64) -> rusqlite::Result<bool> {
    sql.prepare_cached(LANE)?.exists([task, webhook])
}

/// Whom a lane is of, and what it needs to know of that.
#[derive(Clone, Copy)]
pub struct Receiver {
    pub webhook: i64,
    pub origin: i64,
    /// The webhook's state as it is stored.
    pub state: i64,
}

/// Makes sure that there is a lane, after deliveries were added, the first of them `created`. Whether there was none.
pub fn wait(
    state: &mut State,
    sql: &Connection,
    receiver: Receiver,
    task: i64,
    created: i64,
) -> rusqlite::Result<bool> {
    let Receiver { webhook, origin, state: held } = receiver;
    let made = sql
        .prepare_cached(
            "INSERT INTO lanes (webhook, task, origin, due, held, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (task, webhook) DO NOTHING",
        )?
        .execute(params![webhook, task, origin, state.clock, held, created])?;
    if made > 0 && held == 0 {
        origins::sooner(sql, origin, state.clock)?;
        state.due = true;
    }
    Ok(made > 0)
}

/// A lane whose claim ends.
#[derive(Clone, Copy)]
pub struct Claimed {
    pub lane: i64,
    pub webhook: i64,
    pub task: i64,
    /// The origin that it was claimed for.
    pub origin: i64,
    /// The delivery that was claimed.
    pub delivery: i64,
    /// The webhook's URL changed since.
    pub moved: bool,
}

/// What a lane is after its claim.
pub struct Freed {
    /// Where it goes now; none: nothing of it is pending.
    pub origin: Option<i64>,
    /// Whether its head is due.
    pub due: bool,
}

/// Ends a claim: the next of the lane is due at once, the claimed one, if it still is the head, at `due`.
pub fn free(sql: &Connection, claimed: Claimed, due: i64, now: i64) -> rusqlite::Result<Freed> {
    let Some(head) = head(sql, claimed.webhook, claimed.task)? else {
        sql.prepare_cached("DELETE FROM lanes WHERE key = ?1")?.execute([claimed.lane])?;
        return Ok(Freed { origin: None, due: false });
    };
    let due = if head.key == claimed.delivery { due } else { now };
    let (origin, held): (i64, i64) = sql
        .prepare_cached(
            "UPDATE lanes SET token = NULL, until = NULL, delivery = NULL, failing = NULL, stood = NULL,
                    probe = 0, moved = 0, due = ?2, retry = ?3, created = ?4,
                    origin = coalesce((SELECT origin FROM webhooks WHERE webhooks.key = lanes.webhook), origin)
             WHERE key = ?1 RETURNING origin, held",
        )?
        .query_row(params![claimed.lane, due, head.tries > 0, head.created], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Freed { origin: Some(origin), due: held == 0 && due <= now })
}

/// Sets what a webhook's state means for its lanes.
pub fn hold(sql: &Connection, webhook: i64, held: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE lanes SET held = ?2 WHERE webhook = ?1")?.execute([webhook, held])?;
    Ok(())
}

/// Makes the waiting lanes of a webhook due, for an origin. What is under way stays so, and goes there later.
pub fn restart(state: &mut State, sql: &Connection, receiver: Receiver) -> rusqlite::Result<()> {
    let waiting = sql
        .prepare_cached("UPDATE lanes SET origin = ?2, due = min(due, ?3) WHERE webhook = ?1 AND token IS NULL")?
        .execute([receiver.webhook, receiver.origin, state.clock])?;
    origins::refresh(sql, receiver.origin)?;
    state.due |= waiting > 0 && receiver.state == 0;
    Ok(())
}

/// Notes that claims of a webhook are for a URL that it no longer has.
pub fn moved(sql: &Connection, webhook: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE lanes SET moved = 1 WHERE webhook = ?1 AND token IS NOT NULL")?.execute([webhook])?;
    Ok(())
}

/// Removes the lanes of a webhook, and claims with them.
pub fn remove_of_webhook(sql: &Connection, webhook: i64) -> rusqlite::Result<()> {
    remove(sql, "DELETE FROM lanes WHERE webhook = ?1 RETURNING origin", webhook)
}

/// Removes the lanes of a task, and claims with them.
pub fn remove_of_task(sql: &Connection, task: i64) -> rusqlite::Result<()> {
    remove(sql, "DELETE FROM lanes WHERE task = ?1 RETURNING origin", task)
}

fn remove(sql: &Connection, statement: &str, key: i64) -> rusqlite::Result<()> {
    let mut statement = sql.prepare_cached(statement)?;
    let mut origins = statement.query_map([key], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    origins.sort_unstable();
    origins.dedup();
    for origin in origins {
        origins::refresh(sql, origin)?;
    }
    Ok(())
}

#[cfg(test)]
pub const PLANNED: [&str; 2] = [HEAD, LANE];
