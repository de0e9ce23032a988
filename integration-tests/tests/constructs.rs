//! Children, pauses, identity, compensation and fan-outs through real processes, with a coordinator that is killed in the middle.

use anyhow::{Result, ensure};
use reqwest::StatusCode;
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

const DOUBLED: &str = r#"
name: doubled
version: 1.0.0
input: { type: object, properties: { n: { type: integer } }, required: [n] }
result: { twice: "${ steps.double.result.n }" }
systems: { maths: { capabilities: [double] } }
workflow_steps:
  - name: double
    owner: maths
    capability: double
    input: { n: "${ task.input.n }" }
    retry: { kind: fixed, base: 50ms, max_attempts: 100 }
"#;

const EACH_DOUBLED: &str = r#"
name: each_doubled
version: 1.0.0
input: { type: object, properties: { list: { type: array } }, required: [list] }
systems: {}
workflow_steps:
  - name: child
    workflow: doubled
    for_each: { items: "${ task.input.list }", max_parallel: 10 }
    input: { n: "${ item }" }
"#;

#[test]
fn children_run_once_each_although_the_coordinator_is_killed_between_them() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        let budget = Arc::new(AtomicUsize::new(20));
        let left = budget.clone();
        let _maths = Responder::start(&coordinator.setup().worker_url(), "maths", "double", move |asked| {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Reply::Result(json!({ "n": asked.input["n"].as_i64().unwrap_or_default() * 2 })),
                Err(_) => Reply::busy(),
            }
        })
        .await?;
        api.apply(DOUBLED).await?;
        api.apply(EACH_DOUBLED).await?;
        let list: Vec<i64> = (0..50).collect();
        let body = json!({ "workflow": "each_doubled", "input": { "list": list }, "labels": { "run": "seven" } });
        let id = text(&api.post("/v1/tasks", &body).await?.ok()?, "id")?.to_owned();
        until("the first twenty children are over", TASK_MAX, async || {
            let items = step(&api.task(&id).await?, "child")?["items"].clone();
            Ok((items["succeeded"].as_u64() == Some(20)).then_some(()))
        })
        .await?;
        let said = api.why(&id).await?;
        ensure!(said.contains("20 of 50 items are over") && said.contains("runs since"), "{said}");
        coordinator.kill_and_start(stage).await?;
        ensure!(api.task(&id).await?["status"] == "running", "thirty children were still to be run when the coordinator was killed");
        budget.store(usize::MAX, Ordering::SeqCst);
        let task = api.finished_as(&id, "succeeded").await?;
        let expected: Vec<Value> = (0..50).map(|n| json!({ "twice": n * 2 })).collect();
        ensure!(task["result"]["child"] == json!(expected), "{}", task["result"]);
        let all = api.get(&format!("/v1/tasks?parent={id}&limit=200")).await?.ok()?;
        // The list may lag by a sweep; the view of the parent does not.
        let shown = task["children"].as_array().map_or(0, Vec::len);
        ensure!(shown == 50, "one child per item, although attempts were open when the coordinator was killed: {shown}, {all}");
        let child = api.task(text(&task["children"][0], "task")?).await?;
        ensure!(child["labels"]["run"] == "seven" && child["trace_id"] == task["trace_id"], "a child inherits labels and trace: {child:#}");
        ensure!(child["parent"]["task"] == json!(id), "{child:#}");
        check(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_child_that_cannot_be_started_fails_its_step_and_says_why() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        api.apply(EACH_DOUBLED).await?;
        let unknown = api.submit("each_doubled", json!({ "list": [1] })).await?;
        let task = api.finished_as(&unknown, "failed").await?;
        ensure!(task["failure"]["code"] == "child.refused", "{}", task["failure"]);
        ensure!(task["failure"]["message"].as_str().is_some_and(|message| message.contains("no workflow `doubled`")), "{task:#}");
        api.apply(DOUBLED).await?;
        let unfit = api.submit("each_doubled", json!({ "list": ["one"] })).await?;
        let task = api.finished_as(&unfit, "failed").await?;
        ensure!(task["failure"]["details"]["violations"][0]["pointer"] == "/n", "{}", task["failure"]);
        // Each task inside another starts one more, until that is refused; then all of them end.
        api.apply("name: endless\nversion: 1.0.0\nsystems: {}\nworkflow_steps:\n  - { name: again, workflow: endless, retry: { max_attempts: 1 } }\n")
            .await?;
        let endless = api.submit("endless", json!({})).await?;
        let task = api.finished_as(&endless, "failed").await?;
        ensure!(task["failure"]["code"] == "child.failed", "{}", task["failure"]);
        check(stage, &mut coordinator, &[unknown, unfit, endless]).await
    });
}

