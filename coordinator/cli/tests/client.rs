//! What the command line asks for, how it takes answers and refusals, and when it asks again: against a real local server.

mod stage;

use stage::{Stage, busy, json, problem, run};
use std::time::{Duration, Instant};
use tasker_cli::Exit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ACCEPTED: &str = r#"{"id":"tsk_06f1a2b3c4d5e","created":true,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}"#;
const RUNNING: &str = r#"{"id":"tsk_06f1a2b3c4d5e","status":"running","result":null,"failure":null,"cancel_reason":null}"#;
const SUCCEEDED: &str =
    r#"{"id":"tsk_06f1a2b3c4d5e","status":"succeeded","result":{"charge_id":"ch_1","total":139.10},"failure":null,"cancel_reason":null}"#;
const FAILED: &str = r#"{"id":"tsk_06f1a2b3c4d5e","status":"failed","result":null,"failure":{"kind":"permanent","code":"card_declined","message":"no money","details":null,"retry_after_ms":null,"step":"charge"},"cancel_reason":null}"#;

/// An address nobody listens at: the port was free a moment ago.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// A server that reads a request and hangs up.
async fn hangs_up() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.shutdown().await;
        }
    });
    url
}

#[tokio::test]
async fn a_submission_prints_the_id_and_nothing_else_on_standard_output() {
    let stage = Stage::start(|_| json(201, ACCEPTED)).await;
    let arguments = [
        "task",
        "submit",
        "order",
        "--input",
        r#"{"z":1.10, "a":12345678901234567890123}"#,
        "--label",
        "tenant=acme",
        "--version",
        "2.0.0",
    ];
    let ran = stage.run(&arguments).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "tsk_06f1a2b3c4d5e\n"));
    assert!(ran.err.contains("tasker task watch tsk_06f1a2b3c4d5e"), "{}", ran.err);
    let asked = &stage.asked()[0];
    assert_eq!((asked.line().as_str(), asked.query.as_str()), ("POST /v1/tasks", "namespace=default"));
    assert_eq!(
        String::from_utf8_lossy(&asked.body),
        r#"{"workflow":"order","version":"2.0.0","input":{"z":1.10, "a":12345678901234567890123},"labels":{"tenant":"acme"}}"#,
        "digits and order of the input are sent as they were typed"
    );
    assert_eq!(asked.header("idempotency-key"), None);
}

