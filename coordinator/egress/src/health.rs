//! What questions about a system's health add up to. Pure: the [`crate::prober`] asks.

use tasker_engine::Timestamp;
use tasker_runtime::port::egress::{Health, HealthState};

/// Bad answers in a row that make a system unhealthy: one lost packet or one slow answer is no outage.
pub const FAILURES_TO_UNHEALTHY: u32 = 3;

/// What one question found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An answer with 2xx.
    Well,
    /// Anything else, in words.
    Unwell(String),
}

/// A turn for the better or the worse, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Steps may go there again.
    Recovered,
    /// Steps may not go there any more.
    Fell,
}

/// One system under watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    failures: u32,
    health: Health,
}

impl Default for Watched {
    fn default() -> Self {
        Self { failures: 0, health: Health::UNKNOWN }
    }
}

impl Watched {
    /// Takes one finding. One good answer makes a system healthy, whatever it was; [`FAILURES_TO_UNHEALTHY`] bad ones in a row make it
    /// unhealthy; fewer leave it what it was.
    pub fn take(&mut self, finding: Finding, now: Timestamp) -> Option<Turn> {
        self.health.checked_at = Some(now);
        let before = self.health.state;
        match finding {
            Finding::Well => {
                self.failures = 0;
                self.health.problem = None;
                self.become_(HealthState::Healthy, now);
            }
            Finding::Unwell(problem) => {
                self.failures = self.failures.saturating_add(1);
                self.health.problem = Some(problem);
                if self.failures >= FAILURES_TO_UNHEALTHY {
                    self.become_(HealthState::Unhealthy, now);
                }
            }
        }
        match (before, self.health.state) {
            (HealthState::Unhealthy, HealthState::Healthy) => Some(Turn::Recovered),
            (HealthState::Unknown | HealthState::Healthy, HealthState::Unhealthy) => Some(Turn::Fell),
            (HealthState::Unknown | HealthState::Healthy, HealthState::Unknown | HealthState::Healthy)
            | (HealthState::Unhealthy, HealthState::Unhealthy | HealthState::Unknown) => None,
        }
    }

    /// What is known.
    pub fn health(&self) -> &Health {
        &self.health
    }

    fn become_(&mut self, state: HealthState, now: Timestamp) {
        if self.health.state != state {
            self.health.state = state;
            self.health.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn unwell() -> Finding {
        Finding::Unwell("503".into())
    }

    #[test]
    fn three_bad_answers_in_a_row_make_a_system_unhealthy_and_one_good_one_heals_it() {
        let mut watched = Watched::default();
        assert_eq!(watched.health(), &Health::UNKNOWN);
        assert_eq!(watched.take(Finding::Well, at(1)), None, "being well is no news");
        assert_eq!((watched.take(unwell(), at(2)), watched.take(unwell(), at(3))), (None, None));
        assert_eq!((watched.health().state, watched.health().since), (HealthState::Healthy, Some(at(1))));
        assert_eq!(watched.health().problem.as_deref(), Some("503"), "what was found is shown before it counts");
        assert_eq!(watched.take(unwell(), at(4)), Some(Turn::Fell));
        assert_eq!(watched.take(unwell(), at(5)), None, "it falls once");
        let expected = Health { state: HealthState::Unhealthy, since: Some(at(4)), checked_at: Some(at(5)), problem: Some("503".into()) };
        assert_eq!(watched.health(), &expected);
        assert_eq!(watched.take(Finding::Well, at(6)), Some(Turn::Recovered));
        let expected = Health { state: HealthState::Healthy, since: Some(at(6)), checked_at: Some(at(6)), problem: None };
        assert_eq!(watched.health(), &expected);
    }

    #[test]
    fn bad_answers_with_good_ones_between_do_not_add_up() {
        let mut watched = Watched::default();
        for millis in 0..100 {
            watched.take(unwell(), at(millis));
            watched.take(unwell(), at(millis));
            assert_eq!(watched.take(Finding::Well, at(millis)), None);
        }
        assert_eq!(watched.health().since, Some(at(0)));
    }

    #[test]
    fn a_system_that_was_never_well_falls_like_any_other() {
        let mut watched = Watched::default();
        let turns: Vec<_> = (0..4).map(|millis| watched.take(unwell(), at(millis))).collect();
        assert_eq!(turns, [None, None, Some(Turn::Fell), None]);
    }
}