const HOLDER: &str = "name: holder\nversion: 1.0.0\nsystems: {}\nworkflow_steps:\n  - { name: kid, workflow: waiter }\n";
const WAITER: &str = r#"
name: waiter
version: 1.0.0
systems: { desk: { capabilities: [answer] } }
workflow_steps:
  - { name: go, wait_for: { signal: go, payload: { type: object, required: [n] } } }
  - { name: answer, depends_on: go, owner: desk, capability: answer, input: { n: "${ steps.go.result.n }" } }
"#;

#[test]
fn a_child_is_paused_and_cancelled_with_its_parent_also_by_a_new_coordinator() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        let desk =
            Responder::start(&coordinator.setup().worker_url(), "desk", "answer", |asked| Reply::Result(asked.input.clone())).await?;
        api.apply(WAITER).await?;
        api.apply(HOLDER).await?;
        let id = api.submit("holder", json!({})).await?;
        let child = text(&api.children(&id).await?[0], "task")?.to_owned();
        api.post(&format!("/v1/tasks/{id}:pause"), &json!({ "reason": "lunch" })).await?.ok()?;
        coordinator.kill_and_start(stage).await?;
        ensure!(api.task(&child).await?["paused"]["reason"].as_str().is_some_and(|reason| reason.contains(&id)), "the child pauses, too");
        api.post(&format!("/v1/tasks/{child}:resume"), &json!({})).await?.problem(409, "task.parent_paused")?;
        // A wait goes on, and what follows it does not start.
        api.post(&format!("/v1/tasks/{child}/signals/go"), &json!({ "n": 1 })).await?.ok()?;
        api.step_in(&child, "go", "succeeded").await?;
        let said = api.why(&child).await?;
        ensure!(said.contains("is paused") && said.contains(&format!("tasker task resume {id}")), "{said}");
        ensure!(api.task(&child).await?["status"] == "running" && desk.asked().is_empty(), "nothing new starts while it is paused");
        api.post(&format!("/v1/tasks/{id}:resume"), &json!({})).await?.ok()?;
        api.finished_as(&id, "succeeded").await?;

        let second = api.submit("holder", json!({})).await?;
        let child = text(&api.children(&second).await?[0], "task")?.to_owned();
        coordinator.kill_and_start(stage).await?;
        api.post(&format!("/v1/tasks/{second}:cancel"), &json!({ "reason": "too late" })).await?.ok()?;
        let cancelled = api.finished_as(&child, "cancelled").await?;
        ensure!(cancelled["cancel_reason"].as_str().is_some_and(|reason| reason.contains(&second)), "{cancelled:#}");
        api.post(&format!("/v1/tasks/{child}/signals/go"), &json!({ "n": 1 })).await?.problem(409, "task.not_running")?;
        check(stage, &mut coordinator, &[id, second]).await
    });
}

