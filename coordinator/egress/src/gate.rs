//! How many calls may be under way, over all and per host, so that one slow system does not take every connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Calls under way at once. Each holds a connection and at most one payload: 512 of them are 480 MiB at the very worst and 10 MiB
/// usually, and well below the 1,024 open files that a process has by default.
pub const CALLS_MAX: usize = 512;
/// Calls of one host under way at once; a service that needs more answers slower, not more.
pub const CALLS_PER_HOST: usize = 64;
/// Calls that wait for their turn or are under way; beyond it a call comes back as not sent. More than the loop opens in practice.
pub const CALLS_HELD_MAX: usize = 8_192;

/// Gives out turns.
pub(crate) struct Gate {
    held: Arc<Semaphore>,
    all: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    per_host: usize,
}

/// A place in the queue; given back when dropped.
pub(crate) struct Place(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// The right to call now; given back when dropped.
pub(crate) struct Turn {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Gate {
    pub fn new() -> Self {
        Self::with_limits(CALLS_HELD_MAX, CALLS_MAX, CALLS_PER_HOST)
    }

    fn with_limits(held: usize, all: usize, per_host: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { held: semaphore(held), all: semaphore(all), hosts: Mutex::new(HashMap::new()), per_host }
    }

    /// A place in the queue; none if it is full.
    pub fn queue(&self) -> Option<Place> {
        self.held.clone().try_acquire_owned().ok().map(Place)
    }

    /// Waits until the host may be called. First come, first served per host; a call that waits for its host keeps nobody else waiting.
    pub async fn turn(&self, host: &str) -> Turn {
        let semaphore = self.host(host);
        let host = semaphore.acquire_owned().await.expect("the semaphore is never closed");
        let all = self.all.clone().acquire_owned().await.expect("the semaphore is never closed");
        Turn { _host: host, _all: all }
    }

    fn host(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().expect("nobody panics while holding the lock");
        if !hosts.contains_key(host) {
            // Hosts without a call are forgotten, so that the table is no larger than the calls that are held.
            hosts.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.per_host))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn one_host_does_not_take_the_turns_of_another() {
        let gate = Gate::with_limits(10, 3, 2);
        let first = gate.turn("a:80").await;
        let _second = gate.turn("a:80").await;
        assert!(gate.turn("a:80").now_or_never().is_none(), "the host is full");
        let _other = gate.turn("b:80").now_or_never().expect("another host has room");
        assert!(gate.turn("c:80").now_or_never().is_none(), "all turns are taken");
        drop(first);
        assert!(gate.turn("c:80").now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_hosts_are_forgotten() {
        let gate = Gate::with_limits(1, 1, 1);
        let place = gate.queue().expect("room");
        assert!(gate.queue().is_none());
        drop(place);
        assert!(gate.queue().is_some());
        for host in 0..100 {
            drop(gate.turn(&format!("{host}:80")).await);
        }
        assert!(gate.hosts.lock().expect("a lock").len() <= 2);
    }
}
