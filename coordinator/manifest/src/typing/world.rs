//! The type of every name that an expression may use, and whether it is there when a step looks at it.

use super::certainty::Certainty;
use crate::typed_parts::Parts;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use tasker_engine::ids::StepIndex;
use tasker_engine::reaction::{Exhausted, Reaction};
use tasker_engine::workflow::{Join, Role, Step, StepKind, Stop, Workflow};
use tasker_engine::{Digest, Schema};
use tasker_types::{FieldOf, Type};

/// What is known about a manifest's values.
pub(crate) struct World<'w> {
    pub workflow: &'w Workflow,
    pub input: Type,
    /// What each step gives when it succeeds.
    results: Vec<Type>,
    /// What each step asks its owner for, and gives, once: of a fan-out the item's.
    single: Vec<Type>,
    /// What each step gives if none takes its place.
    own: Vec<Type>,
    /// What is certain, and when.
    pub certainty: Certainty,
    /// Schemas that were read, by their digest: many steps ask for the same capability.
    read: RefCell<HashMap<Digest, Rc<Type>>>,
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
        let mut world = Self {
            workflow,
            input: Type::any(),
            results: Vec::new(),
            single: Vec::new(),
            own: Vec::new(),
            certainty: Certainty::of(workflow),
            read: RefCell::default(),
        };
        world.input = world.of_optional(workflow.input.as_ref());
        world.single = workflow.steps.iter().map(|step| world.of_step(step)).collect();
        world.own = workflow.indexes().map(|step| world.fanned_out(step)).collect();
        world.results = world.own.clone();
        world.fall_back();
        world
    }

    /// The type of a schema; each schema is read once.
    pub fn of_schema(&self, schema: &Schema) -> Rc<Type> {
        let mut read = self.read.borrow_mut();
        read.entry(schema.digest()).or_insert_with(|| Rc::new(Type::of_schema(schema.source()))).clone()
    }

    /// What is not said may be anything.
    fn of_optional(&self, schema: Option<&Schema>) -> Type {
        schema.map_or_else(Type::any, |schema| Type::clone(&self.of_schema(schema)))
    }

    /// What a step gives when it succeeds: of a fan-out the list.
    pub fn result(&self, step: StepIndex) -> &Type {
        &self.results[step.at()]
    }

    /// What a reader sees as a step's result. `whole`: the step is known to have succeeded.
    pub fn result_for(&self, reader: Reader, step: StepIndex, whole: bool) -> Type {
        let undone =
            matches!(reader, Reader::Step { step: reader, .. } if self.workflow.step(reader).role == (Role::Compensation { of: step }));
        // A fan-out that failed part-way shows what it got done.
        if self.workflow.step(step).for_each.is_some() && (undone || !whole) {
            let part = Type::list(self.single[step.at()].nullable());
            return Type::union([self.results[step.at()].clone(), part]);
        }
        self.results[step.at()].clone()
    }

    /// Whether a step has certainly succeeded when the reader looks at it.
    pub fn is_certain(&self, reader: Reader, step: StepIndex) -> bool {
        match reader {
            Reader::Step { step: reader, .. } => self.certainty.succeeded(reader).has(step),
            Reader::Result => self.certainty.at_the_end().has(step),
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

    /// What a step gives by itself: of a fan-out a list with a place for each item.
    fn fanned_out(&self, step: StepIndex) -> Type {
        let single = self.single[step.at()].clone();
        let definition = self.workflow.step(step);
        let Some(for_each) = &definition.for_each else { return single };
        // A person may skip an item that waits for one.
        let skipped = reactions(definition).any(|how| how == Exhausted::Wait);
        match for_each.stop {
            Stop::OnFailure if !skipped => Type::list(single),
            Stop::OnFailure | Stop::Never | Stop::Failures(_) | Stop::Successes(_) => Type::list(single.nullable()),
        }
    }

    /// The result of a step that may be replaced is either of both. Chains of fallbacks are short; what goes beyond is any value.
    fn fall_back(&mut self) {
        for _ in 0..4 {
            for step in self.workflow.indexes() {
                let definition = self.workflow.step(step);
                let others: Vec<Type> = definition.on_error.fallbacks().map(|other| self.results[other.at()].clone()).collect();
                if !others.is_empty() {
                    let own = self.own[step.at()].clone();
                    self.results[step.at()] = Type::union(std::iter::once(own).chain(others));
                }
            }
        }
    }

    /// What a step itself gives, without its fallbacks.
    pub fn own_result(&self, step: StepIndex) -> &Type {
        &self.own[step.at()]
    }

    /// What one attempt, wait or choice gives.
    fn of_step(&self, step: &Step) -> Type {
        match &step.kind {
            StepKind::Call(_) => self.of_optional(step.contract.result.as_ref()),
            StepKind::Child(child) if child.detached => Type::object([field("task", Type::string())], true),
            StepKind::Child(_) => self.of_optional(step.contract.result.as_ref()),
            StepKind::Wait(wait) => self.of_optional(wait.payload.as_ref()),
            StepKind::Sleep(_) => Type::null(),
            StepKind::Switch(switch) => {
                let branches = switch.cases.len() as u32 + u32::from(switch.has_default);
                let names: Vec<&str> = (0..branches).map(|branch| switch.branch_name(branch)).collect();
                Type::object([field("case", Type::words(names))], true)
            }
            StepKind::Approval(approval) => {
                // Nobody has to fill in a form in order to say no.
                let form = approval.form.as_ref().map_or_else(Type::null, |form| self.of_optional(Some(form)));
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
}

/// What may follow from a step's failures.
pub(crate) fn reactions(step: &Step) -> impl Iterator<Item = Exhausted> + '_ {
    step.on_error.arms.values().chain([&step.on_error.otherwise]).map(Reaction::exhausted)
}

/// A member that is always there.
pub(crate) fn field(name: &str, part: Type) -> FieldOf {
    FieldOf { name: name.into(), part, required: true }
}
