//! Reads `workflow_steps:`.

use crate::approval::{self, Asked};
use crate::call::{self, Call};
use crate::codes;
use crate::fields::{Fields, name, names, short, text, wrong_type};
use crate::for_each;
use crate::input;
use crate::join;
use crate::kind::{self, Kind};
use crate::mapping::Mappings;
use crate::reactions::Reactions;
use crate::report::{Place, Problem, Report};
use crate::retry;
use crate::schema::Schemas;
use crate::sleep::{self, Sleep};
use crate::slots::{Slot, SlotKind, Slots};
use crate::switch;
use crate::systems::Systems;
use crate::timeouts::{self, Limits};
use crate::wait_for;
use crate::yaml::{self, Node};
use std::rc::Rc;
use tasker_engine::expression::Expression;
use tasker_engine::retry::RetryPolicy;
use tasker_engine::template::Template;
use tasker_engine::workflow::{Child, ForEach, WaitFor};
use tasker_engine::{Contract, StepName, Workflow};

/// One step as far as it could be read.
pub(crate) struct StepDraft {
    /// As it was written.
    pub node: Rc<Node>,
    /// Absent if it was refused.
    pub name: Option<StepName>,
    /// Its name's place.
    pub place: Place,
    pub description: String,
    /// Absent if there is none, or several.
    pub kind: Option<Kind>,
    /// What the kind consists of; absent if it was refused.
    pub does: Option<Does>,
    /// As written, with places.
    pub depends_on: Vec<(String, Place)>,
    /// The key `depends_on`, if it is given.
    pub depends_on_place: Option<Place>,
    pub join: Option<join::Written>,
    pub when: Option<Expression>,
    pub for_each: Option<ForEach>,
    /// Whether `for_each` is given, also if it was refused.
    pub fans_out: bool,
    pub input: Option<Template>,
    pub retry: RetryPolicy,
    pub limits: Limits,
    pub reactions: Reactions,
    /// The handler that undoes the step.
    pub compensate: Option<(String, Place)>,
    /// Every value with expressions.
    pub slots: Vec<Slot>,
}

/// What a step does.
pub(crate) enum Does {
    Call(Call),
    Child(Child),
    Wait(WaitFor),
    Sleep(Sleep),
    Approval(Box<Asked>),
    Switch(Box<switch::Written>),
}

impl StepDraft {
    /// Its name for messages.
    pub fn shown(&self) -> &str {
        self.name.as_ref().map_or("?", StepName::as_str)
    }

    /// The call it makes, if it is one.
    pub fn call(&self) -> Option<&Call> {
        match &self.does {
            Some(Does::Call(call)) => Some(call),
            Some(Does::Child(_) | Does::Wait(_) | Does::Sleep(_) | Does::Approval(_) | Does::Switch(_)) | None => None,
        }
    }

    /// The switch it is, if it is one.
    pub fn switch(&self) -> Option<&switch::Written> {
        match &self.does {
            Some(Does::Switch(written)) => Some(written),
            Some(Does::Call(_) | Does::Child(_) | Does::Wait(_) | Does::Sleep(_) | Does::Approval(_)) | None => None,
        }
    }

    /// The contract of what it calls, if its owner declares one.
    pub fn contract<'s>(&self, systems: &'s Systems) -> Option<&'s Contract> {
        let call = self.call()?;
        Some(&systems.list[call.system?].capability(call.declared?).0.contract)
    }
}

/// What reading steps needs beside the steps.
pub(crate) struct Surroundings<'a> {
    /// Absent if the manifest's systems could not be read; then nothing is said about owners.
    pub systems: Option<&'a Systems>,
    pub mappings: &'a mut Mappings,
    pub schemas: &'a mut Schemas,
}

/// Reads every step; a step with a problem is kept as a draft, so that others can refer to it.
pub(crate) fn read(node: &Node, around: &mut Surroundings<'_>, report: &mut Report<'_>) -> Vec<StepDraft> {
    let yaml::Kind::List(items) = &node.kind else {
        wrong_type(node, "`workflow_steps`", "a list of steps", report);
        return Vec::new();
    };
    if items.is_empty() {
        let problem = Problem::new(&codes::NO_STEPS, node.place, "the workflow has no steps");
        report.add(problem.hint("add one: `- name: …`, `owner: …`, `capability: …`"));
    }
    if items.len() > Workflow::STEPS_MAX {
        let message = format!("the workflow has {} steps; at most {} are accepted", items.len(), Workflow::STEPS_MAX);
        report.add(Problem::new(&codes::TOO_MANY_STEPS, node.mark(), message).hint("split it into several workflows"));
        return Vec::new();
    }
    items.iter().filter_map(|item| step(item, around, report)).collect()
}

