//! Looks names up: each one once at a time, and seldom.
//!
//! Promises:
//! - A name is looked up again [`FRESH`] after an answer at the soonest, so that thousands of requests a second to one
//!   receiver do not ask thousands of times. While there is none it is asked for less and less, down to once in
//!   [`FAILED_MAX`].
//! - **Name servers may fail.** A name's last addresses serve for [`GOOD`], while it is looked up in the background and
//!   also where that fails. Other addresses serve from the moment that they are there. Whoever asks judges what it is
//!   given each time, so that neither old nor new addresses are called unjudged.
//! - Who asks is answered within [`PATIENCE`], however long the system takes.
//! - At most [`SLOTS`] quick lookups run, and [`SLOW_SLOTS`] that take longer than [`QUICK`]. The system's take a thread
//!   each and cannot be stopped: one that is given up keeps its slot until it ends, so that dead name servers cost no more
//!   threads than that. One that takes long moves to a slow slot and makes room for others, whose servers may be alive.
//!   Names that never had an address get [`NEW_SLOTS`] of the quick ones only: they cannot keep the others from being
//!   looked up.
//! - At most [`NAMES`] names are remembered, with [`ADDRESSES`] addresses each. Those that are asked for again and again
//!   stay when there are more.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use quick_cache::unsync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

/// How long an answer holds before it is asked for again; one that there is no address twice as long each time.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// The longest that an answer holds that there is no address.
pub(super) const FAILED_MAX: Duration = Duration::from_secs(60);

/// How long addresses serve at most.
pub(super) const GOOD: Duration = Duration::from_secs(300);

/// How long a lookup may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Lookups that run at once.
pub(super) const SLOTS: usize = 32;

/// Of them, lookups of names that never had an address.
pub(super) const NEW_SLOTS: usize = SLOTS / 2;

/// After this a lookup is slow.
pub(super) const QUICK: Duration = Duration::from_millis(500);

/// Slow lookups that run at once.
pub(super) const SLOW_SLOTS: usize = 128;

/// Names that are remembered.
const NAMES: usize = 8192;

/// Addresses that are remembered of a name.
const ADDRESSES: usize = 32;

/// Finds the addresses of names.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a name, the best one first.
    ///
    /// # Errors
    /// Why there are none, for people.
    fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>>;
}

/// The system's way to find addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Lookup for System {
    fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let find = async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|error| error.to_string())?;
            Ok(found.map(|address| address.ip()).collect())
        };
        find.boxed()
    }
}

type Found = Result<Arc<[IpAddr]>, Arc<str>>;

/// What came of a lookup; nothing yet while it runs.
type Progress = watch::Receiver<Option<Answer>>;

/// What came of all lookups of a name so far.
#[derive(Clone, Default)]
struct Past {
    /// The addresses it had last, and when that was.
    good: Option<(Instant, Arc<[IpAddr]>)>,
    /// Lookups since then that found none.
    failures: u32,
}

/// What came of a lookup.
struct Answer {
    at: Instant,
    past: Past,
    /// Why it found no address; empty: it did.
    why: Arc<str>,
}

/// A name's newest lookup, and what was known when it began.
struct Known {
    past: Past,
    progress: Progress,
}

/// All names that were asked for of late.
pub(super) struct Names {
    lookup: Arc<dyn Lookup>,
    slots: Slots,
    known: Mutex<Cache<String, Known>>,
}

