//! The outbox: deliveries, written with their events, claimed and recorded in rounds.
//!
//! - Commits of events only insert (`hear`): any number of processes commit at once, and nobody waits.
//! - All else runs one at a time over all processes, by a lock that lasts as long as the transaction ([`enter`], `round`).
//!   Whoever has it first takes in what commits have left (`arrivals`), so that `lanes` and `origins` are as if the events
//!   had been committed one after the other. What a round decides it decides about rows that nobody else changes.
//! - A round's length is some round trips, however many results and claims it has: it reads all that it needs of them at
//!   once (`record`, `claim`), decides, and writes all at once.
//! - A claim names the process that has it. Those of processes that no longer live end with the next round.
//!
//! `store::places` are the limits, which hold over all processes since claims are counted in the database.

pub mod arrivals;
pub mod claim;
pub mod contents;
pub mod hear;
pub mod lanes;
pub mod origins;
pub mod purge;
pub mod read;
pub mod record;
pub mod requeue;
pub mod round;
pub mod schema;

use std::{borrow::Cow, collections::BTreeSet, sync::atomic::Ordering};

use super::{
    Shared, Timekeeper,
    schema::OUTBOX_LOCK,
    session::{Failure, Session},
};
use crate::store::rules::TOLERANCE;

/// The column `deliveries.state`.
pub const PENDING: i32 = 0;
pub const DELIVERED: i32 = 1;
pub const FAILED: i32 = 2;

/// When the last round was, the newest claim's token, and the database's clock.
const TIME: &str =
    "SELECT (SELECT value FROM meta WHERE name = 'round'), (SELECT value FROM meta WHERE name = 'token'),
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A transaction that has the outbox lock, and what it knows and changes.
pub struct Turn {
    /// Now, by the clock that counts: milliseconds since 1970 UTC.
    pub now: i64,
    /// The newest claim's token.
    pub token: i64,
    /// Origins with other lanes or claims than before.
    pub changed: BTreeSet<i64>,
    /// Whether something became due that was not.
    pub due: bool,
    /// The time before; by the database's clock; and as it was noted.
    before: i64,
    database: i64,
    noted: i64,
    /// From where the clock was set back, if it was.
    set_back: Option<i64>,
    /// What is added to the asker's times.
    offset: i64,
}

impl Turn {
    /// Waits for the lock.
    async fn begin(shared: &Shared, session: &Session) -> Result<Self, Failure> {
        session.query(OUTBOX_LOCK, &[]).await?;
        let row = session.query_one(TIME, &[]).await?;
        let (noted, token, database): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let before = match shared.settings.timekeeper {
            Timekeeper::Asker => shared.told.load(Ordering::Acquire),
            Timekeeper::Database => noted,
        };
        let (changed, due, set_back, offset) = (BTreeSet::new(), false, None, 0);
        Ok(Self { now: before, token, changed, due, before, database, noted, set_back, offset })
    }

    /// Takes the time.
    fn tell_time(&mut self, now: i64) {
        let set_back = now < self.before.saturating_sub(TOLERANCE);
        self.now = if set_back { now } else { now.max(self.before) };
        self.set_back = set_back.then_some(self.before);
    }

    /// A time of the asker's by the clock that counts, as it is now.
    fn local(&self, time: i64) -> i64 {
        let time = time.saturating_add(self.offset);
        match self.set_back {
            Some(before) if time > before => time - (before - self.now),
            Some(_) => time.min(self.now),
            None => time,
        }
    }

    /// Brings origins up to date whose lanes changed. Whether something became due.
    pub async fn finish(self, session: &Session) -> Result<bool, Failure> {
        origins::refresh(session, &self.changed).await?;
        Ok(self.due)
    }
}

/// Begins a change of webhooks or deliveries: waits for the lock, and takes in all that commits have left.
pub async fn enter(shared: &Shared, session: &Session) -> Result<Turn, Failure> {
    let mut turn = Turn::begin(shared, session).await?;
    if shared.settings.timekeeper == Timekeeper::Database {
        turn.tell_time(turn.database);
    }
    while arrivals::take_in(session, &mut turn).await? {}
    Ok(turn)
}

/// Text that the outside shapes as PostgreSQL takes it: without NUL.
pub fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// The first pending delivery of lane `l`.
macro_rules! head {
    () => {
        "(SELECT d.key, d.sequence, d.created, d.tries, d.attempts FROM deliveries AS d
            WHERE d.webhook = l.webhook AND d.task = l.task AND d.state = 0 ORDER BY d.sequence LIMIT 1)"
    };
}
pub(super) use head;

/// The statements that are run often.
#[cfg(test)]
pub fn planned() -> Vec<String> {
    let fixed = [
        &arrivals::PLANNED[..],
        &contents::PLANNED,
        &[hear::HEAR],
        &lanes::PLANNED,
        &origins::PLANNED,
        &requeue::PLANNED,
        &round::PLANNED,
    ];
    let fixed = fixed.into_iter().flatten().map(|statement| (*statement).to_owned());
    fixed.chain(claim::planned()).chain(purge::planned()).chain(read::planned()).chain(record::planned()).collect()
}
