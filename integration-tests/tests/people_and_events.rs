//! Signals, events, approvals and steps that wait for a person, through real processes, with a coordinator that is killed in the middle.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tasker_integration_tests::api::{Api, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup, TASK_MAX, text};
use tasker_integration_tests::postgres::Cluster;
use tasker_integration_tests::responder::{Reply, Responder};
use tasker_integration_tests::stage::{Stage, on_stage};
use tasker_integration_tests::until::until;

/// Starts a coordinator with the embedded listener.
async fn coordinator(stage: &Stage) -> Result<(Coordinator, Api)> {
    start(stage, Setup::embedded(stage)).await
}

async fn start(stage: &Stage, setup: Setup) -> Result<(Coordinator, Api)> {
    let coordinator = setup.start(stage).await?;
    let api = coordinator.api.clone();
    Ok((coordinator, api))
}

/// Stops and requires that every promise was kept.
async fn check(stage: &Stage, coordinator: &mut Coordinator, accepted: &[String]) -> Result<()> {
    coordinator.stop().await?;
    coordinator.check(stage, accepted).await?;
    Ok(())
}

#[test]
fn signals_are_taken_once_before_and_after_the_wait() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        let url = coordinator.setup().worker_url();
        let gate = Arc::new(AtomicUsize::new(0));
        let open = gate.clone();
        let _desk = Responder::start(&url, "desk", "prepare", move |_| match open.load(Ordering::SeqCst) {
            0 => Reply::busy(),
            _ => Reply::Result(json!({})),
        })
        .await?;
        api.apply(
            r#"
name: signalled
version: 1.0.0
systems: { desk: { capabilities: [prepare] } }
workflow_steps:
  - { name: prepare, owner: desk, capability: prepare, retry: { kind: fixed, base: 50ms, max_attempts: 100 } }
  - { name: first, depends_on: prepare, wait_for: { signal: go, payload: { type: object, required: [n] } } }
  - { name: second, depends_on: first, wait_for: { signal: go, payload: { type: object, required: [n] } }, timeout: 30s }
"#,
        )
        .await?;
        let id = api.submit("signalled", json!({})).await?;
        let path = format!("/v1/tasks/{id}/signals/go");
        let unknown = api.post(&format!("/v1/tasks/{id}/signals/og"), &json!({ "n": 0 })).await?;
        ensure!(unknown.problem(404, "signal.unknown")?["detail"].as_str().is_some_and(|detail| detail.contains("go")), "{unknown:?}");
        api.post(&path, &json!({ "m": 0 })).await?.problem(422, "signal.payload_violated")?;
        let kept = api.post_with_key(&path, &json!({ "n": 1 }), "s-1").await?.ok()?;
        ensure!(kept["taken_by"].is_null() && kept["repeated"] == false, "nobody waits yet, so it is kept: {kept}");
        coordinator.kill_and_start(stage).await?;
        let again = api.post_with_key(&path, &json!({ "n": 1 }), "s-1").await?.ok()?;
        ensure!(again["repeated"] == true, "a repeat is recognised after a restart: {again}");
        gate.store(1, Ordering::SeqCst);
        api.step_in(&id, "second", "waiting").await?;
        let said = api.why(&id).await?;
        ensure!(said.contains("waits for the signal `go`") && said.contains(&format!("tasker task signal {id} go")), "{said}");
        let taken = api.post_with_key(&path, &json!({ "n": 2 }), "s-2").await?.ok()?;
        ensure!(taken["taken_by"] == "second", "{taken}");
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(step(&task, "first")?["result"] == json!({ "n": 1 }) && step(&task, "second")?["result"] == json!({ "n": 2 }), "{task:#}");
        check(stage, &mut coordinator, &[id]).await
    });
}

