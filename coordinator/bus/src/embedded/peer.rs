//! One connected client as others see it, and what it subscribed to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::mailbox::Mailbox;
use super::outbound::Outbound;
use super::subject::Pattern;

/// One connected client.
pub(super) struct Peer {
    /// Counts connections from 1; the client sees it as `client_id`.
    pub(super) id: u64,
    pub(super) address: SocketAddr,
    pub(super) outbound: Outbound,
    /// Whether the client gets its own messages back.
    pub(super) echo: AtomicBool,
    /// Whether the client understands header blocks.
    pub(super) headers: AtomicBool,
    /// Whether the client wants to be told that a request has no responder.
    pub(super) no_responders: AtomicBool,
    /// Ends the reader at once, wherever it waits.
    pub(super) closing: CancellationToken,
    /// By the client's own names. Other publishers remove entries here when a subscription reaches its maximum.
    subscriptions: Mutex<HashMap<Bytes, Arc<Interest>>>,
}

impl Peer {
    pub(super) fn new(id: u64, address: SocketAddr, outbound_bytes_max: usize, closing: CancellationToken) -> Self {
        Self {
            id,
            address,
            outbound: Outbound::new(outbound_bytes_max),
            echo: AtomicBool::new(true),
            headers: AtomicBool::new(false),
            no_responders: AtomicBool::new(false),
            closing,
            subscriptions: Mutex::new(HashMap::new()),
        }
    }

    /// Ends the connection without writing what waits.
    pub(super) fn cut(&self) {
        self.outbound.cut();
        self.closing.cancel();
    }

    /// Forgets a subscription that has ended; not a newer one to which the client gave the same name.
    pub(super) fn forget(&self, interest: &Arc<Interest>) {
        let mut subscriptions = self.subscriptions();
        if subscriptions.get(&interest.sid).is_some_and(|current| Arc::ptr_eq(current, interest)) {
            subscriptions.remove(&interest.sid);
        }
    }

    pub(super) fn subscriptions(&self) -> MutexGuard<'_, HashMap<Bytes, Arc<Interest>>> {
        // Each change is one insertion or removal, so that a panic elsewhere does not spoil the map.
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the messages of a subscription go.
pub(super) enum Target {
    /// To another client.
    Peer(Arc<Peer>),
    /// To a subscription inside this process.
    Mailbox(Arc<Mailbox>),
}

/// One subscription.
pub(super) struct Interest {
    pub(super) pattern: Pattern,
    pub(super) queue: Option<Bytes>,
    /// The client's name for it; empty for a local one.
    pub(super) sid: Bytes,
    pub(super) target: Target,
    delivered: AtomicU64,
    /// How many messages it wants in all; 0 once it has ended.
    wanted: AtomicU64,
}

/// Whether a subscription still wants a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It does, and more of them.
    Wanted,
    /// It does, and this is the last one: the subscription ends with it.
    Last,
    /// It has ended.
    Unwanted,
}

impl Interest {
    pub(super) fn new(pattern: Pattern, queue: Option<Bytes>, sid: Bytes, target: Target) -> Self {
        Self { pattern, queue, sid, target, delivered: AtomicU64::new(0), wanted: AtomicU64::new(u64::MAX) }
    }

    /// Counts one message in.
    ///
    /// Two publishers and the client's UNSUB may meet here. Each counts or sets first and looks second, in one total order,
    /// so that no more than the maximum is admitted, and at least one of them sees that the end is reached.
    pub(super) fn admit(&self) -> Admission {
        let before = self.delivered.fetch_add(1, Ordering::SeqCst);
        let wanted = self.wanted.load(Ordering::SeqCst);
        if before >= wanted {
            Admission::Unwanted
        } else if before + 1 == wanted {
            Admission::Last
        } else {
            Admission::Wanted
        }
    }

    /// Ends the subscription after `max` messages in all; true if that many were delivered already.
    pub(super) fn end_after(&self, max: u64) -> bool {
        self.wanted.store(max, Ordering::SeqCst);
        self.delivered.load(Ordering::SeqCst) >= max
    }

    /// Ends the subscription now, also for publishers that remember it.
    pub(super) fn end(&self) {
        self.wanted.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::MailboxLimits;
    use super::*;

    fn interest() -> Interest {
        let mailbox = Arc::new(Mailbox::new(MailboxLimits::default()));
        Interest::new(Pattern::new("a").unwrap(), None, Bytes::new(), Target::Mailbox(mailbox))
    }

    #[test]
    fn a_maximum_counts_from_the_first_message() {
        let interest = interest();
        assert_eq!(interest.admit(), Admission::Wanted);
        assert!(!interest.end_after(3));
        assert_eq!(interest.admit(), Admission::Wanted);
        assert_eq!(interest.admit(), Admission::Last);
        assert_eq!(interest.admit(), Admission::Unwanted);
    }

    #[test]
    fn a_maximum_already_reached_ends_at_once() {
        let interest = interest();
        interest.admit();
        interest.admit();
        assert!(interest.end_after(2));
        assert_eq!(interest.admit(), Admission::Unwanted);
    }

    #[test]
    fn an_ended_subscription_admits_nothing() {
        let interest = interest();
        interest.end();
        assert_eq!(interest.admit(), Admission::Unwanted);
    }
}
