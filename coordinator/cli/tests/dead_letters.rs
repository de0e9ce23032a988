//! `tasker dlq …`: what is asked, what people read, and what the exit code says.

mod stage;

use serde_json::{Value, json as value};
use stage::{Asked, Stage, json};
use tasker_cli::Exit;

const LETTER: &str = r#"{"task":"tsk_1","state":"open","workflow":"order","version":"1.0.0","code":"card_declined","message":"no money",
    "step":"charge","system":"payments","capability":"payment.charge","failed_at":"2026-11-21T06:00:00.000Z","requeued_to":null,
    "settled_at":null,"settled_by":null,"settled_reason":null}"#;

fn settled(outcomes: &[(&str, Option<&str>)], next_after: Value) -> String {
    let refused = outcomes.iter().filter(|(_, code)| code.is_some()).count();
    let items: Vec<Value> = outcomes
        .iter()
        .map(|(task, code)| match code {
            None => value!({"task": task, "outcome": "requeued", "before": false, "requeued_to": format!("{task}9"), "code": null, "detail": null}),
            Some(code) => value!({"task": task, "outcome": "refused", "before": false, "requeued_to": null, "code": code, "detail": "no"}),
        })
        .collect();
    let (matched, done) = (items.len(), items.len() - refused);
    value!({"dry_run": false, "matched": matched, "done": done, "refused": refused, "items": items, "sample": [], "next_after": next_after})
        .to_string()
}

fn preview(matched: u64) -> String {
    let sample: Vec<Value> = (0..matched.min(1)).map(|_| serde_json::from_str(LETTER).expect("valid")).collect();
    value!({"dry_run": true, "matched": matched, "done": 0, "refused": 0, "items": [], "sample": sample, "next_after": null}).to_string()
}

/// A server with five open letters, which settles them in pieces of as many as it is asked for.
fn five(asked: &Asked) -> axum::response::Response {
    let body = asked.json();
    if body["dry_run"] == true {
        return json(200, preview(5));
    }
    if let Some(tasks) = body["tasks"].as_array() {
        let outcomes: Vec<(&str, Option<&str>)> = tasks.iter().map(|task| (task.as_str().expect("text"), None)).collect();
        return json(200, settled(&outcomes, Value::Null));
    }
    let first = body["after"].as_str().map_or(0, |after| after.parse::<usize>().expect("a number"));
    let limit = usize::try_from(body["limit"].as_u64().expect("a limit")).expect("small");
    let names: Vec<String> = (first..(first + limit).min(5)).map(|number| format!("tsk_{number}")).collect();
    let outcomes: Vec<(&str, Option<&str>)> = names.iter().map(|name| (name.as_str(), None)).collect();
    let next = first + names.len();
    json(200, settled(&outcomes, if next < 5 { value!(next.to_string()) } else { Value::Null }))
}

#[tokio::test]
async fn letters_are_listed_grouped_and_shown_for_people() {
    let stage = Stage::start(|asked| match asked.path.as_str() {
        "/v1/dlq" => json(200, format!(r#"{{"items":[{LETTER}],"next_after":null,"missed":null}}"#)),
        "/v1/dlq:groups" => json(
            200,
            r#"{"items":[{"code":"card_declined","count":412,"oldest":"2026-11-20T06:00:00.000Z","newest":"2026-11-21T06:00:00.000Z",
                "example":"tsk_1","message":"no money"}],"codes":1,"letters":412,"missed":{"count":3,"last_at":"2026-11-21T06:00:00.000Z"}}"#,
        ),
        _ => json(200, LETTER.replace("\"open\"", "\"requeued\"").replace("\"requeued_to\":null", "\"requeued_to\":\"tsk_2\"")),
    })
    .await;
    let mut shown = String::new();
    for arguments in [
        vec!["dlq", "list", "--code", "card_declined", "--failed-from", "2026-11-20T00:00:00Z"],
        vec!["dlq", "groups", "--system", "payments", "--state", "all"],
        vec!["dlq", "show", "tsk_1"],
    ] {
        let ran = stage.run(&arguments).await;
        assert_eq!(ran.exit, Exit::Success, "{arguments:?}: {}", ran.err);
        shown.push_str(&format!("$ tasker {}\n{}\n", arguments.join(" "), ran.out));
    }
    insta::assert_snapshot!(shown);
    let queries: Vec<String> = stage.asked().into_iter().map(|asked| asked.query).collect();
    assert!(queries[0].contains("code=card_declined") && queries[0].contains("failed_from=2026-11-20T00%3A00%3A00.000Z"), "{queries:?}");
    assert!(queries[0].contains("state=open") && queries[1].contains("state=all") && queries[1].contains("system=payments"), "{queries:?}");
}

