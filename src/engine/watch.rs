//! Watching one task: from a position in its log, then live, without gap or duplicate (promise P3).

use std::{collections::VecDeque, sync::Arc};

use super::{
    Caller, Inner,
    hub::{Pull, Subscription},
};
use crate::{
    error::{Error, ErrorKind, Result},
    proto::a2a::{TaskState, stream_response::Payload},
    task::{Event, Record, TaskId, state},
};

/// The most events of one batch.
const BATCH: usize = 256;

/// When a watch ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Once the task has settled (gateway API).
    Settled,
    /// Once the task has settled or comes to need input (A2A 1.0 streams). Stays open at AUTH_REQUIRED, and on a task that
    /// needs input already when the watch opens with a snapshot: its watcher wants what comes then.
    InputRequired,
    /// Once the task has settled or is interrupted in either way (blocking calls, 0.3 streams).
    Interrupted,
}

impl Until {
    fn reached(self, state: TaskState) -> bool {
        state::is_settled(state)
            || match self {
                Self::Settled => false,
                Self::InputRequired => state == TaskState::InputRequired,
                Self::Interrupted => state::is_interrupted(state),
            }
    }
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A snapshot of the task, then what follows.
    Snapshot,
    /// The events after this sequence.
    After(u64),
}

/// A task's events, in order, from a position on.
pub struct Watch {
    inner: Arc<Inner>,
    id: TaskId,
    until: Until,
    subscription: Subscription<Arc<Event>>,
    /// Come before everything else.
    opening: VecDeque<Arc<Event>>,
    /// The sequence to come next.
    next: u64,
    /// Whether all before `next` was seen and the rest will be published to us.
    live: bool,
    ended: bool,
    /// Of a unary call: goes on while the gateway drains. Streams end then, so that clients resume elsewhere.
    unary: bool,
}

impl Watch {
    /// Opens a watch for a caller.
    pub(super) async fn open(
        inner: &Arc<Inner>,
        caller: &Caller,
        id: TaskId,
        from: From,
        until: Until,
    ) -> Result<Self> {
        let subscription = inner.hub.task(id);
        match from {
            From::Snapshot => {
                let record = inner.record(caller, id).await?;
                let at_once = if until == Until::InputRequired { Until::Settled } else { until };
                let ended = at_once.reached(state_of(&record));
                let watch = Self::after_record(inner, subscription, &record, until).with_opening(&record);
                Ok(Self { ended, ..watch })
            }
            From::After(after) => {
                let page = inner.store.log(id, after).await?.filter(|page| page.owner == caller.owner);
                let page = page.ok_or_else(|| Error::task_not_found(&id.to_string()))?;
                check_position(after, page.floor, page.head)?;
                let ended = after == page.head && until.reached(page.state);
                Ok(Self { ended, live: false, ..Self::after(inner, subscription, id, after, until) })
            }
        }
    }

    /// A watch of what follows a record that was read after the subscription was made.
    pub(super) fn after_record(
        inner: &Arc<Inner>,
        subscription: Subscription<Arc<Event>>,
        record: &Record,
        until: Until,
    ) -> Self {
        let ended = until.reached(state_of(record));
        Self { ended, ..Self::after(inner, subscription, record.id, record.sequence, until) }
    }

    /// Puts a snapshot of the record in front.
    pub(super) fn with_opening(mut self, record: &Record) -> Self {
        self.opening.push_front(Arc::new(snapshot(record)));
        self
    }

    /// Puts events in front that were taken from this watch.
    pub(super) fn with_first(mut self, events: Vec<Arc<Event>>) -> Self {
        self.opening = events.into();
        self
    }

    /// Makes it the watch of a unary call, which may go on while the gateway drains.
    pub(super) fn unary(mut self) -> Self {
        self.unary = true;
        self
    }

    fn after(inner: &Arc<Inner>, subscription: Subscription<Arc<Event>>, id: TaskId, after: u64, until: Until) -> Self {
        let (inner, opening) = (inner.clone(), VecDeque::new());
        Self { inner, id, until, subscription, opening, next: after + 1, live: true, ended: false, unary: false }
    }

