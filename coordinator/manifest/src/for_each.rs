//! Reads `for_each:`.

use crate::fields::{Fields, choice, whole};
use crate::report::Report;
use crate::slots::{SlotKind, Slots};
use crate::yaml::{Kind, Node};
use tasker_engine::workflow::{ForEach, Stop};

/// The most items at once, in one batch, and in a stop rule: as many as a fan-out has items.
const COUNT_MAX: u32 = ForEach::ITEMS_MAX as u32;

const STOPS: [(&str, Stop); 2] = [("on_failure", Stop::OnFailure), ("never", Stop::Never)];

/// Reads a fan-out.
pub(crate) fn read(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<ForEach> {
    let fields = Fields::open(node, "`for_each`", &["items", "max_parallel", "batch_size", "stop"], report)?;
    fields.required("items", "say what to go through: `items: \"${ task.input.lines }\"`", report);
    let items = fields.shared("items").and_then(|node| slots.expression(SlotKind::Items, node, "`items`", report));
    let max_parallel = fields.get("max_parallel").and_then(|node| whole(node, "`max_parallel`", 1..=COUNT_MAX, report));
    let batch_size = fields.get("batch_size").and_then(|node| whole(node, "`batch_size`", 1..=COUNT_MAX, report));
    let stop = fields.get("stop").map_or(Some(Stop::OnFailure), |node| stop(node, report));
    Some(ForEach { items: items?, max_parallel, batch_size, stop: stop? })
}

fn stop(node: &Node, report: &mut Report<'_>) -> Option<Stop> {
    if !matches!(node.kind, Kind::Map(_)) {
        return choice(node, "`stop`", &STOPS, report);
    }
    let fields = Fields::open(node, "`stop`", &["failures", "successes"], report)?;
    let given = fields.one_of(&["failures", "successes"], report)?;
    let count = whole(fields.get(given)?, &format!("`{given}`"), 1..=COUNT_MAX, report)?;
    Some(if given == "failures" { Stop::Failures(count) } else { Stop::Successes(count) })
}
