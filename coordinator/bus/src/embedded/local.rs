//! The bus for code in the same process: no socket, the same rules.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::mailbox::{Mailbox, MailboxLimits};
use super::parcel::Parcel;
use super::peer::{Interest, Target};
use super::router::{Message, Publisher, Router};
use super::subject::{Pattern, Subject, SubjectError};

/// Publishes and subscribes without a socket. Clones are the same client.
#[derive(Clone)]
pub struct LocalClient {
    router: Arc<Router>,
    /// One for all clones: it remembers who gets which subject, and what it sends keeps its order.
    publisher: Arc<Mutex<Publisher>>,
    payload_bytes_max: usize,
    closed: tokio_util::sync::CancellationToken,
}

/// Why a message was not sent. Nobody got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Headers and payload together are over the limit; correct the message.
    #[error("a message of {bytes} bytes is larger than {limit} bytes")]
    TooLarge {
        /// Headers and payload together.
        bytes: usize,
        /// [`super::Limits::payload_bytes_max`].
        limit: usize,
    },
    /// A subscription of this process has no room for it; send it again after [`LocalClient::room_for`].
    #[error("a local subscriber has no room for the message")]
    SubscriberFull,
    /// The listener has been shut down; nothing can be sent any more.
    #[error("the embedded listener is shut down")]
    Closed,
}

impl PublishError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "bus.payload_too_large",
            Self::SubscriberFull => "bus.subscriber_full",
            Self::Closed => "bus.closed",
        }
    }
}

/// Why a subscription was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The pattern or the queue name is none; correct it.
    #[error("`subscribe` got a pattern or queue name that is none")]
    Pattern(#[source] SubjectError),
    /// The listener has been shut down.
    #[error("the embedded listener is shut down")]
    Closed,
}

impl SubscribeError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pattern(error) => error.code(),
            Self::Closed => "bus.closed",
        }
    }
}

impl LocalClient {
    pub(super) fn new(router: Arc<Router>, payload_bytes_max: usize, closed: tokio_util::sync::CancellationToken) -> Self {
        let publisher = Arc::new(Mutex::new(Publisher::new(Arc::clone(&router), None)));
        Self { router, publisher, payload_bytes_max, closed }
    }

    /// Hands a message to everybody who is interested.
    ///
    /// It is on its way when this returns; a remote client that does not read is cut off and misses it. Messages of
    /// one caller to one subscriber keep their order. If the message asks for an answer and nobody is interested, the
    /// notice with status 503 comes to this client's own subscription of the reply subject, as it does for remote clients.
    ///
    /// # Errors
    /// Refuses a message that is too large, one that a local subscriber has no room for, and everything after shutdown.
    pub fn publish(&self, message: Message) -> Result<(), PublishError> {
        let bytes = message.body_bytes();
        if bytes > self.payload_bytes_max {
            return Err(PublishError::TooLarge { bytes, limit: self.payload_bytes_max });
        }
        if self.closed.is_cancelled() {
            return Err(PublishError::Closed);
        }
        let parcel = Parcel {
            subject: message.subject.as_bytes(),
            reply: message.reply.as_ref().map(Subject::as_bytes),
            headers: message.headers.as_ref().map_or(&[], |headers| headers.as_bytes()),
            payload: &message.payload,
            owner: &message.payload,
        };
        // What a publisher remembers is only a shortcut; a panic elsewhere leaves nothing false in it.
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let full = publisher.would_wait(parcel.subject).expect(CHECKED);
        if full {
            return Err(PublishError::SubscriberFull);
        }
        let delivered = publisher.publish(&parcel).expect(CHECKED);
        if let (0, Some(reply)) = (delivered, parcel.reply) {
            publisher.tell_no_responders(parcel.subject, reply);
        }
        publisher.wake();
        // Room was checked before sending, and remote clients are never waited for here.
        publisher.full.clear();
        publisher.pressed.clear();
        Ok(())
    }

    /// Subscribes with the default [`MailboxLimits`]; see [`LocalClient::subscribe_with_limits`].
    ///
    /// # Errors
    /// Refuses a pattern that is none, and everything after shutdown.
    pub fn subscribe(&self, pattern: &str, queue: Option<&str>) -> Result<Subscription, SubscribeError> {
        self.subscribe_with_limits(pattern, queue, MailboxLimits::default())
    }

