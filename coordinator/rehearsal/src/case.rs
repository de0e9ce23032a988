//! What a case is made of.

use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::decide::approval::Verdict;
use tasker_engine::event::Resolution;
use tasker_engine::{Failure, Payload, Timestamp};

/// One course of events, and what must come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// A fact: `a declined card undoes the reservation`.
    pub name: String,
    /// What the task is submitted with.
    pub input: Payload,
    /// When it is submitted; expressions over instants see the time from here on.
    pub start: Timestamp,
    /// How the systems answer: by step (`charge`), item (`resize[3]`), step of a child (`ship/pack`), or capability (`payment.charge`).
    pub mocks: BTreeMap<String, Mock>,
    /// What comes from outside by the clock, counted from the task's acceptance.
    pub plan: Vec<Plan>,
    /// What people do once a step waits for them, in order; counted from the moment it waits.
    pub prompts: Vec<Prompt>,
    /// What must come of it.
    pub expect: Expect,
}

impl Case {
    /// When a case starts that says nothing: a Monday morning, so that nothing depends on the day of the test.
    pub const START: Timestamp = Timestamp::from_millis(1_799_053_200_000);
}

/// The answers to a step's attempts, in order; the last one stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mock {
    /// At least one.
    pub answers: Vec<Answer>,
}

/// How one attempt goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What comes.
    pub given: Given,
    /// How long it takes.
    pub after: Duration,
}

/// What comes of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// This result.
    Result(Payload),
    /// This failure.
    Failure(Failure),
    /// Nothing, ever: the time limits decide.
    Silence,
    /// The worker dies.
    Lost,
    /// No worker takes the step: the waiting limit decides.
    Unclaimed,
}

/// Something from outside at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How long after the task's acceptance.
    pub after: Duration,
    /// What.
    pub act: Act,
}

/// Something from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A signal to the task.
    Signal {
        /// Its name.
        name: String,
        /// What it brings.
        payload: Payload,
    },
    /// An event for whoever waits for it.
    Event {
        /// Its name.
        name: String,
        /// Its key.
        key: String,
        /// What it brings.
        payload: Payload,
    },
    /// Somebody ends the task.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Somebody pauses the task.
    Pause {
        /// Why.
        reason: String,
    },
    /// Somebody lets it go on.
    Resume,
}

/// What a person does once a step waits for them.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Decides an approval.
    Decide {
        /// Which step.
        step: String,
        /// How long after it was asked.
        after: Duration,
        /// How.
        verdict: Verdict,
    },
    /// Resolves a held step.
    Resolve {
        /// Which step or item.
        step: String,
        /// How long after it was held.
        after: Duration,
        /// How.
        resolution: Resolution,
        /// Who.
        by: String,
    },
}

impl Prompt {
    /// The step it is about.
    pub fn step(&self) -> &str {
        match self {
            Self::Decide { step, .. } | Self::Resolve { step, .. } => step,
        }
    }
}

/// How a task stands when the case is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Over, with a result.
    Succeeded,
    /// Over, with a failure.
    Failed,
    /// Over, on request.
    Cancelled,
    /// Not over, and nothing happens any more by itself.
    Waiting,
}

impl Status {
    /// The word used in cases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Waiting => "waiting",
        }
    }
}

/// What must come of a case; what is absent is not looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// How it ends.
    pub status: Option<Status>,
    /// The task's result, exactly.
    pub result: Option<Value>,
    /// Fields that the task's result must have.
    pub result_contains: Option<Value>,
    /// The code of the task's failure.
    pub error: Option<String>,
    /// Steps that began, in this order; others may have begun between them.
    pub path: Option<Vec<String>>,
    /// Steps that began.
    pub ran: Vec<String>,
    /// Steps that never began.
    pub not_run: Vec<String>,
    /// Steps that were skipped.
    pub skipped: Vec<String>,
    /// Steps that failed.
    pub failed: Vec<String>,
    /// Steps that wait for a person, an event or time when nothing happens any more.
    pub waits: Option<Vec<String>>,
    /// How many attempts steps took.
    pub attempts: BTreeMap<String, u64>,
    /// Fields that the input of steps must have had.
    pub inputs: BTreeMap<String, Value>,
    /// Fields that the results of steps must have.
    pub results: BTreeMap<String, Value>,
    /// The compensations that succeeded, in order, and no others.
    pub compensated: Option<Vec<String>>,
    /// The longest that it may take, in virtual time.
    pub took: Option<Duration>,
    /// How many items fan-outs had.
    pub items: BTreeMap<String, u64>,
}
