//! A workflow over several systems in several languages does what its manifest says, end to end: the embedded listener, SQLite, the real
//! binary, and real workers of every SDK.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tasker_integration_tests::api::{Api, instant, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup, text};
use tasker_integration_tests::process::Process;
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until_true};

/// Four steps over three systems: a value goes from hand to hand.
const RELAY: &str = "
name: relay
version: 1.0.0
systems: { rust_side: {}, python_side: {}, typescript_side: {} }
workflow_steps:
  - name: first
    owner: rust_side
    capability: conformance.echo
  - name: second
    owner: python_side
    capability: conformance.echo
    depends_on: first
    input: { text: \"${ steps.first.result.text + ' second' }\", number: '${ steps.first.result.number + 10 }' }
  - name: third
    owner: typescript_side
    capability: conformance.echo
    depends_on: second
    input: { text: \"${ steps.second.result.text + ' third' }\", number: '${ steps.second.result.number + 100 }' }
  - name: fourth
    owner: rust_side
    capability: conformance.echo
    depends_on: [first, third]
    input: { text: \"${ steps.third.result.text + ' fourth' }\", number: '${ steps.first.result.number + steps.third.result.number }' }
result: { said: '${ steps.fourth.result.text }', sum: '${ steps.fourth.result.number }' }
";

/// One step of one capability, with whatever input the task is submitted with.
fn single(name: &str, capability: &str, more: &str) -> String {
    format!(
        "name: {name}\nversion: 1.0.0\nsystems: {{ only: {{}} }}\nworkflow_steps:\n  - {{ name: step, owner: only, capability: {capability}{more} }}\n"
    )
}

async fn all_languages(stage: &Stage, coordinator: &Coordinator) -> Result<Vec<Process>> {
    let mut workers = Vec::new();
    for language in Language::ALL {
        workers.push(coordinator.worker(stage, language, &format!("{}_side", language.name())).await?);
    }
    Ok(workers)
}

/// Stops the coordinator in order and lets the checker read everything.
async fn end(stage: &Stage, mut coordinator: Coordinator, accepted: &[String]) -> Result<()> {
    coordinator.stop().await?;
    coordinator.check(stage, accepted).await?;
    Ok(())
}

#[test]
fn results_flow_through_three_languages() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let _workers = all_languages(stage, &coordinator).await?;
        api.apply(RELAY).await?;
        let id = api.submit("relay", json!({ "text": "first", "number": 1 })).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(task["result"] == json!({ "said": "first second third fourth", "sum": 112 }), "{task:#}");
        ensure!(step(&task, "second")?["result"] == json!({ "text": "first second", "number": 11 }), "{task:#}");
        ensure!(step(&task, "third")?["result"] == json!({ "text": "first second third", "number": 111 }), "{task:#}");

        // The history is gapless, in order, and holds each step once.
        let events = api.events(&id).await?;
        let numbers: Vec<u64> = events.iter().filter_map(|event| event["number"].as_u64()).collect();
        ensure!(numbers == (1..=events.len() as u64).collect::<Vec<_>>(), "the history has gaps: {numbers:?}");
        let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
        ensure!((of("task_accepted"), of("attempt_started"), of("step_succeeded"), of("task_succeeded")) == (1, 4, 4, 1), "{events:#?}");
        ensure!(events.last().is_some_and(|last| last["event"] == "task_succeeded"), "something followed the end");

        // The timeline names all three systems in the order of the journey.
        let timeline = api.get(&format!("/v1/tasks/{id}/timeline")).await?.ok()?;
        let systems: Vec<&str> = timeline["rows"].as_array().into_iter().flatten().filter_map(|row| row["system"].as_str()).collect();
        ensure!(systems == ["rust_side", "python_side", "typescript_side", "rust_side"], "{timeline:#}");
        end(stage, coordinator, &[id]).await
    });
}

