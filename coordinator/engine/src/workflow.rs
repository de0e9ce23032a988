//! A checked manifest: what the engine runs.

use crate::contract::{Contract, Schema};
use crate::expression::Expression;
use crate::flow::{StepLimits, WorkflowFlow};
use crate::ids::{CapabilityName, Digest, ErrorCode, Namespace, StepIndex, StepName, SystemName, WorkflowName, WorkflowVersion};
use crate::reaction::{OnError, Reaction};
use crate::retry::RetryPolicy;
use crate::template::Template;
use serde_json::Value;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::time::Duration;

/// Name, version and a graph of steps. Built only from definitions that were checked, so the graph has no cycle and every
/// index is in range.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// The tenant it was applied in.
    pub namespace: Namespace,
    /// Its name.
    pub name: WorkflowName,
    /// Its version.
    pub version: WorkflowVersion,
    /// The digest of the definition; a task is pinned to it.
    pub digest: Digest,
    /// What a task's input must fit.
    pub input: Option<Schema>,
    /// The task's result; absent: the results of the steps that nothing depends on, by name.
    pub result: Option<Template>,
    /// How long a task may take from acceptance; the time it is paused does not count.
    pub timeout: Option<Duration>,
    /// The instant by which a task must end, computed from its input: RFC 3339 text.
    pub deadline: Option<Expression>,
    /// How many steps and items of one task may be at work at once.
    pub max_parallel: Option<u32>,
    /// Which submissions are the same task.
    pub identity: Option<Identity>,
    /// Priority, share and how many tasks at once.
    pub flow: WorkflowFlow,
    /// The handler steps that run before a task ends as failed.
    pub on_failure: Vec<StepIndex>,
    /// The nodes, in the order of the manifest.
    pub steps: Vec<Step>,
    /// Where each name is; derived by [`Workflow::link`].
    pub places: BTreeMap<StepName, StepIndex>,
}

/// Which submissions of a workflow are the same task.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// What is compared.
    pub by: IdentityBy,
    /// How long a second submission counts as the same.
    pub window: Duration,
    /// What a second submission is answered.
    pub on_duplicate: OnDuplicate,
}

/// What makes two submissions the same task.
#[derive(Debug, Clone, PartialEq)]
pub enum IdentityBy {
    /// These fields of the input, as paths such as `customer.id`, are equal; a missing field equals a missing field.
    Fields(Vec<Expression>),
    /// The expression gives the same text.
    Expression(Expression),
    /// Nothing: every submission is a task of its own.
    Guid,
}

/// What a submission is answered whose task exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The task there is.
    Existing,
    /// A refusal that names the task there is.
    Refuse,
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name, unique in the workflow.
    pub name: StepName,
    /// What it does.
    pub kind: StepKind,
    /// When it runs at all; derived by [`Workflow::link`].
    pub role: Role,
    /// Which steps it waits for, without repeats; the switches of its branches included.
    pub depends_on: SmallVec<[StepIndex; 4]>,
    /// Which steps wait for this one; derived.
    pub successors: SmallVec<[StepIndex; 4]>,
    /// How many of them must succeed.
    pub join: Join,
    /// The cases of switches in which it runs; it is skipped unless each of these switches took its case.
    pub branches: SmallVec<[Branch; 1]>,
    /// Whether it runs, decided once its dependencies are over.
    pub when: Option<Expression>,
    /// Runs it once for each item of a list.
    pub for_each: Option<Box<ForEach>>,
    /// The input mapping of a call or child task; absent: the task's input.
    pub input: Option<Template>,
    /// What the manifest itself demands of input, result and errors.
    pub contract: Contract,
    /// When a failed attempt is tried again.
    pub retry: RetryPolicy,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What follows from a failure, by code.
    pub on_error: OnError,
    /// The handler step that undoes this one.
    pub compensate: Option<StepIndex>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// Asks a worker.
    Call(Call),
    /// Runs another workflow.
    Child(Child),
    /// Waits for something from outside.
    Wait(WaitFor),
    /// Lets time pass.
    Sleep(SleepFor),
    /// Asks a person.
    Approval(Box<Approval>),
    /// Chooses a branch.
    Switch(Box<Switch>),
}

