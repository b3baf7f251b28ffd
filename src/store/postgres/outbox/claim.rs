//! Claims what is due, within the limits.
//!
//! Origins take turns, those that have waited longest first; within an origin the lane that has waited longest is first.
//! Where not all get a turn, every other one goes to those that wait since last: the dead wait long, the live do not.
//! Only origins that have something to claim are looked at, in ranges of two indexes: by how origins stand, and
//! first attempts and later ones apart. A range whose limit is used up is not looked at.
//!
//! All origins that have their turn are read at once, with as many of their lanes as they may get at most; who gets how
//! many is then decided one after the other.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use futures::try_join;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Turn, head, origins};
use crate::{
    store::{
        Claim, Claims, Round, Ticket,
        places::{self, Count, HOT, Room, SLOW, Standing, half, left_of_origin, most_of_origin, turns},
        postgres::{
            Shared,
            session::{Failure, Session},
            webhooks::rows,
        },
        rules::SLOW_OF_ORIGIN,
    },
    task::{DeliveryId, TaskId, Webhook},
};

/// Claims that end after `$1`, and those that end then or before, which are slow: in all, those that are not first
/// attempts, those to origins that were new then, and those to ones that were failing.
const COUNT: &str = "SELECT count(*) FILTER (WHERE until > $1), count(*) FILTER (WHERE until > $1 AND retry),
        count(*) FILTER (WHERE until > $1 AND stood = 1), count(*) FILTER (WHERE until > $1 AND stood = 2),
        count(*) FILTER (WHERE until <= $1), count(*) FILTER (WHERE until <= $1 AND retry),
        count(*) FILTER (WHERE until <= $1 AND stood = 1), count(*) FILTER (WHERE until <= $1 AND stood = 2)
     FROM lanes WHERE until IS NOT NULL";

/// Origins with something to claim at `$1`: for each way to stand, and for first attempts and later ones, those that wait
/// for it longest, those that wait least, and of the newest those reached since `$2`, which are served, and wait anew.
/// `$3` says how many of each.
static DUE: LazyLock<String> = LazyLock::new(|| {
    let mut parts: Vec<String> = Vec::new();
    for standing in Standing::ALL.map(Standing::code) {
        for column in ["fresh", "retry"] {
            let columns = format!("{column} AS due, key, standing");
            let due = format!("FROM origins WHERE standing = {standing} AND {column} <= $1 ORDER BY {column}");
            let newest = format!("SELECT {columns}, reached_at {due} DESC LIMIT 256");
            for query in [
                format!("SELECT {columns} {due}"),
                format!("SELECT {columns} {due} DESC"),
                format!("SELECT due, key, standing FROM ({newest}) AS newest WHERE reached_at >= $2"),
            ] {
                parts.push(format!("({query} LIMIT ($3::bigint[])[{}])", parts.len() + 1));
            }
        }
    }
    parts.join(" UNION ALL ")
});

/// Of origins `$1`: whether the circuit is open, whether anything may be claimed at `$2`, how many places are taken, four
/// by each claim that ends at `$3` or before, and whether it was reached since `$4`.
const ROOMS: &str = "SELECT o.key, o.open_for > 0, o.open_until <= $2,
        (SELECT count(*) + 3 * count(*) FILTER (WHERE l.until <= $3) FROM lanes AS l
            WHERE l.token IS NOT NULL AND l.origin = o.key),
        coalesce(o.reached_at >= $4, false)
     FROM unnest($1::bigint[]) AS c (key) JOIN origins AS o ON o.key = c.key";

/// Lanes of origins `$1` that are due at `$4`, first attempts and later ones as `$2` says, at most `$3` of each; with their
/// tasks and heads. One that is being changed past the rounds' lock waits for the next round.
const WAITING: &str = concat!(
    "SELECT c.origin, c.retry, l.due, l.key, l.webhook, t.id, head.key, head.sequence, head.created, head.tries,
        head.attempts
     FROM unnest($1::bigint[], $2::boolean[], $3::bigint[]) AS c (origin, retry, most)
     CROSS JOIN LATERAL (SELECT w.due, w.key, w.webhook, w.task FROM lanes AS w
        WHERE w.origin = c.origin AND w.retry = c.retry AND w.held = 0 AND w.token IS NULL AND w.due <= $4
        ORDER BY w.due LIMIT c.most FOR UPDATE SKIP LOCKED) AS l
     LEFT JOIN tasks AS t ON t.key = l.task
     LEFT JOIN LATERAL ",
    head!(),
    " AS head ON true"
);

