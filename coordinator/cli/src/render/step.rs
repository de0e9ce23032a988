//! The steps of a task as a table: what each does now, who does it, and what is worth knowing. Handlers come last; those that nobody called
//! yet are only named.

use super::brief;
use crate::answers::{StepDetail, Wait};
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::text;

/// Progress and failures in a table cell.
const NOTE_CHARACTERS_MAX: usize = 200;
/// A cell names so many people, and the line below the table so many handlers; `-o json` names all.
const NAMES_MAX: usize = 8;

/// The table of the steps, with a line about the handlers that stand by.
pub(crate) fn table(steps: &[StepDetail], look: &Look) -> String {
    let mut table = Table::new(&["!step", "!state", "attempt", "!time", "owner", "note"]);
    let (forward, handlers): (Vec<_>, Vec<_>) = steps.iter().partition(|step| !is_handler(step));
    let (idle, called): (Vec<_>, Vec<_>) = handlers.into_iter().partition(|step| step.state == "standby");
    for step in forward.into_iter().chain(called) {
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
            owner(step.kind.as_deref(), step.role.as_deref(), step.system.as_deref(), step.capability.as_deref()),
            note(step, look),
        ]);
    }
    let mut out = table.render(look);
    if !idle.is_empty() {
        let names: Vec<String> = idle.iter().map(|step| format!("{} ({})", step.name, role_in_words(step.role.as_deref()))).collect();
        let line = format!("on standby: {}", named(&names));
        let line = look.width.map_or_else(|| line.clone(), |width| text::shorten(&line, usize::from(width)));
        out.push_str(&format!("{}\n", look.paint(Tone::Dim, &line)));
    }
    out
}

fn is_handler(step: &StepDetail) -> bool {
    step.role.as_deref().is_some_and(|role| role != "forward")
}

fn role_in_words(role: Option<&str>) -> String {
    match role {
        Some("on_failure") => "on failure".to_owned(),
        Some(role) => text::clean(role),
        None => "handler".to_owned(),
    }
}

/// Who does a step: a system's capability, or, if nobody is asked, what kind of step it is; and for a handler, what it is for.
pub(crate) fn owner(kind: Option<&str>, role: Option<&str>, system: Option<&str>, capability: Option<&str>) -> String {
    let doer = match (system, capability) {
        (Some(system), Some(capability)) => format!("{} · {}", text::clean(system), text::clean(capability)),
        (Some(one), None) | (None, Some(one)) => text::clean(one),
        (None, None) => match kind {
            Some("child") => "(child task)".to_owned(),
            Some(kind) => format!("({})", text::clean(kind)),
            None => "-".to_owned(),
        },
    };
    match role {
        None | Some("forward") => doer,
        handler => format!("{doer}, {}", role_in_words(handler)),
    }
}

/// At most so many names with commas between, and how many more there are.
fn named(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MAX).map(|name| text::clean(name)).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX { format!("{shown} and {} more", names.len() - NAMES_MAX) } else { shown }
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
    let branch = step.branch.as_deref().map(|branch| format!("took {}", text::clean(branch)));
    let joined = |parts: [Option<String>; 2]| parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    match step.state.as_str() {
        "pending" if !step.depends_on.is_empty() => format!("after {}", text::clean(&step.depends_on.join(", "))),
        "parked" => "waits for a free place: max_parallel".to_owned(),
        "ready" => "waits for a worker".to_owned(),
        "running" => match (&step.worker, &step.progress) {
            (Some(worker), Some(progress)) => format!("{}: {}", text::clean(worker), brief(progress, NOTE_CHARACTERS_MAX)),
            (Some(worker), None) => text::clean(worker),
            (None, Some(progress)) => brief(progress, NOTE_CHARACTERS_MAX),
            (None, None) => String::new(),
        },
        "backing_off" => {
            let next = step.next_attempt_at.map(|at| format!("again in {}", text::duration(text::milliseconds_between(look.now, at))));
            joined([next, failed()])
        }
        "waiting" => step.waiting.as_ref().map(|waiting| wait(waiting, look)).unwrap_or_default(),
        "fanned_out" => items(step).unwrap_or_default(),
        "falling_back" => joined([step.fallback.as_deref().map(|to| format!("{} runs in its place", text::clean(to))), failed()]),
        "held" => joined([Some("waits for a person".to_owned()), failed()]),
        "skipped" => step.skipped.as_deref().map(skipped).unwrap_or_default(),
        "failed" => joined([items(step), failed()]),
        _ => joined([branch, items(step)]),
    }
}

/// Why a step was skipped. A reason that we do not know yet is shown as it came.
fn skipped(reason: &str) -> String {
    match reason {
        "condition" => "its condition did not hold".to_owned(),
        "branch" => "another branch was taken".to_owned(),
        "join" => "too few of those before it succeeded".to_owned(),
        "not_needed" => "not needed: others were enough".to_owned(),
        "person" => "a person skipped it".to_owned(),
        other => text::clean(other),
    }
}

/// `3 of 7 items over, 2 at work, 1 failed`.
fn items(step: &StepDetail) -> Option<String> {
    let items = step.items.as_ref()?;
    let mut said = format!("{} of {} over", items.over, text::counted(usize::try_from(items.count).unwrap_or(usize::MAX), "item"));
    for (count, word) in [(items.working, "at work"), (items.failed, "failed")] {
        if count > 0 {
            said.push_str(&format!(", {count} {word}"));
        }
    }
    Some(said)
}

