//! Tasks that only wait leave the memory and come back as if they had never left; and a coordinator that starts works before it has read all
//! of them.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tasker_integration_tests::api::{Api, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup, TASK_MAX, text};
use tasker_integration_tests::postgres::Cluster;
use tasker_integration_tests::responder::{Reply, Responder};
use tasker_integration_tests::stage::{Stage, on_stage};
use tasker_integration_tests::until::{SOON, until_true};

/// Tasks leave the memory with the commit that made them wait.
const EAGER: (&str, &str) = ("TASKER_SWEEP", "0s");

/// One task waits for everything that no worker brings, beside what workers did before.
const WAITS: &str = r#"
name: waits
version: 1.0.0
input: { type: object, properties: { order: { type: string } }, required: [order] }
systems: {}
workflow_steps:
  - { name: approve, approval: { title: "Order ${ task.input.order }", assignees: [legal] } }
  - { name: paid, wait_for: { event: paid, key: "${ task.input.order }", payload: { type: object, required: [amount] } }, timeout: 1h }
  - { name: signed, wait_for: { signal: sign } }
  - { name: rest, depends_on: [approve, paid, signed], sleep: 300ms }
result: { amount: "${ steps.paid.result.amount }" }
"#;

const ASLEEP: &str = "tasker_tasks_place{place=\"asleep\"}";
const UNREAD: &str = "tasker_tasks_place{place=\"unread\"}";
const ACTIVE: &str = "tasker_tasks_active{state=\"running\"}";
const PAUSED: &str = "tasker_tasks_active{state=\"paused\"}";

/// A figure of the coordinator, as it was a moment ago.
async fn figure(api: &Api, name: &str) -> Result<u64> {
    let page = api.get("/metrics").await?.ok()?;
    let page = page.as_str().context("a page of text")?;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no figure `{name}`"))?.trim().parse().with_context(|| format!("`{name}`"))
}

async fn until_figure(api: &Api, name: &str, value: u64) -> Result<()> {
    until_true(&format!("{name} is {value}"), TASK_MAX, async || Ok(figure(api, name).await? == value)).await
}

async fn submit(api: &Api, workflow: &str, inputs: impl Iterator<Item = Value>) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for input in inputs {
        ids.push(api.submit(workflow, input).await?);
    }
    Ok(ids)
}

async fn check(stage: &Stage, coordinator: &mut Coordinator, accepted: &[String]) -> Result<()> {
    coordinator.stop().await?;
    coordinator.check(stage, accepted).await?;
    Ok(())
}

/// Every page of a list of people, a few at a time.
async fn listed(api: &Api, path: &str) -> Result<Vec<Value>> {
    let (mut items, mut next) = (Vec::new(), None::<String>);
    loop {
        let after = next.map(|next| format!("&after={next}")).unwrap_or_default();
        let page = api.get(&format!("{path}&limit=7{after}")).await?.ok()?;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        next = page["next_after"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(items);
        }
    }
}