const CLAIM: &str = "UPDATE lanes SET token = c.token, until = $7, holder = $8, delivery = c.delivery, probe = c.probe,
        failing = c.failing, stood = c.stood
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[])
        AS c (lane, token, delivery, probe, failing, stood)
     WHERE lanes.key = c.lane";

const REMOVE: &str = "DELETE FROM lanes USING unnest($1::bigint[]) AS r (lane) WHERE lanes.key = r.lane";

/// The end of the first lease; when the next origin has something to claim after `$1`; whether one has at `$1`.
static NEXT: LazyLock<String> = LazyLock::new(|| {
    let (mut later, mut now) = (String::new(), String::new());
    for standing in Standing::ALL.map(Standing::code) {
        for column in ["fresh", "retry"] {
            let of = format!("FROM origins WHERE standing = {standing} AND {column}");
            // Writing to a string does not fail.
            let _ = write!(later, ", (SELECT {column} {of} > $1 ORDER BY {column} LIMIT 1)");
            let _ = write!(now, " OR EXISTS (SELECT 1 {of} <= $1)");
        }
    }
    format!("SELECT least((SELECT until FROM lanes WHERE until IS NOT NULL ORDER BY until LIMIT 1){later}), false{now}")
});

struct Claiming<'a> {
    session: &'a Session,
    shared: &'a Shared,
    turn: &'a mut Turn,
    round: &'a Round,
    room: Room,
    /// How long claims hold, in milliseconds.
    lease: i64,
    webhooks: HashMap<i64, Arc<Webhook>>,
    /// With the time that they were due.
    claims: Vec<(i64, Claim)>,
}

/// Claims as much as a round may take.
pub async fn claim(shared: &Shared, session: &Session, turn: &mut Turn, round: &Round) -> Result<Claims, Failure> {
    let lease = i64::try_from(round.lease.as_millis()).unwrap_or(i64::MAX);
    let room = room(session, turn, round, round.take, lease).await?;
    let (webhooks, claims) = (HashMap::new(), Vec::new());
    let mut claiming = Claiming { session, shared, turn, round, room, lease, webhooks, claims };
    while claiming.pass().await? {}
    let next = claiming.next().await?;
    let mut claims = claiming.claims;
    claims.sort_by_key(|(due, _)| *due);
    Ok(Claims { claims: claims.into_iter().map(|(_, claim)| claim).collect(), next, refused: 0 })
}

/// What may still be claimed.
async fn room(session: &Session, turn: &Turn, round: &Round, take: usize, lease: i64) -> Result<Room, Failure> {
    if take == 0 {
        return Ok(Room::new(&round.limits, 0, &Count::default(), &Count::default()));
    }
    let row = session.query_one(COUNT, &[&turn.now.saturating_add(lease).saturating_sub(SLOW)]).await?;
    let number = |at: usize| usize::try_from(row.get::<_, i64>(at)).unwrap_or(usize::MAX);
    let count =
        |at: usize| Count { all: number(at), retries: number(at + 1), new: number(at + 2), failing: number(at + 3) };
    Ok(Room::new(&round.limits, take, &count(0), &count(4)))
}

/// Origins with something that may be claimed now, and how they stand: whose turn it is.
///
/// Where there are more than there is room for, half of it goes to those that wait longest and half to the newest:
/// thousands that turn out to be dead do not keep another one waiting. Hot ones are looked for beside them.
async fn due(session: &Session, turn: &Turn, room: &Room) -> Result<Vec<(i64, Standing)>, Failure> {
    if room.all() == 0 {
        return Ok(Vec::new());
    }
    let mut limits = Vec::new();
    for standing in Standing::ALL {
        for retry in [false, true] {
            let limit = room.of(standing, false, retry);
            let newest = half(turn.token, limit);
            let all = room.of(standing, true, retry);
            let hot = if all > limit { all } else { 0 };
            limits.extend([limit - newest, newest, hot].map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)));
        }
    }
    let rows = session.query(&DUE, &[&turn.now, &turn.now.saturating_sub(HOT), &limits]).await?;
    let standing = |code: i64| Standing::ALL.into_iter().find(|it| it.code() == code).unwrap_or(Standing::Failing);
    let due = rows.iter().map(|row| (row.get(0), row.get(1), standing(row.get(2)))).collect();
    Ok(turns(due, room, turn.token))
}