#[test]
fn a_handler_knows_its_place_in_the_task() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let _workers = all_languages(stage, &coordinator).await?;
        for language in Language::ALL {
            let side = format!("{}_side", language.name());
            let manifest = format!(
                "name: know_{side}\nversion: 1.2.3\nsystems: {{ {side}: {{}} }}\nworkflow_steps:\n  - {{ name: before, owner: {side}, capability: conformance.echo }}\n  \
                 - {{ name: here, owner: {side}, capability: conformance.context, depends_on: before, input: {{}}, retry: {{ max_attempts: 7 }} }}\n"
            );
            api.apply(&manifest).await?;
            let id = api.submit(&format!("know_{side}"), json!({ "text": "x", "number": 1 })).await?;
            let task = api.finished_as(&id, "succeeded").await?;
            let known = &step(&task, "here")?["result"];
            let expected = [
                ("task_id", json!(id)),
                ("step", json!("here")),
                ("attempt", json!(1)),
                ("attempts_max", json!(7)),
                ("workflow", json!(format!("know_{side}"))),
                ("trace_id", task["trace_id"].clone()),
                ("dependencies", json!({ "before": { "text": "x", "number": 1 } })),
            ];
            for (member, value) in expected {
                ensure!(known[member] == value, "{language:?}: `{member}` should be {value}: {known:#}");
            }
            ensure!(known["idempotency_key"].as_str().is_some_and(|key| !key.is_empty()), "{language:?}: no idempotency key");
        }
        Ok(())
    });
}

#[test]
fn the_four_kinds_of_error_arrive_with_code_message_and_details() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let mut accepted = Vec::new();
        api.apply(&single("fails", "conformance.fail", ", retry: { base: 1ms, max_attempts: 2 }")).await?;
        api.apply(&single("declares", "conformance.declared", "")).await?;
        for language in Language::ALL {
            let mut worker = coordinator.worker(stage, language, "only").await?;
            let table = [
                // What the handler raises, and the kind, code and attempts that are recorded.
                (json!({ "kind": "permanent", "code": "card_declined", "message": "no money" }), "permanent", "card_declined", 1),
                (json!({ "kind": "retryable", "code": "bank_busy", "message": "no line" }), "retryable", "bank_busy", 2),
                (json!({ "kind": "unexpected", "message": "a bug" }), "retryable", "handler.error", 2),
                (json!({ "kind": "contract", "code": "odd.shape", "message": "not so" }), "contract", "odd.shape", 1),
            ];
            for (mut input, kind, code, attempts) in table {
                input["details"] = json!({ "of": language.name() });
                let id = api.submit("fails", input.clone()).await?;
                let task = api.finished_as(&id, "failed").await?;
                let failure = &task["failure"];
                ensure!(failure["kind"] == kind && failure["code"] == code, "{language:?}, {input}: {failure:#}");
                // A language may put the name of the error's type in front of its text.
                let message = failure["message"].as_str().unwrap_or_default();
                ensure!(message.ends_with(text(&input, "message")?) && failure["step"] == "step", "{language:?}, {input}: {failure:#}");
                // An unexpected error carries its text and nothing else.
                let details = if kind == "retryable" && code == "handler.error" { &Value::Null } else { &input["details"] };
                ensure!(failure["details"] == *details, "{language:?}, {input}: {failure:#}");
                ensure!(step(&task, "step")?["attempt"] == attempts, "{language:?}, {input}: {task:#}");
                accepted.push(id);
            }
            let id = api.submit("declares", json!({ "sku": "85123A" })).await?;
            let task = api.finished_as(&id, "failed").await?;
            let failure = &task["failure"];
            ensure!(failure["code"] == "out_of_stock" && failure["details"] == json!({ "sku": "85123A" }), "{language:?}: {failure:#}");
            accepted.push(id);
            worker.stop(SOON).await?;
        }
        // What failed can be found again by its code.
        // A list may lag behind.
        until_true("the list shows the failures", SOON, async || {
            let found = api.get("/v1/tasks?status=failed&error_code=out_of_stock").await?.ok()?;
            Ok(found["items"].as_array().is_some_and(|items| items.len() == 3))
        })
        .await?;
        end(stage, coordinator, &accepted).await
    });
}

