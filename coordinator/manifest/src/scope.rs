//! What expressions may name: only what exists, and only what came before.

use crate::check::Draft;
use crate::codes;
use crate::graph::Ancestors;
use crate::handlers::{CHAIN_MAX, owner};
use crate::mapping::Located;
use crate::paths;
use crate::report::{Place, Problem, Report};
use crate::slots::{Slot, SlotKind};
use crate::steps::{Does, StepDraft};
use crate::suggest::nearest;
use tasker_engine::Schema;
use tasker_engine::workflow::Role;

/// Checks the names and paths of every expression of the manifest.
pub(crate) fn check(draft: &Draft, report: &mut Report<'_>) {
    let all = draft.steps.iter().flat_map(|step| &step.slots);
    let reads_steps = all.flat_map(|slot| &slot.mapping.expressions).any(|located| !located.expression.steps().is_empty());
    let ancestors = if reads_steps { draft.graph.ancestors() } else { None };
    let scope = Scope { draft, ancestors: ancestors.as_ref() };
    for slot in &draft.slots {
        scope.check_slot(None, slot, report);
    }
    for (place, step) in draft.steps.iter().enumerate() {
        for slot in &step.slots {
            scope.check_slot(Some(place), slot, report);
        }
    }
}

struct Scope<'a> {
    draft: &'a Draft,
    /// Absent if nothing reads steps, or if there is a circle, which is reported.
    ancestors: Option<&'a Ancestors>,
}

impl Scope<'_> {
    fn check_slot(&self, reader: Option<usize>, slot: &Slot, report: &mut Report<'_>) {
        for located in &slot.mapping.expressions {
            match slot.kind {
                SlotKind::Deadline | SlotKind::IdentityExpression | SlotKind::IdentityField | SlotKind::TaskLimitKey => {
                    before_the_task(slot.kind, located, report);
                }
                SlotKind::TaskResult => self.check_result(located, report),
                SlotKind::When
                | SlotKind::Input
                | SlotKind::Items
                | SlotKind::SwitchOn
                | SlotKind::EventKey
                | SlotKind::SleepFor
                | SlotKind::SleepUntil
                | SlotKind::ApprovalTitle
                | SlotKind::ApprovalDescription
                | SlotKind::Assignee
                | SlotKind::EscalateTo
                | SlotKind::RouteSticky
                | SlotKind::StepLimitKey => {
                    if let Some(reader) = reader {
                        self.check_step(reader, slot.kind, located, report);
                    }
                }
            }
            self.check_path(located, report);
        }
    }

    /// The result is worked out when the task succeeds: every step is over, and no handler of a failure has run.
    fn check_result(&self, located: &Located, report: &mut Report<'_>) {
        let names = located.expression.names();
        for step in names.steps.iter().map(|step| step.as_str()) {
            let Some(found) = self.find(step, located.place, report) else { continue };
            if matches!(self.draft.handlers.root(found), Role::Compensation { .. } | Role::OnFailure) {
                let message = format!("the result reads `{step}`, which runs only when the task does not succeed");
                let problem = Problem::new(&codes::READS_HANDLER, located.place, message);
                report.add(problem.hint("a task that fails has no result; read the steps that succeeded"));
            }
        }
        no_item(names.item, located.place, "the task's result", report);
        no_task_error(names.task_error, located.place, "the task's result", report);
    }

    fn check_step(&self, reader: usize, kind: SlotKind, located: &Located, report: &mut Report<'_>) {
        let (step, names) = (&self.draft.steps[reader], located.expression.names());
        for name in names.steps.iter().map(|name| name.as_str()) {
            if let Some(found) = self.find(name, located.place, report) {
                self.check_order(reader, found, located.place, report);
            }
        }
        if !(kind == SlotKind::Input && step.fans_out) {
            let whose = match kind {
                SlotKind::Input => format!("the input of `{}`, which has no `for_each`,", step.shown()),
                _ => format!("this field of `{}`", step.shown()),
            };
            no_item(names.item, located.place, &whose, report);
        }
        if !matches!(self.draft.handlers.root(reader), Role::Compensation { .. } | Role::OnFailure) {
            no_task_error(names.task_error, located.place, &format!("step `{}`", step.shown()), report);
        }
    }

    /// Reports a step that may not be over, or not even have run, when the reader looks at it.
    fn check_order(&self, reader: usize, found: usize, place: Place, report: &mut Report<'_>) {
        if self.ancestors.is_none() || self.may_name(reader, found) {
            return;
        }
        let steps = &self.draft.steps;
        let (name, read) = (steps[reader].shown(), steps[found].shown());
        let (code, message, hint) = if found == reader {
            let message = format!("step `{name}` reads its own result, which does not exist before it has run");
            (&codes::NOT_A_DEPENDENCY, message, "read the result of a step it depends on, or the task's input".to_owned())
        } else if self.draft.handlers.roles[found] != Role::Forward {
            let message = format!("step `{name}` reads `{read}`, a handler that may never run");
            let hint = match self.draft.handlers.roles[found] {
                Role::Fallback { of } => {
                    let owner = steps[of.at()].shown();
                    format!("read `steps.{owner}.result`: the handler's result takes its place")
                }
                Role::Forward | Role::Compensation { .. } | Role::OnFailure => "read a step that runs by itself".to_owned(),
            };
            (&codes::READS_HANDLER, message, hint)
        } else if let Some(owner) = owner(self.draft.handlers.roles[reader]) {
            let owner = steps[owner].shown();
            let message = format!("`{name}` runs for `{owner}` and reads `{read}`, but `{owner}` does not wait for it");
            (
                &codes::NOT_A_DEPENDENCY,
                message,
                format!("a handler reads what its owner may read; add `{read}` to the `depends_on` of `{owner}`"),
            )
        } else {
            let message = format!("step `{name}` reads the result of `{read}`, but does not wait for it");
            (&codes::NOT_A_DEPENDENCY, message, format!("add `{read}` to the `depends_on` of `{name}`"))
        };
        report.add(Problem::new(code, place, message).hint(hint));
    }

    /// Whether a step is over whenever another one runs: it comes before it, or before the step for which it runs.
    fn may_name(&self, reader: usize, found: usize) -> bool {
        let Some(ancestors) = self.ancestors else { return true };
        let mut here = reader;
        // Longer chains of handlers, and circles, are reported; the count ends the walk there.
        for _ in 0..=CHAIN_MAX {
            match self.draft.handlers.roles[here] {
                Role::Forward => return ancestors.contain(here, found),
                Role::OnFailure => return found != reader,
                Role::Compensation { of } | Role::Fallback { of } if of.at() == found => return true,
                Role::Compensation { of } | Role::Fallback { of } => here = of.at(),
            }
        }
        true
    }

    fn find(&self, step: &str, place: Place, report: &mut Report<'_>) -> Option<usize> {
        let found = self.draft.graph.find(step);
        if found.is_none() {
            let close = nearest(report, step, self.draft.graph.names());
            let problem = Problem::new(&codes::UNKNOWN_STEP, place, format!("no step is called `{step}`"));
            let problem = problem.hint("read the result of a step of this workflow");
            report.add(match close {
                Some(close) => problem.hint(format!("did you mean `steps.{close}.result`?")),
                None => problem,
            });
        }
        found
    }

    /// Checks a plain path against the schema of what it leads into.
    fn check_path(&self, located: &Located, report: &mut Report<'_>) {
        let Some(path) = located.expression.path() else { return };
        match path {
            [task, input, ..] if task == "task" && input == "input" => {
                if let Some(schema) = &self.draft.input {
                    paths::check(schema, path, 2, located.place, report);
                }
            }
            [steps, step, result, ..] if steps == "steps" && result == "result" => {
                let found = self.draft.graph.find(step).map(|place| &self.draft.steps[place]);
                if let Some(schema) = found.and_then(|step| self.result_schema(step)) {
                    paths::check(schema, path, 3, located.place, report);
                }
            }
            _ => {}
        }
    }

    /// What a step's result certainly fits. A fan-out's is a list of such values, and a fallback's may take its place.
    fn result_schema<'a>(&'a self, step: &'a StepDraft) -> Option<&'a Schema> {
        let falls_back = step.reactions.thens().any(|then| matches!(then.how, crate::reactions::How::Fallback(_)));
        if step.fans_out || falls_back {
            return None;
        }
        match &step.does {
            Some(Does::Call(_)) => step.contract(&self.draft.systems)?.result.as_ref(),
            Some(Does::Wait(wait)) => wait.payload.as_ref(),
            Some(Does::Child(_) | Does::Sleep(_) | Does::Approval(_) | Does::Switch(_)) | None => None,
        }
    }
}

