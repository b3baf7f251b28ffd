//! Room for large bodies: bounds the memory that attempts under way hold.
//!
//! Promises:
//! - Bodies of up to 16 KiB take none: the number of attempts bounds them.
//! - A dead receiver holds what it is sent until the time is up, and the live ones must not wait for that. So attempts to
//!   origins that were not reached of late have a quarter of it at most, and with them those that were not reached within
//!   the last seconds three quarters: the rest is for receivers that answer now.
//! - A body that is larger than all that there is for it is sent while no other has any of that.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::Claim;

/// Bodies up to this many bytes take no room.
const SMALL_BODY: usize = 16 << 10;

/// The unit of room, in bytes.
const UNIT: usize = 1 << 10;

/// Whom a body goes to, by when it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Not of late.
    Unproven,
    /// Of late.
    Proven,
    /// Within the last seconds.
    Hot,
}

/// The room.
pub(super) struct Room {
    all: Semaphore,
    size: u32,
    /// What of it origins may have that are not hot.
    cold: Semaphore,
    cold_share: u32,
    /// What of that origins may have that are not proven.
    unproven: Semaphore,
    unproven_share: u32,
}

/// A part of the room, given back when it is dropped.
pub(super) struct Place<'a> {
    units: u32,
    parts: [Option<SemaphorePermit<'a>>; 3],
}

impl Trust {
    pub(super) fn of(claim: &Claim) -> Self {
        match (claim.proven, claim.hot) {
            (false, _) => Self::Unproven,
            (true, false) => Self::Proven,
            (true, true) => Self::Hot,
        }
    }
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let size = units(bytes).max(1);
        let (cold_share, unproven_share) = ((size - size / 4).max(1), (size / 4).max(1));
        let [all, cold, unproven] = [size, cold_share, unproven_share].map(semaphore);
        Self { all, size, cold, cold_share, unproven, unproven_share }
    }

    /// The units that a body takes.
    pub(super) fn needed(&self, body: usize, trust: Trust) -> u32 {
        let most = match trust {
            Trust::Unproven => self.unproven_share,
            Trust::Proven => self.cold_share,
            Trust::Hot => self.size,
        };
        if body <= SMALL_BODY { 0 } else { units(body).min(most) }
    }

    /// What a place is taken from, the narrowest first: who waits for that holds nothing.
    fn parts(&self, trust: Trust) -> [Option<&Semaphore>; 3] {
        [
            (trust == Trust::Unproven).then_some(&self.unproven),
            (trust != Trust::Hot).then_some(&self.cold),
            Some(&self.all),
        ]
    }

    /// Takes a place, if there is one at once.
    pub(super) fn try_take(&self, units: u32, trust: Trust) -> Option<Place<'_>> {
        let mut place = Place { units, parts: [const { None }; 3] };
        for (part, of) in place.parts.iter_mut().zip(self.parts(trust)) {
            if let Some(of) = of {
                *part = Some(of.try_acquire_many(units).ok()?);
            }
        }
        Some(place)
    }

    /// Waits for a place.
    pub(super) async fn take(&self, units: u32, trust: Trust) -> Place<'_> {
        let mut place = Place { units, parts: [const { None }; 3] };
        for (part, of) in place.parts.iter_mut().zip(self.parts(trust)) {
            if let Some(of) = of {
                // An error: they are never closed.
                *part = of.acquire_many(units).await.ok();
            }
        }
        place
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
