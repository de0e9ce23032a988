//! What each place of a manifest asks of the value that is there.

use super::facts::Facts;
use super::infer::{Infer, Issue, never_equal};
use super::world::{Reader, World};
use crate::codes;
use crate::mapping::{Located, Mapping};
use crate::report::{Place, Problem, Report};
use crate::schema::locate;
use crate::slots::{Slot, SlotKind};
use crate::typed_parts::Parts;
use serde_json::Value;
use std::collections::HashSet;
use tasker_engine::StepIndex;
use tasker_engine::expression::Expression;
use tasker_engine::template::{Part, Template};
use tasker_engine::workflow::{ForEach, Role, StepKind, Switch};
use tasker_types::{Kinds, Type, Verdict};

const SHOWN: usize = 160;
const TEXT_OR_LIST: Kinds = Kinds::STRING.with(Kinds::ARRAY);
const TEXT_OR_NUMBER: Kinds = Kinds::STRING.with(Kinds::INTEGER).with(Kinds::NUMBER);

/// Checks every value of a manifest.
pub(super) fn check(world: &World<'_>, parts: &Parts<'_>, report: &mut Report<'_>) {
    let mut doubts = Doubts::default();
    for (step, slot) in parts.slots() {
        Check { world, step, slot, report, doubts: &mut doubts }.run();
    }
    for step in parts.workflow.indexes() {
        input_without_mapping(world, parts, step, &mut doubts, report);
        switch_cases(world, parts, step, report);
        fallbacks(world, parts, step, report);
    }
}

/// What cannot be shown is said once for a step: more would hide what is wrong.
#[derive(Default)]
struct Doubts(HashSet<Option<StepIndex>>);

impl Doubts {
    fn report(&mut self, step: Option<StepIndex>, place: Place, issue: Issue, report: &mut Report<'_>) {
        if !std::ptr::eq(issue.code, &codes::TYPE_UNPROVEN) || self.0.insert(step) {
            report.add(Problem::new(issue.code, place, issue.message).hint(issue.hint));
        }
    }
}

struct Check<'c, 'w, 'r, 's> {
    world: &'c World<'w>,
    step: Option<StepIndex>,
    slot: &'c Slot,
    report: &'r mut Report<'s>,
    doubts: &'r mut Doubts,
}

impl Check<'_, '_, '_, '_> {
    fn run(mut self) {
        let of = self.value();
        match self.slot.kind {
            SlotKind::When => {
                self.demand(&of, Kinds::BOOLEAN, "`when`");
                if let Some(Value::Bool(always)) = of.as_literal() {
                    let message = format!("`when` is always {always}");
                    self.say(Issue { code: &codes::IMPOSSIBLE, message, hint: "remove the step or the condition".into() });
                }
            }
            SlotKind::Items => self.items(&of),
            SlotKind::Input => self.input(&of),
            SlotKind::EventKey | SlotKind::RouteSticky | SlotKind::StepLimitKey | SlotKind::TaskLimitKey => {
                self.demand(&of, TEXT_OR_NUMBER, "the key")
            }
            SlotKind::SleepFor => self.demand(&of, TEXT_OR_NUMBER, "how long to sleep"),
            SlotKind::SleepUntil => self.demand(&of, Kinds::STRING, "`until`"),
            SlotKind::Deadline => self.demand(&of, Kinds::STRING, "`deadline`"),
            SlotKind::IdentityExpression => self.demand(&of, Kinds::STRING, "the identity"),
            SlotKind::Assignee | SlotKind::EscalateTo => self.demand(&of, TEXT_OR_LIST, "a person's name"),
            SlotKind::SwitchOn
            | SlotKind::ApprovalTitle
            | SlotKind::ApprovalDescription
            | SlotKind::TaskResult
            | SlotKind::IdentityField => {}
        }
    }

    /// The type of the value, once what is wrong inside it has been said.
    fn value(&mut self) -> Type {
        let reader = match (self.step, self.slot.kind) {
            (_, SlotKind::Deadline | SlotKind::IdentityExpression | SlotKind::IdentityField | SlotKind::TaskLimitKey) => Reader::Submission,
            (None, _) => Reader::Result,
            (Some(step), kind) => Reader::Step { step, item: kind == SlotKind::Input },
        };
        let facts = self.step.map(|step| facts_of(self.world, step, self.slot.kind).clone()).unwrap_or_default();
        let item = match (self.step, self.slot.kind) {
            (Some(step), SlotKind::Input) => item_type(self.world, step),
            _ => Type::any(),
        };
        let mut walk = Walk { infer: Infer::new(self.world, reader, item), facts, found: Vec::new() };
        // A missing field of an identity counts as equal to a missing field.
        if self.slot.kind == SlotKind::IdentityField {
            return Type::any();
        }
        let of = walk.template(&self.slot.mapping, &self.slot.mapping.template, &mut 0);
        for (place, issue) in walk.found {
            self.doubts.report(self.step, place, issue, self.report);
        }
        of
    }