/// Reports names of what does not exist yet when a submission is looked at.
fn before_the_task(kind: SlotKind, located: &Located, report: &mut Report<'_>) {
    let names = located.expression.names();
    let found = [
        (!names.steps.is_empty(), "no step has run"),
        (names.task_id, "the task has no id"),
        (names.task_error, "nothing went wrong"),
        (names.item, "there is no item"),
    ];
    let field = match kind {
        SlotKind::Deadline => "deadline",
        SlotKind::TaskLimitKey => "concurrency",
        _ => "identity",
    };
    for (_, why) in found.iter().filter(|(named, _)| *named) {
        let message = format!("`{field}` is worked out before the task exists, when {why} yet");
        report.add(Problem::new(&codes::BEFORE_THE_TASK, located.place, message).hint("it may read `task.input` and nothing else"));
    }
}

fn no_item(named: bool, place: Place, whose: &str, report: &mut Report<'_>) {
    if named {
        let message = format!("{whose} reads `item`, which exists only in the `input` of a step with `for_each`");
        let problem = Problem::new(&codes::ITEM_OUTSIDE_FOR_EACH, place, message);
        report.add(problem.hint("move it to the `input` of a step with `for_each`, or read the whole list"));
    }
}

fn no_task_error(named: bool, place: Place, whose: &str, report: &mut Report<'_>) {
    if named {
        let message = format!("{whose} reads `task.error`, which exists only while the task ends without success");
        let problem = Problem::new(&codes::TASK_ERROR_OUTSIDE_HANDLER, place, message);
        report
            .add(problem.hint("only steps named by `compensate` or `on_failure` may read it; `steps.<name>.error` says why a step failed"));
    }
}
