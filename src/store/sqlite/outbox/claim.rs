//! Claims what is due, within the limits.
//!
//! Origins take turns, those that have waited longest first; within an origin the lane that has waited longest is first.
//! Only origins that have something to claim are looked at, in four ranges of two indexes: reached ones and others, first
//! attempts and later ones. A range whose limit is used up is not looked at.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{State, lanes, origins};
use crate::{
    store::{
        Claim, Claims, Limits, Round, Ticket,
        sqlite::{Failure, webhooks::rows},
    },
    task::{DeliveryId, TaskId, Webhook},
};

/// Claims under way, those that are not first attempts, and those to origins that were not reached.
const UNDER_WAY: &str = "SELECT count(*), coalesce(sum(lanes.retry), 0), coalesce(sum(1 - proven), 0)
     FROM lanes CROSS JOIN origins ON origins.key = lanes.origin WHERE token IS NOT NULL";

const ORIGINS_FRESH: &str = "SELECT fresh, key FROM origins WHERE proven = ?1 AND fresh <= ?2 ORDER BY fresh LIMIT ?3";
const ORIGINS_RETRY: &str = "SELECT retry, key FROM origins WHERE proven = ?1 AND retry <= ?2 ORDER BY retry LIMIT ?3";

/// Lanes of origin `?1` that are due.
const WAITING: &str = "SELECT due, key, webhook, task FROM lanes
     WHERE origin = ?1 AND retry = ?2 AND held = 0 AND token IS NULL AND due <= ?3 ORDER BY due LIMIT ?4";

const NEXT_LEASE: &str = "SELECT min(until) FROM lanes WHERE token IS NOT NULL";
const NEXT_FRESH: &str = "SELECT min(fresh) FROM origins WHERE proven = ?1 AND fresh > ?2";
const NEXT_RETRY: &str = "SELECT min(retry) FROM origins WHERE proven = ?1 AND retry > ?2";

/// What may still be claimed.
struct Room {
    total: usize,
    retries: usize,
    unproven: usize,
}

impl Room {
    fn new(sql: &Connection, limits: &Limits, take: usize) -> rusqlite::Result<Self> {
        let (total, retries, unproven): (usize, usize, usize) =
            sql.prepare_cached(UNDER_WAY)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(Self {
            total: limits.total.saturating_sub(total).min(take),
            retries: limits.retries.saturating_sub(retries),
            unproven: limits.unproven.saturating_sub(unproven),
        })
    }

    fn of(&self, proven: bool, retry: bool) -> usize {
        let unproven = if proven { usize::MAX } else { self.unproven };
        let retries = if retry { self.retries } else { usize::MAX };
        self.total.min(unproven).min(retries)
    }

    fn take(&mut self, proven: bool, retry: bool) {
        self.total -= 1;
        self.unproven -= usize::from(!proven);
        self.retries -= usize::from(retry);
    }
}

struct Claiming<'a> {
    state: &'a mut State,
    sql: &'a Connection,
    round: &'a Round,
    room: Room,
    until: i64,
    webhooks: HashMap<i64, Arc<Webhook>>,
    /// With the time that they were due.
    claims: Vec<(i64, Claim)>,
}

/// Claims as much as a round may take.
pub fn claim(state: &mut State, sql: &Connection, round: &Round) -> Result<Claims, Failure> {
    let until = state.clock.saturating_add(millis(round.lease));
    let room = Room::new(sql, &round.limits, round.take)?;
    let mut claiming = Claiming { state, sql, round, room, until, webhooks: HashMap::new(), claims: Vec::new() };
    while claiming.pass()? {}
    let next = claiming.next()?;
    let mut claims = claiming.claims;
    claims.sort_by_key(|(due, _)| *due);
    Ok(Claims { claims: claims.into_iter().map(|(_, claim)| claim).collect(), next, refused: 0 })
}

