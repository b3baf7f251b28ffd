//! The writer thread: takes all waiting work into one transaction, commits it, tells.
//!
//! A job that fails fails alone: the group is rolled back and its jobs are tried one by one.
//!
//! What webhooks are to hear of is written as arrivals, which are spread before a job needs that, or when nobody waits.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::{
    Failure,
    outbox::{
        self, arrivals,
        hear::{self, Told},
        purge, requeue, round,
    },
    read, retention,
    webhooks::{config, new_row::NewRow},
};
use crate::{
    error::{Error, ErrorKind, Result},
    metrics::Metrics,
    proto::a2a::TaskState,
    store::{
        Append, Claims, Commit, Identity, Listener, NewTask, Receipt, Redelivery, Request, Requeued, Round,
        WebhookChange, codes::Outcome, segment,
    },
    task::{Event, TaskId, Upstream, Webhook, WebhookId},
};

/// Something to be written.
#[derive(Debug)]
pub enum Work {
    /// See `Store::create`.
    Create(NewTask),
    /// See `Store::append`.
    Append(Append),
    /// See `Store::purge`.
    Purge { cutoff: Option<i64>, now: i64, batch: usize },
    /// See `Webhooks::put_webhook`.
    PutWebhook(Box<Webhook>),
    /// See `Webhooks::update_webhook`.
    UpdateWebhook(Arc<str>, Box<WebhookChange>),
    /// See `Webhooks::delete_webhook`.
    DeleteWebhook(Arc<str>, WebhookId),
    /// See `Webhooks::redeliver`.
    Redeliver(Arc<str>, Redelivery),
    /// See `Outbox::dispatch`.
    Dispatch(Round),
    /// See `Outbox::purge_deliveries`.
    PurgeDeliveries { cutoff: Option<i64>, now: i64, batch: usize },
    /// Spread what arrived, the oldest of it, so much.
    Spread(usize),
    /// See `Store::probe`.
    Probe,
    /// Commit what came before, then end.
    Close,
}

impl Work {
    /// How much of what arrived it needs spread: all, if it reads or changes the tables that this is spread over.
    fn spread(&self) -> usize {
        match self {
            Self::PutWebhook(_)
            | Self::UpdateWebhook(..)
            | Self::DeleteWebhook(..)
            | Self::Redeliver(..)
            | Self::Dispatch(_) => usize::MAX,
            Self::Append(append) if !append.webhooks.is_empty() => usize::MAX,
            Self::Spread(most) => *most,
            // Purges touch nothing that something waits for. They must not need room to make some.
            Self::Create(_) | Self::Append(_) | Self::Purge { .. } | Self::PurgeDeliveries { .. } => 0,
            Self::Probe | Self::Close => 0,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub enum Done {
    /// Of `Create` and `Append`.
    Stored(Receipt),
    /// The tasks that `Purge` removed.
    Removed(Vec<TaskId>),
    /// Of `PutWebhook` and `UpdateWebhook`: as it is now, if it is there.
    Webhook(Option<Box<Webhook>>),
    /// How much `DeleteWebhook` and `PurgeDeliveries` removed.
    Count(usize),
    /// Of `Redeliver`.
    Requeued(Requeued),
    /// Of `Dispatch`.
    Claims(Claims),
    /// Of the others.
    Nothing,
}

impl Done {
    /// What kind it is.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stored(_) => "with a receipt",
            Self::Removed(_) => "with tasks",
            Self::Webhook(_) => "with a webhook",
            Self::Count(_) => "with a count",
            Self::Requeued(_) => "with what is due again",
            Self::Claims(_) => "with claims",
            Self::Nothing => "nothing",
        }
    }
}

const WRITTEN: Done = Done::Stored(Receipt::Written);

/// Work and who waits for it.
pub struct Job {
    pub work: Work,
    pub reply: oneshot::Sender<Result<Done>>,
}

/// What is to be told once a group is on disk.
pub struct News {
    commits: Vec<Commit>,
    /// Whether deliveries became due.
    due: bool,
    answers: Vec<(oneshot::Sender<Result<Done>>, Result<Done>)>,
}

/// Tells, in commit order: the listener first, then those who wait for their writes, and at last that something is due,
/// since they need not wait for a round to begin. It runs beside the writer, which can go on with the next group, and among
/// the tasks that it wakes, which is cheaper than waking them from outside.
///
/// The queue is unbounded but never holds more than the writer's callers that are waiting.
pub async fn tell(mut news: mpsc::UnboundedReceiver<News>, listener: Arc<dyn Listener>) {
    while let Some(News { commits, due, answers }) = news.recv().await {
        if !commits.is_empty() {
            listener.stored(&commits);
            listener.ordered(commits);
        }
        for (reply, result) in answers {
            let _ = reply.send(result);
        }
        if due {
            listener.due();
        }
    }
}

/// The only connection that writes.
pub struct Writer {
    connection: Connection,
    batch_max: usize,
    /// The newest position of the feed that is committed.
    position: u64,
    /// As of the newest commit.
    outbox: outbox::State,
    /// Whether something is to be spread, for readers.
    waits: Arc<AtomicBool>,
    news: mpsc::UnboundedSender<News>,
    metrics: Arc<Metrics>,
}

/// What came of a group: its commits, whether deliveries became due, and the answers to its jobs.
type Committed = (Vec<Commit>, bool, Vec<Result<Done>>);

/// What a transaction gathers besides its rows.
pub struct Group {
    position: u64,
    commits: Vec<Commit>,
    counts: HashMap<(Arc<str>, Arc<str>, TaskState), i64>,
    pub outbox: outbox::State,
}

impl Writer {
    pub fn new(
        connection: Connection,
        batch_max: usize,
        outbox: outbox::State,
        waits: Arc<AtomicBool>,
        news: mpsc::UnboundedSender<News>,
        metrics: Arc<Metrics>,
    ) -> rusqlite::Result<Self> {
        waits.store(outbox.waiting.size() > 0, Ordering::Release);
        connection.set_prepared_statement_cache_capacity(192);
        // Positions are never used twice, even when the newest rows have been removed.
        let position = connection.query_row(
            "SELECT max((SELECT coalesce(max(position), 0) FROM segments), value) FROM meta WHERE name = 'feed_floor'",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { connection, batch_max, position, outbox, waits, news, metrics })
    }

