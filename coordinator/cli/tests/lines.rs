//! Many submissions from one file: order, keys, retries, refusals, and how a broken run is continued.

mod stage;

use serde_json::{Value, json as value};
use stage::{Asked, Stage, busy, json, problem};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tasker_cli::Exit;

/// Keeps what a coordinator would keep: one task for each key.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<BTreeMap<String, (String, Value)>>>);

impl Tasks {
    fn accept(&self, submission: &Value) -> Value {
        let mut tasks = self.0.lock().expect("no panic while accepting");
        let key = submission["idempotency_key"].as_str().expect("every line has a key").to_owned();
        let created = !tasks.contains_key(&key);
        let id = format!("tsk_{:04}", tasks.len() + 1);
        let (id, _) = tasks.entry(key).or_insert_with(|| (id, submission["input"].clone())).clone();
        value!({"id": id, "created": created, "trace_id": null})
    }

    fn batch(&self, asked: &Asked) -> axum::response::Response {
        assert_eq!(asked.line(), "POST /v1/tasks:batch");
        let items: Vec<Value> = asked.json()["tasks"].as_array().expect("tasks").iter().map(|submission| self.accept(submission)).collect();
        json(200, value!({ "items": items }).to_string())
    }

    fn inputs(&self) -> BTreeMap<String, Value> {
        self.0.lock().expect("no panic while accepting").iter().map(|(key, (_, input))| (key.clone(), input.clone())).collect()
    }
}

fn orders(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("{{\"order_id\":\"A-{number}\",\"total\":{number}.50}}\n")).collect()
}

fn sizes(stage: &Stage) -> Vec<usize> {
    stage.asked().iter().map(|asked| asked.json()["tasks"].as_array().expect("tasks").len()).collect()
}

#[tokio::test]
async fn every_line_becomes_a_task_and_ids_come_in_the_order_of_the_lines() {
    let tasks = Tasks::default();
    let server = tasks.clone();
    let stage = Stage::start(move |asked| server.batch(asked)).await;
    let arguments = [
        "task",
        "submit",
        "order",
        "--input-lines",
        "-",
        "--key-field",
        "order_id",
        "--batch-size",
        "10",
        "--label",
        "tenant=acme",
        "-o",
        "jsonl",
    ];
    let ran = stage.run_with(&arguments, &orders(0..95)).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let lines: Vec<u64> =
        ran.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["line"].as_u64().expect("a number")).collect();
    assert_eq!(lines, (1..=95).collect::<Vec<_>>());
    assert!(ran.err.contains("95 submitted, 0 already there, 0 refused"), "{}", ran.err);
    assert_eq!(tasks.inputs().len(), 95);
    assert_eq!(sizes(&stage).into_iter().max(), Some(10));
    assert!(stage.asked().iter().all(|asked| asked.json()["tasks"][0]["labels"] == value!({"tenant": "acme"})));
    let sent = stage.asked().iter().map(|asked| String::from_utf8_lossy(&asked.body).into_owned()).collect::<String>();
    assert!(sent.contains("\"total\":7.50"), "digits are sent as they stand in the file");
}

#[tokio::test]
async fn the_same_command_again_gives_the_same_ids_and_no_new_task() {
    let tasks = Tasks::default();
    let server = tasks.clone();
    let stage = Stage::start(move |asked| server.batch(asked)).await;
    let arguments = ["task", "submit", "order", "--input-lines", "-", "--key-field", "order_id", "--concurrency", "1"];
    let first = stage.run_with(&arguments, &orders(0..30)).await;
    let second = stage.run_with(&arguments, &orders(0..30)).await;
    assert_eq!(first.out, second.out);
    assert!(second.err.contains("0 submitted, 30 already there, 0 refused"), "{}", second.err);
    assert_eq!(tasks.inputs().len(), 30);
}

#[tokio::test]
async fn a_busy_server_is_waited_for_and_nothing_is_lost_or_doubled() {
    let tasks = Tasks::default();
    let server = tasks.clone();
    // Every third request is refused after it was carried out, the worst moment: only the keys tell that it was.
    let stage = Stage::start(move |asked| {
        let answer = server.batch(asked);
        if asked.before % 3 == 0 { busy("0") } else { answer }
    })
    .await;
    let arguments = ["-q", "task", "submit", "order", "--input-lines", "-", "--key-field", "order_id", "--batch-size", "5"];
    let ran = stage.run_with(&arguments, &orders(0..40)).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, ""), "{}", ran.err);
    assert_eq!(tasks.inputs().len(), 40);
    assert!(stage.asked().len() > 8, "some were sent again");
}

