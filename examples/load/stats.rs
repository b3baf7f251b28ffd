//! Latency histograms and medians.

use std::time::Duration;

/// Bits of a value kept below its leading one: 32 buckets for each power of two, an error of at most 3 %.
const PRECISION: u32 = 5;
const SUB_BUCKETS: usize = 1 << PRECISION;
const BUCKETS: usize = (u64::BITS as usize - PRECISION as usize + 1) * SUB_BUCKETS;

/// Counts durations in buckets that grow with the duration, so that recording is two shifts and an increment.
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Adds what another histogram counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration that a share (0 to 1) of the counted ones does not exceed; none when nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(middle(bucket)))
    }
}

/// The bucket of a value: small values have one each, larger ones share it by their leading bits.
fn bucket(value: u64) -> usize {
    if value < SUB_BUCKETS as u64 {
        return value as usize;
    }
    let exponent = value.ilog2() - PRECISION;
    exponent as usize * SUB_BUCKETS + (value >> exponent) as usize
}

/// The middle of a bucket: the inverse of [`bucket`] up to its width.
fn middle(bucket: usize) -> u64 {
    if bucket < 2 * SUB_BUCKETS {
        return bucket as u64;
    }
    let exponent = bucket / SUB_BUCKETS - 1;
    let lowest = ((bucket % SUB_BUCKETS + SUB_BUCKETS) as u64) << exponent;
    lowest + (1 << exponent) / 2
}

/// The middle one of some values; none of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_of_a_bucket_is_near_its_values() {
        for shift in 0..u64::BITS {
            for value in [1 << shift, (1 << shift) + (1 << shift) / 3, u64::MAX >> (63 - shift)] {
                let near = middle(bucket(value));
                assert!(near.abs_diff(value) <= value / 32, "{value} is counted as {near}");
            }
        }
    }

    #[test]
    fn quantiles_follow_what_was_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=100).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        let mut twice = Histogram::default();
        twice.merge(&histogram);
        twice.merge(&histogram);
        assert_eq!(twice.count(), 200);
        for (share, micros) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = twice.quantile(share).unwrap().as_secs_f64() * 1e6;
            assert!((found / micros - 1.0).abs() < 0.03, "{share}: {found} instead of {micros}");
        }
    }

    #[test]
    fn median_of_even_and_odd_counts() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
