//! The statements of a batch: each writes the rows of all its jobs.
//!
//! Jobs are given in the order of their tasks' ids and are found one by one by these, so that rows are locked in that order.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use crate::{
    proto::a2a::TaskState,
    store::{
        Append, Identity, NewTask,
        codes::{Outcome, dialect_code},
        postgres::{
            read::{clamped, uuid},
            session::{Failure, Session},
        },
        segment,
    },
};

/// A task and its first segment. `$1`: the number of the transaction's first position without its own id, `$2`: this process.
const CREATE: &str = "WITH input AS MATERIALIZED (
        SELECT nextval('tasks_key_seq') AS key, ((pg_current_xact_id()::text::bigint + $1) << 20) + number AS position,
               given.*
        FROM unnest($3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[],
                    $10::bigint[], $11::text[], $12::integer[], $13::bigint[], $14::bigint[], $15::text[],
                    $16::boolean[], $17::bytea[])
             AS given (number, id, owner, agent, context, dialect, created, deadline, output_modes, state, updated,
                       head, extensions, webhooks, data)),
     made AS (
        INSERT INTO tasks (key, id, owner, agent, context, dialect, created, deadline, output_modes, state, updated,
                           head, extensions, webhooks, runner)
        SELECT key, id, owner, agent, context, dialect, created, deadline, output_modes, state, updated,
               head, extensions, webhooks, $2 FROM input),
     logged AS (
        INSERT INTO segments (task, first, last, position, data) SELECT key, head, head, position, data FROM input)
     SELECT number, position, key, 1::bigint, webhooks FROM input";

/// Tasks whose logs end where the appends believe, their new segments and snapshots. `$1`, `$2`: as in [`CREATE`].
const APPEND: &str = "WITH moved AS (
        UPDATE tasks SET
            head = given.head,
            state = CASE WHEN given.updated IS NULL THEN tasks.state ELSE given.state END,
            standing = CASE WHEN given.updated IS NULL THEN tasks.standing ELSE given.standing END,
            updated = greatest(tasks.updated, given.updated),
            dispatched = coalesce(given.dispatched, tasks.dispatched),
            upstream_task = coalesce(given.upstream_task, tasks.upstream_task),
            upstream_context = coalesce(given.upstream_context, tasks.upstream_context),
            extensions = coalesce(given.extensions, tasks.extensions),
            runner = CASE WHEN NOT given.works THEN 0
                          WHEN given.take OR tasks.state NOT IN (1, 2, 8) THEN $2 ELSE tasks.runner END,
            epoch = tasks.epoch + given.take::integer
        FROM unnest($3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[], $9::bigint[],
                    $10::integer[], $11::integer[], $12::bigint[], $13::boolean[], $14::boolean[], $15::bytea[],
                    $16::bytea[], $17::text[], $18::bytea[], $19::bytea[])
             AS given (number, id, after, epoch, take, first, head, state, standing, updated, works, dispatched,
                       upstream_task, upstream_context, extensions, data, snapshot)
        WHERE tasks.id = given.id AND tasks.head = given.after AND (given.epoch IS NULL OR given.epoch = tasks.epoch)
        RETURNING given.number, tasks.key, tasks.epoch, tasks.webhooks, given.first, given.head, given.data,
                  given.snapshot, ((pg_current_xact_id()::text::bigint + $1) << 20) + given.number AS position),
     logged AS (
        INSERT INTO segments (task, first, last, position, data)
        SELECT key, first, head, position, data FROM moved WHERE data IS NOT NULL),
     kept AS (
        INSERT INTO snapshots (task, sequence, data)
        SELECT key, head, snapshot FROM moved WHERE snapshot IS NOT NULL
        ON CONFLICT (task) DO UPDATE SET sequence = excluded.sequence, data = excluded.data)
     SELECT number, position, key, epoch, webhooks FROM moved";

/// `$1`: who writes.
const COUNT: &str = "INSERT INTO counts (owner, agent, state, shard, tasks)
     SELECT owner, agent, state, $1, change
     FROM unnest($2::text[], $3::text[], $4::integer[], $5::bigint[]) AS given (owner, agent, state, change)
     ON CONFLICT (owner, agent, state, shard) DO UPDATE SET tasks = counts.tasks + excluded.tasks";

