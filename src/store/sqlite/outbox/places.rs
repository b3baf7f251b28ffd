//! Places that claims under way have, and those that are left (see `store::places`).

use rusqlite::{Connection, params};

use super::State;
use crate::store::{
    Round,
    places::{Count, RECOUNT, Room, SLOW},
};

/// Claims that end after `?1` and not after `?2`; of them those that are not first attempts, those to origins that were
/// new then, and those to ones that were failing. All in the index: the quick ones are counted in each round.
const COUNT: &str = "SELECT count(*), coalesce(sum(retry), 0), coalesce(sum(stood = 1), 0), coalesce(sum(stood = 2), 0)
     FROM lanes INDEXED BY lanes_leased WHERE until > ?1 AND until <= ?2";

/// Slow claims, as counted last.
#[derive(Clone, Copy)]
pub struct Slow {
    /// When.
    at: i64,
    /// When the youngest of them ends.
    until: i64,
    count: Count,
}

fn between(sql: &Connection, after: i64, until: i64) -> rusqlite::Result<Count> {
    sql.prepare_cached(COUNT)?.query_row(params![after, until], |row| {
        Ok(Count { all: row.get(0)?, retries: row.get(1)?, new: row.get(2)?, failing: row.get(3)? })
    })
}

impl Slow {
    /// The slow claims of now, or of [`RECOUNT`] ago at most. What became slow since counts as quick.
    fn now(state: &mut State, sql: &Connection, lease: i64) -> rusqlite::Result<Self> {
        if let Some(slow) = state.slow.filter(|slow| state.clock.abs_diff(slow.at) < RECOUNT.unsigned_abs()) {
            return Ok(slow);
        }
        let until = state.clock.saturating_add(lease).saturating_sub(SLOW);
        let slow = Self { at: state.clock, until, count: between(sql, i64::MIN, until)? };
        state.slow = Some(slow);
        Ok(slow)
    }
}

/// What may still be claimed. `lease`: how long claims hold that are made now, in milliseconds.
pub fn room(state: &mut State, sql: &Connection, round: &Round, lease: i64) -> rusqlite::Result<Room> {
    let slow = Slow::now(state, sql, lease)?;
    let quick = between(sql, slow.until, i64::MAX)?;
    Ok(Room::new(&round.limits, round.take, &quick, &slow.count))
}

#[cfg(test)]
pub const PLANNED: [&str; 1] = [COUNT];
