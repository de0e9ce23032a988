//! How long to wait before the next attempt: a pure function of policy, attempt and seed.

use crate::failure::{Failure, FailureKind};
use crate::ids::{AttemptNumber, ErrorCode};
use std::collections::BTreeSet;
use std::time::Duration;

/// How the delay grows with the attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// `base`, always.
    Fixed,
    /// `base × n`.
    Linear,
    /// `base × 2^(n−1)`.
    Exponential,
    /// `base × fib(n)`: 1, 1, 2, 3, 5, …
    Fibonacci,
}

/// How the delay is spread, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Exactly the computed delay.
    None,
    /// Uniform between half of the delay and the delay.
    Equal,
    /// Uniform between zero and the delay.
    Full,
}

/// When a failed attempt is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How the delay grows.
    pub backoff: Backoff,
    /// The delay after the first failed attempt.
    pub base: Duration,
    /// The delay never exceeds this, except by the worker's own `retry_after`.
    pub cap: Duration,
    /// How the delay is spread.
    pub jitter: Jitter,
    /// All attempts together, the first included; 1 to [`RetryPolicy::ATTEMPTS_MAX`].
    pub attempts_max: u32,
    /// Codes after which no further attempt is made, whatever the worker said.
    pub non_retryable: BTreeSet<ErrorCode>,
}

impl RetryPolicy {
    /// No step is tried more often than this, so that no manifest can loop for ever.
    pub const ATTEMPTS_MAX: u32 = 1_000;
    /// A worker's `retry_after` is believed up to a week.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
}

impl Default for RetryPolicy {
    /// Five attempts, exponential from 500 ms to 30 s, half of it jitter.
    fn default() -> Self {
        Self {
            backoff: Backoff::Exponential,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            jitter: Jitter::Equal,
            attempts_max: 5,
            non_retryable: BTreeSet::new(),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after `attempt` failed; `None` if it was the last.
    ///
    /// A lost worker, or one that stopped its handlers to shut down, says nothing about the step, so the next attempt follows at once. Everything else waits for the larger of
    /// the policy's delay and the worker's `retry_after`.
    pub fn delay_after(&self, attempt: AttemptNumber, failure: &Failure, seed: u64) -> Option<Duration> {
        match failure.kind {
            FailureKind::Permanent | FailureKind::Contract => None,
            FailureKind::Lost | FailureKind::Cancelled | FailureKind::Retryable | FailureKind::TimedOut => {
                self.delay_whatever(attempt, failure, seed)
            }
        }
    }

    /// As [`Self::delay_after`], for a failure that the manifest wants retried whatever its kind says.
    pub fn delay_whatever(&self, attempt: AttemptNumber, failure: &Failure, seed: u64) -> Option<Duration> {
        if attempt.0 >= self.attempts_max || self.non_retryable.contains(&failure.code) {
            return None;
        }
        match failure.kind {
            FailureKind::Lost | FailureKind::Cancelled => Some(Duration::ZERO),
            FailureKind::Retryable | FailureKind::TimedOut | FailureKind::Permanent | FailureKind::Contract => {
                let wish = failure.retry_after.unwrap_or_default().min(Self::RETRY_AFTER_MAX);
                Some(self.delay(attempt, seed).max(wish))
            }
        }
    }

    fn delay(&self, attempt: AttemptNumber, seed: u64) -> Duration {
        let n = attempt.0.max(1);
        let factor = match self.backoff {
            Backoff::Fixed => 1,
            Backoff::Linear => n,
            Backoff::Exponential => 1u32.checked_shl(n - 1).unwrap_or(u32::MAX),
            Backoff::Fibonacci => fibonacci(n),
        };
        let whole = self.base.saturating_mul(factor).min(self.cap);
        let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        let spread = mix(seed ^ u64::from(n));
        let millis = match self.jitter {
            Jitter::None => millis,
            Jitter::Equal => millis / 2 + spread % (millis / 2 + 1),
            Jitter::Full => spread % millis.saturating_add(1).max(1),
        };
        Duration::from_millis(millis)
    }
}

fn fibonacci(n: u32) -> u32 {
    let (mut current, mut next) = (0u32, 1u32);
    for _ in 0..n {
        (current, next) = (next, current.saturating_add(next));
    }
    current
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(backoff: Backoff, jitter: Jitter) -> RetryPolicy {
        RetryPolicy {
            backoff,
            jitter,
            base: Duration::from_millis(100),
            cap: Duration::from_millis(1_000),
            attempts_max: 100,
            non_retryable: BTreeSet::from([ErrorCode::new("card_declined").expect("valid")]),
        }
    }

    fn failure(kind: FailureKind, code: &str) -> Failure {
        Failure::new(kind, ErrorCode::new(code).expect("valid"), "")
    }

    #[test]
    fn each_backoff_grows_as_its_formula_says_and_stops_at_the_cap() {
        let table = [
            (Backoff::Fixed, [100, 100, 100, 100, 100, 100]),
            (Backoff::Linear, [100, 200, 300, 400, 500, 600]),
            (Backoff::Exponential, [100, 200, 400, 800, 1_000, 1_000]),
            (Backoff::Fibonacci, [100, 100, 200, 300, 500, 800]),
        ];
        for (backoff, expected) in table {
            let policy = policy(backoff, Jitter::None);
            for (place, millis) in expected.into_iter().enumerate() {
                let attempt = AttemptNumber(place as u32 + 1);
                let delay = policy.delay_after(attempt, &failure(FailureKind::Retryable, "busy"), 7);
                assert_eq!(delay, Some(Duration::from_millis(millis)), "{backoff:?} attempt {attempt}");
            }
        }
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_depends_only_on_the_seed() {
        for seed in 0..500 {
            let busy = failure(FailureKind::Retryable, "busy");
            let full = policy(Backoff::Fixed, Jitter::Full).delay_after(AttemptNumber(1), &busy, seed);
            let equal = policy(Backoff::Fixed, Jitter::Equal).delay_after(AttemptNumber(1), &busy, seed);
            assert!(full <= Some(Duration::from_millis(100)));
            assert!(equal >= Some(Duration::from_millis(50)) && equal <= Some(Duration::from_millis(100)));
            assert_eq!(equal, policy(Backoff::Fixed, Jitter::Equal).delay_after(AttemptNumber(1), &busy, seed));
        }
    }

    #[test]
    fn the_last_attempt_and_what_cannot_succeed_are_not_retried() {
        let policy = policy(Backoff::Fixed, Jitter::None);
        let first = AttemptNumber::FIRST;
        assert_eq!(policy.delay_after(AttemptNumber(100), &failure(FailureKind::Retryable, "busy"), 0), None);
        assert_eq!(policy.delay_after(first, &failure(FailureKind::Permanent, "busy"), 0), None);
        assert_eq!(policy.delay_after(first, &failure(FailureKind::Contract, "busy"), 0), None);
        assert_eq!(policy.delay_after(first, &failure(FailureKind::Retryable, "card_declined"), 0), None);
        assert_eq!(policy.delay_after(first, &failure(FailureKind::Lost, "worker.lost"), 0), Some(Duration::ZERO));
    }

    #[test]
    fn the_workers_own_delay_is_honoured_when_it_is_longer() {
        let mut busy = failure(FailureKind::Retryable, "busy");
        busy.retry_after = Some(Duration::from_secs(5));
        let delay = policy(Backoff::Fixed, Jitter::None).delay_after(AttemptNumber::FIRST, &busy, 0);
        assert_eq!(delay, Some(Duration::from_secs(5)));
    }
}
