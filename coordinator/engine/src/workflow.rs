//! A checked manifest: what the engine runs.

use crate::contract::{Contract, Schema};
use crate::ids::{CapabilityName, Digest, Namespace, StepIndex, StepName, SystemName, WorkflowName, WorkflowVersion};
use crate::retry::RetryPolicy;
use crate::template::Template;
use smallvec::SmallVec;
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
    /// How long a task may take from acceptance.
    pub timeout: Option<Duration>,
    /// The nodes, in the order of the manifest.
    pub steps: Vec<Step>,
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name, unique in the workflow.
    pub name: StepName,
    /// Who runs it.
    pub system: SystemName,
    /// What is asked of the system.
    pub capability: CapabilityName,
    /// Which steps must succeed first, without repeats.
    pub depends_on: SmallVec<[StepIndex; 4]>,
    /// Which steps wait for this one; derived.
    pub successors: SmallVec<[StepIndex; 4]>,
    /// The input mapping; absent: the task's input.
    pub input: Option<Template>,
    /// What the manifest itself demands of input, result and errors.
    pub contract: Contract,
    /// When a failed attempt is tried again.
    pub retry: RetryPolicy,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// How long a step may take; absent means no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From ready to an attempt's start, each time the step becomes ready.
    pub waiting: Option<Duration>,
    /// From an attempt's start to its reply.
    pub running: Option<Duration>,
    /// From the first time it was ready to its end, retries included.
    pub total: Option<Duration>,
}

impl Workflow {
    /// The most steps in one workflow.
    pub const STEPS_MAX: usize = 10_000;

    /// Fills in every step's successors from the dependencies.
    pub fn link(&mut self) {
        for step in &mut self.steps {
            step.successors.clear();
        }
        for place in 0..self.steps.len() {
            for dependency in self.steps[place].depends_on.clone() {
                self.steps[dependency.at()].successors.push(StepIndex(place as u32));
            }
        }
    }

    /// The node at an index.
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.steps[index.at()]
    }

    /// The index of a name.
    pub fn find(&self, name: &str) -> Option<StepIndex> {
        self.steps.iter().position(|step| step.name.as_str() == name).map(|place| StepIndex(place as u32))
    }

    /// Every index, in the order of the manifest.
    pub fn indexes(&self) -> impl Iterator<Item = StepIndex> + use<> {
        (0..self.steps.len() as u32).map(StepIndex)
    }

    /// The steps that nothing depends on.
    pub fn last_steps(&self) -> impl Iterator<Item = StepIndex> {
        self.indexes().filter(|index| self.step(*index).successors.is_empty())
    }
}
