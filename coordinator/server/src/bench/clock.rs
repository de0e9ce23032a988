//! The machine's monotonic clock, as every process of this machine reads it.
//!
//! `std::time::Instant` has no number that another process could compare with its own; this one does: `CLOCK_MONOTONIC`, which Python reads
//! with `time.monotonic_ns()` and Node with `process.hrtime.bigint()`.

use rustix::time::{ClockId, clock_gettime};

/// Microseconds since some instant that is the same for all processes until the machine is started again.
pub fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let first = monotonic_us();
        assert!(first > 0 && monotonic_us() >= first);
    }
}
