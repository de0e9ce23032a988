//! Tasks: the list, one in detail, its outcome, and why it does not move.

use super::{fields, indented, labels, step};
use crate::answers::{Child, Ending, Failed, Outcome, Pause, Reason, StepDetail, TaskDetail, TaskSummary};
use crate::json;
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::text;
use serde_json::value::RawValue;

/// Payloads in `show` are cut after so many lines; `-o json` and `task result` give all.
const PAYLOAD_LINES_MAX: usize = 20;
/// Child tasks in `show`; a fan-out of children may have thousands.
const CHILDREN_MAX: usize = 20;
/// Commands that `show` proposes; more would hide the task itself.
const WAYS_ON_MAX: usize = 5;

pub(crate) fn list(tasks: &[TaskSummary], filtered: bool, look: &Look) -> String {
    if tasks.is_empty() {
        return if filtered {
            "No task matches. Fewer filters find more; `tasker task list` shows all.\n".to_owned()
        } else {
            "No tasks in this namespace yet. Submit one:  tasker task submit WORKFLOW --input '{}'\n".to_owned()
        };
    }
    let mut table = Table::new(&["!id", "workflow", "!status", "waits for", "!accepted", "!duration", "retries", "error", "labels"]);
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
            table::optional((!task.waiting.is_empty()).then(|| task.waiting.join(", ")).as_deref()),
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
    let [paused, workflow_paused, ending, deadline, parent, signals_kept] = circumstances(task);
    out.push_str(&fields(
        look,
        &[
            ("status", Some(status(task, look))),
            ("reason", task.cancel_reason.as_deref().map(text::clean)),
            paused,
            workflow_paused,
            ending,
            ("accepted", task.accepted_at.map(text::instant)),
            ("finished", task.finished_at.map(text::instant)),
            deadline,
            parent,
            signals_kept,
            ("namespace", (!task.namespace.is_empty()).then(|| text::clean(&task.namespace))),
            ("labels", labels(&task.labels)),
            ("key", task.idempotency_key.as_deref().map(text::clean)),
            ("retry of", task.origin.as_deref().map(text::clean)),
            ("trace", task.trace_id.as_deref().map(text::clean)),
            ("events", (task.events > 0).then(|| task.events.to_string())),
        ],
    ));
    out.push('\n');
    out.push_str(&step::table(&task.steps, look));
    out.push_str(&children(&task.children, look));
    out.push_str(&ways_on(task, look));
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
    let compensates = task.ending.as_ref().is_some_and(|ending| ending.compensate);
    let also = match (task.finished_at, task.paused.is_some() || task.workflow_paused.is_some(), task.ending.is_some()) {
        (Some(_), _, _) | (None, false, false) => "",
        (None, true, false) => ", paused",
        (None, true, true) if compensates => ", paused while it compensates",
        (None, true, true) => ", paused while it ends",
        (None, false, true) if compensates => ", compensating",
        (None, false, true) => ", ending",
    };
    format!("{}{}{also}", look.state(&task.status), span.unwrap_or_default())
}

/// The state of the task: why nothing new starts, what comes before its end, and whose child it is.
fn circumstances(task: &TaskDetail) -> [(&'static str, Option<String>); 6] {
    let pause = |pause: &Pause| {
        let since = pause.since.map(|since| format!(", since {}", text::instant(since))).unwrap_or_default();
        format!("{}{since}", text::clean(&pause.reason))
    };
    let kept = task.signals_kept.iter().map(|(name, count)| format!("{} ×{count}", text::clean(name))).collect::<Vec<_>>().join(", ");
    [
        ("paused", task.paused.as_ref().map(pause)),
        ("workflow paused", task.workflow_paused.as_ref().map(pause)),
        ("ending", task.ending.as_ref().filter(|_| task.finished_at.is_none()).map(ending)),
        ("deadline", task.deadline.map(text::instant)),
        ("started by", task.parent.as_ref().map(|parent| format!("{}{}", text::clean(&parent.task), detached(parent.detached)))),
        ("signals kept", (!kept.is_empty()).then_some(kept)),
    ]
}

fn detached(detached: bool) -> &'static str {
    if detached { ", which does not wait for it" } else { "" }
}

/// `compensates, then ends as failed: card_declined: the bank says no`.
fn ending(ending: &Ending) -> String {
    let doing = if ending.compensate { "compensates" } else { "finishes what is open" };
    let why = match (&ending.failure, &ending.reason) {
        (Some(failed), _) => format!(": {}: {}", text::clean(&failed.code), text::clean(&failed.message)),
        (None, Some(reason)) => format!(": {}", text::clean(reason)),
        (None, None) => String::new(),
    };
    let since = ending.since.map(|since| format!(", since {}", text::instant(since))).unwrap_or_default();
    format!("{doing}, then ends as {}{why}{since}", text::clean(&ending.cause))
}