const NOTE_CONTEXTS: &str = "INSERT INTO contexts (owner, agent, context, upstream, noted)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[])
     ON CONFLICT (owner, agent, context) DO UPDATE SET upstream = excluded.upstream, noted = excluded.noted";

/// Who writes: what is added to transactions' ids in positions, and this process.
#[derive(Clone, Copy)]
pub struct Author {
    pub base: i64,
    pub replica: i64,
}

/// A job's task as it is now.
pub struct Place {
    /// The job's place in the batch.
    pub number: usize,
    pub position: u64,
    pub key: i64,
    pub epoch: u64,
    /// Whether it has webhooks of its own.
    pub webhooks: bool,
}

impl Place {
    fn read(row: &Row) -> Self {
        let number: i64 = row.get(0);
        Self {
            number: usize::try_from(number).unwrap_or(usize::MAX),
            position: row.get::<_, i64>(1).cast_unsigned(),
            key: row.get(2),
            epoch: row.get::<_, i64>(3).cast_unsigned(),
            webhooks: row.get(4),
        }
    }
}

/// Collects a column.
fn column<'a, J, T>(jobs: &'a [(i64, &J)], value: impl Fn(&'a J) -> T) -> Vec<T> {
    jobs.iter().map(|(_, job)| value(job)).collect()
}

fn numbers<J>(jobs: &[(i64, &J)]) -> Vec<i64> {
    jobs.iter().map(|(number, _)| *number).collect()
}

/// Writes new tasks.
pub async fn create(session: &Session, author: Author, jobs: &[(i64, &NewTask)]) -> Result<Vec<Place>, Failure> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session
        .query(
            CREATE,
            &[
                &author.base,
                &author.replica,
                &numbers(jobs),
                &column(jobs, |new| uuid(new.identity.id)),
                &column(jobs, |new| &*new.identity.owner),
                &column(jobs, |new| &*new.identity.agent),
                &column(jobs, |new| &*new.identity.context_id),
                &column(jobs, |new| dialect_code(new.identity.dialect)),
                &column(jobs, |new| new.identity.created),
                &column(jobs, |new| new.identity.deadline),
                &column(jobs, |new| new.identity.output_modes.join("\n")),
                &column(jobs, |new| i32::from(new.event.state)),
                &column(jobs, |new| new.event.time),
                &column(jobs, |new| clamped(new.event.sequence)),
                &column(jobs, |new| new.extensions.join("\n")),
                &column(jobs, |new| !new.webhooks.is_empty()),
                &column(jobs, |new| segment::encode(std::slice::from_ref(&new.event))),
            ],
        )
        .await?;
    Ok(rows.iter().map(Place::read).collect())
}

/// Writes appends to tasks; those that are not among the answers are refused.
pub async fn append(session: &Session, author: Author, jobs: &[(i64, &Append)]) -> Result<Vec<Place>, Failure> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let outcomes: Vec<Outcome> = jobs.iter().map(|(_, append)| Outcome::of(append)).collect();
    let outcome = |value: fn(&Outcome) -> i64| outcomes.iter().map(value).collect::<Vec<_>>();
    let code = |value: fn(&Outcome) -> i32| outcomes.iter().map(value).collect::<Vec<_>>();
    let updated: Vec<Option<i64>> = outcomes.iter().map(|outcome| outcome.updated).collect();
    let works: Vec<bool> =
        jobs.iter().zip(&outcomes).map(|((_, append), outcome)| !append.hide && is_worked_on(outcome.state)).collect();
    let data = |append: &Append| (!append.events.is_empty()).then(|| segment::encode(&append.events));
    let rows = session
        .query(
            APPEND,
            &[
                &author.base,
                &author.replica,
                &numbers(jobs),
                &column(jobs, |append| uuid(append.identity.id)),
                &column(jobs, |append| clamped(append.after)),
                &column(jobs, |append| append.epoch.map(clamped)),
                &column(jobs, |append| append.take),
                &column(jobs, |append| append.events.first().map(|event| clamped(event.sequence))),
                &outcome(|outcome| clamped(outcome.head)),
                &code(|outcome| outcome.state.into()),
                &code(|outcome| outcome.standing),
                &updated,
                &works,
                &column(jobs, |append| append.dispatched),
                &column(jobs, |append| append.upstream.as_ref().map(|upstream| upstream.task_id.as_bytes())),
                &column(jobs, |append| append.upstream.as_ref().map(|upstream| upstream.context_id.as_bytes())),
                &column(jobs, |append| append.extensions.as_ref().map(|extensions| extensions.join("\n"))),
                &column(jobs, data),
                &column(jobs, |append| append.snapshot.as_deref()),
            ],
        )
        .await?;
    Ok(rows.iter().map(Place::read).collect())
}

