//! Reads what makes a step a call: its owner, what is asked of it, and of which of its workers.

use crate::codes;
use crate::fields::{Fields, name, short, text};
use crate::flow;
use crate::report::{Place, Problem, Report};
use crate::route;
use crate::slots::Slots;
use crate::suggest::nearest;
use crate::systems::{System, Systems};
use tasker_engine::CapabilityName;
use tasker_engine::flow::StepLimits;
use tasker_engine::transport::Transport;
use tasker_engine::workflow::Route;

/// A call, as far as it could be read.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The owner's place in the systems; absent if it was refused.
    pub system: Option<usize>,
    /// Absent if it was refused.
    pub capability: Option<CapabilityName>,
    /// The capability's place among those its system declares.
    pub declared: Option<usize>,
    pub route: Option<Route>,
    pub limits: Option<StepLimits>,
}

/// Reads a call. Systems are absent if they could not be read; then nothing is said about owners.
pub(crate) fn read(fields: &Fields<'_>, systems: Option<&Systems>, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Call {
    let system = owner(fields, systems, report);
    let capability = capability(fields, report);
    let owner = system.zip(systems).map(|(index, systems)| &systems.list[index]);
    let mut declared = None;
    if let (Some(owner), Some((capability, place))) = (owner, &capability) {
        declared = owner.find(capability.as_str());
        if declared.is_none() {
            undeclared(owner, capability, *place, report);
        }
    }
    let route = fields.get("route").and_then(|node| route::read(node, slots, report));
    if let (Some(owner), Some(key)) = (owner, fields.key("route"))
        && owner.declared.transport == Transport::Http
    {
        let message = format!("system `{}` is called over HTTP, so there is no worker to route to", owner.declared.name);
        let problem = Problem::new(&codes::TRANSPORT_CONFLICT, key, message);
        report.add(problem.hint("remove `route`, or the system's `transport: http`"));
    }
    let limits = flow::step(fields, slots, report);
    Call { system, capability: capability.map(|(capability, _)| capability), declared, route, limits }
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
