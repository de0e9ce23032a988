//! What a step does, waits for, and does when it fails, in words.

use super::{cell, code, expression, paragraph_raw, template, written};
use std::fmt::Write as _;
use tasker_engine::duration::format as shown;
use tasker_engine::ids::StepIndex;
use tasker_engine::reaction::{Exhausted, Reaction};
use tasker_engine::retry::{Backoff, RetryPolicy};
use tasker_engine::workflow::{Join, Role, SleepFor, Step, StepKind, Stop, WaitSource};
use tasker_engine::{Contract, Workflow};

/// The table of all steps.
pub(super) fn overview(out: &mut String, workflow: &Workflow) {
    out.push_str("\n| step | does | after | when |\n|---|---|---|---|\n");
    for index in workflow.indexes() {
        let step = workflow.step(index);
        let after = match step.role {
            Role::Forward => names(workflow, &step.depends_on),
            Role::Compensation { of } => format!("to undo {}", name(workflow, of)),
            Role::Fallback { of } => format!("in place of {}", name(workflow, of)),
            Role::OnFailure => "a failure of the task".to_owned(),
        };
        let when = step.when.as_ref().map_or_else(|| "–".to_owned(), |when| expression(when.source()));
        let _ = writeln!(out, "| {} | {} | {after} | {when} |", name(workflow, index), does(step));
    }
}

/// One step in full.
pub(super) fn section(out: &mut String, workflow: &Workflow, index: StepIndex) {
    let step = workflow.step(index);
    let _ = write!(out, "\n### {}\n", name(workflow, index));
    paragraph_raw(out, &format!("{}.", sentence(&does(step))));
    let mut facts: Vec<(&str, String)> = Vec::new();
    if step.join != Join::All {
        facts.push(("goes ahead", join(step.join)));
    }
    for branch in &step.branches {
        let switch = workflow.step(branch.switch);
        if let StepKind::Switch(cases) = &switch.kind {
            facts.push(("only if", format!("`{}` takes `{}`", switch.name, code(cases.branch_name(branch.case)))));
        }
    }
    if let Some(each) = &step.for_each {
        let mut said = format!("once for each of {}", expression(each.items.source()));
        if let Some(size) = each.batch_size {
            let _ = write!(said, ", {size} together");
        }
        if let Some(count) = each.max_parallel {
            let _ = write!(said, ", at most {count} at once");
        }
        let _ = write!(said, "; {}", stop(each.stop));
        facts.push(("runs", said));
    }
    facts.extend(timeouts(step));
    if step.is_work() {
        facts.push(("attempts", retry(&step.retry)));
    }
    if matches!(step.kind, StepKind::Switch(_)) {
        facts.push(("cases", cases(workflow, index)));
    } else {
        let fails = match step.role {
            Role::Fallback { of } => format!("{} fails", name(workflow, of)),
            Role::Forward | Role::Compensation { .. } | Role::OnFailure => reaction(workflow, &step.on_error.otherwise),
        };
        facts.push(("when it fails", fails));
    }
    for (error, arm) in &step.on_error.arms {
        facts.push(("on error", format!("`{error}`: {}", reaction(workflow, arm))));
    }
    if let StepKind::Approval(approval) = &step.kind {
        facts.extend(approval.remind_every.map(|every| ("reminds", format!("every {}", shown(every)))));
        facts.extend(approval.escalate.as_ref().map(|escalate| {
            let who: Vec<String> = escalate.to.iter().map(written).collect();
            ("escalates", format!("after {} to {}", shown(escalate.after), who.join(", ")))
        }));
    }
    if let Some(undo) = step.compensate {
        facts.push(("undone by", name(workflow, undo)));
    }
    out.push_str("\n| | |\n|---|---|\n");
    for (what, said) in facts {
        let _ = writeln!(out, "| {what} | {said} |");
    }
    match &step.kind {
        StepKind::Call(_) | StepKind::Child(_) => {
            input(out, step);
            types(out, &step.contract);
        }
        StepKind::Wait(wait) => {
            out.push_str("\n#### Payload\n");
            super::fields::table(out, wait.payload.as_ref(), "Any JSON.");
        }
        StepKind::Approval(approval) => {
            if let Some(description) = &approval.description {
                paragraph_raw(out, &written(description));
            }
            out.push_str("\n#### Form\n");
            super::fields::table(out, approval.form.as_ref(), "Nothing to fill in but a comment.");
        }
        StepKind::Sleep(_) | StepKind::Switch(_) => {}
    }
}

fn input(out: &mut String, step: &Step) {
    match &step.input {
        Some(mapping) => {
            out.push_str("\nIt is given:\n\n");
            template(out, mapping);
        }
        None => paragraph_raw(out, "It is given the task's input."),
    }
}

fn types(out: &mut String, contract: &Contract) {
    if contract.is_empty() {
        return paragraph_raw(out, "No contract is declared here; the workers' own holds.");
    }
    super::contract(out, contract, 4);
}

