//! Whether the silence of workers is theirs. A coordinator that could hear nobody, because its bus was gone or because it stood still itself
//! (a stopped process, a suspended machine), has no ground to declare anybody lost: their leases run from when it hears again.

use super::Shard;
use std::time::Duration;

/// A loop that did not come round for this long stood still: at work it comes round many times in each [`crate::settings::TICK`].
const STOOD_STILL: Duration = Duration::from_secs(1);

/// When the coordinator could last not hear.
#[derive(Default)]
pub(super) struct Hearing {
    ticked_at: Duration,
    deaf_until: Duration,
}

impl Hearing {
    /// Notes a tick.
    fn note(&mut self, uptime: Duration, connected: bool) {
        let stood_still = uptime.saturating_sub(self.ticked_at) > STOOD_STILL;
        if !connected || stood_still {
            self.deaf_until = uptime;
        }
        self.ticked_at = uptime;
    }

    /// Whether somebody who was not heard for as long as the lease would have been, had there been anything to hear.
    fn is_certain(&self, uptime: Duration, lease: Duration) -> bool {
        self.deaf_until == Duration::ZERO || uptime.saturating_sub(self.deaf_until) > lease
    }
}

impl Shard {
    /// Declares silent workers lost, if their silence is theirs.
    pub(super) fn judge_silence(&mut self, roomy: bool) {
        let uptime = self.uptime();
        // While the group is full nothing is taken from the bus.
        self.hearing.note(uptime, roomy && self.bus.is_connected());
        if self.hearing.is_certain(uptime, self.settings.lease) {
            self.expire_leases();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(5);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_coordinator_that_hears_judges_at_once() {
        let mut hearing = Hearing::default();
        for tenth in 1..100 {
            hearing.note(Duration::from_millis(tenth * 100), true);
        }
        assert!(hearing.is_certain(seconds(10), LEASE));
    }

    #[test]
    fn after_a_lost_bus_the_leases_run_anew() {
        let mut hearing = Hearing::default();
        for tenth in 1..100 {
            hearing.note(Duration::from_millis(tenth * 100), !(40..60).contains(&tenth));
        }
        assert!(!hearing.is_certain(Duration::from_millis(10_800), LEASE));
        assert!(hearing.is_certain(Duration::from_millis(11_000), LEASE));
    }

    #[test]
    fn a_process_that_stood_still_blames_nobody() {
        let mut hearing = Hearing::default();
        hearing.note(seconds(1), true);
        hearing.note(seconds(61), true);
        assert!(!hearing.is_certain(seconds(61), LEASE));
        assert!(hearing.is_certain(seconds(67), LEASE));
    }
}
