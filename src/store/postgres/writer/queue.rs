//! What waits to be written, and who may take it.
//!
//! Promises:
//! - **One at a time.** Of the writes to one task, or with one request id, no two are under way at once: the later ones
//!   wait for the first to be told. They are taken in the order in which they came.
//! - **Bounded.** No more wait than [`ROOM`], and a batch ends with the job that makes it large.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    error::Result,
    store::{Append, Identity, NewTask, Receipt, Request, closed},
    task::TaskId,
};

/// Jobs that may wait.
const ROOM: usize = 4096;
/// A batch of so many bytes takes no more jobs.
const LARGE: usize = 4 << 20;

/// Something to be written.
pub enum Work {
    /// See `Store::create`.
    Create(Box<NewTask>),
    /// See `Store::append`.
    Append(Box<Append>),
}

impl Work {
    pub fn identity(&self) -> &Arc<Identity> {
        match self {
            Self::Create(new) => &new.identity,
            Self::Append(append) => &append.identity,
        }
    }

    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::Create(new) => new.request.as_ref(),
            Self::Append(append) => append.request.as_ref(),
        }
    }

    /// Whether it must be the only one of its transaction: it takes the outbox's lock.
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Append(append) if !append.webhooks.is_empty())
    }

    fn size(&self) -> usize {
        match self {
            Self::Create(new) => new.event.bytes().len(),
            Self::Append(append) => {
                let events: usize = append.events.iter().map(|event| event.bytes().len()).sum();
                events + append.snapshot.as_ref().map_or(0, bytes::Bytes::len)
            }
        }
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let identity = self.identity();
        let request = self.request();
        let request =
            request.map(|request| Key::Request(identity.owner.clone(), identity.agent.clone(), request.id.clone()));
        std::iter::once(Key::Task(identity.id)).chain(request)
    }
}

/// Work and who waits for it.
pub struct Job {
    pub work: Work,
    pub reply: oneshot::Sender<Result<Receipt>>,
    /// Its place among those that wait.
    _room: OwnedSemaphorePermit,
}

/// What is written by one at a time.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Task(TaskId),
    Request(Arc<str>, Arc<str>, String),
}

/// Jobs for one transaction.
pub struct Batch {
    pub jobs: Vec<Job>,
    /// To be released once they have been told.
    pub keys: Vec<Key>,
}

/// The jobs that wait.
pub struct Queue {
    waiting: Mutex<Waiting>,
    room: Arc<Semaphore>,
    /// Rung when there may be something to take.
    bell: Notify,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// What is under way.
    busy: HashSet<Key>,
    closed: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self { waiting: Mutex::default(), room: Arc::new(Semaphore::new(ROOM)), bell: Notify::new() }
    }
}

impl Queue {
    /// Hands work over, once there is room; what becomes of it.
    ///
    /// # Errors
    /// `Unavailable` once the queue is closed.
    pub async fn put(&self, work: Work) -> Result<oneshot::Receiver<Result<Receipt>>> {
        let room = self.room.clone().acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(closed());
            }
            waiting.jobs.push_back(Job { work, reply, _room: room });
        }
        self.bell.notify_one();
        Ok(answer)
    }

    /// Waits for jobs, at most so many; none: the queue is closed, and nothing waits any more.
    pub async fn take(&self, most: usize) -> Option<Batch> {
        loop {
            let (batch, ended) = {
                let mut waiting = self.lock();
                let batch = waiting.take(most);
                (batch, waiting.closed && waiting.jobs.is_empty())
            };
            if batch.jobs.is_empty() && !ended {
                self.bell.notified().await;
                continue;
            }
            // Somebody else may find more, or hear of the end.
            self.bell.notify_one();
            return Some(batch).filter(|batch| !batch.jobs.is_empty());
        }
    }

    /// Lets others write to what a batch was about.
    pub fn release(&self, keys: &[Key]) {
        let mut waiting = self.lock();
        for key in keys {
            waiting.busy.remove(key);
        }
        let some = !waiting.jobs.is_empty() || waiting.closed;
        drop(waiting);
        if some {
            self.bell.notify_one();
        }
    }

    /// Takes nothing more in.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Takes the first jobs that nothing under way is about.
    fn take(&mut self, most: usize) -> Batch {
        let mut batch = Batch { jobs: Vec::new(), keys: Vec::new() };
        let (mut bytes, mut at) = (0, 0);
        while batch.jobs.len() < most && bytes < LARGE {
            let Some(job) = self.jobs.get(at) else { break };
            if job.work.keys().any(|key| self.busy.contains(&key)) {
                at += 1;
                continue;
            }
            let alone = job.work.is_alone();
            if alone && !batch.jobs.is_empty() {
                break;
            }
            let Some(job) = self.jobs.remove(at) else { break };
            bytes += job.work.size();
            for key in job.work.keys() {
                self.busy.insert(key.clone());
                batch.keys.push(key);
            }
            batch.jobs.push(job);
            if alone {
                break;
            }
        }
        batch
    }
}
