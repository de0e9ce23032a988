//! Any NATS responder is a worker: an official client that subscribes to a subject and answers in JSON, without an SDK.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use tasker_integration_tests::api::{instant, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup};
use tasker_integration_tests::place::repository;
use tasker_integration_tests::responder::{Reply, Responder};
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until_true};

fn single(name: &str, more: &str) -> String {
    format!(
        "name: {name}\nversion: 1.0.0\nsystems: {{ plain: {{}} }}\nworkflow_steps:\n  - {{ name: step, owner: plain, capability: stock.check{more} }}\n"
    )
}

async fn check(stage: &Stage, coordinator: &mut Coordinator, accepted: &[String]) -> Result<()> {
    coordinator.stop().await?;
    coordinator.check(stage, accepted).await?;
    Ok(())
}

/// The manifest as people wrote it before there was an SDK: nothing in it is changed, and three plain responders play its systems.
#[test]
fn the_distributed_order_manifest_runs_unchanged() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let manifest = std::fs::read_to_string(repository().join("manifests/examples/distributed_order_processing.yaml"))?;
        api.apply(&manifest).await?;
        // Each answers with what it was asked, so that the order of the journey can be seen.
        let play = |system: &'static str, capability: &'static str| {
            Responder::start(&url, system, capability, move |asked| {
                Reply::Result(json!({ "by": capability, "order": asked.input["order"] }))
            })
        };
        let systems = [
            play("rails_app", "Orders.ValidateOrderHandler").await?,
            play("python_inventory", "inventory.check_stock").await?,
            play("node_payments", "payment.charge").await?,
            play("rails_app", "Orders.FinalizeOrderHandler").await?,
        ];
        let id = api.submit("distributed_order_processing", json!({ "order": 536365 })).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        let table = [
            ("validate_order", "Orders.ValidateOrderHandler"),
            ("check_inventory", "inventory.check_stock"),
            ("process_payment", "payment.charge"),
            ("finalize_order", "Orders.FinalizeOrderHandler"),
        ];
        let mut before = 0;
        for ((name, capability), system) in table.iter().zip(&systems) {
            let done = step(&task, name)?;
            ensure!(done["result"] == json!({ "by": capability, "order": 536365 }), "{task:#}");
            ensure!(instant(done, "started_at")? >= before, "`{name}` started before its dependency was over: {task:#}");
            before = instant(done, "finished_at")?;
            ensure!(system.asked().len() == 1, "`{name}` was asked {} times", system.asked().len());
        }
        // The limits of the manifest are told to the responders.
        ensure!(systems[1].asked()[0].header("Tasker-Timeout-Ms") == "30000", "{:?}", systems[1].asked()[0].headers);
        ensure!(systems[2].asked()[0].header("Tasker-Timeout-Ms") == "45000", "{:?}", systems[2].asked()[0].headers);
        check(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_request_says_which_attempt_it_is_and_carries_the_trace() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("traced", ", retry: { base: 1ms, max_attempts: 3 }")).await?;
        let count = AtomicU32::new(0);
        let responder = Responder::start(&coordinator.setup().worker_url(), "plain", "stock.check", move |_| {
            match count.fetch_add(1, Ordering::Relaxed) {
                0 => Reply::Error(vec![("Nats-Service-Error-Code", "500".into()), ("Nats-Service-Error", "not yet".into())], json!({})),
                _ => Reply::Result(json!({ "ok": true })),
            }
        })
        .await?;
        let id = api.submit("traced", json!({ "sku": "a" })).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        let asked = responder.asked();
        ensure!(asked.len() == 2, "{asked:?}");
        for (place, request) in asked.iter().enumerate() {
            ensure!(request.input == json!({ "sku": "a" }), "{request:?}");
            ensure!(request.header("Tasker-Task-Id") == id && request.header("Tasker-Step") == "step", "{request:?}");
            ensure!(request.header("Tasker-Attempt") == (place + 1).to_string(), "{request:?}");
            let parts: Vec<&str> = request.header("traceparent").split('-').collect();
            ensure!(parts.len() == 4 && task["trace_id"] == parts[1] && parts[3] == "01", "{request:?}");
        }
        let key = asked[0].header("Tasker-Idempotency-Key");
        ensure!(!key.is_empty() && key == asked[1].header("Tasker-Idempotency-Key"), "the idempotency key is not stable: {asked:?}");
        ensure!(asked[0].header("traceparent") != asked[1].header("traceparent"), "both attempts have one span");
        ensure!(step(&task, "step")?["worker"] == "responders", "{task:#}");
        Ok(())
    });
}