#[tokio::test]
async fn refused_lines_are_named_and_do_not_stop_the_others() {
    let stage = Stage::start(|asked| {
        let items: Vec<Value> = asked.json()["tasks"]
            .as_array()
            .expect("tasks")
            .iter()
            .map(|submission| match submission["input"]["total"].as_i64() {
                Some(total) if total < 0 => {
                    value!({"problem": {"status": 422, "code": "input.violated", "detail": "it does not fit", "retryable": false,
                    "errors": [{"pointer": "/total", "message": "is negative"}]}})
                }
                _ => value!({"id": "tsk_1", "created": true, "trace_id": null}),
            })
            .collect();
        json(200, value!({ "items": items }).to_string())
    })
    .await;
    let file = "{\"id\":1,\"total\":1}\n{\"id\":2,\"total\":-1}\n\nnot json\n{\"total\":3}\n{\"id\":4,\"total\":4}\n";
    let ran = stage.run_with(&["task", "submit", "order", "--input-lines", "-", "--key-field", "id"], file).await;
    assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Error, 2));
    insta::assert_snapshot!(ran.err);
}

#[tokio::test]
async fn a_line_that_is_refused_for_now_is_sent_again_alone() {
    let tasks = Tasks::default();
    let server = tasks.clone();
    let stage = Stage::start(move |asked| {
        let submissions = asked.json()["tasks"].as_array().expect("tasks").clone();
        let refused = value!({"problem": {"status": 429, "code": "coordinator.busy", "detail": "later", "retryable": true}});
        let answer = |(place, submission): (usize, &Value)| {
            if asked.before == 0 && place == 1 { refused.clone() } else { server.accept(submission) }
        };
        json(200, value!({"items": submissions.iter().enumerate().map(answer).collect::<Vec<_>>()}).to_string())
    })
    .await;
    let ran = stage.run_with(&["task", "submit", "order", "--input-lines", "-", "--key-field", "order_id"], &orders(0..3)).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "tsk_0001\ntsk_0003\ntsk_0002\n"), "{}", ran.err);
    assert_eq!(sizes(&stage), [3, 1]);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_in_halves() {
    let tasks = Tasks::default();
    let server = tasks.clone();
    let stage = Stage::start(move |asked| {
        if asked.json()["tasks"].as_array().expect("tasks").len() > 2 {
            problem(413, "request.too_large", "too large")
        } else {
            server.batch(asked)
        }
    })
    .await;
    let ran = stage.run_with(&["task", "submit", "order", "--input-lines", "-", "--key-field", "order_id"], &orders(0..5)).await;
    assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Success, 5), "{}", ran.err);
    assert_eq!(tasks.inputs().len(), 5);
}

#[tokio::test]
async fn without_keys_of_their_own_lines_get_a_prefix_that_continues_a_broken_run() {
    let tasks = Tasks::default();
    let server = tasks.clone();
    let stage =
        Stage::start(move |asked| if asked.before == 1 { problem(422, "limit.exceeded", "no more today") } else { server.batch(asked) })
            .await;
    let arguments = ["task", "submit", "order", "--input-lines", "-", "--batch-size", "2", "--concurrency", "1"];
    let broken = stage.run_with(&arguments, &orders(0..4)).await;
    assert_eq!(broken.exit, Exit::Error);
    let prefix = broken.err.split("--key-prefix ").nth(1).and_then(|rest| rest.split(':').next()).expect("the prefix is told");
    assert!(broken.err.contains("stopped after line 2"), "{}", broken.err);
    let mut again = arguments.to_vec();
    again.extend(["--key-prefix", prefix]);
    let ran = stage.run_with(&again, &orders(0..4)).await;
    assert!(ran.err.contains("2 submitted, 2 already there, 0 refused"), "{}", ran.err);
    assert_eq!(tasks.inputs().len(), 4);
}

#[tokio::test]
async fn too_many_refusals_stop_the_run() {
    let stage = Stage::start(|_| problem(500, "never.asked", "no line was fit to be sent")).await;
    let file = "not json\n".repeat(1_000);
    let ran = stage.run_with(&["task", "submit", "order", "--input-lines", "-", "--refused-max", "3"], &file).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.contains("error[client.too_many_refused]: more than 3 lines refused"), "{}", ran.err);
    assert_eq!((ran.err.matches("error[line.not_json]").count(), stage.asked().len()), (4, 0));
}

#[tokio::test]
async fn a_file_is_read_by_its_name_and_a_missing_one_is_named() {
    let tasks = Tasks::default();
    let server = tasks.clone();
    let stage = Stage::start(move |asked| server.batch(asked)).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("orders.jsonl");
    std::fs::write(&path, orders(0..3)).expect("writable");
    let ran = stage.run(&["task", "submit", "order", "--input-lines", path.to_str().expect("UTF-8"), "--key-field", "order_id"]).await;
    assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Success, 3), "{}", ran.err);
    let ran = stage.run(&["task", "submit", "order", "--input-lines", "no/such.jsonl"]).await;
    assert!(ran.err.starts_with("error[client.input_unreadable]: no/such.jsonl: "), "{}", ran.err);
}
