//! The deploy gate: manifests and workers that cannot work together are stopped before a task finds out.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tasker_integration_tests::api::{Answer, Api};
use tasker_integration_tests::coordinator::{Coordinator, Setup};
use tasker_integration_tests::raw::{RawWorker, success};
use tasker_integration_tests::stage::{Stage, on_stage};
use tasker_proto::worker::v1::{self as proto, directive::Directive};

/// Sends an amount of a type, and expects a receipt.
fn charge(version: &str, amount: &str) -> String {
    format!(
        "
name: charge
version: {version}
input: {{ type: object, required: [amount], properties: {{ amount: {{ type: {amount} }} }} }}
systems:
  bank:
    capabilities:
      - name: card.charge
        input: {{ type: object, additionalProperties: false, required: [amount], properties: {{ amount: {{ type: {amount} }} }} }}
        result: {{ type: object, additionalProperties: false, required: [receipt], properties: {{ receipt: {{ type: string }} }} }}
        errors: {{ declined: {{ description: The bank says no. }} }}
workflow_steps:
  - {{ name: pay, owner: bank, capability: card.charge, input: {{ amount: '${{ task.input.amount }}' }} }}
"
    )
}

fn receipt() -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": ["receipt"], "properties": { "receipt": { "type": "string" } } })
}

fn amount(kind: &str) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": ["amount"], "properties": { "amount": { "type": kind } } })
}

/// A hello with a contract.
fn hello(worker: &RawWorker, input: &Value, result: &Value, errors: &[&str]) -> proto::Hello {
    let mut hello = worker.hello("card.charge");
    let capability = &mut hello.capabilities[0];
    capability.input_schema = input.to_string();
    capability.result_schema = result.to_string();
    capability.errors = errors.iter().map(|code| proto::ErrorContract { code: (*code).to_owned(), ..Default::default() }).collect();
    hello
}

/// What a hello is answered: nothing if it is welcome, else code and message.
async fn introduce(worker: &mut RawWorker, hello: &proto::Hello) -> Result<Option<(String, String)>> {
    worker.say("hello", hello).await?;
    worker
        .expect("an answer to the hello", |directive| match directive {
            Directive::Welcome(_) => Some(None),
            Directive::Refused(refused) => Some(Some((refused.code.clone(), refused.message.clone()))),
            _ => None,
        })
        .await
}

async fn start(stage: &Stage) -> Result<(Coordinator, Api, String)> {
    let coordinator = Setup::embedded(stage).start(stage).await?;
    let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
    Ok((coordinator, api, url))
}

async fn apply_with(api: &Api, manifest: &str, query: &str) -> Result<Answer> {
    let yaml = [("content-type", "application/yaml")];
    api.request(Method::POST, &format!("/v1/workflows?{query}"), &yaml, manifest.as_bytes().to_vec()).await
}

async fn current(api: &Api) -> Result<Value> {
    Ok(api.get("/v1/workflows/charge").await?.ok()?["version"].clone())
}

#[test]
fn a_manifest_that_live_workers_cannot_serve_is_refused_unless_it_is_forced() {
    on_stage(async |stage| {
        let (coordinator, api, url) = start(stage).await?;
        api.apply(&charge("1.0.0", "string")).await?;
        let mut worker = RawWorker::connect(&url, "bank", "bank-session").await?;
        let fitting = hello(&worker, &amount("string"), &receipt(), &["declined"]);
        ensure!(introduce(&mut worker, &fitting).await?.is_none(), "the worker fits");

        let changed = charge("2.0.0", "integer");
        for query in ["", "dry_run=true"] {
            let refused = apply_with(&api, &changed, query).await?;
            let problem = refused.problem(409, "workflow.incompatible")?;
            let message = problem["errors"][0]["message"].as_str().context("a message")?;
            for part in ["step `pay`", "workflow `charge` 2.0.0", "`/amount` in the input of `card.charge`"] {
                ensure!(message.contains(part), "{part}: {problem:#}");
            }
            ensure!(current(&api).await? == "1.0.0", "nothing was applied");
        }
        let tried = apply_with(&api, &changed, "dry_run=true&force=true&by=ada").await?.ok()?;
        ensure!(tried["compatibility"][0]["certainty"] == "breaks" && current(&api).await? == "1.0.0", "{tried:#}");
        let forced = apply_with(&api, &changed, "force=true&by=ada").await?.ok()?;
        ensure!(forced["compatibility"][0]["step"] == "pay" && current(&api).await? == "2.0.0", "{forced:#}");
        let log = coordinator.process.log().lines().join("\n");
        ensure!(log.contains("workflow.apply_forced") && log.contains("ada"), "the log says who forced what");

        // What was accepted stays accepted: the same build may come back.
        ensure!(introduce(&mut worker, &fitting).await?.is_none(), "the worker was admitted once");
        Ok(())
    });
}

