//! Reads `workflow_steps:`.

use crate::codes;
use crate::fields::{Fields, name, short, text, wrong_type};
use crate::mapping::{Mapping, Mappings, literal};
use crate::report::{Place, Problem, Report};
use crate::retry;
use crate::schema::locate;
use crate::suggest::nearest;
use crate::systems::{System, Systems};
use crate::timeouts::{self, Limits};
use crate::yaml::{Kind, Node};
use std::rc::Rc;
use std::time::Duration;
use tasker_engine::retry::RetryPolicy;
use tasker_engine::template::Template;
use tasker_engine::{CapabilityName, Contract, StepName, Workflow};

/// One step as far as it could be read.
pub(crate) struct StepDraft {
    /// Absent if it was refused.
    pub name: Option<StepName>,
    pub place: Place,
    /// The owner's place in the systems; absent if it was refused.
    pub system: Option<usize>,
    pub capability: Option<CapabilityName>,
    pub contract: Contract,
    /// As written, with places.
    pub depends_on: Vec<(String, Place)>,
    pub input: Option<Mapping>,
    pub retry: RetryPolicy,
    pub limits: Limits,
}

/// What reading steps needs beside the steps.
pub(crate) struct Surroundings<'a> {
    /// Absent if the manifest's systems could not be read; then nothing is said about owners.
    pub systems: Option<&'a Systems>,
    pub task_timeout: Option<Duration>,
}

const FIELDS: [&str; 9] = ["name", "owner", "capability", "event_pattern", "handler", "depends_on", "input", "timeout", "retry"];

