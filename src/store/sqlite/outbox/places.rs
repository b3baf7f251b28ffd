//! Places: how many attempts may be under way, and of which kinds.
//!
//! Most attempts are quick. One that is under way for longer than [`SLOW`] leaves its quick place to others and counts
//! against a second, larger limit: thousands of receivers that fall silent at once use that up, and not the places that
//! live ones need. Time alone makes an attempt slow, so nothing is written for it.
//!
//! - Both limits are shared out alike: to later attempts, and to origins that were never tried or not reached of late.
//!   What goes beyond a share of the slow ones counts as quick again.
//! - Of the quick places origins that were reached have half; the other half has a quarter for those that were not, and
//!   the rest is kept for those that were reached within the last [`HOT`]. So what answers goes on when all else is full.
//! - The dead count as hot for a while, too. At the default settings that time is too short to fill the slow places.

use rusqlite::{Connection, params};

use super::{State, origins::Standing};
use crate::store::{Limits, Round};

/// An attempt under way for longer than this many milliseconds is slow.
pub const SLOW: i64 = 500;

/// Slow attempts are counted again after this many milliseconds.
pub const RECOUNT: i64 = 100;

/// Origins are hot that were reached within this many milliseconds.
pub const HOT: i64 = 5000;

/// Claims that end after `?1` and not after `?2`; of them those that are not first attempts, those to origins that were
/// new then, and those to ones that were failing. All in the index: the quick ones are counted in each round.
const COUNT: &str = "SELECT count(*), coalesce(sum(retry), 0), coalesce(sum(stood = 1), 0), coalesce(sum(stood = 2), 0)
     FROM lanes INDEXED BY lanes_leased WHERE until > ?1 AND until <= ?2";

/// Claims under way.
#[derive(Clone, Copy, Default)]
struct Count {
    all: usize,
    retries: usize,
    new: usize,
    failing: usize,
}

/// Slow claims, as counted last.
#[derive(Clone, Copy)]
pub struct Slow {
    /// When.
    at: i64,
    /// When the youngest of them ends.
    until: i64,
    count: Count,
}

/// What may still be claimed.
pub struct Room {
    /// By hot origins; and by all together.
    all: usize,
    reached: usize,
    new: usize,
    failing: usize,
    retries: usize,
}

impl Count {
    fn between(sql: &Connection, after: i64, until: i64) -> rusqlite::Result<Self> {
        sql.prepare_cached(COUNT)?.query_row(params![after, until], |row| {
            Ok(Self { all: row.get(0)?, retries: row.get(1)?, new: row.get(2)?, failing: row.get(3)? })
        })
    }

    fn reached(&self) -> usize {
        self.all.saturating_sub(self.new + self.failing)
    }

    /// What of it is more than there may be.
    fn beyond(&self, most: &Self) -> Self {
        let new = self.new.saturating_sub(most.new);
        let failing = self.failing.saturating_sub(most.failing);
        let reached = self.reached().saturating_sub(most.reached());
        Self { all: reached + new + failing, retries: self.retries.saturating_sub(most.retries), new, failing }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            all: self.all + other.all,
            retries: self.retries + other.retries,
            new: self.new + other.new,
            failing: self.failing + other.failing,
        }
    }
}

impl Slow {
    /// The slow claims of now, or of [`RECOUNT`] ago at most. What became slow since counts as quick.
    fn now(state: &mut State, sql: &Connection, lease: i64) -> rusqlite::Result<Self> {
        if let Some(slow) = state.slow.filter(|slow| state.clock.abs_diff(slow.at) < RECOUNT.unsigned_abs()) {
            return Ok(slow);
        }
        let until = state.clock.saturating_add(lease).saturating_sub(SLOW);
        let slow = Self { at: state.clock, until, count: Count::between(sql, i64::MIN, until)? };
        state.slow = Some(slow);
        Ok(slow)
    }

    /// The most that there may be: as the quick ones are shared out.
    fn most(limits: &Limits) -> Count {
        let share = |of: usize| limits.slow.saturating_mul(of).checked_div(limits.total).unwrap_or(0);
        let unproven = share(limits.unproven);
        Count { all: limits.slow, retries: share(limits.retries), new: unproven.div_ceil(2), failing: unproven / 2 }
    }
}

impl Room {
    /// `lease`: how long claims hold that are made now, in milliseconds.
    pub fn new(state: &mut State, sql: &Connection, round: &Round, lease: i64) -> rusqlite::Result<Self> {
        let limits = &round.limits;
        let slow = Slow::now(state, sql, lease)?;
        let quick = Count::between(sql, slow.until, i64::MAX)?;
        let used = quick.and(&slow.count.beyond(&Slow::most(limits)));
        Ok(Self {
            all: limits.total.saturating_sub(used.all).min(round.take),
            reached: limits.total.div_ceil(2).saturating_sub(used.reached()),
            new: limits.unproven.div_ceil(2).saturating_sub(used.new),
            failing: (limits.unproven / 2).max(1).saturating_sub(used.failing),
            retries: limits.retries.saturating_sub(used.retries),
        })
    }

    /// What all may have together.
    pub fn all(&self) -> usize {
        self.all
    }

    /// An equal part for each of so many origins; at least one place.
    pub fn part(&self, origins: usize) -> usize {
        self.all.checked_div(origins).unwrap_or(0).max(1)
    }

    /// What origins that stand so may have.
    pub fn of(&self, standing: Standing, hot: bool, retry: bool) -> usize {
        let standing = match standing {
            Standing::Reached if hot => usize::MAX,
            Standing::Reached => self.reached,
            Standing::New => self.new,
            Standing::Failing => self.failing,
        };
        let retries = if retry { self.retries } else { usize::MAX };
        self.all.min(standing).min(retries)
    }

    /// Takes a place.
    pub fn take(&mut self, standing: Standing, retry: bool) {
        let share = match standing {
            Standing::Reached => &mut self.reached,
            Standing::New => &mut self.new,
            Standing::Failing => &mut self.failing,
        };
        *share = share.saturating_sub(1);
        self.all = self.all.saturating_sub(1);
        self.retries = self.retries.saturating_sub(usize::from(retry));
    }
}

#[cfg(test)]
pub const PLANNED: [&str; 1] = [COUNT];
