//! Applied workflows: every version by name, and by the digest that tasks are pinned to.

use super::flow::DeclaredFlow;
use super::pauses::Pauses;
use crate::operations::AppliedWorkflow;
use crate::port::store::WorkflowRow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tasker_engine::{Digest, Namespace, StepIndex, Workflow, WorkflowName};
use tasker_scheduler::gates::{RuleId, RuleName};
use tasker_scheduler::route::{RouteKey, Rule};
use tasker_scheduler::{FlowId, Lane, LaneId, Scheduler, Target};

/// One applied version.
#[derive(Clone)]
pub(super) struct Entry {
    pub workflow: Arc<Workflow>,
    /// By step of the workflow; none for those that ask no system.
    pub lanes: Arc<Lanes>,
    pub description: String,
    pub row: Arc<WorkflowRow>,
    /// What its manifest declares about breakers and canaries.
    pub flow: Arc<DeclaredFlow>,
}

/// Where a workflow's steps wait.
#[derive(Debug)]
pub(super) struct Lanes {
    /// The workflow, which has its share in every lane.
    pub flow: FlowId,
    /// By step of the workflow; none for those that ask no system.
    steps: Vec<Option<LaneId>>,
    /// By step: the rules of its own limits, how many at once and how fast. Empty if no step has any.
    rules: Vec<[Option<RuleId>; 2]>,
}

impl Lanes {
    /// The lane of a step of the workflow.
    pub fn of(&self, step: StepIndex) -> Option<LaneId> {
        self.steps.get(step.at()).copied().flatten()
    }

    /// The rules of a step of the workflow.
    pub fn rules(&self, step: StepIndex) -> [Option<RuleId>; 2] {
        self.rules.get(step.at()).copied().unwrap_or_default()
    }

    /// Every lane, once for each step.
    pub fn all(&self) -> impl Iterator<Item = LaneId> {
        self.steps.iter().copied().flatten()
    }
}

/// Every applied workflow.
#[derive(Default)]
pub(super) struct Catalog {
    /// Versions of a name, in the order in which they were applied; the last is current.
    by_name: BTreeMap<(Namespace, WorkflowName), Vec<Entry>>,
    by_digest: HashMap<(Namespace, Digest), Entry>,
}

impl Catalog {
    pub fn insert(
        &mut self,
        workflow: Workflow,
        description: String,
        flow: DeclaredFlow,
        row: WorkflowRow,
        scheduler: &mut Scheduler,
    ) -> Entry {
        let lanes = workflow.steps.iter().map(|step| {
            let call = step.call()?;
            let (system, capability) = (call.system.clone(), call.capability.clone());
            let target = Target { namespace: workflow.namespace.clone(), system, capability };
            let rule = call.route.as_ref().and_then(|route| Rule::new(route.version.clone(), route.labels.clone()));
            let route = rule.map(|rule| RouteKey { rule: Some(Arc::new(rule)), ..RouteKey::default() });
            Some(scheduler.lane(&Lane { target, route }))
        });
        let steps: Vec<Option<LaneId>> = lanes.collect();
        let own = scheduler.flow(&workflow.namespace, &workflow.name);
        let (lanes, flow) = (Arc::new(Lanes { flow: own, steps, rules: rules(&workflow, scheduler) }), Arc::new(flow));
        let entry = Entry { lanes, workflow: Arc::new(workflow), description, row: Arc::new(row), flow };
        let name = (entry.workflow.namespace.clone(), entry.workflow.name.clone());
        let versions = self.by_name.entry(name).or_default();
        versions.retain(|known| known.workflow.version != entry.workflow.version);
        versions.push(entry.clone());
        self.by_digest.insert((entry.workflow.namespace.clone(), entry.workflow.digest), entry.clone());
        entry
    }

    pub fn current(&self, namespace: &Namespace, name: &WorkflowName) -> Option<&Entry> {
        self.by_name.get(&(namespace.clone(), name.clone()))?.last()
    }

