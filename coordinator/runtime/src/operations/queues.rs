//! What waits for capabilities, what limits it, and what operators say about it.

use super::{FleetError, Operations, Orders, QueueView, State, Target, Unavailable};
use crate::command::Command;
use std::time::Duration;
use tasker_engine::flow::Rate;
use tasker_engine::{Namespace, Timestamp};

/// The queue of a capability.
#[derive(Debug, Clone)]
pub struct QueueState {
    /// What waits there asks for this.
    pub target: Target,
    /// Since when the oldest step waits.
    pub oldest_waiting: Option<Timestamp>,
    /// Where its breaker stands, if it has one.
    pub breaker: Option<State>,
    /// How many wait, what limits them, and what holds them back; none if nothing ever waited.
    pub queue: Option<QueueView>,
    /// When the next token is there, if one is missing.
    pub next_in: Option<Duration>,
}

/// What an operator changes about a queue. What is absent stays as it is; of the limits, the inner none gives the word back to the manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueChange {
    /// Whether nothing starts.
    pub paused: Option<bool>,
    /// How fast.
    pub rate: Option<Word<Rate>>,
    /// How many attempts at once.
    pub max_concurrent: Option<Word<u32>>,
    /// How many steps may wait.
    pub max_backlog: Option<Word<u32>>,
}

/// What an operator says about one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<T> {
    /// As the manifests declare.
    Declared,
    /// No limit.
    Unlimited,
    /// This one.
    Limit(T),
}

impl<T> Word<T> {
    fn order(self) -> Option<Option<T>> {
        match self {
            Self::Declared => None,
            Self::Unlimited => Some(None),
            Self::Limit(limit) => Some(Some(limit)),
        }
    }
}

impl QueueChange {
    pub(crate) fn apply(&self, orders: &mut Orders) {
        orders.paused = self.paused.unwrap_or(orders.paused);
        orders.rate = self.rate.map_or(orders.rate, Word::order);
        orders.max_concurrent = self.max_concurrent.map_or(orders.max_concurrent, Word::order);
        orders.max_backlog = self.max_backlog.map_or(orders.max_backlog, Word::order);
    }
}

impl Operations {
    /// The queue of every known capability of a namespace.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn queues(&self, namespace: &Namespace) -> Result<Vec<QueueState>, Unavailable> {
        self.ask(|answer| Command::Queues { namespace: namespace.clone(), answer }).await
    }

    /// Changes what an operator says about a queue; said again, it changes nothing. Forgotten when the coordinator starts anew, like breakers by hand.
    ///
    /// # Errors
    /// Nobody ever spoke of the capability.
    pub async fn change_queue(&self, target: Target, change: QueueChange) -> Result<QueueState, FleetError> {
        self.ask(|answer| Command::ChangeQueue { target, change, answer }).await?
    }
}
