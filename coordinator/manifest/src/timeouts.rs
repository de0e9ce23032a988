//! Reads `timeout:` of steps and compares limits with each other.

use crate::codes::{self, Code};
use crate::duration::{self, format};
use crate::fields::Fields;
use crate::report::{Place, Problem, Report};
use crate::yaml::{Kind, Node};
use std::time::Duration;
use tasker_engine::workflow::Timeouts;

/// The limits of one step, each with the place where it is written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    waiting: Option<(Duration, Place)>,
    running: Option<(Duration, Place)>,
    total: Option<(Duration, Place)>,
}

/// Reads `30s`, the running limit, or a mapping of the three limits.
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Limits {
    if !matches!(node.kind, Kind::Map(_)) {
        return Limits { running: limit(Some(node), "`timeout`", report), ..Limits::default() };
    }
    let Some(fields) = Fields::open(node, "`timeout`", &["waiting", "running", "total"], report) else {
        return Limits::default();
    };
    Limits {
        waiting: limit(fields.get("waiting"), "`waiting`", report),
        running: limit(fields.get("running"), "`running`", report),
        total: limit(fields.get("total"), "`total`", report),
    }
}

/// Reads the limit of a wait or an approval: how long it waits. Nothing runs, so there is nothing else to limit.
pub(crate) fn read_waiting(node: &Node, report: &mut Report<'_>) -> Limits {
    if !matches!(node.kind, Kind::Map(_)) {
        return Limits { waiting: limit(Some(node), "`timeout`", report), ..Limits::default() };
    }
    let Some(fields) = Fields::open(node, "`timeout`", &["waiting", "running", "total"], report) else {
        return Limits::default();
    };
    for name in ["running", "total"] {
        if let Some(key) = fields.key(name) {
            let message = format!("what only waits has no `{name}` limit");
            let problem = Problem::new(&codes::FIELD_OF_OTHER_KIND, key, message);
            report.add(problem.hint("write `timeout: 3d`, how long it waits at most"));
        }
    }
    Limits { waiting: limit(fields.get("waiting"), "`waiting`", report), ..Limits::default() }
}

/// One duration and its place.
pub(crate) fn limit(node: Option<&Node>, what: &str, report: &mut Report<'_>) -> Option<(Duration, Place)> {
    let node = node?;
    Some((duration::read(node, what, report)?, node.place))
}

impl Limits {
    /// Takes the capability's default where the step says nothing about running.
    pub fn or_running(mut self, default: Option<(Duration, Place)>) -> Self {
        self.running = self.running.or(default);
        self
    }

    /// Reports a part of the step that may take longer than the whole step.
    pub fn check_order(&self, step: &str, report: &mut Report<'_>) {
        let Some((total, place)) = self.total else { return };
        for (name, part) in [("waiting", self.waiting), ("running", self.running)] {
            let Some((part, _)) = part.filter(|(part, _)| *part > total) else { continue };
            let message = format!("step `{step}` may be {name} for {} but takes at most {} in all", format(part), format(total));
            add(&codes::STEP_TIMEOUT_ORDER, place, message, format!("raise `total` to at least {}", format(part)), report);
        }
    }

    /// Reports limits that can never be reached because the task runs out of time first. Not for handlers, which run when it has.
    pub fn check_task(&self, step: &str, task: Duration, report: &mut Report<'_>) {
        for (name, limit) in [("waiting", self.waiting), ("running", self.running), ("total", self.total)] {
            let Some((limit, place)) = limit.filter(|(limit, _)| *limit > task) else { continue };
            let message =
                format!("the `{name}` limit of step `{step}`, {}, is longer than the whole task's {}", format(limit), format(task));
            let hint = format!("shorten it to at most {}, or raise the workflow's `timeout`", format(task));
            add(&codes::TASK_TIMEOUT_EXCEEDED, place, message, hint, report);
        }
    }

    /// How long a wait or an approval waits.
    pub fn waiting(&self) -> Option<Duration> {
        self.waiting.map(|(waiting, _)| waiting)
    }

    pub fn to_timeouts(self) -> Timeouts {
        let plain = |limit: Option<(Duration, Place)>| limit.map(|(duration, _)| duration);
        Timeouts { waiting: plain(self.waiting), running: plain(self.running), total: plain(self.total) }
    }
}

fn add(code: &'static Code, place: Place, message: String, hint: String, report: &mut Report<'_>) {
    report.add(Problem::new(code, place, message).hint(hint));
}
