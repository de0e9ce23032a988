//! Hands each message to everybody who is interested.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::headers::Headers;
use super::index::{Index, Matches};
use super::mailbox::{Mailbox, Posted};
use super::outbound::Appended;
use super::parcel::{Parcel, Wording};
use super::peer::{Admission, Interest, Peer, Target};
use super::subject::{Subject, SubjectError, check_subject};

/// Subjects whose subscribers one publisher remembers; beyond it, all are forgotten and looked up anew.
///
/// Inboxes of requests are used once, and would otherwise fill the memory.
const REMEMBERED_SUBJECTS_MAX: usize = 1_024;

/// The header block of the notice that a request has no responder; the subject and two line ends follow.
const NO_RESPONDERS: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";

/// A message inside the process. Parts are shared; cloning copies none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it was sent.
    pub subject: Subject,
    /// Where the sender wants the answer, if it wants one.
    pub reply: Option<Subject>,
    /// Its header block, if it has one.
    pub headers: Option<Headers>,
    /// Its content; at most [`super::Limits::payload_bytes_max`] together with the headers.
    pub payload: Bytes,
}

impl Message {
    /// What the message counts for in a mailbox, in bytes.
    pub fn size(&self) -> usize {
        self.subject.as_bytes().len() + self.reply.as_ref().map_or(0, |reply| reply.as_bytes().len()) + self.body_bytes()
    }

    /// Headers and payload, in bytes.
    pub(super) fn body_bytes(&self) -> usize {
        self.headers.as_ref().map_or(0, |headers| headers.as_bytes().len()) + self.payload.len()
    }
}

/// What all connections share: who is interested in what, and counters.
#[derive(Default)]
pub(super) struct Router {
    index: RwLock<Index>,
    /// Changes with every change of the index, so that what publishers remember can be told to be old.
    generation: AtomicU64,
    pub(super) slow_consumers_cut: AtomicU64,
    pub(super) messages_received: AtomicU64,
}

