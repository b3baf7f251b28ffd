//! Looks names up: each one once at a time, and seldom.
//!
//! Promises:
//! - An answer, also that there is none, holds for [`FRESH`], so that thousands of requests a second to one receiver do
//!   not ask thousands of times.
//! - Who asks is answered within [`PATIENCE`], however long the system takes.
//! - At most [`SLOTS`] lookups run. The system's take a thread each and cannot be stopped: one that is given up keeps
//!   its slot until it ends, so that dead name servers cost no more threads than that.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use quick_cache::unsync::Cache;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

/// How long an answer holds.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// How long a lookup may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Lookups that run at once.
pub(super) const SLOTS: usize = 32;

/// Names that are remembered.
const NAMES: usize = 8192;

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

/// What came of a lookup, and when; nothing yet while it runs.
type Progress = watch::Receiver<Option<(Instant, Found)>>;

/// All names that were asked for of late.
pub(super) struct Names {
    lookup: Arc<dyn Lookup>,
    slots: Arc<Semaphore>,
    known: Mutex<Cache<String, Progress>>,
}

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, slots: Arc::new(Semaphore::new(SLOTS)), known: Mutex::new(Cache::new(NAMES)) }
    }

    /// The addresses of a name.
    pub(super) async fn resolve(&self, name: &str) -> Found {
        let mut progress = self.progress(name);
        let found = progress.wait_for(Option::is_some).await;
        found.ok().and_then(|found| found.as_ref().map(|(_, found)| found.clone())).unwrap_or_else(lost)
    }

    /// What is known of a name without asking. None: it is being looked up, or nobody asked.
    pub(super) fn known(&self, name: &str) -> Option<Found> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.peek(name)?.borrow().as_ref().map(|(_, found)| found.clone())
    }

    fn progress(&self, name: &str) -> Progress {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = known.get(name).filter(|progress| serves(progress)) {
            return progress.clone();
        }
        let progress = self.begin(name.to_owned());
        known.insert(name.to_owned(), progress.clone());
        progress
    }

    /// Starts a lookup in a task of its own: it goes on when who asked has gone away.
    fn begin(&self, name: String) -> Progress {
        let (sender, progress) = watch::channel(None);
        let (lookup, slots) = (self.lookup.clone(), self.slots.clone());
        tokio::spawn(async move {
            let run = async {
                let slot = slots.acquire_owned().await;
                let run = async move {
                    let found = lookup.lookup(name).await;
                    drop(slot);
                    found
                };
                tokio::spawn(run).await.unwrap_or_else(|_| Err("the lookup broke off".to_owned()))
            };
            let found = match timeout(PATIENCE, run).await {
                Ok(Ok(found)) if found.is_empty() => Err("it has no address".into()),
                Ok(found) => found.map(Arc::from).map_err(Arc::from),
                Err(_) => Err(format!("no answer within {}", humantime::format_duration(PATIENCE)).into()),
            };
            sender.send_replace(Some((Instant::now(), found)));
        });
        progress
    }
}

/// Whether it can be waited for, or has come of late.
fn serves(progress: &Progress) -> bool {
    match &*progress.borrow() {
        Some((at, _)) => at.elapsed() < FRESH,
        None => progress.has_changed().is_ok(),
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
