//! Claims what is due, within the limits.
//!
//! Origins take turns, those that have waited longest first; within an origin the lane that has waited longest is first.
//! Where not all get a turn, every other one goes to those that wait since last: the dead wait long, the live do not.
//! Only origins that have something to claim are looked at, in ranges of two indexes: by how origins stand, and
//! first attempts and later ones apart. A range whose limit is used up is not looked at.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{State, lanes, origins, places as counted};
use crate::{
    store::{
        Claim, Claims, Round, Ticket,
        places::{self, Room, Standing, half, turns},
        sqlite::{Failure, webhooks::rows},
    },
    task::{DeliveryId, TaskId, Webhook},
};

/// Origins with something to claim that stand as `?1`: those that wait for it longest, and those that wait least.
const FRESH_OLDEST: &str = "SELECT fresh, key FROM origins WHERE standing = ?1 AND fresh <= ?2 ORDER BY fresh LIMIT ?3";
const FRESH_NEWEST: &str =
    "SELECT fresh, key FROM origins WHERE standing = ?1 AND fresh <= ?2 ORDER BY fresh DESC LIMIT ?3";
const RETRY_OLDEST: &str = "SELECT retry, key FROM origins WHERE standing = ?1 AND retry <= ?2 ORDER BY retry LIMIT ?3";
const RETRY_NEWEST: &str =
    "SELECT retry, key FROM origins WHERE standing = ?1 AND retry <= ?2 ORDER BY retry DESC LIMIT ?3";

/// Those reached since `?4`, of the newest: what answers is served, and waits anew.
const FRESH_HOT: &str = "SELECT fresh, key FROM (SELECT fresh, key, reached_at FROM origins
        WHERE standing = ?1 AND fresh <= ?2 ORDER BY fresh DESC LIMIT 256) WHERE reached_at >= ?4 LIMIT ?3";
const RETRY_HOT: &str = "SELECT retry, key FROM (SELECT retry, key, reached_at FROM origins
        WHERE standing = ?1 AND retry <= ?2 ORDER BY retry DESC LIMIT 256) WHERE reached_at >= ?4 LIMIT ?3";

/// Lanes of origin `?1` that are due.
const WAITING: &str = "SELECT due, key, webhook, task FROM lanes
     WHERE origin = ?1 AND retry = ?2 AND held = 0 AND token IS NULL AND due <= ?3 ORDER BY due LIMIT ?4";

const NEXT_LEASE: &str = "SELECT min(until) FROM lanes WHERE until IS NOT NULL";
const NEXT_FRESH: &str = "SELECT min(fresh) FROM origins WHERE standing = ?1 AND fresh > ?2";
const NEXT_RETRY: &str = "SELECT min(retry) FROM origins WHERE standing = ?1 AND retry > ?2";

struct Claiming<'a> {
    state: &'a mut State,
    sql: &'a Connection,
    round: &'a Round,
    room: Room,
    /// How long claims hold, in milliseconds.
    lease: i64,
    webhooks: HashMap<i64, Arc<Webhook>>,
    /// With the time that they were due.
    claims: Vec<(i64, Claim)>,
}

/// Claims as much as a round may take.
pub fn claim(state: &mut State, sql: &Connection, round: &Round) -> Result<Claims, Failure> {
    let lease = millis(round.lease);
    let room = counted::room(state, sql, round, lease)?;
    let mut claiming = Claiming { state, sql, round, room, lease, webhooks: HashMap::new(), claims: Vec::new() };
    while claiming.pass()? {}
    let next = claiming.next()?;
    let mut claims = claiming.claims;
    claims.sort_by_key(|(due, _)| *due);
    Ok(Claims { claims: claims.into_iter().map(|(_, claim)| claim).collect(), next, refused: 0 })
}