    fn place(&self) -> Place {
        self.slot.mapping.expressions.first().map_or_else(|| self.slot.node.mark(), |located| located.place)
    }

    fn say(&mut self, issue: Issue) {
        let place = self.place();
        self.doubts.report(self.step, place, issue, self.report);
    }

    fn demand(&mut self, of: &Type, kinds: Kinds, what: &str) {
        let mut infer = Infer::new(self.world, Reader::Submission, Type::any());
        infer.demand(of, kinds, what);
        infer.issues.into_iter().for_each(|issue| self.say(issue));
    }

    fn items(&mut self, of: &Type) {
        self.demand(of, Kinds::ARRAY, "what `for_each` works on");
        if let Some((shortest, _)) = of.list_lengths().filter(|_| !of.is_any())
            && shortest > ForEach::ITEMS_MAX as u64
        {
            let message = format!("the list has at least {shortest} items; at most {} are worked on", ForEach::ITEMS_MAX);
            self.say(Issue { code: &codes::TYPE_MISMATCH, message, hint: "work on batches: `batch_size`".into() });
        }
    }

    /// The mapping against what the capability accepts.
    fn input(&mut self, of: &Type) {
        let Some(step) = self.step else { return };
        let definition = self.world.workflow.step(step);
        let Some(accepted) = definition.contract.input.as_ref().map(|schema| self.world.of_schema(schema)) else { return };
        let who = definition.capability().map_or_else(|| definition.name.to_string(), ToString::to_string);
        let node = &self.slot.node;
        if let Some((path, issue)) = misfit(&accepted, of, &who) {
            self.doubts.report(self.step, locate(node, &path).mark(), issue, self.report);
        }
    }
}

/// What is wrong with a value where a schema is asked for, and where in it; nothing if it fits.
fn misfit(accepted: &Type, of: &Type, who: &str) -> Option<(String, Issue)> {
    let at = |path: &str| if path.is_empty() { String::new() } else { format!(" at {path}") };
    match accepted.admits(of) {
        Verdict::Fits => None,
        Verdict::Breaks { path, expected, found, reason, counterexample } => {
            let message = format!("the input does not fit `{who}`{}: {reason}", at(&path));
            let mut hint = format!("it accepts {expected}; here it may be {found}");
            if let Some(example) = counterexample {
                let example: String = example.to_string().chars().take(SHOWN).collect();
                hint.push_str(&format!("; for example {example} would be refused"));
            }
            Some((path, Issue { code: &codes::INPUT_MISMATCH, message, hint }))
        }
        Verdict::Unproven { path, reason } => {
            let message = format!("that the input fits `{who}`{} cannot be shown: {reason}", at(&path));
            let hint = "declare the schema of what is read; until then it is checked when it runs".to_owned();
            Some((path, Issue { code: &codes::TYPE_UNPROVEN, message, hint }))
        }
    }
}

/// Goes through a template, with the place of each expression in it.
struct Walk<'i, 'w> {
    infer: Infer<'i, 'w>,
    facts: Facts,
    found: Vec<(Place, Issue)>,
}

impl Walk<'_, '_> {
    /// `next` counts the expressions, which the mapping lists in the same order.
    fn template(&mut self, mapping: &Mapping, template: &Template, next: &mut usize) -> Type {
        match template {
            Template::Literal(value) => Type::literal(value),
            Template::Expression(expression) => self.expression(mapping, expression, next),
            Template::Text(parts) => {
                for part in parts {
                    if let Part::Expression(expression) = part {
                        self.expression(mapping, expression, next);
                    }
                }
                Type::string()
            }
            Template::List(items) => {
                let items: Vec<Type> = items.iter().map(|item| self.template(mapping, item, next)).collect();
                Type::tuple(items)
            }
            Template::Object(members) => {
                let members = members.iter().map(|(name, member)| super::world::field(name, self.template(mapping, member, next)));
                let members: Vec<_> = members.collect();
                Type::object(members, true)
            }
        }
    }

    fn expression(&mut self, mapping: &Mapping, expression: &Expression, next: &mut usize) -> Type {
        let located: Option<&Located> = mapping.expressions.get(*next);
        *next += 1;
        let of = self.infer.expression(expression, &self.facts);
        let place = located.map_or_else(Place::default, |located| located.place);
        self.found.extend(self.infer.issues.drain(..).map(|issue| (place, issue)));
        of
    }
}

