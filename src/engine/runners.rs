//! The runners of this process, and how others reach them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::Notify;

use super::run::{Ending, Interruption};
use crate::{proto::well_known::Struct, task::TaskId};

/// The runners of this process, by task.
#[derive(Debug, Default)]
pub struct Runners {
    by_task: Mutex<HashMap<TaskId, Arc<Control>>>,
    /// Rung when there may be tasks that nobody works on, or words for those that this process works on.
    asked: Notify,
}

impl Runners {
    /// All of them, to be changed together.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Control>>> {
        self.by_task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runner of a task.
    pub fn get(&self, id: TaskId) -> Option<Arc<Control>> {
        self.lock().get(&id).cloned()
    }

    /// Whether a task has a runner here.
    pub fn has(&self, id: TaskId) -> bool {
        self.lock().contains_key(&id)
    }

    /// A task is worked on under this epoch: a runner under an older one stops.
    pub fn moved(&self, id: TaskId, epoch: u64) {
        if let Some(control) = self.get(id).filter(|control| control.epoch < epoch) {
            control.tell(Control::SUPERSEDED);
        }
    }

    /// All stop: what they work on is no longer this process's.
    pub fn lose(&self) {
        for control in self.lock().values() {
            control.tell(Control::SUPERSEDED);
        }
    }

    /// Has somebody look for tasks that nobody works on, and for words.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Waits for [`Runners::ask`]. Cancel safe.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}

/// How others reach a runner.
#[derive(Debug)]
pub struct Control {
    /// Under which it works.
    epoch: u64,
    word: AtomicU8,
    pub bell: Notify,
    metadata: Mutex<Option<Struct>>,
}

impl Control {
    const GO_ON: u8 = 0;
    const CANCEL: u8 = 1;
    const SUPERSEDED: u8 = 2;

    /// Of a runner that works under an epoch.
    pub fn new(epoch: u64) -> Self {
        Self { epoch, word: AtomicU8::new(Self::GO_ON), bell: Notify::new(), metadata: Mutex::default() }
    }

    /// Asks the runner to cancel the task. False: another one has taken over, and is the one to ask.
    pub fn cancel(&self, metadata: Option<Struct>) -> bool {
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = metadata;
        self.tell(Self::CANCEL) != Self::SUPERSEDED
    }

    /// Tells the runner that another one has begun on the task. What it was asked and has not done passes on.
    pub fn supersede(&self, by: &Self) {
        if self.tell(Self::SUPERSEDED) == Self::CANCEL {
            by.cancel(self.metadata());
        }
    }

    /// What was sent beside a cancel.
    pub fn metadata(&self) -> Option<Struct> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Leaves a word, unless there is a weightier one; what there was.
    fn tell(&self, word: u8) -> u8 {
        let before = self.word.fetch_max(word, Ordering::AcqRel);
        self.bell.notify_one();
        before
    }

    /// What the runner was told.
    pub fn heard(&self) -> Option<Interruption> {
        match self.word.load(Ordering::Acquire) {
            Self::GO_ON => None,
            Self::CANCEL => Some(Interruption::Ended(Ending::Canceled)),
            _ => Some(Interruption::Stopped),
        }
    }
}