    pub fn version(&self, namespace: &Namespace, name: &WorkflowName, version: &str) -> Option<&Entry> {
        let versions = self.by_name.get(&(namespace.clone(), name.clone()))?;
        versions.iter().find(|entry| entry.workflow.version.as_str() == version)
    }

    pub fn pinned(&self, namespace: &Namespace, digest: Digest) -> Option<&Entry> {
        self.by_digest.get(&(namespace.clone(), digest))
    }

    /// Every applied version of every namespace.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Workflow>> {
        self.by_digest.values().map(|entry| &entry.workflow)
    }

    /// How many versions are applied; they are never taken away.
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    pub fn names(&self, namespace: &Namespace) -> impl Iterator<Item = &WorkflowName> {
        self.by_name.keys().filter(move |(tenant, _)| tenant == namespace).map(|(_, name)| name)
    }

    /// Every version of every workflow of a namespace.
    pub fn of_namespace(&self, namespace: &Namespace) -> impl Iterator<Item = &Entry> {
        self.by_name.iter().filter(move |((tenant, _), _)| tenant == namespace).flat_map(|(_, versions)| versions)
    }

    /// The current version of every workflow of a namespace.
    pub fn currents(&self, namespace: &Namespace) -> impl Iterator<Item = &Entry> {
        let of_namespace = self.by_name.iter().filter(move |((tenant, _), _)| tenant == namespace);
        of_namespace.filter_map(|(_, versions)| versions.last())
    }

    /// What the current versions of a namespace declare about breakers and canaries, the version that was applied last at the end.
    pub fn flows(&self, namespace: &Namespace) -> Vec<Arc<DeclaredFlow>> {
        let of_namespace = self.by_name.iter().filter(|((tenant, _), _)| tenant == namespace);
        let mut current: Vec<&Entry> = of_namespace.filter_map(|(_, versions)| versions.last()).collect();
        current.sort_by_key(|entry| entry.row.applied_at);
        current.into_iter().map(|entry| entry.flow.clone()).collect()
    }

    pub fn views(&self, namespace: &Namespace, pauses: &Pauses) -> Vec<AppliedWorkflow> {
        let of_namespace = self.by_name.iter().filter(|((tenant, _), _)| tenant == namespace);
        of_namespace
            .flat_map(|(_, versions)| {
                let newest = versions.len().saturating_sub(1);
                versions.iter().enumerate().map(move |(place, entry)| AppliedWorkflow {
                    workflow: entry.workflow.clone(),
                    description: entry.description.clone(),
                    source: Arc::from(entry.row.source.as_str()),
                    applied_at: entry.row.applied_at,
                    current: place == newest,
                    pause: pauses.of(namespace, &entry.workflow.name).cloned(),
                })
            })
            .collect()
    }

    /// Every lane a workflow of any namespace speaks of.
    pub fn lanes(&self) -> impl Iterator<Item = LaneId> {
        self.by_digest.values().flat_map(|entry| entry.lanes.all())
    }
}

/// The rules of each step's own limits.
fn rules(workflow: &Workflow, scheduler: &mut Scheduler) -> Vec<[Option<RuleId>; 2]> {
    if workflow.steps.iter().all(|step| step.call().is_none_or(|call| call.limits.is_none())) {
        return Vec::new();
    }
    let rules = workflow.steps.iter().map(|step| {
        let limits = step.call().and_then(|call| call.limits.as_deref());
        let mut rule = |is_rate: bool| {
            let (namespace, workflow, step) = (workflow.namespace.clone(), workflow.name.clone(), step.name.clone());
            scheduler.rule(&RuleName { namespace, workflow, step, is_rate })
        };
        let at_once = limits.and_then(|limits| limits.concurrency.as_ref()).map(|_| rule(false));
        [at_once, limits.and_then(|limits| limits.rate.as_ref()).map(|_| rule(true))]
    });
    rules.collect()
}
