//! The processes that live, and which task is whose (see `store::leases`).
//!
//! A process is a row of `replicas`, with the time until which it is believed to live, by the database's clock. It renews that four
//! times in that time. Whose time is over is dead once somebody removes the row: from then on its tasks are anybody's. A
//! process that finds its own row gone begins anew, as another one, and lets go of all that it worked on.
//!
//! Nobody is declared dead by one who has only just reached the database itself, or stood still until now: after an outage
//! all rows are old, and those who live must have as much time to say so as they always have.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use prost::Message as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Postgres, Shared, read,
    session::{Failure, Session},
};
use crate::{
    error::{Error, Result},
    proto::well_known::Struct,
    store::{Acquired, Asked, Leases, Stray},
    task::TaskId,
};

/// Strays that are found at once.
const AT_ONCE: i64 = 1024;

/// A renewal that takes longer, or than half a lease, is given up and tried on another connection.
const SLOW: Duration = Duration::from_secs(3);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Begins to live; the row's id.
pub async fn join(session: &Session, lease: Duration) -> Result<i64, Failure> {
    let joined = "INSERT INTO replicas (until) VALUES (clock_timestamp() + $1 * interval '1 millisecond') RETURNING id";
    Ok(session.query_one(joined, &[&millis(lease)]).await?.get(0))
}

/// Ends its life: its tasks are anybody's at once.
pub async fn leave(shared: &Shared) {
    let me = shared.replica();
    let goodbye = async {
        let session = shared.maker.connect().await?;
        session.execute("DELETE FROM replicas WHERE id = $1", &[&me]).await
    };
    if !matches!(timeout(GOODBYE, goodbye).await, Ok(Ok(_))) {
        tracing::debug!("the other gateways take over once the lease has run out");
    }
}

/// Says that it lives, as long as it is polled.
pub async fn live(shared: Arc<Shared>) {
    let lease = shared.settings.lease;
    let mut session: Option<Session> = None;
    // Since when every renewal has succeeded, and when the last one did.
    let mut steady = Instant::now();
    let mut last = steady;
    loop {
        sleep(lease / 4).await;
        if last.elapsed() > lease {
            steady = Instant::now();
        }
        let judge = steady.elapsed() >= lease;
        let beat = async {
            let open = match session.take().filter(|session| !session.is_closed()) {
                Some(open) => open,
                None => shared.maker.connect().await?,
            };
            renew(&shared, &open, judge).await?;
            Ok::<_, Failure>(open)
        };
        match timeout((lease / 2).max(SLOW), beat).await {
            Ok(Ok(open)) => {
                session = Some(open);
                last = Instant::now();
            }
            Ok(Err(failure)) => {
                tracing::warn!(?failure, "the database was not told that this gateway lives");
                steady = Instant::now();
            }
            Err(_) => {
                tracing::warn!("the database does not answer: it was not told that this gateway lives");
                steady = Instant::now();
            }
        }
    }
}

/// Renews the lease. `judge`: and declares those dead whose lease has run out.
async fn renew(shared: &Shared, session: &Session, judge: bool) -> Result<(), Failure> {
    let me = shared.replica();
    let renewed = "UPDATE replicas SET until = clock_timestamp() + $2 * interval '1 millisecond' WHERE id = $1";
    if session.execute(renewed, &[&me, &millis(shared.settings.lease)]).await? == 0 {
        tracing::error!("another gateway took this one for dead and takes over its tasks: it begins anew");
        let again = join(session, shared.settings.lease).await?;
        shared.replica.store(again, Ordering::Release);
        shared.listener.lost();
        shared.listener.asked();
        return Ok(());
    }
    if judge {
        let dead = session.query("DELETE FROM replicas WHERE until < clock_timestamp() RETURNING id", &[]).await?;
        if !dead.is_empty() {
            tracing::warn!(gateways = dead.len(), "gateways stopped without a word: their tasks are taken over");
            shared.listener.asked();
        }
    }
    let others = session.query_one("SELECT count(*) FROM replicas WHERE id <> $1", &[&me]).await?;
    shared.bus.set_peers(others.get::<_, i64>(0) > 0);
    Ok(())
}

/// Makes this process the one that works on an open task, unless another living one is.
const ACQUIRE: &str = "UPDATE tasks SET runner = $2, epoch = epoch + 1
     WHERE id = $1 AND standing = 0
       AND (runner IN (0, $2) OR NOT EXISTS (SELECT 1 FROM replicas WHERE replicas.id = tasks.runner))";

const OURS: &str = "SELECT id, epoch FROM tasks
     WHERE standing = 0 AND state IN (1, 2) AND state IN (1, 2, 8) AND runner = $1 AND id > $2 ORDER BY id LIMIT $3";

