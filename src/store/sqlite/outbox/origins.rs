//! Origins: what limits and circuits are kept by.
//!
//! An origin's `fresh` and `retry` say when the next of its lanes can be claimed, so that rounds find origins with work
//! without looking at the others. They are brought up to date whenever a lane or the circuit changes.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::Limits;

/// When the next lane of origin `?1` can be claimed: two seeks.
const REFRESH: &str = "UPDATE origins SET
        fresh = CASE WHEN full THEN NULL ELSE max(open_until, (SELECT min(due) FROM lanes
            WHERE origin = ?1 AND retry = 0 AND held = 0 AND token IS NULL)) END,
        retry = CASE WHEN full THEN NULL ELSE max(open_until, (SELECT min(due) FROM lanes
            WHERE origin = ?1 AND retry = 1 AND held = 0 AND token IS NULL)) END
     WHERE key = ?1";

/// Finds an origin, or makes it.
pub fn find_or_make(sql: &Connection, name: &str) -> rusqlite::Result<i64> {
    let found = sql
        .prepare_cached("SELECT key FROM origins WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    match found {
        Some(key) => Ok(key),
        None => {
            sql.prepare_cached("INSERT INTO origins (name) VALUES (?1)")?.execute([name])?;
            Ok(sql.last_insert_rowid())
        }
    }
}

/// Removes an origin that nothing refers to.
pub fn tidy(sql: &Connection, key: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "DELETE FROM origins WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM webhooks WHERE origin = ?1)
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

/// After lanes of it changed.
pub fn refresh(sql: &Connection, key: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(REFRESH)?.execute([key])?;
    Ok(())
}

/// After claims of it may have gone. Whether it is full is found out by the next round that wants something of it.
pub fn empty(sql: &Connection, key: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE origins SET full = 0 WHERE key = ?1 AND full = 1")?.execute([key])?;
    refresh(sql, key)
}

/// After claims of it changed. Returns how many more it may have.
pub fn measure(sql: &Connection, key: i64, limits: &Limits) -> rusqlite::Result<usize> {
    let under_way: usize = sql
        .prepare_cached("SELECT count(*) FROM lanes WHERE token IS NOT NULL AND origin = ?1")?
        .query_row([key], |row| row.get(0))?;
    let open = sql
        .prepare_cached("SELECT open_for > 0 FROM origins WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?
        .unwrap_or(false);
    let most = if open { 1 } else { limits.per_origin };
    let room = most.saturating_sub(under_way);
    sql.prepare_cached("UPDATE origins SET full = ?2 WHERE key = ?1 AND full <> ?2")?
        .execute(params![key, room == 0])?;
    refresh(sql, key)?;
    Ok(room)
}

/// Notes whether an attempt reached it. A probe is one that was claimed while the circuit was open.
pub fn note(sql: &Connection, key: i64, reached: bool, probe: bool, limits: &Limits, now: i64) -> rusqlite::Result<()> {
    if reached {
        sql.prepare_cached(
            "UPDATE origins SET proven = 1, failures = 0, open_for = 0, open_until = 0
             WHERE key = ?1 AND (proven = 0 OR failures > 0 OR open_for > 0)",
        )?
        .execute([key])?;
        return Ok(());
    }
    let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1);
    let longest = millis(limits.circuit_open_max).min(i64::MAX / 4);
    let failures: Option<(u32, i64)> = sql
        .prepare_cached(
            "UPDATE origins SET proven = 0, failures = failures + 1 WHERE key = ?1 RETURNING failures, open_for",
        )?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let open_for = match failures {
        // Failures of attempts that were under way when it opened say nothing new.
        Some((_, open_for)) if open_for > 0 && probe => open_for.saturating_mul(2),
        Some((failures, 0)) if failures >= limits.circuit_failures.max(1) => millis(limits.circuit_open),
        _ => return Ok(()),
    };
    let open_for = open_for.min(longest);
    sql.prepare_cached("UPDATE origins SET open_for = ?2, open_until = ?3 WHERE key = ?1")?.execute([
        key,
        open_for,
        now.saturating_add(open_for),
    ])?;
    Ok(())
}

#[cfg(test)]
pub const PLANNED: [&str; 1] = [REFRESH];
