//! Origins: what limits and circuits are kept by (see SQLite's).

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::Turn;
use crate::store::{
    Limits,
    places::Standing,
    postgres::session::{Failure, Session},
    rules::{REACH_NOTED, REACHED_LATELY, opens_for},
};

/// When the next lanes of origins `$1` can be claimed. `$2` says which are full; where it does not, those are of which as
/// much is under way as the limit `$3` lets: slow attempts are not told apart, nor new origins, which a round does that
/// wants something of them.
const UPDATE: &str = "UPDATE origins AS o
     SET is_full = n.is_full,
         fresh = CASE WHEN NOT n.is_full AND n.fresh IS NOT NULL THEN greatest(o.open_until, n.fresh) END,
         retry = CASE WHEN NOT n.is_full AND n.retry IS NOT NULL THEN greatest(o.open_until, n.retry) END
     FROM (
        SELECT c.key,
            coalesce(c.is_full, CASE WHEN p.open_for > 0 THEN 1 ELSE $3::bigint END <=
                (SELECT count(*) FROM lanes AS l WHERE l.token IS NOT NULL AND l.origin = c.key)) AS is_full,
            (SELECT l.due FROM lanes AS l WHERE l.origin = c.key AND l.retry = false AND l.held = 0
                AND l.token IS NULL ORDER BY l.due LIMIT 1) AS fresh,
            (SELECT l.due FROM lanes AS l WHERE l.origin = c.key AND l.retry = true AND l.held = 0
                AND l.token IS NULL ORDER BY l.due LIMIT 1) AS retry
        FROM unnest($1::bigint[], $2::boolean[]) AS c (key, is_full) JOIN origins AS p ON p.key = c.key
     ) AS n
     WHERE o.key = n.key";

/// Those of origins `$1` that nothing refers to. A webhook that is being stored finds that its origin is not there.
const TIDY: &str = "DELETE FROM origins AS o USING unnest($1::bigint[]) AS c (key)
     WHERE o.key = c.key
       AND NOT EXISTS (SELECT 1 FROM webhooks AS w WHERE w.origin = o.name)
       AND NOT EXISTS (SELECT 1 FROM lanes AS l WHERE l.token IS NOT NULL AND l.origin = o.key)";

const NAMED: &str = "SELECT key FROM origins WHERE name = $1";
const MAKE: &str = "INSERT INTO origins (name) VALUES ($1) RETURNING key";

const NOTE: &str = "UPDATE origins AS o
     SET standing = n.standing, reached_at = n.reached_at, failures = n.failures, blamed = n.blamed,
         open_for = n.open_for, open_until = n.open_until
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS n (key, standing, reached_at, failures, blamed, open_for, open_until)
     WHERE o.key = n.key";

/// After lanes of them changed, or claims of them have gone. Where one is full after all, the next round that wants
/// something of it finds that out.
pub async fn refresh(session: &Session, origins: &BTreeSet<i64>) -> Result<(), Failure> {
    let known: Vec<_> = origins.iter().map(|origin| (*origin, Some(false))).collect();
    update(session, &known, 0).await
}

/// After claims of them changed.
pub async fn measure(session: &Session, origins: &BTreeSet<i64>, limits: &Limits) -> Result<(), Failure> {
    let known: Vec<_> = origins.iter().map(|origin| (*origin, None)).collect();
    update(session, &known, limits.per_origin).await
}

/// After it was found out of some whether they are full; the others are measured.
pub async fn update(session: &Session, origins: &[(i64, Option<bool>)], per_origin: usize) -> Result<(), Failure> {
    if origins.is_empty() {
        return Ok(());
    }
    let (keys, full): (Vec<i64>, Vec<Option<bool>>) = origins.iter().copied().unzip();
    let per_origin = i64::try_from(per_origin).unwrap_or(i64::MAX);
    session.execute(UPDATE, &[&keys, &full, &per_origin]).await.map(drop)
}