/// Reads every step; a step with a problem is kept as a draft, so that others can refer to it.
pub(crate) fn read(node: &Node, around: &Surroundings<'_>, mappings: &mut Mappings, report: &mut Report<'_>) -> Vec<StepDraft> {
    let Kind::List(items) = &node.kind else {
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
    items.iter().filter_map(|item| step(item, around, mappings, report)).collect()
}

fn step(node: &Rc<Node>, around: &Surroundings<'_>, mappings: &mut Mappings, report: &mut Report<'_>) -> Option<StepDraft> {
    let fields = Fields::open(node, "a step", &FIELDS, report)?;
    let named = fields.required("name", "every step has a name that others can depend on", report);
    let written = named.and_then(|node| Some((text(node, "a step's name", report)?, node.place)));
    let step_name = written.and_then(|(text, place)| name::<StepName>(text, place, report));
    let place = named.map_or(fields.mark(), |node| node.place);
    let shown = step_name.as_ref().map_or_else(|| "?".into(), ToString::to_string);
    let system = owner(&fields, around.systems, report);
    let capability = capability(&fields, report);
    let owner = system.zip(around.systems).map(|(index, systems)| &systems.list[index]);
    let (mut contract, mut default_running) = (Contract::default(), None);
    if let (Some(owner), Some((capability, place))) = (owner, &capability) {
        match owner.capability(capability.as_str()) {
            Some((declared, timeout)) => (contract, default_running) = (declared.contract.clone(), timeout),
            None => undeclared(owner, capability, *place, report),
        }
    }
    let limits = fields.get("timeout").map_or(Limits::default(), |node| timeouts::read(node, report)).or_running(default_running);
    limits.check(&shown, around.task_timeout, report);
    let retry = fields.get("retry").map_or_else(RetryPolicy::default, |node| retry::read(node, &contract, report));
    let input = fields.get("input").and_then(|node| {
        let mapping = mappings.read(node, "the input of a step", report)?;
        check_input(&mapping, node, &contract, report);
        Some(mapping)
    });
    Some(StepDraft {
        name: step_name,
        place,
        system,
        capability: capability.map(|(capability, _)| capability),
        contract,
        depends_on: fields.get("depends_on").map(|node| depends_on(node, report)).unwrap_or_default(),
        input,
        retry,
        limits,
    })
}

fn owner(fields: &Fields<'_>, systems: Option<&Systems>, report: &mut Report<'_>) -> Option<usize> {
    let node = fields.required("owner", "name the system that runs the step, one of `systems`", report)?;
    let owner = text(node, "a step's owner", report)?;
    let systems = systems?;
    let found = systems.find(owner);
    if found.is_none() && !systems.was_refused(owner) {
        let close = nearest(report, owner, systems.names());
        let problem = Problem::new(&codes::UNKNOWN_OWNER, node.place, format!("no system is called `{}`", short(owner)));
        report.add(problem.hint("declare it under `systems`").nearest(close));
    }
    found
}

/// The one thing a step asks of its owner. Three fields can say it; saying it twice is refused, because one of the two would be
/// read and ignored.
fn capability(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<(CapabilityName, Place)> {
    let given: Vec<&str> = ["capability", "event_pattern", "handler"].into_iter().filter(|name| fields.get(name).is_some()).collect();
    match given.as_slice() {
        [] => {
            let problem = Problem::new(&codes::MISSING_CAPABILITY, fields.mark(), "the step does not say what it asks of its owner");
            report.add(problem.hint("add `capability: …`; `event_pattern` and `handler` are also read"));
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("the step has both `{first}` and `{second}`, and each says what to ask of the owner");
            let place = fields.key(second).unwrap_or(fields.mark());
            report.add(Problem::new(&codes::SEVERAL_CAPABILITIES, place, message).hint("keep one; say the rest in a comment"));
        }
    }
    let node = fields.get(given[0])?;
    let written = text(node, &format!("`{}`", given[0]), report)?;
    let wire = if given[0] == "handler" { written.replace("::", ".") } else { written.to_owned() };
    Some((name(&wire, node.place, report)?, node.place))
}

fn undeclared(owner: &System, capability: &CapabilityName, place: Place, report: &mut Report<'_>) {
    // A system that declares nothing leaves it to its workers to say what they can do.
    if owner.declared.capabilities.is_empty() {
        return;
    }
    let close = nearest(report, capability.as_str(), owner.declared.capabilities.iter().map(|declared| declared.name.as_str()));
    let message = format!("system `{}` does not declare the capability `{capability}`", owner.declared.name);
    let problem = Problem::new(&codes::UNDECLARED_CAPABILITY, place, message);
    report.add(problem.hint("the step waits until a worker offers it; declare it to have its input and result checked").nearest(close));
}

fn depends_on(node: &Node, report: &mut Report<'_>) -> Vec<(String, Place)> {
    let one = |node: &Node, report: &mut Report<'_>| text(node, "a dependency", report).map(|text| (text.to_owned(), node.place));
    match &node.kind {
        Kind::List(items) => items.iter().filter_map(|item| one(item, report)).collect(),
        Kind::Text(_) => one(node, report).into_iter().collect(),
        _ => {
            wrong_type(node, "`depends_on`", "the name of a step, or a list of names", report);
            Vec::new()
        }
    }
}

/// Reports an input that can never fit: a literal that breaks the schema, or a mapping whose fields are wrong whatever their values.
fn check_input(mapping: &Mapping, node: &Node, contract: &Contract, report: &mut Report<'_>) {
    let Some(schema) = &contract.input else { return };
    let mut mismatch = |place: Place, message: String| {
        let problem = Problem::new(&codes::INPUT_MISMATCH, place, format!("the input does not fit the capability: {message}"));
        report.add(problem.hint("change the mapping, or the capability's `input` schema"));
    };
    if let Some(value) = literal(&mapping.template) {
        for violation in schema.violations(&value) {
            mismatch(locate(node, &violation.pointer).mark(), violation.message);
        }
        return;
    }
    let Template::Object(members) = &mapping.template else { return };
    let source = schema.source();
    for required in source["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()) {
        if !members.iter().any(|(name, _)| name == required) {
            mismatch(node.mark(), format!("`{}` is required and missing", short(required)));
        }
    }
    let closed = source["additionalProperties"] == serde_json::Value::Bool(false) && source.get("patternProperties").is_none();
    if let (true, Kind::Map(entries)) = (closed, &node.kind) {
        for (key, _) in entries.iter().filter(|(key, _)| source["properties"].get(&key.text).is_none()) {
            mismatch(key.place, format!("there is no field `{}`", short(&key.text)));
        }
    }
}
