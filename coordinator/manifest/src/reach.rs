//! Steps that can never run: a condition that is always false, or dependencies that never succeed in one and the same task.
//!
//! Only what is certain is reported. For each step is known which cases of which switches must have been taken when it runs; a step whose
//! dependencies demand different cases of one switch can never run. Joins other than `all` demand what all their dependencies demand.

use crate::codes;
use crate::report::{Place, Problem, Report};
use crate::typed_parts::Parts;
use serde_json::Value;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::rc::Rc;
use tasker_engine::Workflow;
use tasker_engine::expression::{Expression, Names, Scope};
use tasker_engine::ids::StepIndex;
use tasker_engine::workflow::{Join, Role, StepKind};

/// The most switches followed for one step, and the most cases of a set that is followed: beyond, nothing is said. Keeps the work
/// linear in the dependencies however the switches are nested.
const DEMANDS_MAX: usize = 32;
const CASES_MAX: usize = 16;

/// One switch of which a step demands that one of a few cases was taken.
#[derive(Clone)]
struct Demand {
    switch: StepIndex,
    cases: Rc<[u32]>,
    /// The dependency from which the demand comes; the step itself if it is named in the branch.
    by: StepIndex,
}

/// What a step demands, by switch; none if it can never run.
type Demands = Option<SmallVec<[Demand; 2]>>;

/// Two demands that exclude each other: what was demanded before, and what is demanded now.
struct Conflict(Demand, Demand);

/// Reports steps that can never run. What only depends on such a step is not reported again.
pub(crate) fn check(parts: &Parts<'_>, report: &mut Report<'_>) {
    let workflow = parts.workflow;
    let mut demands: Vec<Demands> = vec![Some(SmallVec::new()); workflow.steps.len()];
    for step in order(workflow) {
        if workflow.step(step).role != Role::Forward {
            continue;
        }
        let written = &parts.steps[step.at()];
        if workflow.step(step).when.as_ref().and_then(constant) == Some(Value::Bool(false)) {
            unreachable(
                workflow,
                step,
                written.key_of("/when"),
                "its `when` is always false",
                "remove the step, or mend its `when`",
                report,
            );
            demands[step.at()] = None;
            continue;
        }
        demands[step.at()] = match reached(workflow, step, &demands) {
            Ok(demands) => demands,
            Err(conflict) => {
                let depends_on = written.key_of("/depends_on");
                let place = if written.node.field("depends_on").is_some() { depends_on } else { written.place };
                explain(workflow, step, &conflict, place, report);
                None
            }
        };
    }
}

/// What a step demands, worked out from what its dependencies demand.
fn reached(workflow: &Workflow, step: StepIndex, demands: &[Demands]) -> Result<Demands, Box<Conflict>> {
    let definition = workflow.step(step);
    let switches: BTreeSet<StepIndex> = definition.branches.iter().map(|branch| branch.switch).collect();
    let mut found: SmallVec<[Demand; 2]> = SmallVec::new();
    let waited: SmallVec<[StepIndex; 4]> = definition.depends_on.iter().copied().filter(|step| !switches.contains(step)).collect();
    match definition.join {
        Join::All => {
            for dependency in waited {
                let Some(inner) = &demands[dependency.at()] else { return Ok(None) };
                inner.iter().try_for_each(|demand| narrow(&mut found, Demand { by: dependency, ..demand.clone() }))?;
            }
        }
        Join::Any | Join::AtLeast { .. } if !waited.is_empty() => match shared(&waited, demands) {
            Some(inner) => inner.into_iter().try_for_each(|demand| narrow(&mut found, demand))?,
            None => return Ok(None),
        },
        Join::Any | Join::AtLeast { .. } | Join::Done => {}
    }
    for switch in switches {
        let Some(inner) = &demands[switch.at()] else { return Ok(None) };
        inner.iter().try_for_each(|demand| narrow(&mut found, Demand { by: switch, ..demand.clone() }))?;
        let cases: BTreeSet<u32> = definition.branches.iter().filter(|branch| branch.switch == switch).map(|branch| branch.case).collect();
        if cases.len() <= CASES_MAX {
            narrow(&mut found, Demand { switch, cases: cases.into_iter().collect(), by: step })?;
        }
    }
    Ok(Some(found))
}