#[test]
fn an_answer_may_be_an_error_of_either_kind() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("fails", ", retry: { kind: fixed, base: 1ms, jitter: none, max_attempts: 2 }")).await?;
        // What is answered is what was submitted.
        let _responder = Responder::start(&coordinator.setup().worker_url(), "plain", "stock.check", |asked| {
            let names =
                ["Nats-Service-Error-Code", "Nats-Service-Error", "Tasker-Error-Code", "Tasker-Error-Kind", "Tasker-Retry-After-Ms"];
            let headers = names.into_iter().filter_map(|name| Some((name, asked.input["headers"][name].as_str()?.to_owned())));
            Reply::Error(headers.collect(), json!({ "sku": "b" }))
        })
        .await?;
        let table = [
            (
                json!({ "Nats-Service-Error-Code": "404", "Nats-Service-Error": "gone", "Tasker-Error-Code": "out_of_stock" }),
                "permanent",
                Some("out_of_stock"),
                1,
            ),
            (
                json!({ "Nats-Service-Error-Code": "503", "Nats-Service-Error": "busy", "Tasker-Error-Code": "busy" }),
                "retryable",
                Some("busy"),
                2,
            ),
            (
                json!({ "Nats-Service-Error-Code": "400", "Nats-Service-Error": "odd", "Tasker-Error-Kind": "retryable", "Tasker-Retry-After-Ms": "300" }),
                "retryable",
                None,
                2,
            ),
            (
                json!({ "Nats-Service-Error-Code": "500", "Nats-Service-Error": "never", "Tasker-Error-Kind": "permanent" }),
                "permanent",
                None,
                1,
            ),
        ];
        let mut accepted = Vec::new();
        for (headers, kind, code, attempts) in table {
            let id = api.submit("fails", json!({ "headers": headers })).await?;
            let task = api.finished_as(&id, "failed").await?;
            let failure = &task["failure"];
            ensure!(failure["kind"] == kind && code.is_none_or(|code| failure["code"] == code), "{headers}: {failure:#}");
            ensure!(
                failure["message"] == headers["Nats-Service-Error"] && failure["details"] == json!({ "sku": "b" }),
                "{headers}: {failure:#}"
            );
            let tried = step(&task, "step")?["attempts"].as_array().context("attempts")?;
            ensure!(tried.len() == attempts, "{headers}: {task:#}");
            if headers["Tasker-Retry-After-Ms"].is_string() {
                let waited = instant(&tried[1], "started_at")? - instant(&tried[0], "finished_at")?;
                ensure!(waited >= 300, "the next attempt started {waited} ms after the failure");
            }
            accepted.push(id);
        }
        check(stage, &mut coordinator, &accepted).await
    });
}

#[test]
fn a_step_waits_for_a_responder_that_is_not_there_yet() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("patient", ", retry: { max_attempts: 1 }")).await?;
        let mut ids = Vec::new();
        for number in 0..20 {
            ids.push(api.submit("patient", json!({ "number": number })).await?);
        }
        until_true("the task says for whom it waits", SOON, async || {
            let why = api.get(&format!("/v1/tasks/{}/why", ids[0])).await?.ok()?;
            Ok(why["items"][0]["text"].as_str().is_some_and(|text| text.contains("no plain responder answered")))
        })
        .await?;
        let responder =
            Responder::start(&coordinator.setup().worker_url(), "plain", "stock.check", |asked| Reply::Result(asked.input.clone())).await?;
        for (number, id) in ids.iter().enumerate() {
            let task = api.finished_as(id, "succeeded").await?;
            ensure!(task["result"]["step"]["number"] == number || step(&task, "step")?["result"]["number"] == number, "{task:#}");
            // Nobody there costs no attempt: with one allowed, it succeeded.
            ensure!(step(&task, "step")?["attempt"] == 1, "{task:#}");
        }
        ensure!(responder.asked().len() == ids.len(), "{} requests for {} steps", responder.asked().len(), ids.len());
        check(stage, &mut coordinator, &ids).await
    });
}

