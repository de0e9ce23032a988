//! What has certainly happened when a step begins, and when the task succeeds.

use super::facts::Facts;
use super::world::reactions;
use serde_json::Value;
use std::rc::Rc;
use tasker_engine::ids::StepIndex;
use tasker_engine::reaction::Exhausted;
use tasker_engine::workflow::{Join, Role, Step, StepKind, Workflow};

/// A set of steps, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steps(Vec<u64>);

impl Steps {
    fn none(steps: usize) -> Self {
        Self(vec![0; steps.div_ceil(64)])
    }

    fn add(&mut self, step: StepIndex) {
        self.0[step.at() / 64] |= 1 << (step.at() % 64);
    }

    fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine &= theirs);
    }

    pub fn has(&self, step: StepIndex) -> bool {
        self.0[step.at() / 64] & (1 << (step.at() % 64)) != 0
    }
}

/// What is certain, for each step.
pub(crate) struct Certainty {
    /// The steps that have succeeded when a step begins.
    succeeded: Vec<Steps>,
    /// The steps that have succeeded when the task has.
    at_the_end: Steps,
    /// What holds when a step looks at its condition: the branch it is in, and what led to its dependencies.
    before: Vec<Rc<Facts>>,
    /// What holds once its condition was true, and ever after.
    begun: Vec<Rc<Facts>>,
}

/// Chains of handlers (the fallback of a compensation of …) are followed so far; beyond, nothing is certain.
const HANDLERS_MAX: usize = 4;

impl Certainty {
    /// Works out what is certain, in the order of the graph.
    pub fn of(workflow: &Workflow) -> Self {
        let count = workflow.steps.len();
        let nothing = Rc::new(Facts::default());
        let mut certainty = Self {
            succeeded: vec![Steps::none(count); count],
            at_the_end: Steps::none(count),
            before: vec![nothing.clone(); count],
            begun: vec![nothing; count],
        };
        let withdrawers = withdrawers(workflow);
        let mut unhindered = Steps::none(count);
        let mut open: Vec<usize> = workflow.steps.iter().map(|step| step.depends_on.len()).collect();
        let mut ready: Vec<StepIndex> = workflow.indexes().filter(|step| open[step.at()] == 0).collect();
        while let Some(step) = ready.pop() {
            certainty.succeeded[step.at()] = certainty.succeeded_before(workflow, step);
            certainty.learn(workflow, step);
            if succeeds_surely(workflow, step, &unhindered, &withdrawers) {
                unhindered.add(step);
                if withdrawers[step.at()].is_empty() {
                    certainty.at_the_end.add(step);
                }
            }
            for successor in &workflow.step(step).successors {
                open[successor.at()] -= 1;
                if open[successor.at()] == 0 {
                    ready.push(*successor);
                }
            }
        }
        certainty.hand_over(workflow);
        certainty
    }

    /// The steps that have succeeded when this one begins.
    pub fn succeeded(&self, step: StepIndex) -> &Steps {
        &self.succeeded[step.at()]
    }

    /// The steps that have succeeded when the task has.
    pub fn at_the_end(&self) -> &Steps {
        &self.at_the_end
    }

    /// What holds when a step looks at its condition.
    pub fn before(&self, step: StepIndex) -> &Facts {
        &self.before[step.at()]
    }

    /// What holds whenever something of a step is looked at after its condition.
    pub fn begun(&self, step: StepIndex) -> &Facts {
        &self.begun[step.at()]
    }

    /// Handlers know what their owner knew; owners may be handlers themselves.
    fn hand_over(&mut self, workflow: &Workflow) {
        for _ in 0..HANDLERS_MAX {
            for step in workflow.indexes() {
                let (of, with_owner) = match workflow.step(step).role {
                    Role::Compensation { of } => (of, true),
                    Role::Fallback { of } => (of, false),
                    Role::Forward | Role::OnFailure => continue,
                };
                let mut seen = self.succeeded[of.at()].clone();
                if with_owner {
                    seen.add(of);
                }
                self.succeeded[step.at()] = seen;
                self.before[step.at()] = self.begun[of.at()].clone();
                self.begun[step.at()] = after_condition(workflow.step(step), &self.begun[of.at()], &|_| false);
            }
        }
    }

    fn succeeded_before(&self, workflow: &Workflow, step: StepIndex) -> Steps {
        let definition = workflow.step(step);
        let mut seen = Steps::none(workflow.steps.len());
        let with = |dependency: &StepIndex| {
            let mut set = self.succeeded[dependency.at()].clone();
            set.add(*dependency);
            set
        };
        for branch in &definition.branches {
            seen.add_all(&with(&branch.switch));
        }
        let mut dependencies = definition.depends_on.iter();
        if needs_all(definition) {
            dependencies.for_each(|dependency| seen.add_all(&with(dependency)));
        } else if definition.join != Join::Done
            && let Some(first) = dependencies.next()
        {
            // One of them has succeeded, whichever: what all of them have in common is certain.
            let mut common = with(first);
            dependencies.for_each(|dependency| common.keep(&with(dependency)));
            seen.add_all(&common);
        }
        seen
    }

