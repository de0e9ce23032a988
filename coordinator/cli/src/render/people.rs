//! What people decide and what comes from outside: approvals, held steps, items, signals and events.

use super::brief;
use crate::answers::{Approval, EventTaken, HeldStep, Item, Items, Signalled, TaskDetail};
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::text;
use serde_json::value::RawValue;

/// Values and failures in a table cell; `-o json` prints all.
const CELL_CHARACTERS_MAX: usize = 120;
/// The latest comments of an approval; `-o json` prints all.
const COMMENTS_MAX: usize = 5;
/// Tasks that took an event, by name; `-o json` names all.
const TASKS_MAX: usize = 20;

pub(crate) fn approvals(approvals: &[Approval], filtered: bool, look: &Look) -> String {
    if approvals.is_empty() {
        let more = if filtered { " `tasker approval list` shows all." } else { "" };
        return format!("Nobody is asked to decide anything.{more}\n");
    }
    let mut out = String::new();
    for approval in approvals {
        let name = format!("{} {}", text::clean(&approval.task), text::clean(&approval.step));
        out.push_str(&format!("{}  {}\n", look.paint(Tone::Strong, &name), text::clean(&approval.title)));
        if let Some(description) = approval.description.as_deref().filter(|description| !description.is_empty()) {
            out.push_str(&super::indented(&text::clean_lines(description), 2));
        }
        let asked = if approval.assignees.is_empty() { "anybody".to_owned() } else { text::clean(&approval.assignees.join(", ")) };
        let mut said = vec![format!("asks {asked}"), format!("for {}", text::clean(&approval.workflow))];
        said.extend(approval.since.map(|since| format!("since {}", text::instant(since))));
        said.extend(approval.until.map(|until| format!("until {}", text::instant(until))));
        said.extend((approval.reminded > 0).then(|| format!("reminded {}×", approval.reminded)));
        said.extend(approval.escalated_at.map(|at| format!("escalated {}", text::instant(at))));
        out.push_str(&format!("  {}\n", look.paint(Tone::Dim, &said.join(" · "))));
        if let Some(form) = &approval.form {
            out.push_str(&format!("  form  {}\n", brief(form, CELL_CHARACTERS_MAX)));
        }
        let skipped = approval.comments.len().saturating_sub(COMMENTS_MAX);
        for comment in &approval.comments[skipped..] {
            let at = comment.at.map(|at| format!(" {}", text::instant(at))).unwrap_or_default();
            out.push_str(&format!("  {}{at}: {}\n", text::clean(&comment.by), text::clean(&comment.text)));
        }
    }
    let (first, help) = (&approvals[0], look.paint(Tone::Strong, "help:"));
    let place = format!("{} {}", text::clean(&first.task), text::clean(&first.step));
    out.push_str(&format!("\n{help} tasker approval decide {place} approve|reject --by NAME\n"));
    out
}

pub(crate) fn held(held: &[HeldStep], filtered: bool, look: &Look) -> String {
    if held.is_empty() {
        let more = if filtered { " `tasker step held` shows all." } else { "" };
        return format!("No step waits for a person.{more}\n");
    }
    let mut table = Table::new(&["!task", "!step", "workflow", "!since", "attempts", "failure"]);
    for step in held {
        let failure = format!("{}: {}", step.failure.code, step.failure.message);
        table.row(vec![
            table::plain(&step.task),
            table::plain(&step.step),
            table::plain(&step.workflow),
            step.since.map_or_else(|| "-".to_owned(), text::instant),
            step.attempts.to_string(),
            text::shorten(&table::plain(&failure), CELL_CHARACTERS_MAX),
        ]);
    }
    let place = format!("{} {}", text::clean(&held[0].task), text::clean(&held[0].step));
    let help = look.paint(Tone::Strong, "help:");
    format!("{}\n{help} tasker step resolve {place} retry|skip|supply|fail --by NAME\n", table.render(look))
}