async fn events(stage: &Stage, setup: Setup) -> Result<()> {
    let (mut coordinator, api) = start(stage, setup).await?;
    api.apply(
        r#"
name: awaits_payment
version: 1.0.0
input: { type: object, properties: { order: { type: string } }, required: [order] }
systems: {}
workflow_steps:
  - name: paid
    wait_for: { event: payment.settled, key: "${ task.input.order }", payload: { type: object, required: [amount] } }
"#,
    )
    .await?;
    let event = |key: &str, payload: Value| json!({ "name": "payment.settled", "key": key, "payload": payload });
    let one = api.submit("awaits_payment", json!({ "order": "o-1" })).await?;
    let other = api.submit("awaits_payment", json!({ "order": "o-1" })).await?;
    ensure!(api.why(&one).await?.contains("tasker event send payment.settled --key o-1"), "why names the event");
    coordinator.kill_and_start(stage).await?;
    api.post("/v1/events", &event("o-1", json!({}))).await?.problem(422, "event.payload_violated")?;
    let taken = api.post_with_key("/v1/events", &event("o-1", json!({ "amount": 7 })), "e-1").await?.ok()?;
    ensure!(taken["tasks"].as_array().map_or(0, Vec::len) == 2 && taken["kept"] == false, "{taken}");
    for id in [&one, &other] {
        let task = api.finished_as(id, "succeeded").await?;
        ensure!(task["result"]["paid"] == json!({ "amount": 7 }), "{task:#}");
    }
    // Nobody waits for this one yet.
    let kept = api.post_with_key("/v1/events", &event("o-2", json!({ "amount": 8 })), "e-2").await?.ok()?;
    ensure!(kept["kept"] == true, "{kept}");
    coordinator.kill_and_start(stage).await?;
    let repeated = api.post_with_key("/v1/events", &event("o-2", json!({ "amount": 8 })), "e-2").await?.ok()?;
    ensure!(repeated["repeated"] == true, "{repeated}");
    let first = api.submit("awaits_payment", json!({ "order": "o-2" })).await?;
    let task = api.finished_as(&first, "succeeded").await?;
    ensure!(task["result"]["paid"] == json!({ "amount": 8 }), "{task:#}");
    let second = api.submit("awaits_payment", json!({ "order": "o-2" })).await?;
    coordinator.kill_and_start(stage).await?;
    ensure!(api.task(&second).await?["status"] == "running", "an event that was kept is taken by one task only");
    api.post("/v1/events", &event("o-2", json!({ "amount": 9 }))).await?.ok()?;
    api.finished_as(&second, "succeeded").await?;
    check(stage, &mut coordinator, &[one, other, first, second]).await
}

#[test]
fn an_event_reaches_everybody_who_waits_and_is_kept_for_the_first_who_will() {
    on_stage(async |stage| events(stage, Setup::embedded(stage)).await);
}

#[test]
fn an_event_reaches_everybody_who_waits_and_is_kept_for_the_first_who_will_on_postgres() {
    on_stage(async |stage| events(stage, Setup::embedded(stage).database(Cluster::shared().await?.create_database().await?)).await);
}

#[test]
fn a_person_approves_what_they_are_asked_and_only_once() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        api.apply(
            r#"
name: approved
version: 1.0.0
input: { type: object, properties: { title: { type: string } }, required: [title] }
systems: {}
workflow_steps:
  - name: approve
    approval:
      title: "Publish ${ task.input.title }"
      form: { type: object, properties: { pages: { type: integer } }, required: [pages] }
      assignees: [legal]
    timeout: 30d
  - { name: too_late, approval: { title: Nobody comes }, timeout: 50ms, on_exhausted: continue }
"#,
        )
        .await?;
        let id = api.submit("approved", json!({ "title": "Poems" })).await?;
        let second = api.submit("approved", json!({ "title": "Prose" })).await?;
        let late = api.step_in(&id, "too_late", "failed").await?;
        ensure!(late["failure"]["code"] == "approval.timeout", "{late:#}");
        let path = |verb: &str| format!("/v1/tasks/{id}/steps/approve:{verb}");
        api.post(&path("comment"), &json!({ "by": "eve", "comment": "which poems?" })).await?.ok()?;
        coordinator.kill_and_start(stage).await?;
        let page = api.get("/v1/approvals?assignee=legal&limit=1").await?.ok()?;
        ensure!(page["items"][0]["title"] == "Publish Poems" && page["items"][0]["task"] == json!(id), "{page:#}");
        ensure!(page["items"][0]["comments"][0]["text"] == "which poems?", "comments outlive the coordinator: {page:#}");
        let next = api.get(&format!("/v1/approvals?assignee=legal&limit=1&after={}", text(&page, "next_after")?)).await?.ok()?;
        ensure!(next["items"][0]["task"] == json!(second) && next["next_after"].is_null(), "{next:#}");
        ensure!(api.why(&id).await?.contains("for a decision by legal"), "why names who is asked");
        let approve = |by: &str, form: Value| json!({ "decision": "approved", "by": by, "form": form });
        api.post(&path("decide"), &approve("eve", json!({ "pages": 3 }))).await?.problem(403, "approval.not_assigned")?;
        api.post(&path("decide"), &json!({ "decision": "approved", "by": "legal" })).await?.problem(422, "approval.form_violated")?;
        let misspelt = api.post(&format!("/v1/tasks/{id}/steps/aprove:decide"), &approve("legal", json!({ "pages": 3 }))).await?;
        misspelt.problem(404, "step.unknown")?;
        let body = json!({ "decision": "approved", "by": "ann", "role": "legal", "form": { "pages": 3 } });
        api.post(&path("decide"), &body).await?.ok()?;
        api.post(&path("decide"), &approve("legal", json!({ "pages": 3 }))).await?.problem(409, "approval.not_waiting")?;
        let task = api.finished_as(&id, "succeeded").await?;
        let result = &step(&task, "approve")?["result"];
        ensure!(result["decision"] == "approved" && result["by"] == "ann" && result["form"] == json!({ "pages": 3 }), "{result}");
        let rejected = format!("/v1/tasks/{second}/steps/approve:decide");
        api.post(&rejected, &json!({ "decision": "rejected", "by": "legal", "comment": "no" })).await?.ok()?;
        let task = api.finished_as(&second, "succeeded").await?;
        ensure!(step(&task, "approve")?["result"]["decision"] == "rejected", "a rejection is a result, too: {task:#}");
        ensure!(api.get("/v1/approvals").await?.ok()?["items"] == json!([]), "nobody is asked any more");
        check(stage, &mut coordinator, &[id, second]).await
    });
}

