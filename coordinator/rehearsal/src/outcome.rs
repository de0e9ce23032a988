//! What came of a case.

use crate::case::Status;
use crate::points::Point;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tasker_engine::{Entry, Failure, Payload, Task};

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    /// How the task ended; none if it was never accepted.
    pub ended: Option<Ended>,
    /// Steps in the order in which they began; those of children as `ship/pack`.
    pub began: Vec<String>,
    /// How many attempts each step took; fan-outs all of their items together, and each item by itself.
    pub attempts: BTreeMap<String, u64>,
    /// What was sent to whom, in order.
    pub sent: Vec<Sent>,
    /// Compensations that succeeded, in order.
    pub compensated: Vec<String>,
    /// The ways taken through the workflow under test.
    pub reached: BTreeSet<Point>,
    /// Steps whose results were made up, because no mock was given.
    pub defaulted: BTreeSet<String>,
    /// What the author should know, although it fails nothing.
    pub notes: BTreeSet<String>,
    /// Why the case fails whatever it expects: a broken promise, a refused signal, a mock that nobody asked.
    pub problems: Vec<String>,
    /// The whole history of the task under test.
    pub history: Vec<Entry>,
}

/// How the task under test stood at the end.
#[derive(Debug)]
pub struct Ended {
    /// In a word.
    pub status: Status,
    /// Its result, if it succeeded.
    pub result: Option<Payload>,
    /// Its failure, if it failed.
    pub failure: Option<Failure>,
    /// How much virtual time went by.
    pub took: Duration,
    /// Steps that still wait for somebody, as `ship/pack` if they belong to a child.
    pub waits: Vec<String>,
    /// The task itself.
    pub task: Task,
}

/// One request that was sent, or one child that was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The step or item.
    pub step: String,
    /// What it was sent.
    pub input: Payload,
}
