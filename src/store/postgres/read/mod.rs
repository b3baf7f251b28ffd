//! Reads: each is one statement, so that what it reads belongs together.

mod feed;
mod list;

pub use feed::{Feed, feed};
pub use list::list;

use std::sync::Arc;

use prost::Message as _;
use tokio_postgres::Row;
use uuid::Uuid;

use super::session::{Failure, Session};
use crate::{
    error::Error,
    proto::a2a::{Task, TaskState},
    store::{
        Identity, Link, LogPage, Stored, Used,
        codes::{HIDDEN, PAGE_BYTES, PAGE_EVENTS, dialect_of, state_of},
        segment,
    },
    task::{self, Event, TaskId, Upstream},
};

/// The columns that a [`Header`] is read from, which come first.
const COLUMNS: &str = "tasks.key, tasks.id, tasks.owner, tasks.agent, tasks.context, tasks.dialect, tasks.created, \
                       tasks.deadline, tasks.output_modes, tasks.state, tasks.updated, tasks.head, tasks.floor, \
                       tasks.dispatched, tasks.standing, tasks.upstream_task, tasks.upstream_context, \
                       tasks.extensions, tasks.epoch";

/// How many there are.
const COLUMN_COUNT: usize = 19;

/// What a task is folded from, beside its row: the snapshot, and the segments after it.
const BODY: &str = "LEFT JOIN snapshots ON snapshots.task = tasks.key
     CROSS JOIN LATERAL (SELECT array_agg(first) AS firsts, array_agg(data) AS datas FROM (
        SELECT first, data FROM segments
        WHERE segments.task = tasks.key AND last > coalesce(snapshots.sequence, 0) ORDER BY last) AS after) AS log";

/// The columns of [`BODY`].
const BODY_COLUMNS: &str = "snapshots.sequence, snapshots.data, log.firsts, log.datas";

/// A row of `tasks`.
struct Header {
    key: i64,
    identity: Arc<Identity>,
    state: TaskState,
    updated: i64,
    head: u64,
    floor: u64,
    dispatched: bool,
    hidden: bool,
    upstream: Upstream,
    extensions: Vec<String>,
    epoch: u64,
}

impl Header {
    fn read(row: &Row) -> Self {
        let (output_modes, extensions): (&str, &str) = (row.get(8), row.get(17));
        let identity = Identity {
            id: task_id(row.get(1)),
            owner: row.get::<_, &str>(2).into(),
            agent: row.get::<_, &str>(3).into(),
            context_id: row.get(4),
            dialect: dialect_of(row.get(5)),
            created: row.get(6),
            deadline: row.get(7),
            output_modes: output_modes.lines().map(str::to_owned).collect(),
        };
        Self {
            key: row.get(0),
            identity: Arc::new(identity),
            state: state_of(row.get(9)),
            updated: row.get(10),
            head: number(row, 11),
            floor: number(row, 12),
            dispatched: row.get(13),
            hidden: row.get::<_, i32>(14) == HIDDEN,
            upstream: Upstream { task_id: text(row.get(15)), context_id: text(row.get(16)) },
            extensions: extensions.lines().map(str::to_owned).collect(),
            epoch: number(row, 18),
        }
    }

    /// The snapshot, and what came after it folded in. `at`: where [`BODY_COLUMNS`] begin.
    fn fold(self, row: &Row, at: usize) -> Result<Stored, Failure> {
        let (sequence, snapshot): (Option<i64>, Option<&[u8]>) = (row.get(at), row.get(at + 1));
        let mut task =
            Task::decode(snapshot.unwrap_or_default()).map_err(|cause| Error::internal("reading a snapshot", cause))?;
        let mut unfolded = 0;
        for (first, data) in segments(row, at + 2) {
            unfolded += data.len();
            let after = sequence.unwrap_or(0).cast_unsigned();
            for event in segment::decode(self.identity.id, first, after, data)? {
                task::apply(&mut task, &event);
            }
        }
        Ok(Stored {
            task,
            sequence: self.head,
            state: self.state,
            updated: self.updated,
            floor: self.floor,
            unfolded,
            dispatched: self.dispatched,
            upstream: self.upstream,
            extensions: self.extensions,
            hidden: self.hidden,
            epoch: self.epoch,
            identity: self.identity,
        })
    }
}

/// Segments in two arrays, one of their first sequences and one of their bytes.
fn segments(row: &Row, at: usize) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let firsts: Option<Vec<i64>> = row.get(at);
    let datas: Option<Vec<Vec<u8>>> = row.get(at + 1);
    firsts.unwrap_or_default().into_iter().map(i64::cast_unsigned).zip(datas.unwrap_or_default())
}

pub async fn task(session: &Session, id: TaskId) -> Result<Option<Stored>, Failure> {
    let row = session.query_opt(&task_statement(), &[&uuid(id)]).await?;
    row.map(|row| Header::read(&row).fold(&row, COLUMN_COUNT)).transpose()
}

fn task_statement() -> String {
    format!("SELECT {COLUMNS}, {BODY_COLUMNS} FROM tasks {BODY} WHERE tasks.id = $1")
}

