//! What waits to be written, and who may take it.
//!
//! Promises:
//! - **One at a time.** Of the writes to one task, or with one request id, no two are under way at once: the later ones
//!   wait for the first to be told. They are taken in the order in which they came.
//! - **Together.** While one writer is at work another begins only if many jobs wait, or one does so for long: what is
//!   written together costs less. The writer that worked last is the next to work.
//! - **Bounded.** No more wait than [`ROOM`], and a batch ends with the job that makes it large. What nobody has taken yet
//!   can be withdrawn.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use crate::{
    error::Result,
    store::{Append, Identity, NewTask, Receipt, Request, closed},
    task::TaskId,
};

/// Jobs that may wait.
const ROOM: usize = 4096;
/// A batch of so many bytes takes no more jobs.
const LARGE: usize = 4 << 20;

/// While somebody is at work somebody else begins with so many jobs.
const MANY: usize = 32;
/// Or once one has waited for so long.
const LONG: Duration = Duration::from_millis(2);

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
    number: u64,
    since: Instant,
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
#[derive(Default)]
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
    /// The newest job's.
    number: u64,
    /// What is under way.
    busy: HashSet<Key>,
    /// How many are at work.
    working: usize,
    closed: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self { waiting: Mutex::default(), room: Arc::new(Semaphore::new(ROOM)), bell: Notify::new() }
    }
}

