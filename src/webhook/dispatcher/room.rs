//! Room for large bodies: bounds the memory that attempts under way hold.
//!
//! Promises:
//! - Bodies of up to 64 KiB take none: the number of attempts bounds them.
//! - Attempts to origins that were not reached of late have a quarter of it at most: a dead receiver holds what it is
//!   sent until the time is up, and the live ones must not wait for that.
//! - A body that is larger than all that there is for it is sent while no other has any of that.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies up to this many bytes take no room.
const SMALL_BODY: usize = 64 << 10;

/// The unit of room, in bytes.
const UNIT: usize = 1 << 10;

/// The room.
pub(super) struct Room {
    all: Semaphore,
    size: u32,
    /// What of it origins may have that are not proven.
    unproven: Semaphore,
    share: u32,
}

/// A part of the room, given back when it is dropped.
pub(super) struct Place<'a> {
    units: u32,
    _share: Option<SemaphorePermit<'a>>,
    _all: Option<SemaphorePermit<'a>>,
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let size = units(bytes).max(1);
        let share = (size / 4).max(1);
        Self { all: semaphore(size), size, unproven: semaphore(share), share }
    }

    /// The units that a body takes.
    pub(super) fn needed(&self, body: usize, proven: bool) -> u32 {
        let most = if proven { self.size } else { self.share };
        if body <= SMALL_BODY { 0 } else { units(body).min(most) }
    }

    /// Takes a place, if there is one at once.
    pub(super) fn try_take(&self, units: u32, proven: bool) -> Option<Place<'_>> {
        let share = if proven { None } else { Some(self.unproven.try_acquire_many(units).ok()?) };
        Some(Place { units, _share: share, _all: Some(self.all.try_acquire_many(units).ok()?) })
    }

    /// Waits for a place.
    pub(super) async fn take(&self, units: u32, proven: bool) -> Place<'_> {
        // The share first: who waits for that holds nothing. Errors: they are never closed.
        let share = if proven { None } else { self.unproven.acquire_many(units).await.ok() };
        Place { units, _share: share, _all: self.all.acquire_many(units).await.ok() }
    }
}

impl Place<'_> {
    /// Its size.
    pub(super) fn units(&self) -> u32 {
        self.units
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT))
        .unwrap_or(u32::MAX)
        .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX))
}

fn semaphore(units: u32) -> Semaphore {
    Semaphore::new(usize::try_from(units).unwrap_or(Semaphore::MAX_PERMITS))
}