/// A piece of a log ends after the segment that fills it, so what came before each is added up.
fn log_statement() -> String {
    format!(
        "SELECT tasks.owner, tasks.head, tasks.floor, tasks.state, log.firsts, log.datas FROM tasks
         CROSS JOIN LATERAL (SELECT array_agg(first) AS firsts, array_agg(data) AS datas FROM (
            SELECT first, data,
                   sum(octet_length(data)) OVER before AS bytes, sum((last - first + 1)::integer) OVER before AS events
            FROM (SELECT first, last, data FROM segments
                  WHERE segments.task = tasks.key AND last > $2 ORDER BY last LIMIT {PAGE_EVENTS}) AS page
            WINDOW before AS (ORDER BY last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS bounded
            WHERE coalesce(bytes, 0) < {PAGE_BYTES} AND coalesce(events, 0) < {PAGE_EVENTS}) AS log
         WHERE tasks.id = $1"
    )
}

pub async fn log(session: &Session, id: TaskId, after: u64) -> Result<Option<LogPage>, Failure> {
    let found = session.query_opt(&log_statement(), &[&uuid(id), &clamped(after)]).await?;
    let Some(row) = found else { return Ok(None) };
    let mut events: Vec<Arc<Event>> = Vec::new();
    for (first, data) in segments(&row, 4) {
        events.extend(segment::decode(id, first, after, data)?);
    }
    let owner = row.get::<_, &str>(0).into();
    let (head, floor) = (number(&row, 1), number(&row, 2));
    Ok(Some(LogPage { owner, events, head, floor, state: state_of(row.get(3)) }))
}

pub const REQUEST: &str =
    "SELECT digest, task FROM requests WHERE owner = $1 AND agent = $2 AND id = $3 AND expires > $4";

pub async fn request(session: &Session, owner: &str, agent: &str, id: &str, now: i64) -> Result<Option<Used>, Failure> {
    let row = session.query_opt(REQUEST, &[&owner, &agent, &id, &now]).await?;
    row.map(|row| used(&row, 0)).transpose()
}

/// What a request id was used for, from its digest and its task. `at`: where they are.
pub fn used(row: &Row, at: usize) -> Result<Used, Failure> {
    let digest = row.get::<_, &[u8]>(at).try_into();
    let digest = digest.map_err(|cause| Error::internal("reading what a request id was used for", cause))?;
    Ok(Used { digest, task: task_id(row.get(at + 1)) })
}

/// An open task is this process's matter, or nobody's, or that of one that is dead.
const OVERDUE: &str = "SELECT id FROM tasks
     WHERE standing = 0 AND deadline IS NOT NULL AND deadline <= $1
       AND (runner IN (0, $2) OR NOT EXISTS (SELECT 1 FROM replicas WHERE replicas.id = tasks.runner))
     ORDER BY deadline LIMIT 256";

pub async fn overdue(session: &Session, me: i64, now: i64) -> Result<Vec<TaskId>, Failure> {
    let rows = session.query(OVERDUE, &[&now, &me]).await?;
    Ok(rows.iter().map(|row| task_id(row.get(0))).collect())
}

const LINK: &str = "SELECT owner, agent, upstream_task, upstream_context FROM tasks WHERE id = $1";

pub async fn link(session: &Session, id: TaskId) -> Result<Option<Link>, Failure> {
    let row = session.query_opt(LINK, &[&uuid(id)]).await?;
    Ok(row.map(|row| Link {
        owner: row.get::<_, &str>(0).into(),
        agent: row.get::<_, &str>(1).into(),
        upstream: Upstream { task_id: text(row.get(2)), context_id: text(row.get(3)) },
    }))
}

const LINKED: &str = "SELECT id FROM tasks
     WHERE sha256(upstream_task) = sha256($1) AND upstream_task = $1 AND upstream_task <> '' AND agent = $2 AND owner = $3
     ORDER BY key DESC LIMIT 1";

pub async fn linked(
    session: &Session,
    owner: &str,
    agent: &str,
    upstream_task: &str,
) -> Result<Option<TaskId>, Failure> {
    let row = session.query_opt(LINKED, &[&upstream_task.as_bytes(), &agent, &owner]).await?;
    Ok(row.map(|row| task_id(row.get(0))))
}

const CONTEXT: &str = "SELECT upstream FROM contexts WHERE owner = $1 AND agent = $2 AND context = $3";

pub async fn upstream_context(
    session: &Session,
    owner: &str,
    agent: &str,
    context: &str,
) -> Result<Option<String>, Failure> {
    let row = session.query_opt(CONTEXT, &[&owner, &agent, &context]).await?;
    Ok(row.map(|row| text(row.get(0))))
}

pub async fn counts(session: &Session) -> Result<Vec<(TaskState, u64)>, Failure> {
    let rows = session.query("SELECT state, sum(tasks)::bigint FROM counts GROUP BY state", &[]).await?;
    Ok(rows.iter().map(|row| (state_of(row.get(0)), number(row, 1))).collect())
}

/// How an id is stored.
pub fn uuid(id: TaskId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

/// See [`uuid`].
pub fn task_id(id: Uuid) -> TaskId {
    TaskId::from_bytes(id.into_bytes())
}

/// A number that is stored with a sign and has none.
fn number(row: &Row, at: usize) -> u64 {
    row.get::<_, i64>(at).max(0).cast_unsigned()
}

/// A number as it is compared with what is stored.
pub fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Text that is stored as bytes.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    let constant = [REQUEST, OVERDUE, LINK, LINKED, CONTEXT].map(str::to_owned);
    constant.into_iter().chain([task_statement(), log_statement(), feed::statement()]).collect()
}

#[cfg(test)]
pub use list::planned as planned_lists;
