//! What a rehearsal runs: one workflow, and those that it may start as children.

use std::collections::BTreeMap;
use std::sync::Arc;
use tasker_engine::workflow::StepKind;
use tasker_engine::{Workflow, WorkflowName, WorkflowVersion};

/// The workflow under test and the workflows it may start.
#[derive(Debug, Clone)]
pub struct Workflows {
    main: Arc<Workflow>,
    others: BTreeMap<WorkflowName, Vec<Arc<Workflow>>>,
}

impl Workflows {
    /// One workflow that may start itself, and nothing else so far.
    pub fn new(main: Arc<Workflow>) -> Self {
        let mut workflows = Self { main: main.clone(), others: BTreeMap::new() };
        workflows.add(main);
        workflows
    }

    /// Adds a workflow that may be started as a child. The one that was added last is the current version of its name.
    pub fn add(&mut self, workflow: Arc<Workflow>) {
        let known = self.others.entry(workflow.name.clone()).or_default();
        known.retain(|other| other.version != workflow.version);
        known.push(workflow);
    }

    /// Whether the workflow under test starts others, so that those beside it are worth reading.
    pub fn starts_children(&self) -> bool {
        self.main.steps.iter().any(|step| matches!(step.kind, StepKind::Child(_)))
    }

    /// The workflow under test.
    pub fn main(&self) -> &Arc<Workflow> {
        &self.main
    }

    /// A workflow by name, and by version if one is asked for.
    pub fn find(&self, name: &WorkflowName, version: Option<&WorkflowVersion>) -> Option<&Arc<Workflow>> {
        let known = self.others.get(name)?;
        match version {
            None => known.last(),
            Some(version) => known.iter().find(|workflow| workflow.version == *version),
        }
    }
}
