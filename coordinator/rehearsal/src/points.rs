//! The ways through a workflow that cases can take: what coverage counts.

use tasker_engine::failure::code;
use tasker_engine::reaction::{Exhausted, Reaction};
use tasker_engine::workflow::{Role, StepKind, Stop, Switch};
use tasker_engine::{ErrorCode, StepIndex, Workflow};

/// One thing that can happen in a workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// To which step; none for the task as a whole. Steps stand in the order of the manifest.
    pub step: Option<StepIndex>,
    /// What.
    pub kind: PointKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PointKind {
    /// The step begins.
    Runs,
    /// Its condition holds, or does not.
    When(bool),
    /// A switch takes this branch.
    Branch(String),
    /// It fails with a code that has an arm, or, with none, with one that falls to the default.
    Arm(Option<ErrorCode>),
    /// A time limit runs out, named by the code of the failure.
    TimesOut(ErrorCode),
    /// Somebody is reminded to decide.
    Reminds,
    /// Others are asked to decide.
    Escalates,
    /// A fan-out stops because of its `stop`, before all items are over.
    Stops,
}

impl PointKind {
    /// The word under which coverage counts it.
    pub fn group(&self) -> &'static str {
        match self {
            Self::Runs => "steps",
            Self::When(_) => "conditions",
            Self::Branch(_) => "branches",
            Self::Arm(_) => "errors",
            Self::TimesOut(_) => "timeouts",
            Self::Reminds | Self::Escalates => "approvals",
            Self::Stops => "fan-outs",
        }
    }

    /// Every group, in the order in which they are shown.
    pub const GROUPS: [&'static str; 7] = ["steps", "conditions", "branches", "errors", "timeouts", "approvals", "fan-outs"];
}

impl Point {
    /// In words, as something that has or has not happened: `` `charge` fails with `card_declined` ``.
    pub fn describe(&self, workflow: &Workflow) -> String {
        let Some(step) = self.step else {
            return match &self.kind {
                PointKind::TimesOut(code) => format!("the task runs out of time (`{code}`)"),
                PointKind::Runs
                | PointKind::When(_)
                | PointKind::Branch(_)
                | PointKind::Arm(_)
                | PointKind::Reminds
                | PointKind::Escalates
                | PointKind::Stops => "the task".to_owned(),
            };
        };
        let definition = workflow.step(step);
        let name = &definition.name;
        match &self.kind {
            PointKind::Runs => match definition.role {
                Role::Forward => format!("`{name}` runs"),
                Role::Compensation { of } => format!("`{name}` undoes `{}`", workflow.step(of).name),
                Role::Fallback { of } => format!("`{name}` takes the place of `{}`", workflow.step(of).name),
                Role::OnFailure => format!("`{name}` runs because the task failed"),
            },
            PointKind::When(true) => format!("the condition of `{name}` holds"),
            PointKind::When(false) => format!("the condition of `{name}` does not hold"),
            PointKind::Branch(branch) => format!("`{name}` takes `{branch}`"),
            PointKind::Arm(Some(code)) => {
                format!("`{name}` fails with `{code}` ({})", reacts(workflow, definition.on_error.reaction(code)))
            }
            PointKind::Arm(None) => format!("`{name}` fails otherwise ({})", reacts(workflow, &definition.on_error.otherwise)),
            PointKind::TimesOut(code) => format!("`{name}` runs out of time (`{code}`)"),
            PointKind::Reminds => format!("`{name}` reminds"),
            PointKind::Escalates => format!("`{name}` escalates"),
            PointKind::Stops => format!("`{name}` stops early"),
        }
    }
}

fn reacts(workflow: &Workflow, reaction: &Reaction) -> String {
    let then = match reaction.exhausted() {
        Exhausted::Fallback(step) => format!("fallback {}", workflow.step(step).name),
        other @ (Exhausted::Compensate | Exhausted::Fail | Exhausted::Continue | Exhausted::Wait) => other.as_str().to_owned(),
    };
    match reaction {
        Reaction::Retry { .. } => format!("retry, then {then}"),
        Reaction::Give(_) => then,
    }
}

/// Everything that can happen in a workflow.
pub fn points(workflow: &Workflow) -> Vec<Point> {
    let mut points = Vec::new();
    for step in workflow.indexes() {
        let definition = workflow.step(step);
        let mut add = |kind| points.push(Point { step: Some(step), kind });
        add(PointKind::Runs);
        if definition.when.is_some() {
            add(PointKind::When(true));
            add(PointKind::When(false));
        }
        if let StepKind::Switch(switch) = &definition.kind {
            switch.cases.iter().for_each(|case| add(PointKind::Branch(case.name.clone())));
            if switch.has_default {
                add(PointKind::Branch(Switch::DEFAULT.to_owned()));
            }
        }
        definition.on_error.arms.keys().for_each(|code| add(PointKind::Arm(Some(code.clone()))));
        // What happens to every step that says nothing is not a way of its own.
        if definition.on_error.otherwise != Reaction::default() {
            add(PointKind::Arm(None));
        }
        if definition.timeouts.waiting.is_some() {
            add(PointKind::TimesOut(waiting_code(&definition.kind)));
        }
        if definition.timeouts.running.is_some() {
            add(PointKind::TimesOut(code::attempt_timeout()));
        }
        if definition.timeouts.total.is_some() {
            add(PointKind::TimesOut(code::step_total_timeout()));
        }
        if let StepKind::Approval(approval) = &definition.kind {
            if approval.remind_every.is_some() {
                add(PointKind::Reminds);
            }
            if approval.escalate.is_some() {
                add(PointKind::Escalates);
            }
        }
        match definition.for_each.as_ref().map(|for_each| for_each.stop) {
            Some(Stop::Failures(_) | Stop::Successes(_)) => add(PointKind::Stops),
            Some(Stop::OnFailure | Stop::Never) | None => {}
        }
    }
    if workflow.timeout.is_some() {
        points.push(Point { step: None, kind: PointKind::TimesOut(code::task_timeout()) });
    }
    if workflow.deadline.is_some() {
        points.push(Point { step: None, kind: PointKind::TimesOut(code::task_deadline()) });
    }
    points
}

/// The code with which a step fails whose waiting limit runs out.
fn waiting_code(kind: &StepKind) -> ErrorCode {
    match kind {
        StepKind::Call(_) | StepKind::Child(_) | StepKind::Sleep(_) | StepKind::Switch(_) => code::step_waiting_timeout(),
        StepKind::Wait(_) => code::wait_timeout(),
        StepKind::Approval(_) => code::approval_timeout(),
    }
}