/// Whether an agent may be working on a task in this state: then it is somebody's (see `store::leases`).
fn is_worked_on(state: TaskState) -> bool {
    matches!(state, TaskState::Submitted | TaskState::Working | TaskState::AuthRequired)
}

/// Changes of how many tasks are in which state, in an order that is always the same.
#[derive(Default)]
pub struct Counts<'a>(BTreeMap<(&'a str, &'a str, i32), i64>);

impl<'a> Counts<'a> {
    /// Counts tasks in a state.
    pub fn add(&mut self, owner: &'a str, agent: &'a str, state: TaskState, change: i64) {
        *self.0.entry((owner, agent, state.into())).or_default() += change;
    }

    /// Counts what an append does.
    pub fn append(&mut self, append: &'a Append) {
        let Identity { owner, agent, .. } = &*append.identity;
        let state = Outcome::of(append).state;
        if append.hide {
            self.add(owner, agent, append.from, -1);
        } else if state != append.from {
            self.add(owner, agent, append.from, -1);
            self.add(owner, agent, state, 1);
        }
    }

    /// Writes the changes to the rows of who writes.
    pub async fn write(&self, session: &Session, shard: i32) -> Result<(), Failure> {
        let changes: Vec<_> = self.0.iter().filter(|(_, change)| **change != 0).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let owners: Vec<&str> = changes.iter().map(|((owner, _, _), _)| *owner).collect();
        let agents: Vec<&str> = changes.iter().map(|((_, agent, _), _)| *agent).collect();
        let states: Vec<i32> = changes.iter().map(|((_, _, state), _)| *state).collect();
        let changes: Vec<i64> = changes.iter().map(|(_, change)| **change).collect();
        session.execute(COUNT, &[&shard, &owners, &agents, &states, &changes]).await.map(drop)
    }
}

/// Notes what agents call conversations, where appends say so.
pub async fn note_contexts(session: &Session, appends: &[&Append]) -> Result<(), Failure> {
    // Once each, in an order that is always the same.
    let mut noted = BTreeMap::new();
    for append in appends.iter().filter(|append| append.note_context) {
        let Some(upstream) = &append.upstream else { continue };
        let Identity { owner, agent, context_id, created, .. } = &*append.identity;
        let time = append.events.last().map_or(*created, |event| event.time);
        noted.insert((&**owner, &**agent, &**context_id), (upstream.context_id.as_bytes(), time));
    }
    if noted.is_empty() {
        return Ok(());
    }
    let owners: Vec<&str> = noted.keys().map(|(owner, _, _)| *owner).collect();
    let agents: Vec<&str> = noted.keys().map(|(_, agent, _)| *agent).collect();
    let contexts: Vec<&str> = noted.keys().map(|(_, _, context)| *context).collect();
    let upstreams: Vec<&[u8]> = noted.values().map(|(upstream, _)| *upstream).collect();
    let times: Vec<i64> = noted.values().map(|(_, time)| *time).collect();
    session.execute(NOTE_CONTEXTS, &[&owners, &agents, &contexts, &upstreams, &times]).await.map(drop)
}

#[cfg(test)]
pub const PLANNED: [&str; 4] = [CREATE, APPEND, COUNT, NOTE_CONTEXTS];
