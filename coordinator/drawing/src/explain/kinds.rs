//! What a step does.

use super::{listed, names};
use crate::words::written;
use std::collections::BTreeMap;
use tasker_engine::StepIndex;
use tasker_engine::duration::format;
use tasker_engine::workflow::{ForEach, SleepFor, Step, StepKind, Stop, Switch, WaitSource, Workflow};

/// The verb of the step's first sentence and all that belongs to it.
pub(super) fn does(definition: &Step) -> String {
    let each = definition.for_each.as_deref().map(for_each).unwrap_or_default();
    match &definition.kind {
        StepKind::Call(call) => format!("asks `{}` for `{}`{each}", call.system, call.capability),
        StepKind::Child(child) => {
            let version = child.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            let wait = if child.detached { " without waiting for it" } else { " and takes its result" };
            format!("runs the workflow `{}`{version} as a child task{wait}{each}", child.workflow)
        }
        StepKind::Wait(wait) => match &wait.source {
            WaitSource::Signal(name) => format!("waits for the signal `{name}`"),
            WaitSource::Event { name, key } => format!("waits for the event `{name}` with the key `{}`", key.source()),
        },
        StepKind::Sleep(SleepFor::Fixed(length)) => format!("lets {} pass", format(*length)),
        StepKind::Sleep(SleepFor::For(expression)) => format!("lets as much time pass as `{}` says", expression.source()),
        StepKind::Sleep(SleepFor::Until(expression)) => format!("waits until the instant that `{}` gives", expression.source()),
        StepKind::Approval(approval) => {
            let people: Vec<String> = approval.assignees.iter().map(|name| format!("`{}`", written(name))).collect();
            let people = if people.is_empty() { "somebody".to_owned() } else { listed(&people, "or") };
            format!("asks {people} to decide “{}”", written(&approval.title))
        }
        StepKind::Switch(switch) => format!("looks at `{}`", switch.on.source()),
    }
}

/// Sentences that only some kinds have.
pub(super) fn details(definition: &Step) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(fan) = &definition.for_each {
        sentences.push(stops(fan));
    }
    match &definition.kind {
        StepKind::Approval(approval) => {
            if let Some(every) = approval.remind_every {
                sentences.push(format!("They are reminded every {}.", format(every)));
            }
            if let Some(escalation) = &approval.escalate {
                let to: Vec<String> = escalation.to.iter().map(|name| format!("`{}`", written(name))).collect();
                sentences.push(format!("After {} {} may decide as well.", format(escalation.after), listed(&to, "and")));
            }
        }
        StepKind::Call(call) => {
            if let Some(route) = &call.route {
                let mut wishes: Vec<String> = route.labels.iter().map(|(name, value)| format!("labelled `{name}: {value}`")).collect();
                wishes.extend(route.version.as_ref().map(|version| format!("of version `{version}`")));
                if !wishes.is_empty() {
                    sentences.push(format!("Only workers {} take it.", listed(&wishes, "and")));
                }
                if let Some(sticky) = &route.sticky {
                    sentences.push(format!("Steps with the same `{}` prefer the same worker.", sticky.source()));
                }
            }
        }
        StepKind::Child(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Switch(_) => {}
    }
    sentences
}

/// Where each case of a switch leads.
pub(super) fn branches(workflow: &Workflow, step: StepIndex, switch: &Switch) -> String {
    let mut steps: BTreeMap<u32, Vec<StepIndex>> = BTreeMap::new();
    for successor in &workflow.step(step).successors {
        for branch in workflow.step(*successor).branches.iter().filter(|branch| branch.switch == step) {
            steps.entry(branch.case).or_default().push(*successor);
        }
    }
    let count = switch.cases.len() as u32 + u32::from(switch.has_default);
    let ways: Vec<String> = (0..count)
        .map(|case| {
            let value =
                if case as usize == switch.cases.len() { "anything else".to_owned() } else { format!("`{}`", switch.branch_name(case)) };
            match steps.get(&case) {
                Some(steps) => format!("for {value} with {}", listed(&names(workflow, steps), "and")),
                None => format!("for {value} with nothing"),
            }
        })
        .collect();
    format!("It goes on {}.", ways.join(", "))
}

fn for_each(fan: &ForEach) -> String {
    let mut text = match fan.batch_size {
        None => format!(" for each item of `{}`", fan.items.source()),
        Some(size) => format!(" for every {size} items of `{}`", fan.items.source()),
    };
    if let Some(most) = fan.max_parallel {
        text.push_str(&format!(", at most {most} at once"));
    }
    text
}

fn stops(fan: &ForEach) -> String {
    match fan.stop {
        Stop::OnFailure => "The first item that fails fails the step.".to_owned(),
        Stop::Never => "All items are tried; the result of one that failed is `null`.".to_owned(),
        Stop::Failures(most) => format!("It fails when {most} items have failed; the result of a failed item is `null`."),
        Stop::Successes(enough) => format!("It is done when {enough} items have succeeded, and the rest is withdrawn."),
    }
}
