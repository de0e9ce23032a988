//! Workflows: the list, and one as an indented graph.

use super::{fields, step};
use crate::answers::{Applied, GraphStep, Timeouts, WorkflowDetail, WorkflowPause, WorkflowSummary};
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::text;
use std::collections::BTreeMap;

/// Hexadecimal digits of a digest that people compare by eye.
const DIGEST_CHARACTERS: usize = 12;

pub(crate) fn list(workflows: &[WorkflowSummary], look: &Look) -> String {
    if workflows.is_empty() {
        return "No workflows in this namespace yet. Apply one:  tasker workflow apply order.yaml\n".to_owned();
    }
    let mut table = Table::new(&["!name", "!version", "steps", "systems", "!applied", "description"]);
    for workflow in workflows {
        let current = match (workflow.current, workflow.paused.is_some()) {
            (true, true) => " (current, paused)",
            (true, false) => " (current)",
            (false, true) => " (paused)",
            (false, false) => "",
        };
        table.row(vec![
            table::plain(&workflow.name),
            table::plain(&format!("{}{current}", workflow.version)),
            workflow.steps.to_string(),
            table::plain(&workflow.systems.join(", ")),
            workflow.applied_at.map_or_else(|| "-".to_owned(), text::instant),
            table::optional(workflow.description.as_deref().filter(|text| !text.is_empty())),
        ]);
    }
    table.render(look)
}

pub(crate) fn applied(applied: &Applied, look: &Look) -> String {
    let what = match (applied.dry_run, applied.changed) {
        (true, true) => "would be applied",
        (true, false) => "is unchanged",
        (false, false) => "is unchanged",
        (false, true) => "applied",
    };
    let name = format!("{} {}", text::clean(&applied.name), text::clean(&applied.version));
    format!("{} {what}  {}\n", look.paint(Tone::Strong, &name), look.paint(Tone::Dim, &digest(&applied.digest)))
}

/// What a pause, or its end, led to.
pub(crate) fn held(pause: &WorkflowPause, look: &Look) -> String {
    let state = if pause.paused { "paused" } else { "not paused" };
    let already = if pause.changed { "" } else { " already" };
    let tasks = text::counted(pause.tasks, "unfinished task");
    format!("{} is{already} {state}  {}\n", look.paint(Tone::Strong, &text::clean(&pause.name)), look.paint(Tone::Dim, &tasks))
}

fn digest(whole: &str) -> String {
    text::clean(whole).chars().take(DIGEST_CHARACTERS).collect()
}

pub(crate) fn detail(workflow: &WorkflowDetail, look: &Look) -> String {
    let summary = &workflow.summary;
    let current = if summary.current { " (current)" } else { "" };
    let name = format!("{} {}{current}", text::clean(&summary.name), text::clean(&summary.version));
    let mut out = format!("{}\n", look.paint(Tone::Strong, &name));
    out.push_str(&fields(
        look,
        &[
            ("description", summary.description.as_deref().filter(|text| !text.is_empty()).map(text::clean)),
            ("systems", (!summary.systems.is_empty()).then(|| text::clean(&summary.systems.join(", ")))),
            ("paused", summary.paused.as_ref().map(|pause| text::clean(&pause.reason))),
            ("applied", summary.applied_at.map(text::instant)),
            ("digest", Some(digest(&summary.digest))),
        ],
    ));
    out.push('\n');
    out.push_str(&graph(&workflow.graph, look));
    out
}

/// A condition longer than this is cut: `--source` prints it whole.
const CONDITION_CHARACTERS_MAX: usize = 80;

