//! Who works on a task, where several processes share a store.
//!
//! Promises:
//! - **One at a time.** A task is worked on by one process: its row names the process and counts the changes of hand, its
//!   epoch. An append under an epoch that has passed is refused as `Conflict`.
//! - **Nothing is left lying.** A process holds a lease that it renews while it lives. When the lease has run out, another
//!   process declares it dead, once, and its tasks are anybody's.
//! - **Words arrive.** What is asked of the process that works on a task is a row until that process has taken it.
//!
//! A store of one process has one holder, for whom all of this is trivially so.

use futures::future::BoxFuture;

use super::Stored;
use crate::{error::Result, proto::well_known::Struct, task::TaskId};

/// Leases on tasks.
pub trait Leases: Send + Sync + 'static {
    /// Takes a task that no other living process works on, under its next epoch. One that has settled is read.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`.
    fn acquire(&self, id: TaskId) -> BoxFuture<'_, Result<Acquired>>;

    /// Tasks that an agent may be working on (SUBMITTED, WORKING and AUTH_REQUIRED) and no other living process is, oldest
    /// first, after the given one. Those of this process are among them only while they are SUBMITTED or WORKING.
    fn strays(&self, after: Option<TaskId>) -> BoxFuture<'_, Result<Vec<Stray>>>;

    /// Asks the process that works on a task to cancel it.
    fn ask_to_cancel(&self, id: TaskId, metadata: Option<Struct>) -> BoxFuture<'_, Result<()>>;

    /// Takes what other processes asked of this one.
    fn asked(&self) -> BoxFuture<'_, Result<Vec<Asked>>>;

    /// How often to look for strays; none: never again after the start, for there is one process only.
    fn sweep(&self) -> Option<std::time::Duration>;
}

/// What came of acquiring a task.
#[derive(Debug)]
pub enum Acquired {
    /// It is this process's, or has settled.
    Task(Box<Stored>),
    /// Another process works on it.
    Elsewhere,
    /// There is no such task.
    Missing,
}

/// A task that should be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Which.
    pub id: TaskId,
    /// This process works on it, as far as the store knows. Only a runner that ended by a fault leaves such a one.
    pub ours: bool,
    /// Its epoch.
    pub epoch: u64,
}

/// A cancel that another process was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The task.
    pub id: TaskId,
    /// What the caller sent beside it.
    pub metadata: Option<Struct>,
}
