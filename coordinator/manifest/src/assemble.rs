//! Builds the workflow from a draft without errors.

use crate::check::{DeclaredSystem, Draft, Manifest};
use crate::definition;
use crate::graph::Graph;
use crate::reactions::{How, Reaction as WrittenReaction, Reactions, Then};
use crate::slots::SlotKind;
use crate::steps::{Does, StepDraft};
use std::collections::BTreeMap;
use tasker_engine::ids::{Digest, Namespace, StepIndex};
use tasker_engine::reaction::{Exhausted, OnError, Reaction};
use tasker_engine::workflow::{Branch, Call, Role, Step, StepKind, Workflow};

/// Builds the manifest. `None` only if a part is missing, which then was reported as an error before.
pub(crate) fn assemble(draft: &Draft, namespace: &Namespace) -> Option<Manifest> {
    let systems: Vec<DeclaredSystem> = draft.systems.list.iter().map(|system| system.declared.clone()).collect();
    let steps = (0..draft.steps.len()).map(|place| step(draft, place, &systems)).collect::<Option<Vec<Step>>>()?;
    let result = draft.slots.iter().find(|slot| slot.kind == SlotKind::TaskResult);
    let mut workflow = Workflow {
        namespace: namespace.clone(),
        name: draft.name.clone()?,
        version: draft.version.clone()?,
        digest: Digest([0; 32]),
        input: draft.input.clone(),
        result: result.map(|slot| slot.mapping.template.clone()),
        timeout: draft.timeout,
        deadline: draft.deadline.clone(),
        max_parallel: draft.max_parallel,
        identity: draft.identity.clone(),
        flow: draft.flow.clone(),
        on_failure: draft.handlers.on_failure.iter().map(|place| StepIndex(*place as u32)).collect(),
        steps,
        places: BTreeMap::new(),
    };
    workflow.link();
    workflow.digest = definition::digest(&workflow, draft, &systems);
    let described = draft.steps.iter().filter(|step| !step.description.is_empty());
    let descriptions = described.filter_map(|step| Some((step.name.clone()?, step.description.clone()))).collect();
    Some(Manifest { workflow, systems, description: draft.description.clone(), descriptions })
}

fn step(draft: &Draft, place: usize, systems: &[DeclaredSystem]) -> Option<Step> {
    let (step, graph, handlers) = (&draft.steps[place], &draft.graph, &draft.handlers);
    let branch = |(switch, case, _): &(usize, u32, crate::report::Place)| Branch { switch: StepIndex(*switch as u32), case: *case };
    Some(Step {
        name: step.name.clone()?,
        kind: kind(step, systems)?,
        role: Role::Forward,
        depends_on: graph.depends_on[place].iter().map(|place| StepIndex(*place as u32)).collect(),
        successors: smallvec::SmallVec::new(),
        join: step.join.map(|written| written.join).unwrap_or_default(),
        branches: graph.branches[place].iter().map(branch).collect(),
        when: step.when.clone(),
        for_each: step.for_each.clone().map(Box::new),
        input: step.input.clone(),
        contract: step.contract(&draft.systems).cloned().unwrap_or_default(),
        retry: step.retry.clone(),
        timeouts: step.limits.to_timeouts(),
        on_error: on_error(&step.reactions, graph, handlers.root(place))?,
        compensate: index(step.compensate.as_ref().map(|(name, _)| name.as_str()), graph)?,
    })
}

fn kind(step: &StepDraft, systems: &[DeclaredSystem]) -> Option<StepKind> {
    Some(match step.does.as_ref()? {
        Does::Call(call) => StepKind::Call(Call {
            system: systems.get(call.system?)?.name.clone(),
            capability: call.capability.clone()?,
            route: call.route.clone().map(Box::new),
            limits: call.limits.clone().map(Box::new),
        }),
        Does::Child(child) => StepKind::Child(child.clone()),
        Does::Wait(wait) => StepKind::Wait(wait.clone()),
        Does::Sleep(sleep) => StepKind::Sleep(sleep.how.clone()),
        Does::Approval(asked) => StepKind::Approval(Box::new(asked.approval.clone())),
        Does::Switch(written) => StepKind::Switch(Box::new(written.switch.clone())),
    })
}

/// A name that may be absent, as an index that may be absent; `None` if it is the name of nothing.
fn index(name: Option<&str>, graph: &Graph) -> Option<Option<StepIndex>> {
    match name {
        None => Some(None),
        Some(name) => Some(Some(StepIndex(graph.find(name)? as u32))),
    }
}

/// What is not said follows from the role: an unfinished compensation waits for a person, a message that the task failed does not.
fn on_error(written: &Reactions, graph: &Graph, root: Role) -> Option<OnError> {
    let mut arms = BTreeMap::new();
    for arm in &written.arms {
        arms.insert(arm.code.clone(), reaction(&arm.reaction, graph)?);
    }
    let otherwise = match (&written.default, &written.exhausted) {
        (Some(default), _) => reaction(default, graph)?,
        (None, Some(then)) => Reaction::Give(exhausted(then, graph)?),
        (None, None) => Reaction::Give(match root {
            Role::Forward | Role::Fallback { .. } => Exhausted::Compensate,
            Role::Compensation { .. } => Exhausted::Wait,
            Role::OnFailure => Exhausted::Continue,
        }),
    };
    Some(OnError { arms, otherwise })
}

fn reaction(written: &WrittenReaction, graph: &Graph) -> Option<Reaction> {
    let then = exhausted(&written.then, graph)?;
    Some(match &written.retry {
        Some(retry) => Reaction::Retry { policy: retry.policy.clone().map(Box::new), then },
        None => Reaction::Give(then),
    })
}

fn exhausted(then: &Then, graph: &Graph) -> Option<Exhausted> {
    Some(match &then.how {
        How::Compensate => Exhausted::Compensate,
        How::Fail => Exhausted::Fail,
        How::Continue => Exhausted::Continue,
        How::Wait => Exhausted::Wait,
        How::Fallback(name) => Exhausted::Fallback(StepIndex(graph.find(name)? as u32)),
    })
}
