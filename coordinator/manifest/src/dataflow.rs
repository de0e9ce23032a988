//! Dependencies that carry no data: said as information, because an order without data is often meant.

use crate::codes;
use crate::report::{Place, Problem, Report};
use crate::typed_parts::Parts;
use crate::yaml::Kind;
use std::collections::HashSet;
use tasker_engine::ids::StepIndex;
use tasker_engine::workflow::Step;

/// Reports steps that declare a result with fields and have dependants, while no expression anywhere reads anything of them.
///
/// Only calls and child tasks that say what their input is count as dependants that should have read it. A call without `input` gets the
/// results of its dependencies beside the task's input; waiting for something after asking for it is an order that means something.
pub(crate) fn check(parts: &Parts<'_>, report: &mut Report<'_>) {
    let workflow = parts.workflow;
    let expressions = parts.slots().flat_map(|(_, slot)| &slot.mapping.expressions);
    let read: HashSet<&str> = expressions.flat_map(|located| located.expression.steps()).map(|step| step.as_str()).collect();
    for place in workflow.indexes() {
        let step = workflow.step(place);
        if !has_fields(step) || read.contains(step.name.as_str()) {
            continue;
        }
        let says = |index: &StepIndex| workflow.step(*index).is_work() && workflow.step(*index).input.is_some();
        if !step.successors.iter().chain(&step.compensate).all(says) {
            continue;
        }
        let Some(dependant) = step.successors.first() else { continue };
        let name = &workflow.step(*dependant).name;
        let message = format!("`{name}` waits for `{}`, but no expression reads what that step finds out", step.name);
        let problem = Problem::new(&codes::NO_DATA, place_of(parts, *dependant, step), message);
        report.add(problem.hint(format!("if the order is not needed, remove the dependency; otherwise read `steps.{}.result`", step.name)));
    }
}

/// Whether a step's result has fields that somebody could read.
fn has_fields(step: &Step) -> bool {
    let result = step.contract.result.as_ref().map(|schema| &schema.source()["properties"]);
    result.and_then(|properties| properties.as_object()).is_some_and(|properties| !properties.is_empty())
}

/// Where a dependant names the dependency.
fn place_of(parts: &Parts<'_>, dependant: StepIndex, step: &Step) -> Place {
    let written = &parts.steps[dependant.at()];
    match written.node.field("depends_on").map(|node| &node.kind) {
        Some(Kind::List(items)) => {
            let found = items.iter().find(|item| matches!(&item.kind, Kind::Text(text) if text == step.name.as_str()));
            found.map_or(written.place, |item| item.place)
        }
        _ => written.place_of("/depends_on"),
    }
}
