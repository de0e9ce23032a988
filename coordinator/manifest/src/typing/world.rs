//! The type of every name that an expression may use, and whether it is there when a step looks at it.

use crate::typed_parts::Parts;
use std::collections::HashMap;
use tasker_engine::Schema;
use tasker_engine::ids::StepIndex;
use tasker_engine::reaction::{Exhausted, Reaction};
use tasker_engine::workflow::{Join, Role, Step, StepKind, Stop, Workflow};
use tasker_types::{FieldOf, Type};

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

/// What is known about a manifest's values.
pub(crate) struct World<'w> {
    pub workflow: &'w Workflow,
    pub input: Type,
    /// What each step gives when it succeeds.
    results: Vec<Type>,
    /// What each step asks its owner for, and gives, once: of a fan-out the item's.
    single: Vec<Type>,
    /// The steps that have certainly succeeded when a step begins.
    certain: Vec<Steps>,
    /// The steps that have certainly succeeded when the task does.
    at_the_end: Steps,
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// An expression of a step; with `item`, of one item of its fan-out.
    Step { step: StepIndex, item: bool },
    /// The workflow's result.
    Result,
    /// What is looked at before there is a task.
    Submission,
}

impl<'w> World<'w> {
    pub fn of(parts: &Parts<'w>) -> Self {
        let workflow = parts.workflow;
        let mut read: HashMap<tasker_engine::Digest, Type> = HashMap::new();
        let mut of_schema = |schema: Option<&Schema>| match schema {
            None => Type::any(),
            Some(schema) => read.entry(schema.digest()).or_insert_with(|| Type::of_schema(schema.source())).clone(),
        };
        let input = of_schema(workflow.input.as_ref());
        let single: Vec<Type> = workflow.steps.iter().map(|step| of_step(step, &mut of_schema)).collect();
        let mut world =
            Self { workflow, input, results: single.clone(), single, certain: Vec::new(), at_the_end: Steps::none(workflow.steps.len()) };
        world.fan_out();
        world.fall_back();
        world.order();
        world
    }

    /// What a step gives when it succeeds: of a fan-out the list.
    pub fn result(&self, step: StepIndex) -> &Type {
        &self.results[step.at()]
    }

    /// What a reader sees as a step's result.
    pub fn result_for(&self, reader: Reader, step: StepIndex) -> Type {
        // What is undone may be a fan-out that got only part of its items done.
        if let Reader::Step { step: reader, .. } = reader
            && self.workflow.step(reader).role == (Role::Compensation { of: step })
            && self.workflow.step(step).for_each.is_some()
        {
            return Type::list(self.single[step.at()].nullable());
        }
        self.results[step.at()].clone()
    }

    /// Whether a step has certainly succeeded when the reader looks at it.
    pub fn is_certain(&self, reader: Reader, step: StepIndex) -> bool {
        match reader {
            Reader::Step { step: reader, .. } => self.certain[reader.at()].has(step),
            Reader::Result => self.at_the_end.has(step),
            Reader::Submission => false,
        }
    }

    /// Why a step may have no result when the reader looks at it, in words that end a sentence.
    pub fn why_missing(&self, reader: Reader, step: StepIndex) -> String {
        let name = &self.workflow.step(step).name;
        let definition = self.workflow.step(step);
        let skippable = definition.when.is_some() || !definition.branches.is_empty();
        let reader_step = match reader {
            Reader::Step { step, .. } => Some(self.workflow.step(step)),
            Reader::Result | Reader::Submission => None,
        };
        match reader_step {
            Some(step) if step.role == Role::OnFailure => "`on_failure` steps run whatever was done before".into(),
            Some(step) if step.join != Join::All && step.depends_on.len() > 1 => {
                format!("the `join` of `{}` goes ahead without it", step.name)
            }
            _ if definition.when.is_some() => format!("`{name}` is skipped when its `when` is false"),
            _ if skippable => format!("`{name}` is skipped when its switch takes another branch"),
            _ if reactions(definition).any(|how| how == Exhausted::Continue) => {
                format!("the task goes on when `{name}` fails (`continue`)")
            }
            _ if reactions(definition).any(|how| how == Exhausted::Wait) => format!("a person may skip `{name}`"),
            _ => format!("`{name}` does not have to succeed for this"),
        }
    }

    fn fan_out(&mut self) {
        for step in self.workflow.indexes() {
            let Some(for_each) = &self.workflow.step(step).for_each else { continue };
            let single = self.single[step.at()].clone();
            // A person may skip an item that waits for one.
            let skipped = reactions(self.workflow.step(step)).any(|how| how == Exhausted::Wait);
            let element = match for_each.stop {
                Stop::OnFailure if !skipped => single,
                Stop::OnFailure | Stop::Never | Stop::Failures(_) | Stop::Successes(_) => single.nullable(),
            };
            self.results[step.at()] = Type::list(element);
        }
    }

    /// The result of a step that may be replaced is either of both. Chains of fallbacks are short; what goes beyond is any value.
    fn fall_back(&mut self) {
        for _ in 0..4 {
            for step in self.workflow.indexes() {
                let definition = self.workflow.step(step);
                let others: Vec<Type> = definition.on_error.fallbacks().map(|other| self.results[other.at()].clone()).collect();
                if !others.is_empty() {
                    let own = self.own_result(step);
                    self.results[step.at()] = Type::union(std::iter::once(own).chain(others));
                }
            }
        }
    }

