//! Claims what is due, within the limits.
//!
//! Origins take turns, those that have waited longest first; within an origin the lane that has waited longest is first.
//! Only origins that have something to claim are looked at, in ranges of two indexes: by how origins stand, and
//! first attempts and later ones apart. A range whose limit is used up is not looked at.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    State, lanes,
    origins::{self, Standing},
};
use crate::{
    store::{
        Claim, Claims, Limits, Round, Ticket,
        sqlite::{Failure, webhooks::rows},
    },
    task::{DeliveryId, TaskId, Webhook},
};

/// Claims under way; of them those that are not first attempts, those to new origins, and those to failing ones.
const UNDER_WAY: &str = "SELECT count(*), coalesce(sum(lanes.retry), 0), coalesce(sum(standing = 1), 0),
        coalesce(sum(standing = 2), 0)
     FROM lanes CROSS JOIN origins ON origins.key = lanes.origin WHERE token IS NOT NULL";

const ORIGINS_FRESH: &str =
    "SELECT fresh, key FROM origins WHERE standing = ?1 AND fresh <= ?2 ORDER BY fresh LIMIT ?3";
const ORIGINS_RETRY: &str =
    "SELECT retry, key FROM origins WHERE standing = ?1 AND retry <= ?2 ORDER BY retry LIMIT ?3";

/// Lanes of origin `?1` that are due.
const WAITING: &str = "SELECT due, key, webhook, task FROM lanes
     WHERE origin = ?1 AND retry = ?2 AND held = 0 AND token IS NULL AND due <= ?3 ORDER BY due LIMIT ?4";

const NEXT_LEASE: &str = "SELECT min(until) FROM lanes WHERE token IS NOT NULL";
const NEXT_FRESH: &str = "SELECT min(fresh) FROM origins WHERE standing = ?1 AND fresh > ?2";
const NEXT_RETRY: &str = "SELECT min(retry) FROM origins WHERE standing = ?1 AND retry > ?2";

/// What may still be claimed.
struct Room {
    total: usize,
    retries: usize,
    new: usize,
    failing: usize,
}

impl Room {
    fn new(sql: &Connection, limits: &Limits, take: usize) -> rusqlite::Result<Self> {
        let (total, retries, new, failing): (usize, usize, usize, usize) = sql
            .prepare_cached(UNDER_WAY)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        Ok(Self {
            total: limits.total.saturating_sub(total).min(take),
            retries: limits.retries.saturating_sub(retries),
            new: limits.unproven.div_ceil(2).saturating_sub(new),
            failing: (limits.unproven / 2).max(1).saturating_sub(failing),
        })
    }

    fn of(&self, standing: Standing, retry: bool) -> usize {
        let standing = match standing {
            Standing::Reached => usize::MAX,
            Standing::New => self.new,
            Standing::Failing => self.failing,
        };
        let retries = if retry { self.retries } else { usize::MAX };
        self.total.min(standing).min(retries)
    }

    fn take(&mut self, standing: Standing, retry: bool) {
        self.total -= 1;
        self.new -= usize::from(standing == Standing::New);
        self.failing -= usize::from(standing == Standing::Failing);
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
        for (origin, standing) in &origins {
            self.origin(*origin, *standing, share)?;
        }
        Ok(!origins.is_empty())
    }

    /// Claims up to `share` lanes of an origin. It is up to date afterwards, whether there were any or not.
    fn origin(&mut self, origin: i64, standing: Standing, share: usize) -> Result<(), Failure> {
        let found = origins::room(self.sql, origin, &self.round.limits, self.state.clock, self.until)?;
        let Some(room) = found else { return Ok(origins::measure(self.sql, origin, &self.round.limits)?) };
        let mut waiting = Vec::new();
        for retry in [false, true] {
            let limit = share.min(room.left).min(self.room.of(standing, retry));
            if limit > 0 {
                self.waiting(origin, retry, limit, &mut waiting)?;
            }
        }
        waiting.sort_unstable();
        let mut claimed = 0;
        for lane in waiting.into_iter().take(share.min(room.left)) {
            if self.room.of(standing, lane.retry) > 0 && self.lane(&lane, standing, room.open)? {
                self.room.take(standing, lane.retry);
                claimed += 1;
            }
        }
        origins::fill(self.sql, origin, claimed >= room.left)?;
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
    fn lane(&mut self, lane: &Waiting, standing: Standing, probe: bool) -> Result<bool, Failure> {
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
            .prepare_cached(
                "UPDATE lanes SET token = ?2, until = ?3, delivery = ?4, probe = ?5, failing = ?6 WHERE key = ?1",
            )?
            .execute(params![lane.key, token, self.until, head.key, probe, webhook.health.failing_since])?;
        let claim = Claim {
            ticket: Ticket { lane: lane.key, token },
            delivery: DeliveryId { webhook: webhook.id, task, sequence: head.sequence },
            webhook,
            proven: standing == Standing::Reached,
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
            for standing in Standing::ALL {
                let found: Option<i64> = statement.query_row(params![standing.code(), now], |row| row.get(0))?;
                next = next.into_iter().chain(found).min();
            }
        }
        Ok(next)
    }
}

/// Origins with something that may be claimed now, and how they stand; those that have waited longest first.
fn origins_due(sql: &Connection, room: &Room, now: i64, limit: usize) -> rusqlite::Result<Vec<(i64, Standing)>> {
    let mut found = Vec::new();
    for standing in Standing::ALL {
        for (retry, query) in [(false, ORIGINS_FRESH), (true, ORIGINS_RETRY)] {
            let limit = limit.min(room.of(standing, retry));
            if limit > 0 {
                let mut statement = sql.prepare_cached(query)?;
                let rows = statement
                    .query_map(params![standing.code(), now, limit], |row| Ok((row.get(0)?, row.get(1)?, standing)))?;
                for row in rows {
                    found.push(row?);
                }
            }
        }
    }
    found.sort_unstable_by_key(|(due, origin, _): &(i64, i64, Standing)| (*due, *origin));
    let mut seen = BTreeSet::new();
    found.retain(|(_, origin, _)| seen.insert(*origin));
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, origin, standing)| (origin, standing)).collect())
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