/// Of those that live nobody works on what is listed here; runners are few, so they are found one by one.
const NOBODYS: &str = "WITH RECURSIVE runners (id) AS (
        (SELECT runner FROM tasks WHERE standing = 0 AND state IN (1, 2, 8) ORDER BY runner LIMIT 1)
        UNION ALL
        SELECT (SELECT runner FROM tasks WHERE standing = 0 AND state IN (1, 2, 8) AND runner > runners.id
                ORDER BY runner LIMIT 1)
        FROM runners WHERE runners.id IS NOT NULL)
     SELECT found.id, found.epoch FROM runners
     CROSS JOIN LATERAL (SELECT id, epoch FROM tasks
        WHERE standing = 0 AND state IN (1, 2, 8) AND runner = runners.id AND id > $1 ORDER BY id LIMIT $2) AS found
     WHERE NOT EXISTS (SELECT 1 FROM replicas WHERE replicas.id = runners.id)
     ORDER BY found.id LIMIT $2";

impl Leases for Postgres {
    fn acquire(&self, id: TaskId) -> BoxFuture<'_, Result<Acquired>> {
        let me = self.shared.replica();
        let work = move |session: Arc<Session>| async move {
            let taken = session.execute(ACQUIRE, &[&uuid(id), &me]).await? > 0;
            let Some(stored) = read::task(&session, id).await? else { return Ok(Acquired::Missing) };
            let settled = stored.hidden || crate::task::state::is_settled(stored.state);
            Ok(if taken || settled { Acquired::Task(Box::new(stored)) } else { Acquired::Elsewhere })
        };
        Box::pin(async move {
            let acquired = self.shared.seldom.run(work).await?;
            if let Acquired::Task(stored) = &acquired {
                // Whoever worked on it is to know.
                self.shared.bus.moved(id, stored.sequence, stored.epoch);
            }
            Ok(acquired)
        })
    }

    fn strays(&self, after: Option<TaskId>) -> BoxFuture<'_, Result<Vec<Stray>>> {
        let me = self.shared.replica();
        let after = after.map_or(Uuid::nil(), uuid);
        let query = move |session: Arc<Session>| async move {
            let nobodys = session.query(NOBODYS, &[&after, &AT_ONCE]).await?;
            let ours = session.query(OURS, &[&me, &after, &AT_ONCE]).await?;
            let stray = |row: &Row, ours| {
                let (id, epoch): (Uuid, i64) = (row.get(0), row.get(1));
                Stray { id: TaskId::from_bytes(id.into_bytes()), ours, epoch: epoch.cast_unsigned() }
            };
            let nobodys = nobodys.iter().map(|row| stray(row, false));
            let mut strays: Vec<_> = nobodys.chain(ours.iter().map(|row| stray(row, true))).collect();
            strays.sort_unstable_by_key(|stray| stray.id);
            // What lies behind the end of either list is in the next page.
            strays.truncate(usize::try_from(AT_ONCE).unwrap_or(usize::MAX));
            Ok(strays)
        };
        Box::pin(self.shared.readers.read(query))
    }

    fn ask_to_cancel(&self, id: TaskId, metadata: Option<Struct>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let metadata = metadata.map(|metadata| metadata.encode_to_vec());
            let (id, metadata) = (uuid(id), &metadata);
            let asked = "INSERT INTO cancels (task, metadata) VALUES ($1, $2)
                 ON CONFLICT (task) DO UPDATE SET metadata = excluded.metadata";
            let work = |session: Arc<Session>| async move { session.execute(asked, &[&id, metadata]).await };
            self.shared.seldom.run(work).await?;
            self.shared.bus.asked();
            Ok(())
        })
    }

    fn asked(&self) -> BoxFuture<'_, Result<Vec<Asked>>> {
        let me = self.shared.replica();
        Box::pin(async move {
            // Most of the time there is none, which a read tells.
            let any = "SELECT EXISTS (SELECT 1 FROM cancels)";
            let any = self.shared.readers.read(|session| async move { session.query_one(any, &[]).await }).await?;
            if !any.get::<_, bool>(0) {
                return Ok(Vec::new());
            }
            let taken =
                "DELETE FROM cancels USING tasks WHERE tasks.id = cancels.task AND (runner = $1 OR standing > 0)
                 RETURNING cancels.task, metadata, standing = 0";
            let work = |session: Arc<Session>| async move { session.query(taken, &[&me]).await };
            let rows = self.shared.seldom.run(work).await?;
            rows.iter().filter(|row| row.get(2)).map(read_asked).collect()
        })
    }

    fn sweep(&self) -> Option<Duration> {
        Some(self.shared.settings.lease / 2)
    }
}

fn read_asked(row: &Row) -> Result<Asked> {
    let (id, metadata): (Uuid, Option<Vec<u8>>) = (row.get(0), row.get(1));
    let metadata = metadata.map(|bytes| Struct::decode(&bytes[..])).transpose();
    let metadata = metadata.map_err(|cause| Error::internal("reading what was asked of a task", cause))?;
    Ok(Asked { id: TaskId::from_bytes(id.into_bytes()), metadata })
}

fn uuid(id: TaskId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
