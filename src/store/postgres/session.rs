//! A connection to the database, and why work on it fails.
//!
//! Statements are prepared once for each connection. Calls on one connection may run at the same time: they are sent one
//! behind the other without waiting for answers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Row, Statement, error::SqlState, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::Database;
use crate::error::{Error, ErrorKind};

/// What a statement is called with.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How long one statement may take, its answer included.
const STATEMENT: Duration = Duration::from_secs(20);

/// Has statements planned once, by their text: by indexes, row by row. Otherwise a plan depends on what is known of tables
/// that were empty a moment ago, and one of many values is made anew each time, which takes longer than running it.
const SETTLED_PLANS: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off;
             SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// Why work on the database failed.
#[derive(Debug)]
pub enum Failure {
    /// The database refused, or the connection broke.
    Sql(tokio_postgres::Error),
    /// The connection cannot be used: in words for an operator.
    Lost(String),
    /// What the caller is told.
    Error(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// Whether the connection is of no more use: it broke, or its server no longer takes writes.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Error(_) => false,
            Self::Sql(error) => match error.code() {
                None => error.is_closed() || error.as_db_error().is_none(),
                Some(code) => {
                    let class = &code.code()[..2];
                    class == "08"
                        || class == "57" && *code != SqlState::QUERY_CANCELED
                        || [
                            SqlState::READ_ONLY_SQL_TRANSACTION,
                            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                            SqlState::TOO_MANY_CONNECTIONS,
                        ]
                        .contains(code)
                }
            },
        }
    }

    /// Whether the server is about to begin, or to end.
    pub fn is_beginning(&self) -> bool {
        matches!(self, Self::Sql(error) if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW))
    }

    /// Whether the same again may succeed at once: others were in the way.
    pub fn is_transient(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE]
            .iter()
            .any(|code| error.code() == Some(code))
    }

    /// What callers see; the database's own words go to the log.
    pub fn into_error(self) -> Error {
        let lost = self.is_lost();
        let cause = match self {
            Self::Error(error) => return error,
            Self::Lost(cause) => cause,
            Self::Sql(cause) if cause.code() == Some(&SqlState::DISK_FULL) => {
                tracing::error!(cause = words(&cause), "the store is full");
                return Error::new(ErrorKind::StoreFull, "the store is full: nothing was stored");
            }
            Self::Sql(cause) if lost || cause.code() == Some(&SqlState::QUERY_CANCELED) => words(&cause),
            Self::Sql(cause) => return Error::internal("a store operation", words(&cause)),
        };
        tracing::error!(cause, "the database cannot be used");
        unavailable()
    }
}

/// The database is not there.
pub fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "the database cannot be reached now: try again")
}

/// An error of the database with what lies behind it.
pub fn words(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(refusal), _) => format!("{} ({})", refusal.message(), refusal.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// A connection.
pub struct Session {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    _driver: AbortOnDropHandle<()>,
}

impl Session {
    /// Connects. `idle`: how long a transaction may lie open with nothing happening until the server ends it: what a
    /// process holds that has stopped must come free.
    pub async fn connect(database: &Database, idle: Duration) -> Result<Self, Failure> {
        let tls = MakeRustlsConnect::new((*database.tls).clone());
        let connecting = database.config.connect(tls);
        let (client, mut connection) = within(STATEMENT, connecting).await??;
        let driver = tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) => tracing::debug!(notice = notice.message(), "the database says"),
                    Ok(_) => {}
                    // Whoever uses the client hears of it, too.
                    Err(error) => {
                        return tracing::debug!(cause = words(&error), "a connection to the database ended");
                    }
                }
            }
        });
        let session = Self { client, statements: Mutex::default(), _driver: AbortOnDropHandle::new(driver) };
        let statement = STATEMENT.as_millis();
        let settings = format!(
            "SET statement_timeout = {statement}; SET lock_timeout = {statement};
             SET idle_in_transaction_session_timeout = {}; SET bytea_output = 'hex'; SET TimeZone = 'UTC';
             {SETTLED_PLANS}",
            idle.as_millis()
        );
        session.batch(&settings).await?;
        Ok(session)
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs a statement and reads its rows.
    pub async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Failure> {
        let work = async {
            let statement = self.prepare(sql).await?;
            Ok(self.client.query(&statement, params).await?)
        };
        within(STATEMENT, work).await?
    }

    /// As [`Session::query`], of a statement that has at most one row.
    pub async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Failure> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// As [`Session::query`], of a statement that has a row.
    pub async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row, Failure> {
        let row = self.query_opt(sql, params).await?;
        row.ok_or_else(|| Failure::Error(Error::internal("a store operation", "a row is missing")))
    }

    /// Runs a statement; how many rows it changed.
    pub async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Failure> {
        let work = async {
            let statement = self.prepare(sql).await?;
            Ok(self.client.execute(&statement, params).await?)
        };
        within(STATEMENT, work).await?
    }

    /// Runs statements without parameters.
    pub async fn batch(&self, sql: &str) -> Result<(), Failure> {
        Ok(within(STATEMENT, self.client.batch_execute(sql)).await??)
    }

    /// The client itself, for what the above have no form for.
    #[cfg(test)]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn prepare(&self, sql: &str) -> Result<Statement, Failure> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(limit, work).await.map_err(|_| Failure::Lost(format!("no answer within {limit:?}")))
}