pub(crate) fn items(counts: &Items, items: &[Item], filtered: bool, look: &Look) -> String {
    if items.is_empty() {
        return match (counts.count, filtered) {
            (0, _) => "It has no items: the step is no fan-out, has not begun, or its list is empty.\n".to_owned(),
            (count, true) => format!("None of its {count} items matches.\n"),
            (count, false) => format!("It has {count} items, and none was listed.\n"),
        };
    }
    let counted = text::counted(usize::try_from(counts.count).unwrap_or(usize::MAX), "item");
    let mut out = format!(
        "{} of {counted} over: {} succeeded, {} failed; {} at work\n\n",
        counts.over, counts.succeeded, counts.failed, counts.working
    );
    let mut table = Table::new(&["!item", "!state", "attempts", "value", "result"]);
    for item in items {
        let name = if item.name.is_empty() { item.number.to_string() } else { item.name.clone() };
        let failure = item.failure.as_ref().map(|failed| format!("{}: {}", failed.code, failed.message));
        table.row(vec![
            table::plain(&name),
            table::state(&item.state),
            item.attempts.to_string(),
            short(item.value.as_deref()),
            failure.map_or_else(|| short(item.result.as_deref()), |failure| text::shorten(&table::plain(&failure), CELL_CHARACTERS_MAX)),
        ]);
    }
    out.push_str(&table.render(look));
    out
}

/// A value as it came, on one line, shortened.
fn short(value: Option<&RawValue>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| text::shorten(&text::clean(&crate::json::compact(value.get())), CELL_CHARACTERS_MAX))
}

/// What a decision, a comment or a resolution led to: the step's state and the task's.
pub(crate) fn changed(step: &str, done: &str, task: &TaskDetail, look: &Look) -> String {
    let state = task.steps.iter().find(|found| found.name == step).map(|found| format!(", now {}", look.state(&found.state)));
    let status = look.state(&task.status);
    format!("{} {step} {done}{}; the task is {status}\n", text::clean(&task.id), state.unwrap_or_default())
}

pub(crate) fn signalled(name: &str, signalled: &Signalled, look: &Look) -> String {
    let said = match (&signalled.taken_by, signalled.repeated) {
        (_, true) => "came before; nothing was changed".to_owned(),
        (Some(step), false) => format!("taken by {}", look.paint(Tone::Good, &text::clean(step))),
        (None, false) => "kept until a step waits for it".to_owned(),
    };
    format!("{} {said}\n", text::clean(name))
}