/// Finds an origin, or makes it.
pub async fn refer(session: &Session, name: &str) -> Result<i64, Failure> {
    match session.query_opt(NAMED, &[&name]).await? {
        Some(found) => Ok(found.get(0)),
        None => Ok(session.query_one(MAKE, &[&name]).await?.get(0)),
    }
}

/// Removes those that nothing refers to.
pub async fn tidy(session: &Session, origins: &BTreeSet<i64>) -> Result<(), Failure> {
    if origins.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = origins.iter().copied().collect();
    session.execute(TIDY, &[&keys]).await.map(drop)
}

/// A claim whose attempt ended.
#[derive(Clone, Copy)]
pub struct Ended {
    pub token: i64,
    /// It was claimed while the circuit was open.
    pub probe: bool,
}

/// What an origin's circuit is kept by.
#[derive(Clone, Copy)]
pub struct Circuit {
    standing: i64,
    reached_at: Option<i64>,
    failures: i64,
    blamed: i64,
    open_for: i64,
    open_until: i64,
    changed: bool,
}

impl Circuit {
    /// The columns that [`Circuit::read`] reads, of `o`.
    pub const COLUMNS: &str = "o.standing, o.reached_at, o.failures, o.blamed, o.open_for, o.open_until";

    /// From a row, at a place. None: there is no such origin.
    pub fn read(row: &Row, at: usize) -> Option<Self> {
        Some(Self {
            standing: row.get::<_, Option<i64>>(at)?,
            reached_at: row.get(at + 1),
            failures: row.get(at + 2),
            blamed: row.get(at + 3),
            open_for: row.get(at + 4),
            open_until: row.get(at + 5),
            changed: false,
        })
    }

    /// Notes whether an attempt reached it. Of attempts that were under way together only one failure counts: a receiver
    /// that restarts breaks off all that it has.
    pub fn note(&mut self, turn: &Turn, reached: bool, ended: Ended, limits: &Limits) {
        let now = turn.now;
        if reached {
            let says_nothing = self.standing == Standing::Reached.code()
                && self.failures == 0
                && self.open_for == 0
                && self.reached_at.is_some_and(|at| now.saturating_sub(at).abs() < REACH_NOTED);
            if !says_nothing {
                let blamed = self.blamed;
                let (standing, reached_at) = (Standing::Reached.code(), Some(now));
                *self = Self { standing, reached_at, failures: 0, blamed, open_for: 0, open_until: 0, changed: true };
            }
            return;
        }
        self.changed = true;
        if self.blamed < ended.token {
            self.failures += 1;
            self.blamed = turn.token;
        }
        let lately = self.reached_at.is_some_and(|at| at >= now.saturating_sub(REACHED_LATELY));
        let lives = self.open_for == 0 && lately;
        self.standing = if lives { Standing::Reached.code() } else { Standing::Failing.code() };
        if let Some(open_for) = opens_for(limits, self.failures, self.open_for, ended.probe) {
            self.standing = Standing::Failing.code();
            self.open_for = open_for;
            self.open_until = now.saturating_add(open_for);
        }
    }
}

/// Writes circuits that changed.
pub async fn write(session: &Session, circuits: impl Iterator<Item = (i64, Circuit)>) -> Result<(), Failure> {
    let changed: Vec<_> = circuits.filter(|(_, circuit)| circuit.changed).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Circuit) -> i64| changed.iter().map(|(_, circuit)| of(circuit)).collect::<Vec<i64>>();
    let keys: Vec<i64> = changed.iter().map(|(key, _)| *key).collect();
    let reached: Vec<Option<i64>> = changed.iter().map(|(_, circuit)| circuit.reached_at).collect();
    let (standing, failures) = (column(|it| it.standing), column(|it| it.failures));
    let (blamed, open_for, open_until) = (column(|it| it.blamed), column(|it| it.open_for), column(|it| it.open_until));
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&keys, &standing, &reached, &failures, &blamed, &open_for, &open_until];
    session.execute(NOTE, &values).await.map(drop)
}

#[cfg(test)]
pub const PLANNED: [&str; 4] = [UPDATE, TIDY, NAMED, NOTE];