/// A request to a system.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Who runs it.
    pub system: SystemName,
    /// What is asked of the system.
    pub capability: CapabilityName,
    /// Which of the system's workers may run it; none: any.
    pub route: Option<Box<Route>>,
    /// What limits its attempts over all tasks.
    pub limits: Option<Box<StepLimits>>,
}

/// Which workers of a system may run a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Only builds whose version fits, such as `>=1.4.0, <2`.
    pub version: Option<crate::version::VersionConstraint>,
    /// Only workers that announced all of these.
    pub labels: BTreeMap<String, String>,
    /// Steps with the same key prefer the same worker.
    pub sticky: Option<Expression>,
}

/// Another workflow as a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Which workflow of the same namespace.
    pub workflow: WorkflowName,
    /// Which version; none: the current one when the step starts.
    pub version: Option<WorkflowVersion>,
    /// Whether nobody waits for it: the step succeeds as soon as the task exists, and cancelling or pausing does not reach it.
    pub detached: bool,
}

/// What a waiting step waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitFor {
    /// Where it comes from.
    pub source: WaitSource,
    /// What it must fit.
    pub payload: Option<Schema>,
}

/// Where the payload of a waiting step comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitSource {
    /// Sent to this task.
    Signal(String),
    /// Sent to whoever waits for this name and key.
    Event {
        /// The event's name.
        name: String,
        /// Gives the key, a text.
        key: Expression,
    },
}

/// How long a sleeping step sleeps.
#[derive(Debug, Clone, PartialEq)]
pub enum SleepFor {
    /// This long.
    Fixed(Duration),
    /// As long as the expression says: a number of seconds or a text such as `30d`.
    For(Expression),
    /// Until the instant that the expression gives: RFC 3339 text.
    Until(Expression),
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// One line.
    pub title: Template,
    /// What they should know.
    pub description: Option<Template>,
    /// What they fill in.
    pub form: Option<Schema>,
    /// Who is asked; templates of texts. Empty: anybody.
    pub assignees: Vec<Template>,
    /// Reminded this often until it is decided.
    pub remind_every: Option<Duration>,
    /// Who else is asked after a while.
    pub escalate: Option<Escalation>,
}

/// Who else is asked to decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Escalation {
    /// After how long.
    pub after: Duration,
    /// Who.
    pub to: Vec<Template>,
}

/// A choice between branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch {
    /// The value looked at.
    pub on: Expression,
    /// The values that are told apart, in the order of the manifest.
    pub cases: Vec<Case>,
    /// Whether there is a default branch; its number is that of the cases.
    pub has_default: bool,
}

/// One value of a switch.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// As it is written, and as the result of the switch names it.
    pub name: String,
    /// What the switched value must equal.
    pub value: Value,
}

impl Switch {
    /// What the result calls the branch that is taken when no case fits.
    pub const DEFAULT: &'static str = "default";

    /// What the result calls a branch: a case's name, or `default`.
    pub fn branch_name(&self, branch: u32) -> &str {
        self.cases.get(branch as usize).map_or(Self::DEFAULT, |case| &case.name)
    }

    /// The branch for a value; none if no case fits and there is no default.
    pub fn branch_of(&self, value: &Value) -> Option<u32> {
        let found = self.cases.iter().position(|case| same_value(&case.value, value));
        found.map(|place| place as u32).or(self.has_default.then_some(self.cases.len() as u32))
    }
}

/// Numbers are equal if they are the same number, however they are written.
fn same_value(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

/// A step's place in a branch of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// The switch.
    pub switch: StepIndex,
    /// The case, by its number; the number of cases stands for the default.
    pub case: u32,
}

/// A list, each item of which is worked on by an attempt of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct ForEach {
    /// Gives the list.
    pub items: Expression,
    /// How many items are at work at once.
    pub max_parallel: Option<u32>,
    /// How many items one request takes together; none: one, not in a list.
    pub batch_size: Option<u32>,
    /// What ends it early.
    pub stop: Stop,
}

impl ForEach {
    /// The most items, or batches, of one fan-out.
    pub const ITEMS_MAX: usize = 10_000;
}

/// What ends a fan-out before all of its items are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The first failed item fails the step.
    OnFailure,
    /// Nothing; failed items leave `null` in the result.
    Never,
    /// So many failed items fail the step; fewer leave `null`.
    Failures(u32),
    /// So many successes are enough; the step fails if there are fewer.
    Successes(u32),
}

