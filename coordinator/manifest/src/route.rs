//! Reads `route:`, which of a system's workers may run a step.

use crate::codes;
use crate::fields::{Fields, entries, text};
use crate::report::{Problem, Report};
use crate::slots::{SlotKind, Slots};
use crate::yaml::Node;
use std::collections::BTreeMap;
use tasker_engine::version::VersionConstraint;
use tasker_engine::workflow::Route;

/// The most labels a route asks for: as many as a worker may announce.
const LABELS_MAX: usize = 32;
/// The longest name or value of a label, in bytes: as long as a worker may announce.
const LABEL_BYTES_MAX: usize = 256;

/// Reads a route.
pub(crate) fn read(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<Route> {
    let fields = Fields::open(node, "`route`", &["version", "labels", "sticky"], report)?;
    if ["version", "labels", "sticky"].iter().all(|name| fields.get(name).is_none()) {
        let problem = Problem::new(&codes::MISSING_FIELD, fields.mark(), "`route` says nothing");
        report.add(problem.hint("give at least one of `version`, `labels`, `sticky`, or remove `route`"));
        return None;
    }
    Some(Route {
        version: fields.get("version").and_then(|node| constraint(node, report)),
        labels: fields.get("labels").map(|node| labels(node, report)).unwrap_or_default(),
        sticky: fields.shared("sticky").and_then(|node| slots.expression(SlotKind::RouteSticky, node, "`sticky`", report)),
    })
}

/// Reads comparisons with versions, such as `>=1.4.0, <2`.
pub(crate) fn constraint(node: &Node, report: &mut Report<'_>) -> Option<VersionConstraint> {
    let written = text(node, "a version constraint", report)?;
    VersionConstraint::parse(written)
        .map_err(|invalid| {
            let problem = Problem::new(&codes::BAD_CONSTRAINT, node.place, format!("the version constraint cannot be used: {invalid}"));
            report.add(problem.hint("write comparisons joined by commas, such as `>=1.4.0, <2`"));
        })
        .ok()
}

fn labels(node: &Node, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some(written) = entries(node, "`labels`", report) else { return labels };
    if written.is_empty() || written.len() > LABELS_MAX {
        let message = format!("the route has {} labels; 1 to {LABELS_MAX} are accepted", written.len());
        let problem = Problem::new(&codes::OUT_OF_RANGE, node.mark(), message);
        report.add(problem.hint("ask for what a worker announces; no worker announces more"));
        return labels;
    }
    for (key, value) in written {
        let Some(value_text) = text(value, "the value of a label", report) else { continue };
        for (place, part) in [(key.place, key.text.as_str()), (value.place, value_text)] {
            if part.len() > LABEL_BYTES_MAX {
                let message = format!("a label is {} bytes long; at most {LABEL_BYTES_MAX} are accepted", part.len());
                report.add(Problem::new(&codes::TOO_LONG, place, message).hint("no worker announces it; shorten it there and here"));
            }
        }
        labels.insert(key.text.clone(), value_text.to_owned());
    }
    labels
}