/// The tasks that its steps started, the latest last.
fn children(children: &[Child], look: &Look) -> String {
    if children.is_empty() {
        return String::new();
    }
    let skipped = children.len().saturating_sub(CHILDREN_MAX);
    let mut out = format!("\n{}\n", look.paint(Tone::Strong, "child tasks"));
    if skipped > 0 {
        out.push_str(&format!("  … {skipped} earlier ones; `tasker task list --parent` lists all\n"));
    }
    for child in &children[skipped..] {
        let status = child.status.as_deref().map_or_else(|| "-".to_owned(), |status| look.state(status));
        let alone = if child.detached { " (detached)" } else { "" };
        out.push_str(&format!("  {}  {status}  {}{alone}\n", text::clean(&child.task), text::clean(&child.step)));
    }
    out
}

/// What a person can do now, as commands.
fn ways_on(task: &TaskDetail, look: &Look) -> String {
    if task.finished_at.is_some() {
        return String::new();
    }
    let id = text::clean(&task.id);
    let command = |step: &StepDetail| {
        let name = text::clean(&step.name);
        match (step.state.as_str(), step.waiting.as_ref().map(|waiting| waiting.awaits.as_str())) {
            ("held", _) => Some(format!("tasker step resolve {id} {name} retry|skip|supply|fail")),
            (_, Some("approval")) => Some(format!("tasker approval decide {id} {name} approve|reject")),
            (_, Some("signal")) => {
                let signal = step.waiting.as_ref().and_then(|waiting| waiting.name.as_deref()).unwrap_or("NAME");
                Some(format!("tasker task signal {id} {}", text::clean(signal)))
            }
            _ => None,
        }
    };
    let paused = task.paused.is_some().then(|| format!("tasker task resume {id}"));
    let workflow = task.workflow_paused.is_some().then(|| format!("tasker workflow resume {}", text::clean(&task.workflow)));
    let commands = paused.into_iter().chain(workflow).chain(task.steps.iter().filter_map(command)).take(WAYS_ON_MAX);
    let lines: String = commands.map(|command| format!("{} {command}\n", look.paint(Tone::Strong, "help:"))).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
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
    fn a_task_that_waits_for_people_shows_why_and_the_way_on() {
        let json = r#"{"id":"tsk_06f1a2b3c4d5e","namespace":"default","workflow":"process_order","version":"2.0.0","status":"running","accepted_at":"2026-11-21T07:00:00.000Z",
            "deadline":"2026-11-22T07:00:00Z","ending":{"cause":"failed","failure":{"kind":"permanent","code":"card_declined","message":"the bank says no"},"reason":null,"compensate":true,"since":"2026-11-21T07:00:01Z"},
            "paused":{"reason":"stock count","since":"2026-11-21T07:00:02Z"},"workflow_paused":{"reason":"bad release","since":"2026-11-21T07:00:02Z"},
            "parent":{"task":"tsk_06f1a2b3c4d00","detached":true},
            "children":[{"task":"tsk_06f1a2b3c4d01","step":"pack[0]","detached":false,"status":"succeeded"},{"task":"tsk_06f1a2b3c4d02","step":"audit","detached":true,"status":null}],
            "signals_kept":{"go_on":2},
            "steps":[{"name":"ship","kind":"call","role":"forward","system":"ship","capability":"parcel.send","state":"held","failure":{"code":"address_unknown","message":"no such street"},"attempt":1,"attempts_max":1},
                {"name":"review","kind":"approval","role":"forward","system":null,"capability":null,"state":"waiting","waiting":{"for":"approval","title":"Approve it","assignees":[],"reminded":0}},
                {"name":"wait","kind":"wait","role":"forward","system":null,"capability":null,"state":"waiting","waiting":{"for":"signal","name":"go_on","reminded":0}}]}"#;
        insta::assert_snapshot!(detail(&read(json), &look()));
    }

    #[test]
    fn a_fan_out_of_many_children_does_not_flood_the_terminal() {
        let child = r#"{"task":"tsk_1","step":"s","detached":false,"status":"running"}"#;
        let json = format!(r#"{{"id":"tsk_0","workflow":"w","status":"running","children":[{}]}}"#, vec![child; 100].join(","));
        let shown = detail(&read(&json), &look());
        assert_eq!(shown.matches("tsk_1").count(), CHILDREN_MAX);
        assert!(shown.contains("… 80 earlier ones"), "{shown}");
    }

    #[test]
    fn the_list_shows_errors_and_running_times() {
        let tasks = r#"[
            {"id":"tsk_06f1a2b3c4d5e","workflow":"process_order","version":"2.0.0","status":"running","accepted_at":"2026-11-21T07:00:00.000Z","finished_at":null,"duration_ms":null,"error_code":null,"failed_step":null,"retries":1,"labels":{"tenant":"acme"},"parent":null,"waiting":["approval","held"]},
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