pub(crate) fn event(taken: &EventTaken, look: &Look) -> String {
    if taken.repeated {
        return "it came before; nothing was changed\n".to_owned();
    }
    let mut out = match taken.tasks.len() {
        0 if taken.kept => "nobody waits for it; kept for a day\n".to_owned(),
        0 => "nobody took it\n".to_owned(),
        count => format!("taken by {}\n", text::counted(count, "task")),
    };
    for task in taken.tasks.iter().take(TASKS_MAX) {
        out.push_str(&format!("  {}\n", look.paint(Tone::Good, &text::clean(task))));
    }
    if taken.tasks.len() > TASKS_MAX {
        out.push_str(&format!("  … {} more; -o json names all\n", taken.tasks.len() - TASKS_MAX));
    }
    if taken.refused > 0 {
        out.push_str(&format!("refused by {}: its payload does not fit what they wait for\n", text::counted(taken.refused, "task")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Look {
        Look { width: Some(120), ..Look::plain() }
    }

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("the fixture fits the contract")
    }

    #[test]
    fn approvals_show_who_is_asked_what_was_said_and_how_to_decide() {
        let json = r#"[
            {"task":"tsk_06f1a2b3c4d5e","workflow":"document_approval","step":"review","title":"Approve A\u001b[2J-7","description":"Two pages.\nSigned.","form":{"type":"object","required":["limit"]},
             "assignees":["legal","ada"],"since":"2026-11-21T07:00:00.000Z","until":"2026-12-05T07:00:00.000Z","reminded":2,"escalated_at":"2026-11-24T07:00:00Z","comments":[{"by":"ada","text":"asked the customer","at":"2026-11-22T07:00:00Z"}]},
            {"task":"tsk_06f1a2b3c4d5f","workflow":"refund","step":"check","title":"Refund 5 EUR","description":null,"form":null,"assignees":[],"since":"2026-11-21T08:00:00.000Z","until":null,"reminded":0,"escalated_at":null,"comments":[]}]"#;
        insta::assert_snapshot!(approvals(&read::<Vec<_>>(json), false, &look()));
    }

    #[test]
    fn held_steps_show_their_failure_and_how_to_resolve_them() {
        let json = r#"[{"task":"tsk_06f1a2b3c4d5e","workflow":"order","step":"ship","failure":{"kind":"permanent","code":"address_unknown","message":"no such street","details":null,"retry_after_ms":null},
            "since":"2026-11-21T07:00:00.000Z","attempts":3,"result":null}]"#;
        insta::assert_snapshot!(held(&read::<Vec<_>>(json), false, &look()));
    }

    #[test]
    fn items_show_values_results_and_failures() {
        let counts = read(r#"{"count":7,"working":2,"over":3,"succeeded":2,"failed":1}"#);
        let json = r#"[{"name":"resize[0]","number":0,"value":{"url":"a.png","size":1.10},"state":"succeeded","attempts":1,"result":{"ok":true},"failure":null},
            {"name":"resize[1]","number":1,"value":"b.png","state":"failed","attempts":3,"result":null,"failure":{"kind":"permanent","code":"image.broken","message":"no header"}},
            {"name":"resize[2]","number":2,"value":null,"state":"running","attempts":1,"result":null,"failure":null}]"#;
        insta::assert_snapshot!(items(&counts, &read::<Vec<_>>(json), false, &look()));
    }

    #[test]
    fn empty_lists_say_so() {
        assert!(approvals(&[], true, &look()).contains("tasker approval list"));
        assert!(held(&[], false, &look()).contains("No step waits"));
        assert!(items(&Items::default(), &[], false, &look()).contains("no fan-out"));
        assert!(items(&Items { count: 7, ..Items::default() }, &[], true, &look()).contains("None of its 7 items"));
    }

    #[test]
    fn what_came_from_outside_is_told_as_it_was_taken() {
        let signal = |json: &str| signalled("go_on", &read(json), &look());
        assert_eq!(signal(r#"{"taken_by":"wait","repeated":false}"#), "go_on taken by wait\n");
        assert_eq!(signal(r#"{"taken_by":null,"repeated":false}"#), "go_on kept until a step waits for it\n");
        assert_eq!(signal(r#"{"taken_by":"wait","repeated":true}"#), "go_on came before; nothing was changed\n");
        let taken = |json: &str| event(&read(json), &look());
        assert_eq!(
            taken(r#"{"tasks":["tsk_1","tsk_2"],"refused":0,"kept":false,"repeated":false}"#),
            "taken by 2 tasks\n  tsk_1\n  tsk_2\n"
        );
        assert_eq!(taken(r#"{"tasks":[],"refused":0,"kept":true,"repeated":false}"#), "nobody waits for it; kept for a day\n");
        assert!(taken(r#"{"tasks":[],"refused":2,"kept":false,"repeated":false}"#).contains("refused by 2 tasks"));
        assert!(taken(r#"{"tasks":[],"refused":0,"kept":false,"repeated":true}"#).contains("came before"));
        let many = format!(r#"{{"tasks":[{}]}}"#, vec![r#""tsk_1""#; 50].join(","));
        assert!(taken(&many).ends_with("… 30 more; -o json names all\n"));
    }

    #[test]
    fn a_decision_says_what_the_step_and_the_task_are_now() {
        let task = r#"{"id":"tsk_1","workflow":"w","status":"running","steps":[{"name":"review","state":"succeeded"}]}"#;
        assert_eq!(changed("review", "approved", &read(task), &look()), "tsk_1 review approved, now succeeded; the task is running\n");
        assert_eq!(
            changed("resize[3]", "resolved by skip", &read(task), &look()),
            "tsk_1 resize[3] resolved by skip; the task is running\n"
        );
    }
}
