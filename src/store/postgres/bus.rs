//! What the processes on one database tell each other: hints, by LISTEN and NOTIFY.
//!
//! Promises:
//! - **Only hints.** Whatever a message says is in the database; one that is lost costs time, and a look every few seconds
//!   finds what it would have told.
//! - **Beside the transactions.** A NOTIFY makes its transaction wait for all others that have one. So they have a
//!   connection of their own, which writes nothing that must last, and what gathers while one is under way goes with
//!   the next.
//! - **Bounded.** What waits to be told is at most one entry for each task; if it becomes too much it is dropped, for
//!   others look by themselves.
//!
//! A process that lives alone tells nothing.

mod word;

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_postgres::AsyncMessage;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use self::word::Word;
use super::{
    Shared,
    session::{Failure, Session, words},
};
use crate::{
    error::Result,
    task::{TaskId, WebhookId},
};

const CHANNEL: &str = "a2a_gateway";
/// The longest message: PostgreSQL takes less than 8,000 bytes.
const LONGEST: usize = 7_900;
/// Hints gather for this long before they are sent.
const GATHER: Duration = Duration::from_millis(2);
/// Between two attempts to reach the database.
const AGAIN: Duration = Duration::from_millis(250);
/// Hints that may wait to be sent.
const WAITING: usize = 50_000;
/// Tasks that one look asks for at once.
const LOOKED_AT: usize = 1000;
/// How long other processes may take to end attempts.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What is to be told, and who waits for an answer.
#[derive(Default)]
pub struct Bus {
    waiting: Mutex<Waiting>,
    bell: Notify,
    /// Rung whenever somebody has committed something.
    pub committed: Notify,
    /// Whether other processes live.
    peers: AtomicBool,
    /// Who has answered which question.
    answers: Mutex<HashMap<u64, watch::Sender<HashSet<i64>>>>,
    questions: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    tasks: HashMap<TaskId, (u64, u64)>,
    words: Vec<Word>,
}

impl Bus {
    /// A task has moved: its newest sequence, and its epoch.
    pub fn moved(&self, task: TaskId, head: u64, epoch: u64) {
        if !self.has_peers() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        if waiting.tasks.len() >= WAITING {
            waiting.tasks.clear();
        }
        let known = waiting.tasks.entry(task).or_default();
        *known = (known.0.max(head), known.1.max(epoch));
        drop(waiting);
        self.bell.notify_one();
    }

    /// Something was asked of the process that works on a task.
    pub fn asked(&self) {
        self.say(Word::Asked);
    }

    /// This process has come.
    pub fn hello(&self) {
        self.set_peers(true);
        self.say(Word::Hello);
    }

    /// Whether other processes live, as far as is known.
    pub fn has_peers(&self) -> bool {
        self.peers.load(Ordering::Relaxed)
    }

    /// Sets whether other processes live.
    pub fn set_peers(&self, peers: bool) {
        self.peers.store(peers, Ordering::Relaxed);
    }

    fn say(&self, word: Word) {
        if self.has_peers() {
            let mut waiting = lock(&self.waiting);
            if waiting.words.len() < WAITING {
                waiting.words.push(word);
            }
            drop(waiting);
            self.bell.notify_one();
        }
    }

    /// What waits to be told.
    fn take(&self) -> Vec<Word> {
        let Waiting { tasks, mut words } = mem::take(&mut *lock(&self.waiting));
        words.extend(tasks.into_iter().map(|(task, (head, epoch))| Word::Moved { task, head, epoch }));
        words
    }
}

/// Has the other processes end their attempts of a webhook that is no longer sent to. Resolves when they have, or
/// after a while: one that does not answer is as good as dead, and its attempts are as if they had been before.
pub async fn stop_elsewhere(shared: &Shared, webhook: WebhookId) -> Result<()> {
    let bus = &shared.bus;
    if !bus.has_peers() {
        return Ok(());
    }
    let me = shared.replica();
    let living = "SELECT id FROM replicas WHERE id <> $1 AND until > clock_timestamp()";
    let rows = shared.readers.read(|session| async move { session.query(living, &[&me]).await }).await?;
    let others: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    let question = bus.questions.fetch_add(1, Ordering::Relaxed);
    let (answers, mut heard) = watch::channel(HashSet::new());
    lock(&bus.answers).insert(question, answers);
    bus.say(Word::Stop { webhook, question });
    let all = heard.wait_for(|answered| others.is_subset(answered));
    if timeout(STOP_PATIENCE, all).await.is_err() {
        tracing::warn!(%webhook, "another gateway did not say that it stopped sending to a webhook");
    }
    lock(&bus.answers).remove(&question);
    Ok(())
}

