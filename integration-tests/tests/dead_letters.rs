//! Dead letters through real processes: listed, grouped, requeued and discarded once, although the coordinator is killed in between.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tasker_integration_tests::api::{Api, step};
use tasker_integration_tests::coordinator::{Setup, text};
use tasker_integration_tests::postgres::Cluster;
use tasker_integration_tests::responder::{Reply, Responder};
use tasker_integration_tests::scripted::{Introduction, Play, ScriptedWorker};
use tasker_integration_tests::stage::{Stage, on_stage};
use tasker_integration_tests::until::{SOON, until_true};

/// Two steps: the first always succeeds, the second while the bank is there. A parent hands its failure on to nobody.
const CHARGE: &str = r#"
name: charge
version: 1.0.0
input: { type: object, properties: { n: { type: integer } }, required: [n] }
systems: { bank: { capabilities: [prepare, charge] } }
workflow_steps:
  - { name: prepare, owner: bank, capability: prepare, input: { n: "${ task.input.n }" } }
  - { name: charge, owner: bank, capability: charge, depends_on: prepare, input: { n: "${ task.input.n }" } }
"#;

const PARENT: &str = r#"
name: parent
version: 1.0.0
systems: {}
workflow_steps:
  - { name: child, workflow: charge, input: { n: 1 }, retry: { max_attempts: 1 } }
"#;

const SLEEPER: &str = r#"
name: sleeper
version: 1.0.0
systems: {}
workflow_steps: [{ name: nap, sleep: 1h }]
"#;

const WHO: (&str, &str) = ("ada", "the bank is back");

fn order(members: Value) -> Value {
    let mut order = json!({ "by": WHO.0, "reason": WHO.1 });
    if let (Some(order), Value::Object(members)) = (order.as_object_mut(), members) {
        order.extend(members);
    }
    order
}

async fn listed(api: &Api, query: &str) -> Result<Vec<Value>> {
    let page = api.get(&format!("/v1/dlq?{query}")).await?.ok()?;
    Ok(page["items"].as_array().context("items")?.clone())
}

