//! The agents of an engine, and their places: who may work on how many turns at once.
//!
//! The list can be replaced while turns run: a turn keeps the agent that it began with. Who waits for a place is served in
//! the order in which it came.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AgentStatus;
use crate::{
    agent::Agent,
    error::{Error, ErrorKind, Result},
    metrics::Metrics,
};

/// The agents, the default one first.
pub struct Roster {
    entries: RwLock<Arc<[Arc<AgentEntry>]>>,
    /// Places of all agents together.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// One agent.
pub struct AgentEntry {
    pub name: Arc<str>,
    pub agent: Arc<dyn Agent>,
    limit: Mutex<Limit>,
    own_places: Arc<Semaphore>,
    all_places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    running: AtomicU64,
    queued: AtomicU64,
}

/// How many turns an agent may run at the same time.
struct Limit {
    /// None: no limit of its own.
    places: Option<usize>,
    /// Places that are to go as soon as they are given back: the limit was lowered while they were taken.
    excess: usize,
}

/// The right to run a turn, until it is dropped.
pub struct Place {
    entry: Arc<AgentEntry>,
    own: Option<OwnedSemaphorePermit>,
    _common: OwnedSemaphorePermit,
}

impl Roster {
    /// `max_running`: turns of all agents together.
    pub fn new(agents: Vec<(String, Arc<dyn Agent>)>, max_running: usize, metrics: Arc<Metrics>) -> Self {
        let places = Arc::new(Semaphore::new(max_running.clamp(1, Semaphore::MAX_PERMITS)));
        let roster = Self { entries: RwLock::new(Arc::new([])), places, metrics };
        roster.replace(agents);
        roster
    }

    /// Replaces the agents. One that stays keeps its turns and its line, also under another limit.
    pub fn replace(&self, agents: Vec<(String, Arc<dyn Agent>)>) {
        let before = self.all();
        let entries = agents.into_iter().map(|(name, agent)| {
            let kept = before.iter().find(|entry| *entry.name == *name && Arc::ptr_eq(&entry.agent, &agent));
            if let Some(kept) = kept {
                kept.resize(agent.max_concurrency());
            }
            kept.cloned()
                .unwrap_or_else(|| Arc::new(AgentEntry::new(name, agent, self.places.clone(), self.metrics.clone())))
        });
        let entries = entries.collect();
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    /// All of them.
    pub fn all(&self) -> Arc<[Arc<AgentEntry>]> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The agent of a name; empty: the default one.
    ///
    /// # Errors
    /// `AgentNotFound`.
    pub fn find(&self, name: &str) -> Result<Arc<AgentEntry>> {
        let entries = self.all();
        let found = if name.is_empty() { entries.first() } else { entries.iter().find(|entry| &*entry.name == name) };
        found.cloned().ok_or_else(|| {
            let names: Vec<&str> = entries.iter().map(|entry| &*entry.name).collect();
            let name: String = name.chars().take(64).collect();
            let message = format!("there is no agent named {name:?}; the agents are: {}", names.join(", "));
            Error::new(ErrorKind::AgentNotFound, message).with("agent", name)
        })
    }

    /// Whether an agent is the default one.
    pub fn is_default(&self, entry: &Arc<AgentEntry>) -> bool {
        self.all().first().is_some_and(|first| Arc::ptr_eq(first, entry))
    }
}

impl AgentEntry {
    fn new(name: String, agent: Arc<dyn Agent>, all_places: Arc<Semaphore>, metrics: Arc<Metrics>) -> Self {
        let places = agent.max_concurrency();
        Self {
            name: name.into(),
            agent,
            own_places: Arc::new(Semaphore::new(permits(places))),
            limit: Mutex::new(Limit { places, excess: 0 }),
            all_places,
            metrics,
            running: AtomicU64::new(0),
            queued: AtomicU64::new(0),
        }
    }

    /// What callers see of it.
    pub fn status(&self, default: bool) -> AgentStatus {
        let problem = self.agent.problem();
        AgentStatus {
            name: self.name.clone(),
            default,
            ready: problem.is_none(),
            problem,
            card: self.agent.card(),
            running: self.running.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            max_concurrency: self.limit().places,
        }
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resize(&self, places: Option<usize>) {
        let mut limit = self.limit();
        let (before, now) = (permits(limit.places), permits(places));
        limit.places = places;
        // Places that were to go are the first to stay.
        let more = now.saturating_sub(before);
        let kept = more.min(limit.excess);
        limit.excess -= kept;
        self.own_places.add_permits(more - kept);
        let fewer = before.saturating_sub(now);
        limit.excess += fewer - self.own_places.forget_permits(fewer);
    }

    /// A place, if there is one and nobody waits for it.
    pub fn try_place(self: &Arc<Self>) -> Option<Place> {
        let own = self.own_places.clone().try_acquire_owned().ok()?;
        let common = self.all_places.clone().try_acquire_owned().ok()?;
        Some(Place::taken(self, own, common))
    }

    /// Waits for a place; in line from the call on, not from the first poll. None: the engine has closed.
    pub fn place(self: &Arc<Self>) -> BoxFuture<'static, Option<Place>> {
        let entry = self.clone();
        let queued = Queued::new(self);
        let mut own = self.own_places.clone().acquire_owned().boxed();
        let early = (&mut own).now_or_never();
        let waiting = async move {
            let own = match early {
                Some(permit) => permit.ok()?,
                None => own.await.ok()?,
            };
            let common = entry.all_places.clone().acquire_owned().await.ok()?;
            drop(queued);
            Some(Place::taken(&entry, own, common))
        };
        waiting.boxed()
    }
}

impl Place {
    fn taken(entry: &Arc<AgentEntry>, own: OwnedSemaphorePermit, common: OwnedSemaphorePermit) -> Self {
        entry.running.fetch_add(1, Ordering::Relaxed);
        entry.metrics.running.inc();
        Self { entry: entry.clone(), own: Some(own), _common: common }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.entry.running.fetch_sub(1, Ordering::Relaxed);
        self.entry.metrics.running.dec();
        let mut limit = self.entry.limit();
        if limit.excess > 0 {
            limit.excess -= 1;
            if let Some(own) = self.own.take() {
                own.forget();
            }
        }
    }
}

/// Places of a limit.
fn permits(limit: Option<usize>) -> usize {
    limit.unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS)
}

/// Counts one that waits.
struct Queued(Arc<AgentEntry>);

impl Queued {
    fn new(entry: &Arc<AgentEntry>) -> Self {
        entry.queued.fetch_add(1, Ordering::Relaxed);
        Self(entry.clone())
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
