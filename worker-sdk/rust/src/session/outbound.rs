//! What the session says: hello, poll, beat, replies.

use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use tasker_proto::worker::v1::{Beat, HeldAttempt, Hello, Poll, SessionState};

use super::Session;
use super::batch::batches;

/// Subjects of this many shards are kept ready; there are usually far fewer.
const REPLY_SUBJECTS_MAX: usize = 4096;

impl Session {
    pub(super) async fn say_hello(&mut self) {
        let hello = Hello { session: self.id.clone(), held: Vec::new(), ..self.plan.announcement.clone() };
        let payload = self.with_held(hello, |hello, held| hello.held = held);
        self.link.publish_with_reply(self.subjects.hello.clone(), self.subjects.to.clone(), payload).await;
        self.hello_due = Some(Instant::now() + self.hello_wait);
    }

    pub(super) async fn poll(&mut self) {
        let poll = Poll { session: self.id.clone(), credit: Some(self.held.credit(self.draining.is_some())) };
        self.link.publish(self.subjects.poll.clone(), poll.encode_to_vec().into()).await;
    }

    pub(super) async fn beat(&mut self) {
        let state = if self.draining.is_some() { SessionState::Draining } else { SessionState::Active };
        self.beat_as(state).await;
        self.beat_due = Some(Instant::now() + self.heartbeat);
    }

    pub(super) async fn beat_as(&mut self, state: SessionState) {
        let beat = Beat {
            session: self.id.clone(),
            held: Vec::new(),
            credit: Some(self.held.credit(state != SessionState::Active)),
            state: state.into(),
        };
        let payload = self.with_held(beat, |beat, held| beat.held = held);
        self.link.publish(self.subjects.beat.clone(), payload).await;
    }

    /// Publishes what became ready in this turn, in as few messages as allowed.
    pub(super) async fn publish_replies(&mut self) {
        if self.outgoing.is_empty() {
            if std::mem::take(&mut self.must_poll) {
                self.poll().await;
            }
            return;
        }
        self.must_poll = false;
        let credit = self.held.credit(self.draining.is_some());
        for (shard, payload) in batches(&self.id, &mut self.outgoing, &credit) {
            if self.reply_subjects.len() >= REPLY_SUBJECTS_MAX {
                self.reply_subjects.clear();
            }
            let subject = self.reply_subjects.entry(shard).or_insert_with(|| self.subjects.reply(shard)).clone();
            self.link.publish(subject, payload).await;
        }
    }

    /// Encodes a message with everything held, without progress if it would
    /// otherwise be more than the server takes, and then with as many as fit:
    /// the coordinator repeats what it misses, and the worker knows the token.
    fn with_held<M: Message>(&self, mut message: M, set: impl Fn(&mut M, Vec<HeldAttempt>)) -> Bytes {
        let bytes_max = self.link.message_bytes_max();
        set(&mut message, self.held.list(true));
        if message.encoded_len() > bytes_max {
            let mut held = self.held.list(false);
            set(&mut message, held.clone());
            while message.encoded_len() > bytes_max && !held.is_empty() {
                held.truncate(held.len() / 2);
                tracing::warn!(listed = held.len(), "a message cannot list everything held; the server's max_payload is too small");
                set(&mut message, held.clone());
            }
        }
        message.encode_to_vec().into()
    }
}