/// Adds a demand; a conflict with one that is there already means that both can never hold.
fn narrow(found: &mut SmallVec<[Demand; 2]>, demand: Demand) -> Result<(), Box<Conflict>> {
    let Some(before) = found.iter_mut().find(|before| before.switch == demand.switch) else {
        if found.len() < DEMANDS_MAX {
            found.push(demand);
        }
        return Ok(());
    };
    if before.cases == demand.cases {
        return Ok(());
    }
    let both: Rc<[u32]> = before.cases.iter().copied().filter(|case| demand.cases.contains(case)).collect();
    if both.is_empty() {
        return Err(Box::new(Conflict(before.clone(), demand)));
    }
    before.cases = both;
    Ok(())
}

/// What is demanded whichever of the dependencies succeeds; none if none of them can.
fn shared(waited: &[StepIndex], demands: &[Demands]) -> Demands {
    let mut reachable = waited.iter().filter_map(|step| demands[step.at()].as_ref().map(|demands| (*step, demands)));
    let (first, inner) = reachable.next()?;
    let mut common: SmallVec<[Demand; 2]> = inner.iter().map(|demand| Demand { by: first, ..demand.clone() }).collect();
    for (_, inner) in reachable {
        common.retain(|demand| {
            let Some(other) = inner.iter().find(|other| other.switch == demand.switch) else { return false };
            let cases: BTreeSet<u32> = demand.cases.iter().chain(other.cases.iter()).copied().collect();
            demand.cases = cases.iter().copied().collect();
            cases.len() <= CASES_MAX
        });
    }
    Some(common)
}

fn explain(workflow: &Workflow, step: StepIndex, conflict: &Conflict, place: Place, report: &mut Report<'_>) {
    let Conflict(before, now) = conflict;
    let name = |step: StepIndex| workflow.step(step).name.as_str();
    let StepKind::Switch(switch) = &workflow.step(now.switch).kind else { return };
    let cases = |demand: &Demand| match demand.cases.as_ref() {
        [] => "no case at all".to_owned(),
        [one] if *one as usize == switch.cases.len() => "the default".to_owned(),
        [one] => format!("case `{}`", switch.branch_name(*one)),
        several => format!("one of {} cases", several.len()),
    };
    let demands = |demand: &Demand| match demand.by {
        by if by == step => format!("it is in {} of `{}` itself", cases(demand), name(demand.switch)),
        by => format!("`{}` runs only in {} of `{}`", name(by), cases(demand), name(demand.switch)),
    };
    let why = format!("{}, and {}", demands(before), demands(now));
    let hint = match before.by == step || now.by == step {
        true => "name it in a case that can be taken together with what it depends on",
        false => "say `join: any` if one of the dependencies is enough, or `join: done` if none is needed",
    };
    unreachable(workflow, step, place, &why, hint, report);
}

fn unreachable(workflow: &Workflow, step: StepIndex, place: Place, why: &str, hint: &str, report: &mut Report<'_>) {
    let message = format!("step `{}` can never run: {why}", workflow.step(step).name);
    report.add(Problem::new(&codes::UNREACHABLE, place, message).hint(hint));
}

/// Every step after all that it depends on; the graph has no circle.
fn order(workflow: &Workflow) -> Vec<StepIndex> {
    let mut open: Vec<usize> = workflow.steps.iter().map(|step| step.depends_on.len()).collect();
    let mut order: Vec<StepIndex> = workflow.indexes().filter(|step| open[step.at()] == 0).collect();
    let mut taken = 0;
    while let Some(step) = order.get(taken).copied() {
        taken += 1;
        for successor in &workflow.step(step).successors {
            open[successor.at()] -= 1;
            if open[successor.at()] == 0 {
                order.push(*successor);
            }
        }
    }
    order
}

/// There is nothing to look at: what has a value here has it always.
struct Nothing;

impl Scope for Nothing {
    fn task_input(&self) -> &Value {
        &Value::Null
    }

    fn step_result(&self, _: &str) -> Option<&Value> {
        None
    }
}

/// The value of an expression that names nothing.
fn constant(expression: &Expression) -> Option<Value> {
    (*expression.names() == Names::default()).then(|| expression.evaluate(&Nothing).ok()).flatten()
}
