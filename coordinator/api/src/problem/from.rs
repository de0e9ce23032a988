//! Which problem each refusal of the runtime becomes.

use super::{Code, Place, Problem};
use crate::view::Diagnostic;
use std::time::Duration;
use tasker_engine::contract::Violation;
use tasker_engine::payload::InvalidPayload;
use tasker_runtime::operations::{
    ApplyError, ApprovalError, ChangeError, ComparedWith, DrainRefusal, EventError, FleetError, Incompatibility, ItemsError, LetterError,
    LettersError, ResolveError, SignalError, SubmitError, Unavailable, UnknownStep, WorkflowPauseError,
};

/// A coordinator that shuts down is usually back, or replaced, after this long.
const DRAINING_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Space is freed by people or by other programs, which takes a while.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Another coordinator has taken over by then.
const MOVING_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A database that failed to answer a read usually does a moment later.
const UNREADABLE_RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let detail = unavailable.to_string();
        match unavailable {
            Unavailable::Busy { retry_after } => Self::new(Code::CoordinatorBusy, detail).with_retry_after(retry_after),
            Unavailable::Draining => Self::new(Code::CoordinatorDraining, detail).with_retry_after(DRAINING_RETRY_AFTER),
            Unavailable::Moving => Self::new(Code::ShardMoving, detail).with_retry_after(MOVING_RETRY_AFTER),
            Unavailable::Unknown => Self::new(Code::OutcomeUnknown, detail)
                .with_retry_after(DRAINING_RETRY_AFTER)
                .with_hint("repeat the request with the same Idempotency-Key: it finds the task if it was accepted"),
            Unavailable::Full => Self::new(Code::StoreFull, detail)
                .with_retry_after(FULL_RETRY_AFTER)
                .with_hint("free space where the database is; the coordinator goes on by itself"),
            Unavailable::Read(_) => Self::new(Code::StoreUnreadable, detail).with_retry_after(UNREADABLE_RETRY_AFTER),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::UnknownWorkflow { similar, .. } => {
                let hint = match similar {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => "apply its manifest first: POST /v1/workflows".to_owned(),
                };
                let place = Place::new("/workflow", detail.clone()).with_hint(Some(hint.clone()));
                Self { errors: vec![place], ..Self::new(Code::WorkflowUnknown, detail).with_hint(hint) }
            }
            SubmitError::Input(invalid) => {
                let code = match invalid {
                    InvalidPayload::TooLarge { .. } => Code::InputTooLarge,
                    InvalidPayload::NotJson(_) => Code::InputNotJson,
                };
                Self { errors: vec![Place::new("/input", invalid.to_string())], ..Self::new(code, detail) }
            }
            SubmitError::InputViolated { violations, .. } => {
                let places = violations.into_iter().map(|violation| Place::new(format!("/input{}", violation.pointer), violation.message));
                Self { errors: places.collect(), ..Self::new(Code::InputViolated, detail) }
            }
            SubmitError::KeyReused { task, .. } => Self::new(Code::IdempotencyKeyReused, detail)
                .with_hint(format!("the key belongs to task {task}; use a new key for new content")),
            SubmitError::NoDeadline { .. } => {
                Self::new(Code::DeadlineUnknown, detail).with_hint("give the input what the workflow's `deadline` reads")
            }
            SubmitError::NoIdentity { .. } => {
                Self::new(Code::IdentityUnknown, detail).with_hint("give the input what the workflow's `identity` reads")
            }
            SubmitError::Duplicate { task, .. } => {
                Self::new(Code::TaskDuplicate, detail).with_hint(format!("look at it with GET /v1/tasks/{task}"))
            }
            SubmitError::PriorityNotAllowed { .. } => {
                Self { errors: vec![Place::new("/priority", detail.clone())], ..Self::new(Code::PriorityNotAllowed, detail) }
            }
            SubmitError::BacklogFull(full) => Self::new(Code::BacklogFull, detail)
                .with_retry_after(full.retry_after)
                .with_hint("come again then; what was accepted is not touched by it"),
            SubmitError::Limit(_) => Self::new(Code::LimitExceeded, detail),
            SubmitError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::UnknownTask(_) => Self::new(Code::TaskUnknown, detail),
            ChangeError::AlreadyFinished(_) => Self::new(Code::TaskAlreadyFinished, detail)
                .with_hint("a task that is over never changes; `:retry` starts a new one from its kept results"),
            ChangeError::Ending => Self::new(Code::TaskNotRunning, detail),
            ChangeError::WorkflowPaused(name) => {
                Self::new(Code::WorkflowPaused, detail).with_hint(format!("POST /v1/workflows/{name}:resume"))
            }
            ChangeError::ParentPaused(task) => Self::new(Code::TaskParentPaused, detail).with_hint(format!("POST /v1/tasks/{task}:resume")),
            ChangeError::StillRunning => Self::new(Code::TaskStillRunning, detail),
            ChangeError::NothingToRetry => Self::new(Code::TaskNothingToRetry, detail),
            ChangeError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<WorkflowPauseError> for Problem {
    fn from(error: WorkflowPauseError) -> Self {
        let detail = error.to_string();
        match error {
            WorkflowPauseError::UnknownWorkflow { .. } => {
                Self::new(Code::WorkflowUnknown, detail).with_hint("GET /v1/workflows lists what is known")
            }
            WorkflowPauseError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

/// A payload that is no JSON or too large, at the member that held it.
fn payload(invalid: InvalidPayload, pointer: &str, detail: String) -> Problem {
    let code = match invalid {
        InvalidPayload::TooLarge { .. } => Code::PayloadTooLarge,
        InvalidPayload::NotJson(_) => Code::PayloadNotJson,
    };
    Problem { errors: vec![Place::new(pointer, invalid.to_string())], ..Problem::new(code, detail) }
}

/// The places of violations below a member.
fn below(pointer: &str, violations: Vec<Violation>) -> Vec<Place> {
    violations.into_iter().map(|violation| Place::new(format!("{pointer}{}", violation.pointer), violation.message)).collect()
}

impl From<SignalError> for Problem {
    fn from(error: SignalError) -> Self {
        let detail = error.to_string();
        match error {
            SignalError::UnknownTask(_) => Self::new(Code::TaskUnknown, detail),
            SignalError::NotRunning(_) => Self::new(Code::TaskNotRunning, detail),
            SignalError::UnknownSignal { similar, .. } => {
                let problem = Self::new(Code::SignalUnknown, detail);
                match similar {
                    Some(similar) => problem.with_hint(format!("did you mean `{similar}`?")),
                    None => problem,
                }
            }
            SignalError::PayloadViolated { violations, .. } => {
                Self { errors: below("", violations), ..Self::new(Code::SignalPayloadViolated, detail) }
            }
            SignalError::TooMany => Self::new(Code::SignalTooMany, detail)
                .with_retry_after(DRAINING_RETRY_AFTER)
                .with_hint("the task must reach the steps that wait for them first"),
            SignalError::Payload(invalid) => payload(invalid, "", detail),
            SignalError::Limit(_) => Self::new(Code::LimitExceeded, detail),
            SignalError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        let detail = error.to_string();
        match error {
            EventError::PayloadViolated { violations, .. } => {
                Self { errors: below("/payload", violations), ..Self::new(Code::EventPayloadViolated, detail) }
            }
            EventError::TooMany { .. } => Self::new(Code::EventTooMany, detail).with_retry_after(DRAINING_RETRY_AFTER),
            EventError::Payload(invalid) => payload(invalid, "/payload", detail),
            EventError::Limit(_) => Self::new(Code::LimitExceeded, detail),
            EventError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<UnknownStep> for Problem {
    fn from(error: UnknownStep) -> Self {
        Self::new(Code::StepUnknown, error.to_string()).with_hint("an item of a fan-out is named like `resize[17]`")
    }
}

impl From<ItemsError> for Problem {
    fn from(error: ItemsError) -> Self {
        let detail = error.to_string();
        match error {
            ItemsError::UnknownTask(_) => Self::new(Code::TaskUnknown, detail),
            ItemsError::UnknownStep(step) => step.into(),
            ItemsError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<ApprovalError> for Problem {
    fn from(error: ApprovalError) -> Self {
        let detail = error.to_string();
        match error {
            ApprovalError::UnknownTask(_) => Self::new(Code::TaskUnknown, detail),
            ApprovalError::UnknownStep(step) => step.into(),
            ApprovalError::NotWaiting(_) => {
                Self::new(Code::ApprovalNotWaiting, detail).with_hint("GET /v1/approvals lists what is to be decided")
            }
            ApprovalError::NotAssigned { .. } => {
                Self::new(Code::ApprovalNotAssigned, detail).with_hint("who decides for a team says so in `role`")
            }
            ApprovalError::FormViolated(violations) => {
                Self { errors: below("/form", violations), ..Self::new(Code::ApprovalFormViolated, detail) }
            }
            ApprovalError::Payload(invalid) => payload(invalid, "/form", detail),
            ApprovalError::Limit(_) => Self::new(Code::LimitExceeded, detail),
            ApprovalError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        let detail = error.to_string();
        match error {
            ResolveError::UnknownTask(_) => Self::new(Code::TaskUnknown, detail),
            ResolveError::UnknownStep(step) => step.into(),
            ResolveError::NotHeld { .. } => {
                Self::new(Code::StepNotHeld, detail).with_hint("GET /v1/held lists the steps that wait for a person")
            }
            ResolveError::ResultViolated { violations, .. } => {
                Self { errors: below("/result", violations), ..Self::new(Code::ResultViolated, detail) }
            }
            ResolveError::Payload(invalid) => payload(invalid, "/result", detail),
            ResolveError::Limit(_) => Self::new(Code::LimitExceeded, detail),
            ResolveError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<FleetError> for Problem {
    fn from(error: FleetError) -> Self {
        let detail = error.to_string();
        match error {
            FleetError::UnknownCapability(_) => {
                Self::new(Code::CapabilityUnknown, detail).with_hint("GET /v1/capabilities lists what is known")
            }
            FleetError::Drain(DrainRefusal::UnknownWorker(_)) => {
                Self::new(Code::WorkerUnknown, detail).with_hint("GET /v1/workers lists who lives; name the namespace with ?namespace=")
            }
            FleetError::Drain(DrainRefusal::AmbiguousWorker(_)) => {
                Self::new(Code::WorkerAmbiguous, detail).with_hint(r#"send {"system": "…"} with the request"#)
            }
            FleetError::Drain(DrainRefusal::UnknownSystem(_)) => Self::new(Code::SystemUnknown, detail)
                .with_hint("a system is known once a manifest names it or one of its workers says hello"),
            FleetError::Drain(DrainRefusal::TooManyVersions(_)) => {
                Self::new(Code::LimitExceeded, detail).with_hint(r#"take some back with {"version": "…", "undo": true}"#)
            }
            FleetError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

/// A place in a manifest is known by its step, not by a line: the pointer names the step of the workflow that is applied, and is empty for
/// the steps of others.
fn incompatible(found: &Incompatibility) -> Place {
    let pointer = match found.with {
        ComparedWith::Workers { .. } | ComparedWith::LastWorker => format!("/workflow_steps/{}", found.finding.index.at()),
        ComparedWith::Manifest => String::new(),
    };
    let code =
        if found.finding.breaks() { "contract.incompatible".to_owned() } else { format!("contract.{}", found.finding.certainty.as_str()) };
    Place { code: Some(code), ..Place::new(pointer, found.to_string()) }
}

impl From<LetterError> for Problem {
    fn from(error: LetterError) -> Self {
        let detail = error.to_string();
        match error {
            LetterError::Unknown(_) => Self::new(Code::DeadLetterUnknown, detail)
                .with_hint("GET /v1/dlq?state=all lists those that there are; a task that did not fail has none"),
            LetterError::Settled { .. } => Self::new(Code::DeadLetterSettled, detail)
                .with_hint("GET /v1/dlq/{id} says by whom and why; POST /v1/tasks/{id}:retry tries the task again all the same"),
            LetterError::NotOpen(_) => Self::new(Code::DeadLetterUnknown, detail).with_hint("ask again"),
            LetterError::Change(change) => change.into(),
        }
    }
}

impl From<LettersError> for Problem {
    fn from(error: LettersError) -> Self {
        match error {
            LettersError::Limit(detail) => Self::new(Code::LimitExceeded, detail),
            LettersError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let detail = error.to_string();
        match error {
            ApplyError::Invalid(found) => {
                let diagnostics = found.iter().map(Diagnostic::of).collect();
                Self { diagnostics, ..Self::new(Code::ManifestInvalid, detail) }
            }
            ApplyError::VersionTaken { .. } => {
                Self::new(Code::WorkflowVersionTaken, detail).with_hint("raise `version` in the manifest and apply it again")
            }
            ApplyError::Incompatible { found, .. } => {
                let errors = found.iter().map(incompatible).collect();
                let hint = "change the manifest, or deploy workers that fit first; `force=true` applies it all the same and is logged";
                Self { errors, ..Self::new(Code::WorkflowIncompatible, detail).with_hint(hint) }
            }
            ApplyError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::contract::Violation;
    use tasker_engine::{CapabilityName, Namespace, SystemName, TaskId, TaskStatus};
    use tasker_runtime::operations::Target;

    fn check(error: impl Into<Problem>, code: Code) -> Problem {
        let problem: Problem = error.into();
        assert_eq!(problem.code, code);
        assert!(!problem.detail.is_empty());
        problem
    }

    #[test]
    fn every_refusal_of_a_submission_has_its_code() {
        let unknown = SubmitError::UnknownWorkflow {
            name: "ordr".into(),
            namespace: Namespace::new("default").expect("valid"),
            similar: Some("order".into()),
        };
        assert_eq!(check(unknown, Code::WorkflowUnknown).hint.as_deref(), Some("did you mean `order`?"));
        check(SubmitError::Input(InvalidPayload::NotJson("depth".into())), Code::InputNotJson);
        check(SubmitError::Input(InvalidPayload::TooLarge { bytes: 2, max: 1 }), Code::InputTooLarge);
        let violations = vec![Violation { pointer: "/lines/0".into(), message: "not an integer".into() }];
        let violated = check(SubmitError::InputViolated { workflow: "order".into(), violations }, Code::InputViolated);
        assert_eq!(violated.errors, [Place::new("/input/lines/0", "not an integer")]);
        let task = TaskId::from_number(7).expect("not negative");
        check(SubmitError::KeyReused { key: "k".into(), task }, Code::IdempotencyKeyReused);
        check(SubmitError::Limit("too many labels".into()), Code::LimitExceeded);
    }

    #[test]
    fn every_refusal_of_a_change_has_its_code() {
        check(ChangeError::UnknownTask(TaskId::from_number(7).expect("not negative")), Code::TaskUnknown);
        check(ChangeError::AlreadyFinished(TaskStatus::Succeeded), Code::TaskAlreadyFinished);
        check(ChangeError::StillRunning, Code::TaskStillRunning);
        check(ChangeError::NothingToRetry, Code::TaskNothingToRetry);
    }

    #[test]
    fn every_refusal_of_an_order_about_the_fleet_has_its_code_and_a_way_on() {
        let system = SystemName::new("payments").expect("valid");
        let capability = CapabilityName::new("payment.charge").expect("valid");
        let target = Target { namespace: Namespace::new("default").expect("valid"), system: system.clone(), capability };
        let drain = |refusal: DrainRefusal| FleetError::Drain(refusal);
        for (error, code) in [
            (FleetError::UnknownCapability(target), Code::CapabilityUnknown),
            (drain(DrainRefusal::UnknownWorker("session-1".into())), Code::WorkerUnknown),
            (drain(DrainRefusal::AmbiguousWorker("`a`, `b`".into())), Code::WorkerAmbiguous),
            (drain(DrainRefusal::UnknownSystem(system.clone())), Code::SystemUnknown),
            (drain(DrainRefusal::TooManyVersions(system)), Code::LimitExceeded),
        ] {
            assert!(check(error, code).hint.is_some(), "{code:?}");
        }
    }

    #[test]
    fn whoever_may_try_again_is_told_when() {
        for (unavailable, code) in [
            (Unavailable::Busy { retry_after: Duration::from_secs(3) }, Code::CoordinatorBusy),
            (Unavailable::Draining, Code::CoordinatorDraining),
            (Unavailable::Unknown, Code::OutcomeUnknown),
            (Unavailable::Full, Code::StoreFull),
            (Unavailable::Read("disk".into()), Code::StoreUnreadable),
        ] {
            let problem = check(unavailable, code);
            assert!(problem.retry_after.is_some() && code.is_retryable(), "{code:?}");
        }
    }
}
