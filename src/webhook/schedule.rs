//! When a failed attempt is tried again: fixed pauses, each a little longer or shorter by chance, so that deliveries
//! which failed together do not all come back together.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The usual pauses, in seconds: 1 s, 5 s, 30 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h; 75 hours in all.
const USUAL: [u64; 11] = [1, 5, 30, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// The longest `Retry-After` that is honoured.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The longest pause that can be asked for: some 136 years, so that no sum of times overflows.
const PAUSE_MAX: Duration = Duration::from_secs(u32::MAX as u64);

/// The pauses between the attempts of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Arc<[Duration]>);

impl Default for Schedule {
    fn default() -> Self {
        Self::new(USUAL.map(Duration::from_secs))
    }
}

impl Schedule {
    /// With these pauses, before jitter. None at all: a delivery has one attempt.
    pub fn new(pauses: impl IntoIterator<Item = Duration>) -> Self {
        Self(pauses.into_iter().map(|pause| pause.min(PAUSE_MAX)).collect())
    }

    /// How many retries there are.
    pub fn retries(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The pause after a failed attempt that `tries` others came before: 0.8 to 1.2 times the scheduled one. None: the
    /// delivery is given up.
    pub fn after(&self, tries: u32, chance: &Chance) -> Option<Duration> {
        let pause = self.0.get(usize::try_from(tries).ok()?)?;
        Some(pause.mul_f64(0.8 + 0.4 * chance.fraction()))
    }
}

/// Random numbers that nothing secret hangs on (SplitMix64). One is shared by all attempts.
#[derive(Debug)]
pub struct Chance(AtomicU64);

impl Default for Chance {
    /// Seeded by the system.
    fn default() -> Self {
        // The standard library's hash keys are random for each state, and there is no error to handle.
        Self::seeded(RandomState::new().build_hasher().finish())
    }
}

impl Chance {
    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Any number.
    pub fn number(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but not, 1.
    pub fn fraction(&self) -> f64 {
        // 53 bits are what a double holds.
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_schedule_has_eleven_pauses() {
        let (schedule, chance) = (Schedule::default(), Chance::seeded(1));
        let mut total = Duration::ZERO;
        for (tries, seconds) in (0..).zip(USUAL) {
            let pause = schedule.after(tries, &chance).unwrap();
            let scheduled = Duration::from_secs(seconds);
            assert!(pause >= scheduled.mul_f64(0.8) && pause <= scheduled.mul_f64(1.2), "{tries}: {pause:?}");
            total += scheduled;
        }
        assert_eq!(total.as_secs() / 3600, 75);
        assert_eq!(schedule.after(11, &chance), None);
        assert_eq!(schedule.after(u32::MAX, &chance), None);
        assert_eq!(Schedule::new([]).after(0, &chance), None);
    }

    #[test]
    fn jitter_uses_all_of_its_range() {
        let (schedule, chance) = (Schedule::new([Duration::from_secs(10)]), Chance::seeded(7));
        let pauses: Vec<_> = (0..1000).map(|_| schedule.after(0, &chance).unwrap().as_secs_f64()).collect();
        let count = |from: f64, to: f64| pauses.iter().filter(|pause| (from..to).contains(*pause)).count();
        for part in 0..4 {
            let from = 8.0 + f64::from(part);
            let count = count(from, from + 1.0);
            assert!((190..310).contains(&count), "{count} of 1000 in {from}..{}", from + 1.0);
        }
    }

    #[test]
    fn seeds_tell_generators_apart() {
        assert_eq!(Chance::seeded(3).number(), Chance::seeded(3).number());
        assert_ne!(Chance::default().number(), Chance::default().number());
    }

    proptest! {
        #[test]
        fn pauses_are_within_bounds(
            pauses in prop::collection::vec(0_u64..=u64::MAX, 0..20), tries in 0_u32..25, seed: u64,
        ) {
            let schedule = Schedule::new(pauses.iter().copied().map(Duration::from_millis));
            let pause = schedule.after(tries, &Chance::seeded(seed));
            match pauses.get(tries as usize) {
                None => prop_assert_eq!(pause, None),
                Some(scheduled) => {
                    let scheduled = Duration::from_millis(*scheduled).min(PAUSE_MAX);
                    let pause = pause.unwrap();
                    prop_assert!(pause >= scheduled.mul_f64(0.799_999) && pause <= scheduled.mul_f64(1.200_001));
                }
            }
        }

        #[test]
        fn fractions_are_below_one(seed: u64) {
            let chance = Chance::seeded(seed);
            prop_assert!((0..50).all(|_| (0.0..1.0).contains(&chance.fraction())));
        }
    }
}
