//! What is committed together, and what waits for that commit.

use crate::operations::Committed;
use crate::port::bus::Call;
use crate::port::egress::HttpCall;
use crate::port::store::Batch;
use std::collections::BTreeMap;
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
        sends.chain(self.after).collect()
    }
}
