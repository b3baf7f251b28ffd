//! Places: how many attempts may be under way, and of which kinds; and whose turn it is. What both databases decide alike.
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

use std::collections::BTreeSet;

use super::Limits;

/// An attempt under way for longer than this many milliseconds is slow.
pub const SLOW: i64 = 500;

/// Slow attempts are counted again after this many milliseconds.
pub const RECOUNT: i64 = 100;

/// Origins are hot that were reached within this many milliseconds.
pub const HOT: i64 = 5000;

/// How an origin stands: each way has room of its own, so that none waits behind the dead but those that seem to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was reached not long before the last attempt, or by it, and its circuit is closed.
    Reached,
    /// It was never tried.
    New,
    /// Any other.
    Failing,
}

impl Standing {
    pub const ALL: [Self; 3] = [Self::Reached, Self::New, Self::Failing];

    /// The column `origins.standing`.
    pub fn code(self) -> i64 {
        match self {
            Self::Reached => 0,
            Self::New => 1,
            Self::Failing => 2,
        }
    }
}

/// Claims under way.
#[derive(Clone, Copy, Default)]
pub struct Count {
    pub all: usize,
    pub retries: usize,
    pub new: usize,
    pub failing: usize,
}

impl Count {
    /// The most slow ones that there may be: as the quick ones are shared out.
    fn most_slow(limits: &Limits) -> Self {
        let share = |of: usize| limits.slow.saturating_mul(of).checked_div(limits.total).unwrap_or(0);
        let unproven = share(limits.unproven);
        Self { all: limits.slow, retries: share(limits.retries), new: unproven.div_ceil(2), failing: unproven / 2 }
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

/// What may still be claimed.
pub struct Room {
    /// By hot origins; and by all together.
    all: usize,
    reached: usize,
    new: usize,
    failing: usize,
    retries: usize,
}

impl Room {
    /// Of so many places to take, where so much is under way.
    pub fn new(limits: &Limits, take: usize, quick: &Count, slow: &Count) -> Self {
        let used = quick.and(&slow.beyond(&Count::most_slow(limits)));
        Self {
            all: limits.total.saturating_sub(used.all).min(take),
            reached: limits.total.div_ceil(2).saturating_sub(used.reached()),
            new: limits.unproven.div_ceil(2).saturating_sub(used.new),
            failing: (limits.unproven / 2).max(1).saturating_sub(used.failing),
            retries: limits.retries.saturating_sub(used.retries),
        }
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

/// What is claimed at once of an origin that was never tried: enough to learn that it lives, and little if it does not.
const AT_FIRST: usize = 4;

/// The most that may be under way to one origin that stands so, while its circuit is closed.
pub fn most_of_origin(limits: &Limits, standing: Standing) -> usize {
    if standing == Standing::New { limits.per_origin.min(AT_FIRST) } else { limits.per_origin }
}

/// What may be claimed of an origin besides what is under way: one at a time while its circuit is open.
pub fn left_of_origin(most: usize, open: bool, taken: usize) -> usize {
    let most = if open { 1 } else { most };
    most.saturating_sub(taken)
}

/// Half of some places. A single one goes to the one half and to the other in turns, as claims are made: `token` is the
/// newest one's.
pub fn half(token: i64, places: usize) -> usize {
    (places + usize::from(token % 2 == 0)) / 2
}

/// Origins with something that is due, with the time since when it is, and how they stand: whose turn it is, those that
/// have waited longest first.
pub fn turns(mut due: Vec<(i64, i64, Standing)>, room: &Room, token: i64) -> Vec<(i64, Standing)> {
    due.sort_unstable_by_key(|(due, origin, _)| (*due, *origin));
    let mut seen = BTreeSet::new();
    due.retain(|(_, origin, _)| seen.insert(*origin));
    let (mut reached, mut found): (Vec<_>, Vec<_>) =
        due.into_iter().map(|(_, origin, standing)| (origin, standing)).partition(|(_, it)| *it == Standing::Reached);
    // The others have little room of their own; what they leave is for the oldest and the newest of these.
    let left = room.all().saturating_sub(found.len());
    if reached.len() > left {
        let newest = half(token, left);
        reached.drain(left - newest..reached.len() - newest);
    }
    found.append(&mut reached);
    found
}