/// The right to run lookups.
#[derive(Clone)]
struct Slots {
    /// For any name.
    any: Arc<Semaphore>,
    /// For names that had an address before.
    proven: Arc<Semaphore>,
    /// For lookups that take long.
    slow: Arc<Semaphore>,
}

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        let [any, proven, slow] = [NEW_SLOTS, SLOTS - NEW_SLOTS, SLOW_SLOTS].map(|size| Arc::new(Semaphore::new(size)));
        let slots = Slots { any, proven, slow };
        Self { lookup, slots, known: Mutex::new(Cache::new(NAMES)) }
    }

    /// The addresses of a name.
    pub(super) async fn resolve(&self, name: &str) -> Found {
        let mut progress = match self.look(name) {
            Ok(good) => return Ok(good),
            Err(progress) => progress,
        };
        let answer = progress.wait_for(Option::is_some).await;
        answer.ok().and_then(|answer| answer.as_ref().map(Answer::found)).unwrap_or_else(lost)
    }

    /// What is known of a name without asking. None: it is being looked up, or nobody asked.
    pub(super) fn known(&self, name: &str) -> Option<Found> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.peek(name)?;
        known.good().map(Ok).or_else(|| known.progress.borrow().as_ref().map(Answer::found))
    }

    /// Begins a lookup of a name if it is time for one. Returns the addresses that serve meanwhile; or, if there are
    /// none, what to wait for.
    fn look(&self, name: &str) -> Result<Arc<[IpAddr]>, Progress> {
        let mut table = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let past = match table.get(name) {
            Some(known) if known.holds() => return known.good().ok_or_else(|| known.progress.clone()),
            Some(known) => known.past(),
            None => Past::default(),
        };
        let known = Known { progress: self.begin(name.to_owned(), past.clone()), past };
        let answer = known.good().ok_or_else(|| known.progress.clone());
        table.insert(name.to_owned(), known);
        answer
    }

    /// Starts a lookup in a task of its own: it goes on when who asked has gone away.
    fn begin(&self, name: String, past: Past) -> Progress {
        let (sender, progress) = watch::channel(None);
        let (lookup, slots) = (self.lookup.clone(), self.slots.clone());
        tokio::spawn(async move {
            let proven = past.good.is_some();
            let run = async {
                let slow = slots.slow.clone();
                let slot = slots.take(proven).await;
                let run = async move {
                    let mut found = lookup.lookup(name);
                    let slow = async {
                        sleep(QUICK).await;
                        slow.acquire_owned().await
                    };
                    tokio::select! {
                        biased;
                        found = &mut found => found,
                        slow = slow => {
                            drop(slot);
                            let found = found.await;
                            drop(slow);
                            found
                        }
                    }
                };
                tokio::spawn(run).await.unwrap_or_else(|_| Err("the lookup broke off".to_owned()))
            };
            let found = match timeout(PATIENCE, run).await {
                Ok(Ok(found)) if found.is_empty() => Err("it has no address".into()),
                Ok(found) => found.map(|found| found.into_iter().take(ADDRESSES).collect()).map_err(Arc::from),
                Err(_) => Err(format!("no answer within {}", humantime::format_duration(PATIENCE)).into()),
            };
            sender.send_replace(Some(past.then(found)));
        });
        progress
    }
}

impl Slots {
    /// Waits for a slot. None never comes: they are not closed.
    async fn take(self, proven: bool) -> Option<OwnedSemaphorePermit> {
        let Self { any, proven: theirs, slow: _ } = self;
        let slot = if proven {
            tokio::select! {
                biased;
                slot = theirs.acquire_owned() => slot,
                slot = any.acquire_owned() => slot,
            }
        } else {
            any.acquire_owned().await
        };
        slot.ok()
    }
}

impl Past {
    /// The addresses that it had last, while they serve.
    fn good(&self) -> Option<Arc<[IpAddr]>> {
        self.good.as_ref().filter(|(at, _)| at.elapsed() < GOOD).map(|(_, found)| found.clone())
    }

    /// This, and what has come of one more lookup.
    fn then(self, found: Found) -> Answer {
        let at = Instant::now();
        match found {
            Ok(found) => Answer { at, past: Self { good: Some((at, found)), failures: 0 }, why: Arc::from("") },
            Err(why) => Answer { at, past: Self { failures: self.failures.saturating_add(1), ..self }, why },
        }
    }
}

impl Answer {
    fn found(&self) -> Found {
        self.past.good().ok_or_else(|| self.why.clone())
    }

    /// How long it holds.
    fn holds_for(&self) -> Duration {
        let doubled = 1_u32.checked_shl(self.past.failures.saturating_sub(1)).unwrap_or(u32::MAX);
        FRESH.saturating_mul(doubled).min(FAILED_MAX)
    }
}

impl Known {
    /// What came of all lookups that have ended.
    fn past(&self) -> Past {
        self.progress.borrow().as_ref().map_or_else(|| self.past.clone(), |answer| answer.past.clone())
    }

    /// The addresses that serve now.
    fn good(&self) -> Option<Arc<[IpAddr]>> {
        self.past().good()
    }

    /// Whether it is too soon for another lookup: one is under way, or has ended of late.
    fn holds(&self) -> bool {
        match &*self.progress.borrow() {
            Some(answer) => answer.at.elapsed() < answer.holds_for(),
            None => self.progress.has_changed().is_ok(),
        }
    }
}

/// The task that looked it up is gone: the process ends.
fn lost() -> Found {
    Err("the lookup broke off".into())
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}