    /// Works until the queue closes; then the database file is whole without its write-ahead log.
    pub fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(self.batch_max);
        while queue.blocking_recv_many(&mut jobs, self.batch_max) > 0 {
            if jobs.iter().any(|job| matches!(job.work, Work::Close)) {
                queue.close();
            }
            self.serve(std::mem::take(&mut jobs));
            while queue.is_empty() && self.outbox.waiting.size() >= arrivals::IDLE && self.spread_some() {}
        }
        // SQLite would do it when the last connection closes, but that may be a reader, which cannot.
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        match checkpoint {
            Ok(false) => {}
            Ok(true) => tracing::info!("the write-ahead log stays beside the database: it is being read"),
            Err(error) => tracing::warn!(%error, "the write-ahead log stays beside the database"),
        }
    }

    /// Spreads a piece of what arrived, while nobody waits for the writer. False: it could not, and it is left to those who
    /// need it and can be told why.
    fn spread_some(&mut self) -> bool {
        let before = self.outbox.waiting.size();
        let (reply, _) = oneshot::channel();
        self.serve(vec![Job { work: Work::Spread(arrivals::IDLE), reply }]);
        self.outbox.waiting.size() < before
    }

    fn serve(&mut self, jobs: Vec<Job>) {
        let started = Instant::now();
        let result = self.commit(&jobs);
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.commit_batch.observe(jobs.len() as f64);
        let (commits, due, results) = match result {
            Ok(done) => done,
            Err(failure) if jobs.len() == 1 => (Vec::new(), false, vec![Err(failure.into_error())]),
            Err(_) => {
                for job in jobs {
                    self.serve(vec![job]);
                }
                return;
            }
        };
        let answers = jobs.into_iter().map(|job| job.reply).zip(results).collect();
        // The other side ends only after this one.
        let _ = self.news.send(News { commits, due, answers });
    }

    /// Commits the jobs together. A refusal (conflict, reused request id, a limit) is a result; one that comes after
    /// something was written undoes the whole group, as does a failure of the database.
    fn commit(&mut self, jobs: &[Job]) -> Result<Committed, Failure> {
        let mut group = Group {
            position: self.position,
            commits: Vec::with_capacity(jobs.len()),
            counts: HashMap::new(),
            outbox: self.outbox.clone(),
        };
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            arrivals::spread(&mut group.outbox, &transaction, job.work.spread())?;
            let changes = transaction.total_changes();
            results.push(match group.work(&transaction, &job.work) {
                Ok(done) => Ok(done),
                Err(Failure::Error(refusal)) if transaction.total_changes() == changes => Err(refusal),
                Err(failure) => return Err(failure),
            });
        }
        arrivals::bound(&mut group.outbox, &transaction)?;
        group.write_counts(&transaction)?;
        transaction.commit()?;
        self.position = group.position;
        self.outbox = group.outbox;
        self.waits.store(self.outbox.waiting.size() > 0, Ordering::Release);
        let due = std::mem::take(&mut self.outbox.due);
        let events: usize = group.commits.iter().map(|commit| commit.events.len()).sum();
        self.metrics.events.inc_by(events as u64);
        Ok((group.commits, due, results))
    }
}