    /// What a step itself gives, without its fallbacks.
    pub fn own_result(&self, step: StepIndex) -> Type {
        let definition = self.workflow.step(step);
        match &definition.for_each {
            None => self.single[step.at()].clone(),
            Some(for_each) if for_each.stop == Stop::OnFailure => Type::list(self.single[step.at()].clone()),
            Some(_) => Type::list(self.single[step.at()].nullable()),
        }
    }

    /// Works out what is certain, in the order of the graph.
    fn order(&mut self) {
        let workflow = self.workflow;
        let count = workflow.steps.len();
        self.certain = vec![Steps::none(count); count];
        let mut sure = Steps::none(count);
        let mut open: Vec<usize> = workflow.steps.iter().map(|step| step.depends_on.len()).collect();
        let mut ready: Vec<StepIndex> = workflow.indexes().filter(|step| open[step.at()] == 0).collect();
        while let Some(step) = ready.pop() {
            self.certain[step.at()] = self.certain_for(step);
            if self.succeeds_surely(step, &sure) {
                sure.add(step);
            }
            for successor in &workflow.step(step).successors {
                open[successor.at()] -= 1;
                if open[successor.at()] == 0 {
                    ready.push(*successor);
                }
            }
        }
        // Handlers see what their owner saw; owners may be handlers themselves, in short chains.
        for _ in 0..4 {
            for step in workflow.indexes() {
                let (of, with_owner) = match workflow.step(step).role {
                    Role::Compensation { of } => (of, true),
                    Role::Fallback { of } => (of, false),
                    Role::Forward | Role::OnFailure => continue,
                };
                let mut seen = self.certain[of.at()].clone();
                if with_owner {
                    seen.add(of);
                }
                self.certain[step.at()] = seen;
            }
        }
        for step in workflow.steps.iter().filter(|step| matches!(step.join, Join::AtLeast { cancel_others: true, .. })) {
            for other in &step.depends_on {
                sure.0[other.at() / 64] &= !(1 << (other.at() % 64));
            }
        }
        self.at_the_end = sure;
    }

    /// The steps that have succeeded whenever this forward step begins.
    fn certain_for(&self, step: StepIndex) -> Steps {
        let definition = self.workflow.step(step);
        let mut seen = Steps::none(self.workflow.steps.len());
        let with = |dependency: &StepIndex| {
            let mut set = self.certain[dependency.at()].clone();
            set.add(*dependency);
            set
        };
        for branch in &definition.branches {
            seen.add_all(&with(&branch.switch));
        }
        let mut dependencies = definition.depends_on.iter();
        let all = match definition.join {
            Join::All => true,
            Join::AtLeast { count, .. } => count as usize >= definition.depends_on.len(),
            Join::Any => definition.depends_on.len() == 1,
            Join::Done => return seen,
        };
        if all {
            dependencies.for_each(|dependency| seen.add_all(&with(dependency)));
        } else if let Some(first) = dependencies.next() {
            // One of them has succeeded, whichever: what all of them have in common is certain.
            let mut common = with(first);
            dependencies.for_each(|dependency| common.keep(&with(dependency)));
            seen.add_all(&common);
        }
        seen
    }

    /// Whether a task cannot succeed without this step having succeeded.
    fn succeeds_surely(&self, step: StepIndex, sure: &Steps) -> bool {
        let definition = self.workflow.step(step);
        let goes_on = reactions(definition).any(|how| matches!(how, Exhausted::Continue | Exhausted::Wait));
        let met = definition.depends_on.iter().filter(|dependency| sure.has(**dependency)).count();
        let joins = match definition.join {
            Join::All => met == definition.depends_on.len(),
            Join::Any => met > 0 || definition.depends_on.is_empty(),
            Join::Done => true,
            Join::AtLeast { count, .. } => met >= count as usize,
        };
        definition.role == Role::Forward && definition.when.is_none() && definition.branches.is_empty() && !goes_on && joins
    }
}

/// What may follow from a step's failures.
pub(crate) fn reactions(step: &Step) -> impl Iterator<Item = Exhausted> + '_ {
    step.on_error.arms.values().chain([&step.on_error.otherwise]).map(Reaction::exhausted)
}

/// What one attempt, wait or choice gives.
fn of_step(step: &Step, of_schema: &mut impl FnMut(Option<&Schema>) -> Type) -> Type {
    match &step.kind {
        StepKind::Call(_) => of_schema(step.contract.result.as_ref()),
        StepKind::Child(child) if child.detached => Type::object([field("task", Type::string())], true),
        StepKind::Child(_) => of_schema(step.contract.result.as_ref()),
        StepKind::Wait(wait) => of_schema(wait.payload.as_ref()),
        StepKind::Sleep(_) => Type::null(),
        StepKind::Switch(switch) => {
            let branches = switch.cases.len() as u32 + u32::from(switch.has_default);
            let names: Vec<&str> = (0..branches).map(|branch| switch.branch_name(branch)).collect();
            Type::object([field("case", Type::words(names))], true)
        }
        StepKind::Approval(approval) => {
            // Nobody has to fill in a form in order to say no.
            let form = approval.form.as_ref().map_or_else(Type::null, |form| of_schema(Some(form)));
            let common = |decision: &str, form: Type| {
                let fields = [
                    field("decision", Type::words([decision])),
                    field("by", Type::string()),
                    field("role", Type::string().nullable()),
                    field("comment", Type::string().nullable()),
                    field("form", form),
                ];
                Type::object(fields, true)
            };
            Type::union([common("approved", form.clone()), common("rejected", form.nullable())])
        }
    }
}

/// A member that is always there.
pub(crate) fn field(name: &str, part: Type) -> FieldOf {
    FieldOf { name: name.into(), part, required: true }
}