impl Queue {
    /// Hands work over, once there is room; its number, and what becomes of it.
    ///
    /// # Errors
    /// `Unavailable` once the queue is closed.
    pub async fn put(&self, work: Work) -> Result<(u64, oneshot::Receiver<Result<Receipt>>)> {
        let room = self.room.clone().acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let number = {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(closed());
            }
            waiting.number += 1;
            let number = waiting.number;
            waiting.jobs.push_back(Job { work, reply, number, since: Instant::now(), _room: room });
            let count = waiting.jobs.len();
            // Of one that is to wait somebody must know for how long.
            if waiting.working > 0 && count != 1 && !count.is_multiple_of(MANY) {
                return Ok((number, answer));
            }
            number
        };
        self.bell.notify_last();
        Ok((number, answer))
    }

    /// Takes a job back that nobody has taken. False: somebody has.
    pub fn withdraw(&self, number: u64) -> bool {
        let mut waiting = self.lock();
        let place = waiting.jobs.binary_search_by_key(&number, |job| job.number);
        place.is_ok_and(|place| waiting.jobs.remove(place).is_some())
    }

    /// Waits for jobs, at most so many, for somebody who is at work from then on; none: the queue is closed, and nothing
    /// waits any more.
    pub async fn take(&self, most: usize) -> Option<Batch> {
        loop {
            let patience = {
                let mut waiting = self.lock();
                if waiting.closed && waiting.jobs.is_empty() {
                    self.bell.notify_last();
                    return None;
                }
                let batch = if waiting.is_time() { waiting.take(most) } else { Batch::default() };
                if !batch.jobs.is_empty() {
                    waiting.working += 1;
                    if !waiting.jobs.is_empty() {
                        self.bell.notify_last();
                    }
                    return Some(batch);
                }
                !waiting.jobs.is_empty()
            };
            if patience {
                // An error: nobody rang, but one has waited for long.
                let _ = timeout(LONG, self.bell.notified()).await;
            } else {
                self.bell.notified().await;
            }
        }
    }

    /// Whoever took a batch is no longer at work.
    pub fn rest(&self) {
        self.lock().working -= 1;
    }

    /// Lets others write to what a batch was about.
    pub fn release(&self, keys: &[Key]) {
        let mut waiting = self.lock();
        for key in keys {
            waiting.busy.remove(key);
        }
    }

    /// Takes nothing more in.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.bell.notify_last();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Whether somebody who is not at work is to begin.
    fn is_time(&self) -> bool {
        let long = |job: &Job| job.since.elapsed() >= LONG;
        self.working == 0 || self.closed || self.jobs.len() >= MANY || self.jobs.front().is_some_and(long)
    }

    /// Takes the first jobs that nothing under way is about.
    fn take(&mut self, most: usize) -> Batch {
        let mut batch = Batch::default();
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

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;
    use crate::{
        proto::a2a::{Task, TaskState, stream_response::Payload},
        task::{Dialect, Event},
    };

    fn identity() -> Arc<Identity> {
        let (id, none) = (TaskId::mint(), String::new);
        let (owner, agent, context_id) = ("o".into(), "a".into(), none());
        let output_modes = Vec::new();
        let dialect = Dialect::V1;
        Arc::new(Identity { id, owner, agent, context_id, dialect, created: 1, deadline: None, output_modes })
    }

    fn append(identity: &Arc<Identity>, bytes: usize) -> Work {
        let task = Task { id: "x".repeat(bytes), ..Task::default() };
        let event = Event::new(identity.id, 2, 1, TaskState::Working, Payload::Task(task));
        Work::Append(Box::new(Append::new(identity.clone(), 1, TaskState::Submitted, vec![Arc::new(event)])))
    }

    fn tasks(batch: &Batch) -> Vec<TaskId> {
        batch.jobs.iter().map(|job| job.work.identity().id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn writes_to_one_task_are_taken_one_after_the_other_and_others_pass_them() {
        let queue = Queue::default();
        let (a, b) = (identity(), identity());
        for task in [&a, &a, &b, &a] {
            queue.put(append(task, 1)).await.unwrap();
        }
        let first = queue.take(10).await.unwrap();
        assert_eq!(tasks(&first), [a.id, b.id]);
        // A writer that is free finds nothing that it may take, however long it waits.
        assert!(timeout(LONG * 10, queue.take(10)).await.is_err());
        queue.release(&first.keys);
        queue.rest();
        let second = queue.take(10).await.unwrap();
        assert_eq!(tasks(&second), [a.id]);
        queue.release(&second.keys);
        queue.rest();
        queue.close();
        assert_eq!(tasks(&queue.take(10).await.unwrap()), [a.id]);
        assert!(queue.take(10).await.is_none() && queue.put(append(&b, 1)).await.is_err());
    }

    #[tokio::test]
    async fn another_writer_begins_when_many_jobs_wait_or_one_for_long() {
        let queue = Queue::default();
        queue.put(append(&identity(), 1)).await.unwrap();
        let first = queue.take(10).await.unwrap();
        assert_eq!(first.jobs.len(), 1);
        queue.put(append(&identity(), 1)).await.unwrap();
        // Nobody rings any more: it has waited for long.
        assert_eq!(queue.take(1000).await.unwrap().jobs.len(), 1);
        let many = (0..MANY).map(|_| queue.put(append(&identity(), 1)));
        futures::future::try_join_all(many).await.unwrap();
        let mut taking = Box::pin(queue.take(1000));
        let std::task::Poll::Ready(batch) = poll!(&mut taking) else { panic!("it waits") };
        assert_eq!(batch.unwrap().jobs.len(), MANY);
    }

    #[tokio::test]
    async fn what_nobody_has_taken_is_withdrawn() {
        let queue = Queue::default();
        let (a, b) = (identity(), identity());
        let (first, mut of_first) = queue.put(append(&a, 1)).await.unwrap();
        let (second, mut of_second) = queue.put(append(&b, 1)).await.unwrap();
        assert!(queue.withdraw(first) && !queue.withdraw(first));
        assert!(of_first.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert_eq!(tasks(&queue.take(10).await.unwrap()), [b.id]);
        assert!(!queue.withdraw(second));
        assert!(of_second.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_batch_ends_with_what_makes_it_large() {
        let queue = Queue::default();
        for bytes in [LARGE / 2, LARGE, 1, 1] {
            queue.put(append(&identity(), bytes)).await.unwrap();
        }
        let sizes = [queue.take(10).await.unwrap().jobs.len(), {
            queue.rest();
            queue.take(1).await.unwrap().jobs.len()
        }];
        assert_eq!(sizes, [2, 1]);
    }
}
