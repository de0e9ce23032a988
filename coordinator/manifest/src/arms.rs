//! Checks `on_error` like a match expression: every arm can be taken, and every declared code has one.

use crate::check::Draft;
use crate::codes;
use crate::fields::{listed, short};
use crate::kind::Kind;
use crate::reactions::{Arm, Retry};
use crate::report::{Place, Problem, Report};
use crate::steps::{Does, StepDraft};
use crate::suggest::nearest;
use tasker_engine::transport::Transport;
use tasker_engine::{Contract, ErrorCode};

/// When a failure comes: at the end of an attempt, which another attempt may follow, or of the step as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Attempt,
    Step,
}

/// The codes that the coordinator and the protocol give, the kinds of steps that meet them, and when.
const KNOWN: [(&str, &[Kind], End); 31] = [
    ("attempt.timeout", &[Kind::Call, Kind::Child], End::Attempt),
    ("attempt.cancelled", &[Kind::Call], End::Attempt),
    ("worker.lost", &[Kind::Call], End::Attempt),
    ("worker.poisoned", &[Kind::Call], End::Step),
    ("step.waiting_timeout", &[Kind::Call, Kind::Child], End::Step),
    ("step.total_timeout", &[Kind::Call, Kind::Child], End::Step),
    ("contract.input_violated", &[Kind::Call, Kind::Child], End::Step),
    ("contract.result_violated", &[Kind::Call], End::Attempt),
    ("contract.error_violated", &[Kind::Call], End::Attempt),
    ("expression.failed", &[Kind::Call, Kind::Child, Kind::Wait, Kind::Sleep, Kind::Approval, Kind::Switch], End::Step),
    ("wait.timeout", &[Kind::Wait], End::Step),
    ("approval.timeout", &[Kind::Approval], End::Step),
    ("child.failed", &[Kind::Child], End::Attempt),
    ("child.cancelled", &[Kind::Child], End::Attempt),
    ("child.refused", &[Kind::Child], End::Step),
    ("switch.unmatched", &[Kind::Switch], End::Step),
    ("items.invalid", &[Kind::Call, Kind::Child], End::Step),
    ("items.failed", &[Kind::Call, Kind::Child], End::Step),
    ("items.too_large", &[Kind::Call, Kind::Child], End::Step),
    ("handler.error", &[Kind::Call], End::Attempt),
    ("input.invalid", &[Kind::Call], End::Attempt),
    ("result.invalid", &[Kind::Call], End::Attempt),
    ("payload.too_large", &[Kind::Call], End::Attempt),
    ("capability.unknown", &[Kind::Call], End::Attempt),
    ("responder.error", &[Kind::Call], End::Attempt),
    ("responder.answer_malformed", &[Kind::Call], End::Attempt),
    ("http.answer_incomplete", &[Kind::Call], End::Attempt),
    ("http.input_not_scalar", &[Kind::Call], End::Attempt),
    ("http.redirect_refused", &[Kind::Call], End::Attempt),
    ("http.result_malformed", &[Kind::Call], End::Attempt),
    ("http.result_too_large", &[Kind::Call], End::Attempt),
];

/// Codes with which a task ends, or which nobody reacts to; no step meets them in time.
const NEVER: [&str; 4] = ["task.timeout", "task.deadline", "task.cancelled", "step.given_up"];

/// Checks the reactions of every step.
pub(crate) fn check(draft: &Draft, report: &mut Report<'_>) {
    let nothing = Contract::default();
    for step in &draft.steps {
        let Some(kind) = step.kind else { continue };
        let contract = step.contract(&draft.systems).unwrap_or(&nothing);
        let transport = step.call().and_then(|call| Some(draft.systems.list[call.system?].declared.transport));
        let about = About { step, kind, contract, transport };
        for arm in &step.reactions.arms {
            about.check_arm(arm, report);
        }
        if let Some(retry) = step.reactions.default.as_ref().and_then(|default| default.retry.as_ref()) {
            about.check_retry(retry, None, report);
        }
        about.check_complete(report);
    }
}