/// What a step does, as the rest of a sentence.
fn does(step: &Step) -> String {
    match &step.kind {
        StepKind::Call(call) => format!("asks `{}` for `{}`", call.system, call.capability),
        StepKind::Child(child) => {
            let version = child.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            let waits = if child.detached { "starts" } else { "runs" };
            format!("{waits} the workflow `{}`{version}", child.workflow)
        }
        StepKind::Wait(wait) => match &wait.source {
            WaitSource::Signal(signal) => format!("waits for the signal `{}`", code(signal)),
            WaitSource::Event { name, key } => format!("waits for the event `{}` with the key {}", code(name), expression(key.source())),
        },
        StepKind::Sleep(SleepFor::Fixed(duration)) => format!("sleeps for {}", shown(*duration)),
        StepKind::Sleep(SleepFor::For(duration)) => format!("sleeps for {}", expression(duration.source())),
        StepKind::Sleep(SleepFor::Until(instant)) => format!("sleeps until {}", expression(instant.source())),
        StepKind::Approval(approval) => {
            let who: Vec<String> = approval.assignees.iter().map(written).collect();
            let who = if who.is_empty() { "anybody".to_owned() } else { who.join(", ") };
            format!("asks {who} to approve {}", written(&approval.title))
        }
        StepKind::Switch(switch) => format!("chooses by {}", expression(switch.on.source())),
    }
}

fn cases(workflow: &Workflow, index: StepIndex) -> String {
    let StepKind::Switch(switch) = &workflow.step(index).kind else { return String::new() };
    let branches = switch.cases.len() + usize::from(switch.has_default);
    let said = (0..branches as u32).map(|case| {
        let runs = workflow.indexes().filter(|step| {
            let branches = &workflow.step(*step).branches;
            branches.iter().any(|branch| branch.switch == index && branch.case == case)
        });
        let runs: Vec<String> = runs.map(|step| name(workflow, step)).collect();
        let runs = if runs.is_empty() { "nothing".to_owned() } else { runs.join(", ") };
        format!("`{}` → {runs}", code(switch.branch_name(case)))
    });
    said.collect::<Vec<_>>().join("; ")
}

fn join(join: Join) -> String {
    match join {
        Join::All => "when all have succeeded".to_owned(),
        Join::Any => "when all are over and one has succeeded".to_owned(),
        Join::Done => "when all are over, however they ended".to_owned(),
        Join::AtLeast { count, cancel_others } => {
            let others = if cancel_others { "; the others are withdrawn" } else { "" };
            format!("as soon as {count} succeeded{others}")
        }
    }
}

fn stop(stop: Stop) -> String {
    match stop {
        Stop::OnFailure => "the first failed item fails the step".to_owned(),
        Stop::Never => "failed items leave null in the result".to_owned(),
        Stop::Failures(count) => format!("{count} failed items fail the step"),
        Stop::Successes(count) => format!("{count} successes are enough"),
    }
}

fn timeouts(step: &Step) -> Vec<(&'static str, String)> {
    let limits = step.timeouts;
    [("waits at most", limits.waiting), ("runs at most", limits.running), ("takes at most", limits.total)]
        .into_iter()
        .filter_map(|(what, limit)| Some((what, shown(limit?))))
        .collect()
}

fn retry(policy: &RetryPolicy) -> String {
    if policy.attempts_max == 1 {
        return "one".to_owned();
    }
    let grows = match policy.backoff {
        Backoff::Fixed => return format!("up to {}, {} apart{}", policy.attempts_max, shown(policy.base), never(policy)),
        Backoff::Linear => "linear",
        Backoff::Exponential => "exponential",
        Backoff::Fibonacci => "fibonacci",
    };
    format!("up to {}, {grows} from {} to {}{}", policy.attempts_max, shown(policy.base), shown(policy.cap), never(policy))
}

fn never(policy: &RetryPolicy) -> String {
    let codes: Vec<String> = policy.non_retryable.iter().map(|code| format!("`{code}`")).collect();
    if codes.is_empty() { String::new() } else { format!("; never after {}", codes.join(", ")) }
}

fn reaction(workflow: &Workflow, reaction: &Reaction) -> String {
    match reaction {
        Reaction::Give(exhausted) => gives(workflow, *exhausted),
        Reaction::Retry { policy, then } => {
            let how = policy.as_ref().map_or_else(|| "as often as the step allows".to_owned(), |policy| retry(policy));
            format!("tried again ({how}), then {}", gives(workflow, *then))
        }
    }
}

fn gives(workflow: &Workflow, exhausted: Exhausted) -> String {
    match exhausted {
        Exhausted::Compensate => "what was done is undone and the task fails".to_owned(),
        Exhausted::Fail => "the task fails".to_owned(),
        Exhausted::Continue => "the task goes on without it".to_owned(),
        Exhausted::Wait => "a person decides".to_owned(),
        Exhausted::Fallback(step) => format!("{} takes its place", name(workflow, step)),
    }
}

fn names(workflow: &Workflow, steps: &[StepIndex]) -> String {
    if steps.is_empty() { "–".to_owned() } else { steps.iter().map(|step| name(workflow, *step)).collect::<Vec<_>>().join(", ") }
}

fn name(workflow: &Workflow, index: StepIndex) -> String {
    format!("`{}`", cell(workflow.step(index).name.as_str()))
}

fn sentence(said: &str) -> String {
    let mut signs = said.chars();
    signs.next().map_or_else(String::new, |first| first.to_uppercase().chain(signs).collect())
}
