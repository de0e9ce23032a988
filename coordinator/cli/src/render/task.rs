//! Tasks: the list, one in detail, its step table, its outcome, and why it does not move.

use super::{brief, fields, indented, labels};
use crate::answers::{Failed, Outcome, Reason, StepDetail, TaskDetail, TaskSummary};
use crate::json;
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::text;
use serde_json::value::RawValue;

/// Payloads in `show` are cut after so many lines; `-o json` and `task result` give all.
const PAYLOAD_LINES_MAX: usize = 20;
/// Progress and failures in a table cell.
const NOTE_CHARACTERS_MAX: usize = 200;

pub(crate) fn list(tasks: &[TaskSummary], filtered: bool, look: &Look) -> String {
    if tasks.is_empty() {
        return if filtered {
            "No task matches. Fewer filters find more; `tasker task list` shows all.\n".to_owned()
        } else {
            "No tasks in this namespace yet. Submit one:  tasker task submit WORKFLOW --input '{}'\n".to_owned()
        };
    }
    let mut table = Table::new(&["!id", "workflow", "!status", "!accepted", "!duration", "retries", "error", "labels"]);
    for task in tasks {
        let running = task.accepted_at.filter(|_| task.status == "running").map(|since| text::milliseconds_between(since, look.now));
        let error = match (&task.error_code, &task.failed_step) {
            (Some(code), Some(step)) => Some(format!("{code} in {step}")),
            (Some(code), None) => Some(code.clone()),
            (None, _) => None,
        };
        table.row(vec![
            table::plain(&task.id),
            table::plain(&format!("{} {}", task.workflow, task.version)),
            table::state(&task.status),
            task.accepted_at.map_or_else(|| "-".to_owned(), text::instant),
            task.duration_ms.or(running).map_or_else(|| "-".to_owned(), text::duration),
            task.retries.to_string(),
            table::optional(error.as_deref()),
            labels(&task.labels).unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.render(look)
}

pub(crate) fn detail(task: &TaskDetail, look: &Look) -> String {
    let name = format!("{}  {} {}", text::clean(&task.id), text::clean(&task.workflow), text::clean(&task.version));
    let mut out = format!("{}\n", look.paint(Tone::Strong, &name));
    out.push_str(&fields(
        look,
        &[
            ("status", Some(status(task, look))),
            ("reason", task.cancel_reason.as_deref().map(text::clean)),
            ("accepted", task.accepted_at.map(text::instant)),
            ("finished", task.finished_at.map(text::instant)),
            ("namespace", (!task.namespace.is_empty()).then(|| text::clean(&task.namespace))),
            ("labels", labels(&task.labels)),
            ("key", task.idempotency_key.as_deref().map(text::clean)),
            ("retry of", task.origin.as_deref().map(text::clean)),
            ("trace", task.trace_id.as_deref().map(text::clean)),
            ("events", (task.events > 0).then(|| task.events.to_string())),
        ],
    ));
    out.push('\n');
    out.push_str(&steps(&task.steps, look));
    if let Some(failed) = &task.failure {
        out.push('\n');
        out.push_str(&failure(failed, look));
    }
    for (part, payload) in [("input", &task.input), ("result", &task.result)] {
        if let Some(payload) = payload {
            out.push_str(&format!("\n{}\n{}", look.paint(Tone::Strong, part), excerpt(payload)));
        }
    }
    out
}

/// `succeeded in 1.3s`, `running for 12.0s`.
pub(crate) fn status(task: &TaskDetail, look: &Look) -> String {
    let so_far = || Some(text::milliseconds_between(task.accepted_at?, look.now));
    let span = match task.finished_at {
        Some(_) => task.duration_ms.map(|duration| format!(" in {}", text::duration(duration))),
        None => so_far().map(|duration| format!(" for {}", text::duration(duration))),
    };
    format!("{}{}", look.state(&task.status), span.unwrap_or_default())
}

pub(crate) fn steps(steps: &[StepDetail], look: &Look) -> String {
    let mut table = Table::new(&["!step", "!state", "attempt", "!time", "owner", "note"]);
    for step in steps {
        let attempt = match (step.attempt, step.attempts_max) {
            (0, _) => "-".to_owned(),
            (attempt, 0) => attempt.to_string(),
            (attempt, max) => format!("{attempt}/{max}"),
        };
        let span = step
            .started_at
            .or(step.ready_at)
            .map(|from| text::duration(text::milliseconds_between(from, step.finished_at.unwrap_or(look.now))));
        table.row(vec![
            table::plain(&step.name),
            table::state(&step.state),
            attempt,
            span.unwrap_or_else(|| "-".to_owned()),
            table::plain(&format!("{} · {}", step.system, step.capability)),
            note(step, look),
        ]);
    }
    table.render(look)
}

/// What is worth knowing about the step in the state it is in.
fn note(step: &StepDetail, look: &Look) -> String {
    // A step that will be tried again has not failed; its last attempt has.
    let last = || step.attempts.iter().rev().find_map(|attempt| attempt.failure.as_ref());
    let failed = || {
        step.failure
            .as_ref()
            .or_else(last)
            .map(|failed| text::shorten(&format!("{}: {}", text::clean(&failed.code), text::clean(&failed.message)), NOTE_CHARACTERS_MAX))
    };
    let note = match step.state.as_str() {
        "pending" if !step.depends_on.is_empty() => Some(format!("after {}", text::clean(&step.depends_on.join(", ")))),
        "ready" => Some("waits for a worker".to_owned()),
        "running" => match (&step.worker, &step.progress) {
            (Some(worker), Some(progress)) => Some(format!("{}: {}", text::clean(worker), brief(progress, NOTE_CHARACTERS_MAX))),
            (Some(worker), None) => Some(text::clean(worker)),
            (None, Some(progress)) => Some(brief(progress, NOTE_CHARACTERS_MAX)),
            (None, None) => None,
        },
        "backing_off" => {
            let next = step.next_attempt_at.map(|at| format!("again in {}", text::duration(text::milliseconds_between(look.now, at))));
            Some([next, failed()].into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
        "failed" => failed(),
        _ => None,
    };
    note.unwrap_or_default()
}

/// Why a task or step failed, with its details.
pub(crate) fn failure(failed: &Failed, look: &Look) -> String {
    let place = failed.step.as_deref().map(|step| format!(" in step {}", text::clean(step))).unwrap_or_default();
    let kind = if failed.kind.is_empty() { String::new() } else { format!(" ({})", text::clean(&failed.kind)) };
    let mut out = format!("{}{kind}{place}\n", look.headline("failure", Tone::Bad, &failed.code, &failed.message));
    if let Some(after) = failed.retry_after_ms {
        out.push_str(&format!("  the worker asked to come back in {}\n", text::duration(after)));
    }
    if let Some(details) = &failed.details {
        out.push_str(&indented(&text::clean_lines(&json::pretty(details.get())), 2));
    }
    out
}

fn excerpt(payload: &RawValue) -> String {
    let pretty = text::clean_lines(&json::pretty(payload.get()));
    let count = pretty.lines().count();
    let mut out: String = pretty.lines().take(PAYLOAD_LINES_MAX).map(|line| format!("  {line}\n")).collect();
    if count > PAYLOAD_LINES_MAX {
        out.push_str(&format!("  … {} more; -o json prints all\n", text::counted(count - PAYLOAD_LINES_MAX, "line")));
    }
    out
}

/// How a finished task ended, for standard error: the result itself is data.
pub(crate) fn outcome(outcome: &Outcome, look: &Look) -> String {
    let mut out = format!("{} {}", text::clean(&outcome.id), look.state(&outcome.status));
    if let Some(reason) = outcome.cancel_reason.as_deref().filter(|reason| !reason.is_empty()) {
        out.push_str(&format!(": {}", text::clean(reason)));
    }
    if let Some(failed) = &outcome.failure {
        out.push('\n');
        out.push_str(failure(failed, look).trim_end());
        out.push_str(&format!("\n{} tasker task timeline {}", look.paint(Tone::Strong, "help:"), text::clean(&outcome.id)));
    }
    out
}

pub(crate) fn reasons(id: &str, reasons: &[Reason], look: &Look) -> String {
    if reasons.is_empty() {
        return format!("Nothing holds {id} up. `tasker task show {id}` shows its state.\n");
    }
    let mut out = String::new();
    for reason in reasons {
        let step = reason.step.as_deref().map(|step| format!("{}: ", look.paint(Tone::Strong, &text::clean(step)))).unwrap_or_default();
        out.push_str(&format!("{step}{}\n", text::clean(&reason.text)));
        if let Some(hint) = reason.hint.as_deref().filter(|hint| !hint.is_empty()) {
            out.push_str(&format!("  {} {}\n", look.paint(Tone::Strong, "help:"), text::clean(hint)));
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const RUNNING: &str = r#"{"id":"tsk_06f1a2b3c4d5e","namespace":"default","workflow":"process_order","version":"2.0.0","digest":"9f2c51e0aa00bb11","status":"running",
        "input":{"order_id":"536365","total":139.10},"result":null,"failure":null,"cancel_reason":null,"labels":{"tenant":"acme"},"idempotency_key":"536365","origin":null,
        "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","accepted_at":"2026-11-21T07:00:00.000Z","finished_at":null,"duration_ms":null,"events":9,
        "steps":[
            {"name":"validate_order","system":"rails_orders","capability":"order.validate","depends_on":[],"state":"succeeded","attempt":1,"attempts_max":5,
             "ready_at":"2026-11-21T07:00:00.000Z","started_at":"2026-11-21T07:00:00.010Z","finished_at":"2026-11-21T07:00:00.460Z","next_attempt_at":null,"worker":"aB3dE5gH","progress":null,"result":{},"failure":null,"attempts":[]},
            {"name":"reserve_inventory","system":"python_inventory","capability":"inventory.reserve","depends_on":["validate_order"],"state":"running","attempt":1,"attempts_max":5,
             "ready_at":"2026-11-21T07:00:00.461Z","started_at":"2026-11-21T07:00:00.470Z","finished_at":null,"next_attempt_at":null,"worker":"cC3dE5gH","progress":{"done":3,"of":7},"result":null,"failure":null,"attempts":[]},
            {"name":"charge_payment","system":"node_payments","capability":"payment.charge","depends_on":["validate_order"],"state":"backing_off","attempt":2,"attempts_max":5,
             "ready_at":null,"started_at":"2026-11-21T07:00:01.000Z","finished_at":null,"next_attempt_at":"2026-11-21T07:00:05.500Z","worker":null,"progress":null,"result":null,
             "failure":null,"attempts":[{"attempt":1,"worker":"dD3dE5gH","failure":{"kind":"retryable","code":"bank.timeout","message":"the bank did not answer","details":null,"retry_after_ms":null}}]},
            {"name":"send_mail","system":"go_mail","capability":"mail.send","depends_on":["reserve_inventory","charge_payment"],"state":"pending","attempt":0,"attempts_max":3}
        ]}"#;

    fn look() -> Look {
        Look { now: "2026-11-21T07:00:03Z".parse().expect("a valid instant"), width: Some(120), ..Look::plain() }
    }

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("the fixture fits the contract")
    }

    #[test]
    fn a_running_task_shows_what_each_step_does() {
        insta::assert_snapshot!(detail(&read(RUNNING), &look()));
    }

    #[test]
    fn the_list_shows_errors_and_running_times() {
        let tasks = r#"[
            {"id":"tsk_06f1a2b3c4d5e","workflow":"process_order","version":"2.0.0","status":"running","accepted_at":"2026-11-21T07:00:00.000Z","finished_at":null,"duration_ms":null,"error_code":null,"failed_step":null,"retries":1,"labels":{"tenant":"acme"}},
            {"id":"tsk_06f1a2b3c4d5d","workflow":"process_order","version":"2.0.0","status":"failed","accepted_at":"2026-11-21T06:00:00.000Z","finished_at":"2026-11-21T06:02:05.000Z","duration_ms":125000,"error_code":"card_declined","failed_step":"charge_payment","retries":4,"labels":{}}
        ]"#;
        insta::assert_snapshot!(list(&read::<Vec<_>>(tasks), false, &Look { width: Some(140), ..look() }));
    }

    #[test]
    fn empty_lists_say_the_next_command() {
        assert!(list(&[], false, &look()).contains("tasker task submit"));
        assert!(list(&[], true, &look()).contains("No task matches"));
        assert!(reasons("tsk_1", &[], &look()).contains("tasker task show tsk_1"));
    }

    #[test]
    fn a_failed_outcome_shows_code_place_and_details() {
        let json = r#"{"id":"tsk_06f1a2b3c4d5d","status":"failed","result":null,"failure":{"kind":"contract","code":"contract.result_violated","message":"the result does not fit",
            "details":{"violations":[{"pointer":"/id","message":"is missing"}]},"retry_after_ms":2500,"step":"charge_payment"},"cancel_reason":null}"#;
        insta::assert_snapshot!(outcome(&read(json), &look()));
    }

    #[test]
    fn a_cancelled_outcome_shows_the_reason() {
        let json = r#"{"id":"tsk_1","status":"cancelled","cancel_reason":"wrong\ncustomer"}"#;
        assert_eq!(outcome(&read(json), &look()), "tsk_1 cancelled: wrong customer");
    }

    #[test]
    fn long_payloads_are_cut_and_say_so() {
        let json = format!(r#"{{"id":"tsk_1","workflow":"w","status":"running","input":{:?}}}"#, (0..40).collect::<Vec<_>>());
        let shown = detail(&read(&json), &look());
        assert!(shown.ends_with("  … 22 lines more; -o json prints all\n"), "{shown}");
    }

    #[test]
    fn reasons_name_the_step_and_the_way_out() {
        let json = r#"[{"step":"charge_payment","text":"waits for capability payment.charge: 0 of 2 workers alive, last seen 14:02","hint":"start a worker of node_payments"},
            {"step":null,"text":"the coordinator is draining","hint":null}]"#;
        insta::assert_snapshot!(reasons("tsk_1", &read::<Vec<_>>(json), &look()));
    }
}
