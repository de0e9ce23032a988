//! A histogram with fixed bounds that one thread fills: plain numbers, no locks, nothing allocated after it was made.

use std::time::Duration;

/// How often a value was at most each bound, and the sum of all values.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than there are bounds: the last one is for what is larger than all of them.
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    /// An empty one. The bounds grow.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Takes a value in.
    pub fn observe(&mut self, value: f64) {
        self.observe_many(value, 1);
    }

    /// Takes a time in.
    pub fn observe_time(&mut self, time: Duration) {
        self.observe_many(time.as_secs_f64(), 1);
    }

    /// Takes the same value in several times.
    pub fn observe_many(&mut self, value: f64, times: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket] += times;
        self.sum += value * times as f64;
    }

    /// Takes in what another one with the same bounds holds.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds, "only histograms of one metric are merged");
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.sum += other.sum;
    }

    /// The bounds.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// How many values lie in each bucket; the last one holds what is larger than all bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[f64] = &[0.1, 1.0, 10.0];

    #[test]
    fn a_value_on_a_bound_belongs_below_it_and_a_huge_one_above_all() {
        let mut histogram = Histogram::new(BOUNDS);
        for value in [0.0, 0.1, 0.11, 10.0, 11.0, f64::INFINITY] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts(), [2, 1, 1, 2]);
        assert_eq!(histogram.count(), 6);
    }

    #[test]
    fn merged_halves_are_the_whole() {
        let (mut whole, mut one, mut other) = (Histogram::new(BOUNDS), Histogram::new(BOUNDS), Histogram::new(BOUNDS));
        for number in 0..100_u32 {
            let value = f64::from(number * number) / 64.0;
            whole.observe(value);
            if number % 3 == 0 { one.observe(value) } else { other.observe(value) }
        }
        one.merge(&other);
        assert_eq!(one, whole);
    }
}
