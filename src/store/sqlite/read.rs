//! Reads: each runs in one transaction, so that what it reads belongs together.

use std::sync::Arc;

use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Value as Sql};

use super::Failure;
use crate::{
    error::Error,
    proto::a2a::{Task, TaskState},
    store::{Commit, FeedPage, Identity, Key, LIST_BYTES, Link, LogPage, Stored, TaskPage, TaskQuery, Used, segment},
    task::{self, Event, TaskId, Upstream},
};

pub use crate::store::codes::{HIDDEN, OPEN, SETTLED, dialect_code, dialect_of, state_of};
use crate::store::codes::{PAGE_BYTES, PAGE_EVENTS, standing_of};

const COLUMNS: &str = "key, id, owner, agent, context, dialect, created, deadline, output_modes, state, updated, head, \
                       floor, dispatched, standing, upstream_task, upstream_context, extensions";

/// A row of `tasks`.
pub struct Header {
    pub key: i64,
    pub identity: Arc<Identity>,
    state: TaskState,
    updated: i64,
    head: u64,
    pub floor: u64,
    dispatched: bool,
    hidden: bool,
    upstream: Upstream,
    extensions: Vec<String>,
}

impl Header {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (output_modes, extensions): (String, String) = (row.get(8)?, row.get(17)?);
        let identity = Identity {
            id: TaskId::from_bytes(row.get(1)?),
            owner: row.get::<_, String>(2)?.into(),
            agent: row.get::<_, String>(3)?.into(),
            context_id: row.get(4)?,
            dialect: dialect_of(row.get(5)?),
            created: row.get(6)?,
            deadline: row.get(7)?,
            output_modes: output_modes.lines().map(str::to_owned).collect(),
        };
        Ok(Self {
            key: row.get(0)?,
            identity: Arc::new(identity),
            state: state_of(row.get(9)?),
            updated: row.get(10)?,
            head: row.get(11)?,
            floor: row.get(12)?,
            dispatched: row.get(13)?,
            hidden: row.get::<_, i32>(14)? == HIDDEN,
            upstream: Upstream { task_id: row.get(15)?, context_id: row.get(16)? },
            extensions: extensions.lines().map(str::to_owned).collect(),
        })
    }

    pub fn find(sql: &Connection, id: TaskId) -> rusqlite::Result<Option<Self>> {
        sql.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1"))?
            .query_row([id.to_bytes()], Self::read)
            .optional()
    }

    /// The snapshot, and what came after it folded in.
    fn fold(self, sql: &Connection) -> Result<Stored, Failure> {
        let id = self.identity.id;
        let (mut task, sequence) = snapshot(sql, self.key)?.unwrap_or_default();
        let mut unfolded = 0;
        if sequence < self.head {
            let mut statement = sql.prepare_cached(SEGMENTS_AFTER)?;
            let mut rows = statement.query(params![self.key, sequence])?;
            while let Some(row) = rows.next()? {
                let data: Vec<u8> = row.get(1)?;
                unfolded += data.len();
                for event in segment::decode(id, row.get(0)?, sequence, data)? {
                    task::apply(&mut task, &event);
                }
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
            epoch: 1,
            identity: self.identity,
        })
    }
}