impl Group {
    fn work(&mut self, sql: &Connection, work: &Work) -> Result<Done, Failure> {
        match work {
            Work::Create(new) => self.create(sql, new),
            Work::Append(append) => self.append(sql, append),
            Work::Purge { cutoff, now, batch } => {
                retention::purge_tasks(self, sql, *cutoff, *now, *batch).map(Done::Removed)
            }
            Work::PutWebhook(webhook) => {
                let webhook = config::put(&mut self.outbox, sql, webhook)?;
                Ok(Done::Webhook(Some(Box::new(webhook))))
            }
            Work::UpdateWebhook(owner, change) => {
                let webhook = config::update(&mut self.outbox, sql, owner, change)?;
                Ok(Done::Webhook(webhook.map(Box::new)))
            }
            Work::DeleteWebhook(owner, id) => {
                Ok(Done::Count(config::delete(&mut self.outbox, sql, owner, *id)?.into()))
            }
            Work::Redeliver(owner, wanted) => {
                requeue::redeliver(&mut self.outbox, sql, owner, wanted).map(Done::Requeued)
            }
            Work::Dispatch(round) => round::dispatch(&mut self.outbox, sql, round).map(Done::Claims),
            Work::PurgeDeliveries { cutoff, now, batch } => Ok(Done::Count(purge::purge(sql, *cutoff, *now, *batch)?)),
            Work::Probe => {
                sql.prepare_cached("UPDATE meta SET value = value + 1 WHERE name = 'probe'")?.execute([])?;
                Ok(Done::Nothing)
            }
            Work::Spread(_) | Work::Close => Ok(Done::Nothing),
        }
    }