#[test]
fn a_step_that_failed_for_good_waits_for_a_person_across_a_kill() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        let _desk = Responder::start(&coordinator.setup().worker_url(), "desk", "book", |_| Reply::failing("no_room")).await?;
        api.apply(
            r#"
name: booking
version: 1.0.0
systems:
  desk:
    capabilities:
      - name: book
        result: { type: object, properties: { room: { type: integer } }, required: [room] }
workflow_steps:
  - { name: book, owner: desk, capability: book, retry: { max_attempts: 1 }, on_exhausted: wait }
"#,
        )
        .await?;
        let ids =
            [api.submit("booking", json!({})).await?, api.submit("booking", json!({})).await?, api.submit("booking", json!({})).await?];
        for id in &ids {
            api.step_in(id, "book", "held").await?;
        }
        coordinator.kill_and_start(stage).await?;
        let held = api.get("/v1/held").await?.ok()?;
        ensure!(held["items"].as_array().map_or(0, Vec::len) == 3 && held["items"][0]["failure"]["code"] == "no_room", "{held:#}");
        ensure!(api.why(&ids[0]).await?.contains(&format!("tasker step resolve {} book retry", ids[0])), "why says what to do");
        let resolve = async |id: &str, body: Value| api.post(&format!("/v1/tasks/{id}/steps/book:resolve"), &body).await;
        resolve(&ids[0], json!({ "resolution": "supply", "by": "ann", "result": { "room": "seven" } }))
            .await?
            .problem(422, "result.violated")?;
        resolve(&ids[0], json!({ "resolution": "retry", "by": "ann" })).await?.ok()?;
        until("the step was tried again and is held again", TASK_MAX, async || {
            let task = api.task(&ids[0]).await?;
            let book = step(&task, "book")?;
            Ok((book["state"] == "held" && book["attempts"].as_array().map_or(0, Vec::len) == 2).then_some(()))
        })
        .await?;
        resolve(&ids[0], json!({ "resolution": "supply", "by": "ann", "result": { "room": 7 } })).await?.ok()?;
        ensure!(
            api.finished_as(&ids[0], "succeeded").await?["result"]["book"] == json!({ "room": 7 }),
            "the supplied result is the result"
        );
        resolve(&ids[0], json!({ "resolution": "skip", "by": "ann" })).await?.problem(409, "step.not_held")?;
        resolve(&ids[1], json!({ "resolution": "skip", "by": "ann" })).await?.ok()?;
        let skipped = api.finished_as(&ids[1], "succeeded").await?;
        ensure!(step(&skipped, "book")?["skipped"] == "person", "{skipped:#}");
        resolve(&ids[2], json!({ "resolution": "fail", "by": "ann" })).await?.ok()?;
        let failed = api.finished_as(&ids[2], "failed").await?;
        ensure!(failed["failure"]["code"] == "step.given_up", "{failed:#}");
        check(stage, &mut coordinator, &ids).await
    });
}
