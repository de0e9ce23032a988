//! A new version of a system that gets a share of the tasks: `canary: { version: ">=2.0.0", share: 10 }`.
//!
//! Which side a task is on follows from its id alone, so a task stays on its side across steps, attempts and restarts.

use crate::ids::TaskId;
use crate::retry::mix;
use crate::version::VersionConstraint;

/// Which workers are the canary, and how many percent of the tasks go to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    version: VersionConstraint,
    share: u8,
}

/// The share is above 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`share` is {0}; give 0 to 100 percent")]
pub struct InvalidShare(
    /// As given.
    pub u64,
);

/// Where a task's steps go while a system has a canary. A preference: if no worker of the side lives, the other takes the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// To workers that the canary's constraint does not admit.
    Stable,
    /// To workers that it admits.
    Canary,
}

impl Canary {
    /// Checks the share. 0 keeps the version declared and sends it nothing; 100 sends it everything.
    ///
    /// # Errors
    /// More than 100 percent.
    pub fn new(version: VersionConstraint, share: u64) -> Result<Self, InvalidShare> {
        let share = u8::try_from(share).ok().filter(|share| *share <= 100).ok_or(InvalidShare(share))?;
        Ok(Self { version, share })
    }

    /// Which workers are the canary.
    pub fn version(&self) -> &VersionConstraint {
        &self.version
    }

    /// How many percent of the tasks go there.
    pub fn share(&self) -> u8 {
        self.share
    }

    /// The side of a task. Growing the share moves tasks only from stable to canary.
    pub fn side(&self, task: TaskId) -> Side {
        // Ids count up, so their bits are spread before the remainder is taken.
        match mix(task.as_number() as u64) % 100 < u64::from(self.share) {
            true => Side::Canary,
            false => Side::Stable,
        }
    }
}

impl Side {
    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::time::Timestamp;

    fn canary(share: u64) -> Canary {
        Canary::new(VersionConstraint::parse(">=2").expect("valid"), share).expect("in range")
    }

    /// Ids as they are given: counted up within a millisecond, and one per millisecond.
    fn ids() -> impl Iterator<Item = TaskId> {
        let start = Timestamp::from_millis(1_800_000_000_000);
        let counted = std::iter::successors(Some(TaskId::first_at(start)), move |id| Some(id.following(start, ShardId(0))));
        let spread = (0..10_000).map(|milli| TaskId::first_at(Timestamp::from_millis(1_800_000_000_000 + milli)));
        counted.take(10_000).chain(spread)
    }

    #[test]
    fn the_share_of_tasks_is_what_was_asked_for() {
        for share in [0, 1, 10, 50, 99, 100] {
            let taken = ids().filter(|id| canary(share).side(*id) == Side::Canary).count() as f64 / 200.0;
            assert!((taken - share as f64).abs() < 1.0, "{share} percent were asked for, {taken} went");
        }
    }

    #[test]
    fn a_growing_share_takes_no_task_back_from_the_canary() {
        for id in ids() {
            let first = (0..=100).find(|share| canary(*share).side(id) == Side::Canary).expect("all at 100 percent");
            assert!((first..=100).all(|share| canary(share).side(id) == Side::Canary));
        }
    }

    #[test]
    fn more_than_everything_is_refused() {
        let version = VersionConstraint::parse(">=2").expect("valid");
        assert_eq!(Canary::new(version.clone(), 101), Err(InvalidShare(101)));
        assert_eq!(Canary::new(version, u64::MAX), Err(InvalidShare(u64::MAX)));
    }
}
