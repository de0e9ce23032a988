//! When something must happen by itself.
//!
//! A timer that is no longer due does no harm, so none is ever taken back; but a workflow whose steps have a limit of a day must not leave a
//! day's worth of them behind, so those that nobody needs any more are picked out, a few at a time.

use super::Shard;
use super::dense::Dense;
use crate::settings::INPUTS_PER_TURN;
use std::ops::Bound;
use std::time::Duration;
use tasker_engine::{StepIndex, TaskId, Timestamp};

/// Of a step, or of the task as a whole.
pub(super) type Timer = (Timestamp, TaskId, Option<StepIndex>);

/// So many do not matter, needed or not.
const CROWDED: usize = 65_536;

/// Every timer, by when it is due.
#[derive(Default)]
pub(super) struct Timers {
    due: Dense<Timer, ()>,
    /// Up to where the pick has looked.
    looked_at: Option<Timer>,
    /// How many were set since the last pick.
    set: usize,
}

impl Timers {
    pub fn set(&mut self, due: Timestamp, task: TaskId, step: Option<StepIndex>) {
        self.set += usize::from(self.due.insert((due, task, step), ()).is_none());
    }

    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// The timer that is due first.
    pub fn first(&self) -> Option<Timer> {
        self.due.first().map(|(timer, ())| timer)
    }

    fn take_first(&mut self) {
        if let Some(first) = self.first() {
            self.due.remove(&first);
        }
    }

    /// Picks out those of the next few that are not needed: two for each that was set, so that it never falls behind.
    fn pick(&mut self, is_needed: impl Fn(&Timer) -> bool) {
        let most = 2 * std::mem::take(&mut self.set);
        if self.due.len() < CROWDED || most == 0 {
            return;
        }
        let from = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<Timer> = self.due.from(from).map(|(timer, ())| timer).take(most).collect();
        // At the end it begins anew.
        self.looked_at = next.last().copied().filter(|_| next.len() == most);
        for timer in next.iter().filter(|timer| !is_needed(timer)) {
            self.due.remove(timer);
        }
    }
}

impl Shard {
    /// How long the loop may rest.
    pub(super) fn next_timer(&self) -> Duration {
        if self.has_children_to_start() || self.has_pauses_to_settle() {
            return Duration::ZERO;
        }
        let far = Duration::from_secs(3600);
        let timer = match self.timers.first() {
            // Whoever comes from the store wakes the loop.
            Some((_, task, _)) if self.must_wait_to_be_read(task) => far,
            Some((due, _, _)) => due.since(self.clock.now()),
            None => far,
        };
        timer.min(self.next_token().unwrap_or(far))
    }

    /// Fires what is due; a bounded number per turn, so that many timers at once do not hold up everything else.
    pub(super) fn fire_timers(&mut self) {
        let now = self.clock.now();
        for _ in 0..INPUTS_PER_TURN {
            let Some((due, task, step)) = self.timers.first().filter(|(due, _, _)| *due <= now) else { break };
            if self.must_wait_to_be_read(task) {
                break;
            }
            self.timers.take_first();
            if self.residents.get(task).is_some() {
                self.counters.timer_lateness.observe_time(now.since(due));
                self.fire(task, step, now);
            } else if self.loads.take_again(task) || self.absent.is_due_at(task, due) != Some(false) {
                // What is due is set again when it has been read.
                self.wake(task);
            }
        }
    }

    /// Forgets timers that nobody needs any more.
    pub(super) fn pick_timers(&mut self) {
        let Self { timers, residents, absent, loads, .. } = self;
        timers.pick(|(due, task, step)| match residents.get(*task) {
            Some(resident) => {
                let task = &resident.task;
                match step {
                    None => task.task_due() == Some(*due),
                    Some(step) => !task.status.is_terminal() && step.at() < task.steps.len() && task.step_due(*step) == Some(*due),
                }
            }
            None if loads.is_again(*task) => true,
            None => absent.is_due_at(*task, *due).unwrap_or_else(|| absent.contains(*task) || loads.is_unprojected_left(*task)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(due: i64, task: i64) -> Timer {
        (Timestamp::from_millis(due), TaskId::first_at(Timestamp::from_millis(task)), None)
    }

    #[test]
    fn the_earliest_comes_first_and_a_timer_set_twice_is_one() {
        let mut timers = Timers::default();
        for (due, task) in [(5, 1), (3, 2), (3, 2), (4, 3)] {
            let (due, task, step) = timer(due, task);
            timers.set(due, task, step);
        }
        assert_eq!(timers.first(), Some(timer(3, 2)));
        timers.take_first();
        assert_eq!(timers.first(), Some(timer(4, 3)));
    }

    #[test]
    fn timers_that_nobody_needs_do_not_pile_up() {
        let mut timers = Timers::default();
        let needed = |timer: &Timer| timer.0.as_millis() % 100 == 0;
        let mut most = 0;
        for number in 0..400_000 {
            let (due, task, step) = timer(number, number);
            timers.set(due, task, step);
            if number % 1_000 == 0 {
                timers.pick(needed);
                most = most.max(timers.due.len());
            }
        }
        assert!(most < 4 * CROWDED, "{most} timers, of which one in a hundred is needed");
        let left = (0..400_000).step_by(100).filter(|number| timers.due.contains(&timer(*number, *number))).count();
        assert_eq!(left, 4_000, "what is needed stays");
    }
}
