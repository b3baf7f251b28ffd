//! Direct replies: an agent that answers with a bare message instead of doing a task.
//!
//! A caller that waits and has not been told of a task takes the bare message; anyone else sees the completed task. Which
//! it is must be decided once, though the agent's reply and the caller's being told may come at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// Who gets a direct reply: decided once, by whichever comes first, the agent's reply or the caller's being told of
/// the task.
#[derive(Debug, Default)]
pub struct ReplyClaim(AtomicU8);

impl ReplyClaim {
    const OPEN: u8 = 0;
    const TASK: u8 = 1;
    const MESSAGE: u8 = 2;

    /// The agent replied: true when nobody has been told of the task yet.
    pub fn reply(&self) -> bool {
        self.0.compare_exchange(Self::OPEN, Self::MESSAGE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller is to be told of the task, or is gone: false when the agent has already replied.
    pub fn tell(&self) -> bool {
        let result = self.0.compare_exchange(Self::OPEN, Self::TASK, Ordering::AcqRel, Ordering::Acquire);
        result != Err(Self::MESSAGE)
    }
}

/// Settles the claim in favour of the task when the caller goes away: nobody is left to take a bare message.
#[derive(Debug)]
pub struct Told(Arc<ReplyClaim>);

impl Told {
    /// The caller's side of a claim.
    pub fn new(claim: Arc<ReplyClaim>) -> Self {
        Self(claim)
    }

    /// See [`ReplyClaim::tell`].
    pub fn tell(&self) -> bool {
        self.0.tell()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.tell();
    }
}