/// The newest snapshot of a task, and the sequence that it holds up to.
pub fn snapshot(sql: &Connection, key: i64) -> Result<Option<(Task, u64)>, Failure> {
    let stored: Option<(u64, Vec<u8>)> = sql
        .prepare_cached("SELECT sequence, data FROM snapshots WHERE task = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((sequence, data)) = stored else { return Ok(None) };
    let task = Task::decode(&data[..]).map_err(|cause| Error::internal("reading a snapshot", cause))?;
    Ok(Some((task, sequence)))
}

pub const SEGMENTS_AFTER: &str = "SELECT first, data FROM segments WHERE task = ?1 AND last > ?2 ORDER BY last";

pub fn task(sql: &Connection, id: TaskId) -> Result<Option<Stored>, Failure> {
    Header::find(sql, id)?.map(|header| header.fold(sql)).transpose()
}

pub fn log(sql: &Connection, id: TaskId, after: u64) -> Result<Option<LogPage>, Failure> {
    let Some(header) = Header::find(sql, id)? else { return Ok(None) };
    let mut events: Vec<Arc<Event>> = Vec::new();
    if after < header.head {
        let mut bytes = 0;
        let mut statement = sql.prepare_cached(SEGMENTS_AFTER)?;
        let mut rows = statement.query(params![header.key, after])?;
        while let Some(row) = rows.next()? {
            let data: Vec<u8> = row.get(1)?;
            bytes += data.len();
            events.extend(segment::decode(id, row.get(0)?, after, data)?);
            if events.len() >= PAGE_EVENTS || bytes >= PAGE_BYTES {
                break;
            }
        }
    }
    let owner = header.identity.owner.clone();
    Ok(Some(LogPage { owner, events, head: header.head, floor: header.floor, state: header.state }))
}

pub fn feed(sql: &Connection, after: u64) -> Result<FeedPage, Failure> {
    let floor: u64 =
        sql.prepare_cached("SELECT value FROM meta WHERE name = 'feed_floor'")?.query_row([], |row| row.get(0))?;
    let newest: Option<u64> =
        sql.prepare_cached("SELECT max(position) FROM segments")?.query_row([], |row| row.get(0))?;
    let mut statement = sql.prepare_cached(&format!(
        "SELECT {COLUMNS}, position, first, data FROM segments JOIN tasks ON tasks.key = segments.task
         WHERE position > ?1 ORDER BY position LIMIT {PAGE_EVENTS}"
    ))?;
    let mut rows = statement.query([after])?;
    let mut commits = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let identity = Header::read(row)?.identity;
        let data: Vec<u8> = row.get("data")?;
        bytes += data.len();
        let events = segment::decode(identity.id, row.get("first")?, 0, data)?;
        commits.push(Commit { position: row.get("position")?, identity, events });
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    let head = newest.unwrap_or(0).max(floor);
    Ok(FeedPage { commits, head, stable: head, floor })
}

pub fn request(sql: &Connection, owner: &str, agent: &str, id: &str, now: i64) -> Result<Option<Used>, Failure> {
    let used = sql
        .prepare_cached(
            "SELECT digest, task FROM requests WHERE owner = ?1 AND agent = ?2 AND id = ?3 AND expires > ?4",
        )?
        .query_row(params![owner, agent, id, now], |row| {
            Ok(Used { digest: row.get(0)?, task: TaskId::from_bytes(row.get(1)?) })
        })
        .optional()?;
    Ok(used)
}

pub fn open_tasks(sql: &Connection, after: Option<TaskId>) -> Result<Vec<TaskId>, Failure> {
    // Ids sort by creation, so a page continues after an id whatever happened to the task since. The plus keeps SQLite
    // on the index of open tasks: they are few among many.
    let mut statement = sql.prepare_cached(
        "SELECT id FROM tasks WHERE standing = 0 AND state IN (1, 2, 8) AND +id > ?1 ORDER BY id LIMIT 4096",
    )?;
    let after = after.map_or([0; 16], TaskId::to_bytes);
    let ids =
        statement.query_map([after], |row| row.get(0).map(TaskId::from_bytes))?.collect::<rusqlite::Result<_>>()?;
    Ok(ids)
}

pub fn overdue(sql: &Connection, now: i64) -> Result<Vec<TaskId>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT id FROM tasks WHERE standing = 0 AND deadline IS NOT NULL AND deadline <= ?1 ORDER BY deadline LIMIT 256",
    )?;
    let ids = statement.query_map([now], |row| row.get(0).map(TaskId::from_bytes))?.collect::<rusqlite::Result<_>>()?;
    Ok(ids)
}

pub fn link(sql: &Connection, id: TaskId) -> Result<Option<Link>, Failure> {
    let link = sql
        .prepare_cached("SELECT owner, agent, upstream_task, upstream_context FROM tasks WHERE id = ?1")?
        .query_row([id.to_bytes()], |row| {
            Ok(Link {
                owner: row.get::<_, String>(0)?.into(),
                agent: row.get::<_, String>(1)?.into(),
                upstream: Upstream { task_id: row.get(2)?, context_id: row.get(3)? },
            })
        })
        .optional()?;
    Ok(link)
}

pub fn linked(sql: &Connection, owner: &str, agent: &str, upstream_task: &str) -> Result<Option<TaskId>, Failure> {
    let id = sql
        .prepare_cached(
            "SELECT id FROM tasks WHERE upstream_task = ?1 AND upstream_task <> '' AND agent = ?2 AND owner = ?3
             ORDER BY key DESC LIMIT 1",
        )?
        .query_row([upstream_task, agent, owner], |row| row.get(0).map(TaskId::from_bytes))
        .optional()?;
    Ok(id)
}