async fn come_back(stage: &Stage, setup: Setup) -> Result<()> {
    const TASKS: usize = 60;
    let mut coordinator = setup.with(EAGER.0, EAGER.1).start(stage).await?;
    let api = coordinator.api.clone();
    api.apply(WAITS).await?;
    // Three tasks wait for each event.
    let ids = submit(&api, "waits", (0..TASKS).map(|number| json!({ "order": format!("o-{}", number / 3) }))).await?;
    until_figure(&api, ASLEEP, TASKS as u64).await?;
    ensure!(figure(&api, ACTIVE).await? == TASKS as u64, "tasks that sleep are active");
    ensure!(figure(&api, "tasker_steps_waiting{for=\"event\"}").await? == TASKS as u64, "and are counted");

    // What people see of them is what there is.
    let approvals = listed(&api, "/v1/approvals?assignee=legal").await?;
    let asked: Vec<&str> = approvals.iter().filter_map(|approval| approval["task"].as_str()).collect();
    ensure!(asked == ids, "every approval is listed, in order: {asked:?}");
    ensure!(listed(&api, "/v1/approvals?assignee=nobody").await?.is_empty(), "nobody else is asked");
    let why = api.why(&ids[0]).await?;
    ensure!(why.contains("tasker event send paid --key o-0") && why.contains("sign"), "{why}");

    // An event finds all of its listeners, and no others; a killed coordinator finds them again.
    for order in 0..TASKS / 3 {
        if order == TASKS / 6 {
            coordinator.kill_and_start(stage).await?;
        }
        let event = json!({ "name": "paid", "key": format!("o-{order}"), "payload": { "amount": order } });
        let taken = api.post("/v1/events", &event).await?.ok()?;
        let expected: Vec<&str> = ids[order * 3..order * 3 + 3].iter().map(String::as_str).collect();
        ensure!(taken["tasks"] == json!(expected) && taken["kept"] == false, "{taken}");
    }
    let kept = api.post("/v1/events", &json!({ "name": "paid", "key": "o-0", "payload": { "amount": 1 } })).await?.ok()?;
    ensure!(kept["kept"] == true, "nobody waits for it any more: {kept}");

    until_figure(&api, "tasker_steps_waiting{for=\"event\"}", 0).await?;
    until_figure(&api, ASLEEP, TASKS as u64).await?;
    for (number, id) in ids.iter().enumerate() {
        if number == TASKS / 2 {
            coordinator.kill_and_start(stage).await?;
        }
        api.post(&format!("/v1/tasks/{id}/steps/approve:decide"), &json!({ "decision": "approved", "by": "legal" })).await?.ok()?;
        match number % 5 {
            0 => drop(api.post(&format!("/v1/tasks/{id}:cancel"), &json!({ "reason": "no more" })).await?.ok()?),
            _ => drop(api.post(&format!("/v1/tasks/{id}/signals/sign"), &json!({})).await?.ok()?),
        }
    }
    for (number, id) in ids.iter().enumerate() {
        let task = api.finished_as(id, if number % 5 == 0 { "cancelled" } else { "succeeded" }).await?;
        ensure!(number % 5 == 0 || task["result"] == json!({ "amount": number / 3 }), "{task:#}");
    }
    until_figure(&api, ACTIVE, 0).await?;
    for name in ["event", "signal", "sleep", "approval"] {
        ensure!(figure(&api, &format!("tasker_steps_waiting{{for=\"{name}\"}}")).await? == 0, "{name}");
    }
    ensure!(figure(&api, "tasker_uncovered_steps").await? == 0, "nothing was ever stuck");
    check(stage, &mut coordinator, &ids).await
}

#[test]
fn tasks_that_only_wait_leave_the_memory_and_come_back_as_they_were() {
    on_stage(async |stage| come_back(stage, Setup::embedded(stage)).await);
}

#[test]
fn tasks_that_only_wait_leave_the_memory_and_come_back_as_they_were_on_postgres() {
    on_stage(async |stage| come_back(stage, Setup::embedded(stage).database(Cluster::shared().await?.create_database().await?)).await);
}

const FAMILY: &str = r#"
name: parent
version: 1.0.0
input: { type: object, properties: { keys: { type: array } }, required: [keys] }
systems: {}
workflow_steps:
  - { name: child, workflow: child, for_each: { items: "${ task.input.keys }" }, input: { key: "${ item }" } }
"#;

const CHILD: &str = r#"
name: child
version: 1.0.0
input: { type: object, properties: { key: { type: string } }, required: [key] }
systems: {}
workflow_steps:
  - { name: heard, wait_for: { event: call, key: "${ task.input.key }" } }
"#;

#[test]
fn parents_and_children_sleep_and_still_find_each_other() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).with(EAGER.0, EAGER.1).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(CHILD).await?;
        api.apply(FAMILY).await?;
        let ids = submit(&api, "parent", (0..4).map(|_| json!({ "keys": ["1", "2", "3"] }))).await?;
        until_figure(&api, ASLEEP, 16).await?;
        // Children that sleep are open.
        until_figure(&api, "tasker_children_open", 12).await?;

        // An order of the parent reaches children that sleep, also if it is killed before they are read.
        let children = api.children(&ids[0]).await?;
        api.post(&format!("/v1/tasks/{}:pause", ids[1]), &json!({ "reason": "lunch" })).await?.ok()?;
        api.post(&format!("/v1/tasks/{}:cancel", ids[0]), &json!({ "reason": "no more" })).await?.ok()?;
        coordinator.kill_and_start(stage).await?;
        api.finished_as(&ids[0], "cancelled").await?;
        for child in &children {
            api.finished_as(text(child, "task")?, "cancelled").await?;
        }
        until_figure(&api, PAUSED, 4).await?;
        api.post(&format!("/v1/tasks/{}:resume", ids[1]), &json!({})).await?.ok()?;
        until_figure(&api, PAUSED, 0).await?;
        until_figure(&api, ASLEEP, 12).await?;

        // The end of each child wakes its parent.
        for key in ["1", "2", "3"] {
            let taken = api.post("/v1/events", &json!({ "name": "call", "key": key, "payload": { "key": key } })).await?.ok()?;
            ensure!(taken["tasks"].as_array().map_or(0, Vec::len) == 3, "{taken}");
        }
        for id in &ids[1..] {
            let task = api.finished_as(id, "succeeded").await?;
            let results = step(&task, "child")?["result"].as_array().map_or(0, Vec::len);
            ensure!(results == 3, "{task:#}");
        }
        ensure!(figure(&api, "tasker_uncovered_steps").await? == 0, "nothing was ever stuck");
        check(stage, &mut coordinator, &ids).await
    });
}