/// What holds when a value of a step is looked at: its condition holds for all that is read afterwards.
fn facts_of<'w>(world: &'w World<'_>, step: StepIndex, kind: SlotKind) -> &'w Facts {
    match kind {
        SlotKind::When => world.certainty.before(step),
        _ => world.certainty.begun(step),
    }
}

/// The type of an item, or batch, of a step's fan-out.
fn item_type(world: &World<'_>, step: StepIndex) -> Type {
    let Some(for_each) = &world.workflow.step(step).for_each else { return Type::any() };
    // What is wrong with the list is said where it is written.
    let mut infer = Infer::new(world, Reader::Step { step, item: false }, Type::any());
    let facts = facts_of(world, step, SlotKind::Items);
    let list = infer.expression(&for_each.items, facts);
    let element = list.element().filter(|_| !list.is_any()).unwrap_or_else(Type::any);
    match for_each.batch_size {
        None => element,
        Some(size) => Type::list_of(element, 1, Some(u64::from(size))),
    }
}

/// A step without `input` is sent the task's input, or the item.
fn input_without_mapping(world: &World<'_>, parts: &Parts<'_>, step: StepIndex, doubts: &mut Doubts, report: &mut Report<'_>) {
    let definition = world.workflow.step(step);
    if definition.input.is_some() || definition.call().is_none() {
        return;
    }
    let Some(accepted) = definition.contract.input.as_ref().map(|schema| world.of_schema(schema)) else { return };
    let of = if definition.for_each.is_some() { item_type(world, step) } else { world.input.clone() };
    let who = definition.capability().map(ToString::to_string).unwrap_or_default();
    let place = parts.steps[step.at()].place;
    if let Some((_, issue)) = misfit(&accepted, &of, &who) {
        doubts.report(Some(step), place, issue, report);
    }
}

/// Cases that never come, and values for which there is none.
fn switch_cases(world: &World<'_>, parts: &Parts<'_>, step: StepIndex, report: &mut Report<'_>) {
    let StepKind::Switch(switch) = &world.workflow.step(step).kind else { return };
    let mut infer = Infer::new(world, Reader::Step { step, item: false }, Type::any());
    let of = infer.expression(&switch.on, facts_of(world, step, SlotKind::SwitchOn));
    let written = &parts.steps[step.at()];
    for case in &switch.cases {
        if never_equal(&of, &Type::literal(&case.value)) {
            let known = of.values().unwrap_or_default();
            let words: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
            let near = case.value.as_str().and_then(|word| crate::suggest::nearest_name(word, words.iter().copied()));
            let place = written.key_of(&format!("/switch/cases/{}", case.name.replace('~', "~0").replace('/', "~1")));
            let message = format!("the case `{}` never comes: the value is {}", case.name, of.render(SHOWN));
            let problem = Problem::new(&codes::IMPOSSIBLE_CASE, place, message).hint("remove the case, or correct the value");
            report.add(problem.nearest(near));
        }
    }
    exhaustive(switch, &of, written.place_of("/switch/cases"), report);
}

fn exhaustive(switch: &Switch, of: &Type, place: Place, report: &mut Report<'_>) {
    if switch.has_default {
        return;
    }
    let missing: Vec<String> = match of.values() {
        Some(values) => values.iter().filter(|value| switch.branch_of(value).is_none()).map(ToString::to_string).collect(),
        None => {
            let message = format!("the cases do not cover every value: it is {}", of.render(SHOWN));
            report.add(Problem::new(&codes::NOT_EXHAUSTIVE, place, message).hint("add a `default`"));
            return;
        }
    };
    if !missing.is_empty() {
        let message = format!("the cases do not cover {}", missing.join(", "));
        report.add(Problem::new(&codes::NOT_EXHAUSTIVE, place, message).hint("add a case for each, or a `default`"));
    }
}

/// What takes a step's place must be what its dependants expect of it.
fn fallbacks(world: &World<'_>, parts: &Parts<'_>, step: StepIndex, report: &mut Report<'_>) {
    let Role::Fallback { of } = world.workflow.step(step).role else { return };
    let (expected, given) = (world.own_result(of), world.result(step));
    let place = parts.steps[step.at()].place;
    let (owner, name) = (&world.workflow.step(of).name, &world.workflow.step(step).name);
    match expected.admits(given) {
        Verdict::Fits | Verdict::Unproven { .. } => {}
        Verdict::Breaks { reason, .. } => {
            let message = format!("the result of `{name}` takes the place of that of `{owner}`, but has another type: {reason}");
            let hint = format!("dependants of `{owner}` get either; `{owner}` gives {}", expected.render(SHOWN));
            report.add(Problem::new(&codes::FALLBACK_TYPE, place, message).hint(hint));
        }
    }
}