#[test]
fn a_step_that_waited_for_a_responder_is_taken_by_a_worker_that_joins() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&single("either", "").replace("stock.check", "conformance.echo")).await?;
        let id = api.submit("either", json!({ "text": "x", "number": 1 })).await?;
        until_true("somebody was looked for", SOON, async || {
            let why = api.get(&format!("/v1/tasks/{id}/why")).await?.ok()?;
            Ok(why["items"][0]["text"].as_str().is_some_and(|text| text.contains("no plain responder answered")))
        })
        .await?;
        let _worker = coordinator.worker(stage, Language::Python, "plain").await?;
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(step(&task, "step")?["attempts"].as_array().is_some_and(|attempts| attempts.len() == 1), "{task:#}");
        check(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_result_that_breaks_the_contract_of_the_manifest_is_not_recorded() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let manifest = "name: checked\nversion: 1.0.0\nsystems:\n  plain:\n    capabilities:\n      - name: stock.check\n        \
                        result: { type: object, required: [left], properties: { left: { type: integer } } }\n        errors: { out_of_stock: {} }\n\
                        workflow_steps:\n  - { name: step, owner: plain, capability: stock.check }\n  \
                        - { name: after, owner: plain, capability: stock.check, depends_on: step }\n";
        api.apply(manifest).await?;
        let _responder =
            Responder::start(&coordinator.setup().worker_url(), "plain", "stock.check", |asked| match asked.input["say"].as_str() {
                Some("undeclared") => {
                    let headers = vec![
                        ("Nats-Service-Error-Code", "400".to_owned()),
                        ("Nats-Service-Error", "no".to_owned()),
                        ("Tasker-Error-Code", "never_heard_of".to_owned()),
                    ];
                    Reply::Error(headers, json!({}))
                }
                _ => Reply::Result(asked.input["give"].clone()),
            })
            .await?;
        let table = [
            (json!({ "give": { "left": "many" } }), "contract.result_violated"),
            (json!({ "give": null }), "contract.result_violated"),
            (json!({ "say": "undeclared" }), "contract.error_violated"),
        ];
        let mut accepted = Vec::new();
        for (input, code) in table {
            let id = api.submit("checked", input.clone()).await?;
            let task = api.finished_as(&id, "failed").await?;
            ensure!(task["failure"]["code"] == code, "{input}: {task:#}");
            ensure!(step(&task, "step")?["result"].is_null() && step(&task, "after")?["attempt"] == 0, "{input}: {task:#}");
            accepted.push(id);
        }
        let id = api.submit("checked", json!({ "give": { "left": 3 } })).await?;
        api.finished_as(&id, "succeeded").await?;
        accepted.push(id);
        check(stage, &mut coordinator, &accepted).await
    });
}

#[test]
fn a_retry_of_a_failed_task_keeps_what_had_succeeded() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let manifest = "name: repairable\nversion: 1.0.0\nsystems: { plain: {} }\nworkflow_steps:\n  - { name: reserve, owner: plain, capability: stock.reserve }\n  \
                        - { name: charge, owner: plain, capability: card.charge, depends_on: reserve, input: { for: '${ steps.reserve.result.reservation }' } }\n";
        api.apply(manifest).await?;
        let url = coordinator.setup().worker_url();
        let reserve = Responder::start(&url, "plain", "stock.reserve", |_| Reply::Result(json!({ "reservation": "r-1" }))).await?;
        let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_broken = broken.clone();
        let charge = Responder::start(&url, "plain", "card.charge", move |_| {
            if is_broken.load(Ordering::Relaxed) {
                let headers = vec![
                    ("Nats-Service-Error-Code", "400".to_owned()),
                    ("Nats-Service-Error", "declined".to_owned()),
                    ("Tasker-Error-Code", "card_declined".to_owned()),
                ];
                Reply::Error(headers, Value::Null)
            } else {
                Reply::Result(json!({ "payment": "p-1" }))
            }
        })
        .await?;
        let first = api.submit("repairable", json!({})).await?;
        let before = api.finished_as(&first, "failed").await?;
        broken.store(false, Ordering::Relaxed);
        let answer = api.post(&format!("/v1/tasks/{first}:retry"), &json!({})).await?;
        ensure!(answer.status == 201, "{answer:?}");
        let second = answer.body["id"].as_str().context("an id")?.to_owned();
        let task = api.finished_as(&second, "succeeded").await?;
        ensure!(task["origin"] == first.as_str() && second != first, "{task:#}");
        ensure!(
            step(&task, "reserve")?["attempt"] == 0 && step(&task, "reserve")?["result"] == json!({ "reservation": "r-1" }),
            "{task:#}"
        );
        ensure!(reserve.asked().len() == 1, "the step that had succeeded was run again");
        ensure!(charge.asked().len() == 2 && charge.asked()[1].input == json!({ "for": "r-1" }), "{:?}", charge.asked());
        // The failed task stays as it was (P9), and only a failed or cancelled one can be retried.
        ensure!(api.task(&first).await? == before, "the first task was changed");
        api.post(&format!("/v1/tasks/{second}:retry"), &json!({})).await?.problem(409, "task.nothing_to_retry")?;
        drop(charge);
        let third = api.submit("repairable", json!({})).await?;
        api.step_in(&third, "reserve", "succeeded").await?;
        api.post(&format!("/v1/tasks/{third}:retry"), &json!({})).await?.problem(409, "task.still_running")?;
        api.post(&format!("/v1/tasks/{third}:cancel"), &json!({})).await?.ok()?;
        check(stage, &mut coordinator, &[first, second, third]).await
    });
}