#[test]
fn a_retry_waits_as_long_as_the_worker_asked() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("later", "conformance.fail", ", retry: { kind: fixed, base: 1ms, jitter: none, max_attempts: 3 }")).await?;
        for language in Language::ALL {
            let mut worker = coordinator.worker(stage, language, "only").await?;
            let id = api.submit("later", json!({ "kind": "retryable", "code": "busy", "retry_after_ms": 400 })).await?;
            let waiting = api.step_in(&id, "step", "backing_off").await?;
            ensure!(waiting["next_attempt_at"].is_string(), "a step that waits for a retry says until when: {waiting:#}");
            let task = api.finished_as(&id, "failed").await?;
            let attempts = step(&task, "step")?["attempts"].as_array().context("attempts")?;
            ensure!(attempts.len() == 3, "{task:#}");
            for pair in attempts.windows(2) {
                let waited = instant(&pair[1], "started_at")? - instant(&pair[0], "finished_at")?;
                ensure!(waited >= 400, "{language:?}: the next attempt started {waited} ms after the failure");
                ensure!(pair[0]["failure"]["retry_after_ms"] == 400, "{language:?}: {pair:#?}");
            }
            worker.stop(SOON).await?;
        }
        Ok(())
    });
}

#[test]
fn the_same_key_leads_to_one_task_and_other_content_is_refused() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(RELAY).await?;
        let input = json!({ "text": "x", "number": 1 });
        let together = futures::future::join_all((0..16).map(|_| api.submit_with_key("relay", &input, "order-1"))).await;
        let mut ids = BTreeSet::new();
        let mut created = 0;
        for answer in together {
            let answer = answer?;
            created += usize::from(answer.status == 201);
            let body = answer.ok()?;
            ids.insert(text(&body, "id")?.to_owned());
        }
        ensure!(ids.len() == 1 && created == 1, "{ids:?}, created {created} times");

        let other = api.submit_with_key("relay", &json!({ "text": "x", "number": 2 }), "order-1").await?;
        other.problem(422, "idempotency.key_reused")?;
        // Nothing came of the refused one, and a batch knows the same rules.
        let batch = json!({ "tasks": [
            { "workflow": "relay", "input": input, "idempotency_key": "order-1" },
            { "workflow": "relay", "input": { "text": "y", "number": 1 }, "idempotency_key": "order-1" },
            { "workflow": "relay", "input": input, "idempotency_key": "order-2" },
        ] });
        let answer = api.post("/v1/tasks:batch", &batch).await?.ok()?;
        ensure!(answer["items"][0]["id"] == *ids.first().context("one id")? && answer["items"][0]["created"] == false, "{answer:#}");
        ensure!(answer["items"][1]["problem"]["code"] == "idempotency.key_reused", "{answer:#}");
        ensure!(answer["items"][2]["created"] == true, "{answer:#}");

        // Another namespace is another world.
        let elsewhere = "?namespace=elsewhere";
        let headers = [("content-type", "application/yaml")];
        api.request(reqwest::Method::POST, &format!("/v1/workflows{elsewhere}"), &headers, RELAY.into()).await?.ok()?;
        let body = json!({ "workflow": "relay", "input": { "text": "z", "number": 9 } }).to_string().into_bytes();
        let headers = [("content-type", "application/json"), ("idempotency-key", "order-1")];
        let answer = api.request(reqwest::Method::POST, &format!("/v1/tasks{elsewhere}"), &headers, body).await?;
        ensure!(answer.status == 201 && !ids.contains(text(&answer.body, "id")?), "{answer:?}");
        api.get(&format!("/v1/tasks/{}{elsewhere}", ids.first().context("one id")?)).await?.problem(404, "task.unknown")?;
        Ok(())
    });
}