async fn pauses(stage: &Stage, setup: Setup) -> Result<()> {
    let (mut coordinator, api) = start(stage, setup).await?;
    let desk = Responder::start(&coordinator.setup().worker_url(), "desk", "answer", |asked| Reply::Result(asked.input.clone())).await?;
    api.apply(WAITER).await?;
    let running = api.submit("waiter", json!({})).await?;
    api.post("/v1/workflows/waiters:pause", &json!({})).await?.problem(404, "workflow.unknown")?;
    let paused = api.post("/v1/workflows/waiter:pause", &json!({ "reason": "stock-taking" })).await?.ok()?;
    ensure!(paused["changed"] == true, "{paused}");
    let later = api.submit("waiter", json!({})).await?;
    api.post(&format!("/v1/tasks/{running}/signals/go"), &json!({ "n": 1 })).await?.ok()?;
    coordinator.kill_and_start(stage).await?;
    api.post(&format!("/v1/tasks/{later}/signals/go"), &json!({ "n": 2 })).await?.ok()?;
    for id in [&running, &later] {
        let task = api.task(id).await?;
        ensure!(task["paused"]["reason"].as_str().is_some_and(|reason| reason.contains("stock-taking")), "{task:#}");
        api.post(&format!("/v1/tasks/{id}:resume"), &json!({})).await?.problem(409, "workflow.paused")?;
        ensure!(api.why(id).await?.contains("tasker workflow resume waiter"), "why says what to do");
    }
    // This one a person holds back longer.
    api.post(&format!("/v1/tasks/{later}:pause"), &json!({ "reason": "by hand" })).await?.ok()?;
    ensure!(desk.asked().is_empty(), "nothing was asked while the workflow was paused");
    api.post("/v1/workflows/waiter:resume", &json!({})).await?.ok()?;
    api.finished_as(&running, "succeeded").await?;
    let held_back = api.task(&later).await?;
    ensure!(held_back["paused"]["reason"] == "by hand" && held_back["status"] == "running", "{held_back:#}");
    api.post(&format!("/v1/tasks/{later}:resume"), &json!({})).await?.ok()?;
    api.finished_as(&later, "succeeded").await?;
    check(stage, &mut coordinator, &[running, later]).await
}

#[test]
fn nothing_of_a_paused_workflow_starts_now_or_later_or_after_a_kill() {
    on_stage(async |stage| pauses(stage, Setup::embedded(stage)).await);
}

#[test]
fn nothing_of_a_paused_workflow_starts_now_or_later_or_after_a_kill_on_postgres() {
    on_stage(async |stage| pauses(stage, Setup::embedded(stage).database(Cluster::shared().await?.create_database().await?)).await);
}

async fn identities(stage: &Stage, setup: Setup) -> Result<()> {
    let (mut coordinator, api) = start(stage, setup).await?;
    let manifest = |name: &str, on_duplicate: &str, window: &str| {
        format!(
            "name: {name}\nversion: 1.0.0\ninput: {{ type: object, properties: {{ order: {{ type: string }}, note: {{ type: string }} }} }}\n\
             identity: {{ fields: [order], window: {window}, on_duplicate: {on_duplicate} }}\nsystems: {{}}\n\
             workflow_steps:\n  - {{ name: nap, sleep: 1ms }}\n"
        )
    };
    api.apply(&manifest("lenient", "existing", "1h")).await?;
    api.apply(&manifest("strict", "refuse", "1h")).await?;
    api.apply(&manifest("brief", "refuse", "1ms")).await?;
    let submit = async |workflow: &str, input: Value| api.post("/v1/tasks", &json!({ "workflow": workflow, "input": input })).await;
    let first = submit("lenient", json!({ "order": "a", "note": "one" })).await?.ok()?;
    coordinator.kill_and_start(stage).await?;
    let again = submit("lenient", json!({ "order": "a", "note": "two" })).await?;
    ensure!(again.status == StatusCode::OK && again.body["id"] == first["id"], "{again:?}");
    ensure!(again.body["trace_id"] == first["trace_id"], "{again:?}");
    let other = submit("lenient", json!({ "order": "b" })).await?.ok()?;
    ensure!(other["id"] != first["id"], "another order is another task");
    let strict = submit("strict", json!({ "order": "a" })).await?.ok()?;
    let refused = submit("strict", json!({ "order": "a" })).await?;
    let said = refused.problem(409, "task.duplicate")?.to_string();
    ensure!(said.contains(text(&strict, "id")?), "the refusal names the task: {said}");
    // The key comes first, and afterwards leads to the task that the identity found.
    let keyed = api.submit_with_key("lenient", &json!({ "order": "a", "note": "three" }), "k-1").await?.ok()?;
    ensure!(keyed["id"] == first["id"], "{keyed}");
    api.submit_with_key("lenient", &json!({ "order": "z" }), "k-1").await?.problem(422, "idempotency.key_reused")?;
    let mut accepted: Vec<String> = [&first, &other, &strict].iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    // A window that is over at once: every submission is a task, however fast they come.
    for _ in 0..20 {
        let id = until("the window is over", TASK_MAX, async || {
            let answer = submit("brief", json!({ "order": "a" })).await?;
            Ok((answer.status != StatusCode::CONFLICT).then_some(answer.ok()?))
        });
        accepted.push(text(&id.await?, "id")?.to_owned());
    }
    for id in &accepted {
        api.finished_as(id, "succeeded").await?;
    }
    check(stage, &mut coordinator, &accepted).await
}

