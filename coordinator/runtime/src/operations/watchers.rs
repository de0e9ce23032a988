//! Who follows a task: only what is committed for a task that somebody follows is passed on, whatever else is committed meanwhile.

use super::Committed;
use crate::settings::WATCH_BUFFER;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tasker_engine::TaskId;
use tokio::sync::broadcast;

/// The followers of all tasks; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Watchers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    followed: Mutex<HashMap<TaskId, broadcast::Sender<Committed>>>,
    /// How many tasks are followed, so that whoever commits takes no lock while nobody follows any.
    count: AtomicUsize,
}

impl Watchers {
    /// Follows a task from now on.
    pub fn watch(&self, task: TaskId) -> broadcast::Receiver<Committed> {
        let mut followed = self.followed();
        let receiver = match followed.get(&task) {
            Some(sender) => sender.subscribe(),
            None => {
                // Whoever has left is forgotten when somebody comes, so there are never more than twice those who were here at once.
                followed.retain(|_, sender| sender.receiver_count() > 0);
                let (sender, receiver) = broadcast::channel(WATCH_BUFFER);
                followed.insert(task, sender);
                receiver
            }
        };
        self.0.count.store(followed.len(), Ordering::Release);
        receiver
    }

    /// Passes on what was committed.
    pub fn tell(&self, committed: Committed) {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut followed = self.followed();
        let task = committed.task;
        let nobody = followed.get(&task).is_some_and(|sender| sender.send(committed).is_err());
        if nobody {
            followed.remove(&task);
            self.0.count.store(followed.len(), Ordering::Release);
        }
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<TaskId, broadcast::Sender<Committed>>> {
        self.0.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::event::Entry;
    use tasker_engine::{Event, Timestamp};

    fn committed(task: TaskId, first: u64) -> Committed {
        let entry = Entry { task, first, at: Timestamp::from_millis(0), events: vec![Event::TaskResumed] };
        Committed { task, entry: Arc::new(entry) }
    }

    #[test]
    fn a_follower_is_told_of_its_own_task_and_no_other() {
        let (one, other) = (TaskId::first_at(Timestamp::from_millis(1)), TaskId::first_at(Timestamp::from_millis(2)));
        let watchers = Watchers::default();
        watchers.tell(committed(one, 1));
        let (mut first, mut second) = (watchers.watch(one), watchers.watch(one));
        watchers.tell(committed(other, 1));
        watchers.tell(committed(one, 2));
        for follower in [&mut first, &mut second] {
            assert_eq!(follower.try_recv().expect("told").entry.first, 2);
            assert!(follower.try_recv().is_err(), "nothing else");
        }
        drop((first, second));
        watchers.tell(committed(one, 3));
        assert!(watchers.followed().is_empty(), "nobody is left");
    }
}