#[test]
fn a_cancelled_task_stops_its_handler_and_starts_nothing_more() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let mut accepted = Vec::new();
        for language in Language::ALL {
            let side = language.name();
            let manifest = format!(
                "name: long_{side}\nversion: 1.0.0\nsystems: {{ {side}: {{}} }}\nworkflow_steps:\n  - {{ name: sleep, owner: {side}, capability: conformance.sleep }}\n  \
                 - {{ name: after, owner: {side}, capability: conformance.sleep, depends_on: sleep }}\n"
            );
            api.apply(&manifest).await?;
            let mut worker = coordinator.worker(stage, language, side).await?;
            let id = api.submit(&format!("long_{side}"), json!({ "ms": 600_000 })).await?;
            api.step_in(&id, "sleep", "running").await?;
            let answer = api.post(&format!("/v1/tasks/{id}:cancel"), &json!({ "reason": "changed my mind" })).await?.ok()?;
            ensure!(answer["status"] == "cancelled", "{answer:#}");
            let task = api.finished_as(&id, "cancelled").await?;
            ensure!(task["cancel_reason"] == "changed my mind", "{task:#}");
            ensure!(step(&task, "after")?["attempt"] == 0, "{task:#}");
            // The handler was told: its worker can stop long before the ten minutes are over.
            until_true("the slot is free again", SOON, async || Ok(api.workers().await?.iter().all(|known| known["running"] == 0))).await?;
            ensure!(worker.stop(Duration::from_secs(10)).await? == 0, "the worker in {side} did not stop");
            // Asking again is no error and changes nothing.
            api.post(&format!("/v1/tasks/{id}:cancel"), &json!({ "reason": "again" })).await?.ok()?;
            ensure!(api.task(&id).await? == task, "the second request changed something");
            accepted.push(id);
        }
        // What ended otherwise stays as it is.
        let _worker = coordinator.worker(stage, Language::Rust, "rust").await?;
        let id = api.submit("long_rust", json!({ "ms": 1 })).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        api.post(&format!("/v1/tasks/{id}:cancel"), &json!({})).await?.problem(409, "task.already_finished")?;
        ensure!(api.task(&id).await? == task, "a refused request changed something");
        accepted.push(id);
        end(stage, coordinator, &accepted).await
    });
}

async fn single_step_ends(api: &Api, workflow: &str, input: Value, kind: &str, code: &str) -> Result<Value> {
    let id = api.submit(workflow, input).await?;
    let task = api.finished_as(&id, "failed").await?;
    ensure!(task["failure"]["kind"] == kind && task["failure"]["code"] == code, "{workflow}: expected {kind} `{code}`: {task:#}");
    Ok(task)
}

