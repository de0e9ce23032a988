//! Which step goes next, how fast, and how many at once: with real processes.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tasker_integration_tests::api::{Api, instant, step};
use tasker_integration_tests::coordinator::Setup;
use tasker_integration_tests::scripted::{Introduction, Play, ScriptedWorker};
use tasker_integration_tests::stage::on_stage;
use tasker_integration_tests::until::{SOON, until, until_true};

/// One step, with whatever a test declares about its workflow, capability and step.
fn manifest(name: &str, workflow: &str, capability: &str, step: &str) -> String {
    format!(
        "name: {name}\nversion: 1.0.0\n{workflow}systems:\n  bank:\n    capabilities:\n      - {{ name: card.charge{capability} }}\nworkflow_steps:\n  - {{ name: charge, owner: bank, capability: card.charge{step} }}\n"
    )
}

fn bank(slots: u32) -> Introduction {
    Introduction::new("bank", "card.charge", "bank-worker-1").slots(slots)
}

async fn submit(api: &Api, body: Value) -> Result<String> {
    let answer = api.post("/v1/tasks", &body).await?.ok()?;
    Ok(answer["id"].as_str().context("an id")?.to_owned())
}

/// Waits until what is told about a task says something.
async fn told(api: &Api, id: &str, what: &str) -> Result<String> {
    until(&format!("`{what}` is told"), SOON, async || {
        let said = api.get(&format!("/v1/tasks/{id}/why")).await?.ok()?.to_string();
        Ok(said.contains(what).then_some(said))
    })
    .await
}

async fn taken(worker: &ScriptedWorker, count: usize) -> Result<()> {
    until_true(&format!("{count} steps are taken"), SOON, async || Ok(worker.taken().len() == count)).await
}

#[test]
fn urgent_work_goes_first_and_a_workflow_that_floods_does_not_keep_another_waiting() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(&manifest("bulk", "priority: { default: -10, max: 50 }\n", "", "")).await?;
        api.apply(&manifest("small", "", "", "")).await?;
        let mut first = true;
        let play = move |_: &_| if std::mem::take(&mut first) { Play::Hold } else { Play::Succeed };
        let worker = ScriptedWorker::join(&url, &api, bank(1), play).await?;
        let mut ids = vec![api.submit("bulk", json!({ "number": 0 })).await?];
        taken(&worker, 1).await?;
        for number in 1..20 {
            ids.push(api.submit("bulk", json!({ "number": number })).await?);
        }
        let urgent = submit(&api, json!({ "workflow": "bulk", "input": { "number": "urgent" }, "priority": 50 })).await?;
        let other = api.submit("small", json!({ "number": "other" })).await?;
        told(&api, &ids[5], "priority -10, 5 steps are ahead").await?;
        ensure!(api.task(&urgent).await?["priority"] == 50, "it is kept with the task");
        let refused = api.post("/v1/tasks", &json!({ "workflow": "bulk", "input": null, "priority": 51 })).await?;
        refused.problem(422, "priority.not_allowed")?;

        worker.finish().await?;
        ids.extend([urgent, other]);
        for id in &ids {
            api.finished_as(id, "succeeded").await?;
        }
        let order: Vec<String> = worker.taken().iter().map(|request| String::from_utf8_lossy(&request.input).into_owned()).collect();
        let place = |word: &str| order.iter().position(|input| input.contains(word)).unwrap_or(usize::MAX);
        ensure!(place("urgent") <= 2 && place("other") <= 2, "{order:?}");
        coordinator.stop().await?;
        coordinator.check(stage, &ids).await?;
        Ok(())
    });
}