    fn create(&mut self, sql: &Connection, new: &NewTask) -> Result<Done, Failure> {
        let identity = &*new.identity;
        let event = &new.event;
        if let Some(task) = claim_request(sql, identity, new.request.as_ref(), event.time)? {
            return Ok(Done::Stored(Receipt::Replayed(task)));
        }
        sql.prepare_cached(
            "INSERT INTO tasks (id, owner, agent, context, dialect, created, deadline, output_modes, state, updated, head,
                                extensions, webhooks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            identity.id.to_bytes(),
            &*identity.owner,
            &*identity.agent,
            identity.context_id,
            read::dialect_code(identity.dialect),
            identity.created,
            identity.deadline,
            identity.output_modes.join("\n"),
            i32::from(event.state),
            event.time,
            event.sequence,
            new.extensions.join("\n"),
            !new.webhooks.is_empty(),
        ])?;
        let task = sql.last_insert_rowid();
        let brought = config::bring(&mut self.outbox, sql, &new.webhooks)?;
        self.segment(sql, task, &new.identity, false, std::slice::from_ref(event), brought)?;
        self.count(&identity.owner, &identity.agent, event.state, 1);
        Ok(WRITTEN)
    }

    fn append(&mut self, sql: &Connection, append: &Append) -> Result<Done, Failure> {
        let identity = &append.identity;
        let Outcome { head, state, standing, updated, now } = Outcome::of(append);
        if let Some(task) = claim_request(sql, identity, append.request.as_ref(), now)? {
            return Ok(Done::Stored(Receipt::Replayed(task)));
        }
        let id = identity.id.to_bytes();
        // The row is only there to be changed if the log ends where the writer believes.
        let task: Option<(i64, bool)> = match updated {
            Some(time) => sql
                .prepare_cached(
                    "UPDATE tasks SET head = ?3, state = ?4, standing = ?5, updated = max(?6, updated),
                            dispatched = coalesce(?7, dispatched)
                     WHERE id = ?1 AND head = ?2 RETURNING key, webhooks",
                )?
                .query_row(
                    params![id, append.after, head, i32::from(state), standing, time, append.dispatched],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                ),
            None => sql
                .prepare_cached(
                    "UPDATE tasks SET head = ?3, dispatched = coalesce(?4, dispatched) WHERE id = ?1 AND head = ?2
                     RETURNING key, webhooks",
                )?
                .query_row(params![id, append.after, head, append.dispatched], |row| Ok((row.get(0)?, row.get(1)?))),
        }
        .optional()?;
        let Some((task, had_webhooks)) = task else {
            return Err(Error::new(ErrorKind::Conflict, "the task changed meanwhile: try again").into());
        };
        if let Some(upstream) = &append.upstream {
            note_upstream(sql, task, append, upstream)?;
        }
        if let Some(extensions) = &append.extensions {
            sql.prepare_cached("UPDATE tasks SET extensions = ?2 WHERE key = ?1")?
                .execute(params![task, extensions.join("\n")])?;
        }
        for webhook in &append.webhooks {
            config::put(&mut self.outbox, sql, webhook)?;
        }
        if !append.events.is_empty() {
            let own = had_webhooks || !append.webhooks.is_empty();
            self.segment(sql, task, identity, own, &append.events, Vec::new())?;
        }
        if let Some(snapshot) = &append.snapshot {
            sql.prepare_cached(
                "INSERT INTO snapshots (task, sequence, data) VALUES (?1, ?2, ?3)
                 ON CONFLICT (task) DO UPDATE SET sequence = excluded.sequence, data = excluded.data",
            )?
            .execute(params![task, head, &snapshot[..]])?;
        }
        if let Some(trim_to) = append.trim_to.filter(|_| append.snapshot.is_some()) {
            if self.outbox.enabled && self.outbox.waiting.has(task) {
                arrivals::spread(&mut self.outbox, sql, usize::MAX)?;
            }
            retention::trim(sql, task, identity, trim_to, self.outbox.enabled)?;
        }
        if append.hide {
            self.count(&identity.owner, &identity.agent, append.from, -1);
        } else if state != append.from {
            self.count(&identity.owner, &identity.agent, append.from, -1);
            self.count(&identity.owner, &identity.agent, state, 1);
        }
        Ok(WRITTEN)
    }

    /// Writes events, and what webhooks are to hear of them. `own`: whether the task has webhooks of its own, besides those
    /// that it brings.
    fn segment(
        &mut self,
        sql: &Connection,
        task: i64,
        identity: &Arc<Identity>,
        own: bool,
        events: &[Arc<Event>],
        brought: Vec<NewRow>,
    ) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        self.position += 1;
        sql.prepare_cached("INSERT INTO segments (position, task, first, last, data) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![self.position, task, first.sequence, last.sequence, segment::encode(events)])?;
        let told = Told { position: self.position, task, identity, own, events };
        hear::hear(&mut self.outbox, sql, &told, brought)?;
        self.commits.push(Commit { position: self.position, identity: identity.clone(), events: events.to_vec() });
        Ok(())
    }

    /// Counts tasks in a state.
    pub fn count(&mut self, owner: &Arc<str>, agent: &Arc<str>, state: TaskState, change: i64) {
        *self.counts.entry((owner.clone(), agent.clone(), state)).or_default() += change;
    }

    fn write_counts(&self, sql: &Connection) -> Result<(), Failure> {
        let mut statement = sql.prepare_cached(
            "INSERT INTO counts (owner, agent, state, tasks) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (owner, agent, state) DO UPDATE SET tasks = tasks + excluded.tasks",
        )?;
        for ((owner, agent, state), change) in self.counts.iter().filter(|(_, change)| **change != 0) {
            statement.execute(params![&**owner, &**agent, i32::from(*state), change])?;
        }
        Ok(())
    }
}

/// Remembers a request id, if there is one; or finds the task it was used for.
fn claim_request(
    sql: &Connection,
    identity: &Identity,
    request: Option<&Request>,
    now: i64,
) -> Result<Option<TaskId>, Failure> {
    let Some(request) = request else { return Ok(None) };
    if let Some(used) = read::request(sql, &identity.owner, &identity.agent, &request.id, now)? {
        return Ok(Some(used.replay(&request.digest)?));
    }
    sql.prepare_cached(
        "INSERT OR REPLACE INTO requests (owner, agent, id, digest, task, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        &*identity.owner,
        &*identity.agent,
        request.id,
        request.digest,
        identity.id.to_bytes(),
        request.expires
    ])?;
    Ok(None)
}

/// Notes how the agent knows a task, and where the append says so, its conversation.
fn note_upstream(sql: &Connection, task: i64, append: &Append, upstream: &Upstream) -> Result<(), Failure> {
    let identity = &append.identity;
    sql.prepare_cached("UPDATE tasks SET upstream_task = ?2, upstream_context = ?3 WHERE key = ?1")?
        .execute(params![task, upstream.task_id, upstream.context_id])?;
    if append.note_context {
        let noted = append.events.last().map_or(identity.created, |event| event.time);
        sql.prepare_cached(
            "INSERT INTO contexts (owner, agent, context, upstream, noted) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (owner, agent, context) DO UPDATE SET upstream = excluded.upstream, noted = excluded.noted",
        )?
        .execute(params![
            &*identity.owner,
            &*identity.agent,
            identity.context_id,
            upstream.context_id,
            noted
        ])?;
    }
    Ok(())
}
