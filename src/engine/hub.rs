//! The hub: hands committed events to those who watch, without ever waiting for them (promise P4).
//!
//! Each watched task has a topic: a ring of its newest events and a bell. Publishing puts events into the ring and
//! rings; watchers pull from the ring at their own pace, and one that fell behind the ring reads the store instead.
//! Topics exist only while somebody watches. The feed is one more topic, of commits instead of events.
//!
//! What makes a watch complete: it subscribes first and reads the store after. Whatever commits later is published to
//! it; whatever committed earlier is in what it reads.
//!
//! Where several processes share the store, a task's events are published by the process that committed them, and the others
//! hear how far the task has come. Such a ring is emptied, and its watchers read the store. The same is done whenever what is published
//! does not follow what was published before: what a ring holds is always without a hole.

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

use super::runners::Runners;

/// The most events and bytes a ring holds; whoever falls further behind reads the store.
const RING_EVENTS: usize = 1024;
const RING_BYTES: usize = 1 << 20;
const SHARDS: usize = 16;

/// Everything that is being watched.
pub struct Hub {
    shards: [Mutex<HashMap<TaskId, Watched>>; SHARDS],
    feed: Arc<Topic<Commit>>,
    runners: Arc<Runners>,
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
    /// Whether nothing can have come between the item of number `before` and this one.
    fn follows(&self, before: u64) -> bool;
    /// About how much memory it holds.
    fn size(&self) -> usize;
}

impl Numbered for Arc<Event> {
    fn number(&self) -> u64 {
        self.sequence
    }
    fn follows(&self, before: u64) -> bool {
        self.sequence == before + 1
    }
    fn size(&self) -> usize {
        self.bytes().len()
    }
}

impl Numbered for Commit {
    fn number(&self) -> u64 {
        self.position
    }
    /// Positions have holes, but the feed is published in one piece.
    fn follows(&self, _before: u64) -> bool {
        true
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
            ring.newest = items.into_iter().last().map_or(ring.newest, |item| item.number().max(ring.newest));
            (ring.items, ring.bytes) = (VecDeque::new(), 0);
            return;
        }
        for item in items {
            // Two commits of a task may be told of in either order where they were made on two connections.
            if item.number() <= ring.newest {
                continue;
            }
            if !item.follows(ring.newest) {
                (ring.items, ring.bytes) = (VecDeque::new(), 0);
            }
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

    /// What is numbered up to `number` is there, though not here.
    fn pass(&self, number: u64) {
        let mut ring = lock(&self.ring);
        if number > ring.newest {
            ring.newest = number;
            ring.stalled = None;
            (ring.items, ring.bytes) = (VecDeque::new(), 0);
            drop(ring);
            self.bell.send_replace(());
        }
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
        Arc::new(Self { shards: Default::default(), feed: Arc::new(Topic::new()), runners: Arc::default(), metrics })
    }

    /// The runners of this process, which hear of other processes here.
    pub(super) fn runners(&self) -> &Arc<Runners> {
        &self.runners
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
        if let Some(topic) = self.topic(id) {
            topic.stall(error.clone());
        }
    }

    fn topic(&self, id: TaskId) -> Option<Arc<Topic<Arc<Event>>>> {
        self.shard(id).get(&id).map(|watched| watched.topic.clone())
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
            if let Some(topic) = self.topic(commit.identity.id) {
                topic.publish(commit.events.iter().cloned());
            }
        }
    }

    fn ordered(&self, commits: Vec<Commit>) {
        self.feed.publish(commits);
    }

    fn passed(&self, position: u64) {
        self.feed.pass(position);
    }

    fn follows(&self) -> bool {
        self.feed.bell.receiver_count() > 0
    }

    fn moved(&self, task: TaskId, head: u64, epoch: u64) {
        self.runners.moved(task, epoch);
        if let Some(topic) = self.topic(task) {
            topic.pass(head);
        }
    }

    fn watched(&self) -> Vec<TaskId> {
        self.shards.iter().flat_map(|shard| lock(shard).keys().copied().collect::<Vec<_>>()).collect()
    }

    fn asked(&self) {
        self.runners.ask();
    }

    fn lost(&self) {
        self.runners.lose();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::a2a::{Task, TaskState, stream_response::Payload};

    fn event(id: TaskId, sequence: u64) -> Arc<Event> {
        Arc::new(Event::new(id, sequence, 0, TaskState::Working, Payload::Task(Task::default())))
    }

    /// What a watcher gets that has come to `next`: sequences; or none where it is to read the store.
    fn pulled(subscription: &mut Subscription<Arc<Event>>, next: u64) -> Option<Vec<u64>> {
        match subscription.pull(next, 100) {
            Pull::Items(items, _) => Some(items.iter().map(|event| event.sequence).collect()),
            Pull::Nothing => Some(Vec::new()),
            Pull::Lagged => None,
            Pull::Stalled(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_ring_never_has_a_hole_whoever_commits() {
        let hub = Hub::new(Arc::default());
        let id = TaskId::mint();
        let mut watch = hub.task(id);
        let publish = |sequences: &[u64]| {
            let topic = hub.topic(id).unwrap();
            topic.publish(sequences.iter().map(|sequence| event(id, *sequence)));
        };
        publish(&[1, 2]);
        assert_eq!(pulled(&mut watch, 1), Some(vec![1, 2]));
        // Another process committed 3 and 4, and told of it late: what follows does not hide them.
        publish(&[5]);
        assert_eq!(pulled(&mut watch, 3), None);
        assert_eq!(pulled(&mut watch, 5), Some(vec![5]));
        hub.moved(id, 4, 1);
        assert_eq!(pulled(&mut watch, 5), Some(vec![5]), "what is known already changes nothing");
        // It told in time.
        hub.moved(id, 7, 1);
        watch.rung().await;
        assert_eq!((pulled(&mut watch, 6), pulled(&mut watch, 8)), (None, Some(vec![])));
        publish(&[8, 9]);
        assert_eq!(pulled(&mut watch, 8), Some(vec![8, 9]));
        // Told in the other order.
        publish(&[11]);
        publish(&[10]);
        assert_eq!((pulled(&mut watch, 10), pulled(&mut watch, 11)), (None, Some(vec![11])));
        assert_eq!(hub.watched(), [id]);
        drop(watch);
        assert_eq!(hub.watched(), []);
    }

    #[test]
    fn the_feed_is_followed_while_somebody_watches_it() {
        let hub = Hub::new(Arc::default());
        assert!(!hub.follows());
        let mut feed = hub.feed();
        assert!(hub.follows());
        hub.passed(70);
        assert!(matches!(feed.pull(70, 1), Pull::Lagged) && matches!(feed.pull(71, 1), Pull::Nothing));
        drop(feed);
        assert!(!hub.follows());
    }
}
