//! A dispatcher's round: what came of attempts is recorded, then what is due is claimed.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::{
    State, claim,
    lanes::{self, Claimed},
    origins,
    record::record,
};
use crate::store::{Claims, Limits, Round, sqlite::Failure};

/// Claims whose time is over at `?1`.
const EXPIRED: &str = "SELECT key, webhook, task, origin, delivery, moved, due FROM lanes WHERE until <= ?1";

const EXTEND: &str = "UPDATE lanes SET until = min(until, ?2) + ?1 WHERE until IS NOT NULL";

/// What the results of a round changed.
#[derive(Default)]
pub struct Changes {
    /// Origins with other lanes or claims than before.
    pub origins: BTreeSet<i64>,
    /// Those of them that may be of no webhook any longer.
    pub left: BTreeSet<i64>,
    /// Lanes whose head became due.
    pub due: BTreeSet<i64>,
}

impl Changes {
    /// Ends a claim and notes what that changed.
    pub fn free(&mut self, sql: &Connection, claimed: Claimed, due: i64, now: i64) -> rusqlite::Result<()> {
        let freed = lanes::free(sql, claimed, due, now)?;
        self.origins.insert(claimed.origin);
        self.origins.extend(freed.origin);
        if claimed.moved {
            self.left.insert(claimed.origin);
        }
        if freed.due {
            self.due.insert(claimed.lane);
        }
        Ok(())
    }
}

/// See `Outbox::dispatch`.
pub fn dispatch(state: &mut State, sql: &Connection, round: &Round) -> Result<Claims, Failure> {
    let before = state.clock;
    // What the clock would show, had it not been set back.
    let told = (round.jumped < 0).then(|| round.now.saturating_sub(round.jumped));
    let set_back_from = state.tell_time(round.now).max(told);
    let mut changes = Changes::default();
    let mut refused = 0;
    for result in &round.results {
        if !record(state, sql, &round.limits, result, &mut changes)? {
            refused += 1;
        }
    }
    if let Some(before) = set_back_from {
        bring_forward(sql, before, state.clock)?;
        state.slow = None;
        // What waited for a time may be due now.
        state.due = true;
    }
    // No further than time went on for the store: another dispatcher may have told of it already.
    let jumped = round.jumped.min(state.clock.saturating_sub(before));
    if jumped > 0 {
        extend(sql, jumped)?;
        state.slow = None;
    }
    state.note_time(sql)?;
    expire(state, sql, &mut changes)?;
    finish_origins(sql, &round.limits, &changes)?;
    let mut claims = claim::claim(state, sql, round)?;
    claims.refused = refused;
    let claimed = |lane: &i64| claims.claims.iter().any(|claim| claim.ticket.lane == *lane);
    // What the limits keep back is not for another dispatcher either.
    let stopped = claims.claims.len() >= round.take;
    state.due |= stopped && !changes.due.iter().all(claimed);
    Ok(claims)
}

/// The clock was set forward: what is under way was not under way for as long.
fn extend(sql: &Connection, jumped: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(EXTEND)?.execute([jumped, i64::MAX - jumped])?;
    tracing::info!(milliseconds = jumped, "the clock was set forward: attempts under way keep their time");
    Ok(())
}

fn expire(state: &State, sql: &Connection, changes: &mut Changes) -> rusqlite::Result<()> {
    let mut statement = sql.prepare_cached(EXPIRED)?;
    let expired = statement.query_map([state.clock], |row| {
        let claimed = Claimed {
            lane: row.get(0)?,
            webhook: row.get(1)?,
            task: row.get(2)?,
            origin: row.get(3)?,
            delivery: row.get(4)?,
            moved: row.get(5)?,
        };
        Ok((claimed, row.get(6)?))
    })?;
    let expired = expired.collect::<rusqlite::Result<Vec<_>>>()?;
    for (claimed, due) in expired {
        changes.free(sql, claimed, due, state.clock)?;
    }
    Ok(())
}

fn finish_origins(sql: &Connection, limits: &Limits, changes: &Changes) -> rusqlite::Result<()> {
    for origin in &changes.origins {
        origins::measure(sql, *origin, limits)?;
    }
    for origin in &changes.left {
        origins::tidy(sql, *origin)?;
    }
    Ok(())
}

/// The clock was set back: what was due later comes earlier by as much; what was due, is.
fn bring_forward(sql: &Connection, before: i64, now: i64) -> rusqlite::Result<()> {
    // The order of times is kept, and so is what is derived from them.
    let moved = |column: &str| {
        format!("{column} = CASE WHEN {column} > ?1 THEN {column} - (?1 - ?2) ELSE min({column}, ?2) END")
    };
    let lanes = format!("UPDATE lanes SET {}, {}", moved("due"), moved("until"));
    let columns = ["open_until", "fresh", "retry", "reached_at"].map(moved).join(", ");
    let origins = format!("UPDATE origins SET {columns}");
    for statement in [lanes, origins] {
        sql.prepare_cached(&statement)?.execute(params![before, now])?;
    }
    tracing::info!(
        milliseconds = before - now,
        "the clock was set back: deliveries that wait are due earlier by as much"
    );
    Ok(())
}

#[cfg(test)]
pub const PLANNED: [&str; 2] = [EXPIRED, EXTEND];
