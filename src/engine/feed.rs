//! The feed: the events of many tasks in commit order, from a cursor on, then live.
//!
//! Without a cursor it opens with a snapshot of each matching task. The position is taken before the snapshots are
//! read, so nothing falls between; what a snapshot already holds is not repeated.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    Caller, Inner,
    hub::{Pull, Subscription},
    query::distinct,
    watch,
};
use crate::{
    error::{Error, ErrorKind, Result},
    proto::a2a::TaskState,
    store::{Commit, Key, Stored, TaskQuery},
    task::{Event, TaskId, validate::Violations},
};

/// Between two marks while nothing happens.
const MARK: Duration = Duration::from_secs(15);
/// Snapshots read at a time.
const SNAPSHOTS: usize = 50;
/// Commits taken at a time.
const BATCH: usize = 256;

/// Which tasks to watch together.
#[derive(Clone, Debug, Default)]
pub struct FeedQuery {
    /// The agent's name; empty: any.
    pub agent: String,
    /// The context id; empty: any.
    pub context_id: String,
    /// Any of these states after the event; empty: any.
    pub states: Vec<TaskState>,
    /// Resume after it; empty: snapshots first.
    pub cursor: String,
}

/// One item of a feed.
#[derive(Clone, Debug)]
pub struct FeedItem {
    /// None: a mark, all up to the cursor has been delivered.
    pub event: Option<Arc<Event>>,
    /// Where to resume; empty on opening snapshots.
    pub cursor: String,
    /// The agent of the event's task; empty in a mark.
    pub agent: Arc<str>,
}

/// The events of many tasks.
pub struct Feed {
    inner: Arc<Inner>,
    caller: Caller,
    query: FeedQuery,
    subscription: Subscription<Commit>,
    place: Cursor,
    phase: Phase,
    ready: VecDeque<FeedItem>,
    /// Until the feed has passed `opened_at`: what the opening snapshots hold, by task.
    shown: HashMap<TaskId, u64>,
    opened_at: u64,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Opening snapshots, after a place in the list.
    Snapshots(Option<Key>),
    /// Behind: reading the store.
    Behind,
    /// The rest is published to us.
    Live,
}

/// A place in the feed: commits before `position` have been delivered, and `events` of the commit there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    position: u64,
    events: usize,
}

impl Cursor {
    fn write(self) -> String {
        format!("{:016x}{:08x}", self.position, self.events)
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() != 24 || !text.is_ascii() {
            return None;
        }
        let position = u64::from_str_radix(text.get(..16)?, 16).ok()?;
        let events = usize::from_str_radix(text.get(16..)?, 16).ok()?;
        (1..=i64::MAX as u64).contains(&position).then_some(Self { position, events })
    }
}

impl Feed {
    pub(super) async fn open(inner: &Arc<Inner>, caller: &Caller, mut query: FeedQuery) -> Result<Self> {
        let mut violations = Violations::default();
        violations.id("agent", &query.agent);
        violations.id("context_id", &query.context_id);
        let cursor = if query.cursor.is_empty() { None } else { Cursor::read(&query.cursor) };
        if cursor.is_none() && !query.cursor.is_empty() {
            violations.add("cursor", "must be the cursor of an earlier response, or empty");
        }
        violations.check()?;
        if !query.agent.is_empty() {
            inner.roster.find(&query.agent)?;
        }
        query.states = distinct(&query.states);
        let subscription = inner.hub.feed();
        let end = inner.store.feed(i64::MAX as u64).await?;
        let (place, phase) = match cursor {
            // Later commits may be in the snapshots, and are told from them when they are read.
            None => (Cursor { position: end.stable + 1, events: 0 }, Phase::Snapshots(None)),
            Some(cursor) => {
                check_cursor(cursor, end.floor, end.head)?;
                (cursor, Phase::Behind)
            }
        };
        Ok(Self {
            inner: inner.clone(),
            caller: caller.clone(),
            query,
            subscription,
            place,
            phase,
            ready: VecDeque::new(),
            shown: HashMap::new(),
            opened_at: 0,
        })
    }

    /// The next item. Cancel safe.
    ///
    /// # Errors
    /// `CursorTrimmed` when the reader was so slow that the store removed what comes next; `Unavailable` when the
    /// gateway shuts down.
    pub async fn next(&mut self) -> Option<Result<FeedItem>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if let Err(error) = self.fill().await {
                return Some(Err(error));
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        match self.phase {
            Phase::Snapshots(after) => self.snapshots(after).await,
            Phase::Behind => self.read().await,
            Phase::Live => self.pull().await,
        }
    }