impl Claiming<'_> {
    /// Gives each origin that has something due its turn. False: there was nothing, or there is no room.
    fn pass(&mut self) -> Result<bool, Failure> {
        let origins = origins_due(self.sql, &self.room, self.state.clock, self.room.total)?;
        let share = self.room.total.checked_div(origins.len()).unwrap_or(0).max(1);
        for (origin, proven) in &origins {
            self.origin(*origin, *proven, share)?;
        }
        Ok(!origins.is_empty())
    }

    /// Claims up to `share` lanes of an origin. It is up to date afterwards, whether there were any or not.
    fn origin(&mut self, origin: i64, proven: bool, share: usize) -> Result<(), Failure> {
        let room = origins::measure(self.sql, origin, &self.round.limits)?;
        let share = share.min(room);
        let mut waiting = Vec::new();
        for retry in [false, true] {
            let limit = share.min(self.room.of(proven, retry));
            if limit > 0 {
                self.waiting(origin, retry, limit, &mut waiting)?;
            }
        }
        waiting.sort_unstable();
        let open: Option<bool> = self
            .sql
            .prepare_cached("SELECT open_for > 0 FROM origins WHERE key = ?1 AND open_until <= ?2")?
            .query_row([origin, self.state.clock], |row| row.get(0))
            .optional()?;
        let Some(probe) = open else { return Ok(()) };
        for lane in waiting.into_iter().take(share) {
            if self.room.of(proven, lane.retry) > 0 && self.lane(&lane, probe)? {
                self.room.take(proven, lane.retry);
            }
        }
        origins::measure(self.sql, origin, &self.round.limits)?;
        Ok(())
    }

    fn waiting(&self, origin: i64, retry: bool, limit: usize, into: &mut Vec<Waiting>) -> rusqlite::Result<()> {
        let mut statement = self.sql.prepare_cached(WAITING)?;
        let rows = statement.query_map(params![origin, retry, self.state.clock, limit], |row| {
            Ok(Waiting { due: row.get(0)?, key: row.get(1)?, webhook: row.get(2)?, task: row.get(3)?, retry })
        })?;
        for row in rows {
            into.push(row?);
        }
        Ok(())
    }

    /// Claims the head of a lane. False: there is none.
    fn lane(&mut self, lane: &Waiting, probe: bool) -> Result<bool, Failure> {
        let head = lanes::head(self.sql, lane.webhook, lane.task)?;
        let task: Option<TaskId> = self
            .sql
            .prepare_cached("SELECT id FROM tasks WHERE key = ?1")?
            .query_row([lane.task], |row| row.get(0).map(TaskId::from_bytes))
            .optional()?;
        let (Some(head), Some(task), Some(webhook)) = (head, task, self.webhook(lane.webhook)?) else {
            self.sql.prepare_cached("DELETE FROM lanes WHERE key = ?1")?.execute([lane.key])?;
            return Ok(false);
        };
        let token = self.state.next_token();
        self.sql
            .prepare_cached("UPDATE lanes SET token = ?2, until = ?3, delivery = ?4, probe = ?5 WHERE key = ?1")?
            .execute(params![lane.key, token, self.until, head.key, probe])?;
        let claim = Claim {
            ticket: Ticket { lane: lane.key, token },
            delivery: DeliveryId { webhook: webhook.id, task, sequence: head.sequence },
            webhook,
            number: head.attempts + 1,
            tries: head.tries,
            created: head.created,
        };
        self.claims.push((lane.due, claim));
        Ok(true)
    }

    fn webhook(&mut self, key: i64) -> Result<Option<Arc<Webhook>>, Failure> {
        if let Some(webhook) = self.webhooks.get(&key) {
            return Ok(Some(webhook.clone()));
        }
        let Some(row) = rows::by_key(self.sql, &self.state.keys, key)? else { return Ok(None) };
        let webhook = Arc::new(row.webhook);
        self.webhooks.insert(key, webhook.clone());
        Ok(Some(webhook))
    }

    /// When there is something to do without anyone saying so: at once, if there was more than was to be taken.
    fn next(&self) -> rusqlite::Result<Option<i64>> {
        let now = self.state.clock;
        let round = self.round;
        if round.take > 0 && self.claims.len() >= round.take {
            let room = Room::new(self.sql, &round.limits, usize::MAX)?;
            if !origins_due(self.sql, &room, now, 1)?.is_empty() {
                return Ok(Some(now));
            }
        }
        let mut next: Option<i64> = self.sql.prepare_cached(NEXT_LEASE)?.query_row([], |row| row.get(0))?;
        for statement in [NEXT_FRESH, NEXT_RETRY] {
            let mut statement = self.sql.prepare_cached(statement)?;
            for proven in [true, false] {
                let found: Option<i64> = statement.query_row(params![proven, now], |row| row.get(0))?;
                next = next.into_iter().chain(found).min();
            }
        }
        Ok(next)
    }
}

/// Origins with something that may be claimed now, and whether they were reached; those that have waited longest first.
fn origins_due(sql: &Connection, room: &Room, now: i64, limit: usize) -> rusqlite::Result<Vec<(i64, bool)>> {
    let mut found: Vec<(i64, i64, bool)> = Vec::new();
    for (proven, retry) in [(true, false), (true, true), (false, false), (false, true)] {
        let limit = limit.min(room.of(proven, retry));
        if limit > 0 {
            let mut statement = sql.prepare_cached(if retry { ORIGINS_RETRY } else { ORIGINS_FRESH })?;
            let rows =
                statement.query_map(params![proven, now, limit], |row| Ok((row.get(0)?, row.get(1)?, proven)))?;
            for row in rows {
                found.push(row?);
            }
        }
    }
    found.sort_unstable();
    let mut seen = BTreeSet::new();
    found.retain(|(_, origin, _)| seen.insert(*origin));
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, origin, proven)| (origin, proven)).collect())
}

/// A lane that can be claimed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: i64,
    key: i64,
    webhook: i64,
    task: i64,
    retry: bool,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub const PLANNED: [&str; 7] = [UNDER_WAY, ORIGINS_FRESH, ORIGINS_RETRY, WAITING, NEXT_LEASE, NEXT_FRESH, NEXT_RETRY];