#[test]
fn each_timeout_ends_what_it_limits() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("runs", "conformance.sleep", ", timeout: { running: 300ms }, retry: { base: 1ms, max_attempts: 2 }")).await?;
        api.apply(&single(
            "ever",
            "conformance.fail",
            ", timeout: { total: 900ms }, retry: { kind: fixed, base: 250ms, jitter: none, max_attempts: 100 }",
        ))
        .await?;
        api.apply(&(single("whole", "conformance.sleep", "") + "timeout: 500ms\n")).await?;
        for language in Language::ALL {
            let mut worker = coordinator.worker(stage, language, "only").await?;
            let took = |task: &Value| task["duration_ms"].as_i64().unwrap_or(-1);

            // The coordinator's timer and the worker's own end it at the same time; whoever comes first names the kind.
            let id = api.submit("runs", json!({ "ms": 600_000 })).await?;
            let task = api.finished_as(&id, "failed").await?;
            ensure!(task["failure"]["code"] == "attempt.timeout", "{language:?}: {task:#}");
            let attempts = step(&task, "step")?["attempts"].as_array().context("attempts")?;
            ensure!(attempts.len() == 2, "a timeout is tried again: {task:#}");
            for attempt in attempts {
                let ran = instant(attempt, "finished_at")? - instant(attempt, "started_at")?;
                ensure!((300..3_000).contains(&ran), "{language:?}: an attempt limited to 300 ms ran {ran} ms");
            }
            let task = single_step_ends(&api, "ever", json!({ "kind": "retryable" }), "timed_out", "step.total_timeout").await?;
            ensure!((900..4_000).contains(&took(&task)), "{language:?}: {task:#}");
            ensure!(step(&task, "step")?["attempt"].as_u64() >= Some(2), "{language:?}: it was not tried again: {task:#}");
            let task = single_step_ends(&api, "whole", json!({ "ms": 600_000 }), "timed_out", "task.timeout").await?;
            ensure!((500..4_000).contains(&took(&task)), "{language:?}: {task:#}");
            // None of the handlers that were given up holds its slot.
            until_true("the slots are free again", SOON, async || Ok(api.workers().await?.iter().all(|known| known["running"] == 0)))
                .await?;
            worker.stop(SOON).await?;
        }
        Ok(())
    });
}

#[test]
fn a_step_that_nobody_takes_waits_no_longer_than_it_may() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("nobody", "conformance.sleep", ", timeout: { waiting: 400ms }")).await?;
        let taken = |task: &Value| -> Result<()> {
            let took = task["duration_ms"].as_i64().unwrap_or(-1);
            ensure!((400..4_000).contains(&took), "a step that may wait 400 ms waited {took} ms: {task:#}");
            Ok(())
        };
        // Nobody at all.
        taken(&single_step_ends(&api, "nobody", json!({ "ms": 1 }), "timed_out", "step.waiting_timeout").await?)?;
        // Somebody, with both hands full.
        let _worker = coordinator.worker_with(stage, Language::Rust, "only", &[("TASKER_SLOTS", "2")]).await?;
        let first = api.submit("nobody", json!({ "ms": 600_000 })).await?;
        let second = api.submit("nobody", json!({ "ms": 600_000 })).await?;
        for held in [&first, &second] {
            api.step_in(held, "step", "running").await?;
        }
        taken(&single_step_ends(&api, "nobody", json!({ "ms": 1 }), "timed_out", "step.waiting_timeout").await?)?;
        ensure!(api.task(&first).await?["status"] == "running", "the limit on waiting ended a step that runs");
        Ok(())
    });
}

#[test]
fn what_breaks_a_contract_is_never_passed_on() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        // The task's own input is checked before it is accepted.
        let manifest = "name: strict\nversion: 1.0.0\ninput: { type: object, required: [order_id], properties: { order_id: { type: string } } }\n\
                        systems: { only: {} }\nworkflow_steps:\n  - { name: step, owner: only, capability: conformance.echo, input: { text: '${ task.input.order_id }', number: '${ task.input.n }' } }\n";
        api.apply(manifest).await?;
        let answer = api.post("/v1/tasks", &json!({ "workflow": "strict", "input": { "order_id": 7 } })).await?;
        let problem = answer.problem(422, "input.violated")?;
        ensure!(problem["errors"][0]["pointer"].as_str().is_some_and(|pointer| pointer.ends_with("/order_id")), "{problem:#}");
        api.apply(&single("wrong", "conformance.wrong", ", input: {}")).await?;
        api.apply(&single("unordered", "conformance.echo", ", input: { text: \"${ task.input.m.map(k, k)[0] }\", number: 1 }")).await?;
        for language in Language::ALL {
            let mut worker = coordinator.worker(stage, language, "only").await?;
            // The worker's own schema forbids what the mapping gives: the handler is never asked.
            let task =
                single_step_ends(&api, "strict", json!({ "order_id": "o", "n": "three" }), "contract", "contract.input_violated").await?;
            ensure!(task["failure"]["details"]["violations"][0]["pointer"] == "/number", "{language:?}: {task:#}");
            // A mapping whose value would depend on the order of an object's members, which have none.
            single_step_ends(&api, "unordered", json!({ "m": { "a": 1, "b": 2, "c": 3 } }), "contract", "expression.failed").await?;
            // A mapping that finds nothing to map.
            single_step_ends(&api, "strict", json!({ "order_id": "o" }), "contract", "expression.failed").await?;
            // A handler that breaks its own promise is caught by its SDK.
            let task = single_step_ends(&api, "wrong", json!({}), "contract", "result.invalid").await?;
            ensure!(step(&task, "step")?["attempt"] == 1, "{language:?}: {task:#}");
            worker.stop(SOON).await?;
        }
        Ok(())
    });
}