/// What may be claimed of an origin.
struct OriginRoom {
    /// Its circuit is open: what is claimed is a probe.
    open: bool,
    /// Something may be claimed now.
    now: bool,
    taken: usize,
    /// It was reached a moment ago.
    hot: bool,
}

/// A lane that can be claimed, and what is to be known of it.
struct Waiting {
    due: i64,
    key: i64,
    webhook: i64,
    retry: bool,
    task: Option<TaskId>,
    head: Option<Head>,
}

/// The first pending delivery of a lane.
struct Head {
    key: i64,
    sequence: u64,
    created: i64,
    tries: u32,
    attempts: u32,
}

impl Waiting {
    fn read(row: &Row) -> Self {
        let count = |at: usize| u32::try_from(row.get::<_, i32>(at)).unwrap_or(0);
        let head = row.get::<_, Option<i64>>(6).map(|key| Head {
            key,
            sequence: row.get::<_, i64>(7).cast_unsigned(),
            created: row.get(8),
            tries: count(9),
            attempts: count(10),
        });
        let task = row.get::<_, Option<Uuid>>(5).map(|id| TaskId::from_bytes(id.into_bytes()));
        Self { due: row.get(2), key: row.get(3), webhook: row.get(4), retry: row.get(1), task, head }
    }
}

/// What a pass claims, as it is written.
#[derive(Default)]
struct Taken {
    lanes: Vec<i64>,
    tokens: Vec<i64>,
    deliveries: Vec<i64>,
    probes: Vec<bool>,
    failing: Vec<Option<i64>>,
    stood: Vec<i64>,
    /// Lanes that there is nothing of.
    empty: Vec<i64>,
}

