//! When a capability counts as broken, as a manifest declares it: `breaker: { failures: 5, window: 30s, open_for: 10s, probes: 1 }`.
//!
//! Only the words live here, because the checker and the scheduler both need them; what a breaker does is in `scheduler/breaker.rs`.

use crate::failure::FailureKind;
use std::time::Duration;

/// When a breaker opens, for how long, and what closes it again. Built only by [`BreakerPolicy::new`], so every value is in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BreakerPolicy {
    failures: u32,
    window: Duration,
    open_for: Duration,
    probes: u32,
}

/// Why a breaker's declaration is not acceptable. Each names its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBreaker {
    /// `failures` is out of range.
    #[error("`failures` is {0}; give 1 to {max}", max = BreakerPolicy::FAILURES_MAX)]
    Failures(u64),
    /// `window` is out of range.
    #[error("`window` is {0:?}; give {min:?} to {max:?}", min = BreakerPolicy::SPAN_MIN, max = BreakerPolicy::SPAN_MAX)]
    Window(Duration),
    /// `open_for` is out of range.
    #[error("`open_for` is {0:?}; give {min:?} to {max:?}", min = BreakerPolicy::SPAN_MIN, max = BreakerPolicy::SPAN_MAX)]
    OpenFor(Duration),
    /// `probes` is out of range.
    #[error("`probes` is {0}; give 1 to {max}", max = BreakerPolicy::PROBES_MAX)]
    Probes(u64),
}

impl InvalidBreaker {
    /// The field that is wrong, as it is written in the manifest.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Failures(_) => "failures",
            Self::Window(_) => "window",
            Self::OpenFor(_) => "open_for",
            Self::Probes(_) => "probes",
        }
    }
}

impl BreakerPolicy {
    /// The most failures that may be waited for: each is an instant in memory, per capability.
    pub const FAILURES_MAX: u32 = 1_000;
    /// The most probes: more would be a second storm on a system that is getting up.
    pub const PROBES_MAX: u32 = 100;
    /// The shortest window and opening: below the loop's own pace nothing is measured.
    pub const SPAN_MIN: Duration = Duration::from_millis(100);
    /// The longest: a breaker that is open for longer is an operator's decision.
    pub const SPAN_MAX: Duration = Duration::from_secs(3600);
    /// What holds for a field that a `breaker:` leaves out.
    pub const DEFAULT: Self = Self { failures: 5, window: Duration::from_secs(30), open_for: Duration::from_secs(10), probes: 1 };

    /// Checks the values.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn new(failures: u64, window: Duration, open_for: Duration, probes: u64) -> Result<Self, InvalidBreaker> {
        let in_range = |number: u64, max: u32| u32::try_from(number).ok().filter(|number| (1..=max).contains(number));
        let spans = Self::SPAN_MIN..=Self::SPAN_MAX;
        let policy = Self {
            failures: in_range(failures, Self::FAILURES_MAX).ok_or(InvalidBreaker::Failures(failures))?,
            window,
            open_for,
            probes: in_range(probes, Self::PROBES_MAX).ok_or(InvalidBreaker::Probes(probes))?,
        };
        match (spans.contains(&window), spans.contains(&open_for)) {
            (false, _) => Err(InvalidBreaker::Window(window)),
            (_, false) => Err(InvalidBreaker::OpenFor(open_for)),
            (true, true) => Ok(policy),
        }
    }

    /// So many failures within the window open the breaker.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How far back failures count.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// How long nothing is dispatched the first time; doubled each time a probe fails.
    pub fn open_for(&self) -> Duration {
        self.open_for
    }

    /// How many attempts must succeed before the breaker closes, and how many of them may run at once.
    pub fn probes(&self) -> u32 {
        self.probes
    }
}

impl FailureKind {
    /// Whether a failure says something about the health of what was asked. A worker that answers "no" in an orderly way, a
    /// contract that is broken and an attempt that was withdrawn do not.
    pub fn is_about_health(self) -> bool {
        match self {
            Self::Retryable | Self::TimedOut | Self::Lost => true,
            Self::Permanent | Self::Contract | Self::Cancelled => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_range_and_says_which_it_is() {
        let second = Duration::from_secs(1);
        let day = Duration::from_secs(86_400);
        assert!(BreakerPolicy::new(1, BreakerPolicy::SPAN_MIN, BreakerPolicy::SPAN_MAX, 1).is_ok());
        assert!(BreakerPolicy::new(1_000, second, second, 100).is_ok());
        let refused = [
            (BreakerPolicy::new(0, second, second, 1), "failures"),
            (BreakerPolicy::new(1_001, second, second, 1), "failures"),
            (BreakerPolicy::new(u64::MAX, second, second, 1), "failures"),
            (BreakerPolicy::new(1, Duration::ZERO, second, 1), "window"),
            (BreakerPolicy::new(1, day, second, 1), "window"),
            (BreakerPolicy::new(1, second, Duration::ZERO, 1), "open_for"),
            (BreakerPolicy::new(1, second, day, 1), "open_for"),
            (BreakerPolicy::new(1, second, second, 0), "probes"),
            (BreakerPolicy::new(1, second, second, 101), "probes"),
        ];
        for (outcome, field) in refused {
            let invalid = outcome.expect_err(field);
            assert_eq!(invalid.field(), field);
            assert!(invalid.to_string().contains(field), "{invalid}");
        }
        let default = BreakerPolicy::DEFAULT;
        let again = BreakerPolicy::new(default.failures().into(), default.window(), default.open_for(), default.probes().into());
        assert_eq!(again, Ok(default), "the default is in range");
    }
}