#[tokio::test]
async fn the_namespace_and_a_sub_path_are_kept() {
    let stage = Stage::start(|_| json(200, r#"{"items":[]}"#)).await;
    let server = format!("{}/tasker/", stage.url);
    let ran = run(&["--server", &server, "-n", "acme", "system", "list"], "").await;
    assert_eq!(ran.exit, Exit::Success);
    assert!(ran.out.contains("No systems"), "{}", ran.out);
    let asked = &stage.asked()[0];
    assert_eq!((asked.path.as_str(), asked.query.as_str()), ("/tasker/v1/systems", "namespace=acme"));
}

#[tokio::test]
async fn an_order_about_the_fleet_is_sent_as_it_was_typed() {
    let stage = Stage::start(|_| {
        json(200, r#"{"system":"payments","version":"2.0.0","drained":false,"workers":1,"session":"s","name":"payment.charge"}"#)
    })
    .await;
    let orders: [(&[&str], &str, &str); 4] = [
        (&["worker", "drain", "-B3dE5gH7jK9"], "POST /v1/workers/-B3dE5gH7jK9/drain", "{}"),
        (&["worker", "drain", "session-1", "--system", "payments"], "POST /v1/workers/session-1/drain", r#"{"system":"payments"}"#),
        (
            &["system", "drain", "payments", "--version", "2.0.0", "--undo"],
            "POST /v1/systems/payments/drain",
            r#"{"undo":true,"version":"2.0.0"}"#,
        ),
        (
            &["capability", "breaker", "payments", "payment.charge", "close"],
            "POST /v1/capabilities/payments/payment.charge/breaker",
            r#"{"override":"close"}"#,
        ),
    ];
    for (place, (arguments, line, body)) in orders.into_iter().enumerate() {
        let ran = stage.run(arguments).await;
        assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
        let asked = &stage.asked()[place];
        let sent: serde_json::Value = serde_json::from_slice(&asked.body).expect("JSON");
        assert_eq!((asked.line().as_str(), sent), (line, serde_json::from_str(body).expect("JSON")));
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says_if_the_submission_has_a_key() {
    let stage = Stage::start(|asked| if asked.before == 0 { busy("1") } else { json(201, ACCEPTED) }).await;
    let started = Instant::now();
    let ran = stage.run(&["task", "submit", "order", "--input", "{}", "--key", "A-7"]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After was honoured");
    let keys: Vec<_> = stage.asked().iter().map(|asked| asked.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys, [Some("A-7".to_owned()), Some("A-7".to_owned())]);
}

#[tokio::test]
async fn a_submission_without_a_key_is_sent_once() {
    let stage = Stage::start(|_| busy("0")).await;
    let ran = stage.run(&["task", "submit", "order", "--input", "{}"]).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Error, 1));
    assert!(ran.err.starts_with("error[coordinator.busy]: too much at once"), "{}", ran.err);
}

#[tokio::test]
async fn a_server_that_asks_for_too_much_patience_is_not_waited_for() {
    let stage = Stage::start(|_| busy("3600")).await;
    let ran = stage.run(&["task", "list"]).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Error, 1));
    assert!(ran.err.contains("help: the server asks to come back in 1h 00m"), "{}", ran.err);
}

#[tokio::test]
async fn questions_are_repeated_a_few_times_and_not_for_ever() {
    let stage = Stage::start(|_| problem(503, "store.unreadable", "the disk is gone")).await;
    let ran = stage.run(&["task", "show", "tsk_1"]).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Error, 4));
}

#[tokio::test]
async fn refusals_become_exit_codes() {
    let cases: [(u16, &str, &[&str], Exit); 6] = [
        (404, "task.unknown", &["task", "show", "tsk_1"], Exit::NotFound),
        (404, "workflow.unknown", &["workflow", "show", "order"], Exit::NotFound),
        (409, "task.already_finished", &["task", "cancel", "tsk_1"], Exit::Conflict),
        (409, "task.nothing_to_retry", &["task", "retry", "tsk_1"], Exit::Conflict),
        (403, "proxy.forbidden", &["worker", "list"], Exit::Denied),
        (422, "idempotency.key_reused", &["task", "submit", "order", "--input", "1", "--key", "k"], Exit::Conflict),
    ];
    for (status, code, arguments, exit) in cases {
        let stage = Stage::start(move |_| problem(status, code, "because")).await;
        let ran = stage.run(arguments).await;
        assert_eq!(ran.exit, exit, "{arguments:?}");
        assert!(ran.err.starts_with(&format!("error[{code}]: because")), "{}", ran.err);
        assert_eq!(ran.out, "", "data only on standard output");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_and_how_to_start_one() {
    let url = nowhere().await;
    for arguments in [vec!["task", "list"], vec!["task", "submit", "order", "--input", "{}", "--key", "k"]] {
        let mut all = vec!["--server", &url];
        all.extend(arguments);
        let ran = run(&all, "").await;
        assert_eq!(ran.exit, Exit::Unreachable);
        assert!(ran.err.contains(&url) && ran.err.contains("tasker dev"), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_submission_without_an_answer_has_an_unknown_outcome() {
    let url = hangs_up().await;
    let ran = run(&["--server", &url, "task", "submit", "order", "--input", "{}"], "").await;
    assert_eq!(ran.exit, Exit::OutcomeUnknown, "{}", ran.err);
    assert!(ran.err.contains("it may or may not have been done"), "{}", ran.err);
    let ran = run(&["--server", &url, "task", "submit", "order", "--input", "{}", "--key", "k"], "").await;
    assert_eq!(ran.exit, Exit::OutcomeUnknown);
    assert!(ran.err.contains("with the same key again"), "{}", ran.err);
    let ran = run(&["--server", &url, "task", "show", "tsk_1"], "").await;
    assert_eq!(ran.exit, Exit::Unreachable, "a question without an answer has changed nothing");
}

#[tokio::test]
async fn waiting_polls_until_the_end_and_prints_the_result_as_it_came() {
    let stage = Stage::start(|asked| match (asked.line().as_str(), asked.before) {
        ("POST /v1/tasks", _) => json(201, ACCEPTED),
        ("GET /v1/tasks/tsk_06f1a2b3c4d5e/result", 1) => json(202, RUNNING),
        ("GET /v1/tasks/tsk_06f1a2b3c4d5e/result", _) => json(200, SUCCEEDED),
        (other, _) => problem(404, "route.unknown", other),
    })
    .await;
    let ran = stage.run(&["task", "submit", "order", "--input", "{}", "--wait", "--timeout", "10s"]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert_eq!(ran.out, "tsk_06f1a2b3c4d5e\n{\n  \"charge_id\": \"ch_1\",\n  \"total\": 139.10\n}\n");
    assert_eq!(stage.asked()[1].query, "namespace=default&wait=10s");
}

#[tokio::test]
async fn a_failed_task_exits_with_six_and_says_why_even_if_quiet() {
    let stage = Stage::start(|asked| if asked.before == 0 { json(201, ACCEPTED) } else { json(200, FAILED) }).await;
    let ran = stage.run(&["-q", "task", "submit", "order", "--input", "{}", "--wait"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::TaskFailed, "tsk_06f1a2b3c4d5e\n"));
    assert!(ran.err.contains("failure[card_declined]: no money (permanent) in step charge"), "{}", ran.err);
    let ran = stage.run(&["task", "result", "tsk_06f1a2b3c4d5e", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::TaskFailed);
    assert!(ran.out.contains("\"status\": \"failed\""), "{}", ran.out);
}

#[tokio::test]
async fn a_task_that_is_not_over_in_time_exits_with_seven() {
    let stage = Stage::start(|asked| if asked.method == "POST" { json(201, ACCEPTED) } else { json(202, RUNNING) }).await;
    let ran = stage.run(&["task", "submit", "order", "--input", "{}", "--wait", "--timeout", "300ms"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::TimedOut, "tsk_06f1a2b3c4d5e\n"));
    assert!(ran.err.contains("tasker debug why tsk_06f1a2b3c4d5e"), "{}", ran.err);
    let ran = stage.run(&["task", "result", "tsk_06f1a2b3c4d5e"]).await;
    assert_eq!(ran.exit, Exit::TimedOut);
}

#[tokio::test]
async fn a_trace_of_the_surroundings_is_continued() {
    let stage = Stage::start(|_| json(201, ACCEPTED)).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    stage.run(&["task", "submit", "order", "--input", "{}", "--traceparent", trace]).await;
    assert_eq!(stage.asked()[0].header("traceparent"), Some(trace));
}

fn page(ids: std::ops::Range<u32>, next: Option<&str>) -> axum::response::Response {
    let items: Vec<String> = ids
        .map(|id| format!(r#"{{"id":"tsk_{id:04}","workflow":"order","version":"1","status":"running","accepted_at":"2026-11-21T07:00:00.000Z","retries":0,"labels":{{}}}}"#))
        .collect();
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    json(200, format!(r#"{{"items":[{}],"next_cursor":{next},"as_of":"2026-11-21T07:00:01.000Z"}}"#, items.join(",")))
}

#[tokio::test]
async fn pages_are_put_together_and_filters_are_passed_on() {
    let script = |asked: &stage::Asked| match asked.query.contains("cursor=c1") {
        false => page(0..200, Some("c1")),
        true => page(200..250, None),
    };
    let stage = Stage::start(script).await;
    let ran = stage
        .run(&[
            "task",
            "list",
            "--all",
            "-o",
            "jsonl",
            "--status",
            "failed,running",
            "--label",
            "a=b&c",
            "--label",
            "d=e",
            "--accepted-from",
            "2026-11-21T07:00:00Z",
        ])
        .await;
    assert_eq!(ran.out.lines().count(), 250);
    assert_eq!(
        stage.asked()[0].query,
        "namespace=default&status=failed%2Crunning&accepted_from=2026-11-21T07%3A00%3A00.000Z&limit=200&label=a%3Db%26c&label=d%3De"
    );
    let ran = stage.run(&["task", "list", "-o", "json", "--limit", "200"]).await;
    let whole: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((whole["items"].as_array().map(Vec::len), whole["next_cursor"].as_str()), (Some(200), Some("c1")));
    assert!(ran.err.contains("--cursor c1"), "{}", ran.err);
}

#[tokio::test]
async fn a_server_that_repeats_a_page_for_ever_does_not_hang_the_list() {
    let stage = Stage::start(|_| page(0..200, Some("c1"))).await;
    let ran = stage.run(&["task", "list", "--all", "-o", "jsonl"]).await;
    assert_eq!((ran.exit, stage.asked().len()), (Exit::Success, 2));
}

#[tokio::test]
async fn escape_sequences_of_the_server_are_shown_and_not_sent_to_the_terminal() {
    let task = r#"{"id":"tsk_1","workflow":"order","version":"1","status":"failed","labels":{"a":"\u001b]0;owned\u0007"},"failure":{"kind":"permanent","code":"x","message":"\u001b[2Jbye\u009b31m","step":"s"},
        "input":"\u001b[31m","steps":[{"name":"s","state":"failed","failure":{"code":"x","message":"\u001b[2J"}}]}"#;
    let stage = Stage::start(move |_| json(200, task)).await;
    for format in ["table", "json", "jsonl", "yaml"] {
        let ran = stage.run(&["task", "show", "tsk_1", "-o", format]).await;
        assert_eq!(ran.exit, Exit::Success);
        assert!(!ran.out.chars().any(|character| character.is_control() && character != '\n'), "{format}: {:?}", ran.out);
    }
}

#[tokio::test]
async fn many_manifests_are_applied_only_if_all_are_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths: Vec<String> = ["good.yaml", "bad.yaml"]
        .iter()
        .map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("name: {name}\n")).expect("writable");
            path.to_str().expect("UTF-8").to_owned()
        })
        .collect();
    let stage = Stage::start(|asked| {
        if asked.query.contains("bad.yaml") {
            problem(422, "manifest.invalid", "the manifest has 1 error")
        } else {
            json(200, r#"{"name":"good","version":"1","digest":"0123456789abcdef","changed":true,"dry_run":false,"warnings":[]}"#)
        }
    })
    .await;
    let ran = stage.run(&["workflow", "apply", &paths[0], &paths[1]]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.starts_with("error[manifest.invalid]"), "{}", ran.err);
    assert!(stage.asked().iter().all(|asked| asked.query.contains("dry_run=true")), "nothing was applied");

    let ran = stage.run(&["workflow", "apply", &paths[0]]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "good 1 applied  0123456789ab\n"));
    let last = stage.asked().pop().expect("asked");
    assert_eq!((last.header("content-type"), last.body.as_ref()), (Some("application/yaml"), b"name: good.yaml\n".as_slice()));
}

#[tokio::test]
async fn the_source_of_a_workflow_is_printed_byte_for_byte() {
    let stage = Stage::start(|_| json(200, r##"{"name":"w","version":"1","source":"# caf\u00e9\tx\nname: w"}"##)).await;
    let ran = stage.run(&["workflow", "show", "w", "--source", "--version", "1.9.0"]).await;
    assert_eq!(ran.out, "# café\tx\nname: w\n");
    assert_eq!(stage.asked()[0].query, "namespace=default&version=1.9.0");
}

#[tokio::test]
async fn an_answer_outside_the_contract_says_what_is_missing() {
    let stage = Stage::start(|_| json(200, "{\"ok\":true}")).await;
    let ran = stage.run(&["task", "show", "tsk_1"]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.starts_with("error[client.answer_unreadable]") && ran.err.contains("missing field `id`"), "{}", ran.err);
}

#[tokio::test]
async fn a_password_in_the_address_is_never_printed() {
    let url = nowhere().await.replace("http://", "http://me:hunter2@");
    let ran = run(&["--server", &url, "task", "list"], "").await;
    assert!(!ran.err.contains("hunter2") && ran.err.contains("redacted"), "{}", ran.err);
}

#[tokio::test]
async fn why_cancel_and_retry_are_one_request_each() {
    let stage = Stage::start(|asked| match asked.line().as_str() {
        "GET /v1/tasks/tsk_1/why" => json(200, r#"{"items":[{"step":"charge","text":"waits for a worker","hint":"start one"}]}"#),
        "POST /v1/tasks/tsk_1:cancel" => json(200, r#"{"id":"tsk_1","workflow":"w","status":"cancelled"}"#),
        "POST /v1/tasks/tsk_1:retry" => json(201, r#"{"id":"tsk_2","created":true,"trace_id":null}"#),
        other => problem(404, "route.unknown", other),
    })
    .await;
    assert_eq!(stage.run(&["debug", "why", "tsk_1"]).await.out, "charge: waits for a worker\n  help: start one\n");
    assert_eq!(stage.run(&["task", "cancel", "tsk_1", "--reason", "called"]).await.out, "tsk_1 cancelled\n");
    assert_eq!(stage.run(&["task", "retry", "tsk_1"]).await.out, "tsk_2\n");
    assert_eq!(stage.asked()[1].json(), serde_json::json!({"reason": "called"}));
}