async fn play(stage: &Stage, setup: Setup) -> Result<()> {
    let mut coordinator = setup.start(stage).await?;
    let api = coordinator.api.clone();
    let url = coordinator.setup().worker_url();
    let there = Arc::new(AtomicBool::new(false));
    let open = there.clone();
    let prepares = Responder::start(&url, "bank", "prepare", |_| Reply::Result(json!({ "ready": true }))).await?;
    let _charges = Responder::start(&url, "bank", "charge", move |_| match open.load(Ordering::SeqCst) {
        true => Reply::Result(json!({ "charged": true })),
        false => Reply::failing("bank_closed"),
    })
    .await?;
    for manifest in [CHARGE, PARENT, SLEEPER] {
        api.apply(manifest).await?;
    }
    let mut accepted = Vec::new();
    for n in 0..4 {
        accepted.push(api.submit("charge", json!({ "n": n })).await?);
    }
    let parent = api.submit("parent", json!({})).await?;
    let cancelled = api.submit("sleeper", json!({})).await?;
    api.post(&format!("/v1/tasks/{cancelled}:cancel"), &json!({ "reason": "a test" })).await?.ok()?;
    for id in accepted.iter().chain([&parent]) {
        api.finished_as(id, "failed").await?;
    }
    coordinator.kill_and_start(stage).await?;

    // The child is its parent's business, and nobody wanted the cancelled one.
    let letters = listed(&api, "").await?;
    ensure!(letters.len() == 5, "{letters:#?}");
    let groups = api.get("/v1/dlq:groups").await?.ok()?;
    ensure!(groups["letters"] == 5 && groups["codes"] == 2 && groups["missed"].is_null(), "{groups:#}");
    ensure!(groups["items"][0]["code"] == "bank_closed" && groups["items"][0]["count"] == 4, "{groups:#}");
    let letter = api.get(&format!("/v1/dlq/{}", accepted[0])).await?.ok()?;
    ensure!(letter["step"] == "charge" && letter["system"] == "bank" && letter["state"] == "open", "{letter:#}");
    ensure!(listed(&api, "code=child.failed&workflow=parent").await?.len() == 1, "the parent is one");
    api.get(&format!("/v1/dlq/{cancelled}")).await?.problem(404, "dead_letter.unknown")?;

    let preview = api.post("/v1/dlq:requeue", &json!({ "filter": { "code": "bank_closed" }, "dry_run": true })).await?.ok()?;
    ensure!(preview["matched"] == 4 && preview["sample"].as_array().map_or(0, Vec::len) == 4, "{preview:#}");
    ensure!(listed(&api, "").await?.len() == 5, "a preview changes nothing");

    // Requeued, and killed at once: the letter and its new task are there together, and a repeat finds them.
    there.store(true, Ordering::SeqCst);
    let one = api.post("/v1/dlq:requeue", &order(json!({ "tasks": [accepted[0]] }))).await?.ok()?;
    let successor = text(&one["items"][0], "requeued_to")?.to_owned();
    coordinator.kill_and_start(stage).await?;
    let again = api.post("/v1/dlq:requeue", &order(json!({ "tasks": [accepted[0]] }))).await?.ok()?;
    ensure!(again["items"][0]["before"] == true && again["items"][0]["requeued_to"] == successor.as_str(), "{again:#}");
    let task = api.finished_as(&successor, "succeeded").await?;
    ensure!(task["origin"] == accepted[0].as_str(), "{task:#}");
    ensure!(step(&task, "prepare")?["attempts"].as_array().is_some_and(Vec::is_empty), "good results are kept: {task:#}");
    let discarded = api.post("/v1/dlq:discard", &order(json!({ "tasks": [accepted[0]] }))).await?.ok()?;
    ensure!(discarded["refused"] == 1 && discarded["items"][0]["code"] == "dead_letter.settled", "{discarded:#}");

    // The rest by filter, in two pieces, at a rate.
    let filter = json!({ "code": "bank_closed" });
    let first = api.post("/v1/dlq:requeue", &order(json!({ "filter": filter, "limit": 2, "rate": 100 }))).await?.ok()?;
    ensure!(first["done"] == 2 && first["next_after"].is_string(), "{first:#}");
    let rest = order(json!({ "filter": filter, "after": first["next_after"] }));
    let second = api.post("/v1/dlq:requeue", &rest).await?.ok()?;
    ensure!(second["done"] == 1 && second["next_after"].is_null(), "{second:#}");
    let mut successors = vec![successor];
    for item in first["items"].as_array().into_iter().chain(second["items"].as_array()).flatten() {
        successors.push(text(item, "requeued_to")?.to_owned());
    }
    for id in &successors {
        api.finished_as(id, "succeeded").await?;
    }
    // A plain retry settles the letter, too.
    let retried = api.post(&format!("/v1/tasks/{parent}:retry"), &json!({})).await?.ok()?;
    successors.push(text(&retried, "id")?.to_owned());
    ensure!(listed(&api, "").await?.is_empty(), "all are seen to");
    let all = listed(&api, "state=requeued&limit=200").await?;
    ensure!(
        all.len() == 5 && all.iter().filter(|letter| letter["settled_by"] == WHO.0 && letter["settled_reason"] == WHO.1).count() == 4,
        "{all:#?}"
    );
    drop(prepares);
    accepted.extend(successors);
    accepted.extend([parent, cancelled]);
    coordinator.stop().await?;
    coordinator.check(stage, &accepted).await?;
    Ok(())
}

#[test]
fn a_dead_letter_is_requeued_once_whatever_is_killed() {
    on_stage(async |stage| play(stage, Setup::embedded(stage)).await);
}

#[test]
fn a_dead_letter_is_requeued_once_whatever_is_killed_on_postgres() {
    on_stage(async |stage| play(stage, Setup::embedded(stage).database(Cluster::shared().await?.create_database().await?)).await);
}