impl Claiming<'_> {
    /// Gives each origin that has something due its turn. False: there was nothing, or there is no room.
    async fn pass(&mut self) -> Result<bool, Failure> {
        let origins = due(self.session, self.turn, &self.room).await?;
        if origins.is_empty() {
            return Ok(false);
        }
        let share = self.room.part(origins.len());
        let (rooms, mut waiting) = self.read(&origins, share).await?;
        let mut taken = Taken::default();
        let mut full = Vec::with_capacity(origins.len());
        for (origin, standing) in origins {
            let Some(found) = rooms.get(&origin).filter(|room| room.now) else {
                full.push((origin, None));
                continue;
            };
            let most = most_of_origin(&self.round.limits, standing);
            let left = left_of_origin(most, found.open, found.taken);
            let claimed = self.origin(&mut waiting, origin, standing, found, share.min(left), &mut taken);
            full.push((origin, Some(claimed >= left)));
        }
        self.write(&taken).await?;
        origins::update(self.session, &full, self.round.limits.per_origin).await?;
        Ok(true)
    }

    /// Reads what is to be known of origins, and as many of their lanes as each may get at most.
    async fn read(
        &mut self,
        origins: &[(i64, Standing)],
        share: usize,
    ) -> Result<(HashMap<i64, OriginRoom>, HashMap<(i64, bool), Vec<Waiting>>), Failure> {
        let keys: Vec<i64> = origins.iter().map(|(origin, _)| *origin).collect();
        let (mut of, mut retries, mut most) = (Vec::new(), Vec::new(), Vec::new());
        for (origin, standing) in origins {
            for retry in [false, true] {
                let room = share.min(self.round.limits.per_origin).min(self.room.of(*standing, true, retry));
                of.push(*origin);
                retries.push(retry);
                most.push(i64::try_from(room).unwrap_or(i64::MAX));
            }
        }
        let now = self.turn.now;
        let slow = now.saturating_add(self.lease).saturating_sub(SLOW_OF_ORIGIN);
        let hot = now.saturating_sub(HOT);
        let rooms: [&(dyn ToSql + Sync); 4] = [&keys, &now, &slow, &hot];
        let lanes: [&(dyn ToSql + Sync); 4] = [&of, &retries, &most, &now];
        let (rooms, lanes) = try_join!(self.session.query(ROOMS, &rooms), self.session.query(WAITING, &lanes))?;
        let room = |row: &Row| OriginRoom {
            open: row.get(1),
            now: row.get(2),
            taken: usize::try_from(row.get::<_, i64>(3)).unwrap_or(usize::MAX),
            hot: row.get(4),
        };
        let rooms = rooms.iter().map(|row| (row.get(0), room(row))).collect();
        let mut waiting: HashMap<(i64, bool), Vec<Waiting>> = HashMap::new();
        let mut unknown = BTreeSet::new();
        for row in lanes {
            let lane = Waiting::read(&row);
            if !self.webhooks.contains_key(&lane.webhook) {
                unknown.insert(lane.webhook);
            }
            waiting.entry((row.get(0), lane.retry)).or_default().push(lane);
        }
        if !unknown.is_empty() {
            let unknown: Vec<i64> = unknown.into_iter().collect();
            for stored in rows::by_keys(self.session, &self.shared.keys, &unknown).await? {
                self.webhooks.insert(stored.key, Arc::new(stored.webhook));
            }
        }
        Ok((rooms, waiting))
    }

    /// Claims up to `most` lanes of an origin. Returns how many.
    fn origin(
        &mut self,
        waiting: &mut HashMap<(i64, bool), Vec<Waiting>>,
        origin: i64,
        standing: Standing,
        room: &OriginRoom,
        most: usize,
        taken: &mut Taken,
    ) -> usize {
        let mut lanes = Vec::new();
        for retry in [false, true] {
            let mut found = waiting.remove(&(origin, retry)).unwrap_or_default();
            found.truncate(most.min(self.room.of(standing, room.hot, retry)));
            lanes.append(&mut found);
        }
        lanes.sort_unstable_by_key(|lane| (lane.due, lane.key));
        let mut claimed = 0;
        for lane in lanes.into_iter().take(most) {
            let retry = lane.retry;
            if self.room.of(standing, room.hot, retry) > 0 && self.lane(lane, standing, room, taken) {
                self.room.take(standing, retry);
                claimed += 1;
            }
        }
        claimed
    }

    /// Claims the head of a lane. False: there is none.
    fn lane(&mut self, lane: Waiting, standing: Standing, room: &OriginRoom, taken: &mut Taken) -> bool {
        let webhook = self.webhooks.get(&lane.webhook).cloned();
        let (Some(head), Some(task), Some(webhook)) = (lane.head, lane.task, webhook) else {
            taken.empty.push(lane.key);
            return false;
        };
        self.turn.token += 1;
        let token = self.turn.token;
        taken.lanes.push(lane.key);
        taken.tokens.push(token);
        taken.deliveries.push(head.key);
        taken.probes.push(room.open);
        taken.failing.push(webhook.health.failing_since);
        taken.stood.push(standing.code());
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
        true
    }

    async fn write(&self, taken: &Taken) -> Result<(), Failure> {
        let Taken { lanes, tokens, deliveries, probes, failing, stood, empty } = taken;
        if !empty.is_empty() {
            self.session.execute(REMOVE, &[empty]).await?;
        }
        if lanes.is_empty() {
            return Ok(());
        }
        let (until, holder) = (self.turn.now.saturating_add(self.lease), self.shared.replica());
        let values: [&(dyn ToSql + Sync); 8] = [lanes, tokens, deliveries, probes, failing, stood, &until, &holder];
        self.session.execute(CLAIM, &values).await.map(drop)
    }

    /// When there is something to do without anyone saying so: at once, if there was more than was to be taken; soon, if
    /// the limits kept something back, for attempts become slow and places free by time alone.
    async fn next(&mut self) -> Result<Option<i64>, Failure> {
        let now = self.turn.now;
        let row = self.session.query_one(&NEXT, &[&now]).await?;
        let (next, kept_back): (Option<i64>, bool) = (row.get(0), row.get(1));
        if !kept_back || self.round.take == 0 {
            return Ok(next);
        }
        if self.claims.len() >= self.round.take {
            let room = room(self.session, self.turn, self.round, usize::MAX, self.lease).await?;
            if !due(self.session, self.turn, &room).await?.is_empty() {
                return Ok(Some(now));
            }
        }
        Ok(next.into_iter().chain([now.saturating_add(places::RECOUNT)]).min())
    }
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    let fixed = [COUNT, ROOMS, WAITING, CLAIM, REMOVE].map(str::to_owned);
    fixed.into_iter().chain([DUE.clone(), NEXT.clone()]).collect()
}
