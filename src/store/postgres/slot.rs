//! Places for connections: made when they are wanted, made again when they broke.
//!
//! Promises:
//! - **All or nothing, also when the connection breaks.** What broke before its commit was sent is done again. What broke
//!   in its commit is asked about, and done again only if it was not committed. For that each transaction that writes sets
//!   the number in its slot's row: that is there exactly if the rest is. (The ids of transactions do not tell: a server that
//!   crashed, or another in its place, gives those away again that it had not yet written down.)
//! - **Dropped is undone.** A transaction whose future is dropped takes its connection with it.
//! - **Bounded.** A database that is away is waited for, for a while; then the caller is told that it is unavailable.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{try_join, try_join3};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    Database,
    session::{Failure, Session},
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::closed,
};

/// How long a database that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for where it is not known whether it has committed.
const DOUBT: Duration = Duration::from_secs(60);
/// How long a server that is about to begin is waited for at the start.
const BEGINNING: Duration = Duration::from_secs(60);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(100);
/// How often a transaction is begun again that others were in the way of.
const TRIES: u32 = 20;

/// How connections are made, and whether they still are.
pub struct Maker {
    database: Database,
    /// See [`Session::connect`].
    idle: Duration,
    closed: AtomicBool,
}

impl Maker {
    pub fn new(database: Database, idle: Duration) -> Arc<Self> {
        Arc::new(Self { database, idle, closed: AtomicBool::new(false) })
    }

    /// Makes one connection, without trying again.
    pub async fn connect(&self) -> Result<Session, Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed().into());
        }
        Session::connect(&self.database, self.idle).await
    }

    /// Makes one, trying again for a while.
    pub async fn connect_within(&self, patience: Duration) -> Result<Session, Failure> {
        let until = Instant::now() + patience;
        loop {
            match self.connect().await {
                Err(failure) if failure.is_lost() && Instant::now() < until => sleep(AGAIN).await,
                result => return result,
            }
        }
    }

    /// Makes the first one. A server that is there and says that it is about to begin is waited for; whatever else is wrong
    /// is for whoever starts this process to hear at once.
    pub async fn connect_first(&self) -> Result<Session, Failure> {
        let until = Instant::now() + BEGINNING;
        loop {
            match self.connect().await {
                Err(failure) if failure.is_beginning() && Instant::now() < until => sleep(AGAIN).await,
                result => return result,
            }
        }
    }

    /// Refuses connections from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Connections that many read by at once.
pub struct Readers {
    maker: Arc<Maker>,
    sessions: Vec<Shared>,
    turn: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    session: Mutex<Option<Arc<Session>>>,
    /// Held while a connection is being made, so that one is.
    making: tokio::sync::Mutex<()>,
}

