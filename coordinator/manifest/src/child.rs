//! Reads `workflow:`, a step that is another task.

use crate::fields::{Fields, choice, name, text};
use crate::report::Report;
use crate::yaml::{Kind, Node};
use tasker_engine::workflow::Child;
use tasker_engine::{WorkflowName, WorkflowVersion};

const MODES: [(&str, bool); 2] = [("attached", false), ("detached", true)];

/// Reads the name of a workflow, or `{ name, version, mode }`.
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<Child> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Child { workflow: workflow(node, report)?, version: None, detached: false });
    }
    let fields = Fields::open(node, "`workflow`", &["name", "version", "mode"], report)?;
    let named = fields.required("name", "say which workflow: `name: pack_order`", report).map(|node| workflow(node, report));
    let mode = fields.get("mode").map_or(Some(false), |node| choice(node, "`mode`", &MODES, report));
    let version: Option<WorkflowVersion> = match fields.get("version") {
        Some(node) => Some(crate::check::version(node, report)?),
        None => None,
    };
    Some(Child { workflow: named??, version, detached: mode? })
}

fn workflow(node: &Node, report: &mut Report<'_>) -> Option<WorkflowName> {
    name(text(node, "the name of a workflow", report)?, node.place, report)
}