/// Tells, as long as it is polled.
pub async fn send(shared: Arc<Shared>) {
    let mut session: Option<Session> = None;
    loop {
        shared.bus.bell.notified().await;
        sleep(GATHER).await;
        let words = shared.bus.take();
        for message in word::messages(shared.replica(), &words, LONGEST) {
            if let Err(failure) = notify(&shared, &mut session, &message).await {
                tracing::debug!(?failure, "other gateways were not told of commits: they will look");
                session = None;
                sleep(AGAIN).await;
                break;
            }
        }
    }
}

async fn notify(shared: &Shared, session: &mut Option<Session>, message: &str) -> Result<(), Failure> {
    let session = match session.take().filter(|session| !session.is_closed()) {
        Some(open) => session.insert(open),
        None => {
            let made = shared.maker.connect().await?;
            // Nothing of it must last.
            made.batch("SET synchronous_commit = off").await?;
            session.insert(made)
        }
    };
    session.query("SELECT pg_notify($1, $2)", &[&CHANNEL, &message]).await.map(drop)
}

/// Hears, and looks, as long as it is polled.
pub async fn listen(shared: Arc<Shared>) {
    loop {
        match hear(&shared).await {
            Ok(()) => {}
            Err(failure) => tracing::debug!(?failure, "other gateways are not heard"),
        }
        sleep(AGAIN).await;
    }
}

/// Hears until the connection breaks.
async fn hear(shared: &Arc<Shared>) -> Result<(), Failure> {
    let database = &shared.settings.database;
    let connecting = database.config.connect(MakeRustlsConnect::new((*database.tls).clone()));
    let limit = Duration::from_secs(10);
    let (client, mut connection) =
        timeout(limit, connecting).await.map_err(|_| Failure::Lost("no connection".to_owned()))??;
    let (heard, mut messages) = mpsc::channel(1024);
    let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notification(told)) => {
                    if heard.send(told.payload().to_owned()).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => return tracing::debug!(cause = words(&error), "other gateways are no longer heard"),
            }
        }
    }));
    client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
    shared.bus.hello();
    let mut look_at = Instant::now();
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => take_in(shared, &message),
                None => return Ok(()),
            },
            () = tokio::time::sleep_until(look_at) => {
                look(shared).await?;
                look_at = Instant::now() + shared.settings.look;
            }
        }
    }
}

fn take_in(shared: &Arc<Shared>, message: &str) {
    let Some((sender, words)) = word::read(message) else { return };
    if sender == shared.replica() {
        return;
    }
    shared.bus.set_peers(true);
    for word in words {
        match word {
            Word::Moved { task, head, epoch } => {
                shared.listener.moved(task, head, epoch);
                shared.bus.committed.notify_one();
            }
            Word::Asked => shared.listener.asked(),
            Word::Hello => {}
            Word::Stop { webhook, question } => {
                let (stopped, shared) = (shared.listener.stop(webhook), shared.clone());
                // Bounded by the asker's patience, and by the number of webhooks that are being removed.
                tokio::spawn(async move {
                    if timeout(STOP_PATIENCE, stopped).await.is_ok() {
                        shared.bus.say(Word::Stopped { question, of: sender });
                    }
                });
            }
            Word::Stopped { question, of } => {
                if of == shared.replica()
                    && let Some(answers) = lock(&shared.bus.answers).get(&question)
                {
                    answers.send_if_modified(|answered| answered.insert(sender));
                }
            }
        }
    }
}

/// Looks for what nobody told of.
async fn look(shared: &Arc<Shared>) -> Result<(), Failure> {
    let watched = shared.listener.watched();
    for ids in watched.chunks(LOOKED_AT) {
        let ids: Vec<Uuid> = ids.iter().map(|id| Uuid::from_bytes(id.to_bytes())).collect();
        let heads = "SELECT id, head, epoch FROM tasks WHERE id = ANY($1)";
        let ids = &ids;
        let read = shared.readers.read(|session| async move { session.query(heads, &[ids]).await });
        for row in read.await? {
            let (id, head, epoch): (Uuid, i64, i64) = (row.get(0), row.get(1), row.get(2));
            shared.listener.moved(TaskId::from_bytes(id.into_bytes()), head.cast_unsigned(), epoch.cast_unsigned());
        }
    }
    shared.bus.committed.notify_one();
    shared.listener.due();
    shared.listener.asked();
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