/// Steps in order of their depth, indented by it: what stands further right waits for what stands further left. Handlers come last.
fn graph(steps: &[GraphStep], look: &Look) -> String {
    let depths = depths(steps);
    let mut order: Vec<usize> = (0..steps.len()).collect();
    let is_handler = |step: &GraphStep| step.role.as_deref().is_some_and(|role| role != "forward");
    order.sort_by_key(|&index| (is_handler(&steps[index]), depths[index]));
    let label = |index: usize| format!("{}{}", "  ".repeat(depths[index]), text::clean(&steps[index].name));
    let width = order.iter().map(|&index| label(index).chars().count()).max().unwrap_or(0);
    let owner =
        |step: &GraphStep| step::owner(step.kind.as_deref(), step.role.as_deref(), step.system.as_deref(), step.capability.as_deref());
    let owner_width = steps.iter().map(|step| owner(step).chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for index in order {
        let step = &steps[index];
        let line = format!("{:<width$}  {:<owner_width$}  {}", label(index), owner(step), conditions(step));
        out.push_str(line.trim_end());
        out.push('\n');
        let limits = [retry(step), step.timeouts.as_ref().and_then(timeouts)].into_iter().flatten().collect::<Vec<_>>().join(" · ");
        if !limits.is_empty() {
            let indent = "  ".repeat(depths[index]);
            out.push_str(&format!("{indent}  {}\n", look.paint(Tone::Dim, &limits)));
        }
    }
    out
}

/// When the step starts, and how often: `after any of a, b · for each item · if ${ … }`.
fn conditions(step: &GraphStep) -> String {
    let before = text::clean(&step.depends_on.join(", "));
    let after = match step.join.as_deref() {
        _ if step.depends_on.is_empty() => None,
        // With one step before it, the first is all of them.
        None | Some("all") => Some(format!("after {before}")),
        Some("any") => Some(format!("after any of {before}, once all are over")),
        Some("done") => Some(format!("after the end of {before}, however")),
        Some("first") => Some(format!("after the first of {before}")),
        Some("at_least") => Some(format!("after enough of {before}")),
        Some(other) => Some(format!("after {} of {before}", text::clean(other))),
    };
    let when = step.when.as_deref().map(|when| format!("if {}", text::shorten(&text::clean(when), CONDITION_CHARACTERS_MAX)));
    let each = step.fans_out.then(|| "for each item".to_owned());
    let undone = step.compensate.as_deref().map(|handler| format!("undone by {}", text::clean(handler)));
    [after, when, each, undone].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The longest way from a step without dependencies. A name that is not in the graph, or a circle, which the server never accepts, counts as no dependency.
fn depths(steps: &[GraphStep]) -> Vec<usize> {
    let index: BTreeMap<&str, usize> = steps.iter().enumerate().map(|(index, step)| (step.name.as_str(), index)).collect();
    let mut depths = vec![0; steps.len()];
    // Each round settles at least one more layer, so as many rounds as steps are enough.
    for _ in 0..steps.len() {
        let mut moved = false;
        for (position, step) in steps.iter().enumerate() {
            let deepest =
                step.depends_on.iter().filter_map(|name| index.get(name.as_str())).map(|&before| depths[before] + 1).max().unwrap_or(0);
            if deepest > depths[position] && deepest < steps.len() {
                depths[position] = deepest;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    depths
}

/// `up to 5 attempts, exponential from 500ms to 30.0s, not after card_declined`.
fn retry(step: &GraphStep) -> Option<String> {
    // Only calls and child tasks have attempts; the others are never tried again.
    let policy = step.retry.as_ref().filter(|_| matches!(step.kind.as_deref(), None | Some("call" | "child")))?;
    let attempts = match policy.attempts_max? {
        1 => return Some("one attempt".to_owned()),
        many => format!("up to {many} attempts"),
    };
    let delays = match (policy.base_ms, policy.cap_ms) {
        (Some(base), Some(cap)) => format!(", {} from {} to {}", text::clean(&policy.backoff), text::duration(base), text::duration(cap)),
        (Some(_), None) | (None, _) => format!(", {}", text::clean(&policy.backoff)),
    };
    let never = if policy.non_retryable.is_empty() {
        String::new()
    } else {
        format!(", not after {}", text::clean(&policy.non_retryable.join(", ")))
    };
    Some(format!("{attempts}{delays}{never}"))
}

fn timeouts(timeouts: &Timeouts) -> Option<String> {
    let all = [("waiting", timeouts.waiting_ms), ("running", timeouts.running_ms), ("total", timeouts.total_ms)];
    let shown: Vec<_> = all.into_iter().filter_map(|(name, limit)| Some(format!("{name} {}", text::duration(limit?)))).collect();
    (!shown.is_empty()).then(|| format!("at most {}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARIES: &str = r#"[
        {"name":"process_order","version":"2.0.0","digest":"9f2c51e0aa00bb11","description":"From validation to mail","steps":4,
         "systems":["rails_orders","python_inventory","node_payments"],"applied_at":"2026-11-21T07:00:12.345Z","current":true},
        {"name":"process_order","version":"1.9.0","digest":"0102030405060708","description":"","steps":3,"systems":["rails_orders"],"applied_at":"2026-10-01T10:00:00.000Z","current":false}
    ]"#;

    const DETAIL: &str = r#"{"name":"process_order","version":"2.0.0","digest":"9f2c51e0aa00bb11","description":"From validation to mail","steps":4,
        "systems":["rails_orders","python_inventory"],"applied_at":"2026-11-21T07:00:12.345Z","current":true,"source":"name: process_order\n",
        "graph":[
            {"name":"send_mail","system":"go_mail","capability":"mail.send","depends_on":["charge_payment"],"retry":null,"timeouts":null},
            {"name":"validate_order","system":"rails_orders","capability":"order.validate","depends_on":[],
             "retry":{"backoff":"exponential","base_ms":500,"cap_ms":30000,"jitter":"equal","attempts_max":5,"non_retryable":["order.empty","order.unknown"]},"timeouts":{"waiting_ms":null,"running_ms":30000,"total_ms":300000}},
            {"name":"reserve_inventory","system":"python_inventory","capability":"inventory.reserve","depends_on":["validate_order"]},
            {"name":"charge_payment","system":"node_payments","capability":"payment.charge","depends_on":["validate_order","reserve_inventory"]}
        ]}"#;

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("the fixture fits the contract")
    }

    #[test]
    fn the_list_shows_versions_and_owners() {
        insta::assert_snapshot!(list(&read::<Vec<_>>(SUMMARIES), &Look { width: Some(120), ..Look::plain() }));
    }

    #[test]
    fn an_empty_list_says_the_next_command() {
        assert!(list(&[], &Look::plain()).contains("tasker workflow apply"));
    }

    #[test]
    fn the_graph_is_indented_by_depth() {
        insta::assert_snapshot!(detail(&read(DETAIL), &Look::plain()));
    }

    #[test]
    fn the_graph_shows_joins_conditions_and_handlers() {
        let json = r#"{"name":"w","version":"1","digest":"9f2c51e0aa00bb11","paused":{"reason":"bad release","since":"2026-11-21T07:00:12.345Z"},"graph":[
            {"name":"refund","kind":"call","role":"compensation","system":"pay","capability":"payment.refund","depends_on":[],"join":"all","when":null,"fans_out":false,"compensate":null},
            {"name":"route","kind":"switch","role":"forward","system":null,"capability":null,"depends_on":[],"join":"all","when":null,"fans_out":false,"compensate":null},
            {"name":"review","kind":"approval","role":"forward","system":null,"capability":null,"depends_on":["route"],"join":"all","when":"task.input.total > 100","fans_out":false,"compensate":null},
            {"name":"charge","kind":"call","role":"forward","system":"pay","capability":"payment.charge","depends_on":["route","review"],"join":"any","when":null,"fans_out":true,"compensate":"refund"},
            {"name":"pack","kind":"child","role":"forward","system":null,"capability":null,"depends_on":["route","charge"],"join":"first","when":null,"fans_out":false,"compensate":null},
            {"name":"bye","kind":"call","role":"on_failure","system":"mail","capability":"mail.send","depends_on":[],"join":"done"}]}"#;
        insta::assert_snapshot!(detail(&read(json), &Look::plain()));
    }

    #[test]
    fn a_circle_in_an_answer_does_not_hang_the_drawing() {
        let circle = r#"{"name":"w","version":"1","graph":[{"name":"a","depends_on":["b"]},{"name":"b","depends_on":["a"]}]}"#;
        assert!(detail(&read(circle), &Look::plain()).contains("after a"));
    }

    #[test]
    fn a_pause_says_what_holds_now_and_how_many_tasks_it_holds() {
        let say = |json: &str| held(&read(json), &Look::plain());
        assert_eq!(say(r#"{"name":"w","paused":true,"reason":"x","tasks":3,"changed":true}"#), "w is paused  3 unfinished tasks\n");
        assert_eq!(
            say(r#"{"name":"w","paused":false,"reason":null,"tasks":1,"changed":false}"#),
            "w is already not paused  1 unfinished task\n"
        );
    }

    #[test]
    fn applying_says_what_changed() {
        let say = |changed, dry_run| {
            let json = format!(r#"{{"name":"w","version":"1","digest":"0123456789abcdef","changed":{changed},"dry_run":{dry_run}}}"#);
            applied(&read(&json), &Look::plain())
        };
        assert_eq!(say(true, false), "w 1 applied  0123456789ab\n");
        assert_eq!(say(false, false), "w 1 is unchanged  0123456789ab\n");
        assert_eq!(say(true, true), "w 1 would be applied  0123456789ab\n");
        assert_eq!(say(false, true), "w 1 is unchanged  0123456789ab\n");
    }
}