impl Router {
    pub(super) fn subscribe(&self, interest: Arc<Interest>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.insert(interest);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Ends a subscription; ending it twice changes nothing.
    pub(super) fn unsubscribe(&self, interest: &Arc<Interest>) {
        interest.end();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if index.remove(interest) {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn has_interest(&self, subject: &[u8]) -> bool {
        self.index.read().unwrap_or_else(PoisonError::into_inner).has_interest(subject)
    }

    pub(super) fn subscription_count(&self) -> usize {
        self.index.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until everybody who would get a message of this subject has room for it, or has gone.
    pub(super) async fn room_for(&self, subject: &[u8]) {
        let (_, matches) = self.matches(subject);
        for interest in matches.plain.iter().chain(matches.groups.iter().flat_map(|group| &group.members)) {
            match &interest.target {
                Target::Peer(peer) => peer.outbound.relieved().await,
                Target::Mailbox(mailbox) => mailbox.room().await,
            }
        }
    }

    fn matches(&self, subject: &[u8]) -> (u64, Matches) {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, under which it changes: the generation belongs to exactly these matches.
        (self.generation.load(Ordering::Acquire), index.matches(subject))
    }
}

/// One source of messages: a connection, or all local clients together.
///
/// It remembers who gets which subject, and whom it has to wake; so it is used by one thread at a time.
pub(super) struct Publisher {
    router: Arc<Router>,
    origin: Option<Arc<Peer>>,
    remembered: HashMap<Bytes, Arc<Matches>>,
    generation: u64,
    wording: Wording,
    unwoken: Vec<Arc<Peer>>,
    /// Connections that are more than half full; the caller should slow down for them.
    pub(super) pressed: Vec<Arc<Peer>>,
    /// Mailboxes that are full; the caller must wait for them before it publishes again.
    pub(super) full: Vec<Arc<Mailbox>>,
}

impl Publisher {
    /// `origin` is the connection that publishes, or none for local clients.
    pub(super) fn new(router: Arc<Router>, origin: Option<Arc<Peer>>) -> Self {
        Self {
            router,
            origin,
            remembered: HashMap::new(),
            generation: 0,
            wording: Wording::default(),
            unwoken: Vec::new(),
            pressed: Vec::new(),
            full: Vec::new(),
        }
    }

    /// Hands a message to all who want it and says how many got it.
    ///
    /// Writers are not woken before [`Publisher::wake`], so that many messages leave in one write.
    ///
    /// # Errors
    /// Refuses a subject or reply subject that is none; nobody gets the message then.
    pub(super) fn publish(&mut self, parcel: &Parcel<'_>) -> Result<usize, SubjectError> {
        if let Some(reply) = parcel.reply {
            check_subject(reply)?;
        }
        let matches = self.subscribers(parcel.subject)?;
        if matches.is_empty() {
            return Ok(0);
        }
        self.wording.begin();
        let mut local_copy = None;
        let mut delivered = 0;
        for interest in &matches.plain {
            delivered += usize::from(self.hand_over(interest, parcel, &mut local_copy));
        }
        for group in &matches.groups {
            let count = group.members.len();
            let first = if count > 1 { rand::random_range(0..count) } else { 0 };
            // A member that is closing, or that is the sender and wants no echo, passes the message on.
            let got_it = (0..count).any(|step| self.hand_over(&group.members[(first + step) % count], parcel, &mut local_copy));
            delivered += usize::from(got_it);
        }
        Ok(delivered)
    }

    /// Whether a local subscriber of this subject has no room now.
    pub(super) fn would_wait(&mut self, subject: &[u8]) -> Result<bool, SubjectError> {
        let matches = self.subscribers(subject)?;
        let members = matches.groups.iter().flat_map(|group| &group.members);
        Ok(matches.plain.iter().chain(members).any(|interest| match &interest.target {
            Target::Mailbox(mailbox) => mailbox.is_full(),
            Target::Peer(_) => false,
        }))
    }

    /// Tells the source of a request that nobody answers: a message without payload, status 503, on its reply subject.
    ///
    /// The notice goes to the source's own inbox and to nobody else's.
    pub(super) fn tell_no_responders(&mut self, subject: &[u8], reply: &[u8]) {
        let headers = [NO_RESPONDERS, subject, b"\r\n\r\n"].concat();
        let notice = Parcel { subject: reply, reply: None, headers: &headers, payload: &[], owner: &Bytes::new() };
        let (_, matches) = self.router.matches(reply);
        self.wording.begin();
        let members = matches.groups.iter().flat_map(|group| &group.members);
        for interest in matches.plain.iter().chain(members) {
            let own = match (&interest.target, &self.origin) {
                (Target::Peer(peer), Some(origin)) => Arc::ptr_eq(peer, origin),
                (Target::Mailbox(_), None) => true,
                (Target::Peer(_), None) | (Target::Mailbox(_), Some(_)) => false,
            };
            if own && self.admit_and_send(interest, &notice, &mut None) {
                return;
            }
        }
    }

    /// Wakes the writers of all connections that got something since the last call.
    pub(super) fn wake(&mut self) {
        for peer in self.unwoken.drain(..) {
            peer.outbound.wake();
        }
    }

    fn subscribers(&mut self, subject: &[u8]) -> Result<Arc<Matches>, SubjectError> {
        if self.generation == self.router.generation.load(Ordering::Acquire) {
            if let Some(matches) = self.remembered.get(subject) {
                return Ok(Arc::clone(matches));
            }
        } else {
            self.remembered.clear();
        }
        // Only checked subjects are remembered, so that a hit above needs no check.
        check_subject(subject)?;
        let (generation, matches) = self.router.matches(subject);
        if generation != self.generation || self.remembered.len() >= REMEMBERED_SUBJECTS_MAX {
            self.remembered.clear();
            self.generation = generation;
        }
        let matches = Arc::new(matches);
        self.remembered.insert(Bytes::copy_from_slice(subject), Arc::clone(&matches));
        Ok(matches)
    }

    fn hand_over(&mut self, interest: &Arc<Interest>, parcel: &Parcel<'_>, local_copy: &mut Option<Message>) -> bool {
        if let (Target::Peer(peer), Some(origin)) = (&interest.target, &self.origin)
            && Arc::ptr_eq(peer, origin)
            && !peer.echo.load(Ordering::Relaxed)
        {
            return false;
        }
        self.admit_and_send(interest, parcel, local_copy)
    }

    fn admit_and_send(&mut self, interest: &Arc<Interest>, parcel: &Parcel<'_>, local_copy: &mut Option<Message>) -> bool {
        let admission = interest.admit();
        if admission == Admission::Unwanted {
            return false;
        }
        let sent = match &interest.target {
            Target::Peer(peer) => self.send_to_peer(peer, interest, parcel),
            Target::Mailbox(mailbox) => {
                let message = local_copy.get_or_insert_with(|| parcel.to_message()).clone();
                match mailbox.post(message) {
                    Posted::Room => true,
                    Posted::Full => {
                        self.full.push(Arc::clone(mailbox));
                        true
                    }
                    Posted::Closed => false,
                }
            }
        };
        if admission == Admission::Last {
            self.router.unsubscribe(interest);
            if let Target::Peer(peer) = &interest.target {
                peer.forget(interest);
            }
        }
        sent
    }

    fn send_to_peer(&mut self, peer: &Arc<Peer>, interest: &Interest, parcel: &Parcel<'_>) -> bool {
        let pieces = self.wording.pieces(parcel, &interest.sid, peer.headers.load(Ordering::Relaxed));
        match peer.outbound.append(&pieces, Some(parcel.owner)) {
            Appended::Waiting { unannounced, pressed } => {
                if unannounced {
                    self.unwoken.push(Arc::clone(peer));
                }
                if pressed && !self.pressed.iter().any(|known| Arc::ptr_eq(known, peer)) {
                    self.pressed.push(Arc::clone(peer));
                }
                true
            }
            Appended::Overflow => {
                self.router.slow_consumers_cut.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    connection = peer.id,
                    client = %peer.address,
                    "slow consumer disconnected: it did not read what waited for it"
                );
                peer.cut();
                false
            }
            Appended::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests;
