//! A token bucket: `burst` tokens at most, `count` new ones per period, one for each attempt.
//!
//! Counted in whole numbers (a token is as many units as its period has nanoseconds), so nothing is lost or invented by rounding, however long it
//! runs. Pure: instants are parameters, as time since the coordinator started.

use std::time::Duration;
use tasker_engine::flow::Rate;

/// The bucket of one rate.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: Rate,
    level: u128,
    at: Duration,
}

impl Bucket {
    /// One from which nothing was taken for a long time.
    pub fn full(rate: Rate, now: Duration) -> Self {
        Self { rate, level: u128::from(rate.burst()) * token(rate), at: now }
    }

    /// One that was emptied at this instant.
    pub fn empty(rate: Rate, at: Duration) -> Self {
        Self { rate, level: 0, at }
    }

    /// What it is filled at.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Duration) -> bool {
        self.fill(now);
        let taken = self.level >= token(self.rate);
        if taken {
            self.level -= token(self.rate);
        }
        taken
    }

    /// Puts a token back that nobody used.
    pub fn give_back(&mut self) {
        self.level = (self.level + token(self.rate)).min(capacity(self.rate));
    }

    /// How many whole tokens are there.
    pub fn tokens(&self, now: Duration) -> u32 {
        u32::try_from(self.level_at(now) / token(self.rate)).unwrap_or(u32::MAX)
    }

    /// When the next token can be taken; not before now.
    pub fn next_at(&self, now: Duration) -> Duration {
        self.reaches_at(token(self.rate), now)
    }

    /// When it is full again, if nothing is taken; not before now.
    pub fn full_at(&self, now: Duration) -> Duration {
        self.reaches_at(capacity(self.rate), now)
    }

    /// Changes the rate. The tokens that are there stay, as far as they fit.
    pub fn set_rate(&mut self, rate: Rate, now: Duration) {
        self.fill(now);
        self.level = (self.level * token(rate) / token(self.rate)).min(capacity(rate));
        self.rate = rate;
    }

    fn fill(&mut self, now: Duration) {
        self.level = self.level_at(now);
        self.at = self.at.max(now);
    }

    fn level_at(&self, now: Duration) -> u128 {
        let passed = now.saturating_sub(self.at).as_nanos();
        (self.level + passed * u128::from(self.rate.count())).min(capacity(self.rate))
    }

    fn reaches_at(&self, level: u128, now: Duration) -> Duration {
        let missing = level.saturating_sub(self.level_at(now));
        let wait = missing.div_ceil(u128::from(self.rate.count()));
        now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

/// What one token is made of: as many units as the period has nanoseconds; each nanosecond brings as many units as the rate has tokens.
fn token(rate: Rate) -> u128 {
    rate.per().length().as_nanos()
}

fn capacity(rate: Rate) -> u128 {
    u128::from(rate.burst()) * token(rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tasker_engine::flow::Period;

    fn rate() -> impl Strategy<Value = Rate> {
        let period = prop_oneof![Just(Period::Second), Just(Period::Minute), Just(Period::Hour)];
        (1..=1_000u32, period, 1..=50u32).prop_map(|(count, per, burst)| Rate::new(count, per, Some(burst)).expect("in range"))
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_what_came_since_is_taken(
            rate in rate(),
            asks in proptest::collection::vec((0..3_000_000_000u64, 1..20u32), 1..60),
        ) {
            let mut bucket = Bucket::full(rate, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut taken: Vec<Duration> = Vec::new();
            for (wait, tries) in asks {
                now += Duration::from_nanos(wait);
                for _ in 0..tries {
                    if bucket.take(now) {
                        taken.push(now);
                    }
                }
            }
            // In every window that begins with a take, not only from the start.
            for (first, begin) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let came = (*end - *begin).as_nanos() * u128::from(rate.count()) / rate.per().length().as_nanos();
                    prop_assert!((last - first + 1) as u128 <= u128::from(rate.burst()) + came + 1);
                }
            }
        }

        #[test]
        fn a_token_is_there_exactly_when_it_was_said_to_be(rate in rate(), wait in 0..10_000_000_000u64) {
            let mut bucket = Bucket::full(rate, Duration::ZERO);
            let now = Duration::from_nanos(wait);
            while bucket.take(now) {}
            let due = bucket.next_at(now);
            prop_assert!(due > now);
            let mut early = bucket.clone();
            prop_assert!(!early.take(due - Duration::from_nanos(1)), "not before");
            prop_assert!(bucket.take(due), "and not after");
        }

        #[test]
        fn whoever_takes_what_is_due_gets_the_whole_rate(rate in rate()) {
            let mut bucket = Bucket::empty(rate, Duration::ZERO);
            let mut now = Duration::ZERO;
            for _ in 0..200 {
                now = bucket.next_at(now);
                prop_assert!(bucket.take(now));
            }
            // Two hundred tokens, each at most a nanosecond late.
            let ideal = rate.per().length().as_nanos() * 200 / u128::from(rate.count());
            prop_assert!(now.as_nanos() <= ideal + 200);
        }
    }

    #[test]
    fn what_nobody_used_is_there_again_and_never_more_than_the_burst() {
        let rate = Rate::parse("10/s").and_then(|rate| rate.with_burst(2)).expect("in range");
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        assert!(bucket.take(Duration::ZERO));
        bucket.give_back();
        bucket.give_back();
        assert_eq!(bucket.tokens(Duration::ZERO), 2);
        assert_eq!(bucket.full_at(Duration::from_secs(5)), Duration::from_secs(5));
    }

    #[test]
    fn another_rate_keeps_the_tokens_that_fit() {
        let rate = |text: &str, burst| Rate::parse(text).and_then(|rate| rate.with_burst(burst)).expect("in range");
        let mut bucket = Bucket::full(rate("10/s", 5), Duration::ZERO);
        bucket.set_rate(rate("1/m", 3), Duration::ZERO);
        assert_eq!(bucket.tokens(Duration::ZERO), 3);
        bucket.set_rate(rate("10/s", 5), Duration::ZERO);
        assert_eq!(bucket.tokens(Duration::ZERO), 3);
    }
}
