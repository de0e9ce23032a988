//! Reads `slot_cost:` of a capability.

use crate::codes;
use crate::fields::{short, wrong_type};
use crate::report::{Problem, Report};
use crate::yaml::{Kind, Node};

/// No worker has more slots, so nothing can cost more.
pub(crate) const SLOT_COST_MAX: u32 = 10_000;

/// Reads how many slots of its worker one attempt takes.
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<u32> {
    let Kind::Number(number, written) = &node.kind else {
        wrong_type(node, "`slot_cost`", "a whole number", report);
        return None;
    };
    let cost = number.as_u64().and_then(|cost| u32::try_from(cost).ok()).filter(|cost| (1..=SLOT_COST_MAX).contains(cost));
    if cost.is_none() {
        let problem = Problem::new(&codes::OUT_OF_RANGE, node.place, format!("`slot_cost` cannot be {}", short(written)));
        report.add(problem.hint(format!("give a whole number from 1 to {SLOT_COST_MAX}")));
    }
    cost
}
