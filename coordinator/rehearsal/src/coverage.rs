//! Which ways through a workflow the cases took together.

use crate::points::{Point, PointKind, points};
use serde::Serialize;
use std::collections::BTreeSet;
use tasker_engine::Workflow;

/// What the cases of one workflow reached, and what they did not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// How many of all ways were taken, in percent, rounded down; 100 if there is none.
    pub percent: u32,
    /// How many were taken.
    pub reached: usize,
    /// How many there are.
    pub total: usize,
    /// By what they are; only groups that the workflow has.
    pub groups: Vec<Share>,
    /// What never happened, in words, in the order of the manifest.
    pub missed: Vec<String>,
}

/// The share of one kind of way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Steps, conditions, branches, errors, timeouts, approvals or fan-outs.
    pub group: &'static str,
    /// How many were taken.
    pub reached: usize,
    /// How many there are.
    pub total: usize,
}

impl Coverage {
    /// Counts what was reached of everything there is.
    pub fn of(workflow: &Workflow, reached: &BTreeSet<Point>) -> Self {
        let all = points(workflow);
        let groups = PointKind::GROUPS.into_iter().filter_map(|group| {
            let of_group: Vec<&Point> = all.iter().filter(|point| point.kind.group() == group).collect();
            let taken = of_group.iter().filter(|point| reached.contains(**point)).count();
            (!of_group.is_empty()).then_some(Share { group, reached: taken, total: of_group.len() })
        });
        let missed: Vec<String> = all.iter().filter(|point| !reached.contains(*point)).map(|point| point.describe(workflow)).collect();
        let taken = all.len() - missed.len();
        Self {
            percent: (taken * 100).checked_div(all.len()).unwrap_or(100) as u32,
            reached: taken,
            total: all.len(),
            groups: groups.collect(),
            missed,
        }
    }
}