    /// The next event; none at the end. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` when the gateway shuts down; `SequenceTrimmed` when the watcher was so slow that the log was
    /// trimmed before it; `StoreFull` or `Unavailable` when the task's updates cannot be stored (a later call may go on).
    pub async fn next(&mut self) -> Option<Result<Arc<Event>>> {
        let batch = self.batch(1).await?;
        batch.map(|mut events| events.swap_remove(0)).into()
    }

    /// The next events that are there without waiting for more than the first: at least one, in order. Otherwise as
    /// [`Watch::next`].
    pub async fn next_batch(&mut self) -> Option<Result<Vec<Arc<Event>>>> {
        self.batch(BATCH).await
    }

    async fn batch(&mut self, limit: usize) -> Option<Result<Vec<Arc<Event>>>> {
        if !self.opening.is_empty() {
            let count = self.opening.len().min(limit);
            return Some(Ok(self.opening.drain(..count).collect()));
        }
        loop {
            if self.ended {
                return None;
            }
            let step = if self.live { self.pull(limit).await } else { self.read(limit).await };
            match step {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Some(Ok(events)),
                Err(error) => {
                    self.ended = !matches!(error.kind(), ErrorKind::StoreFull);
                    return Some(Err(error));
                }
            }
        }
    }

    /// Takes what was published, waiting for it.
    async fn pull(&mut self, limit: usize) -> Result<Vec<Arc<Event>>> {
        match self.subscription.pull(self.next, limit) {
            Pull::Items(events, more) => {
                self.advance(&events, more);
                Ok(events)
            }
            Pull::Lagged => {
                self.live = false;
                Ok(Vec::new())
            }
            Pull::Stalled(error) => Err(error),
            Pull::Nothing => {
                let stop = if self.unary { &self.inner.stopping } else { &self.inner.draining };
                tokio::select! {
                    () = self.subscription.rung() => Ok(Vec::new()),
                    () = stop.cancelled() => Err(super::shutting_down()),
                }
            }
        }
    }

    /// Reads the log from where we are; live once its end is reached.
    async fn read(&mut self, limit: usize) -> Result<Vec<Arc<Event>>> {
        let after = self.next - 1;
        let page = self.inner.store.log(self.id, after).await?;
        let page = page.ok_or_else(|| Error::task_not_found(&self.id.to_string()))?;
        check_position(after, page.floor, page.head)?;
        let mut events = page.events;
        events.truncate(limit);
        let more = events.last().is_some_and(|last| last.sequence < page.head);
        self.advance(&events, more);
        self.live = self.next > page.head;
        Ok(events)
    }

    /// Notes what is about to be delivered. The end counts only at the log's newest event: a state that ended a turn
    /// long ago does not end a replay.
    fn advance(&mut self, events: &[Arc<Event>], more: bool) {
        let Some(last) = events.last() else { return };
        self.next = last.sequence + 1;
        self.ended = !more && self.until.reached(last.state);
    }
}

/// The record as the event that opens a watch.
pub(super) fn snapshot(record: &Record) -> Event {
    Event::new(record.id, record.sequence, record.updated, state_of(record), Payload::Task(record.task.clone()))
}

fn state_of(record: &Record) -> TaskState {
    record.task.status.as_ref().map_or(TaskState::Unspecified, crate::proto::a2a::TaskStatus::state)
}

fn check_position(after: u64, floor: u64, head: u64) -> Result<()> {
    let (kind, message) = if after < floor {
        (
            ErrorKind::SequenceTrimmed,
            format!(
                "the events after {after} are no longer kept: resume after {floor} or later, or watch without a position"
            ),
        )
    } else if after > head {
        (ErrorKind::SequenceAhead, format!("sequence {after} does not exist yet: the newest is {head}"))
    } else {
        return Ok(());
    };
    Err(Error::new(kind, message).with("floor", floor).with("current", head))
}