    /// What held for a step that has succeeded holds for whoever needs its success.
    fn learn(&mut self, workflow: &Workflow, step: StepIndex) {
        let definition = workflow.step(step);
        let all = needs_all(definition);
        let led: Vec<StepIndex> = match all {
            true => definition.depends_on.to_vec(),
            false => definition.branches.iter().map(|branch| branch.switch).collect(),
        };
        let mut facts = match led.as_slice() {
            [] => Rc::new(Facts::default()),
            [only] => self.begun[only.at()].clone(),
            [first, others @ ..] => {
                let mut facts = Facts::clone(&self.begun[first.at()]);
                others.iter().for_each(|other| facts.add(&self.begun[other.at()]));
                Rc::new(facts)
            }
        };
        if let [branch] = definition.branches.as_slice()
            && let StepKind::Switch(switch) = &workflow.step(branch.switch).kind
            && let Some(path) = switch.on.path()
        {
            let mut taken = Facts::clone(&facts);
            match switch.cases.get(branch.case as usize) {
                Some(case) => taken.learn_value(path, case.value.clone()),
                None => switch.cases.iter().for_each(|case| taken.exclude(path, case.value.clone())),
            }
            let surely = &self.succeeded[branch.switch.at()];
            taken.keep_lasting(&|name| workflow.find(name).is_some_and(|step| surely.has(step)));
            facts = Rc::new(taken);
        }
        let surely = &self.succeeded[step.at()];
        // All that `all`, `any` and `done` wait for is over, so that what is known of it stays so.
        let waits = !matches!(definition.join, Join::AtLeast { .. });
        let settled =
            |name: &str| workflow.find(name).is_some_and(|other| surely.has(other) || (waits && definition.depends_on.contains(&other)));
        let begun = after_condition(definition, &facts, &settled);
        self.before[step.at()] = facts;
        self.begun[step.at()] = begun;
    }
}

/// The facts with what a step's own condition adds, as far as that stays true.
fn after_condition(step: &Step, facts: &Rc<Facts>, settled: &dyn Fn(&str) -> bool) -> Rc<Facts> {
    let Some(condition) = &step.when else { return facts.clone() };
    let mut begun = Facts::clone(facts);
    match (condition.syntax(), condition.path()) {
        (Some(syntax), _) => begun.learn(syntax, true),
        (None, Some(path)) => begun.learn_value(path, Value::Bool(true)),
        (None, None) => {}
    }
    begun.keep_lasting(settled);
    Rc::new(begun)
}

/// Whether a step goes ahead only if each of its dependencies has succeeded.
fn needs_all(step: &Step) -> bool {
    match step.join {
        Join::All => true,
        Join::AtLeast { count, .. } => count as usize >= step.depends_on.len(),
        Join::Any => step.depends_on.len() == 1,
        Join::Done => false,
    }
}

/// Who may withdraw a step because others were enough.
fn withdrawers(workflow: &Workflow) -> Vec<Vec<StepIndex>> {
    let mut found = vec![Vec::new(); workflow.steps.len()];
    for step in workflow.indexes() {
        let definition = workflow.step(step);
        if matches!(definition.join, Join::AtLeast { cancel_others: true, .. }) {
            definition.depends_on.iter().for_each(|dependency| found[dependency.at()].push(step));
        }
    }
    found
}

/// Whether a task cannot succeed without this step having succeeded, unless somebody withdraws it.
fn succeeds_surely(workflow: &Workflow, step: StepIndex, unhindered: &Steps, withdrawers: &[Vec<StepIndex>]) -> bool {
    let definition = workflow.step(step);
    let goes_on = reactions(definition).any(|how| matches!(how, Exhausted::Continue | Exhausted::Wait));
    // What this step itself withdraws, it withdraws because it goes ahead.
    let counts = |dependency: &StepIndex| unhindered.has(*dependency) && withdrawers[dependency.at()].iter().all(|by| *by == step);
    let met = definition.depends_on.iter().filter(|dependency| counts(dependency)).count();
    let joins = match definition.join {
        Join::All => met == definition.depends_on.len(),
        Join::Any => met > 0 || definition.depends_on.is_empty(),
        Join::Done => true,
        Join::AtLeast { count, .. } => met >= count as usize,
    };
    definition.role == Role::Forward && definition.when.is_none() && definition.branches.is_empty() && !goes_on && joins
}