#[test]
fn a_step_that_kills_its_workers_is_quarantined_and_becomes_a_dead_letter() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let url = coordinator.setup().worker_url();
        api.apply(
            "
name: poison
version: 1.0.0
systems: { mill: { capabilities: [grind] } }
workflow_steps:
  - { name: grind, owner: mill, capability: grind, retry: { kind: fixed, base: 10ms, max_attempts: 1000 } }
",
        )
        .await?;
        let id = api.submit("poison", json!({})).await?;
        let sessions: Vec<String> = (1..=5).map(|number| format!("grinder-{number}")).collect();
        for session in &sessions {
            let worker = ScriptedWorker::join(&url, &api, Introduction::new("mill", "grind", session), |_| Play::Hold).await?;
            until_true("the worker has the step", SOON, async || Ok(!worker.taken().is_empty())).await?;
            worker.leave().await?;
        }
        let task = api.finished_as(&id, "failed").await?;
        let attempts = step(&task, "grind")?["attempts"].as_array().context("attempts")?.clone();
        ensure!(attempts.len() == 5, "no sixth worker: {task:#}");
        ensure!(attempts[..4].iter().all(|attempt| attempt["failure"]["code"] == "worker.lost"), "{task:#}");
        let letter = api.get(&format!("/v1/dlq/{id}")).await?.ok()?;
        let message = text(&letter, "message")?;
        ensure!(letter["code"] == "worker.poisoned" && sessions.iter().all(|session| message.contains(session)), "{letter:#}");

        // The same from the command line.
        let server = format!("http://127.0.0.1:{}", coordinator.setup().http_port);
        let (exit, said) = stage.tasker(&["--server", &server, "dlq", "groups"]).await?;
        ensure!(exit == Some(0) && said.contains("worker.poisoned") && said.contains("1 dead letter of 1 code"), "{said}");
        let filtered = ["--server", &server, "dlq", "discard", "--code", "worker.poisoned", "--by", "ada", "--reason", "a test"];
        let (exit, said) = stage.tasker(&filtered).await?;
        ensure!(exit == Some(2) && said.contains("1 dead letter") && said.contains("--yes"), "{said}");
        let (exit, said) = stage.tasker(&[&filtered[..], &["--yes"]].concat()).await?;
        ensure!(exit == Some(0) && said.contains("discarded 1"), "{said}");
        let (exit, said) = stage.tasker(&["--server", &server, "dlq", "requeue", &id, "--by", "ada", "--reason", "after all"]).await?;
        ensure!(exit == Some(4) && said.contains("dead_letter.settled"), "{said}");
        coordinator.stop().await?;
        coordinator.check(stage, &[id]).await?;
        Ok(())
    });
}

#[test]
fn a_wrong_order_about_dead_letters_is_refused_with_place_and_cure() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        for (path, status, code) in [
            ("/v1/dlq?stat=open", 400, "request.unknown_field"),
            ("/v1/dlq?state=closed", 400, "request.malformed"),
            ("/v1/dlq?limit=201", 400, "limit.exceeded"),
            ("/v1/dlq?after=x", 400, "cursor.malformed"),
            ("/v1/dlq?failed_from=yesterday", 400, "request.malformed"),
            ("/v1/dlq:groups?limit=5", 400, "request.unknown_field"),
            ("/v1/dlq/nonsense", 400, "task.id_malformed"),
            ("/v1/dlq/tsk_06f1a2b3c4d5e", 404, "dead_letter.unknown"),
        ] {
            api.get(path).await?.problem(status, code).with_context(|| path.to_owned())?;
        }
        for (body, code) in [
            (order(json!({})), "request.malformed"),
            (json!({ "filter": {} }), "request.malformed"),
            (order(json!({ "tasks": [], })), "limit.exceeded"),
            (order(json!({ "tasks": ["nonsense"] })), "task.id_malformed"),
            (order(json!({ "filter": { "cod": "x" } })), "request.unknown_field"),
            (order(json!({ "filter": {}, "limit": 1001 })), "limit.exceeded"),
            (order(json!({ "filter": {}, "limit": 1000, "rate": 1 })), "limit.exceeded"),
            (order(json!({ "filter": {}, "by": "" })), "limit.exceeded"),
            (order(json!({ "filter": {}, "reason": "x".repeat(1025) })), "limit.exceeded"),
        ] {
            for verb in ["requeue", "discard"] {
                let answer = api.post(&format!("/v1/dlq:{verb}"), &body).await?;
                let problem = answer.problem(400, code).with_context(|| body.to_string())?;
                ensure!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem:#}");
            }
        }
        let unknown = api.post("/v1/dlq:requeue", &order(json!({ "tasks": ["tsk_06f1a2b3c4d5e"] }))).await?.ok()?;
        ensure!(unknown["refused"] == 1 && unknown["items"][0]["code"] == "dead_letter.unknown", "{unknown:#}");
        coordinator.stop().await
    });
}