#[test]
fn progress_of_a_running_attempt_can_be_seen() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).with("TASKER_HEARTBEAT", "100ms").start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("moves", "conformance.progress", "")).await?;
        for language in Language::ALL {
            let mut worker = coordinator.worker(stage, language, "only").await?;
            let id = api.submit("moves", json!({ "of": 100, "every_ms": 50 })).await?;
            until_true(&format!("progress in {language:?}"), SOON, async || {
                let task = api.task(&id).await?;
                Ok(step(&task, "step")?["progress"]["done"].as_u64() > Some(1))
            })
            .await?;
            api.post(&format!("/v1/tasks/{id}:cancel"), &json!({})).await?.ok()?;
            worker.stop(SOON).await?;
        }
        Ok(())
    });
}

#[test]
fn the_command_line_submits_waits_and_says_by_its_exit_code_what_became_of_it() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let _worker = coordinator.worker(stage, Language::Rust, "only").await?;
        let url = format!("http://127.0.0.1:{}", coordinator.setup().http_port);
        let file = stage.path("fails.yaml");
        std::fs::write(&file, single("fails", "conformance.fail", ", retry: { max_attempts: 1 }"))?;
        let echo = stage.path("echo.yaml");
        std::fs::write(&echo, single("echo", "conformance.echo", ""))?;
        let lines = stage.path("lines.jsonl");
        std::fs::write(&lines, (0..50).map(|n| format!("{{\"text\":\"x\",\"number\":{n}}}\n")).collect::<String>())?;
        let [file, echo, lines] = [&file, &echo, &lines].map(|path| path.display().to_string());
        let table: &[(&[&str], i32)] = &[
            (&["workflow", "apply", &file], 0),
            (&["workflow", "apply", &echo], 0),
            (&["task", "submit", "echo", "--input", r#"{"text":"x","number":1}"#, "--wait"], 0),
            (&["task", "submit", "echo", "--input-lines", &lines], 0),
            (&["task", "submit", "fails", "--input", r#"{"kind":"permanent","code":"card_declined"}"#, "--wait"], 6),
            (&["task", "submit", "unknown", "--input", "{}"], 3),
            (&["task", "submit"], 2),
            (&["task", "submit", "echo", "--input", r#"{"text":"x","number":1}"#, "--key", "k"], 0),
            (&["task", "submit", "echo", "--input", r#"{"text":"x","number":2}"#, "--key", "k"], 4),
            (&["worker", "list"], 0),
            (&["system", "show", "only"], 0),
        ];
        for (arguments, expected) in table {
            let (code, said) = stage.tasker_with(arguments, &[("TASKER_SERVER", &url)]).await?;
            ensure!(code == Some(*expected), "`tasker {}` should end with {expected}, not {code:?}:\n{said}", arguments.join(" "));
        }
        let nobody = format!("http://127.0.0.1:{}", tasker_integration_tests::ports::free());
        let (code, said) = stage.tasker_with(&["task", "list"], &[("TASKER_SERVER", &nobody)]).await?;
        ensure!(code == Some(8), "with nobody there it should end with 8, not {code:?}:\n{said}");
        Ok(())
    });
}