    async fn snapshots(&mut self, after: Option<Key>) -> Result<()> {
        let open = [TaskState::Submitted, TaskState::Working, TaskState::InputRequired, TaskState::AuthRequired];
        let page = self
            .inner
            .store
            .list(TaskQuery {
                owner: self.caller.owner.clone(),
                agent: Some(self.query.agent.clone()).filter(|agent| !agent.is_empty()),
                context_id: Some(self.query.context_id.clone()).filter(|context| !context.is_empty()),
                states: if self.query.states.is_empty() { open.to_vec() } else { self.query.states.clone() },
                after,
                limit: SNAPSHOTS,
                ..TaskQuery::default()
            })
            .await?;
        for stored in page.tasks {
            self.show(stored, String::new());
        }
        if page.next.is_none() {
            // Whatever a snapshot holds was committed before this point.
            self.opened_at = self.inner.store.feed(i64::MAX as u64).await?.head;
            self.mark();
            self.phase = Phase::Behind;
        } else {
            self.phase = Phase::Snapshots(page.next);
        }
        Ok(())
    }

    fn show(&mut self, stored: Stored, cursor: String) {
        let agent = stored.identity.agent.clone();
        let record = stored.into_record();
        self.shown.insert(record.id, record.sequence);
        self.ready.push_back(FeedItem { event: Some(Arc::new(watch::snapshot(&record))), cursor, agent });
    }

    fn mark(&mut self) {
        self.ready.push_back(FeedItem { event: None, cursor: self.place.write(), agent: Arc::default() });
    }

    async fn read(&mut self) -> Result<()> {
        let page = self.inner.store.feed(self.place.position - 1).await?;
        check_cursor(self.place, page.floor, page.head)?;
        if page.commits.is_empty() {
            self.phase = Phase::Live;
        }
        self.deliver(page.commits).await
    }

    async fn pull(&mut self) -> Result<()> {
        match self.subscription.pull(self.place.position, BATCH) {
            Pull::Items(commits, _) => self.deliver(commits).await,
            Pull::Lagged => {
                self.phase = Phase::Behind;
                Ok(())
            }
            Pull::Stalled(error) => Err(error),
            Pull::Nothing => {
                tokio::select! {
                    () = self.subscription.rung() => {}
                    () = tokio::time::sleep(MARK) => self.mark(),
                    () = self.inner.draining.cancelled() => return Err(super::shutting_down()),
                }
                Ok(())
            }
        }
    }

    async fn deliver(&mut self, commits: Vec<Commit>) -> Result<()> {
        for commit in commits {
            let skip = if commit.position == self.place.position { self.place.events } else { 0 };
            if self.wanted(&commit) {
                self.deliver_commit(&commit, skip).await?;
            }
            self.place = Cursor { position: commit.position + 1, events: 0 };
            if commit.position >= self.opened_at {
                self.shown = HashMap::new();
            }
        }
        Ok(())
    }

    fn wanted(&self, commit: &Commit) -> bool {
        let identity = &commit.identity;
        identity.owner == self.caller.owner
            && (self.query.agent.is_empty() || *identity.agent == *self.query.agent)
            && (self.query.context_id.is_empty() || identity.context_id == self.query.context_id)
    }

    async fn deliver_commit(&mut self, commit: &Commit, skip: usize) -> Result<()> {
        for (index, event) in commit.events.iter().enumerate().skip(skip) {
            let wanted = self.query.states.is_empty() || self.query.states.contains(&event.state);
            if !wanted || self.shown.get(&event.task_id).is_some_and(|shown| *shown >= event.sequence) {
                continue;
            }
            let after = if index + 1 == commit.events.len() {
                Cursor { position: commit.position + 1, events: 0 }
            } else {
                Cursor { position: commit.position, events: index + 1 }
            };
            // A task that moved in the list while the opening snapshots were read may have been passed over.
            let unseen =
                commit.position <= self.opened_at && event.sequence > 1 && !self.shown.contains_key(&event.task_id);
            if unseen && let Some(stored) = self.inner.store.task(event.task_id).await? {
                self.show(stored, after.write());
                continue;
            }
            self.ready.push_back(FeedItem {
                event: Some(event.clone()),
                cursor: after.write(),
                agent: commit.identity.agent.clone(),
            });
        }
        Ok(())
    }
}

fn check_cursor(cursor: Cursor, floor: u64, head: u64) -> Result<()> {
    if cursor.position <= floor {
        let message = "the cursor is older than what is kept: watch again without a cursor";
        return Err(Error::new(ErrorKind::CursorTrimmed, message));
    }
    if cursor.position > head + 1 {
        return Err(Error::invalid("cursor", "must be the cursor of an earlier response of this gateway, or empty"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_foreign_ones_are_told() {
        let cursor = Cursor { position: 77, events: 3 };
        assert_eq!(Cursor::read(&cursor.write()), Some(cursor));
        for foreign in ["x", "", &"0".repeat(24), &"f".repeat(24), &"é".repeat(12)] {
            assert_eq!(Cursor::read(foreign), None, "{foreign}");
        }
    }
}
