//! What people decide and what comes from outside: each command is sent as it was typed, and its refusal is told by the exit code.

mod stage;

use serde_json::{Value, json as value};
use stage::{Asked, Stage, json, problem};
use tasker_cli::Exit;

const TASK: &str = r#"{"id":"tsk_1","workflow":"order","status":"running","paused":{"reason":"x"},"steps":[{"name":"review","state":"succeeded","system":null,"capability":null}]}"#;

/// Any command of this file, answered with whatever its shape needs.
fn agreeable(asked: &Asked) -> axum::response::Response {
    match asked.path.as_str() {
        "/v1/events" => json(200, r#"{"tasks":["tsk_1"],"refused":0,"kept":false,"repeated":false}"#),
        path if path.contains("/signals/") => json(200, r#"{"taken_by":"wait","repeated":false}"#),
        path if path.starts_with("/v1/workflows/") => {
            json(200, r#"{"name":"order","paused":true,"reason":"x","since":null,"tasks":2,"changed":true}"#)
        }
        _ => json(200, TASK),
    }
}

fn body_of(asked: &Asked) -> Value {
    if asked.body.is_empty() { Value::Null } else { asked.json() }
}

#[tokio::test]
async fn orders_of_people_are_sent_as_they_were_typed() {
    let stage = Stage::start(agreeable).await;
    let orders: Vec<(Vec<&str>, &str, Value)> = vec![
        (vec!["task", "pause", "tsk_1", "--reason", "stock count"], "POST /v1/tasks/tsk_1:pause", value!({"reason": "stock count"})),
        (vec!["task", "resume", "tsk_1"], "POST /v1/tasks/tsk_1:resume", value!({})),
        (vec!["task", "signal", "tsk_1", "go_on"], "POST /v1/tasks/tsk_1/signals/go_on", Value::Null),
        (vec!["task", "signal", "tsk_1", "go_on", "--payload", "[1]"], "POST /v1/tasks/tsk_1/signals/go_on", value!([1])),
        (vec!["event", "send", "paid", "--key", "A 7/8"], "POST /v1/events", value!({"name": "paid", "key": "A 7/8"})),
        (
            vec![
                "approval",
                "decide",
                "tsk_1",
                "review",
                "approve",
                "--by",
                "ada",
                "--role",
                "legal",
                "--comment",
                "ok",
                "--form",
                "{\"n\":1}",
            ],
            "POST /v1/tasks/tsk_1/steps/review:decide",
            value!({"decision": "approved", "by": "ada", "role": "legal", "comment": "ok", "form": {"n": 1}}),
        ),
        (
            vec!["approval", "decide", "tsk_1", "review", "reject", "--by", "ada"],
            "POST /v1/tasks/tsk_1/steps/review:decide",
            value!({"decision": "rejected", "by": "ada"}),
        ),
        (
            vec!["approval", "comment", "tsk_1", "review", "--by", "ada", "asked the customer"],
            "POST /v1/tasks/tsk_1/steps/review:comment",
            value!({"by": "ada", "comment": "asked the customer"}),
        ),
        (
            vec!["step", "resolve", "tsk_1", "resize[17]", "supply", "--by", "ada", "--result", "null"],
            "POST /v1/tasks/tsk_1/steps/resize[17]:resolve",
            value!({"resolution": "supply", "by": "ada", "result": null}),
        ),
        (
            vec!["step", "resolve", "tsk_1", "ship", "retry", "--by", "ada", "--comment", "fixed"],
            "POST /v1/tasks/tsk_1/steps/ship:resolve",
            value!({"resolution": "retry", "by": "ada", "comment": "fixed"}),
        ),
        (vec!["workflow", "pause", "order", "--reason", "x"], "POST /v1/workflows/order:pause", value!({"reason": "x"})),
        (vec!["workflow", "resume", "order"], "POST /v1/workflows/order:resume", value!({})),
    ];
    for (place, (arguments, line, body)) in orders.into_iter().enumerate() {
        let ran = stage.run(&arguments).await;
        assert_eq!(ran.exit, Exit::Success, "{arguments:?}: {}", ran.err);
        let asked = &stage.asked()[place];
        assert_eq!((asked.line().as_str(), body_of(asked)), (line, body));
        assert_eq!(asked.header("idempotency-key"), None, "only an id of the person's own is sent");
    }
}

#[tokio::test]
async fn a_payload_is_read_from_a_file_or_standard_input_and_keeps_its_digits() {
    let stage = Stage::start(agreeable).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("payload.json");
    std::fs::write(&file, r#"{"z":1.10,"a":12345678901234567890123}"#).expect("written");
    let at_file = format!("@{}", file.display());
    let ran = stage.run(&["event", "send", "paid", "--key", "7", "--payload", &at_file]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let ran = stage.run_with(&["task", "signal", "tsk_1", "go_on", "--payload", "-"], "{\"b\":1.0}\n").await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "go_on taken by wait\n"), "{}", ran.err);
    let sent: Vec<String> = stage.asked().iter().map(|asked| String::from_utf8_lossy(&asked.body).into_owned()).collect();
    assert_eq!(sent, [r#"{"name":"paid","key":"7","payload":{"z":1.10,"a":12345678901234567890123}}"#, r#"{"b":1.0}"#]);
    let ran = stage.run(&["task", "signal", "tsk_1", "go_on", "--payload", "{"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("--payload is not JSON"), "{}", ran.err);
}

#[tokio::test]
async fn a_signal_with_an_id_is_repeated_and_one_without_is_not() {
    for (arguments, exit, requests) in [
        (vec!["task", "signal", "tsk_1", "go_on", "--id", "s-1"], Exit::Success, 2),
        (vec!["task", "signal", "tsk_1", "go_on"], Exit::Error, 1),
        (vec!["event", "send", "paid", "--key", "7", "--id", "e-1"], Exit::Success, 2),
    ] {
        let stage =
            Stage::start(|asked| if asked.before == 0 { problem(503, "coordinator.draining", "soon back") } else { agreeable(asked) });
        let stage = stage.await;
        let ran = stage.run(&arguments).await;
        assert_eq!((ran.exit, stage.asked().len()), (exit, requests), "{arguments:?}: {}", ran.err);
        let keys: Vec<Option<String>> = stage.asked().iter().map(|asked| asked.header("idempotency-key").map(str::to_owned)).collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
}

#[tokio::test]
async fn refusals_become_exit_codes() {
    let refusals = [
        (409, "approval.not_waiting", Exit::Conflict),
        (409, "step.not_held", Exit::Conflict),
        (404, "task.unknown", Exit::NotFound),
        (403, "approval.not_assigned", Exit::Denied),
        (422, "result.violated", Exit::Error),
    ];
    for (status, code, exit) in refusals {
        let stage = Stage::start(move |_| problem(status, code, "no")).await;
        let commands: [&[&str]; 6] = [
            &["approval", "decide", "tsk_1", "review", "approve", "--by", "ada"],
            &["step", "resolve", "tsk_1", "ship", "skip", "--by", "ada"],
            &["task", "pause", "tsk_1"],
            &["task", "items", "tsk_1", "resize"],
            &["approval", "list"],
            &["workflow", "resume", "order"],
        ];
        for arguments in commands {
            let ran = stage.run(arguments).await;
            assert_eq!(ran.exit, exit, "{arguments:?} {code}: {}", ran.err);
            assert!(ran.err.contains(code), "{}", ran.err);
        }
        assert_eq!(stage.asked().len(), commands.len(), "a refusal is not tried again");
    }
}

#[tokio::test]
async fn a_result_is_only_taken_by_supply() {
    let stage = Stage::start(agreeable).await;
    let ran = stage.run(&["step", "resolve", "tsk_1", "ship", "retry", "--by", "ada", "--result", "{}"]).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Usage, 0));
    assert!(ran.err.contains("supply --result"), "{}", ran.err);
}

/// A list of so many rows, in pages of the size that is asked for, continued by number or by text.
fn paged(asked: &Asked, rows: usize, as_text: bool) -> axum::response::Response {
    let of = |name: &str| asked.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    let limit: usize = of("limit").expect("pages have a size").parse().expect("a number");
    let from = of("after").map_or(0, |after| after.trim_start_matches("tsk_1.").parse::<usize>().expect("as it was given") + 1);
    let to = (from + limit).min(rows);
    let items: Vec<Value> =
        (from..to).map(|row| value!({"task": "tsk_1", "step": format!("s{row}"), "name": format!("s[{row}]")})).collect();
    let next = match (to < rows, as_text) {
        (false, _) => Value::Null,
        (true, true) => value!(format!("tsk_1.{}", to - 1)),
        (true, false) => value!(to - 1),
    };
    json(
        200,
        value!({"count": rows, "working": 0, "over": rows, "succeeded": rows, "failed": 0, "items": items, "next_after": next}).to_string(),
    )
}

#[tokio::test]
async fn long_lists_are_read_page_by_page_up_to_the_limit() {
    for (arguments, as_text) in [
        (vec!["approval", "list", "--assignee", "legal"], true),
        (vec!["step", "held", "--task", "tsk_1"], true),
        (vec!["task", "items", "tsk_1", "resize", "--state", "failed,held"], false),
    ] {
        let stage = Stage::start(move |asked| paged(asked, 450, as_text)).await;
        let ran = stage.run(&[arguments.clone(), vec!["--limit", "410", "-o", "jsonl"]].concat()).await;
        assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Success, 410), "{}", ran.err);
        assert!(ran.out.lines().last().is_some_and(|line| line.contains("s409") || line.contains("s[409]")), "{}", ran.out);
        assert!(ran.err.contains("there are more"), "{}", ran.err);
        let limits: Vec<bool> =
            stage.asked().iter().zip([200, 200, 10]).map(|(asked, size)| asked.query.contains(&format!("limit={size}"))).collect();
        assert_eq!(limits, [true; 3]);
        let whole = stage.run(&[arguments, vec!["--limit", "1000"]].concat()).await;
        assert!(!whole.err.contains("there are more"), "{}", whole.err);
    }
    let stage = Stage::start(|asked| paged(asked, 3, false)).await;
    let ran = stage.run(&["task", "items", "tsk_1", "resize", "--state", "failed,held", "-o", "json"]).await;
    let whole: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((whole["count"].as_u64(), whole["items"].as_array().map(Vec::len)), (Some(3), Some(3)));
    assert!(stage.asked()[0].query.contains("state=failed&state=held"), "{}", stage.asked()[0].query);
}

#[tokio::test]
async fn a_server_that_goes_round_in_circles_is_not_followed() {
    let stage = Stage::start(|_| json(200, r#"{"items":[{"task":"tsk_1","step":"s"}],"next_after":"tsk_1.1"}"#)).await;
    let ran = stage.run(&["step", "held"]).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Success, 2), "{}", ran.err);
}

#[tokio::test]
async fn tasks_are_listed_by_what_they_wait_for_and_by_their_parent() {
    let stage = Stage::start(|_| {
        json(200, r#"{"items":[{"id":"tsk_2","workflow":"order","status":"running","parent":"tsk_1","waiting":["approval","held"]}],"next_cursor":null}"#)
    })
    .await;
    let ran = stage.run(&["task", "list", "--waiting", "approval,held", "--parent", "tsk_1"]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(ran.out.contains("approval, held"), "{}", ran.out);
    let query = &stage.asked()[0].query;
    assert!(query.contains("waiting=approval%2Cheld") && query.contains("parent=tsk_1"), "{query}");
}

#[tokio::test]
async fn a_timeline_takes_sleeps_and_waits_from_the_task() {
    let stage = Stage::start(|asked| match asked.path.as_str() {
        "/v1/tasks/tsk_1/timeline" => json(
            200,
            r#"{"id":"tsk_1","status":"succeeded","accepted_at":"2026-11-21T07:00:00Z","finished_at":"2026-11-21T07:00:10Z","rows":[
                {"step":"nap","kind":"sleep","system":null,"capability":null,"state":"succeeded","waited_ms":10000,"attempts":[]}]}"#,
        ),
        "/v1/tasks/tsk_1" => json(
            200,
            r#"{"id":"tsk_1","workflow":"order","status":"succeeded","steps":[{"name":"nap","kind":"sleep","system":null,"capability":null,
                "state":"succeeded","ready_at":"2026-11-21T07:00:02Z","finished_at":"2026-11-21T07:00:06Z"}]}"#,
        ),
        other => problem(404, "route.unknown", other),
    })
    .await;
    let ran = stage.run(&["task", "timeline", "tsk_1"]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(ran.out.contains("succeeded, slept 4.0s"), "{}", ran.out);
    let plain = stage.run(&["task", "timeline", "tsk_1", "-o", "json"]).await;
    assert!(plain.out.contains("\"waited_ms\": 10000"), "the server's own answer: {}", plain.out);
}