struct About<'a> {
    step: &'a StepDraft,
    kind: Kind,
    contract: &'a Contract,
    transport: Option<Transport>,
}

impl About<'_> {
    fn check_arm(&self, arm: &Arm, report: &mut Report<'_>) {
        let code = arm.code.as_str();
        let end = match KNOWN.iter().find(|(known, ..)| *known == code) {
            _ if self.contract.errors.contains_key(code) => End::Attempt,
            Some((_, kinds, end)) => match self.never(code, kinds) {
                None => *end,
                Some(why) => return self.impossible(arm, &why, report),
            },
            None if NEVER.contains(&code) => return self.impossible(arm, "a task ends with it, or a person chose it", report),
            None if self.kind == Kind::Call && is_numbered(code) => End::Attempt,
            None if self.kind != Kind::Call => {
                let hint = if self.kind == Kind::Child { "; whatever the child fails with is `child.failed` here" } else { "" };
                return self.impossible(arm, &format!("{} fails only with codes of the coordinator{hint}", self.kind.noun()), report);
            }
            None => match self.check_declared(arm, report) {
                true => End::Attempt,
                false => return,
            },
        };
        if let Some(retry) = &arm.reaction.retry {
            self.check_retry(retry, Some((&arm.code, end)), report);
        }
    }

    /// Why a code of the coordinator never comes from this step; none if it may.
    fn never(&self, code: &str, kinds: &[Kind]) -> Option<String> {
        let detached = matches!(&self.step.does, Some(Does::Child(child)) if child.detached);
        if !kinds.contains(&self.kind) {
            return Some(format!("{} never fails with it", self.kind.noun()));
        }
        if code.starts_with("items.") && !self.step.fans_out {
            return Some("only a step with `for_each` fails with it".into());
        }
        if detached && ["attempt.timeout", "step.waiting_timeout", "step.total_timeout", "child.failed", "child.cancelled"].contains(&code)
        {
            return Some("nobody waits for a detached child task".into());
        }
        if self.transport == Some(Transport::Bus) && code.starts_with("http.") {
            return Some("its system is reached over the bus alone".into());
        }
        let limits = self.step.limits.to_timeouts();
        let (missing, field) = match code {
            "wait.timeout" | "approval.timeout" => (limits.waiting.is_none(), "timeout"),
            "step.waiting_timeout" => (limits.waiting.is_none(), "timeout.waiting"),
            "step.total_timeout" => (limits.total.is_none(), "timeout.total"),
            _ => (false, ""),
        };
        missing.then(|| format!("the step has no `{field}`"))
    }

    fn impossible(&self, arm: &Arm, why: &str, report: &mut Report<'_>) {
        let message = format!("step `{}` reacts to `{}`, which can never come: {why}", self.step.shown(), arm.code);
        let possible: Vec<&str> =
            KNOWN.iter().filter(|(code, kinds, _)| self.never(code, kinds).is_none()).map(|(code, ..)| *code).take(14).collect();
        let hint = format!("remove the arm; from the coordinator may come {}", listed(&possible));
        let close = nearest(report, arm.code.as_str(), possible.iter().copied());
        report.add(Problem::new(&codes::IMPOSSIBLE_ERROR, arm.place, message).hint(hint).nearest(close));
    }

    /// Whether a code that the coordinator does not know may come from the capability; reported if it may not.
    fn check_declared(&self, arm: &Arm, report: &mut Report<'_>) -> bool {
        let code = arm.code.as_str();
        let ours: Vec<&str> =
            KNOWN.iter().filter(|(known, kinds, _)| self.never(known, kinds).is_none()).map(|(known, ..)| *known).collect();
        if self.contract.errors.is_empty() {
            // The capability may fail with anything, so only what looks like a misspelt code of ours is refused.
            let space = code.split_once('.').map(|(space, _)| space);
            let is_ours = space.is_some_and(|space| ours.iter().any(|known| known.split('.').next() == Some(space)));
            let Some(close) = nearest(report, code, ours.iter().copied()).filter(|_| is_ours) else { return true };
            let message = format!("the coordinator has no code `{}`", short(code));
            let problem = Problem::new(&codes::UNDECLARED_ERROR, arm.place, message);
            report.add(problem.hint("if a worker answers with it, declare it in the capability's `errors`").nearest(Some(close)));
            return false;
        }
        let declared = self.contract.errors.keys().map(ErrorCode::as_str);
        let close = nearest(report, code, declared.chain(ours.iter().copied()));
        let message = format!("the capability does not declare the error `{code}`");
        let problem = Problem::new(&codes::UNDECLARED_ERROR, arm.place, message);
        report.add(problem.hint("add it to the capability's `errors`, or remove the arm").nearest(close));
        false
    }

    /// Reports a retry that will not happen. `of` is the code and when it comes; none for any other code.
    fn check_retry(&self, retry: &Retry, of: Option<(&ErrorCode, End)>, report: &mut Report<'_>) {
        let impossible = |message: String, hint: &str, report: &mut Report<'_>| {
            report.add(Problem::new(&codes::RETRY_IMPOSSIBLE, retry.place, message).hint(hint));
        };
        if !self.kind.is_work() {
            let message = format!("{} is not tried in attempts, so it cannot be tried again", self.kind.noun());
            return impossible(message, "choose another reaction, such as `wait` or `{ fallback: step }`", report);
        }
        if let Some((code, End::Step)) = of {
            let message = format!("`{code}` ends the step as a whole, so no further attempt can follow");
            return impossible(message, "choose another reaction, such as `wait` or `{ fallback: step }`", report);
        }
        let policy = retry.policy.as_ref().unwrap_or(&self.step.retry);
        if let Some((code, _)) = of
            && (policy.non_retryable.contains(code) || self.step.retry.non_retryable.contains(code))
        {
            let message = format!("`{code}` is to be retried here, but `retry.non_retryable` lists it");
            let problem = Problem::new(&codes::RETRY_OF_NON_RETRYABLE, retry.place, message);
            report.add(problem.hint("remove it from `non_retryable`, or choose another reaction"));
            return;
        }
        if policy.attempts_max == 1 {
            let message = format!("step `{}` has one attempt, so `retry` would do nothing", self.step.shown());
            impossible(message, "say how often: `{ retry: { base: 5s, max_attempts: 3 } }`", report);
        }
    }

    /// Reports declared codes that no arm is about, unless something is said about all others.
    fn check_complete(&self, report: &mut Report<'_>) {
        let reactions = &self.step.reactions;
        let Some(place) = reactions.place else { return };
        if reactions.default.is_some() || reactions.exhausted.is_some() {
            return;
        }
        let is_named = |code: &ErrorCode| reactions.arms.iter().any(|arm| arm.code == *code);
        let missing: Vec<&str> = self.contract.errors.keys().filter(|code| !is_named(code)).map(ErrorCode::as_str).collect();
        if !missing.is_empty() {
            self.incomplete(place, &missing, report);
        }
    }

    fn incomplete(&self, place: Place, missing: &[&str], report: &mut Report<'_>) {
        const SHOWN_MAX: usize = 8;
        let rest = if missing.len() > SHOWN_MAX { format!(" and {} more", missing.len() - SHOWN_MAX) } else { String::new() };
        let shown = listed(&missing[..missing.len().min(SHOWN_MAX)]);
        let message = format!("`on_error` of step `{}` does not say what follows from {shown}{rest}", self.step.shown());
        let problem = Problem::new(&codes::UNHANDLED_ERRORS, place, message);
        report.add(problem.hint("add an arm for each, or `default: compensate` for all that have none"));
    }
}

/// Codes with a number of the service's own: `http.status_429`, `responder.error_503`.
fn is_numbered(code: &str) -> bool {
    ["http.status_", "responder.error_"].iter().any(|prefix| {
        let number = code.strip_prefix(prefix);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}
