//! The writers: each takes what waits into one transaction, commits it, tells.
//!
//! Promises:
//! - **Taken once.** What a writer has taken is committed or refused whether or not the caller still waits.
//! - **Alone in failure.** A job that is refused, or that the database refuses, disturbs no other.
//! - **In order.** Writes to one task are committed and told one after the other, also by several writers.

mod batch;
mod queue;
mod requests;
mod rows;

pub use rows::Counts;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{task::JoinHandle, time::timeout_at};

use self::{
    batch::Written,
    queue::{Job, Queue, Work},
};
use super::{Shared, session::unavailable, slot::Slot};
use crate::{
    error::{Error, ErrorKind, Result},
    store::{Append, NewTask, Receipt, closed},
};

/// How long a job may wait for a writer: a little longer than a writer waits for the database.
const WAIT: Duration = Duration::from_secs(6);

/// What writes tasks. Ends what was handed over when it is dropped.
pub struct Writer {
    queue: Arc<Queue>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
}

impl Writer {
    /// Starts as many writers as there are connections for them.
    pub fn start(shared: &Arc<Shared>) -> Self {
        let queue = Arc::new(Queue::default());
        let lanes = (0..shared.settings.writers.max(1)).map(|number| {
            let slot = Slot::new(shared.maker.clone());
            let lane = Lane { number, shared: shared.clone(), queue: queue.clone(), slot };
            tokio::spawn(lane.run())
        });
        let lanes = Mutex::new(lanes.collect());
        Self { queue, lanes }
    }

    /// See `Store::create`.
    pub async fn create(&self, new: NewTask) -> Result<Receipt> {
        self.write(Work::Create(Box::new(new))).await
    }

    /// See `Store::append`.
    pub async fn append(&self, append: Append) -> Result<Receipt> {
        self.write(Work::Append(Box::new(append))).await
    }

    async fn write(&self, work: Work) -> Result<Receipt> {
        let until = Instant::now() + WAIT;
        let put = timeout_at(until.into(), self.queue.put(work)).await;
        let (number, mut answer) = put.unwrap_or_else(|_| Err(unavailable()))?;
        let told = match timeout_at(until.into(), &mut answer).await {
            Ok(told) => told,
            // All writers wait for a database that is away: nothing has come of it, nor will.
            Err(_) if self.queue.withdraw(number) => return Err(unavailable()),
            Err(_) => answer.await,
        };
        told.unwrap_or_else(|_| Err(closed()))
    }

    /// Commits what was handed over and ends.
    pub async fn close(&self) {
        self.queue.close();
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(lanes).await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// One writer.
struct Lane {
    number: usize,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    slot: Slot,
}

impl Lane {
    async fn run(self) {
        while let Some(batch) = self.queue.take(self.shared.settings.batch_max.max(1)).await {
            let (jobs, keys) = (batch.jobs, batch.keys);
            match self.commit(&jobs).await {
                Ok(written) => {
                    self.tell(&written);
                    // Others that wait for these tasks come after what was told of them, and need not wait for the answers.
                    self.queue.release(&keys);
                    answer(jobs, written.results);
                }
                // Whether it was committed may be unknown: it must not be tried again.
                Err(error) if jobs.len() == 1 || error.kind() == ErrorKind::Unavailable => {
                    self.queue.release(&keys);
                    refuse(jobs, &error);
                }
                Err(_) => {
                    self.one_by_one(jobs).await;
                    self.queue.release(&keys);
                }
            }
            self.queue.rest();
        }
        self.slot.close().await;
    }

    /// So that what one of them fails by, it fails by alone.
    async fn one_by_one(&self, jobs: Vec<Job>) {
        for job in jobs {
            let jobs = vec![job];
            match self.commit(&jobs).await {
                Ok(written) => {
                    self.tell(&written);
                    answer(jobs, written.results);
                }
                Err(error) => refuse(jobs, &error),
            }
        }
    }

    async fn commit(&self, jobs: &[Job]) -> Result<Written> {
        let started = Instant::now();
        let works: Vec<&Work> = jobs.iter().map(|job| &job.work).collect();
        let (shared, works, number) = (&*self.shared, &works[..], self.number);
        let written =
            self.slot.write(|session| async move { batch::write(shared, &session, number, works).await }).await;
        self.shared.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.shared.metrics.commit_batch.observe(jobs.len() as f64);
        written
    }

    /// Tells what is committed, but for the answers.
    fn tell(&self, written: &Written) {
        let shared = &*self.shared;
        let events: usize = written.commits.iter().map(|commit| commit.events.len()).sum();
        shared.metrics.events.inc_by(events as u64);
        if !written.commits.is_empty() {
            shared.listener.stored(&written.commits);
            shared.bus.committed.notify_one();
        }
        for moved in &written.moved {
            shared.bus.moved(moved.task, moved.head, moved.epoch);
        }
        if written.due {
            shared.listener.due();
        }
    }
}

fn answer(jobs: Vec<Job>, results: Vec<Result<Receipt>>) {
    for (job, result) in jobs.into_iter().zip(results) {
        // Who no longer waits is not told.
        let _ = job.reply.send(result);
    }
}

fn refuse(jobs: Vec<Job>, error: &Error) {
    for job in jobs {
        let _ = job.reply.send(Err(error.clone()));
    }
}

#[cfg(test)]
pub fn planned() -> impl Iterator<Item = &'static str> {
    rows::PLANNED.into_iter().chain(requests::PLANNED)
}
