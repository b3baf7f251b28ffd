//! Origins: what limits and circuits are kept by.
//!
//! An origin's `fresh` and `retry` say when the next of its lanes can be claimed, so that rounds find origins with work
//! without looking at the others. They are brought up to date whenever a lane or the circuit changes.

use rusqlite::{Connection, OptionalExtension as _};

use super::State;
use crate::store::{
    Limits,
    places::{HOT, Standing, left_of_origin, most_of_origin},
    rules::{REACH_NOTED, REACHED_LATELY, SLOW_OF_ORIGIN, opens_for},
};

/// When the next lane of origin `?1` can be claimed, which has room: two seeks.
const REFRESH: &str = "UPDATE origins SET full = 0,
        fresh = max(open_until, (SELECT min(due) FROM lanes
            WHERE origin = ?1 AND retry = 0 AND held = 0 AND token IS NULL)),
        retry = max(open_until, (SELECT min(due) FROM lanes
            WHERE origin = ?1 AND retry = 1 AND held = 0 AND token IS NULL))
     WHERE key = ?1";

const FULL: &str = "UPDATE origins SET full = 1, fresh = NULL, retry = NULL WHERE key = ?1";

/// Whether the circuit of origin `?1` is open, whether anything may be claimed at `?2`, and how many places are taken:
/// four by each claim that ends at `?3` or before.
const ROOM: &str = "SELECT open_for > 0, open_until <= ?2,
        (SELECT count(*) + 3 * coalesce(sum(until <= ?3), 0) FROM lanes WHERE token IS NOT NULL AND origin = ?1),
        coalesce(reached_at >= ?4, 0)
     FROM origins WHERE key = ?1";

/// Finds an origin, or makes it, for one more webhook.
pub fn refer(sql: &Connection, name: &str) -> rusqlite::Result<i64> {
    let found = sql
        .prepare_cached("UPDATE origins SET webhooks = webhooks + 1 WHERE name = ?1 RETURNING key")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    match found {
        Some(key) => Ok(key),
        None => {
            sql.prepare_cached("INSERT INTO origins (name, webhooks) VALUES (?1, 1)")?.execute([name])?;
            Ok(sql.last_insert_rowid())
        }
    }
}

/// One webhook less is of an origin.
pub fn unrefer(sql: &Connection, key: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE origins SET webhooks = webhooks - 1 WHERE key = ?1")?.execute([key])?;
    Ok(())
}

/// Removes an origin that nothing refers to.
pub fn tidy(sql: &Connection, key: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "DELETE FROM origins WHERE key = ?1 AND webhooks = 0
            AND NOT EXISTS (SELECT 1 FROM lanes WHERE token IS NOT NULL AND origin = ?1)",
    )?
    .execute([key])?;
    Ok(())
}

/// A first attempt can be claimed at `due`, or when the circuit closes.
pub fn sooner(sql: &Connection, key: i64, due: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE origins SET fresh = max(open_until, ?2)
         WHERE key = ?1 AND full = 0 AND (fresh IS NULL OR fresh > max(open_until, ?2))",
    )?
    .execute([key, due])?;
    Ok(())
}

/// After lanes of it changed, or claims of it have gone. Where it is full after all, the next round that wants something
/// of it finds that out.
pub fn refresh(sql: &Connection, key: i64) -> rusqlite::Result<()> {
    fill(sql, key, false)
}

/// What may be claimed of an origin.
pub struct Room {
    /// Claims that it may have besides those under way.
    pub left: usize,
    /// Its circuit is open: what is claimed is a probe.
    pub open: bool,
    /// It was reached a moment ago.
    pub hot: bool,
}

/// How much may be claimed of an origin. `lease`: how long claims hold that are made now, in milliseconds. None: nothing
/// before a later time.
pub fn room(
    sql: &Connection,
    key: i64,
    limits: &Limits,
    standing: Standing,
    now: i64,
    lease: i64,
) -> rusqlite::Result<Option<Room>> {
    let slow = now.saturating_add(lease).saturating_sub(SLOW_OF_ORIGIN);
    let most = most_of_origin(limits, standing);
    let found: Option<(bool, Room)> = sql
        .prepare_cached(ROOM)?
        .query_row([key, now, slow, now.saturating_sub(HOT)], |row| {
            let open = row.get(0)?;
            Ok((row.get(1)?, Room { left: left_of_origin(most, open, row.get(2)?), open, hot: row.get(3)? }))
        })
        .optional()?;
    Ok(found.filter(|(now, _)| *now).map(|(_, room)| room))
}

/// After claims of it changed. Slow ones are not told apart, nor new origins: a round that wants something of it does
/// that.
pub fn measure(sql: &Connection, key: i64, limits: &Limits) -> rusqlite::Result<()> {
    let found: Option<(bool, usize)> =
        sql.prepare_cached(ROOM)?.query_row([key, 0, i64::MIN, 0], |row| Ok((row.get(0)?, row.get(2)?))).optional()?;
    let Some((open, taken)) = found else { return Ok(()) };
    if left_of_origin(limits.per_origin, open, taken) > 0 {
        return fill(sql, key, false);
    }
    fill(sql, key, true)
}

/// After it was found out whether it is full.
pub fn fill(sql: &Connection, key: i64, full: bool) -> rusqlite::Result<()> {
    let statement = if full { FULL } else { REFRESH };
    sql.prepare_cached(statement)?.execute([key])?;
    Ok(())
}

/// A claim whose attempt ended.
#[derive(Clone, Copy)]
pub struct Ended {
    pub token: i64,
    /// It was claimed while the circuit was open.
    pub probe: bool,
}

/// Notes whether an attempt reached it. Of attempts that were under way together only one failure counts: a receiver that
/// restarts breaks off all that it has.
pub fn note(
    state: &State,
    sql: &Connection,
    key: i64,
    reached: bool,
    ended: Ended,
    limits: &Limits,
) -> rusqlite::Result<()> {
    let now = state.clock;
    if reached {
        sql.prepare_cached(
            "UPDATE origins SET standing = 0, failures = 0, open_for = 0, open_until = 0, reached_at = ?2
             WHERE key = ?1 AND (standing > 0 OR failures > 0 OR open_for > 0 OR reached_at IS NULL
                OR abs(?2 - reached_at) >= ?3)",
        )?
        .execute([key, now, REACH_NOTED])?;
        return Ok(());
    }
    let noted: Option<(i64, i64)> = sql
        .prepare_cached(
            "UPDATE origins SET failures = failures + (blamed < ?3), blamed = iif(blamed < ?3, ?4, blamed),
                    standing = iif(open_for = 0 AND reached_at >= ?2, 0, 2)
             WHERE key = ?1 RETURNING failures, open_for",
        )?
        .query_row([key, now.saturating_sub(REACHED_LATELY), ended.token, state.token], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let opens = noted.and_then(|(failures, open_for)| opens_for(limits, failures, open_for, ended.probe));
    let Some(open_for) = opens else { return Ok(()) };
    sql.prepare_cached("UPDATE origins SET standing = 2, open_for = ?2, open_until = ?3 WHERE key = ?1")?.execute([
        key,
        open_for,
        now.saturating_add(open_for),
    ])?;
    Ok(())
}

#[cfg(test)]
pub const PLANNED: [&str; 3] = [REFRESH, FULL, ROOM];
