//! Streams that outlive their connection.
//!
//! A [`Follow`] opens a stream of the gateway, hands out its items, and after a loss opens it again from where it was:
//! each item is handed out once. A loss is told to the caller before the wait for the next try. What trying again
//! cannot mend (no such task, a position that is gone) is an error.

use std::{collections::HashMap, future::Future, time::Duration};

use tonic::{Code, Response, Status, Streaming};

use super::client::Gateway;
use crate::proto::{
    a2a::TaskState,
    gateway::{GetTaskRequest, TaskEvent, WatchTaskRequest, WatchTasksRequest, WatchTasksResponse, task_event::Event},
};

/// A stream that can be opened again from a position.
pub(super) trait Source {
    type Item;
    /// Opens the stream after the position.
    fn open(&mut self) -> impl Future<Output = Result<Streaming<Self::Item>, Status>>;
    /// Moves the position past the item; false when the item is already behind it.
    fn advance(&mut self, item: &Self::Item) -> bool;
    /// Whether nothing can follow, now that the stream has ended without an error.
    fn is_over(&mut self) -> impl Future<Output = Result<bool, Status>>;
}

/// What a [`Follow`] reports.
#[derive(Debug)]
pub(super) enum Update<T> {
    /// The next item.
    Item(T),
    /// The stream was lost; the next call waits for `delay` and opens it again.
    Lost { status: Status, delay: Duration },
    /// Nothing follows.
    End,
}

/// How long to wait before the n-th try in a row, counted from 1.
pub(super) type Backoff = fn(u32) -> Duration;

/// A quarter of a second, doubled up to eight seconds.
pub(super) fn backoff(tries: u32) -> Duration {
    Duration::from_millis(250 << tries.saturating_sub(1).min(5))
}

/// A stream that comes back after a loss.
pub(super) struct Follow<S: Source> {
    pub(super) source: S,
    stream: Option<Streaming<S::Item>>,
    /// Whether a stream has been open: the very first failure is told at once, as it is most likely for good.
    opened: bool,
    tries: u32,
    delay: Option<Duration>,
    backoff: Backoff,
}

impl<S: Source> Follow<S> {
    pub(super) fn new(source: S, backoff: Backoff) -> Self {
        Self { source, stream: None, opened: false, tries: 0, delay: None, backoff }
    }

    /// What happens next.
    ///
    /// # Errors
    /// What trying again cannot mend.
    pub(super) async fn next(&mut self) -> Result<Update<S::Item>, Status> {
        loop {
            if let Some(delay) = self.delay.take() {
                tokio::time::sleep(delay).await;
            }
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => match self.source.open().await {
                    Ok(stream) => {
                        self.opened = true;
                        none.insert(stream)
                    }
                    Err(status) => return self.lost(status),
                },
            };
            match stream.message().await {
                Ok(Some(item)) if self.source.advance(&item) => {
                    self.tries = 0;
                    return Ok(Update::Item(item));
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.stream = None;
                    return match self.source.is_over().await {
                        Ok(true) => Ok(Update::End),
                        Ok(false) => self.lost(Status::unavailable("the stream ended early")),
                        Err(status) => self.lost(status),
                    };
                }
                Err(status) => return self.lost(status),
            }
        }
    }

    fn lost(&mut self, status: Status) -> Result<Update<S::Item>, Status> {
        self.stream = None;
        if !self.opened || !is_transient(&status) {
            return Err(status);
        }
        self.tries += 1;
        let delay = (self.backoff)(self.tries);
        self.delay = Some(delay);
        Ok(Update::Lost { status, delay })
    }
}

/// Whether trying again may help: the gateway is going down, or the status was made on this side of a lost connection, or of
/// an answer without a status (`Unknown`), which is how a proxy ends the streams of a gateway that has died.
fn is_transient(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown) || std::error::Error::source(status).is_some()
}

/// The state of a task after an event, if the event tells one.
pub(super) fn state_after(event: &TaskEvent) -> Option<TaskState> {
    let status = match event.event.as_ref()? {
        Event::Snapshot(task) => task.status.as_ref(),
        Event::StatusUpdate(update) => update.status.as_ref(),
        Event::Message(_) | Event::ArtifactUpdate(_) => None,
    };
    status.map(crate::proto::a2a::TaskStatus::state)
}

/// Whether nothing follows the state.
pub(super) fn is_settled(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected)
}

/// The events of one task.
pub(super) struct TaskEvents {
    gateway: Gateway,
    task_id: String,
    /// The last event seen; none: the stream starts with a snapshot.
    pub(super) after: Option<i64>,
    /// The state after it, as far as known.
    pub(super) state: Option<TaskState>,
}

impl TaskEvents {
    pub(super) fn new(gateway: Gateway, task_id: String, after: Option<i64>) -> Self {
        Self { gateway, task_id, after, state: None }
    }
}

impl Source for TaskEvents {
    type Item = TaskEvent;

    async fn open(&mut self) -> Result<Streaming<TaskEvent>, Status> {
        let request = WatchTaskRequest { task_id: self.task_id.clone(), after_sequence: self.after };
        self.gateway.client.watch_task(request).await.map(Response::into_inner)
    }

    fn advance(&mut self, event: &TaskEvent) -> bool {
        let new = self.after.is_none_or(|after| event.sequence > after);
        if new {
            self.after = Some(event.sequence);
            self.state = state_after(event).or(self.state);
        }
        new
    }

    /// A stream that a proxy cut can look like one that ended, and one that starts after the last event is empty: the
    /// task itself knows.
    async fn is_over(&mut self) -> Result<bool, Status> {
        if !self.state.is_some_and(is_settled) {
            let request = GetTaskRequest { task_id: self.task_id.clone(), history_length: Some(0) };
            let record = self.gateway.client.get_task(request).await?.into_inner();
            if self.after.is_some_and(|after| record.sequence > after) {
                return Ok(false);
            }
            self.state = record.task.and_then(|task| task.status).map(|status| status.state());
        }
        Ok(self.state.is_some_and(is_settled))
    }
}

/// The events of many tasks. The request's cursor is the position.
pub(super) struct AllEvents {
    gateway: Gateway,
    pub(super) request: WatchTasksRequest,
    /// Opening snapshots that have been seen, by task: they have no cursor, and come again after a loss.
    opening: HashMap<String, i64>,
}

impl AllEvents {
    pub(super) fn new(gateway: Gateway, request: WatchTasksRequest) -> Self {
        Self { gateway, request, opening: HashMap::new() }
    }
}

impl Source for AllEvents {
    type Item = WatchTasksResponse;

    async fn open(&mut self) -> Result<Streaming<WatchTasksResponse>, Status> {
        self.gateway.client.watch_tasks(self.request.clone()).await.map(Response::into_inner)
    }

    fn advance(&mut self, item: &WatchTasksResponse) -> bool {
        if !item.cursor.is_empty() {
            self.request.cursor.clone_from(&item.cursor);
            self.opening = HashMap::new();
            return true;
        }
        let Some(event) = &item.event else { return false };
        self.opening.insert(event.task_id.clone(), event.sequence) != Some(event.sequence)
    }

    async fn is_over(&mut self) -> Result<bool, Status> {
        Ok(false)
    }
}

#[cfg(test)]
pub(super) mod tests;
