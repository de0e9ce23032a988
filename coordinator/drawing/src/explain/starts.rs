//! When a step begins.

use super::{listed, names};
use crate::words;
use tasker_engine::StepIndex;
use tasker_engine::workflow::{Join, Role, StepKind, Workflow};

/// The clause that says when a step begins; begins with a space.
pub(super) fn clause(workflow: &Workflow, step: StepIndex) -> String {
    let definition = workflow.step(step);
    match definition.role {
        Role::Forward => {}
        Role::Compensation { of } => return format!(" in order to undo `{}`, if it had succeeded", workflow.step(of).name),
        Role::Fallback { of } => return format!(" in the place of `{}`", workflow.step(of).name),
        Role::OnFailure => return " before the task ends as failed".to_owned(),
    }
    let mut text = joined(workflow, step);
    for (switch, cases) in branches(workflow, step) {
        text.push_str(&format!(", if `{switch}` takes {}", listed(&cases, "or")));
    }
    if let Some(when) = &definition.when {
        text.push_str(&format!(", provided that `{}`; otherwise it is skipped", when.source()));
    }
    text
}

/// The switches that a step belongs to, with the cases in which it runs.
fn branches(workflow: &Workflow, step: StepIndex) -> Vec<(String, Vec<String>)> {
    let definition = workflow.step(step);
    let dependencies = definition.depends_on.iter();
    let switches = dependencies.filter_map(|at| match &workflow.step(*at).kind {
        StepKind::Switch(switch) => {
            let cases: Vec<String> = words::cases(workflow, switch, *at, step).into_iter().map(|case| format!("`{case}`")).collect();
            (!cases.is_empty()).then(|| (workflow.step(*at).name.to_string(), cases))
        }
        StepKind::Call(_) | StepKind::Child(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Approval(_) => None,
    });
    switches.collect()
}

fn joined(workflow: &Workflow, step: StepIndex) -> String {
    let definition = workflow.step(step);
    let own = |at: &&StepIndex| !definition.branches.iter().any(|branch| branch.switch == **at);
    let steps = names(workflow, definition.depends_on.iter().filter(own));
    if steps.is_empty() {
        return if definition.depends_on.is_empty() { " at the start".to_owned() } else { String::new() };
    }
    let (all, each) = (listed(&steps, "and"), listed(&steps, "or"));
    let one = steps.len() == 1;
    match definition.join {
        Join::All if one => format!(" once {all} has succeeded"),
        Join::All => format!(" once {all} have succeeded"),
        Join::Any if one => format!(" once {all} has succeeded"),
        Join::Any => format!(" once {all} are over and at least one of them has succeeded"),
        Join::Done if one => format!(" once {all} is over, however it ended"),
        Join::Done => format!(" once {all} are over, however they ended"),
        Join::AtLeast { count: 1, cancel_others } => format!(" as soon as {each} has succeeded{}", others(cancel_others)),
        Join::AtLeast { count, cancel_others } => format!(" as soon as {count} of {all} have succeeded{}", others(cancel_others)),
    }
}

fn others(withdrawn: bool) -> &'static str {
    if withdrawn { " (the others are then withdrawn)" } else { " (the others go on)" }
}