pub fn upstream_context(sql: &Connection, owner: &str, agent: &str, context: &str) -> Result<Option<String>, Failure> {
    let upstream = sql
        .prepare_cached("SELECT upstream FROM contexts WHERE owner = ?1 AND agent = ?2 AND context = ?3")?
        .query_row([owner, agent, context], |row| row.get(0))
        .optional()?;
    Ok(upstream)
}

pub fn counts(sql: &Connection) -> Result<Vec<(TaskState, u64)>, Failure> {
    let mut statement = sql.prepare_cached("SELECT state, sum(tasks) FROM counts GROUP BY state")?;
    let counts =
        statement.query_map([], |row| Ok((state_of(row.get(0)?), row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(counts)
}

pub fn list(sql: &Connection, query: &TaskQuery) -> Result<TaskPage, Failure> {
    // Ranges of an index each, merged: open tasks, and settled ones by state where that is asked for.
    let ranges: Vec<(i32, Option<TaskState>)> = if query.states.is_empty() {
        vec![(OPEN, None), (SETTLED, None)]
    } else {
        query.states.iter().map(|state| (standing_of(*state), Some(*state))).collect()
    };
    let mut headers = Vec::new();
    for (standing, state) in &ranges {
        let filter = Filter::new(query, *standing, *state);
        let (wheres, mut values) = (filter.wheres, filter.values);
        let place = query.after.unwrap_or(Key { updated: i64::MAX, row: i64::MAX });
        values.extend([Sql::from(place.updated), place.row.into(), i64::try_from(query.limit + 1).unwrap_or(1).into()]);
        let mut statement = sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM tasks WHERE {wheres} AND (updated, key) < (?, ?) ORDER BY updated DESC, key DESC LIMIT ?"
        ))?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), Header::read)?;
        headers.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    let total = if query.count { count(sql, query, &ranges)? } else { 0 };
    headers.sort_unstable_by_key(|header| std::cmp::Reverse((header.updated, header.key)));
    let more = headers.len() > query.limit;
    headers.truncate(query.limit);
    let found = headers.len();
    let (mut tasks, mut next, mut bytes) = (Vec::with_capacity(found), None, 0);
    for header in headers {
        let place = Key { updated: header.updated, row: header.key };
        let stored = header.fold(sql)?;
        bytes += stored.task.encoded_len();
        tasks.push(stored);
        next = (more || tasks.len() < found).then_some(place);
        if bytes >= LIST_BYTES {
            break;
        }
    }
    Ok(TaskPage { tasks, next, total })
}

/// The conditions of a list without its place.
struct Filter {
    wheres: String,
    values: Vec<Sql>,
}

impl Filter {
    fn new(query: &TaskQuery, standing: i32, state: Option<TaskState>) -> Self {
        let mut wheres = format!("standing = {standing} AND owner = ?");
        let mut values = vec![Sql::from(query.owner.to_string())];
        let mut add = |condition: &str, value: Sql| {
            wheres.push_str(" AND ");
            wheres.push_str(condition);
            values.push(value);
        };
        if let Some(context) = &query.context_id {
            add("context = ?", context.clone().into());
        }
        if let Some(agent) = &query.agent {
            add("agent = ?", agent.clone().into());
        }
        if let Some(state) = state {
            add("state = ?", i32::from(state).into());
        }
        if let Some(from) = query.updated_from {
            add("updated >= ?", from.into());
        }
        Self { wheres, values }
    }
}

/// Matches on all pages: from the kept counts where they tell, else by counting.
fn count(sql: &Connection, query: &TaskQuery, ranges: &[(i32, Option<TaskState>)]) -> Result<u64, Failure> {
    let mut total = 0;
    if query.context_id.is_some() || query.updated_from.is_some() {
        for (standing, state) in ranges {
            let Filter { wheres, values } = Filter::new(query, *standing, *state);
            let mut statement = sql.prepare_cached(&format!("SELECT count(*) FROM tasks WHERE {wheres}"))?;
            total += statement.query_row(rusqlite::params_from_iter(values), |row| row.get::<_, u64>(0))?;
        }
        return Ok(total);
    }
    let mut statement =
        sql.prepare_cached("SELECT state, tasks FROM counts WHERE owner = ?1 AND (?2 IS NULL OR agent = ?2)")?;
    let mut rows = statement.query(params![&*query.owner, query.agent])?;
    while let Some(row) = rows.next()? {
        if query.states.is_empty() || query.states.contains(&state_of(row.get(0)?)) {
            total += row.get::<_, u64>(1)?;
        }
    }
    Ok(total)
}
