//! First words: what an agent may answer instead of doing a task, namely a bare message or a refusal.
//!
//! A caller that waits and has not been told of a task takes the message or the error; anyone else sees the completed or
//! failed task. Which it is must be decided once, though the agent's word and the caller's being told may come at the
//! same time.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering},
};

use crate::error::Error;

/// Who gets an agent's first word: decided once, by whichever comes first, the word or the caller's being told of the
/// task.
#[derive(Debug)]
pub struct Claim {
    taken: AtomicU8,
    /// Whether the caller can take a bare message: not when it sent this message to a task it knows.
    bare: bool,
    refusal: OnceLock<Error>,
}

impl Claim {
    const OPEN: u8 = 0;
    const TASK: u8 = 1;
    const MESSAGE: u8 = 2;
    const REFUSAL: u8 = 3;

    /// Of a caller that waits. `bare`: whether it can take a bare message.
    pub fn new(bare: bool) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU8::new(Self::OPEN), bare, refusal: OnceLock::new() })
    }

    /// The agent replied: true when nobody has been told of the task yet.
    pub fn reply(&self) -> bool {
        self.bare && self.take(Self::MESSAGE) == Self::OPEN
    }

    /// The agent refused: the caller gets the error if it has not been told of the task yet.
    pub fn refuse(&self, error: Error) {
        // Before it is announced: who hears of it must find it.
        let _ = self.refusal.set(error);
        self.take(Self::REFUSAL);
    }

    /// The caller is to be told of the task, or is gone: false when the agent's first word has already been given to it.
    fn tell(&self) -> bool {
        matches!(self.take(Self::TASK), Self::OPEN | Self::TASK)
    }

    /// The agent's refusal, if it is this caller's.
    fn refusal(&self) -> Option<&Error> {
        (self.taken.load(Ordering::Acquire) == Self::REFUSAL).then(|| self.refusal.get()).flatten()
    }

    /// Takes the claim if it is open; what it was before.
    fn take(&self, to: u8) -> u8 {
        match self.taken.compare_exchange(Self::OPEN, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(before) | Err(before) => before,
        }
    }
}

/// The caller's side of a claim. Settles it in favour of the task when the caller goes away: nobody is left to take
/// anything else.
#[derive(Debug)]
pub struct Told(Arc<Claim>);

impl Told {
    /// The caller's side of a claim.
    pub fn new(claim: Arc<Claim>) -> Self {
        Self(claim)
    }

    /// Claims to be told of the task: false when the agent's first word has already been given to this caller.
    pub fn tell(&self) -> bool {
        self.0.tell()
    }

    /// The agent's refusal, if it was given to this caller.
    pub fn refusal(&self) -> Option<&Error> {
        self.0.refusal()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn error() -> Error {
        Error::new(ErrorKind::ContentTypeNotSupported, "no")
    }

    #[test]
    fn the_first_to_come_decides() {
        let claim = Claim::new(true);
        assert!(claim.reply() && !claim.reply() && !claim.tell());
        let claim = Claim::new(true);
        assert!(claim.tell() && claim.tell() && !claim.reply());
        claim.refuse(error());
        assert_eq!(claim.refusal(), None, "the caller knows the task");
        let claim = Claim::new(true);
        claim.refuse(error());
        assert_eq!(claim.refusal(), Some(&error()));
        assert!(!claim.tell() && !claim.reply());
    }

    #[test]
    fn a_caller_that_knows_the_task_takes_no_bare_message_but_a_refusal() {
        let claim = Claim::new(false);
        assert!(!claim.reply());
        claim.refuse(error());
        assert_eq!(claim.refusal(), Some(&error()));
    }

    #[test]
    fn a_caller_that_goes_away_leaves_the_task() {
        let claim = Claim::new(true);
        drop(Told::new(claim.clone()));
        assert!(!claim.reply());
    }
}
