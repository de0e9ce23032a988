//! A worker answers.

use super::dispatch::{check, first};
use super::{Decision, Effect, Turn};
use crate::contract::Contract;
use crate::event::Event;
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptNumber, AttemptToken, Digest, StepIndex};
use crate::payload::Payload;
use crate::task::Task;
use crate::time::Timestamp;
use serde_json::json;

/// A worker's answer to one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Which step.
    pub step: StepIndex,
    /// Which try.
    pub attempt: AttemptNumber,
    /// What authorises it.
    pub token: AttemptToken,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt, as the worker says.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A result.
    Succeeded(Payload),
    /// A failure.
    Failed(Failure),
}

impl Outcome {
    /// The digest by which an identical repeat is recognised.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Succeeded(result) => result.digest(),
            Self::Failed(failure) => {
                let mut text = Vec::new();
                for part in [failure.kind.as_str(), failure.code.as_str(), &failure.message] {
                    text.extend_from_slice(part.as_bytes());
                    text.push(0);
                }
                if let Some(details) = &failure.details {
                    text.extend_from_slice(details.bytes());
                }
                text.extend_from_slice(&failure.retry_after.unwrap_or_default().as_millis().to_le_bytes());
                Digest::of(&text)
            }
        }
    }
}

/// What the worker is told about its reply, once the decision is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It is the attempt's result.
    Recorded,
    /// The identical reply had been recorded before.
    Repeated,
    /// The attempt is closed; nothing changed (P8).
    Stale,
    /// A different reply had been recorded; nothing changed (P6).
    Conflicting,
    /// The token is wrong or the attempt never existed; nothing changed (P13).
    Forged,
}

/// Codes that every SDK may answer with, whatever the contract declares; see `docs/protocol.md`.
const PROTOCOL_CODES: [&str; 7] =
    ["handler.error", "input.invalid", "result.invalid", "payload.too_large", "capability.unknown", "attempt.timeout", "attempt.cancelled"];

/// The families of codes with which the coordinator itself says that a system without an SDK gave no proper answer; see `docs/http-systems.md`.
const TRANSPORT_FAMILIES: [&str; 3] = ["http.", "egress.", "responder."];

/// Whether a failure may have this code although no contract declares it.
pub fn is_always_allowed(code: &str) -> bool {
    PROTOCOL_CODES.contains(&code) || TRANSPORT_FAMILIES.iter().any(|family| code.starts_with(family))
}

/// Takes a reply. `worker` is the contract under which the attempt was started, if the worker's build announced one.
pub fn reply(task: &mut Task, reply: &Reply, worker: Option<&Contract>, now: Timestamp) -> (Disposition, Decision) {
    let mut turn = Turn::new(task, now);
    if reply.step.at() >= turn.task.steps.len() {
        return (Disposition::Forged, turn.finish());
    }
    let disposition = match turn.task.open_attempt(reply.step) {
        Some(open) if open.attempt == reply.attempt && open.token == reply.token => {
            record(&mut turn, reply, worker);
            Disposition::Recorded
        }
        _ => late(&mut turn, reply),
    };
    (disposition, turn.finish())
}

/// A reply for an attempt that is not open.
fn late(turn: &mut Turn<'_>, reply: &Reply) -> Disposition {
    let closed = turn.task.progress(reply.step).closed.iter().find(|closed| closed.attempt == reply.attempt);
    let Some(closed) = closed.filter(|closed| closed.token == reply.token) else {
        return Disposition::Forged;
    };
    let digest = reply.outcome.digest();
    match closed.reply {
        None => Disposition::Stale,
        Some(recorded) if recorded == digest => Disposition::Repeated,
        Some(_) if closed.conflicted => Disposition::Conflicting,
        Some(_) => {
            turn.emit(Event::ReplyConflicted { step: reply.step, attempt: reply.attempt, reply: digest });
            Disposition::Conflicting
        }
    }
}

fn record(turn: &mut Turn<'_>, reply: &Reply, worker: Option<&Contract>) {
    let step = reply.step;
    let definition = &turn.task.definition(step).contract;
    match &reply.outcome {
        Outcome::Succeeded(result) => {
            let schemas = [definition.result.as_ref(), worker.and_then(|contract| contract.result.as_ref())];
            match check(result, &schemas) {
                Ok(()) => {
                    let open = turn.task.open_attempt(step).cloned();
                    turn.emit(Event::StepSucceeded { step, attempt: reply.attempt, result: result.clone() });
                    if let Some(open) = open {
                        turn.effects.push(Effect::AttemptClosed { step, token: open.token, target: open.target });
                    }
                    turn.over(step);
                }
                Err(violations) => {
                    let message = format!("the result does not fit the contract: {}", first(&violations));
                    let failure = Failure::new(FailureKind::Contract, code::contract_result_violated(), message)
                        .with_details(Payload::of(&json!({ "violations": violations })));
                    turn.fail_attempt(step, failure, Some(reply.outcome.digest()));
                }
            }
        }
        Outcome::Failed(failure) => {
            let failure = [Some(definition), worker]
                .into_iter()
                .flatten()
                .find_map(|contract| undeclared(contract, failure))
                .unwrap_or_else(|| failure.clone());
            turn.fail_attempt(step, failure, Some(reply.outcome.digest()));
        }
    }
}

/// The failure that takes the place of one which breaks its contract; it keeps the kind, so that retries follow the policy.
fn undeclared(contract: &Contract, failure: &Failure) -> Option<Failure> {
    if contract.errors.is_empty() || is_always_allowed(failure.code.as_str()) {
        return None;
    }
    let (message, violations) = match contract.errors.get(&failure.code) {
        None => {
            let declared: Vec<&str> = contract.errors.keys().map(crate::ids::ErrorCode::as_str).collect();
            (format!("the contract does not declare the error `{}`; it declares {}", failure.code, declared.join(", ")), None)
        }
        Some(declared) => {
            let details = failure.details.clone().unwrap_or_else(Payload::null);
            let violations = check(&details, &[declared.details.as_ref()]).err()?;
            (format!("the details of `{}` do not fit the contract: {}", failure.code, first(&violations)), Some(violations))
        }
    };
    let details = json!({
        "code": failure.code,
        "message": failure.message,
        "details": failure.details.as_ref().map(Payload::value),
        "violations": violations,
    });
    let mut replaced = Failure::new(failure.kind, code::contract_error_violated(), message).with_details(Payload::of(&details));
    replaced.retry_after = failure.retry_after;
    Some(replaced)
}
