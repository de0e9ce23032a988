//! What is committed together, and what waits for that commit.

use crate::operations::Committed;
use crate::port::bus::Call;
use crate::port::egress::HttpCall;
use crate::port::store::Batch;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_registry::SessionKey;
use tasker_registry::message::{Directive, ToWorker};

/// Everything decided since the last commit began.
#[derive(Default)]
pub(super) struct Group {
    /// What becomes durable.
    pub batch: Batch,
    /// What is told to workers, by session, in order.
    directives: BTreeMap<SessionKey, Vec<Directive>>,
    /// Everything else that waits.
    after: Vec<AfterCommit>,
    /// How many replies were recorded, by when they had been received.
    replies: Vec<(Duration, u64)>,
}

/// An effect that may only happen once its group is durable (P5).
pub(super) enum AfterCommit {
    /// To a worker.
    Send(ToWorker),
    /// To plain responders.
    Call(Box<Call>),
    /// To a system over HTTP.
    CallHttp(Box<HttpCall>),
    /// To whoever asked.
    Answer(Box<dyn FnOnce() + Send>),
    /// To whoever watches, and into the trace.
    Tell(Committed),
    /// To nobody: replies that were received then are answered with what was sent before this.
    Measure(Duration, u64),
}

impl Group {
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.directives.is_empty() && self.after.is_empty()
    }

    pub fn direct(&mut self, session: &SessionKey, directive: Directive) {
        match self.directives.get_mut(session) {
            Some(directives) => directives.push(directive),
            None => {
                self.directives.insert(session.clone(), vec![directive]);
            }
        }
    }

    /// Notes that a reply was recorded, which had been received then.
    pub fn answers(&mut self, received_at: Duration) {
        match self.replies.last_mut() {
            Some((at, count)) if *at == received_at => *count += 1,
            Some(_) | None => self.replies.push((received_at, 1)),
        }
    }

    pub fn then(&mut self, effect: AfterCommit) {
        self.after.push(effect);
    }

    /// What is to be made durable, and what follows.
    pub fn split(mut self) -> (Batch, Vec<AfterCommit>) {
        let batch = std::mem::take(&mut self.batch);
        (batch, self.into_effects())
    }

    /// What follows: workers first, because they wait.
    pub fn into_effects(self) -> Vec<AfterCommit> {
        let sends = self.directives.into_iter().map(|(key, directives)| {
            AfterCommit::Send(ToWorker { namespace: key.namespace, system: key.system, session: key.session, directives })
        });
        let measures = self.replies.into_iter().map(|(at, count)| AfterCommit::Measure(at, count));
        sends.chain(self.after).chain(measures).collect()
    }
}