const SLEEPS: &str = r#"
name: sleeps
version: 1.0.0
systems: {}
workflow_steps:
  - { name: rest, sleep: 2s }
"#;

#[test]
fn timers_of_tasks_that_left_fire_once_and_never_early_also_if_they_were_due_while_nobody_was_there() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).with(EAGER.0, EAGER.1).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(SLEEPS).await?;
        let ids = submit(&api, "sleeps", (0..200).map(|_| json!({}))).await?;
        until_true("some are asleep", SOON, async || Ok(figure(&api, ASLEEP).await? > 0)).await?;
        coordinator.kill_and_start(stage).await?;
        for id in &ids {
            let task = api.finished_as(id, "succeeded").await?;
            let at = |member: &str| tasker_integration_tests::api::instant(&task, member);
            ensure!(at("finished_at")? - at("accepted_at")? >= 2_000, "a timer fired early: {task:#}");
            let satisfied = api.events(id).await?.iter().filter(|event| event["event"] == "wait_satisfied").count();
            ensure!(satisfied == 1, "a timer fired {satisfied} times");
        }
        check(stage, &mut coordinator, &ids).await
    });
}

const WORK: &str = r#"
name: work
version: 1.0.0
systems: { desk: { capabilities: [do] } }
workflow_steps:
  - { name: do, owner: desk, capability: do }
"#;

/// Thousands of tasks are active when the coordinator is killed. What comes for them while they are read is not lost.
#[test]
fn what_comes_before_a_task_was_read_after_a_start_is_not_lost() {
    on_stage(async |stage| {
        const WORKING: usize = 1_500;
        const WAITING: usize = 300;
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(WAITS).await?;
        api.apply(WORK).await?;
        let waiting = submit(&api, "waits", (0..WAITING).map(|number| json!({ "order": format!("o-{number}") }))).await?;
        let working = submit(&api, "work", (0..WORKING).map(|_| json!({}))).await?;
        coordinator.kill_and_start(stage).await?;
        // At once, and of the last ones first: they are read last.
        for number in (WAITING - 20..WAITING).rev() {
            let event = json!({ "name": "paid", "key": format!("o-{number}"), "payload": { "amount": number } });
            let taken = api.post("/v1/events", &event).await?.ok()?;
            ensure!(taken["tasks"] == json!([waiting[number]]), "{taken}");
            api.post(&format!("/v1/tasks/{}/signals/sign", waiting[number]), &json!({})).await?.ok()?;
            api.post(&format!("/v1/tasks/{}/steps/approve:decide", waiting[number]), &json!({ "decision": "approved", "by": "legal" }))
                .await?
                .ok()?;
        }
        let url = coordinator.setup().worker_url();
        let _desk = Responder::start(&url, "desk", "do", |_| Reply::Result(json!({}))).await?;
        for (number, id) in waiting.iter().enumerate().skip(WAITING - 20) {
            let task = api.finished_as(id, "succeeded").await?;
            ensure!(task["result"] == json!({ "amount": number }), "{task:#}");
        }
        for id in &working {
            api.finished_as(id, "succeeded").await?;
        }
        for id in &waiting[..WAITING - 20] {
            api.post(&format!("/v1/tasks/{id}:cancel"), &json!({ "reason": "over" })).await?.ok()?;
        }
        until_figure(&api, ACTIVE, 0).await?;
        ensure!(figure(&api, UNREAD).await? == 0 && figure(&api, "tasker_uncovered_steps").await? == 0, "nothing is left");
        let accepted: Vec<String> = waiting.into_iter().chain(working).collect();
        check(stage, &mut coordinator, &accepted).await
    });
}

/// Lists show a task that waits as it is, also if it left before its row was swept.
#[test]
fn the_row_of_a_task_that_left_says_what_it_waits_for() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).with("TASKER_SWEEP", "200ms").start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(WAITS).await?;
        let id = api.submit("waits", json!({ "order": "o-1" })).await?;
        until_figure(&api, ASLEEP, 1).await?;
        let found = api.get("/v1/tasks?waiting=event").await?.ok()?;
        ensure!(found["items"][0]["id"] == json!(id), "{found}");
        api.post(&format!("/v1/tasks/{id}:cancel"), &json!({ "reason": "over" })).await?.ok()?;
        check(stage, &mut coordinator, &[id]).await
    });
}
