//! Reads `retry:`.

use crate::codes;
use crate::duration;
use crate::fields::{Fields, choice, name, short, text, wrong_type};
use crate::report::{Problem, Report};
use crate::suggest::nearest;
use crate::yaml::{Kind, Node};
use std::collections::BTreeSet;
use tasker_engine::retry::{Backoff, Jitter, RetryPolicy};
use tasker_engine::{Contract, ErrorCode};

const KINDS: [(&str, Backoff); 4] =
    [("fixed", Backoff::Fixed), ("linear", Backoff::Linear), ("exponential", Backoff::Exponential), ("fibonacci", Backoff::Fibonacci)];

const JITTERS: [(&str, Jitter); 3] = [("none", Jitter::None), ("equal", Jitter::Equal), ("full", Jitter::Full)];

/// The word for a backoff, as it is written in manifests.
pub(crate) fn kind_word(backoff: Backoff) -> &'static str {
    match backoff {
        Backoff::Fixed => "fixed",
        Backoff::Linear => "linear",
        Backoff::Exponential => "exponential",
        Backoff::Fibonacci => "fibonacci",
    }
}

/// The word for a jitter, as it is written in manifests.
pub(crate) fn jitter_word(jitter: Jitter) -> &'static str {
    match jitter {
        Jitter::None => "none",
        Jitter::Equal => "equal",
        Jitter::Full => "full",
    }
}

/// Reads a policy; what is absent comes from [`RetryPolicy::default`]. A missing `cap` is never below the given `base`.
pub(crate) fn read(node: &Node, contract: &Contract, report: &mut Report<'_>) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    let known = ["kind", "base", "cap", "jitter", "max_attempts", "non_retryable"];
    let Some(fields) = Fields::open(node, "`retry`", &known, report) else { return policy };
    if let Some(backoff) = fields.get("kind").and_then(|node| choice(node, "`kind`", &KINDS, report)) {
        policy.backoff = backoff;
    }
    if let Some(jitter) = fields.get("jitter").and_then(|node| choice(node, "`jitter`", &JITTERS, report)) {
        policy.jitter = jitter;
    }
    if let Some(base) = fields.get("base").and_then(|node| duration::read(node, "`base`", report)) {
        policy.base = base;
        policy.cap = policy.cap.max(base);
    }
    if let Some(node) = fields.get("cap")
        && let Some(cap) = duration::read(node, "`cap`", report)
    {
        policy.cap = cap;
        if policy.base > cap {
            let (base, cap) = (duration::format(policy.base), duration::format(cap));
            let said = if fields.get("base").is_some() { "the" } else { "the default" };
            let message = format!("{said} first delay, `base: {base}`, is longer than the longest, `cap: {cap}`");
            let problem = Problem::new(&codes::RETRY_BASE_ABOVE_CAP, node.place, message);
            report.add(problem.hint(format!("raise `cap` to at least {base}, or shorten `base`")));
        }
    }
    if let Some(attempts) = fields.get("max_attempts").and_then(|node| attempts(node, report)) {
        policy.attempts_max = attempts;
    }
    if let Some(node) = fields.get("non_retryable") {
        policy.non_retryable = non_retryable(node, contract, report);
    }
    policy
}

fn attempts(node: &Node, report: &mut Report<'_>) -> Option<u32> {
    let Kind::Number(number, written) = &node.kind else {
        wrong_type(node, "`max_attempts`", "a whole number", report);
        return None;
    };
    let max = RetryPolicy::ATTEMPTS_MAX;
    let attempts = number.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| (1..=max).contains(number));
    if attempts.is_none() {
        let message = format!("`max_attempts` cannot be {}", short(written));
        let problem = Problem::new(&codes::BAD_ATTEMPTS, node.place, message);
        report.add(problem.hint(format!("it counts all attempts, the first included: a whole number from 1 to {max}")));
    }
    attempts
}

fn non_retryable(node: &Node, contract: &Contract, report: &mut Report<'_>) -> BTreeSet<ErrorCode> {
    let Kind::List(items) = &node.kind else {
        wrong_type(node, "`non_retryable`", "a list of error codes", report);
        return BTreeSet::new();
    };
    let mut codes = BTreeSet::new();
    for item in items {
        let Some(code) = text(item, "an error code", report).and_then(|text| name::<ErrorCode>(text, item.place, report)) else {
            continue;
        };
        if !contract.errors.is_empty() && !contract.errors.contains_key(code.as_str()) {
            let message = format!("the capability does not declare the error `{code}`");
            let close = nearest(report, code.as_str(), contract.errors.keys().map(ErrorCode::as_str));
            let problem = Problem::new(&codes::UNDECLARED_ERROR, item.place, message);
            report.add(problem.hint("add it to the capability's `errors`, or remove it here").nearest(close));
        }
        if codes.contains(&code) {
            let problem = Problem::new(&codes::DUPLICATE_ERROR, item.place, format!("`{code}` is listed twice"));
            report.add(problem.hint("remove one of the two"));
        }
        codes.insert(code);
    }
    codes
}