    /// Subscribes to all messages that `pattern` asks for, or, in a queue group, to this member's part of them.
    ///
    /// No message is lost while the subscription exists: when its mailbox is full, the connections that publish to it are
    /// not read until half of it is free. So whoever subscribes must keep receiving, and must not wait, between two
    /// receives, for something that only those connections can bring.
    ///
    /// # Errors
    /// Refuses a pattern that is none, and everything after shutdown.
    pub fn subscribe_with_limits(&self, pattern: &str, queue: Option<&str>, limits: MailboxLimits) -> Result<Subscription, SubscribeError> {
        if self.closed.is_cancelled() {
            return Err(SubscribeError::Closed);
        }
        let pattern = Pattern::new(pattern.to_owned()).map_err(SubscribeError::Pattern)?;
        let queue = match queue {
            Some(name) if name.is_empty() || name.contains(|letter: char| letter.is_whitespace()) => {
                return Err(SubscribeError::Pattern(SubjectError::Unprintable));
            }
            Some(name) => Some(Bytes::copy_from_slice(name.as_bytes())),
            None => None,
        };
        let mailbox = Arc::new(Mailbox::new(limits));
        let target = Target::Mailbox(Arc::clone(&mailbox));
        let interest = Arc::new(Interest::new(pattern, queue, Bytes::new(), target));
        self.router.subscribe(Arc::clone(&interest));
        Ok(Subscription { router: Arc::clone(&self.router), interest, mailbox, closed: self.closed.clone() })
    }

    /// Waits until everybody who would get a message sent to `subject` has read at least half of what may wait for it.
    ///
    /// Whoever sends much to few, without waiting for their answers, calls this between messages: [`LocalClient::publish`]
    /// itself never waits, and a receiver for whom too much waits is cut off. A receiver that stands still is waited for
    /// until [`super::Limits::write_timeout`] ends its connection; use a timeout of your own to wait less.
    pub async fn room_for(&self, subject: &Subject) {
        self.router.room_for(subject.as_bytes()).await;
    }

    /// Whether anybody, local or remote, would get a message sent to `subject` now.
    pub fn has_interest(&self, subject: &Subject) -> bool {
        self.router.has_interest(subject.as_bytes())
    }
}

/// Why publishing a [`Message`] cannot fail on its subjects.
const CHECKED: &str = "a `Subject` was checked when it was made";

/// A stream of messages. Dropping it ends the subscription and drops what waits.
pub struct Subscription {
    router: Arc<Router>,
    interest: Arc<Interest>,
    mailbox: Arc<Mailbox>,
    closed: tokio_util::sync::CancellationToken,
}

impl Subscription {
    /// Waits for the next message; `None` after shutdown, when all that came before was received.
    ///
    /// Dropping the future loses no message.
    pub async fn recv(&mut self) -> Option<Message> {
        let mut one = Vec::with_capacity(1);
        self.recv_many(&mut one, 1).await;
        one.pop()
    }

    /// Waits for messages and appends up to `max` of them, at least one, to `batch`; 0 after shutdown.
    ///
    /// Much cheaper per message than [`Subscription::recv`]. Dropping the future loses no message.
    pub async fn recv_many(&mut self, batch: &mut Vec<Message>, max: usize) -> usize {
        tokio::select! {
            biased;
            count = self.mailbox.take(batch, max) => count,
            () = self.closed.cancelled() => {
                self.mailbox.close();
                self.mailbox.take_now(batch, max).unwrap_or(0)
            }
        }
    }

    /// The next message if one waits.
    pub fn try_recv(&mut self) -> Option<Message> {
        let mut one = Vec::with_capacity(1);
        self.mailbox.take_now(&mut one, 1);
        one.pop()
    }

    /// Ends the interest but keeps what waits: [`Subscription::recv`] gives the rest, then `None`.
    pub fn unsubscribe(&mut self) {
        self.router.unsubscribe(&self.interest);
        self.mailbox.close();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}