impl Shared {
    fn get(&self) -> Option<Arc<Session>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        session.filter(|session| !session.is_closed())
    }

    fn set(&self, session: Option<Arc<Session>>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

impl Readers {
    pub fn new(maker: Arc<Maker>, count: usize) -> Self {
        let sessions = (0..count.max(1)).map(|_| Shared::default()).collect();
        Self { maker, sessions, turn: AtomicUsize::new(0) }
    }

    /// Reads. What broke is read again, for a while.
    pub async fn read<T, F>(&self, query: impl Fn(Arc<Session>) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            let place = &self.sessions[self.turn.fetch_add(1, Ordering::Relaxed) % self.sessions.len()];
            let session = self.session(place, until).await?;
            match query(session).await {
                Ok(value) => return Ok(value),
                Err(failure) if failure.is_lost() && Instant::now() < until => place.set(None),
                Err(failure) if failure.is_transient() && Instant::now() < until => {}
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    async fn session(&self, place: &Shared, until: Instant) -> Result<Arc<Session>> {
        if let Some(session) = place.get() {
            return Ok(session);
        }
        let _making = place.making.lock().await;
        if let Some(session) = place.get() {
            return Ok(session);
        }
        let patience = until.saturating_duration_since(Instant::now());
        let session = self.maker.connect_within(patience).await.map_err(Failure::into_error)?;
        let session = Arc::new(session);
        place.set(Some(session.clone()));
        Ok(session)
    }

    /// Lets go of all connections.
    pub fn close(&self) {
        self.sessions.iter().for_each(|place| place.set(None));
    }
}

/// A connection for transactions, one after the other.
pub struct Slot {
    maker: Arc<Maker>,
    /// Its row.
    id: Uuid,
    place: tokio::sync::Mutex<Place>,
}

#[derive(Default)]
struct Place {
    session: Option<Arc<Session>>,
    /// The newest transaction's.
    number: i64,
}

/// Sets the number of slot `$1`.
const MARK: &str = "INSERT INTO slots (id, number) VALUES ($1, $2)
     ON CONFLICT (id) DO UPDATE SET number = excluded.number, used = excluded.used";

/// The same where the transaction has written something.
const MARK_WRITTEN: &str = "INSERT INTO slots (id, number)
     SELECT $1::uuid, $2::bigint WHERE pg_current_xact_id_if_assigned() IS NOT NULL
     ON CONFLICT (id) DO UPDATE SET number = excluded.number, used = excluded.used";

/// The number of slot `$1`, once no transaction that sets it is under way.
const MARKED: &str = "INSERT INTO slots (id, number) VALUES ($1, 0)
     ON CONFLICT (id) DO UPDATE SET used = excluded.used RETURNING number";

impl Slot {
    pub fn new(maker: Arc<Maker>) -> Self {
        Self { maker, id: Uuid::now_v7(), place: tokio::sync::Mutex::default() }
    }

    /// Runs work in a transaction and commits it. The work may be run more than once; a `Failure::Error` undoes it and is
    /// returned.
    pub async fn run<T, F>(&self, work: impl Fn(Arc<Session>) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.transact(Marked::WhenItHasWritten, work).await
    }

    /// As [`Slot::run`], for work that writes and waits for nobody for long: its slot is marked from the start, which saves a
    /// round trip.
    pub async fn write<T, F>(&self, work: impl Fn(Arc<Session>) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.transact(Marked::AtOnce, work).await
    }

    async fn transact<T, F>(&self, marked: Marked, work: impl Fn(Arc<Session>) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let until = Instant::now() + PATIENCE;
        let mut tries = 0;
        // Taken out while it is in use: whatever drops this future drops it, and the server undoes what was begun.
        let mut place = self.place.lock().await;
        loop {
            place.number += 1;
            let number = place.number;
            let open = place.session.take().filter(|session| !session.is_closed());
            let session = match open {
                Some(session) => session,
                None => {
                    let patience = until.saturating_duration_since(Instant::now());
                    Arc::new(self.maker.connect_within(patience).await.map_err(Failure::into_error)?)
                }
            };
            let failure = match begin(&session, (self.id, number), marked, &work).await {
                Ok((value, written)) => match session.batch("COMMIT").await {
                    Ok(()) => {
                        place.session = Some(session);
                        return Ok(value);
                    }
                    Err(failure) if failure.is_lost() => {
                        drop(session);
                        if !written || self.is_committed(number).await? {
                            return Ok(value);
                        }
                        failure
                    }
                    Err(failure) => failure,
                },
                Err(failure) => {
                    if !failure.is_lost() && session.batch("ROLLBACK").await.is_ok() {
                        place.session = Some(session);
                    }
                    failure
                }
            };
            tries += 1;
            let again = failure.is_lost() && Instant::now() < until || failure.is_transient() && tries < TRIES;
            if !again {
                return Err(failure.into_error());
            }
        }
    }

    /// Whether a transaction was committed whose connection broke in the commit.
    async fn is_committed(&self, number: i64) -> Result<bool> {
        let until = Instant::now() + DOUBT;
        while Instant::now() < until {
            let patience = until.saturating_duration_since(Instant::now());
            let marked = async {
                let session = self.maker.connect_within(patience).await?;
                Ok::<i64, Failure>(session.query_one(MARKED, &[&self.id]).await?.get(0))
            };
            match marked.await {
                Ok(marked) => return Ok(marked == number),
                Err(failure) if failure.is_lost() || failure.is_transient() => {}
                Err(failure) => return Err(failure.into_error()),
            }
            sleep(AGAIN).await;
        }
        tracing::error!("the database went away in a commit, and it is not known whether it was made");
        let message =
            "the database went away while it stored this, and it is not known whether it did: look, and try again";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Lets go of the connection once it is not in use.
    pub async fn close(&self) {
        self.place.lock().await.session.take();
    }
}

/// When a transaction's slot is marked. From then on the feed stays before it.
#[derive(Clone, Copy)]
enum Marked {
    AtOnce,
    WhenItHasWritten,
}

/// Runs work in a transaction up to its commit; and whether it wrote something. What does not depend on an answer is sent
/// without waiting for it. `mark`: the slot, and its number.
async fn begin<T, F>(
    session: &Arc<Session>,
    mark: (Uuid, i64),
    marked: Marked,
    work: &(impl Fn(Arc<Session>) -> F + Send),
) -> Result<(T, bool), Failure>
where
    F: Future<Output = Result<T, Failure>> + Send,
{
    let begun = session.batch("BEGIN");
    let (slot, number) = mark;
    match marked {
        Marked::AtOnce => {
            let marking = async { session.execute(MARK, &[&slot, &number]).await };
            let ((), _, value) = try_join3(begun, marking, work(session.clone())).await?;
            Ok((value, true))
        }
        Marked::WhenItHasWritten => {
            let ((), value) = try_join(begun, work(session.clone())).await?;
            let written = session.execute(MARK_WRITTEN, &[&slot, &number]).await? > 0;
            Ok((value, written))
        }
    }
}

#[cfg(test)]
pub const PLANNED: [&str; 3] = [MARK, MARK_WRITTEN, MARKED];