#[test]
fn the_same_task_is_recognised_by_its_identity_across_a_kill() {
    on_stage(async |stage| identities(stage, Setup::embedded(stage)).await);
}

#[test]
fn the_same_task_is_recognised_by_its_identity_across_a_kill_on_postgres() {
    on_stage(async |stage| identities(stage, Setup::embedded(stage).database(Cluster::shared().await?.create_database().await?)).await);
}

#[test]
fn what_was_done_is_undone_in_reverse_order_although_the_coordinator_is_killed() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        let url = coordinator.setup().worker_url();
        let order = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
        let gate = Arc::new(AtomicUsize::new(0));
        let mut systems = Vec::new();
        for capability in ["book", "charge", "ship", "unbook", "refund", "tell"] {
            let (order, gate) = (order.clone(), gate.clone());
            let play = move |asked: &tasker_integration_tests::responder::Asked| {
                if capability == "ship" {
                    return Reply::failing("no_ship");
                }
                // The first compensation is busy until the coordinator has been killed.
                if capability == "refund" && gate.load(Ordering::SeqCst) == 0 {
                    return Reply::busy();
                }
                let mut done = order.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                done.push(capability.to_owned());
                Reply::Result(json!({ "did": capability, "with": asked.input }))
            };
            systems.push(Responder::start(&url, "shop", capability, play).await?);
        }
        api.apply(
            r#"
name: trip
version: 1.0.0
on_failure: [tell]
systems: { shop: { capabilities: [book, charge, ship, unbook, refund, tell] } }
workflow_steps:
  - { name: book, owner: shop, capability: book, compensate: unbook }
  - { name: charge, depends_on: book, owner: shop, capability: charge, compensate: refund }
  - { name: ship, depends_on: charge, owner: shop, capability: ship, retry: { max_attempts: 1 } }
  - { name: unbook, owner: shop, capability: unbook, input: { was: "${ steps.book.result.did }" } }
  - { name: refund, owner: shop, capability: refund, input: {}, retry: { kind: fixed, base: 50ms, max_attempts: 200 } }
  - { name: tell, owner: shop, capability: tell, input: { code: "${ task.error.code }" } }
"#,
        )
        .await?;
        let id = api.submit("trip", json!({})).await?;
        until("the task is on its way to its end", TASK_MAX, async || {
            let task = api.task(&id).await?;
            let tried = step(&task, "refund")?["attempt"].as_u64().unwrap_or_default() > 0;
            Ok((tried && task["ending"]["compensate"] == true).then_some(()))
        })
        .await?;
        let said = api.why(&id).await?;
        ensure!(said.contains("being undone") && said.contains("undoes `charge`"), "{said}");
        api.post(&format!("/v1/tasks/{id}:pause"), &json!({})).await?.problem(409, "task.not_running")?;
        coordinator.kill_and_start(stage).await?;
        gate.store(1, Ordering::SeqCst);
        let task = api.finished_as(&id, "failed").await?;
        ensure!(task["failure"]["code"] == "no_ship", "{task:#}");
        let done = order.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        ensure!(done == ["book", "charge", "refund", "unbook", "tell"], "{done:?}");
        ensure!(step(&task, "unbook")?["result"]["with"] == json!({ "was": "book" }), "{task:#}");
        ensure!(step(&task, "tell")?["result"]["with"] == json!({ "code": "no_ship" }), "{task:#}");
        check(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_fan_out_of_a_thousand_loses_nothing_when_the_coordinator_is_killed() {
    on_stage(async |stage| {
        let (mut coordinator, api) = coordinator(stage).await?;
        let budget = Arc::new(AtomicUsize::new(400));
        let left = budget.clone();
        let images = Responder::start(&coordinator.setup().worker_url(), "images", "resize", move |asked| {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Reply::Result(json!({ "small": asked.input["path"] })),
                Err(_) => Reply::busy(),
            }
        })
        .await?;
        api.apply(
            r#"
name: pictures
version: 1.0.0
input: { type: object, properties: { images: { type: array } }, required: [images] }
systems: { images: { capabilities: [resize] } }
workflow_steps:
  - name: resize
    owner: images
    capability: resize
    for_each: { items: "${ task.input.images }", max_parallel: 50 }
    input: { path: "${ item }" }
    retry: { kind: fixed, base: 50ms, max_attempts: 1000 }
  - { name: nap, depends_on: resize, sleep: 50ms }
  - name: many
    depends_on: nap
    switch: { on: "${ size(steps.resize.result) > 999 ? 'many' : 'few' }", cases: { many: [celebrate], few: [mourn] } }
  - { name: celebrate, sleep: 1ms }
  - { name: mourn, sleep: 1ms }
"#,
        )
        .await?;
        let paths: Vec<String> = (0..1000).map(|number| format!("/pictures/{number}.jpg")).collect();
        let id = api.submit("pictures", json!({ "images": paths })).await?;
        until("four hundred items are over", TASK_MAX, async || {
            Ok((step(&api.task(&id).await?, "resize")?["items"]["succeeded"] == 400).then_some(()))
        })
        .await?;
        let said = api.why(&id).await?;
        ensure!(said.contains("fanned out: 400 of 1000 items are over") && said.contains("more items are at work"), "{said}");
        coordinator.kill_and_start(stage).await?;
        budget.store(usize::MAX, Ordering::SeqCst);
        let task = api.finished_as(&id, "succeeded").await?;
        let items = &step(&task, "resize")?["items"];
        ensure!(items["succeeded"] == 1000 && items["failed"] == 0, "{items}");
        ensure!(step(&task, "celebrate")?["state"] == "succeeded" && step(&task, "mourn")?["skipped"] == "branch", "{task:#}");
        let page = api.get(&format!("/v1/tasks/{id}/steps/resize/items?after=899&limit=2")).await?.ok()?;
        ensure!(page["items"][0]["name"] == "resize[900]" && page["next_after"] == 901, "{page:#}");
        ensure!(page["items"][0]["result"] == json!({ "small": "/pictures/900.jpg" }), "{page:#}");
        // Every item has its own stable key, so whoever is asked twice can tell.
        let keys: std::collections::BTreeSet<String> =
            images.asked().iter().map(|asked| asked.header("Tasker-Idempotency-Key").to_owned()).collect();
        ensure!(keys.len() == 1000, "{} keys", keys.len());
        check(stage, &mut coordinator, &[id]).await
    });
}