#[tokio::test]
async fn what_a_filter_chooses_is_counted_first_and_settled_only_with_yes() {
    let stage = Stage::start(five).await;
    let order = ["dlq", "requeue", "--code", "card_declined", "--by", "ada", "--reason", "the bank is back"];
    let ran = stage.run(&order).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Usage, 1), "{}", ran.err);
    assert!(ran.err.contains("5 dead letters are meant; nothing was done") && ran.err.contains("--yes"), "{}", ran.err);

    let ran = stage.run(&[&order[..], &["--yes", "--rate", "1"]].concat()).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(ran.out.ends_with("requeued 5\n"), "{}", ran.out);
    let asked: Vec<Value> = stage.asked().iter().skip(2).map(Asked::json).collect();
    assert_eq!(asked.len(), 3, "two a request, as the rate allows");
    assert_eq!(asked[0], value!({"filter": {"code": "card_declined"}, "limit": 2, "rate": 1, "by": "ada", "reason": "the bank is back"}));
    assert_eq!((&asked[1]["after"], &asked[2]["limit"]), (&value!("2"), &value!(1)), "no more than were counted");
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_needs_nobodys_name() {
    let stage = Stage::start(five).await;
    let ran = stage.run(&["dlq", "discard", "--all", "--dry-run"]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    insta::assert_snapshot!(ran.out);
    assert_eq!(stage.asked()[0].json()["filter"], value!({}));
    assert_eq!(stage.asked()[0].line(), "POST /v1/dlq:discard");
}

#[tokio::test]
async fn named_letters_need_no_yes_and_the_exit_code_tells_why_none_was_settled() {
    let order = |task: &'static str| vec!["dlq", "requeue", task, "--by", "ada", "--reason", "again"];
    for (code, exit) in [
        (None, Exit::Success),
        (Some("dead_letter.unknown"), Exit::NotFound),
        (Some("dead_letter.settled"), Exit::Conflict),
        (Some("coordinator.busy"), Exit::Error),
    ] {
        let stage = Stage::start(move |_| json(200, settled(&[("tsk_1", code)], Value::Null))).await;
        let ran = stage.run(&order("tsk_1")).await;
        assert_eq!(ran.exit, exit, "{}{}", ran.out, ran.err);
        assert!(code.is_none_or(|code| ran.out.contains(code)), "{}", ran.out);
        assert_eq!(stage.asked()[0].json(), value!({"tasks": ["tsk_1"], "by": "ada", "reason": "again"}));
    }
}

#[tokio::test]
async fn several_answers_are_printed_as_one_in_the_servers_shape() {
    let stage = Stage::start(five).await;
    let ran = stage.run(&["-o", "json", "dlq", "requeue", "--all", "--by", "ada", "--reason", "x", "--yes", "--rate", "1"]).await;
    let printed: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&printed["matched"], &printed["done"], &printed["next_after"]), (&value!(5), &value!(5), &Value::Null));
    assert_eq!(printed["items"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn nothing_is_done_if_it_is_not_said_what() {
    let stage = Stage::start(five).await;
    let ran = stage.run(&["dlq", "discard", "--by", "ada", "--reason", "x"]).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Usage, 0), "{}", ran.err);
    assert!(ran.err.contains("--all"), "{}", ran.err);
}
