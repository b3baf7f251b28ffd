//! The outbox: deliveries, written with their events, claimed and recorded in rounds.
//!
//! All of it runs on the writer, as parts of its commits. What the writer keeps in memory for it is in [`State`], which a
//! commit changes as a copy: a commit that fails leaves none of it behind.
//!
//! `hear` writes deliveries as `arrivals`, which are spread before they are needed, `round` is a dispatcher's round (`record`, `claim`), `places` are its limits, `lanes` and `origins` are what both
//! keep up to date, `requeue` makes deliveries due again, `read` lists them, `contents` reads what they are about.

pub mod arrivals;
pub mod claim;
pub mod contents;
pub mod hear;
pub mod lanes;
pub mod origins;
mod places;
pub mod purge;
pub mod read;
mod record;
pub mod requeue;
pub mod round;

#[cfg(test)]
mod plans;

use std::sync::Arc;

use rusqlite::{Connection, params};

use self::{arrivals::Waiting, hear::Ears};
use crate::store::{rules::TOLERANCE, seal::Keys};

/// The column `deliveries.state`.
pub const PENDING: i64 = 0;
pub const DELIVERED: i64 = 1;
pub const FAILED: i64 = 2;

/// What the writer keeps in memory for webhooks.
#[derive(Clone)]
pub struct State {
    pub keys: Arc<Keys>,
    /// The most webhooks of one task, or of one agent as a whole.
    pub per_task: usize,
    /// Whether webhooks are sent to: else they hear of nothing, and what waits for them keeps nothing from going.
    pub enabled: bool,
    /// The webhooks of agents as a whole that hear of events; none: to be read again.
    ears: Option<Arc<Ears>>,
    /// What waits to be spread over the tables that rounds go by.
    pub waiting: Waiting,
    /// The newest key of a webhook.
    webhook: i64,
    /// The newest time that a round told: milliseconds since 1970 UTC. What becomes due outside of a round is due at
    /// it, so that the next round takes it, whatever the clock says then.
    clock: i64,
    /// The time on disk, up to a second behind.
    noted: i64,
    /// The newest claim's token.
    token: i64,
    /// The attempts under way that take long; none: to be counted again.
    slow: Option<places::Slow>,
    /// Whether something became due that was not.
    pub due: bool,
}

impl State {
    /// What an opened file says. Claims of an earlier process end: it is dead, since the directory is locked.
    pub fn open(sql: &Connection, keys: Arc<Keys>, per_task: usize, enabled: bool) -> rusqlite::Result<Self> {
        let epoch: i64 =
            sql.query_row("UPDATE meta SET value = value + 1 WHERE name = 'epoch' RETURNING value", [], |row| {
                row.get(0)
            })?;
        let clock = sql.query_row("SELECT value FROM meta WHERE name = 'round'", [], |row| row.get(0))?;
        let mut touched =
            sql.prepare("SELECT key FROM origins WHERE full UNION SELECT origin FROM lanes WHERE token IS NOT NULL")?;
        let mut touched = touched.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        let mut released = sql.prepare(
            "UPDATE lanes SET token = NULL, until = NULL, delivery = NULL, failing = NULL, stood = NULL,
                    probe = 0, moved = 0, origin = (SELECT origin FROM webhooks WHERE webhooks.key = lanes.webhook)
             WHERE token IS NOT NULL RETURNING origin",
        )?;
        let released = released.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        touched.extend(released);
        touched.sort_unstable();
        touched.dedup();
        for origin in touched {
            origins::refresh(sql, origin)?;
        }
        let (waiting, webhook) = arrivals::load(sql)?;
        // Tokens are never used twice: each process has its own range.
        Ok(Self {
            keys,
            per_task,
            enabled,
            ears: None,
            waiting,
            webhook,
            clock,
            noted: clock,
            token: epoch << 32,
            slow: None,
            due: false,
        })
    }

    /// Now, as far as is known without a round.
    pub fn clock(&self) -> i64 {
        self.clock
    }

    /// Reads the webhooks of agents as a whole again before the next event.
    pub fn forget_ears(&mut self) {
        self.ears = None;
    }

    /// The key of a new webhook. Known before its row is written.
    pub fn next_webhook(&mut self) -> i64 {
        self.webhook += 1;
        self.webhook
    }

    fn next_token(&mut self) -> i64 {
        self.token += 1;
        self.token
    }

    /// Takes the time of a round. Some: the clock was set back, from this time.
    fn tell_time(&mut self, now: i64) -> Option<i64> {
        let before = self.clock;
        let set_back = now < before.saturating_sub(TOLERANCE);
        self.clock = if set_back { now } else { now.max(before) };
        set_back.then_some(before)
    }

    /// Brings the time on disk up to date.
    fn note_time(&mut self, sql: &Connection) -> rusqlite::Result<()> {
        if self.clock.abs_diff(self.noted) >= 1000 {
            sql.prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'round'")?.execute(params![self.clock])?;
            self.noted = self.clock;
        }
        Ok(())
    }
}