impl Claiming<'_> {
    /// Gives each origin that has something due its turn. False: there was nothing, or there is no room.
    fn pass(&mut self) -> Result<bool, Failure> {
        let origins = origins_due(self.sql, &self.room, self.state)?;
        let share = self.room.part(origins.len());
        for (origin, standing) in &origins {
            self.origin(*origin, *standing, share)?;
        }
        Ok(!origins.is_empty())
    }

    /// Claims up to `share` lanes of an origin. It is up to date afterwards, whether there were any or not.
    fn origin(&mut self, origin: i64, standing: Standing, share: usize) -> Result<(), Failure> {
        let found = origins::room(self.sql, origin, &self.round.limits, standing, self.state.clock, self.lease)?;
        let Some(room) = found else { return Ok(origins::measure(self.sql, origin, &self.round.limits)?) };
        let mut waiting = Vec::new();
        for retry in [false, true] {
            let limit = share.min(room.left).min(self.room.of(standing, room.hot, retry));
            if limit > 0 {
                self.waiting(origin, retry, limit, &mut waiting)?;
            }
        }
        waiting.sort_unstable();
        let mut claimed = 0;
        for lane in waiting.into_iter().take(share.min(room.left)) {
            if self.room.of(standing, room.hot, lane.retry) > 0 && self.lane(&lane, standing, &room)? {
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
    fn lane(&mut self, lane: &Waiting, standing: Standing, room: &origins::Room) -> Result<bool, Failure> {
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
        let until = self.state.clock.saturating_add(self.lease);
        self.sql
            .prepare_cached(
                "UPDATE lanes SET token = ?2, until = ?3, delivery = ?4, probe = ?5, failing = ?6, stood = ?7
                 WHERE key = ?1",
            )?
            .execute(params![
                lane.key,
                token,
                until,
                head.key,
                room.open,
                webhook.health.failing_since,
                standing.code()
            ])?;
        let claim = Claim {
            ticket: Ticket { lane: lane.key, token },
            delivery: DeliveryId { webhook: webhook.id, task, sequence: head.sequence },
            webhook,
            proven: standing == Standing::Reached,
            hot: standing == Standing::Reached && room.hot,
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

    /// When there is something to do without anyone saying so: at once, if there was more than was to be taken; soon, if
    /// the limits kept something back, for attempts become slow and places free by time alone.
    fn next(&mut self) -> rusqlite::Result<Option<i64>> {
        let now = self.state.clock;
        let mut next: Option<i64> = self.sql.prepare_cached(NEXT_LEASE)?.query_row([], |row| row.get(0))?;
        let mut kept_back = false;
        for (due, later) in [(FRESH_OLDEST, NEXT_FRESH), (RETRY_OLDEST, NEXT_RETRY)] {
            let mut due = self.sql.prepare_cached(due)?;
            let mut later = self.sql.prepare_cached(later)?;
            for standing in Standing::ALL {
                kept_back |= due.exists(params![standing.code(), now, 1])?;
                let found: Option<i64> = later.query_row(params![standing.code(), now], |row| row.get(0))?;
                next = next.into_iter().chain(found).min();
            }
        }
        if !kept_back || self.round.take == 0 {
            return Ok(next);
        }
        if self.claims.len() >= self.round.take {
            let unlimited =
                Round { take: usize::MAX, results: Vec::new(), limits: self.round.limits.clone(), ..*self.round };
            let room = counted::room(self.state, self.sql, &unlimited, self.lease)?;
            if !origins_due(self.sql, &room, self.state)?.is_empty() {
                return Ok(Some(now));
            }
        }
        Ok(next.into_iter().chain([now.saturating_add(places::RECOUNT)]).min())
    }
}

/// Origins with something that may be claimed now, and how they stand; those that have waited longest first.
///
/// Where there are more than there is room for, half of it goes to those and half to the newest: thousands that turn out
/// to be dead do not keep another one waiting. Hot ones are looked for beside them.
fn origins_due(sql: &Connection, room: &Room, state: &State) -> rusqlite::Result<Vec<(i64, Standing)>> {
    if room.all() == 0 {
        return Ok(Vec::new());
    }
    let mut due = Vec::new();
    let mut find = |query: &str, standing: Standing, limit: usize| -> rusqlite::Result<()> {
        let mut statement = sql.prepare_cached(query)?;
        let hot = state.clock.saturating_sub(places::HOT);
        let values = [standing.code(), state.clock, i64::try_from(limit).unwrap_or(i64::MAX), hot];
        let bound = statement.parameter_count().min(values.len());
        let mut rows = statement.query(rusqlite::params_from_iter(&values[..bound]))?;
        while let Some(row) = rows.next()? {
            due.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, standing));
        }
        Ok(())
    };
    let queries = [(false, FRESH_OLDEST, FRESH_NEWEST, FRESH_HOT), (true, RETRY_OLDEST, RETRY_NEWEST, RETRY_HOT)];
    for standing in Standing::ALL {
        for (retry, oldest, newest, hot) in queries {
            let limit = room.of(standing, false, retry);
            let half = half(state.token, limit);
            if limit > half {
                find(oldest, standing, limit - half)?;
            }
            if half > 0 {
                find(newest, standing, half)?;
            }
            let all = room.of(standing, true, retry);
            if all > limit {
                find(hot, standing, all)?;
            }
        }
    }
    Ok(turns(due, room, state.token))
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
pub const PLANNED: [&str; 10] = [
    FRESH_OLDEST,
    FRESH_NEWEST,
    FRESH_HOT,
    RETRY_OLDEST,
    RETRY_NEWEST,
    RETRY_HOT,
    WAITING,
    NEXT_LEASE,
    NEXT_FRESH,
    NEXT_RETRY,
];