/// How many dependencies must succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// All of them.
    #[default]
    All,
    /// All must be over, one must have succeeded.
    Any,
    /// All must be over, however.
    Done,
    /// So many, as soon as they have.
    AtLeast {
        /// How many; 1 is `first`.
        count: u32,
        /// Whether the rest is withdrawn then.
        cancel_others: bool,
    },
}

/// When a step runs at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// When its dependencies let it.
    #[default]
    Forward,
    /// When its owner is to be undone.
    Compensation {
        /// The owner.
        of: StepIndex,
    },
    /// When its owner failed for good.
    Fallback {
        /// The owner.
        of: StepIndex,
    },
    /// Before the task ends as failed.
    OnFailure,
}

/// How long a step may take; absent means no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From ready to an attempt's start, each time the step becomes ready; of waits and approvals: how long they wait.
    pub waiting: Option<Duration>,
    /// From an attempt's start to its reply.
    pub running: Option<Duration>,
    /// From the first time it was ready to its end, retries included.
    pub total: Option<Duration>,
}

impl Workflow {
    /// The most steps in one workflow.
    pub const STEPS_MAX: usize = 10_000;

    /// Fills in every step's successors from the dependencies, and the roles from whoever names a handler.
    pub fn link(&mut self) {
        self.places = self.indexes().map(|index| (self.step(index).name.clone(), index)).collect();
        for step in &mut self.steps {
            step.successors.clear();
            step.role = Role::Forward;
        }
        for place in 0..self.steps.len() {
            let index = StepIndex(place as u32);
            for dependency in self.steps[place].depends_on.clone() {
                self.steps[dependency.at()].successors.push(index);
            }
            if let Some(handler) = self.steps[place].compensate {
                self.steps[handler.at()].role = Role::Compensation { of: index };
            }
            for handler in self.steps[place].on_error.fallbacks().collect::<Vec<_>>() {
                self.steps[handler.at()].role = Role::Fallback { of: index };
            }
        }
        for handler in self.on_failure.clone() {
            self.steps[handler.at()].role = Role::OnFailure;
        }
    }

    /// The node at an index.
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.steps[index.at()]
    }

    /// The index of a name.
    pub fn find(&self, name: &str) -> Option<StepIndex> {
        self.places.get(name).copied()
    }

    /// Every index, in the order of the manifest.
    pub fn indexes(&self) -> impl Iterator<Item = StepIndex> + use<> {
        (0..self.steps.len() as u32).map(StepIndex)
    }

    /// The steps that nothing depends on; handlers are not among them.
    pub fn last_steps(&self) -> impl Iterator<Item = StepIndex> {
        self.indexes().filter(|index| self.step(*index).role == Role::Forward && self.step(*index).successors.is_empty())
    }

    /// Whether any step can be undone.
    pub fn compensates(&self) -> bool {
        self.steps.iter().any(|step| step.compensate.is_some())
    }
}

impl Step {
    /// The request it makes to a system, if it is a call.
    pub fn call(&self) -> Option<&Call> {
        match &self.kind {
            StepKind::Call(call) => Some(call),
            StepKind::Child(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Approval(_) | StepKind::Switch(_) => None,
        }
    }

    /// The system that runs it, if it is a call.
    pub fn system(&self) -> Option<&SystemName> {
        self.call().map(|call| &call.system)
    }

    /// The capability it asks for, if it is a call.
    pub fn capability(&self) -> Option<&CapabilityName> {
        self.call().map(|call| &call.capability)
    }

    /// Whether it is work that somebody does in attempts: a call or a child task.
    pub fn is_work(&self) -> bool {
        match &self.kind {
            StepKind::Call(_) | StepKind::Child(_) => true,
            StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Approval(_) | StepKind::Switch(_) => false,
        }
    }

    /// What follows from a failure with this code.
    pub fn reaction(&self, code: &ErrorCode) -> &Reaction {
        self.on_error.reaction(code)
    }
}

impl StepKind {
    /// The word used in the API and the CLI.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Child(_) => "child",
            Self::Wait(_) => "wait",
            Self::Sleep(_) => "sleep",
            Self::Approval(_) => "approval",
            Self::Switch(_) => "switch",
        }
    }
}

impl Role {
    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Compensation { .. } => "compensation",
            Self::Fallback { .. } => "fallback",
            Self::OnFailure => "on_failure",
        }
    }
}