#[test]
fn rates_bulkheads_keys_and_pauses_hold_back_and_say_so() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let server = format!("http://127.0.0.1:{}", coordinator.setup().http_port);
        api.apply(&manifest("keyed", "", ", max_concurrent: 3", ", concurrency: { limit: 1, key: '${ task.input.customer }' }")).await?;
        let worker = ScriptedWorker::join(&url, &api, bank(16), |_| Play::Hold).await?;
        let mut ids = Vec::new();
        for number in 0..8 {
            ids.push(api.submit("keyed", json!({ "customer": format!("c-{}", number / 2) })).await?);
        }
        taken(&worker, 3).await?;
        let second = told(&api, &ids[1], "concurrency key `c-0` of step `charge`: 1 of 1 running: ").await?;
        ensure!(second.contains(&ids[0]) && second.contains("0 steps are ahead"), "{second}");
        told(&api, &ids[6], "bulkhead of capability `card.charge`: 3 of 3 attempts are open").await?;

        // What an operator says goes before the manifest.
        let (code, said) = stage.tasker(&["--server", &server, "queue", "pause", "bank", "card.charge"]).await?;
        ensure!(code == Some(0) && said.contains("by an operator"), "{said}");
        worker.finish().await?;
        told(&api, &ids[6], "the queue of `card.charge` of system `bank` is paused by an operator").await?;
        ensure!(worker.taken().len() == 3, "nothing starts while it is paused");
        let limit = [
            "--server",
            &server,
            "queue",
            "limit",
            "bank",
            "card.charge",
            "--max-concurrent",
            "unlimited",
            "--rate",
            "5/s",
            "--burst",
            "1",
        ];
        let (code, said) = stage.tasker(&limit).await?;
        ensure!(code == Some(0) && said.contains("5/s (burst 1)") && said.contains("at most 3 open"), "{said}");
        let (code, said) = stage.tasker(&["--server", &server, "queue", "resume", "bank", "card.charge"]).await?;
        ensure!(code == Some(0), "{said}");
        let queue = api.get("/v1/queues/bank/card.charge").await?.ok()?;
        ensure!(queue["limits"]["rate_limit"]["rate"] == "5/s" && queue["declared"]["max_concurrent"] == 3, "{queue:#}");
        until_true("all are taken", SOON, async || {
            worker.finish().await?;
            Ok(worker.taken().len() == ids.len())
        })
        .await?;
        worker.finish().await?;
        let mut starts = Vec::new();
        for id in &ids {
            let task = api.finished_as(id, "succeeded").await?;
            starts.push(instant(&step(&task, "charge")?["attempts"][0], "started_at")?);
        }
        starts.sort_unstable();
        let paced: Vec<i64> = starts[3..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Two instants are cut to whole milliseconds each.
        ensure!(paced.iter().all(|gap| *gap >= 198), "5 per second, one at once: {paced:?}");
        api.post("/v1/queues/bank/card.refund", &json!({ "paused": true })).await?.problem(404, "capability.unknown")?;
        coordinator.stop().await?;
        coordinator.check(stage, &ids).await?;
        Ok(())
    });
}

#[test]
fn tasks_of_one_key_wait_or_are_cancelled_also_across_a_kill_and_a_full_backlog_is_refused() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let counted = |name: &str, on_limit: &str| {
            let workflow = format!("concurrency: {{ limit: 1, key: '${{ task.input.key }}', on_limit: {on_limit} }}\n");
            manifest(name, &workflow, "", "")
        };
        for on_limit in ["queue", "cancel_newest", "cancel_in_progress"] {
            api.apply(&counted(on_limit, on_limit)).await?;
        }
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(api.submit("queue", json!({ "key": "a" })).await?);
        }
        told(&api, &ids[2], "concurrency key `a` of workflow `queue`: 1 of 1 running").await?;
        told(&api, &ids[2], "position 2").await?;
        let free = api.submit("queue", json!({ "key": "b" })).await?;
        ensure!(api.task(&free).await?["queued"] == false, "another key does not wait");

        coordinator.kill_and_start(stage).await?;
        for (id, queued) in ids.iter().zip([false, true, true]) {
            ensure!(api.task(id).await?["queued"] == queued, "the line is as it was");
        }
        api.post(&format!("/v1/tasks/{}:cancel", ids[0]), &json!({ "reason": "enough" })).await?.ok()?;
        api.finished_as(&ids[0], "cancelled").await?;
        api.step_in(&ids[1], "charge", "ready").await?;
        ensure!(api.task(&ids[2]).await?["queued"] == true, "one at a time");

        let kept = api.submit("cancel_newest", json!({ "key": "a" })).await?;
        let newest = api.submit("cancel_newest", json!({ "key": "a" })).await?;
        let ended = api.finished_as(&newest, "cancelled").await?;
        ensure!(ended["cancel_reason"].as_str().is_some_and(|reason| reason.contains(&kept)), "{ended:#}");
        let replaced = api.submit("cancel_in_progress", json!({ "key": "a" })).await?;
        let replacement = api.submit("cancel_in_progress", json!({ "key": "a" })).await?;
        api.finished_as(&replaced, "cancelled").await?;
        api.step_in(&replacement, "charge", "ready").await?;

        api.apply(&manifest("small", "", ", max_backlog: 7", "")).await?;
        ids.extend([free, kept, newest, replaced, replacement]);
        let refused = until("the backlog is full", SOON, async || {
            let answer = api.post("/v1/tasks", &json!({ "workflow": "small", "input": null })).await?;
            if answer.status == 201 {
                ids.push(answer.ok()?["id"].as_str().context("an id")?.to_owned());
                return Ok(None);
            }
            Ok(Some(answer))
        })
        .await?;
        refused.problem(429, "backlog.full")?;
        let queue = api.get("/v1/queues/bank/card.charge").await?.ok()?;
        ensure!(queue["waiting"] == 7, "{queue:#}");

        // Somebody comes who does the work: what waits in any of the lines is done, and there is room again.
        let worker = ScriptedWorker::join(&coordinator.setup().worker_url(), &api, bank(4), |_| Play::Succeed).await?;
        for id in &ids {
            api.finished(id).await?;
        }
        ensure!(worker.taken().len() == ids.len() - 3, "three were cancelled: {:?}", worker.taken());
        api.finished_as(&api.submit("small", json!(null)).await?, "succeeded").await?;
        coordinator.stop().await?;
        coordinator.check(stage, &ids).await?;
        Ok(())
    });
}
