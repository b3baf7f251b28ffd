//! The hub: hands committed events to those who watch, without ever waiting for them (promise P4).
//!
//! Each watched task has a topic: a ring of its newest events and a bell. Publishing puts events into the ring and
//! rings; watchers pull from the ring at their own pace, and one that fell behind the ring reads the store instead.
//! Topics exist only while somebody watches. The feed is one more topic, of commits instead of events.
//!
//! What makes a watch complete: it subscribes first and reads the store after. Whatever commits later is published to
//! it; whatever committed earlier is in what it reads.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    error::Error,
    metrics::Metrics,
    store::{Commit, Listener},
    task::{Event, TaskId},
};

/// The most events and bytes a ring holds; whoever falls further behind reads the store.
const RING_EVENTS: usize = 1024;
const RING_BYTES: usize = 1 << 20;
const SHARDS: usize = 16;

/// Everything that is being watched.
pub struct Hub {
    shards: [Mutex<HashMap<TaskId, Watched>>; SHARDS],
    feed: Arc<Topic<Commit>>,
    metrics: Arc<Metrics>,
}

struct Watched {
    topic: Arc<Topic<Arc<Event>>>,
    watchers: usize,
}

/// A ring of the newest items, and a bell.
pub struct Topic<T> {
    ring: Mutex<Ring<T>>,
    bell: watch::Sender<()>,
}

struct Ring<T> {
    items: VecDeque<T>,
    bytes: usize,
    /// The newest number that was published here; 0: none yet.
    newest: u64,
    /// Set while the task's updates cannot be stored.
    stalled: Option<Error>,
}

/// Something with a place in an order.
pub trait Numbered: Clone {
    /// Its number: a sequence or a position. Numbers of a topic grow.
    fn number(&self) -> u64;
    /// About how much memory it holds.
    fn size(&self) -> usize;
}

impl Numbered for Arc<Event> {
    fn number(&self) -> u64 {
        self.sequence
    }
    fn size(&self) -> usize {
        self.bytes().len()
    }
}

impl Numbered for Commit {
    fn number(&self) -> u64 {
        self.position
    }
    fn size(&self) -> usize {
        self.events.iter().map(|event| event.bytes().len()).sum()
    }
}

/// What a ring has for a reader.
#[derive(Debug)]
pub enum Pull<T> {
    /// The items from the number asked for, at least one, and whether there are more.
    Items(Vec<T>, bool),
    /// Nothing yet.
    Nothing,
    /// The ring no longer holds what was asked for.
    Lagged,
    /// Updates cannot be stored at the moment.
    Stalled(Error),
}

impl<T: Numbered> Topic<T> {
    fn new() -> Self {
        let ring = Ring { items: VecDeque::new(), bytes: 0, newest: 0, stalled: None };
        Self { ring: Mutex::new(ring), bell: watch::Sender::new(()) }
    }

    fn publish(&self, items: impl IntoIterator<Item = T>) {
        let mut ring = lock(&self.ring);
        ring.stalled = None;
        if self.bell.receiver_count() == 0 {
            // Nobody watches: whoever comes later reads the store.
            ring.newest = items.into_iter().last().map_or(ring.newest, |item| item.number());
            (ring.items, ring.bytes) = (VecDeque::new(), 0);
            return;
        }
        for item in items {
            ring.newest = item.number();
            ring.bytes += item.size();
            ring.items.push_back(item);
        }
        while ring.items.len() > RING_EVENTS || (ring.bytes > RING_BYTES && ring.items.len() > 1) {
            ring.bytes -= ring.items.pop_front().map_or(0, |item| item.size());
        }
        drop(ring);
        self.bell.send_replace(());
    }

    fn stall(&self, error: Error) {
        lock(&self.ring).stalled = Some(error);
        self.bell.send_replace(());
    }

    /// The items numbered `next` and up, at most `limit` of them. Numbers may have holes (positions of the feed that
    /// were given to nobody), so an item beyond `next` counts only when nothing before it was dropped.
    pub fn pull(&self, next: u64, limit: usize) -> Pull<T> {
        let ring = lock(&self.ring);
        if ring.newest < next {
            return ring.stalled.clone().map_or(Pull::Nothing, Pull::Stalled);
        }
        match ring.items.front() {
            Some(front) if front.number() <= next => {
                let start = ring.items.partition_point(|item| item.number() < next);
                let end = ring.items.len().min(start + limit);
                Pull::Items(ring.items.range(start..end).cloned().collect(), end < ring.items.len())
            }
            _ => Pull::Lagged,
        }
    }
}

/// A place at a topic. Hears every ring of the bell after it was made.
pub struct Subscription<T: Numbered> {
    topic: Arc<Topic<T>>,
    bell: watch::Receiver<()>,
    leave: Option<(Arc<Hub>, TaskId)>,
    hub: Arc<Hub>,
}

impl<T: Numbered> Subscription<T> {
    /// See [`Topic::pull`]. Whatever is published after this call rings the bell.
    pub fn pull(&mut self, next: u64, limit: usize) -> Pull<T> {
        self.bell.mark_unchanged();
        self.topic.pull(next, limit)
    }

    /// Waits for the bell. Cancel safe.
    pub async fn rung(&mut self) {
        // The topic is held here, and with it the sender: an error cannot come.
        let _ = self.bell.changed().await;
    }
}

impl<T: Numbered> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.hub.metrics.watchers.dec();
        if let Some((hub, id)) = self.leave.take() {
            hub.leave(id);
        }
    }
}

impl Hub {
    /// An empty hub.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { shards: Default::default(), feed: Arc::new(Topic::new()), metrics })
    }

    /// Watches a task.
    pub fn task(self: &Arc<Self>, id: TaskId) -> Subscription<Arc<Event>> {
        let topic = {
            let mut shard = self.shard(id);
            let watched = shard.entry(id).or_insert_with(|| Watched { topic: Arc::new(Topic::new()), watchers: 0 });
            watched.watchers += 1;
            watched.topic.clone()
        };
        self.metrics.watchers.inc();
        Subscription { bell: topic.bell.subscribe(), topic, leave: Some((self.clone(), id)), hub: self.clone() }
    }

    /// Watches all commits.
    pub fn feed(self: &Arc<Self>) -> Subscription<Commit> {
        self.metrics.watchers.inc();
        let topic = self.feed.clone();
        Subscription { bell: topic.bell.subscribe(), topic, leave: None, hub: self.clone() }
    }

    /// Tells a task's watchers that its updates cannot be stored at the moment.
    pub fn stall(&self, id: TaskId, error: &Error) {
        let topic = self.shard(id).get(&id).map(|watched| watched.topic.clone());
        if let Some(topic) = topic {
            topic.stall(error.clone());
        }
    }

    fn leave(&self, id: TaskId) {
        let mut shard = self.shard(id);
        if let Some(watched) = shard.get_mut(&id) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                shard.remove(&id);
            }
        }
    }

    fn shard(&self, id: TaskId) -> MutexGuard<'_, HashMap<TaskId, Watched>> {
        // The last byte of a UUIDv7 is random.
        lock(&self.shards[usize::from(id.to_bytes()[15]) % SHARDS])
    }
}

impl Listener for Hub {
    fn stored(&self, commits: &[Commit]) {
        for commit in commits {
            let topic = self.shard(commit.identity.id).get(&commit.identity.id).map(|watched| watched.topic.clone());
            if let Some(topic) = topic {
                topic.publish(commit.events.iter().cloned());
            }
        }
    }

    fn ordered(&self, commits: Vec<Commit>) {
        self.feed.publish(commits);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