#[test]
fn a_worker_that_tasks_in_flight_cannot_use_is_refused_and_they_finish_on_theirs() {
    on_stage(async |stage| {
        let (_coordinator, api, url) = start(stage).await?;
        api.apply(&charge("1.0.0", "string")).await?;
        let mut old = RawWorker::connect(&url, "bank", "old-session").await?;
        let fitting = hello(&old, &amount("string"), &receipt(), &["declined"]);
        ensure!(introduce(&mut old, &fitting).await?.is_none(), "the worker fits");
        let id = api.submit("charge", json!({ "amount": "5.00" })).await?;

        let mut new = RawWorker::connect(&url, "bank", "new-session").await?;
        let table = [
            ("another input", hello(&new, &amount("integer"), &receipt(), &["declined"]), "`/amount` in the input"),
            ("another result", hello(&new, &amount("string"), &amount("string"), &["declined"]), "in the result"),
            ("a new error", hello(&new, &amount("string"), &receipt(), &["declined", "expired"]), "the error `expired`"),
        ];
        for (what, hello, field) in table {
            let (code, message) = introduce(&mut new, &hello).await?.with_context(|| format!("{what} was admitted"))?;
            ensure!(code == "contract.incompatible", "{what}: {code}");
            for part in ["workflow `charge` 1.0.0", "step `pay`", field, "1 task(s) in flight", &id] {
                ensure!(message.contains(part), "{what}: no {part} in: {message}");
            }
        }
        // Only single values are narrower: how languages write their integers and texts is not held against them.
        let mut bounded = amount("string");
        bounded["properties"]["amount"]["maxLength"] = 40.into();
        let narrower = hello(&new, &bounded, &receipt(), &["declined"]);
        ensure!(introduce(&mut new, &narrower).await?.is_none(), "a narrower worker is admitted");

        let credit = Some(proto::Credit { free: 1, highest_sequence: 0, expires_in_ms: 60_000 });
        old.say("poll", &proto::Poll { session: "old-session".into(), credit }).await?;
        let asked = old
            .expect("the step", |directive| match directive {
                Directive::StepRequest(request) => Some(request.clone()),
                _ => None,
            })
            .await?;
        old.reply(asked.shard, success(&asked, r#"{"receipt":"r1"}"#)).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(task["workflow"]["version"] == "1.0.0" || task["version"] == "1.0.0", "{task:#}");
        Ok(())
    });
}

#[test]
fn an_operator_may_let_every_worker_in() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).with("TASKER_GATE", "warn").start(stage).await?;
        coordinator.api.apply(&charge("1.0.0", "string")).await?;
        let mut worker = RawWorker::connect(&coordinator.setup().worker_url(), "bank", "bank-session").await?;
        let other = hello(&worker, &amount("integer"), &receipt(), &["declined"]);
        ensure!(introduce(&mut worker, &other).await?.is_none(), "it is admitted");
        let log = coordinator.process.log().lines().join("\n");
        ensure!(log.contains("contract.incompatible"), "the log says what does not fit");
        Ok(())
    });
}

#[test]
fn a_manifest_that_takes_away_what_another_relies_on_is_refused() {
    on_stage(async |stage| {
        let (_coordinator, api, _) = start(stage).await?;
        api.apply(&charge("1.0.0", "string")).await?;
        let other = charge("1.0.0", "integer").replace("name: charge\n", "name: refund\n");
        let refused = api.try_apply(&other).await?;
        let problem = refused.problem(409, "workflow.incompatible")?;
        let message = problem["errors"][0]["message"].as_str().context("a message")?;
        ensure!(message.contains("workflow `charge` 1.0.0") && message.contains("as the manifest declares"), "{problem:#}");
        Ok(())
    });
}
