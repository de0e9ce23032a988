//! How many clients may wait for news at once.

use crate::problem::{Code, Problem};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams and long polls together. Each costs a connection, a few kilobytes and a look at every commit; the rest of the connections is
/// kept for requests that end at once.
pub(crate) const WAITS_MAX: usize = 1_024;

/// Long polls end within a minute, so places become free all the time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Lets a bounded number of waiting clients in.
#[derive(Clone)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    total: usize,
}

/// A place; it is given back when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Gate {
    pub(crate) fn new(total: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(total)), total }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// All are taken.
    pub(crate) fn enter(&self) -> Result<Place, Problem> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            let detail = format!("{} streams and long polls are open, as many as this coordinator serves", self.total);
            Problem::new(Code::WaitTooMany, detail).with_retry_after(RETRY_AFTER)
        })
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.total - self.places.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_too_many_is_told_to_come_back() {
        let gate = Gate::new(2);
        let first = gate.enter().expect("free");
        let _second = gate.enter().expect("free");
        let problem = gate.enter().expect_err("full");
        assert_eq!((problem.code, problem.retry_after.is_some(), gate.taken()), (Code::WaitTooMany, true, 2));
        drop(first);
        assert!(gate.enter().is_ok(), "a place that was left is free again");
    }
}
