//! What waits for one local subscription, bounded in messages and bytes, and never dropped.
//!
//! A message is always accepted; a full mailbox tells the publisher, and the publisher's connection is not read until
//! there is room. So a mailbox exceeds its limits by at most one message per publishing connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::router::Message;

/// When a mailbox counts as full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Messages that may wait.
    pub messages_max: usize,
    /// Bytes that may wait: subjects, reply subjects, headers and payloads.
    pub bytes_max: usize,
}

impl Default for MailboxLimits {
    /// 65,536 messages or 16 MiB: about a tenth of a second of the listener's full speed.
    fn default() -> Self {
        Self { messages_max: 65_536, bytes_max: 16 * 1024 * 1024 }
    }
}

pub(super) struct Mailbox {
    state: Mutex<State>,
    /// Wakes the one receiver.
    arrived: Notify,
    /// Wakes publishers that wait for room.
    room: Notify,
    limits: MailboxLimits,
}

struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    full: bool,
    closed: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Posted {
    /// It waits, and there is room for more.
    Room,
    /// It waits; the publisher must wait for [`Mailbox::room`] before it sends another.
    Full,
    /// The subscription has ended.
    Closed,
}

impl Mailbox {
    pub(super) fn new(limits: MailboxLimits) -> Self {
        let state = State { messages: VecDeque::new(), bytes: 0, full: false, closed: false };
        Self { state: Mutex::new(state), arrived: Notify::new(), room: Notify::new(), limits }
    }

    /// Accepts a message, whatever the limits say.
    pub(super) fn post(&self, message: Message) -> Posted {
        let mut state = self.lock();
        if state.closed {
            return Posted::Closed;
        }
        let was_empty = state.messages.is_empty();
        state.bytes += message.size();
        state.messages.push_back(message);
        let over = state.messages.len() >= self.limits.messages_max || state.bytes >= self.limits.bytes_max;
        state.full |= over;
        let full = state.full;
        drop(state);
        // The receiver looks before it waits, so that only the first message has to wake it.
        if was_empty {
            self.arrived.notify_one();
        }
        if full { Posted::Full } else { Posted::Room }
    }

    /// Whether a publisher would have to wait.
    pub(super) fn is_full(&self) -> bool {
        let state = self.lock();
        state.full && !state.closed
    }

    /// Waits until half of the mailbox is free, or the subscription ends.
    pub(super) async fn room(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered before looking, so that room made between looking and waiting is not missed.
            room.as_mut().enable();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }

    /// Waits for messages and moves up to `max` of them to `batch`; 0 means that the mailbox is closed and empty.
    ///
    /// Dropping the future loses nothing: messages leave the mailbox in the same step that returns them.
    pub(super) async fn take(&self, batch: &mut Vec<Message>, max: usize) -> usize {
        loop {
            if let Some(count) = self.take_now(batch, max) {
                return count;
            }
            self.arrived.notified().await;
        }
    }

    /// `None` while the mailbox is open and empty.
    pub(super) fn take_now(&self, batch: &mut Vec<Message>, max: usize) -> Option<usize> {
        let mut state = self.lock();
        let count = state.messages.len().min(max.max(1));
        if count == 0 {
            return state.closed.then_some(0);
        }
        batch.reserve(count);
        for _ in 0..count {
            let message = state.messages.pop_front().expect("count is at most the number of waiting messages");
            state.bytes -= message.size();
            batch.push(message);
        }
        let half_free = state.messages.len() <= self.limits.messages_max / 2 && state.bytes <= self.limits.bytes_max / 2;
        let released = state.full && half_free;
        if released {
            state.full = false;
        }
        drop(state);
        if released {
            self.room.notify_waiters();
        }
        Some(count)
    }

    /// Accepts nothing more; what waits can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so that a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Subject;
    use super::*;

    fn message(payload: &'static str) -> Message {
        Message { subject: Subject::new("s").unwrap(), reply: None, headers: None, payload: payload.into() }
    }

    fn small() -> Mailbox {
        Mailbox::new(MailboxLimits { messages_max: 4, bytes_max: 1000 })
    }

    #[test]
    fn a_full_mailbox_still_accepts_and_says_so() {
        let mailbox = small();
        for _ in 0..3 {
            assert_eq!(mailbox.post(message("x")), Posted::Room);
        }
        assert_eq!(mailbox.post(message("x")), Posted::Full);
        assert_eq!(mailbox.post(message("x")), Posted::Full);
        let mut batch = Vec::new();
        assert_eq!(mailbox.take_now(&mut batch, 100), Some(5));
        assert!(!mailbox.is_full());
    }

    #[test]
    fn bytes_fill_a_mailbox_too() {
        let mailbox = Mailbox::new(MailboxLimits { messages_max: 100, bytes_max: 5 });
        assert_eq!(mailbox.post(message("123")), Posted::Room);
        assert_eq!(mailbox.post(message("1")), Posted::Full);
    }

    #[tokio::test]
    async fn a_publisher_waits_until_half_is_free() {
        let mailbox = small();
        for _ in 0..4 {
            mailbox.post(message("x"));
        }
        let room = mailbox.room();
        tokio::pin!(room);
        assert!(futures::poll!(room.as_mut()).is_pending());
        let mut batch = Vec::new();
        mailbox.take_now(&mut batch, 1);
        assert!(futures::poll!(room.as_mut()).is_pending());
        mailbox.take_now(&mut batch, 1);
        room.await;
    }

    #[tokio::test]
    async fn closing_frees_waiting_publishers_and_keeps_what_waits() {
        let mailbox = small();
        for _ in 0..4 {
            mailbox.post(message("x"));
        }
        let room = mailbox.room();
        tokio::pin!(room);
        assert!(futures::poll!(room.as_mut()).is_pending());
        mailbox.close();
        room.await;
        assert_eq!(mailbox.post(message("y")), Posted::Closed);
        let mut batch = Vec::new();
        assert_eq!(mailbox.take(&mut batch, 100).await, 4);
        assert_eq!(mailbox.take(&mut batch, 100).await, 0);
    }

    #[tokio::test]
    async fn a_receiver_is_woken_by_the_first_message() {
        let mailbox = small();
        let mut batch = Vec::new();
        {
            let take = mailbox.take(&mut batch, 10);
            tokio::pin!(take);
            assert!(futures::poll!(take.as_mut()).is_pending());
            mailbox.post(message("x"));
            assert_eq!(take.await, 1);
        }
        assert_eq!(batch.len(), 1);
    }
}