fn step(node: &Rc<Node>, around: &mut Surroundings<'_>, report: &mut Report<'_>) -> Option<StepDraft> {
    let fields = Fields::open(node, "a step", &kind::FIELDS, report)?;
    let named = fields.required("name", "every step has a name that others can depend on", report);
    let written = named.and_then(|node| Some((text(node, "a step's name", report)?, node.place)));
    let step_name = written.and_then(|(text, place)| name::<StepName>(text, place, report));
    let place = named.map_or(fields.mark(), |node| node.place);
    let description = fields.description(report);
    let kind = Kind::of(&fields, report);
    if let Some(kind) = kind {
        kind.check_fields(&fields, report);
    }
    let is_work = kind.is_some_and(Kind::is_work);
    let mut slots = Slots::new(around.mappings);
    let does = kind.and_then(|kind| does(kind, &fields, around.systems, around.schemas, &mut slots, report));
    if let (Some(Kind::Child), Some(Does::Child(Child { detached: true, .. }))) = (kind, &does) {
        check_detached(&fields, report);
    }
    let when = fields.shared("when").and_then(|node| slots.expression(SlotKind::When, node, "`when`", report));
    let for_each = fields.get("for_each").filter(|_| is_work).and_then(|node| for_each::read(node, &mut slots, report));
    let input = fields.shared("input").filter(|_| is_work);
    let input = input.and_then(|node| slots.mapping(SlotKind::Input, node, "the input of a step", report));
    let mut draft = StepDraft {
        node: Rc::clone(node),
        name: step_name,
        place,
        description,
        kind,
        does,
        depends_on: fields.get("depends_on").map(|node| names(node, "`depends_on`", "a dependency", report)).unwrap_or_default(),
        depends_on_place: fields.key("depends_on"),
        join: fields.get("join").and_then(|node| join::read(node, report)),
        when,
        for_each,
        fans_out: fields.get("for_each").is_some(),
        input,
        retry: RetryPolicy::default(),
        limits: Limits::default(),
        reactions: Reactions::default(),
        compensate: fields.get("compensate").filter(|_| is_work).and_then(|node| handler(node, report)),
        slots: slots.list,
    };
    let nothing = Contract::default();
    let contract = around.systems.and_then(|systems| draft.contract(systems)).unwrap_or(&nothing);
    let retry = policy(kind, &fields, contract, report);
    let limits = limits(kind, &fields, draft.call().and_then(|call| default_running(call, around.systems)), report);
    limits.check_order(draft.shown(), report);
    let reactions = Reactions::read(&fields, contract, report);
    if let (Some(template), Some(node)) = (&draft.input, fields.get("input")) {
        input::check(template, node, contract, report);
    }
    (draft.retry, draft.limits, draft.reactions) = (retry, limits, reactions);
    Some(draft)
}

fn does(
    kind: Kind,
    fields: &Fields<'_>,
    systems: Option<&Systems>,
    schemas: &mut Schemas,
    slots: &mut Slots<'_>,
    report: &mut Report<'_>,
) -> Option<Does> {
    match kind {
        Kind::Call => Some(Does::Call(call::read(fields, systems, slots, report))),
        Kind::Child => crate::child::read(fields.get("workflow")?, report).map(Does::Child),
        Kind::Wait => wait_for::read(fields.get("wait_for")?, schemas, slots, report).map(Does::Wait),
        Kind::Sleep => sleep::read(fields.get("sleep")?, slots, report).map(Does::Sleep),
        Kind::Approval => approval::read(fields.get("approval")?, schemas, slots, report).map(|asked| Does::Approval(Box::new(asked))),
        Kind::Switch => switch::read(fields.get("switch")?, slots, report).map(|written| Does::Switch(Box::new(written))),
    }
}

/// The running limit that the capability gives its steps.
fn default_running(call: &Call, systems: Option<&Systems>) -> Option<(std::time::Duration, Place)> {
    systems?.list[call.system?].capability(call.declared?).1
}

/// Nobody waits for a detached child, so nothing can be said about its attempts.
fn check_detached(fields: &Fields<'_>, report: &mut Report<'_>) {
    for name in ["retry", "timeout"] {
        if let Some(key) = fields.key(name) {
            let message = format!("a detached child task has no `{name}`: the step succeeds as soon as the task exists");
            let problem = Problem::new(&codes::FIELD_OF_OTHER_KIND, key, message);
            report.add(problem.hint(format!("remove `{name}`, or `mode: detached`; the child's own manifest limits the child")));
        }
    }
}

/// A child is tried once unless more is asked for: what it did before it failed would be done again.
fn policy(kind: Option<Kind>, fields: &Fields<'_>, contract: &Contract, report: &mut Report<'_>) -> RetryPolicy {
    match (kind, fields.get("retry")) {
        (Some(Kind::Call | Kind::Child), Some(node)) => retry::read(node, contract, report),
        (Some(Kind::Child), None) => RetryPolicy { attempts_max: 1, ..RetryPolicy::default() },
        _ => RetryPolicy::default(),
    }
}

fn limits(kind: Option<Kind>, fields: &Fields<'_>, default: Option<(std::time::Duration, Place)>, report: &mut Report<'_>) -> Limits {
    let written = fields.get("timeout");
    match kind {
        Some(Kind::Call | Kind::Child) | None => written.map_or(Limits::default(), |node| timeouts::read(node, report)).or_running(default),
        Some(Kind::Wait | Kind::Approval) => written.map_or(Limits::default(), |node| timeouts::read_waiting(node, report)),
        Some(Kind::Sleep | Kind::Switch) => Limits::default(),
    }
}

/// The name of a handler step.
fn handler(node: &Node, report: &mut Report<'_>) -> Option<(String, Place)> {
    let written = text(node, "`compensate`", report)?;
    Some((short(written), node.place))
}
