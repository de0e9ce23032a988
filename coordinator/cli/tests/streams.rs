//! Following a task: pages first, then the stream, taken up again where it broke.

mod stage;

use stage::{Asked, Stage, json, problem, sse};
use tasker_cli::Exit;

const TASK: &str = "tsk_1";

fn event(number: u64, name: &str) -> String {
    format!(r#"{{"number":{number},"at":"2026-11-21T07:00:00.{number:03}Z","event":"{name}","step":null,"attempt":null,"data":{{}}}}"#)
}

fn message(number: u64, name: &str) -> String {
    format!("id: {number}\nevent: {name}\ndata: {}\n\n", event(number, name))
}

fn page(numbers: &[u64], finished: bool) -> axum::response::Response {
    let items: Vec<String> = numbers.iter().map(|number| event(*number, "step_ready")).collect();
    json(200, format!(r#"{{"items":[{}],"finished":{finished}}}"#, items.join(",")))
}

fn after(asked: &Asked) -> u64 {
    asked.query.split('&').find_map(|pair| pair.strip_prefix("after=")?.parse().ok()).expect("pages are asked for with `after`")
}

fn numbers(out: &str) -> Vec<u64> {
    out.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON lines")["number"].as_u64().expect("a number"))
        .collect()
}

const END: &str = "event: end\ndata: {}\n\n";

#[tokio::test]
async fn a_broken_stream_is_continued_after_the_last_event_seen() {
    let stage = Stage::start(|asked| match asked.path.as_str() {
        "/v1/tasks/tsk_1/events" => page(if after(asked) == 0 { &[1, 2] } else { &[] }, false),
        "/v1/tasks/tsk_1/events:stream" => match asked.header("last-event-id") {
            Some("2") => sse(format!(": heartbeat\n\n{}{}id: 5\nevent: cut o", message(3, "step_ready"), message(4, "step_ready"))),
            Some("4") => sse(format!("{}{}{END}", message(4, "step_ready"), message(5, "task_succeeded"))),
            other => panic!("asked to continue after {other:?}"),
        },
        other => problem(404, "route.unknown", other),
    })
    .await;
    let ran = stage.run(&["task", "events", TASK, "--follow", "-o", "jsonl"]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert_eq!(numbers(&ran.out), [1, 2, 3, 4, 5], "each once and in order");
}

#[tokio::test]
async fn a_reset_is_made_good_by_pages() {
    let stage = Stage::start(|asked| match asked.path.as_str() {
        "/v1/tasks/tsk_1/events" => match after(asked) {
            0 => page(&[1], false),
            1 if asked.before > 2 => page(&[2, 3], false),
            _ => page(&[], false),
        },
        _ => match asked.header("last-event-id") {
            Some("1") => sse("event: reset\ndata: {}\n\n"),
            Some("3") => sse(format!("{}{END}", message(4, "task_succeeded"))),
            other => panic!("asked to continue after {other:?}"),
        },
    })
    .await;
    let ran = stage.run(&["task", "events", TASK, "--follow", "-o", "jsonl"]).await;
    assert_eq!(numbers(&ran.out), [1, 2, 3, 4], "{}", ran.err);
}

#[tokio::test]
async fn a_gap_in_the_stream_is_filled_by_pages() {
    let stage = Stage::start(|asked| match asked.path.as_str() {
        "/v1/tasks/tsk_1/events" => match (after(asked), asked.before) {
            (0, before) if before > 1 => page(&[1, 2, 3], true),
            _ => page(&[], asked.before > 1),
        },
        _ => sse(message(3, "task_succeeded")),
    })
    .await;
    let ran = stage.run(&["task", "events", TASK, "--follow", "-o", "jsonl"]).await;
    assert_eq!(numbers(&ran.out), [1, 2, 3], "{}", ran.err);
}

#[tokio::test]
async fn a_finished_task_needs_no_stream() {
    let stage = Stage::start(|asked| page(if after(asked) == 0 { &[1, 2] } else { &[] }, true)).await;
    let ran = stage.run(&["task", "events", TASK, "--follow", "-o", "jsonl"]).await;
    assert_eq!(numbers(&ran.out), [1, 2]);
    assert!(stage.asked().iter().all(|asked| asked.path.ends_with("/events")));
}

#[tokio::test]
async fn a_task_that_does_not_exist_is_told_at_once() {
    let stage = Stage::start(|_| problem(404, "task.unknown", "no task tsk_1")).await;
    for arguments in [vec!["task", "events", TASK, "--follow"], vec!["task", "watch", TASK]] {
        let ran = stage.run(&arguments).await;
        assert_eq!(ran.exit, Exit::NotFound, "{}", ran.err);
    }
}

#[tokio::test]
async fn watching_without_a_terminal_prints_a_line_per_event_and_exits_like_the_task() {
    let stage = Stage::start(|asked| match asked.path.as_str() {
        "/v1/tasks/tsk_1/events" => page(&[], false),
        "/v1/tasks/tsk_1/events:stream" => sse(format!("{}{}{END}", message(1, "task_accepted"), message(2, "task_cancelled"))),
        "/v1/tasks/tsk_1/result" => json(200, r#"{"id":"tsk_1","status":"cancelled","cancel_reason":"the customer called"}"#),
        other => problem(404, "route.unknown", other),
    })
    .await;
    let ran = stage.run(&["task", "watch", TASK]).await;
    assert_eq!(ran.exit, Exit::TaskFailed);
    insta::assert_snapshot!(format!("{}--- standard error\n{}", ran.out, ran.err));
}

#[tokio::test]
async fn the_history_is_read_to_its_end() {
    let stage = Stage::start(|asked| match after(asked) {
        5 => page(&[6, 7], false),
        7 => page(&[8], false),
        _ => page(&[], false),
    })
    .await;
    let ran = stage.run(&["task", "events", TASK, "--after", "5", "-o", "json"]).await;
    let whole: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((whole["items"].as_array().map(Vec::len), whole["finished"].as_bool()), (Some(3), Some(false)));
}