/// What a step waits for, and until when.
pub(crate) fn wait(waiting: &Wait, look: &Look) -> String {
    let left = waiting.until.map(|until| text::duration(text::milliseconds_between(look.now, until)));
    let name = waiting.name.as_deref().map(text::clean).unwrap_or_default();
    let what = match waiting.awaits.as_str() {
        "sleep" => return left.map_or_else(|| "sleeps".to_owned(), |left| format!("sleeps for {left} more")),
        "signal" => format!("for signal {name}"),
        "event" => format!("for event {name} with key {}", waiting.key.as_deref().map_or_else(|| "-".to_owned(), text::clean)),
        "approval" => approval(waiting),
        other => format!("for {}", text::clean(other)),
    };
    let left = left.map(|left| format!(", at most {left} more")).unwrap_or_default();
    let reminded = if waiting.reminded > 0 { format!(", reminded {}×", waiting.reminded) } else { String::new() };
    let escalated = if waiting.escalated_at.is_some() { ", escalated" } else { "" };
    text::shorten(&format!("{what}{left}{reminded}{escalated}"), NOTE_CHARACTERS_MAX)
}

fn approval(waiting: &Wait) -> String {
    let asked = waiting.assignees.as_deref().filter(|asked| !asked.is_empty()).map_or_else(|| "anybody".to_owned(), named);
    let title = waiting.title.as_deref().map(|title| format!(" about “{}”", text::clean(title))).unwrap_or_default();
    format!("for a decision of {asked}{title}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &str = r#"[
        {"name":"refund","kind":"call","role":"compensation","system":"pay","capability":"payment.refund","depends_on":[],"state":"standby"},
        {"name":"by_invoice","kind":"call","role":"fallback","system":"pay","capability":"invoice.send","depends_on":[],"state":"running","attempt":1,"attempts_max":2,"worker":"w1","started_at":"2026-11-21T07:00:01Z"},
        {"name":"tell","kind":"call","role":"on_failure","system":null,"capability":null,"depends_on":[],"state":"standby"},
        {"name":"route","kind":"switch","role":"forward","system":null,"capability":null,"depends_on":[],"state":"succeeded","branch":"high","ready_at":"2026-11-21T07:00:00Z","finished_at":"2026-11-21T07:00:00Z"},
        {"name":"review","kind":"approval","role":"forward","system":null,"capability":null,"depends_on":["route"],"state":"waiting","ready_at":"2026-11-21T07:00:00Z",
         "waiting":{"for":"approval","title":"Approve\u001b[2J order","description":null,"assignees":["legal","ada"],"since":"2026-11-21T07:00:00Z","until":"2026-11-22T07:00:03Z","reminded":2,"escalated_at":"2026-11-21T07:00:02Z"}},
        {"name":"paid","kind":"wait","role":"forward","state":"waiting","ready_at":"2026-11-21T07:00:00Z","waiting":{"for":"event","name":"payment.settled","key":"A-7","since":"2026-11-21T07:00:00Z","until":null,"reminded":0,"escalated_at":null}},
        {"name":"cool_down","kind":"sleep","role":"forward","state":"waiting","ready_at":"2026-11-21T07:00:00Z","waiting":{"for":"sleep","since":"2026-11-21T07:00:00Z","until":"2026-11-21T07:01:03Z","reminded":0}},
        {"name":"resize","kind":"call","role":"forward","system":"img","capability":"image.resize","state":"fanned_out","items":{"count":7,"working":2,"over":3,"succeeded":2,"failed":1},"ready_at":"2026-11-21T07:00:00Z"},
        {"name":"charge","kind":"call","role":"forward","system":"pay","capability":"payment.charge","state":"falling_back","fallback":"by_invoice","failure":{"code":"gateway_down","message":"no route"},"attempt":3,"attempts_max":3},
        {"name":"ship","kind":"call","role":"forward","system":"ship","capability":"parcel.send","state":"held","failure":{"code":"address_unknown","message":"no such street"},"attempt":1,"attempts_max":1},
        {"name":"pack","kind":"child","role":"forward","state":"parked"},
        {"name":"gift","kind":"call","role":"forward","system":"ship","capability":"gift.wrap","state":"skipped","skipped":"condition"},
        {"name":"low","kind":"call","role":"forward","system":"ship","capability":"x.y","state":"skipped","skipped":"a_reason_of_tomorrow"}
    ]"#;

    fn look() -> Look {
        Look { now: "2026-11-21T07:00:03Z".parse().expect("a valid instant"), width: Some(140), ..Look::plain() }
    }

    fn steps() -> Vec<StepDetail> {
        serde_json::from_str(STEPS).expect("the fixture fits the contract")
    }

    #[test]
    fn every_kind_of_step_says_what_it_waits_for_and_handlers_come_last() {
        insta::assert_snapshot!(table(&steps(), &look()));
    }

    #[test]
    fn many_handlers_on_standby_take_one_line() {
        let idle: Vec<StepDetail> = (0..50).map(|number| StepDetail { name: format!("undo_{number}"), ..steps()[0].clone() }).collect();
        let drawn = table(&idle, &look());
        assert_eq!(drawn.lines().filter(|line| line.contains("undo_")).count(), 1, "{drawn}");
        assert!(drawn.contains("undo_7 (compensation) and 42 more") || drawn.contains('…'), "{drawn}");
    }

    #[test]
    fn a_step_of_an_older_server_has_no_kind_and_is_shown_all_the_same() {
        let old: Vec<StepDetail> =
            serde_json::from_str(r#"[{"name":"a","system":"s","capability":"c","state":"waiting_for_godot"}]"#).expect("lenient");
        assert!(table(&old, &look()).contains("s · c"));
    }
}
