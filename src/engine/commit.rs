//! Writing a runner's events: with a snapshot and a trim when they are due, and again and again while the store has no room.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;

use super::run::Runner;
use crate::{
    error::ErrorKind,
    proto::a2a::stream_response::Payload,
    store::{Append, Stored},
    task::{Event, Upstream, state},
};

/// A snapshot is written in the middle of a turn only when the log since the last one is larger than this, and larger
/// than the task itself: the cost of snapshots stays in proportion to the log.
const SNAPSHOT_BYTES: usize = 256 << 10;

/// The runner must not go on: the log moved on without it, or the gateway stops. Nothing needs doing: the log is whole.
pub(super) struct Stop;

/// What one commit writes, already folded into the runner's task.
#[derive(Default)]
pub(super) struct Batch {
    pub events: Vec<Arc<Event>>,
    /// Bytes of the events.
    pub bytes: usize,
    pub upstream: Option<Upstream>,
    pub note_context: bool,
    dispatched: Option<bool>,
    /// What the agent sent cannot be used: it must be told to stop.
    pub broken: bool,
}

impl Batch {
    /// Notes whether the agent may have the message.
    pub fn mark_dispatched(&mut self, log: &mut Stored, dispatched: bool) {
        if log.dispatched != dispatched {
            log.dispatched = dispatched;
            self.dispatched = Some(dispatched);
        }
    }

    /// Whether it ends with an agent's direct reply, which leaves no task behind.
    pub fn is_direct_reply(&self) -> bool {
        matches!(self.events.last().map(|event| event.payload()), Some(Payload::Message(_)))
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.upstream.is_none() && self.dispatched.is_none()
    }
}

impl Runner {
    /// Commits a batch. As long as the store has no room or cannot be reached, it waits and tries again, and says so to
    /// those who watch.
    pub(super) async fn commit(&mut self, batch: Batch) -> Result<(), Stop> {
        if batch.is_empty() {
            return Ok(());
        }
        let (after, from) = self.committed;
        let id = self.log.identity.id;
        let (snapshot, trim_to) = self.snapshot(&batch.events);
        let mut pause = Duration::from_millis(250);
        loop {
            let append = Append {
                epoch: Some(self.log.epoch),
                snapshot: snapshot.clone(),
                trim_to,
                hide: batch.is_direct_reply(),
                dispatched: batch.dispatched,
                upstream: batch.upstream.clone(),
                note_context: batch.note_context,
                ..Append::new(self.log.identity.clone(), after, from, batch.events.clone())
            };
            let error = match self.inner.store.append(append).await {
                Ok(_) => break,
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Conflict {
                tracing::debug!(task = %id, "the log moved on: the turn stops");
                return Err(Stop);
            }
            tracing::error!(task = %id, %error, "an update cannot be stored yet");
            self.inner.hub.stall(id, &error);
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(30)),
                () = self.inner.stopping.cancelled() => return Err(Stop),
            }
        }
        self.committed = (self.log.sequence, self.log.state);
        Ok(())
    }

    /// The snapshot to write with a batch, and the sequence up to which the log may then be trimmed.
    fn snapshot(&mut self, events: &[Arc<Event>]) -> (Option<Bytes>, Option<u64>) {
        let Some(last) = events.last() else { return (None, None) };
        let due = state::is_settled(last.state)
            || state::is_interrupted(last.state)
            || self.log.unfolded > SNAPSHOT_BYTES.max(self.snapshot_size);
        let keep = self.inner.settings.events_per_task;
        // A tenth beyond the limit, so that trims are rare.
        let trim = keep > 0 && self.log.sequence - self.log.floor > keep + keep / 10;
        if !due && !trim {
            return (None, None);
        }
        let snapshot = self.log.task.encode_to_vec();
        self.snapshot_size = snapshot.len();
        self.log.unfolded = 0;
        if trim {
            self.log.floor = self.log.sequence - keep;
        }
        (Some(snapshot.into()), trim.then_some(self.log.floor))
    }

    /// Keeps the task in memory for readers, now that the turn is over, if nothing can follow.
    pub(super) fn keep(&mut self) {
        if state::is_settled(self.log.state) {
            let task = std::mem::take(&mut self.log.task);
            let record = Stored { task, ..self.log.clone() }.into_record();
            self.inner.keep(self.log.identity.owner.clone(), record);
        }
    }
}
